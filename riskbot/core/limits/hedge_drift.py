"""How far a hedged pair has come apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import NO_PRICE, Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class HedgeDrift(Limit):
    """Largest abs(1 + hedge delta / hedged delta) of a hedged pair."""

    name: ClassVar[str] = "hedge_drift"
    highest: ClassVar[float] = 1.0
    is_hedgeable: ClassVar[bool] = True
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})

    def read(self, book: ScopeBook) -> list[Reading]:
        return keyed_readings({pair.name: pair.drift for pair in book.pairs}, NO_PRICE)
