"""Which Binance USD-M endpoint is answered by what, with its security and weight.

A table; handlers live in `binance_{account,settings,trade,orders,market}.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.servers import binance_account as account
from tests.servers import binance_market as market
from tests.servers import binance_orders as orders
from tests.servers import binance_rows as rows
from tests.servers import binance_settings as settings
from tests.servers import binance_trade as trade
from tests.servers.binance_account import Call
from tests.servers.binance_errors import ApiError
from tests.servers.binance_streams import MarketStreams

Handler = Callable[[Call], Any]
Security = Literal["none", "key", "signed"]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: its handler, security, and weight with and without a symbol."""

    handler: Handler
    security: Security = "signed"
    weight: int = 1
    weight_all: int | None = None
    handler_name: str = ""

    def weigh(self, params: Mapping[str, Any]) -> int:
        """Return the request weight."""
        if self.weight_all is not None and not params.get("symbol"):
            return self.weight_all
        return self.weight


def _unused(call: Call) -> Any:
    raise NotImplementedError


class Routes:
    """The table of endpoints."""

    def __init__(self, streams: MarketStreams) -> None:
        self._streams = streams
        self._table = self._public() | _account_routes() | _trade_routes() | _wallet_routes()

    def find(self, method: str, path: str) -> Route | None:
        """Return the endpoint of a request, None when there is none."""
        return self._table.get((method, path))

    def _public(self) -> dict[tuple[str, str], Route]:
        def get(path: str, handler: Handler, weight: int = 1, every: int | None = None) -> None:
            table["GET", path] = Route(handler, "none", weight, every)

        table: dict[tuple[str, str], Route] = {}
        get("/fapi/v1/ping", lambda call: {})
        get("/fapi/v1/time", lambda call: {"serverTime": call.market.now_ms()})
        get("/fapi/v1/exchangeInfo", lambda call: market.exchange_info(call.market))
        get("/fapi/v1/premiumIndex", _each(lambda c, n: market.premium_index(c.market, n)), 1, 10)
        get("/fapi/v1/fundingRate", _funding_history)
        get("/fapi/v1/fundingInfo", lambda call: [], 0)
        get("/fapi/v1/ticker/24hr", _each(lambda c, n: market.day_ticker(c.data, n)), 1, 40)
        get("/fapi/v1/ticker/price", _each(_last_price), 1, 2)
        get("/fapi/v2/ticker/price", _each(_last_price), 1, 2)
        get("/fapi/v1/ticker/bookTicker", _each(lambda c, n: market.book_ticker(c.data, n)), 2, 5)
        get("/fapi/v1/depth", self._depth, 10)
        get("/fapi/v1/klines", _klines, 5)
        get("/fapi/v1/markPriceKlines", _klines, 5)
        get("/fapi/v1/aggTrades", self._trades("aggTrade"), 20)
        get("/fapi/v1/trades", self._trades("trade"), 5)
        get("/fapi/v1/openInterest", _open_interest)
        get("/fapi/v1/assetIndex", _asset_index, 1, 10)
        get("/sapi/v1/system/status", _system_status)
        return table

    def _depth(self, call: Call) -> Any:
        name = call.symbol()
        document = market.depth(call.data, name, call.integer("limit", 500) or 500)
        return document | {"lastUpdateId": self._streams.book_id(name)}

    def _trades(self, channel: str) -> Handler:
        def handler(call: Call) -> Any:
            stream = f"{call.symbol().lower()}@{channel}"
            row = next(self._streams.payloads(stream, None))
            if channel == "aggTrade":
                return [{key: row[key] for key in ("a", "p", "q", "f", "l", "T", "m")}]
            names = {"id": "t", "price": "p", "qty": "q", "time": "T", "isBuyerMaker": "m"}
            return [{key: row[short] for key, short in names.items()} | {"quoteQty": row["p"]}]

        return handler


def _each(row: Callable[[Call, str], dict[str, Any]]) -> Handler:
    return lambda call: market.one_or_all(call.market, call.params, lambda name: row(call, name))


def _last_price(call: Call, name: str) -> dict[str, Any]:
    last = rows.price(call.market.instruments[name], call.market.lasts[name])
    return {"symbol": name, "price": last, "time": call.market.now_ms()}


def _funding_history(call: Call) -> Any:
    now = call.market.now_ms()
    row = market.premium_index(call.market, call.symbol())
    return [
        {
            "symbol": row["symbol"],
            "fundingTime": market.next_funding_ms(now) - 8 * market.HOUR_MS,
            "fundingRate": row["lastFundingRate"],
            "markPrice": row["markPrice"],
        }
    ]


def _klines(call: Call) -> Any:
    interval = str(call.params.get("interval", ""))
    if interval not in market.INTERVALS_MS:
        raise ApiError(-1120, "Invalid interval.")
    limit = min(call.integer("limit", 500) or 500, 1500)
    end = call.integer("endTime") or call.market.now_ms()
    if interval == "1d":
        return call.data.days(call.symbol(), call.integer("startTime"), end, limit)
    candles = call.data.klines(call.symbol(), interval, limit, end)
    start = call.integer("startTime") or 0
    return [candle for candle in candles if candle[0] >= start]


def _open_interest(call: Call) -> Any:
    return {"symbol": call.symbol(), "openInterest": "10659.509", "time": call.market.now_ms()}


