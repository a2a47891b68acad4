"""How old the picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class FeedAge(Limit):
    """Largest age of a feed's last sign of life, seconds."""

    name: ClassVar[str] = "feed_age"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "s"
    highest: ClassVar[float] = 86_400.0
    is_share: ClassVar[bool] = False
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return reported_readings(self.name, book.operational)
