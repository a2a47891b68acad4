"""What the `http` and `gateway` sections ask for, put together: one task beside the guard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.frontends.http.guard import Ask, Decisions, Feed, Guard, View

if TYPE_CHECKING:
    from riskbot.frontends.http.tokens import Caller

AGAIN_S = 5.0
"""How long the door rests when the address is taken, or after a bug of its own."""

_log = logging.getLogger(__name__)


class HttpConfig(Protocol):
    """What of the configuration concerns this door."""

    @property
    def root(self) -> Any:
        """The sections."""
        ...

    @property
    def gateway_path(self) -> Path:
        """The unix socket."""
        ...


class HttpParts:
    """The door, its routes and the stream, or none of them.

    There is one when `http` is configured, or strategies are; without `http` it listens on the
    unix socket alone.

    Attributes:
        parts: (name, part) to run.
        is_listening: the door is open.
        door, stream: where there is one.
    """

    def __init__(
        self,
        config: HttpConfig,
        ask: Ask,
        latest_view: Callable[[], View],
        decisions: Decisions,
        feeds: Mapping[str, Feed],
        before: Callable[[events.CommandReceived], Awaitable[None]],
        emit: Callable[[events.Event], None],
        clock: Clock,
        version: str,
    ) -> None:
        self.parts: tuple[tuple[str, Any], ...] = ()
        self.is_listening = asyncio.Event()
        self._clock, self._emit = clock, emit
        self._is_down = False
        root = config.root
        self._is_wanted = root.http is not None or bool(root.gateway.strategies)
        if not self._is_wanted:
            return
        # Imported where it is configured: the server takes its time to load.
        from riskbot.frontends.http import openapi
        from riskbot.frontends.http.door import Door
        from riskbot.frontends.http.orders import Orders
        from riskbot.frontends.http.reads import Reads
        from riskbot.frontends.http.stream import Stream
        from riskbot.frontends.http.tokens import Tokens

        # An account with an allow-list watches all of it, and trades nothing else.
        is_open = {name for name, account in root.accounts.items() if not account.instruments}
        watching = _Open(feeds, is_open)
        guard = Guard(ask, latest_view, decisions, watching, before, emit, clock)
        listen = root.http.listen if root.http is not None else None
        self._listen = listen or str(config.gateway_path)
        self.door = Door(listen, config.gateway_path, Tokens(_callers(root)), clock, emit)
        self.is_listening = self.door.is_listening
        orders = Orders(self.door, guard, tuple(root.gateway.strategies))
        Reads(self.door, guard, orders.prepare, openapi.document(version))
        self.stream = Stream(self.door, guard)
        self.parts = (("http", self),)

    def notify(self, action: actions.NotifyOrder) -> None:
        """Tell of an order. Never waits."""
        if self._is_wanted:
            self.stream.notify(action)

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Take note of what was decided. Never waits."""
        if self._is_wanted:
            self.stream.observe(decided)

    async def run(self) -> None:
        """Run until cancelled: a taken address or a bug is told and tried again, the guard goes on.

        Meanwhile nobody is answered, and to a strategy that is a denial.
        """
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.door.run(), name="http door")
                    tasks.create_task(self.stream.run(), name="http stream")
                    tasks.create_task(self._tell_up(), name="http news")
            except* OSError as group:
                self._tell_down(f"cannot listen on {self._listen}: {group.exceptions[0]}")
            except* Exception as group:  # noqa: BLE001 - nothing of HTTP may end the guard
                _log.critical("HTTP has a bug", exc_info=group)
                self._tell_down(f"a bug, tried again in {AGAIN_S:.0f} s: {group.exceptions[0]!r}")
            await self._clock.sleep(AGAIN_S)

    async def _tell_up(self) -> None:
        await self.door.is_listening.wait()
        if self._is_down:
            self._is_down = False
            self._emit(events.FrontendChanged(name="http", is_up=True))

    def _tell_down(self, detail: str) -> None:
        if not self._is_down:
            self._is_down = True
            _log.error("the HTTP door is shut: %s", detail)
            self._emit(events.FrontendChanged(name="http", is_up=False, detail=detail))


class _Open(Mapping[str, Feed]):
    """Feeds of the accounts that trade whatever the venue lists; `app` fills them in later."""

    def __init__(self, feeds: Mapping[str, Feed], is_open: set[str]) -> None:
        self._feeds, self._is_open = feeds, is_open

    def __getitem__(self, name: str) -> Feed:
        if name not in self._is_open:
            raise KeyError(name)
        return self._feeds[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._feeds if name in self._is_open)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _callers(root: Any) -> Iterator[tuple[str, Caller]]:
    from riskbot.frontends.http.tokens import Caller

    if root.http is not None:
        for role in Role:
            if (token := getattr(root.http, f"{role.value}_token")) is not None:
                yield token.get_secret_value(), Caller(f"http:{role.value}", role)
        if (token := root.http.investor_token) is not None:
            yield token.get_secret_value(), Caller("http:investor")
    for name, strategy in root.gateway.strategies.items():
        if strategy.token is not None:
            accounts = tuple(strategy.accounts)
            known = Caller(f"strategy:{name}", strategy=name, accounts=accounts)
            yield strategy.token.get_secret_value(), known
