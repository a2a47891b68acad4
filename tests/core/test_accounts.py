"""Accounts: what REST and streams say, in whatever order they say it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.accounts import MEMORY, Accounts, AccountState, remember
from riskbot.core.model import (
    MarginReport,
    OrderStatus,
    PositionSide,
    RejectReason,
)
from tests import builders
from tests.builders import ACCOUNT, BTC_PERP, ETH_PERP, T0, balance, dec, order, position

KEY = position().key


def accounts(*positions: Any, **fields: Any) -> Accounts:
    made = Accounts()
    made.apply(builders.snapshot(*positions, as_of_ms=T0, **fields), T0 + 100)
    return made


def told(*positions: Any, venue_ms: int | None = None) -> events.PositionsUpdated:
    return events.PositionsUpdated(account=ACCOUNT, positions=positions, venue_ms=venue_ms)


def paid(*balances: Any, venue_ms: int | None = None) -> events.BalancesUpdated:
    return events.BalancesUpdated(account=ACCOUNT, balances=balances, venue_ms=venue_ms)


def updated(changed: Any, venue_ms: int | None = None) -> events.OrderUpdated:
    return events.OrderUpdated(account=ACCOUNT, order=changed, venue_ms=venue_ms)


def held(made: Accounts) -> dict[str, float]:
    return {key.symbol: float(p.quantity) for key, p in made.get(ACCOUNT).positions.items()}


# ---------------------------------------------------------------- snapshot and stream


def test_snapshot_replaces_the_whole_set() -> None:
    made = accounts(position(), position(ETH_PERP, 5, 2_000), balances=(balance("BTC", 1),))
    change = made.fold(builders.snapshot(position(ETH_PERP, 5, 2_000), as_of_ms=T0 + 1), T0 + 2)
    assert held(made) == {ETH_PERP: 5}
    assert list(made.get(ACCOUNT).balances) == ["USDT"]
    assert change is not None
    assert change.positions == ((position(), None),)
    assert change.balances == ((balance("BTC", 1), None),)


def test_snapshot_that_says_the_same_changes_nothing() -> None:
    made = accounts(position())
    change = made.fold(builders.snapshot(position(), as_of_ms=T0 + 1), T0 + 2)
    assert change is not None
    assert not change


def test_snapshot_older_than_the_last_is_ignored() -> None:
    made = accounts(position())
    made.apply(builders.snapshot(as_of_ms=T0 - 1), T0 + 500)
    assert held(made) == {BTC_PERP: 1}
    assert made.get(ACCOUNT).read_ms == T0 + 100


def test_stream_touches_only_what_it_names() -> None:
    made = accounts(position(), position(ETH_PERP, 5, 2_000))
    change = made.fold(told(position(quantity=2)), T0 + 200)
    assert held(made) == {BTC_PERP: 2, ETH_PERP: 5}
    assert change is not None
    assert change.positions == ((position(), position(quantity=2)),)
    made.apply(told(position(quantity=0)), T0 + 300)
    assert held(made) == {ETH_PERP: 5}


def test_stream_frame_seen_during_a_read_stands_on_top_of_it() -> None:
    made = accounts(position())
    made.apply(told(position(quantity=3)), T0 + 1_050)
    made.apply(paid(balance("USDT", 5)), T0 + 1_050)
    made.apply(builders.snapshot(position(), as_of_ms=T0 + 1_000), T0 + 1_100)
    assert held(made) == {BTC_PERP: 3}
    assert made.get(ACCOUNT).balances["USDT"].total == 5


def test_position_closed_by_the_stream_during_a_read_is_not_raised_by_it() -> None:
    made = accounts(position(), balances=(balance("BTC", 1),))
    made.apply(told(position(quantity=0)), T0 + 1_050)
    made.apply(paid(balance("BTC", 0)), T0 + 1_050)
    made.apply(
        builders.snapshot(position(), as_of_ms=T0 + 1_000, balances=(balance("BTC", 1),)),
        T0 + 1_100,
    )
    assert held(made) == {}
    assert "BTC" not in made.get(ACCOUNT).balances


def test_stream_frame_seen_before_a_read_began_is_superseded() -> None:
    made = accounts(position())
    made.apply(told(position(quantity=3)), T0 + 500)
    made.apply(builders.snapshot(position(), as_of_ms=T0 + 1_000), T0 + 1_100)
    assert held(made) == {BTC_PERP: 1}


@pytest.mark.parametrize(
    ("snapshot_venue_ms", "offset_ms", "frame_venue_ms", "quantity"),
    [
        (T0 + 950, None, T0 + 700, 1),
        (T0 + 950, None, T0 + 900, 3),
        (None, 50, T0 + 900, 1),
        (None, 50, T0 + 960, 3),
        (None, None, T0 + 100, 3),
        (T0 + 950, None, None, 3),
    ],
)
def test_late_frame_is_judged_by_the_venues_clock_where_it_can_be(
    snapshot_venue_ms: int | None,
    offset_ms: int | None,
    frame_venue_ms: int | None,
    quantity: float,
) -> None:
    made = accounts()
    if offset_ms is not None:
        made.apply(
            events.ClockMeasured(account=ACCOUNT, offset_ms=offset_ms, round_trip_ms=1), T0 + 1
        )
    made.apply(
        builders.snapshot(
            position(), as_of_ms=T0 + 1_000, venue_ms=snapshot_venue_ms, duration_ms=100
        ),
        T0 + 1_100,
    )
    made.apply(told(position(quantity=3), venue_ms=frame_venue_ms), T0 + 1_200)
    assert held(made) == {BTC_PERP: quantity}


def test_reordered_frames_keep_the_newest() -> None:
    made = accounts()
    made.apply(told(position(quantity=2), venue_ms=T0 + 300), T0 + 310)
    made.apply(told(position(quantity=1), venue_ms=T0 + 200), T0 + 320)
    made.apply(paid(balance("USDT", 7), venue_ms=T0 + 300), T0 + 310)
    made.apply(paid(balance("USDT", 8), venue_ms=T0 + 200), T0 + 320)
    assert held(made) == {BTC_PERP: 2}
    assert made.get(ACCOUNT).balances["USDT"].total == 7


@given(st.permutations([(n, float(n)) for n in range(1, 7)]))
def test_frames_in_any_order_end_with_the_newest(frames: list[tuple[int, float]]) -> None:
    made = accounts()
    for n, (at, quantity) in enumerate(frames):
        made.apply(told(position(quantity=quantity), venue_ms=T0 + at), T0 + 200 + n)
    assert held(made) == {BTC_PERP: 6}


def test_stream_position_keeps_what_it_does_not_say() -> None:
    made = accounts(
        position(
            quantity=2,
            maintenance_margin=100,
            liquidation_price=40_000,
            leverage=5.0,
            is_isolated=True,
            isolated_margin=900,
            venue_mark=50_000,
            delta=0.4,
        )
    )
    made.apply(told(position(quantity=1, entry=None)), T0 + 200)
    kept = made.get(ACCOUNT).positions[KEY]
    assert (kept.entry_price, kept.liquidation_price, kept.leverage) == (50_000, 40_000, 5.0)
    assert (kept.maintenance_margin, kept.initial_margin, kept.isolated_margin) == (50, None, 450)
    assert (kept.is_isolated, kept.delta) == (True, 0.4)
    made.apply(told(position(quantity=3, entry=None)), T0 + 300)
    assert made.get(ACCOUNT).positions[KEY].entry_price is None
    made.apply(told(position(quantity=-3, entry=1)), T0 + 400)
    assert made.get(ACCOUNT).positions[KEY].leverage is None


def test_stream_balance_keeps_the_price_but_not_what_is_free() -> None:
    made = Accounts()
    made.apply(
        builders.snapshot(usdt=None, balances=(balance("BTC", 2, free=2, price_usd=9.0),)), T0 + 1
    )
    made.apply(paid(balance("BTC", 1)), T0 + 200)
    assert made.get(ACCOUNT).balances["BTC"] == balance("BTC", 1, price_usd=9.0)
    made.apply(paid(balance("ETH", 1)), T0 + 200)
    assert made.get(ACCOUNT).balances["ETH"].price_usd is None


def test_hedge_mode_sides_are_positions_of_their_own() -> None:
    made = accounts(
        position(side=PositionSide.LONG),
        position(quantity=-2, side=PositionSide.SHORT),
        is_hedge_mode=True,
    )
    state = made.get(ACCOUNT)
    assert state.quantity(KEY._replace(side=PositionSide.SHORT)) == -2
    assert state.quantity(KEY) == 0
    assert state.is_hedge_mode is True
    made.apply(builders.snapshot(as_of_ms=T0 + 5), T0 + 5)
    assert state.is_hedge_mode is True


def test_margin_report_is_taken_with_each_read() -> None:
    made = accounts()
    report = MarginReport(equity_usd=5.0)
    change = made.fold(builders.snapshot(as_of_ms=T0 + 1, margin=report), T0 + 2)
    assert change is not None
    assert change.margin
    assert made.get(ACCOUNT).margin == report


# ---------------------------------------------------------------- orders


def orders(made: Accounts) -> list[str]:
    return sorted(made.get(ACCOUNT).orders)


def test_failed_read_of_orders_keeps_the_known_ones() -> None:
    made = accounts(orders=(order(),))
    made.apply(builders.snapshot(as_of_ms=T0 + 1, orders=None), T0 + 2)
    assert orders(made) == ["1"]
    made.apply(builders.snapshot(as_of_ms=T0 + 2, orders=()), T0 + 3)
    assert orders(made) == []


def test_final_order_never_works_again() -> None:
    made = accounts(orders=(order(),))
    change = made.fold(updated(order(status=OrderStatus.CANCELED)), T0 + 200)
    assert change is not None
    assert change.orders
    made.apply(updated(order()), T0 + 300)
    made.apply(builders.snapshot(orders=(order(),), as_of_ms=T0 + 400), T0 + 500)
    assert orders(made) == []


def test_snapshot_lists_no_final_orders() -> None:
    assert orders(accounts(orders=(order(status=OrderStatus.FILLED),))) == []


def test_fills_of_an_order_never_shrink() -> None:
    made = accounts(orders=(order(filled="0.5"),))
    assert not made.fold(updated(order(filled="0.2")), T0 + 200)
    assert made.get(ACCOUNT).orders["1"].remaining == dec("0.5")


def test_order_opened_during_a_read_survives_it_and_one_ended_does_not() -> None:
    made = accounts(orders=(order(order_id="old"),))
    made.apply(updated(order(order_id="new")), T0 + 1_050)
    made.apply(updated(order(order_id="old", status=OrderStatus.CANCELED)), T0 + 1_060)
    made.apply(builders.snapshot(orders=(order(order_id="old"),), as_of_ms=T0 + 1_000), T0 + 1_100)
    assert orders(made) == ["new"]


def test_late_order_frame_is_ignored() -> None:
    made = accounts(orders=(order(price=5),))
    made.apply(updated(order(price=6), venue_ms=T0 + 20), T0 + 200)
    assert not made.fold(updated(order(price=7), venue_ms=T0 + 10), T0 + 210)
    assert made.get(ACCOUNT).orders["1"].price == 6


@pytest.mark.parametrize(("done", "left"), [(True, []), (False, ["1"]), (None, ["1"])])
def test_cancel_that_is_done_ends_the_order(done: bool | None, left: list[str]) -> None:
    made = accounts(orders=(order(),))
    made.apply(
        events.CancelFinished(account=ACCOUNT, symbol=BTC_PERP, order_id="1", done=done), T0 + 200
    )
    assert orders(made) == left
    made.apply(
        events.CancelFinished(account=ACCOUNT, symbol=BTC_PERP, order_id="9", done=True), T0 + 300
    )
    assert orders(made) == left


def test_queried_order_is_taken_as_it_is() -> None:
    made = accounts()
    query = {"account": ACCOUNT, "symbol": BTC_PERP, "client_order_id": "c"}
    made.apply(events.OrderQueried(**query, found=True, order=order(order_id="7")), T0 + 200)
    made.apply(events.OrderQueried(**query, found=False), T0 + 200)
    assert orders(made) == ["7"]


def test_ids_are_remembered_up_to_a_bound() -> None:
    memory: dict[str, None] = {}
    assert remember(memory, "first")
    assert not remember(memory, "first")
    for n in range(MEMORY):
        remember(memory, str(n))
    assert len(memory) == MEMORY
    assert "first" not in memory


# ---------------------------------------------------------------- life


def test_account_never_read_is_blind() -> None:
    state = Accounts().get(ACCOUNT)
    assert (state.blind_reason(T0, 15_000), state.age_ms(T0)) == ("not read since start", None)
    assert not state.was_read


def test_account_is_blind_after_silence_and_sighted_by_any_sign_of_life() -> None:
    made = accounts()
    state = made.get(ACCOUNT)
    assert state.blind_reason(T0 + 15_100, 15_000) is None
    assert state.blind_reason(T0 + 15_101, 15_000) == "silent for 15 s"
    made.apply(events.FeedAlive(account=ACCOUNT, feed="account"), T0 + 15_200)
    assert state.blind_reason(T0 + 30_000, 15_000) is None
    made.apply(events.FeedAlive(account=ACCOUNT, feed="prices"), T0 + 40_000)
    assert state.age_ms(T0 + 40_000) == 24_800
    made.apply(builders.fill(), T0 + 41_000)
    assert state.blind_reason(T0 + 45_000, 15_000) is None


def test_while_reads_fail_a_pong_does_not_keep_the_account_in_sight() -> None:
    made = accounts()
    state = made.get(ACCOUNT)
    failed = events.RefreshFailed(account=ACCOUNT, reason=RejectReason.UNREACHABLE, message="away")
    made.apply(failed, T0 + 14_000)
    made.apply(events.FeedAlive(account=ACCOUNT, feed="account"), T0 + 15_000)
    assert state.blind_reason(T0 + 15_200, 15_000) == "silent for 15 s"
    # What the stream tells of the account counts all the same.
    for number, event in enumerate(
        (
            told(position()),
            builders.fill(),
            events.OrderUpdated(account=ACCOUNT, order=builders.order()),
            events.BalancesUpdated(account=ACCOUNT, balances=(builders.balance("USDT", 1),)),
        ),
        start=1,
    ):
        made.apply(event, T0 + 20_000 * number)
        assert state.blind_reason(T0 + 20_000 * number + 15_000, 15_000) is None
        assert state.blind_reason(T0 + 20_000 * number + 15_001, 15_000)
    made.apply(builders.snapshot(as_of_ms=T0 + 99_000), T0 + 99_100)
    made.apply(events.FeedAlive(account=ACCOUNT, feed="account"), T0 + 120_000)
    assert state.blind_reason(T0 + 130_000, 15_000) is None


def test_after_a_gap_only_a_read_that_began_later_counts() -> None:
    made = accounts()
    state = made.get(ACCOUNT)
    made.apply(events.FeedLost(account=ACCOUNT, feed="account", reason="closed"), T0 + 10_000)
    made.apply(events.FeedLost(account=ACCOUNT, feed="prices", reason="closed"), T0 + 10_000)
    made.apply(told(position()), T0 + 20_000)
    assert state.blind_reason(T0 + 20_000, 15_000) == "silent for 19 s"
    made.apply(builders.snapshot(as_of_ms=T0 + 9_000), T0 + 20_500)
    assert state.gap_ms == T0 + 10_000
    made.apply(builders.snapshot(as_of_ms=T0 + 21_000), T0 + 21_100)
    assert state.gap_ms is None


def test_start_makes_everything_unsynced_and_keeps_what_was_known() -> None:
    made = accounts(position())
    made.apply(events.Started(version="1", config_hash="x"), T0 + 200)
    state = made.get(ACCOUNT)
    assert (state.is_synced, state.was_read, held(made)) == (False, True, {BTC_PERP: 1})
    assert state.blind_reason(T0 + 200, 15_000) == "not read since start"


def test_failed_reads_count_from_the_first_until_one_succeeds() -> None:
    made = accounts(position())
    failure = events.RefreshFailed(
        account=ACCOUNT, reason=RejectReason.UNREACHABLE, message="timeout"
    )
    made.apply(failure, T0 + 200)
    made.apply(failure, T0 + 300)
    assert made.get(ACCOUNT).failed_ms == T0 + 200
    assert held(made) == {BTC_PERP: 1}
    made.apply(builders.snapshot(as_of_ms=T0 + 400), T0 + 500)
    assert made.get(ACCOUNT).failed_ms is None


def test_records_of_no_account_change_nothing() -> None:
    made = accounts(position())
    before = made.dump()
    assert made.fold(events.TimerFired(), T0 + 500) is None
    assert made.dump() == before


def test_accounts_survive_a_checkpoint() -> None:
    made = accounts(
        position(side=PositionSide.LONG, leverage=3.0),
        balances=(balance("BTC", "0.1", free="0.05"),),
        orders=(order(stop_price=5, position_side="long"),),
        margin=MarginReport(equity_usd=1.5),
    )
    made.apply(builders.loaded(BTC_PERP, "BTC/USD:BTC"), T0)
    made.apply(told(position(quantity=2), venue_ms=5), T0 + 200)
    made.apply(updated(order(order_id="2", status=OrderStatus.FILLED)), T0 + 300)
    assert Accounts.load(made.dump()) == made
    assert isinstance(Accounts.load(made.dump()).get(ACCOUNT), AccountState)
