"""Sub-state of what is known of prices beyond today, and what it says of a book of today.

Histories come from the history service, slow statistics from the worker, both as events. What is
computed of them is `panel` and `appraisal`; what is asked for is `analyzing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from riskbot.core import actions, appraisal, events, panel
from riskbot.core.histories import BookSketch, DailySeries, Study, last_ended_day
from riskbot.core.limits._base import NO_PRICE
from riskbot.core.panel import Panel
from riskbot.core.plain import VOLATILE, from_plain, to_plain
from riskbot.core.shocking import Table
from riskbot.core.stats import correlation

if TYPE_CHECKING:
    from riskbot.core.exposure import Leg, ScopeBook
    from riskbot.core.marks import Marks
    from riskbot.core.model import Instrument
    from riskbot.core.settings import CoreSettings

RETRY_MS = 3_600_000
"""What could not be had is asked for again after this."""

STUDY_EVERY_MS = 60_000
"""Slow statistics are made anew so often at least."""

STUDY_SOON_MS = 5_000
"""The same when the book changed materially."""

STUDY_BUDGET_MS = 180_000
"""An older answer says nothing of the book of now."""

FOUND = "found_group_exposure"
"""Name of the limit over groups that were found, and of its figure."""

MATERIAL = 0.05
"""Change of a book, as a share of its gross, that is material."""


@dataclass(slots=True)
class Analysis:
    """Price history, as the history service told it.

    Attributes:
        series: by underlying. In no checkpoint: the service tells what it has again at each start.
        asked_ms: when the history of an underlying was asked for last, UTC ms.
        study_id, study_ms, asked_of: of the last question to the worker: its id, when it was
            asked, and the books it was of, by scope.
        studies: the last answer, by scope; `studied_ms` is the time of the books it is of.
        groups: underlyings that moved together lately.
        stressed: what each scenario would do to the portfolio, as worked out last, by name; views
            alone read it. `stressed_ms` is when one was, `stress_turn` which.
    """

    series: dict[str, DailySeries] = field(default_factory=dict, metadata={VOLATILE: True})
    asked_ms: dict[str, int] = field(default_factory=dict, metadata={VOLATILE: True})
    study_id: int = field(default=0, metadata={VOLATILE: True})
    study_ms: int = field(default=0, metadata={VOLATILE: True})
    asked_of: dict[str, BookSketch] = field(default_factory=dict, metadata={VOLATILE: True})
    studies: dict[str, Study] = field(default_factory=dict, metadata={VOLATILE: True})
    studied_ms: int = field(default=0, metadata={VOLATILE: True})
    groups: tuple[tuple[str, ...], ...] = field(default=(), metadata={VOLATILE: True})
    stressed: dict[str, dict[str, Any]] = field(default_factory=dict, metadata={VOLATILE: True})
    stressed_ms: int = field(default=0, metadata={VOLATILE: True})
    stress_turn: int = field(default=-1, metadata={VOLATILE: True})
    _panel: Panel | None = field(default=None, metadata={VOLATILE: True})
    _table: Table | None = field(default=None, metadata={VOLATILE: True})
    _is_built: bool = field(default=False, metadata={VOLATILE: True})

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Analysis:
        """Return what `dump` wrote."""
        state: Analysis = from_plain(cls, data)
        return state

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case events.PriceHistoryRead():
                self.series.update({each.underlying: each for each in record.series})
                self._is_built = False
            case actions.ReadHistory():
                self.asked_ms.update({each.underlying: now_ms for each in record.wanted})
            case actions.AnalyzeRisk():
                self.study_id, self.study_ms = record.request_id, now_ms
                self.asked_of = {each.scope: each for each in record.books}
            case events.RiskAnalyzed() if record.request_id == self.study_id:
                self.studies = {each.scope: each for each in record.studies}
                self.studied_ms, self.groups = record.as_of_ms, record.groups
            case events.Started():
                # What was asked for before a restart may never be answered.
                self.asked_ms.clear()
                self.study_ms = 0
            case _:
                pass

    @property
    def panel(self) -> Panel | None:
        """Daily returns of all that has a history, None while nothing has."""
        if not self._is_built:
            self._panel = panel.build(self.series)
            self._is_built = True
        return self._panel

    def is_wanted(self, underlying: str, now_ms: int) -> bool:
        """Whether the history of an underlying is to be asked for now."""
        known = self.series.get(underlying)
        if known is not None and (known.last_day or 0) >= last_ended_day(now_ms):
            return False
        asked_ms = self.asked_ms.get(underlying)
        return asked_ms is None or now_ms - asked_ms >= RETRY_MS

    def is_study_due(self, books: Sequence[BookSketch], now_ms: int) -> bool:
        """Whether slow statistics of these books are to be made now.

        Args:
            books: of all scopes, as they are now.
            now_ms: UTC ms.
        """
        age_ms = now_ms - self.study_ms
        return age_ms >= STUDY_EVERY_MS or (
            age_ms >= STUDY_SOON_MS and any(self._has_moved(book) for book in books)
        )

    def _has_moved(self, book: BookSketch) -> bool:
        then = self.asked_of.get(book.scope, BookSketch(book.scope, None, {}))
        return book.moved_since(then, MATERIAL)

    def study(self, scope: str, now_ms: int) -> Study | None:
        """Return the slow statistics of a scope, None while they are missing or too old."""
        return self.studies.get(scope) if self._is_studied(now_ms) else None

    def _is_studied(self, now_ms: int) -> bool:
        """Whether the last answer still says something of the book of now."""
        return now_ms - self.studied_ms <= STUDY_BUDGET_MS

    def appraise(
        self,
        book: ScopeBook,
        settings: CoreSettings,
        wanted: Container[str],
        marks: Marks | None = None,
    ) -> None:
        """Fill in what price history and scenarios say of a Book, of the figures wanted."""
        if self._table is None or self._table.settings is not settings:
            self._table = Table(settings)
        found = appraisal.figures(book, self.panel, self._table, wanted, marks)
        if FOUND in wanted:
            self._take_groups(found, book)
        # What-if Books shared these with what they were made from.
        book.stats, book.stats_reasons = found.values, found.reasons

    def _take_groups(self, found: appraisal.Figures, book: ScopeBook) -> None:
        """Add up what is in each group that was found lately."""
        if not self._is_studied(book.now_ms):
            found.unknown(FOUND, "no slow statistics lately")
            return
        if book.unpriced:
            found.unknown(FOUND, NO_PRICE)
            return
        found.values[FOUND] = 0.0
        for members in self.groups:
            held = [sums.gross for name in members if (sums := book.underlyings.get(name))]
            if any(held):
                key = f"{members[0]}+{len(members) - 1}"
                found.values[f"{FOUND}:{key}"] = book.share(math.fsum(held))

    def sigmas(self, leg: Leg) -> float | None:
        """Return how many days' volatility a position is away from liquidation, None = unknown."""
        known, distance = self.panel, leg.liquidation_distance
        if distance is None or known is None or not known.has(leg.underlying):
            return None
        daily = float(known.volatility[known.columns[leg.underlying]])
        return distance / daily if daily > 0 else None

    def correlation(
        self, book_of: Callable[[], ScopeBook], instrument: Instrument, sign: int
    ) -> float | None:
        """Return how much what is bought (+1) or sold (-1) moves with a book, in [-1, 1].

        Args:
            book_of: measures the book, where it comes to that.
            instrument: what is traded.
            sign: see above.

        Returns:
            None where the instrument is held already, the book is empty, or either has no history.
        """
        known = self.panel
        if known is None or not known.has(instrument.underlying):
            return None
        book = book_of()
        if any(leg.key.symbol == instrument.symbol and leg.quantity for leg in book.legs):
            return None
        days = appraisal.days_of(book, known)
        if isinstance(days, str):
            return None
        found = correlation.trade_correlation(
            days.pnl_usd, known.column(instrument.underlying), float(sign)
        )
        return None if math.isnan(found) else found
