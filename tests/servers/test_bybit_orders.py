"""Orders on the Bybit server, placed, amended, triggered and refused, by plain ccxt.pro."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import ccxt.pro as ccxt
import pytest

from tests.servers.bybit import BybitServer
from tests.servers.bybit_client import BTC, D, connect, refused, running
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


async def test_market_order_fills_and_reports(server: BybitServer, client: Any) -> None:
    made = await client.create_order(BTC, "market", "buy", 0.5, None, {"clientOrderId": "rb-1"})
    assert made["clientOrderId"] == "rb-1"
    order = await client.fetch_closed_order(made["id"], BTC)
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.5, 40000.1)
    (trade,) = await client.fetch_my_trades(BTC)
    assert (trade["order"], trade["takerOrMaker"], trade["amount"]) == (made["id"], "taker", 0.5)
    assert trade["fee"] == {"cost": 11.0000275, "currency": "USDT", "rate": 0.00055}
    assert server.ledger.positions["BTCUSDT", "both"].quantity == D("0.5")
    assert [r.params["orderLinkId"] for r in server.orders_received()] == ["rb-1"]


async def test_limit_order_rests_amends_and_cancels(server: BybitServer, client: Any) -> None:
    made = await client.create_order(BTC, "limit", "buy", 1, 39000)
    (order,) = await client.fetch_open_orders(BTC)
    assert (order["status"], order["price"], order["remaining"]) == ("open", 39000, 1)
    await client.edit_order(made["id"], BTC, "limit", "buy", 2, 38500)
    (order,) = await client.fetch_open_orders(BTC)
    assert (order["price"], order["amount"]) == (38500, 2)
    await client.cancel_order(made["id"], BTC)
    (order,) = await client.fetch_canceled_orders(BTC)
    assert order["info"]["cancelType"] == "CancelByUser"
    assert await client.fetch_open_orders(BTC) == []
    assert await refused(ccxt.OrderNotFound, client.cancel_order(made["id"], BTC)) == 110001
    late = client.edit_order(made["id"], BTC, "limit", "buy", 3, 38000)
    assert await refused(ccxt.OrderNotFound, late) == 110001


async def test_client_id_finds_an_order_after_it_ended(client: Any) -> None:
    await client.create_order(BTC, "market", "buy", 0.1, None, {"clientOrderId": "rb-7"})
    query = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "rb-7"}
    found = (await client.private_get_v5_order_realtime(query))["result"]["list"]
    assert [row["orderStatus"] for row in found] == ["Filled"]
    again = client.create_order(BTC, "market", "buy", 0.1, None, {"clientOrderId": "rb-7"})
    assert await refused(ccxt.InvalidOrder, again) == 110072
    bad = client.create_order(BTC, "market", "buy", 0.1, None, {"clientOrderId": "x" * 37})
    assert await refused(ccxt.BadRequest, bad) == 10001


async def conditional(client: Any, side: str, price: float, rising: bool, **more: Any) -> Any:
    direction = "ascending" if rising else "descending"
    params = {"triggerPrice": price, "triggerDirection": direction, **more}
    return await client.create_order(BTC, "market", side, 0.5, None, params)


async def test_conditional_order_keeps_its_id_when_it_triggers(
    server: BybitServer, client: Any
) -> None:
    await client.create_order(BTC, "market", "buy", 0.5)
    made = await conditional(client, "sell", 39000, rising=False, reduceOnly=True)
    (order,) = await client.fetch_open_orders(BTC)
    assert order["info"]["orderStatus"] == "Untriggered"
    assert order["info"]["stopOrderType"] == "Stop"
    assert (order["triggerPrice"], order["reduceOnly"]) == (39000, True)
    server.market.set_price("BTCUSDT", D(38900))
    done = await client.fetch_closed_order(made["id"], BTC)
    assert (done["status"], done["filled"]) == ("closed", 0.5)
    assert server.ledger.positions["BTCUSDT", "both"].quantity == 0


@pytest.mark.parametrize(
    ("price", "rising", "code"), [(39000, True, 110092), (41000, False, 110093)]
)
async def test_conditional_order_on_the_wrong_side(
    client: Any, price: float, rising: bool, code: int
) -> None:
    made = conditional(client, "sell", price, rising=rising)
    assert await refused(ccxt.InvalidOrder, made) == code


async def test_cancel_all_takes_every_kind_or_the_kind_asked_for(client: Any) -> None:
    async def open_kinds() -> list[str]:
        return sorted(o["info"]["orderStatus"] for o in await client.fetch_open_orders(BTC))

    async def fill() -> None:
        await client.create_order(BTC, "limit", "buy", 0.5, 39000)
        await conditional(client, "sell", 38000, rising=False)

    await fill()
    await client.cancel_all_orders(BTC, {"trigger": True})
    assert await open_kinds() == ["New"]
    await fill()
    await client.cancel_all_orders(BTC, {"orderFilter": "Order"})
    assert await open_kinds() == ["Untriggered"]
    await fill()
    await client.cancel_all_orders(BTC)
    assert await open_kinds() == []
    ended = await client.fetch_canceled_and_closed_orders(BTC, params={"orderFilter": "StopOrder"})
    assert {o["info"]["orderStatus"] for o in ended} == {"Deactivated"}
    bare = client.private_post_v5_order_cancel_all({"category": "linear"})
    assert await refused(ccxt.BadRequest, bare) == 10001


async def test_open_orders_come_twenty_a_page(server: BybitServer, client: Any) -> None:
    for number in range(22):
        server.ledger.place(
            Order("BTCUSDT", "buy", D("0.01"), type="limit", price=D(30000 + number))
        )
    assert len(await client.fetch_open_orders(BTC)) == 20
    assert len(await client.fetch_open_orders(BTC, params={"paginate": True})) == 22


async def test_post_only_that_would_take_is_accepted_then_cancelled(client: Any) -> None:
    made = await client.create_order(BTC, "limit", "buy", 0.1, 40100, {"postOnly": True})
    (order,) = await client.fetch_canceled_orders(BTC)
    assert order["id"] == made["id"]
    assert order["info"]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"


async def test_contract_limit_price_is_moved_into_the_band(client: Any) -> None:
    await client.create_order(BTC, "limit", "sell", 0.1, 30000, {"timeInForce": "IOC"})
    (order,) = await client.fetch_closed_orders(BTC)
    assert order["price"] == 39600  # 1 % below mark
    assert order["average"] == 39999.9


@pytest.mark.parametrize(
    ("amount", "params", "kind", "code"),
    [
        (0.5, {"reduceOnly": True}, ccxt.InvalidOrder, 110017),
        (0.5, {"positionIdx": 1}, ccxt.BadRequest, 10001),
        (100, {}, ccxt.InsufficientFunds, 110007),
    ],
)
async def test_contract_refusals(
    client: Any, amount: float, params: Any, kind: type[Exception], code: int
) -> None:
    made = client.create_order(BTC, "market", "sell", amount, None, params)
    assert await refused(kind, made) == code


async def test_too_small_value_but_not_for_closing(server: BybitServer, client: Any) -> None:
    await client.load_markets()
    doge = "DOGE/USDT:USDT"
    small = client.create_order(doge, "market", "buy", 60)
    assert await refused(ccxt.InvalidOrder, small) == 110094
    server.ledger.set_position("DOGEUSDT", D(60), D("0.08"))
    await client.create_order(doge, "market", "sell", 60, None, {"reduceOnly": True})
    assert server.ledger.positions["DOGEUSDT", "both"].quantity == 0


async def test_reduce_only_is_cut_to_the_position(server: BybitServer, client: Any) -> None:
    server.ledger.set_position("BTCUSDT", D("0.3"), D(40000))
    await client.create_order(BTC, "market", "sell", 0.5, None, {"reduceOnly": True})
    assert server.ledger.positions["BTCUSDT", "both"].quantity == 0
    assert server.ledger.fills[-1].quantity == D("0.3")


async def test_hedge_mode_holds_both_sides(server: BybitServer, client: Any) -> None:
    await client.set_position_mode(True, BTC)
    assert await refused(ccxt.NoChange, client.set_position_mode(True, BTC)) == 110025
    one_way = client.create_order(BTC, "market", "buy", 0.5)
    assert await refused(ccxt.BadRequest, one_way) == 10001
    await client.create_order(BTC, "market", "buy", 0.5, None, {"hedged": True})
    await client.create_order(BTC, "market", "sell", 0.2, None, {"hedged": True})
    held = {p["side"]: p["contracts"] for p in await client.fetch_positions()}
    assert held == {"long": 0.5, "short": 0.2}
    closing = {"hedged": True, "reduceOnly": True}
    await client.create_order(BTC, "market", "sell", 0.5, None, closing)
    held = {p["side"]: p["contracts"] for p in await client.fetch_positions()}
    assert held == {"short": 0.2}
    both = await client.fetch_positions([BTC])
    assert [(p["info"]["positionIdx"], p["contracts"]) for p in both] == [(1, 0), (2, 0.2)]
    assert await refused(ccxt.BadRequest, client.set_position_mode(False, BTC)) == 110024
    eth = await client.create_order("ETH/USDT:USDT", "market", "buy", 1)
    assert eth["id"]  # other symbols stay in one-way mode


async def test_leverage(client: Any) -> None:
    await client.set_leverage(20, BTC)
    assert (await client.fetch_leverage(BTC))["longLeverage"] == 20
    assert await refused(ccxt.BadRequest, client.set_leverage(20, BTC)) == 110043


async def test_protective_orders_of_a_position(server: BybitServer, client: Any) -> None:
    await client.load_markets()
    stop = {"category": "linear", "symbol": "BTCUSDT", "tpslMode": "Full", "positionIdx": 0}
    early = client.private_post_v5_position_trading_stop({**stop, "stopLoss": "39000"})
    assert await refused(ccxt.BadRequest, early) == 10001
    await client.create_order(BTC, "market", "buy", 1, None, {"takeProfit": 44000})
    await client.private_post_v5_position_trading_stop({**stop, "stopLoss": "39000"})
    (position,) = await client.fetch_positions()
    assert (position["takeProfitPrice"], position["stopLossPrice"]) == (44000, 39000)
    kinds = {o["info"]["stopOrderType"] for o in await client.fetch_open_orders(BTC)}
    assert kinds == {"TakeProfit", "StopLoss"}
    server.market.set_price("BTCUSDT", D(38900))
    assert await client.fetch_positions() == []
    assert await client.fetch_open_orders(BTC) == []  # the take profit went with the position


async def test_spot_trades_and_refusals(server: BybitServer, client: Any) -> None:
    spot = "BTC/USDT"
    await client.create_order(spot, "market", "buy", 0.5)
    balances = server.ledger.balances
    assert balances["BTC"] == D("0.5") * (1 - D("0.00055"))
    (trade,) = await client.fetch_my_trades(spot)
    assert (trade["symbol"], trade["fee"]["currency"]) == (spot, "BTC")
    assert await client.fetch_positions() == []
    codes = {
        170131: (ccxt.InsufficientFunds, client.create_order(spot, "market", "sell", 5)),
        170140: (ccxt.InvalidOrder, client.create_order(spot, "market", "sell", 0.0001)),
        170193: (ccxt.InvalidOrder, client.create_order(spot, "limit", "buy", 0.1, 60000)),
        170213: (ccxt.OrderNotFound, client.cancel_order("1", spot)),
    }
    for code, (kind, request) in codes.items():
        assert await refused(kind, request) == code
    made = await client.create_order(spot, "limit", "sell", 0.1, 42000)
    stop = await client.create_order(spot, "market", "sell", 0.1, None, {"triggerPrice": 38000})
    assert {o["id"] for o in await client.fetch_open_orders(spot)} == {made["id"], stop["id"]}
    await client.cancel_all_orders(spot)
    assert [o["id"] for o in await client.fetch_open_orders(spot)] == [stop["id"]]
    await client.cancel_order(stop["id"], spot, {"trigger": True})
    assert await client.fetch_open_orders(spot) == []


async def test_inverse_contracts_settle_in_coin(server: BybitServer, client: Any) -> None:
    server.ledger.deposit("BTC", D(1))
    inverse = "BTC/USD:BTC"
    await client.create_order(inverse, "market", "buy", 20000)
    server.market.set_price("BTCUSD", D(42000))
    await client.create_order(inverse, "market", "sell", 20000, None, {"reduceOnly": True})
    opened, closed = await client.fetch_my_trades(inverse)
    assert opened["info"]["execValue"] == str(round(D(20000) / D("40000.5"), 8))
    assert closed["fee"]["currency"] == "BTC"
    (row,) = (await client.private_get_v5_position_closed_pnl({"category": "inverse"}))["result"][
        "list"
    ]
    profit = 20000 * (1 / D("40000.5") - 1 / D("41999.5"))
    assert D(row["avgEntryPrice"]) == pytest.approx(D("40000.5"), abs=D("0.001"))
    assert D(row["closedPnl"]) == pytest.approx(
        profit - server.ledger.fills[-1].fee, abs=D("0.00000001")
    )


async def test_batches_answer_for_each_part(server: BybitServer, client: Any) -> None:
    parts: list[Any] = [
        {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.1, "price": 39000},
        {"symbol": BTC, "type": "limit", "side": "buy", "amount": 100, "price": 39000},
    ]
    good, bad = await client.create_orders(parts)
    assert (good["status"], bad["status"]) == (None, "rejected")
    assert bad["info"]["code"] == 110007
    (done,) = await client.cancel_orders([good["id"]], BTC)
    assert done["id"] == good["id"]
    assert server.ledger.open_orders() == []
