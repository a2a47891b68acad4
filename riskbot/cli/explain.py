"""`--explain`: each number of `stress`, `var` and `correlation` back to what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from riskbot.cli import cells
from riskbot.cli.riskcells import lost, parts_of, percent, signed
from riskbot.cli.standing import Standing
from riskbot.core import appraisal, riskviews
from riskbot.core.appraisal import Days
from riskbot.core.panel import Panel
from riskbot.core.stats import liquidity
from riskbot.core.stats.correlation import GROUPED_FROM
from riskbot.core.stats.var import tail_days

Document = Mapping[str, Any]

STRESS = """\
How the numbers come about
  delta USD     quantity x mark x delta (1 but for options); a position's exposure, signed
  shock         of the underlying's dollar price: its own, else its sector's (sector:...), else
                DEFAULT; `-` = the scenario names none, so it stays where it is
  PnL USD       delta USD x shock, and what the other causes named below add
  loss, of E    -PnL of all positions and cash, over E: the equity, or the fixed capital where
                one is configured
  margin        maintenance margin after the move / equity after it, per pool of collateral
  broken        the scope's limits, read again on the book as it would be afterwards"""

VAR = """\
How the numbers come about
  a day         exposure of each underlying now x its return on that day, summed: what the book
                of now would have made. Days before a coin was listed: its beta x BTC's return
  VaR           the loss of the day so deep in the order of losses that (1 - confidence) of the
                days were as bad; >= 0
  ES            the mean loss of that day and all worse ones: what a bad day costs on average
  components    mean loss over the days around the VaR's, scaled so that they sum to it (Euler)
  per 100 USD   what 100 USD more of the exposure, of its own sign, would add to the VaR
  volatility    EWMA, 0.94 a day, times the root of 365
  at today's    each return x volatility now / volatility then, before the same reading
  time to exit  gross / (share of turnover a day), at a share of {share:g}
  cost          half the spread ({spread:g} bps) and the square-root impact of the size"""

CORRELATION = """\
How the numbers come about
  correlation   of daily log returns, over the days that both have; moved towards the average by
                as much as the data themselves say that so few days err
  average       mean of all pairs, before that
  moves as one  groups of which every pair is correlated by at least {threshold:g}, before that"""


def stress(out: Console, document: Document, standing: Standing, account: str | None) -> None:
    """Print where a stress document's numbers come from."""
    if "trades" in document:
        out.print(_SUGGEST, markup=False)
        return
    out.print(STRESS, markup=False)
    if "scenarios" not in document:
        _causes(out, document)
        return
    for row in document["scenarios"]:
        found = standing.ask("stress", scenario=row["name"], account=account).document
        out.print(
            f"\n{row['name']}: {found['description']}\nsource: {found['source']}; "
            f"basis: {found['basis']}",
            markup=False,
        )
        _causes(out, found)


_SUGGEST = """\
How it is found: what loses most per dollar traded is closed first, and only what no hedge within
its underlying needs, in steps of the instrument; the scenario is applied anew to the book after
that, until the loss is inside. `riskbot stress NAME --explain` shows the loss itself."""


def _causes(out: Console, document: Document) -> None:
    """Print each position: quantity, mark, exposure, shock, and every cause of its PnL."""
    rows = []
    for each in document["positions"]:
        shock = "?" if each["shock"] is None else f"{each['shock'] * 100:+.2f} %"
        inputs = [
            each["account"],
            each["instrument"],
            f"{cells.number(each['quantity'])} x {cells.number(each['mark_usd'])}",
            signed(each["delta_usd"]),
            f"{shock} ({each['shock_from'] or 'none named'})",
        ]
        for part in each["parts"]:
            rows.append([*inputs, part["cause"], signed(part["usd"]), f"= {part['words']}"])
            inputs = [""] * 5
        if not each["parts"]:
            rows.append([*inputs, "-", signed(each["pnl_usd"]), ""])
    rows += [
        [each["account"], each["asset"], "", signed(each["value_usd"]),
         f"{each['shock'] * 100:+.2f} %", "cash", signed(each["pnl_usd"]), each["words"]]
        for each in document["cash"]
    ]  # fmt: skip
    heads = ("account", "what", ">quantity x mark", ">delta USD", ">shock (from)", "cause",
             ">PnL USD", "how")  # fmt: skip
    cells.table(out, "", heads, rows)
    out.print(
        f"loss {signed(lost(document['pnl_usd']))} / equity {signed(document['equity_usd'])} = "
        f"{percent(document['loss'])}",
        markup=False,
    )
    for reason in document["unknown"]:
        out.print(f"unknown: {reason}", markup=False)


