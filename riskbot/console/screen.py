"""The demo on a terminal: a live view of exposure, limits, positions and decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from riskbot.console.narrator import (
    COLORS,
    EXPLAINED,
    NAMES,
    STATES,
    Document,
    Narrator,
    Note,
    clock_text,
    date_text,
    money,
    percent,
)

BAR = 12
WIDE = 96
NOTES = 9
TALL = (4, 14, NOTES + 2, 5)
SMALL = (4, 11, 5, 3)
"""Rows of head, middle, story and caption, for terminals with room and without."""


class Screen:
    """A live view of the whole."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._narrator = Narrator()
        self._notes: deque[Note] = deque(maxlen=NOTES)
        self._why = ""
        self._equities: list[float] = []
        self._is_over = False
        self._live = Live(
            console=self._console, screen=False, refresh_per_second=12, transient=False
        )

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self, status: Document, positions: list[Document]) -> None:
        """Draw the present."""
        for note in self._narrator.see(status, positions):
            self._notes.append(note)
            self._why = note.why or self._why
            if self._is_over:
                self._console.print(_line(note))
        if self._is_over:
            return
        if status["equity_usd"] is not None:
            self._equities.append(status["equity_usd"])
        self._live.update(self.render(status, positions))

    def end(self, lines: Iterable[str]) -> None:
        """Show the summary below the last picture; what is new from then on comes as lines."""
        self._live.stop()
        self._is_over = True
        for line in lines:
            self._console.print(line, highlight=False)

    def render(self, status: Document, positions: list[Document]) -> RenderableType:
        """Return the picture of a moment."""
        layout = Layout()
        sizes = TALL if self._console.size.height > sum(TALL) else SMALL
        parts = (
            self._head(status),
            None,
            self._story(sizes[2] - 2),
            Panel(Text(self._why), title="why", border_style="cyan"),
        )
        names = ("head", "middle", "story", "why")
        layout.split_column(
            *(
                Layout(part, name=name, size=size)
                for part, name, size in zip(parts, names, sizes, strict=True)
            )
        )
        layout["middle"].split_row(
            Layout(Panel(self._limits(status["limits"]), title="limits"), ratio=3),
            Layout(Panel(self._positions(positions), title="positions"), ratio=2),
        )
        return Group(_Boxed(layout, sum(sizes)))

    def _head(self, status: Document) -> Panel:
        state = status["trading_state"]
        first = Text.assemble(
            (f" {date_text(int(status['as_of_ms']))} ", "bold"),
            "  ",
            (f" {state} ", f"bold white on {STATES[state]}"),
            f"  equity {money(status['equity_usd'])}",
            f"  gross {percent(status['gross_exposure'])}",
            f"  net {percent(status['net_exposure'])}",
            f"  drawdown {percent(status['drawdown'])}",
        )
        return Panel(Group(first, Text(_spark(self._equities, 96), style="cyan")), title="riskbot")

    def _limits(self, rows: list[Document]) -> Table:
        table = Table.grid(padding=(0, 1))
        told = [row for row in rows if row["on_breach"] in EXPLAINED]
        told += [row for row in rows if row["name"] in NAMES and row not in told]
        for row in told:
            color = COLORS.get(row["level"], "white")
            cells = [
                Text(NAMES.get(row["name"], row["name"].replace("_", " ")), no_wrap=True),
                Text(_bar(row["utilization"]), style=color),
                Text(f"{percent(row['measured'])} / {percent(row['limit'])}", style=color),
                Text(row["on_breach"], style="dim"),
            ]
            table.add_row(*(cells if self._console.size.width >= WIDE else cells[:3]))
        return table

    def _positions(self, rows: list[Document]) -> Table:
        table = Table.grid(padding=(0, 1))
        for row in rows:
            color = "green" if row["side"] == "long" else "magenta"
            pnl = row["unrealized_pnl_usd"]
            table.add_row(
                Text(row["instrument"].partition("/")[0]),
                Text(row["side"], style=color),
                Text(f"{row['notional_usd'] or 0:,.0f}", justify="right"),
                Text(f"{pnl or 0:+,.0f}", style="red" if pnl and pnl < 0 else "green"),
            )
        if not rows:
            table.add_row(Text("none: flat", style="bold green"))
        return table

    def _story(self, rows: int) -> Panel:
        lines = [_line(note) for note in list(self._notes)[-rows:]]
        return Panel(Group(*lines), title="what happens")


class _Boxed:
    # A layout takes the whole screen unless somebody says how high it is.
    def __init__(self, layout: Layout, height: int) -> None:
        self._layout, self._height = layout, height

    def __rich_console__(self, console: Console, options: Any) -> Any:
        height = min(self._height, max(console.size.height - 1, 10))
        yield from console.render(self._layout, options.update(height=height))


def _line(note: Note) -> Text:
    return Text.assemble((f"{clock_text(note.at_ms)}  ", "dim"), (note.text, note.color))


def _bar(utilization: float | None) -> str:
    filled = min(max(round((utilization or 0.0) * BAR), 0), BAR)
    return "█" * filled + "·" * (BAR - filled)


def _spark(values: Iterable[float], width: int) -> str:
    """Return the last values as a line of blocks, as high as they are between their extremes."""
    known = list(values)
    if len(known) < 2:
        return ""
    step = max(len(known) / width, 1.0)
    picked = [known[int(index * step)] for index in range(int(len(known) / step))]
    low, high = min(picked), max(picked)
    blocks = "▁▂▃▄▅▆▇█"
    span = (high - low) or 1.0
    return "".join(blocks[int((value - low) / span * (len(blocks) - 1))] for value in picked)
