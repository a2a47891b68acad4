"""What is lost if every stop is hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.limits._base import Limit, Reading, why_unknown

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook


class StopRisk(Limit):
    """Largest sum of abs(mark - stop) * abs(quantity) over E.

    A position without a resting reduce-only stop counts as `portfolio.assume_stop` away.
    """

    name: ClassVar[str] = "stop_risk"
    highest: ClassVar[float] = 1.0
    is_over_equity: ClassVar[bool] = True
    reads_totals: ClassVar[bool] = True

    def read(self, book: Totals) -> list[Reading]:
        return [Reading(book.ratio(book.stop_risk_usd), reason=why_unknown(book))]

    def along(self, outlook: Outlook) -> Along | None:
        capital = outlook.book.capital_usd or 1.0
        return {"": lambda x: outlook.risk(x) / capital}
