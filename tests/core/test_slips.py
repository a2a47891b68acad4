"""Slippage of each strategy: fills against the mark their order was decided at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskbot.core import events
from riskbot.core.limits.slippage import Slippage
from riskbot.core.model import OrderStatus, Response, Side, TradingState
from riskbot.core.slips import KEPT_MS, SPAN_MS, Slips
from riskbot.core.state import State
from tests import builders
from tests.core.market import Market, codes, market

BTC = "BTC/USDT:USDT"
DAY_MS = 86_400_000


def bps(made: Market, scope: str = "portfolio") -> dict[str, tuple[float, float]]:
    state: State = made.engine.state
    found = state.measure(made.now_ms)[scope].slippage_bps
    return {name: (round(worst, 2), round(mean, 2)) for name, (worst, mean) in found.items()}


def filled(made: Market, side: str, price: float, strategy: str = "grid") -> None:
    """Have an order approved at the present mark, and filled at another price."""
    name = made.decide("BTC", side, "0.1", strategy=strategy)["client_order_id"]
    made.give(
        builders.fill(
            BTC, Side(side), "0.1", price, order_id=name, trade_id=name, client_order_id=name
        )
    )


def test_fills_are_measured_against_the_mark_at_the_decision() -> None:
    made = market()
    filled(made, "buy", 50_050)
    filled(made, "sell", 49_975)
    filled(made, "buy", 49_990, strategy="trend")
    made.price(BTC=60_000)
    assert bps(made) == {"grid": (10.0, 7.5), "trend": (0.0, -2.0)}
    assert bps(made, "strategy:grid") == {"grid": (10.0, 7.5)}
    assert bps(made, "account:main") == {}


def test_fill_that_is_told_after_its_orders_end_counts_once() -> None:
    made = market()
    name = made.decide("BTC", "buy", "0.1", price="50000")["client_order_id"]
    order = builders.order(BTC, "buy", "0.1", order_id="v1", client_order_id=name, price="50000")
    made.give(events.OrderUpdated(account="main", order=order))
    done = replace(order, filled=Decimal("0.1"), status=OrderStatus.FILLED)
    made.give(events.OrderUpdated(account="main", order=done))
    # As venues tell of trades that know no client id.
    fill = builders.fill(BTC, Side.BUY, "0.1", 50_025, order_id="v1")
    made.give(fill)
    made.give(fill)
    assert bps(made) == {"grid": (5.0, 5.0)}


def test_amended_order_is_measured_against_the_mark_of_its_amendment() -> None:
    made = market()
    made.decide("BTC", "buy", "0.1", price="49000", client_order_id="a1", is_submit=True)
    made.price(BTC=49_500)
    made.amend("a1", price="49200")
    made.wait(1)
    made.fill(made.sent[-1].client_order_id, "0.1")
    ((worst, mean),) = bps(made).values()
    assert (worst, mean) == (0.0, 0.0)


def test_strategy_that_slips_too_far_is_denied_until_the_next_day() -> None:
    made = market(Slippage(max=20, on_breach=Response.DENY), scope="strategy:grid")
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"
    filled(made, "buy", 50_150)
    assert made.engine.state.enforcement.state_of("strategy:grid") is TradingState.REDUCING
    assert codes(made.decide("BTC", "buy", "0.01")) == {"TRADING_STATE"}
    assert made.decide("BTC", "buy", "0.01", strategy="trend")["decision"] == "approve"
    made.restart()
    made.price()
    made.read()
    assert bps(made) == {"grid": (30.0, 30.0)}
    assert codes(made.decide("BTC", "buy", "0.01")) == {"TRADING_STATE"}
    made.now_ms += DAY_MS - made.now_ms % DAY_MS
    made.wait(3)
    assert bps(made) == {}
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"


def test_fill_of_what_had_no_mark_is_not_measured_and_old_ones_are_forgotten() -> None:
    made = market()
    name = made.decide("BTC", "buy", "0.1")["client_order_id"]
    known = made.engine.state.reservations.live[name]
    slips = Slips()
    fill = builders.fill(BTC, Side.BUY, "0.1", 50_050)
    slips.take(replace(known, mark=None), fill, 0)
    assert not slips.spans
    for count in range(300):
        slips.take(known, fill, count * SPAN_MS)
    assert len(slips.spans["grid"]) == KEPT_MS // SPAN_MS
    ((worst, _),) = slips.of("portfolio", 0).values()
    assert worst == pytest.approx(10)
