"""How far fills land from the mark they were decided at."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals


class Slippage(Limit):
    """Largest worst fill since the day's start against the mark at the decision, per strategy.

    Of orders that came through the gateway; without any there is none. The hold drops at the next
    day's start.
    """

    name: ClassVar[str] = "slippage"
    family: ClassVar[str] = "operation"
    unit: ClassVar[str] = "bps"
    highest: ClassVar[float] = 10_000.0
    is_share: ClassVar[bool] = False
    is_calendar: ClassVar[bool] = True
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "strategy"})
    is_moved_by_orders: ClassVar[bool] = False
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return keyed_readings({key: worst for key, (worst, _) in book.slippage_bps.items()})
