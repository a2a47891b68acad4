"""What the Binance server's tests share: a running server, a ccxt.pro client, signed requests."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import ccxt.pro  # type: ignore[import-untyped]

from tests.servers.binance_usdm import BinanceUsdmServer
from tests.servers.ledger import Ledger

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"
KEY, SECRET = "key", "secret"


@dataclass
class Desk:
    """A server with one account, and an unmodified ccxt.pro client that talks to it."""

    server: BinanceUsdmServer
    ledger: Ledger
    client: Any

    async def raw(
        self,
        method: str,
        path: str,
        params: dict[str, Any] | None = None,
        *,
        secret: str = SECRET,
        key: str = KEY,
        at_ms: int | None = None,
    ) -> tuple[int, Any]:
        """Send a signed request by hand; return HTTP status and document."""
        full = dict(params or {})
        full["timestamp"] = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        query = urlencode(full)
        signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.server.rest_url}{path}?{query}&signature={signature}"
        headers = {"X-MBX-APIKEY": key} if key else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers) as reply,
        ):
            return reply.status, await reply.json(content_type=None)


def make_client(server: BinanceUsdmServer, key: str = KEY, secret: str = SECRET) -> Any:
    """Return a ccxt.pro client configured as a user would."""
    return ccxt.pro.binanceusdm({"apiKey": key, "secret": secret, **server.ccxt_config()})


@asynccontextmanager
async def open_desk(*, hedge_mode: bool = False) -> AsyncIterator[Desk]:
    """Run a server with an account of 100,000 USDT and a client with markets loaded."""
    server = BinanceUsdmServer()
    ledger = server.add_account(
        KEY, SECRET, balance={"USDT": Decimal(100_000)}, hedge_mode=hedge_mode
    )
    await server.start()
    client = make_client(server)
    try:
        await client.load_markets()
        yield Desk(server, ledger, client)
    finally:
        await client.close()
        await server.stop()


class Listener:
    """A bare websocket that keeps every frame it was sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[Any] = []

    async def run(self) -> None:
        async for message in self.socket:
            self.frames.append(json.loads(message.data))

    def events(self) -> list[str]:
        return [frame.get("e", "") for frame in self.frames if isinstance(frame, dict)]


@asynccontextmanager
async def listening(desk: Desk, path: str) -> AsyncIterator[Listener]:
    """Open a bare websocket on a path of the server."""
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(desk.server.ws_url + path) as socket:
            listener = Listener(socket)
            task = asyncio.create_task(listener.run())
            await until(lambda: any(c.path == path.split("?")[0] for c in desk.server.connections))
            yield listener
        await task


@asynccontextmanager
async def user_stream(desk: Desk) -> AsyncIterator[Listener]:
    """Open the account's private stream with a fresh listen key."""
    key = (await desk.client.fapiPrivatePostListenKey())["listenKey"]
    async with listening(desk, f"/private/ws?listenKey={key}") as listener:
        await until(lambda: any(c.kind == "user" for c in desk.server.connections))
        yield listener


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true; AssertionError when it is not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        await asyncio.sleep(0.01)


async def soon(work: Awaitable[Any], seconds: float = 20) -> Any:
    """Return what comes within a generous time."""
    return await asyncio.wait_for(work, seconds)
