"""Private websockets of the OKX server, with ccxt.pro."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import ccxt.pro  # type: ignore[import-untyped]
import pytest

from tests.servers.ledger import Order
from tests.servers.okx import OkxServer
from tests.servers.okx_call import sign
from tests.servers.okx_client import ID, SWAP, D, connect, follows, server, until, within

__all__ = ["connect", "server"]


# ---- private websocket --------------------------------------------------------------------------


async def test_orders_channel_pushes_each_state_and_trade(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.ledger.fill_chunks = 2
    await okx.load_markets()
    orders, trades = asyncio.ensure_future(okx.watch_orders()), okx.watch_my_trades()
    watched = asyncio.ensure_future(trades)
    await until(lambda: follows(server, "orders"))
    placed = await okx.create_order(SWAP, "market", "buy", 10, None, {"clientOrderId": "abc"})
    await within(orders)
    await until(lambda: okx.orders is not None and okx.orders[-1]["status"] == "closed")
    seen = okx.orders[-1]
    assert (seen["id"], seen["filled"], seen["clientOrderId"]) == (placed["id"], 10, "abc")
    assert (await within(watched))[0]["order"] == placed["id"]
    assert [t["amount"] for t in okx.myTrades] == [5, 5]


async def test_algo_channel_lives_on_the_business_url(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await okx.load_markets()
    watched = asyncio.ensure_future(okx.watch_orders(params={"trigger": True}))
    await until(
        lambda: any("orders-algo" in s for c in server.connections for s in c.subscriptions)
    )
    placed = await okx.create_order(SWAP, "market", "sell", 1, None, {"triggerPrice": 30000})
    orders = await within(watched)
    assert (orders[0]["id"], orders[0]["status"]) == (placed["id"], "open")
    assert {c.path for c in server.connections} == {"/ws/v5/business"}


async def test_positions_channel_pushes_the_closing_zero(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.ledger.set_position(ID, D("0.1"), D(40000))
    snapshot = await within(okx.watch_positions())
    assert [(p["symbol"], p["contracts"], p["side"]) for p in snapshot] == [(SWAP, 10, "long")]
    update = asyncio.ensure_future(okx.watch_positions())
    await asyncio.sleep(0)
    await okx.create_order(SWAP, "market", "sell", 10, None, {"reduceOnly": True})
    closed = await within(update)
    assert {p["contracts"] for p in closed} == {0}
    assert closed[0]["info"]["pos"] == "0"


async def test_account_channel_pushes_money(server: OkxServer, connect: Any) -> None:
    okx = connect()
    first = await within(okx.watch_balance())
    assert first["USDT"]["total"] == 100000
    update = asyncio.ensure_future(okx.watch_balance())
    await asyncio.sleep(0)
    server.ledger.deposit("USDT", D(50))
    assert (await within(update))["USDT"]["total"] == 100050


async def test_orders_can_be_placed_over_the_socket(server: OkxServer, connect: Any) -> None:
    okx = connect()
    placed = await within(okx.create_order_ws(SWAP, "limit", "buy", 1, 30000))
    assert [o.id for o in server.ledger.open_orders()] == [placed["id"]]
    await within(okx.cancel_order_ws(placed["id"], SWAP))
    assert not server.ledger.open_orders()
    with pytest.raises(ccxt.InsufficientFunds, match='"51008"'):
        await within(okx.create_order_ws(SWAP, "limit", "buy", 9000, 40000))


async def test_accounts_do_not_see_each_other(server: OkxServer, connect: Any) -> None:
    server.add_account("other", "s2", balance={"USDT": D(7)}, passphrase="p2")
    other = connect(apiKey="other", secret="s2", password="p2")
    watched = asyncio.ensure_future(other.watch_orders())
    await until(lambda: follows(server, "orders"))
    await connect().create_order(SWAP, "market", "buy", 1)
    assert (await other.fetch_balance())["USDT"]["total"] == 7
    assert await other.fetch_positions() == []
    assert [r.api_key for r in server.orders_received()] == ["key"]
    assert not watched.done()
    watched.cancel()


async def test_money_and_position_channel_names_the_cause(server: OkxServer) -> None:
    frames = await private_frames(
        server,
        {"channel": "balance_and_position"},
        lambda ledger: (ledger.deposit("USDT", D(5)), ledger.set_position(ID, D(1), D(40000))),
    )
    causes = [frame["data"][0]["eventType"] for frame in frames]
    assert causes == ["snapshot", "transferred", "filled"]
    assert frames[1]["data"][0]["balData"][0]["cashBal"] == "100005"
    assert frames[2]["data"][0]["posData"][0]["pos"] == "100"
    assert "uid" in frames[2]["arg"]


async def test_pushed_position_names_the_trade_and_fee_of_its_fill(server: OkxServer) -> None:
    order = Order(instrument=ID, side="buy", quantity=D("0.1"))
    frames = await private_frames(
        server,
        {"channel": "positions", "instType": "SWAP"},
        lambda ledger: ledger.place(order),
    )
    assert (frames[0]["eventType"], frames[0]["data"]) == ("snapshot", [])
    row = frames[1]["data"][0]
    assert frames[1]["eventType"] == "event_update"
    assert (row["pos"], row["tradeId"]) == ("10", server.ledger.fills[0].id)
    assert D(row["fee"]) == -server.ledger.fills[0].fee


async def test_snapshot_pages_are_numbered_and_the_last_says_so(server: OkxServer) -> None:
    server.ledger.set_position(ID, D(1), D(40000))
    server.ledger.set_position("ETH-USDT-SWAP", D(-1), D(2500))
    server.publisher.page_size = 1
    arg = {"channel": "positions", "instType": "ANY"}
    frames = await private_frames(server, arg, lambda ledger: None)
    assert [(f["curPage"], f["lastPage"], len(f["data"])) for f in frames] == [
        (1, False, 1),
        (2, True, 1),
    ]


async def private_frames(server: OkxServer, arg: dict[str, str], act: Any) -> list[Any]:
    """Log in by hand, subscribe, act on the ledger and return what was pushed."""
    frames: list[Any] = []
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{server.ws_url}/ws/v5/private")
        stamp = str(server.now_ms() // 1000)
        signature = sign("secret", f"{stamp}GET/users/self/verify")
        login = {"apiKey": "key", "passphrase": "passphrase", "timestamp": stamp}
        await socket.send_json({"op": "login", "args": [login | {"sign": signature}]})
        assert (await within(socket.receive_json()))["event"] == "login"
        await socket.send_json({"id": "7", "op": "subscribe", "args": [arg]})
        reply = await within(socket.receive_json())
        assert (reply["event"], reply["id"], reply["arg"]) == ("subscribe", "7", arg)
        assert (await within(socket.receive_json()))["event"] == "channel-conn-count"
        act(server.ledger)
        await socket.send_str("ping")
        while (text := await within(socket.receive_str())) != "pong":
            frames.append(json.loads(text))
    return frames
