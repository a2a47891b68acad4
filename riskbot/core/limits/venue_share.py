"""How much is entrusted to one venue."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_EQUITY, Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class VenueShare(Limit):
    """Largest share of one venue's equity in AUM."""

    name: ClassVar[str] = "venue_share"
    family: ClassVar[str] = "venue"
    highest: ClassVar[float] = 1.0
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio"})

    def read(self, book: ScopeBook) -> list[Reading]:
        return keyed_readings(
            {venue: book.aum_share(equity) for venue, equity in book.venue_equity.items()},
            NO_EQUITY,
        )
