"""Daily returns from closes, and what to do about days that an asset has none of.

A gap is never filled by the last price: that hides the volatility of the days it covers. Closes
themselves, and where they come from, are `histories`' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskbot.core.stats import correlation
from riskbot.core.stats._arrays import (
    FloatArray,
    IntArray,
    columns,
    indexes,
    matrix,
    places,
)

BETA_FLOOR = 1.0
"""What lists late is rarely calmer than the market: a beta measured on few days may say so."""

TOTAL_LOSS = -1.0
"""The smallest simple return there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Completed:
    """Returns without holes, and how much of them is measured.

    Attributes:
        returns: shape (d, n), d <= t, simple returns; a column is whole, or NaN all through.
        rows: shape (d,), rows of the given returns that were kept, ascending.
        own_days: shape (n,), how many of the d days are the asset's own; the others are the
            benchmark's return times its beta.
        betas: shape (n,), what missing days were filled with; NaN where nothing was missing, or
            nothing could be filled.
        unknown: columns with too few days of their own to say anything; NaN all through.
        constant: columns whose own returns are all equal: a halted market, or a peg. What is
            computed from them is true of the history, and says little.
    """

    returns: FloatArray
    rows: IntArray
    own_days: IntArray
    betas: FloatArray
    unknown: tuple[int, ...]
    constant: tuple[int, ...]


def aligned(
    series: Sequence[tuple[int, Sequence[float | None]]], last_day: int, days: int
) -> FloatArray:
    """Lay daily closes side by side, the newest day in the last row.

    Args:
        series: per asset the day of its first close (days since 1970-01-01) and its closes, one
            per day, oldest first, None = a gap.
        last_day: day of the last row.
        days: rows wanted, >= 0.

    Returns:
        Shape (days, n), NaN where an asset has no close that day.
    """
    closes = np.full((days, len(series)), np.nan)
    first_day = last_day - days + 1
    for column, (start, own) in enumerate(series):
        skipped = max(first_day - start, 0)
        row = max(start - first_day, 0)
        kept = own[skipped : skipped + max(days - row, 0)]
        closes[row : row + len(kept), column] = np.array(kept, dtype=np.float64)
    return closes


def simple_returns(closes: FloatArray, *, span_gaps: bool = False) -> FloatArray:
    """Compute simple returns, which add up over the positions of a book.

    Args:
        closes: shape (t, n), USD, > 0, oldest first, NaN = a gap.
        span_gaps: after a gap, the return since the last close before it, of several days then;
            otherwise NaN.

    Returns:
        Shape (max(t - 1, 0), n): row r is the return that ends on day r + 1, as a fraction > -1;
        NaN where one of its closes is missing.

    Raises:
        ValueError: another shape, or a close that is zero, negative or infinite.
    """
    before, after = _pairs(closes, span_gaps=span_gaps)
    with np.errstate(over="ignore"):
        found = (after - before) / before
    return _finite(found)


def log_returns(closes: FloatArray, *, span_gaps: bool = False) -> FloatArray:
    """Compute log returns, which add up over days; for correlation and volatility.

    Arguments, shape and errors as those of `simple_returns`.
    """
    before, after = _pairs(closes, span_gaps=span_gaps)
    return np.log(after) - np.log(before)


def missing_share(returns: FloatArray) -> FloatArray:
    """Measure what share of each column is missing.

    Args:
        returns: shape (t, n).

    Returns:
        Shape (n,), in [0, 1]; without a single day all is missing.

    Raises:
        ValueError: another shape, or an infinite number.
    """
    known = ~np.isnan(matrix(returns, "returns"))
    if not len(known):
        return np.ones(known.shape[1])
    return np.asarray(1.0 - known.sum(axis=0) / len(known))


def complete(
    returns: FloatArray, benchmark_column: int, min_days: int = correlation.MIN_DAYS
) -> Completed:
    """Fill the days an asset has no return of with its beta times the benchmark's return.

    A book of today is judged on days some of its assets did not exist yet. Leaving those days out
    of the asset would call it riskless then; leaving the days out would forget what the others
    went through. Beta is at least `BETA_FLOOR`; the asset's own noise is missing on filled days,
    so `own_days` is to be shown with what is computed. A day on which the benchmark itself has
    no return is left out.

    Args:
        returns: shape (t, n), simple returns, oldest first, NaN = missing.
        benchmark_column: whose returns stand in, in [0, n).
        min_days: returns an asset needs on days that the benchmark has too, >= 2.

    Raises:
        ValueError: another shape, an infinite number, no such column, or the benchmark itself has
            fewer than `min_days` returns.
    """
    found = matrix(returns, "returns")
    count = found.shape[1]
    if min_days < 2 or not 0 <= benchmark_column < count:
        message = f"benchmark column {benchmark_column} of {count}, min_days {min_days}"
        raise ValueError(message)
    rows = np.flatnonzero(~np.isnan(found[:, benchmark_column]))
    if len(rows) < min_days:
        message = f"benchmark: {len(rows)} returns, fewer than {min_days}"
        raise ValueError(message)
    found = found[rows]
    is_own = ~np.isnan(found)
    is_holed = ~is_own.all(axis=0)
    benchmark = found[:, benchmark_column]
    betas = np.full(count, np.nan)
    slopes = correlation.betas(found[:, is_holed], benchmark, min_days)
    betas[is_holed] = np.maximum(slopes, BETA_FLOOR)
    # What has too few days has no beta, and what has no hole has all of the benchmark's days.
    is_unknown = is_holed & np.isnan(betas)
    filled = np.maximum(betas * benchmark[:, np.newaxis], TOTAL_LOSS)
    found = np.where(is_own, found, filled)
    found[:, is_unknown] = np.nan
    return Completed(
        returns=np.asfortranarray(found),
        rows=rows,
        own_days=is_own.sum(axis=0),
        betas=betas,
        unknown=indexes(is_unknown),
        constant=indexes(correlation.is_constant(found, is_own) & ~is_unknown),
    )


def _pairs(closes: FloatArray, *, span_gaps: bool) -> tuple[FloatArray, FloatArray]:
    """Closes a return starts from and those it ends on, each of shape (max(t - 1, 0), n)."""
    found = np.asarray(closes, dtype=np.float64)
    if found.ndim != 2:
        message = f"closes: shape {found.shape}, not (days, assets)"
        raise ValueError(message)
    is_bad = (found <= 0) | np.isinf(found)
    if is_bad.any():
        rows = places(is_bad.any(axis=1))
        message = f"closes: not a price in {columns(is_bad.any(axis=0))} on row {rows}"
        raise ValueError(message)
    if not len(found):
        return found, found
    return (_last_known(found) if span_gaps else found)[:-1], found[1:]


def _last_known(closes: FloatArray) -> FloatArray:
    rows = np.arange(len(closes))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(np.isnan(closes), 0, rows), axis=0)
    return np.take_along_axis(closes, last, axis=0)


def _finite(returns: FloatArray) -> FloatArray:
    if np.isinf(returns).any():
        message = f"closes: beyond all measure in {columns(np.isinf(returns).any(axis=0))}"
        raise ValueError(message)
    return returns
