"""ccxt objects on their way out: each closed in the background once nobody uses it, within a bound.

A half-open socket takes its time to close, or never does; nothing waits for it here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from riskbot.clock import Clock

_log = logging.getLogger(__name__)

SETTLE_S = 30.0
"""How long requests under way may keep their object: longer than any deadline of theirs."""

CLOSE_S = 5.0
LOOK_S = 0.05


class Retired:
    """The objects of one account that were replaced, and how many requests each still serves."""

    def __init__(
        self,
        account: str,
        clock: Clock,
        faults: tuple[type[Exception], ...],
        close_s: float = CLOSE_S,
    ) -> None:
        self._account = account
        self._clock = clock
        self._faults = faults
        self._close_s = close_s
        self._busy: Counter[int] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def using(self, api: Any) -> Iterator[None]:
        """Keep an object from being closed while a request is under way on it."""
        self._busy[id(api)] += 1
        try:
            yield
        finally:
            self._busy[id(api)] -= 1
            if not self._busy[id(api)]:
                del self._busy[id(api)]

    @property
    def count(self) -> int:
        """How many objects are not closed yet."""
        return len(self._closing)

    def retire(self, api: Any) -> None:
        """Close an object once nothing is under way on it, in the background."""
        task = asyncio.create_task(self._close(api), name=f"close:{self._account}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, api: Any) -> None:
        deadline_ms = self._clock.now_ms() + int(SETTLE_S * 1000)
        while self._busy[id(api)] and self._clock.now_ms() < deadline_ms:
            await self._clock.sleep(LOOK_S)
        await self.close_now(api)

    async def close_now(self, api: Any) -> None:
        """Close sockets and sessions; what does not close in time is cut off."""
        with contextlib.suppress(*self._faults):
            try:
                async with asyncio.timeout(self._close_s):
                    await api.close()
                return
            except TimeoutError:
                _log.warning("sockets of %s did not close and are cut off", self._account)
        with contextlib.suppress(*self._faults):
            async with asyncio.timeout(self._close_s):
                await api.close_connector()

    async def wait(self) -> None:
        """Wait for what is being closed."""
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=2 * self._close_s)
