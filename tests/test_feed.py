"""One account's senses: what is seen becomes events, and silence is noticed by its own clocks."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import events, model
from riskbot.core.settings import MonitorSettings
from riskbot.errors import VenueError
from riskbot.exchanges._base import Load
from riskbot.feed import Feed, ListingExchange
from riskbot.feed.wishes import WISHES_MAX, Wishes
from tests.fakes import START_MS, FakeClock, FakeExchange, settle, unreachable

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


class Scene:
    """A feed on a venue that obeys, and everything it told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.exchange = FakeExchange(clock=self.clock)
        self.told: list[Any] = []
        self.steps: list[str] = []
        exchange: ListingExchange = self.exchange
        self.feed = Feed(
            exchange,
            self.told.append,
            self.clock,
            random.Random(7),
            MonitorSettings(),
            (ETH,),
            self.steps.append,
        )
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.create_task(self.feed.run())
        await settle()

    def kinds(self) -> list[str]:
        """Return the kinds of what was told since the last time."""
        found = [event.kind for event in self.told]
        self.told.clear()
        return found

    def lost(self, feed: str) -> list[str]:
        """Return the reasons a feed was lost for."""
        return [e.reason for e in self.told if e.kind == "FeedLost" and e.feed == feed]

    def hold(self, quantity: str, symbol: str = BTC) -> model.Position:
        """Let the account hold so much, without the stream telling."""
        position = model.Position("main", symbol, model.PositionSide.NET, Decimal(quantity))
        self.exchange.positions[position.key] = position
        return position

    async def tick(self, seconds: float, **frame: Any) -> None:
        """Let prices come twice a second for a while."""
        for _ in range(round(seconds * 2)):
            for symbol in self.exchange.watched:
                venue_ms = frame.get("venue_ms", self.clock.now_ms())
                mark = frame.get("mark", 100.0)
                self.exchange.push(
                    events.PricesUpdated(
                        account="main", symbol=symbol, mark=mark, venue_ms=venue_ms
                    )
                )
            await self.clock.advance(500)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    if made.task:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


# ---------------------------------------------------------------- start


async def test_start_tells_instruments_then_the_snapshot_and_watches_what_matters(
    scene: Scene,
) -> None:
    scene.hold("1")
    await scene.start()
    kinds = scene.kinds()
    assert kinds[:3] == ["InstrumentsLoaded", "InstrumentsLoaded", "AccountSnapshotReceived"]
    assert {"ClockMeasured", "KeyRightsChecked"} <= set(kinds)
    assert scene.exchange.called("open") == [(ETH,)]
    assert scene.exchange.watched == {BTC, ETH}
    assert scene.steps == ["reconcile:main"]


async def test_first_price_comes_over_rest(scene: Scene) -> None:
    scene.hold("1")
    scene.exchange.marks[BTC] = 40_000.0
    await scene.start()
    (price,) = [e for e in scene.told if e.kind == "PricesUpdated"]
    assert price.is_rest
    assert price.mark == 40_000.0


@pytest.mark.parametrize("trouble", [unreachable("down"), KeyError("markets")])
async def test_start_while_the_venue_is_away_says_so_and_tries_again(
    scene: Scene, trouble: Exception
) -> None:
    scene.exchange.will("open", trouble, trouble)
    await scene.start()
    assert scene.kinds() == ["RefreshFailed"]
    await scene.clock.advance(5_000)
    kinds = scene.kinds()
    assert kinds[:3] == ["RefreshFailed", "InstrumentsLoaded", "AccountSnapshotReceived"]


async def test_start_waits_as_long_as_the_venue_asks(scene: Scene) -> None:
    busy = VenueError(model.RejectReason.RATE_LIMITED, "busy", retry_after_ms=30_000)
    scene.exchange.will("open", busy)
    await scene.start()
    await scene.clock.advance(29_000)
    assert len(scene.exchange.called("open")) == 1
    await scene.clock.advance(1_500)
    assert len(scene.exchange.called("open")) == 2


async def test_first_read_that_fails_is_tried_again_soon(scene: Scene) -> None:
    scene.exchange.will("snapshot", unreachable())
    await scene.start()
    assert "RefreshFailed" in scene.kinds()
    await scene.clock.advance(1_500)
    assert "AccountSnapshotReceived" in scene.kinds()


# ---------------------------------------------------------------- routine


