"""How far the book leans to one side."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, both_ways, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class NetExposure(Limit):
    """Largest net exposure (NLR): abs(sum of notional) over E.

    The reading's key is the direction, `+` or `-`: orders against it are never denied.
    """

    name: ClassVar[str] = "net_exposure"
    highest: ClassVar[float] = 50.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True
    is_hedgeable: ClassVar[bool] = True
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        value = book.ratio(abs(book.net_usd))
        if value is None:
            return [Reading(None, reason=why_unknown(book))]
        return [Reading(value, "+" if book.net_usd >= 0 else "-")]

    def along(self, outlook: Outlook) -> Along | None:
        return both_ways(outlook.net, outlook.book.capital_usd or 1.0)
