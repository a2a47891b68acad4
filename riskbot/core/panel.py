"""Panel: daily returns of everything that has a history, side by side, made once a day.

Histories come from `analysis`; what a book of today would have made on those days is `appraisal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from riskbot.core.histories import DailySeries
from riskbot.core.stats import returns, volatility
from riskbot.core.stats._arrays import FloatArray, IntArray
from riskbot.core.stats.correlation import MIN_DAYS
from riskbot.core.stats.var import DAYS

BENCHMARK = "BTC"
"""What stands in for the days before an asset was listed; without it, the mean of all assets."""

STALE_DAYS = 3
"""A history that ends earlier than so many days before yesterday says nothing of today."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Returns of the last `DAYS` days, one column per underlying.

    Attributes:
        columns: place of each underlying.
        returns: shape (t, n), simple daily returns, oldest first, Fortran order; a column is
            whole, or NaN all through (`unknown`).
        log_returns: shape (t, n), measured ones alone, NaN = none that day.
        own_days: shape (n,), days that are the asset's own; the rest is its beta times the
            benchmark.
        volatility: shape (n,), EWMA of the daily returns, NaN = unknown.
        turnover_usd: shape (n,), traded USD per day, NaN = unknown.
        row_days: shape (t,), the day each row ends on, in days since 1970-01-01.
        known: underlyings of which returns are known.
        still: underlyings whose price has not moved once: that is no price, and says nothing.
    """

    columns: Mapping[str, int]
    returns: FloatArray
    log_returns: FloatArray
    own_days: IntArray
    volatility: FloatArray
    turnover_usd: FloatArray
    row_days: IntArray
    known: frozenset[str]
    still: frozenset[str] = frozenset()

    @property
    def days(self) -> int:
        """How many days there are."""
        return len(self.returns)

    @property
    def last_day(self) -> int:
        """Day of the last row."""
        return int(self.row_days[-1])

    def has(self, underlying: str) -> bool:
        """Whether returns of an underlying are known."""
        return underlying in self.known

    def column(self, underlying: str) -> FloatArray:
        """Return the daily returns of an underlying that is known, shape (t,)."""
        return self.returns[:, self.columns[underlying]]

    def yearly_volatility(self, underlying: str) -> float:
        """Return the annualised volatility of an underlying that is known, >= 0."""
        return volatility.annualized(float(self.volatility[self.columns[underlying]]))

    def vector(self, exposures_usd: Mapping[str, float]) -> tuple[FloatArray, list[str]]:
        """Lay exposures by underlying along the columns.

        Returns:
            Shape (n,), 0 where nothing is held; and the underlyings that are not known here.
        """
        found = np.zeros(len(self.columns))
        missing = []
        for underlying, usd in exposures_usd.items():
            if self.has(underlying):
                found[self.columns[underlying]] = usd
            elif usd:
                missing.append(underlying)
        return found, missing


def build(series: Mapping[str, DailySeries], days: int = DAYS) -> Panel | None:
    """Lay histories side by side, the newest day last.

    Args:
        series: by underlying.
        days: rows at most.

    Returns:
        None while nothing has a month of returns.
    """
    known = {name: each for name, each in sorted(series.items()) if each.closes}
    newest = max((each.last_day or 0 for each in known.values()), default=None)
    if newest is None:
        return None
    # What ended long ago, by delisting, is judged on the days since by its beta.
    names, rows = list(known), [(each.first_day, each.closes) for each in known.values()]
    closes = returns.aligned(rows, newest, days + 1)
    # What is no price, from wherever it came, is a day without one.
    closes[~((closes > 0) & np.isfinite(closes))] = np.nan
    whole = _completed(returns.simple_returns(closes), names)
    if whole is None:
        return None
    logs = returns.log_returns(closes)[whole.rows]
    turnovers = [np.nan if (usd := each.turnover_usd) is None else usd for each in known.values()]
    volatilities = volatility.ewma_volatilities(logs)
    moved = (logs != 0) & np.isfinite(logs)
    is_still = ~moved.any(axis=0) & np.isfinite(volatilities)
    is_known = np.isfinite(volatilities) & ~is_still
    return Panel(
        columns={name: place for place, name in enumerate(names)},
        returns=np.asfortranarray(whole.returns[:, : len(names)]),
        log_returns=logs,
        own_days=whole.own_days[: len(names)],
        volatility=volatilities,
        turnover_usd=np.array(turnovers),
        row_days=newest - days + 1 + whole.rows,
        known=frozenset(name for name, is_it in zip(names, is_known, strict=True) if is_it),
        still=frozenset(name for name, is_it in zip(names, is_still, strict=True) if is_it),
    )


def _completed(own: FloatArray, names: Sequence[str]) -> returns.Completed | None:
    """Fill what assets have no returns of by the benchmark, which stands in the last column then.

    Returns:
        None where nothing has returns enough.
    """
    seen = ~np.isnan(own)
    counted = seen.sum(axis=0)
    if BENCHMARK in names and counted[names.index(BENCHMARK)] >= MIN_DAYS:
        return returns.complete(own, names.index(BENCHMARK))
    market = np.full((len(own), 1), np.nan)
    total, many = np.nansum(own, axis=1, keepdims=True), seen.sum(axis=1, keepdims=True)
    np.divide(total, many, out=market, where=many > 0)
    if np.isfinite(market).sum() < MIN_DAYS:
        return None
    return returns.complete(np.hstack([own, market]), len(names))
