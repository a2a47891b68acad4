"""What `stress`, `var` and `correlation` print, offline and of the running daemon alike.

How each number comes about is `explain`'s business; pictures are `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from riskbot.cli import cells
from riskbot.cli.arrange import clustered

Document = Mapping[str, Any]

MOST, FEW = 6, 2
"""Names on a line and in a cell; the rest is counted."""

_HALF_USD = 0.5

WITH_TITLES = 140
"""Columns of a console from which on scenarios are named in words too."""

WIDE, PAIRS = 14, 20
"""Columns of a matrix that is shown whole; pairs shown of a wider one."""

SHADES = ((0.8, "bold red"), (0.6, "dark_orange"), (0.4, "yellow"))
"""Least correlation, and the color of a cell that has it."""


def head(out: Console, document: Document) -> None:
    """Print whose book it is, and how large."""
    gross, net = document["gross_usd"], document["net_usd"]
    out.print(
        f"{document['scope']}  equity {cells.usd(document['equity_usd'])}  gross "
        f"{cells.usd(gross)}  net {cells.usd(net)} USD  at {cells.moment(document['as_of_ms'])}",
        markup=False,
    )


def percent(value: Any) -> str:
    """Write a share as percent, one decimal."""
    return "?" if value is None else f"{value * 100:.1f} %".replace("-0.0 %", "0.0 %")


def signed(value: Any) -> str:
    """Write USD without cents."""
    if value is None:
        return "?"
    # What rounds to nothing has no sign.
    return f"{value:,.0f}" if abs(value) > _HALF_USD else "0"


def lost(pnl_usd: Any) -> Any:
    """Return a PnL as a loss."""
    return None if pnl_usd is None else -pnl_usd


def listed(names: list[str], most: int = MOST) -> str:
    """Write names, the first of many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


# ---------------------------------------------------------------- stress


def stress(out: Console, document: Document) -> None:
    """Print an overview, one scenario, or a suggestion: whichever the document is."""
    if "scenarios" in document:
        overview(out, document)
    elif "trades" in document:
        suggestion(out, document)
    else:
        scenario(out, document)


def overview(out: Console, document: Document) -> None:
    """Print every scenario, the worst first, unknown ones before all."""
    head(out, document)
    rows, limit = document["scenarios"], document["limit"]
    heads = [">loss USD", ">of E", ">equity after", ">margin", ">liquidated",
             "limits that would break"]  # fmt: skip
    # Where it is narrow, figures come before words: each scenario has a page of its own.
    is_wide = out.width >= WITH_TITLES
    names = ("scenario", "what happens") if is_wide else ("scenario",)
    cells.table(
        out,
        "scenarios",
        (*names, *heads),
        ([*_name_cells(row)[: len(names)], *_scenario_cells(row, limit)] for row in rows),
    )
    counted = [row for row in rows if row["counted"]]
    if limit is None:
        out.print("stress_loss: no limit here", markup=False)
    else:
        over = [row["name"] for row in counted if row["loss"] is not None and row["loss"] > limit]
        told = listed(over) if over else "none"
        out.print(f"stress_loss: at most {percent(limit)} of E; beyond it: {told}", markup=False)
    out.print(
        "A loss < 0 is a gain. margin: maintenance over equity after it, 100 % = liquidation. "
        "*: shown, not counted by stress_loss.",
        markup=False,
    )
    for row in rows:
        if row["liquidated"]:
            told = listed(row["liquidated"])
            out.print(f"{row['name']} would liquidate: {told}", markup=False)
        for reason in row["unknown"]:
            out.print(f"unknown: {row['name']}: {reason}", markup=False)


def _name_cells(row: Document) -> list[str]:
    return [row["name"] + ("" if row["counted"] else " *"), row["title"]]


