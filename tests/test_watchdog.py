"""Signs of life stop when work stops, and only then."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from riskbot.errors import FatalError
from riskbot.watchdog import GIVE_UP_S, Notifier, Watchdog
from tests.fakes import FakeClock, settle, until


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, address: str) -> None:
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.door.bind("\0" + address[1:] if address.startswith("@") else address)
        self.door.settimeout(0)

    def said(self) -> list[str]:
        """Return every line since the last time."""
        found: list[str] = []
        while True:
            try:
                found += self.door.recv(4096).decode().splitlines()
            except BlockingIOError:
                return found


@pytest.fixture(params=["file", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "abstract":
        return f"@riskbot-test-{os.getpid()}"
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    made = Manager(address)
    yield made
    made.door.close()


def notifier(address: str, seconds: int = 30) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(seconds * 1_000_000)})


async def started(watchdog: Watchdog) -> asyncio.Task[None]:
    task = asyncio.create_task(watchdog.run())
    await settle()
    return task


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_ready_and_stopping_are_told_with_a_status_line(address: str, manager: Manager) -> None:
    watchdog = Watchdog(FakeClock(), notifier(address), status=lambda: "spare\nis BLIND")
    watchdog.ready()
    assert manager.said() == ["READY=1", "STATUS=spare is BLIND"]
    watchdog.stopping()
    assert manager.said()[0] == "STOPPING=1"


def test_without_a_service_manager_nothing_is_said() -> None:
    Watchdog(FakeClock(), Notifier({})).ready()
    Watchdog(FakeClock(), Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"})).ready()


def test_watchdog_time_of_another_process_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_s == 30
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    ours = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier(ours).watchdog_s == 30


async def test_watchdog_is_fed_twice_within_its_time_while_work_goes_on(
    address: str, manager: Manager
) -> None:
    clock = FakeClock()
    watchdog = Watchdog(clock, notifier(address))
    watchdog.expect("risk loop", 5)
    task = await started(watchdog)
    said: list[str] = []
    for _ in range(60):
        watchdog.beat("risk loop")
        await clock.advance(1_000)
        said += manager.said()
    assert said.count("WATCHDOG=1") == 5
    await end(task)


async def test_watchdog_is_not_fed_when_a_step_is_overdue_and_again_once_it_is_done(
    address: str, manager: Manager
) -> None:
    clock = FakeClock()
    watchdog = Watchdog(clock, notifier(address))
    watchdog.expect("risk loop", 5)
    watchdog.expect("reconcile:main", 40)
    task = await started(watchdog)
    await clock.advance(6_000)
    manager.said()
    await clock.advance(30_000)
    said = manager.said()
    assert "WATCHDOG=1" not in said
    assert watchdog.overdue() == ["risk loop"]
    watchdog.beat("risk loop")
    watchdog.beat("reconcile:main")
    await clock.advance(1_000)
    assert "WATCHDOG=1" in manager.said()
    await end(task)


async def test_part_that_says_it_is_not_well_stops_the_feeding(
    address: str, manager: Manager
) -> None:
    clock = FakeClock()
    watchdog = Watchdog(clock, notifier(address))
    watchdog.check("executor", lambda: False)
    task = await started(watchdog)
    await clock.advance(20_000)
    said = manager.said()
    assert "WATCHDOG=1" not in said
    assert "STATUS=overdue: executor" in said
    await end(task)


async def test_step_that_nobody_expects_is_ignored() -> None:
    watchdog = Watchdog(FakeClock(), Notifier({}))
    watchdog.beat("unheard of")
    assert watchdog.overdue() == []


async def test_overdue_for_long_ends_the_process_where_nobody_else_does() -> None:
    clock = FakeClock()
    watchdog = Watchdog(clock, Notifier({}))
    watchdog.expect("risk loop", 5)
    task = await started(watchdog)
    await clock.advance(int(GIVE_UP_S * 1000) + 10_000)
    with pytest.raises(FatalError, match="risk loop"):
        await asyncio.wait_for(task, 5)


async def fail() -> None:
    raise KeyError("planted")


@pytest.mark.parametrize("outcome", ["returns", "raises", "is cancelled"])
async def test_critical_task_that_ends_ends_the_process_within_a_second(outcome: str) -> None:
    clock = FakeClock()
    watchdog = Watchdog(clock, Notifier({}))
    work = {"returns": asyncio.sleep(0), "raises": fail(), "is cancelled": asyncio.sleep(99)}
    victim = asyncio.create_task(work.pop(outcome))
    for unused in work.values():
        unused.close()
    watchdog.supervise("feed:main", victim)
    if outcome == "is cancelled":
        victim.cancel()
    task = await started(watchdog)
    await clock.advance(1_000)
    with pytest.raises(FatalError, match="feed:main ended"):
        await asyncio.wait_for(task, 5)


# ---------------------------------------------------------------- outside


class Outside:
    """A service that expects a heartbeat."""

    def __init__(self) -> None:
        self.beats = 0
        self.status = 200
        self.url = ""


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    made = Outside()

    async def take(_: web.Request) -> web.Response:
        made.beats += 1
        return web.Response(status=made.status)

    app = web.Application()
    app.router.add_get("/ping", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ping"
    yield made
    await runner.cleanup()


async def test_heartbeat_is_sent_each_minute_and_survives_refusals(outside: Outside) -> None:
    clock = FakeClock()
    outside.status = 500
    task = await started(Watchdog(clock, Notifier({}), heartbeat_url=outside.url))
    await until(lambda: outside.beats == 1)
    outside.status = 200

    async def next_beat(count: int) -> None:
        async with asyncio.timeout(10):
            while outside.beats < count:
                await clock.advance(10_000)
                await asyncio.sleep(0.01)

    await next_beat(2)
    await next_beat(3)
    assert not task.done()
    await end(task)


async def test_heartbeat_stops_when_work_stops() -> None:
    clock = FakeClock()
    beats: list[str] = []

    async def take(url: str) -> None:
        beats.append(url)

    watchdog = Watchdog(clock, Notifier({}), heartbeat_url="https://x/y", ping=take)
    watchdog.expect("risk loop", 5)
    task = await started(watchdog)
    await clock.advance(70_000)
    assert beats == ["https://x/y"]
    await end(task)


async def test_heartbeat_that_fails_never_shows_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()

    async def refuse(url: str) -> None:
        raise aiohttp.InvalidURL(url)

    url = "https://hc.example/very-secret"
    task = await started(Watchdog(clock, Notifier({}), heartbeat_url=url, ping=refuse))
    await clock.advance(130_000)
    await end(task)
    assert "heartbeat" in caplog.text
    assert "very-secret" not in caplog.text