async def test_account_is_read_each_reconcile_interval_and_each_attempt_is_progress(
    scene: Scene,
) -> None:
    await scene.start()
    await scene.clock.advance(30_000)
    assert len(scene.exchange.called("snapshot")) == 4
    assert scene.steps == ["reconcile:main"] * 4


async def test_read_that_hangs_or_breaks_is_a_failed_read_and_progress(scene: Scene) -> None:
    await scene.start()
    scene.told.clear()
    scene.exchange.will("snapshot", TypeError("null"), unreachable("down"))
    await scene.clock.advance(12_500)
    failed = [e for e in scene.told if e.kind == "RefreshFailed"]
    assert [e.reason for e in failed] == [
        model.RejectReason.OTHER,
        model.RejectReason.UNREACHABLE,
    ]
    assert len(scene.steps) == 3
    assert scene.task
    assert not scene.task.done()


async def test_venue_that_comes_back_after_an_outage_gets_new_sockets(scene: Scene) -> None:
    await scene.start()
    scene.exchange.will("snapshot", *[unreachable()] * 3)
    await scene.clock.advance(20_000)
    assert scene.exchange.restarts == ["the venue was away"]


@pytest.mark.parametrize("trouble", [unreachable("no answer"), TypeError("null")])
async def test_reads_without_an_answer_twice_in_a_row_get_a_new_client(
    scene: Scene, trouble: Exception
) -> None:
    await scene.start()
    scene.exchange.will("snapshot", trouble)
    await scene.clock.advance(15_000)
    assert scene.exchange.rebuilds == []
    scene.exchange.will("snapshot", trouble, trouble, trouble, trouble)
    await scene.clock.advance(20_000)
    # Two more in a row are two more reasons; how often that is heeded is the client's business.
    assert [reason.partition(":")[0] for reason in scene.exchange.rebuilds] == ["snapshot"] * 2


@pytest.mark.parametrize(
    "refusal",
    [
        VenueError(model.RejectReason.RATE_LIMITED, "own budget"),
        VenueError(model.RejectReason.AUTHENTICATION, "key"),
        VenueError(model.RejectReason.UNREACHABLE, "busy", http_status=503),
        VenueError(model.RejectReason.MAINTENANCE, "closed", http_status=200),
    ],
    ids=lambda error: error.reason.value,
)
async def test_refusals_show_that_the_client_works(scene: Scene, refusal: VenueError) -> None:
    await scene.start()
    scene.exchange.will("snapshot", *[refusal] * 6)
    await scene.clock.advance(60_000)
    assert scene.exchange.rebuilds == []


async def test_prices_without_an_answer_get_a_new_client_too(scene: Scene) -> None:
    scene.exchange.will("prices", *[unreachable()] * 2)
    scene.hold("1")
    await scene.start()
    await scene.clock.advance(5_000)
    assert len(scene.exchange.rebuilds) == 1


async def test_venue_away_at_the_start_is_asked_with_a_new_client(scene: Scene) -> None:
    scene.exchange.will("open", *[unreachable()] * 2)
    await scene.start()
    await scene.clock.advance(5_000)
    assert len(scene.exchange.rebuilds) == 1


async def test_new_sockets_are_asked_for_ever_more_rarely_while_they_do_not_help(
    scene: Scene,
) -> None:
    scene.exchange.has_steady_prices = True
    await scene.start()
    await scene.clock.advance(3_600_000)
    assert 30 <= len(scene.exchange.restarts) <= 35


async def test_clock_and_rights_are_asked_again(scene: Scene) -> None:
    scene.exchange.will("clock", unreachable())
    scene.exchange.will("key_rights", unreachable())
    await scene.start()
    assert not {"ClockMeasured", "KeyRightsChecked"} & set(scene.kinds())
    await scene.clock.advance(61_000)
    assert "ClockMeasured" in scene.kinds()
    await scene.clock.advance(240_000)
    assert "KeyRightsChecked" in scene.kinds()


async def test_new_instrument_in_a_read_is_described_before_it_and_watched(scene: Scene) -> None:
    await scene.start()
    scene.told.clear()
    scene.hold("2", "SOL/USDT:USDT")
    await scene.clock.advance(10_000)
    told = [e for e in scene.told if e.kind in {"InstrumentsLoaded", "AccountSnapshotReceived"}]
    assert [e.kind for e in told] == ["InstrumentsLoaded", "AccountSnapshotReceived"]
    assert told[0].instruments[0].symbol == "SOL/USDT:USDT"
    assert "SOL/USDT:USDT" in scene.exchange.watched


