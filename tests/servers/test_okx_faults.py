"""Faults and phases of the OKX server, as an unmodified ccxt.pro client meets them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import ccxt.pro  # type: ignore[import-untyped]
import pytest

from tests.servers.okx import OkxServer
from tests.servers.okx_client import ID, SWAP, D, connect, follows, server, until, within

__all__ = ["connect", "server"]

ORDERS = {"path": "trade/"}


async def open_position(server: OkxServer, connect: Any) -> Any:
    server.ledger.set_position(ID, D("0.1"), D(40000))
    okx = connect()
    await okx.load_markets()
    return okx


# ---- replies ------------------------------------------------------------------------------------


async def test_lost_reply_leaves_the_order_booked(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    server.faults.add("reply_lost", match=ORDERS)
    params = {"clientOrderId": "rb1", "reduceOnly": True}
    with pytest.raises(ccxt.NetworkError):
        await okx.create_order(SWAP, "market", "sell", 10, None, params)
    order = await okx.fetch_order("", SWAP, {"clientOrderId": "rb1"})
    assert (order["status"], order["filled"]) == ("closed", 10)
    assert len(server.orders_received()) == 1


async def test_lost_request_leaves_nothing(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    server.faults.add("request_lost", match=ORDERS)
    with pytest.raises(ccxt.NetworkError):
        await okx.create_order(SWAP, "market", "sell", 10, None, {"clientOrderId": "rb1"})
    with pytest.raises(ccxt.OrderNotFound, match='"51603"'):
        await okx.fetch_order("", SWAP, {"clientOrderId": "rb1"})


@pytest.mark.parametrize("booked", [True, False])
async def test_endpoint_timeout_says_nothing_of_the_order(
    server: OkxServer, connect: Any, booked: bool
) -> None:
    okx = await open_position(server, connect)
    server.faults.add("ambiguous", match=ORDERS, booked=booked)
    with pytest.raises(ccxt.RequestTimeout, match='"50004"'):
        await okx.create_order(SWAP, "market", "sell", 10)
    assert (server.ledger.positions[ID, "both"].quantity == 0) is booked


async def test_late_acceptance_comes_after_the_refusal(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    server.faults.add("accept_late", match=ORDERS, seconds=0.1, code="50004")
    with pytest.raises(ccxt.RequestTimeout):
        await okx.create_order(SWAP, "market", "sell", 10)
    await until(lambda: server.ledger.positions[ID, "both"].quantity == 0)


@pytest.mark.parametrize(
    ("kind", "params", "error", "code"),
    [
        ("rate_limited", {"retry_after": 2}, ccxt.RateLimitExceeded, "50011"),
        ("maintenance", {}, ccxt.OnMaintenance, "50001"),
        ("server_error", {}, ccxt.ExchangeNotAvailable, "50026"),
        ("server_error", {"code": "50013", "status": 503}, ccxt.ExchangeNotAvailable, "50013"),
        ("banned", {}, ccxt.BaseError, "403"),
        ("reply_html", {}, ccxt.BaseError, "502"),
        ("error", {"code": "51008"}, ccxt.InsufficientFunds, "51008"),
    ],
)
async def test_refusals_have_no_effect(
    server: OkxServer,
    connect: Any,
    kind: str,
    params: dict[str, Any],
    error: type[Exception],
    code: str,
) -> None:
    okx = await open_position(server, connect)
    server.faults.add(kind, match=ORDERS, **params)
    with pytest.raises(error, match=code):
        await okx.create_order(SWAP, "market", "sell", 10)
    assert not server.ledger.orders
    assert server.faults.struck == {kind: 1}
    await okx.create_order(SWAP, "market", "sell", 10)
    assert server.ledger.positions[ID, "both"].quantity == 0


async def test_documented_rate_limit_is_enforced_per_endpoint(server: OkxServer) -> None:
    async with aiohttp.ClientSession() as session:
        statuses = []
        for _ in range(11):
            async with session.get(f"{server.rest_url}/api/v5/public/time") as reply:
                statuses.append(reply.status)
                body = await reply.json()
    assert statuses == [200] * 10 + [429]
    assert body["code"] == "50011"


# ---- orders and phases --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "params", "error", "code"),
    [
        ("market_rejected", {}, ccxt.InvalidOrder, "51109"),
        ("reduce_only_rejected", {"reduceOnly": True}, ccxt.ExchangeError, "51169"),
        ("insufficient_margin", {}, ccxt.InsufficientFunds, "51008"),
        ("min_notional", {}, ccxt.InvalidOrder, "51020"),
    ],
)
async def test_planted_order_refusals_strike_once(
    server: OkxServer,
    connect: Any,
    kind: str,
    params: dict[str, Any],
    error: type[Exception],
    code: str,
) -> None:
    okx = await open_position(server, connect)
    server.faults.add(kind, match={"symbol": ID})
    with pytest.raises(error, match=f'"{code}"'):
        await okx.create_order(SWAP, "market", "sell", 10, None, params)
    await okx.create_order(SWAP, "market", "sell", 10, None, params)
    assert server.ledger.positions[ID, "both"].quantity == 0


async def test_partial_fill_cancels_the_rest_of_a_market_order(
    server: OkxServer, connect: Any
) -> None:
    okx = await open_position(server, connect)
    server.faults.add("partial_fill", ratio="0.3")
    placed = await okx.create_order(SWAP, "market", "sell", 10)
    order = await okx.fetch_order(placed["id"], SWAP)
    assert (order["filled"], order["status"]) == (3, "canceled")
    assert server.ledger.positions[ID, "both"].quantity == D("0.07")


async def test_maintenance_phase_stops_trading(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    resting = await okx.create_order(SWAP, "limit", "buy", 1, 30000)
    server.market.phase = "maintenance"
    with pytest.raises(ccxt.OnMaintenance, match='"50001"'):
        await okx.create_order(SWAP, "market", "sell", 10)
    with pytest.raises(ccxt.OnMaintenance, match='"50001"'):
        await okx.cancel_order(resting["id"], SWAP)
    assert (await okx.fetch_status())["status"] == "maintenance"


async def test_cancel_only_phase_lets_cancels_through(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    resting = await okx.create_order(SWAP, "limit", "buy", 1, 30000)
    server.market.phase = "cancel_only"
    with pytest.raises(ccxt.ContractUnavailable, match='"51022"'):
        await okx.create_order(SWAP, "market", "sell", 10)
    await okx.cancel_order(resting["id"], SWAP)
    assert not server.ledger.open_orders()


# ---- wrong answers ------------------------------------------------------------------------------


async def test_position_list_is_cut_or_stale(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    server.ledger.set_position("ETH-USDT-SWAP", D(1), D(2500))
    server.faults.add("positions_cut", keep=1)
    assert len(await okx.fetch_positions()) == 1
    assert len(await okx.fetch_positions()) == 2
    server.faults.add("positions_stale")
    await okx.create_order(SWAP, "market", "sell", 10)
    assert len(await okx.fetch_positions()) == 2
    assert len(await okx.fetch_positions()) == 1


async def test_open_order_list_is_cut(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    await okx.create_order(SWAP, "limit", "buy", 1, 30000)
    server.faults.add("open_orders_cut")
    assert await okx.fetch_open_orders() == []
    assert len(await okx.fetch_open_orders()) == 1


# ---- websockets ---------------------------------------------------------------------------------


async def raw(server: OkxServer, path: str, session: aiohttp.ClientSession) -> Any:
    return await session.ws_connect(f"{server.ws_url}/ws/v5/{path}")


async def test_ping_is_answered_with_text(server: OkxServer) -> None:
    async with aiohttp.ClientSession() as session:
        socket = await raw(server, "public", session)
        await socket.send_str("ping")
        assert await within(socket.receive_str()) == "pong"


@pytest.mark.parametrize(
    ("path", "request_", "code"),
    [
        ("public", {"op": "subscribe", "args": [{"channel": "tickers", "instId": "X"}]}, "60018"),
        ("public", {"op": "subscribe", "args": [{"channel": "account"}]}, "60018"),
        ("private", {"op": "subscribe", "args": [{"channel": "account"}]}, "60011"),
        ("public", {"op": "dance", "args": []}, "60019"),
        ("public", {"args": []}, "60012"),
        ("private", {"op": "login", "args": [{"apiKey": "nobody"}]}, "60005"),
    ],
)
async def test_wrong_socket_requests_are_refused(
    server: OkxServer, path: str, request_: dict[str, Any], code: str
) -> None:
    async with aiohttp.ClientSession() as session:
        socket = await raw(server, path, session)
        await socket.send_json(request_)
        reply = await within(socket.receive_json())
        assert (reply["event"], reply["code"]) == ("error", code)


async def test_idle_socket_is_closed_by_the_venue(server: OkxServer) -> None:
    server.idle_seconds = 0.2
    async with aiohttp.ClientSession() as session:
        socket = await raw(server, "public", session)
        message = await within(socket.receive())
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 4004


async def test_snapshot_of_positions_comes_in_pages(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    server.ledger.set_position("ETH-USDT-SWAP", D(1), D(2500))
    server.publisher.page_size = 1
    first = await within(okx.watch_positions())
    assert len(first) == 1
    await until(lambda: len(okx.positions) == 2)


async def test_silent_user_stream_keeps_its_socket(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    await within(okx.watch_positions())
    server.faults.add("user_silent", times=None)
    watched = asyncio.ensure_future(okx.watch_positions())
    await okx.create_order(SWAP, "market", "sell", 10)
    with pytest.raises(TimeoutError):
        await within(asyncio.shield(watched), 0.3)
    assert follows(server, "positions")
    server.faults.clear()
    await okx.create_order(SWAP, "market", "buy", 10)
    assert await within(watched)


async def test_frames_are_duplicated_and_reordered(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    watched = asyncio.ensure_future(okx.watch_orders())
    await until(lambda: follows(server, "orders"))
    server.faults.add("frame_duplicated", times=2, match={"event": "orders"})
    await okx.create_order(SWAP, "market", "sell", 5)
    await within(watched)
    await until(lambda: okx.orders[-1]["status"] == "closed")
    assert len(okx.orders) == 1
    assert server.faults.struck["frame_duplicated"] == 2
    server.faults.add("frame_reordered", match={"event": "orders"})
    await okx.create_order(SWAP, "market", "sell", 5)
    # The filled state overtakes the acceptance, which arrives last.
    await until(lambda: len(okx.orders) == 2 and okx.orders[-1]["status"] == "open")


async def test_market_frames_can_lie(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await within(okx.watch_mark_prices([SWAP]))
    server.faults.add("timestamps_frozen", times=None)
    frozen = server.faults.active[0].params["ms"]
    server.faults.add("price_garbage", match={"event": "mark-price"}, value="0")
    watched = asyncio.ensure_future(okx.watch_mark_prices([SWAP]))
    await asyncio.sleep(0.05)
    server.market.set_price(ID, D(41000))
    lie = (await within(watched))[SWAP]["info"]
    assert (lie["markPx"], lie["ts"]) == ("0", str(frozen))
    truth = (await within(okx.watch_mark_prices([SWAP])))[SWAP]["info"]
    assert (truth["markPx"], truth["ts"]) == ("41000", str(frozen))


async def test_refused_sockets_end_the_watch(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await okx.load_markets()
    server.faults.add("sockets_refused")
    with pytest.raises(ccxt.NetworkError):
        await within(okx.watch_mark_prices([SWAP]))
    assert await within(okx.watch_mark_prices([SWAP]))


async def test_forced_closes_say_so(server: OkxServer, connect: Any) -> None:
    okx = await open_position(server, connect)
    watched = asyncio.ensure_future(okx.watch_orders())
    await until(lambda: follows(server, "orders"))
    server.ledger.liquidate(ID)
    await within(watched)
    row = (await okx.private_get_trade_orders_history({"instType": "SWAP"}))["data"][0]
    assert (row["category"], row["clOrdId"], row["tradeId"]) == ("full_liquidation", "", "0")
    fill = (await okx.private_get_trade_fills())["data"][0]
    assert fill["tradeId"].startswith("-")
    assert (await okx.private_get_account_bills())["data"][0]["type"] == "5"


async def test_control_route_moves_prices_and_shows_state(server: OkxServer) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{server.rest_url}/control"
        body = {"op": "set_price", "symbol": ID, "mark": "39000"}
        async with session.post(url, json=body) as reply:
            assert reply.status == 200
        async with session.get(url) as reply:
            state = await reply.json()
    assert state["venue"] == "okx"
    assert state["marks"][ID] == "39000"
