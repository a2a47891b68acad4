"""What the `http` and `gateway` sections ask for, put together: one task beside the guard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.frontends._gateway.guard import Ask, Decisions, Feed, View
from riskbot.frontends._gateway.parts import Gateway

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


class Reloader(Protocol):
    """Reads the configuration anew."""

    def before(self, command: events.CommandReceived, /) -> Awaitable[None]:
        """Read what a command is about before it is looked at."""
        ...

    def tell(self, taker: Callable[[Any], None], /) -> None:
        """Hand somebody the sections whenever they were read anew and taken."""
        ...


class Other(Protocol):
    """Another door before the same gateway."""

    def serve(self, gateway: Gateway, /) -> None:
        """Let strategies ask there too."""
        ...


class HttpParts:
    """The door, its routes and the stream, or none of them.

    There is one when `http` is configured, or strategies are; without `http` it listens on the
    unix socket alone.

    Args:
        config: the configuration.
        ask: asks the core.
        latest_view: returns the newest view.
        decisions: reads the audit.
        feeds: by account.
        tied: what reads the configuration anew, and another door before the same gateway.
        emit: takes events that nobody waits for.
        clock: time.
        version: riskbot's.

    Attributes:
        parts: (name, part) to run.
        gateway: what is behind it, for other doors too; None = there is none.
        is_listening: the door is open.
        door, metrics, stream: where there is one.
    """

    def __init__(
        self,
        config: HttpConfig,
        ask: Ask,
        latest_view: Callable[[], View],
        decisions: Decisions,
        feeds: Mapping[str, Feed],
        tied: tuple[Reloader, Other],
        emit: Callable[[events.Event], None],
        clock: Clock,
        version: str,
    ) -> None:
        self.parts: tuple[tuple[str, Any], ...] = ()
        self.is_listening = asyncio.Event()
        self._clock, self._emit = clock, emit
        self._is_down = False
        root = config.root
        self.gateway: Gateway | None = None
        if root.http is None and not root.gateway.strategies:
            return
        # Imported where it is configured: the server takes its time to load.
        from riskbot.frontends.http import openapi
        from riskbot.frontends.http.door import Door
        from riskbot.frontends.http.metrics import Metrics
        from riskbot.frontends.http.orders import Orders
        from riskbot.frontends.http.reads import Reads
        from riskbot.frontends.http.stream import Stream

        gateway = Gateway(root, ask, latest_view, decisions, feeds, tied[0].before, emit, clock)
        self.gateway = gateway
        listen = root.http.listen if root.http is not None else None
        self._listen = listen or str(config.gateway_path)
        self.door = Door(listen, config.gateway_path, gateway.logins)
        self.is_listening = self.door.is_listening
        Orders(self.door, gateway.guard, gateway.asking)
        Reads(self.door, gateway.guard, gateway.asking, openapi.document(version))
        self.metrics = Metrics(self.door, listen)
        self.stream = Stream(self.door, gateway.guard, gateway.logins.knows)
        gateway.subscribe(self.stream.notify)
        tied[1].serve(gateway)
        tied[0].tell(self._reload)
        self.parts = (("http", self),)

    def _reload(self, root: Any) -> None:
        """Take tokens over, and end the streams of those that are none any more."""
        if self.gateway is not None:
            self.gateway.reload(root)
            self.stream.let_go()

    def notify(self, action: actions.NotifyOrder) -> None:
        """Tell of an order. Never waits."""
        if self.gateway is not None:
            self.gateway.notify(action)

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Take note of what was decided. Never waits."""
        if self.gateway is not None:
            self.metrics.observe(decided)
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
