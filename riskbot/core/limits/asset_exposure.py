"""How much hangs on one underlying."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, keyed_readings, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class AssetExposure(Limit):
    """Largest gross of one underlying over E.

    Attributes:
        netted: long and short of the underlying are set off first: abs(sum of notional).
    """

    name: ClassVar[str] = "asset_exposure"
    highest: ClassVar[float] = 10.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True

    netted: bool = False

    def read(self, book: ScopeBook) -> list[Reading]:
        amounts = {
            key: abs(sums.net) if self.netted else sums.gross
            for key, sums in book.underlyings.items()
        }
        shares = book.key_shares(amounts, book.unpriced_keys("underlying"))
        return keyed_readings(shares, why_unknown(book))
