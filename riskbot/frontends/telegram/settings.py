"""What the process is told at its start, as one line on its standard input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from riskbot.core.model import Role
from riskbot.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Configuration of the process.

    Attributes:
        token: of the bot; in no log, no argument, no environment.
        users: role by numeric user id.
        groups: chats that get alerts and may command nothing.
        second_contacts: users who hear of an alert only once nobody took it in time.
        socket: path of the guard's door.
        memory: path of the file that survives a restart.
        quiet_hours: `HH:MM-HH:MM` in `timezone`: only red makes a sound.
        log_level: of the process' own log on standard error.
    """

    token: str = field(repr=False)
    api_base_url: str
    users: dict[int, Role]
    groups: tuple[int, ...]
    socket: str
    memory: str
    instance: str
    timezone: str = "UTC"
    second_contacts: tuple[int, ...] = ()
    quiet_hours: str | None = None
    log_level: str = "WARNING"

    def to_line(self) -> bytes:
        """Return the line the process reads; it holds the token."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Settings:
        """Read what `to_line` wrote.

        Raises:
            ConfigError: it is none, or nobody is listed: a bot without users would be everyone's.
        """
        try:
            data: dict[str, Any] = json.loads(line)
            known = {f.name for f in fields(cls)}
            data = {name: value for name, value in data.items() if name in known}
            data["users"] = {int(user): Role(role) for user, role in data["users"].items()}
            data["groups"] = tuple(int(chat) for chat in data["groups"])
            second = data.get("second_contacts", ())
            data["second_contacts"] = tuple(int(user) for user in second)
            settings = cls(**data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"no settings on standard input ({type(error).__name__})"
            raise ConfigError([message]) from None
        if not settings.users:
            raise ConfigError(["telegram.users is empty: nobody could command the bot"])
        return settings

    def role(self, user: int | None) -> Role | None:
        """Return the role of a user, None for a stranger."""
        return self.users.get(user) if user is not None else None
