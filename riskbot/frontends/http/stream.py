"""`/v1/stream`: what happens, as server-sent events, to everybody who listens.

Events `status`, `alert`, `decision` and `order`; a strategy hears of its own orders and the status.
Every listener has a bounded queue: one that does not read is told so and let go, it never misses
something without knowing. Who comes back with `Last-Event-ID` is told what happened to orders
meanwhile. While nobody listens no document is built.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from riskbot.core import actions
from riskbot.errors import StorageError
from riskbot.frontends._documents import CHANGES, dumped, steady
from riskbot.frontends._gateway.guard import Guard
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.http.door import Door, query_of
from riskbot.frontends.http.replay import Place, Replay

LISTENERS_MAX = 64
"""Listeners of strategies, and as many again of people and scripts."""

TOKEN_MAX = 8
"""Listeners with the same token."""

WAITING_MAX = 256
"""Events that may wait for one listener."""

BUFFER_MAX = 262_144
"""Bytes that may wait in a listener's socket before its queue fills."""

LOOP_SHARE = 50
"""Building documents takes at most one part in so many of the loop's time: large books wait."""

FIGURES_S, SPACING_S = 1.0, 0.1
"""How often the status is told while figures move, and how soon after a change."""

STUCK_S = 30.0
"""How long a listener may take nothing before its connection is cut: it would keep its place."""

QUIET_S = 15.0
"""A comment is sent when nothing happened for so long: who hears none is no longer connected."""

DECISIONS_MAX = 1_000

ORDERS_MAX = 500
"""Orders that are told to who has missed something that is not known any more."""

_log = logging.getLogger(__name__)


