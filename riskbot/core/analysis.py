"""Sub-state of what is known of prices beyond today: daily series by underlying.

Nothing is computed here; what is asked for, and from whom, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.histories import DailySeries
from riskbot.core.plain import VOLATILE, from_plain, to_plain


@dataclass(slots=True)
class Analysis:
    """Price history, as the history service told it.

    Attributes:
        series: by underlying. In no checkpoint: the service tells what it has again at each start.
    """

    series: dict[str, DailySeries] = field(default_factory=dict, metadata={VOLATILE: True})

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Analysis:
        """Return what `dump` wrote."""
        state: Analysis = from_plain(cls, data)
        return state

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        if isinstance(record, events.PriceHistoryRead):
            self.series.update({each.underlying: each for each in record.series})
