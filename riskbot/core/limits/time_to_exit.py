"""How long it takes to get out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class TimeToExit(Limit):
    """Longest time to close everything at a share of traded volume, seconds."""

    name: ClassVar[str] = "time_to_exit"
    family: ClassVar[str] = "statistics"
    unit: ClassVar[str] = "s"
    highest: ClassVar[float] = 31_536_000.0
    is_share: ClassVar[bool] = False
    needs_statistics: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        return reported_readings(self.name, book.stats, book.stats_reasons)
