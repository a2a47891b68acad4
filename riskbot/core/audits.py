"""Sub-state of the last decisions, for people who ask what was done lately, and by whom.

The whole audit, hash-chained, is the journal's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.turn import RISKBOT

KEPT = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One decision: see `actions.RecordDecision` for the fields."""

    ts_ms: int
    decision: str
    limit: str
    scope: str
    reason: str
    actor: str
    inputs: dict[str, Any]


@dataclass(slots=True)
class Audits:
    """The last rows, oldest first."""

    rows: list[Row] = field(default_factory=list)

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        if not isinstance(record, actions.RecordDecision):
            return
        row = Row(
            now_ms,
            record.decision,
            record.limit,
            record.scope,
            record.reason,
            record.actor,
            record.inputs,
        )
        self.rows.append(row)
        if len(self.rows) > KEPT:
            del self.rows[0]

    def last(self, count: int, *, people_only: bool = False) -> list[Row]:
        """Return the newest rows, newest first; of people alone if that is asked for."""
        found = [r for r in reversed(self.rows) if not people_only or r.actor != RISKBOT]
        return found[:count]
