"""What /help and the menus say: which commands a role has, and what each does.

The commands themselves are the core's.
"""

from __future__ import annotations

from riskbot.core.commands import COMMANDS
from riskbot.core.model import Role
from riskbot.frontends.telegram.figures import WIDTH, cut, left
from riskbot.frontends.telegram.pages import escape, table
from riskbot.frontends.telegram.reader import phrase, say

_LOOK = (
    "status",
    "positions",
    "alerts",
    "exposure",
    "sectors",
    "trend",
    "drawdown",
    "var",
    "stress",
    "correlation",
    "limits",
    "orders",
    "pnl",
    "size",
    "digest",
    "health",
    "feeds",
    "deadman",
    "audit",
    "users",
    "whoami",
    "settings",
    "help",
)
_HERE = {
    "sectors": (Role.VIEWER, phrase("share of each sector, drawn")),
    "trend": (Role.VIEWER, phrase("equity through time, drawn")),
    "drawdown": (Role.VIEWER, phrase("loss from the peak, drawn")),
    "panel": (Role.OPERATOR, phrase("a pinned status that updates itself")),
    "settings": (Role.VIEWER, phrase("your time zone, language, quiet hours, charts")),
}
"""Commands that only Telegram has: role, and what they do."""

_DANGER = ("halt", "resume", "reduce", "setlimit", "flatten")
HIDDEN = ("reclassify", "history", "reload", "override")
"""Commands of other doors: their arguments are no matter for a phone."""

_ARGUMENTS = {
    "orders": "[account]",
    "pnl": "[day|week|month]",
    "size": "BTC [stop]",
    "audit": "[20]",
    "alerts": "[24h|A17]",
    "test": "[level]",
    "positions": "[BTC]",
    "ack": "<id|all>",
    "silence": "<limit|id|all> 1h",
    "unsilence": "[limit]",
    "setlimit": "<limit> <value>",
    "halt": "[reason]",
    "flatten": "[BTC]",
    "reduce": "[limit]",
    "resume": "[account]",
    "cancel": "[BTC]",
    "help": "[command]",
    "exposure": "[24h|7d]",
    "trend": "[24h|7d]",
    "drawdown": "[24h|7d]",
    "var": "[account]",
    "stress": "[suggest] [name|BTC -10%]",
    "correlation": "[account]",
    "panel": "[off] [group]",
    "settings": "[zone|language|quiet|theme]",
}

_SHORT = {
    "orders": phrase("working orders"),
    "pnl": phrase("profit, one row a day"),
    "size": phrase("how much may be traded"),
    "digest": phrase("the day in short"),
    "health": phrase("itself, feeds, channels"),
    "feeds": phrase("age of every stream"),
    "deadman": phrase("armed, or why not"),
    "audit": phrase("who did what"),
    "users": phrase("who may command"),
    "whoami": phrase("your role"),
    "test": phrase("does every channel work"),
    "status": phrase("level, equity, state"),
    "positions": phrase("size, PnL, one by one"),
    "exposure": phrase("gross, net: a chart"),
    "sectors": phrase("shares: a chart"),
    "trend": phrase("equity: a chart"),
    "drawdown": phrase("from the peak: a chart"),
    "var": phrase("a bad day: a chart"),
    "stress": phrase("scenarios: a chart"),
    "correlation": phrase("what moves as one"),
    "panel": phrase("status, pinned and live"),
    "limits": phrase("now, allowed, level"),
    "alerts": phrase("what fires, worst first"),
    "settings": phrase("zone, language, quiet"),
    "help": phrase("this list, or one of it"),
    "ack": phrase("take an alert"),
    "silence": phrase("no sound for a while"),
    "unsilence": phrase("sound again"),
    "setlimit": phrase("another value for one"),
    "cancel": phrase("cancel working entries"),
    "halt": phrase("stop new risk"),
    "resume": phrase("end a halt"),
    "reduce": phrase("down to the targets"),
    "flatten": phrase("close everything"),
}
"""What fits beside a name on a phone."""

