"""The Bybit server as plain ccxt.pro clients see it: market, account, orders, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt.pro as ccxt
import pytest

from tests.servers.bybit import BybitServer
from tests.servers.ledger_types import Instrument, Order

BTC = "BTC/USDT:USDT"
D = Decimal


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    venue = BybitServer()
    venue.add_account("key", "secret", balance={"USDT": D(100_000)})
    await venue.start()
    yield venue
    await venue.stop()


@pytest.fixture
async def client(server: BybitServer) -> AsyncIterator[Any]:
    exchange = connect(server)
    yield exchange
    await exchange.close()


def connect(server: BybitServer, key: str = "key", secret: str = "secret") -> Any:
    return ccxt.bybit({"apiKey": key, "secret": secret, **server.ccxt_config()})


async def soon(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, 10)


def code_of(error: BaseException) -> int:
    text = str(error)
    return int(json.loads(text[text.index("{") :])["retCode"])


async def refused(kind: type[Exception], awaitable: Any) -> int:
    """Return the venue's code of a request that must raise exactly this class."""
    with pytest.raises(kind) as caught:
        await soon(awaitable)
    assert type(caught.value) is kind
    return code_of(caught.value)


async def test_lists_contracts_and_spot_pairs_of_the_same_name(client: Any) -> None:
    markets = await client.load_markets()
    linear, spot, inverse = markets[BTC], markets["BTC/USDT"], markets["BTC/USD:BTC"]
    assert linear["id"] == spot["id"] == "BTCUSDT"
    assert (linear["linear"], inverse["inverse"], spot["spot"]) == (True, True, True)
    assert linear["limits"]["cost"]["min"] == 5
    assert linear["precision"] == {"amount": 0.001, "price": 0.1} | {
        k: v for k, v in linear["precision"].items() if k not in ("amount", "price")
    }
    assert inverse["contractSize"] == 1
    assert markets["BTC/USDC:USDC"]["id"] == "BTCPERP"


async def test_pages_instruments_with_a_cursor(server: BybitServer, client: Any) -> None:
    for number in range(30):
        name = f"C{number}USDT"
        server.market.add(Instrument(name, f"C{number}", "USDT", "USDT"), D(10))
    query = {"category": "linear", "limit": 10}
    first = (await client.public_get_v5_market_instruments_info(query))["result"]
    cursor = first["nextPageCursor"]
    second = await client.public_get_v5_market_instruments_info({**query, "cursor": cursor})
    names = [row["symbol"] for part in (first, second["result"]) for row in part["list"]]
    assert len(names) == len(set(names)) == 20
    assert "C29/USDT:USDT" in await client.load_markets()


async def test_public_prices(server: BybitServer, client: Any) -> None:
    server.market.set_price("BTCUSDT", D(41000), bid=D("40999.5"), ask=D("41000.5"), index=D(41010))
    ticker = await client.fetch_ticker(BTC)
    assert (ticker["bid"], ticker["ask"], ticker["markPrice"]) == (40999.5, 41000.5, 41000)
    assert ticker["indexPrice"] == 41010
    book = await client.fetch_order_book(BTC, 5)
    assert (book["bids"][0][0], book["asks"][0][0], len(book["bids"])) == (40999.5, 41000.5, 5)
    candles = await client.fetch_ohlcv(BTC, "1m", limit=3)
    assert candles[-1][4] == 41000
    tiers = await client.fetch_market_leverage_tiers(BTC)
    assert tiers[0]["maintenanceMarginRate"] == 0.005
    assert (await client.fetch_funding_rate(BTC))["fundingRate"] == 0.0001
    assert abs(await client.fetch_time() - server.now_ms()) < 5000


