"""How much is entrusted to venues at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_EQUITY, Limit, Reading

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class OnExchangeShare(Limit):
    """Largest share of all venues' equity in AUM (equity plus `off_exchange`)."""

    name: ClassVar[str] = "on_exchange_share"
    family: ClassVar[str] = "venue"
    highest: ClassVar[float] = 1.0
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio"})

    def read(self, book: ScopeBook) -> list[Reading]:
        return [Reading(book.aum_share(sum(book.venue_equity.values())), reason=NO_EQUITY)]
