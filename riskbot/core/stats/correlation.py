"""How returns move together: correlation, beta, groups; with gaps, and with few days.

Sources: O. Ledoit and M. Wolf, "Honey, I shrunk the sample covariance matrix", Journal of
Portfolio Management 30, 2004 (constant correlation as the target, its intensity); F. Murtagh and
P. Contreras, "Algorithms for hierarchical clustering: an overview", WIREs Data Mining 2, 2012
(chain of nearest neighbors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from riskbot.core.stats._arrays import BoolArray, FloatArray, IntArray, indexes, matrix

MIN_DAYS = 30
"""Fewer returns, and nothing is said."""

GROUPED_FROM = 0.8
"""Correlation that makes one risk of two assets."""

_FLAT = 1e-12
"""Share of a column's own variance below which it does not move on the days at hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Correlations:
    """Correlations of all pairs.

    Attributes:
        matrix: shape (n, n), shrunk; NaN = unknown: a pair with too few days in common, and all of
            an unknown column.
        sample: shape (n, n), as measured, unknown where `matrix` is.
        days: shape (n, n), days each pair has in common; on the diagonal a column's own.
        average: mean over all known pairs, each once; NaN without a pair.
        intensity: how far towards the average all were moved, in [0, 1]; small when days are many.
        repair: how far towards 0 all were moved after that, in [0, 1), so that pairs measured on
            different days make one possible matrix; 0 when all have the same days.
        unknown: columns with too few returns, or that never move.
    """

    matrix: FloatArray
    sample: FloatArray
    days: IntArray
    average: float
    intensity: float
    repair: float
    unknown: tuple[int, ...]

    def filled(self) -> FloatArray:
        """Return the matrix of the known columns, unknown pairs as the average: semidefinite.

        Shape (k, k), k columns that are not in `unknown`, in their order.
        """
        known = np.setdiff1d(np.arange(len(self.matrix)), self.unknown)
        found = self.matrix[np.ix_(known, known)]
        average = 0.0 if np.isnan(self.average) else self.average
        return np.where(np.isnan(found), average * (1.0 - self.repair), found)


class _Moments(NamedTuple):
    """Means over the days a pair has in common, of columns with mean 0 and variance 1.

    Attributes:
        days: how many those are; this, `first` and `second` of shape (k, k), or (1, 1) where all
            pairs have all days.
        first: of the one.
        second: of the one squared.
        product: of the one times the other, shape (k, k).
        squares: of both squared, shape (k, k).
        cubed: of the one cubed times the other, shape (k, k).
    """

    days: FloatArray
    first: FloatArray
    second: FloatArray
    product: FloatArray
    squares: FloatArray
    cubed: FloatArray


def correlations(returns: FloatArray, min_days: int = MIN_DAYS) -> Correlations:
    """Estimate the correlation of each pair over the days both have, shrunk as few as they are.

    A correlation measured on few days errs, most where it is most extreme. All are moved towards
    their common average by as much as the data themselves say they err.

    Args:
        returns: shape (t, n), log returns, NaN = missing.
        min_days: days a pair needs in common, >= 2.

    Returns:
        Nothing known of no columns, or of columns with no days.

    Raises:
        ValueError: another shape, an infinite number, or `min_days` below 2.
    """
    found = matrix(returns, "returns")
    if min_days < 2:
        message = f"min_days {min_days}, below 2"
        raise ValueError(message)
    is_own = ~np.isnan(found)
    is_unknown = (is_own.sum(axis=0) < min_days) | is_constant(found, is_own)
    known = np.flatnonzero(~is_unknown)
    sample, shrunk = np.full((2, found.shape[1], found.shape[1]), np.nan)
    moments = _moments(found[:, known], is_own[:, known])
    measured, is_pair = _measured(moments, min_days)
    average = float(measured[is_pair].mean()) if is_pair.any() else np.nan
    intensity = _intensity(moments, measured, is_pair, average) if is_pair.any() else 0.0
    target = np.where(
        np.eye(len(known), dtype=np.bool_), 1.0, 0.0 if not is_pair.any() else average
    )
    is_known = is_pair | np.eye(len(known), dtype=np.bool_)
    mixed = np.where(is_known, intensity * target + (1.0 - intensity) * measured, target)
    repair = 0.0 if is_own[:, known].all() else _repair(mixed)
    mixed = (1.0 - repair) * mixed + repair * np.eye(len(known))
    sample[np.ix_(known, known)] = np.where(is_known, measured, np.nan)
    shrunk[np.ix_(known, known)] = np.where(is_known, mixed, np.nan)
    return Correlations(
        matrix=shrunk,
        sample=sample,
        days=(is_own.T.astype(np.float64) @ is_own).astype(np.int64),
        average=average,
        intensity=intensity,
        repair=repair,
        unknown=indexes(is_unknown),
    )


