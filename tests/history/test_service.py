"""Price history as the engine meets it: asked for, told, kept, and brought up to date."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from riskbot.core import actions
from riskbot.core.histories import BUNDLED, DAY_MS, HISTORY_DAYS, HistoryWanted
from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import DailyBars
from riskbot.history import service as module
from tests.fakes import FakeClock, settle, until
from tests.history.past import BTC, SPOT, TODAY, Past, bars

YEAR = [100.0 + n for n in range(300)]
DOWN = VenueError(RejectReason.UNREACHABLE, "no answer", is_ambiguous=True)
FULL = (TODAY - HISTORY_DAYS, TODAY)


@asynccontextmanager
async def running(
    path: Path, *accounts: str, clock: FakeClock | None = None
) -> AsyncIterator[Past]:
    made = Past(path, *accounts, clock=clock)
    task = asyncio.create_task(made.service.run())
    try:
        await until(lambda: made.service.is_loaded or task.done())
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(made: Past, count: int = 1) -> None:
    """Let time pass until so much was told: the file is written in a thread of its own."""
    async with asyncio.timeout(30):
        while len(made.told) < count:
            await made.clock.advance(100)
            await asyncio.sleep(0.001)
    await settle()


async def test_history_is_read_once_and_told_at_once_from_then_on(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        assert made.last.source == f"main|{BTC}"
        assert (made.last.closes, made.last.last_day) == (tuple(YEAR), TODAY - 1)
        assert made.last.turnover_usd == 1_000
        made.ask()
        assert len(made.told) == 2
        assert made.asked() == [(BTC, *FULL)]


async def test_restart_tells_what_is_kept_before_it_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.lists("ETH/USDT:USDT", bars([1.0, None, 3.0], turnover=None))
        made.ask()
        made.ask("ETH", symbol="ETH/USDT:USDT")
        await told(made, 2)
    assert stat.S_IMODE((tmp_path / "history.sqlite").stat().st_mode) == 0o600
    async with running(tmp_path) as again:
        assert sorted(again.told, key=lambda s: s.underlying) == sorted(
            made.told, key=lambda s: s.underlying
        )
        assert again.asked() == []


async def test_only_the_days_that_are_missing_are_read(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
    clock.jump(3 * DAY_MS)
    async with running(tmp_path, clock=clock) as again:
        # What is kept is told all the same: its end says how old it is.
        assert again.last.last_day == TODAY - 1
        again.lists(BTC, bars([*YEAR, 1.0, 2.0, 3.0], TODAY + 2))
        again.ask()
        await told(again, 2)
        assert again.asked() == [(BTC, TODAY, TODAY + 3)]
        assert again.last.closes == (*YEAR, 1, 2, 3)


async def test_each_day_is_added_some_minutes_after_it_ended(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        made.venues["main"].days[BTC] = bars([*YEAR, 5.0], TODAY)
        midnight = (TODAY + 1) * DAY_MS
        await made.clock.advance(midnight + module.SETTLE_MS - 1 - made.clock.now_ms())
        # The engine may ask earlier: it is answered when the venue has had its time.
        made.ask()
        await settle()
        assert len(made.told) == 1
        await made.clock.advance(module.SPREAD_MS + 2)
        await until(lambda: len(made.told) == 2)
        assert made.last.closes[-1] == 5
        assert made.asked()[1:] == [(BTC, TODAY, TODAY + 1)]


async def test_day_that_nobody_asks_for_is_added_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        made.venues["main"].days[BTC] = bars([*YEAR, 5.0], TODAY)
        await made.clock.advance(DAY_MS + module.SETTLE_MS + module.SPREAD_MS)
        await until(lambda: len(made.told) == 2)
        assert made.last.last_day == TODAY


async def test_two_accounts_that_ask_for_the_same_read_once(tmp_path: Path) -> None:
    async with running(tmp_path, "main", "other") as made:
        gate = asyncio.Event()

        async def slow(_: Any) -> DailyBars:
            await gate.wait()
            return DailyBars(tuple(bars(YEAR).values()))

        made.lists(BTC)
        made.lists(BTC, bars(YEAR), account="other")
        made.venues["main"].will("daily_bars", slow)
        made.ask()
        made.ask(account="other")
        await made.settle()
        gate.set()
        await told(made, 2)
        assert {each.source for each in made.told} == {f"main|{BTC}"}
        assert made.asked("other") == []


async def test_venue_that_fails_is_asked_again_and_the_reason_is_told_once(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.venues["main"].will("daily_bars", DOWN, DOWN, DOWN)
        made.ask()
        await made.settle(1)
        assert (made.told, len(made.asked())) == ([], 1)
        await made.settle(6)
        assert (made.last.closes, made.last.note) == ((), "no answer")
        await made.settle(20)
        assert (len(made.told), len(made.asked())) == (1, 3)
        await made.settle(60)
        await told(made, 2)
        assert made.last.closes == tuple(YEAR)


async def test_wait_that_the_venue_states_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        limited = VenueError(RejectReason.RATE_LIMITED, "429", retry_after_ms=90_000)
        made.venues["main"].will("daily_bars", limited)
        made.ask()
        await made.settle(89)
        assert len(made.asked()) == 1
        await made.settle(2)
        await told(made)
        assert made.last.closes == tuple(YEAR)


async def test_failure_of_one_account_holds_up_no_other(tmp_path: Path) -> None:
    async with running(tmp_path, "main", "other") as made:
        made.lists(BTC)
        made.lists("ETH/USDT:USDT", bars(YEAR), account="other")
        made.venues["main"].will("daily_bars", *[DOWN] * 9)
        made.ask()
        made.ask("ETH", "other", "ETH/USDT:USDT")
        await told(made)
        assert made.last.underlying == "ETH"


async def test_what_is_kept_stands_while_the_venue_fails(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        made.venues["main"].will("daily_bars", *[DOWN] * 9)
        await made.clock.advance(DAY_MS + 600_000)
        await until(lambda: len(made.told) == 2)
        assert made.last.closes == tuple(YEAR)
        assert made.last.note == "not brought up to date: no answer"


async def test_venue_without_bars_says_so_and_another_account_stands_in(tmp_path: Path) -> None:
    none = VenueError(RejectReason.OTHER, "main: the venue has no daily bars")
    async with running(tmp_path, "main", "other") as made:
        made.lists(BTC)
        made.lists("NEW/USDT")
        made.lists(SPOT, bars(YEAR), account="other")
        made.venues["main"].will("daily_bars", none, none)
        made.ask()
        await told(made)
        assert made.last.source == f"other|{SPOT}"
        made.ask("NEW", symbol="NEW/USDT")
        await told(made, 2)
        assert (made.last.closes, made.last.note) == ((), f"no history: {none}")


async def test_underlying_that_is_listed_nowhere_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists("NEW/EUR", bars(YEAR))
        made.ask("NEW", symbol="NEW/EUR")
        await told(made)
        assert made.last.note == "no history: nothing quoted in dollars is listed"
        # And is not asked for anew at every turn.
        made.lists("NEW/USDT", bars(YEAR))
        made.ask("NEW", symbol="NEW/EUR")
        assert made.last.closes == ()
        await made.clock.advance(module.RECHECK_MS)
        made.ask("NEW", symbol="NEW/EUR")
        await told(made, 3)
        assert made.last.closes == tuple(YEAR)


async def test_short_history_is_replaced_by_a_longer_one_of_the_same_venue(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars([1.0, 2.0]))
        made.lists(SPOT, bars(YEAR))
        made.ask()
        await told(made)
        assert made.last.source == f"main|{SPOT}"


async def test_multiple_of_a_coin_is_told_per_coin(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        symbol = "1000PEPE/USDT:USDT"
        made.lists(symbol, bars([0.01] * 300), underlying="PEPE", underlying_per_base=1_000)
        made.ask("PEPE", symbol=symbol)
        await told(made)
        assert set(made.last.closes) == {0.00001}
        assert made.last.turnover_usd == 1_000


async def test_renamed_coin_has_the_days_under_its_old_name(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock(20_100 * DAY_MS + 600_000)) as made:
        made.lists("SKY/USDT:USDT", bars([0.1, 0.2], 20_099))
        # The old one traded on for a while: what the coin is called now counts there.
        made.lists("MKR/USDT:USDT", bars([2_400.0] * 10, 20_098))
        made.ask("SKY", symbol="SKY/USDT:USDT")
        await told(made)
        assert made.last.closes == (*[0.1] * 9, 0.1, 0.2)
        assert made.last.note == "partly as MKR"


async def test_coin_held_under_its_old_name_goes_on_under_the_new_one(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock(20_100 * DAY_MS + 600_000)) as made:
        made.lists("MKR/USDT:USDT", bars([2_400.0] * 300, 20_090), is_active=False)
        made.lists("SKY/USDT:USDT", bars([0.2] * 300, 20_099))
        made.ask("MKR", symbol="MKR/USDT:USDT")
        await told(made)
        assert made.last.closes[-10:] == (2_400, *[4_800] * 9)
        assert made.last.closes[0] == 2_400


async def test_coin_that_is_listed_under_its_new_name_alone_has_that_one(tmp_path: Path) -> None:
    clock = FakeClock(20_100 * DAY_MS + 600_000)
    async with running(tmp_path, clock=clock) as made:
        made.lists("POL/USDT:USDT", bars([0.5] * 300, 20_099))
        made.ask("MATIC", symbol="MATIC/USDT:USDT")
        await told(made)
        assert (made.last.source, len(made.last.closes)) == ("main|POL/USDT:USDT", 300)
        assert made.last.note == "partly as POL"
        clock.jump(DAY_MS)
        made.venues["main"].days["POL/USDT:USDT"] |= bars([0.6], 20_100)
        made.ask("MATIC", symbol="MATIC/USDT:USDT")
        await told(made, 2)
        assert (made.last.closes[-1], made.last.note) == (0.6, "partly as POL")


async def test_code_that_another_coin_had_before_begins_with_its_own(tmp_path: Path) -> None:
    begun = 19_140
    async with running(tmp_path, clock=FakeClock((begun + 30) * DAY_MS + 600_000)) as made:
        made.lists("LUNA/USDT", bars([80.0] * 100 + [5.0] * 30, begun + 29))
        made.ask("LUNA", symbol="LUNA/USDT")
        await told(made)
        assert (made.last.first_day, set(made.last.closes)) == (begun, {5})


async def test_delisted_instrument_says_so_and_another_one_goes_on(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        clock.jump(10 * DAY_MS)
        gone = made.venues["main"].listed.pop()
        made.venues["main"].listed.append(replace(gone, is_active=False))
        made.ask()
        await told(made, 2)
        assert made.last.note.startswith("delisted: the last bar is of ")
        made.lists(SPOT, bars([7.0] * 300, TODAY + 9))
        clock.jump(DAY_MS)
        made.ask()
        await told(made, 3)
        assert made.last.source == f"main|{SPOT}"


async def test_instrument_that_is_not_listed_any_more_keeps_its_past(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        clock.jump(2 * DAY_MS)
        made.venues["main"].listed.clear()
        made.ask()
        await told(made, 2)
        assert made.last.closes == tuple(YEAR)
        assert "delisted" in made.last.note


async def test_simulated_past_is_one_for_its_own_account_and_kept_nowhere(tmp_path: Path) -> None:
    bundled = DailyBars(tuple(bars(YEAR).values()), is_bundled=True, note="bundled data")
    async with running(tmp_path, "paper", "main") as made:
        made.lists(BTC, account="paper")
        made.venues["paper"].will("daily_bars", bundled, bundled)
        made.ask(account="paper")
        await told(made)
        assert (made.last.source, made.last.note) == (BUNDLED, "bundled data")
        made.ask(account="main")
        await told(made, 2)
        assert made.last.closes == ()
        made.lists(BTC, bars([1.0] * 300))
        await made.clock.advance(module.RECHECK_MS)
        made.ask(account="main")
        await told(made, 3)
        # What is real serves both from then on.
        assert made.last.source == f"main|{BTC}"
        made.ask(account="paper")
        assert made.last.source == f"main|{BTC}"
    async with running(tmp_path, "paper") as again:
        assert [each.source for each in again.told] == [f"main|{BTC}"]


async def test_question_for_an_unknown_account_goes_to_the_first(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask(account="gone")
        await told(made)
        assert made.last.source == f"main|{BTC}"


async def test_more_underlyings_than_can_be_kept_are_refused_in_words(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        wanted = tuple(HistoryWanted(f"C{n}", "main") for n in range(module.UNDERLYINGS_MAX + 1))
        made.service.ask(actions.ReadHistory(wanted=wanted))
        assert made.last.underlying == wanted[-1].underlying
        assert made.last.note == "no history: more than 1000 underlyings"


async def test_answer_that_nobody_can_read_is_unknown_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.lists("ETH/USDT:USDT", bars(YEAR))
        made.venues["main"].will("daily_bars", RuntimeError("a bug"))
        made.ask()
        made.ask("ETH", symbol="ETH/USDT:USDT")
        await told(made, 2)
        assert made.told[0].note == "its data could not be made out"
        assert made.told[1].closes == tuple(YEAR)
        assert "a bug" in caplog.text


# ---------------------------------------------------------------- the file


async def test_damaged_file_is_set_aside_and_read_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"this is no database " * 500)
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path) as made:
            made.lists(BTC, bars(YEAR))
            made.ask()
            await told(made)
            assert made.last.closes == tuple(YEAR)
    assert "is set aside as history.sqlite.damaged" in caplog.text
    assert (tmp_path / "history.sqlite.damaged").read_bytes().startswith(b"this is no database")
    async with running(tmp_path) as again:
        assert again.last.closes == tuple(YEAR)


@pytest.mark.parametrize(
    "damage",
    [
        "PRAGMA user_version=7",
        "DROP TABLE bars",
        "UPDATE bars SET close = 'much'",
        "UPDATE series SET checked_ms = 'lately'",
    ],
)
async def test_file_with_something_else_in_it_is_set_aside(tmp_path: Path, damage: str) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as connection, connection:
        connection.execute(damage)
    async with running(tmp_path) as again:
        assert again.told == []
        assert (again.service.cache.problem, again.asked()) == ("", [])
    assert (tmp_path / "history.sqlite.damaged").exists()


async def test_file_that_cannot_be_written_is_gone_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history.sqlite").mkdir()
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path) as made:
            made.lists(BTC, bars(YEAR))
            made.ask()
            await told(made)
            made.ask()
            assert made.last.closes == tuple(YEAR)
            assert len(made.asked()) == 1
    assert "it is kept in memory" in caplog.text


async def test_file_that_fails_later_is_gone_without_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        (tmp_path / "history.sqlite").unlink()
        (tmp_path / "history.sqlite").mkdir()
        made.ask()
        await told(made)
        assert made.last.closes == tuple(YEAR)
        assert made.service.cache.problem
    assert "it is kept in memory" in caplog.text


async def test_what_nobody_asked_for_in_weeks_is_forgotten(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
    clock.jump(46 * DAY_MS)
    async with running(tmp_path, clock=clock) as again:
        assert again.told == []


async def test_file_that_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
    with closing(sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with running(tmp_path) as again:
            assert "locked" in again.service.cache.problem
    async with running(tmp_path) as later:
        assert later.last.closes == tuple(YEAR)


async def test_damaged_file_that_cannot_be_set_aside_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_bytes(b"this is no database " * 500)
    (tmp_path / "history.sqlite.damaged" / "full").mkdir(parents=True)
    async with running(tmp_path) as made:
        made.lists(BTC, bars(YEAR))
        made.ask()
        await told(made)
        assert made.last.closes == tuple(YEAR)
        assert made.service.cache.problem


async def test_account_that_is_configured_no_more_leaves_its_past_to_another(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with running(tmp_path, "old", clock=clock) as made:
        made.lists(BTC, bars(YEAR), account="old")
        made.ask(account="old")
        await told(made)
    clock.jump(DAY_MS)
    async with running(tmp_path, "main", clock=clock) as again:
        # Nothing yet: what is kept stands, and is not called delisted.
        again.ask()
        await told(again, 2)
        assert (again.last.source, again.last.closes) == (f"old|{BTC}", tuple(YEAR))
        assert "delisted" not in again.last.note
        again.lists(BTC, bars([*YEAR, 3.0], TODAY))
        await again.clock.advance(module.RECHECK_MS)
        again.ask()
        await told(again, 3)
        assert (again.last.source, again.last.closes[-1]) == (f"main|{BTC}", 3)


async def test_account_that_fails_is_told_of_where_another_has_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "main", "other") as made:
        made.lists(BTC, account="other")
        made.venues["other"].will("daily_bars", *[DOWN] * 9)
        made.ask()
        await told(made)
        assert made.last.note == "no answer"


async def test_guard_without_accounts_says_so(tmp_path: Path) -> None:
    made = Past(tmp_path)
    made.service = module.HistoryService({}, tmp_path, made.take, made.clock, random.Random(1))
    made.ask()
    assert made.last.note == "no history: there is no account to ask"


async def test_lasting_refusal_of_an_old_name_is_no_refusal_of_the_coin(tmp_path: Path) -> None:
    async with running(tmp_path, clock=FakeClock(20_100 * DAY_MS + 600_000)) as made:
        made.lists("SKY/USDT:USDT", bars([0.2] * 300, 20_099))
        made.lists("MKR/USDT:USDT")
        gone = VenueError(RejectReason.UNKNOWN_INSTRUMENT, "delisted")
        read = DailyBars(tuple(made.venues["main"].days["SKY/USDT:USDT"].values()))
        made.venues["main"].will("daily_bars", read, gone)
        made.ask("SKY", symbol="SKY/USDT:USDT")
        await told(made)
        assert (len(made.last.closes), made.last.note) == (300, "")