_DETAILS = {
    "var": phrase(
        "What a bad day would cost: value at risk and expected shortfall at 95 and 99 %, what each "
        "position adds, how the year's days lie, and how often the figure was exceeded."
    ),
    "stress": phrase(
        "What each scenario would cost, the worst first, against the limit. With a name: position "
        "by position. With shocks as in BTC -10%, ETH -15%: what they would do. With suggest in "
        "front: the smallest trades that bring the loss inside the limit. Advice only: nothing is "
        "sent."
    ),
    "correlation": phrase(
        "How what is held moved together in the last 90 days, in the order of what is alike, with "
        "the average and the groups that are one risk."
    ),
    "halt": phrase(
        "Asks once. Blocks new orders, cancels working entries; positions, exits and stops "
        "stay. Ends only by resume."
    ),
    "resume": phrase(
        "Shows which holds end and what is re-based, asks twice. A halt that a limit has "
        "latched takes an admin."
    ),
    "flatten": phrase(
        "Shows what would be closed, asks once, then halts, cancels entries and closes "
        "everything closable, verified flat."
    ),
    "reduce": phrase("Shows the closes that bring the broken limits to their target, asks once."),
    "cancel": phrase("Asks once. Cancels working entries; exits and protective stops stay."),
    "silence": phrase(
        "No sound from a limit's alerts, one alert, or all, for a while (30m, 1h, 4h). "
        "Levels and ends are shown all the same; what becomes graver calls out. Red takes an "
        "admin, an hour at most."
    ),
    "unsilence": phrase("Ends the silence of a limit, or every one."),
    "setlimit": phrase(
        "Shows old and new value and where the measure would stand, asks twice (or for a code). "
        "Lasts until the configuration says otherwise; `configured` takes the file's value."
    ),
    "ack": phrase("Takes an alert: no more repeats; its level stays, and its end is told."),
    "settings": phrase(
        "What you see and when you are told, for you alone. In words: settings zone Europe/Berlin, "
        "settings language de, settings quiet 22:00-07:00 (or on, off), settings theme light, "
        "settings default."
    ),
}


def names(role: Role) -> list[str]:
    """Return the commands a role may use, in the order of the menu: danger last."""
    mine = [c.name for c in COMMANDS if c.role.rank <= role.rank and c.name not in HIDDEN]
    mine += [name for name, (needed, _) in _HERE.items() if needed.rank <= role.rank]
    look = {name: number - len(_LOOK) for number, name in enumerate(_LOOK)}
    danger = {name: number for number, name in enumerate(_DANGER, 1)}
    return sorted(mine, key=lambda name: look.get(name, danger.get(name, 0)))


def refusal(name: str, role: Role) -> str:
    """Return what a role is told of a command that is not for it, empty = it may."""
    if name in names(role):
        return ""
    if role is Role.VIEWER:
        return say("✖ {command} is not for a viewer.", command=name)
    return say("✖ {command} is not for an {role}.", command=name, role=role.value)


def describe(name: str) -> str:
    """Return the one line that says what a command does."""
    text = _HERE[name][1] if name in _HERE else next(c.help for c in COMMANDS if c.name == name)
    return say(text)


def help_page(role: Role, top: str) -> str:
    """Return the list of commands of a role."""
    mine = names(role)
    lines = []
    for title, wanted in (
        (say("Look"), [n for n in mine if n in _LOOK]),
        (say("Act"), [n for n in mine if n not in _LOOK and n not in _DANGER]),
        (say("Danger (each asks first)"), [n for n in mine if n in _DANGER]),
    ):
        if wanted:
            lines += [title, *(_help_line(n) for n in wanted), ""]
    may_halt = role.rank >= Role.OPERATOR.rank
    emergency = escape(say("Emergency: menu > halt")) if may_halt else ""
    you = say("you are {role}", role=role.value)
    parts = [escape(f"{top} · {you}"), table(lines[:-1]), emergency]
    return "\n".join(part for part in parts if part)


def _help_line(name: str) -> str:
    short = say(_SHORT[name]) if name in _SHORT else describe(name)
    return cut(left(f"/{name}", max(11, len(name) + 2)) + short, WIDTH)


def help_command(name: str) -> str:
    """Return what one command takes and what it will ask."""
    usage = f"/{name} {_ARGUMENTS.get(name, '')}".strip()
    text = say(_DETAILS[name]) if name in _DETAILS else describe(name)
    return f"<code>{escape(usage)}</code>\n{escape(text)}"
