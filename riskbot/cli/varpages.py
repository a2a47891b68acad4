"""What `var` and `correlation` print, offline and of the running daemon alike.

How each number comes about is `explain`'s business; pictures are `plots`.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from riskbot.cli import cells
from riskbot.cli.arrange import clustered
from riskbot.cli.riskcells import Document, head, lasting, listed, parts_of, percent, signed

WIDE, PAIRS = 14, 20
"""Columns of a matrix that is shown whole; pairs shown of a wider one."""

SHADES = ((0.8, "bold red"), (0.6, "dark_orange"), (0.4, "yellow"))
"""Least correlation, and the color of a cell that has it."""


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
            "?" if row["marginal_var"] is None else f"{row['marginal_var'] * 100:.1f}",
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
