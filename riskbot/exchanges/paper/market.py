"""Where the paper venue's prices come from: a path, and how its time maps to riskbot's clock."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np

from riskbot.data import prices
from riskbot.errors import ConfigError
from riskbot.exchanges.paper.settings import (
    DEMO,
    PaperSettings,
    base_of,
    listing,
    symbols_of,
    wanted_kinds,
)
from riskbot.exchanges.paper.terms import Listing

ROWS_AT_ONCE = 240
"""Rows one step plays one after the other; what a longer pause missed is skipped."""


class Market:
    """A price path that is played.

    Attributes:
        path: prices by base asset's instrument.
        start_ms: path time at which it starts, UTC ms.
        speed: path time per clock time.
        follows_clock: path time is clock time.
    """

    def __init__(
        self, path: prices.PricePath, *, start_ms: int, speed: float, follows_clock: bool
    ) -> None:
        self.path = path
        self.start_ms = start_ms
        self.speed = speed
        self.follows_clock = follows_clock
        self._begun_ms: int | None = None
        self._row: int | None = None

    def begin(self, now_ms: int) -> dict[str, Decimal]:
        """Anchor the path at a moment of the clock and return the prices there."""
        self._begun_ms = now_ms
        self._row = self.path.index_at(self.path_ms(now_ms))
        return self._marks(self._row)

    def path_ms(self, now_ms: int) -> float:
        """Return the path's time at a moment of the clock."""
        if self.follows_clock or self._begun_ms is None:
            return now_ms
        return self.start_ms + (now_ms - self._begun_ms) * self.speed

    def take(self, now_ms: int) -> list[dict[str, Decimal]]:
        """Return the rows that became known since the last call, oldest first."""
        row = self.path.index_at(self.path_ms(now_ms))
        last = row if self._row is None else self._row
        self._row = row
        return [self._marks(index) for index in range(max(last + 1, row - ROWS_AT_ONCE), row + 1)]

    def next_ms(self, now_ms: int) -> int | None:
        """Return when the next row becomes known on the clock, None = the path is over."""
        following = self.path.index_at(self.path_ms(now_ms)) + 1
        if following >= len(self.path.times_ms):
            return None
        left = (float(self.path.times_ms[following]) - self.path_ms(now_ms)) / (
            1.0 if self.follows_clock else self.speed
        )
        return now_ms + max(int(left) + 1, 1)

    def _marks(self, index: int) -> dict[str, Decimal]:
        # Ten digits: finer than any tick, and free of a float's tail.
        return {name: Decimal(f"{value:.10g}") for name, value in self.path.row(index).items()}


def build(
    account: str, settings: PaperSettings, markets: tuple[str, ...]
) -> tuple[Market, list[Listing]]:
    """Return the market and what is listed of it.

    Raises:
        ConfigError: the price file cannot be read, or a symbol has no price in it.
    """
    path = _path(account, settings)
    bases = {base_of(symbol): symbol for symbol in path.symbols}
    names = _listed(account, settings, bases, markets)
    columns = tuple(bases[base_of(name)] for name in names)
    shown = path.only(columns)
    shown = prices.PricePath(tuple(names), shown.times_ms, shown.prices)
    start_ms = settings.start if settings.start is not None else int(shown.times_ms[0])
    market = Market(
        shown, start_ms=start_ms, speed=settings.speed, follows_clock=settings.follow_clock
    )
    first = shown.row(shown.index_at(start_ms))
    return market, [listing(settings, name, first[name]) for name in names]


def _path(account: str, settings: PaperSettings) -> prices.PricePath:
    source = settings.prices
    if isinstance(source, Mapping):
        row = np.array([[float(price) for price in source.values()]])
        return prices.PricePath(tuple(source), np.zeros(1, dtype=np.int64), row)
    if source == DEMO:
        return prices.january_2022()
    try:
        return prices.read_path(Path(source))
    except (OSError, ValueError) as error:
        raise ConfigError([f"accounts.{account}.ccxt.prices: {error}"]) from error


def _listed(
    account: str, settings: PaperSettings, bases: Mapping[str, str], markets: tuple[str, ...]
) -> list[str]:
    if not settings.symbols:
        if isinstance(settings.prices, Mapping):
            return list(settings.prices)
        kinds = wanted_kinds(markets)
        every = [symbols_of(base) for base in bases]
        return [row[kind] for row in every for kind in row if kind in kinds]
    faults = [
        f"accounts.{account}.ccxt.symbols: no prices of {symbol}"
        for symbol in settings.symbols
        if base_of(symbol) not in bases
    ]
    if faults:
        raise ConfigError(faults)
    return list(dict.fromkeys(settings.symbols))
