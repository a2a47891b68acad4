"""The Bybit server's websockets as plain ccxt.pro and a bare socket see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ccxt.pro as ccxt
import pytest

from tests.servers.bybit import BybitServer
from tests.servers.bybit_client import (
    BTC,
    D,
    connect,
    private,
    refused,
    running,
    soon,
    tap,
    topics_of,
)
from tests.servers.ledger_types import Order


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


# ---- public -------------------------------------------------------------------------------------


async def test_ticker_starts_whole_then_says_what_changed(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    line = await tap(session, server, "/v5/public/linear")
    await line.ask(op="subscribe", args=["tickers.BTCUSDT"], req_id="7")
    first = await line.until(lambda f: "topic" in f)
    assert (first["type"], first["data"]["markPrice"]) == ("snapshot", "40000.0")
    server.market.set_price("BTCUSDT", D(41000))
    change = await line.until(lambda f: "markPrice" in f.get("data", {}))
    assert (change["type"], change["data"]["markPrice"]) == ("delta", "41000.0")
    assert "fundingRate" not in change["data"]
    quiet = await line.until(lambda f: "volume24h" in f.get("data", {}))
    assert "markPrice" not in quiet["data"]  # alive, although no price moved


async def test_ccxt_follows_contract_and_spot_tickers(server: BybitServer, client: Any) -> None:
    ticker = await soon(client.watch_ticker(BTC))
    assert ticker["markPrice"] == 40000
    server.market.set_price("BTCUSDT", D(41000), bid=D("40999.5"), index=D(41001))
    while ticker["markPrice"] != 41000:
        ticker = await soon(client.watch_ticker(BTC))
    assert (ticker["bid"], ticker["indexPrice"]) == (40999.5, 41001)
    spot = await soon(client.watch_ticker("BTC/USDT"))
    assert (spot["symbol"], spot["last"]) == ("BTC/USDT", 40000)


async def test_ccxt_follows_books_trades_and_candles(server: BybitServer, client: Any) -> None:
    book = await soon(client.watch_order_book(BTC))
    assert (book["bids"][0][0], len(book["bids"])) == (39999.9, 50)
    server.market.set_price("BTCUSDT", D(40100))
    while book["bids"][0][0] != 40099.9:
        book = await soon(client.watch_order_book(BTC))
    assert book["asks"][0][0] > book["bids"][0][0]
    best = (await soon(client.watch_bids_asks([BTC])))[BTC]
    assert (best["bid"], best["ask"]) == (40099.9, 40100.1)
    trades = asyncio.ensure_future(client.watch_trades(BTC))
    candles = asyncio.ensure_future(client.watch_ohlcv(BTC, "1m"))
    while not (trades.done() and candles.done()):
        await asyncio.sleep(0.05)
        server.market.set_price("BTCUSDT", D(40200))
    assert (await trades)[-1]["price"] == 40200
    assert (await candles)[-1][4] == 40200


async def test_unknown_topic_is_refused(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    line = await tap(session, server, "/v5/public/linear")
    answer = await line.ask(op="subscribe", args=["tickers.NOPEUSDT"])
    assert answer["success"] is False
    assert "handler not found" in answer["ret_msg"]


async def test_pongs_differ_by_stream(server: BybitServer, session: aiohttp.ClientSession) -> None:
    public = await tap(session, server, "/v5/public/linear")
    pong = await public.ask(op="ping", req_id="1")
    assert (pong["op"], pong["ret_msg"], pong["req_id"]) == ("ping", "pong", "1")
    own = await tap(session, server, "/v5/private")
    pong = await own.ask(op="ping", req_id="2")
    assert (pong["op"], pong["req_id"]) == ("pong", "2")
    assert int(pong["args"][0]) > 0


async def test_liquidation_is_published_and_closes_the_position(
    server: BybitServer, client: Any
) -> None:
    server.ledger.liquidates = True
    server.ledger.set_position("BTCUSDT", D(20), D(40000))
    watching = asyncio.ensure_future(client.watch_liquidations(BTC))
    while not any("allLiquidation.BTCUSDT" in c.subscriptions for c in server.connections):
        await asyncio.sleep(0.02)
    server.market.set_price("BTCUSDT", D(35000))
    (event,) = await soon(watching)
    assert (event["contracts"], event["side"]) == (20, "buy")
    assert await client.fetch_positions() == []
    rows = (await client.private_get_v5_execution_list({"category": "linear"}))["result"]["list"]
    assert [row["execType"] for row in rows] == ["BustTrade"]


# ---- private ------------------------------------------------------------------------------------


async def test_ccxt_follows_its_account(server: BybitServer, client: Any) -> None:
    watching = {
        "orders": asyncio.ensure_future(client.watch_orders()),
        "trades": asyncio.ensure_future(client.watch_my_trades()),
        "balance": asyncio.ensure_future(client.watch_balance()),
    }
    topics = {"order", "execution", "wallet"}
    while not any(topics <= c.subscriptions for c in server.connections):
        await asyncio.sleep(0.02)
    assert await soon(client.watch_positions()) == []  # the snapshot
    moved = asyncio.ensure_future(client.watch_positions())
    while not any("position" in c.subscriptions for c in server.connections):
        await asyncio.sleep(0.02)
    made = await client.create_order(BTC, "market", "buy", 0.5)
    (order,) = await soon(watching["orders"])
    assert (order["id"], order["status"], order["filled"]) == (made["id"], "closed", 0.5)
    (trade,) = await soon(watching["trades"])
    assert (trade["order"], trade["symbol"], trade["amount"]) == (made["id"], BTC, 0.5)
    (position,) = await soon(moved)
    assert (position["side"], position["contracts"]) == ("long", 0.5)
    balance = await soon(watching["balance"])
    assert balance["USDT"]["total"] == pytest.approx(100_000 - 11.0000275 - 0.05)


async def test_private_frames_of_a_fill(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    line = await private(session, server, "order", "execution", "position", "wallet")
    server.ledger.place(Order("BTCUSDT", "buy", D("0.5"), time_in_force="IOC"))
    await line.until(lambda f: f.get("topic") == "order")
    assert sorted(topics_of(line.frames)) == ["execution", "order", "position", "wallet"]
    by_topic = {f["topic"]: f["data"][0] for f in line.frames if "topic" in f}
    assert by_topic["position"]["entryPrice"] == "40000.1"
    assert by_topic["order"]["orderStatus"] == "Filled"
    assert by_topic["execution"]["execQty"] == "0.5"
    assert [coin["coin"] for coin in by_topic["wallet"]["coin"]] == ["USDT"]
    server.market.set_price("BTCUSDT", D(41000))
    server.ledger.deposit("BTC", D(1))
    wallet = await line.until(lambda f: "topic" in f)
    assert wallet["data"][0]["coin"][0]["coin"] == "BTC"  # no frame for unrealized profit


async def test_position_frame_comes_with_every_order_event(
    server: BybitServer, client: Any, session: aiohttp.ClientSession
) -> None:
    line = await private(session, server, "order", "position")
    made = await client.create_order(BTC, "limit", "buy", 0.5, 39000)
    await client.cancel_order(made["id"], BTC)
    while topics_of(line.frames).count("position") < 2:
        await line.until(lambda f: f.get("topic") == "position")
    assert topics_of(line.frames) == ["order", "position"] * 2
    assert {f["data"][0]["size"] for f in line.frames if f.get("topic") == "position"} == {"0"}


async def test_funding_is_an_execution_but_no_trade(
    server: BybitServer, client: Any, session: aiohttp.ClientSession
) -> None:
    line = await private(session, server, "execution", "execution.fast")
    server.ledger.set_position("BTCUSDT", D(-1), D(40000))
    server.ledger.apply_funding("BTCUSDT", D("0.0001"))
    frame = await line.until(lambda f: "topic" in f)
    row = frame["data"][0]
    assert (row["execType"], row["execFee"], row["side"]) == ("Funding", "-4", "Sell")
    assert await client.fetch_my_trades(BTC) == []
    server.ledger.place(Order("BTCUSDT", "buy", D(1), time_in_force="IOC"))
    await line.until(lambda f: f.get("topic") == "execution.fast")
    assert topics_of(line.frames) == ["execution", "execution", "execution.fast"]


async def test_conditional_order_frames(
    server: BybitServer, client: Any, session: aiohttp.ClientSession
) -> None:
    line = await private(session, server, "order.linear", "execution.fast")
    params = {"triggerPrice": 41000, "triggerDirection": "ascending"}
    await client.create_order(BTC, "market", "buy", 0.5, None, params)
    server.market.set_price("BTCUSDT", D(41000))
    await line.until(lambda f: f.get("data", [{}])[0].get("orderStatus") == "Filled")
    orders = [f["data"][0] for f in line.frames if f.get("topic") == "order.linear"]
    assert [row["orderStatus"] for row in orders] == ["Untriggered", "Triggered", "Filled"]
    assert len({row["orderId"] for row in orders}) == 1
    assert topics_of(line.frames).count("execution.fast") == 1


async def test_private_stream_needs_the_right_signature(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    line = await tap(session, server, "/v5/private")
    assert (await line.ask(op="subscribe", args=["order"]))["success"] is False
    assert (await line.login(server, "wrong"))["success"] is False
    assert (await line.ask(op="subscribe", args=["order"]))["success"] is False
    assert (await line.login(server))["success"] is True
    assert (await line.ask(op="subscribe", args=["order", "order.spot"]))["success"] is False
    assert (await line.ask(op="subscribe", args=["order"]))["success"] is True


async def test_accounts_see_only_their_own(
    server: BybitServer, session: aiohttp.ClientSession
) -> None:
    other = server.add_account("other", "hidden", balance={"USDT": D(1000)})
    line = await private(session, server, "wallet")
    other.deposit("USDT", D(5))
    server.ledger.deposit("USDT", D(7))
    frame = await line.until(lambda f: f.get("topic") == "wallet")
    assert frame["data"][0]["coin"][0]["walletBalance"] == "100007"


async def test_order_entry_socket(server: BybitServer, client: Any) -> None:
    made = await soon(client.create_order_ws(BTC, "limit", "buy", 0.5, 39000))
    assert [order.id for order in server.ledger.open_orders()] == [made["id"]]
    await soon(client.cancel_order_ws(made["id"], BTC))
    assert server.ledger.open_orders() == []
    wrong = client.create_order_ws(BTC, "market", "sell", 0.5, None, {"reduceOnly": True})
    assert await refused(ccxt.InvalidOrder, wrong) == 110017


async def test_protection_strikes_when_the_last_guard_is_gone(
    server: BybitServer, client: Any, session: aiohttp.ClientSession
) -> None:
    account = server.accounts["key"]
    account.dcp_granted.add("DERIVATIVES")
    server.dcp_scale = 0.01
    await client.create_order(BTC, "limit", "buy", 0.5, 39000)
    await client.create_order("BTC/USDT", "limit", "buy", 0.5, 39900)
    first = await private(session, server, "dcp.future", "order")
    second = await private(session, server, "dcp.future")
    await second.socket.close()
    await asyncio.sleep(0.3)
    assert len(server.ledger.open_orders()) == 2
    watcher = await private(session, server, "order")
    await first.socket.close()
    frame = await watcher.until(lambda f: f.get("topic") == "order")
    assert frame["data"][0]["cancelType"] == "CancelByDCP"
    assert [order.instrument for order in server.ledger.open_orders()] == ["BTCUSDT@spot"]
