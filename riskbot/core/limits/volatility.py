"""How much the book and what it holds swing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class Volatility(Limit):
    """Largest annualised EWMA volatility, of an instrument and of the book."""

    name: ClassVar[str] = "volatility"
    family: ClassVar[str] = "statistics"
    highest: ClassVar[float] = 20.0
    needs_statistics: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        return reported_readings(self.name, book.stats, book.stats_reasons)
