"""What a text asks for: its command, its arguments, and whether it is still meant."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import Enum, auto

from aiogram.types import Message

ARGUMENTS_MAX = 300

CHARTS = ("exposure", "sectors", "trend", "drawdown", "var", "stress", "correlation")
"""Commands that are answered with a photo."""

READS = (
    "status",
    "positions",
    "limits",
    "alerts",
    "orders",
    "pnl",
    "feeds",
    "health",
    "deadman",
    "size",
    "audit",
    "users",
    "digest",
    *CHARTS,
)
ASKING = ("halt", "cancel", "resume", "reduce", "flatten", "setlimit")
"""Commands that are done only after a press."""

RAISING = frozenset({"resume", "setlimit"})
"""Of them, what raises risk: never carried over from the past."""

OTHERS = ("start", "help", "whoami", "ack", "silence", "unsilence", "test", "panel", "settings")
ALIASES = {"s": "status", "p": "positions", "mute": "silence", "unmute": "unsilence"}

HINTS = {
    "stop": ("halt", "flatten"),
    "pause": ("halt",),
    "panic": ("halt", "flatten"),
    "close": ("flatten",),
    "closeall": ("flatten",),
    "kill": ("halt", "flatten"),
}
"""Words of other bots that do nothing here by themselves, and what was probably meant."""

FRESH_S = 30.0
READ_FRESH_S = 300.0


class Age(Enum):
    """What the time since a message means for it."""

    FRESH = auto()
    ASK_AFRESH = auto()
    TOO_OLD = auto()


@dataclass(frozen=True, slots=True)
class Request:
    """One command as a person wrote it.

    Attributes:
        name: lower case, aliases resolved; it need not exist.
        argument: the rest of the text, one line.
        age_s: since it was written, by Telegram's clock; 0 for a press.
        is_before_start: written before this process started.
        written_ms: when, by Telegram's clock; None for a press.
    """

    user: int
    chat: int
    name: str
    argument: str = ""
    age_s: float = 0.0
    is_before_start: bool = False
    written_ms: int | None = None

    @property
    def age_ms(self) -> int | None:
        """Age for the guard, None for a press."""
        return None if self.written_ms is None else round(self.age_s * 1000)

    def age(self) -> Age:
        """Return what its age means: nothing that asks is done because of an old message."""
        if self.name in RAISING:
            is_old = self.age_s > FRESH_S or self.is_before_start
            return Age.TOO_OLD if is_old else Age.FRESH
        if self.name in ASKING:
            is_old = self.age_s > FRESH_S or self.is_before_start
            return Age.ASK_AFRESH if is_old else Age.FRESH
        return Age.TOO_OLD if self.age_s > READ_FRESH_S else Age.FRESH


def read(message: Message, username: str | None, now_ms: int, start_ms: int) -> Request | None:
    """Return what a private message asks for, None when it is no command.

    Args:
        message: of a listed user.
        username: of this bot; a command for another one is none.
        now_ms: now, by Telegram's clock.
        start_ms: the start of this process, by Telegram's clock.
    """
    user, text = message.from_user, message.text
    if user is None or not text or not text.startswith("/"):
        return None
    word, _, rest = text[1:].partition(" ")
    word, _, rest_of_line = word.partition("\n")
    name, _, mention = word.partition("@")
    if mention and username and mention.lower() != username.lower():
        return None
    argument = " ".join(f"{rest_of_line} {rest}".split())[:ARGUMENTS_MAX]
    written_ms = round(message.date.timestamp() * 1000)
    return Request(
        user=user.id,
        chat=message.chat.id,
        name=ALIASES.get(name.lower(), name.lower())[:32],
        argument=argument,
        age_s=max(0.0, (now_ms - written_ms) / 1000),
        # Telegram's dates are whole seconds.
        is_before_start=written_ms + 1_000 <= start_ms,
        written_ms=written_ms,
    )


def alert_or_limit(word: str) -> dict[str, str]:
    """Return the guard's argument for `A17` (an alert's id) or the name of a limit."""
    word = word.lstrip("#")
    if word[:1] in "aA" and word[1:].isdigit():
        return {"id": word}
    return {"limit": word.lower()}


_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}


def seconds(word: str) -> float | None:
    """Return a duration as people write it (`90s`, `30m`, `1h`), None = it is none."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|min|m|h|d)", word.strip().lower())
    return float(found[1]) * _UNITS_S[found[2]] if found else None


def number(word: str) -> float | None:
    """Return a value as people write it: `0.05` or `5%`, None = it is none."""
    found = re.fullmatch(r"(-?\d{1,12}(?:\.\d{1,12})?)(%?)", word.strip())
    return float(found[1]) / (100 if found[2] else 1) if found else None


def nearest(name: str, known: list[str]) -> str | None:
    """Return the command that was probably meant by an unknown one."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None
