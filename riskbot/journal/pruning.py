"""What leaves the journal with age, in portions short enough to stand between two decisions.

Nothing newer than the older checkpoint goes, so that a recovery from either finds its tail.
"""

from __future__ import annotations

import sqlite3

from riskbot.journal.rows import Retention
from riskbot.journal.schema import read_meta, write_meta

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
PORTION = 2_000
"""Rows a portion looks at, at most."""

_SNAPSHOTS_FULL_MS = DAY_MS


def prune(connection: sqlite3.Connection, retention: Retention, now_ms: int) -> bool:
    """Delete one portion in one transaction.

    Returns:
        Whether there may be more to do.
    """
    (safe,) = connection.execute("SELECT coalesce(min(seq), 0) FROM checkpoint").fetchone()
    old_ms = now_ms - retention.observations_days * DAY_MS
    dead_ms = now_ms - retention.decisions_days * DAY_MS
    connection.execute("BEGIN IMMEDIATE")
    try:
        deleted = [
            _delete_observations(connection, safe, old_ms),
            _delete_decisions(connection, safe, dead_ms),
            _delete_audit(connection, dead_ms),
            _delete_history(connection, dead_ms),
        ]
        is_thin = _thin_snapshots(connection, safe, now_ms - _SNAPSHOTS_FULL_MS)
        is_sparse = _thin_history(connection, old_ms)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return any(count >= PORTION for count in deleted) or not (is_thin and is_sparse)


def _delete_observations(connection: sqlite3.Connection, safe: int, old_ms: int) -> int:
    return connection.execute(
        "DELETE FROM records WHERE seq IN (SELECT seq FROM records"
        " WHERE class='observation' AND ts_ms < ? AND seq <= ? ORDER BY ts_ms LIMIT ?)",
        (old_ms, safe, PORTION),
    ).rowcount


def _delete_decisions(connection: sqlite3.Connection, safe: int, dead_ms: int) -> int:
    return connection.execute(
        "DELETE FROM records WHERE seq IN (SELECT seq FROM"
        " (SELECT seq, ts_ms FROM records ORDER BY seq LIMIT ?) WHERE ts_ms < ? AND seq <= ?)",
        (PORTION, dead_ms, safe),
    ).rowcount


def _delete_audit(connection: sqlite3.Connection, dead_ms: int) -> int:
    """Cut the old end of the audit; the hash before the first kept row becomes its anchor."""
    row = connection.execute(
        "SELECT seq, hash FROM (SELECT seq, hash, ts_ms FROM audit ORDER BY seq LIMIT ?)"
        " WHERE ts_ms < ? ORDER BY seq DESC LIMIT 1",
        (PORTION, dead_ms),
    ).fetchone()
    if row is None:
        return 0
    write_meta(connection, "audit_anchor", row[1])
    write_meta(connection, "audit_anchor_seq", str(row[0]))
    return connection.execute("DELETE FROM audit WHERE seq <= ?", (row[0],)).rowcount


def _delete_history(connection: sqlite3.Connection, dead_ms: int) -> int:
    return connection.execute(
        "DELETE FROM history WHERE (scope, measure, ts_ms) IN (SELECT scope, measure, ts_ms"
        " FROM history WHERE ts_ms < ? ORDER BY ts_ms LIMIT ?)",
        (dead_ms, PORTION),
    ).rowcount


def _thin_snapshots(connection: sqlite3.Connection, safe: int, until_ms: int) -> bool:
    """Keep one read per account and hour once they are a day old: they come every few seconds."""
    oldest = "SELECT min(ts_ms) FROM records WHERE class='observation' AND ts_ms >= ?"
    window = _window(connection, "snapshots_thinned_ms", oldest, HOUR_MS, until_ms)
    if window is None:
        return True
    connection.execute(
        "DELETE FROM records WHERE seq IN (SELECT seq FROM (SELECT seq,"
        " row_number() OVER (PARTITION BY subject ORDER BY seq DESC) AS place FROM records"
        " WHERE class='observation' AND kind='AccountSnapshotReceived'"
        " AND ts_ms >= ? AND ts_ms < ? AND seq <= ?) WHERE place > 1)",
        (*window, safe),
    )
    return False


def _thin_history(connection: sqlite3.Connection, until_ms: int) -> bool:
    """Keep the first minute of every hour of rows past full density."""
    oldest = "SELECT min(ts_ms) FROM history WHERE ts_ms >= ?"
    window = _window(connection, "history_thinned_ms", oldest, 6 * HOUR_MS, until_ms)
    if window is None:
        return True
    connection.execute(
        "DELETE FROM history WHERE ts_ms >= ? AND ts_ms < ? AND ts_ms % ? >= 60000",
        (*window, HOUR_MS),
    )
    return False


def _window(
    connection: sqlite3.Connection, cursor: str, oldest: str, width_ms: int, until_ms: int
) -> tuple[int, int] | None:
    """Return the next whole stretch to thin and move the cursor past it; None = all done."""
    done_ms = int(read_meta(connection, cursor) or 0)
    (first_ms,) = connection.execute(oldest, (done_ms,)).fetchone()
    if first_ms is None:
        return None
    start_ms = max(done_ms, first_ms - first_ms % width_ms)
    end_ms = start_ms - start_ms % width_ms + width_ms
    if end_ms > until_ms:
        return None
    write_meta(connection, cursor, str(end_ms))
    return start_ms, end_ms
