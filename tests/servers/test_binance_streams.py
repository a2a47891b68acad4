"""The Binance USD-M server's websockets: market streams, user data, listen keys, routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
import pytest

from tests.servers.binance_client import (
    BTC,
    ETH,
    KEY,
    Desk,
    listening,
    open_desk,
    soon,
    until,
    user_stream,
)

D = Decimal


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


# ---- user data through ccxt ---------------------------------------------------------------------


async def test_orders_and_trades_arrive(desk: Desk) -> None:
    orders = asyncio.create_task(desk.client.watch_orders())
    trades = asyncio.create_task(desk.client.watch_my_trades())
    await until(lambda: any(c.kind == "user" for c in desk.server.connections))
    order = await desk.client.create_order(BTC, "limit", "buy", 1, 39000)
    [seen] = await soon(orders)
    assert (seen["id"], seen["status"], seen["price"]) == (order["id"], "open", 39000)
    again = asyncio.create_task(desk.client.watch_orders())
    await asyncio.sleep(0)
    desk.server.market.set_price("BTCUSDT", D(38990))
    [filled] = await soon(again)
    assert (filled["status"], filled["filled"], filled["average"]) == ("closed", 1, 39000)
    [trade] = await soon(trades)
    assert (trade["amount"], trade["takerOrMaker"]) == (1, "maker")


async def test_positions_and_balance_arrive(desk: Desk) -> None:
    positions = asyncio.create_task(desk.client.watch_positions())
    balance = asyncio.create_task(desk.client.watch_balance())
    await until(lambda: any(c.kind == "user" for c in desk.server.connections))
    await soon(positions)
    again = asyncio.create_task(desk.client.watch_positions())
    await asyncio.sleep(0)
    await desk.client.create_order(BTC, "market", "sell", 2)
    moved = await soon(again)
    assert [(p["symbol"], p["side"], p["contracts"]) for p in moved] == [(BTC, "short", 2)]
    assert (await soon(balance))["USDT"]["total"] == float(desk.ledger.balances["USDT"])


# ---- user data, frame by frame ------------------------------------------------------------------


async def test_market_order_is_announced_in_the_venues_order(desk: Desk) -> None:
    async with user_stream(desk) as user:
        await desk.client.create_order(BTC, "market", "buy", 1)
        await until(lambda: len(user.frames) == 4)
    names = ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]
    assert user.events() == names
    new, account, _, filled = user.frames
    assert (new["o"]["x"], new["o"]["X"]) == ("NEW", "NEW")
    assert (filled["o"]["x"], filled["o"]["X"], filled["o"]["z"]) == ("TRADE", "FILLED", "1.000")
    assert account["a"]["m"] == "ORDER"
    assert account["a"]["P"][0] | {"s": "BTCUSDT", "pa": "1", "ps": "BOTH"} == account["a"]["P"][0]
    assert D(account["a"]["B"][0]["wb"]) == desk.ledger.balances["USDT"]


async def test_private_stream_can_be_narrowed_to_some_events(desk: Desk) -> None:
    key = (await desk.client.fapiPrivatePostListenKey())["listenKey"]
    path = f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE"
    async with listening(desk, path) as user:
        await desk.client.create_order(BTC, "market", "buy", 1)
        await until(lambda: user.frames)
    assert user.events() == ["ACCOUNT_UPDATE"]


async def test_money_movements_name_their_reason(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    async with user_stream(desk) as user:
        desk.ledger.deposit("USDT", D(500))
        desk.ledger.withdraw("USDT", D(100))
        desk.ledger.apply_funding("BTCUSDT", D("0.0001"))
        await until(lambda: len(user.frames) == 3)
    updates = [frame["a"] for frame in user.frames]
    assert [u["m"] for u in updates] == ["DEPOSIT", "WITHDRAW", "FUNDING_FEE"]
    assert [D(u["B"][0]["bc"]) for u in updates] == [500, -100, -4]
    assert [u["P"] for u in updates] == [[], [], []]


async def test_conditional_order_passes_through_its_states(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    async with user_stream(desk) as user:
        await desk.client.create_order(BTC, "market", "sell", 1, None, {"stopLossPrice": 39000})
        desk.server.market.set_price("BTCUSDT", D(38900))
        await until(lambda: "FINISHED" in [f["o"]["X"] for f in user.frames if "o" in f])
    algo = [f["o"] for f in user.frames if f["e"] == "ALGO_UPDATE"]
    assert [o["X"] for o in algo] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    plain = [f["o"] for f in user.frames if f["e"] == "ORDER_TRADE_UPDATE"]
    assert algo[-1]["ai"] == str(plain[-1]["i"])
    assert (algo[-1]["aq"], plain[-1]["X"]) == ("1.00000", "FILLED")


async def test_liquidation_is_calculated_and_public(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    async with (
        user_stream(desk) as user,
        listening(desk, "/market/ws/!forceOrder@arr") as public,
    ):
        desk.ledger.liquidate("BTCUSDT")
        await until(lambda: public.frames and len(user.frames) >= 3)
    forced = [f["o"] for f in user.frames if f["e"] == "ORDER_TRADE_UPDATE"]
    assert (forced[-1]["x"], forced[-1]["o"]) == ("CALCULATED", "LIQUIDATION")
    assert forced[-1]["c"].startswith("autoclose-")
    assert public.frames[0]["o"]["S"] == "SELL"


async def test_margin_call_and_leverage_change_are_announced(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(10), D(40000))
    async with user_stream(desk) as user:
        await desk.client.set_leverage(7, BTC)
        desk.server.market.set_price("BTCUSDT", D(30100))
        await until(lambda: "MARGIN_CALL" in user.events())
    config = next(f for f in user.frames if f["e"] == "ACCOUNT_CONFIG_UPDATE")
    assert config["ac"] == {"s": "BTCUSDT", "l": 7}
    call = next(f for f in user.frames if f["e"] == "MARGIN_CALL")
    assert (call["p"][0]["s"], call["p"][0]["pa"]) == ("BTCUSDT", "10")


async def test_seeded_position_changes_without_an_event(desk: Desk) -> None:
    async with user_stream(desk) as user:
        desk.ledger.set_position("BTCUSDT", D(1), D(40000))
        desk.ledger.deposit("USDT", D(1))
        await until(lambda: user.frames)
    assert [f["a"]["m"] for f in user.frames] == ["DEPOSIT"]


# ---- listen keys --------------------------------------------------------------------------------


async def test_listen_key_is_kept_renewed_and_ended(desk: Desk) -> None:
    post, put = desk.client.fapiPrivatePostListenKey, desk.client.fapiPrivatePutListenKey
    first = (await post())["listenKey"]
    assert (await post())["listenKey"] == first
    assert (await put())["listenKey"] == first
    await desk.client.fapiPrivateDeleteListenKey()
    with pytest.raises(Exception, match="-1125"):
        await put()
    assert (await post())["listenKey"] != first


async def test_expired_listen_key_says_so_and_then_nothing(desk: Desk) -> None:
    async with user_stream(desk) as user:
        desk.server.accounts[KEY].listen_key_expires_ms = 0
        await until(lambda: user.frames)
        assert user.events() == ["listenKeyExpired"]
        desk.ledger.deposit("USDT", D(1))
        async with user_stream(desk) as fresh:
            desk.ledger.deposit("USDT", D(2))
            await until(lambda: fresh.frames)
    assert user.events() == ["listenKeyExpired"]


async def test_listen_key_can_die_in_silence(desk: Desk) -> None:
    async with user_stream(desk) as user:
        desk.server.expire_listen_key(KEY, silently=True)
        desk.ledger.deposit("USDT", D(1))
        with pytest.raises(Exception, match="-1125"):
            await desk.client.fapiPrivatePutListenKey()
        assert not user.socket.closed
    assert user.frames == []


# ---- market streams -----------------------------------------------------------------------------


async def test_prices_arrive_through_ccxt(desk: Desk) -> None:
    client, market = desk.client, desk.server.market
    desk.server.heartbeat_s = 0.1
    market.set_price("BTCUSDT", D("41000.05"), index=D(40990))
    mark = await soon(client.watch_mark_price(BTC))
    assert (mark["markPrice"], mark["indexPrice"]) == (41000.05, 40990)
    quote = (await soon(client.watch_bids_asks([BTC])))[BTC]
    assert (quote["bid"], quote["ask"]) == (41000, 41000.1)
    assert (await soon(client.watch_ticker(BTC)))["last"] == 41000
    assert (await soon(client.watch_ohlcv(BTC, "1m")))[-1][4] == 41000
    assert (await soon(client.watch_trades(BTC)))[-1]["price"] == 41000


async def test_all_mark_prices_arrive_in_one_frame(desk: Desk) -> None:
    marks = await soon(desk.client.watch_mark_prices())
    assert {BTC, ETH} <= set(marks)


async def test_book_stays_whole_over_price_changes(desk: Desk) -> None:
    for mark in (D(40000), D(40100), D(39900)):
        watching = asyncio.create_task(desk.client.watch_order_book(BTC))
        await asyncio.sleep(0.3)
        desk.server.market.set_price("BTCUSDT", mark)
        book = await soon(watching)
    await until(lambda: desk.client.orderbooks[BTC]["bids"][0][0] == 39899.9)
    book = desk.client.orderbooks[BTC]
    assert book["asks"][0][0] == 39900.1
    assert len(book["bids"]) == desk.server.data.depth_levels


async def test_streams_from_the_path_are_raw_or_combined(desk: Desk) -> None:
    path = "/market/stream?streams=btcusdt@markPrice@1s/ethusdt@aggTrade"
    async with listening(desk, path) as both, listening(desk, "/public/ws/btcusdt@depth5") as raw:
        desk.server.market.set_price("BTCUSDT", D(41000))
        desk.server.market.set_price("ETHUSDT", D(2600))
        await until(lambda: len(both.frames) >= 2 and raw.frames)
    streams = {frame["stream"]: frame["data"]["e"] for frame in both.frames}
    assert streams == {"btcusdt@markPrice@1s": "markPriceUpdate", "ethusdt@aggTrade": "aggTrade"}
    assert len(raw.frames[0]["b"]) == 5


async def test_subscriptions_change_while_connected(desk: Desk) -> None:
    async with listening(desk, "/public/ws") as feed:
        send = feed.socket.send_json
        await send({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1})
        await until(lambda: feed.frames == [{"result": None, "id": 1}])
        desk.server.market.set_price("BTCUSDT", D(41000))
        await until(lambda: "bookTicker" in feed.events())
        await send({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        await until(lambda: {"result": ["btcusdt@bookTicker"], "id": 2} in feed.frames)
        await send({"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 3})
        await until(lambda: {"result": None, "id": 3} in feed.frames)
        count = len(feed.frames)
        desk.server.market.set_price("BTCUSDT", D(42000))
        await send({"method": "WISH", "id": 4})
        await until(lambda: len(feed.frames) > count)
    assert feed.frames[count]["error"]["code"] == 2


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("/public/ws", {"bookTicker"}),
        ("/market/ws", {"markPriceUpdate"}),
        ("/ws", {"bookTicker"}),
    ],
)
async def test_wrong_route_is_accepted_and_stays_silent(
    desk: Desk, path: str, heard: set[str]
) -> None:
    async with listening(desk, path) as feed:
        names = ["btcusdt@bookTicker", "btcusdt@markPrice@1s"]
        await feed.socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        await until(lambda: feed.frames)
        desk.server.market.set_price("BTCUSDT", D(41000))
        await until(lambda: len(feed.frames) >= 2)
    assert feed.frames[0] == {"result": None, "id": 1}
    assert set(feed.events()[1:]) == heard


async def test_mark_prices_come_without_any_change(desk: Desk) -> None:
    desk.server.heartbeat_s = 0.05
    async with listening(desk, "/market/ws/btcusdt@markPrice@1s/btcusdt@markPrice") as feed:
        await until(lambda: len(feed.frames) >= 8)
    assert set(feed.events()) == {"markPriceUpdate"}


async def test_ping_is_answered(desk: Desk) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{desk.server.ws_url}/market/ws", autoping=False) as socket,
    ):
        await socket.ping(b"are you there")
        message = await soon(socket.receive())
    assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"are you there")
