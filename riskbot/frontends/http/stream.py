"""`/v1/stream`: what happens, as server-sent events, to everybody who listens.

Events `status`, `alert`, `decision` and `order`; a strategy hears of its own orders and the status.
Every listener has a bounded queue: one that does not read is told so and let go, it never misses
something without knowing. While nobody listens nothing is built.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from riskbot.core import actions
from riskbot.errors import StorageError
from riskbot.frontends._gateway.guard import Guard
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.http.door import Door

LISTENERS_MAX = 64
WAITING_MAX = 256
"""Events that may wait for one listener."""

BUFFER_MAX = 262_144
"""Bytes that may wait in a listener's socket before its queue fills."""

LOOP_SHARE = 50
"""Building documents takes at most one part in so many of the loop's time: large books wait."""

FIGURES_S, SPACING_S = 1.0, 0.1
"""How often the status is told while figures move, and how soon after a change."""

QUIET_S = 15.0
"""A comment is sent when nothing happened for so long: who hears none is no longer connected."""

DECISIONS_MAX = 1_000

_CHANGES = (
    actions.PlaceHold,
    actions.DropHold,
    actions.SetEpisode,
    actions.EndEpisode,
    actions.SetIntent,
    actions.EndIntent,
    actions.SetBlind,
    actions.SetAlert,
)
_VOLATILE = frozenset({"as_of_ms", "age_s"})

_log = logging.getLogger(__name__)


