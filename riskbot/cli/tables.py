"""Replies of the daemon for people: tables on a terminal, plain text into a pipe."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
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


def show(command: str, document: Any, *, file: TextIO | None = None) -> None:
    """Print the document of a command."""
    console = _console(file)
    renderer = _RENDERERS.get(command)
    if renderer is not None:
        renderer(console, document)
    elif isinstance(document, Mapping):
        _pairs(console, document)
    else:
        console.print(str(document), markup=False, highlight=False)


def show_plan(plan: Mapping[str, Any], *, file: TextIO | None = None) -> None:
    """Print what a riskier command would do, row by row."""
    console = _console(file)
    for name, value in plan.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            _rows(console, name, list(value[0]), value)


def _console(file: TextIO | None) -> Console:
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


def _bar(utilization: Any) -> str:
    if utilization is None:
        return "?"
    filled = min(_BAR_CELLS, max(0, int(utilization * _BAR_CELLS)))
    return "█" * filled + "░" * (_BAR_CELLS - filled) + f" {utilization * 100:4.0f} %"


def _styled(text: Any) -> Text:
    return Text(str(text), style=_STYLES.get(str(text), ""))


def _table(console: Console, title: str, heads: Iterable[str], rows: Iterable[list[Any]]) -> None:
    table = Table(title=title or None, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for head in heads:
        # `>` marks columns of figures.
        table.add_column(head.lstrip(">"), justify="right" if head.startswith(">") else "left")
    count = 0
    for row in rows:
        count += 1
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    if count:
        console.print(table)
    else:
        console.print(f"{title or 'nothing'}: none", markup=False)


def _rows(console: Console, title: str, heads: list[str], rows: list[Mapping[str, Any]]) -> None:
    _table(console, title, heads, ([_plain(row.get(head)) for head in heads] for row in rows))


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)


def _pairs(console: Console, document: Mapping[str, Any]) -> None:
    for name, value in document.items():
        console.print(f"{name}: {_plain(value)}", markup=False)


# ---------------------------------------------------------------- documents


def _status(console: Console, document: Mapping[str, Any]) -> None:
    state = _styled(document.get("trading_state"))
    head = Text(f"{document.get('instance')}  {document.get('mode')}  ") + state
    if document.get("would_be_state") not in {None, document.get("trading_state")}:
        head += Text(f"  (would be {document['would_be_state']})")
    console.print(head)
    figures = [
        ("equity", usd(document.get("equity_usd"))),
        ("gross", ratio(document.get("gross_exposure"))),
        ("net", ratio(document.get("net_exposure"))),
        ("drawdown", share(document.get("drawdown"))),
        ("daily loss", share(document.get("daily_loss"))),
        ("PnL today", usd(document.get("daily_pnl_usd"))),
    ]
    console.print("  ".join(f"{name} {value}" for name, value in figures), markup=False)
    for hold in document.get("holds", ()):
        latched = ", latched" if hold.get("latched") else ""
        binds = "" if hold.get("enforced", True) else ", shadow only"
        since = moment(hold.get("since_ms"))
        text = f"  hold {hold['scope']} {hold['limit']} since {since}{latched}{binds}"
        console.print(f"{text}: {hold.get('reason', '')}", markup=False)
    for blind in document.get("blind", ()):
        since = moment(blind.get("since_ms"))
        console.print(f"  BLIND {blind['what']} since {since}", markup=False)
    _accounts(console, document.get("accounts", {}))
    _alerts(console, document.get("alerts", []))
    limits = document.get("limits", [])
    near = [row for row in limits if row.get("level") != "ok"]
    if near or not limits:
        _limits(console, near)
    else:
        console.print(f"limits: all {len(limits)} inside", markup=False)


def _accounts(console: Console, accounts: Mapping[str, Any]) -> None:
    heads = ("account", "exchange", "state", ">equity", "held by", "blind")
    rows = (
        [
            name,
            row.get("exchange"),
            _styled(row.get("trading_state")),
            usd(row.get("equity_usd")),
            row.get("held_by"),
            "BLIND" if row.get("blind") else "",
        ]
        for name, row in accounts.items()
    )
    _table(console, "accounts", heads, rows)


def _positions(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = ("account", "instrument", "side", ">quantity", ">entry", ">mark", ">notional", ">PnL",
             ">stop", ">risk", ">to liquidation", "")  # fmt: skip
    rows = (
        [
            row["account"],
            row["instrument"],
            row["side"],
            number(row.get("quantity")),
            number(row.get("entry")),
            number(row.get("mark")),
            usd(row.get("notional_usd")),
            usd(row.get("unrealized_pnl_usd")),
            "-" if row.get("stop") is None else number(row["stop"]),
            usd(row.get("risk_usd")),
            "-" if row.get("liquidation_distance") is None else share(row["liquidation_distance"]),
            _notes(row),
        ]
        for row in document
    )
    _table(console, "positions", heads, rows)


def _notes(row: Mapping[str, Any]) -> str:
    notes = ["estimated"] if row.get("estimated") else []
    if not row.get("closable", True):
        notes.append(str(row.get("kept_reason") or "not closable"))
    return ", ".join(notes)


def _exposure(console: Console, document: Mapping[str, Any]) -> None:
    gross, net = document.get("gross_exposure"), document.get("net_exposure")
    console.print(
        f"equity {usd(document.get('equity_usd'))}  gross {usd(document.get('gross_usd'))} "
        f"({ratio(gross)})  net {usd(document.get('net_usd'))} ({ratio(net)})",
        markup=False,
    )
    for name in ("assets", "sectors", "groups"):
        rows = (
            [
                key,
                usd(row.get("gross_usd")),
                usd(row.get("net_usd")),
                ratio(row.get("gross_exposure")),
            ]
            for key, row in document.get("breakdown", {}).get(name, {}).items()
        )
        _table(console, name, (name, ">gross", ">net", ">of equity"), rows)
    hedges = document.get("hedges", [])
    if hedges:
        _rows(console, "hedges", list(hedges[0]), hedges)


def _measured(row: Mapping[str, Any]) -> str:
    if row.get("measured") is None and row.get("level") != "unknown":
        # Known to be far away: no liquidation price, no pair, no position.
        return "-"
    return measure(row.get("measured"), row.get("unit", "ratio"))


def _limits(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = ("limit", "scope", "of", ">measured", ">allowed", "used", "level", "on breach")
    rows = (
        [
            row["name"],
            row["scope"],
            row.get("subject", ""),
            _measured(row),
            measure(row.get("limit"), row.get("unit", "ratio")),
            _bar(row.get("utilization")),
            _styled(row.get("level")),
            row.get("on_breach"),
        ]
        for row in document
    )
    _table(console, "limits", heads, rows)


def _alerts(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = ("id", "level", "limit", "scope", "since", "text", "taken by")
    rows = (
        [
            row["id"],
            _styled(row["level"]),
            row.get("limit"),
            row.get("scope"),
            moment(row.get("since_ms")),
            row.get("title") or row.get("text") or "",
            row.get("acked_by") or "",
        ]
        for row in document
    )
    _table(console, "alerts", heads, rows)


def _decisions(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = (">seq", "time", "decision", "limit", "reason", "by")
    rows = (
        [
            row.get("seq"),
            moment(row.get("ts_ms")),
            row.get("kind"),
            row.get("limit"),
            row.get("reason"),
            row.get("actor"),
        ]
        for row in document
    )
    _table(console, "decisions", heads, rows)


_RENDERERS: dict[str, Callable[[Console, Any], None]] = {
    "status": _status,
    "positions": _positions,
    "exposure": _exposure,
    "limits": _limits,
    "alerts": _alerts,
    "decisions": _decisions,
}
