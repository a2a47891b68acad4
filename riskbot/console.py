"""The demo on a terminal: what is measured, what riskbot decides, and why, in words for newcomers.

Reads documents (`core.views`) only. `Narrator` finds what is new in them; `Screen` draws a live
view with rich, `Lines` prints one line per event where there is no terminal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

Document = dict[str, Any]

COLORS = {"ok": "green", "yellow": "yellow", "orange": "dark_orange", "red": "red"}
STATES = {"ACTIVE": "green", "REDUCING": "dark_orange", "HALTED": "red"}
RANKS = {"ok": 0, "yellow": 1, "orange": 2, "unknown": 3, "red": 4}
BAR = 16
NOTES = 9
EXPLAINED = ("reduce", "hedge", "halt", "flatten")
"""Responses whose limits are told step by step; the others only when they break."""

NAMES = {
    "net_exposure": "net exposure",
    "gross_exposure": "gross exposure",
    "daily_loss": "loss of the day",
    "weekly_drawdown": "drawdown of the week",
    "drawdown": "drawdown from the peak",
    "asset_exposure": "largest coin",
    "sector_exposure": "largest sector",
    "position_size": "largest position",
}

WHY = {
    "start": "The portfolio is levered and net long. Bitcoin stands at 43,000, and a bot has left "
    "buy orders below the market. Nothing is wrong yet: riskbot watches.",
    "level:net_exposure:yellow": "The market dips and the bot's buy orders fill: the book leans "
    "further to one side. Yellow is a word in time; nobody has to act.",
    "level:net_exposure:orange": "More of them fill. Orange: the limit is near.",
    "level:daily_loss:yellow": "Half of what may be lost in a day is lost.",
    "level:drawdown:yellow": "Half of the drawdown that ends everything is there.",
    "level:drawdown:orange": "Three quarters of the drawdown limit. At the limit riskbot will not "
    "ask any more.",
    "reduce": "The limit is broken, and both mark price and order book say so. riskbot cancels "
    "the orders that would make it worse and sells, reduce-only, just enough to be inside again: "
    "the largest first, and no more than needed.",
    "hold:daily_loss": "Three percent lost today. No new risk until midnight: entries are "
    "cancelled, positions and protective stops stay. The bot may want to go on; the account "
    "does not.",
    "drop:daily_loss": "A new day: this hold ends by itself. A drawdown would not forgive so soon.",
    "hold:weekly_drawdown": "Eight percent below the week's peak. This halt is latched: it does "
    "not end by itself, a person has to look first.",
    "baseline": "The bot bought although trading is halted. riskbot closes what was opened past "
    "the halt, and nothing else.",
    "cancel": "Orders that would add risk are cancelled, and verified gone.",
    "flatten": "Fifteen percent below the peak: the last line. Everything is closed, the largest "
    "risk first, each order written to the journal before it is sent, none sent twice.",
    "flat": "Two reads of the account agree: flat. Trading stays halted, through restarts too, "
    "until a person resumes it.",
}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened.

    Attributes:
        at_ms: riskbot's time, UTC ms.
        color: of the text.
        why: a caption for newcomers, empty = none.
    """

    at_ms: int
    color: str
    text: str
    why: str = ""


def percent(value: float | None) -> str:
    """Write a share the way people read it; unknown as such."""
    return "unknown" if value is None else f"{value * 100:.1f} %"


def money(value: float | None) -> str:
    """Write USD without cents."""
    return "unknown" if value is None else f"{value:,.0f} USD"