def _scenario_cells(row: Document, limit: float | None) -> list[Any]:
    loss = row["loss"]
    is_over = row["counted"] and limit is not None and loss is not None and loss > limit
    broken = [name for name in row["broken"] if name != "stress_loss"]
    return [
        signed(lost(row["pnl_usd"])),
        Text(percent(loss), style="bold red" if is_over else ""),
        signed(row["equity_after_usd"]),
        _margin(row["margin_after"]),
        len(row["liquidated"]) or "-",
        listed((["stress_loss"] if is_over else []) + list(dict.fromkeys(broken)), FEW),
    ]


def _margin(value: Any) -> str:
    """Write a margin ratio; what has no maintenance margin has none."""
    return "-" if value is None else percent(value)


def scenario(out: Console, document: Document) -> None:
    """Print one scenario position by position."""
    out.print(f"{document['title']}  ({document['name']}, {document['scope']})", markup=False)
    out.print(document["description"], markup=False)
    out.print(f"source: {document['source']}; basis: {document['basis']}", markup=False)
    out.print(
        f"loss {signed(lost(document['pnl_usd']))} USD, {percent(document['loss'])} of E; equity "
        f"{signed(document['equity_usd'])} -> {signed(document['equity_after_usd'])}",
        markup=False,
    )
    if document["venue_lost"]:
        out.print(f"the venue that is lost: {document['venue_lost']}", markup=False)
    rows = [
        [
            each["account"],
            each["instrument"],
            cells.number(each["quantity"]),
            cells.number(each["mark_usd"]),
            signed(each["delta_usd"]),
            "?" if each["shock"] is None else f"{each['shock'] * 100:+.1f} %",
            each["shock_from"] or "-",
            signed(each["pnl_usd"]),
            "; ".join(each["notes"]),
        ]
        for each in document["positions"]
    ]
    rows += [
        [each["account"], each["asset"], "", "", signed(each["value_usd"]),
         f"{each['shock'] * 100:+.1f} %", "", signed(each["pnl_usd"]), each["words"]]
        for each in document["cash"]
    ]  # fmt: skip
    if rows:
        rows.append(["in all", "", "", "", "", "", "", signed(document["pnl_usd"]), ""])
    heads = ("account", "what", ">quantity", ">mark", ">delta USD", ">shock", "from", ">PnL USD",
             "")  # fmt: skip
    cells.table(out, "positions, worst first", heads, rows)
    _after(out, document)


def _after(out: Console, document: Document) -> None:
    """Print margin, liquidations and limits after a scenario."""
    cells.table(
        out,
        "margin",
        ("pool", ">before", ">after", ">equity after", ""),
        (
            [
                each["subject"],
                _margin(each["before"]),
                _margin(each["after"]),
                signed(each["equity_after_usd"]),
                each["reason"],
            ]
            for each in document["margin"]
        ),
    )
    for each in document["liquidations"]:
        out.print(f"liquidated: {each['position']}, by {each['reason']}", markup=False)
    cells.table(
        out,
        "limits broken after it",
        ("limit", "of", ">before", ">after", ">allowed", ""),
        (
            [
                each["limit"],
                each["key"],
                cells.measure(each["before"], "ratio"),
                cells.measure(each["after"], "ratio"),
                cells.measure(each["allowed"], "ratio"),
                "broken already" if each["was_broken"] else "",
            ]
            for each in document["limits"]
        ),
    )
    for each in document["unjudged"]:
        name = f"{each['limit']} {each['key']}".rstrip()
        out.print(f"not judged: {name}: {each['reason']}", markup=False)
    for reason in document["unknown"]:
        out.print(f"unknown: {reason}", markup=False)


def suggestion(out: Console, document: Document) -> None:
    """Print the smallest trades that bring a loss inside what is allowed."""
    out.print(
        f"{document['scenario']} ({document['scope']}): loss {percent(document['before'])} of E, "
        f"allowed {percent(document['allowed'])}; advice only, nothing is sent",
        markup=False,
    )
    cells.table(
        out,
        "trades",
        ("account", "instrument", "side", ">quantity", ">USD", ">saves USD"),
        (
            [
                each["account"],
                each["instrument"],
                each["side"],
                each["quantity"],
                signed(each["turnover_usd"]),
                signed(each["saves_usd"]),
            ]
            for each in document["trades"]
        ),
    )
    verdict = "that is enough" if document["is_enough"] else "that is NOT enough"
    out.print(
        f"after them {percent(document['after'])}: {verdict}; "
        f"{signed(document['turnover_usd'])} USD are traded",
        markup=False,
    )
    if document["note"]:
        out.print(document["note"], markup=False)


