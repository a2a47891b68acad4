"""Binance USD-M websocket frames: market streams by name, and user data events from the ledger.

Pure functions from records to payloads; `binance_usdm.py` decides who gets them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.servers import binance_rows as rows
from tests.servers.binance_market import (
    HOUR_MS,
    INTERVALS_MS,
    MarketData,
    book_ticker,
    day_ticker,
    next_funding_ms,
)
from tests.servers.binance_rows import Row, fix, price, quantity, short
from tests.servers.ledger import Ledger, Order, Position
from tests.servers.ledger_types import (
    ZERO,
    AccountChanged,
    Event,
    Fill,
    LeverageChanged,
    OrderChanged,
)

# Channels of the /public route; all others are on /market.
PUBLIC_CHANNELS = ("bookTicker", "depth", "rpiDepth", "trade")
STREAM = re.compile(r"^(?:(?P<symbol>[a-z0-9_]+)@|!)(?P<channel>[A-Za-z]+)(?P<rest>.*)$")
REASONS = {
    "deposit": "DEPOSIT",
    "withdraw": "WITHDRAW",
    "funding": "FUNDING_FEE",
    "order": "ORDER",
    "liquidation": "ORDER",
    "adl": "ORDER",
}
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


def force_order(ledger: Ledger, order: Order, now_ms: int) -> Row:
    """Return the public liquidation event of an order."""
    instrument = ledger.instrument(order.instrument)
    amount = quantity(instrument, order.quantity)
    detail = {
        "s": order.instrument,
        "S": order.side.upper(),
        "o": "LIMIT",
        "f": "IOC",
        "q": amount,
        "p": price(instrument, order.price),
        "ap": price(instrument, order.average),
        "X": "FILLED",
        "l": amount,
        "z": amount,
        "T": order.updated_ms,
    }
    return {"e": "forceOrder", "E": now_ms, "o": detail}


# ---- user data ----------------------------------------------------------------------------------


def order_update(ledger: Ledger, event: OrderChanged, now_ms: int) -> Row:
    """Return ORDER_TRADE_UPDATE of a plain order."""
    order, fill = event.order, event.fill
    instrument = ledger.instrument(order.instrument)
    forced = order.origin == "liquidation"
    detail: Row = {
        "s": order.instrument,
        "c": order.client_id,
        "S": order.side.upper(),
        "o": rows.type_of(order),
        "f": rows.time_in_force(order),
        "q": quantity(instrument, order.quantity),
        "p": short(order.price),
        "ap": short(order.average),
        "sp": short(order.stop_price),
        "x": "CALCULATED" if forced and fill else rows.EXECUTION[event.reason],
        "X": rows.STATUS[order.status],
        "i": int(order.id),
        "l": quantity(instrument, fill.quantity) if fill else "0",
        "z": quantity(instrument, order.filled),
        "L": short(fill.price) if fill else "0",
        "n": short(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else instrument.settle,
        "T": order.updated_ms,
        "t": int(fill.id) if fill else 0,
        "b": "0",
        "a": "0",
        "m": bool(fill and fill.is_maker),
        "R": order.reduce_only,
        "wt": rows.working_type(order),
        "ot": str(order.meta.get("orig_type", rows.type_of(order))),
        "ps": order.position_side.upper(),
        "cp": order.close_position,
        "rp": short(fill.realized) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": _expiry_reason(order) if event.reason == "expired" else "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": order.updated_ms, "E": now_ms, "o": detail}


def _expiry_reason(order: Order) -> str:
    if order.type == "market":
        return "9"
    return "2" if order.time_in_force in ("IOC", "FOK") else "4"


def trade_lite(ledger: Ledger, order: Order, fill: Fill, now_ms: int) -> Row:
    """Return TRADE_LITE of an execution."""
    instrument = ledger.instrument(order.instrument)
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": fill.time_ms,
        "s": order.instrument,
        "q": quantity(instrument, order.quantity),
        "p": price(instrument, order.price),
        "m": fill.is_maker,
        "c": order.client_id,
        "S": order.side.upper(),
        "L": price(instrument, fill.price),
        "l": quantity(instrument, fill.quantity),
        "t": int(fill.id),
        "i": int(order.id),
    }


def algo_update(ledger: Ledger, order: Order, status: str, now_ms: int) -> Row:
    """Return ALGO_UPDATE of a conditional order in a status of the venue's."""
    instrument = ledger.instrument(order.instrument)
    child = ledger.orders.get(order.child_id)
    in_book = status in ("TRIGGERED", "FINISHED")
    detail: Row = {
        "caid": order.client_id,
        "aid": int(order.id),
        "at": "CONDITIONAL",
        "o": rows.type_of(order),
        "s": order.instrument,
        "S": order.side.upper(),
        "ps": order.position_side.upper(),
        "f": str(order.meta.get("tif", "GTC")),
        "q": quantity(instrument, order.quantity),
        "X": status,
        "ai": order.child_id if in_book else "",
        "ap": fix(child.average if child else ZERO, 5),
        "aq": fix(child.filled if child else ZERO, 5),
        "act": ("LIMIT" if order.type == "limit" else "MARKET") if in_book else "0",
        "tp": short(order.stop_price),
        "p": short(order.price),
        "V": "EXPIRE_MAKER",
        "wt": rows.working_type(order),
        "pm": "NONE",
        "cp": order.close_position,
        "pP": False,
        "R": order.reduce_only,
        "tt": order.updated_ms if in_book else 0,
        "gtd": 0,
        "rm": order.reason if status == "REJECTED" else "",
    }
    return {"e": "ALGO_UPDATE", "T": order.updated_ms, "E": now_ms, "o": detail}


