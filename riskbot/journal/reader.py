"""Reading the journal: records, checkpoints, audit, history; also without a writer, offline.

Long reads use a connection of their own, so that they never hold up a decision.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import aiosqlite

from riskbot import codec
from riskbot.core import model
from riskbot.errors import CodecError, StorageError
from riskbot.journal import schema, store

P = ParamSpec("P")
T = TypeVar("T")

_READ_ROWS = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it was journaled."""

    seq: int
    ts_ms: int
    record: codec.Record


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State as of a sequence number, as the state dumped it."""

    seq: int
    ts_ms: int
    state: dict[str, Any]


class Connection(aiosqlite.Connection):
    """A connection whose thread runs whole functions: one hop for a transaction, not four."""

    async def run(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run `work(connection, ...)` in the connection's thread."""
        execute: Callable[..., Awaitable[T]] = self._execute
        return await execute(work, self._conn, *args, **kw)

    async def run_then(
        self,
        then: Callable[[], None],
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kw: P.kwargs,
    ) -> T:
        """Run `work(connection, ...)`; unless it raises, `then` is called in the loop first of all.

        Whoever awaits this comes back a pass of the loop later.
        """
        loop = asyncio.get_running_loop()

        def told(connection: sqlite3.Connection) -> T:
            result = work(connection, *args, **kw)
            loop.call_soon_threadsafe(then)
            return result

        return await self.run(told)

    def join(self) -> None:
        """Wait for the thread of a connection that could not be opened: it ends at once."""
        self._thread.join()


async def connect(connector: Callable[[], sqlite3.Connection]) -> Connection:
    """Open a connection in a thread of its own."""
    connection = Connection(connector, 64)
    try:
        await connection
    except BaseException:
        connection.join()
        raise
    return connection


class Reader:
    """What can be asked of a journal.

    Attributes:
        path: of the database file.
    """

    def __init__(self, path: Path, connection: Connection) -> None:
        self.path = path
        self._reader = connection

    @classmethod
    async def open_reader(cls, path: Path) -> Reader:
        """Open for reading alone; a running riskbot does not notice.

        Raises:
            ConfigError: one sentence naming the file.
        """
        return Reader(path, await connect(partial(schema.connect_reader, path)))

    async def read(self, after_seq: int = 0) -> AsyncIterator[Row]:
        """Yield the records after a sequence number, in order.

        Raises:
            CodecError: a record cannot be read, named by its number.
            StorageError: the file cannot be read.
        """
        while found := await self._read(store.read_rows, after_seq, _READ_ROWS):
            for seq, ts_ms, kind, version, body in found:
                try:
                    record = codec.decode(kind, version, body)
                except CodecError as error:
                    message = f"{self.path}, record {seq}: {error}"
                    raise CodecError(message) from error
                yield Row(seq, ts_ms, record)
            after_seq = found[-1][0]

    async def load_checkpoint(self, before_seq: int | None = None) -> Checkpoint | None:
        """Return the newest checkpoint (of those before a number), None = there is none.

        Raises:
            StorageError: the file cannot be read.
        """
        row = await self._read(store.read_checkpoint, before_seq)
        return Checkpoint(row[0], row[1], json.loads(row[2])) if row else None

    async def decisions(
        self, *, before_seq: int | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return audited decisions with their hashes, newest first."""
        return await self._read(store.read_decisions, before_seq, limit)

    async def history(
        self, measure: str, since_ms: int, until_ms: int, scope: str = model.PORTFOLIO
    ) -> list[tuple[int, float | None]]:
        """Return (ts_ms, value) of a measure, oldest first; None = it was unknown then."""
        return await self._read(store.read_history, scope, measure, since_ms, until_ms)

    async def quarantined(self) -> list[tuple[int, str, str, str]]:
        """Return (ts_ms, kind, body, error) of the events that were set aside."""
        return await self._read(store.read_quarantine)

    async def verify(self) -> store.AuditReport:
        """Check the hash chain of the audit."""
        return await self._read(store.verify)

    async def _read(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        try:
            return await self._reader.run(work, *args, **kw)
        except sqlite3.Error as error:
            raise StorageError(schema.explain(self.path, error)) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._reader.close()
