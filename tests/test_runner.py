"""The loop: durable before effect, urgent before routine, and what happens when things break."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.core import actions, events, model, ordering
from riskbot.core.duty import Alert, AlertStatus
from riskbot.errors import ConfigError, FatalError
from riskbot.journal import Journal
from riskbot.runner import Inbox, Runner, RunnerSettings, recover
from tests.fakes import START_MS, FakeClock, settle, until

Decide = Callable[[Any], list[actions.Action]]


class ScriptedEngine:
    """Decides what its script says; its state is the list of the kinds it was given."""

    def __init__(self, script: dict[type, Decide]) -> None:
        self.script = script
        self.seen: list[str] = []
        self.handled: list[events.Event] = []
        self.deadline_ms = START_MS + 3_600_000

    def handle(
        self, event: events.Event, now_ms: int, received_ns: int = 0
    ) -> list[actions.Action]:
        decided = self.script.get(type(event), lambda _: [])(event)
        self.handled.append(event)
        for record in (event, *decided):
            self.fold(record, now_ms)
        return decided

    def fold(self, record: events.Event | actions.Action, ts_ms: int) -> None:
        if not isinstance(record, events.PricesUpdated | events.TimerFired):
            self.seen.append(record.kind)

    def next_deadline_ms(self, now_ms: int) -> int:
        return max(self.deadline_ms, now_ms + 1)

    def dump(self) -> dict[str, Any]:
        return {"seen": list(self.seen)}

    def load(self, data: dict[str, Any]) -> None:
        self.seen = list(data["seen"])


class World:
    """A runner on a real journal, with an engine that does as it is told."""

    def __init__(self, journal: Journal, clock: FakeClock, **options: Any) -> None:
        self.journal, self.clock = journal, clock
        self.script: dict[type, Decide] = {}
        self.engines: list[ScriptedEngine] = []
        self.told: list[str] = []
        self.beats = 0
        self.effects: list[actions.Effect] = []
        self.seen_at_dispatch: list[int] = []
        self.runner: Runner[ScriptedEngine, dict[str, Any]] = Runner(
            journal,
            self.make_engine,
            clock,
            lambda engine, now_ms: {"seen": len(engine.seen), "now_ms": now_ms},
            tell=self.told.append,
            beat=self.beat,
            **options,
        )
        for kind in EFFECTS:
            self.runner.route(kind, self.effects.append)
        self.task: asyncio.Task[None] | None = None

    def make_engine(self) -> ScriptedEngine:
        self.engines.append(ScriptedEngine(self.script))
        return self.engines[-1]

    def beat(self) -> None:
        self.beats += 1

    @property
    def engine(self) -> ScriptedEngine:
        return self.runner.engine

    async def start(self) -> None:
        await self.runner.recover()
        self.task = asyncio.create_task(self.runner.run())

    async def end(self) -> None:
        if self.task and not self.task.done():
            self.runner.stop()
            await asyncio.wait({self.task}, timeout=5)
            self.task.cancel()
        await asyncio.gather(*filter(None, [self.task]), return_exceptions=True)
        await self.journal.close()


EFFECTS = (
    actions.PlaceOrder,
    actions.CancelOrder,
    actions.QueryOrder,
    actions.RefreshAccount,
    actions.SendAlert,
    actions.NotifyStrategies,
    actions.NotifyOrder,
    actions.RemoveHaltFile,
    actions.SetDeadMan,
    actions.ReadDepth,
    actions.ReadHistory,
    actions.AnalyzeRisk,
    actions.AddMargin,
    actions.ApplyConfig,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    journal = await Journal.open(tmp_path / "journal.db", START_MS)
    made = World(journal, FakeClock())
    yield made
    await made.end()


def place(*, is_protective: bool = True) -> actions.PlaceOrder:
    return actions.PlaceOrder(
        account="main",
        symbol="BTC/USDT:USDT",
        client_order_id="rb1",
        side=model.Side.SELL,
        quantity=Decimal(1),
        is_protective=is_protective,
    )


def price(symbol: str = "BTC", **values: float | None) -> events.PricesUpdated:
    return events.PricesUpdated(account="main", symbol=symbol, **values)  # type: ignore[arg-type]


def command(request_id: str = "1", name: str = "halt") -> events.CommandReceived:
    actor = model.Actor("ctl", model.Role.ADMIN, "ctl")
    return events.CommandReceived(request_id=request_id, name=name, actor=actor)


def reply(request_id: str = "1", **values: Any) -> actions.SendReply:
    return actions.SendReply(request_id=request_id, ok=True, message="done", **values)


def alert() -> actions.SendAlert:
    return actions.SendAlert(
        alert=Alert(
            alert_id="A1",
            revision=1,
            level=model.Level.RED,
            status=AlertStatus.FIRING,
            name="drawdown",
            scope="portfolio",
            title="drawdown",
            text="",
            since_ms=START_MS,
            updated_ms=START_MS,
        )
    )


def boom(_: Any) -> list[actions.Action]:
    raise KeyError("planted")


# ---------------------------------------------------------------- journal before effect


async def test_effect_when_it_is_dispatched_is_already_durable(world: World) -> None:
    durable: list[int] = []

    def take(effect: actions.PlaceOrder) -> None:
        durable.append(len(list(raw_kinds(world.journal.path))))

    world.runner.route(actions.PlaceOrder, take)
    world.script[events.Stopping] = lambda _: [place()]
    await world.start()
    world.runner.submit(events.Stopping())
    await until(lambda: durable)
    assert durable == [2]


def raw_kinds(path: Path) -> Iterator[str]:
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield from (row[0] for row in connection.execute("SELECT kind FROM records ORDER BY seq"))


async def test_effects_go_in_the_order_they_were_decided(world: World) -> None:
    world.script[events.FrontendChanged] = lambda e: [
        actions.QueryOrder(account="main", symbol="", client_order_id=e.name)
    ]
    await world.start()
    for n in range(200):
        world.runner.submit(events.FrontendChanged(name=str(n), is_up=True))
    await until(lambda: len(world.effects) == 200)
    sent: list[Any] = world.effects  # type: ignore[assignment]
    assert [effect.client_order_id for effect in sent] == [str(n) for n in range(200)]


async def test_observers_see_what_was_decided_after_its_effects_are_on_their_way(
    world: World,
) -> None:
    world.script[events.FrontendChanged] = lambda _: [place()]
    seen: list[tuple[int, list[actions.Action]]] = []
    world.runner.observe(lambda decided: seen.append((len(world.effects), decided)))
    await world.start()
    world.runner.submit(events.FrontendChanged(name="x", is_up=True))
    await until(lambda: any(actions.PlaceOrder in map(type, decided) for _, decided in seen))
    assert seen[-1] == (1, [place()])


async def test_fact_without_actions_is_kept_but_a_price_only_once(world: World) -> None:
    await world.start()
    for mark in range(10):
        world.runner.submit(price(mark=mark))
    world.runner.submit(events.FeedLost(account="main", feed="prices", reason="gone"))
    await until(lambda: len(world.engine.handled) >= 12)
    await world.journal.flush()
    kinds = list(raw_kinds(world.journal.path))
    assert sorted(kinds) == ["FeedLost", "PricesUpdated"]


async def test_price_that_leads_to_an_action_is_kept_with_it(world: World) -> None:
    world.script[events.PricesUpdated] = lambda e: [place()] if e.mark == 7 else []
    await world.start()
    for mark in range(10):
        world.runner.submit(price(mark=mark))
    await until(lambda: world.effects)
    rows = [row.record async for row in world.journal.read()]
    assert [r.mark for r in rows if isinstance(r, events.PricesUpdated)][:2] == [0, 7]


async def test_missing_route_is_named(world: World) -> None:
    assert world.runner.missing_routes() == []
    world.runner._dispatcher.routes.pop(actions.SetDeadMan)  # noqa: SLF001
    assert world.runner.missing_routes() == ["SetDeadMan"]


async def test_taker_that_breaks_does_not_stop_the_others_and_the_order_is_looked_up(
    world: World,
) -> None:
    def refuse(_: Any) -> None:
        raise OSError("no")

    world.runner.route(actions.PlaceOrder, refuse)
    world.script[events.Stopping] = lambda _: [place(), alert()]
    await world.start()
    world.runner.submit(events.Stopping())
    await until(lambda: world.effects)
    assert world.effects == [alert()]
    await until(lambda: "OrderOutcomeUnknown" in world.engine.seen)


# ---------------------------------------------------------------- time


async def test_timer_fires_at_the_engines_deadline(world: World) -> None:
    await world.start()
    await settle()
    fired = len(world.engine.handled)
    world.engine.deadline_ms = START_MS + 5_000
    world.runner.submit(events.FeedAlive(account="main", feed="account"))
    await world.clock.advance(4_999)
    assert [e for e in world.engine.handled[fired:] if isinstance(e, events.TimerFired)] == []
    world.engine.deadline_ms = START_MS + 9_000
    await world.clock.advance(1)
    await until(lambda: isinstance(world.engine.handled[-1], events.TimerFired))


async def test_timer_fires_although_events_never_cease(world: World) -> None:
    await world.start()
    await settle()
    world.engine.deadline_ms = START_MS + 10

    def again(event: events.PricesUpdated) -> list[actions.Action]:
        world.runner.submit(event)
        return []

    world.script[events.PricesUpdated] = again
    world.runner.submit(price(mark=1))
    await settle()
    world.clock.jump(20)
    await until(lambda: world.engine.handled.count(events.TimerFired()) >= 2)
    world.script.clear()


async def test_every_pass_of_the_loop_is_a_sign_of_progress(world: World) -> None:
    await world.start()
    await settle()
    before = world.beats
    world.runner.submit(events.Stopping())
    await until(lambda: world.beats > before)


# ---------------------------------------------------------------- lanes


def test_urgent_goes_first_and_routine_is_not_starved() -> None:
    inbox = Inbox()
    for n in range(100):
        inbox.put(price(mark=n), n)
        inbox.put(events.FrontendChanged(name=str(n), is_up=True), n)
    order = [taken.event.kind for taken in iter(inbox.take, None)]
    assert order[:32] == ["FrontendChanged"] * 32
    assert order[32] == "PricesUpdated"
    assert len(order) == 200


def test_prices_when_the_lane_is_full_keep_the_newest_of_each_instrument() -> None:
    inbox = Inbox(routine_max=2)
    inbox.put(price("A", mark=1.0), 1)
    inbox.put(price("A", mark=2.0), 2)
    for n in range(3, 50):
        inbox.put(price("A", mark=n), n)
        inbox.put(price("B", bid=float(n)), n)
    inbox.put(price("B", mark=1.0, index=2.0), 99)
    taken = list(iter(inbox.take, None))
    assert [(t.event.symbol, t.event.mark) for t in taken] == [  # type: ignore[union-attr]
        ("A", 1.0),
        ("A", 2.0),
        ("A", 49),
        ("B", 1.0),
    ]
    assert taken[-1].event == price("B", mark=1.0, index=2.0, bid=49.0)
    assert taken[-1].received_ns == 99
    assert inbox.conflated == 93
    assert len(inbox) == 0


def test_account_frames_beyond_the_bound_become_one_gap() -> None:
    inbox = Inbox(urgent_max=10)
    frame = events.PositionsUpdated(account="main", positions=())
    for _ in range(50):
        assert inbox.put(frame, 1)
    outcome = events.OrderOutcomeUnknown(account="main", symbol="", client_order_id="1")
    assert inbox.put(outcome, 1)
    taken = [t.event for t in iter(inbox.take, None)]
    assert len(taken) == 12
    assert isinstance(taken[10], events.FeedLost)
    assert taken[11] == outcome
    assert inbox.dropped == 40


def test_command_beyond_the_bound_is_not_taken() -> None:
    inbox = Inbox(urgent_max=1)
    assert inbox.put(events.Stopping(), 1)
    assert not inbox.put(command(), 1)


# ---------------------------------------------------------------- commands and views


async def replies(world: World, event: events.CommandReceived) -> list[actions.SendReply]:
    async with asyncio.timeout(10):
        return [answer async for answer in world.runner.command(event)]


async def test_command_gets_its_replies_up_to_the_final_one(world: World) -> None:
    world.script[events.CommandReceived] = lambda e: [
        reply(e.request_id, is_final=False),
        reply("someone else"),
        reply(e.request_id),
    ]
    await world.start()
    assert [r.is_final for r in await replies(world, command())] == [False, True]


async def test_command_with_an_id_in_use_is_refused(world: World) -> None:
    await world.start()
    first = asyncio.create_task(replies(world, command()))
    await settle()
    (second,) = await replies(world, command())
    assert not second.ok
    assert "under way" in second.message
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.script[events.CommandReceived] = lambda e: [reply(e.request_id)]
    assert (await replies(world, command()))[0].ok


async def test_command_when_overloaded_is_refused(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal.db", START_MS)
    world = World(journal, FakeClock(), inbox=Inbox(urgent_max=1))
    await world.runner.recover()
    world.runner.submit(events.Stopping())
    (answer,) = await replies(world, command())
    assert not answer.ok
    assert "overloaded" in answer.message
    await world.end()


ORDER = ordering.OrderRequest(
    strategy="grid",
    account="main",
    symbol="BTC/USDT:USDT",
    side=model.Side.BUY,
    quantity=Decimal(1),
)
ASKED = [
    events.OrderRequested(request_id="o1", order=ORDER),
    events.AmendRequested(request_id="o1", strategy="grid", client_order_id="a"),
    events.CancelRequested(request_id="o1", strategy="grid", client_order_id="a"),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda event: event.kind)
async def test_strategy_is_answered_by_the_engine_a_bug_and_overload_alike(
    tmp_path: Path, asked: Any
) -> None:
    journal = await Journal.open(tmp_path / "journal.db", START_MS)
    world = World(journal, FakeClock(), inbox=Inbox(urgent_max=1))
    await world.runner.recover()
    world.runner.submit(events.Stopping())
    (overloaded,) = await replies(world, asked)
    world.script[type(asked)] = lambda e: [reply(e.request_id)]
    await world.start()
    await settle()
    (answered,) = await replies(world, asked)
    assert answered.ok
    world.script[type(asked)] = broken
    (bug,) = await replies(world, asked)
    for refused, word, status in ((overloaded, "overloaded", 503), (bug, "bug", 500)):
        assert not refused.ok
        assert refused.document == {"status": status}
        assert word in refused.message
    await world.end()


def broken(event: Any) -> list[actions.Action]:
    message = f"planted for {event.kind}"
    raise ValueError(message)


async def test_view_is_built_anew_after_a_decision_or_when_it_is_old(world: World) -> None:
    world.script[events.Stopping] = lambda _: [place()]
    await world.start()
    await settle()
    first = world.runner.latest_view()
    assert world.runner.latest_view() is first
    world.clock.jump(250)
    second = world.runner.latest_view()
    assert second is not first
    world.runner.submit(events.Stopping())
    await until(lambda: world.effects)
    assert world.runner.latest_view()["seen"] == 2


async def test_subscriber_sees_a_view_now_and_after_each_change(world: World) -> None:
    await world.start()
    await settle()
    seen: list[dict[str, Any]] = []

    async def follow() -> None:
        async for view in world.runner.subscribe():
            seen.append(view)  # noqa: PERF401 - read while it grows

    follower = asyncio.create_task(follow())
    await settle()
    assert len(seen) == 1
    await world.clock.advance(1_000)
    count = len(seen)
    world.runner.submit(events.Stopping())
    await settle()
    await world.clock.advance(250)
    assert len(seen) == count + 1
    assert seen[-1]["seen"] == 1
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)


# ---------------------------------------------------------------- recovery


async def test_recovery_folds_checkpoint_and_tail_and_decides_nothing(world: World) -> None:
    await world.journal.append(events.Stopping(), [alert()], START_MS)
    await world.journal.save_checkpoint({"seen": ["from", "checkpoint"]}, 2, START_MS)
    await world.journal.append(events.Stopping(), [place()], START_MS)
    world.script[events.Stopping] = boom
    engine = await recover(world.journal, world.make_engine)
    assert engine.seen == ["from", "checkpoint", "Stopping", "PlaceOrder"]


async def test_recovery_when_a_checkpoint_cannot_be_loaded_takes_the_one_before(
    world: World,
) -> None:
    await world.journal.append(events.Stopping(), [], START_MS)
    await world.journal.save_checkpoint({"seen": ["good"]}, 1, START_MS)
    await world.journal.append(events.Stopping(), [alert()], START_MS)
    await world.journal.save_checkpoint({"other": []}, 3, START_MS)
    engine = await recover(world.journal, world.make_engine)
    assert engine.seen == ["good", "Stopping", "SendAlert"]


async def test_recovery_when_no_checkpoint_can_be_loaded_folds_all(world: World) -> None:
    await world.journal.append(events.Stopping(), [alert()], START_MS)
    await world.journal.save_checkpoint({"other": []}, 2, START_MS)
    engine = await recover(world.journal, world.make_engine)
    assert engine.seen == ["Stopping", "SendAlert"]


async def test_recovery_when_a_record_breaks_the_fold_names_it(world: World) -> None:
    await world.journal.append(events.Stopping(), [], START_MS)

    class Broken(ScriptedEngine):
        def fold(self, record: events.Event | actions.Action, ts_ms: int) -> None:
            raise KeyError("planted")

    with pytest.raises(FatalError, match=r"record 1 \(Stopping\)"):
        await recover(world.journal, lambda: Broken({}))


async def test_recovery_when_a_newer_riskbot_wrote_a_record_is_a_matter_of_configuration(
    world: World,
) -> None:
    await world.journal.append(events.Stopping(), [], START_MS)
    world.journal.path.touch()
    import sqlite3

    with contextlib.closing(sqlite3.connect(world.journal.path)) as connection, connection:
        connection.execute("UPDATE records SET version=9")
    with pytest.raises(ConfigError, match="run the riskbot that wrote it"):
        await recover(world.journal, world.make_engine)


async def test_stop_handles_what_waits_and_leaves_a_checkpoint(world: World) -> None:
    world.script[events.FrontendChanged] = lambda _: [place()]
    await world.start()
    for _ in range(10):
        world.runner.submit(events.FrontendChanged(name="x", is_up=True))
    world.runner.stop()
    assert world.task
    await asyncio.wait_for(world.task, 10)
    assert len(world.effects) == 10
    found = await world.journal.load_checkpoint()
    assert found is not None
    assert found.seq == world.journal.last_seq == 20
    assert found.state == {"seen": ["FrontendChanged", "PlaceOrder"] * 10}


async def test_checkpoint_is_written_after_so_many_records(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal.db", START_MS)
    world = World(journal, FakeClock(), settings=RunnerSettings(checkpoint_records=10))
    await world.start()
    for n in range(12):
        world.runner.submit(events.FrontendChanged(name=str(n), is_up=True))
    await settle()
    await world.clock.advance(60_000)
    await until(lambda: list_checkpoints(journal.path))
    assert list_checkpoints(journal.path) == [12]
    await world.end()


def list_checkpoints(path: Path) -> list[int]:
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT seq FROM checkpoint")]


async def test_upkeep_leaves_a_copy(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal.db", START_MS)
    world = World(journal, FakeClock(), settings=RunnerSettings(upkeep_ms=60_000))
    await world.start()
    await settle()
    await world.clock.advance(60_000)
    await until((tmp_path / "journal.backup").exists)
    await world.end()


# ---------------------------------------------------------------- a bug in the engine


async def test_event_that_breaks_the_engine_is_set_aside_and_guarding_goes_on(
    world: World,
) -> None:
    world.script[events.Stopping] = lambda _: [alert()]
    world.script[events.OrderOutcomeUnknown] = boom
    await world.start()
    world.runner.submit(events.Stopping())
    world.runner.submit(
        events.OrderOutcomeUnknown(account="main", symbol="", client_order_id="poison")
    )
    world.runner.submit(events.FrontendChanged(name="x", is_up=True))
    await until(lambda: "FrontendChanged" in world.engine.seen)
    assert world.engine.seen == ["Stopping", "SendAlert", "EngineFaulted", "FrontendChanged"]
    assert len(world.engines) == 2
    ((_, kind, body, error),) = await world.journal.quarantined()
    assert kind == "OrderOutcomeUnknown"
    assert "poison" in body
    assert "KeyError: 'planted'" in error
    assert "OrderOutcomeUnknown" in world.told[0]
    assert world.effects == [alert()]


async def test_decision_that_cannot_be_written_is_a_fault_and_has_no_effect(world: World) -> None:
    nan = actions.PlaceOrder(
        account="main",
        symbol="",
        client_order_id="rb1",
        side=model.Side.BUY,
        quantity=Decimal("NaN"),
    )
    world.script[events.Stopping] = lambda _: [nan]
    await world.start()
    world.runner.submit(events.Stopping())
    await until(lambda: "EngineFaulted" in world.engine.seen)
    assert world.engine.seen == ["EngineFaulted"]
    assert world.effects == []


async def test_command_that_breaks_the_engine_is_answered(world: World) -> None:
    world.script[events.CommandReceived] = boom
    await world.start()
    (answer,) = await replies(world, command())
    assert not answer.ok
    assert "bug" in answer.message


async def test_third_fault_in_ten_minutes_ends_the_process(world: World) -> None:
    world.script[events.Stopping] = boom
    await world.start()
    for _ in range(3):
        world.runner.submit(events.Stopping())
    assert world.task
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(world.task, 10)
    assert caught.group_contains(FatalError)


async def test_faults_far_apart_are_survived(world: World) -> None:
    world.script[events.Stopping] = boom
    await world.start()
    for n in range(4):
        world.runner.submit(events.Stopping())
        await until(lambda n=n: len(world.engines) == n + 2)
        world.clock.jump(300_000)
    assert world.task
    assert not world.task.done()
