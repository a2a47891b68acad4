"""The write-ahead log as a file: it has its room before it is needed, and is emptied beside it all.

A commit that lengthens a file has the disk write the new length too, which costs as much again as
the commit; one that empties the log waits for the whole database file. Neither is a decision's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from riskbot.journal.rows import Batch

ROOM_BYTES = 2 << 20
"""Length the log has from the start: SQLite writes over what is there, from the beginning."""

FULL_BYTES = 1 << 20
"""The log is emptied when about so much was written to it: half of its room, as a reader that takes
its time keeps it from beginning anew."""

_PAGE = 4_096
_PAGES_OF_A_COMMIT = 4
_ZEROS = bytes(65_536)


def reserve(path: Path) -> None:
    """Give the log of an open database its room, with zeros: SQLite knows that they are no frames.

    Only before anything else writes. Where the disk has no room nothing is taken; the first commit
    takes the rest to the disk with itself.

    Args:
        path: of the database.
    """
    log = path.with_name(f"{path.name}-wal")
    with contextlib.suppress(OSError):
        handle = os.open(log, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _lengthen(handle, os.fstat(handle).st_size)
        finally:
            os.close(handle)


def _lengthen(handle: int, start: int) -> None:
    try:
        for at in range(start, ROOM_BYTES, len(_ZEROS)):
            os.pwrite(handle, _ZEROS[: ROOM_BYTES - at], at)
    except OSError:
        os.ftruncate(handle, start)
        raise


def empty(connection: sqlite3.Connection) -> None:
    """Copy what the log holds to the database file, as far as readers allow; writers go on."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


class Emptying:
    """Has the log emptied when it is half full, while decisions go on being written.

    SQLite itself does it, within a commit, where this does not get to it (1,000 pages).

    Args:
        beside: runs `empty` on a connection that does not write: the long part.
        between: runs it between two commits: what came meanwhile, so that the log begins anew.
    """

    def __init__(
        self, beside: Callable[[], Awaitable[None]], between: Callable[[], Awaitable[None]]
    ) -> None:
        self._beside, self._between = beside, between
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    def written(self, group: Sequence[Batch]) -> None:
        """Take note of a commit. Never waits."""
        self._bytes += _PAGES_OF_A_COMMIT * _PAGE + sum(map(_bytes_of, group))
        if self._bytes >= FULL_BYTES and self._task is None:
            self._bytes = 0
            self._task = asyncio.create_task(self._empty(), name="journal log")

    async def _empty(self) -> None:
        # What fails here is tried again by the next commits, or is seen by one of them.
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self._beside()
            await self._between()
        self._task = None

    async def end(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await self._task


def _bytes_of(batch: Batch) -> int:
    """Return about how much of the log a batch takes: what is audited stands there twice."""
    if batch.checkpoint is not None:
        return FULL_BYTES
    return sum(len(row[-1]) for row in batch.records) * (2 if batch.audits else 1)
