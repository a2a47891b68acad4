"""What the tests of the OKX server share: a server, clients of ccxt.pro, waiting.

Imported by name into each test module, so that pytest finds the fixtures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import ccxt.pro  # type: ignore[import-untyped]
import pytest_asyncio

from tests.servers.okx import OkxServer

D = Decimal
SWAP, ID = "BTC/USDT:USDT", "BTC-USDT-SWAP"

_known: dict[str, Any] = {}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[OkxServer]:
    """A server with one account of 100,000 USDT."""
    server = OkxServer()
    server.add_account("key", "secret", balance={"USDT": D(100000)})
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def connect(server: OkxServer) -> AsyncIterator[Callable[..., Any]]:
    """A maker of ccxt.pro clients, closed at the end.

    Markets, the same on every server, are loaded once: ccxt spreads these requests over time.
    """
    clients = []
    if not _known:
        first = ccxt.pro.okx(server.ccxt_config())
        _known.update(await first.load_markets())
        await first.close()

    def make(**settings: Any) -> Any:
        options = {"options": {"defaultType": "swap"}}
        keys = {"apiKey": "key", "secret": "secret", "password": "passphrase"}
        client = ccxt.pro.okx(server.ccxt_config() | keys | options | settings)
        client.set_markets(_known)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


async def within(awaitable: Any, seconds: float = 15) -> Any:
    """Await with a generous deadline."""
    return await asyncio.wait_for(awaitable, seconds)


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until a condition holds, with a generous deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def follows(server: OkxServer, channel: str) -> bool:
    """Return whether somebody is subscribed to a channel."""
    wanted = f'"channel": "{channel}"'
    return any(wanted in name for c in server.connections for name in c.subscriptions)
