"""Reader of the bundled price data: daily bars, betas, and minute paths of January 2022.

Nothing here knows what prices are used for.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BTC = "BTC/USDT:USDT"
BETA_DAYS = 90
BETA_DAYS_MIN = 30
DAY_MS = 86_400_000
MINUTE_MS = 60_000
JANUARY_2022 = date(2022, 1, 1)

_MINUTES = "minute_btc_perp_2022-01.csv.gz"
_DAILY = "daily_linear.csv.gz"


@dataclass(frozen=True, slots=True)
class PricePath:
    """Prices of some instruments over time.

    Attributes:
        symbols: ccxt unified symbols, one per column.
        times_ms: shape (n,), UTC ms at which each row is known, ascending.
        prices: shape (n, k), quote units per base unit, > 0.
    """

    symbols: tuple[str, ...]
    times_ms: IntArray
    prices: FloatArray

    def index_at(self, at_ms: float) -> int:
        """Return the last row known at a moment, the first before there is one."""
        return max(int(np.searchsorted(self.times_ms, at_ms, side="right")) - 1, 0)

    def row(self, index: int) -> dict[str, float]:
        """Return the prices of a row by symbol."""
        return dict(zip(self.symbols, self.prices[index].tolist(), strict=True))

    def only(self, symbols: Iterable[str]) -> PricePath:
        """Return the path of some of its instruments.

        Raises:
            KeyError: one is not in it.
        """
        names = tuple(symbols)
        places = {name: place for place, name in enumerate(self.symbols)}
        return PricePath(names, self.times_ms, self.prices[:, [places[name] for name in names]])


@cache
def daily_bars() -> dict[str, dict[date, tuple[float, float]]]:
    """Return (close, USD traded) of the linear perpetuals by symbol and UTC day."""
    bars: dict[str, dict[date, tuple[float, float]]] = {}
    with _bundled(_DAILY) as file:
        for row in csv.DictReader(file):
            day = date.fromisoformat(row["date"])
            of_symbol = bars.setdefault(row["symbol"], {})
            of_symbol[day] = float(row["close"]), float(row["turnover_usd"])
    return bars


@cache
def daily_closes() -> dict[str, dict[date, float]]:
    """Return the daily closes of the linear perpetuals by symbol and UTC day."""
    return {
        symbol: {day: close for day, (close, _) in of_symbol.items()}
        for symbol, of_symbol in daily_bars().items()
    }


def betas(before: date, days: int = BETA_DAYS) -> dict[str, float]:
    """Measure each instrument's beta to BTC on daily log returns.

    Args:
        before: the last return used ends on the day before this one.
        days: number of returns, where there are as many; at least `BETA_DAYS_MIN`.

    Returns:
        Covariance with BTC's returns over BTC's variance, by symbol; BTC is 1.
    """
    closes = daily_closes()
    wanted = [before - timedelta(days=back) for back in range(days + 1, 0, -1)]
    found: dict[str, float] = {}
    for symbol, of_symbol in closes.items():
        shared = [day for day in wanted if day in of_symbol and day in closes[BTC]]
        if len(shared) <= BETA_DAYS_MIN:
            continue
        own = np.diff(np.log([of_symbol[day] for day in shared]))
        btc = np.diff(np.log([closes[BTC][day] for day in shared]))
        centered = btc - btc.mean()
        found[symbol] = float(centered @ (own - own.mean()) / (centered @ centered))
    return found


@cache
def btc_minutes() -> PricePath:
    """Return the real one-minute closes of a BTC perpetual in January 2022."""
    times, closes = [], []
    with _bundled(_MINUTES) as file:
        for row in csv.DictReader(file):
            times.append(_utc_ms(row["timestamp"]) + MINUTE_MS)
            closes.append(float(row["close"]))
    return PricePath((BTC,), np.array(times, dtype=np.int64), np.array(closes)[:, np.newaxis])


@cache
def january_2022() -> PricePath:
    """Return minute paths of January 2022: BTC's own, the others moved by their betas."""
    btc = btc_minutes()
    log_btc = np.log(btc.prices[:, 0])
    columns = {BTC: btc.prices[:, 0]}
    closes = daily_closes()
    for symbol, beta in sorted(betas(JANUARY_2022).items()):
        if symbol != BTC:
            columns[symbol] = np.exp(_bent(btc.times_ms, log_btc * beta, closes[symbol]))
    return PricePath(tuple(columns), btc.times_ms, np.column_stack(list(columns.values())))


