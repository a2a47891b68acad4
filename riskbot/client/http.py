"""The gateway over HTTP: one class that waits (standard library), one that is awaited (aiohttp)."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from riskbot.client.answers import Approval, GatewayAwayError, GatewayRefusedError

URL = "http://127.0.0.1:8700"
TIMEOUT_S = 5.0
"""An instrument that nobody traded yet may take the gateway three seconds to price."""

CONNECT_S = 1.0
"""A gateway that is away is noticed within a second."""

Number = Decimal | int | float | str


def order_body(
    account: str,
    instrument: str,
    side: str,
    quantity: Number,
    price: Number | None = None,
    *,
    type: str | None = None,  # noqa: A002 - the contract's word
    stop_loss: Number | None = None,
    reduce_only: bool = False,
    position_side: str | None = None,
    client_order_id: str | None = None,
    allow_resize: bool = False,
) -> dict[str, Any]:
    """Return the body of an order; quantities in base units, prices in quote units."""
    body: dict[str, Any] = {
        "account": account,
        "instrument": instrument,
        "side": side,
        "quantity": _text(quantity),
        "type": type or ("market" if price is None else "limit"),
        "client_order_id": client_order_id or new_id(),
    }
    optional = {
        "price": None if price is None else _text(price),
        "stop_loss": None if stop_loss is None else _text(stop_loss),
        "reduce_only": reduce_only or None,
        "position_side": position_side,
        "allow_resize": allow_resize or None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def new_id() -> str:
    """Return a client order id: it makes a question that is asked twice one order."""
    return f"c{secrets.token_hex(12)}"


def _text(number: Number) -> str:
    exact = number if isinstance(number, Decimal) else Decimal(str(number))
    return f"{exact:f}"


def _changes(quantity: Number | None, price: Number | None) -> dict[str, Any]:
    wanted = {"quantity": quantity, "price": price}
    return {name: _text(value) for name, value in wanted.items() if value is not None}


def _order_path(client_order_id: str) -> str:
    return f"/v1/orders/{quote(client_order_id, safe='')}"


def _size_path(instrument: str, account: str | None, stop: Number | None) -> str:
    query = {"instrument": instrument, "account": account, "stop": stop}
    return f"/v1/size?{urlencode({k: str(v) for k, v in query.items() if v is not None})}"


def _read(status: int, payload: bytes) -> dict[str, Any]:
    """Return the document of an answer.

    Raises:
        GatewayRefusedError: it says why not.
        GatewayAwayError: it says nothing that can be read.
    """
    try:
        document = json.loads(payload)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        message = f"the gateway answered {status} with no JSON object"
        raise GatewayAwayError(message)
    if status != http.client.OK:
        words = str(document.get("error", "no reason given"))
        raise GatewayRefusedError(status, words, str(document.get("field") or ""))
    return document


class Client:
    """The gateway for code that waits. Safe to use from several threads, one request at a time.

    Args:
        token: of the strategy.
        url: of riskbot's HTTP server, or `unix:/path/to/gateway.sock`.
        timeout_s: for an answer; a gateway that is away is noticed within a second.
    """

    def __init__(self, token: str, url: str = URL, timeout_s: float = TIMEOUT_S) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._token, self._url, self._timeout_s = token, url, timeout_s
        self._lock = threading.Lock()

    def check(self, *args: Any, **fields: Any) -> Approval:
        """Ask whether an order may go; arguments as `order_body` takes them."""
        return self._order("/v1/orders/check", order_body(*args, **fields))

    def submit(self, *args: Any, **fields: Any) -> Approval:
        """Have riskbot place an order; arguments as `order_body` takes them."""
        return self._order("/v1/orders", order_body(*args, **fields))

    def _order(self, path: str, body: dict[str, Any]) -> Approval:
        return Approval.read(self._ask("POST", path, body), Decimal(body["quantity"]))

    def amend(
        self, client_order_id: str, *, quantity: Number | None = None, price: Number | None = None
    ) -> dict[str, Any]:
        """Change a submitted order; the answer is a decision like that to a new one."""
        return self._ask("PATCH", _order_path(client_order_id), _changes(quantity, price))

    def cancel(self, client_order_id: str) -> dict[str, Any]:
        """Cancel a submitted order, or give an approval back."""
        return self._ask("DELETE", _order_path(client_order_id))

    def order(self, client_order_id: str) -> dict[str, Any]:
        """Return how an order stands."""
        return self._ask("GET", _order_path(client_order_id))

    def size(
        self, instrument: str, account: str | None = None, stop: Number | None = None
    ) -> dict[str, Any]:
        """Return how much may be traded now, and what binds."""
        return self._ask("GET", _size_path(instrument, account, stop))

    def status(self) -> dict[str, Any]:
        """Return the status of riskbot."""
        return self._ask("GET", "/v1/status")

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

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        with self._lock:
            kept = self._connection is not None
            try:
                return _read(*self._once(method, path, payload, headers))
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self._drop()
                if not kept:
                    message = f"the gateway hung up: {type(error).__name__}"
                    raise GatewayAwayError(message) from error
                # A connection that had been idle: every request carries an id, once more is safe.
                return self._again(method, path, payload, headers)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                message = f"the gateway is away: {type(error).__name__}"
                raise GatewayAwayError(message) from error

    def _again(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        try:
            return _read(*self._once(method, path, payload, headers))
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            message = f"the gateway is away: {type(error).__name__}"
            raise GatewayAwayError(message) from error

    def _once(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, path, body=payload, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _connect(self) -> http.client.HTTPConnection:
        if self._url.startswith("unix:"):
            made: http.client.HTTPConnection = _UnixConnection(self._url.removeprefix("unix:"))
        else:
            parts = urlsplit(self._url)
            kind = (
                http.client.HTTPSConnection
                if parts.scheme == "https"
                else http.client.HTTPConnection
            )
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


class _UnixConnection(http.client.HTTPConnection):
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
    """

    def __init__(self, token: str, url: str = URL, timeout_s: float = TIMEOUT_S) -> None:
        self._token, self._timeout_s = token, timeout_s
        self._path = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._url = "http://localhost" if self._path is not None else url.rstrip("/")
        self._session: Any = None

    async def check(self, *args: Any, **fields: Any) -> Approval:
        """Ask whether an order may go; arguments as `order_body` takes them."""
        return await self._order("/v1/orders/check", order_body(*args, **fields))

    async def submit(self, *args: Any, **fields: Any) -> Approval:
        """Have riskbot place an order; arguments as `order_body` takes them."""
        return await self._order("/v1/orders", order_body(*args, **fields))

    async def _order(self, path: str, body: dict[str, Any]) -> Approval:
        return Approval.read(await self._ask("POST", path, body), Decimal(body["quantity"]))

    async def amend(
        self, client_order_id: str, *, quantity: Number | None = None, price: Number | None = None
    ) -> dict[str, Any]:
        """Change a submitted order; the answer is a decision like that to a new one."""
        return await self._ask("PATCH", _order_path(client_order_id), _changes(quantity, price))

    async def cancel(self, client_order_id: str) -> dict[str, Any]:
        """Cancel a submitted order, or give an approval back."""
        return await self._ask("DELETE", _order_path(client_order_id))

    async def order(self, client_order_id: str) -> dict[str, Any]:
        """Return how an order stands."""
        return await self._ask("GET", _order_path(client_order_id))

    async def size(
        self, instrument: str, account: str | None = None, stop: Number | None = None
    ) -> dict[str, Any]:
        """Return how much may be traded now, and what binds."""
        return await self._ask("GET", _size_path(instrument, account, stop))

    async def status(self) -> dict[str, Any]:
        """Return the status of riskbot."""
        return await self._ask("GET", "/v1/status")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        # A strategy that waits needs none of it.
        import aiohttp

        if self._session is None:
            unix = aiohttp.UnixConnector(self._path) if self._path is not None else None
            self._session = aiohttp.ClientSession(
                connector=unix,
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
                json_serialize=json.dumps,
            )
        try:
            request = self._session.request(method, f"{self._url}{path}", json=body)
            async with request as answer:
                return _read(answer.status, await answer.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"the gateway is away: {type(error).__name__}"
            raise GatewayAwayError(message) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
