"""How much of the book is one thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from riskbot.core.limits._base import Limit, Reading, keyed_readings, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook

By = Literal["underlying", "instrument", "strategy", "hedged_pair"]
"""What is counted as one thing."""


class UnderlyingConcentration(Limit):
    """Largest abs(sum of notional) of one thing over max(gross of the book, floor * E) (UCR).

    Attributes:
        gross_floor: share of E the denominator never falls below, so that a small book is not
            concentrated by being small; 0 = the exact ratio.
        by: what one thing is; `hedged_pair` sets a pair's legs off against each other and counts
            what is in no pair by underlying.
    """

    name: ClassVar[str] = "underlying_concentration"
    highest: ClassVar[float] = 1.0
    is_keyed: ClassVar[bool] = True

    gross_floor: float = Field(default=1.0, ge=0)
    by: By = "underlying"

    def read(self, book: ScopeBook) -> list[Reading]:
        if book.unpriced or book.capital_usd is None:
            return [Reading(None, reason=why_unknown(book))]
        sums: dict[str, float] = {}
        for key, amount in self._amounts(book):
            sums[key] = sums.get(key, 0.0) + amount
        if book.capital_usd <= 0 and book.legs:
            return keyed_readings(dict.fromkeys(sums, float("inf")))
        base = max(book.gross_usd, self.gross_floor * book.capital_usd)
        return keyed_readings({key: abs(net) / base if base else 0.0 for key, net in sums.items()})

    def _amounts(self, book: ScopeBook) -> Iterator[tuple[str, float]]:
        if self.by == "underlying":
            yield from ((key, sums.net) for key, sums in book.underlyings.items())
        elif self.by == "strategy":
            yield from ((key, sums.net) for key, sums in book.strategies.items())
        else:
            pair_of = {key: pair.name for pair in book.pairs for key in pair.keys}
            for leg in book.legs:
                alone = leg.key.symbol if self.by == "instrument" else leg.underlying
                paired = pair_of.get(leg.key) if self.by == "hedged_pair" else None
                yield paired or alone, leg.notional_usd or 0.0
