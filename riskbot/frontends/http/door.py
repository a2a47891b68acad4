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

from riskbot.frontends._gateway import body
from riskbot.frontends._gateway.logins import Logins
from riskbot.frontends._gateway.refusal import RefusalError, malformed, shown
from riskbot.frontends._gateway.signatures import Signed
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends._socket import bind, peer_uid_of
from riskbot.frontends.http.places import Places, is_at_unix, socket_of

BODY_S = 10.0
"""How long a body may take to arrive."""

IDLE_S = 75.0

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
        logins: who may come in.

    Attributes:
        routes: (method, path, handler) of what is served.
        is_listening: it is open.
    """

    def __init__(
        self,
        listen: str | None,
        path: Path,
        logins: Logins,
    ) -> None:
        self._listen, self._path, self._logins = listen, path, logins
        self._places = Places()
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

    async def caller(self, request: web.Request) -> Caller:
        """Return who asks; a strategy that signs has proven it.

        Raises:
            RefusalError: nobody who is known, or a strategy with too many connections.
        """
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token or kind.lower() != "bearer":
            message = "a token is needed: `Authorization: Bearer TOKEN`"
            headers = {"WWW-Authenticate": "Bearer"}
            raise RefusalError(HTTPStatus.UNAUTHORIZED, message, headers=headers)
        peer = _peer(request)
        found = self._logins.find(token.strip(), peer, "http")
        if found.signs_with:
            self._logins.prove(found, await _signed(request), peer, "http")
        self._places.take(request.protocol, found.strategy)
        return found

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
            made = self._places.makes(runner, is_unix=True)
            servers.append(await loop.create_unix_server(made, sock=listener))
            if self._listen is not None:
                host, _, port = self._listen.rpartition(":")
                made = self._places.makes(runner, is_unix=False)
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

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._places.heard(request.protocol)
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
        if is_at_unix(request.transport):
            return
        host = _bare(request.headers.get("Host", ""))
        if host not in self._hosts and not ("*" in self._hosts and _is_address(host)):
            message = f"this is not {shown(host)}"
            raise RefusalError(HTTPStatus.MISDIRECTED_REQUEST, message)
        is_visit = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and not is_visit:
            # A browser says so by itself, whatever the page wants; who follows a link may come.
            message = "another site's page may not ask"
            raise RefusalError(HTTPStatus.FORBIDDEN, message)


def _told(refusal: RefusalError) -> web.Response:
    told = answer(refusal.document(), refusal.status)
    told.headers.update(refusal.headers)
    if refusal.headers.get("Connection") == "close":
        told.force_close()
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


async def _signed(request: web.Request) -> Signed:
    return Signed(
        method=request.method,
        path=request.raw_path,
        body=await _read(request),
        ts=request.headers.get("X-Riskbot-Timestamp", ""),
        nonce=request.headers.get("X-Riskbot-Nonce", ""),
        signature=request.headers.get("X-Riskbot-Signature", ""),
    )


def _peer(request: web.Request) -> str:
    found = socket_of(request.transport)
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
    raw = await _read(request)
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
        if not request.query[name]:
            message = f"{name}: is empty"
            raise malformed(message, name)
    return request.query


async def _read(request: web.Request) -> bytes:
    """Return a request's body.

    Raises:
        RefusalError: it did not arrive in time.
    """
    if request.content.is_eof():
        # It came with the head, as a small one does: there is nothing to wait for.
        return await request.read()
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        message = f"the body did not arrive within {BODY_S:g} s"
        raise RefusalError(HTTPStatus.REQUEST_TIMEOUT, message) from None