def betas(returns: FloatArray, benchmark: FloatArray, min_days: int = MIN_DAYS) -> FloatArray:
    """Measure the slope of each column on a benchmark, over the days both have.

    Args:
        returns: shape (t, n), NaN = missing.
        benchmark: shape (t,), returns of the same kind, NaN = missing.
        min_days: days a column needs in common with it.

    Returns:
        Shape (n,): covariance over the benchmark's variance; NaN = too few days, or the benchmark
        does not move on them.

    Raises:
        ValueError: shapes that do not fit, or an infinite number.
    """
    found = matrix(returns, "returns")
    market = matrix(np.atleast_2d(benchmark).T, "benchmark")
    if len(market) != len(found):
        message = f"benchmark: {len(market)} days, returns {len(found)}"
        raise ValueError(message)
    common = ~np.isnan(found) & ~np.isnan(market)
    is_unknown = (common.sum(axis=0) < max(min_days, 1)) | is_constant(market, common)
    own, _ = _centered(found, common)
    moves, squares = _centered(market, common)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(is_unknown, np.nan, (moves * own).sum(axis=0) / squares)


def trade_correlation(
    pnl_usd: FloatArray, returns_column: FloatArray, added_usd: float, min_days: int = MIN_DAYS
) -> float:
    """Correlate what a trade would make with what the book makes.

    Args:
        pnl_usd: shape (t,), of the book, NaN = unknown that day.
        returns_column: shape (t,), simple returns of what is traded, NaN = missing.
        added_usd: signed USD; its sign alone counts.
        min_days: days both need.

    Returns:
        In [-1, 1], > 0: the trade loses when the book loses. NaN = unknown: too few days, a book
        or a trade that never moves, no trade.

    Raises:
        ValueError: shapes that do not fit, or an infinite number.
    """
    both = matrix(np.column_stack([pnl_usd, returns_column]), "pnl and returns")
    both = both[~np.isnan(both).any(axis=1)]
    if len(both) < max(min_days, 2) or not added_usd:
        return np.nan
    if (both.max(axis=0) <= both.min(axis=0)).any():
        return np.nan
    both = both - both.mean(axis=0)
    # Each by its largest: the squares of dollars and of returns are far apart.
    both /= np.abs(both).max(axis=0)
    found = float(both[:, 0] @ both[:, 1]) / float(np.sqrt((both * both).sum(axis=0).prod()))
    return float(np.clip(found * np.sign(added_usd), -1.0, 1.0))


def groups(
    correlation: FloatArray, names: Sequence[str], threshold: float = GROUPED_FROM
) -> tuple[tuple[str, ...], ...]:
    """Find groups in which every pair is correlated: complete linkage, cut at a threshold.

    Ties are broken by name, so the order of the columns does not matter.

    Args:
        correlation: shape (n, n), symmetric; NaN = unknown, and keeps a pair apart.
        names: of the columns, no two alike.
        threshold: correlation that each pair of a group has at least.

    Returns:
        Groups of at least two, the largest first, names in order. What is in none stands alone.

    Raises:
        ValueError: shapes that do not fit, or a name given twice.
    """
    count = len(names)
    if correlation.shape != (count, count) or len(set(names)) != count:
        message = f"correlation: shape {correlation.shape}, {len(set(names))} names"
        raise ValueError(message)
    order = sorted(range(count), key=lambda place: names[place])
    near = np.where(np.isnan(correlation), -np.inf, correlation)[np.ix_(order, order)]
    # Of a pair that rounding made two numbers of, the smaller: else a chain might never end.
    near = np.minimum(near, near.T)
    np.fill_diagonal(near, -np.inf)
    members = [[names[place]] for place in order]
    waiting = list(range(count - 1, -1, -1))
    chain: list[int] = []
    while waiting or chain:
        if not chain:
            start = waiting.pop()
            # Merged into another meanwhile.
            chain = [start] if members[start] else []
            continue
        top, before = chain[-1], chain[-2] if len(chain) > 1 else -1
        nearest = int(near[top].argmax())
        closeness = near[top, nearest]
        if not closeness >= threshold:
            # Nothing merges with it any more: what others merge into only moves away.
            chain.pop()
        elif before >= 0 and near[top, before] >= closeness:
            del chain[-2:]
            _merge(near, members, min(before, top), max(before, top))
            waiting.append(min(before, top))
        else:
            chain.append(nearest)
    found = [tuple(sorted(group)) for group in members if len(group) > 1]
    return tuple(sorted(found, key=lambda group: (-len(group), group)))


