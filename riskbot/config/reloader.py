"""Reading the configuration anew while riskbot runs, and handing on what needs no restart.

What limits and roles come to is decided in the core; nothing here changes anything before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from riskbot.channels._base import Channel
from riskbot.channels.apprise import AppriseChannel
from riskbot.config import Config, load
from riskbot.config.doors import ROLE_TOKENS
from riskbot.core import actions, events
from riskbot.core.model import Level, Role
from riskbot.core.overrides import rows_of
from riskbot.errors import ConfigError

_log = logging.getLogger(__name__)

COMMAND = "reload"

# Taken in while riskbot runs, `*` = any name or number.
_LIVE = (
    ("portfolio", "preset"),
    ("portfolio", "limits"),
    ("accounts", "*", "limits"),
    ("gateway", "strategies", "*", "limits"),
    ("gateway", "strategies", "*", "token"),
    ("gateway", "strategies", "*", "hmac_secret"),
    *(("http", name) for name in ROLE_TOKENS),
    ("telegram", "users"),
    ("notify", "*", "min_level"),
    ("notify", "*", "digest"),
)


class Doors(Protocol):
    """The guard's side of Telegram, whose users may change."""

    @property
    def channels(self) -> Sequence[Channel]:
        """The door, or nothing."""
        ...

    def set_users(self, users: Mapping[int, Role]) -> None:
        """Hear these users from now on, and nobody else."""
        ...


class Reloader:
    """Reads the file when an admin asks for a reload, and applies what the core has decided.

    Args:
        config: what riskbot was started with.
        doors: of Telegram.
        told: the channels.
        submit: takes `ConfigRead`.
        route: says who takes `ApplyConfig`.
        read: reads the file; raises ConfigError with every fault.
    """

    def __init__(
        self,
        config: Config,
        doors: Doors,
        told: Iterable[Channel],
        submit: Callable[[events.Event], None],
        route: Callable[[type[actions.ApplyConfig], Callable[[Any], None]], None],
        read: Callable[[], Config] | None = None,
    ) -> None:
        self._started = self._running = config
        self._doors = doors
        self._notify = [channel for channel in told if isinstance(channel, AppriseChannel)]
        self._submit = submit
        self._read = read or (lambda: load(config.path, for_run=True))
        self._next: Config | None = None
        self._takers: list[Callable[[Any], None]] = []
        route(actions.ApplyConfig, self.apply)

    def tell(self, taker: Callable[[Any], None]) -> None:
        """Hand somebody the sections whenever a reload was carried out; it takes what it can."""
        self._takers.append(taker)

    async def before(self, command: events.CommandReceived) -> None:
        """Read the file before a command that is about it is looked at."""
        is_asked = command.name == COMMAND and command.args.get("plan_id") is None
        if not is_asked or command.actor.role is not Role.ADMIN:
            return
        self._next = None
        try:
            self._next = await asyncio.to_thread(self._read)
        except ConfigError as error:
            self._submit(events.ConfigRead(faults=tuple(error.faults)))
        else:
            self._submit(self._told(self._next))

    def _told(self, config: Config) -> events.ConfigRead:
        levels = _levels(config) != _levels(self._running)
        others = [u for u in self._started.core().users if u.door != "telegram"]
        users = [u for u in config.core().users if u.door == "telegram"]
        restart = sorted(_differing(self._started, config))
        if self._doors.channels and not users:
            # The bot would not start: what is listed now stays until it is stopped.
            users = [u for u in self._running.core().users if u.door == "telegram"]
            restart.append("telegram.users: is empty")
        others_apply = (
            ("tokens and signing secrets",) if _tokens(config) != _tokens(self._running) else ()
        )
        same_notify = not any(name.startswith("notify") for name in restart)
        return events.ConfigRead(
            config_hash=config.hash,
            limits=rows_of(config.limits),
            users=tuple((u.door, u.name, u.role.value) for u in (*users, *others)),
            applies=(*(("levels of notify",) if levels and same_notify else ()), *others_apply),
            restart=tuple(restart),
        )

    def apply(self, action: actions.ApplyConfig) -> None:
        """Hand on what was decided."""
        users = {int(name): Role(role) for door, name, role in action.users if door == "telegram"}
        self._doors.set_users(users)
        config = self._next
        if config is None or config.hash != action.config_hash:
            _log.warning("the file was read again meanwhile: only limits and users were taken")
            return
        self._running = config
        for taker in self._takers:
            taker(config.root)
        if len(self._notify) == len(_levels(config)):
            for channel, (level, takes_digest) in zip(self._notify, _levels(config), strict=True):
                channel.set_level(Level(level), takes_digest=takes_digest)


def _levels(config: Config) -> list[tuple[str, bool]]:
    return [(n.min_level, n.digest) for n in config.root.notify if n.url is not None]


def _tokens(config: Config) -> tuple[list[Any], dict[str, Any]]:
    """Return what lets somebody in."""
    http, strategies = config.root.http, config.root.gateway.strategies
    roles = [None if http is None else getattr(http, name) for name in ROLE_TOKENS]
    return roles, {name: (each.token, each.hmac_secret) for name, each in strategies.items()}


def _differing(before: Config, after: Config) -> set[str]:
    """Return the keys that differ, but for those that are taken in while riskbot runs."""
    old, new = (config.root.model_dump(mode="python") for config in (before, after))
    found = {".".join(path) for path in _paths(old, new, ()) if not _is_live(path)}
    # Derived from a limit, but read elsewhere.
    if before.core().gross_floor != after.core().gross_floor:
        found.add("portfolio.limits.underlying_concentration.gross_floor")
    return found


def _paths(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if old == new:
        return
    if _is_live(path):
        yield path
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _paths(old.get(key), new.get(key), (*path, str(key)))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _paths(one, other, (*path, str(number)))
    else:
        yield path


def _is_live(path: tuple[str, ...]) -> bool:
    return any(
        len(path) >= len(live)
        and all(want in {"*", have} for want, have in zip(live, path, strict=False))
        for live in _LIVE
    )
