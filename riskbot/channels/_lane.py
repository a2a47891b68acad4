"""The queue of one channel and the work on it: red first, retries, the newest revision alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from riskbot.channels._base import Channel, Selective
from riskbot.channels._words import severity
from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.duty import Alert
from riskbot.core.model import DIGEST, Level
from riskbot.errors import ChannelError
from riskbot.redaction import redact

QUEUE_MAX = 200
"""Alerts waiting for one channel; beyond it the least grave is given up."""

ATTEMPT_S = 20.0
"""How long one attempt may take before it counts as failed."""

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 30_000
AFTER_429_MS = 500
"""On top of what a channel asked to wait for."""

DOWN_AFTER = 3
"""Failures in a row after which a channel counts as down, which is told once."""

LIFE_MS = {Level.RED: 86_400_000, Level.ORANGE: 3_600_000}
SHORT_LIFE_MS = 600_000
"""For how long an alert is worth delivering; anything below orange: ten minutes."""

DIGEST_LIFE_MS = 12 * 3_600_000

REDS_AT_ONCE = 8
"""Red alerts under way at a time; of all others one, and none beside a red that waits."""

KNOWN_MAX = 500
"""Messages whose newest revision is remembered."""


@dataclass(slots=True)
class _Entry:
    """An alert on its way to one channel; a newer revision takes its place."""

    alert: Alert
    is_loud: bool
    queued_ms: int
    expires_ms: int
    due_ms: int
    attempts: int = 0
    since_failure: int = 0

    @property
    def is_red(self) -> bool:
        """Whether it waits for no other."""
        return severity(self.alert) is Level.RED

    def order(self) -> tuple[bool, int, int, int]:
        # Red first; but what keeps failing lets the others pass.
        is_stuck = self.attempts >= DOWN_AFTER
        return (is_stuck, -severity(self.alert).rank, self.attempts, self.queued_ms)


class Lane:
    """The queue of one channel and the work on it.

    One alert is under way at a time, and red ones beside it: what a channel has not answered yet
    must not hold up the message that matters.
    """

    def __init__(
        self,
        channel: Channel,
        emit: Callable[[events.AlertDelivered | events.AlertDeliveryFailed], None],
        clock: Clock,
        rng: random.Random,
        attempt_s: float,
    ) -> None:
        self.channel = channel
        self.idle = asyncio.Event()
        self.idle.set()
        self._emit = emit
        self._clock = clock
        self._rng = rng
        self._attempt_s = attempt_s
        self._entries: dict[str, _Entry] = {}
        self._known: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._failures = 0
        self._is_down = False
        self._paused_until_ms = 0
        self._asked_until_ms = 0
        self._lapses = 0
        self._under_way: list[_Entry] = []

    # ------------------------------------------------------------ the queue

    @property
    def waiting(self) -> int:
        """How many alerts wait."""
        return len(self._entries)

    def put(self, alert: Alert, *, is_loud: bool, is_forced: bool = False) -> None:
        """Queue an alert; of one alert only the newest revision waits.

        Args:
            alert: what to tell.
            is_loud: whether it calls out.
            is_forced: whatever the channel takes otherwise; what it has, it is not told again.
        """
        if is_forced:
            if self._known.get(alert.message, 0) >= alert.revision:
                return
        elif not self._wants(alert, is_loud=is_loud):
            return
        now_ms = self._clock.now_ms()
        life_ms = LIFE_MS.get(severity(alert), SHORT_LIFE_MS)
        if alert.name == DIGEST:
            life_ms = DIGEST_LIFE_MS
        entry = _Entry(alert, is_loud, now_ms, now_ms + life_ms, now_ms)
        older = self._entries.get(alert.message)
        if older is None and entry.is_red:
            # What failed before says little of now: only a wait that was asked for is kept.
            self._paused_until_ms = self._asked_until_ms
        if older is not None:
            if older.alert.revision > alert.revision:
                return
            # What has not been heard yet stays loud, and keeps its place.
            entry.is_loud = is_loud or older.is_loud
            entry.queued_ms, entry.due_ms = older.queued_ms, older.due_ms
            entry.attempts = older.attempts
        self._entries[alert.message] = entry
        remember(self._known, alert.message, alert.revision)
        if len(self._entries) > QUEUE_MAX:
            self._drop_least()
        self.idle.clear()
        self._wake.set()

    def _wants(self, alert: Alert, *, is_loud: bool) -> bool:
        if isinstance(self.channel, Selective):
            return self.channel.wants(alert, is_loud=is_loud)
        # The digest is no alert: only who asks for it hears of it.
        return alert.name != DIGEST

    def _drop_least(self) -> None:
        least = min(
            self._entries.values(), key=lambda e: (severity(e.alert).rank, -e.attempts, e.queued_ms)
        )
        del self._entries[least.alert.message]
        self._gave_up(least, f"{QUEUE_MAX} alerts wait already", is_permanent=True)

    def _take(self) -> _Entry | None:
        """Remove and return the next entry that is due."""
        now_ms = self._clock.now_ms()
        for entry in [e for e in self._entries.values() if e.expires_ms <= now_ms]:
            del self._entries[entry.alert.message]
            self._gave_up(entry, "not delivered while it mattered", is_permanent=True)
        if now_ms < self._paused_until_ms:
            return None
        due = [e for e in self._open() if e.due_ms <= now_ms]
        if not due:
            return None
        entry = min(due, key=_Entry.order)
        del self._entries[entry.alert.message]
        return entry

    def _open(self) -> list[_Entry]:
        """Return what may go beside what is under way."""
        if not self._under_way:
            return list(self._entries.values())
        if sum(entry.is_red for entry in self._under_way) >= REDS_AT_ONCE:
            return []
        return [e for e in self._entries.values() if e.is_red]

    def _next_ms(self) -> int | None:
        """Return when there may be something to do; None = when something is queued, or ends."""
        open_ = self._open()
        if not open_:
            return None
        due_ms = max(min(e.due_ms for e in open_), self._paused_until_ms)
        return min(due_ms, *(e.expires_ms for e in open_))

    # ------------------------------------------------------------ the work

    async def run(self) -> None:
        """Deliver what is queued until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                entry = self._take()
                if entry is not None:
                    self._under_way.append(entry)
                    tasks.create_task(self._deliver(entry))
                    continue
                if not self._entries and not self._under_way:
                    self.idle.set()
                await self._wait()

    async def _wait(self) -> None:
        self._wake.clear()
        await woken(self._wake, self._clock, self._next_ms())

    async def _deliver(self, entry: _Entry) -> None:
        entry.attempts += 1
        entry.since_failure = self._lapses
        try:
            async with asyncio.timeout(self._attempt_s):
                is_held = await self.channel.send(entry.alert, is_loud=entry.is_loud)
        except ChannelError as error:
            self._failed(entry, error)
        except TimeoutError:
            self._failed(entry, ChannelError(f"no answer in {self._attempt_s:g} s"))
        except Exception as error:  # noqa: BLE001 - its bug must not silence the others
            self._failed(entry, ChannelError(f"{type(error).__name__}: {error}"))
        else:
            self._delivered(entry, is_held=bool(is_held))
        finally:
            self._under_way.remove(entry)
            self._wake.set()

    def _delivered(self, entry: _Entry, *, is_held: bool) -> None:
        if not is_held:  # what is kept says nothing about whether it arrives
            self._failures, self._is_down = 0, False
        self._emit(
            events.AlertDelivered(
                alert_id=entry.alert.message,
                channel=self.channel.name,
                revision=entry.alert.revision,
                is_held=is_held,
            )
        )

    def _failed(self, entry: _Entry, error: ChannelError) -> None:
        now_ms = self._clock.now_ms()
        if entry.since_failure == self._lapses:
            # Those that fail side by side are one failure.
            self._failures += 1
            self._lapses += 1
        if error.retry_after_ms is not None:
            self._asked_until_ms = now_ms + error.retry_after_ms + AFTER_429_MS
            self._paused_until_ms = self._asked_until_ms
            entry.due_ms = self._paused_until_ms
        else:
            entry.due_ms = now_ms + self._backoff_ms(entry.attempts)
            self._paused_until_ms = now_ms + self._backoff_ms(self._failures)
        if error.is_permanent:
            # This one was refused; what waits behind it may be taken.
            self._paused_until_ms = now_ms
            self._gave_up(entry, str(error), is_permanent=True)
        else:
            self._queue_again(entry)
        if not self._is_down and (error.is_permanent or self._failures >= DOWN_AFTER):
            self._is_down = True
            if not error.is_permanent:
                # Not given up, but the engine tells people on the other channels.
                self._gave_up(entry, str(error), is_permanent=False)

    def _queue_again(self, entry: _Entry) -> None:
        newer = self._entries.get(entry.alert.message)
        if newer is None:
            if self._known.get(entry.alert.message, 0) > entry.alert.revision:
                return  # a newer one went beside it
            self._entries[entry.alert.message] = entry
            return
        newer.is_loud = newer.is_loud or entry.is_loud
        newer.attempts, newer.due_ms = entry.attempts, entry.due_ms

    def _backoff_ms(self, failures: int) -> int:
        wait = min(FIRST_WAIT_MS << min(failures - 1, 10), LONGEST_WAIT_MS)
        return round(wait * self._rng.uniform(0.75, 1.25))

    def _gave_up(self, entry: _Entry, error: str, *, is_permanent: bool) -> None:
        self._emit(
            events.AlertDeliveryFailed(
                alert_id=entry.alert.message,
                channel=self.channel.name,
                revision=entry.alert.revision,
                error=redact(error),
                is_permanent=is_permanent,
            )
        )


async def woken(wake: asyncio.Event, clock: Clock, deadline_ms: int | None) -> None:
    """Return when woken, or at the deadline if there is one."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(wake.wait())]
    if deadline_ms is not None:
        waits.append(asyncio.ensure_future(_sleep_until(clock, deadline_ms)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _sleep_until(clock: Clock, deadline_ms: int) -> None:
    await clock.sleep_until(deadline_ms)


def remember(known: dict[str, int], message: str, revision: int) -> None:
    """Note a message's newest revision; the longest unheard of is forgotten."""
    known[message] = max(known.pop(message, 0), revision)
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
