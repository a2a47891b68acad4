"""Historical value at risk and expected shortfall: of a PnL vector, by position, of what is added.

The VaR of confidence c over t days is the loss of the k-th worst day, k = t * (1 - c) rounded up:
fewer than a share 1 - c of the days lost more, at least that share lost as much. It is the quantile
of the empirical distribution as VaR is defined (its inverse, without interpolation), the careful
one where two would do. The expected shortfall is the mean of the worst share 1 - c itself: the
k - 1 worst days, and of day k the fraction that is left. Both belong to one distribution, so that
VaR 99 >= VaR 95 and ES >= VaR hold always; a day is named for the VaR; ES is coherent
(subadditive). Interpolated quantiles lie lower, by up to the gap between two days where days are
fewest; the mean of all k days, which some use as ES, jumps where t * (1 - c) passes a whole number.
Fewer than 1 / (1 - c) days: both are the worst day.

Both are floored at 0: a book that earns even on its bad days has no value at risk. Components of a
floored figure are 0 too (the derivative of what is floored), so they always sum to the whole.

Sources: C. Acerbi and D. Tasche, "On the coherence of expected shortfall", Journal of Banking and
Finance 26, 2002 (definition 2.6, proposition 3.1); D. Tasche, "Risk contributions and performance
measurement", 1999 (Euler allocation); P. Jorion, "Value at Risk", 3rd ed., 2007, chapter 7
(marginal, component and incremental VaR).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from riskbot.core.stats._arrays import FloatArray, IntArray, columns, share, vector

DAYS = 252
"""History a book is judged on."""

_ROUND_OFF = 1e-12
"""Share of gross exposure below which a loss is what adding floats left over."""

_SCALE_MAX = 2.0
"""How far the loss of the days around may lie from the VaR they are to explain."""


class Tail(NamedTuple):
    """The bad end of a distribution of PnL.

    Attributes:
        confidence: share of days that lose no more than the VaR, in (0, 1).
        var_usd: value at risk, USD, >= 0.
        es_usd: expected shortfall, USD, >= `var_usd`.
        days: how many days it is read from.
    """

    confidence: float
    var_usd: float
    es_usd: float
    days: int


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """A tail and where it comes from.

    Attributes:
        tail: of the whole.
        day: row of the returns that is the VaR scenario.
        var_days: rows whose mean explains the VaR: those around `day` in order of loss, as many
            worse as better; or `day` alone.
        es_days: rows of the tail, the worst first; the last one counts by its fraction.
        var_components_usd: shape (n,), USD, sum = VaR; < 0: the position hedges the others.
        es_components_usd: shape (n,), USD, sum = ES.
        marginal_var: shape (n,), change of VaR per USD of exposure added, NaN = unknown returns.
        marginal_es: shape (n,), the same of ES.
    """

    tail: Tail
    day: int
    var_days: IntArray
    es_days: IntArray
    var_components_usd: FloatArray
    es_components_usd: FloatArray
    marginal_var: FloatArray
    marginal_es: FloatArray


def exposure_pnl(returns: FloatArray, exposures_usd: FloatArray) -> FloatArray:
    """Compute what today's exposures would have made on each day.

    Args:
        returns: shape (t, n), simple returns. A column may hold NaN if nothing is held of it.
        exposures_usd: shape (n,), signed USD.

    Returns:
        Shape (t,), USD. Without exposures: 0 on each day.

    Raises:
        ValueError: shapes that do not fit, an exposure that is not finite, or a return that is not
            in a column that is held; the columns are named.
    """
    held = vector(exposures_usd, "exposures")
    if returns.ndim != 2 or returns.shape[1] != len(held):
        message = f"returns: shape {returns.shape}, not (days, {len(held)})"
        raise ValueError(message)
    # A NaN times an exposure of 0 is NaN too: only then are columns looked at one by one.
    pnl: FloatArray = returns @ held
    if math.isfinite(pnl.dot(pnl)):
        return pnl
    is_held = held != 0
    own = returns[:, is_held]
    if not np.isfinite(own).all():
        is_bad = np.zeros(len(held), dtype=np.bool_)
        is_bad[is_held] = ~np.isfinite(own).all(axis=0)
        message = f"returns: unknown in {columns(is_bad)}, which is held"
        raise ValueError(message)
    return np.asarray(own @ held[is_held])


def historical(pnl_usd: FloatArray, confidence: float = 0.95) -> Tail:
    """Read VaR and ES from a PnL vector.

    Args:
        pnl_usd: shape (t,), t >= 1, USD per day, losses < 0, any order.
        confidence: in (0, 1).

    Raises:
        ValueError: no days, a number that is not finite, or a confidence out of range.
    """
    pnl = _pnl(pnl_usd)
    depth, last = _depth(len(pnl), confidence)
    ordered = pnl.copy()
    ordered.partition(last)
    edge = float(ordered[last])
    beyond = math.fsum(ordered[:last].tolist())
    # In floats the mean of equal losses can fall short of them.
    var_usd = max(0.0, -edge)
    es_usd = max(var_usd, -(beyond + (depth - last) * edge) / depth)
    return Tail(confidence, var_usd, es_usd, len(pnl))


def value_at_risk(pnl_usd: FloatArray, confidence: float = 0.95) -> float:
    """Read the value at risk alone, USD, >= 0; arguments and errors as those of `historical`."""
    return historical(pnl_usd, confidence).var_usd


def expected_shortfall(pnl_usd: FloatArray, confidence: float = 0.95) -> float:
    """Read the expected shortfall alone, USD; arguments and errors as those of `historical`."""
    return historical(pnl_usd, confidence).es_usd


def what_if(
    pnl_usd: FloatArray, returns_column: FloatArray, added_usd: float, confidence: float = 0.95
) -> Tail:
    """Read the tail of a book to which an exposure is added, from the book's PnL vector.

    Args:
        pnl_usd: shape (t,), of the book as it is.
        returns_column: shape (t,), simple returns of what is added, the same days; quick when it
            is contiguous, a column of a matrix in Fortran order.
        added_usd: signed USD.
        confidence: in (0, 1).

    Raises:
        ValueError: shapes that do not fit, an unknown return, no days.
    """
    if returns_column.shape != pnl_usd.shape:
        message = f"returns: shape {returns_column.shape}, the book's PnL has {pnl_usd.shape}"
        raise ValueError(message)
    return historical(pnl_usd + added_usd * returns_column, confidence)


def incremental_var(
    pnl_usd: FloatArray, returns_column: FloatArray, added_usd: float, confidence: float = 0.95
) -> float:
    """Compute by how much an added exposure moves the VaR, USD; < 0: it hedges the book.

    Exact, not the first-order estimate by marginal VaR. Arguments and errors as those of `what_if`.
    """
    before = historical(pnl_usd, confidence)
    return what_if(pnl_usd, returns_column, added_usd, confidence).var_usd - before.var_usd


def attribute(
    returns: FloatArray,
    exposures_usd: FloatArray,
    confidence: float = 0.95,
    pnl_usd: FloatArray | None = None,
) -> Attribution:
    """Split VaR and ES among the positions, by Euler's theorem.

    ES is a mean over the tail, and a position's component its mean loss over the same days. VaR is
    one day's loss; that day alone is its exact derivative, and says more about that day than about
    the book. So components are the mean loss over the days around it (half as many on either side
    as there are worse ones), scaled to sum to the VaR. Where those days lose less than half or
    more than twice the VaR (hedged books) the day itself is taken.

    Args:
        returns: shape (t, n), t >= 1, simple returns.
        exposures_usd: shape (n,), signed USD.
        confidence: in (0, 1).
        pnl_usd: shape (t,), `exposure_pnl` of the two where the caller has it already.

    Raises:
        ValueError: as `exposure_pnl` and `historical`.
    """
    held = vector(exposures_usd, "exposures")
    pnl = exposure_pnl(returns, held) if pnl_usd is None else pnl_usd
    tail = historical(pnl, confidence)
    depth, last = _depth(tail.days, confidence)
    # Days of equal loss: the older one counts as the worse.
    order = np.argsort(pnl, kind="stable")
    es_days = order[: last + 1]
    weights = np.full(last + 1, 1.0 / depth)
    weights[last] = (depth - last) / depth

    floor_usd = _ROUND_OFF * float(np.abs(held).sum())
    var_days, scale = _around(pnl, order, last, tail.var_usd)
    marginal_var = -scale * returns[var_days].mean(axis=0)
    marginal_es = -(weights @ returns[es_days])
    if tail.var_usd <= floor_usd:
        tail, marginal_var = tail._replace(var_usd=0.0), np.zeros(len(held))
    if tail.es_usd <= floor_usd:
        tail, marginal_es = tail._replace(es_usd=0.0), np.zeros(len(held))
    return Attribution(
        tail=tail,
        day=int(order[last]),
        var_days=var_days,
        es_days=es_days,
        var_components_usd=_components(marginal_var, held),
        es_components_usd=_components(marginal_es, held),
        marginal_var=marginal_var,
        marginal_es=marginal_es,
    )


def _components(marginal: FloatArray, held: FloatArray) -> FloatArray:
    """Return what each position has in the whole: 0 where nothing is held, known or not."""
    return np.multiply(marginal, held, where=held != 0, out=np.zeros(len(held)))


def _around(pnl: FloatArray, order: IntArray, last: int, var_usd: float) -> tuple[IntArray, float]:
    """Return the days whose mean explains the VaR, and what that mean is to be scaled by."""
    half = min(last // 2, len(order) - 1 - last)
    days = order[last - half : last + half + 1]
    loss_usd = -float(pnl[days].mean())
    if half and loss_usd > 0 and 1 / _SCALE_MAX <= var_usd / loss_usd <= _SCALE_MAX:
        return days, var_usd / loss_usd
    return order[last : last + 1], 1.0


def _pnl(pnl_usd: FloatArray) -> FloatArray:
    pnl = vector(pnl_usd, "pnl")
    if not len(pnl):
        message = "pnl: no days"
        raise ValueError(message)
    return pnl


def tail_days(days: int, confidence: float) -> int:
    """Return the rank of the day that is the VaR: 1 = the worst, at most `days`.

    Raises:
        ValueError: a confidence out of range.
    """
    return _depth(days, confidence)[1] + 1


@lru_cache(maxsize=64)
def _depth(days: int, confidence: float) -> tuple[float, int]:
    """Return how many days the tail holds, and the place of the last of them in order of loss.

    250 * (1 - 0.98) is 5, not the 5.0000000000000044 that floats make of it.
    """
    depth = max(round(days * (1.0 - share(confidence, "confidence")), 9), 1e-9)
    return depth, math.ceil(depth) - 1
