"""What /help and the menus say: which commands a role has, and what each does.

The commands themselves are the core's.
"""

from __future__ import annotations

from riskbot.core.commands import COMMANDS
from riskbot.core.model import Role
from riskbot.frontends.telegram.figures import WIDTH, cut, left
from riskbot.frontends.telegram.pages import escape, table

_LOOK = (
    "status",
    "positions",
    "alerts",
    "exposure",
    "sectors",
    "trend",
    "drawdown",
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
    "help",
)
_HERE = {
    "sectors": (Role.VIEWER, "share of each sector, drawn"),
    "trend": (Role.VIEWER, "equity through time, drawn"),
    "drawdown": (Role.VIEWER, "loss from the peak, drawn"),
    "panel": (Role.OPERATOR, "a pinned status that updates itself"),
}
"""Commands that only Telegram has: role, and what they do."""

_DANGER = ("halt", "resume", "reduce", "setlimit", "flatten")
HIDDEN = ("reclassify", "history", "reload")
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
    "panel": "[off] [group]",
}

_SHORT = {
    "orders": "working orders",
    "pnl": "profit, one row a day",
    "size": "how much may be traded",
    "digest": "the day in short",
    "health": "itself, feeds, channels",
    "feeds": "age of every stream",
    "deadman": "armed, or why not",
    "audit": "who did what",
    "users": "who may command",
    "whoami": "your role",
    "test": "does every channel work",
    "status": "level, equity, state",
    "positions": "size, PnL, one by one",
    "exposure": "gross, net: a chart",
    "sectors": "shares: a chart",
    "trend": "equity: a chart",
    "drawdown": "from the peak: a chart",
    "panel": "status, pinned and live",
    "limits": "now, allowed, level",
    "alerts": "what fires, worst first",
    "help": "this list, or one of it",
    "ack": "take an alert",
    "silence": "no sound for a while",
    "unsilence": "sound again",
    "setlimit": "another value for one",
    "cancel": "cancel working entries",
    "halt": "stop new risk",
    "resume": "end a halt",
    "reduce": "down to the targets",
    "flatten": "close everything",
}
"""What fits beside a name on a phone."""

_DETAILS = {
    "halt": "Asks once. Blocks new orders, cancels working entries; positions, exits and stops "
    "stay. Ends only by resume.",
    "resume": "Shows which holds end and what is re-based, asks twice. A halt that a limit has "
    "latched takes an admin.",
    "flatten": "Shows what would be closed, asks once, then halts, cancels entries and closes "
    "everything closable, verified flat.",
    "reduce": "Shows the closes that bring the broken limits to their target, asks once.",
    "cancel": "Asks once. Cancels working entries; exits and protective stops stay.",
    "silence": "No sound from a limit's alerts, one alert, or all, for a while (30m, 1h, 4h). "
    "Levels and ends are shown all the same; what becomes graver calls out. Red takes an admin, an "
    "hour at most.",
    "unsilence": "Ends the silence of a limit, or every one.",
    "setlimit": "Shows old and new value and where the measure would stand, asks twice (or for a "
    "code). Lasts until the configuration says otherwise; `configured` takes the file's value.",
    "ack": "Takes an alert: no more repeats; its level stays, and its end is told.",
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
    return f"✖ {name} is not for {'a' if role is Role.VIEWER else 'an'} {role.value}."


def describe(name: str) -> str:
    """Return the one line that says what a command does."""
    return _HERE[name][1] if name in _HERE else next(c.help for c in COMMANDS if c.name == name)


def help_page(role: Role, top: str) -> str:
    """Return the list of commands of a role."""
    mine = names(role)
    lines = []
    for title, wanted in (
        ("Look", [n for n in mine if n in _LOOK]),
        ("Act", [n for n in mine if n not in _LOOK and n not in _DANGER]),
        ("Danger (each asks first)", [n for n in mine if n in _DANGER]),
    ):
        if wanted:
            lines += [title, *(_help_line(n) for n in wanted), ""]
    emergency = "Emergency: menu &gt; halt" if role.rank >= Role.OPERATOR.rank else ""
    parts = [escape(f"{top} · you are {role.value}"), table(lines[:-1]), emergency]
    return "\n".join(part for part in parts if part)


def _help_line(name: str) -> str:
    return cut(left(f"/{name}", 11) + _SHORT.get(name, describe(name)), WIDTH)


def help_command(name: str) -> str:
    """Return what one command takes and what it will ask."""
    usage = f"/{name} {_ARGUMENTS.get(name, '')}".strip()
    text = _DETAILS.get(name, describe(name))
    return f"<code>{escape(usage)}</code>\n{escape(text)}"
