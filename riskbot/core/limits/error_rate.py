"""How often venues fail or refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class ErrorRate(Limit):
    """Most errors of venue requests per minute."""

    name: ClassVar[str] = "error_rate"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "/min"
    highest: ClassVar[float] = 100_000.0
    is_share: ClassVar[bool] = False
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return reported_readings(self.name, book.operational)
