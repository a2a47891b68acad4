"""Signs of life for systemd and for the world outside, fed only by work that was done.

A step that is overdue stops the signs; a task that ended ends the process. A dead venue does
neither: an attempt that timed out is a completed step.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from riskbot.clock import Clock
from riskbot.errors import FatalError

_log = logging.getLogger(__name__)

LOOK_S = 0.5
"""A dead task is seen within this time."""

HEARTBEAT_S = 60.0
HEARTBEAT_TIMEOUT_S = 10.0
STATUS_S = 5.0
GIVE_UP_S = 90.0
"""Overdue for so long, the process ends by itself, for where no systemd does it."""


@dataclass(slots=True)
class _Step:
    """A piece of work that must be done again and again."""

    within_ms: int
    done_ms: int


class Notifier:
    """Speaks sd_notify; silent without `$NOTIFY_SOCKET`."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
        is_ours = not pid or pid == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and is_ours else None

    def send(self, **fields: str | int) -> None:
        """Send fields, e.g. `READY=1`; a service manager that does not listen is no error."""
        if not self._address:
            return
        text = "\n".join(f"{name}={_one_line(value)}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
                door.settimeout(0)
                door.sendto(text.encode(), self._address)
        except OSError as error:
            _log.warning("the service manager could not be told: %s", error)


def _one_line(value: str | int) -> str:
    return " ".join(str(value).split())


class Watchdog:
    """Watches the critical tasks and tells of it.

    Args:
        clock: time.
        notifier: to systemd.
        status: one line for `systemctl status`.
        heartbeat_url: fetched every minute while all is well; it is a secret.
        ping: fetches a URL; another one in tests.
    """

    def __init__(
        self,
        clock: Clock,
        notifier: Notifier,
        *,
        status: Callable[[], str] = lambda: "",
        heartbeat_url: str | None = None,
        ping: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._clock, self._notifier, self._status = clock, notifier, status
        self._url, self._ping = heartbeat_url, ping or _get
        self._steps: dict[str, _Step] = {}
        self._checks: dict[str, Callable[[], bool]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # ------------------------------------------------------------ what is watched

    def expect(self, step: str, within_s: float) -> None:
        """Expect a step to be done again and again, never more than `within_s` apart."""
        self._steps[step] = _Step(int(within_s * 1000), self._clock.now_ms())

    def beat(self, step: str) -> None:
        """Note that a step was done; steps that nobody expects are ignored."""
        if (known := self._steps.get(step)) is not None:
            known.done_ms = self._clock.now_ms()

    def check(self, name: str, is_well: Callable[[], bool]) -> None:
        """Ask a part at every look whether it is well."""
        self._checks[name] = is_well

    def supervise(self, name: str, task: asyncio.Task[None]) -> None:
        """End the process when this task ends, whatever the reason."""
        self._tasks[name] = task

    def overdue(self) -> list[str]:
        """Return what has not been done in time, and what says it is not well."""
        now_ms = self._clock.now_ms()
        late = [n for n, s in self._steps.items() if now_ms - s.done_ms > s.within_ms]
        return late + [name for name, is_well in self._checks.items() if not is_well()]

    # ------------------------------------------------------------ what is told

    def ready(self) -> None:
        """Tell systemd that riskbot guards: journal folded, doors open."""
        self._notifier.send(READY=1, STATUS=self._status())

    def stopping(self) -> None:
        """Tell systemd that riskbot stops."""
        self._notifier.send(STOPPING=1, STATUS="stopping: protection ends")

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            FatalError: a supervised task ended, or something was overdue for too long.
        """
        heart = asyncio.create_task(self._beat_outside(), name="heartbeat") if self._url else None
        try:
            await self._watch()
        finally:
            if heart:
                heart.cancel()

    async def _watch(self) -> None:
        every_ms = int((self._notifier.watchdog_s or STATUS_S * 2) / 2 * 1000)
        told_ms = status_ms = 0
        late_since_ms: int | None = None
        while True:
            self._look_for_the_dead()
            now_ms = self._clock.now_ms()
            if late := self.overdue():
                if late_since_ms is None:
                    late_since_ms = now_ms
                    _log.critical("overdue: %s; the watchdog is not fed", ", ".join(late))
                    self._notifier.send(STATUS=f"overdue: {', '.join(late)}")
                if now_ms - late_since_ms >= GIVE_UP_S * 1000:
                    message = f"overdue for {GIVE_UP_S:g} s: {', '.join(late)}"
                    raise FatalError(message)
            else:
                late_since_ms = None
                if now_ms - told_ms >= every_ms:
                    told_ms = now_ms
                    self._notifier.send(WATCHDOG=1)
                if now_ms - status_ms >= STATUS_S * 1000:
                    status_ms = now_ms
                    self._notifier.send(STATUS=self._status())
            await self._clock.sleep(LOOK_S)

    def _look_for_the_dead(self) -> None:
        for name, task in self._tasks.items():
            if task.done():
                error = None if task.cancelled() else task.exception()
                message = f"{name} ended" + (f": {error!r}" if error else "")
                raise FatalError(message) from error

    async def _beat_outside(self) -> None:
        """Let a service outside notice when these stop: it alarms by ways that are not ours."""
        was_failing = False
        while True:
            if not self.overdue():
                try:
                    async with asyncio.timeout(HEARTBEAT_TIMEOUT_S):
                        await self._ping(str(self._url))
                    was_failing = False
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    # Its text holds the URL, which is a secret.
                    if not was_failing:
                        _log.warning("the heartbeat was not taken: %s", type(error).__name__)
                    was_failing = True
            await self._clock.sleep(HEARTBEAT_S)


async def _get(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        answer.raise_for_status()