def days_of(standing: Standing, scope: str) -> Days | str:
    """Return what the book would have made on each day, or why nobody knows."""
    book = standing.state.scopes(standing.now_ms)[scope]
    return appraisal.days_of(book, standing.state.analysis.panel)


def var(out: Console, document: Document, standing: Standing) -> None:
    """Print where a VaR document's numbers come from: the days behind them, and the histories."""
    share, spread = liquidity.PARTICIPATION, appraisal.HALF_SPREAD_BPS
    out.print(VAR.format(share=share, spread=spread), markup=False)
    days = days_of(standing, document["scope"])
    if not isinstance(days, str):
        _tail_days(out, days)
    histories(out, document["history"])


def _tail_days(out: Console, days: Days) -> None:
    """Print the days in the tail, down to the one that is the VaR."""
    panel, order = days.panel, np.argsort(days.pnl_usd, kind="stable")
    ranks = {tail_days(panel.days, c): f"VaR {c * 100:.0f} %" for c in appraisal.CONFIDENCES}
    rows = []
    for rank, row in enumerate(order[: max(ranks)].tolist(), 1):
        made = days.made(row)
        parts = {
            f"{name} {_return(panel, row, name)}": made[name]
            for name in sorted(made, key=lambda name: made[name])[:4]
        }
        day = riskviews.day_of(int(panel.row_days[row]))
        told = f"<- {ranks[rank]}" if rank in ranks else ""
        rows.append([rank, day, signed(float(days.pnl_usd[row])), parts_of(parts), told])
    heads = (">rank", "day", ">PnL USD", "most of it: return, USD", "")
    cells.table(out, f"the tail of {panel.days} days, worst first", heads, rows)


def _return(panel: Panel, row: int, name: str) -> str:
    """Return what a coin did on a day; what has no history is taken as lost."""
    if not panel.has(name):
        return "lost"
    return f"{panel.returns[row, panel.columns[name]] * 100:+.1f} %"


def histories(out: Console, history: Document) -> None:
    """Print where each history is from, and what is short or missing in it."""
    cells.table(
        out,
        "price history",
        ("underlying", "from", ">bars", ">gaps", "last day", ">own days", "note"),
        (
            [
                name,
                row["source"] or "nowhere",
                row["days"],
                row["gaps"],
                row["last_day"] or "-",
                "-" if row["own_days"] is None else row["own_days"],
                row["note"],
            ]
            for name, row in history["underlyings"].items()
        ),
    )


def correlation(out: Console, document: Document, standing: Standing) -> None:
    """Print where correlations come from: how many days each pair shares, and the histories."""
    out.print(CORRELATION.format(threshold=GROUPED_FROM), markup=False)
    names, known = document["underlyings"], standing.state.analysis.panel
    if known is not None and names:
        lately = known.log_returns[-document["days"] :]
        own = (f"{name} {np.isfinite(lately[:, known.columns[name]]).sum()}" for name in names)
        words = f"days with returns of their own, of the last {document['days']}"
        out.print(f"{words}: {', '.join(own)}", markup=False)
    histories(out, riskviews.history(standing.state))
