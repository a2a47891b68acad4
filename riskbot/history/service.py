"""Price history for the engine: what it asks for is found, kept, brought up to date, and told.

A part of the guard, and its least urgent one: it asks venues from what is left of their budgets,
one question at a time per account, and nothing that fails here stops anything else.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.histories import DAY_MS, DailySeries, HistoryWanted, last_ended_day
from riskbot.errors import VenueError
from riskbot.history.cache import Cache
from riskbot.history.finder import Finder, Venue
from riskbot.history.kept import Kept, series

_log = logging.getLogger(__name__)

SETTLE_MS = 180_000
"""Venues are given so long after midnight to finish the day that ended."""

SPREAD_MS = 120_000
"""All that is kept is brought up to date within so long after that, at a random moment."""

PAUSE_S = 0.25
"""Between two questions to one account."""

BACKOFF_S = (5.0, 15.0, 45.0, 120.0, 300.0, 600.0)
TOLD_AFTER = 2
"""Failures in a row before the engine is told that there is nothing yet, and why."""

RECHECK_MS = 3_600_000
"""A venue that answered, and had no bar of yesterday, is not asked again for so long."""

UNDERLYINGS_MAX = 1_000
NAME = "history.sqlite"
AT_ONCE = 8
"""Series in one event: a journaled event stays small."""


class _Lane:
    """What is wanted of one account, in order, and how it has been going."""

    def __init__(self) -> None:
        self.wanted: dict[str, HistoryWanted] = {}
        self.arrived = asyncio.Event()
        self.failures = 0
        self.told: set[str] = set()

    def put(self, wanted: HistoryWanted) -> None:
        self.wanted.setdefault(wanted.underlying, wanted)
        self.arrived.set()

    def backoff_s(self, error: VenueError, rng: random.Random) -> float:
        """Count a failure; return how long to wait, as long as the venue asked for at least."""
        wait_s = BACKOFF_S[min(self.failures, len(BACKOFF_S) - 1)] * (0.8 + 0.4 * rng.random())
        self.failures += 1
        return max(wait_s, (error.retry_after_ms or 0) / 1000)


class HistoryService:
    """Answers `ReadHistory` with `PriceHistoryRead`.

    Args:
        venues: by account, in the order of the configuration.
        state_dir: where the cache is; it must exist when it runs.
        submit: takes events for the engine; synchronous.
        clock: time.
        rng: jitter.

    Attributes:
        cache: the file.
        is_loaded: what it holds was read, and told.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        state_dir: Path,
        submit: Callable[[events.Event], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.cache = Cache(state_dir / NAME)
        self._finder = Finder(venues)
        self._submit = submit
        self._clock, self._rng = clock, rng
        self._lanes = {account: _Lane() for account in venues}
        self._kept: dict[str, Kept] = {}
        self._asked: dict[str, HistoryWanted] = {}
        self._finding: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.is_loaded = False

    async def run(self) -> None:
        """Tell what is kept, then answer what is asked until cancelled."""
        self._kept = await self.cache.load(self._clock.now_ms())
        for kept in list(self._kept.values()):
            self._tell([self._series(kept)])
            # Between two of them everything else has its turn.
            await asyncio.sleep(0)
        self.is_loaded = True
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._each_day(), name="history of the day")
            for account, lane in self._lanes.items():
                tasks.create_task(self._work(lane), name=f"history {account}")

    # ------------------------------------------------------------ asking

    def ask(self, action: actions.ReadHistory) -> None:
        """Find what is wanted; the answer is an event, at once where it is known."""
        known: list[DailySeries] = []
        for wanted in action.wanted:
            kept = self._kept.get(wanted.underlying)
            if self.is_loaded and kept is not None and self._is_fresh(kept, wanted):
                known.append(self._series(kept))
            elif problem := self._enqueue(wanted):
                known.append(DailySeries(wanted.underlying, note=f"no history: {problem}"))
        self._tell(known)

    def _enqueue(self, wanted: HistoryWanted) -> str:
        """Put something on its account's list; return why it cannot be, empty = it is there."""
        if not self._lanes:
            return "there is no account to ask"
        if wanted.underlying not in self._asked and len(self._asked) >= UNDERLYINGS_MAX:
            return f"more than {UNDERLYINGS_MAX} underlyings"
        self._asked[wanted.underlying] = wanted
        first = next(iter(self._lanes.values()))
        self._lanes.get(wanted.account, first).put(wanted)
        return ""

    def _is_fresh(self, kept: Kept, wanted: HistoryWanted) -> bool:
        if kept.is_bundled and kept.account != wanted.account:
            return False
        now_ms = self._clock.now_ms()
        last = last_ended_day(now_ms)
        if kept.bars.last_day >= last:
            return True
        day_ms = (last + 1) * DAY_MS
        if not kept.is_active:
            return kept.checked_ms >= day_ms
        return kept.checked_ms >= max(day_ms, now_ms - RECHECK_MS)

    async def _each_day(self) -> None:
        """Bring what was asked for up to date once a day, soon after midnight."""
        while True:
            next_ms = (self._clock.now_ms() // DAY_MS + 1) * DAY_MS
            spread_ms = int(self._rng.random() * SPREAD_MS)
            await self._clock.sleep_until(next_ms + SETTLE_MS + spread_ms)
            for wanted in list(self._asked.values()):
                kept = self._kept.get(wanted.underlying)
                if kept is None or not self._is_fresh(kept, wanted):
                    self._enqueue(wanted)

    # ------------------------------------------------------------ answering

    async def _work(self, lane: _Lane) -> None:
        while True:
            if not lane.wanted:
                lane.arrived.clear()
                await lane.arrived.wait()
            now_ms = self._clock.now_ms()
            await self._clock.sleep_until(now_ms // DAY_MS * DAY_MS + SETTLE_MS)
            wanted = next(iter(lane.wanted.values()))
            try:
                await self._answer(wanted)
            except VenueError as error:
                await self._wait(lane, wanted, error)
                continue
            except Exception:  # noqa: BLE001 - unknown, and said so
                _log.exception("price history of %s could not be made out", wanted.underlying)
                kept = self._kept.get(wanted.underlying) or Kept(wanted.underlying)
                self._tell([self._series(kept, "its data could not be made out")])
            del lane.wanted[wanted.underlying]
            lane.failures = 0
            lane.told.clear()
            await self._clock.sleep(PAUSE_S)

    async def _answer(self, wanted: HistoryWanted) -> None:
        """Find one underlying's history and tell it.

        Raises:
            VenueError: a venue did not answer.
        """
        async with self._finding[wanted.underlying]:
            # Another account may have been asked for the same meanwhile.
            kept = self._kept.get(wanted.underlying)
            if kept is None or not self._is_fresh(kept, wanted):
                now_ms = self._clock.now_ms()
                kept = await self._finder.find(wanted, kept, last_ended_day(now_ms) + 1)
                kept.checked_ms = now_ms
                self._kept[wanted.underlying] = kept
                await self.cache.store(kept)
        self._tell([self._series(kept)])

    async def _wait(self, lane: _Lane, wanted: HistoryWanted, error: VenueError) -> None:
        """Put it behind what else is wanted, say why it does not come, and wait."""
        wait_s = lane.backoff_s(error, self._rng)
        del lane.wanted[wanted.underlying]
        lane.put(wanted)
        if lane.failures == 1:
            _log.info("price history of %s: %s", wanted.underlying, error)
        if lane.failures >= TOLD_AFTER and wanted.underlying not in lane.told:
            lane.told.add(wanted.underlying)
            kept = self._kept.get(wanted.underlying) or Kept(wanted.underlying)
            self._tell([self._series(kept, str(error))])
        await self._clock.sleep(wait_s)

    def _series(self, kept: Kept, problem: str = "") -> DailySeries:
        return series(kept, last_ended_day(self._clock.now_ms()) + 1, problem)

    def _tell(self, found: Iterable[DailySeries]) -> None:
        waiting = list(found)
        for start in range(0, len(waiting), AT_ONCE):
            some = tuple(waiting[start : start + AT_ONCE])
            self._submit(events.PriceHistoryRead(series=some))