def clock_text(at_ms: int) -> str:
    """Write a moment as day, month and minute, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %b %H:%M")


@dataclass(slots=True)
class Narrator:
    """Finds what is new between one set of documents and the next."""

    levels: dict[tuple[str, str], str] = field(default_factory=dict)
    holds: dict[tuple[str, str], Document] = field(default_factory=dict)
    intents: dict[int, Document] = field(default_factory=dict)
    quantities: dict[str, float] = field(default_factory=dict)
    state: str = ""
    has_begun: bool = False

    def see(self, status: Document, positions: list[Document]) -> list[Note]:
        """Take the documents of a moment and return what happened since the last."""
        if status["starting"]:
            return []
        now_ms = int(status["as_of_ms"])
        notes = [] if self.has_begun else [self._first(status, positions, now_ms)]
        notes += self._trades(positions, now_ms)
        notes += self._levels(status["limits"], now_ms)
        notes += self._holds(status["holds"], now_ms)
        notes += self._intents(status["intents"], now_ms)
        if status["trading_state"] != self.state and self.state:
            color = STATES[status["trading_state"]]
            notes.append(Note(now_ms, color, f"trading state: {status['trading_state']}"))
        self.state = status["trading_state"]
        return notes

    def _first(self, status: Document, positions: list[Document], now_ms: int) -> Note:
        self.has_begun = True
        self.quantities = {row["instrument"]: row["quantity"] for row in positions}
        text = (
            f"riskbot guards {money(status['equity_usd'])} in {len(positions)} positions: gross "
            f"{percent(status['gross_exposure'])}, net {percent(status['net_exposure'])}"
        )
        return Note(now_ms, "cyan", text, WHY["start"])

    def _trades(self, positions: list[Document], now_ms: int) -> Iterable[Note]:
        found = {row["instrument"]: row["quantity"] for row in positions}
        working = {t["instrument"] for i in self.intents.values() for t in i["targets"]}
        for symbol in {**self.quantities, **found}:
            change = found.get(symbol, 0.0) - self.quantities.get(symbol, 0.0)
            if not change:
                continue
            who = "riskbot" if symbol in working else "the bot"
            verb = "buys" if change > 0 else "sells"
            base = symbol.partition("/")[0]
            yield Note(now_ms, "white", f"{who} {verb} {abs(change):,.6g} {base}")
        self.quantities = found

    def _levels(self, limits: list[Document], now_ms: int) -> Iterable[Note]:
        for row in limits:
            key, level = (row["scope"], row["name"]), row["level"]
            before = self.levels.get(key, "ok")
            self.levels[key] = level
            is_told = row["on_breach"] in EXPLAINED
            if level == before or not (is_told or "red" in {level, before}):
                continue
            name = NAMES.get(row["name"], row["name"].replace("_", " "))
            measured, allowed = percent(row["measured"]), percent(row["limit"])
            if RANKS[level] > RANKS[before]:
                why = WHY.get(f"level:{row['name']}:{level}", "")
                text = f"{level.upper()}: {name} {measured} of {allowed}"
                yield Note(now_ms, COLORS.get(level, "white"), text, why)
            elif before == "red":
                text = f"{name} back inside: {measured} of {allowed}"
                yield Note(now_ms, COLORS.get(level, "white"), text)

    def _holds(self, rows: list[Document], now_ms: int) -> Iterable[Note]:
        found = {(row["scope"], row["limit"]): row for row in rows}
        for key, row in found.items():
            if key not in self.holds and row["state"] != "ACTIVE":
                until = ", until a person resumes" if row["latched"] else ""
                name = NAMES.get(row["limit"], row["limit"])
                text = f"{row['state']} by the {name}{until}"
                why = WHY.get(f"hold:{row['limit']}", "")
                yield Note(now_ms, STATES[row["state"]], text, why)
        for key, row in self.holds.items():
            if key not in found and row["state"] != "ACTIVE":
                name = NAMES.get(row["limit"], row["limit"])
                why = WHY.get(f"drop:{row['limit']}", "")
                yield Note(now_ms, "green", f"the hold of the {name} ended", why)
        self.holds = found

    def _intents(self, rows: list[Document], now_ms: int) -> Iterable[Note]:
        found = {row["id"]: row for row in rows}
        for number, row in found.items():
            if number not in self.intents:
                text = f"riskbot acts: {row['kind']}"
                limits = {cause[1].rpartition(":")[2] for cause in row["causes"]}
                text += f" ({', '.join(sorted(limits))})"
                yield Note(now_ms, "bold red", text, WHY.get(row["kind"], ""))
        for number, row in self.intents.items():
            if number not in found and row["kind"] == "flatten":
                yield Note(now_ms, "bold green", "verified flat", WHY["flat"])
            elif number not in found and row["kind"] != "cancel":
                yield Note(now_ms, "green", f"{row['kind']} done and verified")
        self.intents = found


# ---------------------------------------------------------------- without a terminal


class Lines:
    """One line per event.

    Args:
        write: takes a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._narrator = Narrator()
        self._said: set[str] = set()

    def show(self, status: Document, positions: list[Document]) -> None:
        """Print what is new."""
        for note in self._narrator.see(status, positions):
            self._write(f"{clock_text(note.at_ms)}  {note.text}")
            if note.why and note.why not in self._said:
                self._said.add(note.why)
                self._write(f"              {note.why}")

    def end(self, lines: Iterable[str]) -> None:
        """Print the summary."""
        for line in lines:
            self._write(line)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return


