"""What a known catastrophe would cost today."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class StressLoss(Limit):
    """Largest loss of a stress scenario as a share of E; a reading per scenario."""

    name: ClassVar[str] = "stress_loss"
    family: ClassVar[str] = "statistics"
    highest: ClassVar[float] = 1.0
    is_over_equity: ClassVar[bool] = True
    needs_statistics: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        return reported_readings(self.name, book.stats, book.stats_reasons)
