"""What a Binance account holds and what things cost there, by the venue's own REST endpoints.

Orders and streams are in `binance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar

from riskbot.core import events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    Position,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import binance_errors, binance_prices, binance_rows, binance_urls
from riskbot.exchanges._base import Capabilities
from riskbot.exchanges._client import is_absent, together
from riskbot.exchanges._errors import ErrorRules
from riskbot.exchanges._wallet import Wallet
from riskbot.exchanges.unified import UnifiedExchange

MODE_EVERY_MS = 60_000
INDEX_EVERY_MS = 30_000
INTERVALS_EVERY_MS = 3_600_000
FEW_SYMBOLS = 8
ORDER_SYMBOLS = 20
"""Orders of so many instruments are asked for one by one: at 1 each instead of 40 for the list."""

LIST_EVERY_MS, TIGHT_LIST_EVERY_MS = 10_000, 30_000
WHOLE_COST = 100
CONTRACTS = {"linear": "fapi", "inverse": "dapi"}
KINDS = {
    "linear": InstrumentKind.LINEAR,
    "inverse": InstrumentKind.INVERSE,
    "spot": InstrumentKind.SPOT,
}
_MARKETS_BY_ID = {"binanceusdm": ("linear",), "binancecoinm": ("inverse",)}

_asked: ContextVar[frozenset[str] | None] = ContextVar("riskbot_asked", default=None)
ParseOrder = Callable[[str, Instrument, Mapping[str, Any]], WorkingOrder]


class BinanceReads(UnifiedExchange):
    """What a Binance account holds, over REST."""

    rules: ClassVar[ErrorRules] = binance_errors.RULES
    capacity: ClassVar[tuple[float, int]] = (2400.0, 60_000)
    default_markets: ClassVar[tuple[str, ...]] = ("spot",)
    has_base_volume = True

    def _defaults(self) -> Mapping[str, Any]:
        self.markets = _MARKETS_BY_ID.get(self.venue_id, self.markets)
        unknown = set(self.markets) - set(KINDS)
        self._notes.extend(f"markets: {name} is not supported here" for name in sorted(unknown))
        self.markets = tuple(name for name in self.markets if name in KINDS)
        self._mode_ms: dict[str, int] = {}
        self._modes: dict[str, bool] = {}
        self._answering: set[str] = set()
        self._index_ms = 0
        self._index: dict[str, float] = {}
        self._intervals: dict[str, dict[str, float]] = {}
        self._intervals_ms = -INTERVALS_EVERY_MS
        self._listed_ms = -TIGHT_LIST_EVERY_MS
        self._in_play: set[str] = set()
        # Margin pairs and currencies lie behind another section, with another address.
        return {"options": {"fetchMarkets": {"types": list(self.markets)}, "fetchMargins": False}}

    def _bars_per_page(self, instrument: Instrument) -> int:
        # Candles of coin-margined contracts: no more than 200 days between start and end.
        size = super()._bars_per_page(instrument)
        return min(size, 200) if instrument.kind is InstrumentKind.INVERSE else size

    def _completed(self, ccxt_config: Mapping[str, Any]) -> Mapping[str, Any]:
        return binance_urls.completed(ccxt_config)

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do, shown by `check`."""
        has_contracts = any(name in CONTRACTS for name in self.markets)
        return Capabilities(
            streams=("orders", "fills", "positions", "balances", "mark", "index", "book"),
            dead_man="countdown per instrument" if has_contracts else "none",
            client_id_charset="[.A-Z:/a-z0-9_-]{1,36}",
            has_conditional_pass=has_contracts,
            notes=tuple(self._notes),
        )

    def _api_of(self, market: str, name: str) -> str:
        # ccxt names: fapiPrivateGetOrder, dapiPrivateGetOrder, privateGetOrder.
        prefix = CONTRACTS.get(market, "")
        return f"{prefix}{name}" if prefix else name[:1].lower() + name[1:]

    def _market_of(self, symbol: str) -> str:
        kind = self.instrument(symbol).kind
        return next(name for name, value in KINDS.items() if value is kind)

    async def _first_of(self, methods: Sequence[str], **keywords: Any) -> Any:
        # Newer versions of an endpoint first; a server may have only an older one, which is asked
        # first from then on: a read that a close waits for takes one round trip.
        failure: VenueError | None = None
        for method in sorted(methods, key=lambda name: name not in self._answering):
            try:
                reply = await self.client.call(method, **keywords)
            except VenueError as error:
                if not is_absent(error):
                    raise
                self._answering.discard(method)
                failure = error
            else:
                self._answering.add(method)
                return reply
        raise failure or normal.unusable(self.account, "no such endpoint")

    # ------------------------------------------------------------ wallet

    async def _read_wallet(self, *, is_urgent: bool) -> Wallet:
        wallets = await together(
            *(self._wallet_of(market, is_urgent=is_urgent) for market in self.markets)
        )
        if len(wallets) == 1:
            only: Wallet = wallets[0]
            return only
        return binance_rows.joined(wallets)

    async def _wallet_of(self, market: str, *, is_urgent: bool) -> Wallet:
        what = f"{self.account} {market} account"
        if market == "spot":
            reply = await self.client.call("privateGetAccount", cost=20, is_urgent=is_urgent)
            return binance_rows.spot_wallet(normal.table(reply, what), what)
        versions = ("PrivateV3GetAccount", "PrivateV2GetAccount", "PrivateGetAccount")
        methods = versions[:2] if market == "linear" else versions[2:]
        reply = await self._first_of(
            [self._api_of(market, name) for name in methods], cost=5, is_urgent=is_urgent
        )
        prices = await self._asset_prices() if market == "linear" else {}
        kind = KINDS[market]
        return binance_rows.futures_wallet(
            normal.table(reply, what), what, prices, lambda name: self.symbol_of(name, kind)
        )

    async def _asset_prices(self) -> Mapping[str, float]:
        now_ms = self._time.now_ms()
        if now_ms - self._index_ms >= INDEX_EVERY_MS:
            self._index_ms = now_ms
            reply = await self.client.optional("fapiPublicGetAssetIndex", cost=10)
            if isinstance(reply, list):
                self._index = binance_rows.asset_prices(reply)
        return self._index

    # ------------------------------------------------------------ positions

    async def _read_positions(self, *, is_urgent: bool) -> Sequence[Position]:
        found = await together(
            *(
                self._positions_of(market, is_urgent=is_urgent)
                for market in self.markets
                if market in CONTRACTS
            )
        )
        return [position for part in found for position in part]

    async def _positions_of(self, market: str, *, is_urgent: bool) -> list[Position]:
        names = ("PrivateV3GetPositionRisk", "PrivateV2GetPositionRisk")
        methods = names if market == "linear" else ("PrivateGetPositionRisk",)
        reply = await self._first_of(
            [self._api_of(market, name) for name in methods], cost=5, is_urgent=is_urgent
        )
        found = []
        for row in normal.rows(reply, f"{self.account} positions"):
            side = str(row.get("positionSide") or "")
            if side:
                self._modes[market] = side != "BOTH"
            quantity = normal.need(row, f"{self.account} {row.get('symbol')}", "positionAmt")
            if quantity != 0:
                instrument = self.instrument(self.symbol_of(row.get("symbol"), KINDS[market]))
                found.append(binance_rows.position(self.account, instrument, row, quantity))
        return found

    async def _read_hedge_mode(self, *, is_urgent: bool) -> bool | None:
        market = next((name for name in self.markets if name in CONTRACTS), None)
        if market is None:
            return None
        now_ms = self._time.now_ms()
        if now_ms - self._mode_ms.get(market, 0) >= MODE_EVERY_MS:
            self._mode_ms[market] = now_ms
            method = self._api_of(market, "PrivateGetPositionSideDual")
            reply = await self.client.optional(method, cost=30, is_urgent=is_urgent)
            dual = reply.get("dualSidePosition") if isinstance(reply, dict) else None
            if dual is not None:
                self._modes[market] = str(dual).lower() == "true"
        return self._modes.get(market)

    # ------------------------------------------------------------ orders

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        """Read everything; urgent reads ask for orders of the instruments in play alone.

        The lists of all orders cost 80 and are read by routine snapshots, and by an urgent one
        when the last are too old; more rarely while the address's budget is nearly used up.
        """
        now_ms = self._time.now_ms()
        is_tight = not self.client.budget.has_room(WHOLE_COST, now_ms)
        every_ms = TIGHT_LIST_EVERY_MS if is_tight else LIST_EVERY_MS if is_urgent else 0
        is_old = now_ms - self._listed_ms >= every_ms
        is_whole = is_old or len(self._in_play) > ORDER_SYMBOLS
        known = frozenset(self._in_play)
        token = _asked.set(None if is_whole else known)
        try:
            found = await super().snapshot(request_id, is_urgent=is_urgent)
        finally:
            _asked.reset(token)
        if is_whole and found.orders is not None:
            self._listed_ms = now_ms
        self._in_play = {p.symbol for p in found.positions} | {o.symbol for o in found.orders or ()}
        return found

    async def _read_orders(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        name, parse = "PrivateGetOpenOrders", binance_rows.order
        return await self._listed(self.markets, name, parse, is_urgent=is_urgent)

    async def _read_conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        markets = [market for market in self.markets if market in CONTRACTS]
        name, parse = "PrivateGetOpenAlgoOrders", binance_rows.algo_order
        return await self._listed(markets, name, parse, is_urgent=is_urgent)

    async def _listed(
        self, markets: Sequence[str], name: str, parse: ParseOrder, *, is_urgent: bool
    ) -> list[WorkingOrder]:
        asked = _asked.get()
        queries = [
            (market, symbol)
            for market in markets
            for symbol in ([None] if asked is None else sorted(asked))
            if symbol is None or self._market_of(symbol) == market
        ]
        found = await together(
            *(
                self._orders_of(market, name, parse, symbol, is_urgent=is_urgent)
                for market, symbol in queries
            )
        )
        return [order for part in found for order in part]

    async def _orders_of(
        self, market: str, name: str, parse: ParseOrder, symbol: str | None, *, is_urgent: bool
    ) -> list[WorkingOrder]:
        params = {} if symbol is None else {"symbol": self.market_id(symbol)}
        cost = 40 if symbol is None else 1
        method = self._api_of(market, name)
        reply = await self.client.call(method, params, cost=cost, is_urgent=is_urgent)
        if isinstance(reply, dict) and isinstance(reply.get("orders"), list):
            reply = reply["orders"]
        kind = KINDS[market]
        return [
            parse(self.account, self.instrument(self.symbol_of(row.get("symbol"), kind)), row)
            for row in normal.rows(reply, f"{self.account} {name}")
        ]

    def note_in_play(self, symbols: Iterable[str]) -> None:
        """Remember instruments the stream spoke of: urgent reads ask for their orders too."""
        self._in_play.update(symbols)

    def asset_price(self, asset: str) -> float | None:
        """Return the venue's last known index price of an asset in USD."""
        return self._index.get(asset)

    # ------------------------------------------------------------ prices

    def funding_interval_h(self, symbol: str) -> float | None:
        """Return the hours between two settlements of funding; None = not known yet."""
        known = self._intervals.get(self._market_of(symbol))
        if known is None:
            return None
        return known.get(self.market_id(symbol), binance_prices.USUAL_INTERVAL_H)

    async def read_intervals(self) -> None:
        """Read which contracts settle funding at other hours than usual, once an hour."""
        if self._time.now_ms() - self._intervals_ms < INTERVALS_EVERY_MS:
            return
        self._intervals_ms = self._time.now_ms()
        for market in self.markets:
            if market in CONTRACTS:
                method = self._api_of(market, "PublicGetFundingInfo")
                reply = await self.client.optional(method, cost=1)
                if isinstance(reply, list):
                    listed = [row for row in reply if isinstance(row, dict)]
                    self._intervals[market] = binance_prices.intervals(listed)

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read mark, index and book of these symbols."""
        reads = [
            self._price_read(market, name, parse, wanted)
            for market in self.markets
            if (wanted := {s for s in symbols if self._market_of(s) == market})
            for name, parse in binance_prices.price_reads(market)
        ]
        found: list[events.PricesUpdated] = []
        failure: VenueError | None = None
        for result in await asyncio.gather(*reads, return_exceptions=True):
            if isinstance(result, VenueError):
                failure = result
            elif isinstance(result, BaseException):
                raise result
            else:
                found.extend(result)
        if not found and failure is not None:
            if not is_absent(failure):
                raise failure
            return await self._held_prices(symbols)
        return found

    async def _held_prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        # A server without public prices still states the mark of what is held.
        now_ms = self._time.now_ms()
        return [
            events.PricesUpdated(
                account=self.account,
                symbol=position.symbol,
                mark=float(position.venue_mark),
                venue_ms=now_ms,
                is_rest=True,
            )
            for position in await self._read_positions(is_urgent=True)
            if position.symbol in symbols and position.venue_mark is not None
        ]

    async def _price_read(
        self,
        market: str,
        name: str,
        parse: Callable[[str, str, Mapping[str, Any]], events.PricesUpdated | None],
        wanted: set[str],
    ) -> list[events.PricesUpdated]:
        method = self._api_of(market, name)
        if len(wanted) <= FEW_SYMBOLS:
            calls = [{"symbol": self.market_id(symbol)} for symbol in sorted(wanted)]
        else:
            calls = [{}]
        replies = await together(
            *(self.client.call(method, call, cost=2 if call else 10, is_urgent=True)
              for call in calls)
        )  # fmt: skip
        found = []
        for reply in replies:
            for row in reply if isinstance(reply, list) else [reply]:
                listed = normal.table(row, name)
                try:
                    symbol = self.symbol_of(listed.get("symbol"), KINDS[market])
                except VenueError:
                    continue
                if symbol in wanted and (price := parse(self.account, symbol, listed)) is not None:
                    found.append(price)
        return found