def _asset_index(call: Call) -> Any:
    wanted = str(call.params.get("symbol", ""))
    table = [market.asset_index(call.market, asset) for asset in market.MARGIN_ASSETS]
    if not wanted:
        return table
    found = next((row for row in table if row["symbol"] == wanted), None)
    if found is None:
        raise ApiError(-1121)
    return found


def _system_status(call: Call) -> Any:
    is_down = call.market.phase == "maintenance"
    return {"status": int(is_down), "msg": "system_maintenance" if is_down else "normal"}


def _account_routes() -> dict[tuple[str, str], Route]:
    listen_key = Route(_unused, "key", handler_name="listen_key")
    hedge = Route(lambda call: {"dualSidePosition": call.ledger.hedge_mode}, weight=30)
    multi = Route(lambda call: {"multiAssetsMargin": call.ledger.multi_asset}, weight=30)
    return {
        ("POST", "/fapi/v1/listenKey"): listen_key,
        ("PUT", "/fapi/v1/listenKey"): listen_key,
        ("DELETE", "/fapi/v1/listenKey"): listen_key,
        ("GET", "/fapi/v2/account"): Route(account.account(2), weight=5),
        ("GET", "/fapi/v3/account"): Route(account.account(3), weight=5),
        ("GET", "/fapi/v2/balance"): Route(account.balance(2), weight=5),
        ("GET", "/fapi/v3/balance"): Route(account.balance(3), weight=5),
        ("GET", "/fapi/v2/positionRisk"): Route(account.position_risk(2), weight=5),
        ("GET", "/fapi/v3/positionRisk"): Route(account.position_risk(3), weight=5),
        ("GET", "/fapi/v1/accountConfig"): Route(settings.account_config, weight=5),
        ("GET", "/fapi/v1/symbolConfig"): Route(settings.symbol_config, weight=5),
        ("GET", "/fapi/v1/leverageBracket"): Route(settings.leverage_brackets),
        ("POST", "/fapi/v1/leverage"): Route(settings.set_leverage),
        ("POST", "/fapi/v1/marginType"): Route(settings.set_margin_type),
        ("GET", "/fapi/v1/positionSide/dual"): hedge,
        ("POST", "/fapi/v1/positionSide/dual"): Route(settings.set_position_mode),
        ("GET", "/fapi/v1/multiAssetsMargin"): multi,
        ("POST", "/fapi/v1/multiAssetsMargin"): Route(settings.set_multi_assets),
        ("GET", "/fapi/v1/commissionRate"): Route(settings.commission_rate, weight=20),
        ("GET", "/fapi/v1/apiTradingStatus"): Route(settings.trading_status, weight_all=10),
        ("GET", "/fapi/v1/adlQuantile"): Route(settings.adl_quantile, weight=5),
        ("GET", "/fapi/v1/income"): Route(account.income, weight=30),
        ("GET", "/fapi/v1/userTrades"): Route(account.user_trades, weight=5),
    }


def _trade_routes() -> dict[tuple[str, str], Route]:
    return {
        ("POST", "/fapi/v1/order"): Route(trade.new_order, weight=0),
        ("POST", "/fapi/v1/order/test"): Route(trade.try_order, weight=0),
        ("GET", "/fapi/v1/order"): Route(orders.get_order),
        ("PUT", "/fapi/v1/order"): Route(orders.amend_order, weight=0),
        ("DELETE", "/fapi/v1/order"): Route(orders.cancel_order),
        ("GET", "/fapi/v1/openOrder"): Route(orders.get_open_order),
        ("GET", "/fapi/v1/openOrders"): Route(orders.open_orders, weight_all=40),
        ("GET", "/fapi/v1/allOrders"): Route(orders.all_orders, weight=5),
        ("DELETE", "/fapi/v1/allOpenOrders"): Route(orders.cancel_all),
        ("POST", "/fapi/v1/countdownCancelAll"): Route(orders.countdown, weight=10),
        ("POST", "/fapi/v1/batchOrders"): Route(trade.new_batch, weight=5),
        ("PUT", "/fapi/v1/batchOrders"): Route(trade.amend_batch, weight=5),
        ("DELETE", "/fapi/v1/batchOrders"): Route(trade.cancel_batch),
        ("GET", "/fapi/v1/forceOrders"): Route(orders.force_orders, weight=20, weight_all=50),
        ("POST", "/fapi/v1/algoOrder"): Route(trade.new_algo_order, weight=0),
        ("GET", "/fapi/v1/algoOrder"): Route(orders.get_algo_order),
        ("DELETE", "/fapi/v1/algoOrder"): Route(orders.cancel_algo_order),
        ("GET", "/fapi/v1/openAlgoOrders"): Route(orders.open_algo_orders, weight_all=40),
        ("GET", "/fapi/v1/allAlgoOrders"): Route(orders.all_algo_orders, weight=5),
        ("DELETE", "/fapi/v1/algoOpenOrders"): Route(orders.cancel_all_algo),
    }


def _wallet_routes() -> dict[tuple[str, str], Route]:
    # The wallet API counts against its own limit, hence weight zero here.
    return {
        ("GET", "/sapi/v1/account/apiRestrictions"): Route(settings.api_restrictions, weight=0),
        ("GET", "/sapi/v1/capital/config/getall"): Route(settings.coins, weight=0),
        ("GET", "/sapi/v1/margin/allPairs"): Route(lambda call: [], "key", weight=0),
        ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(lambda call: [], "key", weight=0),
    }
