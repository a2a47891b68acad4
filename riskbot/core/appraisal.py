"""Appraisal: what a bad day would cost a book of today, and how long and dear its way out is.

Read at every full evaluation, on arrays that are made once a day (`panel`). Slow statistics are
made elsewhere and come in as events; limits read all of it from `ScopeBook.stats`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from riskbot.core.curved import Options, options_of
from riskbot.core.histories import last_ended_day
from riskbot.core.limits._base import NO_EQUITY, NO_PRICE
from riskbot.core.panel import STALE_DAYS, Panel
from riskbot.core.shocking import Table
from riskbot.core.stats import liquidity, var, volatility
from riskbot.core.stats._arrays import FloatArray

if TYPE_CHECKING:
    from riskbot.core.exposure import Leg, ScopeBook
    from riskbot.core.marks import Marks

CONFIDENCES, SUFFIXES = (0.95, 0.99), ("", "_99")
"""Confidences that VaR and expected shortfall are read at, and what ends the names of each."""

HALF_SPREAD_BPS = 5.0
"""What half the spread is taken for: books of everything are not at hand."""

UNJUDGED_SHARE = 0.01
"""Up to this share of E, what has no history counts as lost whole; beyond it nothing is known."""

FIGURES = (
    "value_at_risk",
    "expected_shortfall",
    "stress_loss",
    "volatility",
    "time_to_exit",
    "exit_cost",
)
"""Names of all figures."""

NO_INPUT = "a volatility, a spread or a funding rate is not known"
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


class Shares(NamedTuple):
    """What one underlying has in VaR and in expected shortfall, USD; < 0: it hedges the others."""

    var_usd: float
    es_usd: float


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """What a book of today would have made on each day of a panel.

    Attributes:
        exposures_usd: shape (n,), signed.
        pnl_usd: shape (t,); what has no history is lost on each of them.
        lost: underlyings without history that are counted as lost whole.
        beside: by underlying, shape (t,), USD, what it makes beside its exposure times its return:
            of options all that delta does not say, of what is lost the whole.
    """

    panel: Panel
    exposures_usd: FloatArray
    pnl_usd: FloatArray
    lost: tuple[str, ...]
    beside: Mapping[str, FloatArray] = field(default_factory=dict)

    def attribute(self, confidence: float) -> tuple[var.Attribution, dict[str, Shares]]:
        """Return a tail, and what each underlying has in it; their sum is the whole."""
        panel = self.panel
        returns, exposures = panel.returns, self.exposures_usd
        if self.beside:
            # Each stands beside the others as one more position, of one dollar that made so much.
            extra = np.column_stack([*self.beside.values()])
            returns = np.hstack([returns, extra])
            exposures = np.concatenate([exposures, np.ones(len(self.beside))])
        found = var.attribute(returns, exposures, confidence, pnl_usd=self.pnl_usd)
        shares: dict[str, Shares] = {}
        for name, place in [
            *((name, place) for name, place in panel.columns.items() if self.exposures_usd[place]),
            *((name, len(panel.columns) + n) for n, name in enumerate(self.beside)),
        ]:
            before = shares.get(name, Shares(0.0, 0.0))
            shares[name] = Shares(
                before.var_usd + float(found.var_components_usd[place]),
                before.es_usd + float(found.es_components_usd[place]),
            )
        return found, shares

    def made(self, row: int) -> dict[str, float]:
        """Return what each underlying would have made on one day, USD."""
        panel = self.panel
        parts = {
            name: float(panel.returns[row, place] * self.exposures_usd[place])
            for name, place in panel.columns.items()
            if self.exposures_usd[place]
        }
        for name, usd in self.beside.items():
            parts[name] = parts.get(name, 0.0) + float(usd[row])
        return parts


def days_of(book: ScopeBook, panel: Panel | None) -> Days | str:
    """Return what a book would have made on each day, or why that cannot be said."""
    if panel is None:
        return NO_HISTORY
    behind = last_ended_day(book.now_ms) - panel.last_day
    if behind > STALE_DAYS:
        return f"price history ends {behind} days ago"
    if book.unpriced:
        return NO_PRICE
    if book.equity_usd is None:
        return NO_EQUITY
    held = {name: sums.net for name, sums in book.underlyings.items()}
    exposures, missing = panel.vector(held)
    options = options_of(book)
    # Options can be without delta in all, and still lose: what has no history is not passed over.
    unseen = (leg.underlying for leg in options if not panel.has(leg.underlying))
    missing = [*dict.fromkeys((*missing, *unseen))]
    gross_usd = sum(book.underlyings[name].gross for name in missing)
    if gross_usd > UNJUDGED_SHARE * max(book.equity_usd, 0.0):
        return _why_missing(panel, sorted(missing))
    beside = _beside(book, panel, missing, options)
    pnl = var.exposure_pnl(panel.returns, exposures)
    for usd in beside.values():
        pnl = pnl + usd
    return Days(panel, exposures, pnl, tuple(sorted(missing)), beside)


def _why_missing(panel: Panel, missing: Sequence[str]) -> str:
    still = [name for name in missing if name in panel.still]
    if still:
        return f"the price of {', '.join(still)} has not moved once in its history"
    return f"no price history of {', '.join(missing)}"


def _beside(
    book: ScopeBook, panel: Panel, missing: Iterable[str], options: Iterable[Leg]
) -> dict[str, FloatArray]:
    """Return what underlyings would have made on each day beside exposure times return, USD."""
    found = {name: np.full(panel.days, -book.underlyings[name].gross) for name in missing}
    known = [leg for leg in options if panel.has(leg.underlying)]
    if known:
        together = Options(known)
        moves = panel.returns[:, [panel.columns[leg.underlying] for leg in known]]
        beyond = together.pnl(moves) - together.delta_usd * moves
        for n, leg in enumerate(known):
            found[leg.underlying] = found.get(leg.underlying, 0.0) + beyond[:, n]
    return found


def figures(
    book: ScopeBook,
    panel: Panel | None,
    table: Table,
    wanted: Container[str] = FIGURES,
    marks: Marks | None = None,
) -> Figures:
    """Return what history and scenarios say of one scope.

    Args:
        book: of the scope.
        panel: of what is held, None = nothing is known yet.
        table: of the scenarios.
        wanted: names of figures, of `FIGURES`: what nobody reads costs nothing.
        marks: spreads and funding rates, None = they are not known.
    """
    found = Figures()
    if "stress_loss" in wanted and (book.unpriced or book.equity_usd is None):
        found.unknown("stress_loss", NO_PRICE if book.unpriced else NO_EQUITY)
    elif "stress_loss" in wanted:
        _stress(found, book, table.losses(book, panel, marks))
    asked = [name for name in _MAKERS if name in wanted]
    days = days_of(book, panel) if asked else ""
    for name in asked:
        if isinstance(days, str):
            found.unknown(name, days)
            if name in _TAILS:
                found.unknown(f"{name}_99", days)
        else:
            _MAKERS[name](found, book, days)
    return found


def _stress(found: Figures, book: ScopeBook, losses: Mapping[str, float | None]) -> None:
    """Losses of the scenarios that a limit reads: most of them need no history."""
    for name, loss_usd in losses.items():
        share = None if loss_usd is None else book.equity_share(loss_usd)
        found.values[f"stress_loss:{name}"] = share
        if share is None:
            found.reasons["stress_loss"] = f"{name}: {NO_INPUT}"


def _value_at_risk(found: Figures, book: ScopeBook, days: Days) -> None:
    for confidence, suffix in zip(CONFIDENCES, SUFFIXES, strict=True):
        usd = var.value_at_risk(days.pnl_usd, confidence)
        found.values[f"value_at_risk{suffix}"] = book.equity_share(usd)


def _expected_shortfall(found: Figures, book: ScopeBook, days: Days) -> None:
    for confidence, suffix in zip(CONFIDENCES, SUFFIXES, strict=True):
        usd = var.expected_shortfall(days.pnl_usd, confidence)
        found.values[f"expected_shortfall{suffix}"] = book.equity_share(usd)


def _volatility(found: Figures, book: ScopeBook, days: Days) -> None:
    """Annualised EWMA volatility of the book as a share of E, and of what is held."""
    daily_usd = volatility.ewma_volatility(days.pnl_usd)
    found.values["volatility"] = book.equity_share(volatility.annualized(daily_usd))
    for name, sums in book.underlyings.items():
        if sums.gross:
            known = days.panel.has(name)
            yearly = days.panel.yearly_volatility(name) if known else None
            found.values[f"volatility:{name}"] = yearly


def _time_to_exit(found: Figures, book: ScopeBook, days: Days) -> None:
    """How long it takes to close all of each underlying."""
    untraded = []
    for name, sums in book.underlyings.items():
        if sums.gross:
            seconds = exit_of(days.panel, name, sums.gross).seconds
            found.values[f"time_to_exit:{name}"] = seconds
            if seconds is None:
                untraded.append(name)
    if not book.underlyings:
        found.values["time_to_exit"] = 0.0
    if untraded:
        found.reasons["time_to_exit"] = _untraded(untraded)


def _exit_cost(found: Figures, book: ScopeBook, days: Days) -> None:
    """What closing everything costs."""
    total_usd, untraded = 0.0, []
    for name, sums in book.underlyings.items():
        cost_usd = exit_of(days.panel, name, sums.gross).cost_usd if sums.gross else 0.0
        if cost_usd is None:
            untraded.append(name)
        total_usd += cost_usd or 0.0
    if untraded:
        found.unknown("exit_cost", _untraded(untraded))
    else:
        found.values["exit_cost"] = book.equity_share(total_usd)


def _untraded(names: Iterable[str]) -> str:
    return f"nobody says how much of {', '.join(sorted(names))} is traded"


_TAILS = ("value_at_risk", "expected_shortfall")

_MAKERS: dict[str, Callable[[Figures, ScopeBook, Days], None]] = {
    "value_at_risk": _value_at_risk,
    "expected_shortfall": _expected_shortfall,
    "volatility": _volatility,
    "time_to_exit": _time_to_exit,
    "exit_cost": _exit_cost,
}


class WayOut(NamedTuple):
    """Closing all of one underlying at once.

    Attributes:
        turnover_usd: traded by all per day, None = unknown.
        seconds: at `liquidity.PARTICIPATION` of it, None = unknown.
        cost_usd: half the spread and the impact of the size, >= 0, None = unknown.
    """

    turnover_usd: float | None
    seconds: float | None
    cost_usd: float | None


def exit_of(panel: Panel, underlying: str, gross_usd: float) -> WayOut:
    """Return how long, and how dear, it is to close all of one underlying.

    Args:
        panel: with turnover and volatility.
        underlying: what is held.
        gross_usd: both sides of it, >= 0.
    """
    place = panel.columns.get(underlying)
    if place is None or math.isnan(panel.turnover_usd[place]):
        return WayOut(None, None, None)
    turnover_usd, daily = float(panel.turnover_usd[place]), float(panel.volatility[place])
    seconds = liquidity.time_to_exit_s(gross_usd, turnover_usd)
    if math.isnan(daily):
        return WayOut(turnover_usd, seconds, None)
    cost_usd = liquidity.impact_usd(gross_usd, turnover_usd, daily, HALF_SPREAD_BPS)
    return WayOut(turnover_usd, seconds, cost_usd)
