"""How much of the book is one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from riskbot.core.limits._base import Limit, Reading, keyed_readings, near, why_unknown

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
        nets = self._nets(book)
        if book.capital_usd <= 0 and book.legs:
            return keyed_readings(dict.fromkeys(nets, float("inf")))
        base = max(book.gross_usd, self.gross_floor * book.capital_usd)
        if not base:
            return keyed_readings(dict.fromkeys(nets, 0.0))
        keys, amounts = [*nets], [abs(net) for net in nets.values()]
        picked = near(self, amounts, self.allowed * base)
        return keyed_readings({keys[n]: amounts[n] / base for n in picked})

    def _nets(self, book: ScopeBook) -> dict[str, float]:
        if self.by == "underlying":
            return {key: sums.net for key, sums in book.underlyings.items()}
        if self.by == "strategy":
            return {key: sums.net for key, sums in book.strategies.items()}
        pair_of = {key: pair.name for pair in book.pairs for key in pair.keys}
        nets: dict[str, float] = {}
        for leg in book.legs:
            alone = leg.key.symbol if self.by == "instrument" else leg.underlying
            paired = pair_of.get(leg.key) if self.by == "hedged_pair" else None
            key = paired or alone
            nets[key] = nets.get(key, 0.0) + (leg.notional_usd or 0.0)
        return nets
