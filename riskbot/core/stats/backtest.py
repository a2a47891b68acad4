"""Does a VaR hold? What it would have said each day, how often it was exceeded, and the tests.

A VaR of confidence c is right when losses exceed it on a share 1 - c of days (Kupiec), and when a
day after an exceedance is as good as any other (Christoffersen). A small p-value speaks against it.

Sources: P. Kupiec, "Techniques for verifying the accuracy of risk measurement models", Journal of
Derivatives 3, 1995; P. Christoffersen, "Evaluating interval forecasts", International Economic
Review 39, 1998; Basel Committee on Banking Supervision, "Supervisory framework for the use of
backtesting in conjunction with the internal models approach", 1996 (traffic light).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from riskbot.core.stats import volatility
from riskbot.core.stats._arrays import BoolArray, FloatArray, share, vector
from riskbot.core.stats.var import DAYS, tail_days

YELLOW_FROM = 0.95
RED_FROM = 0.9999
"""Probability, under a VaR that is right, of as many exceedances or fewer."""


class Zone(StrEnum):
    """What the supervisor thinks of a model: nothing, perhaps, no longer a model."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Evidence(NamedTuple):
    """A likelihood ratio test.

    Attributes:
        statistic: -2 ln of the ratio, >= 0.
        p_value: probability of at least as much if the VaR is right, in [0, 1].
    """

    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """A VaR held against what came after.

    Attributes:
        days: judged.
        exceeded: of them, days that lost more than the VaR said.
        expected: how many there would be, days * (1 - confidence).
        frequency: is the share of exceedances right? (1 degree of freedom)
        independence: do they come one by one, not in a row? (1)
        coverage: both at once. (2)
        zone: of the Basel traffic light, at this confidence and number of days.
    """

    days: int
    exceeded: int
    expected: float
    frequency: Evidence
    independence: Evidence
    coverage: Evidence
    zone: Zone


def rolling_var(
    pnl: FloatArray,
    confidence: float = 0.95,
    window: int = DAYS,
    *,
    is_filtered: bool = False,
    decay: float = volatility.DECAY,
) -> FloatArray:
    """Compute the VaR that each day's eve would have stated.

    Args:
        pnl: shape (t,) or (t, n), t > `window`, oldest first, finite: a book's PnL in USD, or
            returns, each column on its own.
        confidence: in (0, 1).
        window: days a forecast looks back on, >= 1.
        is_filtered: restate the window at the volatility of its end (`volatility.filtered`).
        decay: of that volatility.

    Returns:
        Shape (t - window,) or (t - window, n), >= 0, in the unit of `pnl`: row r is for day
        `window` + r, from the `window` days before it.

    Raises:
        ValueError: no day left to judge, a number that is not finite, or an argument out of range.
    """
    found = np.asarray(pnl, dtype=np.float64)
    if found.ndim == 2:
        each = [
            rolling_var(column, confidence, window, is_filtered=is_filtered, decay=decay)
            for column in found.T
        ]
        return np.column_stack(each) if each else np.empty((max(len(found) - window, 0), 0))
    found = vector(found, "pnl")
    if not 1 <= window < len(found):
        message = f"pnl: {len(found)} days, a window of {window} leaves none to judge"
        raise ValueError(message)
    last = tail_days(window, confidence) - 1
    windows = np.lib.stride_tricks.sliding_window_view(found, window)[:-1].T
    if is_filtered:
        windows = volatility.filtered(windows, decay, floor=-math.inf)
    return np.asarray(np.maximum(-np.partition(windows, last, axis=0)[last], 0.0))


def exceedances(pnl: FloatArray, forecasts: FloatArray) -> BoolArray:
    """Say on which days more was lost than the VaR said.

    Args:
        pnl: shape (t,), of which the last d are judged.
        forecasts: shape (d,), VaR >= 0 stated for those days.

    Returns:
        Shape (d,).

    Raises:
        ValueError: more forecasts than days, or a number that is not finite.
    """
    happened, said = vector(pnl, "pnl"), vector(forecasts, "forecasts")
    if len(said) > len(happened):
        message = f"forecasts: {len(said)} for {len(happened)} days"
        raise ValueError(message)
    return np.asarray(happened[len(happened) - len(said) :] < -said)


