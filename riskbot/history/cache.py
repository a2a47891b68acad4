"""The file that keeps histories between runs: `<state_dir>/history.sqlite`.

It holds nothing that cannot be read again: a damaged file is set aside, and where none can be
written all goes on in memory. Written a few times a day, so each write opens the file anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from riskbot.core.histories import DAY_MS
from riskbot.errors import StorageError
from riskbot.history.kept import Kept

_log = logging.getLogger(__name__)

VERSION = 1
BUSY_S = 1.0
UNUSED_DAYS = 45
"""What was not brought up to date for so long is forgotten."""

_TABLES = """
CREATE TABLE series (
    underlying TEXT PRIMARY KEY, account TEXT NOT NULL, symbol TEXT NOT NULL,
    is_active INTEGER NOT NULL, other_names TEXT NOT NULL, note TEXT NOT NULL,
    checked_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE bars (
    underlying TEXT NOT NULL, day INTEGER NOT NULL, close REAL NOT NULL, turnover REAL,
    PRIMARY KEY (underlying, day)
) WITHOUT ROWID;
"""

T = TypeVar("T")


class Cache:
    """Reads the file once and writes to it; no failure of it is anybody else's.

    Attributes:
        problem: why nothing is written any more; empty = it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""

    async def load(self, now_ms: int) -> dict[str, Kept]:
        """Return what the file holds, by underlying; nothing where it cannot be read."""
        try:
            return await asyncio.to_thread(self._with, lambda c: _load(c, now_ms))
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            if _is_of_the_disk(error):
                return self._give_up(error)
            return await self._begin_anew(error)
        except OSError as error:
            return self._give_up(error)

    async def _begin_anew(self, error: Exception) -> dict[str, Kept]:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        _log.warning("price history: %s is set aside as %s (%s)", self.path, aside.name, error)
        try:
            await asyncio.to_thread(os.replace, self.path, aside)
            await asyncio.to_thread(self._with, lambda c: None)
        except (sqlite3.Error, OSError) as failure:
            return self._give_up(failure)
        return {}

    async def store(self, kept: Kept) -> None:
        """Write what is known of one underlying."""
        if self.problem or kept.is_bundled or not kept.bars:
            return
        try:
            await asyncio.to_thread(self._with, lambda c: _write(c, kept))
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> dict[str, Kept]:
        self.problem = str(error)
        _log.warning(
            "price history: %s cannot be used (%s); it is kept in memory, and read from the "
            "venues again after a restart",
            self.path,
            error,
        )
        return {}

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(self.path, BUSY_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                message = f"version {version}, this riskbot knows {VERSION}"
                raise sqlite3.DatabaseError(message)
            result = work(connection)
            connection.execute("COMMIT")
            return result


_OF_THE_DISK = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def _is_of_the_disk(error: Exception) -> bool:
    """Whether the file may be sound, and only cannot be reached or written now."""
    # Extended codes carry the primary one in their lowest byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK


def peek(path: Path, now_ms: int) -> dict[str, Kept]:
    """Return what a cache holds of the days before now, without a trace in it.

    Raises:
        StorageError: there is a file, and it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", BUSY_S, uri=True)) as c:
            (version,) = c.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                message = f"{path} has version {version}, this riskbot knows {VERSION}"
                raise StorageError(message)
            return _read(c, now_ms)
    except (sqlite3.Error, ValueError, TypeError) as error:
        message = f"{path} cannot be read ({error})"
        raise StorageError(message) from error


def _load(connection: sqlite3.Connection, now_ms: int) -> dict[str, Kept]:
    unused_ms = now_ms - UNUSED_DAYS * DAY_MS
    connection.execute("DELETE FROM series WHERE checked_ms < ?", (unused_ms,))
    connection.execute("DELETE FROM bars WHERE underlying NOT IN (SELECT underlying FROM series)")
    return _read(connection, now_ms)


def _read(connection: sqlite3.Connection, now_ms: int) -> dict[str, Kept]:
    found = {}
    for name, account, symbol, is_active, others, note, checked_ms in connection.execute(
        "SELECT underlying, account, symbol, is_active, other_names, note, checked_ms FROM series"
    ):
        found[name] = Kept(
            underlying=name,
            account=account,
            symbol=symbol,
            is_active=bool(is_active),
            other_names=tuple(others.split()),
            note=note,
            checked_ms=min(checked_ms, now_ms),
        )
    today = now_ms // DAY_MS
    for name, day, close, turnover in connection.execute(
        "SELECT underlying, day, close, turnover FROM bars"
        " WHERE day < ? AND close > 0 ORDER BY day",
        (today,),
    ):
        traded = None if turnover is None else float(turnover)
        found[name].bars.put(int(day), float(close), traded)
    return {name: kept for name, kept in found.items() if kept.bars}


def _write(connection: sqlite3.Connection, kept: Kept) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            kept.underlying,
            kept.account,
            kept.symbol,
            int(kept.is_active),
            " ".join(kept.other_names),
            kept.note,
            kept.checked_ms,
        ),
    )
    connection.execute("DELETE FROM bars WHERE underlying = ?", (kept.underlying,))
    rows = [(kept.underlying, *row) for row in kept.bars.rows()]
    connection.executemany("INSERT INTO bars VALUES (?, ?, ?, ?)", rows)
