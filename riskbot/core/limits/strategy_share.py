"""How much of the book one strategy makes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_PRICE, Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook

EXTERNAL = "external"
"""The part of the book that no approved order explains."""


class StrategyShare(Limit):
    """Largest share of one strategy in the total gross.

    At the gateway the total counts as E at least: else the first order would be all of it.
    """

    name: ClassVar[str] = "strategy_share"
    highest: ClassVar[float] = 1.0
    is_keyed: ClassVar[bool] = True
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio"})

    def read(self, book: ScopeBook) -> list[Reading]:
        if book.unpriced:
            return [Reading(None, reason=NO_PRICE)]
        total = book.gross_usd
        return keyed_readings(
            {
                name: sums.gross / total if total > 0 else 0.0
                for name, sums in book.strategies.items()
                if name != EXTERNAL
            }
        )

    def along(self, outlook: Outlook) -> Along | None:
        part = outlook.part
        return {} if part is None else {part.strategy: lambda x: outlook.share_of(part, x)}
