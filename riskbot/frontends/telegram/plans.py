"""What prompts show: the figures of what would be done, and of what is being done.

From the guard's documents to lines of 34 columns; nothing here asks or acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from riskbot.frontends.telegram import pages
from riskbot.frontends.telegram.figures import left, measure, money, spread, wrap

TITLES = {
    "halt": "⏸ Halt trading?",
    "resume": "▶ Resume trading?",
    "flatten": "🧯 Flatten?",
    "reduce": "✂ Reduce?",
    "cancel": "🗑 Cancel entries?",
    "setlimit": "📏 Set a limit?",
    "silence": "🔕 Silence red?",
}
WORKING = {
    "halt": "⏸ Halting",
    "resume": "▶ Resuming",
    "flatten": "🧯 Flattening",
    "reduce": "✂ Reducing",
    "cancel": "🗑 Canceling",
    "setlimit": "📏 Setting",
    "silence": "🔕 Silencing",
}


def halt_lines(status: dict[str, Any], positions: Sequence[dict[str, Any]] | None) -> list[str]:
    """Return the rows of a halt: what it stops, what it leaves."""
    notional = "?"
    if positions is not None:
        known = [abs(p.get("notional_usd") or 0.0) for p in positions]
        notional = f"{len(known)}, {money(sum(known), 0)} USD"
    return [
        spread("Blocks", "new orders, all accounts"),
        spread("Cancels", "working entries"),
        spread("Working orders", str(_working(status))),
        spread("Positions stay", notional),
        spread("Ends", "only by resume"),
        spread("Mode", pages.mode(status)),
    ]


def cancel_lines(status: dict[str, Any], args: dict[str, Any]) -> list[str]:
    """Return the rows of a cancel: what it takes, what it leaves."""
    return [
        spread("Cancels", "working entries"),
        spread("Of", str(args.get("instrument") or args.get("account") or "all accounts")),
        spread("Working orders", str(_working(status))),
        spread("Stay", "exits and stops"),
    ]


def _working(status: dict[str, Any]) -> int:
    accounts = (status.get("accounts") or {}).values()
    return sum(int(account.get("working_orders") or 0) for account in accounts)


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """Return the rows of a plan: what closes, what stays and why, what ends, what is re-based."""
    lines = [""] if plan else []
    for row in (plan.get("close") or [])[:20]:
        quantity = row.get("close") or f"{row.get('from')} > {row.get('to')}"
        lines.append(spread(str(row.get("instrument")), str(quantity)))
    for row in (plan.get("kept") or [])[:10]:
        lines += wrap(f"kept: {row.get('instrument')} {row.get('reason') or ''}")
    if plan.get("notional_usd") is not None:
        lines.append(spread("Notional", f"{money(plan['notional_usd'], 0)} USD"))
    if plan.get("cancel_entries") is not None:
        lines.append(spread("Cancels entries", str(plan["cancel_entries"])))
    for hold in plan.get("holds") or []:
        lines += wrap(f"ends: {hold.get('scope')} {hold.get('limit')}: {hold.get('reason')}")
    for row in plan.get("rebased") or []:
        lines += wrap(f"re-based: {row.get('scope')} {row.get('limit')}")
    if plan.get("before") is not None:
        lines.append(spread("Now", measure(plan["before"], "ratio")))
        lines.append(spread("Then", measure(plan.get("after"), "ratio")))
        lines.append(spread("Measured", measure(plan.get("measured"), "ratio")))
        lines.append(spread("Level then", str(plan.get("level")).upper()))
    if plan.get("mode"):
        lines.append(spread("Mode", str(plan["mode"])))
    return lines if len(lines) > 1 else []


def progress_lines(status: dict[str, Any]) -> list[str]:
    """Return what the guard is at: one line per target of each intent."""
    lines = []
    for intent in status.get("intents") or []:
        lines.append(spread(f"{intent.get('kind')} {intent.get('account')}", str(intent["phase"])))
        for target in (intent.get("targets") or [])[:15]:
            is_there = target.get("quantity") == target.get("target")
            state = "done" if is_there else target.get("note") or target.get("rung")
            lines.append("  " + left(str(target.get("instrument")), 14) + " " + str(state)[:17])
    return lines or ["working"]