async def test_instrument_that_the_venue_does_not_list_is_not_waited_for(scene: Scene) -> None:
    scene.exchange.known = {BTC}
    scene.hold("1")
    scene.exchange.marks[BTC] = 100.0
    await scene.start()
    await scene.clock.advance(10_000)
    assert scene.exchange.watched == {BTC}
    assert set(scene.exchange.called("prices")) == {(BTC,)}


async def test_new_position_in_the_stream_is_watched_at_once(scene: Scene) -> None:
    await scene.start()
    position = scene.hold("2", "SOL/USDT:USDT")
    scene.exchange.push(events.PositionsUpdated(account="main", positions=(position,)))
    assert "SOL/USDT:USDT" in scene.exchange.watched


async def test_wish_is_watched_priced_and_kept_over_reads(scene: Scene) -> None:
    assert not scene.feed.wish("SOL/USDT:USDT")  # nothing was read yet
    scene.exchange.marks["SOL/USDT:USDT"] = 100.0
    await scene.start()
    await scene.clock.advance(10_000)
    scene.told.clear()
    assert scene.feed.wish("SOL/USDT:USDT")
    assert [e.kind for e in scene.told] == ["InstrumentsLoaded"]
    assert "SOL/USDT:USDT" in scene.exchange.watched
    assert not scene.feed.wish("SOL/USDT:USDT")  # watched already: no first price to wait for
    assert not scene.feed.wish(ETH)
    # Its price is asked for before a stream speaks of it, and no read lets go of it.
    await scene.clock.advance(1_500)
    assert "SOL/USDT:USDT" in {e.symbol for e in scene.told if e.kind == "PricesUpdated"}
    await scene.clock.advance(30_000)
    assert "SOL/USDT:USDT" in scene.exchange.watched


async def test_wish_for_what_is_not_listed_changes_nothing(scene: Scene) -> None:
    scene.exchange.known = {BTC}
    scene.hold("1")
    await scene.start()
    scene.told.clear()
    assert not scene.feed.wish("NOPE/USDT:USDT")
    assert scene.told == []
    assert scene.exchange.watched == {BTC}


def test_wishes_are_bounded_and_the_oldest_gives_way_after_an_hour() -> None:
    wishes = Wishes()
    assert all(wishes.take(f"{number}", number) for number in range(WISHES_MAX))
    assert not wishes.take("more", 1_000)
    assert wishes.take("0", 2_000)  # asked for again: the youngest now
    assert wishes.take("more", 3_600_001)
    assert "1" not in wishes.symbols
    assert {"0", "more"} < set(wishes.symbols)
    assert len(wishes.symbols) == WISHES_MAX


# ---------------------------------------------------------------- request limits


async def test_waits_and_a_limit_nearly_used_up_are_told_once_each(scene: Scene) -> None:
    await scene.start()
    scene.told.clear()

    async def at(ratio: float, until_ms: int | None = None) -> list[Any]:
        scene.exchange.used = Load(ratio, until_ms, "429" if until_ms else "")
        await scene.clock.advance(5_000)
        told = [e for e in scene.told if e.kind == "RequestsLimited"]
        scene.told.clear()
        return [(e.used_ratio, e.until_ms) for e in told]

    assert await at(0.1) == [(0.1, None)]
    assert await at(0.3) == []
    assert await at(0.65) == [(0.65, None)]
    assert await at(0.55) == []
    assert await at(0.4) == [(0.4, None)]
    assert await at(0.4, 99) == [(0.4, 99)]
    assert await at(0.4) == [(0.4, None)]
    await scene.clock.advance(300_000)
    assert len([e for e in scene.told if e.kind == "RequestsLimited"]) == 1


# ---------------------------------------------------------------- ledger


def booked(entry_id: str) -> events.LedgerEntryBooked:
    return events.LedgerEntryBooked(
        account="main",
        entry_id=entry_id,
        entry_kind=model.LedgerKind.FUNDING,
        asset="USDT",
        amount=Decimal(-1),
        venue_ms=START_MS,
    )


