"""How far NAV is below its high-water mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_NAV, Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class Drawdown(Limit):
    """Largest (peak - now) / peak of NAV per unit."""

    name: ClassVar[str] = "drawdown"
    family: ClassVar[str] = "loss"
    highest: ClassVar[float] = 1.0
    default_levels: ClassVar[tuple[float, float]] = (0.5, 0.75)
    is_loss: ClassVar[bool] = True
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return [Reading(book.losses.drawdown, reason=NO_NAV)]
