"""A drawdown on a paper account whose venue misbehaves: it ends flat all the same, and once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskbot.core import actions
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.model import (
    Level,
    OrderType,
    PositionKey,
    PositionSide,
    RejectReason,
    Response,
    TradingState,
)
from riskbot.exchanges.paper.faults import Distortion, Fault, Mishap
from riskbot.exchanges.paper.rules import VenueRules
from tests.scenarios.stage import Stage, stage, thin

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
BOOK = {"positions": {BTC: 3, ETH: -10}}


def guarded() -> Stage:
    return stage(DRAWDOWN, accounts={"main": BOOK})


def crash(made: Stage, seconds: float = 5) -> None:
    made.move(BTC=34_000)
    made.wait(seconds)


def ends_flat(made: Stage) -> None:
    """Flat, halted, nothing left to do, and no id used twice."""
    assert made.is_flat()
    assert made.state() is TradingState.HALTED
    assert not made.engine.state.enforcement.intents
    assert not made.engine.state.enforcement.pending
    assert not made.doubles()


def test_partial_fills_go_on_until_flat() -> None:
    made = guarded()
    thin(made, BTC, 17_000, 2)
    crash(made, 40)
    ends_flat(made)
    assert len([o for o in made.sent if o.symbol == BTC]) > 2


def test_thin_book_is_closed_into_by_quarters_of_what_it_shows() -> None:
    made = guarded()
    thin(made, BTC, 60_000, 5)
    made.wait(301)
    shown = made.exchanges["main"].venue.depth(BTC).bid_quantity
    crash(made, 40)
    ends_flat(made)
    closes = [o.quantity for o in made.sent if o.symbol == BTC]
    assert len(closes) > 1
    assert max(closes) <= shown / 4
    assert sum(closes) == 3


def test_reduce_only_refused_because_exits_rest_cancels_them_and_closes() -> None:
    made = guarded()
    resting = made.trade(BTC, -3, price=45_000, reduce_only=True)
    crash(made, 15)
    ends_flat(made)
    assert resting.order_id not in made.resting()


def test_reduce_only_refused_out_of_the_blue_is_tried_again_after_a_read() -> None:
    made = guarded()
    made.faults().refuse("place", RejectReason.REDUCE_ONLY, times=2)
    crash(made, 15)
    ends_flat(made)


def test_dust_below_the_minimum_is_named_and_counts_as_flat() -> None:
    made = stage(DRAWDOWN, accounts={"main": {"positions": {BTC: 3, ETH: "0.001"}}})
    made.exchanges["main"].venue.rules = VenueRules(minimum_binds_exits=True)
    crash(made, 15)
    assert made.quantity(BTC) == 0
    assert made.quantity(ETH) == Decimal("0.001")
    assert made.state() is TradingState.HALTED
    assert not made.engine.state.enforcement.intents


def test_market_orders_refused_take_the_next_rung() -> None:
    made = guarded()
    made.faults().refuse("place", RejectReason.ORDER_TYPE, times=2)
    crash(made, 15)
    ends_flat(made)
    assert made.sent[0].type is OrderType.MARKET
    assert OrderType.LIMIT in {o.type for o in made.sent}


def test_priced_orders_refused_for_their_price_end_flat_too() -> None:
    made = guarded()
    made.faults().refuse("place", RejectReason.ORDER_TYPE, times=2)
    made.faults().refuse("place", RejectReason.PRICE_BAND, times=2)
    crash(made, 30)
    ends_flat(made)


def test_rate_limit_with_a_wait_of_its_own_is_kept() -> None:
    made = guarded()
    made.faults().refuse("place", RejectReason.RATE_LIMITED, times=2, retry_after_ms=4_000)
    begun = made.clock.ms
    crash(made, 15)
    ends_flat(made)
    orders = [(ms, a) for ms, a in made.decided if isinstance(a, actions.PlaceOrder)]
    assert len(orders) == 4
    assert min(ms for ms, _ in orders[2:]) >= begun + 4_000


def test_cancel_only_phase_is_waited_out() -> None:
    made = guarded()
    entry = made.trade(BTC, 1, price=33_000)
    made.faults().refuse_orders = True
    crash(made, 20)
    assert not made.is_flat()
    assert entry.order_id not in made.resting()
    made.faults().refuse_orders = False
    made.wait(15)
    ends_flat(made)


def test_maintenance_of_everything_is_waited_out() -> None:
    made = guarded()
    made.faults().is_down = True
    crash(made, 40)
    assert not made.is_flat()
    made.faults().is_down = False
    made.wait(30)
    ends_flat(made)
    assert made.alerts("cannot_flatten") or made.alerts("drawdown")


@pytest.mark.parametrize("mishap", [Mishap.LOST_BEFORE, Mishap.LOST_AFTER])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_lost_replies_are_looked_up_and_nothing_is_sent_twice(mishap: Mishap, lost: int) -> None:
    made = guarded()
    made.faults().will("place", *[Fault(mishap)] * lost)
    crash(made, 60)
    ends_flat(made)
    if mishap is Mishap.LOST_BEFORE:
        assert len(made.of(actions.QueryOrder)) >= lost
    else:
        assert len(made.sent) == 2


def test_lost_replies_while_user_events_are_lost_too_end_flat() -> None:
    made = guarded()
    made.faults().drop |= {"OrderFilled", "OrderUpdated", "PositionsUpdated", "BalancesUpdated"}
    made.faults().will("place", *[Fault(Mishap.LOST_AFTER)] * 2)
    crash(made, 60)
    ends_flat(made)
    assert len(made.sent) == 2


def test_order_taken_long_after_it_was_given_up_never_opens_the_other_side() -> None:
    made = guarded()
    made.faults().will("place", Fault(Mishap.LATE, delay_ms=20_000))
    crash(made, 90)
    ends_flat(made)
    made.wait(60)
    assert made.is_flat()


def test_lost_cancels_are_sent_again_and_verified() -> None:
    made = guarded()
    entry = made.trade(BTC, 1, price=33_000)
    made.faults().will("cancel", Fault(Mishap.LOST_BEFORE))
    crash(made, 20)
    ends_flat(made)
    assert entry.order_id not in made.resting()


def test_user_events_doubled_and_turned_round_change_nothing() -> None:
    made = guarded()
    made.faults().is_duplicating = made.faults().is_reversing = True
    made.trade(ETH, 2)
    made.wait(5)
    crash(made, 10)
    ends_flat(made)
    assert len(made.sent) == 2
    assert made.measure("drawdown") == pytest.approx(0.18, abs=0.002)


@pytest.mark.parametrize("kind", ["OrderFilled", "PositionsUpdated", "BalancesUpdated"])
def test_user_events_lost_by_the_stream_are_put_right_by_reads(kind: str) -> None:
    made = guarded()
    made.faults().drop.add(kind)
    made.trade(ETH, 5)
    made.wait(25)
    assert made.engine.state.quantity(PositionKey("main", ETH, PositionSide.NET)) == -5
    crash(made, 20)
    ends_flat(made)
    assert made.measure("drawdown") == pytest.approx(0.18, abs=0.003)


def test_stream_gone_silent_is_flagged_and_closes_nothing_by_itself() -> None:
    made = guarded()
    made.faults().silent |= {"account", "prices"}
    made.exchanges["main"].faults.will("snapshot", *[Fault(Mishap.LOST_BEFORE)] * 1_000)
    made.wait(30)
    assert made.engine.state.is_account_blind("main")
    assert not made.sent
    made.faults().silent.clear()
    made.faults().plan.clear()
    made.wait(15)
    assert not made.engine.state.is_account_blind("main")
    assert not made.sent


def test_reads_that_fail_while_the_stream_tells_do_not_hold_up_the_close() -> None:
    made = guarded()
    made.faults().will("snapshot", *[Fault(Mishap.LOST_BEFORE)] * 1_000)
    for quantity in ("0.1", "-0.1"):
        made.wait(10)
        made.trade(ETH, quantity)
    assert not made.engine.state.is_account_blind("main")
    crash(made, 10)
    assert made.is_flat()
    assert len(made.sent) == 2
    made.wait(20)
    assert len(made.sent) == 2, "the next order of a key waits for a read"
    made.faults().plan.clear()
    made.wait(10)
    ends_flat(made)


def test_reads_that_fail_while_the_stream_only_lives_make_the_account_blind() -> None:
    made = guarded()
    made.faults().will("snapshot", *[Fault(Mishap.LOST_BEFORE)] * 1_000)
    made.wait(20)
    assert made.engine.state.is_account_blind("main")
    crash(made, 10)
    assert not made.sent
    made.faults().plan.clear()
    made.wait(15)
    ends_flat(made)


def test_prices_gone_silent_are_flagged_within_the_stale_time_and_close_nothing() -> None:
    made = guarded()
    made.faults().silent_symbols.add(BTC)
    made.wait(8)
    blind = {subject for _, subject in made.engine.state.enforcement.blinds}
    assert f"main|{BTC}" in blind
    assert f"main|{ETH}" not in blind
    made.faults().silent_symbols.clear()
    made.wait(3)
    assert not made.engine.state.enforcement.blinds
    assert not made.sent


@pytest.mark.parametrize(
    "distortion", [Distortion.ZERO, Distortion.NAN, Distortion.NEGATIVE, Distortion.CROSSED]
)
def test_insane_prices_close_nothing(distortion: Distortion) -> None:
    made = guarded()
    made.faults().prices[BTC] = distortion
    made.wait(4)
    assert not made.sent
    made.faults().prices.clear()
    made.wait(2)
    assert made.state() is TradingState.ACTIVE


def test_mark_off_alone_denies_alarms_and_closes_nothing() -> None:
    made = guarded()
    made.faults().mark_factor[BTC] = 0.8
    made.wait(10)
    assert not made.sent
    assert made.state() is not TradingState.ACTIVE
    assert any(a.alert.level is Level.RED for a in made.of(actions.SendAlert))
    made.faults().mark_factor.clear()
    made.wait(400)
    assert not made.sent
    assert made.state() is TradingState.ACTIVE


def test_stuck_prices_are_no_source_although_frames_keep_coming() -> None:
    made = guarded()
    made.faults().prices[BTC] = Distortion.STUCK
    made.wait(1)
    made.move(BTC=34_000)
    made.wait(8)
    assert f"main|{BTC}" in {subject for _, subject in made.engine.state.enforcement.blinds}


def test_position_list_cut_short_is_not_taken_for_flat_for_long() -> None:
    made = guarded()
    made.faults().cut_positions = 1
    crash(made, 8)
    made.faults().cut_positions = None
    made.wait(30)
    assert made.is_flat()
    assert not made.doubles()


def test_liquidation_without_a_word_is_a_loss() -> None:
    made = stage(DRAWDOWN, accounts={"main": {"positions": {BTC: 3, ETH: 10}, "leverage": 50}})
    venue = made.exchanges["main"].venue
    venue.rules = replace(venue.rules, liquidation_tells_fills=False)
    venue.deleverage(BTC, PositionSide.NET, Decimal(3), made.clock.ms)
    venue.pool.wallets["USDT"] -= 20_000
    made.beat()
    made.wait(30)
    assert made.measure("drawdown") == pytest.approx(0.2, abs=0.01)
    assert made.is_flat()


def test_two_venues_one_down_flattens_the_one_it_sees_and_the_other_when_it_is_back() -> None:
    made = stage(
        DRAWDOWN, accounts={"up": {"positions": {BTC: 4}}, "down": {"positions": {ETH: 10}}}
    )
    made.faults("down").is_down = True
    made.faults("down").silent |= {"account", "prices"}
    made.wait(20)
    assert made.engine.state.is_account_blind("down")
    made.move(BTC=31_000, on=["up"])
    made.wait(10)
    assert made.quantity(BTC, "up") == 0
    assert made.quantity(ETH, "down") == 10
    made.faults("down").is_down = False
    made.faults("down").silent.clear()
    made.wait(30)
    assert made.is_flat()
    assert not made.doubles()
