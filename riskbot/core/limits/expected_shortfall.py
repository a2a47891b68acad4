"""What the mean of the worst days may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook

CONFIDENCES = (0.95, 0.99)
"""Confidences that statistics are made for."""


class ExpectedShortfall(Limit):
    """Largest one-day expected shortfall as a share of E.

    Attributes:
        confidence: 0.95 or 0.99.
    """

    name: ClassVar[str] = "expected_shortfall"
    family: ClassVar[str] = "statistics"
    highest: ClassVar[float] = 1.0
    is_over_equity: ClassVar[bool] = True
    needs_statistics: ClassVar[bool] = True

    confidence: float = 0.95

    def own_faults(self) -> list[str]:
        if self.confidence not in CONFIDENCES:
            return [f"confidence: must be 0.95 or 0.99, is {self.confidence:g}"]
        return []

    def read(self, book: ScopeBook) -> list[Reading]:
        figure = self.name if self.confidence == CONFIDENCES[0] else f"{self.name}_99"
        return reported_readings(figure, book.stats, book.stats_reasons)
