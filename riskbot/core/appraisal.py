"""Appraisal: what a bad day would cost a book of today, and how long and dear its way out is.

Read at every full evaluation, on arrays that are made once a day (`panel`). Slow statistics are
made elsewhere and come in as events; limits read all of it from `ScopeBook.stats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from riskbot.core.histories import last_ended_day
from riskbot.core.panel import STALE_DAYS, Panel
from riskbot.core.stats import liquidity, var, volatility
from riskbot.core.stats._arrays import FloatArray

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook

CONFIDENCES = (0.95, 0.99)
"""Confidences that VaR and expected shortfall are read at."""

UNJUDGED_SHARE = 0.01
"""Up to this share of E, what has no history counts as lost whole; beyond it nothing is known."""

NO_HISTORY = "no price history is known yet"
"""Why a figure is unknown, as people read it."""


@dataclass(slots=True)
class Figures:
    """Figures of one scope, and why some are missing.

    Attributes:
        values: by name, or `name:key`; None = UNKNOWN.
        reasons: why a figure is unknown, by its name without a key.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def unknown(self, name: str, reason: str) -> None:
        """Say that a figure is not known."""
        self.values[name] = None
        self.reasons[name] = reason


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """What a book of today would have made on each day of a panel.

    Attributes:
        exposures_usd: shape (n,), signed.
        pnl_usd: shape (t,); what has no history is lost on each of them.
        lost: underlyings without history that are counted as lost whole.
    """

    panel: Panel
    exposures_usd: FloatArray
    pnl_usd: FloatArray
    lost: tuple[str, ...]


def days_of(book: ScopeBook, panel: Panel | None, now_ms: int) -> Days | str:
    """Return what a book would have made on each day, or why that cannot be said."""
    if panel is None:
        return NO_HISTORY
    if panel.last_day < last_ended_day(now_ms) - STALE_DAYS:
        return f"price history ends {last_ended_day(now_ms) - panel.last_day} days ago"
    if book.unpriced:
        return "something held has no usable price"
    if book.equity_usd is None:
        return "equity of an account is not known"
    held = {name: sums.net for name, sums in book.underlyings.items()}
    exposures, missing = panel.vector(held)
    gross_usd = sum(book.underlyings[name].gross for name in missing)
    if gross_usd > UNJUDGED_SHARE * max(book.equity_usd, 0.0):
        return f"no price history of {', '.join(sorted(missing))}"
    pnl = var.exposure_pnl(panel.returns, exposures) + convexity(book, panel) - gross_usd
    return Days(panel, exposures, pnl, tuple(sorted(missing)))


def convexity(book: ScopeBook, panel: Panel) -> FloatArray:
    """Return what gamma adds on each day, shape (t,), USD: half of it times the move squared."""
    found = np.zeros(panel.days)
    for leg in book.legs:
        if leg.gamma and leg.mark_usd and panel.has(leg.underlying):
            found += 0.5 * leg.gamma * (leg.mark_usd * panel.column(leg.underlying)) ** 2
    return found


def figures(book: ScopeBook, panel: Panel | None, now_ms: int) -> Figures:
    """Return every figure of one scope that a panel of returns gives.

    Args:
        book: of the scope.
        panel: of what is held, None = nothing is known yet.
        now_ms: UTC ms.
    """
    found = Figures()
    days = days_of(book, panel, now_ms)
    if isinstance(days, str):
        for name in ("value_at_risk", "expected_shortfall"):
            for suffix in ("", "_99"):
                found.unknown(name + suffix, days)
        found.unknown("volatility", days)
    else:
        _tails(found, book, days)
        _volatilities(found, book, days)
    return found


def _tails(found: Figures, book: ScopeBook, days: Days) -> None:
    for confidence, suffix in zip(CONFIDENCES, ("", "_99"), strict=True):
        tail = var.historical(days.pnl_usd, confidence)
        found.values[f"value_at_risk{suffix}"] = book.equity_share(tail.var_usd)
        found.values[f"expected_shortfall{suffix}"] = book.equity_share(tail.es_usd)


def _volatilities(found: Figures, book: ScopeBook, days: Days) -> None:
    """Annualised EWMA volatility of the book as a share of E, and of what is held."""
    daily_usd = volatility.ewma_volatility(days.pnl_usd)
    found.values["volatility"] = book.equity_share(volatility.annualized(daily_usd))
    panel = days.panel
    for place in np.flatnonzero(days.exposures_usd).tolist():
        pass
