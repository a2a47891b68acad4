"""What happens, in words for newcomers: found in what is new from one set of documents to the next.

How it is shown is `screen`'s and `lines`' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

COLORS = {"ok": "green", "yellow": "yellow", "orange": "dark_orange", "red": "red"}
STATES = {"ACTIVE": "green", "REDUCING": "dark_orange", "HALTED": "red"}
RANKS = {"ok": 0, "yellow": 1, "orange": 2, "unknown": 3, "red": 4}
EXPLAINED = ("reduce", "hedge", "halt", "flatten")
"""Responses whose limits are told step by step; the others only when they break."""

NAMES = {
    "net_exposure": "net exposure",
    "gross_exposure": "gross exposure",
    "daily_loss": "loss of the day",
    "weekly_drawdown": "week's drawdown",
    "drawdown": "drawdown",
    "asset_exposure": "largest coin",
    "sector_exposure": "largest sector",
    "position_size": "largest position",
    "maintenance_margin": "margin used",
    "value_at_risk": "value at risk of a day",
    "stress_loss": "loss of the worst scenario",
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
    "hold:value_at_risk": "By the last year's days, one in twenty would now cost more than seven "
    "percent of what is left. New risk is denied until a smaller book or calmer days allow it.",
    "level:stress_loss:red": "The week of March 2020 would cost this book nearly half of what it "
    "has. Nothing of the kind has happened: that is why it is told now.",
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
    # Plus zero: what is left of a rounding is no minus.
    return "unknown" if value is None else f"{round(value * 100, 1) + 0.0:.1f}%"


def money(value: float | None) -> str:
    """Write USD without cents."""
    return "unknown" if value is None else f"{value:,.0f} USD"


def clock_text(at_ms: int) -> str:
    """Write a moment as day, month and minute, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %b %H:%M")


def date_text(at_ms: int) -> str:
    """Write a moment with its year, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %b %Y %H:%M UTC")


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
        if status["starting"] or status["equity_usd"] is None:
            return []
        now_ms = int(status["as_of_ms"])
        notes = [] if self.has_begun else [self._first(status, positions, now_ms)]
        notes += self._trades(positions, status["intents"], now_ms)
        worst = {(a["scope"], a["limit"]): a["worst"] for a in status["alerts"]}
        notes += self._levels(status["limits"], worst, now_ms)
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

    def _trades(
        self, positions: list[Document], intents: list[Document], now_ms: int
    ) -> Iterable[Note]:
        found = {row["instrument"]: row["quantity"] for row in positions}
        known = [*self.intents.values(), *intents]
        working = {target["instrument"] for intent in known for target in intent["targets"]}
        for symbol in {**self.quantities, **found}:
            change = found.get(symbol, 0.0) - self.quantities.get(symbol, 0.0)
            if not change:
                continue
            who = "riskbot" if symbol in working else "the bot"
            verb = "buys" if change > 0 else "sells"
            base = symbol.partition("/")[0]
            yield Note(now_ms, "white", f"{who} {verb} {abs(change):,.6g} {base}")
        self.quantities = found

    def _levels(
        self, limits: list[Document], worst: dict[tuple[str, str], float | None], now_ms: int
    ) -> Iterable[Note]:
        for row in limits:
            key, level = (row["scope"], row["name"]), row["level"]
            before = self.levels.get(key, "ok")
            if level == "unknown":
                # For a moment nobody knows, as when something new was bought: nothing has changed.
                continue
            self.levels[key] = level
            is_told = row["on_breach"] in EXPLAINED
            if level == before or not (is_told or "red" in {level, before}):
                continue
            name = NAMES.get(row["name"], row["name"].replace("_", " "))
            measured, allowed = percent(row["measured"]), percent(row["limit"])
            if level == "red":
                # It may have come back a little since it broke.
                measured = percent(max(row["measured"] or 0.0, worst.get(key) or 0.0))
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
