"""The guard's side of Telegram: door, channel and supervised process, or none of them."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.frontends.supervisor import Supervisor
from riskbot.frontends.telegram.settings import Settings
from riskbot.frontends.telegram_door import ShowView, TelegramDoor

LOGGER = logging.getLogger(__name__)

MODULE = "riskbot.frontends.telegram"
NOBODY = "telegram.users is empty: the bot does not start, since nobody could command it"


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


class _Section(Protocol):
    @property
    def token(self) -> _Secret | None: ...
    @property
    def api_base_url(self) -> str: ...
    @property
    def users(self) -> Mapping[int, str]: ...
    @property
    def groups(self) -> Sequence[int]: ...
    @property
    def second_contacts(self) -> Sequence[int]: ...
    @property
    def quiet_hours(self) -> str | None: ...


class _Root(Protocol):
    @property
    def instance(self) -> str: ...
    @property
    def timezone(self) -> str: ...
    @property
    def telegram(self) -> _Section | None: ...


class TelegramConfig(Protocol):
    """What of the configuration concerns Telegram."""

    @property
    def root(self) -> _Root:
        """The sections."""
        ...

    @property
    def state_dir(self) -> Path:
        """Where socket and memory live."""
        ...


class TelegramParts:
    """What the configuration's `telegram` section asks for.

    Attributes:
        channels: the door as an alert channel, or nothing.
        parts: (name, part) to run.
    """

    def __init__(
        self,
        config: TelegramConfig,
        submit_command: Callable[[events.CommandReceived], None],
        emit: Callable[[events.Event], None],
        clock: Clock,
        rng: random.Random,
        view: ShowView,
    ) -> None:
        self.channels: tuple[TelegramDoor, ...] = ()
        self.parts: tuple[tuple[str, Any], ...] = ()
        self._bot: tuple[TelegramDoor, Supervisor, _FirstLine] | None = None
        wanted = config.root.telegram
        if wanted is None or wanted.token is None:
            return
        users = {user: Role(role) for user, role in wanted.users.items()}
        if not users:
            LOGGER.error(NOBODY)
            self.parts = (("telegram", _Refused(emit)),)
            return
        path = config.state_dir / "telegram.sock"
        door = TelegramDoor(path, users, tuple(wanted.groups), submit_command, emit, clock, view)
        settings = Settings(
            token=wanted.token.get_secret_value(),
            api_base_url=wanted.api_base_url,
            users=users,
            groups=tuple(wanted.groups),
            socket=str(path),
            memory=str(config.state_dir / "telegram.json"),
            instance=config.root.instance,
            timezone=config.root.timezone,
            second_contacts=tuple(wanted.second_contacts),
            quiet_hours=wanted.quiet_hours,
        )
        first = _FirstLine(settings)
        process = Supervisor("telegram", MODULE, first.get, door.ping, emit, clock, rng)
        self._bot = (door, process, first)
        self.channels = (door,)
        self.parts = (("telegram door", door), ("telegram process", process))

    def set_users(self, users: Mapping[int, Role]) -> None:
        """Hear these users from now on: the process starts anew, its open prompts are void."""
        if self._bot is None:
            return
        door, process, first = self._bot
        if dict(users) != first.settings.users:
            door.set_users(users)
            first.settings = replace(first.settings, users=dict(users))
            process.restart()

    @property
    def names(self) -> list[str]:
        """Names of its channels."""
        return [channel.name for channel in self.channels]

    def deliver(self, reply: actions.SendReply) -> bool:
        """Hand over a reply; False when the door did not ask."""
        return any(door.deliver(reply) for door in self.channels)


@dataclass(slots=True)
class _FirstLine:
    """What the process is told at its start."""

    settings: Settings

    def get(self) -> bytes:
        return self.settings.to_line()


class _Refused:
    """A frontend that does not start, and says so; the guard runs."""

    def __init__(self, emit: Callable[[events.Event], None]) -> None:
        self._emit = emit

    async def run(self) -> None:
        self._emit(events.FrontendChanged(name="telegram", is_up=False, detail=NOBODY))
