"""Price histories for tests: made by a seed, or the real ones that ship."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np

from riskbot.core import events
from riskbot.core.histories import DailySeries, last_ended_day
from riskbot.data import prices
from tests.builders import T0

YESTERDAY = last_ended_day(T0)
EPOCH = date(1970, 1, 1).toordinal()


def path(returns: Iterable[float], underlying: str = "BTC", **fields: object) -> DailySeries:
    """Return a series that made these returns, the newest one yesterday."""
    closes = [100.0]
    for each in returns:
        closes.append(closes[-1] * (1 + each))
    made = {"last_day": YESTERDAY, "turnover_usd": 1e9} | fields
    first_day = int(str(made.pop("last_day"))) - len(closes) + 1
    return DailySeries(underlying, f"main|{underlying}", first_day, tuple(closes), **made)  # type: ignore[arg-type]


def noise(underlying: str, seed: int, days: int = 260, sigma: float = 0.03) -> DailySeries:
    """Return a series of normal returns."""
    return path(np.random.default_rng(seed).normal(0, sigma, days).tolist(), underlying)


def read(*series: DailySeries) -> events.PriceHistoryRead:
    return events.PriceHistoryRead(series=series)


def real(*bases: str, days: int = 760) -> list[DailySeries]:
    """Return real histories, moved in time so that they end yesterday."""
    found = []
    for base in bases:
        closes = prices.daily_closes()[f"{base}/USDT:USDT"]
        first, last = min(closes).toordinal(), max(closes).toordinal()
        row = [closes.get(date.fromordinal(n)) for n in range(first, last + 1)][-days:]
        start = YESTERDAY - len(row) + 1
        found.append(DailySeries(base, "bundled", start, tuple(row), 5e9))
    return found
