"""What an order would add to the margin of its account, and to its strategy's share of the book."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.model import MarginReport, Response
from riskbot.core.settings import OrderRules, StrategySettings
from tests import builders
from tests.core.market import FREE, Market, codes, market

BTC = "BTC/USDT:USDT"
MARGIN = MaintenanceMargin(max=0.3, on_breach=Response.REDUCE)


def margined(*rows: builders.Position, stated: MarginReport | None = None) -> Market:
    """Return a market of 100,000 USDT whose venue says this of its margin."""
    made = market(MARGIN, scope="account:main")
    made.margin = stated or MarginReport()
    made.now_ms += 3_000
    made.price()
    made.give(builders.snapshot(*rows, usdt=100_000, margin=made.margin, as_of_ms=made.now_ms))
    return made


def largest(made: Market, base: str = "BTC", **fields: Any) -> str:
    found = made.decide(base, "buy", "1000", **fields)
    assert codes(found) == {"LIMIT_EXCEEDED"}
    assert {r["limit"] for r in found["reasons"]} <= {"maintenance_margin", "strategy_share"}
    return str(found["max_quantity"])


def test_order_asks_what_the_pool_asks_per_dollar() -> None:
    stated = MarginReport(equity_usd=100_000, maintenance_usd=10_000)
    made = margined(builders.position(BTC, 2, 50_000), stated=stated)
    # 10 % of 100,000 so far; at 300,000 it would be 30 % of the equity.
    assert largest(made) == "4"
    assert largest(made, "ETH") == "100"


def test_order_asks_what_its_own_position_asks_where_that_is_stated() -> None:
    row = builders.position(BTC, 2, 50_000, maintenance_margin=Decimal(1_000))
    assert largest(margined(row)) == "58"
    # Of another instrument nothing is known: 5 % at least.
    assert largest(margined(row), "ETH") == "290"


def test_first_position_is_taken_to_ask_five_percent() -> None:
    assert largest(margined()) == "12"


def test_what_works_elsewhere_on_the_account_draws_on_the_same_margin() -> None:
    made = margined()
    assert made.decide("ETH", "buy", "100")["decision"] == "approve"
    assert largest(made) == "8"


def test_exit_gives_margin_back_and_a_flip_asks_for_the_rest() -> None:
    row = builders.position(BTC, -2, 50_000, maintenance_margin=Decimal(10_000))
    assert largest(margined(row)) == "8"


@pytest.mark.parametrize(("leverage", "quantity"), [(None, "1"), (20.0, "1.999")])
def test_isolated_position_brings_margin_of_its_own(leverage: float | None, quantity: str) -> None:
    row = builders.position(
        BTC,
        1,
        50_000,
        is_isolated=True,
        isolated_margin=Decimal(10_000),
        maintenance_margin=Decimal(1_500),
        leverage=leverage,
    )
    assert largest(margined(row)) == quantity


def test_margin_that_is_not_known_bars_nothing_and_spot_asks_for_none() -> None:
    made = margined(builders.position(BTC, 2, 50_000))
    assert made.decide("BTC", "buy", "20")["decision"] == "approve"
    made = margined()
    made.marks["BTC/USDT"] = 50_000.0
    made.give(builders.loaded("BTC/USDT"))
    made.price()
    assert made.decide("BTC", "buy", "20", symbol="BTC/USDT")["decision"] == "approve"


# ---------------------------------------------------------------- the share of a strategy


def shared(limit: StrategyShare | UnderlyingConcentration) -> Market:
    return market(
        limit,
        strategies={
            name: StrategySettings(accounts=("main",), capital_usd=50_000, orders=FREE)
            for name in ("grid", "trend")
        },
    )


def bought(made: Market, strategy: str, quantity: str, base: str = "BTC") -> None:
    price = {"BTC": "49000", "ETH": "1990"}[base]
    made.decide(base, "buy", quantity, price=price, strategy=strategy, is_submit=True)
    made.fill(made.sent[-1].client_order_id, quantity)
    made.wait(2)


def test_strategy_may_have_its_share_of_the_book_and_of_the_equity_at_least() -> None:
    made = shared(StrategyShare(max=0.5, on_breach=Response.DENY))
    assert largest(made) == "0.999"
    bought(made, "trend", "0.9")
    # Half of 100,000 each; an order of its own that works counts as filled.
    assert made.decide("ETH", "buy", "10")["decision"] == "approve"
    assert largest(made) in {"0.599", "0.6"}


def test_strategys_own_position_and_orders_count_alone() -> None:
    made = shared(StrategyShare(max=0.5, on_breach=Response.DENY))
    made.decide("BTC", "sell", "0.5", price="50100", is_submit=True)
    assert made.decide("ETH", "buy", "10", price="1990")["decision"] == "approve"
    # 20,000 elsewhere, and 25,000 the other way on the same position, which is less than this.
    assert largest(made) in {"0.599", "0.6"}
    assert largest(made, "ETH", strategy="trend") in {"24.999", "25"}


def test_hold_on_a_strategys_share_denies_that_strategy_alone() -> None:
    made = shared(StrategyShare(max=0.5, on_breach=Response.DENY))
    unsent = made.decide("ETH", "buy", "1", strategy="trend")["client_order_id"]
    bought(made, "trend", "0.5")
    assert made.order(unsent, "trend")["status"] == "revoked"
    assert "MEASURE_HOLD" in codes(made.decide("ETH", "buy", "1", strategy="trend"))
    assert made.decide("ETH", "buy", "1")["decision"] == "approve"


def test_hold_on_concentration_by_strategy_denies_that_strategy_alone() -> None:
    limit = UnderlyingConcentration(max=0.5, by="strategy", gross_floor=0, on_breach=Response.DENY)
    made = shared(limit)
    bought(made, "grid", "0.1")
    assert "MEASURE_HOLD" in codes(made.decide("ETH", "buy", "1"))
    assert made.decide("ETH", "buy", "1", strategy="trend")["decision"] == "approve"


# ---------------------------------------------------------------- probation


def test_strategy_on_probation_is_held_to_the_stricter_of_both_rules() -> None:
    off = OrderRules(max_trade=None, max_trade_risk=None, price_collar=None, order_rate=None)
    probation = replace(off, max_trade=0.01, order_rate=2, price_collar=0.01)
    grid = StrategySettings(
        accounts=("main",), capital_usd=50_000, orders=FREE, probation=probation
    )
    trend = StrategySettings(accounts=("main",), orders=FREE, probation=replace(off, max_trade=1))
    made = market(strategies={"grid": grid, "trend": trend})
    assert made.decide("BTC", "buy", "1")["max_quantity"] == "0.01"
    made.decide("BTC", "buy", "0.01", is_submit=True)
    assert made.sent[0].price == Decimal("50500.0")
    for _ in range(3):
        assert made.decide("BTC", "buy", "0.1", strategy="trend")["decision"] == "approve"
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"
    assert codes(made.decide("BTC", "buy", "0.01")) == {"ORDER_RATE"}
    # Of the portfolio's E where it has none of its own.
    assert codes(made.decide("BTC", "buy", "2.1", strategy="trend")) == {"MAX_TRADE"}
    made.restart(replace(made.engine.settings, strategies={"grid": replace(grid, probation=None)}))
    made.price()
    made.read()
    assert made.decide("BTC", "buy", "1")["decision"] == "approve"


def test_audit_of_a_denial_is_short_and_its_answer_whole() -> None:
    held = {f"C{number}": (1, 1_000) for number in range(3)}
    limits = [GrossExposure(max=0.03), AssetExposure(max=0.02), PositionSize(max=0.02)]
    rules = OrderRules(
        max_trade=0.001, max_order_value=1, max_order_quantity={BTC: 0.001}, order_rate=None
    )
    more = [OpenPositions(max=3), StopRisk(max=0.003), NetExposure(max=0.03)]
    denying = [limit.model_copy(update={"on_breach": Response.DENY}) for limit in limits + more]
    made = market(*denying, held=held, rules=rules)
    found = made.decide("BTC", "buy", "3")
    assert len(found["reasons"]) > 8
    (row,) = [d for d in made.of(actions.RecordDecision) if d.decision == "deny"]
    assert row.inputs["reasons"] == len(found["reasons"])
    assert len(row.inputs["codes"]) == len(row.inputs["figures"]) == 8
