"""The database file: its tables, how it is opened, and what is said when it cannot be.

Nothing here reads or writes records.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from riskbot.errors import ConfigError
from riskbot.journal import log

VERSION = 1
"""Schema version, kept in `meta`; a newer file is refused."""

BUSY_MS = 2_000
"""How long a statement waits for another process that holds the database."""

_CHECK_BELOW_BYTES = 16 * 1024 * 1024

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, ts_ms INTEGER NOT NULL, class TEXT NOT NULL, kind TEXT NOT NULL,
    version INTEGER NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX records_observed ON records (ts_ms) WHERE class = 'observation';
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, ts_ms INTEGER NOT NULL, record_seq INTEGER NOT NULL,
    body TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE checkpoint (
    seq INTEGER PRIMARY KEY, ts_ms INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, ts_ms INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    error TEXT NOT NULL
);
CREATE TABLE history (
    scope TEXT NOT NULL, measure TEXT NOT NULL, ts_ms INTEGER NOT NULL, value REAL,
    cause TEXT NOT NULL, PRIMARY KEY (scope, measure, ts_ms)
) WITHOUT ROWID;
CREATE INDEX history_time ON history (ts_ms);
"""


def connect(path: Path, now_ms: int) -> sqlite3.Connection:
    """Open the journal for writing, making it where there is none.

    Args:
        path: of the database file; its directory must exist.
        now_ms: UTC ms; the birth of this run's order ids.

    Returns:
        A connection in WAL mode with synchronous=FULL, transactions begun by hand.

    Raises:
        ConfigError: one sentence that names the file: not writable, locked, full, damaged, newer.
    """
    try:
        _create_private(path)
        connection = _open(path)
        try:
            _prepare(connection, path, now_ms)
            log.reserve(path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise ConfigError([explain(path, error)]) from error
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a second connection, so that long reads and backups never hold up a decision.

    Raises:
        ConfigError: as for `connect`.
    """
    if not path.is_file():
        raise ConfigError([f"{path} does not exist: no journal was ever written there"])
    try:
        connection = _open(path)
        connection.execute("PRAGMA query_only=ON")
        return connection
    except sqlite3.Error as error:
        raise ConfigError([explain(path, error)]) from error


def _create_private(path: Path) -> None:
    """Make the file readable by its owner alone before SQLite writes to it; WAL and SHM follow."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, now_ms: int) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone():
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(VERSION),))
        connection.execute("INSERT INTO meta VALUES ('made_ms', ?)", (str(now_ms),))
    version = int(read_meta(connection, "schema") or 0)
    if version != VERSION:
        message = (
            f"{path} has schema version {version}, this riskbot knows {VERSION}: "
            "run the riskbot that wrote it, or restore a backup"
        )
        raise ConfigError([message])
    # A new birth with every run: order ids never repeat, also after a backup was put back or a
    # run ended while the disk took no writes.
    birth = max(now_ms, int(read_meta(connection, "birth") or 0) + 1)
    write_meta(connection, "birth", str(birth))
    connection.execute("COMMIT")
    if path.stat().st_size < _CHECK_BELOW_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)


def read_meta(connection: sqlite3.Connection, name: str) -> str | None:
    """Return a value of the `meta` table, None = absent."""
    row = connection.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
    return row[0] if row else None


def write_meta(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Set a value of the `meta` table."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def explain(path: Path, error: sqlite3.Error | OSError) -> str:
    """Say in one sentence what is wrong with the file and what to do."""
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    low = text.lower()
    if "locked" in low or "busy" in low:
        return f"{path} is locked by another process: stop it (`fuser {path}` names it)"
    if "full" in low or "no space" in low:
        return f"{path} cannot be written, the disk is full: free some space and start again"
    if "not a database" in low or "malformed" in low or "*** in database" in low:
        return (
            f"{path} is damaged ({text}): keep a copy, then "
            f"`sqlite3 {path} .recover | sqlite3 {path}.recovered` and put that in its place, "
            "or restore a backup"
        )
    if isinstance(error, OSError) or "unable to open" in low or "readonly" in low:
        return f"{path} cannot be opened for writing ({text}): check the directory and its owner"
    return f"{path} cannot be used as the journal ({text})"
