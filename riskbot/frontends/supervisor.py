"""A process beside the guard: started, fed its secrets, watched, restarted, stopped.

It may die, hang or be killed; the guard only notes it. What the process does is its own business.
"""

from __future__ import annotations

import asyncio
import random
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress

from riskbot import processes
from riskbot.clock import Clock
from riskbot.core import events
from riskbot.errors import RiskbotError

Emit = Callable[[events.Event], None]

EXIT_CONFIG = 78
"""Exit code of a process that would refuse again: not restarted."""

GRACE_S = 60.0
"""How long a process may take until it answers its first ping."""

PING_EVERY_S = 10.0
PING_TIMEOUT_S = 10.0
MISSES_MAX = 3
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
STEADY_S = 60.0
"""A process that lived so long starts its waits anew."""


class Supervisor:
    """Keeps one process running.

    Args:
        name: of the frontend, in events.
        module: run by this interpreter.
        secrets: returns what the process reads from its standard input first; one line. The input
            then stays open: its end tells the process that the guard is gone.
        ping: returns when the process answered, raises when it cannot be asked.
        emit: takes `FrontendChanged`.
        clock: for waits.
        rng: for jitter.
        grace_s, ping_every_s, ping_timeout_s: see above.
    """

    def __init__(
        self,
        name: str,
        module: str,
        secrets: Callable[[], bytes],
        ping: Callable[[], Awaitable[None]],
        emit: Emit,
        clock: Clock,
        rng: random.Random,
        *,
        grace_s: float = GRACE_S,
        ping_every_s: float = PING_EVERY_S,
        ping_timeout_s: float = PING_TIMEOUT_S,
    ) -> None:
        self._name = name
        self._command = processes.command(module)
        self._secrets = secrets
        self._ping = ping
        self._emit = emit
        self._clock = clock
        self._rng = rng
        self._grace_s = grace_s
        self._ping_every_s = ping_every_s
        self._ping_timeout_s = ping_timeout_s
        self._again = asyncio.Event()
        self.pid: int | None = None
        self.starts = 0

    @property
    def is_restarting(self) -> bool:
        """Whether the process is about to be ended and started."""
        return self._again.is_set()

    def first_line(self) -> bytes:
        """Return what the process is told at its start; it may hold secrets."""
        return self._secrets()

    def restart(self) -> None:
        """End the process and start it at once: what it is told at its start has changed."""
        self._again.set()

    async def run(self) -> None:
        """Run the process until cancelled, or until it says that it cannot run at all."""
        failures = 0
        while True:
            began_ms = self._clock.now_ms()
            self._again.clear()
            code, why = await self._once()
            if self._again.is_set():
                continue
            lived_s = (self._clock.now_ms() - began_ms) / 1000
            failures = 1 if lived_s >= STEADY_S else failures + 1
            if code == EXIT_CONFIG:
                self._changed("its configuration is refused: not started again")
                return
            wait_s = min(FIRST_WAIT_S * 2 ** min(failures - 1, 10), LONGEST_WAIT_S)
            wait_s *= self._rng.uniform(0.75, 1.25)
            self._changed(f"{why}; started again in {wait_s:.0f} s")
            await self._clock.sleep(wait_s)

    def _changed(self, detail: str) -> None:
        self._emit(events.FrontendChanged(name=self._name, is_up=False, detail=detail))

    async def _once(self) -> tuple[int | None, str]:
        """Run the process once; return its exit code and how it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, env=processes.environment(), start_new_session=True
            )
        except OSError as error:
            return None, f"cannot be started: {error.strerror}"
        self.pid, self.starts = process.pid, self.starts + 1
        try:
            await self._feed(process)
            hung = await self._watch(process)
        finally:
            await processes.stop(process)
            self.pid = None
        return process.returncode, hung or f"ended with {process.returncode}"

    async def _feed(self, process: Process) -> None:
        if process.stdin is None:
            return
        with suppress(ConnectionError):  # it died already, which is noticed next
            process.stdin.write(self.first_line() + b"\n")
            await process.stdin.drain()

    async def _watch(self, process: Process) -> str:
        """Return when the process ended (empty) or hangs (what it does)."""
        ended = asyncio.ensure_future(process.wait())
        watched = asyncio.ensure_future(self._until_hung())
        wanted = asyncio.ensure_future(self._again.wait())
        try:
            await asyncio.wait((ended, watched, wanted), return_when=asyncio.FIRST_COMPLETED)
            return watched.result() if watched.done() and not ended.done() else ""
        finally:
            for task in (ended, watched, wanted):
                task.cancel()

    async def _until_hung(self) -> str:
        loop = asyncio.get_running_loop()
        began, misses, has_answered = loop.time(), 0, False
        while True:
            await asyncio.sleep(self._ping_every_s)
            try:
                async with asyncio.timeout(self._ping_timeout_s):
                    await self._ping()
            except (TimeoutError, RiskbotError):
                misses += 1
            else:
                misses, has_answered = 0, True
            if has_answered and misses >= MISSES_MAX:
                return f"answered none of {misses} pings"
            if not has_answered and loop.time() - began > self._grace_s:
                return f"was not ready in {self._grace_s:.0f} s"
