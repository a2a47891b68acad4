"""What is known of one underlying, and the series that is told of it.

Nothing here asks anybody or reads a file.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from riskbot.core.histories import BUNDLED, HISTORY_DAYS, DailySeries

_EPOCH = date(1970, 1, 1)
PRINT_RATIO = 100.0
"""A close so many times above, or below, both its neighbors is a misprint."""

TURNOVER_DAYS = 30
_NAMED_MAX = 3


class Days:
    """Bars by day: USD per coin at its end, USD traded on it. Two arrays, since many are kept.

    Attributes:
        first_day: of the first bar, in days since 1970-01-01.
    """

    __slots__ = ("_closes", "_turnovers", "first_day")

    def __init__(self) -> None:
        self.first_day = 0
        self._closes = array("d")
        self._turnovers = array("d")

    def __bool__(self) -> bool:
        return bool(self._closes)

    def __len__(self) -> int:
        return sum(1 for _ in self.rows())

    @property
    def last_day(self) -> int:
        """Day of the newest bar, -1 = there is none."""
        return self.first_day + len(self._closes) - 1 if self._closes else -1

    def put(self, day: int, close: float, turnover: float | None) -> None:
        """Take in one bar; days that are skipped have none, and the oldest ones drop out."""
        if not self._closes:
            self.first_day = day
        elif day <= self.last_day - HISTORY_DAYS:
            return
        if day != self.first_day + len(self._closes):
            self._reach(day)
            index = day - self.first_day
            del self._closes[index : index + 1], self._turnovers[index : index + 1]
        index = day - self.first_day
        # Ten digits: finer than any tick, and free of a float's tail.
        self._closes.insert(index, float(f"{close:.10g}"))
        self._turnovers.insert(index, math.nan if turnover is None else round(turnover))
        if (surplus := len(self._closes) - HISTORY_DAYS) > 0:
            self._drop(surplus)

    def _reach(self, day: int) -> None:
        """Make room up to the day before one, or down to it."""
        for values in (self._closes, self._turnovers):
            if day < self.first_day:
                values[:0] = array("d", [math.nan]) * (self.first_day - day)
            values.extend([math.nan] * (day - self.first_day - len(values)))
        self.first_day = min(self.first_day, day)

    def _drop(self, surplus: int) -> None:
        """Forget the oldest days, and gaps before the first bar that is left."""
        while math.isnan(self._closes[surplus]):
            surplus += 1
        del self._closes[:surplus], self._turnovers[:surplus]
        self.first_day += surplus

    def closes(self) -> list[float | None]:
        """Return the closes of all days from the first bar on, None = a gap."""
        return [None if math.isnan(close) else close for close in self._closes]

    def turnover_usd(self, days: int) -> float | None:
        """Return the mean USD traded on those of the last days that are known, None = none is."""
        known = [value for value in self._turnovers[-days:] if not math.isnan(value)]
        return sum(known) / len(known) if known else None

    def rows(self) -> Iterator[tuple[int, float, float | None]]:
        """Give (day, close, turnover) of all bars, oldest first; turnover None = unknown."""
        pairs = zip(self._closes, self._turnovers, strict=True)
        for day, (close, turnover) in enumerate(pairs, self.first_day):
            if not math.isnan(close):
                yield day, close, None if math.isnan(turnover) else turnover

    def copy(self) -> Days:
        """Return bars of their own."""
        found = Days()
        found.first_day = self.first_day
        found._closes, found._turnovers = self._closes[:], self._turnovers[:]
        return found


@dataclass(slots=True)
class Kept:
    """Bars of one underlying and where they are from.

    Attributes:
        account, symbol: the instrument; empty = none has any.
        bars: as the venue told them.
        checked_ms: when it last answered in full, UTC ms; 0 = never.
        is_active: False = delisted.
        other_names: codes that part of the bars was traded under.
        note: what else people should know.
    """

    underlying: str
    account: str = ""
    symbol: str = ""
    bars: Days = field(default_factory=Days)
    checked_ms: int = 0
    is_active: bool = True
    is_bundled: bool = False
    other_names: tuple[str, ...] = ()
    note: str = ""


def series(kept: Kept, today: int, problem: str = "") -> DailySeries:
    """Return what is told of an underlying.

    Args:
        kept: what is known.
        today: the day that runs, in days since 1970-01-01.
        problem: why no more could be had just now; empty = nothing went wrong.
    """
    first, closes = kept.bars.first_day, kept.bars.closes()
    problem = f"not brought up to date: {problem}" if problem and closes else problem
    if not closes:
        note = "; ".join(part for part in (kept.note, problem) if part) or "no history"
        return DailySeries(kept.underlying, note=note)
    gaps = [day for day, close in enumerate(closes, first) if close is None]
    misprints = [first + place for place in _misprints(closes)]
    for day in misprints:
        closes[day - first] = None
    parts = [
        kept.note,
        f"partly as {', '.join(kept.other_names)}" if kept.other_names else "",
        _end(kept, today),
        f"no bar on {_days(gaps)}" if gaps else "",
        f"misprint left out: {_days(misprints)}" if misprints else "",
        problem,
    ]
    return DailySeries(
        underlying=kept.underlying,
        source=BUNDLED if kept.is_bundled else f"{kept.account}|{kept.symbol}",
        first_day=first,
        closes=tuple(closes),
        turnover_usd=kept.bars.turnover_usd(TURNOVER_DAYS),
        note="; ".join(part for part in parts if part),
    )


def _misprints(closes: list[float | None]) -> list[int]:
    """Return the places of closes far off both their neighbors; a gap is no neighbor."""
    known = [(place, close) for place, close in enumerate(closes) if close is not None]
    found = []
    for (_, before), (place, close), (_, after) in zip(known, known[1:], known[2:], strict=False):
        low, high = min(before, after), max(before, after)
        if close >= high * PRINT_RATIO or close * PRINT_RATIO <= low:
            found.append(place)
    return found


def _end(kept: Kept, today: int) -> str:
    """Say that it ends, once the venue had its time to tell more."""
    last = kept.bars.last_day
    if not kept.is_active:
        return f"delisted: the last bar is of {_date(last)}"
    # The venue was asked after yesterday had ended, and knows of no such day.
    is_over = last < today - 1 and kept.checked_ms // 86_400_000 >= today
    return f"no bar since {_date(last)}" if is_over else ""


def _days(days: list[int]) -> str:
    """Name days, those in a row as one."""
    runs: list[tuple[int, int]] = []
    for day in days:
        if runs and runs[-1][1] == day - 1:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    named = [_date(a) if a == b else f"{_date(a)} to {_date(b)}" for a, b in runs[-_NAMED_MAX:]]
    more = len(runs) - len(named)
    return ", ".join(named) + (f" and {more} times before" if more else "")


def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()
