"""Binance's other kinds of account, COIN-M and spot, on a server that answers from documents."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from riskbot.clock import SystemClock
from riskbot.core import actions, events
from riskbot.core.model import InstrumentKind, RejectReason, Side
from riskbot.exchanges import exchange_class
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.unified import UnifiedExchange
from tests.exchanges.venues import order

D = Decimal
PERP = "BTC/USD:BTC"
SPOT = "BTC/USDT"

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": "0.1"},
    {"filterType": "LOT_SIZE", "stepSize": "1", "maxQty": "60000", "minQty": "1"},
    {"filterType": "MARKET_LOT_SIZE", "stepSize": "1", "maxQty": "600", "minQty": "1"},
]
COIN_INFO = {
    "timezone": "UTC", "serverTime": 1700000000000, "rateLimits": [], "exchangeFilters": [],
    "symbols": [
        {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "contractType": "PERPETUAL",
         "deliveryDate": 4133404800000, "onboardDate": 1597042800000, "contractStatus": "TRADING",
         "contractSize": 100, "marginAsset": "BTC", "maintMarginPercent": "2.5000",
         "requiredMarginPercent": "5.0000", "baseAsset": "BTC", "quoteAsset": "USD",
         "pricePrecision": 1, "quantityPrecision": 0, "baseAssetPrecision": 8,
         "quotePrecision": 8, "equalQtyPrecision": 4, "filters": FILTERS,
         "orderTypes": ["LIMIT", "MARKET", "STOP"], "timeInForce": ["GTC", "IOC"]},
    ],
}  # fmt: skip
SPOT_INFO = {
    "timezone": "UTC", "serverTime": 1700000000000, "rateLimits": [], "exchangeFilters": [],
    "symbols": [
        {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8,
         "quoteAsset": "USDT", "quotePrecision": 8, "quoteAssetPrecision": 8,
         "orderTypes": ["LIMIT", "MARKET"], "isSpotTradingAllowed": True,
         "isMarginTradingAllowed": False, "permissions": [], "permissionSets": [["SPOT"]],
         "filters": [
             {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000",
              "tickSize": "0.01"},
             {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000",
              "stepSize": "0.00001"},
             {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True,
              "maxNotional": "9000000", "avgPriceMins": 5},
         ]},
    ],
}  # fmt: skip
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/dapi/v1/exchangeInfo"): COIN_INFO,
    ("GET", "/dapi/v1/time"): {"serverTime": 1700000000000},
    ("GET", "/dapi/v1/account"): {
        "assets": [
            {"asset": "BTC", "walletBalance": "0.50000000", "unrealizedProfit": "0.00100000",
             "marginBalance": "0.50100000", "maintMargin": "0.00300000",
             "initialMargin": "0.01", "positionInitialMargin": "0.01",
             "openOrderInitialMargin": "0", "maxWithdrawAmount": "0.49",
             "crossWalletBalance": "0.5", "crossUnPnl": "0.001", "availableBalance": "0.49"},
        ],
        "positions": [{"symbol": "BTCUSD_PERP", "positionAmt": "-40", "positionSide": "BOTH"}],
        "canDeposit": True, "canTrade": True, "canWithdraw": True, "feeTier": 2, "updateTime": 0,
    },
    ("GET", "/dapi/v1/positionRisk"): [
        {"symbol": "BTCUSD_PERP", "positionAmt": "-40", "entryPrice": "41000.0",
         "markPrice": "40000.00000000", "unRealizedProfit": "0.00243902",
         "liquidationPrice": "90000", "leverage": "10", "maxQty": "100", "marginType": "cross",
         "isolatedMargin": "0.00000000", "isAutoAddMargin": "false", "positionSide": "BOTH",
         "notionalValue": "-0.1", "isolatedWallet": "0", "updateTime": 1627026881327},
    ],
    ("GET", "/dapi/v1/openOrders"): [
        {"avgPrice": "0.0", "clientOrderId": "rb1", "cumBase": "0", "executedQty": "0",
         "orderId": 1917641, "origQty": "40", "origType": "STOP_MARKET", "price": "0",
         "reduceOnly": False, "side": "BUY", "positionSide": "BOTH", "status": "NEW",
         "stopPrice": "45000", "closePosition": True, "symbol": "BTCUSD_PERP",
         "time": 1579276756075, "timeInForce": "GTC", "type": "STOP_MARKET",
         "updateTime": 1579276756075, "workingType": "CONTRACT_PRICE", "priceProtect": False},
    ],
    ("GET", "/dapi/v1/positionSide/dual"): {"dualSidePosition": False},
    ("GET", "/dapi/v1/premiumIndex"): [
        {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "markPrice": "40000.0", "indexPrice": "40010",
         "time": 1700000000000},
    ],
    ("GET", "/dapi/v1/ticker/bookTicker"): [
        {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "bidPrice": "39999", "bidQty": "9",
         "askPrice": "40001", "askQty": "9", "time": 1700000000000},
    ],
    ("POST", "/dapi/v1/order"): {
        "clientOrderId": "rb2", "cumQty": "20", "cumBase": "0.05", "executedQty": "20",
        "orderId": 22542179, "avgPrice": "40001", "origQty": "20", "price": "0",
        "reduceOnly": True, "side": "BUY", "positionSide": "BOTH", "status": "FILLED",
        "stopPrice": "0", "closePosition": False, "symbol": "BTCUSD_PERP", "pair": "BTCUSD",
        "timeInForce": "GTC", "type": "MARKET", "updateTime": 1700000000000,
    },
    ("GET", "/api/v3/exchangeInfo"): SPOT_INFO,
    ("GET", "/api/v3/time"): {"serverTime": 1700000000000},
    ("GET", "/api/v3/account"): {
        "makerCommission": 15, "canTrade": True, "updateTime": 123456789, "accountType": "SPOT",
        "balances": [{"asset": "BTC", "free": "0.40000000", "locked": "0.10000000"},
                     {"asset": "USDT", "free": "1000.00000000", "locked": "0.00000000"},
                     {"asset": "LTC", "free": "0.00000000", "locked": "0.00000000"}],
    },
    ("GET", "/api/v3/openOrders"): [
        {"symbol": "BTCUSDT", "orderId": 1, "orderListId": -1, "clientOrderId": "mine",
         "price": "50000.00", "origQty": "0.1", "executedQty": "0.0",
         "cummulativeQuoteQty": "0.0", "status": "NEW", "timeInForce": "GTC", "type": "LIMIT",
         "side": "SELL", "stopPrice": "0.0", "icebergQty": "0.0", "time": 1499827319559,
         "updateTime": 1499827319559, "isWorking": True, "origQuoteOrderQty": "0.000000"},
    ],
    ("GET", "/api/v3/ticker/bookTicker"): {
        "symbol": "BTCUSDT", "bidPrice": "39999", "bidQty": "4", "askPrice": "40001", "askQty": "9",
    },
    ("GET", "/api/v3/ticker/price"): {"symbol": "BTCUSDT", "price": "40000.5"},
    ("POST", "/api/v3/order"): {
        "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "rb2",
        "transactTime": 1507725176595, "price": "0.0", "origQty": "0.25",
        "executedQty": "0.25", "cummulativeQuoteQty": "10000.0", "status": "FILLED",
        "timeInForce": "GTC", "type": "MARKET", "side": "SELL",
    },
}  # fmt: skip


@asynccontextmanager
async def opened(venue_id: str) -> AsyncIterator[tuple[UnifiedExchange, list[Any]]]:
    received: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        received.append((request.method, request.path, {**request.query, **await request.post()}))
        known = ANSWERS.get((request.method, request.path))
        if known is None:
            return web.json_response({"code": -5000, "msg": "Path not found"}, status=404)
        return web.json_response(known)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    urls = {
        "dapiPublic": f"{base}/dapi/v1", "dapiPrivate": f"{base}/dapi/v1",
        "dapiPrivateV2": f"{base}/dapi/v2", "public": f"{base}/api/v3",
        "private": f"{base}/api/v3",
    }  # fmt: skip
    exchange = exchange_class(venue_id)(
        "main", venue_id, Credentials("key", "secret"),
        {"urls": {"api": urls}, "timeout_on_exit": 0}, (), SystemClock(), random.Random(1),
        lambda: False,
    )  # fmt: skip
    assert isinstance(exchange, UnifiedExchange)
    try:
        await exchange.open(())
        yield exchange, received
    finally:
        await exchange.close()
        await runner.cleanup()


async def test_coin_margined_account_is_read_in_face_value() -> None:
    async with opened("binancecoinm") as (exchange, _):
        snapshot = await exchange.snapshot()
        (position,) = snapshot.positions
        assert (position.symbol, position.quantity) == (PERP, D(-4000))
        assert exchange.instrument(PERP).kind is InstrumentKind.INVERSE
        assert exchange.instrument(PERP).step == D(100)
        assert [(b.asset, b.total) for b in snapshot.balances] == [("BTC", D("0.5"))]
        assert snapshot.orders is not None
        (stop,) = snapshot.orders
        assert (stop.close_position, stop.stop_price, stop.quantity) == (True, D(45000), D(4000))
        assert snapshot.is_hedge_mode is False


async def test_coin_margined_order_goes_out_in_contracts() -> None:
    async with opened("binancecoinm") as (exchange, received):
        accepted = await exchange.place(
            order(PERP, quantity=D(2050), reduce_only=True, client_order_id="rb2")
        )
        assert isinstance(accepted, events.OrderAccepted)
        assert accepted.filled == D(2000)
        sent = next(params for method, _, params in received if method == "POST")
        assert (sent["quantity"], sent["reduceOnly"], sent["side"]) == ("20", "true", "BUY")


async def test_coin_margined_prices() -> None:
    async with opened("binancecoinm") as (exchange, _):
        found = await exchange.prices((PERP,))
        assert {price.mark for price in found} == {40000.0, None}
        assert {price.bid for price in found} == {39999.0, None}


async def test_spot_account_is_balances_alone() -> None:
    async with opened("binance") as (exchange, _):
        snapshot = await exchange.snapshot()
        assert snapshot.positions == ()
        assert {b.asset: (b.total, b.free) for b in snapshot.balances} == {
            "BTC": (D("0.5"), D("0.4")),
            "USDT": (D(1000), D(1000)),
        }
        assert snapshot.orders is not None
        assert (snapshot.orders[0].side, snapshot.orders[0].price) == (Side.SELL, D(50000))
        assert SPOT in exchange.symbols_of(snapshot)


async def test_spot_sale_of_held_coins_carries_no_contract_parameters() -> None:
    async with opened("binance") as (exchange, received):
        sale = order(SPOT, side=Side.SELL, quantity=D("0.250009"), reduce_only=True,
                     client_order_id="rb2")  # fmt: skip
        assert isinstance(await exchange.place(sale), events.OrderAccepted)
        sent = next(params for method, _, params in received if method == "POST")
        assert sent["quantity"] == "0.25"
        assert "reduceOnly" not in sent
        assert "positionSide" not in sent


async def test_spot_prices_are_book_and_last() -> None:
    async with opened("binance") as (exchange, _):
        found = await exchange.prices((SPOT,))
        assert {price.bid for price in found} == {39999.0, None}
        assert {price.last for price in found} == {40000.5, None}


@pytest.mark.parametrize("venue_id", ["binance", "binancecoinm"])
async def test_key_is_never_shown_to_another_house(venue_id: str) -> None:
    # The restrictions live behind an address of their own: with ours elsewhere it is not asked.
    async with opened(venue_id) as (exchange, _):
        rights = await exchange.key_rights()
        assert (rights.can_trade, rights.can_withdraw) == (None, None)


async def test_every_endpoint_that_is_named_exists() -> None:
    names = {
        "PrivateGetAccount", "PrivateGetPositionRisk", "PrivateGetOpenOrders",
        "PrivateGetOpenAlgoOrders", "PrivateGetPositionSideDual", "PrivatePostOrder",
        "PrivateDeleteOrder", "PrivateDeleteAlgoOrder", "PrivateGetOrder",
        "PrivateGetAllOrders", "PrivateGetUserTrades", "PrivateGetIncome",
        "PrivatePostCountdownCancelAll", "PrivatePutListenKey", "PublicGetPremiumIndex",
        "PublicGetTickerBookTicker",
    }  # fmt: skip
    async with opened("binancecoinm") as (exchange, _):
        api = exchange.client.api
        assert not [name for name in names if not hasattr(api, f"dapi{name}")]
        linear = names - {"PrivateGetAccount", "PrivateGetPositionRisk"}
        assert not [name for name in linear if not hasattr(api, f"fapi{name}")]
        for name in ("privateGetMyTrades", "privateGetAllOrders", "privateDeleteOrder",
                     "privateGetOrder", "publicGetTickerPrice"):  # fmt: skip
            assert hasattr(api, name)


async def test_spot_order_of_nothing_listed_is_refused() -> None:
    async with opened("binance") as (exchange, received):
        count = len(received)
        refused = await exchange.place(order("ETH/USDT"))
        assert isinstance(refused, events.OrderRejected)
        assert refused.reason is RejectReason.UNKNOWN_INSTRUMENT
        assert len(received) == count


async def test_cancel_by_client_id_where_the_venues_is_unknown() -> None:
    async with opened("binance") as (exchange, received):
        await exchange.cancel(
            actions.CancelOrder(
                account="main", symbol=SPOT, order_id="", client_order_id="rb000000000000000a"
            )
        )
        method, path, params = received[-1]
        assert (method, path) == ("DELETE", "/api/v3/order")
        assert params["origClientOrderId"] == "rb000000000000000a"
        assert "orderId" not in params
