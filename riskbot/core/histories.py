"""Daily price history, and slow statistics: the words in which they are asked for and told.

Reading history from venues is the business of `riskbot/history/`; what is computed from it, of
`stats` and `studies`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_MS = 86_400_000

HISTORY_DAYS = 760
"""Bars kept of an underlying at most: a year for today's figures, one more to test them on."""

BUNDLED = "bundled"
"""Source of what ships with riskbot."""


@dataclass(frozen=True, slots=True)
class DailySeries:
    """Daily closes of one underlying: one bar per UTC day, contiguous, oldest first.

    Attributes:
        underlying: the coin, as instruments name it.
        source: `account|symbol`, or `bundled`; empty = none was found.
        first_day: day of the first bar, in days since 1970-01-01.
        closes: USD per one coin at the end of each day, > 0; multiplied contracts (1000PEPE) are
            folded. None = a gap: nothing is ever filled in. At most `HISTORY_DAYS`; the last bar
            is of a day that has ended; empty = nothing can be had, and `note` says why.
        turnover_usd: mean traded USD per day over the last 30 days, >= 0; None = unknown.
        note: what people should know: delisted since, renamed from, no history.
    """

    underlying: str
    source: str = ""
    first_day: int = 0
    closes: tuple[float | None, ...] = ()
    turnover_usd: float | None = None
    note: str = ""

    @property
    def last_day(self) -> int | None:
        """Day of the last bar, in days since 1970-01-01; None = there is none."""
        return self.first_day + len(self.closes) - 1 if self.closes else None


@dataclass(frozen=True, slots=True)
class HistoryWanted:
    """An underlying whose history is wanted, and the instrument it is held or traded as.

    Attributes:
        underlying: as instruments name it.
        account: where to ask first.
        symbol: the instrument to prefer there; empty = any that fits.
    """

    underlying: str
    account: str
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class BookSketch:
    """What a scope is exposed to, for slow statistics.

    Attributes:
        scope: of the book.
        equity_usd: real equity, None = unknown.
        exposures: signed delta by underlying, USD.
        gross_usd: of all positions, >= 0: what a change is small or large against.
    """

    scope: str
    equity_usd: float | None
    exposures: dict[str, float]
    gross_usd: float = 0.0

    def moved_since(self, then: BookSketch, share: float) -> bool:
        """Whether exposures changed by more than a share of the gross there was then."""
        names = {**self.exposures, **then.exposures}
        changes = (abs(self.exposures.get(n, 0.0) - then.exposures.get(n, 0.0)) for n in names)
        change_usd = max(sum(changes), abs(self.gross_usd - then.gross_usd))
        return change_usd > share * then.gross_usd


@dataclass(frozen=True, slots=True)
class Study:
    """Slow statistics of one scope.

    Attributes:
        scope: of the book.
        figures: by name, USD where the name says so; None = UNKNOWN.
        note: why figures are missing, empty = none are.
    """

    scope: str
    figures: dict[str, float | None] = field(default_factory=dict)
    note: str = ""


def last_ended_day(now_ms: int) -> int:
    """Return the last UTC day that has ended, in days since 1970-01-01.

    Args:
        now_ms: UTC ms.
    """
    return now_ms // DAY_MS - 1
