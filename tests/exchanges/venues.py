"""What the adapters' tests share: each venue's protocol server with an account, and an adapter."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from riskbot.clock import SystemClock
from riskbot.core import actions, events
from riskbot.core.model import OrderType, PositionSide, Side
from riskbot.exchanges import exchange_class
from riskbot.exchanges._base import Credentials
from riskbot.exchanges._client import merged
from riskbot.exchanges.unified import UnifiedExchange
from tests.servers.base import ProtocolServer
from tests.servers.binance_usdm import BinanceUsdmServer
from tests.servers.bybit import BybitServer
from tests.servers.ledger import Ledger
from tests.servers.okx import OkxServer

D = Decimal
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
KEY, SECRET = "key", "secret"


@dataclass(frozen=True)
class Venue:
    """How the tests reach one venue; paths are as the venue documents them."""

    exchange_id: str
    server: Callable[[], ProtocolServer]
    ids: dict[str, str]
    order_path: str
    positions_path: str
    balance_path: str
    orders_path: str
    trigger_body: Callable[[str], dict[str, Any]] = field(default=lambda name: {})

    def __str__(self) -> str:
        return self.exchange_id


VENUES = (
    Venue(
        "binanceusdm",
        BinanceUsdmServer,
        {BTC: "BTCUSDT", ETH: "ETHUSDT"},
        "/fapi/v1/order",
        "/fapi/v3/positionRisk",
        "/fapi/v3/account",
        "/fapi/v1/openOrders",
    ),
    Venue(
        "bybit",
        BybitServer,
        {BTC: "BTCUSDT", ETH: "ETHUSDT"},
        "/v5/order/create",
        "/v5/position/list",
        "/v5/account/wallet-balance",
        "/v5/order/realtime",
    ),
    Venue(
        "okx",
        OkxServer,
        {BTC: "BTC-USDT-SWAP", ETH: "ETH-USDT-SWAP"},
        "/api/v5/trade/order",
        "/api/v5/account/positions",
        "/api/v5/account/balance",
        "/api/v5/trade/orders-pending",
    ),
)


@dataclass
class Desk:
    """A running server with one account, and an adapter that has opened it."""

    venue: Venue
    server: Any
    ledger: Ledger
    exchange: UnifiedExchange
    seen: list[events.Event] = field(default_factory=list)

    def hold(self, symbol: str, quantity: str, price: str = "40000", side: Any = "both") -> None:
        """Put a position in place, in base units."""
        name = self.venue.ids[symbol]
        size = D(quantity)
        self.ledger.set_position(name, size, D(price), side)

    def held(self, symbol: str) -> Decimal:
        """Return the ledger's signed quantity over both sides."""
        name = self.venue.ids[symbol]
        return sum(
            (p.quantity for p in self.ledger.positions.values() if p.instrument == name), D(0)
        )

    def strike(self, kind: str, path: str, times: int | None = 1, **params: Any) -> None:
        """Plant a fault on one REST path."""
        self.server.faults.add(kind, times, {"path": path}, **params)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind the stream emitted so far."""
        return [event for event in self.seen if isinstance(event, kind)]


def order(symbol: str = BTC, **changes: Any) -> actions.PlaceOrder:
    """Return a market buy of 0.01 that opens, unless told otherwise."""
    fields: dict[str, Any] = {
        "account": "main",
        "symbol": symbol,
        "client_order_id": "rb0000000000000001",
        "side": Side.BUY,
        "quantity": D("0.01"),
        "type": OrderType.MARKET,
        "reduce_only": False,
        "position_side": PositionSide.NET,
    }
    return actions.PlaceOrder(**(fields | changes))


class Leaping(SystemClock):
    """A clock that a test moves on; a venue's own goes on as it did."""

    ahead_ms = 0

    def now_ms(self) -> int:
        """Return UTC epoch in ms, and what the test added."""
        return super().now_ms() + self.ahead_ms


def query(placed: actions.PlaceOrder) -> actions.QueryOrder:
    """Return the question after an order's fate."""
    return actions.QueryOrder(
        account="main", symbol=placed.symbol, client_order_id=placed.client_order_id
    )


def make_exchange(
    venue: Venue,
    server: Any,
    *,
    key: str = KEY,
    secret: str = SECRET,
    markets: tuple[str, ...] = (),
    ccxt_config: dict[str, Any] | None = None,
    is_halted: bool = False,
    clock: SystemClock | None = None,
) -> UnifiedExchange:
    """Return an adapter as a user would configure it."""
    return exchange_class(venue.exchange_id)(
        "main",
        venue.exchange_id,
        Credentials(api_key=key, api_secret=secret, password="passphrase"),
        merged(server.ccxt_config(), {"timeout_on_exit": 0, **(ccxt_config or {})}),
        markets,
        clock or SystemClock(),
        random.Random(7),
        lambda: is_halted,
    )


@asynccontextmanager
async def open_desk(
    venue: Venue, *, hedge_mode: bool = False, **options: Any
) -> AsyncIterator[Desk]:
    """Run a server with an account of 100,000 USDT, and an adapter that has opened it."""
    server: Any = venue.server()
    ledger = server.add_account(KEY, SECRET, balance={"USDT": D(100_000)}, hedge_mode=hedge_mode)
    await server.start()
    exchange = make_exchange(venue, server, **options)
    try:
        await exchange.open((BTC, ETH))
        yield Desk(venue, server, ledger, exchange)
    finally:
        await exchange.close()
        await server.stop()
