"""Delivery: red first, the newest revision, retries, and what happens when a channel is down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from riskbot.channels import _lane, delivery
from riskbot.channels._base import Channel
from riskbot.core import events
from riskbot.core.duty import Alert
from riskbot.core.model import DIGEST, Level
from riskbot.errors import ChannelError
from tests.alerts import alert, resolved, send
from tests.fakes import FakeChannel, FakeClock, settle


class HungChannel(FakeChannel):
    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        await asyncio.Event().wait()


class BrokenChannel(FakeChannel):
    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        message = "a bug"
        raise KeyError(message)


class GraveChannel(FakeChannel):
    def wants(self, alert: Alert, *, is_loud: bool) -> bool:
        return alert.level is Level.RED


class Gate(FakeChannel):
    """Holds what it is sent until opened."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.open = asyncio.Event()
        self.holding: list[Alert] = []

    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        self.holding.append(alert)
        await self.open.wait()
        await super().send(alert, is_loud=is_loud)


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events: list[Any] = []

    @asynccontextmanager
    async def delivering(
        self, *channels: Channel, attempt_s: float = 20.0, primary: Collection[str] = ()
    ) -> AsyncIterator[delivery.Delivery]:
        made = delivery.Delivery(
            channels,
            self.events.append,
            self.clock,
            random.Random(1),
            attempt_s=attempt_s,
            primary=primary,
        )
        task = asyncio.create_task(made.run())
        await settle()
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    return Scene()


def ids(channel: FakeChannel) -> list[str]:
    return [told.alert_id for told, _ in channel.sent]


async def test_alert_reaches_every_channel_and_each_says_so(scene: Scene) -> None:
    first, second = FakeChannel("first"), FakeChannel("second")
    async with scene.delivering(first, second) as made:
        made.send(send(alert()))
        await settle()
    assert ids(first) == ids(second) == ["A1"]
    told = {(e.channel, e.alert_id, e.revision) for e in scene.of(events.AlertDelivered)}
    assert told == {("first", "A1", 1), ("second", "A1", 1)}
    assert first.is_closed
    assert second.is_closed


async def test_red_goes_first_when_several_wait(scene: Scene) -> None:
    gate = Gate("gate")
    async with scene.delivering(gate) as made:
        made.send(send(alert("A1", Level.YELLOW)))
        await settle()
        made.send(send(alert("A2", Level.YELLOW)))
        made.send(send(alert("A3", Level.ORANGE)))
        made.send(send(alert("A4", Level.RED)))
        gate.open.set()
        await settle(60)
    assert ids(gate) == ["A1", "A4", "A3", "A2"]


async def test_red_waits_for_no_other_that_is_under_way(scene: Scene) -> None:
    gate = Gate("gate")
    async with scene.delivering(gate) as made:
        made.send(send(alert("A1", Level.YELLOW)))
        made.send(send(alert("A2", Level.ORANGE)))
        await settle()
        assert [a.alert_id for a in gate.holding] == ["A2"]
        made.send(send(alert("A3", Level.RED)))
        made.send(send(alert("A4", Level.RED)))
        await settle()
        assert [a.alert_id for a in gate.holding] == ["A2", "A3", "A4"]
        for number in range(10, 30):
            made.send(send(alert(f"A{number}", Level.RED)))
        await settle()
        assert len(gate.holding) == 1 + _lane.REDS_AT_ONCE
        gate.open.set()
        assert await made.flush(5)
    assert len(set(ids(gate))) == len(gate.sent) == 24
    assert ids(gate)[-1] == "A1"


async def test_what_fails_side_by_side_fails_once(scene: Scene) -> None:
    dead = FakeChannel("dead")
    dead.fail(*[ChannelError("unreachable")] * 5)
    async with scene.delivering(dead) as made:
        for number in range(5):
            made.send(send(alert(f"A{number}", Level.RED)))
        await settle()
        assert not dead.failures
        assert not scene.of(events.AlertDeliveryFailed)


async def test_red_breaks_a_pause_that_nobody_asked_for(scene: Scene) -> None:
    dead = FakeChannel("dead")
    dead.fail(*[ChannelError("unreachable")] * 9)
    async with scene.delivering(dead) as made:
        made.send(send(alert("A1", Level.YELLOW)))
        await scene.clock.advance(60_000)
        assert dead.failures
        dead.failures.clear()
        made.send(send(alert("A2", Level.RED)))
        await settle()
        assert ids(dead) == ["A2"]


