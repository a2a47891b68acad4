"""The server itself: where it listens, who is let in, and how a refusal is told.

It listens on the configured address and on a unix socket of mode 0600. Nobody is let in without a
token, but for the two questions whether riskbot lives; a page of somebody else's in a browser on
this machine gets nowhere either: the `Host` must be ours, and no header allows other origins.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import Actor, Role
from riskbot.frontends._socket import bind, peer_uid_of
from riskbot.frontends.http import body
from riskbot.frontends.http.refusal import RefusalError, malformed, shown
from riskbot.frontends.http.tokens import FAILURES_MAX, FAILURES_MS, Caller, Failures, Tokens

CONNECTIONS_MAX = 400
"""Connections at once; more are hung up on, so that the venues' sockets have theirs."""

FIRST_S = 10.0
"""How long a connection may take to send its first request."""

BODY_S = 10.0
"""How long a body may take to arrive."""

IDLE_S = 75.0
REFUSALS_MAX, REFUSALS_MS = 20, 60_000
"""So many failed logins are audited in that time; those beyond it are only counted."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


def answer(document: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return a document as an answer; what JSON has no word for is null."""
    text = orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=text, status=status, content_type="application/json")


class Door:
    """Serves routes to whoever shows a token.

    Args:
        listen: host:port, None = only the unix socket.
        path: of the unix socket.
        tokens: who may come in.
        clock: for counting failed logins.
        emit: takes the audit of failed logins.

    Attributes:
        routes: (method, path, handler) of what is served.
        is_listening: it is open.
    """

    def __init__(
        self,
        listen: str | None,
        path: Path,
        tokens: Tokens,
        clock: Clock,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._listen, self._path, self._tokens = listen, path, tokens
        self._clock, self._emit = clock, emit
        self._failures = Failures()
        self._refused_ms: list[int] = []
        self._silent: set[asyncio.BaseProtocol] = set()
        self._ids = itertools.count(1)
        self._hosts = _names_of(listen)
        self.routes: list[tuple[str, str, Handler]] = []
        self._cleanup: list[Callable[[], None]] = []
        self.is_listening = asyncio.Event()

    # ------------------------------------------------------------ what the routes call

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Answer a route."""
        self.routes.append((method, path, handler))

    def on_stop(self, work: Callable[[], None]) -> None:
        """Have something done before the connections are closed."""
        self._cleanup.append(work)

    def request_id(self) -> str:
        """Return an id that no other request of this process has."""
        return f"http-{os.getpid()}-{next(self._ids)}"

    def caller(self, request: web.Request) -> Caller:
        """Return who asks.

        Raises:
            RefusalError: nobody who is known.
        """
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token or kind.lower() != "bearer":
            message = "a token is needed: `Authorization: Bearer TOKEN`"
            headers = {"WWW-Authenticate": "Bearer"}
            raise RefusalError(HTTPStatus.UNAUTHORIZED, message, headers=headers)
        found = self._tokens.find(token.strip())
        # Also while wrong tokens come from there: on one machine all share an address, and a token
        # of 128 bits cannot be tried out. Whoever has one is never locked out by somebody else.
        if found is None:
            raise self._failed(request)
        return found

    def _failed(self, request: web.Request) -> RefusalError:
        peer, now_ms = _peer(request), self._clock.now_ms()
        count = self._failures.note(peer, now_ms)
        if count > FAILURES_MAX:
            message = f"more than {FAILURES_MAX} failed logins within a minute"
            headers = {"Retry-After": str(FAILURES_MS // 1_000)}
            return RefusalError(HTTPStatus.TOO_MANY_REQUESTS, message, headers=headers)
        self._refused_ms = [ms for ms in self._refused_ms if now_ms - ms < REFUSALS_MS]
        if len(self._refused_ms) < REFUSALS_MAX:
            self._refused_ms.append(now_ms)
            actor = Actor(f"http:{peer}", Role.VIEWER, "http")
            reason = f"unknown token, failed login {count} within a minute"
            self._emit(events.CommandRefused(actor=actor, reason=reason))
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return RefusalError(HTTPStatus.UNAUTHORIZED, "the token is not known", headers=headers)

    # ------------------------------------------------------------ the server

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            OSError: the address is taken, or the socket cannot be made.
        """
        app = web.Application(middlewares=[self._let_in], client_max_size=body.BODY_MAX)
        app.on_response_prepare.append(_harden)
        for method, path, handler in self.routes:
            app.router.add_route(method, path, handler)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=IDLE_S,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        inode, loop = 0, asyncio.get_running_loop()
        servers: list[asyncio.Server] = []
        try:
            listener = bind(self._path)
            inode = self._path.stat().st_ino
            made = self._connections_of(runner)
            servers.append(await loop.create_unix_server(made, sock=listener))
            if self._listen is not None:
                host, _, port = self._listen.rpartition(":")
                servers.append(await loop.create_server(made, host.strip("[]"), int(port)))
            self.is_listening.set()
            await asyncio.Event().wait()
        finally:
            self.is_listening.clear()
            for server in servers:
                server.close()
            for work in self._cleanup:
                work()
            await runner.cleanup()
            # Not one that a successor has bound meanwhile.
            with suppress(OSError):
                if inode and self._path.stat().st_ino == inode:
                    self._path.unlink()

    def _connections_of(self, runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
        """Return what makes a connection's protocol: one that asks, or one that hangs up."""
        server, loop = runner.server, asyncio.get_running_loop()
        assert server is not None  # noqa: S101 - the runner was set up

        def make() -> asyncio.BaseProtocol:
            if len(server.connections) >= CONNECTIONS_MAX:
                return _HangUp()
            made = server()
            self._silent.add(made)
            loop.call_later(FIRST_S, self._drop_silent, made)
            return made

        return make

    def _drop_silent(self, made: web.RequestHandler) -> None:
        if made in self._silent:
            self._silent.discard(made)
            if made.transport is not None:
                made.transport.abort()

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        try:
            self._check_host(request)
            return await handler(request)
        except RefusalError as refusal:
            return _told(refusal)
        except web.HTTPException as error:
            return _told(_translated(error))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - one request's bug is an answer, not the door's end
            _log.critical("a request broke the HTTP door", exc_info=error)
            return _told(
                RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "riskbot has a bug: not done")
            )

    def _check_host(self, request: web.Request) -> None:
        """Refuse a name that is not ours: a browser was sent here by somebody else's page."""
        if _is_unix(request):
            return
        host = _bare(request.headers.get("Host", ""))
        if host in self._hosts or ("*" in self._hosts and _is_address(host)):
            return
        message = f"this is not {shown(host)}"
        raise RefusalError(HTTPStatus.MISDIRECTED_REQUEST, message)


class _HangUp(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


def _told(refusal: RefusalError) -> web.Response:
    told = answer(refusal.document(), refusal.status)
    told.headers.update(refusal.headers)
    return told


_WORDS = {
    HTTPStatus.NOT_FOUND: "no such route",
    HTTPStatus.METHOD_NOT_ALLOWED: "this route does not take that method",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"the body is longer than {body.BODY_MAX} bytes",
}


def _translated(error: web.HTTPException) -> RefusalError:
    status = HTTPStatus(error.status)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return RefusalError(status, _WORDS.get(status, status.phrase.lower()), headers=headers)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "riskbot"


# ---------------------------------------------------------------- of a request


def _socket_of(request: web.Request) -> socket.socket | None:
    transport = request.transport
    return None if transport is None else transport.get_extra_info("socket")


def _is_unix(request: web.Request) -> bool:
    found = _socket_of(request)
    return found is not None and found.family == socket.AF_UNIX


def _peer(request: web.Request) -> str:
    found = _socket_of(request)
    if found is not None and found.family == socket.AF_UNIX:
        return f"uid {peer_uid_of(found)}"
    return request.remote or "unknown"


def _names_of(listen: str | None) -> frozenset[str]:
    host = "" if listen is None else listen.rpartition(":")[0].strip("[]").lower()
    names = {"localhost", "127.0.0.1", "::1", host} - {""}
    # Bound to every address: whoever names one as a number was sent by nobody's page.
    is_any = _is_address(host) and ipaddress.ip_address(host).is_unspecified
    return frozenset(names | ({"*"} if is_any else set()))


def _bare(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def json_of(request: web.Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Return the object a request's body holds.

    Raises:
        RefusalError: it is none.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        message = "the body must not be compressed"
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    try:
        async with asyncio.timeout(BODY_S):
            raw = await request.read()
    except TimeoutError:
        message = f"the body did not arrive within {BODY_S:g} s"
        raise RefusalError(HTTPStatus.REQUEST_TIMEOUT, message) from None
    if may_be_empty and not raw:
        return {}
    if request.content_type != "application/json":
        message = "the body must be application/json"
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    return body.read(raw)


def query_of(request: web.Request, *names: str) -> Mapping[str, str]:
    """Return the arguments of a query, each given once.

    Raises:
        RefusalError: one is not known, or is given twice.
    """
    for name in request.query:
        if name not in names:
            message = f"{shown(name)}: is not known; there are: {', '.join(names) or 'none'}"
            raise malformed(message, shown(name))
        if len(request.query.getall(name)) > 1:
            message = f"{name}: is given twice"
            raise malformed(message, name)
    return {name: value for name, value in request.query.items() if value}
