"""When one strategy is told: at once on a change, again while it does not obey, and looked after.

How it is told is the matter of `freqtrade` and `webhook`. Nothing here is waited for by anybody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import TradingState
from riskbot.errors import StrategyError
from riskbot.redaction import redact
from riskbot.strategies._base import Answer, Standing, Told

ATTEMPT_S = 20.0
"""For so long one attempt may take, all its requests together."""

LOOK_MS = 1_000
"""The standing is looked at so often also when nobody calls."""

FIRST_WAIT_MS, LONGEST_WAIT_MS = 1_000, 60_000
LOST_AFTER_MS = 10_000
"""A strategy that cannot be told for less is not spoken of: it was restarted."""

SETTLE_MS = 10


class Teller:
    """Tells one strategy what stands, for as long as riskbot runs.

    Args:
        told: who is told.
        standing: returns what stands now.
        emit: takes `StrategyTold`.
        clock: for waits.
        rng: for jitter.
        attempt_s: see `ATTEMPT_S`.
    """

    def __init__(
        self,
        told: Told,
        standing: Callable[[], Standing],
        emit: Callable[[events.Event], None],
        clock: Clock,
        rng: random.Random,
        *,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self.told = told
        self._standing, self._emit, self._clock, self._rng = standing, emit, clock, rng
        self._attempt_s = attempt_s
        self._wake = asyncio.Event()
        self._known: tuple[dict[str, TradingState], bool] | None = None
        self._failures = 0
        self._failing_ms: int | None = None
        self._due_ms: int | None = None
        self._reported: events.StrategyTold | None = None

    def notify(self) -> None:
        """Look at once. Never waits."""
        self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        try:
            while True:
                self._wake.clear()
                await self._turn()
                await self._pause()
        finally:
            await self.told.close()

    async def _turn(self) -> None:
        standing, now_ms = self._standing(), self._clock.now_ms()
        known = (dict(standing.states), standing.may_start)
        if known != self._known:
            # What failed before says nothing of this: it goes out now.
            self._known, self._failures, self._due_ms = known, 0, now_ms
        if self._due_ms is None or now_ms < self._due_ms:
            return
        try:
            async with asyncio.timeout(self._attempt_s):
                answer = await self.told.tell(standing)
        except StrategyError as error:
            await self._failed(standing, error)
        except TimeoutError:
            words = f"no answer in {self._attempt_s:g} s"
            await self._failed(standing, StrategyError(words, is_ambiguous=True))
        else:
            self._succeeded(standing, answer)

    def _succeeded(self, standing: Standing, answer: Answer) -> None:
        self._failures, self._failing_ms = 0, None
        again_s = self.told.look_again_s(standing)
        self._due_ms = None
        if again_s is not None:
            self._due_ms = self._clock.now_ms() + int(again_s * 1000)
        self._report(standing, confirmed=answer.confirmed, detail=answer.detail)

    async def _failed(self, standing: Standing, error: StrategyError) -> None:
        now_ms = self._clock.now_ms()
        if self._failing_ms is None:
            self._failing_ms = now_ms
        self._failures += 1
        wait_ms = min(FIRST_WAIT_MS << min(self._failures - 1, 10), LONGEST_WAIT_MS)
        if error.is_permanent:
            wait_ms = LONGEST_WAIT_MS
        self._due_ms = now_ms + round(wait_ms * self._rng.uniform(0.75, 1.25))
        has_lasted = now_ms - self._failing_ms >= LOST_AFTER_MS
        is_lost = error.is_permanent or (has_lasted and await self.told.owes(standing))
        self._report(standing, error=redact(str(error)), is_lost=is_lost)

    def _report(self, standing: Standing, **found: Any) -> None:
        wanted = standing.of_scope(self.told.scope)
        told = self.told
        event = events.StrategyTold(
            name=told.name, via=told.via, scope=told.scope, wanted=wanted, **found
        )
        if event != self._reported:
            self._reported = event
            self._emit(event)

    async def _pause(self) -> None:
        """Wait for a call, the next look, or what is due."""
        until_ms = self._clock.now_ms() + LOOK_MS
        if self._due_ms is not None:
            until_ms = min(until_ms, self._due_ms)
        waits = (
            asyncio.ensure_future(_sleep(self._clock, until_ms)),
            asyncio.ensure_future(self._wake.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        # What was decided together is told together.
        await self._clock.sleep(SETTLE_MS / 1000)


async def _sleep(clock: Clock, until_ms: int) -> None:
    await clock.sleep_until(until_ms)
