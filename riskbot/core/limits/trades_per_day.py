"""How often a day may trade."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class TradesPerDay(Limit):
    """Largest number of orders with a fill that opened or added, since the day's start."""

    name: ClassVar[str] = "trades_per_day"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "count"
    highest: ClassVar[float] = 1_000_000.0
    is_share: ClassVar[bool] = False
    is_calendar: ClassVar[bool] = True
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        count = book.day.get(self.name)
        return [Reading(None if count is None else float(count), reason="fills are not known yet")]
