"""What a Bybit unified account says over REST: wallet, positions, orders, prices, ledger.

Linear needs one question per settle coin and pages; nothing optional (key info, transaction log,
disconnection protection) has to be there. Orders and streams are in `bybit`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from riskbot.core import events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    Position,
    PositionSide,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import bybit_errors, bybit_rows, bybit_urls
from riskbot.exchanges._base import Capabilities
from riskbot.exchanges._client import is_absent, together
from riskbot.exchanges._endpoints import USUAL, Limits
from riskbot.exchanges._errors import ErrorRules
from riskbot.exchanges._wallet import Wallet
from riskbot.exchanges.unified import UnifiedExchange

POSITIONS_PAGE, ORDERS_PAGE, LOG_PAGE, PAGES = 200, 50, 50, 100
LOG_PAGES = 20
"""Newest first, a row for each fill among them: what is older was read before."""

LOG_REACH_MS = 7 * 86_400_000 - 60_000
KINDS = {
    "spot": InstrumentKind.SPOT,
    "linear": InstrumentKind.LINEAR,
    "inverse": InstrumentKind.INVERSE,
    "option": InstrumentKind.OPTION,
}


class BybitReads(UnifiedExchange):
    """REST reads of one Bybit account."""

    rules: ClassVar[ErrorRules] = bybit_errors.RULES
    capacity: ClassVar[tuple[float, int]] = (600.0, 5_000)
    limits: ClassVar[Limits] = {
        # Requests a second and account; headers of its replies state what is granted.
        USUAL: (50, 1_000),
        "v5/order/create": (10, 1_000),
        "v5/order/cancel": (10, 1_000),
        "v5/order/disconnected-cancel-all": (5, 1_000),
        "v5/account/transaction-log": (25, 1_000),
        "v5/account/query-dcp-info": (5, 1_000),
        "v5/user/query-api": (10, 1_000),
    }
    book_levels = 200
    has_base_volume, bars_cost = True, 1

    def _defaults(self) -> Mapping[str, Any]:
        self.markets = tuple(name for name in self.markets if name in KINDS)
        self._tickers: dict[str, dict[str, Any]] = {}
        self._is_dead_man_wanted = False
        self._spoken: dict[str, str] | None = None
        self._scope_list: list[dict[str, str]] = []
        self._scoped_ms = -1
        # Asking whether the account is unified needs rights a key may lack; all accounts are.
        return {
            "options": {
                "fetchMarkets": {"types": list(self.markets)},
                "enableUnifiedMargin": False,
                "enableUnifiedAccount": True,
            }
        }

    def _completed(self, ccxt_config: Mapping[str, Any]) -> Mapping[str, Any]:
        return bybit_urls.completed(ccxt_config)

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do, shown by `check`."""
        return Capabilities(
            streams=("orders", "fills", "positions", "balances", "mark", "index", "book", "last"),
            dead_man="on_disconnect",
            client_id_charset="[A-Za-z0-9_-]{1,36}",
            has_conditional_pass=True,
            notes=tuple(self._notes),
        )

    # ------------------------------------------------------------ reading

    async def _ask(
        self, method: str, params: Mapping[str, Any], *, cost: float = 1, is_urgent: bool = False
    ) -> dict[str, Any]:
        reply = await self.client.call(method, dict(params), cost=cost, is_urgent=is_urgent)
        what = f"{self.account} {method}"
        return normal.table(normal.table(reply, what).get("result"), what)

    async def _paged(
        self,
        method: str,
        params: Mapping[str, Any],
        limit: int,
        *,
        is_urgent: bool,
        at_most: int | None = None,
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = {**params, "limit": limit}
        for _ in range(at_most or PAGES):
            result = await self._ask(method, query, is_urgent=is_urgent)
            part = normal.rows(result.get("list"), f"{self.account} {method}")
            found.extend(part)
            cursor = result.get("nextPageCursor")
            # A cursor may come with the last page too; only an empty page ends it for certain.
            if not cursor or not part or cursor == query.get("cursor"):
                if len(part) == limit and not cursor:
                    raise normal.unusable(self.account, f"{method}: a full page without a next")
                return found
            query["cursor"] = cursor
        if at_most is not None:
            return found
        raise normal.unusable(self.account, f"{method}: more than {PAGES} pages")

    def _scopes(self) -> list[dict[str, str]]:
        # What each list of positions and orders must be asked for; where nothing is listed,
        # nothing can be held.
        if self._scoped_ms == self._reloaded_ms:
            return self._scope_list
        settled: dict[str, set[str]] = {}
        for market in (self.client.api.markets or {}).values():
            kind = normal.kind_of(market)
            category = next(name for name, value in KINDS.items() if value is kind)
            settled.setdefault(category, set()).add(str(market.get("settle") or ""))
        found: list[dict[str, str]] = []
        for category in self.markets:
            coins = sorted(settled.get(category, ()))
            if category == "linear":
                found.extend({"category": category, "settleCoin": coin} for coin in coins)
            elif coins:
                found.append({"category": category})
        self._scope_list, self._scoped_ms = found, self._reloaded_ms
        return found

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument, with the venue's own bound of a market order.

        Raises:
            VenueError: the venue does not list it, or says nothing usable of it.
        """
        is_new = symbol not in self._instruments
        found = super().instrument(symbol)
        if is_new:
            # ccxt knows the bound of limit orders alone, which is several times as wide.
            row = (self.client.api.markets[symbol].get("info") or {}).get("lotSizeFilter") or {}
            most = normal.positive(row.get("maxMktOrderQty") or row.get("maxMarketOrderQty"))
            if most is not None:
                most *= found.contract_value
                found = dataclasses.replace(found, max_market_quantity=most)
                self._instruments[symbol] = found
        return found

    def _instrument_of(self, row: Mapping[str, Any], category: str) -> Instrument:
        return self.instrument(self.symbol_of(row.get("symbol"), KINDS[category]))

    async def _read_wallet(self, *, is_urgent: bool) -> Wallet:
        params = {"accountType": "UNIFIED"}
        reply = await self._ask("privateGetV5AccountWalletBalance", params, is_urgent=is_urgent)
        return bybit_rows.wallet(reply, f"{self.account} wallet")

    async def _read_positions(self, *, is_urgent: bool) -> Sequence[Position]:
        scopes = [scope for scope in self._scopes() if scope["category"] != "spot"]
        method = "privateGetV5PositionList"
        parts = await together(
            *(self._paged(method, scope, POSITIONS_PAGE, is_urgent=is_urgent) for scope in scopes)
        )
        found = []
        for scope, part in zip(scopes, parts, strict=True):
            for row in part:
                if normal.need(row, f"{self.account} {row.get('symbol')}", "size") != 0:
                    instrument = self._instrument_of(row, scope["category"])
                    found.append(bybit_rows.position(self.account, instrument, row))
        return found

    async def _read_hedge_mode(self, *, is_urgent: bool) -> bool | None:
        # A matter of each instrument here; positions and orders carry their leg.
        del is_urgent
        return None

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        """Read everything; hedge mode is known once a position tells it."""
        found = await super().snapshot(request_id, is_urgent=is_urgent)
        if found.positions:
            self.is_hedge_mode = any(p.side is not PositionSide.NET for p in found.positions)
        return _with_mode(found, is_hedge_mode=self.is_hedge_mode)

    async def _read_orders(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        return await self._orders({}, is_urgent=is_urgent)

    async def _read_conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        return await self._orders({"orderFilter": "StopOrder"}, is_urgent=is_urgent)

    async def _orders(self, extra: Mapping[str, str], *, is_urgent: bool) -> list[WorkingOrder]:
        scopes = self._scopes()
        method = "privateGetV5OrderRealtime"
        parts = await together(
            *(
                self._paged(method, {**scope, **extra}, ORDERS_PAGE, is_urgent=is_urgent)
                for scope in scopes
            )
        )
        found = [
            bybit_rows.order(self.account, self._instrument_of(row, scope["category"]), row)
            for scope, part in zip(scopes, parts, strict=True)
            for row in part
        ]
        return [order for order in found if not order.status.is_final]

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read tickers: mark, index, book and last."""
        wanted = {symbol: self.instrument(symbol).kind for symbol in symbols}
        found = []
        for category, kind in KINDS.items():
            names = [symbol for symbol, its_kind in wanted.items() if its_kind is kind]
            if not names:
                continue
            params = {"category": category}
            if len(names) == 1:
                params["symbol"] = self.market_id(names[0])
            method = "publicGetV5MarketTickers"
            reply = await self.client.call(method, params, cost=1, is_urgent=True)
            venue_ms = normal.stamp(normal.table(reply, method).get("time"))
            result = normal.table(reply.get("result"), method)
            for row in normal.rows(result.get("list"), method):
                symbol = next((s for s in names if self.market_id(s) == row.get("symbol")), None)
                price = symbol and bybit_rows.prices(
                    self.account, symbol, row, venue_ms, is_rest=True
                )
                if price:
                    found.append(price)
        return found

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        """Read the transaction log without the rows that repeat fills."""
        now_ms = self._time.now_ms()
        params = {
            "accountType": "UNIFIED",
            "startTime": max(since_ms, now_ms - LOG_REACH_MS),
            "endTime": now_ms + 60_000,
        }
        try:
            rows = await self._paged(
                "privateGetV5AccountTransactionLog",
                params,
                LOG_PAGE,
                is_urgent=is_urgent,
                at_most=LOG_PAGES,
            )
        except VenueError as error:
            if is_absent(error):
                return []
            raise
        found = [bybit_rows.booked(self.account, row, self._symbol_in(row)) for row in rows]
        booked = [entry for entry in found if entry is not None]
        return sorted(booked, key=lambda entry: entry.venue_ms)

    def _symbol_in(self, row: Mapping[str, Any]) -> str | None:
        kind = KINDS.get(str(row.get("category")))
        return None if kind is None else self.named(row.get("symbol"), kind)


def _with_mode(
    found: events.AccountSnapshotReceived, *, is_hedge_mode: bool | None
) -> events.AccountSnapshotReceived:
    return dataclasses.replace(found, is_hedge_mode=is_hedge_mode)
