"""Bybit's public REST endpoints; each handler turns a query into a result document."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.servers import bybit_prices as prices
from tests.servers.bybit_errors import ApiError
from tests.servers.bybit_market import (
    HOUR_MS,
    Row,
    instrument_row,
    name_of,
    priced,
    risk_row,
    text,
    wanted,
)
from tests.servers.bybit_queries import page
from tests.servers.ledger_types import Instrument

if TYPE_CHECKING:
    from tests.servers.bybit import BybitServer

Query = dict[str, str]


def _only(server: BybitServer, query: Query) -> Instrument:
    if not query.get("symbol"):
        raise ApiError(10001, "params error: symbol invalid")
    return wanted(server.market, {"category": "linear", **query})[0]


def time(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/time."""
    del query
    now = server.now_ms()
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def instruments(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/instruments-info: trading instruments; the other states have none."""
    found = wanted(server.market, query)
    if query.get("status", "Trading") != "Trading":
        found = []
    index = {name: i + 1 for i, name in enumerate(server.market.instruments)}
    rows = [instrument_row(item, index=index[item.id]) for item in found]
    result: Row = {"category": query.get("category"), "list": rows}
    if query.get("category") != "spot":
        part, cursor = page(rows, query, usual=500, most=1000, always_cursor=False)
        result |= {"list": part, "nextPageCursor": cursor}
    return result


def tickers(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/tickers."""
    rows = [
        prices.ticker_row(server.market, item, server.day_of(item.id))
        for item in wanted(server.market, query)
    ]
    return {"category": query.get("category"), "list": rows}


def orderbook(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/orderbook."""
    instrument = _only(server, query)
    usual = "1" if instrument.kind == "spot" else "25"
    bids, asks = prices.book(server.market, instrument, min(500, int(query.get("limit", usual))))
    now = server.stamp()
    return {
        "s": name_of(instrument.id),
        "a": asks,
        "b": bids,
        "ts": now,
        "u": server.update_of(instrument.id),
        "seq": server.update_of(instrument.id) * 10,
        "cts": now,
    }


def kline(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/kline, mark-price-kline and index-price-kline; all follow the last price."""
    instrument = _only(server, query)
    if query.get("interval") == "D":
        rows = prices.day_rows(server.market, instrument, query)
    else:
        rows = prices.kline_rows(server.candles_of(instrument.id), query, server.now_ms())
    return {
        "symbol": name_of(instrument.id),
        "category": query.get("category", "linear"),
        "list": rows,
    }


def price_kline(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/mark-price-kline and index-price-kline, without volumes."""
    result = kline(server, query)
    return result | {"list": [row[:5] for row in result["list"]]}


def recent_trades(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/recent-trade: the trades since the server started."""
    instrument = _only(server, query)
    rows = [
        {
            "execId": trade["i"],
            "symbol": trade["s"],
            "price": trade["p"],
            "size": trade["v"],
            "side": trade["S"],
            "time": str(trade["T"]),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(trade["seq"]),
        }
        for trade in reversed(server.trades.get(instrument.id, []))
    ]
    limit = int(query.get("limit", "60"))
    return {"category": query.get("category", "linear"), "list": rows[:limit]}


def risk_limit(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/risk-limit."""
    category = query.get("category", "linear")
    if category not in ("linear", "inverse"):
        raise ApiError(10001, "Illegal category")
    found = wanted(server.market, {**query, "category": category})
    rows = [risk_row(item, i + 1) for i, item in enumerate(found)]
    part, cursor = page(rows, query, usual=15, most=15, always_cursor=False)
    return {"category": category, "list": part, "nextPageCursor": cursor}


def price_limit(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/price-limit."""
    instrument = _only(server, query)
    highest, lowest = prices.price_limits(server.market, instrument)
    return {
        "symbol": name_of(instrument.id),
        "buyLmt": priced(highest, instrument),
        "sellLmt": priced(lowest, instrument),
        "ts": str(server.now_ms()),
    }


def funding_history(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/funding/history: the present rate at each past settlement."""
    instrument = _only(server, query)
    rate = server.market.funding_rates.get(instrument.id)
    now, length = server.now_ms(), 8 * HOUR_MS
    limit = min(200, int(query.get("limit", "200")))
    rows = [
        {
            "symbol": instrument.id,
            "fundingRate": text(rate, "0.0001"),
            "fundingRateTimestamp": str(now - now % length - i * length),
        }
        for i in range(limit)
    ]
    return {"category": query.get("category", "linear"), "list": rows}


def open_interest(server: BybitServer, query: Query) -> Row:
    """GET /v5/market/open-interest."""
    instrument = _only(server, query)
    row = prices.ticker_row(server.market, instrument, server.day_of(instrument.id))
    return {
        "symbol": instrument.id,
        "category": query.get("category", "linear"),
        "list": [{"openInterest": row["openInterest"], "timestamp": str(server.now_ms())}],
        "nextPageCursor": "",
    }


def system_status(server: BybitServer, query: Query) -> Row:
    """GET /v5/system/status: maintenance while the market's phase says so."""
    del query
    if server.market.phase != "maintenance":
        return {"list": []}
    now = server.now_ms()
    row = {
        "id": "4d95b2a0-587f-11f0-bcc9-56f28c94d6ea",
        "title": "maintenance",
        "state": "ongoing",
        "begin": str(now - 60_000),
        "end": str(now + 600_000),
        "href": "",
        "serviceTypes": [2, 3, 4, 5],
        "product": [1, 2],
        "uidSuffix": [],
        "maintainType": 1,
        "env": 1,
    }
    return {"list": [row]}


ROUTES: Final[dict[str, Callable[[BybitServer, Query], Any]]] = {
    "/v5/market/time": time,
    "/v5/market/instruments-info": instruments,
    "/v5/market/tickers": tickers,
    "/v5/market/orderbook": orderbook,
    "/v5/market/kline": kline,
    "/v5/market/mark-price-kline": price_kline,
    "/v5/market/index-price-kline": price_kline,
    "/v5/market/recent-trade": recent_trades,
    "/v5/market/risk-limit": risk_limit,
    "/v5/market/price-limit": price_limit,
    "/v5/market/funding/history": funding_history,
    "/v5/market/open-interest": open_interest,
    "/v5/system/status": system_status,
}
