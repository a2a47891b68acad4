"""How far fills land from the price decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class Slippage(Limit):
    """Largest worst fill against the reference mark at the decision, bps, per strategy."""

    name: ClassVar[str] = "slippage"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "bps"
    highest: ClassVar[float] = 10_000.0
    is_share: ClassVar[bool] = False
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "strategy"})

    def read(self, book: ScopeBook) -> list[Reading]:
        if not book.slippage_bps:
            return [Reading(None, reason="no fill was measured yet")]
        return keyed_readings({key: worst for key, (worst, _) in book.slippage_bps.items()})