def _merge(near: FloatArray, members: list[list[str]], into: int, gone: int) -> None:
    closest = np.minimum(near[into], near[gone])
    near[into], near[:, into] = closest, closest
    near[into, into] = near[gone] = near[:, gone] = -np.inf
    members[into] += members[gone]
    members[gone] = []


def is_constant(returns: FloatArray, is_known: BoolArray) -> BoolArray:
    """Say which columns never move, or have nothing to tell.

    Args:
        returns: shape (t, n) or (t, 1).
        is_known: shape (t, n), the days that count.
    """
    lowest = np.where(is_known, returns, np.inf).min(axis=0, initial=np.inf)
    highest = np.where(is_known, returns, -np.inf).max(axis=0, initial=-np.inf)
    return np.asarray(lowest >= highest)


def _centered(returns: FloatArray, is_known: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Deviations from each column's mean, 0 where missing, and the sum of their squares."""
    days = np.maximum(is_known.sum(axis=0), 1)
    own = np.where(is_known, returns, 0.0)
    own = np.where(is_known, own - own.sum(axis=0) / days, 0.0)
    return own, (own * own).sum(axis=0)


def _moments(returns: FloatArray, is_own: BoolArray) -> _Moments:
    own, squares = _centered(returns, is_own)
    own = own / np.sqrt(squares / is_own.sum(axis=0))
    squares = own * own
    if is_own.all():
        days, first, second = np.full((1, 1), float(len(own))), np.zeros((1, 1)), np.ones((1, 1))
    else:
        mask = is_own.astype(np.float64)
        days = mask.T @ mask
        first, second = own.T @ mask, squares.T @ mask
        first, second = first / np.maximum(days, 1.0), second / np.maximum(days, 1.0)
    count = np.maximum(days, 1.0)
    return _Moments(
        days=days,
        first=first,
        second=second,
        product=own.T @ own / count,
        squares=squares.T @ squares / count,
        cubed=(squares * own).T @ own / count,
    )


def _measured(moments: _Moments, min_days: int) -> tuple[FloatArray, BoolArray]:
    """Return the sample correlations, 1 on the diagonal, and which pairs can be measured."""
    spread = moments.second - moments.first**2
    is_pair = (moments.days >= min_days) & (spread > _FLAT) & (spread.T > _FLAT)
    is_pair = np.broadcast_to(is_pair, moments.product.shape).copy()
    np.fill_diagonal(is_pair, val=False)
    found = np.zeros_like(moments.product)
    covariance = moments.product - moments.first * moments.first.T
    np.divide(covariance, np.sqrt(np.abs(spread * spread.T)), out=found, where=is_pair)
    found = np.clip(found, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found, is_pair


def _intensity(
    moments: _Moments, measured: FloatArray, is_pair: BoolArray, average: float
) -> float:
    """Return the shrinkage of Ledoit and Wolf, on columns of variance 1.

    Pairs with different days: as if all had the fewest.
    """
    errors = moments.squares - moments.product**2
    joint = moments.cubed - moments.second * moments.product
    # The same sum over a pair and its mirror image.
    gained = (errors - average * joint)[is_pair].sum()
    apart = ((measured - average)[is_pair] ** 2).sum()
    if apart <= 0:
        return 0.0
    days = np.broadcast_to(moments.days, is_pair.shape)[is_pair].min()
    return float(np.clip(gained / apart / days, 0.0, 1.0))


def _repair(mixed: FloatArray) -> float:
    """Return how far towards no correlation a matrix must be moved to be semidefinite."""
    smallest = float(np.linalg.eigvalsh(mixed)[0]) if len(mixed) else 0.0
    return -smallest / (1.0 - smallest) if smallest < 0 else 0.0
