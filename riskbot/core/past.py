"""Sub-state of what people look back on: measures through time, decisions, the day, test alerts.

Nothing is decided by it but when the next digest is due.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.audits import Audits
from riskbot.core.daybook import Daybook
from riskbot.core.plain import from_plain, to_plain
from riskbot.core.series import Series
from riskbot.core.trials import Trials


@dataclass(slots=True)
class Past:
    """Four bounded memories."""

    series: Series = field(default_factory=Series)
    audits: Audits = field(default_factory=Audits)
    daybook: Daybook = field(default_factory=Daybook)
    trials: Trials = field(default_factory=Trials)

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        self.series.apply(record, now_ms)
        self.audits.apply(record, now_ms)
        self.daybook.apply(record, now_ms)
        self.trials.apply(record, now_ms)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Past:
        """Return what `dump` wrote."""
        state: Past = from_plain(cls, data)
        return state
