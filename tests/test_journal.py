"""The journal keeps what it acknowledged, says what is wrong with its file, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.core import actions, events, model
from riskbot.errors import CodecError, ConfigError, StorageError
from riskbot.journal import Journal, Reader, Retention, Row, base36, log, rows, schema
from tests.fakes import START_MS, until

DAY_MS = 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(path, START_MS)
    yield opened
    await opened.close()


def price(symbol: str = "BTC/USDT:USDT", mark: float = 40_000.0) -> events.PricesUpdated:
    return events.PricesUpdated(account="main", symbol=symbol, mark=mark)


def decision(reason: str = "too much") -> actions.RecordDecision:
    return actions.RecordDecision(
        decision="hold",
        limit="drawdown",
        scope="portfolio",
        reason=reason,
        actor="riskbot",
        inputs={"drawdown": 0.16},
    )


def hold_query(number: int = 1) -> actions.QueryOrder:
    return actions.QueryOrder(account="main", symbol="BTC/USDT:USDT", client_order_id=f"rb{number}")


async def everything(reader: Reader, after_seq: int = 0) -> list[Row]:
    return [row async for row in reader.read(after_seq)]


@contextlib.contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Make every write beyond a file size fail, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def raw(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, values).fetchall()


# ---------------------------------------------------------------- writing and reading


async def test_append_when_it_returns_is_seen_by_another_process(
    journal: Journal, path: Path
) -> None:
    seq = await journal.append(events.TimerFired(), [decision(), hold_query()], START_MS)
    reader = await Reader.open_reader(path)
    found = await everything(reader)
    await reader.close()
    assert seq == 3
    assert [row.record for row in found] == [events.TimerFired(), decision(), hold_query()]
    assert {row.ts_ms for row in found} == {START_MS}


async def test_appends_at_once_share_a_transaction_and_keep_their_order(journal: Journal) -> None:
    done = [journal.enqueue(price(mark=n), [hold_query(n)], START_MS + n) for n in range(500)]
    assert await asyncio.gather(*done) == [2 * n + 2 for n in range(500)]
    found = await everything(journal)
    assert [r.record.mark for r in found if isinstance(r.record, events.PricesUpdated)] == list(
        range(500)
    )


async def test_read_after_a_number_gives_the_tail(journal: Journal) -> None:
    await journal.append(price(mark=1), [hold_query(1)], START_MS)
    seq = await journal.append(price(mark=2), [hold_query(2)], START_MS)
    assert [row.seq for row in await everything(journal, seq - 2)] == [3, 4]


async def test_numbers_go_on_after_the_journal_is_opened_again(path: Path) -> None:
    first = await Journal.open(path, START_MS)
    await first.append(price(), [], START_MS)
    await first.close()
    second = await Journal.open(path, START_MS)
    assert await second.append(price(), [], START_MS) == 2
    await second.close()


async def test_birth_is_another_one_in_every_run_even_when_the_clock_went_back(path: Path) -> None:
    births = []
    for now_ms in (START_MS, START_MS, START_MS - DAY_MS, START_MS + DAY_MS):
        opened = await Journal.open(path, now_ms)
        births.append(opened.birth)
        await opened.close()
    assert births[0] == base36(START_MS)
    assert births == sorted(set(births))


async def test_files_are_readable_by_their_owner_alone(journal: Journal, path: Path) -> None:
    await journal.append(price(), [], START_MS)
    found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert found == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm"), 0o600)


async def test_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    path.touch(0o644)
    await (await Journal.open(path, START_MS)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_decisions_are_written_with_full_sync_in_wal(journal: Journal) -> None:
    def settings(connection: sqlite3.Connection) -> tuple[str, int]:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return mode, connection.execute("PRAGMA synchronous").fetchone()[0]

    assert await journal.writer.run(settings) == ("wal", 2)


async def test_record_that_would_not_come_back_is_refused_and_leaves_no_gap(
    journal: Journal,
) -> None:
    nan = model.Balance("USDT", Decimal("NaN"))
    event = events.BalancesUpdated(account="main", balances=(nan,))
    with pytest.raises(CodecError):
        journal.enqueue(event, [hold_query()], START_MS)
    assert await journal.append(price(), [], START_MS) == 1


# ---------------------------------------------------------------- observations


async def test_prices_without_actions_are_kept_once_a_minute_and_instrument(
    journal: Journal,
) -> None:
    start = START_MS - START_MS % 60_000
    for second in range(150):
        journal.note(price(mark=second), start + second * 1000)
        journal.note(price("ETH/USDT:USDT", second), start + second * 1000)
    await journal.flush()
    records: list[Any] = [row.record for row in await everything(journal)]
    kept = [(record.symbol, record.mark) for record in records]
    assert kept == [
        (symbol, mark) for mark in (0, 60, 120) for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT")
    ]


async def test_signs_of_life_without_actions_are_not_kept_but_facts_are(journal: Journal) -> None:
    journal.note(events.TimerFired(), START_MS)
    journal.note(events.FeedAlive(account="main", feed="account"), START_MS)
    journal.note(events.Stopping(), START_MS)
    await journal.flush()
    assert [row.record for row in await everything(journal)] == [events.Stopping()]


# ---------------------------------------------------------------- audit, history, checkpoints


async def test_decisions_are_chained_and_shown_newest_first(journal: Journal) -> None:
    for n in range(3):
        await journal.append(events.TimerFired(), [decision(str(n))], START_MS + n)
    shown = await journal.decisions(limit=2)
    assert [(d["seq"], d["reason"], d["ts_ms"]) for d in shown] == [
        (3, "2", START_MS + 2),
        (2, "1", START_MS + 1),
    ]
    assert shown[0]["inputs"] == {"drawdown": 0.16}
    assert [d["seq"] for d in await journal.decisions(before_seq=2)] == [1]
    report = await journal.verify()
    assert (report.rows, report.head, report.broken_seq) == (3, shown[0]["hash"], None)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET body=replace(body, '\"1\"', '\"9\"') WHERE seq=2",
        "UPDATE audit SET hash='00' WHERE seq=2",
        "UPDATE audit SET ts_ms=ts_ms+1 WHERE seq=2",
        "UPDATE audit SET body='{' WHERE seq=2",
        "INSERT INTO audit SELECT 9, ts_ms, record_seq, body, prev, hash FROM audit WHERE seq=2",
    ],
)
async def test_verify_when_a_row_was_edited_names_it(
    journal: Journal, path: Path, tampering: str
) -> None:
    for n in range(4):
        await journal.append(events.TimerFired(), [decision(str(n))], START_MS + n)
    raw(path, tampering)
    report = await journal.verify()
    assert report.broken_seq == (9 if tampering.startswith("INSERT") else 2)


@pytest.mark.parametrize("gone", [1, 2])
async def test_verify_when_a_row_is_missing_names_the_next(
    journal: Journal, path: Path, gone: int
) -> None:
    for n in range(4):
        await journal.append(events.TimerFired(), [decision(str(n))], START_MS + n)
    raw(path, "DELETE FROM audit WHERE seq=?", gone)
    assert (await journal.verify()).broken_seq == gone + 1


async def test_history_is_found_by_measure_scope_and_time(journal: Journal) -> None:
    for n in range(3):
        exposure = actions.RecordExposure(cause="timer", row={"gross": n / 10, "net": None})
        nav = actions.RecordNav(
            scope="account:main",
            equity_usd=100.0,
            nav=1.0 + n,
            units=100.0,
            day_start_ms=0,
            week_start_ms=0,
        )
        await journal.append(events.TimerFired(), [exposure, nav], START_MS + n)
    assert await journal.history("gross", START_MS + 1, START_MS + 2) == [
        (START_MS + 1, 0.1),
        (START_MS + 2, 0.2),
    ]
    assert await journal.history("net", START_MS, START_MS) == [(START_MS, None)]
    assert [v for _, v in await journal.history("nav", 0, 2 * START_MS, "account:main")] == [
        1,
        2,
        3,
    ]


async def test_newest_checkpoint_is_found_and_the_one_before_is_kept(
    journal: Journal, path: Path
) -> None:
    assert await journal.load_checkpoint() is None
    for seq in (10, 20, 30):
        await journal.save_checkpoint({"n": seq, "worst": float("inf")}, seq, START_MS)
    found = await journal.load_checkpoint()
    assert found is not None
    assert (found.seq, found.state) == (30, {"n": 30, "worst": float("inf")})
    assert raw(path, "SELECT seq FROM checkpoint ORDER BY seq") == [(20,), (30,)]


async def test_numbers_go_on_above_a_checkpoint_whose_records_are_gone(path: Path) -> None:
    first = await Journal.open(path, START_MS)
    await first.save_checkpoint({}, 500, START_MS)
    await first.close()
    second = await Journal.open(path, START_MS)
    assert second.last_seq == 500
    await second.close()


async def test_quarantined_event_is_set_aside_and_never_read_as_a_record(journal: Journal) -> None:
    journal.quarantine(price(), "KeyError: 'x' \ud800", START_MS)
    await journal.flush()
    assert await everything(journal) == []
    ((ts_ms, kind, body, error),) = await journal.quarantined()
    assert (ts_ms, kind, error) == (START_MS, "PricesUpdated", "KeyError: 'x' ?")
    assert '"mark":40000.0' in body


# ---------------------------------------------------------------- upkeep


async def test_backup_of_a_journal_in_use_opens_by_itself(journal: Journal, tmp_path: Path) -> None:
    await journal.append(price(), [decision()], START_MS)
    copy = tmp_path / "copy.db"
    await journal.backup(copy)
    await journal.append(price(), [], START_MS)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    restored = await Journal.open(copy, START_MS)
    assert len(await everything(restored)) == 2
    assert (await restored.verify()).rows == 1
    assert restored.birth != journal.birth
    await restored.close()


async def test_backup_over_an_existing_file_is_refused(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StorageError, match=r"copy\.db"):
        await journal.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


async def test_prune_drops_old_observations_but_no_decision_and_no_tail(journal: Journal) -> None:
    old, now = START_MS, START_MS + 40 * DAY_MS
    journal.note(price(mark=1), old)
    await journal.append(events.TimerFired(), [decision()], old)
    await journal.save_checkpoint({}, journal.last_seq, old)
    journal.note(price("ETH/USDT:USDT", 2), old)
    await journal.flush()
    await journal.prune(Retention(30, 3650), now)
    assert [row.record for row in await everything(journal)] == [
        decision(),
        price("ETH/USDT:USDT", 2),
    ]


async def test_prune_keeps_one_read_of_an_account_per_hour_after_a_day(journal: Journal) -> None:
    start = START_MS - START_MS % 3_600_000
    for minute in range(0, 180, 10):
        for account in ("main", "spare"):
            journal.note(snapshot(account), start + minute * 60_000)
    await journal.save_checkpoint({}, journal.last_seq, start)
    await journal.prune(Retention(), start + 2 * DAY_MS)
    found: list[Any] = await everything(journal)
    kept = [(row.record.account, (row.ts_ms - start) // 60_000) for row in found]
    assert kept == [(a, minute) for minute in (50, 110, 170) for a in ("main", "spare")]


def snapshot(account: str) -> events.AccountSnapshotReceived:
    return events.AccountSnapshotReceived(
        account=account, as_of_ms=START_MS, balances=(), positions=(), orders=()
    )


async def test_prune_thins_old_history_to_one_row_an_hour_and_drops_the_oldest(
    journal: Journal,
) -> None:
    start = START_MS - START_MS % (6 * 3_600_000)
    for minute in range(0, 24 * 60, 20):
        row = actions.RecordExposure(cause="timer", row={"gross": 1.0})
        journal.enqueue(events.TimerFired(), [row], start + minute * 60_000)
    await journal.flush()
    await journal.prune(Retention(30, 3650), start + 40 * DAY_MS)
    assert len(await journal.history("gross", 0, 2 * START_MS)) == 24
    await journal.prune(Retention(30, 35), start + 40 * DAY_MS)
    assert await journal.history("gross", 0, 2 * START_MS) == []


async def test_prune_of_old_decisions_leaves_an_audit_that_verifies(journal: Journal) -> None:
    for day in range(10):
        event = events.TimerFired()
        await journal.append(event, [decision(str(day))], START_MS + day * DAY_MS)
    await journal.save_checkpoint({}, journal.last_seq, START_MS)
    head = (await journal.verify()).head
    await journal.prune(Retention(1, 5), START_MS + 10 * DAY_MS)
    report = await journal.verify()
    assert (report.rows, report.head, report.broken_seq) == (5, head, None)
    assert len([r for r in await everything(journal) if r.record == decision("3")]) == 0
    await journal.append(events.TimerFired(), [decision("new")], START_MS + 10 * DAY_MS)
    assert (await journal.verify()).broken_seq is None


async def test_prune_in_many_portions_ends(journal: Journal) -> None:
    for n in range(2 * 2_000 + 10):
        journal.note(price(f"S{n}"), START_MS)
    await journal.save_checkpoint({}, journal.last_seq, START_MS)
    await journal.prune(Retention(30, 3650), START_MS + 40 * DAY_MS)
    assert await everything(journal) == []


# ---------------------------------------------------------------- what can be wrong with the file


async def fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        await Journal.open(path, START_MS)
    (sentence,) = caught.value.faults
    assert str(path) in sentence
    return sentence


async def test_open_when_the_directory_is_missing_names_the_file(tmp_path: Path) -> None:
    assert "cannot be opened for writing" in await fault(tmp_path / "nowhere" / "journal.db")


async def test_open_when_a_directory_is_in_the_way_names_it(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    assert "cannot be opened for writing" in await fault(tmp_path / "journal.db")


async def test_open_when_the_file_is_no_database_names_the_way_back(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be read as a header" * 20)
    assert ".recover" in await fault(path)
    assert path.read_bytes().startswith(b"not a database")


async def test_open_when_a_page_is_torn_names_the_way_back(path: Path) -> None:
    opened = await Journal.open(path, START_MS)
    for n in range(300):
        journal_event = price(f"S{n}")
        opened.note(journal_event, START_MS)
    await opened.close()
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert ".recover" in await fault(path)


async def test_open_when_a_newer_riskbot_wrote_it_says_so(path: Path) -> None:
    await (await Journal.open(path, START_MS)).close()
    raw(path, "UPDATE meta SET value='99' WHERE name='schema'")
    assert "schema version 99" in await fault(path)


async def test_open_when_another_process_holds_it_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await Journal.open(path, START_MS)).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "locked by another process" in await fault(path)


async def test_open_when_the_disk_is_full_says_so(path: Path) -> None:
    with no_room_beyond(0):
        await fault(path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (OSError(13, "Permission denied"), "cannot be opened for writing"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "for writing"),
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
        (sqlite3.DatabaseError("database disk image is malformed"), ".recover"),
    ],
)
def test_explain_names_file_and_remedy(error: sqlite3.Error | OSError, words: str) -> None:
    sentence = schema.explain(Path("/var/lib/riskbot/journal.db"), error)
    assert "/var/lib/riskbot/journal.db" in sentence
    assert words in sentence


async def test_reading_what_was_never_written_names_the_file(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"journal\.db does not exist"):
        await Reader.open_reader(path)


async def test_read_when_a_record_is_of_a_newer_kind_names_its_number(
    journal: Journal, path: Path
) -> None:
    await journal.append(price(), [], START_MS)
    raw(path, "UPDATE records SET kind='MoonLanded'")
    with pytest.raises(CodecError, match="record 1: unknown record kind 'MoonLanded'"):
        await everything(journal)


# ---------------------------------------------------------------- storage fails and returns


async def test_append_when_the_disk_is_full_raises_and_is_written_once_there_is_room(
    journal: Journal, path: Path
) -> None:
    await journal.append(price(), [decision("before")], START_MS)
    with no_room_beyond(1):
        with pytest.raises(StorageError, match=r"journal\.db"):
            await journal.append(price(), [decision("during")], START_MS)
        with pytest.raises(StorageError):
            await journal.append(price(), [decision("also during")], START_MS)
        assert journal.failure
        assert not await journal.probe()
    assert await journal.probe()
    assert journal.failure is None
    await journal.append(price(), [decision("after")], START_MS)
    reasons = [d["reason"] for d in await journal.decisions()]
    assert reasons == ["after", "also during", "during", "before"]
    assert (await journal.verify()).broken_seq is None
    assert [row.seq for row in await everything(journal)] == list(range(1, 9))


async def test_flush_while_storage_fails_raises(journal: Journal) -> None:
    with no_room_beyond(1):
        journal.note(events.Stopping(), START_MS)
        with pytest.raises(StorageError):
            await journal.flush()


async def test_queue_when_the_disk_takes_nothing_for_long_stays_bounded(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with no_room_beyond(1):
        for n in range(rows_limit() + 500):
            journal.note(price(f"S{n}"), START_MS)
            if n == 0:
                await until(lambda: journal.failure)
    assert journal.lost_rows > 0
    assert await journal.probe()
    assert len(await everything(journal)) + journal.lost_rows == rows_limit() + 500


def rows_limit() -> int:
    from riskbot.journal.journal import MAX_PENDING

    return MAX_PENDING // 2


async def test_append_when_the_disk_hangs_fails_within_the_deadline_and_recovers_by_itself(
    path: Path,
) -> None:
    journal = await Journal.open(path, START_MS, commit_deadline_s=0.05)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="took longer than"):
            await journal.append(price(), [decision()], START_MS)
        assert not await journal.probe()
        other.execute("ROLLBACK")
    await until(lambda: journal.failure is None)
    assert len(await journal.decisions()) == 1
    await journal.close()


async def test_append_when_another_process_holds_the_lock_raises_and_later_succeeds(
    path: Path, journal: Journal
) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError):
            await journal.append(price(), [decision()], START_MS)
        other.execute("ROLLBACK")
    await until(lambda: not journal.is_stalled)
    assert await journal.probe()
    assert len(await journal.decisions()) == 1


async def test_writer_that_broke_leaves_nobody_waiting(journal: Journal) -> None:
    # No column of the database takes such a number: a mistake in riskbot, not of the disk.
    done = journal.enqueue(price(), [], 2**70)
    with pytest.raises(StorageError, match="the writer of"):
        await done
    with pytest.raises(StorageError):
        await journal.append(price(), [], START_MS)
    with pytest.raises(StorageError):
        await journal.flush()
    assert not await journal.probe()
    assert journal.task.done()


async def test_power_cut_at_any_byte_leaves_a_prefix_of_whole_transactions(
    journal: Journal, path: Path, tmp_path: Path
) -> None:
    for n in range(12):
        await journal.append(price(mark=n), [decision(str(n)), hold_query(n)], START_MS + n)
    image, wal = path.read_bytes(), path.with_name("journal.db-wal").read_bytes()
    lengths, written = set(), len(wal.rstrip(b"\0"))
    for number, cut in enumerate([*range(0, written, 1536), written, len(wal)]):
        target = tmp_path / f"cut{number}" / "journal.db"
        target.parent.mkdir()
        target.write_bytes(image)
        target.with_name("journal.db-wal").write_bytes(wal[:cut])
        try:
            survivor = await Journal.open(target, START_MS)
        except ConfigError as error:
            pytest.fail(f"cut at {cut}: {error}")
        found = await everything(survivor)
        assert [row.seq for row in found] == list(range(1, len(found) + 1))
        assert len(found) % 3 == 0
        assert (await survivor.verify()).rows == len(found) // 3
        lengths.add(len(found))
        await survivor.close()
    assert {0, 36} <= lengths


async def test_log_has_its_room_from_the_start_and_is_emptied_before_it_is_full(
    journal: Journal, path: Path
) -> None:
    wal = path.with_name("journal.db-wal")
    assert wal.stat().st_size == log.ROOM_BYTES
    for portion in range(4):
        before = path.stat().st_size
        for n in range(13):
            await journal.append(price(mark=n), [decision("x" * 45_000)], START_MS + portion)
        # Nothing is written now, and no commit empties it.
        await until(lambda size=before: path.stat().st_size > size)
    assert wal.stat().st_size == log.ROOM_BYTES
    assert len(await everything(journal)) == 4 * 13 * 2


async def test_log_without_room_on_the_disk_is_left_as_it_is(path: Path) -> None:
    with no_room_beyond(log.ROOM_BYTES // 2):
        journal = await Journal.open(path, START_MS)
        assert path.with_name("journal.db-wal").stat().st_size < log.ROOM_BYTES // 2
        await journal.append(price(), [decision()], START_MS)
    assert len(await everything(journal)) == 2
    await journal.close()


def test_every_event_and_action_has_a_retention_class() -> None:
    assert rows.retention_class(decision()) == "decision"
    assert rows.retention_class(events.Stopping()) == "fact"
    assert rows.retention_class(price()) == "observation"
    assert rows.retention_class(events.PriceHistoryRead(series=())) == "observation"
    assert rows.retention_class(actions.ReadHistory(wanted=())) == "observation"
    assert rows.subject(price()) == "main|BTC/USDT:USDT"
    assert rows.subject(decision()) == "portfolio"
    assert rows.subject(events.Stopping()) == ""
