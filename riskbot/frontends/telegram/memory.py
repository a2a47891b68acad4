"""What survives a restart of the process: the last update, alerts, panels, what people have set.

One small JSON file, written whole and atomically. No secret; of messages only what is owed yet.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from riskbot.core.model import Level
from riskbot.frontends.telegram.notes import Begun, Fold, Lock, Owed

LOGGER = logging.getLogger(__name__)

ALERTS_MAX = 300
OWED_MAX = 100
"""Alerts that some chat is still to be told; beyond it the least grave is forgotten."""

MISSED_MAX = 20
STRANGERS_MAX = 300
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


@dataclass(frozen=True, slots=True)
class Person:
    """What a person has set; empty = as the configuration, or Telegram, says.

    Attributes:
        zone: IANA name.
        language: code of a catalogue.
        quiet_hours: `HH:MM-HH:MM`, empty = none; None = as the configuration says.
        theme: of pictures.
        spoken: language in which the person uses Telegram, as it says.
    """

    zone: str = ""
    language: str = ""
    quiet_hours: str | None = None
    theme: str = ""
    spoken: str = ""


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
    sent: dict[str, list[int]] = field(default_factory=dict)
    folds: dict[str, Fold] = field(default_factory=dict)
    strangers: dict[str, list[int]] = field(default_factory=dict)
    owed: dict[str, Owed] = field(default_factory=dict)
    missed: dict[str, dict[str, str]] = field(default_factory=dict)
    begun: dict[str, Begun] = field(default_factory=dict)
    away_ms: int = 0
    lock: Lock | None = None
    people: dict[str, Person] = field(default_factory=dict)


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
            # People stay who they are.
            self._content = _Content(bot_id=bot_id, people=self._content.people)

    def last_update(self, now_ms: int) -> int:
        """Return the number of the last update that was taken, 0 = none that still counts."""
        is_old = now_ms - self._content.last_ms > FORGET_MS
        return 0 if is_old else self._content.last_update

    def took(self, update_id: int, now_ms: int) -> None:
        """Note that an update is being acted on, before it is."""
        self._content.last_update, self._content.last_ms = update_id, now_ms
        self._write()

    def begin(self, update_id: int, begun: Begun) -> None:
        """Note what an update asks for, before it is done: Telegram does not send it twice."""
        self._content.begun[str(update_id)] = begun
        self._write()

    def end(self, update_id: int) -> None:
        """Note that what an update asked for was done, or answered."""
        if self._content.begun.pop(str(update_id), None) is not None:
            self._write()

    def interrupted(self) -> list[Begun]:
        """Return and forget what a process before this one had begun, and did not end."""
        begun, self._content.begun = self._content.begun, {}
        if begun:
            self._write()
        return list(begun.values())

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

    def sent(self, chat: int) -> list[int]:
        """Return when a chat was sent what counts against its budget."""
        return list(self._content.sent.get(str(chat), ()))

    def note_sent(self, chat: int, times: list[int]) -> None:
        """Note when a chat was sent what counts."""
        self._content.sent[str(chat)] = times
        self._write()

    def fold(self, chat: int) -> Fold:
        """Return what is folded into one message in a chat; change it by `note_fold`."""
        return self._content.folds.get(str(chat)) or Fold()

    def note_fold(self, chat: int, fold: Fold) -> None:
        """Note what is folded into one message."""
        self._content.folds[str(chat)] = fold
        self._write()

    def stranger(self, user: int) -> tuple[int, int]:
        """Return when a stranger was answered last, and when the admins were told of him."""
        answered_ms, told_ms = self._content.strangers.get(str(user), (0, 0))
        return answered_ms, told_ms

    def note_stranger(self, user: int, answered_ms: int, told_ms: int) -> None:
        """Note what became of a stranger; the one who wrote longest ago is forgotten."""
        self._content.strangers.pop(str(user), None)
        self._content.strangers[str(user)] = [answered_ms, told_ms]
        while len(self._content.strangers) > STRANGERS_MAX:
            del self._content.strangers[next(iter(self._content.strangers))]
        self._write()

    def owed(self) -> dict[str, Owed]:
        """Return what chats are still to be told, by alert."""
        return dict(self._content.owed)

    def owe(self, alert_id: str, owed: Owed) -> None:
        """Keep an alert until every chat has it; a newer revision takes the older one's place."""
        before = self._content.owed.pop(alert_id, None)
        if before is not None and before.is_loud:
            owed = replace(owed, is_loud=True)
        self._content.owed[alert_id] = owed
        if len(self._content.owed) > OWED_MAX:
            # Of the least grave the oldest.
            least = min(self._content.owed.items(), key=lambda o: Level(o[1].alert["level"]).rank)
            del self._content.owed[least[0]]
        self._write()

    def settle(self, alert_id: str, chat: int, revision: int) -> None:
        """Note that a chat has an alert, or will not get it."""
        owed = self._content.owed.get(alert_id)
        if owed is None or chat not in owed.chats or owed.alert["revision"] > revision:
            return
        owed.chats.remove(chat)
        if not owed.chats:
            del self._content.owed[alert_id]
        self._write()

    def miss(self, alert_id: str, facts: dict[str, str]) -> None:
        """Keep in a few words an alert that came late or not at all, for when Telegram is back."""
        self._content.missed.pop(alert_id, None)
        self._content.missed[alert_id] = facts
        while len(self._content.missed) > MISSED_MAX:
            del self._content.missed[next(iter(self._content.missed))]
        self._write()

    def missed(self) -> dict[str, dict[str, str]]:
        """Return and forget what came late or not at all."""
        missed, self._content.missed = self._content.missed, {}
        if missed:
            self._write()
        return missed

    @property
    def away_ms(self) -> int:
        """Since when Telegram has been away, 0 = it is there."""
        return self._content.away_ms

    def note_away(self, since_ms: int) -> None:
        """Note since when Telegram has been away; 0 = it is back."""
        self._content.away_ms = since_ms
        self._write()

    @property
    def lock(self) -> Lock | None:
        """Whether and why nothing that raises risk is taken."""
        return self._content.lock

    def note_lock(self, lock: Lock | None) -> None:
        """Note that nothing that raises risk is taken, or that it is again."""
        self._content.lock = lock
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

    def person(self, user: int) -> Person:
        """Return what a person has set."""
        return self._content.people.get(str(user), Person())

    def note_person(self, user: int, person: Person) -> None:
        """Note what a person has set."""
        self._content.people[str(user)] = person
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
        folds = {chat: Fold(**fold) for chat, fold in data.pop("folds", {}).items()}
        owed = {alert: Owed(**entry) for alert, entry in data.pop("owed", {}).items()}
        begun = {update: Begun(**entry) for update, entry in data.pop("begun", {}).items()}
        lock = Lock(**found) if (found := data.pop("lock", None)) else None
        people = {user: Person(**person) for user, person in data.pop("people", {}).items()}
        return _Content(
            alerts=alerts,
            panels=panels,
            folds=folds,
            owed=owed,
            begun=begun,
            lock=lock,
            people=people,
            **data,
        )
    except FileNotFoundError:
        return _Content()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        LOGGER.warning("cannot read %s (%s): starting afresh", path.name, type(error).__name__)
        return _Content()
