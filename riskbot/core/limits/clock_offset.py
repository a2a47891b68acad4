"""How far the clocks are apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, reported_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class ClockOffset(Limit):
    """Largest abs(local clock - venue clock), ms."""

    name: ClassVar[str] = "clock_offset"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "ms"
    highest: ClassVar[float] = 3_600_000.0
    is_share: ClassVar[bool] = False
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        readings = reported_readings(self.name, book.operational)
        return [replace(r, value=None if r.value is None else abs(r.value)) for r in readings]
