"""How near a position is to liquidation, by price."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_PRICE, Limit, Reading, near, position_subject

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class LiquidationDistance(Limit):
    """Smallest abs(mark - liquidation price) over mark of a position.

    A position without a liquidation price has none to be near to; no such position at all is an
    infinite distance, utilization 0.
    """

    name: ClassVar[str] = "liquidation_distance"
    family: ClassVar[str] = "margin"
    is_min: ClassVar[bool] = True
    highest: ClassVar[float] = 1.0
    is_per_account: ClassVar[bool] = True
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})

    def read(self, book: ScopeBook) -> list[Reading]:
        legs = [leg for leg in book.legs if leg.liquidation_price is not None and leg.quantity]
        used = [
            self.allowed / distance if (distance := leg.liquidation_distance) else float("inf")
            for leg in legs
        ]
        readings = [
            Reading(legs[n].liquidation_distance, position_subject(legs[n].key), NO_PRICE)
            for n in near(self, used)
        ]
        readings.sort(key=lambda r: -1.0 if r.value is None else r.value)
        return readings or [Reading(float("inf"))]
