"""A strategy that repeats itself, or keeps losing, is disabled until a person lets it trade."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from riskbot.core import actions
from riskbot.core.engine import Engine
from riskbot.core.limits.loss_streak import LossStreak
from riskbot.core.limits.trades_per_day import TradesPerDay
from riskbot.core.model import Actor, Level, Mode, Response, Role, TradingState
from riskbot.core.settings import StrategySettings
from tests.core.market import FREE, Market, codes, market

THRICE = replace(FREE, max_repeats=3, repeat_window_s=10)
GRID = "strategy:grid"
HOLD = (GRID, "repeated_execution")


def held(made: Market) -> bool:
    return HOLD in made.engine.state.enforcement.holds


def repeat(made: Market, times: int, **fields: object) -> list[str]:
    return [made.decide("BTC", "buy", "0.01", **fields)["decision"] for _ in range(times)]


def test_strategy_is_disabled_by_exactly_one_order_too_many() -> None:
    made = market(rules=THRICE, held={"BTC": (1, 50_000)})
    assert repeat(made, 3) == ["approve"] * 3
    assert not held(made)
    found = made.decide("BTC", "buy", "0.01")
    assert codes(found) == {"REPEATED_EXECUTION"}
    assert (found["reasons"][0]["measured"], found["reasons"][0]["allowed"]) == (4.0, 3.0)
    assert held(made)
    # It may open nothing any more, whatever it is, and close all it likes; others go on.
    assert codes(made.decide("ETH", "buy", "0.1")) == {"TRADING_STATE"}
    assert made.decide("BTC", "sell", "0.5")["decision"] == "approve"
    assert made.decide("BTC", "buy", "0.01", strategy="trend")["decision"] == "approve"
    told = made.of(actions.NotifyStrategies)[-1]
    assert (told.scope, told.trading_state) == (GRID, TradingState.HALTED)
    made.wait(1)
    assert [a.alert.level for a in made.told("repeated_execution")] == [Level.RED]


def test_disabled_strategy_stays_so_until_a_person_lets_it_trade() -> None:
    made = market(rules=THRICE)
    repeat(made, 4)
    made.wait(3_600)
    made.restart()
    made.price()
    made.read()
    assert codes(made.decide("BTC", "buy", "0.01")) == {"TRADING_STATE"}
    operator = Actor("op", Role.OPERATOR, "test")
    assert not made.command("resume", operator, strategy="grid").ok
    made.confirm("resume", strategy="grid")
    assert repeat(made, 4) == [*["approve"] * 3, "deny"]


def test_repeats_count_by_instrument_side_and_time() -> None:
    made = market(rules=THRICE, held={"BTC": (1, 50_000)})
    repeat(made, 3)
    assert made.decide("ETH", "buy", "0.1")["decision"] == "approve"
    made.wait(11)
    assert repeat(made, 3) == ["approve"] * 3
    for _ in range(5):
        assert made.decide("BTC", "sell", "0.01")["decision"] == "approve"
    assert not held(made)


def test_denials_amendments_and_answers_that_are_given_again_are_no_repeats() -> None:
    made = market(rules=replace(THRICE, max_order_value=1_000))
    for _ in range(9):
        assert codes(made.decide("BTC", "buy", "1")) == {"MAX_ORDER_VALUE"}
    name = made.decide("BTC", "buy", "0.01", price="49000", client_order_id="a1", is_submit=True)
    for number in range(9):
        made.decide("BTC", "buy", "0.01", price="49000", client_order_id="a1", is_submit=True)
        made.amend(name["client_order_id"], price=str(48_000 - number))
        made.wait(0.3)
    assert not held(made)
    assert repeat(made, 2) == ["approve"] * 2


def test_entries_of_a_disabled_strategy_are_pulled_and_its_exits_stay() -> None:
    made = market(rules=THRICE, held={"ETH": (10, 2_000)})
    made.decide("ETH", "sell", "1", price="2100", is_submit=True)
    made.decide("BTC", "buy", "0.01", price="49000", strategy="trend", is_submit=True)
    made.keep = 1
    repeat(made, 3, price="49000", is_submit=True)
    unsent = made.decide("ETH", "buy", "0.1")["client_order_id"]
    repeat(made, 1)
    made.wait(10)
    assert sorted(o.symbol for o in made.orders["main"].values()) == [
        "BTC/USDT:USDT",
        "ETH/USDT:USDT",
    ]
    assert made.order(unsent)["status"] == "revoked"


def test_shadow_says_whom_it_would_disable_and_enforce_does_it() -> None:
    made = market(rules=THRICE, mode=Mode.SHADOW)
    repeat(made, 3)
    found = made.decide("BTC", "buy", "0.01")
    assert (found["decision"], found["enforced"]) == ("deny", False)
    assert made.engine.state.enforcement.state_of(GRID) is TradingState.ACTIVE
    assert not made.of(actions.NotifyStrategies)
    made.wait(1)
    assert "would be disabled" in made.told("repeated_execution")[0].alert.title
    made.restart(replace(made.engine.settings, mode=Mode.ENFORCE))
    made.price()
    made.read()
    made.wait(20)
    repeat(made, 4)
    assert made.engine.state.enforcement.state_of(GRID) is TradingState.HALTED


# ---------------------------------------------------------------- losing round trips


def trip(made: Market, out: float, strategy: str = "grid") -> None:
    """Buy at 50,000 and sell at another price."""
    made.price(BTC=50_000)
    made.decide("BTC", "buy", "0.1", strategy=strategy, is_submit=True)
    made.price(BTC=out)
    made.decide("BTC", "sell", "0.1", strategy=strategy, is_submit=True)
    made.wait(3)


def test_strategy_that_keeps_losing_is_disabled() -> None:
    made = market(rules=replace(FREE, max_losing_trips=2))
    trip(made, 49_000)
    trip(made, 51_000)
    trip(made, 49_000)
    trip(made, 49_000, strategy="trend")
    assert not held(made)
    trip(made, 49_000)
    assert held(made)
    assert codes(made.decide("BTC", "buy", "0.1")) == {"TRADING_STATE"}
    made.confirm("resume", strategy="grid")
    made.wait(2)
    assert not held(made)
    trip(made, 49_000)
    assert not held(made)


@pytest.mark.parametrize(
    "limit",
    [
        TradesPerDay(max=1, on_breach=Response.DENY),
        LossStreak(max=1, on_breach=Response.DENY),
    ],
)
def test_counts_of_a_strategy_are_its_own(limit: TradesPerDay | LossStreak) -> None:
    made = market(limit, scope=GRID)
    for _ in range(2):
        trip(made, 49_000, strategy="trend")
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"
    for _ in range(2):
        trip(made, 49_000)
    assert codes(made.decide("BTC", "buy", "0.01")) == {"TRADING_STATE"}
    fresh = Engine(made.engine.settings, "rbtest")
    fresh.load(json.loads(json.dumps(made.engine.dump())))
    assert fresh.state.trades.counts(GRID) == made.engine.state.trades.counts(GRID) | {
        "trades_per_day": 2
    }


# ---------------------------------------------------------------- halt and resume of one strategy


def test_one_strategy_is_halted_and_resumed() -> None:
    made = market(held={"ETH": (10, 2_000)})
    made.decide("BTC", "buy", "0.1", price="49000", is_submit=True)
    made.decide("BTC", "buy", "0.1", price="49000", strategy="trend", is_submit=True)
    assert made.command("halt", strategy="grid", reason="odd").ok
    made.wait(2)
    assert len(made.orders["main"]) == 1
    assert codes(made.decide("BTC", "buy", "0.1")) == {"TRADING_STATE"}
    assert made.decide("ETH", "sell", "1")["decision"] == "approve"
    assert made.decide("BTC", "buy", "0.1", strategy="trend")["decision"] == "approve"
    made.confirm("resume", strategy="grid")
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"


def test_scope_of_a_halt_has_to_be_one_that_is_there() -> None:
    made = market(strategies={"grid": StrategySettings(accounts=("main",), orders=FREE)})
    assert "configured: grid" in made.command("halt", strategy="gird").message
    assert "not both" in made.command("halt", strategy="grid", account="main").message
    assert "configured: grid" in made.command("resume", strategy="gird").message
    made.command("halt")
    assert "without --strategy" in made.command("resume", strategy="grid").message
