"""Which rows of the venue's ledger were passed on, and how far back the next read must reach."""

from __future__ import annotations

from collections.abc import Iterable

from riskbot.core import events

EVERY_S = 120.0
"""Rows of funding, fees and transfers are read so often, also while nothing is unexplained."""

FIRST_MS = 3 * 86_400_000
OVERLAP_MS = 3_600_000
"""How far the first read reaches back (riskbot may have been away), and how much later ones
overlap: venues book some rows late."""

MEMORY = 5_000


class Ledger:
    """What is known of one account's ledger; rows are passed on once."""

    def __init__(self) -> None:
        self._read_ms: int | None = None
        self._seen: dict[str, None] = {}

    def since_ms(self, now_ms: int) -> int:
        """Return from when on rows must be read."""
        return now_ms - FIRST_MS if self._read_ms is None else self._read_ms - OVERLAP_MS

    def fresh(
        self, rows: Iterable[events.LedgerEntryBooked], began_ms: int
    ) -> list[events.LedgerEntryBooked]:
        """Return the rows that were not passed on yet; the read that began then is done."""
        self._read_ms = began_ms
        found = [row for row in rows if row.entry_id not in self._seen]
        self._seen.update(dict.fromkeys(row.entry_id for row in found))
        while len(self._seen) > MEMORY:
            del self._seen[next(iter(self._seen))]
        return found
