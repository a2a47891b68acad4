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
