"""Losses on a paper account: drawdown, daily loss, first contact, shadow, restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import PORTFOLIO, Level, Mode, Response, TradingState
from tests.scenarios.stage import START_MS, Stage, stage

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
DAILY = DailyLoss(max=0.03, on_breach=Response.HALT)
AT_TARGET = 0.9005
"""0.9 of a limit of 1, and what crossing the spread to get there costs."""

BOOK = {"positions": {BTC: 3, ETH: -10}}


def crash(made: Stage) -> None:
    """BTC loses 15 % in eight seconds: 18,000 of 100,000 USD."""
    made.glide(BTC=34_000)
    made.wait(5)


def test_drawdown_when_the_market_falls_goes_yellow_orange_red_flattens_and_stays_halted() -> None:
    made = stage(DRAWDOWN, accounts={"main": BOOK})
    entry = made.trade(BTC, 1, price=33_000)
    stop = made.trade(BTC, -3, stop_price=30_000, reduce_only=True)
    crash(made)
    told = [a.alert.level for a in made.alerts("drawdown")]
    assert [level for level in Level if level in told] == [Level.YELLOW, Level.ORANGE, Level.RED]
    assert made.is_flat()
    assert made.state() is TradingState.HALTED
    assert entry.order_id not in made.resting()
    assert stop.order_id not in made.resting()
    assert {(o.symbol, o.reduce_only) for o in made.sent} == {(BTC, True), (ETH, True)}
    assert len(made.sent) == 2
    made.glide(BTC=45_000)
    made.wait(400)
    assert len(made.sent) == 2
    assert made.state() is TradingState.HALTED


def test_drawdown_when_a_stop_is_not_reduce_only_leaves_none_that_would_open_a_short() -> None:
    made = stage(DRAWDOWN, accounts={"main": BOOK})
    stop = made.trade(BTC, -3, stop_price=30_000)
    crash(made)
    assert made.is_flat()
    assert stop.order_id not in made.resting()
    made.glide(BTC=29_000)
    made.wait(5)
    assert made.is_flat()


def test_drawdown_when_it_gaps_straight_through_flattens_once() -> None:
    made = stage(DRAWDOWN, accounts={"main": BOOK})
    made.move(BTC=30_000)
    made.wait(5)
    assert made.is_flat()
    assert not made.doubles()
    assert len(made.sent) == 2


def test_drawdown_in_hedge_mode_closes_both_legs_and_flips_none() -> None:
    made = stage(DRAWDOWN, accounts={"main": {"hedge_mode": True}})
    made.trade(BTC, 4, leg="long")
    made.trade(BTC, -1, leg="short")
    crash(made)
    assert made.is_flat()
    assert {(o.position_side.value, o.side.value) for o in made.sent} == {
        ("long", "sell"),
        ("short", "buy"),
    }


def test_drawdown_of_an_inverse_position_closes_its_face_value() -> None:
    mapping = {"balance": {"BTC": 2}, "positions": {"BTC/USD:BTC": 60_000}}
    made = stage(DRAWDOWN, accounts={"main": mapping})
    made.glide(BTC=35_500)
    made.wait(5)
    assert made.quantity("BTC/USD:BTC") == 0
    assert [o.quantity for o in made.sent] == [60_000]


def test_daily_loss_halts_until_midnight_keeps_positions_and_cancels_entries() -> None:
    made = stage(DAILY, accounts={"main": {"positions": {BTC: 1}}})
    entry = made.trade(BTC, 1, price=35_000)
    made.glide(BTC=36_500)
    made.wait(3)
    assert made.state() is TradingState.HALTED
    assert entry.order_id not in made.resting()
    assert made.quantity(BTC) == 1
    assert not made.sent
    made.glide(BTC=40_000)
    made.wait(600)
    assert made.state() is TradingState.HALTED
    midnight_s = 9 * 3600
    made.clock.ms += (midnight_s - 800) * 1000
    made.beat()
    made.read()
    made.wait(300)
    assert made.state() is TradingState.ACTIVE


def halted_by_the_day(before_s: int) -> Stage:
    """Halted by the loss of the day, seconds before midnight, the loss as large as ever."""
    made = stage(DAILY, accounts={"main": {"positions": {BTC: 1}}})
    made.glide(BTC=36_000)
    made.wait(3)
    made.clock.ms = START_MS + 9 * 3_600_000 - 60_000
    made.beat()
    made.read()
    made.wait(60 - before_s)
    assert made.state() is TradingState.HALTED
    return made


def test_daily_loss_when_the_day_begins_with_a_booking_ends_all_the_same() -> None:
    """A residual is booked by the first event of the day: the loss must not be measured twice."""
    made = halted_by_the_day(5)
    made.exchanges["main"].venue.pool.wallets["USDT"] -= 5
    made.clock.ms += 6_000
    made.read()
    made.wait(2)
    assert made.state() is TradingState.ACTIVE


def test_daily_loss_when_no_day_can_begin_unseen_holds_on_until_the_account_is_back() -> None:
    made = halted_by_the_day(30)
    made.faults().is_down = True
    made.faults().silent |= {"account", "prices"}
    made.wait(60)
    assert made.state() is TradingState.HALTED
    made.faults().is_down = False
    made.faults().silent.clear()
    made.wait(15)
    assert made.state() is TradingState.ACTIVE


def test_two_accounts_are_flattened_together() -> None:
    made = stage(
        DRAWDOWN, accounts={"one": {"positions": {BTC: 4}}, "two": {"positions": {ETH: 40}}}
    )
    made.glide(BTC=33_000, ETH=2_300)
    made.wait(5)
    assert made.is_flat()
    assert {o.account for o in made.sent} == {"one", "two"}


def test_first_contact_when_a_breach_stands_reports_and_waits_for_the_operator() -> None:
    gross = GrossExposure(max=1.0, on_breach=Response.REDUCE)
    made = stage(gross, accounts={"main": {"positions": {BTC: 3}}})
    made.wait(30)
    assert not made.sent
    assert made.state() is TradingState.REDUCING
    assert made.alerts("gross_exposure")[0].alert.level is Level.RED
    made.confirm("reduce")
    made.wait(5)
    assert 0.85 < made.measure("gross") < AT_TARGET
    assert made.state() is TradingState.REDUCING


def test_first_contact_when_told_to_act_does_it_at_once() -> None:
    gross = GrossExposure(max=1.0, on_breach=Response.REDUCE)
    made = stage(gross, accounts={"main": {"positions": {BTC: 3}}}, startup_breach="act")
    made.wait(3)
    assert made.measure("gross") < AT_TARGET


def test_shadow_sends_nothing_says_what_it_would_and_obeys_the_operator() -> None:
    made = stage(DRAWDOWN, accounts={"main": BOOK}, mode=Mode.SHADOW)
    entry = made.trade(BTC, 1, price=33_000)
    crash(made)
    assert not made.sent
    assert entry.order_id in made.resting()
    assert made.decisions().count("would_flatten") == 1
    assert made.state() is TradingState.ACTIVE
    made.confirm("flatten")
    made.wait(5)
    assert made.is_flat()
    assert made.state() is TradingState.HALTED


def test_limit_when_tightened_below_the_present_measure_asks_first() -> None:
    loose = GrossExposure(max=2.0, on_breach=Response.REDUCE)
    made = stage(loose, accounts={"main": {"positions": {BTC: 3}}})
    tight = GrossExposure(max=1.0, on_breach=Response.REDUCE)
    made.restart(replace(made.engine.settings, limits=((PORTFOLIO, tight),)))
    made.wait(20)
    assert not made.sent
    assert made.state() is TradingState.REDUCING
    made.trade(BTC, -1)
    made.wait(2)
    made.trade(BTC, 1)
    made.wait(3)
    assert made.sent
    assert made.measure("gross") < AT_TARGET


@pytest.mark.parametrize("when", ["before", "after"])
def test_restart_in_the_middle_ends_the_same(when: str) -> None:
    made = stage(DRAWDOWN, accounts={"main": BOOK})
    if when == "before":
        made.faults().is_down = True
    made.move(BTC=34_000)
    made.wait(1)
    made.faults().is_down = False
    made.restart()
    made.wait(20)
    assert made.is_flat()
    assert made.state() is TradingState.HALTED
    assert not made.doubles()
    assert {o.symbol for o in made.sent} == {BTC, ETH}
