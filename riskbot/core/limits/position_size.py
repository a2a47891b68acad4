"""How large one position may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, keyed_readings, position_subject, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook


class PositionSize(Limit):
    """Largest abs(notional) of one position over E."""

    name: ClassVar[str] = "position_size"
    highest: ClassVar[float] = 10.0
    is_over_equity: ClassVar[bool] = True
    is_keyed: ClassVar[bool] = True

    def read(self, book: ScopeBook) -> list[Reading]:
        return keyed_readings(
            {
                position_subject(leg.key): (
                    None if leg.notional_usd is None else book.share(abs(leg.notional_usd))
                )
                for leg in book.legs
            },
            why_unknown(book),
        )
