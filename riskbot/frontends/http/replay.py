"""What happened to orders lately, so that a listener who comes back is told what it missed."""

from __future__ import annotations

import re
import secrets
from collections import deque
from typing import Any, NamedTuple

KEPT_MAX = 500
"""Events kept of each strategy."""

_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})-([0-9]{1,15})")


class Place(NamedTuple):
    """How far a listener had heard: the last event of an order, and of the audit."""

    order: int
    decision: int


class Replay:
    """Numbers the events of orders and keeps the last ones of each strategy.

    Attributes:
        number: of the last event.
    """

    def __init__(self) -> None:
        # Numbers begin anew with each run: another run's mean nothing here.
        self._run = secrets.token_hex(4)
        self._kept: dict[str, deque[tuple[int, dict[str, Any]]]] = {}
        self._dropped: dict[str, int] = {}
        self.number = 0

    def keep(self, strategy: str, document: dict[str, Any]) -> None:
        """Keep an event; it has the next number."""
        self.number += 1
        kept = self._kept.setdefault(strategy, deque(maxlen=KEPT_MAX))
        if len(kept) == KEPT_MAX:
            self._dropped[strategy] = kept[0][0]
        kept.append((self.number, document))

    def id(self, decision: int | None) -> str:
        """Return the id of what is told now."""
        return f"{self._run}-{self.number}-{decision or 0}"

    def place(self, last_id: str) -> Place | None:
        """Return how far a listener had heard, None = of this run nothing that is known."""
        found = _ID.fullmatch(last_id)
        if found is None or found[1] != self._run or int(found[2]) > self.number:
            return None
        return Place(int(found[2]), int(found[3]))

    def since(self, place: Place, strategy: str | None) -> list[tuple[int, dict[str, Any]]] | None:
        """Return the events of a strategy (None = of all) after a place, None = some are gone."""
        names = list(self._kept) if strategy is None else [strategy]
        if any(self._dropped.get(name, 0) > place.order for name in names):
            return None
        rows = [row for name in names for row in self._kept.get(name, ()) if row[0] > place.order]
        return sorted(rows, key=lambda row: row[0])
