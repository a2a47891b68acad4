"""How much hangs on one underlying."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class AssetExposure(Limit):
    """Largest gross of one underlying over E.

    Attributes:
        netted: long and short of the underlying are set off first: abs(sum of notional).
    """

    name: ClassVar[str] = "asset_exposure"
    highest: ClassVar[float] = 10.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True

    netted: bool = False

    def read(self, book: ScopeBook) -> list[Reading]:
        sums = book.underlyings
        if self.netted:
            amounts = [abs(each.net) for each in sums.values()]
        else:
            amounts = [each.gross for each in sums.values()]
        return self.ranked(book, [*sums], amounts, book.unpriced_keys("underlying"))

    def along(self, outlook: Outlook) -> Along | None:
        capital = outlook.book.capital_usd or 1.0
        key = outlook.leg.underlying
        if self.netted:
            return {key: lambda x: abs(outlook.keyed_net("underlying", key, x)) / capital}
        return {key: lambda x: outlook.keyed_gross("underlying", key, x) / capital}
