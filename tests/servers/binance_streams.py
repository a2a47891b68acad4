"""Binance USD-M market streams: the payload of every stream name, from the prices of now.

User data is written in `binance_user.py`; `binance_usdm.py` decides who gets what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.servers.binance_market import (
    HOUR_MS,
    INTERVALS_MS,
    MarketData,
    book_ticker,
    day_ticker,
    next_funding_ms,
)
from tests.servers.binance_rows import Row, fix, price, quantity
from tests.servers.ledger_types import ZERO

# Channels of the /public route; all others are on /market.
PUBLIC_CHANNELS = ("bookTicker", "depth", "rpiDepth", "trade")
STREAM = re.compile(r"^(?:(?P<symbol>[a-z0-9_]+)@|!)(?P<channel>[A-Za-z]+)(?P<rest>.*)$")
# Keys that hold prices, per event type; for the garbage fault.
PRICE_KEYS = {
    "markPriceUpdate": "pi",
    "bookTicker": "ba",
    "24hrTicker": "cohlw",
    "24hrMiniTicker": "cohl",
    "aggTrade": "p",
    "trade": "p",
}


def route_of(channel: str) -> str:
    """Return the route that carries a channel: public or market."""
    return "public" if channel in PUBLIC_CHANNELS else "market"


class MarketStreams:
    """Payloads of the market streams.

    Attributes:
        data: candles, book and ids behind them.
    """

    def __init__(self, data: MarketData) -> None:
        self.data = data
        self.market = data.market
        self._shown: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
        self._book_ids: dict[str, tuple[int, int]] = {}
        self._diffs: dict[str, Row] = {}

    def note(self, name: str) -> None:
        """Take the price of now in: candles, statistics and the book's next difference."""
        before = self.data.update_id
        self.data.note(name)
        levels = {side: dict(self.data.levels(name, side)) for side in ("bids", "asks")}
        shown = self._shown.get(name, {"bids": {}, "asks": {}})
        instrument = self.market.instruments[name]
        changes: dict[str, list[list[str]]] = {}
        for side, now in levels.items():
            gone = [(p, ZERO) for p in shown[side] if p not in now]
            listed = [*now.items(), *gone]
            changes[side] = [[price(instrument, p), quantity(instrument, q)] for p, q in listed]
        self._shown[name] = levels
        last = self._book_ids.get(name, (before, before))[1]
        self._book_ids[name] = (before, self.data.update_id)
        self._diffs[name] = {"first": before, "last": self.data.update_id, "previous": last}
        self._diffs[name].update(changes)

    def book_id(self, name: str) -> int:
        """Return the update id of the book as last shown for a symbol."""
        return self._book_ids.get(name, (0, self.data.update_id))[1]

    def payloads(self, stream: str, name: str | None) -> Iterator[Any]:
        """Yield what a stream says about one symbol now, or on its clock when name is None."""
        match = STREAM.match(stream)
        if match is None:
            return
        symbol, channel, rest = match["symbol"], match["channel"], match["rest"]
        if symbol is None:
            yield from self._all(channel, rest, name)
            return
        own = symbol.upper()
        if own in self.market.instruments and name in (None, own):
            payload = self._one(channel, rest, own)
            if payload is not None:
                yield payload

    def _all(self, channel: str, rest: str, name: str | None) -> Iterator[Any]:
        names = [name] if name is not None else list(self.market.instruments)
        found = [self._one(channel, "", each) for each in names]
        payloads = [payload for payload in found if payload is not None]
        if rest.startswith("@arr") and channel != "forceOrder":
            if payloads:
                yield payloads
        elif channel == "bookTicker":
            yield from payloads

    def _one(self, channel: str, rest: str, name: str) -> Row | None:
        now = self.market.now_ms()
        if channel == "markPrice":
            return self._mark_price(name, now)
        if channel == "bookTicker":
            return self._book_ticker(name, now)
        if channel == "ticker":
            return self._ticker(name, now)
        if channel == "miniTicker":
            kept = ("e", "E", "s", "c", "o", "h", "l", "v", "q")
            full = self._ticker(name, now) | {"e": "24hrMiniTicker"}
            return {key: full[key] for key in kept}
        if channel in ("aggTrade", "trade"):
            return self._trade(channel, name, now)
        if channel == "depth":
            return self._depth(rest, name, now)
        if channel == "kline":
            return self._kline(rest.removeprefix("_"), name, now)
        return None

    def _mark_price(self, name: str, now: int) -> Row:
        index = fix(self.market.indexes[name])
        return {
            "e": "markPriceUpdate",
            "E": now,
            "s": name,
            "p": fix(self.market.marks[name]),
            "ap": fix(self.market.marks[name]),
            "P": index,
            "i": index,
            "r": fix(self.market.funding_rates.get(name, Decimal("0.0001"))),
            "T": next_funding_ms(now),
        }

    def _book_ticker(self, name: str, now: int) -> Row:
        row = book_ticker(self.data, name)
        return {
            "e": "bookTicker",
            "u": self.data.update_id,
            "s": name,
            "b": row["bidPrice"],
            "B": row["bidQty"],
            "a": row["askPrice"],
            "A": row["askQty"],
            "T": now,
            "E": now,
        }

    def _ticker(self, name: str, now: int) -> Row:
        row = day_ticker(self.data, name)
        return {
            "e": "24hrTicker",
            "E": now,
            "s": name,
            "p": row["priceChange"],
            "P": row["priceChangePercent"],
            "w": row["weightedAvgPrice"],
            "c": row["lastPrice"],
            "Q": row["lastQty"],
            "o": row["openPrice"],
            "h": row["highPrice"],
            "l": row["lowPrice"],
            "v": row["volume"],
            "q": row["quoteVolume"],
            "O": now - 24 * HOUR_MS,
            "C": now,
            "F": row["firstId"],
            "L": row["lastId"],
            "n": row["count"],
        }

    def _trade(self, channel: str, name: str, now: int) -> Row:
        instrument = self.market.instruments[name]
        number = self.data.trade_id
        row: Row = {
            "e": channel,
            "E": now,
            "T": now,
            "s": name,
            "p": price(instrument, self.market.lasts[name]),
            "q": quantity(instrument, instrument.step),
            "m": False,
        }
        if channel == "aggTrade":
            return row | {"a": number, "f": number, "l": number}
        return row | {"t": number, "X": "MARKET"}

    def _depth(self, rest: str, name: str, now: int) -> Row:
        levels = re.match(r"^(\d+)", rest)
        diff = self._diffs.get(name)
        if diff is None:
            self.note(name)
            diff = self._diffs[name]
        bids, asks = diff["bids"], diff["asks"]
        if levels is not None:
            count = min(int(levels[1]), self.data.depth_levels)
            bids, asks = bids[:count], asks[:count]
        return {
            "e": "depthUpdate",
            "E": now,
            "T": now,
            "s": name,
            "U": diff["first"],
            "u": diff["last"],
            "pu": diff["previous"],
            "b": bids,
            "a": asks,
        }

    def _kline(self, interval: str, name: str, now: int) -> Row | None:
        if interval not in INTERVALS_MS:
            return None
        row = self.data.klines(name, interval, 1, now)[0]
        candle = {
            "t": row[0],
            "T": row[6],
            "s": name,
            "i": interval,
            "f": 1,
            "L": self.data.trade_id,
            "o": row[1],
            "c": row[4],
            "h": row[2],
            "l": row[3],
            "v": row[5],
            "n": row[8],
            "x": False,
            "q": row[7],
            "V": row[9],
            "Q": row[10],
            "B": "0",
        }
        return {"e": "kline", "E": now, "s": name, "k": candle}


def spoil_prices(payload: Any, value: Any) -> Any:
    """Return a market payload with its prices replaced."""
    if isinstance(payload, list):
        return [spoil_prices(item, value) for item in payload]
    event = payload.get("e", "")
    if event == "depthUpdate":
        sides = {side: [[value, level[1]] for level in payload[side]] for side in ("b", "a")}
        return payload | sides
    return payload | dict.fromkeys(PRICE_KEYS.get(event, ""), value)


def freeze_times(payload: Any, at_ms: int) -> Any:
    """Return a market payload whose event times stand still."""
    if isinstance(payload, list):
        return [freeze_times(item, at_ms) for item in payload]
    times = {"E"} if payload.get("e") == "markPriceUpdate" else {"E", "T", "C"}
    return payload | {key: at_ms for key in times if key in payload}
