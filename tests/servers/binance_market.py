"""Binance USD-M public market data: contracts, prices, book and candles, as REST documents.

Pure functions over a `Market` and `MarketData`; sockets and frames live in `binance_streams.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tests.servers.binance_errors import ApiError, missing
from tests.servers.binance_rows import Row, digits, fix, price, quantity, short
from tests.servers.days import DAY_MS, days_of
from tests.servers.ledger import Instrument, Market

D = Decimal
PERPETUAL_DELIVERY_MS = 4133404800000
HOUR_MS = 3_600_000
INTERVALS_MS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": 24 * HOUR_MS,
    "3d": 72 * HOUR_MS,
    "1w": 168 * HOUR_MS,
}
ORDER_TYPES = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]
BTC_TIERS = (
    (D(0), D("0.004")),
    (D(300_000), D("0.005")),
    (D(3_000_000), D("0.01")),
    (D(12_000_000), D("0.025")),
    (D(70_000_000), D("0.05")),
)
# id, base, quote, tick, step, minimum notional, maintenance rate, highest leverage, first mark
CONTRACTS = (
    ("BTCUSDT", "BTC", "USDT", "0.10", "0.001", "100", "0.004", 125, "40000"),
    ("ETHUSDT", "ETH", "USDT", "0.01", "0.001", "20", "0.005", 100, "2500"),
    ("SOLUSDT", "SOL", "USDT", "0.0100", "0.01", "5", "0.01", 75, "100"),
    ("XRPUSDT", "XRP", "USDT", "0.0001", "0.1", "5", "0.01", 75, "0.5"),
    ("1000PEPEUSDT", "1000PEPE", "USDT", "0.0000001", "1", "5", "0.02", 50, "0.01"),
    ("BTCUSDC", "BTC", "USDC", "0.1", "0.001", "100", "0.004", 125, "40000"),
    ("USDCUSDT", "USDC", "USDT", "0.000100", "1", "5", "0.02", 75, "1"),
)
MARGIN_ASSETS = ("USDT", "USDC", "BTC", "ETH", "BNB")


def list_contracts(market: Market) -> None:
    """List the contracts a fresh server trades."""
    for name, base, quote, tick, step, smallest, rate, leverage, mark in CONTRACTS:
        instrument = Instrument(
            name,
            base,
            quote,
            quote,
            "linear",
            tick=D(tick),
            step=D(step),
            min_quantity=D(step),
            min_notional=D(smallest),
            mmr=D(rate),
            max_leverage=leverage,
            tiers=BTC_TIERS if base == "BTC" else (),
        )
        market.add(instrument, D(mark))


class MarketData:
    """What market data needs beyond the prices of now: candles, update ids, daily statistics.

    Attributes:
        candles: symbol -> minute candles [open ms, open, high, low, close, volume], oldest
            first; tests may replace them, set_price goes on from there.
        depth_levels: how many price levels the book shows on each side.
        update_id: id of the newest book state.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.candles: dict[str, list[list[Decimal]]] = {}
        self.opens: dict[str, Decimal] = {}
        self.depth_levels = 25
        self.update_id = 7_000_000_000
        self.trade_id = 500_000_000

    def note(self, name: str) -> None:
        """Take the price of now into candles and statistics."""
        last = self.market.lasts[name]
        self.update_id += 1
        self.trade_id += 1
        self.opens.setdefault(name, last)
        minute = D(self.market.now_ms() // 60_000 * 60_000)
        rows = self.candles.setdefault(name, [])
        if not rows or rows[-1][0] < minute:
            rows.append([minute, last, last, last, last, D(1)])
            return
        row = rows[-1]
        row[2], row[3], row[4] = max(row[2], last), min(row[3], last), last

    def touch_size(self, name: str) -> Decimal:
        """Return the quantity shown at the best bid and ask."""
        step = self.market.instruments[name].step
        return self.market.touch_quantity.get(name, step * 10_000)

    def levels(self, name: str, side: str) -> list[tuple[Decimal, Decimal]]:
        """Return (price, quantity) levels of bids or asks, best first."""
        tick = self.market.instruments[name].tick
        best = self.market.bids[name] if side == "bids" else self.market.asks[name]
        away = -tick if side == "bids" else tick
        size = self.touch_size(name)
        return [(best + away * i, size * (i + 1)) for i in range(self.depth_levels)]

    def klines(self, name: str, interval: str, limit: int, end_ms: int) -> list[list[Any]]:
        """Return candles up to a time, the newest last, flat ones where nothing was noted."""
        span = INTERVALS_MS[interval]
        by_open: dict[int, list[Decimal]] = {}
        for row in self.candles.get(name, []):
            start = int(row[0]) // span * span
            have = by_open.get(start)
            if have is None:
                by_open[start] = [D(start), *row[1:]]
            else:
                have[2], have[3] = max(have[2], row[2]), min(have[3], row[3])
                have[4], have[5] = row[4], have[5] + row[5]
        last_open = end_ms // span * span
        start_open = last_open - (limit - 1) * span
        earlier = [start for start in by_open if start < start_open]
        close = self.market.lasts[name]
        if earlier:
            close = by_open[max(earlier)][4]
        elif by_open:
            close = by_open[min(by_open)][1]
        rows: list[list[Any]] = []
        for start in range(start_open, last_open + span, span):
            row = by_open.get(start) or [D(start), close, close, close, close, D(0)]
            close = row[4]
            rows.append(self._kline(name, row, span))
        return rows

    def days(self, name: str, start_ms: int | None, end_ms: int, limit: int) -> list[list[Any]]:
        """Return the daily candles between two times, oldest first.

        With a start the oldest `limit`, without one the newest; a day without a trade has none.
        """
        found = days_of(self.market, name)
        wanted = [day for day in sorted(found) if (start_ms or 0) <= day * DAY_MS <= end_ms]
        some = wanted[-limit:] if start_ms is None else wanted[:limit]
        rows = ((day, found[day]) for day in some)
        return [
            self._kline(name, [D(day * DAY_MS), r.open, r.high, r.low, r.close, r.volume], DAY_MS)
            for day, r in rows
        ]

    def _kline(self, name: str, row: list[Decimal], span: int) -> list[Any]:
        instrument = self.market.instruments[name]
        start = int(row[0])
        volume = quantity(instrument, row[5])
        prices = [price(instrument, value) for value in row[1:5]]
        quoted = fix(row[5] * row[4], 5)
        return [start, *prices, volume, start + span - 1, quoted, 1, volume, quoted, "0"]


def symbols_of(market: Market, params: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the symbols a request is about, and whether it asked for one."""
    name = params.get("symbol")
    if not name:
        return list(market.instruments), False
    if name not in market.instruments:
        raise ApiError(-1121)
    return [str(name)], True


def one_or_all(
    market: Market, params: Mapping[str, Any], row: Callable[[str], Row]
) -> Row | list[Row]:
    """Return one row when a symbol is asked for, else a row for each."""
    names, is_one = symbols_of(market, params)
    return row(names[0]) if is_one else [row(name) for name in names]


def needed_symbol(market: Market, params: Mapping[str, Any]) -> str:
    """Return the symbol of a request that must name one."""
    if not params.get("symbol"):
        raise missing("symbol")
    return symbols_of(market, params)[0][0]


def exchange_info(market: Market) -> Row:
    """Return /fapi/v1/exchangeInfo."""
    limits = [
        {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": 2400,
        },
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ]
    assets = [
        {"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"}
        for asset in MARGIN_ASSETS
    ]
    return {
        "timezone": "UTC",
        "serverTime": market.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": limits,
        "exchangeFilters": [],
        "assets": assets,
        "symbols": [contract(market, i) for i in market.instruments.values()],
    }


def contract(market: Market, instrument: Instrument) -> Row:
    """Return one symbol of exchangeInfo."""
    dated = instrument.expiry_ms is not None
    trading = market.phase_of(instrument.id) == "trading"
    return {
        "symbol": instrument.id,
        "pair": instrument.base + instrument.quote,
        "contractType": "CURRENT_QUARTER" if dated else "PERPETUAL",
        "deliveryDate": instrument.expiry_ms or PERPETUAL_DELIVERY_MS,
        "onboardDate": 1569398400000,
        "status": "TRADING" if trading else "PENDING_TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.settle,
        "pricePrecision": digits(instrument.tick),
        "quantityPrecision": digits(instrument.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": filters(instrument),
        "orderTypes": ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def filters(instrument: Instrument) -> list[Row]:
    """Return the trading filters of one symbol."""
    lot = {
        "maxQty": short(instrument.max_quantity),
        "minQty": str(instrument.min_quantity),
        "stepSize": str(instrument.step),
    }
    return [
        {
            "filterType": "PRICE_FILTER",
            "maxPrice": "4529764",
            "minPrice": str(instrument.tick),
            "tickSize": str(instrument.tick),
        },
        {"filterType": "LOT_SIZE", **lot},
        {"filterType": "MARKET_LOT_SIZE", **lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": str(instrument.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierDown": "0.9500",
            "multiplierUp": "1.0500",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def next_funding_ms(now_ms: int) -> int:
    """Return the time of the next funding: every eight hours from midnight UTC."""
    return (now_ms // (8 * HOUR_MS) + 1) * 8 * HOUR_MS


def premium_index(market: Market, name: str) -> Row:
    """Return one symbol of premiumIndex."""
    now = market.now_ms()
    return {
        "symbol": name,
        "markPrice": fix(market.marks[name]),
        "indexPrice": fix(market.indexes[name]),
        "estimatedSettlePrice": fix(market.indexes[name]),
        "lastFundingRate": fix(market.funding_rates.get(name, D("0.0001"))),
        "interestRate": "0.00010000",
        "nextFundingTime": next_funding_ms(now),
        "time": now,
    }


def book_ticker(data: MarketData, name: str) -> Row:
    """Return one symbol of ticker/bookTicker."""
    market = data.market
    instrument = market.instruments[name]
    size = quantity(instrument, data.touch_size(name))
    return {
        "symbol": name,
        "bidPrice": price(instrument, market.bids[name]),
        "bidQty": size,
        "askPrice": price(instrument, market.asks[name]),
        "askQty": size,
        "time": market.now_ms(),
        "lastUpdateId": data.update_id,
    }


def day_ticker(data: MarketData, name: str) -> Row:
    """Return one symbol of ticker/24hr."""
    market = data.market
    instrument = market.instruments[name]
    last, first = market.lasts[name], data.opens.get(name, market.lasts[name])
    rows = data.candles.get(name, [])
    volume = sum((row[5] for row in rows), D(1))
    now = market.now_ms()
    return {
        "symbol": name,
        "priceChange": price(instrument, last - first),
        "priceChangePercent": fix((last / first - 1) * 100, 3),
        "weightedAvgPrice": price(instrument, last),
        "lastPrice": price(instrument, last),
        "lastQty": quantity(instrument, instrument.step),
        "openPrice": price(instrument, first),
        "highPrice": price(instrument, max([last, *(row[2] for row in rows)])),
        "lowPrice": price(instrument, min([last, *(row[3] for row in rows)])),
        "volume": quantity(instrument, volume),
        "quoteVolume": fix(volume * last, 2),
        "openTime": now - 24 * HOUR_MS,
        "closeTime": now,
        "firstId": 1,
        "lastId": data.trade_id,
        "count": data.trade_id,
    }


def depth(data: MarketData, name: str, limit: int) -> Row:
    """Return /fapi/v1/depth."""
    instrument = data.market.instruments[name]
    now = data.market.now_ms()

    def side(which: str) -> list[list[str]]:
        levels = data.levels(name, which)[:limit]
        return [[price(instrument, p), quantity(instrument, q)] for p, q in levels]

    return {
        "lastUpdateId": data.update_id,
        "E": now,
        "T": now,
        "bids": side("bids"),
        "asks": side("asks"),
    }


def asset_index(market: Market, asset: str) -> Row:
    """Return one asset of assetIndex."""
    index = market.asset_price(asset)
    buffer = D("0.0001") if asset in {"USDT", "USDC"} else D("0.05")
    bid, ask = fix(index * (1 - buffer)), fix(index * (1 + buffer))
    return {
        "symbol": f"{asset}USD",
        "time": market.now_ms(),
        "index": fix(index),
        "bidBuffer": fix(buffer),
        "askBuffer": fix(buffer),
        "bidRate": bid,
        "askRate": ask,
        "autoExchangeBidBuffer": fix(buffer),
        "autoExchangeAskBuffer": fix(buffer),
        "autoExchangeBidRate": bid,
        "autoExchangeAskRate": ask,
    }
