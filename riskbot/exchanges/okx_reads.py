"""What an OKX account holds and what things cost there, by the venue's own REST endpoints.

Orders and streams are in `okx`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from riskbot.core import events
from riskbot.core.model import Instrument, InstrumentKind, Position, RejectReason, WorkingOrder
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import okx_algos, okx_errors, okx_rows
from riskbot.exchanges._base import Capabilities
from riskbot.exchanges._client import is_absent, together
from riskbot.exchanges._endpoints import USUAL, Limits
from riskbot.exchanges._errors import ErrorRules
from riskbot.exchanges._wallet import Wallet
from riskbot.exchanges.okx_holdings import Holdings
from riskbot.exchanges.unified import UnifiedExchange

PAGE, PAGES = 100, 50
BILL_PAGES = 10
"""Newest first, a row for each fill among them: what is older was read before."""

CONFIG_EVERY_MS = 60_000
BILLS_REACH_MS = 7 * 86_400_000 - 60_000
INST_TYPES = {
    "spot": "SPOT",
    "swap": "SWAP",
    "future": "FUTURES",
    "option": "OPTION",
}
_ALGO_TYPES = ("conditional", "oco", "trigger", "move_order_stop")
# They send orders of their own for as long as they live; a server may not know them all.
_PROGRAM_TYPES = ("iceberg", "twap", "chase")
_TYPES = {"spot": ("spot",), "linear": ("swap", "future"), "inverse": ("swap", "future"),
          "option": ("option",)}  # fmt: skip


class OkxReads(UnifiedExchange):
    """What an OKX account holds, over REST."""

    rules: ClassVar[ErrorRules] = okx_errors.RULES
    # Nothing is counted per address as a whole; each endpoint has a limit of its own.
    capacity: ClassVar[tuple[float, int]] = (500.0, 2_000)
    limits: ClassVar[Limits] = {
        USUAL: (20, 2_000),
        "account/balance": (10, 2_000),
        "account/positions": (10, 2_000),
        "account/config": (5, 2_000),
        "account/bills": (5, 1_000),
        "trade/order": (60, 2_000),
        "trade/cancel-order": (60, 2_000),
        "trade/orders-pending": (60, 2_000),
        "trade/orders-history": (40, 2_000),
        "trade/fills": (60, 2_000),
        "trade/orders-algo-pending": (20, 2_000),
        "trade/order-algo": (20, 2_000),
        "trade/cancel-algos": (20, 2_000),
        "trade/cancel-all-after": (1, 1_000),
        "public/time": (10, 2_000),
        "market/ticker": (20, 2_000),
        "market/index-tickers": (20, 2_000),
    }
    book_levels = 100
    has_base_volume, bars_cost = True, 1

    def _defaults(self) -> Mapping[str, Any]:
        self.markets = tuple(name for name in self.markets if name in _TYPES)
        self._holdings = Holdings()
        self._config: dict[str, Any] = {}
        self._config_ms = -CONFIG_EVERY_MS
        self._indexes: dict[str, list[str]] = {}
        types = [name for market in self.markets for name in _TYPES[market]]
        return {"options": {"fetchMarkets": {"types": list(dict.fromkeys(types))}}}

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do, shown by `check`."""
        return Capabilities(
            streams=("orders", "fills", "positions", "balances", "mark", "index", "book", "last"),
            dead_man="countdown for the account, 10 to 120 s",
            client_id_charset="[A-Za-z0-9]{1,32}",
            has_conditional_pass=True,
            notes=tuple(self._notes),
        )

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument, with the venue's own bound of a market order.

        Raises:
            VenueError: the venue does not list it, or says nothing usable of it.
        """
        if (known := self._instruments.get(symbol)) is not None:
            return known
        found = super().instrument(symbol)
        if found.kind is not InstrumentKind.SPOT:
            # For spot it is stated in USDT; ccxt knows the bound of limit orders alone.
            most = normal.positive(self.client.api.markets[symbol]["info"].get("maxMktSz"))
            if most is not None:
                found = dataclasses.replace(found, max_market_quantity=most * found.contract_value)
                self._instruments[symbol] = found
        return found

    # ------------------------------------------------------------ reading

    async def _ask(
        self,
        method: str,
        params: Any = None,
        *,
        cost: float = 1,
        is_urgent: bool = False,
    ) -> list[dict[str, Any]]:
        reply = await self.client.call(method, params or {}, cost=cost, is_urgent=is_urgent)
        what = f"{self.account} {method}"
        return normal.rows(normal.table(reply, what).get("data"), what)

    async def _paged(
        self,
        method: str,
        params: Mapping[str, Any],
        key: str,
        *,
        is_urgent: bool,
        at_most: int | None = None,
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = {**params, "limit": str(PAGE)}
        for _ in range(at_most or PAGES):
            part = await self._ask(method, query, is_urgent=is_urgent)
            found.extend(part)
            if len(part) < PAGE:
                return found
            query["after"] = str(part[-1].get(key))
        if at_most is not None:
            return found
        raise normal.unusable(self.account, f"{method}: more than {PAGES} pages")

    def _instrument_of(self, row: Mapping[str, Any]) -> Instrument:
        return self.instrument(self.symbol_of(row.get("instId")))

    async def _read_wallet(self, *, is_urgent: bool) -> Wallet:
        rows = await self._ask("privateGetAccountBalance", is_urgent=is_urgent)
        if not rows:
            raise normal.unusable(self.account, "no account in the balance reply")
        return okx_rows.wallet(rows[0], f"{self.account} balance")

    async def _read_positions(self, *, is_urgent: bool) -> Sequence[Position]:
        rows = await self._ask("privateGetAccountPositions", is_urgent=is_urgent)
        named = [(self._instrument_of(row), row) for row in rows]
        return self._holdings.read(
            (okx_rows.position(self.account, instrument, row), instrument.kind)
            for instrument, row in named
        )

    def joined(self, position: Position) -> list[Position]:
        """Return what a pushed position makes of those the core knows."""
        return self._holdings.pushed(position, self.instrument(position.symbol).kind)

    async def _read_config(self, *, is_urgent: bool = False) -> dict[str, Any]:
        now_ms = self._time.now_ms()
        if now_ms - self._config_ms >= CONFIG_EVERY_MS:
            self._config_ms = now_ms
            reply = await self.client.optional("privateGetAccountConfig", is_urgent=is_urgent)
            rows = reply.get("data") if isinstance(reply, dict) else None
            if isinstance(rows, list) and rows and isinstance(rows[0], dict):
                self._config = rows[0]
        return self._config

    async def _read_hedge_mode(self, *, is_urgent: bool) -> bool | None:
        config = await self._read_config(is_urgent=is_urgent)
        mode = config.get("posMode")
        if mode is None:
            return True if self._holdings.has_legs() else None
        return bool(mode == "long_short_mode")

    async def _read_orders(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        rows = await self._paged("privateGetTradeOrdersPending", {}, "ordId", is_urgent=is_urgent)
        return [okx_rows.order(self.account, self._instrument_of(row), row) for row in rows]

    async def _read_conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        parts = await together(
            *(self._algo_rows(name, is_urgent=is_urgent) for name in _ALGO_TYPES),
            *(self._program_rows(name, is_urgent=is_urgent) for name in _PROGRAM_TYPES),
        )
        return [
            okx_algos.algo_order(self.account, self._instrument_of(row), row)
            for part in parts
            for row in part
        ]

    async def _algo_rows(self, name: str, *, is_urgent: bool) -> list[dict[str, Any]]:
        method = "privateGetTradeOrdersAlgoPending"
        return await self._paged(method, {"ordType": name}, "algoId", is_urgent=is_urgent)

    async def _program_rows(self, name: str, *, is_urgent: bool) -> list[dict[str, Any]]:
        try:
            return await self._algo_rows(name, is_urgent=is_urgent)
        except VenueError as error:
            if error.reason is RejectReason.OTHER and not error.is_ambiguous:
                return []
            raise

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read mark, index and ticker of each of these symbols."""
        found: list[events.PricesUpdated] = []
        failure: VenueError | None = None
        for symbol in symbols:
            for read in self._price_reads(symbol):
                try:
                    rows = await self._ask(*read, cost=1, is_urgent=True)
                except VenueError as error:
                    failure = error
                    continue
                stated = (okx_rows.prices(self.account, symbol, row, is_rest=True) for row in rows)
                found.extend(price for price in stated if price is not None)
        if not found and failure is not None:
            raise failure
        return found

    def _price_reads(self, symbol: str) -> list[tuple[str, dict[str, str]]]:
        market_id = self.market_id(symbol)
        market = self.client.api.markets[symbol]
        reads = [("publicGetMarketTicker", {"instId": market_id})]
        if self.instrument(symbol).kind is not InstrumentKind.SPOT:
            kind = INST_TYPES.get(str(market.get("type")), "SWAP")
            marks = {"instType": kind, "instId": market_id}
            reads.insert(0, ("publicGetPublicMarkPrice", marks))
            if index := index_of(market):
                reads.append(("publicGetMarketIndexTickers", {"instId": index}))
        return reads

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        """Read the bills of the last week without those that repeat fills."""
        begin_ms = max(since_ms, self._time.now_ms() - BILLS_REACH_MS)
        try:
            rows = await self._paged(
                "privateGetAccountBills",
                {"begin": str(begin_ms)},
                "billId",
                is_urgent=is_urgent,
                at_most=BILL_PAGES,
            )
        except VenueError as error:
            if is_absent(error):
                return []
            raise
        found = [okx_rows.booked(self.account, row, self.named(row.get("instId"))) for row in rows]
        # A server may not know `begin`: what is older is left out here.
        booked = [entry for entry in found if entry is not None and entry.venue_ms >= begin_ms]
        return sorted(booked, key=lambda entry: entry.venue_ms)


def index_of(market: Mapping[str, Any]) -> str | None:
    """Return the venue's name of the index a market follows, None when it states none."""
    info = market.get("info")
    index = info.get("uly") if isinstance(info, Mapping) else None
    return str(index) if index else None