# ---------------------------------------------------------------- value at risk


def var(out: Console, document: Document) -> None:
    """Print what a bad day would cost, and where it comes from."""
    head(out, document)
    if document["unknown"]:
        out.print(f"value at risk: unknown: {document['unknown']}", markup=False)
    else:
        _tails(out, document)
        _components(out, document)
        _worst_days(out, document)
    _ways_out(out, document["liquidity"])
    history = document["history"]
    if history["days"]:
        out.print(
            f"history: {history['days']} days, {history['first_day']} to {history['last_day']}",
            markup=False,
        )
    short = [name for name, row in history["underlyings"].items() if _is_short(row, history)]
    if short:
        out.print(f"shorter history of their own: {listed(short)} (--explain)", markup=False)


def _is_short(row: Document, history: Document) -> bool:
    return row["own_days"] is not None and row["own_days"] < history["days"]


def _tails(out: Console, document: Document) -> None:
    slow, rows = document["slow"], []
    for level in ("95", "99"):
        rows += [
            [
                f"VaR {level} %, one day",
                signed(document["value_at_risk_usd"][level]),
                cells.share(document["value_at_risk"][level]),
                _of_slow(slow, f"filtered_value_at_risk_{level}_usd"),
            ],
            [
                f"expected shortfall {level} %",
                signed(document["expected_shortfall_usd"][level]),
                cells.share(document["expected_shortfall"][level]),
                _of_slow(slow, f"filtered_expected_shortfall_{level}_usd"),
            ],
        ]
    heads = ("loss", ">USD", ">of E", ">at today's volatility, USD")
    cells.table(out, f"a bad day, by the last {document['days']} days", heads, rows)
    parts = [f"volatility {percent(document['volatility'])} a year"]
    if slow:
        parts += [
            f"VaR 95 % if returns were normal {_of_slow(slow, 'normal_value_at_risk_95_usd')} USD",
            f"average correlation {cells.ratio(slow.get('average_correlation'))}",
            f"1 % of BTC moves it by {_of_slow(slow, 'beta_usd', 0.01)} USD",
        ]
    out.print("; ".join(parts), markup=False)
    if slow.get("backtest_days"):
        out.print(
            f"backtest: the loss exceeded VaR 95 % on {slow['backtest_exceeded']:.0f} of "
            f"{slow['backtest_days']:.0f} days, {slow['backtest_expected']:.1f} expected; p = "
            f"{cells.ratio(slow['backtest_kupiec_p'])} (Kupiec, how many), "
            f"{cells.ratio(slow['backtest_christoffersen_p'])} (Christoffersen, in a row)",
            markup=False,
        )
    elif slow:
        out.print("backtest: unknown, it takes more than a year of history", markup=False)
    if document["lost"]:
        names = listed(document["lost"])
        out.print(f"no history, counted as lost whole each day: {names}", markup=False)


def _of_slow(slow: Document, name: str, times: float = 1.0) -> str:
    value = slow.get(name)
    return "?" if value is None else signed(value * times)


def _components(out: Console, document: Document) -> None:
    rows = [
        [
            row["underlying"],
            signed(row["exposure_usd"]),
            percent(row["volatility"]),
            signed(row["var_usd"]),
            percent(row["var_share"]),
            signed(row["es_usd"]),
            f"{row['marginal_var'] * 100:.1f}",
            row["own_days"],
        ]
        for row in document["components"]
    ]
    if rows:
        var_usd = sum(row["var_usd"] for row in document["components"])
        es_usd = sum(row["es_usd"] for row in document["components"])
        whole = "100.0 %" if var_usd else "?"
        rows.append(["in all", "", "", signed(var_usd), whole, signed(es_usd), "", ""])
    heads = ("underlying", ">exposure USD", ">volatility", ">VaR 95 USD", ">of VaR", ">ES 95 USD",
             ">per 100 USD", ">own days")  # fmt: skip
    cells.table(out, "where it comes from; < 0 takes risk away", heads, rows)