def account_update(ledger: Ledger, event: AccountChanged, now_ms: int) -> Row | None:
    """Return ACCOUNT_UPDATE, None for causes the venue never announces."""
    if event.reason not in REASONS:
        return None
    is_order = REASONS[event.reason] == "ORDER"
    changes: dict[str, Decimal] = {}
    for change in event.balances:
        changes[change.asset] = changes.get(change.asset, ZERO) + change.change
    for moved in event.positions:
        changes.setdefault(ledger.instrument(moved.position.instrument).settle, ZERO)
    balances = [
        {
            "a": asset,
            "wb": fix(ledger.balances.get(asset, ZERO)),
            "cw": fix(ledger.balances.get(asset, ZERO)),
            "bc": "0" if is_order else fix(amount),
        }
        for asset, amount in changes.items()
    ]
    positions = [_position(ledger, moved.position) for moved in event.positions]
    document = {"m": REASONS[event.reason], "B": balances, "P": positions}
    return {"e": "ACCOUNT_UPDATE", "T": now_ms, "E": now_ms, "a": document}


def _position(ledger: Ledger, position: Position) -> Row:
    return {
        "s": position.instrument,
        "pa": short(position.quantity),
        "ep": short(position.entry),
        "bep": short(rows.break_even(ledger, position)),
        "cr": short(position.realized),
        "up": short(ledger.unrealized_of(position)),
        "mt": "cross" if position.isolated_margin is None else "isolated",
        "iw": short(position.isolated_margin),
        "ps": position.side.upper(),
        "ma": ledger.instrument(position.instrument).settle,
    }


def margin_call(ledger: Ledger, settle: str, now_ms: int) -> Row:
    """Return MARGIN_CALL over all positions settled in an asset."""
    called = [
        {
            "s": position.instrument,
            "ps": position.side.upper(),
            "pa": short(position.quantity),
            "mt": "CROSSED",
            "iw": "0",
            "mp": fix(ledger.marks[position.instrument]),
            "up": fix(ledger.unrealized_of(position)),
            "mm": fix(ledger.maintenance_of(position)),
        }
        for position in ledger.open_positions(settle)
    ]
    wallet = fix(ledger.balances.get(settle, ZERO))
    return {"e": "MARGIN_CALL", "E": now_ms, "cw": wallet, "p": called}


def user_frames(ledger: Ledger, event: Event, now_ms: int) -> list[Row]:
    """Return the user data events of one change in the ledger, in the venue's order."""
    if isinstance(event, AccountChanged):
        frame = account_update(ledger, event, now_ms)
        return [frame] if frame is not None else []
    if isinstance(event, LeverageChanged):
        config = {"s": event.instrument, "l": event.leverage}
        return [{"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": config}]
    if not isinstance(event, OrderChanged):
        return []
    order = event.order
    if order.conditional:
        if event.reason == "triggered":
            both = ("TRIGGERING", "TRIGGERED")
            return [algo_update(ledger, order, status, now_ms) for status in both]
        return [algo_update(ledger, order, rows.STATUS[order.status], now_ms)]
    frames = [order_update(ledger, event, now_ms)]
    if event.fill is not None and order.origin == "user":
        frames.insert(0, trade_lite(ledger, order, event.fill, now_ms))
    parent = ledger.orders.get(order.parent_id)
    if parent is not None and not order.is_open:
        frames.append(algo_update(ledger, parent, "FINISHED", now_ms))
    return frames
