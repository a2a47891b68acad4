"""The order that would restore a hedged pair: which, how large, and when none is advised."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import rebalancing
from riskbot.core.limits._base import Limit
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.hedge_drift import HedgeDrift
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.model import Response
from riskbot.core.settings import AccountSettings, HedgeSettings, PairLeg, PairSettings
from tests import builders
from tests.core.world import World, world

BTC = "BTC/USDT:USDT"
TWO = {
    "main": AccountSettings(exchange="binanceusdm"),
    "other": AccountSettings(exchange="bybit"),
}
DRIFT = HedgeDrift(max=0.05)


def pair(hedged: float, hedge: float, *limits: Limit, **fields: Any) -> World:
    """A perpetual on one account against the same on another."""
    elsewhere = {"other": {"BTC": (hedge, 50_000)}}
    return world(
        *limits, held={"BTC": (hedged, 50_000)}, elsewhere=elsewhere, accounts=TWO, **fields
    )


def advised(made: World) -> dict[str, Any] | None:
    (row,) = made.command("exposure").document["hedges"]
    found: dict[str, Any] | None = row["rebalance"]
    return found


def test_hedge_too_small_is_made_larger() -> None:
    assert advised(pair(1, -0.75)) == {
        "account": "other",
        "instrument": BTC,
        "position_side": "net",
        "side": "sell",
        "quantity": "0.25",
        "usd": 12_500.0,
        "reduce_only": False,
        "text": "sell 0.25 BTC/USDT:USDT on other (12,500 USD)",
    }


def test_hedge_too_large_is_made_smaller() -> None:
    found = advised(pair(1, -1.5))
    assert found is not None
    assert (found["side"], found["quantity"], found["reduce_only"]) == ("buy", "0.5", True)
    assert found["text"] == "buy 0.5 BTC/USDT:USDT on other (25,000 USD, reduce-only)"


def test_more_hedge_that_limits_allow_is_advised() -> None:
    found = advised(pair(1, -0.75, GrossExposure(max=0.9), PositionSize(max=0.9)))
    assert found is not None
    assert (found["account"], found["reduce_only"]) == ("other", False)


def test_order_below_the_least_the_venue_takes_is_not_advised() -> None:
    made = pair(1, -0.99)
    large = builders.instrument(BTC, account="other", min_notional=1_000)
    made.give(builders.events.InstrumentsLoaded(account="other", instruments=(large,)))
    found = advised(made)
    assert found is not None
    assert (found["account"], found["quantity"]) == ("main", "0.01")


def test_pair_in_balance_needs_no_order() -> None:
    assert advised(pair(1, -1)) is None


def test_quantity_is_rounded_down_to_the_step() -> None:
    made = pair(1, -0.75)
    made.price(BTC=49_999.0)
    made.somebody_trades("BTC", "0.001")
    # What is missing is worth 0.251 coins; below the smallest order nothing is advised.
    found = advised(made)
    assert found is not None
    assert found["quantity"] == "0.251"
    assert advised(pair(1, -0.9995)) is None


@pytest.mark.parametrize(
    ("limit", "scope"),
    [
        (GrossExposure(max=0.45), "portfolio"),
        (Leverage(max=0.4), "account:other"),
        (PositionSize(max=0.2), "portfolio"),
    ],
)
def test_more_hedge_than_limits_allow_is_not_advised_but_less_of_what_it_hedges(
    limit: Limit, scope: str
) -> None:
    made = pair(1, -0.75, limit, scope=scope)
    found = advised(made)
    assert found is not None
    assert (found["account"], found["side"], found["quantity"], found["reduce_only"]) == (
        "main", "sell", "0.25", True,
    )  # fmt: skip


def test_configured_hedge_is_what_the_order_is_on() -> None:
    hedges = {"BTC": HedgeSettings("main", "ETH/USDT:USDT", 500_000)}
    made = pair(1, -0.75, hedges=hedges)
    made.give(builders.loaded("ETH/USDT:USDT"))
    made.price(ETH=2_000)
    found = advised(made)
    assert found is not None
    assert (found["instrument"], found["side"], found["quantity"]) == (
        "ETH/USDT:USDT", "sell", "6.25",
    )  # fmt: skip


SPOT, INVERSE = builders.BTC_SPOT, builders.BTC_INVERSE


def one(
    spot: str, *positions: Any, coins: float, limits: tuple[Limit, ...] = (), **fields: Any
) -> World:
    """One account with coins and contracts that hedge them."""
    accounts = {"main": AccountSettings(exchange="binance", spot=spot)}  # type: ignore[arg-type]
    made = world(*limits, accounts=accounts, **fields)
    made.give(builders.loaded(BTC, SPOT, INVERSE))
    for symbol in (BTC, INVERSE):
        made.give(builders.prices(symbol, 50_000.0))
    made.give(builders.prices(SPOT, bid=49_999.99, ask=50_000.01))
    made.now_ms += 1
    made.give(builders.snapshot(*positions, balances=(builders.balance("BTC", coins),),
                                as_of_ms=made.now_ms))  # fmt: skip
    return made


def test_coins_are_hedged_by_more_of_the_perpetual() -> None:
    found = advised(one("hold", builders.position(BTC, -0.75), coins=1))
    assert found is not None
    assert (found["instrument"], found["side"], found["quantity"]) == (BTC, "sell", "0.25")


def test_inverse_hedge_is_ordered_in_dollars() -> None:
    found = advised(one("hold", builders.position(INVERSE, -37_500), coins=1))
    assert found is not None
    assert (found["instrument"], found["quantity"], found["usd"]) == (INVERSE, "12500", 12_500)


def test_configured_inverse_hedge_is_ordered_in_dollars() -> None:
    hedges = {"BTC": HedgeSettings("main", INVERSE, 500_000)}
    found = advised(one("hold", builders.position(INVERSE, -37_500), coins=1, hedges=hedges))
    assert found is not None
    assert (found["instrument"], found["quantity"], found["usd"]) == (INVERSE, "12500", 12_500)


@pytest.mark.parametrize("spot", ["hold", "trade"])
def test_coins_are_sold_only_where_that_is_allowed(spot: str) -> None:
    limit = GrossExposure(max=0.1)
    found = advised(one(spot, builders.position(BTC, -0.75), coins=1, limits=(limit,)))
    if spot == "hold":
        assert found is None
        return
    assert found is not None
    assert (found["instrument"], found["side"], found["reduce_only"]) == (SPOT, "sell", True)


def test_hedge_of_options_is_left_to_a_person() -> None:
    put = "BTC/USDT:USDT-261225-60000-P"
    pairs = (PairSettings("puts", (PairLeg("main", BTC), PairLeg("main", put))),)
    made = one("hold", coins=0, pairs=pairs)
    made.give(builders.loaded(put))
    made.give(builders.prices(put, 900.0, delta=-0.4))
    made.now_ms += 1
    held = (builders.position(BTC, 1), builders.position(put, 1, 900))
    made.give(builders.snapshot(*held, as_of_ms=made.now_ms))
    (row,) = made.command("exposure").document["hedges"]
    # Too little of a put: what it hedges is made smaller, no option is ordered.
    assert row["hedge_delta_usd"] == pytest.approx(-20_000)
    assert (row["rebalance"]["instrument"], row["rebalance"]["quantity"]) == (BTC, "0.6")


def test_drift_alert_names_the_pair_the_drift_and_the_order() -> None:
    made = pair(1, -1, DRIFT)
    made.somebody_trades("BTC", "0.25")
    made.wait(120)
    told = made.told("hedge_drift")[-1].alert
    assert "BTC" in told.text
    assert told.todo == (
        "BTC drifted 20.0%: sell 0.25 BTC/USDT:USDT on other (12,500 USD) restores it; "
        "ack, or act by hand"
    )


def test_advice_stands_as_long_as_the_figure_does() -> None:
    made = pair(1, -1, DRIFT)
    made.somebody_trades("BTC", "0.25")
    made.wait(120)
    count = len(made.told("hedge_drift"))
    for step in range(20):
        made.price(BTC=50_000.0 + step)
        made.wait(1)
    assert len(made.told("hedge_drift")) == count


def test_hedge_response_sends_the_order_that_was_advised() -> None:
    drift = HedgeDrift(max=0.05, on_breach=Response.HEDGE)
    made = pair(1, -1, drift, hedges={"BTC": HedgeSettings("other", BTC, 500_000)})
    made.somebody_trades("BTC", "0.25")
    made.wait(5)
    (order,) = made.sent
    assert (order.account, order.side.value, order.quantity) == ("other", "sell", Decimal("0.25"))
    assert made.quantity("BTC", "other") == Decimal("-1.25")
    assert advised(made) is None


def test_too_much_of_a_hedge_with_sides_of_their_own_is_closed_on_its_side() -> None:
    made = pair(1, -1.5, hedges={"BTC": HedgeSettings("other", BTC, 500_000)})
    state = made.engine.state.accounts.get("other")
    state.is_hedge_mode = True
    short = builders.position(BTC, -1.5, 50_000, account="other", side=builders.PositionSide.SHORT)
    made.deaf.add("other")
    made.now_ms += 1
    made.give(builders.snapshot(short, account="other", as_of_ms=made.now_ms, usdt=100_000,
                                is_hedge_mode=True))  # fmt: skip
    found = advised(made)
    assert found is not None
    assert (found["position_side"], found["side"], found["quantity"], found["reduce_only"]) == (
        "short", "buy", "0.5", True,
    )  # fmt: skip


def test_advice_of_many_pairs_names_the_first_few() -> None:
    names = ("A", "B", "C", "D", "E")
    held = dict.fromkeys(names, (1, 100))
    elsewhere = {"other": dict.fromkeys(names, (-0.5, 100))}
    made = world(DRIFT, held=held, elsewhere=elsewhere, accounts=TWO)
    made.wait(1)
    turn = rebalancing.Turn(made.engine.state, made.engine.settings, made.now_ms)
    text = rebalancing.advice(turn, "portfolio", names)
    assert text.count(" restores it") == 3
    assert rebalancing.advice(turn, "account:nobody", names) == ""
