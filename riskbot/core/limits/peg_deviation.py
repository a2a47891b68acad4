"""How far a stablecoin is from its peg."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class PegDeviation(Limit):
    """Largest abs(price - 1) of a stablecoin held; UNKNOWN where its price is assumed."""

    name: ClassVar[str] = "peg_deviation"
    family: ClassVar[str] = "venue"
    highest: ClassVar[float] = 1.0
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})

    def read(self, book: ScopeBook) -> list[Reading]:
        return keyed_readings(
            {
                coin: None if is_assumed else abs(price - 1.0)
                for coin, (_, price, is_assumed) in book.stablecoins.items()
            },
            "its price is assumed: no venue states one",
        )