async def test_wallet_counts_profit_and_every_collateral(server: BybitServer, client: Any) -> None:
    ledger = server.ledger
    ledger.deposit("BTC", D(1))
    ledger.set_position("BTCUSDT", D(2), D(39000))
    balance = await client.fetch_balance()
    row = balance["info"]["result"]["list"][0]
    assert D(row["totalEquity"]) == D(100_000) + D(2000) + D(40_000)
    assert D(row["totalPerpUPL"]) == 2000
    assert D(row["totalInitialMargin"]) == 8000
    assert D(row["totalMaintenanceMargin"]) == 400
    coin = next(c for c in row["coin"] if c["coin"] == "USDT")
    assert (D(coin["equity"]), D(coin["walletBalance"])) == (102_000, 100_000)
    assert coin["availableToWithdraw"] == ""
    assert balance["USDT"]["total"] == 100_000


async def test_position_rows(server: BybitServer, client: Any) -> None:
    server.ledger.set_position("BTCUSDT", D("-1.5"), D(39000))
    server.ledger.set_position("BTCUSD", D(30000), D(38000))
    (short,) = await client.fetch_positions()
    assert (short["side"], short["contracts"], short["entryPrice"]) == ("short", 1.5, 39000)
    assert D(short["info"]["positionValue"]) == D("58500")  # at entry, not at mark
    assert short["unrealizedPnl"] == -1500
    assert short["leverage"] == 10
    (inverse,) = await client.fetch_positions(None, {"subType": "inverse"})
    assert (inverse["side"], inverse["contracts"]) == ("long", 30000)
    assert D(inverse["info"]["unrealisedPnl"]) == round(D(30000) * (1 / D(38000) - 1 / D(40000)), 8)
    (flat,) = await client.fetch_positions(["ETH/USDT:USDT"])
    assert (flat["contracts"], flat["info"]["side"]) == (0, "")
    missing = client.private_get_v5_position_list({"category": "linear"})
    assert await refused(ccxt.BadRequest, missing) == 10001


async def test_position_list_is_paged(server: BybitServer, client: Any) -> None:
    for number in range(25):
        name = f"C{number}USDT"
        server.market.add(Instrument(name, f"C{number}", "USDT", "USDT"), D(10))
        server.ledger.set_position(name, D(1), D(10))
    query = {"category": "linear", "settleCoin": "USDT"}
    sizes, cursor = [], ""
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        result = (await client.private_get_v5_position_list(asked))["result"]
        sizes.append(len(result["list"]))
        cursor = result["nextPageCursor"]
        if not cursor:
            break
    assert sizes == [20, 5, 0]  # a cursor comes with the last page too
    assert len(await client.fetch_positions()) == 25


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


async def test_money_records(server: BybitServer, client: Any) -> None:
    ledger = server.ledger
    ledger.set_position("BTCUSDT", D(1), D(40000))
    ledger.deposit("USDT", D(500))
    ledger.withdraw("USDT", D(200))
    ledger.apply_funding("BTCUSDT", D("0.0001"))
    await client.create_order(BTC, "market", "sell", 1, None, {"reduceOnly": True})
    rows = (await client.private_get_v5_account_transaction_log({}))["result"]["list"]
    assert [row["type"] for row in rows] == ["TRADE", "SETTLEMENT", "TRANSFER_OUT", "TRANSFER_IN"]
    assert [D(row["change"]) for row in rows[1:]] == [-4, -200, 500]
    trade = rows[0]
    assert D(trade["change"]) == D(trade["cashFlow"]) - D(trade["fee"])
    assert D(trade["cashBalance"]) == ledger.balances["USDT"]
    (deposit,) = await client.fetch_deposits("USDT")
    assert (deposit["amount"], deposit["status"]) == (500, "ok")
    (withdrawal,) = await client.fetch_withdrawals("USDT")
    assert withdrawal["amount"] == 200
    types = {row["type"] for row in await client.fetch_ledger("USDT")}
    assert types == {"trade", "transaction"}
    funding = await client.fetch_funding_history(BTC)
    assert [abs(row["amount"]) for row in funding] == [4]


