"""A protocol server in this process, with as many instruments as a row needs, and price load."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from tests.servers.base import ProtocolServer, Request
from tests.servers.binance_usdm import BinanceUsdmServer
from tests.servers.bybit import BybitServer
from tests.servers.ledger import Ledger, Order
from tests.servers.ledger_types import Instrument
from tests.servers.okx import OkxServer

D = Decimal
KEY, SECRET = "key", "secret"
CASH = D(1_000_000)
PRICE = D(100)
"""Of every instrument that is added here."""

SERVERS: dict[str, Callable[[], ProtocolServer]] = {
    "binanceusdm": BinanceUsdmServer,
    "bybit": BybitServer,
    "okx": OkxServer,
}
BURST_S = 0.01
_SLACK_S = 0.0005


class Venue:
    """A running server, seen from a benchmark.

    Attributes:
        exchange: ccxt's name of it.
        server: it.
        names: its own names of the instruments that were added; `symbols` are ccxt's.
    """

    def __init__(self, exchange: str, server: ProtocolServer, count: int) -> None:
        self.exchange = exchange
        self.server = server
        numbers = [f"{n:03d}" for n in range(count)]
        self.names = [self._name(number) for number in numbers]
        self.symbols = [f"C{number}/USDT:USDT" for number in numbers]
        for number, name in zip(numbers, self.names, strict=True):
            server.market.add(
                Instrument(name, f"C{number}", "USDT", "USDT", tick=D("0.01"), step=D("0.01")),
                PRICE,
            )
            if isinstance(server, BinanceUsdmServer):
                server.streams.note(name)

    def _name(self, number: str) -> str:
        return f"C{number}-USDT-SWAP" if self.exchange == "okx" else f"C{number}USDT"

    @property
    def ledger(self) -> Ledger:
        """The account."""
        return self.server.ledger

    def account(self) -> dict[str, Any]:
        """Return the account's section of riskbot's configuration."""
        section = {
            "exchange": self.exchange,
            "api_key": KEY,
            "api_secret": SECRET,
            "markets": ["linear"],
            "ccxt": self.server.ccxt_config(),
        }
        return section | ({"api_password": "passphrase"} if self.exchange == "okx" else {})

    def hold(self, name: str, quantity: Decimal) -> None:
        """Put a position in place, entered at the present price."""
        self.ledger.set_position(name, quantity, self.server.market.marks[name])

    def trade(self, name: str, quantity: Decimal) -> None:
        """Fill a market order of somebody who trades on the account; signed base units."""
        side = "buy" if quantity > 0 else "sell"
        self.ledger.place(Order(instrument=name, side=side, quantity=abs(quantity), type="market"))

    def orders(self) -> list[Request]:
        """Return the create-order requests received so far."""
        return self.server.orders_received()

    async def next_order(self, seen: int, seconds: float = 10.0) -> Request:
        """Return the first create-order request after the `seen` first ones.

        Raises:
            TimeoutError: none came.
        """
        return (await self.next_orders(seen, 1, seconds))[0]

    async def next_orders(self, seen: int, count: int, seconds: float = 10.0) -> list[Request]:
        """Return the `count` create-order requests after the `seen` first ones."""
        async with asyncio.timeout(seconds):
            while len(self.orders()) < seen + count:
                await asyncio.sleep(0.002)
        return self.orders()[seen : seen + count]

    def hears_account(self) -> bool:
        """Whether a private socket stands."""
        return any(connection.kind == "user" for connection in self.server.connections)

    def is_streaming(self) -> bool:
        """Whether a private socket and price subscriptions stand."""
        priced = any(c.subscriptions for c in self.server.connections if c.kind != "user")
        return self.hears_account() and priced


@asynccontextmanager
async def venue(exchange: str, count: int, keys: int = 1) -> AsyncIterator[Venue]:
    """Run a server with one account (or more, all the same) and `count` added instruments."""
    server = SERVERS[exchange]()
    for number in range(keys):
        server.add_account(KEY if not number else f"{KEY}{number}", SECRET, balance={"USDT": CASH})
    made = Venue(exchange, server, count)
    # Rounds come faster than breaches do; what is measured is not how budgets are kept.
    if isinstance(server, BybitServer):
        server.limits_enforced = False
    if isinstance(server, BinanceUsdmServer):
        server.weights.limit = 1_000_000
    await server.start()
    try:
        yield made
    finally:
        await server.stop()


class Load:
    """Price frames at a steady rate while a row measures something else.

    Attributes:
        sent: frames sent to each subscriber so far.
        late_s: how far the sender fell behind its own schedule, at worst.
    """

    def __init__(self, of: Venue, names: list[str], per_s: float) -> None:
        self._venue = of
        self._names = names
        self._per_s = per_s
        self.sent = 0
        self.late_s = 0.0

    async def run(self, seconds: float | None = None) -> None:
        """Send until cancelled, or for so long."""
        started = due = time.monotonic()
        owed = 0.0
        while seconds is None or due - started < seconds:
            owed += self._per_s * BURST_S
            for _ in range(int(owed)):
                self._send()
            owed -= int(owed)
            due += BURST_S
            now = time.monotonic()
            self.late_s = max(self.late_s, now - due)
            await asyncio.sleep(max(due - now, _SLACK_S))

    def _send(self) -> None:
        name = self._names[self.sent % len(self._names)]
        step = self.sent // len(self._names)
        # One tick up, one down: prices that move and stay where the row wants them.
        price = PRICE + D("0.01") * (step % 2)
        self.sent += 1
        if isinstance(self._venue.server, BinanceUsdmServer):
            # The frame alone: the server's own bookkeeping would cost more than the client's.
            self._push(f"{name.lower()}@bookTicker", self._book(name, price))
        else:
            self._venue.server.market.set_price(name, price)

    def finish(self) -> dict[str, float]:
        """Send a last mark price of its own for each instrument; return them by ccxt's symbol."""
        found = {}
        for number, name in enumerate(self._names, 1):
            price = PRICE + D("0.01") * number
            self._venue.server.market.set_price(name, price)
            found[self._venue.symbols[self._venue.names.index(name)]] = float(price)
        return found

    def _book(self, name: str, price: Decimal) -> dict[str, Any]:
        now = time.time_ns() // 1_000_000
        return {
            "e": "bookTicker",
            "u": 7_000_000_000 + self.sent,
            "s": name,
            "b": str(price - D("0.01")),
            "B": "100.00",
            "a": str(price + D("0.01")),
            "A": "100.00",
            "T": now,
            "E": now,
        }

    def _push(self, stream: str, row: dict[str, Any]) -> None:
        text = json.dumps(row)
        for connection in self._venue.server.connections:
            if stream in connection.subscriptions:
                connection.push(text)