async def test_ledger_is_read_by_timer_and_each_row_is_passed_on_once(scene: Scene) -> None:
    one, two = booked("1"), booked("2")
    scene.exchange.will("ledger", [one], unreachable(), [one, two], [one, two])
    await scene.start()
    await scene.clock.advance(540_000)
    asked = scene.exchange.called("ledger")
    assert 4 <= len(asked) <= 5
    assert [e for e in scene.told if e.kind == "LedgerEntryBooked"] == [one, two]
    # Far back at first, since riskbot may have been away; then an hour before the last read.
    day_ms = 86_400_000
    assert START_MS - asked[0] == pytest.approx(3 * day_ms, abs=180_000)
    assert asked[1] == asked[2]
    assert START_MS - asked[1] == pytest.approx(3_600_000, abs=180_000)


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize("error", [KeyError("bug"), unreachable("gone"), None])
async def test_stream_that_ends_is_told_and_begun_again(
    scene: Scene, error: Exception | None
) -> None:
    await scene.start()
    scene.told.clear()
    scene.exchange.break_stream(error)
    await settle()
    assert scene.lost("account")
    assert scene.lost("prices")
    await scene.clock.advance(3_000)
    assert scene.exchange.streams_begun == 2


async def test_stream_that_never_told_of_a_change_is_rebuilt(scene: Scene) -> None:
    scene.hold("1")
    await scene.start()
    scene.hold("3")
    await scene.clock.advance(14_000)
    assert scene.lost("account") == ["a change was read that the stream did not tell"]
    assert len(scene.exchange.restarts) == 1


async def test_first_position_ever_that_the_stream_did_not_tell_is_noticed(scene: Scene) -> None:
    await scene.start()
    scene.hold("3")
    await scene.clock.advance(14_000)
    assert len(scene.exchange.restarts) == 1


async def test_stream_that_told_of_the_change_is_left_alone(scene: Scene) -> None:
    scene.hold("1")
    await scene.start()
    await scene.clock.advance(5_000)
    position = scene.hold("3")
    scene.exchange.push(events.PositionsUpdated(account="main", positions=(position,)))
    await scene.clock.advance(30_000)
    assert scene.exchange.restarts == []


async def test_stream_that_tells_a_moment_after_the_read_is_left_alone(scene: Scene) -> None:
    scene.hold("1")
    await scene.start()
    position = scene.hold("3")
    await scene.clock.advance(10_500)
    scene.exchange.push(events.PositionsUpdated(account="main", positions=(position,)))
    await scene.clock.advance(30_000)
    assert scene.exchange.restarts == []


# ---------------------------------------------------------------- silence


async def test_prices_that_flow_are_left_alone(scene: Scene) -> None:
    scene.hold("1")
    await scene.start()
    scene.told.clear()
    await scene.tick(30)
    assert scene.lost("prices") == []
    assert scene.exchange.restarts == []


async def test_price_that_moved_while_the_stream_was_silent_shows_that_it_is_dead(
    scene: Scene,
) -> None:
    scene.hold("1")
    scene.exchange.marks.update({BTC: 100.0, ETH: 100.0})
    await scene.start()
    await scene.tick(5)
    scene.told.clear()
    scene.exchange.marks.update({BTC: 90.0, ETH: 100.0})
    await scene.clock.advance(5_000)
    assert scene.lost("prices") == [f"{BTC} moved and the stream did not tell"]
    assert len(scene.exchange.restarts) == 1


async def test_price_that_did_not_move_is_read_over_rest_and_counts_as_a_frame(
    scene: Scene,
) -> None:
    scene.hold("1")
    scene.exchange.marks.update({BTC: 100.0, ETH: 100.0})
    await scene.start()
    await scene.tick(5)
    scene.told.clear()
    await scene.clock.advance(20_000)
    read = [e for e in scene.told if e.kind == "PricesUpdated" and e.symbol == BTC]
    assert len(read) >= 5
    assert all(e.is_rest for e in read)
    assert scene.exchange.restarts == []


async def test_prices_that_nothing_needs_are_not_missed(scene: Scene) -> None:
    scene.feed = Feed(
        scene.exchange, scene.told.append, scene.clock, random.Random(7), MonitorSettings()
    )
    position = scene.hold("1")
    await scene.start()
    scene.exchange.push(events.FeedLost(account="main", feed="prices", reason="socket closed"))
    assert scene.lost("prices") == ["socket closed"]
    scene.told.clear()
    del scene.exchange.positions[position.key]
    closed = replace(position, quantity=Decimal(0))
    scene.exchange.push(events.PositionsUpdated(account="main", positions=(closed,)))
    await scene.clock.advance(11_000)
    assert scene.exchange.watched == set()
    assert [e.feed for e in scene.told if e.kind == "FeedAlive"] == ["prices"]
    for feed in ("prices", "account"):
        scene.exchange.push(events.FeedLost(account="main", feed=feed, reason="built anew"))
    assert (scene.lost("prices"), scene.lost("account")) == ([], ["built anew"])


