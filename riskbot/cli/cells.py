"""How `ctl` prints: consoles, cells, rows. What of a document is shown is `tables` and `pages`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {
    "yellow": "yellow",
    "orange": "dark_orange",
    "red": "bold red",
    "unknown": "magenta",
    "HALTED": "bold red",
    "REDUCING": "dark_orange",
    "ACTIVE": "green",
}
_PIPE_WIDTH = 160
_BAR_CELLS = 10


def console(file: TextIO | None) -> Console:
    """Return where to print: a terminal's own width, a pipe's fixed one."""
    target = file or sys.stdout
    return Console(file=target, width=None if target.isatty() else _PIPE_WIDTH, highlight=False)


# ---------------------------------------------------------------- cells


def usd(value: Any) -> str:
    """Write USD; unknown is `?`, never 0."""
    return "?" if value is None else f"{value:,.2f}"


def share(value: Any) -> str:
    """Write a share as percent."""
    return "?" if value is None else f"{value * 100:.2f} %"


def ratio(value: Any) -> str:
    """Write a multiple of equity."""
    return "?" if value is None else f"{value:.3f}"


def number(value: Any) -> str:
    """Write a quantity or a price, without figures that mean nothing."""
    return "?" if value is None else f"{value:,.8g}"


def moment(ms: Any) -> str:
    """Write a time, UTC."""
    if ms is None:
        return "?"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def measure(value: Any, unit: str) -> str:
    """Write a limit's figure in its unit; `-` where there is nothing to measure."""
    if value is None:
        return "?"
    if not math.isfinite(value):
        return "-"
    return f"{value:,.4g}" + ("" if unit in {"ratio", "count"} else f" {unit}")


def bar(utilization: Any) -> str:
    """Draw a share as ten cells with its percentage."""
    if utilization is None:
        return "?"
    filled = min(_BAR_CELLS, max(0, int(utilization * _BAR_CELLS)))
    return "█" * filled + "░" * (_BAR_CELLS - filled) + f" {utilization * 100:4.0f} %"


def styled(text: Any) -> Text:
    """Color levels and states."""
    return Text(str(text), style=_STYLES.get(str(text), ""))


def table(out: Console, title: str, heads: Iterable[str], lines: Iterable[list[Any]]) -> None:
    """Print rows under their heads; a head that begins with `>` is of figures."""
    made = Table(title=title or None, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for head in heads:
        made.add_column(head.lstrip(">"), justify="right" if head.startswith(">") else "left")
    count = 0
    for row in lines:
        count += 1
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    if count:
        out.print(made)
    else:
        out.print(f"{title or 'nothing'}: none", markup=False)


def rows(out: Console, title: str, heads: list[str], found: list[Mapping[str, Any]]) -> None:
    """Print mappings as rows of the same columns."""
    table(out, title, heads, ([plain(row.get(head)) for head in heads] for row in found))


def plain(value: Any) -> str:
    """Write a value of no particular kind."""
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)


def pairs(out: Console, document: Mapping[str, Any]) -> None:
    """Print a mapping line by line."""
    for name, value in document.items():
        out.print(f"{name}: {plain(value)}", markup=False)
