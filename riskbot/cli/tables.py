"""Replies of the daemon for people: tables on a terminal, plain text into a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from riskbot.cli import cells, pages


def show(command: str, document: Any, *, file: TextIO | None = None) -> None:
    """Print the document of a command."""
    console = cells.console(file)
    renderer = _RENDERERS.get(command)
    if renderer is not None:
        renderer(console, document)
    elif isinstance(document, Mapping):
        cells.pairs(console, document)
    else:
        console.print(str(document), markup=False, highlight=False)


def show_plan(plan: Mapping[str, Any], *, file: TextIO | None = None) -> None:
    """Print what a riskier command would do, row by row."""
    console = cells.console(file)
    for name, value in plan.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            cells.rows(console, name, list(value[0]), value)


# ---------------------------------------------------------------- documents


def _status(console: Console, document: Mapping[str, Any]) -> None:
    state = cells.styled(document.get("trading_state"))
    head = Text(f"{document.get('instance')}  {document.get('mode')}  ") + state
    if document.get("would_be_state") not in {None, document.get("trading_state")}:
        head += Text(f"  (would be {document['would_be_state']})")
    console.print(head)
    figures = [
        ("equity", cells.usd(document.get("equity_usd"))),
        ("gross", cells.ratio(document.get("gross_exposure"))),
        ("net", cells.ratio(document.get("net_exposure"))),
        ("drawdown", cells.share(document.get("drawdown"))),
        ("daily loss", cells.share(document.get("daily_loss"))),
        ("PnL today", cells.usd(document.get("daily_pnl_usd"))),
    ]
    console.print("  ".join(f"{name} {value}" for name, value in figures), markup=False)
    for hold in document.get("holds", ()):
        latched = ", latched" if hold.get("latched") else ""
        binds = "" if hold.get("enforced", True) else ", shadow only"
        since = cells.moment(hold.get("since_ms"))
        text = f"  hold {hold['scope']} {hold['limit']} since {since}{latched}{binds}"
        console.print(f"{text}: {hold.get('reason', '')}", markup=False)
    for blind in document.get("blind", ()):
        since = cells.moment(blind.get("since_ms"))
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
            cells.styled(row.get("trading_state")),
            cells.usd(row.get("equity_usd")),
            row.get("held_by"),
            "BLIND" if row.get("blind") else "",
        ]
        for name, row in accounts.items()
    )
    cells.table(console, "accounts", heads, rows)


def _positions(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = ("account", "instrument", "side", ">quantity", ">entry", ">mark", ">notional", ">PnL",
             ">stop", ">risk", ">to liquidation", "")  # fmt: skip
    rows = (
        [
            row["account"],
            row["instrument"],
            row["side"],
            cells.number(row.get("quantity")),
            cells.number(row.get("entry")),
            cells.number(row.get("mark")),
            cells.usd(row.get("notional_usd")),
            cells.usd(row.get("unrealized_pnl_usd")),
            _or_dash(row.get("stop"), cells.number),
            cells.usd(row.get("risk_usd")),
            "-"
            if row.get("liquidation_distance") is None
            else cells.share(row["liquidation_distance"]),
            _notes(row),
        ]
        for row in document
    )
    cells.table(console, "positions", heads, rows)


def _or_dash(value: Any, write: Callable[[Any], str]) -> str:
    """Write what may not be there at all, which is no unknown."""
    return "-" if value is None else write(value)


def _notes(row: Mapping[str, Any]) -> str:
    notes = ["estimated"] if row.get("estimated") else []
    if not row.get("closable", True):
        notes.append(str(row.get("kept_reason") or "not closable"))
    return ", ".join(notes)


def _exposure(console: Console, document: Mapping[str, Any]) -> None:
    gross, net = document.get("gross_exposure"), document.get("net_exposure")
    usd = cells.usd
    console.print(
        f"equity {usd(document.get('equity_usd'))}  gross {usd(document.get('gross_usd'))} "
        f"({cells.ratio(gross)})  net {usd(document.get('net_usd'))} ({cells.ratio(net)})",
        markup=False,
    )
    for name in ("assets", "sectors", "groups"):
        rows = (
            [
                key,
                cells.usd(row.get("gross_usd")),
                cells.usd(row.get("net_usd")),
                cells.ratio(row.get("gross_exposure")),
            ]
            for key, row in document.get("breakdown", {}).get(name, {}).items()
        )
        cells.table(console, name, (name, ">gross", ">net", ">of equity"), rows)
    hedges = document.get("hedges", [])
    if hedges:
        cells.table(console, "hedges", _HEDGE_HEADS, (_hedge(row) for row in hedges))


_HEDGE_HEADS = (
    "pair",
    ">delta",
    ">hedge",
    ">drift",
    ">basis",
    ">a year",
    ">funding 24h",
    "restore",
)


def _hedge(row: Mapping[str, Any]) -> list[Any]:
    return [
        row.get("name", row.get("underlying")),
        cells.usd(row.get("delta_usd")),
        cells.usd(row.get("hedge_delta_usd")),
        cells.ratio(row.get("drift")),
        cells.ratio(row.get("basis")),
        cells.ratio(row.get("basis_annual")),
        cells.usd(row.get("funding_24h_usd")),
        (row.get("rebalance") or {}).get("text", ""),
    ]


def _measured(row: Mapping[str, Any]) -> str:
    if row.get("measured") is None and row.get("level") != "unknown":
        # Known to be far away: no liquidation price, no pair, no position.
        return "-"
    return cells.measure(row.get("measured"), row.get("unit", "ratio"))


def _limits(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = ("limit", "scope", "of", ">measured", ">allowed", "used", "level", "on breach")
    rows = (
        [
            row["name"],
            row["scope"],
            row.get("subject", ""),
            _measured(row),
            cells.measure(row.get("limit"), row.get("unit", "ratio")),
            cells.bar(row.get("utilization")),
            cells.styled(row.get("level")),
            row.get("on_breach"),
        ]
        for row in document
    )
    cells.table(console, "limits", heads, rows)


def _alerts(console: Console, document: Any) -> None:
    if isinstance(document, Mapping):
        pages.story(console, document)
        return
    heads = ("id", "level", "limit", "scope", "since", "text", "taken by")
    rows = (
        [
            row["id"],
            cells.styled(row["level"]),
            row.get("limit"),
            row.get("scope"),
            cells.moment(row.get("since_ms")),
            row.get("title") or row.get("text") or "",
            row.get("acked_by") or "",
        ]
        for row in document
    )
    cells.table(console, "alerts", heads, rows)


def _decisions(console: Console, document: list[Mapping[str, Any]]) -> None:
    heads = (">seq", "time", "decision", "limit", "reason", "by")
    rows = (
        [
            row.get("seq"),
            cells.moment(row.get("ts_ms")),
            row.get("kind"),
            row.get("limit"),
            row.get("reason"),
            row.get("actor"),
        ]
        for row in document
    )
    cells.table(console, "decisions", heads, rows)


_RENDERERS: dict[str, Callable[[Console, Any], None]] = {
    "status": _status,
    "positions": _positions,
    "exposure": _exposure,
    "limits": _limits,
    "alerts": _alerts,
    "decisions": _decisions,
    **pages.RENDERERS,
}
