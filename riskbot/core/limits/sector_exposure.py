"""How much hangs on one sector."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class SectorExposure(Limit):
    """Largest gross of one sector over E."""

    name: ClassVar[str] = "sector_exposure"
    highest: ClassVar[float] = 10.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        sums = book.sectors
        amounts = [each.gross for each in sums.values()]
        return self.ranked(book, [*sums], amounts, book.unpriced_keys("sector"))

    def along(self, outlook: Outlook) -> Along | None:
        capital = outlook.book.capital_usd or 1.0
        key = outlook.leg.sector
        return {key: lambda x: outlook.keyed_gross("sector", key, x) / capital}
