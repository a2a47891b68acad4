"""How far one account is levered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class Leverage(Limit):
    """Largest gross over real equity of an account."""

    name: ClassVar[str] = "leverage"
    family: ClassVar[str] = "margin"
    highest: ClassVar[float] = 200.0
    is_over_equity: ClassVar[bool] = True
    is_per_account: ClassVar[bool] = True
    is_share: ClassVar[bool] = False
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return [Reading(book.equity_ratio(book.gross_usd), reason=why_unknown(book))]

    def along(self, outlook: Outlook) -> Along | None:
        equity = outlook.book.equity_usd
        if equity is None or equity <= 0:
            return None
        return {"": lambda x: outlook.gross(x) / equity}
