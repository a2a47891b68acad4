"""What survives a restart of the process: the last update, where alerts and panels stand.

One small JSON file, written whole and atomically. No figure, no secret, no text of a message.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

LOGGER = logging.getLogger(__name__)

ALERTS_MAX = 300
HELD_MAX = 50
"""Alerts that wait for the morning in one chat."""

BLOCKED_MS = 86_400_000
"""A chat that has blocked the bot is tried again after so long."""

FORGET_MS = 6 * 86_400_000
"""After a week without updates Telegram numbers them anew, perhaps from below."""


@dataclass(slots=True)
class Told:
    """Where one alert stands in one chat.

    Attributes:
        message: the message that is edited through its life.
        replies: messages that called attention to it.
        revision: last revision shown.
        worst: highest level told, as `Level.rank`.
        is_folded: it has no message of its own: held for the morning, or one of "n more".
    """

    message: int
    replies: list[int] = field(default_factory=list)
    revision: int = 0
    worst: int = 0
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """The live panel of one chat.

    Attributes:
        message: its id.
        user: who asked for it.
        made_ms: when it was sent last.
    """

    message: int
    user: int
    made_ms: int


@dataclass(slots=True)
class _Content:
    bot_id: str = ""
    last_update: int = 0
    last_ms: int = 0
    alerts: dict[str, dict[str, Told]] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    menus: dict[str, str] = field(default_factory=dict)
    held: dict[str, dict[str, str]] = field(default_factory=dict)
    unreachable: dict[str, int] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict)


class Memory:
    """The file, read once and written at each change.

    Args:
        path: of the file; it need not exist.
        bot_id: number of the bot; what another bot left is of no use.
    """

    def __init__(self, path: Path, bot_id: str) -> None:
        self._path = path
        self._content = _read(path)
        if self._content.bot_id != bot_id:
            self._content = _Content(bot_id=bot_id)

    def last_update(self, now_ms: int) -> int:
        """Return the number of the last update that was taken, 0 = none that still counts."""
        is_old = now_ms - self._content.last_ms > FORGET_MS
        return 0 if is_old else self._content.last_update

    def took(self, update_id: int, now_ms: int) -> None:
        """Note that an update is being acted on, before it is."""
        self._content.last_update, self._content.last_ms = update_id, now_ms
        self._write()

    def told(self, alert_id: str, chat: int) -> Told | None:
        """Return where an alert stands in a chat."""
        return self._content.alerts.get(alert_id, {}).get(str(chat))

    def note(self, alert_id: str, chat: int, told: Told) -> None:
        """Note where an alert stands in a chat; the oldest alerts are forgotten."""
        chats = self._content.alerts.pop(alert_id, {})
        chats[str(chat)] = told
        self._content.alerts[alert_id] = chats
        while len(self._content.alerts) > ALERTS_MAX:
            del self._content.alerts[next(iter(self._content.alerts))]
        self._write()

    def chat(self, chat: int) -> int:
        """Return where a chat is now: a group may have become a supergroup."""
        return self._content.moved.get(str(chat), chat)

    def note_moved(self, before: int, after: int) -> None:
        """Note that a chat has a new id."""
        self._content.moved[str(before)] = after
        self._write()

    def hold(self, chat: int, alert_id: str, line: str) -> None:
        """Keep a line about an alert for the morning; the newest line per alert."""
        lines = self._content.held.setdefault(str(chat), {})
        lines.pop(alert_id, None)
        lines[alert_id] = line
        while len(lines) > HELD_MAX:
            del lines[next(iter(lines))]
        self._write()

    def held(self) -> dict[int, dict[str, str]]:
        """Return the lines that wait, by chat and alert."""
        return {int(chat): dict(lines) for chat, lines in self._content.held.items()}

    def release(self, chat: int, told: dict[str, str]) -> None:
        """Forget the lines of a chat that were told; what changed meanwhile stays."""
        lines = self._content.held.get(str(chat), {})
        left = {alert_id: line for alert_id, line in lines.items() if told.get(alert_id) != line}
        self._content.held[str(chat)] = left
        if not left:
            del self._content.held[str(chat)]
        self._write()

    def is_unreachable(self, chat: int, now_ms: int) -> bool:
        """Return whether a chat has blocked the bot, and was tried within a day."""
        return now_ms - self._content.unreachable.get(str(chat), -BLOCKED_MS) < BLOCKED_MS

    def note_unreachable(self, chat: int, now_ms: int) -> None:
        """Note that a chat has blocked the bot."""
        self._content.unreachable[str(chat)] = now_ms
        self._write()

    def note_reachable(self, chat: int) -> None:
        """Note that a chat speaks with the bot."""
        if self._content.unreachable.pop(str(chat), None) is not None:
            self._write()

    def menu(self, scope: str) -> str:
        """Return the menu that was set for a scope."""
        return self._content.menus.get(scope, "")

    def note_menu(self, scope: str, menu: str) -> None:
        """Note the menu of a scope."""
        self._content.menus[scope] = menu
        self._write()

    def scopes(self) -> list[str]:
        """Return the scopes that have a menu."""
        return list(self._content.menus)

    def panels(self) -> dict[int, Panel]:
        """Return every live panel by its chat."""
        return {int(chat): panel for chat, panel in self._content.panels.items()}

    def panel(self, chat: int) -> Panel | None:
        """Return the live panel of a chat."""
        return self._content.panels.get(str(chat))

    def note_panel(self, chat: int, panel: Panel) -> None:
        """Note the live panel of a chat."""
        self._content.panels[str(chat)] = panel
        self._write()

    def drop_panel(self, chat: int) -> None:
        """Note that a chat has no live panel any more."""
        self._content.panels.pop(str(chat), None)
        self._write()

    def _write(self) -> None:
        text = json.dumps(asdict(self._content))
        temporary = self._path.with_suffix(".new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            # A full disk must not end the cockpit; a restart then repeats a prompt at worst.
            LOGGER.warning("cannot write %s: %s", self._path.name, error.strerror)


def _read(path: Path) -> _Content:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        alerts = {
            alert: {chat: Told(**told) for chat, told in chats.items()}
            for alert, chats in data.pop("alerts").items()
        }
        panels = {chat: Panel(**panel) for chat, panel in data.pop("panels", {}).items()}
        return _Content(alerts=alerts, panels=panels, **data)
    except FileNotFoundError:
        return _Content()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        LOGGER.warning("cannot read %s (%s): starting afresh", path.name, type(error).__name__)
        return _Content()
