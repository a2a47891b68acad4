"""How the guard ends after SIGTERM: deny, let work under way end as far as there is time, tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from riskbot.clock import Clock
from riskbot.core import events

DRAIN_S = 35.0
"""Work under way may go on so long after SIGTERM: TimeoutStopSec less ten seconds."""

SETTLE_S, FLUSH_S = 1.0, 3.0


class Worker(Protocol):
    """What carries out an account's orders."""

    async def drain(self, seconds: float) -> None:
        """Wait for what was sent."""
        ...


async def wind_down(
    submit: Callable[[events.Event], None],
    is_busy: Callable[[], bool],
    workers: Iterable[Worker],
    flush: Callable[[float], Awaitable[object]],
    clock: Clock,
) -> None:
    """Deny what is new, wait for closing work and for what was sent, then for alerts.

    Args:
        submit: takes events for the engine.
        is_busy: whether closing work is under way.
        workers: of all accounts.
        flush: sends alerts that wait.
        clock: time.
    """
    submit(events.Stopping())
    await asyncio.sleep(0.05)
    deadline = clock.now_ms() + int(DRAIN_S * 1000)
    while is_busy() and clock.now_ms() < deadline:
        await clock.sleep(0.1)
    await asyncio.gather(*(each.drain(SETTLE_S) for each in workers))
    await flush(FLUSH_S)
