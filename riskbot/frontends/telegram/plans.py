"""What prompts show: the figures of what would be done, and of what is being done.

From the guard's documents to lines of 34 columns; nothing here asks or acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from riskbot.frontends.telegram import pages
from riskbot.frontends.telegram.figures import left, measure, money, spread, wrap
from riskbot.frontends.telegram.reader import phrase, say

TITLES = {
    "halt": phrase("⏸ Halt trading?"),
    "resume": phrase("▶ Resume trading?"),
    "flatten": phrase("🧯 Flatten?"),
    "reduce": phrase("✂ Reduce?"),
    "cancel": phrase("🗑 Cancel entries?"),
    "setlimit": phrase("📏 Set a limit?"),
    "silence": phrase("🔕 Silence red?"),
}
WORKING = {
    "halt": phrase("⏸ Halting"),
    "resume": phrase("▶ Resuming"),
    "flatten": phrase("🧯 Flattening"),
    "reduce": phrase("✂ Reducing"),
    "cancel": phrase("🗑 Canceling"),
    "setlimit": phrase("📏 Setting"),
    "silence": phrase("🔕 Silencing"),
}


def late_lead(command: str, ago: str) -> str:
    """Return what comes before a prompt that an old message asked for."""
    words = say(
        "You wanted to {command} {ago} ago. Nothing was done. Now?", command=command, ago=ago
    )
    return f"{words}\n"


def not_one(word: str, found: Sequence[str]) -> str:
    """Return that a word names several instruments, or nothing that is known."""
    if found:
        return say(
            "{name} is several: {list}. Name one, nothing was done.",
            name=word,
            list=", ".join(found),
        )
    return say("No position, no account is called {name}. Nothing was done.", name=word)


def code_wanted(seconds: int) -> str:
    """Return the question for a one-time code."""
    return say(
        "(2/2) Send the 6-digit code of your authenticator within {seconds} s", seconds=seconds
    )


def halt_lines(status: dict[str, Any], positions: Sequence[dict[str, Any]] | None) -> list[str]:
    """Return the rows of a halt: what it stops, what it leaves."""
    notional = "?"
    if positions is not None:
        known = [abs(p.get("notional_usd") or 0.0) for p in positions]
        notional = f"{len(known)}, {money(sum(known), 0)} USD"
    return [
        spread(say("Blocks"), say("new orders, all accounts")),
        spread(say("Cancels"), say("working entries")),
        spread(say("Working orders"), str(_working(status))),
        spread(say("Positions stay"), notional),
        spread(say("Ends"), say("only by resume")),
        spread(say("Mode"), pages.mode(status)),
    ]


def cancel_lines(status: dict[str, Any], args: dict[str, Any]) -> list[str]:
    """Return the rows of a cancel: what it takes, what it leaves."""
    return [
        spread(say("Cancels"), say("working entries")),
        spread(
            say("Of"), str(args.get("instrument") or args.get("account") or say("all accounts"))
        ),
        spread(say("Working orders"), str(_working(status))),
        spread(say("Stay"), say("exits and stops")),
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
        lines += wrap(
            say("kept: {what}", what=f"{row.get('instrument')} {row.get('reason') or ''}")
        )
    if plan.get("notional_usd") is not None:
        lines.append(spread(say("Notional"), f"{money(plan['notional_usd'], 0)} USD"))
    if plan.get("cancel_entries") is not None:
        lines.append(spread(say("Cancels entries"), str(plan["cancel_entries"])))
    for hold in plan.get("holds") or []:
        what = f"{hold.get('scope')} {hold.get('limit')}: {hold.get('reason')}"
        lines += wrap(say("ends: {what}", what=what))
    for row in plan.get("rebased") or []:
        lines += wrap(say("re-based: {what}", what=f"{row.get('scope')} {row.get('limit')}"))
    if plan.get("before") is not None:
        lines.append(spread(say("Now"), measure(plan["before"], "ratio")))
        lines.append(spread(say("Then"), measure(plan.get("after"), "ratio")))
        lines.append(spread(say("Measured"), measure(plan.get("measured"), "ratio")))
        lines.append(spread(say("Level then"), pages.level_word(plan.get("level"))))
    if plan.get("mode"):
        lines.append(spread(say("Mode"), str(plan["mode"])))
    return lines if len(lines) > 1 else []


def progress_lines(status: dict[str, Any]) -> list[str]:
    """Return what the guard is at: one line per target of each intent."""
    lines = []
    for intent in status.get("intents") or []:
        lines.append(spread(f"{intent.get('kind')} {intent.get('account')}", str(intent["phase"])))
        for target in (intent.get("targets") or [])[:15]:
            is_there = target.get("quantity") == target.get("target")
            state = say("done") if is_there else target.get("note") or target.get("rung")
            lines.append("  " + left(str(target.get("instrument")), 14) + " " + str(state)[:17])
    return lines or [say("working")]
