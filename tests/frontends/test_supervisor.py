"""A supervised process: its secrets, its end, its hanging, and the real Telegram process in it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from riskbot.clock import SystemClock
from riskbot.core import events
from riskbot.errors import ChannelError
from riskbot.frontends.supervisor import Supervisor
from tests.alerts import alert
from tests.fakes import FakeClock, until
from tests.frontends.telegram.scene import ADMIN, Scene

SECRET = b'{"token": "hunter2"}'


class Stage:
    """Runs a module of the test's own under supervision."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.events: list[Any] = []

    def write(self, body: str) -> str:
        name = f"staged_{self.directory.name.replace('-', '_')}"
        (self.directory / f"{name}.py").write_text(f"out = {str(self.directory / 'out')!r}\n{body}")
        return name

    def read(self) -> str:
        file = self.directory / "out"
        return file.read_text() if file.exists() else ""

    @asynccontextmanager
    async def running(
        self, body: str, ping: Callable[[], Awaitable[None]], **pace: float
    ) -> AsyncIterator[Supervisor]:
        made = Supervisor(
            "telegram",
            self.write(body),
            lambda: SECRET,
            ping,
            self.events.append,
            self.clock,
            random.Random(1),
            **pace,
        )
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("EXCHANGE_API_SECRET", "hunter3")
    return Stage(tmp_path)


async def answers() -> None:
    """Answer a ping."""


async def never_connected() -> None:
    message = "not connected"
    raise ChannelError(message)


DUMP = """
import os, sys, time
line = sys.stdin.readline()
with open(out, "a") as f:
    f.write(repr((line, sys.argv, sorted(os.environ))) + "\\n")
"""
WAIT = "sys.stdin.read()\nopen(out, 'a').write('input ended')\n"


async def test_secrets_come_by_standard_input_alone(stage: Stage) -> None:
    async with stage.running(DUMP + WAIT, answers) as supervisor:
        await until(stage.read)
        pid = supervisor.pid
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert "hunter2" in stage.read()
    for place in (command, environment):
        assert b"hunter" not in place
    assert b"EXCHANGE_API_SECRET" not in environment
    assert "input ended" in stage.read()


async def test_process_that_ends_is_started_again_with_growing_waits(stage: Stage) -> None:
    async with stage.running(DUMP + "sys.exit(3)\n", answers) as supervisor:
        for starts in (1, 2, 3):
            await until(lambda starts=starts: len(stage.events) == starts)
            assert supervisor.starts == starts
            await stage.clock.advance(1_000 * starts if starts == 1 else 100)
            if starts == 1:
                await stage.clock.advance(500)
            else:
                await stage.clock.advance(5_000)
    told = stage.events[0]
    assert (told.name, told.is_up) == ("telegram", False)
    assert "ended with 3" in told.detail


async def test_process_is_started_anew_at_once_when_what_it_is_told_has_changed(
    stage: Stage,
) -> None:
    async with stage.running(DUMP + WAIT, answers) as supervisor:
        await until(stage.read)
        first = supervisor.pid
        supervisor.restart()
        await until(lambda: supervisor.pid not in {None, first})
        await until(lambda: stage.read().count("hunter2") == 2)
    assert stage.events == [], "nobody is told of a fault: it is none"


async def test_process_that_refuses_its_configuration_is_left_alone(stage: Stage) -> None:
    async with stage.running("import sys; sys.exit(78)\n", answers) as supervisor:
        await until(lambda: stage.events)
        await stage.clock.advance(3_600_000)
        assert supervisor.starts == 1
    assert "refused" in stage.events[0].detail


async def test_process_that_hangs_is_killed_and_started_again(stage: Stage) -> None:
    pings = 0

    async def stops_answering() -> None:
        nonlocal pings
        pings += 1
        if pings > 2:
            await asyncio.Event().wait()

    body = DUMP + "import signal\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(600)\n"
    pace = {"ping_every_s": 0.05, "ping_timeout_s": 0.05}
    async with stage.running(body, stops_answering, **pace) as supervisor:
        await until(lambda: stage.events, 40)
        assert "answered none" in stage.events[0].detail
        assert supervisor.pid is None


async def test_process_that_never_connects_is_started_again(stage: Stage) -> None:
    pace = {"ping_every_s": 0.05, "grace_s": 0.2}
    async with stage.running(DUMP + WAIT, never_connected, **pace):
        await until(lambda: stage.events, 20)
    assert "not ready" in stage.events[0].detail


async def test_stop_leaves_no_process(stage: Stage) -> None:
    async with stage.running(DUMP + WAIT, answers) as supervisor:
        await until(stage.read)
        pid = supervisor.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# ---------------------------------------------------------------- the real one


@asynccontextmanager
async def telegram(scene: Scene, **changes: Any) -> AsyncIterator[Supervisor]:
    """Run the real process under the real supervisor."""
    made = Supervisor(
        "telegram",
        "riskbot.frontends.telegram",
        scene.settings(**changes).to_line,
        scene.door.ping,
        scene.events.append,
        SystemClock(),
        random.Random(1),
    )
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    await made.server.start()
    door = asyncio.create_task(made.door.run())
    await made.door.is_listening.wait()
    yield made
    door.cancel()
    await asyncio.gather(door, return_exceptions=True)
    await made.server.stop()


async def test_real_process_answers_alerts_acts_and_survives_a_kill(scene: Scene) -> None:
    async with telegram(scene) as supervisor:
        await until(lambda: scene.server.called("getUpdates"), 60)
        assert "Equity" in (await scene.answer(ADMIN, "/status"))["text"]
        await scene.door.ping()
        await scene.door.send(alert("A1"), is_loud=True)
        prompt = await scene.answer(ADMIN, "/flatten")
        await scene.press(ADMIN, prompt, "Yes")
        await until(lambda: scene.desk.done)
        dead = await scene.answer(ADMIN, "/flatten")
        first = supervisor.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.starts == 2, 30)
        count = len(scene.server.called("getUpdates"))
        await until(lambda: len(scene.server.called("getUpdates")) > count, 60)
        answer = await scene.press(ADMIN, dead, "Yes")
        assert "before a restart" in answer["text"]
        assert len(scene.desk.done) == 1
        sent = scene.chat(ADMIN).texts
    assert sum("#A1" in text for text in sent) == 1
    downs = [e for e in scene.events if isinstance(e, events.FrontendChanged) and not e.is_up]
    assert any("ended with -9" in e.detail for e in downs)


async def test_real_process_ends_when_the_guard_is_gone(scene: Scene) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "riskbot.frontends.telegram", stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(scene.settings().to_line() + b"\n")
    await until(lambda: scene.door.is_connected, 60)
    process.stdin.close()
    async with asyncio.timeout(30):
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "line",
    [b"not json", b'{"users": {}, "groups": [], "token": "1:x"}'],
)
async def test_real_process_refuses_to_start_without_users(line: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "riskbot.frontends.telegram",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, complaint = await process.communicate(line + b"\n")
    assert process.returncode == 78
    assert b"Traceback" not in complaint


async def test_token_is_in_no_log(scene: Scene) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "riskbot.frontends.telegram",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    await scene.server.stop()
    process.stdin.write(scene.settings(log_level="DEBUG").to_line() + b"\n")
    await until(lambda: scene.door.is_connected, 60)
    await asyncio.sleep(1.5)
    process.stdin.close()
    log = (await process.stderr.read()).decode()
    await process.wait()
    assert "cannot poll" in log
    assert scene.server.token.partition(":")[2] not in log
