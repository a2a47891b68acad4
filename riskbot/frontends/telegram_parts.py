"""The guard's side of Telegram: door, channel and supervised process, or none of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.frontends.supervisor import Supervisor
from riskbot.frontends.telegram.settings import Settings
from riskbot.frontends.telegram_door import TelegramDoor

if TYPE_CHECKING:
    from riskbot.config import Config

MODULE = "riskbot.frontends.telegram"


class TelegramParts:
    """What the configuration's `telegram` section asks for.

    Attributes:
        channels: the door as an alert channel, or nothing.
        parts: (name, part) to run.
    """

    def __init__(
        self,
        config: Config,
        submit_command: Callable[[events.CommandReceived], None],
        emit: Callable[[events.Event], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.channels: tuple[TelegramDoor, ...] = ()
        self.parts: tuple[tuple[str, Any], ...] = ()
        wanted = config.root.telegram
        if wanted is None or wanted.token is None:
            return
        users = {user: Role(role) for user, role in wanted.users.items()}
        path = config.state_dir / "telegram.sock"
        door = TelegramDoor(path, users, tuple(wanted.groups), submit_command, emit, clock)
        settings = Settings(
            token=wanted.token.get_secret_value(),
            api_base_url=wanted.api_base_url,
            users=users,
            groups=tuple(wanted.groups),
            socket=str(path),
            memory=str(config.state_dir / "telegram.db"),
            instance=config.root.instance,
            timezone=config.root.timezone,
            quiet_hours=wanted.quiet_hours,
        )
        process = Supervisor("telegram", MODULE, settings.to_line, door.ping, emit, clock, rng)
        self.channels = (door,)
        self.parts = (("telegram door", door), ("telegram process", process))

    def deliver(self, reply: actions.SendReply) -> bool:
        """Hand over a reply; False when the door did not ask."""
        return any(door.deliver(reply) for door in self.channels)
