"""How much rests on one stablecoin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_EQUITY, Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class StableShare(Limit):
    """Largest share of one stablecoin's equity in E."""

    name: ClassVar[str] = "stable_share"
    family: ClassVar[str] = "venue"
    highest: ClassVar[float] = 2.0
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})

    def read(self, book: ScopeBook) -> list[Reading]:
        return keyed_readings(
            {coin: book.equity_share(held) for coin, (held, _, _) in book.stablecoins.items()},
            NO_EQUITY,
        )