def _worst_days(out: Console, document: Document) -> None:
    cells.table(
        out,
        "worst days for the book of now",
        ("day", ">PnL USD", "most of it"),
        (
            [row["day"], signed(row["pnl_usd"]), parts_of(row["by_underlying_usd"])]
            for row in document["worst_days"]
        ),
    )


def parts_of(parts: Document) -> str:
    """Write PnL by underlying."""
    return "  ".join(f"{name} {signed(usd)}" for name, usd in parts.items())


def _ways_out(out: Console, rows: list[Document]) -> None:
    cells.table(
        out,
        "way out, the longest first",
        ("underlying", ">gross USD", ">traded a day USD", ">time to exit", ">cost USD"),
        (
            [
                row["underlying"],
                signed(row["gross_usd"]),
                signed(row["turnover_usd"]),
                lasting(row["time_to_exit_s"]),
                "?" if row["exit_cost_usd"] is None else f"{row['exit_cost_usd']:,.2f}",
            ]
            for row in rows
        ),
    )


def lasting(seconds: Any) -> str:
    """Write a duration: `42 s`, `15.9 min`, `3.2 h`, `4.1 days`."""
    if seconds is None:
        return "?"
    for least, unit, name in ((86_400, 86_400, "days"), (3_600, 3_600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.0f} s"


# ---------------------------------------------------------------- correlation


def correlation(out: Console, document: Document) -> None:
    """Print the matrix, those that move together beside each other."""
    out.print(
        f"{document['scope']}  correlation of daily log returns, the last {document['days']} days  "
        f"at {cells.moment(document['as_of_ms'])}",
        markup=False,
    )
    if len(document["underlyings"]) <= WIDE:
        _matrix(out, document)
    else:
        _strongest(out, document)
    told = f"average {cells.ratio(document['average'])}"
    if document.get("shrunk"):
        told += f"; each shrunk by {percent(document['shrunk'])} towards it, as so few days err"
    out.print(told, markup=False)
    for group in document["groups"]:
        out.print(
            f"moves as one: {', '.join(group['underlyings'])}: gross "
            f"{signed(group['gross_usd'])} USD, {percent(group['gross_exposure'])} of E, net "
            f"{signed(group['net_usd'])} USD",
            markup=False,
        )
    if document["unknown"]:
        out.print(f"unknown: {listed(document['unknown'])}: too little history", markup=False)


def _matrix(out: Console, document: Document) -> None:
    names, matrix = document["underlyings"], document["matrix"]
    order = clustered(matrix)
    cells.table(
        out,
        "",
        ("", *(f">{names[place]}" for place in order)),
        ([names[row], *(_shade(matrix[row][place]) for place in order)] for row in order),
    )


def _strongest(out: Console, document: Document) -> None:
    """Print the strongest pairs of what is too wide for a table."""
    names, matrix = document["underlyings"], document["matrix"]
    pairs = [
        (matrix[a][b], names[a], names[b])
        for a in range(len(names))
        for b in range(a)
        if matrix[a][b] is not None
    ]
    pairs.sort(key=lambda pair: -abs(pair[0]))
    title = f"strongest of {len(pairs)} pairs (--plot and --json have all)"
    rows = ([b, a, _shade(value)] for value, a, b in pairs[:PAIRS])
    cells.table(out, title, ("", "with", ">correlation"), rows)


def _shade(value: Any) -> Text:
    if value is None:
        return Text("?")
    style = next((style for least, style in SHADES if abs(value) >= least), "")
    return Text(f"{value:+.2f}", style=style)
