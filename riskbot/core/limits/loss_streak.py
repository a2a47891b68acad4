"""How many losses in a row are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class LossStreak(Limit):
    """Largest number of losing round trips in a row."""

    name: ClassVar[str] = "loss_streak"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "count"
    highest: ClassVar[float] = 1_000.0
    is_share: ClassVar[bool] = False
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        count = book.day.get(self.name)
        return [Reading(None if count is None else float(count), reason="fills are not known yet")]
