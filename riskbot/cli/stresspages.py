"""What `stress` prints, offline and of the running daemon alike.

How each number comes about is `explain`'s business; pictures are `plots`.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from riskbot.cli import cells
from riskbot.cli.riskcells import FEW, Document, head, listed, lost, percent, signed

WITH_TITLES = 140
"""Columns of a console from which on scenarios are named in words too."""


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
