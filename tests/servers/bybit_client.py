"""How the Bybit self-tests connect: a server with one account, and plain ccxt.pro clients."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
import ccxt.pro as ccxt
import pytest

from tests.servers.bybit import BybitServer

T = TypeVar("T")

BTC = "BTC/USDT:USDT"
D = Decimal
Frames = list[dict[str, Any]]


@asynccontextmanager
async def running() -> AsyncIterator[BybitServer]:
    """Run a server with the account key/secret and 100,000 USDT."""
    venue = BybitServer()
    venue.add_account("key", "secret", balance={"USDT": D(100_000)})
    await venue.start()
    try:
        yield venue
    finally:
        await venue.stop()


def connect(server: BybitServer, key: str = "key", secret: str = "secret") -> Any:
    """Return a client; its own throttle is off, since loading markets alone takes it seconds."""
    settings = {"apiKey": key, "secret": secret, "enableRateLimit": False}
    return ccxt.bybit(settings | server.ccxt_config())


async def soon(awaitable: Awaitable[T]) -> T:
    """Await with a deadline that only a hang can miss."""
    return await asyncio.wait_for(awaitable, 20)


def code_of(error: BaseException) -> int:
    """Return the venue's code inside a ccxt error."""
    text = str(error)
    return int(json.loads(text[text.index("{") :])["retCode"])


async def refused(kind: type[Exception], awaitable: Awaitable[Any]) -> int:
    """Return the venue's code of a request that must raise exactly this class."""
    with pytest.raises(kind) as caught:
        await soon(awaitable)
    assert type(caught.value) is kind
    return code_of(caught.value)


class Tap:
    """A bare websocket client that keeps what it receives."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: Frames = []

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a request and return its answer, keeping frames that come between."""
        await self.socket.send_json(message)
        return await self.until(lambda frame: "topic" not in frame)

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first frame that is wanted, keeping the others."""
        while True:
            frame: dict[str, Any] = await soon(self.socket.receive_json())
            self.frames.append(frame)
            if wanted(frame):
                return frame

    async def login(self, server: BybitServer, secret: str = "secret") -> dict[str, Any]:
        """Authenticate as the account `key`."""
        expires = server.now_ms() + 10_000
        text = f"GET/realtime{expires}".encode()
        signature = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        return await self.ask(op="auth", args=["key", expires, signature])


async def tap(session: aiohttp.ClientSession, server: BybitServer, path: str) -> Tap:
    """Open a bare websocket."""
    return Tap(await session.ws_connect(server.ws_url + path))


async def private(session: aiohttp.ClientSession, server: BybitServer, *topics: str) -> Tap:
    """Open a private socket that is authenticated and subscribed."""
    line = await tap(session, server, "/v5/private")
    assert (await line.login(server))["success"] is True
    assert (await line.ask(op="subscribe", args=list(topics)))["success"] is True
    return line


def topics_of(frames: Frames) -> list[str]:
    """Return the topics of event frames, in order."""
    return [frame["topic"] for frame in frames if "topic" in frame]
