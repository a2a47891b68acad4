"""The prices Bybit shows to everybody: tickers, books, candles, and the band of limit prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from tests.servers.bybit_errors import ApiError
from tests.servers.bybit_market import (
    DAY_MS,
    HOUR_MS,
    LIMIT_RATIOS,
    Row,
    name_of,
    priced,
    short,
    text,
)
from tests.servers.days import days_of
from tests.servers.ledger_market import Market, floor_to
from tests.servers.ledger_types import ONE, ZERO, Instrument

TOUCH_SIZE: Final = Decimal(10)


class Statistics:
    """The 24 hour figures of one instrument, made up from the prices since the server started."""

    def __init__(self, price: Decimal) -> None:
        self.first = self.high = self.low = price
        self.last_tick = "ZeroPlusTick"
        self.volume = Decimal(1000)
        self.turnover = Decimal(1000) * price
        self.last = price

    def see(self, price: Decimal, volume: Decimal) -> None:
        """Take in a trade at a price."""
        if price != self.last:
            self.last_tick = "PlusTick" if price > self.last else "MinusTick"
        self.last = price
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.volume += volume
        self.turnover += volume * price

    @property
    def change(self) -> Decimal:
        """Relative price change over the day."""
        return round(self.last / self.first - ONE, 6) if self.first else ZERO


def touch_sizes(market: Market, key: str) -> tuple[Decimal, Decimal]:
    """Return the sizes at the best bid and ask."""
    bid, ask = market.left(key, "sell"), market.left(key, "buy")
    return (bid if bid.is_finite() else TOUCH_SIZE), (ask if ask.is_finite() else TOUCH_SIZE)


def ticker_row(market: Market, instrument: Instrument, day: Statistics) -> Row:
    """Return one entry of GET /v5/market/tickers."""
    key = instrument.id
    bid_size, ask_size = touch_sizes(market, key)
    row: Row = {
        "symbol": name_of(key),
        "bid1Price": priced(market.bids[key], instrument),
        "bid1Size": text(bid_size),
        "ask1Price": priced(market.asks[key], instrument),
        "ask1Size": text(ask_size),
        "lastPrice": priced(market.lasts[key], instrument),
        "prevPrice24h": priced(day.first, instrument),
        "price24hPcnt": text(day.change),
        "highPrice24h": priced(day.high, instrument),
        "lowPrice24h": priced(day.low, instrument),
        "turnover24h": short(day.turnover),
        "volume24h": short(day.volume),
    }
    if instrument.kind == "spot":
        row["usdIndexPrice"] = short(market.indexes[key])
        return row
    return row | _contract_fields(market, instrument, day)


def _contract_fields(market: Market, instrument: Instrument, day: Statistics) -> Row:
    key, now = instrument.id, market.now_ms()
    expires = instrument.expiry_ms is not None
    interest = Decimal(50000)
    return {
        "indexPrice": priced(market.indexes[key], instrument),
        "markPrice": priced(market.marks[key], instrument),
        "prevPrice1h": priced(day.first, instrument),
        "openInterest": text(interest),
        "openInterestValue": short(instrument.notional(interest, market.marks[key]), 2),
        "fundingRate": "" if expires else text(market.funding_rates.get(key, Decimal("0.0001"))),
        "nextFundingTime": "" if expires else str(now - now % (8 * HOUR_MS) + 8 * HOUR_MS),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": str(instrument.expiry_ms or 0),
        "basis": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        "fundingIntervalHour": "8",
        "basisRateYear": "",
        "fundingCap": "0.005",
    }


def ticker_frame(market: Market, instrument: Instrument, day: Statistics) -> Row:
    """Return the data of a tickers snapshot; spot frames carry no book."""
    row = ticker_row(market, instrument, day)
    if instrument.kind == "spot":
        return {k: v for k, v in row.items() if not k.startswith(("bid1", "ask1"))}
    rest_only = {"predictedDeliveryPrice", "basisRate", "deliveryFeeRate", "deliveryTime",
                 "basis", "basisRateYear"}  # fmt: skip
    frame = {k: v for k, v in row.items() if k not in rest_only}
    return frame | {"tickDirection": day.last_tick}


def book(market: Market, instrument: Instrument, depth: int) -> tuple[list[Any], list[Any]]:
    """Return bids and asks as [price, size] strings, best first; sizes repeat behind the touch."""
    key, tick = instrument.id, instrument.tick
    bid_size, ask_size = touch_sizes(market, key)
    bids, asks = [], []
    for level in range(depth):
        bid, ask = market.bids[key] - level * tick, market.asks[key] + level * tick
        if bid > 0:
            bids.append([priced(bid, instrument), text(bid_size if not level else TOUCH_SIZE)])
        asks.append([priced(ask, instrument), text(ask_size if not level else TOUCH_SIZE)])
    return bids, asks


def price_limits(market: Market, instrument: Instrument) -> tuple[Decimal, Decimal]:
    """Return the highest limit price of a buy and the lowest of a sell.

    The average premium that the venue adds is taken as zero.
    """
    low, high = LIMIT_RATIOS[instrument.kind]
    key, tick = instrument.id, instrument.tick
    index = market.indexes[key]
    base = index if instrument.kind == "spot" else market.marks[key]
    if instrument.kind == "spot":
        buy, sell = base * (ONE + low), base * (ONE - low)
    else:
        buy = min(base * (ONE + high), max(index, base * (ONE + low)))
        sell = max(base * (ONE - high), min(index, base * (ONE - low)))
    return floor_to(buy, tick), -floor_to(-sell, tick)


class Candles:
    """One minute candles of one instrument since the server started, flat before."""

    def __init__(self, price: Decimal, now_ms: int) -> None:
        self.minutes: dict[int, list[Decimal]] = {}
        self.first = price
        self.see(price, now_ms)

    def see(self, price: Decimal, now_ms: int) -> None:
        """Take in a price at a time in UTC milliseconds."""
        start = now_ms - now_ms % 60_000
        candle = self.minutes.setdefault(start, [price, price, price, price])
        candle[1], candle[2], candle[3] = max(candle[1], price), min(candle[2], price), price

    def span(self, start: int, length: int) -> list[Decimal]:
        """Return open, high, low, close of a span of milliseconds."""
        inside = [v for k, v in sorted(self.minutes.items()) if start <= k < start + length]
        if not inside:
            earlier = [v[3] for k, v in sorted(self.minutes.items()) if k < start]
            price = earlier[-1] if earlier else self.first
            return [price, price, price, price]
        highs, lows = [v[1] for v in inside], [v[2] for v in inside]
        return [inside[0][0], max(highs), min(lows), inside[-1][3]]


INTERVALS: Final[dict[str, int]] = {
    **{str(n): n * 60_000 for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": DAY_MS,
    "W": 7 * DAY_MS,
    "M": 30 * DAY_MS,
}


def day_rows(market: Market, instrument: Instrument, params: dict[str, str]) -> list[list[str]]:
    """Return daily candles newest first; a day without a trade has none.

    Of more days than the limit, the newest before `end`, or the first from `start` without one.
    """
    found = days_of(market, instrument.id)
    limit = max(1, min(1000, int(params.get("limit", "200"))))
    start, end = int(params.get("start", 0)), int(params.get("end", market.now_ms()))
    wanted = [day for day in sorted(found) if start <= day * DAY_MS <= end]
    some = wanted[:limit] if "start" in params and "end" not in params else wanted[-limit:]
    rows = []
    for day in reversed(some):
        row = found[day]
        prices = [priced(price, instrument) for price in (row.open, row.high, row.low, row.close)]
        # Contracts of inverse instruments are dollars, their turnover is in coins.
        is_inverse = instrument.kind == "inverse"
        volume, turnover = (row.turnover, row.volume) if is_inverse else (row.volume, row.turnover)
        rows.append([str(day * DAY_MS), *prices, text(volume), text(turnover)])
    return rows


def kline_rows(candles: Candles, params: dict[str, str], now_ms: int) -> list[list[str]]:
    """Return candles newest first, as GET /v5/market/kline gives them.

    Raises:
        ApiError: 10001 for an unknown interval.
    """
    length = INTERVALS.get(params.get("interval", ""))
    if length is None:
        raise ApiError(10001, "Invalid period!")
    limit = max(1, min(1000, int(params.get("limit", "200"))))
    end = min(int(params.get("end", now_ms)), now_ms)
    newest = end - end % length
    oldest = max(int(params.get("start", 0)), newest - (limit - 1) * length)
    if "start" in params and "end" not in params:
        newest = min(newest, oldest - oldest % length + (limit - 1) * length)
    rows = []
    for start in range(newest, oldest - 1, -length):
        prices = candles.span(start, length)
        rows.append([str(start), *(text(price) for price in prices), "1", text(prices[3])])
    return rows
