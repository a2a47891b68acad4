"""Bybit's public streams: tickers, order books, trades, candles and liquidations.

Frames go out on every price change, and once a second as on a market that is never quite still.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tests.servers import bybit_prices as prices
from tests.servers.bybit_account import new_id
from tests.servers.bybit_market import Row, key_of, name_of, priced, text
from tests.servers.ledger_types import Event, Fill, Instrument, MarkChanged
from tests.servers.sockets import Connection

if TYPE_CHECKING:
    from tests.servers.bybit import BybitServer

HEADS: Final = ("tickers", "orderbook", "publicTrade", "kline", "liquidation", "allLiquidation")
DEPTHS: Final = ("1", "50", "200", "1000")
PRICE_FIELDS: Final = ("lastPrice", "markPrice", "indexPrice", "bid1Price", "ask1Price",
                       "usdIndexPrice")  # fmt: skip
SHOWN_DEPTH: Final = 50  # how deep the made-up book goes, whatever depth is asked for
REPEAT_S: Final = 3.0  # a level 1 book that stands still is repeated after this many seconds


class Feeds:
    """Public frames of one server."""

    def __init__(self, server: BybitServer) -> None:
        self.server = server

    # ---- topics ---------------------------------------------------------------------------------

    def instrument_of(self, category: str, topic: str) -> Instrument | None:
        """Return the instrument a topic of a category is about, None when there is none."""
        name = topic.rpartition(".")[2]
        instrument = self.server.market.instruments.get(key_of(category, name))
        return instrument if instrument and instrument.kind == category else None

    def knows(self, category: str, topic: str) -> bool:
        """Return whether a topic exists in a category."""
        parts = topic.split(".")
        if parts[0] not in HEADS or self.instrument_of(category, topic) is None:
            return False
        if parts[0] == "orderbook":
            return len(parts) == 3 and parts[1] in DEPTHS
        if parts[0] == "kline":
            return len(parts) == 3 and parts[1] in prices.INTERVALS
        return len(parts) == 2

    def greet(self, socket: Connection, category: str, topic: str) -> None:
        """Send what a new subscription starts with: a snapshot, where the topic has one."""
        instrument = self.instrument_of(category, topic)
        if instrument is None:
            return
        socket.state["category"] = category
        names: dict[str, dict[str, None]] = socket.state.setdefault("names", {})
        names.setdefault(topic.rpartition(".")[2], {})[topic] = None
        socket.state.pop(topic, None)
        if topic.startswith("tickers."):
            self._ticker(socket, topic, instrument)
        elif topic.startswith("orderbook."):
            self._book(socket, topic, instrument)

    def forget(self, socket: Connection, topic: str) -> None:
        """Drop a topic a socket no longer wants."""
        socket.state.pop(topic, None)
        names: dict[str, dict[str, None]] = socket.state.get("names", {})
        names.get(topic.rpartition(".")[2], {}).pop(topic, None)

    def _each(self, key: str) -> list[tuple[Connection, str]]:
        # Sockets and topics that are about an instrument.
        kind, name = self.server.market.instruments[key].kind, name_of(key)
        return [
            (socket, topic)
            for socket in self.server.connections
            if socket.state.get("category") == kind
            for topic in socket.state["names"].get(name, ())
        ]

    # ---- events ---------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Tell subscribers of a new price."""
        if not isinstance(event, MarkChanged):
            return
        market, key = self.server.market, event.instrument
        last = market.lasts[key]
        self.server.bump(key)
        self.server.candles_of(key).see(last, self.server.now_ms())
        self.trade(key, "buy", self.server.market.instruments[key].min_quantity, last)
        self._refresh(key, is_pulse=False)

    def _refresh(self, key: str, *, is_pulse: bool) -> None:
        instrument = self.server.market.instruments[key]
        for socket, topic in self._each(key):
            head = topic.partition(".")[0]
            if head == "tickers":
                self._ticker(socket, topic, instrument)
            elif head == "orderbook" and not is_pulse:
                self._book(socket, topic, instrument)
            elif head == "orderbook" and topic.startswith("orderbook.1."):
                self._repeat(socket, topic, instrument)
            elif head == "kline":
                self._candle(socket, topic, instrument)

    async def pulse(self) -> None:
        """Keep the streams alive while prices stand still; runs until cancelled."""
        while True:
            await asyncio.sleep(self.server.pulse_seconds)
            for key, instrument in list(self.server.market.instruments.items()):
                if self._each(key):
                    last = self.server.market.lasts[key]
                    self.server.day_of(key).see(last, instrument.min_quantity)
                    self._refresh(key, is_pulse=True)

    # ---- frames ---------------------------------------------------------------------------------

    def _push(
        self, socket: Connection, topic: str, data: Any, kind: str = "snapshot", **more: Any
    ) -> None:
        frame = {"topic": topic, "type": kind, "ts": self.server.stamp(), "data": data} | more
        socket.push(frame, event=topic.partition(".")[0])

    def _garbage(self, instrument: Instrument) -> str | None:
        fault = self.server.faults.take(
            "price_garbage", symbol=name_of(instrument.id), socket="market"
        )
        return None if fault is None else str(fault.params.get("value", "0"))

    def _ticker(self, socket: Connection, topic: str, instrument: Instrument) -> None:
        row = prices.ticker_frame(self.server.market, instrument, self.server.day_of(instrument.id))
        garbage = self._garbage(instrument)
        if garbage is not None:
            row |= {name: garbage for name in PRICE_FIELDS if name in row}
        sequence = self.server.update_of(instrument.id) * 10
        before: Row | None = socket.state.get(topic)
        socket.state[topic] = row
        if before is None or instrument.kind == "spot":
            self._push(socket, topic, row, cs=sequence)
            return
        changed = {k: v for k, v in row.items() if before.get(k) != v}
        if changed:
            data = {"symbol": row["symbol"], **changed}
            self._push(socket, topic, data, "delta", cs=sequence)

    def _book(self, socket: Connection, topic: str, instrument: Instrument) -> None:
        depth = min(SHOWN_DEPTH, int(topic.split(".")[1]))
        bids, asks = prices.book(self.server.market, instrument, depth)
        garbage = self._garbage(instrument)
        if garbage is not None:
            bids = [[garbage, size] for _, size in bids]
            asks = [[garbage, size] for _, size in asks]
        before = socket.state.get(topic)
        socket.state[topic] = (bids, asks)
        socket.state[f"{topic}@"] = time.monotonic()
        if before is None or depth == 1:
            self._push_book(socket, topic, instrument, (bids, asks), "snapshot")
        else:
            sides = _changes(before[0], bids), _changes(before[1], asks)
            self._push_book(socket, topic, instrument, sides, "delta")

    def _push_book(
        self, socket: Connection, topic: str, instrument: Instrument, sides: Any, kind: str
    ) -> None:
        number = self.server.update_of(instrument.id)
        data = {
            "s": name_of(instrument.id),
            "b": sides[0],
            "a": sides[1],
            "u": number,
            "seq": number * 10,
        }
        self._push(socket, topic, data, kind, cts=self.server.stamp())

    def _repeat(self, socket: Connection, topic: str, instrument: Instrument) -> None:
        since = time.monotonic() - socket.state.get(f"{topic}@", 0.0)
        if since >= REPEAT_S and topic in socket.state:
            socket.state[f"{topic}@"] = time.monotonic()
            self._push_book(socket, topic, instrument, socket.state[topic], "snapshot")

    def _candle(self, socket: Connection, topic: str, instrument: Instrument) -> None:
        interval = topic.split(".")[1]
        now, length = self.server.now_ms(), prices.INTERVALS[interval]
        start = now - now % length
        opened, high, low, close = self.server.candles_of(instrument.id).span(start, length)
        row = {
            "start": start,
            "end": start + length - 1,
            "interval": interval,
            "open": text(opened),
            "close": text(close),
            "high": text(high),
            "low": text(low),
            "volume": "1",
            "turnover": text(close),
            "confirm": False,
            "timestamp": now,
        }
        self._push(socket, topic, [row])

    def trade(self, key: str, side: str, quantity: Decimal, price: Decimal) -> None:
        """Publish a trade and count it in the day's figures."""
        instrument = self.server.market.instruments[key]
        day = self.server.day_of(key)
        day.see(price, quantity)
        row = {
            "T": self.server.stamp(),
            "s": name_of(key),
            "S": "Buy" if side == "buy" else "Sell",
            "v": text(quantity),
            "p": priced(price, instrument),
            "L": day.last_tick,
            "i": new_id(),
            "BT": False,
            "seq": self.server.bump(key),
        }
        self.server.remember_trade(key, row)
        for socket, topic in self._each(key):
            if topic.startswith("publicTrade."):
                self._push(socket, topic, [row])

    def liquidation(self, fill: Fill) -> None:
        """Publish a liquidation; the side is that of the position that is gone."""
        instrument = self.server.market.instruments[fill.instrument]
        side, size = ("Buy" if fill.side == "sell" else "Sell"), text(fill.quantity)
        price, name = priced(fill.price, instrument), name_of(fill.instrument)
        for socket, topic in self._each(fill.instrument):
            if topic.startswith("allLiquidation."):
                row = {"T": fill.time_ms, "s": name, "S": side, "v": size, "p": price}
                self._push(socket, topic, [row])
            elif topic.startswith("liquidation."):
                old = {"updatedTime": fill.time_ms, "symbol": name, "side": side}
                self._push(socket, topic, old | {"size": size, "price": price})


def _changes(before: list[list[str]], now: list[list[str]]) -> list[list[str]]:
    # Levels to set, and levels to delete as size "0".
    old, new = dict(before), dict(now)
    changed = [[price, size] for price, size in new.items() if old.get(price) != size]
    return changed + [[price, "0"] for price in old if price not in new]