class Listener:
    """Who listens: a queue, whether it has overflowed, and whether its token was taken back."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_MAX + 1)
        self.is_behind = False
        self.is_out = False

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
        knows: whether somebody's token is still one.

    Attributes:
        listeners: who listens now.
        patience_s: how long one may take nothing.
    """

    def __init__(self, door: Door, guard: Guard, knows: Callable[[Caller], bool]) -> None:
        self.patience_s = STUCK_S
        self._guard, self._door, self._knows = guard, door, knows
        self._replay = Replay()
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
        self._replay.keep(action.strategy, action.document)
        self._tell("order", action.document, action.strategy, has_id=True)

    def let_go(self) -> None:
        """End the streams of those whose token is none any more."""
        for listener in self.listeners:
            if not self._knows(listener.caller):
                listener.is_out = True
                listener.put(None)

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Take note of what was decided and kept. Never waits, never raises."""
        if not self.listeners:
            return
        for action in decided:
            if isinstance(action, actions.RecordDecision):
                self._has_decided = True
                self._wake.set()
            elif type(action) in CHANGES:
                self._has_changed = True
                self._wake.set()

    def _tell(self, event: str, document: Any, strategy: str = "", *, has_id: bool = False) -> None:
        heard = [each for each in self.listeners if each.hears(event, strategy)]
        if heard:
            frame = _frame(event, document, self._replay.id(self._cursor) if has_id else "")
            for each in heard:
                each.put(frame)

    # ------------------------------------------------------------ listeners

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        caller = await self._door.caller(request)
        query_of(request)
        if caller.strategy is None and caller.role is None:
            message = f"{caller.name} may not listen"
            raise RefusalError(HTTPStatus.FORBIDDEN, message)
        self._find_room(caller)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        listener = Listener(caller)
        if self._cursor is None:
            self._begin(await self._newest())
            self._find_room(caller)
        # It listens before it is told how things stand: nothing falls in between.
        self.listeners.add(listener)
        last_id = request.headers.get("Last-Event-ID")
        first = self._first(caller, "" if last_id is not None else self._replay.id(self._cursor))
        missed, place = self._missed(caller, last_id)
        cursor = self._cursor or 0
        try:
            await response.prepare(request)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(high=BUFFER_MAX)
            if place is not None and caller.strategy is None:
                missed += await self._missed_decisions(place.decision, cursor)
            for frame in (*first, *missed):
                await self._write(request, response, frame)
            # While nobody listened nothing was noted: what was decided since is looked for.
            self._has_decided = self._has_decided or caller.strategy is None
            self._wake.set()
            await self._pass_on(listener, request, response)
        finally:
            self.listeners.discard(listener)
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, frame: bytes
    ) -> None:
        """Write a frame; who takes nothing for long is cut off.

        Raises:
            ConnectionResetError: it was.
        """
        try:
            async with asyncio.timeout(self.patience_s):
                await response.write(frame)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            message = "a listener takes nothing"
            raise ConnectionResetError(message) from None

    def _find_room(self, caller: Caller) -> None:
        """Refuse a listener that is one too many: of its token, or of its kind.

        Raises:
            RefusalError: it is.
        """
        others = [each.caller for each in self.listeners]
        if sum(each.name == caller.name for each in others) >= TOKEN_MAX:
            message = f"{caller.name} listens {TOKEN_MAX} times already"
            raise RefusalError(HTTPStatus.TOO_MANY_REQUESTS, message, retry_after_s=5)
        is_strategy = caller.strategy is not None
        if sum((each.strategy is not None) is is_strategy for each in others) >= LISTENERS_MAX:
            message = "too many listen already"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, message, retry_after_s=5)

    def _first(self, caller: Caller, place: str) -> list[bytes]:
        """Return how things stand; the place is one that nothing was missed before."""
        view = self._guard.latest_view()
        frames = [_frame("status", view.get("status"), place)]
        if caller.strategy is None:
            frames += [_frame("alert", alert) for alert in view.get("alerts")]
        return frames

    def _missed(self, caller: Caller, last_id: str | None) -> tuple[list[bytes], Place | None]:
        """Return what happened to orders since a listener heard an event, and which that was.

        Where that is not known any more (a restart, too long ago) it is told so, and how its
        orders stand.
        """
        if last_id is None:
            return [], None
        place = self._replay.place(last_id)
        rows = None if place is None else self._replay.since(place, caller.strategy)
        if place is not None and rows is not None:
            head = last_id.partition("-")[0]
            return [
                _frame("order", document, f"{head}-{number}-{place.decision}")
                for number, document in rows
            ], place
        now = self._replay.id(self._cursor)
        words = "what you missed is not known any more: these are your orders as they stand"
        frames = [_frame("reset", {"reason": words}, now)]
        orders = self._guard.latest_view().orders_of(caller.strategy, ORDERS_MAX)
        return frames + [_frame("order", order, now) for order in orders], place

    async def _missed_decisions(self, after: int, until: int) -> list[bytes]:
        rows = await self._rows(DECISIONS_MAX)
        return [
            _frame("decision", row, self._replay.id(row["seq"]))
            for row in reversed(rows)
            if after < row["seq"] <= until
        ]

    async def _pass_on(
        self, listener: Listener, request: web.Request, response: web.StreamResponse
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    frame = await listener.queue.get()
            except TimeoutError:
                frame = b": nothing happened\n\n"
            if frame is None:
                break
            await self._write(request, response, frame)
        words = "too slow: read what you missed" if listener.is_behind else "riskbot is stopping"
        if listener.is_out:
            words = "your token is none any more"
        await self._write(request, response, _frame("end", {"reason": words}))

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
        still = dumped(steady(status))
        if still != self._status:
            self._status = still
            self._tell("status", status)
        self._tell_alerts(view.get("alerts"))

    def _tell_alerts(self, rows: list[dict[str, Any]]) -> None:
        before, now = self._alerts, {row["id"]: dumped(steady(row)) for row in rows}
        self._alerts = now
        for row in rows:
            if before.get(row["id"]) != now[row["id"]]:
                self._tell("alert", row)
        for gone in before.keys() - now.keys():
            self._tell("alert", {**orjson.loads(before[gone]), "level": "resolved"})

    async def _tell_decisions(self) -> None:
        """Tell the rows of the audit since the last ones."""
        for row in reversed(await self._rows(DECISIONS_MAX)):
            if self._cursor is not None and row["seq"] > self._cursor:
                self._cursor = row["seq"]
                self._tell("decision", row, has_id=True)

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


def _frame(event: str, document: Any, event_id: str = "") -> bytes:
    head = f"id: {event_id}\n".encode() if event_id else b""
    # orjson writes one line, whatever stands in the texts.
    return head + f"event: {event}\ndata: ".encode() + dumped(document) + b"\n\n"
