"""How much hangs on one named group of underlyings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class GroupExposure(Limit):
    """Largest gross of one group named in `groups:` over E."""

    name: ClassVar[str] = "group_exposure"
    highest: ClassVar[float] = 10.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        sums = book.groups
        amounts = [each.gross for each in sums.values()]
        return self.ranked(book, [*sums], amounts, book.unpriced_keys("groups"))

    def along(self, outlook: Outlook) -> Along | None:
        capital = outlook.book.capital_usd or 1.0
        return {
            key: lambda x, key=key: outlook.keyed_gross("group", key, x) / capital  # type: ignore[misc]
            for key in outlook.leg.groups
        }