async def test_older_words_that_failed_beside_newer_ones_are_not_said_again(scene: Scene) -> None:
    class Slow(Gate):
        async def send(self, alert: Alert, *, is_loud: bool) -> None:
            await super().send(alert, is_loud=is_loud)
            if alert.level is Level.YELLOW:
                raise ChannelError("too late")

    slow = Slow("slow")
    async with scene.delivering(slow) as made:
        made.send(send(alert("A1", Level.YELLOW)))
        await settle()
        made.send(send(alert("A1", Level.RED, revision=2)))
        await settle()
        slow.open.set()
        assert await made.flush(5)
        await scene.clock.advance(60_000)
    assert [a.revision for a in slow.holding] == [1, 2]


async def test_newest_revision_replaces_the_waiting_one_and_stays_loud(scene: Scene) -> None:
    gate = Gate("gate")
    async with scene.delivering(gate) as made:
        made.send(send(alert("A9")))
        await settle()
        first = alert("A1", Level.ORANGE)
        made.send(send(first, is_loud=True))
        made.send(send(resolved(first), is_loud=False))
        made.send(send(first, is_loud=False))
        gate.open.set()
        await settle(60)
    assert [(a.alert_id, a.revision, loud) for a, loud in gate.sent] == [
        ("A9", 1, True),
        ("A1", 2, True),
    ]


async def test_failed_send_is_tried_again_with_growing_waits(scene: Scene) -> None:
    channel = FakeChannel()
    channel.fail(ChannelError("502"), ChannelError("502"))
    async with scene.delivering(channel) as made:
        made.send(send(alert()))
        await settle()
        assert channel.sent == []
        await scene.clock.advance(1_300)
        assert channel.sent == []
        await scene.clock.advance(1_000)
        assert channel.sent == []
        await scene.clock.advance(1_600)
    assert ids(channel) == ["A1"]
    assert not scene.of(events.AlertDeliveryFailed)


async def test_channel_that_names_its_wait_is_left_alone_until_then(scene: Scene) -> None:
    channel = FakeChannel()
    channel.fail(ChannelError("429", retry_after_ms=10_000))
    async with scene.delivering(channel) as made:
        made.send(send(alert("A1", Level.ORANGE)))
        await settle()
        made.send(send(alert("A2", Level.RED)))
        await scene.clock.advance(9_900)
        assert channel.sent == []
        await scene.clock.advance(700)
    assert ids(channel) == ["A2", "A1"]


async def test_refused_alert_is_given_up_at_once(scene: Scene) -> None:
    bad, good = FakeChannel("bad"), FakeChannel("good")
    bad.fail(ChannelError("no such chat", is_permanent=True))
    async with scene.delivering(bad, good) as made:
        made.send(send(alert()))
        await settle(60)
        failed = scene.of(events.AlertDeliveryFailed)
        assert [(e.channel, e.alert_id, e.is_permanent) for e in failed] == [("bad", "A1", True)]
        assert failed[0].error == "no such chat"
        made.send(send(alert("A2")))
        await settle(60)
    assert ids(bad) == ["A2"]
    assert ids(good) == ["A1", "A2"]


async def test_channel_is_down_after_three_failures_and_told_once(scene: Scene) -> None:
    dead, alive = FakeChannel("dead"), FakeChannel("alive")
    dead.fail(*[ChannelError("unreachable")] * 5)
    async with scene.delivering(dead, alive) as made:
        made.send(send(alert()))
        await scene.clock.advance(2_000)
        assert not scene.of(events.AlertDeliveryFailed)
        await scene.clock.advance(60_000)
    failed = scene.of(events.AlertDeliveryFailed)
    assert [(e.channel, e.is_permanent) for e in failed] == [("dead", False)]
    assert ids(dead) == ids(alive) == ["A1"]
    assert {e.channel for e in scene.of(events.AlertDelivered)} == {"dead", "alive"}


async def test_hung_channel_delays_no_other(scene: Scene) -> None:
    hung, quick = HungChannel("hung"), FakeChannel("quick")
    async with scene.delivering(hung, quick, attempt_s=0.05) as made:
        for number in range(5):
            made.send(send(alert(f"A{number}")))
        await settle(60)
        assert len(quick.sent) == 5
        async with asyncio.timeout(10):
            while not scene.of(events.AlertDeliveryFailed):
                await asyncio.sleep(0.02)
                await scene.clock.advance(5_000)
    assert "no answer" in scene.of(events.AlertDeliveryFailed)[0].error


async def test_bug_in_a_channel_is_a_failure_of_it_alone(scene: Scene) -> None:
    broken, good = BrokenChannel("broken"), FakeChannel("good")
    async with scene.delivering(broken, good) as made:
        made.send(send(alert()))
        await scene.clock.advance(10_000)
    assert ids(good) == ["A1"]
    assert "KeyError" in scene.of(events.AlertDeliveryFailed)[0].error


