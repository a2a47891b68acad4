"""Plumbing the protocol servers share: one aiohttp server, accounts, request log, faults on REST.

What a venue says lives in the servers; websocket plumbing lives in `sockets.py`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import web

from tests.servers import control
from tests.servers.faults import Fault, Faults
from tests.servers.ledger import Ledger, Market
from tests.servers.ledger_market import wall_clock_ms
from tests.servers.sockets import Connection

# Faults that answer instead of the handler, in order of precedence.
REFUSALS = ("banned", "rate_limited", "maintenance", "server_error", "error", "reply_html")


@dataclass(slots=True)
class Request:
    """One REST request as it arrived.

    Attributes:
        at: monotonic seconds of arrival.
        at_ms: server time of arrival, UTC milliseconds.
        params: query, then form or JSON body on top.
        raw_query, body: as received, for signature checks.
        is_authenticated: set by the server once key and signature are right.
        is_order: set by the server for create-order requests, also refused ones.
        status: HTTP status of the reply, None while there is none (or it was lost).
        code: the venue's error code in the reply, empty for success.
    """

    at: float
    at_ms: int
    method: str
    path: str
    params: dict[str, Any]
    api_key: str = ""
    raw_query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_authenticated: bool = False
    is_order: bool = False
    status: int | None = None
    code: str = ""


@dataclass(slots=True)
class Reply:
    """What a handler answers: a JSON document with a status and headers."""

    data: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class ProtocolServer(ABC):
    """A venue on 127.0.0.1, REST and websocket on one port; subclass per venue.

    Attributes:
        faults: see `faults.py`.
        market: prices and instruments, shared by all accounts.
        ledgers: API key -> account.
        secrets: API key -> secret.
        requests: every REST request received, oldest first.
        connections: websockets open now.
    """

    name = "venue"

    def __init__(self, *, port: int = 0, market: Market | None = None) -> None:
        self.port = port
        self.faults: Faults = Faults()
        self.market = market or Market(now_ms=self.now_ms)
        self.ledgers: dict[str, Ledger] = {}
        self.secrets: dict[str, str] = {}
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()

    # ---- what a venue fills in ------------------------------------------------------------------

    @abstractmethod
    async def handle(self, request: Request) -> Reply:
        """Answer one REST request; raise nothing but bugs."""

    @abstractmethod
    async def handle_socket(self, path: str, query: Mapping[str, str], socket: Connection) -> None:
        """Serve one accepted websocket until it closes."""

    @abstractmethod
    def refusal(self, kind: str, fault: Fault, request: Request) -> Reply:
        """Return the venue's wording of a planted refusal (REFUSALS, ambiguous, accept_late)."""

    @abstractmethod
    def is_socket_path(self, path: str) -> bool:
        """Return whether a path is one of the venue's websocket endpoints."""

    def api_key_of(self, headers: Mapping[str, str], params: Mapping[str, Any]) -> str:
        """Return the API key a request names, empty for public ones."""
        del params
        return headers.get("X-MBX-APIKEY", "")

    def describe(self, request: Request) -> dict[str, Any]:
        """Return the fields fault matches look at; venues add symbol, client_id and type."""
        return {
            "method": request.method,
            "path": request.path,
            "api_key": request.api_key,
            "order": request.is_order,
        }

    async def on_start(self) -> None:  # noqa: B027 - not every venue has periodic work
        """Start the venue's periodic work, with `spawn`."""

    # ---- life -----------------------------------------------------------------------------------

    @property
    def rest_url(self) -> str:
        """Base URL of REST, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base URL of websockets, without a path."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def ledger(self) -> Ledger:
        """The first account."""
        return next(iter(self.ledgers.values()))

    def now_ms(self) -> int:
        """Return the venue's clock, UTC milliseconds, with any planted skew."""
        skew = self.faults.peek("clock_skew")
        return wall_clock_ms() + (int(skew.params.get("ms", 0)) if skew else 0)

    def add_account(
        self, key: str, secret: str, *, balance: Mapping[str, Decimal], hedge_mode: bool = False
    ) -> Ledger:
        """Open an account and return its ledger."""
        ledger = Ledger(balance=balance, hedge_mode=hedge_mode, market=self.market)
        self.ledgers[key] = ledger
        self.secrets[key] = secret
        return ledger

    async def start(self) -> None:
        """Listen on 127.0.0.1; the port stays the same over stop and start."""
        self._stopping.clear()
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/control", self._control)
        app.router.add_route("*", "/{tail:.*}", self._dispatch)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        address = self._runner.addresses[0]
        self.port = int(address[1])
        await self.on_start()

    async def stop(self) -> None:
        """Close every socket and stop listening; accounts keep their state."""
        self._stopping.set()
        for connection in list(self.connections):
            connection.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the requests until stop."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def orders_received(self) -> list[Request]:
        """Return create-order requests that passed authentication, refused ones included."""
        return [r for r in self.requests if r.is_order and r.is_authenticated]

    def drop_sockets(self, kind: str | None = None) -> None:
        """Cut open websockets without a close frame; of one kind (market, user) or all."""
        for connection in list(self.connections):
            if kind in (None, connection.kind):
                connection.abort()

    # ---- REST -----------------------------------------------------------------------------------

    async def _control(self, http: web.Request) -> web.Response:
        body = await http.json() if http.method == "POST" else None
        status, data = control.run(self, body)
        return web.Response(
            text=control.dumps(data), status=status, content_type="application/json"
        )

    async def _dispatch(self, http: web.Request) -> web.StreamResponse:
        if self.is_socket_path(http.path):
            return await self._serve_socket(http)
        request = await self._record(http)
        context = self.describe(request)
        if self.faults.take("request_lost", **context):
            return self._cut(http)
        if self.faults.take("no_reply", **context):
            await self._stopping.wait()
            return self._cut(http)
        for kind in REFUSALS:
            fault = self.faults.take(kind, **context)
            if fault is not None:
                return self._send(request, self.refusal(kind, fault, request))
        late = self.faults.take("accept_late", **context)
        if late is not None:
            self.spawn(self._later(float(late.params.get("seconds", 1)), request))
            if "code" not in late.params:
                return self._cut(http)
            return self._send(request, self.refusal("accept_late", late, request))
        return await self._answer(http, request, context)

    async def _answer(
        self, http: web.Request, request: Request, context: dict[str, Any]
    ) -> web.StreamResponse:
        delayed = self.faults.take("accept_delayed", **context)
        if delayed is not None:
            await asyncio.sleep(float(delayed.params.get("seconds", 1)))
        ambiguous = self.faults.take("ambiguous", **context)
        if ambiguous is not None and not ambiguous.params.get("booked", False):
            return self._send(request, self.refusal("ambiguous", ambiguous, request))
        reply = await self.handle(request)
        if ambiguous is not None:
            return self._send(request, self.refusal("ambiguous", ambiguous, request))
        if self.faults.take("reply_lost", **context):
            return self._cut(http)
        delayed = self.faults.take("reply_delayed", **context)
        if delayed is not None:
            await asyncio.sleep(float(delayed.params.get("seconds", 1)))
        answer = self._send(request, reply, context)
        dripped = self.faults.take("reply_dripped", **context)
        if dripped is None:
            return answer
        return await self._drip(http, answer, float(dripped.params.get("seconds", 0.1)))

    async def _drip(
        self, http: web.Request, answer: web.Response, seconds: float
    ) -> web.StreamResponse:
        slow = web.StreamResponse(status=answer.status, headers=answer.headers)
        await slow.prepare(http)
        for byte in (answer.text or "").encode():
            if self._stopping.is_set():
                break
            await asyncio.sleep(seconds)
            await slow.write(bytes([byte]))
        return slow

    async def _later(self, seconds: float, request: Request) -> None:
        await asyncio.sleep(seconds)
        await self.handle(request)

    async def _record(self, http: web.Request) -> Request:
        body = await http.text()
        params: dict[str, Any] = dict(http.query)
        if body.startswith(("{", "[")):
            loaded = json.loads(body)
            params.update(loaded if isinstance(loaded, dict) else {"": loaded})
        elif body:
            params.update(await http.post())
        request = Request(
            at=time.monotonic(),
            at_ms=self.now_ms(),
            method=http.method,
            path=http.path,
            params=params,
            api_key=self.api_key_of(http.headers, params),
            raw_query=http.rel_url.raw_query_string,
            body=body,
            headers=dict(http.headers),
        )
        request.is_order = self.is_order(request)
        self.requests.append(request)
        return request

    def is_order(self, request: Request) -> bool:
        """Return whether a request creates an order."""
        del request
        return False

    def _cut(self, http: web.Request) -> web.StreamResponse:
        # Ends the connection so that the client never sees a status line.
        if http.transport is not None:
            http.transport.abort()
        return web.Response()

    def _send(
        self, request: Request, reply: Reply, context: dict[str, Any] | None = None
    ) -> web.Response:
        request.status = reply.status
        if isinstance(reply.data, dict):
            request.code = str(reply.data.get("code", reply.data.get("retCode", "")))
        if isinstance(reply.data, str):
            return web.Response(
                text=reply.data,
                status=reply.status,
                headers=reply.headers,
                content_type="text/html",
            )
        text = control.dumps(reply.data)
        if context is not None:
            text = self._spoil(text, reply.data, context)
        return web.Response(
            text=text, status=reply.status, headers=reply.headers, content_type="application/json"
        )

    def _spoil(self, text: str, data: Any, context: dict[str, Any]) -> str:
        fixed = {
            "reply_empty": "",
            "reply_null": "null",
            "reply_empty_object": "{}",
            "reply_truncated": text[: len(text) // 2],
        }
        for kind, spoiled in fixed.items():
            if self.faults.take(kind, **context):
                return spoiled
        if self.faults.take("reply_empty_list", **context):
            return control.dumps(empty_lists(data))
        fault = self.faults.take("reply_nan", **context)
        if fault is not None:
            value = json.dumps(fault.params.get("value", "NaN"))
            return re.sub(r'"-?\d+\.\d+"', value, text)
        return text

    # ---- websockets -----------------------------------------------------------------------------

    async def _serve_socket(self, http: web.Request) -> web.StreamResponse:
        if self.faults.take("sockets_refused", path=http.path):
            return web.Response(status=503)
        if self.faults.take("sockets_hang", path=http.path):
            await self._stopping.wait()
            return self._cut(http)
        socket = web.WebSocketResponse(autoping=False, heartbeat=None, timeout=0.2)
        await socket.prepare(http)
        connection = Connection(socket, http, self.faults)
        self.connections.append(connection)
        writer = asyncio.get_running_loop().create_task(connection.write())
        try:
            await self.handle_socket(http.path, http.query, connection)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self.connections.remove(connection)
        return socket


def empty_lists(data: Any) -> Any:
    """Return the document with every list on its first two levels emptied."""
    if isinstance(data, list):
        return []
    if isinstance(data, dict):
        return {
            key: [] if isinstance(value, list) else empty_lists(value)
            for key, value in data.items()
        }
    return data
