"""What is published of riskbot's state, and when: `/state`, `/exposure`, `/limits`, `/decisions`.

The documents are those of every other door. A change of trading state, holds or levels goes out at
once; figures that only move are conflated; an unchanged document is repeated as a heartbeat. While
there is no connection nothing is built, and nothing waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions
from riskbot.errors import ChannelError, StorageError
from riskbot.frontends._documents import CHANGES, dumped, steady

FIGURES_MS = 1_000
"""Figures that move are published so often at most."""

LOOP_SHARE = 50
"""Building documents takes at most one part in so many of the loop's time: large books wait."""

HEARTBEAT_MS = 30_000
"""A document that has not changed is repeated after so long; older is from a riskbot that is gone.
"""

SPACING_MS = 100
"""Changes within this time are one publication; a notice to strategies waits for nothing."""

SETTLE_MS = 10

SOURCES = {"state": "status", "limits": "limits", "exposure": "exposure"}
"""Topic below the base: the view it shows. In this order: trading state first."""

_AT_ONCE = ("state", "limits")

_log = logging.getLogger(__name__)

Decisions = Callable[[], Awaitable[list[dict[str, Any]]]]
"""Returns the newest rows of the audit, newest first."""


class Broker(Protocol):
    """The connection, as far as publishing goes."""

    base: str
    connected: asyncio.Event
    sessions: int

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish; ChannelError when the broker did not take it."""
        ...


class Documents:
    """Publishes documents, retained, and decisions.

    Args:
        broker: over it.
        view: returns the newest document of a name.
        decisions: reads the audit.
        run: number of this run of riskbot, larger than that of every run before.
        clock: for stamps and waits.
    """

    def __init__(
        self,
        broker: Broker,
        view: Callable[[str], Any],
        decisions: Decisions,
        run: int,
        clock: Clock,
    ) -> None:
        self._broker, self._view, self._decisions = broker, view, decisions
        self._run, self._clock = run, clock
        self._seq = 0
        self._session = 0
        self._told: dict[str, tuple[bytes, int]] = {}
        self._figures_ms = self._changed_ms = 0
        self._spacing_ms = SPACING_MS
        self._is_notice = self._has_changed = self._has_decided = False
        self._cursor: int | None = None
        self._wake = asyncio.Event()

    # ------------------------------------------------------------ what others call

    def notify(self, action: actions.NotifyStrategies) -> None:
        """Publish the trading state at once: strategies act on it. Never waits."""
        del action
        self._is_notice = True
        self._wake.set()

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Take note of what was decided and kept. Never waits, never raises."""
        for action in decided:
            kind = type(action)
            if kind in CHANGES and not self._has_changed:
                self._has_changed = True
                self._wake.set()
            elif kind is actions.RecordDecision and not self._has_decided:
                self._has_decided = True
                self._wake.set()

    # ------------------------------------------------------------ the work

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._broker.connected.wait()
            if self._session != self._broker.sessions:
                self._start_anew()
            try:
                await self._round()
            except ChannelError:
                # The connection tells people; what was built is forgotten, not queued.
                await self._clock.sleep(SPACING_MS / 1000)
            else:
                await self._pause()

    def _start_anew(self) -> None:
        """After a connection all documents go out as they are now; decisions from now on."""
        self._session = self._broker.sessions
        self._told.clear()
        self._figures_ms, self._cursor, self._has_decided = 0, None, True

    async def _round(self) -> None:
        now_ms = self._clock.now_ms()
        names: Iterable[str] = ()
        if now_ms >= self._figures_ms:
            names = SOURCES
        elif self._is_notice or self._has_changed:
            names = _AT_ONCE
        self._is_notice = self._has_changed = False
        cost_ns = 0
        for name in names:
            began_ns = self._clock.monotonic_ns()
            payload = self._payload(name)
            cost_ns += self._clock.monotonic_ns() - began_ns
            if payload is not None:
                await self._publish(name, payload, retain=True)
        if names:
            self._changed_ms = now_ms
            self._spacing_ms = max(SPACING_MS, LOOP_SHARE * cost_ns // 1_000_000)
        if names is SOURCES:
            self._figures_ms = now_ms + max(FIGURES_MS, self._spacing_ms)
        if self._has_decided:
            self._has_decided = False
            await self._tell_decisions()

    def _payload(self, name: str) -> bytes | None:
        """Return a document to publish, None when it says what was said already."""
        now_ms = self._clock.now_ms()
        content = self._view(SOURCES[name])
        if not isinstance(content, dict):
            content = {name: content}
        still = dumped(steady(content))
        told, told_ms = self._told.get(name, (b"", 0))
        if still == told and now_ms - told_ms < HEARTBEAT_MS:
            return None
        self._told[name] = (still, now_ms)
        # Also time, so that it grows over restarts.
        self._seq = max(self._seq + 1, now_ms)
        head = {"ts_ms": now_ms, "seq": self._seq, "run": self._run, "heartbeat_ms": HEARTBEAT_MS}
        return dumped({**head, **content})

    async def _publish(self, name: str, payload: bytes, *, retain: bool) -> None:
        try:
            await self._broker.publish(f"{self._broker.base}/{name}", payload, retain=retain)
        except ChannelError:
            # What the broker refuses it may take later: tried again with the heartbeat.
            if not self._broker.connected.is_set():
                raise

    async def _tell_decisions(self) -> None:
        try:
            rows = await self._decisions()
        except StorageError as error:
            _log.warning("decisions cannot be read: %s", error)
            return
        newest = max((row["seq"] for row in rows), default=0)
        before, self._cursor = self._cursor, newest
        for row in reversed(rows):
            if before is not None and row["seq"] > before:
                await self._publish("decisions", dumped(row), retain=False)

    async def _pause(self) -> None:
        """Wait for what comes first: a notice, changes after their spacing, or figures."""
        while not self._is_notice:
            self._wake.clear()
            due_ms = self._figures_ms
            if self._has_changed or self._has_decided:
                due_ms = min(due_ms, self._changed_ms + self._spacing_ms)
            if due_ms <= self._clock.now_ms():
                break
            await self._wait(due_ms)
        # What was decided with it is on its way before it is told.
        await self._clock.sleep(SETTLE_MS / 1000)

    async def _wait(self, until_ms: int) -> None:
        waits = (
            asyncio.ensure_future(_sleep(self._clock, until_ms)),
            asyncio.ensure_future(self._wake.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


async def _sleep(clock: Clock, until_ms: int) -> None:
    await clock.sleep_until(until_ms)