async def test_alert_is_given_up_when_it_matters_no_more(scene: Scene) -> None:
    channel = FakeChannel()
    channel.fail(*[ChannelError("down")] * 1000)
    async with scene.delivering(channel) as made:
        made.send(send(alert("A1", Level.YELLOW)))
        made.send(send(alert("A2", Level.RED)))
        await scene.clock.advance(601_000)
        channel.failures.clear()
        await scene.clock.advance(60_000)
    assert ids(channel) == ["A2"]
    gone = [e for e in scene.of(events.AlertDeliveryFailed) if e.is_permanent]
    assert [e.alert_id for e in gone] == ["A1"]


async def test_full_queue_gives_up_the_least_grave(scene: Scene) -> None:
    gate = Gate("gate")
    async with scene.delivering(gate) as made:
        made.send(send(alert("A0")))
        await settle()
        made.send(send(alert("A1", Level.YELLOW)))
        for number in range(delivery.QUEUE_MAX):
            made.send(send(alert(f"B{number}")))
        failed = scene.of(events.AlertDeliveryFailed)
        assert [(e.alert_id, e.is_permanent) for e in failed] == [("A1", True)]
        gate.open.set()
        assert await made.flush(10)
    assert len(gate.sent) == delivery.QUEUE_MAX + 1


async def test_channel_that_does_not_want_an_alert_is_not_asked(scene: Scene) -> None:
    grave = GraveChannel("grave")
    async with scene.delivering(grave) as made:
        made.send(send(alert("A1", Level.YELLOW)))
        made.send(send(alert("A2", Level.RED)))
        await settle()
    assert ids(grave) == ["A2"]


async def test_flush_says_when_something_is_left(scene: Scene) -> None:
    gate = Gate("gate")
    async with scene.delivering(gate) as made:
        assert await made.flush(0.1)
        made.send(send(alert()))
        assert not await made.flush(0.05)
        gate.open.set()
        assert await made.flush(10)


async def test_alert_that_keeps_failing_lets_the_others_pass(scene: Scene) -> None:
    class Picky(FakeChannel):
        async def send(self, alert: Alert, *, is_loud: bool) -> None:
            if alert.alert_id == "A1":
                message = "500"
                raise ChannelError(message)
            await super().send(alert, is_loud=is_loud)

    picky = Picky()
    async with scene.delivering(picky) as made:
        made.send(send(alert("A1", Level.RED)))
        made.send(send(alert("A2", Level.YELLOW)))
        await scene.clock.advance(120_000)
    assert "A2" in ids(picky)


class Nothing(FakeChannel):
    """Takes only what it is made to take."""

    def wants(self, alert: Alert, *, is_loud: bool) -> bool:
        return False


async def test_red_that_the_primary_does_not_confirm_goes_to_the_others_in_20_s(
    scene: Scene,
) -> None:
    hung, spare = HungChannel("telegram"), Nothing("notify")
    async with scene.delivering(hung, spare, primary=["telegram"]) as made:
        made.send(send(alert("A1")))
        made.send(send(alert("A2", Level.ORANGE)))
        await scene.clock.advance(19_900)
        assert spare.sent == []
        await scene.clock.advance(200)
        assert ids(spare) == ["A1"]
        await scene.clock.advance(99_800)
        assert ids(spare) == ["A1"]
        await scene.clock.advance(200)
    assert ids(spare) == ["A1", "A2"]
    told = {(e.channel, e.alert_id) for e in scene.of(events.AlertDelivered)}
    assert told == {("notify", "A1"), ("notify", "A2")}


async def test_confirmed_silent_or_ended_alerts_do_not_fail_over(scene: Scene) -> None:
    primary, spare = Gate("telegram"), Nothing("notify")
    async with scene.delivering(primary, spare, primary=["telegram"]) as made:
        made.send(send(alert("A1")))
        await settle()
        primary.open.set()
        await settle(60)
        assert ids(primary) == ["A1"]
        primary.open.clear()
        made.send(send(alert("A2"), is_loud=False))
        made.send(send(alert("A3", Level.YELLOW)))
        made.send(send(alert("A4")))
        made.send(send(resolved(alert("A4"))))
        await scene.clock.advance(300_000)
    assert spare.sent == []


async def test_older_revision_confirms_nothing(scene: Scene) -> None:
    class Once(Gate):
        async def send(self, alert: Alert, *, is_loud: bool) -> None:
            await super().send(alert, is_loud=is_loud)
            self.open.clear()

    primary, spare = Once("telegram"), Nothing("notify")
    orange = alert("A1", Level.ORANGE)
    async with scene.delivering(primary, spare, primary=["telegram"]) as made:
        made.send(send(orange))
        await settle()
        made.send(send(replace(alert("A1"), revision=2)))
        primary.open.set()
        await scene.clock.advance(21_000)
        assert [a.revision for a, _ in primary.sent] == [1]
    assert [(a.alert_id, a.revision) for a, _ in spare.sent] == [("A1", 2)]


