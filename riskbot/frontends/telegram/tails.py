"""What /var shows: the histogram of the year's days, what each position adds, and the figures.

From the guard's document of `var` to the JSON that `chart` draws and the text beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from riskbot.frontends.telegram.charts import Chart, Link, caption, fresh, looker
from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    left,
    money,
    percent,
    right,
    short_clock,
    spread,
    wrap,
)
from riskbot.frontends.telegram.pages import Document, listed, more
from riskbot.frontends.telegram.reader import say

BARS_MAX = 10
PARTS_MAX = 5
NAMES_MAX = 3
"""Underlyings that are named for having no, or a short, history."""


def tail(status: Document, document: Document, scope: str, argument: str) -> Chart:
    """Return the chart of /var.

    Args:
        status: the guard's.
        document: of the command.
        scope: as people call it.
        argument: what was written behind the command.
    """
    now = fresh(status, document)
    title = f"{say('VaR of a day')} · {scope}"
    return Chart(
        caption(status, title, _rows(now)),
        _wanted(now, scope),
        links=(
            Link(say("🌪 Stress"), "stress", argument),
            Link(say("🔗 Correlation"), "correlation", argument),
        ),
    )


def of_two(document: Document, name: str) -> tuple[Any, Any]:
    """Return a figure at 95 and at 99 %, None = unknown."""
    found = document.get(name) or {}
    return found.get("95"), found.get("99")


def _rows(now: Document) -> list[str]:
    rows = [left("USD", 12) + right("95 %", 11) + right("99 %", 11)]
    for label, name in (
        (say("VaR"), "value_at_risk"),
        (say("Shortfall"), "expected_shortfall"),
    ):
        rows.append(_pair(label, [money(v, 0) for v in of_two(now, f"{name}_usd")]))
        rows.append(_pair(say("  of equity"), [percent(v) for v in of_two(now, name)]))
    if now.get("unknown"):
        return [*rows, *wrap(say("unknown: {reason}", reason=now["unknown"]))[:4]]
    rows.append(spread(say("Volatility, yearly"), percent(now.get("volatility"), 1)))
    parts = now.get("components") or []
    if parts:
        rows += ["", left(say("Part of VaR 95"), 14) + right("USD", 12) + right("", 8)]
        rows += [_part(row) for row in parts[:PARTS_MAX]]
    if len(parts) > PARTS_MAX:
        rest = sum(row["var_usd"] for row in parts[PARTS_MAX:])
        rows.append(spread(more(len(parts) - PARTS_MAX), money(rest, 0)))
    return [*rows, *_basis(now)]


def _pair(label: str, values: Sequence[str]) -> str:
    return left(label, 12) + "".join(right(value, 11) for value in values)


def _part(row: Document) -> str:
    share = percent(row.get("var_share"), 0)
    return left(str(row["underlying"]), 14) + right(money(row["var_usd"], 0), 12) + right(share, 8)


def _basis(now: Document) -> list[str]:
    """Return what the figures rest on: days, what is short or missing, and whether they held."""
    if not now:
        return []
    history = now.get("history") or {}
    days = now.get("days") or 0
    rows = wrap(say("{days} days to {day}", days=days, day=history.get("last_day") or UNKNOWN))
    short = [
        f"{row['underlying']} {row['own_days']}"
        for row in now.get("components") or []
        if row["own_days"] < days
    ]
    if short:
        rows += wrap(say("short, own days: {names}", names=listed(short, NAMES_MAX)))
    if now.get("lost"):
        names = listed(now["lost"], NAMES_MAX)
        rows += wrap(say("no history, counted as lost: {names}", names=names))
    return rows + wrap(_backtest(now.get("slow") or {}))


def _backtest(slow: Document) -> str:
    if not slow:
        return say("backtest: not known yet")
    days, exceeded = slow.get("backtest_days"), slow.get("backtest_exceeded")
    expected = slow.get("backtest_expected")
    if days is None or exceeded is None or expected is None:
        return say("backtest: not enough days")
    return say(
        "backtest: VaR 95 exceeded on {count} of {days} days, expected {expected}",
        count=f"{exceeded:.0f}",
        days=f"{days:.0f}",
        expected=f"{expected:.1f}",
    )


# ---------------------------------------------------------------- what is drawn


def _wanted(now: Document, scope: str) -> Document | None:
    days = now.get("days_pnl_usd") or []
    var_95, var_99 = of_two(now, "value_at_risk_usd")
    shortfall, _ = of_two(now, "expected_shortfall_usd")
    # A book that never moves has no histogram.
    if var_95 is None or not days or min(days) >= max(days):
        return None
    marks = [
        {"label": say("VaR 95"), "usd": -var_95, "level": "yellow"},
        {"label": say("shortfall 95"), "usd": -shortfall, "level": "orange"},
        {"label": say("VaR 99"), "usd": -var_99, "level": "red"},
    ]
    parts = now.get("components") or []
    rows = [
        {
            "label": str(row["underlying"]),
            "value": row["var_usd"],
            "words": [percent(row.get("var_share"), 0), money(row["var_usd"], 0)],
        }
        for row in parts[:BARS_MAX]
    ]
    rest = parts[BARS_MAX:]
    if rest:
        total = sum(row["var_usd"] for row in rest)
        rows.append({"label": more(len(rest)), "value": total, "words": ["", money(total, 0)]})
    return {
        "kind": "tail",
        "title": f"{say('VaR of a day')} · {scope}",
        "note": short_clock(now.get("as_of_ms") or 0),
        "reader": looker(),
        "days_usd": days,
        "marks": [mark for mark in marks if mark["usd"] is not None],
        "above": say("The book of now on each of {days} days, USD", days=len(days)),
        "below": say("What each position adds to VaR 95"),
        "heads": [say("share"), "USD"],
        "rows": rows,
    }
