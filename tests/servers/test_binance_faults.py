"""Faults planted in the Binance USD-M server strike as said, and only as often as said."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt  # type: ignore[import-untyped]
import pytest

from tests.servers.binance_client import (
    BTC,
    KEY,
    Desk,
    listening,
    open_desk,
    soon,
    until,
    user_stream,
)

D = Decimal
ORDER = {"method": "POST", "path": "/fapi/v1/order"}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


async def buy(desk: Desk, client_id: str = "rb1") -> Any:
    return await desk.client.create_order(
        BTC, "market", "buy", 1, None, {"clientOrderId": client_id}
    )


# ---- replies of orders --------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "booked"), [("reply_lost", 1), ("request_lost", 0)])
async def test_lost_connection_hides_whether_the_order_exists(
    desk: Desk, kind: str, booked: int
) -> None:
    desk.server.faults.add(kind, match=ORDER)
    with pytest.raises(ccxt.NetworkError):
        await buy(desk)
    assert len(desk.ledger.orders) == booked
    assert desk.server.faults.struck[kind] == 1
    assert (await buy(desk, "rb2"))["status"] == "closed"


@pytest.mark.parametrize("booked", [True, False])
async def test_unknown_result_code_with_and_without_an_order(desk: Desk, booked: bool) -> None:
    desk.server.faults.add("ambiguous", match=ORDER, booked=booked)
    with pytest.raises(ccxt.RequestTimeout, match="-1007"):
        await buy(desk)
    if booked:
        found = await desk.client.fetch_order(None, BTC, {"origClientOrderId": "rb1"})
        assert found["status"] == "closed"
    else:
        with pytest.raises(ccxt.OrderNotFound):
            await desk.client.fetch_order(None, BTC, {"origClientOrderId": "rb1"})


async def test_late_order_is_booked_after_its_error(desk: Desk) -> None:
    desk.server.faults.add("accept_late", match=ORDER, seconds=0.2, code=-1007)
    with pytest.raises(ccxt.RequestTimeout):
        await buy(desk)
    assert desk.ledger.orders == {}
    await until(lambda: desk.ledger.orders)
    assert len(desk.server.orders_received()) == 1


async def test_late_order_keeps_the_time_it_arrived_at(desk: Desk) -> None:
    desk.client.options["recvWindow"] = 100
    desk.server.faults.add("accept_late", match=ORDER, seconds=0.4)
    with pytest.raises(ccxt.NetworkError):
        await buy(desk)
    await until(lambda: desk.ledger.orders)


async def test_slow_order_is_booked_even_when_the_client_left(desk: Desk) -> None:
    desk.server.faults.add("accept_delayed", match=ORDER, seconds=0.3)
    desk.client.timeout = 100
    with pytest.raises(ccxt.RequestTimeout):
        await buy(desk)
    assert desk.ledger.orders == {}
    await until(lambda: desk.ledger.orders)


async def test_delayed_reply_leaves_a_time_in_which_the_order_exists(desk: Desk) -> None:
    desk.server.faults.add("reply_delayed", match=ORDER, seconds=0.3)
    task = asyncio.create_task(buy(desk))
    await until(lambda: desk.ledger.orders)
    assert not task.done()
    assert (await soon(task))["status"] == "closed"


@pytest.mark.parametrize(
    ("kind", "error", "status", "retry_after"),
    [
        ("rate_limited", ccxt.DDoSProtection, 429, "7"),
        ("banned", ccxt.DDoSProtection, 418, "7"),
        ("server_error", ccxt.OperationFailed, 503, None),
        ("maintenance", ccxt.OnMaintenance, 503, None),
        ("reply_html", ccxt.ExchangeNotAvailable, 502, None),
    ],
)
async def test_refusals_have_no_effect(
    desk: Desk, kind: str, error: type[Exception], status: int, retry_after: str | None
) -> None:
    desk.server.faults.add(kind, match=ORDER, retry_after=7)
    with pytest.raises(error):
        await buy(desk)
    assert desk.server.requests[-1].status == status
    assert desk.client.last_response_headers.get("Retry-After") == retry_after
    assert desk.ledger.orders == {}


@pytest.mark.parametrize(
    ("kind", "code"),
    [("market_rejected", -4131), ("insufficient_margin", -2019), ("min_notional", -4164)],
)
async def test_planted_order_refusals(desk: Desk, kind: str, code: int) -> None:
    desk.server.faults.add(kind)
    with pytest.raises(ccxt.ExchangeError, match=str(code)):
        await buy(desk)
    assert desk.ledger.orders == {}


async def test_planted_reduce_only_refusal_spares_other_orders(desk: Desk) -> None:
    desk.server.faults.add("reduce_only_rejected", times=None)
    await buy(desk)
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        await desk.client.create_order(BTC, "market", "sell", 1, None, {"reduceOnly": True})


async def test_partial_fill_leaves_the_rest_expired(desk: Desk) -> None:
    desk.server.faults.add("partial_fill", ratio="0.4")
    order = await buy(desk)
    assert (order["status"], order["filled"]) == ("expired", 0.4)
    assert (await buy(desk, "rb2"))["filled"] == 1


@pytest.mark.parametrize(
    ("phase", "words"), [("cancel_only", "-4141"), ("maintenance", "under maintenance")]
)
async def test_venue_phases(desk: Desk, phase: str, words: str) -> None:
    resting = await desk.client.create_order(BTC, "limit", "buy", 1, 30000)
    desk.server.market.phase = phase  # type: ignore[assignment]
    with pytest.raises(ccxt.BaseError, match=words):
        await buy(desk)
    if phase == "cancel_only":
        await desk.client.cancel_order(resting["id"], BTC)
    else:
        assert (await desk.client.fetch_status())["status"] == "maintenance"
    desk.server.market.phase = "trading"
    assert (await buy(desk, "rb2"))["status"] == "closed"


# ---- wrong answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [("reply_empty", ""), ("reply_null", "null"), ("reply_empty_object", "{}")],
)
async def test_hollow_replies(desk: Desk, kind: str, body: str) -> None:
    desk.server.faults.add(kind, match={"path": "/fapi/v3/positionRisk"})
    url = f"{desk.server.rest_url}/fapi/v3/positionRisk"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        assert (reply.status, await reply.text()) == (401, body)


async def test_truncated_and_nan_replies(desk: Desk) -> None:
    path = {"path": "/fapi/v3/account"}
    desk.server.faults.add("reply_truncated", match=path)
    # ccxt hands half a document on as text, and finds no asset in it.
    assert "USDT" not in await desk.client.fetch_balance()
    desk.server.faults.add("reply_nan", match=path)
    raw = await desk.client.fapiPrivateV3GetAccount()
    assert math.isnan(float(raw["totalWalletBalance"]))
    assert (await desk.client.fetch_balance())["USDT"]["total"] == 100_000


async def test_position_list_can_be_cut_emptied_or_stale(desk: Desk) -> None:
    faults = desk.server.faults
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    desk.ledger.set_position("ETHUSDT", D(1), D(2500))
    faults.add("positions_cut", keep=1)
    assert len(await desk.client.fetch_positions()) == 1
    faults.add("reply_empty_list", match={"path": "positionRisk"})
    assert await desk.client.fetch_positions() == []
    stale = faults.add("positions_stale", times=None)
    await desk.client.fetch_positions()
    desk.ledger.set_position("BTCUSDT", D(0), D(0))
    assert len(await desk.client.fetch_positions()) == 2
    faults.remove(stale)
    assert len(await desk.client.fetch_positions()) == 1


async def test_open_order_list_can_be_cut(desk: Desk) -> None:
    await desk.client.create_order(BTC, "limit", "buy", 1, 30000)
    desk.server.faults.add("open_orders_cut")
    assert await desk.client.fetch_open_orders(BTC) == []
    assert len(await desk.client.fetch_open_orders(BTC)) == 1


# ---- user stream --------------------------------------------------------------------------------


async def deposits(desk: Desk, count: int) -> None:
    for number in range(1, count + 1):
        desk.ledger.deposit("USDT", D(number))


@pytest.mark.parametrize(
    ("kind", "arrived"),
    [
        ("frame_dropped", [2, 3]),
        ("frame_duplicated", [1, 1, 2, 3]),
        ("frame_reordered", [2, 1, 3]),
        ("frame_delayed", [2, 3, 1]),
    ],
)
async def test_user_frames_can_be_disturbed(desk: Desk, kind: str, arrived: list[int]) -> None:
    async with user_stream(desk) as user:
        desk.server.faults.add(kind, seconds=0.1)
        await deposits(desk, 3)
        await until(lambda: len(user.frames) == len(arrived))
    assert [int(D(f["a"]["B"][0]["bc"])) for f in user.frames] == arrived


async def test_undecodable_and_unknown_frames_precede_the_real_one(desk: Desk) -> None:
    key = (await desk.client.fapiPrivatePostListenKey())["listenKey"]
    url = f"{desk.server.ws_url}/private/ws?listenKey={key}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await until(lambda: any(c.kind == "user" for c in desk.server.connections))
        desk.server.faults.add("frame_undecodable", match={"socket": "user"})
        desk.server.faults.add("frame_unknown", match={"socket": "user"})
        desk.ledger.deposit("USDT", D(1))
        texts = [(await soon(socket.receive())).data for _ in range(3)]
    with pytest.raises(json.JSONDecodeError):
        json.loads(texts[0])
    assert [json.loads(text)["e"] for text in texts[1:]] == ["SOMETHING_NEW", "ACCOUNT_UPDATE"]


async def test_user_stream_can_fall_silent_with_the_socket_open(desk: Desk) -> None:
    async with user_stream(desk) as user:
        fault = desk.server.faults.add("user_silent", times=None)
        await deposits(desk, 2)
        desk.server.faults.remove(fault)
        await deposits(desk, 1)
        await until(lambda: user.frames)
        assert not user.socket.closed
    assert len(user.frames) == 1


async def collect(socket: aiohttp.ClientWebSocketResponse, kinds: list[aiohttp.WSMsgType]) -> None:
    while True:
        kinds.append((await socket.receive()).type)


# ---- market data --------------------------------------------------------------------------------


async def test_price_frames_can_be_garbage(desk: Desk) -> None:
    desk.server.heartbeat_s = 60
    async with listening(desk, "/public/ws/btcusdt@bookTicker") as feed:
        desk.server.faults.add("price_garbage", value="NaN")
        desk.server.market.set_price("BTCUSDT", D(41000))
        desk.server.market.set_price("BTCUSDT", D(42000))
        await until(lambda: len(feed.frames) >= 2)
    prices = [frame["b"] for frame in feed.frames]
    assert prices[:2] == ["NaN", "41999.90"]


async def test_venue_time_can_stand_still(desk: Desk) -> None:
    desk.server.heartbeat_s = 0.05
    async with listening(desk, "/market/ws/btcusdt@markPrice@1s") as feed:
        desk.server.faults.add("timestamps_frozen", times=None)
        await until(lambda: len(feed.frames) >= 5)
    assert len({frame["E"] for frame in feed.frames[-4:]}) == 1


@pytest.mark.parametrize("kind", ["sockets_silent", "market_silent"])
async def test_silent_sockets_do_not_even_answer_pings(desk: Desk, kind: str) -> None:
    desk.server.heartbeat_s = 0.02
    url = f"{desk.server.ws_url}/market/ws/btcusdt@markPrice@1s"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, autoping=False) as socket,
    ):
        kinds: list[aiohttp.WSMsgType] = []
        reader = asyncio.create_task(collect(socket, kinds))
        await until(lambda: kinds)
        desk.server.faults.add(kind, times=None)
        await socket.ping(b"x")
        await asyncio.sleep(0.2)
        count = len(kinds)
        await asyncio.sleep(0.3)
        assert len(kinds) == count
        assert aiohttp.WSMsgType.PONG not in kinds
        desk.server.faults.clear()
        await until(lambda: len(kinds) > count)
        reader.cancel()


async def test_sockets_can_be_refused_and_cut(desk: Desk) -> None:
    async with listening(desk, "/market/ws/btcusdt@markPrice@1s") as feed:
        desk.server.drop_sockets("market")
        await until(lambda: feed.socket.closed)
    desk.server.faults.add("sockets_refused", times=1)
    url = f"{desk.server.ws_url}/market/ws"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
        await (await session.ws_connect(url)).close()


async def test_venue_vanishes_and_returns_on_the_same_port(desk: Desk) -> None:
    port = desk.server.port
    await desk.server.stop()
    with pytest.raises(ccxt.NetworkError):
        await desk.client.fetch_balance()
    await desk.server.start()
    assert desk.server.port == port
    assert (await desk.client.fetch_balance())["USDT"]["total"] == 100_000


# ---- control ------------------------------------------------------------------------------------


async def test_stand_alone_process_is_steered_over_control() -> None:
    command = [sys.executable, "-m", "tests.servers.binance_usdm"]
    options = ["--key", KEY, "--position", "BTCUSDT=1@40000", "--balance", "USDT=5000"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *options,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        line = (await soon(process.stdout.readline(), 20)).decode()
        url = line.split("control on ")[1].strip()
        async with aiohttp.ClientSession() as session:

            async def ask(**body: Any) -> tuple[int, Any]:
                async with session.post(url, json=body) as reply:
                    return reply.status, await reply.json()

            assert (await ask(op="set_price", symbol="BTCUSDT", mark="41000"))[0] == 200
            assert (await ask(op="deposit", asset="USDT", amount="10"))[0] == 200
            status, sold = await ask(op="place", symbol="BTCUSDT", side="sell", quantity="0.5")
            assert (status, sold["result"]["status"]) == (200, "filled")
            assert (await ask(op="fault", kind="reply_lost"))[0] == 200
            assert (await ask(op="fault", kind="nonsense"))[0] == 400
            assert (await ask(op="wish"))[0] == 400
            async with session.get(url) as reply:
                state = await reply.json()
    finally:
        process.terminate()
        await process.wait()
    account = state["accounts"][KEY]
    assert D(account["positions"][0]["quantity"]) == D("0.5")
    assert state["marks"]["BTCUSDT"] == "41000"
    assert [fault["kind"] for fault in state["faults"]] == ["reply_lost"]
