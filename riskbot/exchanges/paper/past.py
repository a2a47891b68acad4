"""What happened before the paper venue's market begins: daily bars of the bundled data.

In the demo they are the real days before the moment that is played. Another path (a price file,
fixed prices) is preceded by the newest bundled days of the same coin, scaled to where it begins;
what is played at another time than riskbot's clock is moved there, day by day. All of it is
simulated, as the venue is, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from riskbot.data import prices
from riskbot.exchanges._base import DAY_MS, DailyBar, DailyBars
from riskbot.exchanges.paper.market import Market
from riskbot.exchanges.paper.settings import base_of

_EPOCH = date(1970, 1, 1)


def bars(market: Market, symbol: str, *, is_demo: bool, now_ms: int) -> DailyBars:
    """Return all days of an instrument that have ended on the path.

    Args:
        market: whose path is played.
        symbol: one of the path's.
        is_demo: the path is the bundled one.
        now_ms: UTC ms on riskbot's clock.
    """
    today = int(market.path_ms(now_ms) // DAY_MS)
    moved = now_ms // DAY_MS - today
    bundled = _bundled(symbol)
    if is_demo:
        found = [bar for bar in bundled if bar.day < today]
    else:
        own = list(_played(market.path.only([symbol]), today))
        found = [*_before(bundled, own), *own]
    note = "bundled data of other days" if moved or not is_demo else "bundled data"
    shown = tuple(DailyBar(bar.day + moved, bar.close, bar.turnover) for bar in found)
    return DailyBars(shown, is_bundled=True, note=note)


def _bundled(symbol: str) -> list[DailyBar]:
    """Return the bundled days of a symbol's coin, oldest first."""
    listed = prices.daily_bars()
    base = base_of(symbol)
    of_coin = next((rows for name, rows in listed.items() if base_of(name) == base), {})
    return [DailyBar((day - _EPOCH).days, *of_coin[day]) for day in sorted(of_coin)]


def _played(path: prices.PricePath, today: int) -> Iterator[DailyBar]:
    """Give the path's own days; a row holds until the next one."""
    begun = int(path.times_ms[0] - 1) // DAY_MS
    for day in range(begun, today):
        row = path.index_at((day + 1) * DAY_MS)
        yield DailyBar(day, float(path.prices[row, 0]))


def _before(bundled: list[DailyBar], own: list[DailyBar]) -> list[DailyBar]:
    """Return the bundled days as those before the path's own, at its price."""
    if not bundled or not own:
        return []
    moved = own[0].day - 1 - bundled[-1].day
    scale = own[0].close / bundled[-1].close
    return [DailyBar(bar.day + moved, bar.close * scale, bar.turnover) for bar in bundled]
