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
        for values in (self._closes, self._turnovers):
            if day < self.first_day:
                values[:0] = array("d", [math.nan]) * (self.first_day - day)
            values.extend([math.nan] * (day - self.first_day + 1 - len(values)))
        self.first_day = min(self.first_day, day)
        # Ten digits: finer than any tick, and free of a float's tail.
        self._closes[day - self.first_day] = float(f"{close:.10g}")
        self._turnovers[day - self.first_day] = math.nan if turnover is None else round(turnover)
        if (surplus := len(self._closes) - HISTORY_DAYS) > 0:
            del self._closes[:surplus], self._turnovers[:surplus]
            self.first_day += surplus

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
    rows = list(kept.bars.rows())
    misprints = _misprints([(day, close) for day, close, _ in rows])
    closes = {day: close for day, close, _ in rows if day not in misprints}
    problem = f"not brought up to date: {problem}" if problem and closes else problem
    if not closes:
        note = "; ".join(part for part in (kept.note, problem) if part) or "no history"
        return DailySeries(kept.underlying, note=note)
    first, last = min(closes), max(closes)
    gaps = [day for day in range(first, last) if day not in closes and day not in misprints]
    parts = [
        kept.note,
        f"partly as {', '.join(kept.other_names)}" if kept.other_names else "",
        _end(kept, last, today),
        f"no bar on {_days(gaps)}" if gaps else "",
        f"misprint left out: {_days(sorted(misprints))}" if misprints else "",
        problem,
    ]
    return DailySeries(
        underlying=kept.underlying,
        source=BUNDLED if kept.is_bundled else f"{kept.account}|{kept.symbol}",
        first_day=first,
        closes=tuple(closes.get(day) for day in range(first, last + 1)),
        turnover_usd=_turnover({day: traded for day, _, traded in rows}, last),
        note="; ".join(part for part in parts if part),
    )


def _misprints(closes: list[tuple[int, float]]) -> frozenset[int]:
    found = set()
    rows = zip(closes, closes[1:], closes[2:], strict=False)
    for (_, before), (day, close), (_, after) in rows:
        ratios = (close / before, close / after)
        if min(ratios) >= PRINT_RATIO or max(ratios) <= 1 / PRINT_RATIO:
            found.add(day)
    return frozenset(found)


def _end(kept: Kept, last: int, today: int) -> str:
    """Say that it ends, once the venue had its time to tell more."""
    if not kept.is_active:
        return f"delisted: the last bar is of {_date(last)}"
    # The venue was asked after yesterday had ended, and knows of no such day.
    is_over = last < today - 1 and kept.checked_ms // 86_400_000 >= today
    return f"no bar since {_date(last)}" if is_over else ""


def _turnover(traded: dict[int, float | None], last: int) -> float | None:
    recent = [traded.get(day) for day in range(last - TURNOVER_DAYS + 1, last + 1)]
    known = [value for value in recent if value is not None]
    return sum(known) / len(known) if known else None


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
