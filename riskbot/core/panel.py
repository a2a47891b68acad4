"""Panel: daily returns of everything that has a history, side by side, made once a day.

Histories come from `analysis`; what a book of today would have made on those days is `appraisal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from riskbot.core.histories import DailySeries
from riskbot.core.stats import returns, volatility
from riskbot.core.stats._arrays import FloatArray, IntArray
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
        own_days: shape (n,), days that are the asset's own; the rest is its beta times the
            benchmark.
        volatility: shape (n,), EWMA of the daily returns, NaN = unknown.
        turnover_usd: shape (n,), traded USD per day, NaN = unknown.
        row_days: shape (t,), the day each row ends on, in days since 1970-01-01.
    """

    columns: Mapping[str, int]
    returns: FloatArray
    own_days: IntArray
    volatility: FloatArray
    turnover_usd: FloatArray
    row_days: IntArray

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
        place = self.columns.get(underlying)
        return place is not None and bool(np.isfinite(self.volatility[place]))

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


def build(series: Mapping[str, DailySeries]) -> Panel | None:
    """Lay histories side by side, the newest day last.

    Args:
        series: by underlying.

    Returns:
        None while nothing has a month of returns.
    """
    known = {name: each for name, each in sorted(series.items()) if each.closes}
    newest = max((each.last_day or 0 for each in known.values()), default=None)
    if newest is None:
        return None
    # What ended long ago, by delisting, is judged on the days since by its beta.
    rows = [(each.first_day, each.closes) for each in known.values()]
    closes = returns.aligned(rows, newest, DAYS + 1)
    own = returns.simple_returns(closes)
    counted = (~np.isnan(own)).sum(axis=0)
    if counted.max(initial=0) < returns.MIN_DAYS:
        return None
    names = list(known)
    if BENCHMARK in known and counted[names.index(BENCHMARK)] >= returns.MIN_DAYS:
        whole = returns.complete(own, names.index(BENCHMARK))
    else:
        seen = ~np.isnan(own)
        market = np.full((len(own), 1), np.nan)
        np.divide(
            np.nansum(own, axis=1, keepdims=True),
            seen.sum(axis=1, keepdims=True),
            out=market,
            where=seen.any(axis=1, keepdims=True),
        )
        whole = returns.complete(np.hstack([own, market]), len(names))
    found = np.asfortranarray(whole.returns[:, : len(names)])
    turnovers = [each.turnover_usd for each in known.values()]
    return Panel(
        columns={name: place for place, name in enumerate(names)},
        returns=found,
        own_days=whole.own_days[: len(names)],
        volatility=volatility.ewma_volatilities(found),
        turnover_usd=np.array([np.nan if usd is None else usd for usd in turnovers]),
        row_days=newest - DAYS + 1 + whole.rows,
    )