async def test_silence_of_a_venue_that_sends_steadily_is_a_fault_by_itself(scene: Scene) -> None:
    scene.exchange.has_steady_prices = True
    scene.exchange.marks.update({BTC: 100.0, ETH: 100.0})
    await scene.start()
    await scene.tick(5)
    scene.told.clear()
    await scene.clock.advance(5_000)
    assert "steadily" in scene.lost("prices")[0]
    assert len(scene.exchange.restarts) == 1


async def test_frames_whose_venue_time_stands_still_are_no_prices(scene: Scene) -> None:
    await scene.start()
    await scene.tick(3)
    scene.told.clear()
    await scene.tick(7, venue_ms=START_MS)
    assert "stands still" in scene.lost("prices")[0]
    assert len(scene.exchange.restarts) == 1


async def test_venue_whose_clock_was_set_back_is_trusted_again(scene: Scene) -> None:
    await scene.start()
    await scene.tick(3)
    for _ in range(40):
        await scene.tick(0.5, venue_ms=scene.clock.now_ms() - 3_600_000)
    assert len(scene.exchange.restarts) == 1


async def test_silence_with_rest_gone_too_does_not_end_the_feed(scene: Scene) -> None:
    scene.exchange.has_steady_prices = True
    await scene.start()
    await scene.tick(2)
    scene.exchange.will("prices", *[unreachable()] * 500)
    scene.exchange.will("snapshot", *[unreachable()] * 500)
    await scene.clock.advance(120_000)
    assert scene.task
    assert not scene.task.done()
    assert 2 <= len(scene.exchange.restarts) <= 12


async def test_price_of_one_instrument_that_its_stream_forgot_is_told_for_it_alone(
    scene: Scene,
) -> None:
    scene.hold("1")
    scene.exchange.marks.update({BTC: 100.0, ETH: 100.0})
    await scene.start()
    await scene.tick(3)
    scene.told.clear()
    scene.exchange.marks[BTC] = 90.0
    for _ in range(12):
        scene.exchange.push(events.PricesUpdated(account="main", symbol=ETH, mark=100.0))
        await scene.clock.advance(500)
    (lost,) = [e for e in scene.told if e.kind == "FeedLost"]
    assert (lost.feed, lost.symbol) == ("prices", BTC)


async def test_stream_that_never_sent_a_price_is_no_reason_to_know_none(scene: Scene) -> None:
    scene.hold("1")
    scene.exchange.marks.update({BTC: 100.0, ETH: 100.0})
    await scene.start()
    scene.told.clear()
    await scene.clock.advance(10_000)
    assert len([e for e in scene.told if e.kind == "PricesUpdated" and e.symbol == BTC]) >= 2


# ---------------------------------------------------------------- a mark that stands still


async def test_mark_that_stands_still_in_a_stream_that_speaks_is_read_and_the_stream_rebuilt(
    scene: Scene,
) -> None:
    position = scene.hold("1")
    await scene.start()
    await scene.tick(3)
    moved = dataclasses.replace(position, venue_mark=Decimal(80))
    scene.exchange.positions[position.key] = moved
    scene.exchange.marks[BTC] = 80.0
    scene.told.clear()
    await scene.tick(12)
    assert 80.0 in [e.mark for e in scene.told if e.kind == "PricesUpdated" and e.is_rest]
    assert scene.lost("prices") == [f"{BTC} moved and the stream did not tell"]
    assert scene.exchange.called("restart_stream")


async def test_mark_read_a_moment_late_is_no_reason_to_rebuild_a_stream(scene: Scene) -> None:
    position = scene.hold("1")
    await scene.start()
    await scene.tick(3)
    late = dataclasses.replace(position, venue_mark=Decimal(80))
    scene.exchange.positions[position.key] = late
    scene.exchange.marks[BTC] = 100.5
    scene.told.clear()
    await scene.tick(12)
    assert not scene.lost("prices")
    assert not scene.exchange.called("restart_stream")
