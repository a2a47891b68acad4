"""A flood through the whole path: core, delivery, door, the Telegram process, a Bot API server."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from riskbot.channels.delivery import Delivery
from riskbot.clock import SystemClock
from riskbot.core import events
from riskbot.core.model import Level, Role
from riskbot.frontends.telegram.link import Notice
from tests.core.alarm import Alarm
from tests.fakes import FakeChannel, until
from tests.frontends.telegram.scene import ADMIN, Scene
from tests.servers.telegram_api import Fault
from tests.servers.telegram_rules import Rules

REDS = [f"account:red-{number}" for number in range(3)]
MILD = [f"account:mild-{number}" for number in range(4)]
RULE = "somebody_s_rule"
BUSY = {"retry_after": 1}


class Flood:
    """Alerts of the core's own making, and how they are brought to people."""

    def __init__(self, scene: Scene) -> None:
        now_ms = SystemClock().now_ms()
        self.alarm = Alarm(start_ms=now_ms, now_ms=now_ms)
        self.log = FakeChannel("log")
        self.heard: list[events.Event] = []
        self.delivery = Delivery(
            [self.log, scene.door],
            self.heard.append,
            SystemClock(),
            random.Random(1),
            primary=["telegram"],
        )
        self._sent = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.delivery.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def set(self, level: Level, scope: str) -> None:
        self.alarm.set(level, RULE, scope)
        for _, told in self.alarm.sent[self._sent :]:
            self.delivery.send(told)
        self._sent = len(self.alarm.sent)
        await asyncio.sleep(0)


def notices() -> int:
    gc.collect()
    return sum(isinstance(each, Notice) for each in gc.get_objects())


@pytest.mark.parametrize("transitions", [1_500, pytest.param(10_000, marks=pytest.mark.nightly)])
async def test_flood_of_transitions_in_a_minute(scene: Scene, transitions: int) -> None:
    flood, rng = Flood(scene), random.Random(5)
    scene.server.rules = Rules()
    async with (
        scene.process(users={ADMIN: Role.ADMIN}, groups=()),
        flood.running(),
    ):
        # Given a Telegram that asks to wait while all of it comes.
        await scene.answer(ADMIN, "/whoami")
        before, tasks = notices(), len(asyncio.all_tasks())
        scene.server.fail("sendMessage", Fault("refuse", None, 429, "Too Many Requests", BUSY))
        for _ in range(transitions):
            flood.alarm.now_ms += 60_000 // transitions
            scope = rng.choice([*REDS, *MILD])
            levels = [Level.YELLOW, Level.ORANGE]
            await flood.set(rng.choice(levels + [Level.RED] * (scope in REDS)), scope)
        for scope in MILD:
            await flood.set(Level.ORANGE, scope)
        for scope in REDS:
            await flood.set(Level.RED, scope)
        assert max(flood.delivery.waiting().values()) <= len(REDS + MILD)
        count = len(scene.chat(ADMIN).sent)
        # When it takes messages again, then red comes first, whatever waited before it.
        scene.server.lift()
        async with asyncio.timeout(120):
            await flood.delivery.flush(120)
            await until(lambda: len(asyncio.all_tasks()) <= tasks, 60)
        texts = scene.chat(ADMIN).texts[count:]
        reds = [text for text in texts if "RED" in text.partition("\n")[0]]
        assert texts[: len(REDS)] == reds
        assert {scope for scope in REDS for text in reds if f"{scope}:" in text} == set(REDS)
        # Nothing that stands is lost: each has its message, or its line in the one of many,
        firing = flood.alarm.state.alerts.firing.values()
        shown = "\n".join(message["text"] for message in scene.chat(ADMIN).messages.values())
        for alert in firing:
            assert f"#{flood.alarm.thread_of(alert)}" in shown
        # nobody had to be refused, and all that waited is let go.
        assert scene.server.rules.refused == 0
        assert not [e for e in flood.heard if isinstance(e, events.AlertDeliveryFailed)]
        assert set(flood.delivery.waiting().values()) == {0}
        assert notices() - before <= len(REDS + MILD)
    kept = json.loads((scene.directory / "telegram.json").read_text())["alerts"]
    assert len(kept) <= len(REDS + MILD) * 2
