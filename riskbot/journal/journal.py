"""The asynchronous face of the journal: a bounded queue, group commit, failure and return.

Everything is written in the order it was handed in, by one writer. What it looks like in the file
is said by `schema`, `rows` and `store`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from riskbot import codec
from riskbot.core import actions, events
from riskbot.errors import CodecError, ConfigError, StorageError
from riskbot.journal import log, pruning, rows, schema, store
from riskbot.journal.reader import Connection, Reader, Row, connect

MAX_PENDING = 20_000
"""Rows that may wait for the disk; beyond it the oldest unwritten ones are given up, counted."""

NOTE_DELAY_S = 0.05
"""How long what nobody waits for is held back, so that no decision waits behind it at the disk."""

_MINUTE_MS = 60_000
_RETENTION = rows.Retention()


class Journal(Reader):
    """Append-only record of what happened and what was decided.

    Attributes:
        path: of the database file.
        birth: base36, another one in every run: prefix of this run's client order ids.
        last_seq: highest sequence number handed out.
        is_stalled: a write hangs and may still succeed.
        writer: the one connection that writes.
        lost_rows: rows given up because the disk took none for too long.
        written_seq: highest sequence number known to be durable.
    """

    def __init__(
        self,
        path: Path,
        writer: Connection,
        reader: Connection,
        *,
        retention: rows.Retention,
        conflate_ms: int,
        commit_deadline_s: float,
        birth: str,
        last_seq: int,
    ) -> None:
        super().__init__(path, reader)
        self.birth = birth
        self.last_seq = last_seq
        self.lost_rows = 0
        self.written_seq = last_seq
        self.writer = writer
        self._retention = retention
        self._conflate_ms = conflate_ms
        self._deadline_s = commit_deadline_s
        self._pending: deque[rows.Batch] = deque()
        self._pending_rows = 0
        self._in_flight: list[rows.Batch] = []
        self._failure: str | None = None
        self.is_stalled = False
        self._seen_ms: dict[tuple[str, str], int] = {}
        self._later: asyncio.TimerHandle | None = None
        self._log = log.Emptying(*(partial(each.run, log.empty) for each in (reader, writer)))
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._write_forever(), name="journal")
        self._task.add_done_callback(self._writer_ended)

    @classmethod
    async def open(
        cls,
        path: Path,
        now_ms: int,
        *,
        retention: rows.Retention = _RETENTION,
        conflate_ms: int = _MINUTE_MS,
        commit_deadline_s: float = 2.0,
    ) -> Journal:
        """Open or make the journal.

        Args:
            path: of the database file; mode 0600 from here on.
            now_ms: UTC ms.
            retention: what `upkeep` keeps.
            conflate_ms: observations without actions are kept once per subject and interval.
            commit_deadline_s: a commit that takes longer counts as failed storage.

        Raises:
            ConfigError: one sentence naming the file: locked, damaged, not writable, full, newer.
        """
        writer = await connect(partial(schema.connect, path, now_ms))
        try:
            birth = await writer.run(schema.read_meta, "birth")
            last_seq = await writer.run(store.last_seq)
            reader = await connect(partial(schema.connect_reader, path))
        except sqlite3.Error as error:
            await writer.close()
            raise ConfigError([schema.explain(path, error)]) from error
        except BaseException:
            await writer.close()
            raise
        return cls(
            path,
            writer,
            reader,
            retention=retention,
            conflate_ms=conflate_ms,
            commit_deadline_s=commit_deadline_s,
            birth=base36(int(birth or now_ms)),
            last_seq=last_seq,
        )

    # ------------------------------------------------------------ writing

    @property
    def failure(self) -> str | None:
        """Why the journal takes no writes at present; None = it does."""
        return self._failure

    @property
    def task(self) -> asyncio.Task[None]:
        """The writer, for supervision: it never ends by itself."""
        return self._task

    def enqueue(
        self, event: events.Event, decided: Sequence[actions.Action], ts_ms: int
    ) -> asyncio.Future[int]:
        """Hand in an event and what was decided on it, as one transaction.

        Returns:
            A future of the last sequence number, done once it is durable. It fails with
            StorageError while storage fails; the rows are kept and written when it returns.

        Raises:
            CodecError: a record cannot be written; nothing was kept.
        """
        batch = rows.batch(self.last_seq + 1, ts_ms, [event, *decided])
        batch.done = asyncio.get_running_loop().create_future()
        self.last_seq = batch.seq
        self._push(batch)
        return batch.done

    async def append(
        self, event: events.Event, decided: Sequence[actions.Action], ts_ms: int
    ) -> int:
        """Write an event and its actions; durable when this returns.

        Raises:
            StorageError: not written, or not within the deadline.
            CodecError: a record cannot be written.
        """
        return await self.enqueue(event, decided, ts_ms)

    def note(self, event: events.Event, ts_ms: int) -> None:
        """Keep an event that led to nothing; never waits. Observations are conflated.

        Raises:
            CodecError: the event cannot be written.
        """
        kind = type(event)
        if kind in rows.PASSING:
            return
        if kind in rows.CONFLATED and self._conflate_ms:
            key = (event.kind, rows.subject(event))
            if ts_ms < self._seen_ms.get(key, 0):
                return
            self._seen_ms[key] = ts_ms - ts_ms % self._conflate_ms + self._conflate_ms
        batch = rows.batch(self.last_seq + 1, ts_ms, [event])
        self.last_seq = batch.seq
        self._push(batch, may_wait=True)

    def quarantine(self, event: events.Event, error: str, ts_ms: int) -> None:
        """Set aside an event that broke the engine; it is never folded."""
        try:
            body = codec.encode(event).body
        except CodecError:
            body = repr(event)
        row = (ts_ms, event.kind, rows.clean(body), rows.clean(error))
        self._push(rows.Batch(seq=self.last_seq, quarantine=row))

    async def save_checkpoint(self, state: dict[str, Any], seq: int, ts_ms: int) -> None:
        """Keep the state as of `seq`, in turn with the records before it.

        Raises:
            StorageError: not written.
        """
        if self._failure:
            # One that waits for the disk is enough.
            self._pending = deque(batch for batch in self._pending if batch.checkpoint is None)
            self._pending_rows = sum(batch.size for batch in self._pending)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._push(rows.Batch(seq=seq, checkpoint=(seq, ts_ms, state), done=done))
        await done

    def unwritten(self, after_seq: int) -> Iterator[Row]:
        """Yield the records that wait for the disk, in order, of those after a number.

        Raises:
            CodecError: a record cannot be read.
        """
        for batch in (*self._in_flight, *self._pending):
            for seq, ts_ms, _, kind, version, _, body in batch.records:
                if seq > after_seq:
                    yield Row(seq, ts_ms, codec.decode(kind, version, body))

    async def flush(self) -> None:
        """Wait until everything handed in is durable.

        Raises:
            StorageError: storage fails.
        """
        while self._pending or self._in_flight:
            if self._failure:
                raise StorageError(self._failure)
            if self._pending:
                self._wake()
            await self._idle.wait()

    async def probe(self) -> bool:
        """While storage fails, try to write what has waited; True = it takes writes again."""
        if self._failure is None:
            return True
        if not self.is_stalled and not self._task.done():
            self._failure = None
            if not self._pending:
                self._pending.append(rows.Batch(seq=self.last_seq))
            self._wake()
            await self._idle.wait()
        return self._failure is None

    def _push(self, batch: rows.Batch, *, may_wait: bool = False) -> None:
        self._pending.append(batch)
        self._pending_rows += batch.size
        self._bound()
        if self._failure:
            _fail(self._failure, batch)
        elif not may_wait:
            self._wake()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(NOTE_DELAY_S, self._wake)

    def _bound(self) -> None:
        while self._pending_rows > MAX_PENDING:
            batch = self._pending.popleft()
            self._pending_rows -= batch.size
            self.lost_rows += len(batch.records)
            _fail("too many rows wait for the disk", batch)

    def _wake(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._idle.clear()
        self._work.set()

    async def _write_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._pending and self._failure is None:
                await self._write_group()
            self._idle.set()

    async def _write_group(self) -> None:
        """Write all that waits in one transaction."""
        group = self._in_flight = list(self._pending)
        self._pending.clear()
        self._pending_rows = 0
        self._stall_timer = asyncio.get_running_loop().call_later(self._deadline_s, self._suspect)
        try:
            await self.writer.run_then(partial(self._settle, group), store.write, group)
        except sqlite3.Error as error:
            self._failure = schema.explain(self.path, error)
            self._put_back(group)
        except BaseException as error:
            _fail(f"the writer of {self.path} ended: {error!r}", *group)
            raise
        else:
            self._log.written(group)
        finally:
            self._take_out()

    def _settle(self, group: list[rows.Batch]) -> None:
        """Tell whoever waits that a group is durable: at once, before the writer has its turn."""
        self._failure = None
        self.written_seq = max(self.written_seq, group[-1].seq)
        self._take_out()
        for batch in group:
            if batch.done and not batch.done.done():
                batch.done.set_result(batch.seq)

    def _take_out(self) -> None:
        self._stall_timer.cancel()
        self.is_stalled = False
        self._in_flight = []

    def _writer_ended(self, task: asyncio.Task[None]) -> None:
        """Let nobody wait for a writer that is gone; supervision ends the process."""
        error = None if task.cancelled() else task.exception()
        self._failure = f"the writer of {self.path} ended" + (f": {error!r}" if error else "")
        _fail(self._failure, *self._in_flight, *self._pending)
        self._idle.set()

    def _put_back(self, group: list[rows.Batch]) -> None:
        self._pending.extendleft(reversed(group))
        self._pending_rows += sum(batch.size for batch in group)
        _fail(str(self._failure), *self._pending)
        self._bound()

    def _suspect(self) -> None:
        # After the whole process stood still the answer may be waiting right behind this timer.
        self._stall_timer = asyncio.get_running_loop().call_later(0.05, self._stall)

    def _stall(self) -> None:
        """The disk hangs: whoever waits goes on without it; the write may still succeed."""
        self.is_stalled = True
        self._failure = f"{self.path} took longer than {self._deadline_s:g} s to write"
        _fail(self._failure, *self._in_flight, *self._pending)
        self._idle.set()

    # ------------------------------------------------------------ upkeep

    async def prune(self, retention: rows.Retention, now_ms: int) -> None:
        """Delete what is past its age, in portions between which decisions are written.

        Raises:
            StorageError: the file cannot be written.
        """
        try:
            has_more = True
            while has_more:
                has_more = await self.writer.run(pruning.prune, retention, now_ms)
        except sqlite3.Error as error:
            raise StorageError(schema.explain(self.path, error)) from error

    async def backup(self, target: Path) -> None:
        """Write a consistent copy while the journal stays in use.

        Raises:
            StorageError: the copy could not be written; `target` exists or has no room.
        """
        try:
            await self._reader.run(store.backup, target)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(schema.explain(target, error)) from error

    async def upkeep(self, now_ms: int) -> None:
        """Apply retention, then replace `<name>.backup` by a fresh copy.

        Raises:
            StorageError: the file or the copy cannot be written.
        """
        await self.prune(self._retention, now_ms)
        fresh = self.path.with_suffix(".backup.new")
        fresh.unlink(missing_ok=True)
        await self.backup(fresh)
        fresh.replace(self.path.with_suffix(".backup"))

    async def close(self) -> None:
        """Write what waits, then close the file."""
        with contextlib.suppress(StorageError):
            await self.flush()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._log.end()
        await self._reader.close()
        await self.writer.close()


def base36(number: int) -> str:
    """Write a number >= 0 with the digits 0-9 and a-z."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while True:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
        if not number:
            return text


def _fail(reason: str, *batches: rows.Batch) -> None:
    for batch in batches:
        if batch.done and not batch.done.done():
            batch.done.set_exception(StorageError(reason))
            # Whoever asked may have gone; the failure is kept in `failure` as well.
            batch.done.exception()
