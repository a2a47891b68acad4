"""Slow statistics of books: how good their VaR was, at today's volatility, and what moves together.

Computed outside the guard's loop from the same histories as the quick ones (`appraisal`); the
answer comes back as an event.
"""

from __future__ import annotations

import math

import numpy as np

from riskbot.core import actions, events, panel
from riskbot.core.histories import BookSketch, DailySeries, Study
from riskbot.core.panel import BENCHMARK, Panel
from riskbot.core.stats import backtest, correlation, var, volatility
from riskbot.core.stats._arrays import FloatArray, IntArray
from riskbot.core.stats.var import DAYS

GROUP_DAYS = 90
"""Correlations, and the groups found by them, are read from so many days."""

NORMAL_95 = 1.6448536269514722
"""Quantile of the normal distribution at 95 %."""


class Studies:
    """Answers questions by the history it was told of."""

    def __init__(self) -> None:
        self._series: dict[str, DailySeries] = {}
        self._year: Panel | None = None
        self._years: Panel | None = None
        self._groups: tuple[tuple[str, ...], ...] = ()
        self._is_behind = False

    def take(self, history: events.PriceHistoryRead) -> None:
        """Take history: what was known of each underlying is replaced."""
        self._series.update({each.underlying: each for each in history.series})
        self._is_behind = True

    def _catch_up(self) -> None:
        """Lay side by side what was told since the last question."""
        if self._is_behind:
            self._year = panel.build(self._series)
            self._years = panel.build(self._series, 2 * DAYS)
            self._groups = () if self._year is None else groups(self._year)
            self._is_behind = False

    def answer(self, question: actions.AnalyzeRisk) -> events.RiskAnalyzed:
        """Study every book of a question."""
        self._catch_up()
        return events.RiskAnalyzed(
            request_id=question.request_id,
            as_of_ms=question.as_of_ms,
            studies=tuple(self._study(book) for book in question.books),
            groups=self._groups,
        )

    def _study(self, book: BookSketch) -> Study:
        year, years = self._year, self._years
        if year is None or years is None:
            return Study(book.scope, note="no price history is known yet")
        exposures, missing = year.vector(book.exposures)
        if missing:
            return Study(book.scope, note=f"no price history of {', '.join(sorted(missing))}")
        held = np.flatnonzero(exposures)
        figures = _filtered(year, exposures) | _normal(year, exposures, held)
        figures |= _together(year, exposures, held)
        figures |= _tested(years, years.vector(book.exposures)[0])
        return Study(book.scope, figures)


def groups(known: Panel) -> tuple[tuple[str, ...], ...]:
    """Return the underlyings that moved together lately, in groups of at least two."""
    found = correlation.correlations(known.log_returns[-GROUP_DAYS:])
    return correlation.groups(found.sample, [*known.columns])


Figures = dict[str, float | None]


def _filtered(known: Panel, exposures_usd: FloatArray) -> Figures:
    """VaR and expected shortfall of returns restated at today's volatility."""
    held = np.flatnonzero(exposures_usd)
    restated = volatility.filtered(known.returns[:, held])
    pnl = var.exposure_pnl(restated, exposures_usd[held])
    found: Figures = {}
    for confidence in (0.95, 0.99):
        tail = var.historical(pnl, confidence)
        found[f"filtered_value_at_risk_{confidence * 100:.0f}_usd"] = tail.var_usd
        found[f"filtered_expected_shortfall_{confidence * 100:.0f}_usd"] = tail.es_usd
    return found


def _normal(known: Panel, exposures_usd: FloatArray, held: IntArray) -> Figures:
    """VaR if returns were normal with the covariance of lately: what fat tails add to."""
    covariance = volatility.ewma_covariance(known.returns[:, held])
    own = exposures_usd[held]
    deviation = math.sqrt(max(float(own @ covariance @ own), 0.0))
    return {"normal_value_at_risk_95_usd": NORMAL_95 * deviation}


def _together(known: Panel, exposures_usd: FloatArray, held: IntArray) -> Figures:
    """Average correlation of what is held, and what the book makes per USD of the benchmark."""
    lately = known.log_returns[-GROUP_DAYS:]
    average = correlation.correlations(lately[:, held]).average
    found: Figures = {"average_correlation": _known(average), "beta_usd": None}
    if known.has(BENCHMARK):
        pnl = var.exposure_pnl(known.returns, exposures_usd)
        beta = correlation.betas(pnl[:, np.newaxis], known.column(BENCHMARK))
        found["beta_usd"] = _known(float(beta[0]))
    return found


def _tested(known: Panel, exposures_usd: FloatArray) -> Figures:
    """How often the book of today would have lost more than its VaR said the evening before."""
    names = ("days", "exceeded", "expected", "kupiec_p", "christoffersen_p")
    pnl = var.exposure_pnl(known.returns, exposures_usd)
    if len(pnl) <= DAYS or not exposures_usd.any():
        return dict.fromkeys((f"backtest_{name}" for name in names), None)
    said = backtest.rolling_var(pnl)
    found = backtest.judged(backtest.exceedances(pnl, said), 0.95)
    values = (
        float(found.days),
        float(found.exceeded),
        found.expected,
        found.frequency.p_value,
        found.independence.p_value,
    )
    return {f"backtest_{name}": value for name, value in zip(names, values, strict=True)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
