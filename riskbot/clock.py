"""The only reader of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Time as the shell sees it; tests hand in one that they move."""

    def now_ms(self) -> int:
        """Return UTC epoch in ms; never goes back."""
        ...

    def monotonic_ns(self) -> int:
        """Return a monotonic stamp in ns, for latencies."""
        ...

    async def sleep_until(self, deadline_ms: int) -> None:
        """Return once `now_ms()` >= deadline."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


def _elapsed_ns() -> int:
    # Time spent in suspend counts where the system tells it: what was seen before is that old.
    since_boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if since_boot is None else time.clock_gettime_ns(since_boot)


class SystemClock:
    """UTC at start plus the time passed since: a stepped wall clock moves nothing here.

    Args:
        wall_ns: UTC epoch in ns, read once.
        elapsed_ns: ns since a fixed moment, suspends included.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_ns: Callable[[], int] = _elapsed_ns,
    ) -> None:
        self._elapsed_ns = elapsed_ns
        self._origin_ns = wall_ns() - elapsed_ns()

    def now_ms(self) -> int:
        """Return UTC epoch in ms; never goes back."""
        return (self._origin_ns + self._elapsed_ns()) // 1_000_000

    def monotonic_ns(self) -> int:
        """Return a monotonic stamp in ns."""
        return time.monotonic_ns()

    async def sleep_until(self, deadline_ms: int) -> None:
        """Return once `now_ms()` >= deadline."""
        # Again until it is true: a sleep may end a little early.
        while (left := deadline_ms - self.now_ms()) > 0:  # noqa: ASYNC110 - time, not a condition
            await asyncio.sleep(left / 1000)

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)


class Pace:
    """How often something may be done: ever more rarely while it keeps being needed.

    Args:
        first_ms: least time between the first two.
        longest_ms: what that grows to, doubling; after so long without any it starts anew.
    """

    def __init__(self, first_ms: int, longest_ms: int) -> None:
        self._first_ms, self._longest_ms = first_ms, longest_ms
        self._wait_ms = 0
        self._next_ms: int | None = None

    def take(self, now_ms: int) -> bool:
        """Return whether it may be done now; then it counts as done."""
        if self._next_ms is not None and now_ms < self._next_ms:
            return False
        is_new = self._next_ms is None or now_ms - self._next_ms > self._longest_ms
        self._wait_ms = self._first_ms if is_new else min(self._wait_ms * 2, self._longest_ms)
        self._next_ms = now_ms + self._wait_ms
        return True
