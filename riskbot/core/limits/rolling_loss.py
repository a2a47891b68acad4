"""What the last hours or days have lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from riskbot.core.limits._base import NO_NAV, Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class RollingLoss(Limit):
    """Largest loss over a sliding window, over NAV at its start.

    Attributes:
        window: `24h` or `7d`.
    """

    name: ClassVar[str] = "rolling_loss"
    family: ClassVar[str] = "loss"
    highest: ClassVar[float] = 1.0
    default_levels: ClassVar[tuple[float, float]] = (0.5, 0.75)
    is_loss: ClassVar[bool] = True
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    window: Literal["24h", "7d"] = "24h"

    def read(self, book: Totals) -> list[Reading]:
        losses = book.losses
        value = losses.rolling_loss_24h if self.window == "24h" else losses.rolling_loss_7d
        return [Reading(value, reason=NO_NAV)]
