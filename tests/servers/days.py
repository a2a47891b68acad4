"""Daily bars of one market, as every venue's candle endpoint tells them in its own form.

A test sets the days it needs; an instrument without any has two and a half years of made-up ones
that end at its price: half of each move is the whole market's, half its own, always the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tests.servers.ledger_market import Market

DAY_MS: Final = 86_400_000
MADE_UP_DAYS: Final = 900
DIGITS: Final = Decimal("1E-12")


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day: prices in quote per base, volume in base units."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal(1000)

    @property
    def turnover(self) -> Decimal:
        """Value traded, in quote units."""
        return self.volume * self.close


def set_closes(
    market: Market, name: str, first_day: int, closes: Iterable[Decimal | None], volume: int = 1000
) -> None:
    """Let an instrument have had these closes, None = nothing traded on that day.

    Args:
        market: whose.
        name: the venue's own name.
        first_day: of the first close, in days since 1970-01-01.
        closes: one per day.
        volume: base units traded on each.
    """
    rows: dict[int, Day] = {}
    for day, close in enumerate(closes, first_day):
        if close is not None:
            rows[day] = Day(close, close, close, close, Decimal(volume))
    market.days[name] = rows


def days_of(market: Market, name: str) -> dict[int, Day]:
    """Return an instrument's days up to the one that runs, which is unfinished."""
    today = market.now_ms() // DAY_MS
    if name not in market.days:
        market.days[name] = _made_up(name, market.lasts[name], today)
    rows = {day: row for day, row in market.days[name].items() if day < today}
    if today - 1 in rows:
        last, before = market.lasts[name], rows[today - 1].close
        rows[today] = Day(before, max(before, last), min(before, last), last, Decimal(1))
    return rows


def _made_up(name: str, price: Decimal, today: int) -> dict[int, Day]:
    rows: dict[int, Day] = {}
    close = price
    for day in range(today - 1, today - 1 - MADE_UP_DAYS, -1):
        opened = (close / (1 + _move("market", day) + _move(name, day))).quantize(DIGITS)
        rows[day] = Day(opened, max(opened, close), min(opened, close), close)
        close = opened
    return dict(sorted(rows.items()))


def _move(name: str, day: int) -> Decimal:
    """Return a made-up move between -2.5 % and 2.5 %."""
    return Decimal(zlib.crc32(f"{name} {day}".encode()) % 5001 - 2500) / 100_000