async def test_own_transfers_are_not_deposits(server: BybitServer, client: Any) -> None:
    account = server.accounts["key"]
    account.funding_wallet["USDT"] = D(1000)
    denied = client.transfer("USDT", 100, "FUND", "UNIFIED")
    assert await refused(ccxt.PermissionDenied, denied) == 10005
    account.rights.permissions["Wallet"] = ["AccountTransfer"]
    await client.transfer("USDT", 100, "FUND", "UNIFIED")
    assert server.ledger.balances["USDT"] == 100_100
    assert account.funding_wallet["USDT"] == 900
    assert await client.fetch_deposits("USDT") == []
    (row,) = await client.fetch_transfers("USDT")
    assert row["amount"] == 100


async def test_wrong_secret_key_and_clock(server: BybitServer) -> None:
    forger, stranger, late = (
        connect(server, secret="no"),
        connect(server, key="no"),
        connect(server),
    )
    try:
        assert await refused(ccxt.AuthenticationError, forger.fetch_balance()) == 10004
        assert await refused(ccxt.AuthenticationError, stranger.fetch_balance()) == 10003
        fault = server.faults.add("clock_skew", None, ms=-2000)
        assert await refused(ccxt.InvalidNonce, late.fetch_balance()) == 10002
        server.faults.remove(fault)
        assert (await late.fetch_balance())["USDT"]["total"] == 100_000
        with pytest.raises(ccxt.ExchangeError):
            await soon(forger.watch_orders())
    finally:
        for exchange in (forger, stranger, late):
            await exchange.close()
    assert server.orders_received() == []


async def test_key_rights(server: BybitServer, client: Any) -> None:
    rights = server.accounts["key"].rights
    shown = (await client.private_get_v5_user_query_api())["result"]
    assert (shown["readOnly"], shown["ips"], shown["uta"]) == (0, ["*"], 1)
    assert shown["permissions"]["Wallet"] == []
    assert int(shown["deadlineDay"]) > 0
    rights.is_read_only = True
    await client.fetch_balance()
    order = client.create_order(BTC, "market", "buy", 0.1)
    assert await refused(ccxt.PermissionDenied, order) == 10005
    rights.ips = ["10.1.2.3"]
    assert await refused(ccxt.PermissionDenied, client.fetch_balance()) == 10010
    rights.ips = ["127.0.0.1"]
    shown = (await client.private_get_v5_user_query_api())["result"]
    assert (shown["readOnly"], int(shown["deadlineDay"])) == (1, -2)
    rights.expired = True
    assert await refused(ccxt.AuthenticationError, client.fetch_balance()) == 33004


async def test_rate_limit_of_a_path_leaves_other_paths_alone(
    server: BybitServer, client: Any
) -> None:
    await client.load_markets()
    client.enableRateLimit = False
    orders = [client.create_order(BTC, "limit", "buy", 0.01, 39000 + i) for i in range(15)]
    outcomes = await asyncio.gather(*orders, return_exceptions=True)
    limited = [o for o in outcomes if isinstance(o, ccxt.RateLimitExceeded)]
    assert len(limited) == 5
    assert {code_of(error) for error in limited} == {10006}
    assert client.last_response_headers["X-Bapi-Limit-Status"] == "0"
    await client.cancel_all_orders(BTC)
    assert server.ledger.open_orders() == []


async def test_dead_mans_switch_is_armed_only_where_granted(
    server: BybitServer, client: Any
) -> None:
    query = client.private_get_v5_account_query_dcp_info
    assert (await client.cancel_all_orders_after(10_000))["retCode"] == 0
    assert (await query())["result"]["dcpInfos"] == []
    account = server.accounts["key"]
    account.dcp_granted.add("DERIVATIVES")
    await client.cancel_all_orders_after(5_000)
    (info,) = (await query())["result"]["dcpInfos"]
    assert info == {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "5"}
    assert await refused(ccxt.BadRequest, client.cancel_all_orders_after(1_000)) == 10001