async def test_refused_by_the_primary_fails_over_at_once_and_its_end_follows(
    scene: Scene,
) -> None:
    primary, spare, full = FakeChannel("telegram"), Nothing("notify"), FakeChannel("webhook")
    primary.fail(ChannelError("blocked", is_permanent=True))
    async with scene.delivering(primary, spare, full, primary=["telegram"]) as made:
        red = alert("A1")
        made.send(send(red))
        await settle(60)
        assert ids(spare) == ["A1"]
        made.send(send(replace(red, revision=2), is_loud=False))
        await settle(60)
        assert ids(spare) == ["A1"]
        made.send(send(resolved(replace(red, revision=2))))
        await settle(60)
    assert ids(spare) == ["A1", "A1"]
    # What had it anyway is not told the same revision twice.
    assert [a.revision for a, _ in full.sent] == [1, 2, 3]


async def test_second_escalation_is_for_every_channel(scene: Scene) -> None:
    spare = Nothing("notify")
    async with scene.delivering(spare) as made:
        made.send(send(alert("A1", Level.ORANGE, escalation=1)))
        await settle(60)
        assert spare.sent == []
        made.send(send(alert("A1", Level.ORANGE, revision=2, escalation=2)))
        await settle(60)
    assert [a.revision for a, _ in spare.sent] == [2]


async def test_watched_alerts_are_bounded_and_what_is_too_much_fails_over(scene: Scene) -> None:
    hung, spare = HungChannel("telegram"), Nothing("notify")
    async with scene.delivering(hung, spare, primary=["telegram"]) as made:
        for number in range(delivery.QUEUE_MAX):
            made.send(send(alert(f"A{number}")))
        made.send(send(alert("B1", Level.ORANGE)))
        await settle(60)
        assert ids(spare) == ["B1"]


async def test_ten_thousand_transitions_lose_nothing_that_still_holds(scene: Scene) -> None:
    """What waits is bounded, red leaves first, and each message's last word arrives."""
    gate, spare = Gate("telegram"), Gate("webhook")
    newest: dict[str, Alert] = {}
    rng = random.Random(4)
    async with scene.delivering(gate, spare, primary=["telegram"]) as made:
        made.send(send(alert("A0", Level.YELLOW)))
        await settle()
        for number in range(10_000):
            name = f"A{rng.randrange(1, 150)}"
            level = rng.choice([Level.YELLOW, Level.ORANGE, Level.RED])
            before = newest.get(name)
            revision = 1 if before is None else before.revision + 1
            newest[name] = alert(name, level, revision=revision)
            made.send(send(newest[name], is_loud=level is not Level.YELLOW))
            if number % 500 == 0:
                await scene.clock.advance(3_000)
        assert all(waiting <= delivery.QUEUE_MAX for waiting in made.waiting().values())
        gate.open.set()
        spare.open.set()
        assert await made.flush(30)
    assert not scene.of(events.AlertDeliveryFailed)
    for channel in (gate, spare):
        told = [a for a, _ in channel.sent[1:]]
        assert {a.alert_id: a.revision for a in told} == {n: a.revision for n, a in newest.items()}
        ranks = [a.level.rank for a in told]
        assert ranks == sorted(ranks, reverse=True)


# ---------------------------------------------------------------- the daily digest


class DigestChannel(FakeChannel):
    def wants(self, alert: Alert, *, is_loud: bool) -> bool:
        return alert.name == DIGEST


async def test_digest_goes_only_where_it_is_asked_for(scene: Scene) -> None:
    plain, asking, grave = FakeChannel("plain"), DigestChannel("asking"), GraveChannel("grave")
    async with scene.delivering(plain, asking, grave) as made:
        made.send(send(alert("D1", name=DIGEST, level=Level.OK), is_loud=False))
        await settle()
    assert [sent.alert_id for sent, _ in asking.sent] == ["D1"]
    assert (plain.sent, grave.sent) == ([], [])


async def test_digest_outlives_an_hour_of_trouble(scene: Scene) -> None:
    asking = DigestChannel("asking")
    asking.fail(*(ChannelError("502") for _ in range(30)))
    async with scene.delivering(asking) as made:
        made.send(send(alert("D1", name=DIGEST, level=Level.OK), is_loud=False))
        for _ in range(60):
            await scene.clock.advance(60_000)
            await settle()
    assert [sent.alert_id for sent, _ in asking.sent] == ["D1"]
