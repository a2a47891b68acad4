"""What runs in the database's own thread: plain functions on a connection, each a transaction.

Nothing here awaits or knows the queue; `journal` calls these through aiosqlite.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riskbot import crashpoint
from riskbot.journal.rows import AuditRow, Batch
from riskbot.journal.schema import read_meta

GENESIS = "0" * 64
"""What the first row of the audit is chained to."""

_CHECKPOINTS_KEPT = 2
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Outcome of a check of the hash chain.

    Attributes:
        rows: rows that were checked.
        head: hash of the last good row.
        broken_seq: first row that does not fit, None = the chain holds.
    """

    rows: int
    head: str
    broken_seq: int | None = None


def audit_hash(previous: str, body: str) -> str:
    """Return the hash of an audit row: SHA-256 over the hash before it and its canonical JSON."""
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def canonical(values: dict[str, Any]) -> str:
    """Return JSON with sorted keys and no spaces, ASCII: the same bytes on every machine."""
    return _CANONICAL.encode(values)


def last_seq(connection: sqlite3.Connection) -> int:
    """Return the highest sequence number ever given, 0 for an empty journal."""
    row = connection.execute(
        "SELECT max(coalesce((SELECT max(seq) FROM records), 0),"
        " coalesce((SELECT max(seq) FROM checkpoint), 0))"
    ).fetchone()
    return int(row[0])


def write(connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
    """Write all batches in one durable transaction, or none of them."""
    crashpoint.reach("journal.before_write")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _write_rows(connection, batches)
        for batch in batches:
            _write_rare(connection, batch)
        crashpoint.reach("journal.in_transaction")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    crashpoint.reach("journal.after_write")


def _write_rows(connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
    """Write what every batch may have, table by table: a statement each, not one per batch."""
    connection.executemany(
        "INSERT INTO records VALUES (?,?,?,?,?,?,?)", [r for b in batches for r in b.records]
    )
    _write_audits(connection, [audit for batch in batches for audit in batch.audits])
    if history := [row for batch in batches for row in batch.history]:
        connection.executemany("INSERT OR REPLACE INTO history VALUES (?,?,?,?,?)", history)


def _write_rare(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.quarantine:
        connection.execute(
            "INSERT INTO quarantine (ts_ms, kind, body, error) VALUES (?,?,?,?)", batch.quarantine
        )
    if batch.checkpoint:
        seq, ts_ms, state = batch.checkpoint
        crashpoint.reach("checkpoint.before_write")
        connection.execute(
            "INSERT OR REPLACE INTO checkpoint VALUES (?,?,?)", (seq, ts_ms, json.dumps(state))
        )
        connection.execute(
            "DELETE FROM checkpoint WHERE seq NOT IN"
            " (SELECT seq FROM checkpoint ORDER BY seq DESC LIMIT ?)",
            (_CHECKPOINTS_KEPT,),
        )
        crashpoint.reach("checkpoint.after_write")


def _write_audits(connection: sqlite3.Connection, audits: Sequence[AuditRow]) -> None:
    if not audits:
        return
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, head = row or (0, read_meta(connection, "audit_anchor") or GENESIS)
    chained = []
    for ts_ms, record_seq, values in audits:
        seq += 1
        body = canonical({"seq": seq, "ts_ms": ts_ms, **values})
        digest = audit_hash(head, body)
        chained.append((seq, ts_ms, record_seq, body, head, digest))
        head = digest
    connection.executemany("INSERT INTO audit VALUES (?,?,?,?,?,?)", chained)


def read_rows(
    connection: sqlite3.Connection, after_seq: int, limit: int
) -> list[tuple[int, int, str, int, str]]:
    """Return the next rows as (seq, ts_ms, kind, version, body), in order."""
    return connection.execute(
        "SELECT seq, ts_ms, kind, version, body FROM records WHERE seq > ? ORDER BY seq LIMIT ?",
        (after_seq, limit),
    ).fetchall()


def read_checkpoint(
    connection: sqlite3.Connection, before_seq: int | None
) -> tuple[int, int, str] | None:
    """Return the newest checkpoint as (seq, ts_ms, body), None = none."""
    row: tuple[int, int, str] | None = connection.execute(
        "SELECT seq, ts_ms, body FROM checkpoint WHERE seq < ? ORDER BY seq DESC LIMIT 1",
        (_bound(before_seq),),
    ).fetchone()
    return row


def _bound(before_seq: int | None) -> int:
    return before_seq if before_seq is not None else 1 << 62


def read_decisions(
    connection: sqlite3.Connection, before_seq: int | None, limit: int
) -> list[dict[str, Any]]:
    """Return audit rows, newest first, with their hash."""
    rows = connection.execute(
        "SELECT body, hash FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        (_bound(before_seq), limit),
    )
    return [{**json.loads(body), "hash": digest} for body, digest in rows]


def read_history(
    connection: sqlite3.Connection, scope: str, measure: str, since_ms: int, until_ms: int
) -> list[tuple[int, float | None]]:
    """Return (ts_ms, value) of one measure, oldest first, both ends included."""
    return connection.execute(
        "SELECT ts_ms, value FROM history WHERE scope=? AND measure=? AND ts_ms BETWEEN ? AND ?"
        " ORDER BY ts_ms",
        (scope, measure, since_ms, until_ms),
    ).fetchall()


def read_quarantine(connection: sqlite3.Connection) -> list[tuple[int, str, str, str]]:
    """Return (ts_ms, kind, body, error) of every event that was set aside."""
    return connection.execute(
        "SELECT ts_ms, kind, body, error FROM quarantine ORDER BY id"
    ).fetchall()


def verify(connection: sqlite3.Connection) -> AuditReport:
    """Check the audit's hash chain from its anchor to its head."""
    head = read_meta(connection, "audit_anchor") or GENESIS
    expected: int | None = None
    count = 0
    for seq, record_ts, body, prev, digest in connection.execute(
        "SELECT seq, ts_ms, body, prev, hash FROM audit ORDER BY seq"
    ):
        stated = _stated(body)
        fits = (
            (expected is None or seq == expected)
            and prev == head
            and digest == audit_hash(head, body)
            and stated == (seq, record_ts)
        )
        if not fits:
            return AuditReport(count, head, seq)
        head, expected, count = digest, seq + 1, count + 1
    return AuditReport(count, head)


def _stated(body: str) -> tuple[Any, Any] | None:
    try:
        values = json.loads(body)
        return values["seq"], values["ts_ms"]
    except (ValueError, KeyError, TypeError):
        return None


def backup(connection: sqlite3.Connection, target: Path) -> None:
    """Write a consistent copy of the live database, readable by its owner alone.

    Raises:
        OSError: the target exists or cannot be made.
        sqlite3.Error: the copy could not be written.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection.execute("PRAGMA query_only=OFF")
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        connection.execute("PRAGMA query_only=ON")
