"""The runner on a disk that takes nothing for a while, or gives back something else."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from riskbot.core import actions, events, model
from riskbot.core.duty import Hold
from riskbot.errors import ConfigError
from riskbot.journal import Journal
from riskbot.runner import recover
from tests.builders import margin_move
from tests.fakes import START_MS, FakeClock, settle, until
from tests.test_runner import World, alert, boom, command, place, replies, reply


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    journal = await Journal.open(tmp_path / "journal.db", START_MS)
    made = World(journal, FakeClock())
    yield made
    await made.end()


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_storage_fails_protective_effects_go_on_and_the_rest_is_dropped(
    world: World,
) -> None:
    hold = Hold("operator", "portfolio", model.TradingState.HALTED, START_MS, "asked")
    kept = [
        place(),
        actions.CancelOrder(account="main", symbol="", order_id="1"),
        actions.QueryOrder(account="main", symbol="", client_order_id="1"),
        actions.RefreshAccount(account="main", request_id=1, reason="x"),
        alert(),
        actions.NotifyStrategies(
            scope="portfolio", trading_state=model.TradingState.HALTED, reason=""
        ),
    ]
    dropped = [
        place(is_protective=False),
        actions.RemoveHaltFile(),
        actions.NotifyStrategies(
            scope="portfolio", trading_state=model.TradingState.ACTIVE, reason=""
        ),
        actions.SetDeadMan(account="main", timeout_ms=0),
        margin_move(),
    ]
    world.script[events.CommandReceived] = lambda e: [
        actions.PlaceHold(hold=hold),
        *kept,
        *dropped,
        reply(e.request_id),
    ]
    await world.start()
    with full_disk():
        (answer,) = await replies(world, command())
        await until(lambda: "StorageFailed" in world.engine.seen)
    assert "not recorded" in answer.message
    assert [e for e in world.effects if e in kept] == kept
    assert not [e for e in world.effects if e in dropped]
    await until(lambda: {"OrderRejected", "MarginMoved"} <= set(world.engine.seen))


async def test_storage_returns_what_was_decided_meanwhile_is_written(world: World) -> None:
    world.script[events.FrontendChanged] = lambda _: [place()]
    await world.start()
    with full_disk():
        world.runner.submit(events.FrontendChanged(name="x", is_up=True))
        await until(lambda: "StorageFailed" in world.engine.seen)
        await world.clock.advance(6_000)
        assert "StorageRestored" not in world.engine.seen
    await settle()
    for _ in range(20):
        await world.clock.advance(5_000)
        await asyncio.sleep(0.01)
        if "StorageRestored" in world.engine.seen:
            break
    await until(lambda: "StorageRestored" in world.engine.seen)
    await world.journal.flush()
    engine = await recover(world.journal, world.make_engine)
    assert engine.seen == world.runner.engine.seen


async def test_engine_breaks_while_storage_fails_nothing_decided_is_forgotten(
    world: World,
) -> None:
    world.script[events.FrontendChanged] = lambda _: [place()]
    world.script[events.Stopping] = boom
    await world.start()
    with full_disk():
        world.runner.submit(events.FrontendChanged(name="x", is_up=True))
        await until(lambda: world.effects)
        world.runner.submit(events.Stopping())
        await until(lambda: "EngineFaulted" in world.engine.seen)
        assert world.engine.seen.count("PlaceOrder") == 1


async def test_engine_breaks_while_storage_fails_what_led_to_nothing_counts_too(
    world: World,
) -> None:
    world.script[events.CommandReceived] = lambda e: [place(), reply(e.request_id)]
    world.script[events.Stopping] = boom
    await world.start()
    with full_disk():
        await replies(world, command())
        await until(lambda: "StorageFailed" in world.engine.seen)
        world.runner.submit(events.FrontendChanged(name="x", is_up=True))
        await settle()
        live = list(world.engine.seen)
        world.runner.submit(events.Stopping())
        await until(lambda: "EngineFaulted" in world.engine.seen)
        assert world.engine.seen[: len(live)] == live


async def test_storage_fails_for_so_long_that_rows_are_lost_the_state_is_not(
    world: World,
) -> None:
    world.script[events.CommandReceived] = lambda e: [place(), reply(e.request_id)]
    await world.start()
    with full_disk():
        # Given a decision of the first hour, of which the disk took nothing,
        await replies(world, command())
        await until(lambda: "StorageFailed" in world.engine.seen)
        # and more after it than is kept in memory.
        for part in range(1, 7):
            for _ in range(2_000):
                world.runner.submit(events.FrontendChanged(name="x", is_up=True))
            await until(lambda: world.engine.seen.count("FrontendChanged") == part * 2_000)  # noqa: B023
        await world.clock.advance(5_000)
        assert world.journal.lost_rows
    # When the disk takes writes again, and the process dies in that moment,
    await world.clock.advance(5_000)
    await until(lambda: "StorageRestored" in world.engine.seen)
    world.task.cancel() if world.task else None
    await world.journal.flush()
    # then the next one knows of it.
    engine = await recover(world.journal, world.make_engine)
    assert engine.seen == world.engine.seen
    assert engine.seen.count("PlaceOrder") == 1


async def test_damage_deep_in_a_large_journal_is_told_as_such_at_the_start(tmp_path: Path) -> None:
    # Given a journal too large to be checked whole at the start, a page in its middle overwritten.
    path = tmp_path / "journal.db"
    journal = await Journal.open(path, START_MS)
    for _ in range(3):
        for _ in range(4_000):
            journal.note(events.FrontendChanged(name="x" * 1_500, is_up=True), START_MS)
        await journal.flush()
    await journal.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00damage" * 4_000)
    # When riskbot starts, it ends with the sentence and code of what a person must mend.
    made = World(await Journal.open(path, START_MS), FakeClock())
    try:
        with pytest.raises(ConfigError, match="is damaged"):
            await made.runner.recover()
    finally:
        await made.journal.close()
