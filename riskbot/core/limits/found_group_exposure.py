"""How much is in one group of underlyings that moved together lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings
from riskbot.core.model import Response

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class FoundGroupExposure(Limit):
    """Largest gross of a group found from returns (correlation >= 0.8 over 90 days) over E.

    Groups come and go with the market, so it only alerts; `group_exposure` holds the named ones.
    """

    name: ClassVar[str] = "found_group_exposure"
    family: ClassVar[str] = "statistics"
    highest: ClassVar[float] = 10.0
    needs_statistics: ClassVar[bool] = True

    def own_faults(self) -> list[str]:
        if self.on_breach is not Response.ALERT or self.on_approach:
            return ["on_breach: groups found from returns only alert"]
        return []

    def read(self, book: ScopeBook) -> list[Reading]:
        return reported_readings(self.name, book.stats, book.stats_reasons)