class Listener:
    """Who listens: a queue, and whether it has overflowed."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_MAX + 1)
        self.is_behind = False

    def hears(self, event: str, strategy: str) -> bool:
        """Whether an event is for it."""
        if self.caller.strategy is None:
            return True
        return event == "status" or (event == "order" and strategy == self.caller.strategy)

    def put(self, frame: bytes | None) -> None:
        """Queue a frame; one that finds no room ends the stream, and None ends it orderly."""
        if self.is_behind:
            return
        if self.queue.qsize() >= WAITING_MAX and frame is not None:
            self.is_behind = True
            frame = None
        self.queue.put_nowait(frame)


class Stream:
    """Tells listeners.

    Args:
        door: is told of the route.
        guard: has the documents.

    Attributes:
        listeners: who listens now.
    """

    def __init__(self, door: Door, guard: Guard) -> None:
        self._guard, self._door = guard, door
        self.listeners: set[Listener] = set()
        self._wake = asyncio.Event()
        self._has_changed = self._has_decided = False
        self._spacing_s = SPACING_S
        self._cursor: int | None = None
        self._alerts: dict[str, bytes] = {}
        self._status = b""
        door.add("GET", "/v1/stream", self._serve)
        door.on_stop(self._end)

    # ------------------------------------------------------------ what others call

    def notify(self, action: actions.NotifyOrder) -> None:
        """Tell of an order. Never waits."""
        self._tell("order", action.document, action.strategy)

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Take note of what was decided and kept. Never waits, never raises."""
        if not self.listeners:
            return
        for action in decided:
            if isinstance(action, actions.RecordDecision):
                self._has_decided = True
                self._wake.set()
            elif isinstance(action, _CHANGES):
                self._has_changed = True
                self._wake.set()

    def _tell(self, event: str, document: Any, strategy: str = "", seq: int | None = None) -> None:
        heard = [each for each in self.listeners if each.hears(event, strategy)]
        if heard:
            frame = _frame(event, document, seq)
            for each in heard:
                each.put(frame)

    # ------------------------------------------------------------ listeners

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        caller = await self._door.caller(request)
        if caller.strategy is None and caller.role is None:
            message = f"{caller.name} may not listen"
            raise RefusalError(HTTPStatus.FORBIDDEN, message)
        if len(self.listeners) >= LISTENERS_MAX:
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "too many listen already")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        listener = Listener(caller)
        if self._cursor is None:
            self._begin(await self._newest())
        # It listens before it is told how things stand: nothing falls in between.
        self.listeners.add(listener)
        try:
            await response.prepare(request)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(high=BUFFER_MAX)
            listener.put(_frame("status", self._guard.latest_view().get("status")))
            if caller.strategy is None:
                for alert in self._guard.latest_view().get("alerts"):
                    listener.put(_frame("alert", alert))
            self._wake.set()
            await self._pass_on(listener, response)
        finally:
            self.listeners.discard(listener)
        return response

    async def _pass_on(self, listener: Listener, response: web.StreamResponse) -> None:
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    frame = await listener.queue.get()
            except TimeoutError:
                frame = b": nothing happened\n\n"
            if frame is None:
                break
            await response.write(frame)
        words = "too slow: read what you missed" if listener.is_behind else "riskbot is stopping"
        await response.write(_frame("end", {"reason": words}))

    def _end(self) -> None:
        for listener in self.listeners:
            listener.put(None)

    # ------------------------------------------------------------ the work

    async def run(self) -> None:
        """Tell what changes until cancelled."""
        clock = self._guard.clock
        while True:
            if not self.listeners:
                self._cursor, self._status, self._alerts = None, b"", {}
                self._wake.clear()
                await self._wake.wait()
            began_ns = clock.monotonic_ns()
            self._documents()
            cost_s = (clock.monotonic_ns() - began_ns) / 1e9
            if self._has_decided:
                self._has_decided = False
                await self._tell_decisions()
            await clock.sleep(max(SPACING_S, LOOP_SHARE * cost_s))
            if not (self._has_changed or self._has_decided):
                await self._pause()

    async def _pause(self) -> None:
        """Wait until something was decided, or figures are due."""
        self._wake.clear()
        try:
            async with asyncio.timeout(FIGURES_S):
                await self._wake.wait()
        except TimeoutError:
            return

    def _documents(self) -> None:
        self._has_changed = False
        view = self._guard.latest_view()
        status = view.get("status")
        steady = _dumped(_steady(status))
        if steady != self._status:
            self._status = steady
            self._tell("status", status)
        self._tell_alerts(view.get("alerts"))

    def _tell_alerts(self, rows: list[dict[str, Any]]) -> None:
        before, now = self._alerts, {row["id"]: _dumped(_steady(row)) for row in rows}
        self._alerts = now
        for row in rows:
            if before.get(row["id"]) != now[row["id"]]:
                self._tell("alert", row)
        for gone in before.keys() - now.keys():
            self._tell("alert", {**orjson.loads(before[gone]), "level": "resolved"})

    async def _tell_decisions(self) -> None:
        """Tell the rows of the audit since the last ones."""
        rows = await self._rows(DECISIONS_MAX)
        before, self._cursor = self._cursor, max((r["seq"] for r in rows), default=self._cursor)
        for row in reversed(rows):
            if before is not None and row["seq"] > before:
                self._tell("decision", row, seq=row["seq"])

    def _begin(self, newest: int) -> None:
        # Somebody else may have come meanwhile: the older place misses nothing.
        self._cursor = newest if self._cursor is None else self._cursor

    async def _newest(self) -> int:
        return max((row["seq"] for row in await self._rows(1)), default=0)

    async def _rows(self, limit: int) -> list[dict[str, Any]]:
        try:
            return await self._guard.decisions(limit=limit)
        except StorageError as error:
            _log.warning("decisions cannot be read: %s", error)
            return []


def _frame(event: str, document: Any, seq: int | None = None) -> bytes:
    head = b"" if seq is None else f"id: {seq}\n".encode()
    # orjson writes one line, whatever stands in the texts.
    return head + f"event: {event}\ndata: ".encode() + _dumped(document) + b"\n\n"


def _dumped(document: Any) -> bytes:
    return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)


def _steady(value: Any) -> Any:
    """Return a document without what moves with the time alone."""
    if isinstance(value, dict):
        return {key: _steady(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_steady(item) for item in value]
    return value
