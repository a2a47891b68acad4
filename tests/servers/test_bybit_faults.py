"""Planted faults of the Bybit server, as plain ccxt.pro and a bare socket meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ccxt.pro as ccxt
import pytest

from tests.servers.bybit import BybitServer
from tests.servers.bybit_client import (
    BTC,
    D,
    code_of,
    connect,
    private,
    refused,
    running,
    soon,
    tap,
)


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    async with running() as venue:
        yield venue


@pytest.fixture
async def client(server: BybitServer) -> AsyncIterator[Any]:
    exchange = connect(server)
    yield exchange
    await exchange.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_reply_lost_after_the_order_was_booked(server: BybitServer, client: Any) -> None:
    await client.load_markets()
    server.faults.add("reply_lost", match={"path": "/v5/order/create"})
    with pytest.raises(ccxt.NetworkError):
        await client.create_order(BTC, "market", "buy", 0.5, None, {"clientOrderId": "rb-1"})
    assert server.ledger.positions["BTCUSDT", "both"].quantity == D("0.5")
    assert len(server.orders_received()) == 1


@pytest.mark.parametrize(
    ("kind", "params", "expected", "code"),
    [
        ("rate_limited", {}, ccxt.RateLimitExceeded, 10006),
        ("banned", {}, ccxt.RateLimitExceeded, 10018),
        ("maintenance", {}, ccxt.ExchangeError, 10016),
        ("ambiguous", {}, ccxt.ExchangeError, 10000),
        ("error", {"code": 10001}, ccxt.BadRequest, 10001),
        ("market_rejected", {}, ccxt.ExchangeError, 110118),
        ("insufficient_margin", {}, ccxt.InsufficientFunds, 110007),
        ("min_notional", {}, ccxt.InvalidOrder, 110094),
    ],
)
async def test_planted_refusals(
    server: BybitServer, client: Any, kind: str, params: Any, expected: type[Exception], code: int
) -> None:
    await client.load_markets()
    await client.fetch_balance()
    server.faults.add(kind, **params)
    assert await refused(expected, client.create_order(BTC, "market", "buy", 0.5)) == code
    assert server.ledger.orders == {}
    await client.create_order(BTC, "market", "buy", 0.5)


async def test_system_protection_says_when_to_come_back(server: BybitServer, client: Any) -> None:
    await client.load_markets()
    await client.fetch_balance()
    server.faults.add("rate_limited", status=429, retry_after=3)
    with pytest.raises(ccxt.BaseError) as caught:
        await client.fetch_balance()
    assert code_of(caught.value) == 429
    assert client.last_response_headers["Retry-After"] == "3"


async def test_position_list_faults(server: BybitServer, client: Any) -> None:
    ledger = server.ledger
    ledger.set_position("BTCUSDT", D(1), D(40000))
    ledger.set_position("ETHUSDT", D(1), D(2500))
    assert len(await client.fetch_positions()) == 2
    server.faults.add("positions_cut", keep=1)
    assert [p["symbol"] for p in await client.fetch_positions()] == [BTC]
    server.faults.add("positions_paged", times=None, size=1)
    assert len(await client.fetch_positions()) == 1
    assert (
        len(await client.fetch_positions(params={"paginate": True, "maxEntriesPerRequest": 1})) == 2
    )
    server.faults.clear()
    server.faults.add("positions_stale")
    ledger.set_position("BTCUSDT", D(5), D(40000))
    assert sorted(p["contracts"] for p in await client.fetch_positions()) == [1, 1]
    assert sorted(p["contracts"] for p in await client.fetch_positions()) == [1, 5]


async def test_silent_private_stream_still_pongs(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    line = await private(session, server, "wallet")
    fault = server.faults.add("user_silent", times=None)
    server.ledger.deposit("USDT", D(1))
    assert (await line.ask(op="ping"))["op"] == "pong"
    server.faults.remove(fault)
    server.ledger.deposit("USDT", D(2))
    frame = await line.until(lambda f: f.get("topic") == "wallet")
    assert frame["data"][0]["coin"][0]["walletBalance"] == "100003"
    assert fault.hits >= 1


async def test_garbage_and_frozen_market_frames(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    line = await tap(session, server, "/v5/public/linear")
    frozen = server.faults.add("timestamps_frozen", times=None)
    await line.ask(op="subscribe", args=["tickers.BTCUSDT"])
    first = await line.until(lambda f: "topic" in f)
    server.faults.add("price_garbage", value="NaN", match={"symbol": "BTCUSDT"})
    server.market.set_price("BTCUSDT", D(41000))
    bad = await line.until(lambda f: "markPrice" in f.get("data", {}))
    assert bad["data"]["markPrice"] == "NaN"
    good = await line.until(lambda f: "markPrice" in f.get("data", {}))
    assert good["data"]["markPrice"] == "41000.0"
    assert first["ts"] == bad["ts"] == good["ts"] == frozen.params["at"]


async def test_partial_fill_leaves_the_rest_unfilled(server: BybitServer, client: Any) -> None:
    await client.load_markets()
    server.faults.add("partial_fill", ratio="0.4")
    made = await client.create_order(BTC, "market", "buy", 1)
    (order,) = await client.fetch_canceled_orders(BTC)
    assert (order["id"], order["filled"]) == (made["id"], 0.4)
    assert order["info"]["rejectReason"] == "EC_NoImmediateQtyToFill"


async def test_sockets_come_back_after_a_cut(server: BybitServer, client: Any) -> None:
    await soon(client.watch_ticker(BTC))
    server.drop_sockets()

    async def watch_for_ever() -> None:
        while True:
            await soon(client.watch_ticker(BTC))

    with pytest.raises(ccxt.NetworkError):
        await watch_for_ever()
    assert (await soon(client.watch_ticker(BTC)))["markPrice"] == 40000