# ---------------------------------------------------------------- on a terminal


class Screen:
    """A live view of the whole."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._narrator = Narrator()
        self._notes: deque[Note] = deque(maxlen=NOTES)
        self._why = ""
        self._equities: deque[float] = deque(maxlen=400)
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
        if status["equity_usd"] is not None:
            self._equities.append(status["equity_usd"])
        self._live.update(self.render(status, positions))

    def end(self, lines: Iterable[str]) -> None:
        """Show the summary below the last picture."""
        self._live.stop()
        for line in lines:
            self._console.print(line)

    def render(self, status: Document, positions: list[Document]) -> RenderableType:
        """Return the picture of a moment."""
        layout = Layout()
        layout.split_column(
            Layout(self._head(status), size=4),
            Layout(name="middle", size=max(len(positions), 9) + 5),
            Layout(self._story(), size=NOTES + 2),
            Layout(Panel(Text(self._why), title="why", border_style="cyan"), size=5),
        )
        layout["middle"].split_row(
            Layout(Panel(self._limits(status["limits"]), title="limits")),
            Layout(Panel(self._positions(positions), title="positions")),
        )
        rows = 4 + max(len(positions), 9) + 5 + NOTES + 2 + 5
        return Group(_Boxed(layout, rows))

    def _head(self, status: Document) -> Panel:
        state = status["trading_state"]
        first = Text.assemble(
            (f" {clock_text(int(status['as_of_ms']))} 2022 UTC ", "bold"),
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
        for row in told[: max(9, len(told))]:
            color = COLORS.get(row["level"], "white")
            table.add_row(
                Text(NAMES.get(row["name"], row["name"].replace("_", " "))),
                Text(_bar(row["utilization"]), style=color),
                Text(f"{percent(row['measured'])} / {percent(row['limit'])}", style=color),
                Text(row["on_breach"], style="dim"),
            )
        return table

    def _positions(self, rows: list[Document]) -> Table:
        table = Table.grid(padding=(0, 1))
        for row in rows:
            color = "green" if row["side"] == "long" else "magenta"
            pnl = row["unrealized_pnl_usd"]
            table.add_row(
                Text(row["instrument"].partition("/")[0]),
                Text(row["side"], style=color),
                Text(money(row["notional_usd"]), justify="right"),
                Text(money(pnl), style="red" if pnl and pnl < 0 else "green", justify="right"),
            )
        if not rows:
            table.add_row(Text("none: flat", style="bold green"))
        return table

    def _story(self) -> Panel:
        lines = [
            Text.assemble((f"{clock_text(note.at_ms)}  ", "dim"), (note.text, note.color))
            for note in self._notes
        ]
        return Panel(Group(*lines), title="what happens")


class _Boxed:
    # A layout takes the whole screen unless somebody says how high it is.
    def __init__(self, layout: Layout, height: int) -> None:
        self._layout, self._height = layout, height

    def __rich_console__(self, console: Console, options: Any) -> Any:
        height = min(self._height, max(console.size.height - 1, 10))
        yield from console.render(self._layout, options.update(height=height))


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
