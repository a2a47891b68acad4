"""The gateway over HTTP: one class that waits (standard library), one that is awaited (aiohttp)."""

from __future__ import annotations

import http.client
import socket
import threading
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from riskbot.client import calls
from riskbot.client.answers import Approval, GatewayAwayError
from riskbot.client.calls import Call, Document, Number, T, order_body

URL = "http://127.0.0.1:8700"
TIMEOUT_S = 5.0
"""An instrument that nobody traded yet may take the gateway three seconds to price."""

CONNECT_S = 1.0
"""A gateway that is away is noticed within a second."""


class Client:
    """The gateway for code that waits. Safe to use from several threads, one request at a time.

    Args:
        token: of the strategy.
        url: of riskbot's HTTP server, or `unix:/path/to/gateway.sock`.
        timeout_s: for an answer; a gateway that is away is noticed within a second.
        hmac_secret: signs each request, for a strategy that has one; None = nothing is signed.
    """

    def __init__(
        self,
        token: str,
        url: str = URL,
        timeout_s: float = TIMEOUT_S,
        *,
        hmac_secret: str | None = None,
    ) -> None:
        self._hmac_secret = hmac_secret
        self._connection: _Connection | None = None
        self._token, self._url, self._timeout_s = token, url, timeout_s
        self._lock = threading.Lock()

    def check(self, *args: Any, **fields: Any) -> Approval:
        """Ask whether an order may go; arguments as `order_body` takes them."""
        return self._do(calls.check(order_body(*args, **fields)))

    def submit(self, *args: Any, **fields: Any) -> Approval:
        """Have riskbot place an order; arguments as `order_body` takes them."""
        return self._do(calls.submit(order_body(*args, **fields)))

    def amend(
        self, client_order_id: str, *, quantity: Number | None = None, price: Number | None = None
    ) -> Document:
        """Change a submitted order; the answer is a decision like that to a new one."""
        return self._do(calls.amend(client_order_id, quantity, price))

    def cancel(self, client_order_id: str) -> Document:
        """Cancel a submitted order, or give an approval back."""
        return self._do(calls.cancel(client_order_id))

    def order(self, client_order_id: str) -> Document:
        """Return how an order stands."""
        return self._do(calls.order(client_order_id))

    def size(
        self, instrument: str, account: str | None = None, stop: Number | None = None
    ) -> Document:
        """Return how much may be traded now, and what binds."""
        return self._do(calls.size(instrument, account, stop))

    def status(self) -> Document:
        """Return the status of riskbot."""
        return self._do(calls.status())

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        with self._lock:
            self._drop()

    def __del__(self) -> None:
        """Leave no socket behind."""
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, call: Call[T]) -> T:
        with self._lock:
            kept = self._connection is not None
            try:
                return self._once(call)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self._drop()
                if not kept:
                    message = f"the gateway hung up: {type(error).__name__}"
                    raise GatewayAwayError(message) from error
                # A connection that had been idle: every request carries an id, once more is safe.
                return self._again(call)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                message = f"the gateway is away: {type(error).__name__}"
                raise GatewayAwayError(message) from error

    def _again(self, call: Call[T]) -> T:
        try:
            return self._once(call)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            message = f"the gateway is away: {type(error).__name__}"
            raise GatewayAwayError(message) from error

    def _once(self, call: Call[T]) -> T:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except OSError as error:
                message = f"the gateway is away: {type(error).__name__}"
                raise GatewayAwayError(message, was_sent=False) from error
        headers = call.headers(self._token, self._hmac_secret)
        self._connection.ask(call.method, call.path, call.payload, headers)
        answer = self._connection.getresponse()
        return call.answer(answer.status, answer.read())

    def _connect(self) -> _Connection:
        if self._url.startswith("unix:"):
            made: _Connection = _UnixConnection(self._url.removeprefix("unix:"))
        else:
            parts = urlsplit(self._url)
            kind = _TlsConnection if parts.scheme == "https" else _Connection
            made = kind(parts.hostname or "127.0.0.1", parts.port, timeout=CONNECT_S)
        made.connect()
        made.sock.settimeout(self._timeout_s)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Connection(http.client.HTTPConnection):
    """Sends a request in one piece: the gateway wakes up once for it."""

    _held: list[bytes] | None = None

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Send a request."""
        held: list[bytes] = []
        self._held = held
        try:
            self.request(method, path, body=body or None, headers=headers)
        finally:
            self._held = None
        self.send(b"".join(held))

    def send(self, data: Any) -> None:
        """Send, or keep it until the request is whole."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    pass


class _UnixConnection(_Connection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_S)
        self.sock.connect(self._path)


class AsyncClient:
    """The gateway for code that awaits; the same calls as `Client`.

    Args:
        token: of the strategy.
        url: of riskbot's HTTP server, or `unix:/path/to/gateway.sock`.
        timeout_s: for an answer; a gateway that is away is noticed within a second.
        hmac_secret: signs each request, for a strategy that has one; None = nothing is signed.
    """

    def __init__(
        self,
        token: str,
        url: str = URL,
        timeout_s: float = TIMEOUT_S,
        *,
        hmac_secret: str | None = None,
    ) -> None:
        self._token, self._timeout_s, self._hmac_secret = token, timeout_s, hmac_secret
        self._path = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._url = "http://localhost" if self._path is not None else url.rstrip("/")
        self._session: Any = None

    async def check(self, *args: Any, **fields: Any) -> Approval:
        """Ask whether an order may go; arguments as `order_body` takes them."""
        return await self._do(calls.check(order_body(*args, **fields)))

    async def submit(self, *args: Any, **fields: Any) -> Approval:
        """Have riskbot place an order; arguments as `order_body` takes them."""
        return await self._do(calls.submit(order_body(*args, **fields)))

    async def amend(
        self, client_order_id: str, *, quantity: Number | None = None, price: Number | None = None
    ) -> Document:
        """Change a submitted order; the answer is a decision like that to a new one."""
        return await self._do(calls.amend(client_order_id, quantity, price))

    async def cancel(self, client_order_id: str) -> Document:
        """Cancel a submitted order, or give an approval back."""
        return await self._do(calls.cancel(client_order_id))

    async def order(self, client_order_id: str) -> Document:
        """Return how an order stands."""
        return await self._do(calls.order(client_order_id))

    async def size(
        self, instrument: str, account: str | None = None, stop: Number | None = None
    ) -> Document:
        """Return how much may be traded now, and what binds."""
        return await self._do(calls.size(instrument, account, stop))

    async def status(self) -> Document:
        """Return the status of riskbot."""
        return await self._do(calls.status())

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _do(self, call: Call[T]) -> T:
        # A strategy that waits needs none of it.
        import aiohttp
        import yarl

        if self._session is None:
            unix = aiohttp.UnixConnector(self._path) if self._path is not None else None
            self._session = aiohttp.ClientSession(
                connector=unix,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
            )
        try:
            request = self._session.request(
                call.method,
                # As it was signed: not spelled another way.
                yarl.URL(f"{self._url}{call.path}", encoded=True),
                data=call.payload or None,
                headers=call.headers(self._token, self._hmac_secret),
            )
            async with request as answer:
                return call.answer(answer.status, await answer.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"the gateway is away: {type(error).__name__}"
            was_sent = not isinstance(error, aiohttp.ClientConnectorError)
            raise GatewayAwayError(message, was_sent=was_sent) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
