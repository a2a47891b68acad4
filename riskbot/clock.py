"""The only reader of time."""

from __future__ import annotations

import asyncio
import time
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


class SystemClock:
    """UTC at start plus monotonic time since: a stepped wall clock moves nothing here.

    `wall_step_ms` tells how far the wall clock has moved against it (BLIND(clock)).
    """

    def __init__(self) -> None:
        self._origin_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Return UTC epoch in ms; never goes back."""
        return (self._origin_ns + time.monotonic_ns()) // 1_000_000

    def monotonic_ns(self) -> int:
        """Return a monotonic stamp in ns."""
        return time.monotonic_ns()

    def wall_step_ms(self) -> int:
        """Return wall clock minus this clock, in ms."""
        return (time.time_ns() - self._origin_ns - time.monotonic_ns()) // 1_000_000

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
