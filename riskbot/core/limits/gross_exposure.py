"""How much is at work in all, long and short added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class GrossExposure(Limit):
    """Largest gross exposure (GLR): sum of abs(notional) over E."""

    name: ClassVar[str] = "gross_exposure"
    highest: ClassVar[float] = 50.0
    is_over_equity: ClassVar[bool] = True
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return [Reading(book.ratio(book.gross_usd), reason=why_unknown(book))]

    def along(self, outlook: Outlook) -> Along | None:
        capital = outlook.book.capital_usd or 1.0
        return {"": lambda x: outlook.gross(x) / capital}
