"""Bybit: unified trading account over v5, by the venue's own endpoints and strings.

Linear needs one question per settle coin and pages; nothing optional (key info, transaction log,
disconnection protection) has to be there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    Position,
    PositionSide,
    TimeInForce,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic, bybit_errors, bybit_frames, bybit_rows
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._base import Capabilities
from riskbot.exchanges._client import is_absent, together
from riskbot.exchanges._errors import ErrorRules
from riskbot.exchanges._streams import ACCOUNT, PRICES, Watch
from riskbot.exchanges._wallet import Wallet
from riskbot.exchanges.unified import UnifiedExchange

POSITIONS_PAGE, ORDERS_PAGE, LOG_PAGE, PAGES = 200, 50, 50, 100
LOG_REACH_MS = 7 * 86_400_000 - 60_000
DEAD_MAN_S = (3, 300)
KINDS = {
    "spot": InstrumentKind.SPOT,
    "linear": InstrumentKind.LINEAR,
    "inverse": InstrumentKind.INVERSE,
    "option": InstrumentKind.OPTION,
}
_ACCOUNT_CHANNELS = ("watch_orders", "watch_my_trades", "watch_positions", "watch_balance")


class Bybit(UnifiedExchange):
    """One Bybit account."""

    rules: ClassVar[ErrorRules] = bybit_errors.RULES
    capacity: ClassVar[tuple[float, int]] = (600.0, 5_000)
    book_levels = 200

    def _defaults(self) -> Mapping[str, Any]:
        self.markets = tuple(name for name in self.markets if name in KINDS)
        self._tickers: dict[str, dict[str, Any]] = {}
        self._is_dead_man_wanted = False
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
        self, method: str, params: Mapping[str, Any], limit: int, *, is_urgent: bool
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = {**params, "limit": limit}
        for _ in range(PAGES):
            result = await self._ask(method, query, is_urgent=is_urgent)
            part = normal.rows(result.get("list"), f"{self.account} {method}")
            found.extend(part)
            cursor = result.get("nextPageCursor")
            # A cursor may come with the last page too; only an empty page ends it for certain.
            if not cursor or not part or cursor == query.get("cursor"):
                if len(part) >= limit and not cursor:
                    raise normal.unusable(self.account, f"{method}: a full page without a next")
                return found
            query["cursor"] = cursor
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

    async def ledger(self, since_ms: int) -> list[events.LedgerEntryBooked]:
        """Read the transaction log without the rows that repeat fills."""
        now_ms = self._time.now_ms()
        params = {
            "accountType": "UNIFIED",
            "startTime": max(since_ms, now_ms - LOG_REACH_MS),
            "endTime": now_ms + 60_000,
        }
        try:
            rows = await self._paged(
                "privateGetV5AccountTransactionLog", params, LOG_PAGE, is_urgent=True
            )
        except VenueError as error:
            if is_absent(error):
                return []
            raise
        found = [bybit_rows.booked(self.account, row) for row in rows]
        booked = [entry for entry in found if entry is not None]
        return sorted(booked, key=lambda entry: entry.venue_ms)

    # ------------------------------------------------------------ orders

    def _category(self, symbol: str) -> str:
        kind = self.instrument(symbol).kind
        return next(name for name, value in KINDS.items() if value is kind)

    def _place(self, symbol: str) -> dict[str, Any]:
        return {"category": self._category(symbol), "symbol": self.market_id(symbol)}

    async def _send(
        self,
        order: actions.PlaceOrder,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal | None,
    ) -> Any:
        params = self._place(order.symbol) | {
            "side": order.side.value.capitalize(),
            "orderType": order.type.value.capitalize(),
            "qty": normal.plain(quantity / instrument.contract_value),
            "orderLinkId": order.client_order_id,
        }
        if order.type is OrderType.LIMIT and price is not None:
            params["price"] = normal.plain(price)
            params["timeInForce"] = order.time_in_force.value.upper()
        elif order.time_in_force is TimeInForce.IOC:
            params["timeInForce"] = "IOC"
        if instrument.kind is InstrumentKind.SPOT:
            params["marketUnit"] = "baseCoin"
        else:
            leg = order.position_side if order.is_hedge_mode else PositionSide.NET
            params["positionIdx"] = bybit_rows.LEGS.get(leg, 0)
            params["reduceOnly"] = order.reduce_only
        return await self.client.call("privatePostV5OrderCreate", params, is_urgent=True)

    def _accepted(
        self, order: actions.PlaceOrder, instrument: Instrument, reply: Any
    ) -> events.OrderAccepted:
        result = normal.table(normal.table(reply, order.symbol).get("result"), order.symbol)
        if not result.get("orderId"):
            raise normal.unusable(order.symbol, "created order without an id")
        return self._taken(order, result["orderId"])

    async def _send_cancel(self, order: actions.CancelOrder) -> None:
        params = self._place(order.symbol)
        if order.order_id:
            params["orderId"] = order.order_id
        else:
            params["orderLinkId"] = order.client_order_id
        if order.is_conditional and params["category"] == "spot":
            params["orderFilter"] = "StopOrder"
        await self._ask("privatePostV5OrderCancel", params, is_urgent=True)

    async def _send_margin(self, move: actions.AddMargin) -> None:
        params = self._place(move.symbol) | bybit_rows.margin_params(move)
        await self._ask("privatePostV5PositionAddMargin", params, is_urgent=True)

    def _lookups(self) -> Sequence[Callable[[actions.QueryOrder], Any]]:
        return (self._find_open, self._find_closed, self._find_in_trades)

    async def _find_open(self, query: actions.QueryOrder) -> WorkingOrder | None:
        return await self._find_in("privateGetV5OrderRealtime", query)

    async def _find_closed(self, query: actions.QueryOrder) -> WorkingOrder | None:
        return await self._find_in("privateGetV5OrderHistory", query)

    async def _find_in(self, method: str, query: actions.QueryOrder) -> WorkingOrder | None:
        params = self._place(query.symbol) | {"orderLinkId": query.client_order_id}
        result = await self._ask(method, params, is_urgent=True)
        for row in normal.rows(result.get("list"), method):
            if row.get("orderLinkId") == query.client_order_id:
                return bybit_rows.order(self.account, self.instrument(query.symbol), row)
        return None

    async def _find_in_trades(self, query: actions.QueryOrder) -> WorkingOrder | None:
        params = self._place(query.symbol) | {"orderLinkId": query.client_order_id, "limit": 100}
        method = "privateGetV5ExecutionList"
        result = await self._ask(method, params, is_urgent=True)
        instrument = self.instrument(query.symbol)
        fills = [
            bybit_rows.fill(self.account, instrument, row)
            for row in normal.rows(result.get("list"), method)
            if row.get("orderLinkId") == query.client_order_id
        ]
        return _generic.order_from_fills(query, [fill for fill in fills if fill is not None])

    # ------------------------------------------------------------ streams

    def account_watches(self) -> Sequence[Watch]:
        """Return the private channels, and that of the dead-man's switch once it is wanted."""
        found = [Watch(ACCOUNT, method) for method in _ACCOUNT_CHANNELS]
        if self._is_dead_man_wanted:
            found.append(Watch(ACCOUNT, "dead_man", call=_watch_dead_man, is_optional=True))
        return found

    def price_watches(self, symbols: Sequence[str]) -> Sequence[Watch]:
        """Return tickers, and the book for spot, whose ticker states none."""
        found: list[Watch] = []
        for portion, kind in self.portions(symbols):
            methods = ["watch_tickers"]
            if kind is InstrumentKind.SPOT:
                methods.append("watch_bids_asks")
            found.extend(Watch(PRICES, method, portion, (list(portion),)) for method in methods)
        return found

    def decode(self, message: Any) -> list[events.Event] | None:
        """Turn a frame into events; None leaves it to ccxt (login, subscriptions, pongs)."""
        try:
            return bybit_frames.decode(self, message, self._tickers)
        except (VenueError, LookupError, TypeError, ValueError, AttributeError):
            return []

    def renew(self, api: Any, feed: str) -> None:
        """Forget tickers of a broken socket: the next frame starts with a snapshot."""
        super().renew(api, feed)
        if feed == PRICES:
            self._tickers.clear()

    # ------------------------------------------------------------ rights, switch

    async def key_rights(self) -> events.KeyRightsChecked:
        """Ask what the key may do."""
        reply = await self.client.optional("privateGetV5UserQueryApi")
        result = reply.get("result") if isinstance(reply, dict) else None
        return bybit_rows.key_rights(self.account, result if isinstance(result, dict) else {})

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        """Arm the protection on disconnect: window set, channel subscribed, and the venue asked."""
        if action.timeout_ms <= 0:
            if self._is_dead_man_wanted:
                self._is_dead_man_wanted = False
                self._streams.reconnect_account()
            return self._dead_man_state("off: the stream does not subscribe to it")
        window_s = min(DEAD_MAN_S[1], max(DEAD_MAN_S[0], -(-action.timeout_ms // 1000)))
        try:
            await self.client.call(
                "privatePostV5OrderDisconnectedCancelAll",
                {"timeWindow": window_s, "product": "DERIVATIVES"},
                is_urgent=True,
            )
            result = await self._ask("privateGetV5AccountQueryDcpInfo", {}, is_urgent=True)
        except VenueError as error:
            return self._dead_man_state(f"not confirmed: {error}")
        rows = [row for row in result.get("dcpInfos") or () if isinstance(row, dict)]
        is_on = any(
            row.get("product") == "DERIVATIVES" and row.get("dcpStatus") == "ON" for row in rows
        )
        if is_on and not self._is_dead_man_wanted:
            self._is_dead_man_wanted = True
            self._streams.refresh()
        detail = f"on_disconnect, {window_s} s" if is_on else "not granted by the venue"
        return self._dead_man_state(detail, is_armed=is_on)

    def _dead_man_state(self, detail: str, *, is_armed: bool = False) -> events.DeadManChanged:
        return events.DeadManChanged(account=self.account, is_armed=is_armed, detail=detail)


async def _watch_dead_man(api: Any) -> Any:
    url = await api.get_url_by_market_type(isPrivate=True, method="watchOrders")
    await api.authenticate(url)
    return await api.watch_topics(url, ["dcp"], ["dcp.future"], {})


def _with_mode(
    found: events.AccountSnapshotReceived, *, is_hedge_mode: bool | None
) -> events.AccountSnapshotReceived:
    return dataclasses.replace(found, is_hedge_mode=is_hedge_mode)
