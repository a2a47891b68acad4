"""How many positions may be open."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class OpenPositions(Limit):
    """Largest number of positions above dust."""

    name: ClassVar[str] = "open_positions"
    unit: ClassVar[str] = "count"
    highest: ClassVar[float] = 10_000.0
    is_share: ClassVar[bool] = False
    is_keyed: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        return [Reading(float(sum(not leg.is_dust for leg in book.legs)))]

    def along(self, outlook: Outlook) -> Along | None:
        return {"": lambda x: float(outlook.count(x))}
