"""Shocks per asset measured on the bundled daily bars: what the `*_data` scenarios are made of.

`python -m riskbot.data.scenarios_from_data FROM TO [THROUGH]` prints them as YAML for any window;
tests hold the shipped files to it. What a scenario is lives in the core.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

DEFAULT = "DEFAULT"
PLACES = 6
"""Decimal places of a shock as written."""

# Perpetuals first: an asset is measured on the first file that knows it on all days asked for.
_FILES = ("daily_linear.csv.gz", "daily_btcusd.csv.gz")


@dataclass(frozen=True, slots=True)
class Bar:
    """One UTC day of one asset, USD per coin or per 1000 of them: only ratios are used."""

    low: float
    close: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a window of days did to every asset that was there.

    Attributes:
        shocks: close of the last day over the close before the first, minus 1, by asset, and
            DEFAULT: their median, for coins the data does not hold.
        extremes: the same of the lowest low; lows of different assets need not fall together.
    """

    shocks: dict[str, float]
    extremes: dict[str, float]


def measure(begins: date, ends: date, through: date | None = None) -> Measured:
    """Measure a fall.

    Args:
        begins: day whose close the shocks start from.
        ends: day whose close they end at.
        through: last day whose low counts, None = `ends`.

    Raises:
        ValueError: the days are not in order, or no asset has them all.
    """
    last = through or ends
    if not begins < ends <= last:
        message = f"{begins}, {ends}, {last}: the days must be in order"
        raise ValueError(message)
    shocks: dict[str, float] = {}
    extremes: dict[str, float] = {}
    for name in _FILES:
        for asset, bars in _bars(name).items():
            days = [day for day in bars if begins < day <= last]
            # A listing or a gap within the window measures another fall than the others'.
            if asset in shocks or begins not in bars or len(days) < (last - begins).days:
                continue
            start = bars[begins].close
            shocks[asset] = round(bars[ends].close / start - 1, PLACES)
            extremes[asset] = round(min(bars[day].low for day in days) / start - 1, PLACES)
    if not shocks:
        message = f"no asset has prices from {begins} to {last}"
        raise ValueError(message)
    return Measured(_with_default(shocks), _with_default(extremes))


def _with_default(shocks: Mapping[str, float]) -> dict[str, float]:
    known = dict(sorted(shocks.items()))
    return {**known, DEFAULT: round(statistics.median(known.values()), PLACES)}


@cache
def _bars(name: str) -> dict[str, dict[date, Bar]]:
    text = gzip.decompress(resources.files("riskbot.data").joinpath(name).read_bytes()).decode()
    found: dict[str, dict[date, Bar]] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        asset = _asset(row.get("symbol", "BTC/USD"))
        bar = Bar(float(row["low"]), float(row["close"]))
        found.setdefault(asset, {})[date.fromisoformat(row["date"])] = bar
    return found


def _asset(symbol: str) -> str:
    """Return the coin a symbol is of: quoted per 1000, it moves as one does."""
    return symbol.partition("/")[0].removeprefix("1000").removesuffix("1000")


def lines(measured: Measured) -> Iterator[str]:
    """Yield the YAML of what was measured."""
    for field, values in (("shocks", measured.shocks), ("extremes", measured.extremes)):
        yield f"{field}:"
        for asset, shock in values.items():
            yield f"  {asset}: {shock}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the shocks of a window as YAML."""
    parser = argparse.ArgumentParser(
        prog="python -m riskbot.data.scenarios_from_data", description=main.__doc__
    )
    for name in ("begins", "ends"):
        parser.add_argument(name, type=date.fromisoformat, metavar=name.upper())
    parser.add_argument("through", type=date.fromisoformat, nargs="?", metavar="THROUGH")
    days = parser.parse_args(argv)
    try:
        measured = measure(days.begins, days.ends, days.through)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join(lines(measured)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
