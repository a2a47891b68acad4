"""How large one position may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, position_subject

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class PositionSize(Limit):
    """Largest abs(notional) of one position over E."""

    name: ClassVar[str] = "position_size"
    highest: ClassVar[float] = 10.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        notionals = [leg.notional_usd for leg in book.legs]
        amounts = [abs(notional or 0.0) for notional in notionals]
        unknown = [
            position_subject(leg.key)
            for leg, notional in zip(book.legs, notionals, strict=True)
            if notional is None
        ]
        return self.ranked(book, book.legs, amounts, unknown, lambda leg: position_subject(leg.key))

    def along(self, outlook: Outlook) -> Along | None:
        capital = outlook.book.capital_usd or 1.0
        return {outlook.subject: lambda x: outlook.position(x) / capital}
