"""What is published when: at once, conflated, as a heartbeat, after the broker was away."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import Any

import pytest

from riskbot.channels.delivery import QUEUE_MAX, Delivery
from riskbot.channels.mqtt import MqttChannel
from riskbot.config.models import Root
from riskbot.config.secret import Secret
from riskbot.core import actions, events
from riskbot.core.model import Level, TradingState
from riskbot.errors import ChannelError, StorageError
from riskbot.frontends.mqtt import documents
from riskbot.frontends.mqtt.documents import Documents
from riskbot.frontends.mqtt.parts import MqttParts
from tests.alerts import alert, send
from tests.config_files import with_
from tests.fakes import FakeChannel, FakeClock, settle, until
from tests.frontends.mqtt.desk import BASE, Desk
from tests.servers.mosquitto import Mosquitto, listening, retained

RUN = 1_700_000_000_123


class Book:
    """The views of a guard, as far as anybody looks."""

    def __init__(self) -> None:
        self.state = "ACTIVE"
        self.gross = 1.0
        self.built = 0

    def __call__(self, name: str) -> Any:
        self.built += 1
        if name == "limits":
            return [{"name": "gross_exposure", "measured": self.gross}]
        if name == "exposure":
            return {"gross_exposure": self.gross, "as_of_ms": self.built}
        feeds = [{"account": "main", "feed": "prices", "age_s": self.built, "ok": True}]
        return {"trading_state": self.state, "feeds": feeds, "as_of_ms": self.built}


class Audit:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.breaks = False

    def decide(self, reason: str) -> None:
        self.rows.insert(0, {"seq": len(self.rows) + 1, "kind": "hold", "reason": reason})

    async def __call__(self) -> list[dict[str, Any]]:
        if self.breaks:
            message = "disk"
            raise StorageError(message)
        return self.rows[:100]


class FakeBroker:
    """Keeps what is published; does as it is told."""

    base = BASE

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.sessions = 0
        self.sent: list[tuple[str, Any, bool]] = []
        self.error: ChannelError | None = None

    def connect(self) -> None:
        self.sessions += 1
        self.connected.set()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        import json

        if self.error is not None:
            raise self.error
        self.sent.append((topic.removeprefix(f"{BASE}/"), json.loads(payload), retain))

    def topics(self) -> list[str]:
        found = [topic for topic, _, _ in self.sent]
        self.sent.clear()
        return found


class Scene:
    def __init__(self) -> None:
        self.book, self.audit, self.clock = Book(), Audit(), FakeClock()
        self.broker = FakeBroker()
        self.documents = Documents(self.broker, self.book, self.audit, RUN, self.clock)
        self.task = asyncio.create_task(self.documents.run())

    async def first(self) -> None:
        self.broker.connect()
        await self.clock.advance(50)
        assert self.broker.topics() == ["state", "limits", "exposure"]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def scene() -> Any:
    made = Scene()
    yield made
    await made.end()


HALTED = actions.NotifyStrategies(
    scope="portfolio", trading_state=TradingState.HALTED, reason="drawdown"
)
HOLD: Any = actions.DropHold(scope="portfolio", limit="x", reason="calm")


async def test_documents_when_connected_are_stamped_numbered_and_retained(scene: Scene) -> None:
    scene.broker.connect()
    await settle()
    assert [(topic, keep) for topic, _, keep in scene.broker.sent] == [
        ("state", True),
        ("limits", True),
        ("exposure", True),
    ]
    bodies = [body for _, body, _ in scene.broker.sent]
    assert [body["seq"] - bodies[0]["seq"] for body in bodies] == [0, 1, 2]
    assert {body["ts_ms"] for body in bodies} == {scene.clock.now_ms()}
    assert {body["run"] for body in bodies} == {RUN}
    assert bodies[0]["trading_state"] == "ACTIVE"
    assert bodies[1]["limits"] == [{"name": "gross_exposure", "measured": 1.0}]


async def test_number_grows_over_a_restart(scene: Scene) -> None:
    await scene.first()
    for step in range(20):
        scene.book.gross = step
        await scene.clock.advance(1_100)
    last = max(body["seq"] for _, body, _ in scene.broker.sent)
    again = FakeBroker()
    second = Documents(again, scene.book, scene.audit, RUN + 1, scene.clock)
    task = asyncio.create_task(second.run())
    again.connect()
    await scene.clock.advance(50)
    assert min(body["seq"] for _, body, _ in again.sent) > last
    task.cancel()


async def test_nothing_new_is_repeated_as_a_heartbeat_alone(scene: Scene) -> None:
    await scene.first()
    await scene.clock.advance(documents.HEARTBEAT_MS - 2_000)
    assert scene.broker.topics() == []
    await scene.clock.advance(4_000)
    assert scene.broker.topics() == ["state", "limits", "exposure"]


async def test_figures_that_move_are_conflated(scene: Scene) -> None:
    await scene.first()
    for _ in range(500):
        scene.book.gross += 0.001
        await scene.clock.advance(20)
    topics = scene.broker.topics()
    assert 8 <= topics.count("exposure") <= 11
    assert 8 <= topics.count("limits") <= 11
    assert topics.count("state") == 0


async def test_notice_to_strategies_goes_out_at_once(scene: Scene) -> None:
    await scene.first()
    scene.book.state = "HALTED"
    scene.documents.notify(HALTED)
    await scene.clock.advance(documents.SETTLE_MS + 1)
    assert scene.broker.sent[0][:1] == ("state",)
    assert scene.broker.sent[0][1]["trading_state"] == "HALTED"


async def test_notice_does_not_wait_for_the_spacing_of_changes(scene: Scene) -> None:
    await scene.first()
    await scene.clock.advance(300)
    scene.book.gross += 1
    scene.documents.observe([HOLD])
    await scene.clock.advance(15)
    assert scene.broker.topics() == ["limits"]
    scene.book.state = "REDUCING"
    scene.documents.observe([HOLD])
    await scene.clock.advance(15)
    assert scene.broker.topics() == []
    scene.documents.notify(HALTED)
    await scene.clock.advance(15)
    assert scene.broker.topics() == ["state"]


async def test_changes_in_a_storm_are_published_ten_times_a_second(scene: Scene) -> None:
    await scene.first()
    await scene.clock.advance(900)
    scene.broker.topics()
    for step in range(1_000):
        scene.book.gross = step
        scene.documents.observe([HOLD])
        await scene.clock.advance(1)
    assert 8 <= scene.broker.topics().count("limits") <= 12


async def test_what_is_no_change_wakes_nobody(scene: Scene) -> None:
    await scene.first()
    built = scene.book.built
    scene.documents.observe([actions.RecordExposure(row={}, cause="timer")])
    await scene.clock.advance(200)
    assert scene.book.built == built


async def test_large_book_is_published_less_often(scene: Scene) -> None:
    """Building may take one part in fifty of the loop: 40 ms each means every six seconds."""
    real = scene.book.__call__

    def slow(name: str) -> Any:
        scene.clock.jump(40)
        return real(name)

    await scene.end()
    heavy = Documents(scene.broker, slow, scene.audit, RUN, scene.clock)
    task = asyncio.create_task(heavy.run())
    scene.broker.connect()
    for _ in range(600):
        scene.book.gross += 1
        await scene.clock.advance(100)
    count = scene.broker.topics().count("exposure")
    assert 7 <= count <= 12, count
    task.cancel()


async def test_decisions_are_told_from_the_connection_on(scene: Scene) -> None:
    scene.audit.decide("before the connection")
    await scene.first()
    row: Any = actions.RecordDecision(decision="hold", limit="", scope="", reason="", actor="")
    scene.audit.decide("one")
    scene.audit.decide("two")
    scene.documents.observe([row])
    await scene.clock.advance(150)
    told = [(body["reason"], keep) for topic, body, keep in scene.broker.sent if "dec" in topic]
    assert told == [("one", False), ("two", False)]
    scene.audit.breaks = True
    scene.documents.observe([row])
    await scene.clock.advance(150)
    scene.audit.breaks = False
    scene.audit.decide("three")
    scene.documents.observe([row])
    await scene.clock.advance(150)
    assert scene.broker.sent[-1][1]["reason"] == "three"


async def test_connection_that_ends_in_the_middle_is_waited_for(scene: Scene) -> None:
    await scene.first()
    scene.broker.connected.clear()
    scene.broker.error = ChannelError("gone")
    await scene.clock.advance(60_000)
    built = scene.book.built
    for _ in range(100):
        scene.documents.observe([HOLD])
        scene.documents.notify(HALTED)
        await scene.clock.advance(1_000)
    assert scene.book.built == built, "nothing is built for nobody"
    scene.broker.error = None
    scene.book.state = "HALTED"
    scene.broker.connect()
    await scene.clock.advance(200)
    assert scene.broker.sent[0][1]["trading_state"] == "HALTED"
    assert scene.broker.topics() == ["state", "limits", "exposure"]


@pytest.mark.parametrize("is_permanent", [True, False])
async def test_topic_that_is_refused_is_tried_again_with_the_heartbeat(
    scene: Scene, is_permanent: bool
) -> None:
    scene.broker.error = ChannelError("not taken", is_permanent=is_permanent)
    scene.broker.connect()
    await scene.clock.advance(5_000)
    scene.broker.error = None
    await scene.clock.advance(20_000)
    assert scene.broker.topics() == []
    await scene.clock.advance(15_000)
    assert scene.broker.topics() == ["state", "limits", "exposure"]


# ---------------------------------------------------------------- with a broker


async def test_bug_in_a_document_is_told_and_the_next_one_is_published(broker: Mosquitto) -> None:
    desk, book = Desk(broker), Book()

    def view(name: str) -> Any:
        if book.built == 0:
            book.built = 1
            raise KeyError(name)
        return book(name)

    login = {"username": "riskbot", "password": broker.users["riskbot"]}
    root = Root.model_validate(
        with_(
            instance="vps-1",
            mqtt={"port": broker.port, **login, "password": Secret(login["password"])},
        )
    )
    emit, rng = desk.events.append, random.Random(7)
    parts = MqttParts(root, view, Audit(), emit, emit, RUN, desk.clock, rng, after_bug_s=0.2)
    assert parts.link is not None
    task = asyncio.create_task(parts.run())
    async with listening(broker) as listener:
        await listener.until(lambda: listener.on(f"{BASE}/state"), "published after all")
        assert [e.is_up for e in desk.health()][:3] == [True, False, True]
        assert "KeyError" in desk.health()[1].detail
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.until(lambda: listener.on(f"{BASE}/online")[-1].payload == b"0", "leave")


async def test_retained_documents_after_a_restart_of_the_broker_are_the_newest(
    broker: Mosquitto,
) -> None:
    desk, book = Desk(broker), Book()
    made = Documents(desk.link, book, Audit(), RUN, desk.clock)
    async with desk.running(made.run):
        await desk.connected()
        async with listening(broker) as listener:
            await listener.until(lambda: listener.on(f"{BASE}/exposure"), "documents")
        await broker.kill()
        await until(lambda: not desk.link.connected.is_set(), 30)
        for state in ("REDUCING", "ACTIVE", "HALTED"):
            book.state = state
            made.notify(HALTED)
            await asyncio.sleep(0.05)
        await broker.start()
        assert await retained(broker, f"{BASE}/state") is None, "the broker has forgotten"
        async with listening(broker) as listener:
            await listener.until(lambda: listener.on(f"{BASE}/exposure"), "documents again")
            states = [m.document["trading_state"] for m in listener.on(f"{BASE}/state")]
            assert set(states) == {"HALTED"}, "what was in between is not told late"


async def test_ten_thousand_alerts_while_the_broker_is_away_leave_memory_flat(
    broker: Mosquitto,
) -> None:
    desk = Desk(broker)
    other = FakeChannel("other")
    emitted: list[events.Event] = []
    channel = MqttChannel(desk.link, "vps-1")
    delivery = Delivery([channel, other], emitted.append, desk.clock, random.Random(7))
    made = Documents(desk.link, Book(), Audit(), RUN, desk.clock)
    async with desk.running(made.run, delivery.run):
        await desk.connected()
        await broker.kill()
        await until(lambda: not desk.link.connected.is_set(), 30)
        tracemalloc.start()
        before = 0
        for number in range(10_000):
            if number == 2_000:
                before, _ = tracemalloc.get_traced_memory()
            level = Level.RED if number % 100 == 7 else Level.ORANGE
            delivery.send(send(alert(f"A{number}", level)))
            made.observe([HOLD])
            made.notify(HALTED)
            emitted.clear()
            if number % 50 == 0:
                await asyncio.sleep(0)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < 500_000, (before, after)
        await until(lambda: len(other.sent) >= QUEUE_MAX / 2, 60)
        await broker.start()
        async with listening(broker) as listener:
            await listener.until(
                lambda: len(listener.on(f"{BASE}/alerts")) >= QUEUE_MAX, "what was kept", 90
            )
            told = [message.document for message in listener.on(f"{BASE}/alerts")]
            reds = {f"A{number}" for number in range(10_000) if number % 100 == 7}
            assert reds <= {document["id"] for document in told}, "no red was given up"
