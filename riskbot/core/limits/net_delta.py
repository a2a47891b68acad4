"""Delta left open, by underlying and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, both_ways, keyed_readings, near, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class NetDelta(Limit):
    """Largest abs(sum of notional) per underlying and in all, over spot, futures and options.

    Attributes:
        of_equity: `max` is a share of E instead of USD.
    """

    name: ClassVar[str] = "net_delta"
    unit: ClassVar[str] = "USD"
    highest: ClassVar[float] = 1e12
    is_share: ClassVar[bool] = False
    is_keyed: ClassVar[bool] = True
    is_hedgeable: ClassVar[bool] = True

    of_equity: bool = False

    def read(self, book: ScopeBook) -> list[Reading]:
        unpriced = book.unpriced_keys("underlying")
        amounts = {key: abs(sums.delta) for key, sums in book.underlyings.items()}
        total = "+" if book.delta_usd >= 0 else "-"
        amounts[total] = abs(book.delta_usd)
        if unpriced:
            unpriced.append(total)
        keys, figures = [*amounts], [*amounts.values()]
        if self.of_equity:
            return self.ranked(book, keys, figures, unpriced)
        known = {keys[n]: figures[n] for n in near(self, figures, self.allowed)}
        return keyed_readings({**known, **dict.fromkeys(unpriced)}, why_unknown(book))

    def along(self, outlook: Outlook) -> Along | None:
        scale = outlook.book.capital_usd or 1.0 if self.of_equity else 1.0
        key = outlook.leg.underlying
        return {
            **both_ways(outlook.net, scale),
            key: lambda x: abs(outlook.keyed_net("underlying", key, x)) / scale,
        }