def kupiec(exceeded: int, days: int, confidence: float) -> Evidence:
    """Test whether exceedances are as frequent as the confidence says (proportion of failures).

    Raises:
        ValueError: no days, more exceedances than days, or a confidence out of range.
    """
    if not 0 <= exceeded <= days or days < 1:
        message = f"{exceeded} exceedances on {days} days"
        raise ValueError(message)
    expected = 1.0 - share(confidence, "confidence")
    stated = _log_likelihood(exceeded, days, expected)
    seen = _log_likelihood(exceeded, days, exceeded / days)
    return _judged(seen - stated, 1)


def christoffersen(exceeded: BoolArray) -> Evidence:
    """Test whether exceedances come one by one: a day after one is as good as any other.

    Args:
        exceeded: shape (d,), days in order. With fewer than two days, or when no day follows an
            exceedance, nothing speaks against it: p = 1.

    Raises:
        ValueError: another shape.
    """
    found = _days(exceeded)
    before, after = found[:-1], found[1:]
    calm, bad = len(before) - int(before.sum()), int(before.sum())
    bad_after_calm, bad_after_bad = int((~before & after).sum()), int((before & after).sum())
    if not calm or not bad:
        return Evidence(0.0, 1.0)
    together = (bad_after_calm + bad_after_bad) / (calm + bad)
    one = _log_likelihood(bad_after_calm, calm, together)
    one += _log_likelihood(bad_after_bad, bad, together)
    two = _log_likelihood(bad_after_calm, calm, bad_after_calm / calm)
    two += _log_likelihood(bad_after_bad, bad, bad_after_bad / bad)
    return _judged(two - one, 1)


def traffic_light(exceeded: int, days: int, confidence: float = 0.99) -> Zone:
    """Return the zone of the Basel traffic light: at 250 days and 99 %, yellow from 5, red from 10.

    Raises:
        ValueError: as `kupiec`.
    """
    if not 0 <= exceeded <= days or days < 1:
        message = f"{exceeded} exceedances on {days} days"
        raise ValueError(message)
    probability = as_many_or_fewer(exceeded, days, 1.0 - share(confidence, "confidence"))
    if probability < YELLOW_FROM:
        return Zone.GREEN
    return Zone.YELLOW if probability < RED_FROM else Zone.RED


def as_many_or_fewer(exceeded: int, days: int, chance: float) -> float:
    """Return the probability of at most so many exceedances, each day's chance given (binomial)."""
    if exceeded >= days:
        return 1.0
    log_chance, log_other = math.log(chance), math.log1p(-chance)
    terms = (
        math.lgamma(days + 1)
        - math.lgamma(number + 1)
        - math.lgamma(days - number + 1)
        + number * log_chance
        + (days - number) * log_other
        for number in range(exceeded + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))


def judged(exceeded: BoolArray, confidence: float) -> Backtest:
    """Run all tests on the exceedances of a VaR.

    Args:
        exceeded: shape (d,), d >= 1, days in order.
        confidence: of the VaR.

    Raises:
        ValueError: no days, another shape, or a confidence out of range.
    """
    found = _days(exceeded)
    days, count = len(found), int(found.sum())
    frequency = kupiec(count, days, confidence)
    independence = christoffersen(found)
    return Backtest(
        days=days,
        exceeded=count,
        expected=days * (1.0 - confidence),
        frequency=frequency,
        independence=independence,
        coverage=_judged((frequency.statistic + independence.statistic) / 2, 2),
        zone=traffic_light(count, days, confidence),
    )


def _days(exceeded: BoolArray) -> BoolArray:
    found = np.asarray(exceeded, dtype=np.bool_)
    if found.ndim != 1:
        message = f"exceeded: shape {found.shape}, not (days,)"
        raise ValueError(message)
    return found


def _log_likelihood(count: int, days: int, chance: float) -> float:
    """Log of chance^count (1 - chance)^(days - count), where 0 * log 0 is 0."""
    hit = count * math.log(chance) if count else 0.0
    return hit + ((days - count) * math.log1p(-chance) if days > count else 0.0)


def _judged(log_ratio: float, freedom: int) -> Evidence:
    """Return the test of a log likelihood ratio against chi-square of 1 or 2 degrees."""
    statistic = max(0.0, 2.0 * log_ratio)
    if freedom == 1:
        return Evidence(statistic, math.erfc(math.sqrt(statistic / 2)))
    return Evidence(statistic, math.exp(-statistic / 2))
