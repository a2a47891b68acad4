"""Sub-state of measures through time: a minute's rows for a day, an hour's, a day's for a year.

Fed by recorded exposure rows alone, so that a fold of the journal ends in the same place. When a
row is recorded is `history`'s matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from riskbot.core import actions, events

MEASURES = (
    "equity_usd",
    "gross_exposure",
    "net_exposure",
    "drawdown",
    "daily_loss",
    "maintenance_margin",
    "stop_risk",
)
"""What is kept of a recorded row, in this order."""

_WORST = frozenset({"drawdown", "daily_loss", "maintenance_margin", "stop_risk"})
"""Of these a point is the worst of its span; of the others the last."""


class Tier(NamedTuple):
    """How densely, and for how long, points are kept."""

    step_ms: int
    kept: int


TIERS = (Tier(60_000, 1_440), Tier(3_600_000, 192), Tier(86_400_000, 400))
"""A minute for 24 hours, an hour for eight days, a day (UTC) for 400 days."""

Values = tuple[float | None, ...]
"""One value per measure, None = unknown."""


@dataclass(slots=True)
class Series:
    """Points by tier, oldest first: (start of the span in UTC ms, values)."""

    tiers: list[list[tuple[int, Values]]] = field(default_factory=lambda: [[] for _ in TIERS])

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        if not isinstance(record, actions.RecordExposure):
            return
        values = tuple(_finite(record.row.get(name)) for name in MEASURES)
        for tier, points in zip(TIERS, self.tiers, strict=True):
            start_ms = now_ms - now_ms % tier.step_ms
            if points and points[-1][0] == start_ms:
                points[-1] = (start_ms, _joined(points[-1][1], values))
                continue
            points.append((start_ms, values))
            # In bulk: a list forgets its head in O(n).
            if len(points) >= tier.kept + tier.kept // 10:
                del points[: -tier.kept]

    def points(self, measure: str, since_ms: int, until_ms: int) -> list[tuple[int, float | None]]:
        """Return the points of a measure in a window, by the densest tier that reaches back.

        Args:
            measure: one of `MEASURES`.
            since_ms: UTC ms.
            until_ms: UTC ms; the window counts back from here.
        """
        at = MEASURES.index(measure)
        return [
            (ts_ms, values[at])
            for ts_ms, values in self._tier(since_ms)
            if since_ms <= ts_ms <= until_ms
        ]

    def _tier(self, since_ms: int) -> list[tuple[int, Values]]:
        """Return the densest tier that reaches back to a moment, or to all there is."""
        for points, coarser, tier in zip(self.tiers, self.tiers[1:], TIERS[1:], strict=False):
            oldest_ms = coarser[0][0] + tier.step_ms if coarser else 0
            if not points or points[0][0] <= max(since_ms, oldest_ms):
                return points
        return self.tiers[-1]


def _joined(before: Values, after: Values) -> Values:
    return tuple(
        _worse(old, new) if name in _WORST else new
        for name, old, new in zip(MEASURES, before, after, strict=True)
    )


def _worse(old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return old if new is None else new
    return max(old, new)


def _finite(value: float | None) -> float | None:
    """Return what can be drawn: a ratio over no equity is none."""
    return value if value is not None and math.isfinite(value) else None
