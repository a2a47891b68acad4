"""Figures, times and columns as people read them on a phone; never `None`, `nan` or `1e-05`."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime

from riskbot.frontends.telegram.reader import phrase, reader, say

WIDTH = 34
"""Columns of a table: more wraps on small phones."""

UNKNOWN = "-"
BAR_CELLS = 10

WEEKDAYS = (
    phrase("Mon"),
    phrase("Tue"),
    phrase("Wed"),
    phrase("Thu"),
    phrase("Fri"),
    phrase("Sat"),
    phrase("Sun"),
)
MONTHS = (
    phrase("Jan"),
    phrase("Feb"),
    phrase("Mar"),
    phrase("Apr"),
    phrase("May"),
    phrase("Jun"),
    phrase("Jul"),
    phrase("Aug"),
    phrase("Sep"),
    phrase("Oct"),
    phrase("Nov"),
    phrase("Dec"),
)

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def money(value: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """Return `48 212.40`; with `sign` a plus before a gain."""
    if value is None:
        return UNKNOWN
    text = f"{value:{'+' if sign else ''},.{decimals}f}".replace(",", " ")
    # No -0.00: it is nothing.
    return text.replace("-", "") if not any(c in "123456789" for c in text) else text


def percent(share: float | None, decimals: int = 2, *, sign: bool = False) -> str:
    """Return a share as `2.24%`."""
    return UNKNOWN if share is None else money(share * 100, decimals, sign=sign) + "%"


def quantity(value: float | None) -> str:
    """Return a quantity with the digits that matter."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    decimals = 0 if size >= 10_000 or size == 0 else 2 if size >= 100 else 4 if size >= 1 else 6
    text = money(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def price(value: float | None) -> str:
    """Return a price with about five digits."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    decimals = 1 if size >= 10_000 else 2 if size >= 100 else 4 if size >= 1 else 6
    return money(value, decimals)


def measure(value: float | None, unit: str) -> str:
    """Return a measure in its limit's unit: ratios from 1 on as multiples, below as percent."""
    if value is None:
        return UNKNOWN
    if unit == "ratio":
        return f"{value:.2f}x" if abs(value) >= 1 else percent(value)
    if unit in {"count", "s", "ms", "bps", "/min"}:
        return f"{value:g}{'' if unit == 'count' else unit}"
    return money(value, 0)


def bar(utilization: float | None) -> str:
    """Return ten cells against the limit, `>` in place of the last beyond it."""
    if utilization is None:
        return "·" * BAR_CELLS
    full = min(BAR_CELLS, max(0, int(utilization * BAR_CELLS)))
    cells = "▓" * full + "░" * (BAR_CELLS - full)
    return cells[:-1] + ">" if utilization > 1 else cells


def clock(ms: float) -> str:
    """Return `12:44:31 UTC`, in the reader's zone."""
    local = local_time(ms)
    return f"{local:%H:%M:%S} {zone_name(local)}"


def short_clock(ms: float) -> str:
    """Return `12:44 UTC`, in the reader's zone."""
    local = local_time(ms)
    return f"{local:%H:%M} {zone_name(local)}"


def day(ms: float) -> str:
    """Return `Mon 17`, in the reader's zone."""
    return day_of(local_time(ms))


def day_of(local: date) -> str:
    """Return `Mon 17`."""
    return f"{say(WEEKDAYS[local.weekday()])} {local.day}"


def month_of(local: date) -> str:
    """Return `17 Mar`."""
    return f"{local.day} {say(MONTHS[local.month - 1])}"


def local_time(ms: float) -> datetime:
    """Return a moment in the reader's zone."""
    return datetime.fromtimestamp(ms / 1000, reader().zone)


def zone_name(local: datetime) -> str:
    """Return `CEST`; `UTC-03` where a zone has figures for a name."""
    name = local.strftime("%Z")
    return f"UTC{name}" if name[:1] in "+-" else name


def duration(seconds: float) -> str:
    """Return `32 min`: the largest unit that says it."""
    seconds = max(0.0, seconds)
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h"
    return f"{seconds // _DAY:.0f} d"


def width(text: str) -> int:
    """Return the columns a text takes in a monospaced font."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, columns: int) -> str:
    """Return a text in so many columns at most."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def left(text: str, columns: int) -> str:
    """Return a text cut or filled to so many columns."""
    text = cut(text, columns)
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """Return a text cut or filled to so many columns, at their right."""
    text = cut(text, columns)
    return " " * (columns - width(text)) + text


def spread(label: str, value: str, columns: int = WIDTH) -> str:
    """Return a label at the left and a value at the right of one line."""
    value = cut(value, columns - 1)
    room = columns - width(value)
    return left(label, room - 1) + " " + value if room > 1 else right(value, columns)


def wrap(text: str, columns: int = WIDTH) -> list[str]:
    """Return a text in lines of so many columns, words kept whole where they fit."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        rest = word
        while width(rest) > columns:
            head = cut(rest, columns)[:-1]
            lines += [line, head] if line else [head]
            line, rest = "", rest[len(head) :]
        if line and width(line) + 1 + width(rest) > columns:
            lines.append(line)
            line = rest
        else:
            line = f"{line} {rest}" if line else rest
    return [*lines, line] if line else lines
