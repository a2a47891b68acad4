"""Volatility and covariance that forget: exponentially weighted, zero mean, in daily units.

Zero mean, as in RiskMetrics: a day's expected return is a small fraction of its noise, and a mean
measured on few days adds more error than it takes away. Weights are those of the days there are
(they sum to 1), so that the first day of a short history is not counted as all that came before it.

Source: J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th ed., 1996, section 5.2 (decay 0.94
for daily data).
"""

from __future__ import annotations

import math

import numpy as np

from riskbot.core.stats._arrays import FloatArray, columns, matrix, share, vector
from riskbot.core.stats.correlation import MIN_DAYS

DECAY = 0.94

DAYS_PER_YEAR = 365
"""Crypto trades every day."""

RATIO_MAX = 10.0
"""How far filtering may stretch or shrink a day. After a halt a volatility is next to nothing, and
what is divided by it would be next to infinite."""


def annualized(volatility: float, days_per_year: int = DAYS_PER_YEAR) -> float:
    """Turn a daily volatility into a yearly one: times the root of the days.

    Args:
        volatility: per day, any unit, >= 0.
        days_per_year: days that trade.
    """
    return volatility * math.sqrt(days_per_year)


def ewma_volatility(returns: FloatArray, decay: float = DECAY) -> float:
    """Estimate the daily volatility of one series.

    Args:
        returns: shape (t,), t >= 2, oldest first, no NaN: log returns, or a book's PnL in USD.
        decay: weight kept per day, in (0, 1).

    Returns:
        Standard deviation per day, in the unit of `returns`, >= 0.

    Raises:
        ValueError: fewer than two returns, a NaN, or a decay out of range.
    """
    found = vector(returns, "returns")
    if len(found) < 2:
        message = f"returns: {len(found)} of them, fewer than 2"
        raise ValueError(message)
    return math.sqrt(float(_weights(len(found), decay) @ (found * found)))


def ewma_volatilities(
    returns: FloatArray, decay: float = DECAY, min_days: int = MIN_DAYS
) -> FloatArray:
    """Estimate the daily volatility of each column.

    A missing day counts for nothing; those before it are as old as they are.

    Args:
        returns: shape (t, n), log returns, oldest first, NaN = missing.
        decay: weight kept per day, in (0, 1).
        min_days: returns a column needs.

    Returns:
        Shape (n,), per day, >= 0; NaN = fewer than `min_days` returns: unknown.

    Raises:
        ValueError: another shape, an infinite number, or a decay out of range.
    """
    found = matrix(returns, "returns")
    is_known = ~np.isnan(found)
    weights = _weights(len(found), decay)[:, np.newaxis] * is_known
    with np.errstate(invalid="ignore"):
        variances = (weights * np.where(is_known, found, 0.0) ** 2).sum(axis=0) / weights.sum(
            axis=0
        )
    is_enough = is_known.sum(axis=0) >= max(min_days, 1)
    return np.where(is_enough, np.sqrt(variances), np.nan)


def ewma_covariance(returns: FloatArray, decay: float = DECAY) -> FloatArray:
    """Estimate the daily covariance of all columns.

    Args:
        returns: shape (t, n), t >= 2, log returns, oldest first, no NaN (see `returns.complete`):
            one set of days for all pairs, which keeps the matrix positive semidefinite.
        decay: weight kept per day, in (0, 1).

    Returns:
        Shape (n, n), per day.

    Raises:
        ValueError: another shape, fewer than two days, a NaN (its columns are named), or a decay
            out of range.
    """
    found = matrix(returns, "returns")
    if len(found) < 2:
        message = f"returns: {len(found)} days, fewer than 2"
        raise ValueError(message)
    is_bad = np.isnan(found).any(axis=0)
    if is_bad.any():
        message = f"returns: missing in {columns(is_bad)}"
        raise ValueError(message)
    scaled = found * np.sqrt(_weights(len(found), decay))[:, np.newaxis]
    return np.asarray(scaled.T @ scaled)


def updated_covariance(
    covariance: FloatArray, newest: FloatArray, days: int, decay: float = DECAY
) -> FloatArray:
    """Move a covariance on by one day: equal to estimating it anew on one day more.

    Args:
        covariance: shape (n, n), of `days` days.
        newest: shape (n,), the returns of the day that has ended.
        days: how many days the covariance is of, >= 1.
        decay: the one it was estimated with.

    Returns:
        Shape (n, n), of `days` + 1 days.

    Raises:
        ValueError: shapes that do not fit, a return that is not finite, or a decay out of range.
    """
    found = vector(newest, "newest")
    if covariance.shape != (len(found), len(found)) or days < 1:
        message = f"covariance: shape {covariance.shape} of {days} days, newest {found.shape}"
        raise ValueError(message)
    kept = share(decay, "decay") * (1.0 - decay**days)
    added = found * ((1.0 - decay) / (kept + 1.0 - decay))
    updated = covariance * (kept / (kept + 1.0 - decay))
    updated += added[:, np.newaxis] * found
    return updated


def filtered(returns: FloatArray, decay: float = DECAY, *, floor: float = -1.0) -> FloatArray:
    """Restate each day's returns at today's volatility, for filtered historical VaR.

    A return is multiplied by the volatility forecast for tomorrow over the one that was forecast
    for its day from the days before it: a move of two sigmas stays one. So a VaR from them speaks
    of the market as it is now. The first forecast is the mean over the whole window; a factor is
    kept within 1 / `RATIO_MAX` and `RATIO_MAX`.

    Args:
        returns: shape (t, n), simple returns, oldest first, NaN = missing (and stays so).
        decay: weight kept per day, in (0, 1).
        floor: the smallest return there is: -1, all is lost; for amounts in USD, -inf.

    Returns:
        Shape (t, n). A column that never moves stays as it is.

    Raises:
        ValueError: another shape, an infinite number, or a decay out of range.

    Source: J. Hull and A. White, "Incorporating volatility updating into the historical simulation
    method for value-at-risk", Journal of Risk 1, 1998.
    """
    found = matrix(returns, "returns")
    kept = share(decay, "decay")
    squares = found * found
    is_known = ~np.isnan(squares)
    squares[~is_known] = 0.0
    variance = squares.sum(axis=0) / np.maximum(is_known.sum(axis=0), 1)
    forecasts = np.empty((len(found) + 1, found.shape[1]))
    for day, (square, known) in enumerate(zip(squares, is_known, strict=True)):
        forecasts[day] = variance
        # Nothing is learned from a day without a return.
        variance = np.where(known, kept * variance + (1.0 - kept) * square, variance)
    forecasts[-1] = variance
    factors = np.ones_like(found)
    np.divide(forecasts[-1], forecasts[:-1], out=factors, where=forecasts[:-1] > 0)
    factors = np.clip(np.sqrt(factors), 1.0 / RATIO_MAX, RATIO_MAX)
    return np.asfortranarray(np.maximum(found * factors, floor))


def _weights(days: int, decay: float) -> FloatArray:
    """Weights of days, the oldest first, that sum to 1."""
    kept = share(decay, "decay")
    ages = np.arange(days - 1, -1, -1, dtype=np.float64)
    return np.asarray(kept**ages * ((1.0 - kept) / (1.0 - kept ** max(days, 1))))
