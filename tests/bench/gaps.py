"""How late a loop's timers come, sampled inside the process whose loop it is.

`python -m tests.bench.gaps run --config F` is `python -m riskbot run --config F` with the sampler
in its loop: SIGUSR1 begins a period anew, SIGUSR2 writes its lateness to $BENCH_GAPS. Called with
`idle SECONDS` it samples a loop that does nothing else, until its input ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.table import NotYetError, Row, bounded, quantile

EVERY_S = 0.005
GAP_MS = 10
"""The largest gap that is good (performance.md)."""

VARIABLE = "BENCH_GAPS"


class Sampler:
    """Sets a timer every few ms and notes how late each comes.

    Args:
        loop: that is sampled.
        path: where the lateness goes on SIGUSR2, as a JSON list of ms.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        self._loop = loop
        self._path = path
        self._late_ms: list[float] = []
        self._due = 0.0
        loop.call_soon(self._begin)

    def _begin(self) -> None:
        if sys.platform != "win32":
            self._loop.add_signal_handler(signal.SIGUSR1, self._late_ms.clear)
            self._loop.add_signal_handler(signal.SIGUSR2, self._write)
        self._set()

    def _set(self) -> None:
        self._due = self._loop.time() + EVERY_S
        self._loop.call_at(self._due, self._note)

    def _note(self) -> None:
        self._late_ms.append((self._loop.time() - self._due) * 1e3)
        self._set()

    def _write(self) -> None:
        self._path.with_suffix(".part").write_text(json.dumps(self._late_ms))
        self._path.with_suffix(".part").rename(self._path)


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        Sampler(loop, Path(os.environ[VARIABLE]))
        return loop


def _sample_any_loop() -> None:
    """Sample whichever loop the daemon makes, also one that is named rather than left to choose."""
    asyncio.set_event_loop_policy(_Policy())
    try:
        import uvloop
    except ImportError:
        return
    make = uvloop.new_event_loop

    def sampled(*args: Any, **kwargs: Any) -> asyncio.AbstractEventLoop:
        loop = make(*args, **kwargs)
        Sampler(loop, Path(os.environ[VARIABLE]))
        return loop

    uvloop.new_event_loop = sampled


def idle(seconds: float) -> list[float]:
    """Return the ms by which timers of an idle loop come late, until its input ends."""

    async def sample() -> list[float]:
        late = []
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(sys.stdin, ended.set)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not ended.is_set():
            due = asyncio.get_running_loop().time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late.append((asyncio.get_running_loop().time() - due) * 1e3)
        return late

    return asyncio.run(sample())


def summary(late_ms: Sequence[float]) -> str:
    """Say a sample in words."""
    return f"p99 {quantile(late_ms, 0.99):.1f} ms, worst {max(late_ms):.1f} ms"


def worst(what: str, late_ms: Sequence[float], idle_ms: Sequence[float]) -> Row:
    """Build the row of the worst gap; on a machine whose idle loop is as late, nothing is shown."""
    row = bounded(what, max(late_ms), GAP_MS, "ms", f"idle loop beside it: {summary(idle_ms)}")
    is_busy = max(idle_ms) > GAP_MS
    return dataclasses.replace(row, is_met=None) if is_busy and not row.is_met else row


@asynccontextmanager
async def beside() -> AsyncIterator[list[float]]:
    """Sample an idle loop in a process of its own for as long as the block lasts."""
    late: list[float] = []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.gaps", "idle", "600"),
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.PIPE,
    )
    try:
        yield late
    finally:
        out, _ = await process.communicate(b"")
        late += json.loads(out)


class Probe:
    """The sampler inside a daemon that was started as `tests.bench.gaps`, seen from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def env(self) -> dict[str, str]:
        """What the daemon must find in its environment."""
        return {VARIABLE: str(self.path)}

    def begin(self, pid: int) -> None:
        """Begin a period."""
        self._signal(pid, signal.SIGUSR1)

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            raise NotYetError("riskbot run ended while it was measured") from None

    async def end(self, pid: int) -> list[float]:
        """Return the ms by which timers came late since `begin`."""
        self._signal(pid, signal.SIGUSR2)
        async with asyncio.timeout(30):
            while not self.path.exists():
                await asyncio.sleep(0.05)
        found: list[float] = json.loads(self.path.read_text())
        self.path.unlink()
        return found


def main() -> int:
    """Run what the command line says."""
    if sys.argv[1] == "idle":
        print(json.dumps(idle(float(sys.argv[2]))))
        return 0
    _sample_any_loop()
    from riskbot.__main__ import main as riskbot

    return riskbot(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