def _bent(times_ms: IntArray, scaled: FloatArray, closes: dict[date, float]) -> FloatArray:
    """Return a log path that moves like `scaled` and meets the log closes at the days' ends.

    Args:
        times_ms: shape (n,).
        scaled: shape (n,), log path with the right minute returns at an arbitrary level.
        closes: by UTC day.
    """
    path = np.empty_like(scaled)
    # A row known at midnight belongs to the day that ends then.
    days = (times_ms - 1) // DAY_MS
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        opening = np.log(closes[_day(day) - timedelta(days=1)])
        closing = np.log(closes[_day(day)])
        first = scaled[rows[0] - 1] if rows[0] else scaled[rows[0]]
        moved = scaled[rows] - first
        if times_ms[rows[-1]] < (day + 1) * DAY_MS:
            # A day the path does not finish starts from the last close and is not bent.
            path[rows] = opening + moved
        elif not rows[0]:
            path[rows] = closing + scaled[rows] - scaled[rows[-1]]
        else:
            passed = (times_ms[rows] - day * DAY_MS) / DAY_MS
            path[rows] = opening + moved + (closing - opening - moved[-1]) * passed
    return path


def read_path(file: Path) -> PricePath:
    """Read prices of one's own: CSV, plain or gzipped.

    Columns: `timestamp` (ISO, UTC, or ms), `close` or `price`, and `symbol` (without it: BTC's
    perpetual). A row holds until the next one of its symbol.

    Raises:
        OSError: it cannot be read.
        ValueError: a column is missing, a value is none, or a symbol starts later than others.
    """
    rows: dict[int, dict[str, float]] = {}
    with _text(file.read_bytes(), is_zipped=file.suffix == ".gz") as text:
        for row in csv.DictReader(text):
            price = row.get("close") or row.get("price")
            if not row.get("timestamp") or not price:
                message = f"{file}: needs the columns timestamp and close (or price)"
                raise ValueError(message)
            at_ms = _utc_ms(row["timestamp"])
            rows.setdefault(at_ms, {})[row.get("symbol") or BTC] = float(price)
    return _filled(file, rows)


def _filled(file: Path, rows: dict[int, dict[str, float]]) -> PricePath:
    times = sorted(rows)
    symbols = tuple(sorted({symbol for row in rows.values() for symbol in row}))
    if not times:
        message = f"{file}: no prices"
        raise ValueError(message)
    known: dict[str, float] = {}
    table = []
    for at_ms in times:
        known.update(rows[at_ms])
        if len(known) == len(symbols):
            table.append([known[symbol] for symbol in symbols])
    prices = np.array(table, dtype=np.float64)
    if not np.isfinite(prices).all() or (prices <= 0).any():
        message = f"{file}: a price is not above zero"
        raise ValueError(message)
    return PricePath(symbols, np.array(times[-len(table) :], dtype=np.int64), prices)


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=int(number))


def _utc_ms(text: str) -> int:
    if text.isdigit():
        return int(text)
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _bundled(name: str) -> IO[str]:
    return _text(resources.files("riskbot.data").joinpath(name).read_bytes(), is_zipped=True)


def _text(content: bytes, *, is_zipped: bool) -> IO[str]:
    return io.StringIO((gzip.decompress(content) if is_zipped else content).decode(), newline="")
