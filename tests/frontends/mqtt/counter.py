"""The door of orders before a real gateway; the broker is a list of what was published."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from riskbot.errors import ChannelError
from riskbot.frontends.mqtt.orders import OrderDoor, Publisher
from tests.fakes import until
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import ORDER, Stage, stage, token
from tests.frontends.mqtt.desk import BASE

REPLIES = f"{BASE}/replies/grid"


@dataclass
class Sent:
    """A message as a client library shows it."""

    topic: str
    payload: Any
    retain: bool = False
    properties: Any = None


@dataclass(frozen=True)
class Published:
    """What riskbot published."""

    topic: str
    document: Any
    correlation: bytes | None


class Post:
    """The connection: takes everything, nothing, or all but what it refuses.

    Attributes:
        refused: topics that the broker refuses for good.
    """

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.refused: set[str] = set()
        self.published: list[Published] = []

    async def publish(
        self, topic: str, payload: bytes, *, correlation: bytes | None = None, is_noted: bool = True
    ) -> None:
        del is_noted
        await asyncio.sleep(0)
        if not self.connected.is_set() or topic in self.refused:
            message = "planted"
            raise ChannelError(message, is_permanent=topic in self.refused)
        self.published.append(Published(topic, json.loads(payload), correlation))

    def on(self, topic: str) -> list[Any]:
        return [each.document for each in self.published if each.topic == topic]


class Counter:
    """A strategy's side of it."""

    def __init__(self, made: Stage) -> None:
        self.stage, self.post = made, Post()
        self.door = OrderDoor(BASE, made.gateway, made.clock)
        self.count = 0

    def say(
        self,
        kind: str,
        payload: Any,
        *,
        answer_to: str = REPLIES,
        correlation: bytes | None = None,
        retain: bool = False,
        user: list[tuple[str, str]] | None = None,
    ) -> bytes | None:
        """Publish a request; without correlation data each has its own."""
        self.count += 1
        correlation = f"#{self.count}".encode() if correlation is None else correlation
        more = SimpleNamespace()
        for name, value in (
            ("ResponseTopic", answer_to),
            ("CorrelationData", correlation),
            ("UserProperty", user),
        ):
            if value:
                setattr(more, name, value)
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.door.take(Sent(f"{BASE}/orders/{kind}", text, retain, more))
        return correlation

    async def ask(self, kind: str, who: str = "grid", **fields: Any) -> Any:
        """Publish a request and return its answer."""
        body = {**ORDER, **fields} if kind in {"check", "submit"} else fields
        payload = {"strategy": who, "token": token(who), **body}
        return await self.answer(self.say(kind, payload, answer_to=f"{BASE}/replies/{who}"))

    async def answer(self, correlation: bytes | None) -> Any:
        """Return what was answered to a request."""
        await until(lambda: self.answers(correlation), 20)
        return self.answers(correlation)[0]

    def answers(self, correlation: bytes | None) -> list[Any]:
        return [p.document for p in self.post.published if p.correlation == correlation]

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        await until(lambda: not self.door._tasks, 20)  # noqa: SLF001 - there is nothing else to see


@asynccontextmanager
async def counter(
    folder: Path, over: Publisher | None = None, **fields: Any
) -> AsyncIterator[Counter]:
    """Open a gateway of the strategies `grid` and `trend` with the door of orders before it."""
    async with stage(folder, **{"limits": GROSS, **fields}) as made:
        opened = Counter(made)
        running = asyncio.create_task(opened.door.run(over or opened.post))
        try:
            yield opened
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
