"""What the memory keeps about sending: what is folded, what is owed, whether control is locked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Fold:
    """The one message that stands for all that is more than a chat should be sent.

    Attributes:
        message: its id, 0 = not sent yet.
        lines: one for each alert or notice, the newest last.
        dropped: how many more there were before them.
        at_ms: when the first of them came.
    """

    message: int = 0
    lines: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    at_ms: int = 0


@dataclass(slots=True)
class Owed:
    """An alert that the guard counts as told, and some chats have not been told yet.

    Attributes:
        alert: `duty.Alert` in JSON values.
        changed_ms: when it last changed.
        chats: who waits for it.
    """

    alert: dict[str, Any]
    is_loud: bool
    changed_ms: int
    chats: list[int]


@dataclass(frozen=True, slots=True)
class Begun:
    """A command or a press that is being acted on.

    Attributes:
        chat: where it came from.
        name: of the command.
        at_ms: when it was taken.
    """

    chat: int
    name: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Lock:
    """Somebody else has set a webhook for the bot's token: nothing that raises risk is taken.

    Attributes:
        host: where the webhook led.
        token: mark of the token it was set with; another token ends the lock.
        at_ms: when it was found.
    """

    host: str
    token: str
    at_ms: int
