"""What holding on costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class FundingCost(Limit):
    """Projected funding of the next 24 h, paid less received, as a share of E; income is 0."""

    name: ClassVar[str] = "funding_cost"
    family: ClassVar[str] = "statistics"
    highest: ClassVar[float] = 1.0
    is_over_equity: ClassVar[bool] = True
    needs_statistics: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        return reported_readings(self.name, book.stats, book.stats_reasons)
