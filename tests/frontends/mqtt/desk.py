"""The connection on its own, against a broker, and what it says of itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from riskbot.clock import SystemClock
from riskbot.core import events
from riskbot.frontends.mqtt.link import Link
from riskbot.frontends.mqtt.wire import Address
from tests.servers.mosquitto import Mosquitto

BASE = "riskbot/vps-1"
USER, PASSWORD = "riskbot", "s3cret-at-the-broker"
USERS = {USER: PASSWORD, "grid": "of-a-strategy"}


class Desk:
    """A link with what it emitted."""

    def __init__(self, broker: Mosquitto, **address: Any) -> None:
        self.events: list[events.Event] = []
        self.clock = SystemClock()
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": broker.port,
            "base": BASE,
            "username": USER,
            "password": lambda: PASSWORD,
            **address,
        }
        self.address = Address(**fields)
        self.link = self.make()

    def make(self) -> Link:
        return Link(self.address, self.events.append, self.clock, random.Random(7))

    def health(self) -> list[events.FrontendChanged]:
        """What people were told of the connection."""
        return [e for e in self.events if isinstance(e, events.FrontendChanged)]

    @asynccontextmanager
    async def running(self, *more: Callable[[], Any]) -> AsyncIterator[Link]:
        tasks = [asyncio.create_task(self.link.run()), *(asyncio.create_task(m()) for m in more)]
        try:
            yield self.link
        finally:
            for task in reversed(tasks):
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def connected(self, seconds: float = 30.0) -> None:
        await self.link.wait(seconds)
        assert self.link.connected.is_set(), self.events
