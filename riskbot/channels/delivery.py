"""Delivery: one bounded queue per channel, so that none waits for another and nobody for any.

What is said and how loud was decided in the core; here it is only brought to people. That a channel
is down goes back as an event, and the core says it on the others. What a primary channel has not
confirmed in time goes to every other one, whatever it takes otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from riskbot.channels._base import Channel
from riskbot.channels._lane import ATTEMPT_S, QUEUE_MAX, Lane, remember, woken
from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import Level

LOGGER = logging.getLogger(__name__)

Emit = Callable[[events.Event], None]

CONFIRM_MS = {Level.RED: 20_000, Level.ORANGE: 120_000}
"""For so long a primary channel may take to confirm a loud alert; then the others have it too."""

EVERYBODY = 2
"""Escalation from which on every channel has the alert, whatever its lowest level is."""


@dataclass(slots=True)
class _Watch:
    """A loud alert that a primary channel has yet to confirm.

    Attributes:
        revision: the one that called out; to confirm it or a newer one is enough.
    """

    alert: Alert
    revision: int
    deadline_ms: int


class Delivery:
    """Brings alerts to channels.

    Args:
        channels: where to.
        emit: takes `AlertDelivered` and `AlertDeliveryFailed`.
        clock: for waits.
        rng: for jitter.
        attempt_s: how long a channel may take for one alert.
        primary: names of the channels that people look at; the others stand in for them.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        emit: Emit,
        clock: Clock,
        rng: random.Random,
        *,
        attempt_s: float = ATTEMPT_S,
        primary: Collection[str] = (),
    ) -> None:
        self._clock = clock
        self._emit = emit
        self._primary = frozenset(primary)
        self._lanes = [Lane(c, self._heard, clock, rng, attempt_s) for c in channels]
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._forced: dict[str, int] = {}
        self._wake = asyncio.Event()

    def send(self, action: actions.SendAlert) -> None:
        """Queue an alert on every channel that wants it. Never waits, never raises."""
        alert = action.alert
        if alert.escalation >= EVERYBODY:
            remember(self._forced, alert.message, alert.revision)
        # Who has heard of it in this way hears how it goes on, and its end.
        is_news = action.is_loud or alert.status is AlertStatus.RESOLVED
        is_forced = alert.message in self._forced and is_news
        for lane in self._lanes:
            if not action.channels or lane.channel.name in action.channels:
                lane.put(alert, is_loud=action.is_loud, is_forced=is_forced)
                if lane.channel.name in self._primary:
                    self._expect(lane.channel.name, alert, is_loud=action.is_loud)
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled, then close the channels."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(), name="fail-over")
                for lane in self._lanes:
                    tasks.create_task(lane.run(), name=f"channel {lane.channel.name}")
        finally:
            for lane in self._lanes:
                await lane.channel.close()

    async def flush(self, seconds: float) -> bool:
        """Wait until every queue is empty, for so long at most; return whether they are."""
        try:
            async with asyncio.timeout(seconds):
                for lane in self._lanes:
                    await lane.idle.wait()
        except TimeoutError:
            return False
        return True

    def waiting(self) -> dict[str, int]:
        """Return how many alerts wait for each channel, and unconfirmed under an empty name."""
        return {lane.channel.name: lane.waiting for lane in self._lanes} | {"": len(self._watches)}

    # ------------------------------------------------------------ fail-over

    def _expect(self, channel: str, alert: Alert, *, is_loud: bool) -> None:
        """Watch that a primary channel confirms a loud alert; what is over calls nobody."""
        key = (channel, alert.message)
        watch = self._watches.get(key)
        if alert.status is AlertStatus.RESOLVED:
            self._watches.pop(key, None)
        elif is_loud and alert.level in CONFIRM_MS:
            deadline_ms = self._clock.now_ms() + CONFIRM_MS[alert.level]
            if watch is not None:
                deadline_ms = min(deadline_ms, watch.deadline_ms)
            self._watches[key] = _Watch(alert, alert.revision, deadline_ms)
            if len(self._watches) > QUEUE_MAX:
                # The oldest of the least grave does not wait: the others have it at once.
                least = min(self._watches.items(), key=lambda w: w[1].alert.level.rank)
                self._fail_over(least[0], "too many wait")
        elif watch is not None and alert.revision > watch.alert.revision:
            watch.alert = alert

    def _heard(self, event: events.AlertDelivered | events.AlertDeliveryFailed) -> None:
        """Pass on what became of an alert in a lane, and settle what was watched."""
        key = (event.channel, event.alert_id)
        watch = self._watches.get(key)
        if watch is not None and event.revision >= watch.revision:
            if isinstance(event, events.AlertDelivered):
                del self._watches[key]
            elif event.is_permanent:
                self._fail_over(key, "refused")
        self._emit(event)

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            now_ms = self._clock.now_ms()
            for key in [k for k, w in self._watches.items() if w.deadline_ms <= now_ms]:
                self._fail_over(key, "not confirmed in time")
            deadlines = [watch.deadline_ms for watch in self._watches.values()]
            await woken(self._wake, self._clock, min(deadlines, default=None))

    def _fail_over(self, key: tuple[str, str], why: str) -> None:
        """Give an alert to every channel that stands in."""
        watch = self._watches.pop(key)
        lanes = [lane for lane in self._lanes if lane.channel.name not in self._primary]
        remember(self._forced, watch.alert.message, watch.alert.revision)
        names = ", ".join(lane.channel.name for lane in lanes)
        LOGGER.warning("%s by %s: #%s goes to %s", why, key[0], key[1], names)
        for lane in lanes:
            lane.put(watch.alert, is_loud=True, is_forced=True)
