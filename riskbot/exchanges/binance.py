"""Binance: USD-M and COIN-M futures and spot, by the venue's own endpoints and strings.

Frames of its websockets are read in `binance_frames`. Optional data (brackets, income, key
restrictions, asset index) may be missing everywhere; the core endpoints may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    PositionSide,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic, binance_frames, binance_rows
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._client import is_absent
from riskbot.exchanges._streams import ACCOUNT, PRICES, Watch
from riskbot.exchanges.binance_reads import CONTRACTS, KINDS, BinanceReads

LEDGER_PAGE, LEDGER_PAGES = 1000, 5
LEDGER_REACHES_MS = (6 * 3_600_000, 3_600_000)
KEY_EVERY_S = 60.0
KEY_GONE = "-1125"
INTERVALS_LOOK_S = 300.0


class Binance(BinanceReads):
    """One Binance account: futures of either margin, spot, or several of them."""

    is_ready_on_connect = True
    book_levels = 100

    @property
    def has_steady_prices(self) -> bool:  # type: ignore[override]
        """Marks come each second; spot has none."""
        return any(market in CONTRACTS for market in self.markets)

    # ------------------------------------------------------------ orders

    async def _send(
        self,
        order: actions.PlaceOrder,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal | None,
    ) -> Any:
        market = self._market_of(order.symbol)
        params: dict[str, Any] = {
            "symbol": self.market_id(order.symbol),
            "side": order.side.value.upper(),
            "type": order.type.value.upper(),
            "quantity": normal.plain(quantity / instrument.contract_value),
            "newClientOrderId": order.client_order_id,
            "newOrderRespType": "RESULT",
        }
        if order.type is OrderType.LIMIT and price is not None:
            params["price"] = normal.plain(price)
            params["timeInForce"] = order.time_in_force.value.upper()
        if market in CONTRACTS:
            if order.is_hedge_mode and order.position_side is not PositionSide.NET:
                # In hedge mode the leg says what closes; the parameter would be refused (-1106).
                params["positionSide"] = order.position_side.value.upper()
            elif order.reduce_only:
                params["reduceOnly"] = "true"
        method = self._api_of(market, "PrivatePostOrder")
        return await self.client.call(method, params, is_urgent=True)

    def _accepted(
        self, order: actions.PlaceOrder, instrument: Instrument, reply: Any
    ) -> events.OrderAccepted:
        row = normal.table(reply, order.symbol)
        if not row.get("orderId"):
            raise normal.unusable(order.symbol, "created order without an id")
        filled = (normal.number(row.get("executedQty")) or Decimal(0)) * instrument.contract_value
        status = binance_rows.status(row.get("status"))
        average = normal.positive(row.get("avgPrice"))
        return self._taken(order, row["orderId"], status, filled, average)

    async def _send_cancel(self, order: actions.CancelOrder) -> None:
        market = self._market_of(order.symbol)
        if order.is_conditional and market in CONTRACTS:
            method = self._api_of(market, "PrivateDeleteAlgoOrder")
            await self.client.call(method, {"algoId": order.order_id}, is_urgent=True)
            return
        params: dict[str, Any] = {"symbol": self.market_id(order.symbol)}
        if order.order_id:
            params["orderId"] = order.order_id
        else:
            params["origClientOrderId"] = order.client_order_id
        method = self._api_of(market, "PrivateDeleteOrder")
        await self.client.call(method, params, is_urgent=True)

    async def _send_margin(self, move: actions.AddMargin) -> None:
        market = self._market_of(move.symbol)
        params: dict[str, Any] = {
            "symbol": self.market_id(move.symbol),
            "amount": normal.plain(move.amount),
            "type": 1,
        }
        if move.position_side is not PositionSide.NET:
            params["positionSide"] = move.position_side.value.upper()
        method = self._api_of(market, "PrivatePostPositionMargin")
        await self.client.call(method, params, is_urgent=True)

    def _lookups(self) -> Sequence[Callable[[actions.QueryOrder], Any]]:
        return (self._find_by_id, self._find_listed, self._find_in_trades)

    async def _find_by_id(self, query: actions.QueryOrder) -> WorkingOrder | None:
        market = self._market_of(query.symbol)
        params = {
            "symbol": self.market_id(query.symbol),
            "origClientOrderId": query.client_order_id,
        }
        method = self._api_of(market, "PrivateGetOrder")
        row = normal.table(await self.client.call(method, params, is_urgent=True), query.symbol)
        return binance_rows.order(self.account, self.instrument(query.symbol), row)

    async def _find_listed(self, query: actions.QueryOrder) -> WorkingOrder | None:
        market = self._market_of(query.symbol)
        method = self._api_of(market, "PrivateGetAllOrders")
        params = {"symbol": self.market_id(query.symbol), "limit": 100}
        reply = await self.client.call(method, params, cost=5, is_urgent=True)
        for row in normal.rows(reply, query.symbol):
            if row.get("clientOrderId") == query.client_order_id:
                return binance_rows.order(self.account, self.instrument(query.symbol), row)
        return None

    async def _find_in_trades(self, query: actions.QueryOrder) -> WorkingOrder | None:
        if query.order_id is None:
            return None
        market = self._market_of(query.symbol)
        name = "PrivateGetUserTrades" if market in CONTRACTS else "PrivateGetMyTrades"
        params = {"symbol": self.market_id(query.symbol), "orderId": query.order_id}
        reply = await self.client.call(self._api_of(market, name), params, cost=5, is_urgent=True)
        instrument = self.instrument(query.symbol)
        fills = [
            binance_rows.fill(self.account, instrument, row)
            for row in normal.rows(reply, query.symbol)
            if str(row.get("orderId")) == query.order_id
        ]
        return _generic.order_from_fills(query, fills)

    # ------------------------------------------------------------ streams

    def account_watches(self) -> Sequence[Watch]:
        """Return one call per kind of account: its socket carries every event of it."""
        found = [
            Watch(ACCOUNT, "watch_orders", params={"type": "spot"})
            if market == "spot"
            else Watch(ACCOUNT, "watch_orders", params={"type": "swap", "subType": market})
            for market in self.markets
        ]
        if any(market in CONTRACTS for market in self.markets):
            found.append(Watch(ACCOUNT, "listen_key", call=self._keep_key, is_optional=True))
        return found

    async def _keep_key(self, api: Any) -> None:
        # A key that is gone (ended elsewhere, or expired unannounced) leaves the socket open and
        # silent; prolonging it is the only question that finds out.
        await self._time.sleep(KEY_EVERY_S)
        for market in self.markets:
            if market not in CONTRACTS or not (api.options.get(market) or {}).get("listenKey"):
                continue
            try:
                method = self._api_of(market, "PrivatePutListenKey")
                await self.client.call(method, is_urgent=True)
            except VenueError as error:
                if KEY_GONE in str(error):
                    self._streams.reconnect_account()

    def price_watches(self, symbols: Sequence[str]) -> Sequence[Watch]:
        """Return mark and book for contracts, book and last for spot."""
        found: list[Watch] = []
        for portion, kind in self.portions(symbols):
            second = "watch_tickers" if kind is InstrumentKind.SPOT else "watch_mark_prices"
            methods = ("watch_bids_asks", second)
            found.extend(Watch(PRICES, method, portion, (list(portion),)) for method in methods)
            if kind is not InstrumentKind.SPOT:
                call = self._keep_intervals
                found.append(Watch(PRICES, "funding", portion, call=call, is_optional=True))
        return found

    async def _keep_intervals(self, api: Any) -> None:
        # Rates come with the marks; how often they are settled must be asked for.
        del api
        await self.read_intervals()
        await self._time.sleep(INTERVALS_LOOK_S)

    def decode(self, message: Any, url: str = "") -> list[events.Event] | None:
        """Turn a frame into events; None leaves it to ccxt (replies to subscriptions)."""
        del url
        try:
            found = binance_frames.decode(self, message)
        except (VenueError, LookupError, TypeError, ValueError, AttributeError):
            return []
        if found is binance_frames.EXPIRED:
            self._streams.reconnect_account()
            return []
        for event in found or ():
            if isinstance(event, events.OrderUpdated):
                self.note_in_play([event.order.symbol])
        return found

    def renew(self, api: Any, feed: str) -> None:
        """Forget the listen key of a broken account socket, so that a new one is asked for."""
        super().renew(api, feed)
        if feed == ACCOUNT:
            for market in self.markets:
                known = api.options.get(market)
                if isinstance(known, dict):
                    api.options[market] = {**known, "listenKey": None, "lastAuthenticatedTime": 0}

    # ------------------------------------------------------------ ledger, rights, switch

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        """Read the futures income history; spot tells its flows over the stream alone."""
        booked: dict[str, events.LedgerEntryBooked] = {}
        for market in self.markets:
            if market not in CONTRACTS:
                continue
            now_ms = self._time.now_ms()
            # Oldest come first, and a busy account has a row for each fill: when the pages do not
            # reach the present, what is newest is read all the same.
            for reach_ms in (now_ms, *LEDGER_REACHES_MS):
                rows, is_whole = await self._incomes(
                    market, max(since_ms, now_ms - reach_ms), is_urgent=is_urgent
                )
                kind = KINDS[market]
                read = [
                    binance_rows.income(self.account, row, self.named(row.get("symbol"), kind))
                    for row in rows
                ]
                booked.update((row.entry_id, row) for row in read if row is not None)
                if is_whole:
                    break
        return sorted(booked.values(), key=lambda row: row.venue_ms)

    async def _incomes(
        self, market: str, start_ms: int, *, is_urgent: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        found: list[dict[str, Any]] = []
        for _ in range(LEDGER_PAGES):
            rows = await self._income(market, start_ms, is_urgent=is_urgent)
            found.extend(rows)
            if len(rows) < LEDGER_PAGE:
                return found, True
            start_ms = max(normal.stamp(row.get("time")) or start_ms for row in rows)
        return found, False

    async def _income(self, market: str, start_ms: int, *, is_urgent: bool) -> list[dict[str, Any]]:
        params = {"startTime": start_ms, "limit": LEDGER_PAGE}
        try:
            reply = await self.client.call(
                self._api_of(market, "PrivateGetIncome"), params, cost=30, is_urgent=is_urgent
            )
        except VenueError as error:
            if is_absent(error):
                return []
            raise
        return normal.rows(reply, f"{self.account} income")

    async def key_rights(self) -> events.KeyRightsChecked:
        """Ask for the key's restrictions where the configured server can be asked."""
        reply = None
        if self._is_same_house("sapi"):
            reply = await self.client.optional("sapiGetAccountApiRestrictions")
        row = reply if isinstance(reply, dict) else {}
        return binance_rows.key_rights(self.account, row, self.markets)

    def _is_same_house(self, section: str) -> bool:
        # With futures behind an own address, the default address of another section is not ours.
        urls = self.client.api.urls["api"]
        home = urls.get("fapiPrivate" if "linear" in self.markets else "private", "")
        venue = re.compile(r"(^|\.)binance\.com$")
        ours, theirs = (urlsplit(str(url)).hostname or "" for url in (home, urls.get(section, "")))
        return ours == theirs or bool(venue.search(ours)) == bool(venue.search(theirs))

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        """Set the countdown of each instrument; armed when all of them say so."""
        timeout_ms = 0 if action.timeout_ms <= 0 else max(1000, action.timeout_ms)
        confirmed = []
        detail = ""
        for symbol in action.symbols:
            try:
                market = self._market_of(symbol)
                method = self._api_of(market, "PrivatePostCountdownCancelAll")
                params = {"symbol": self.market_id(symbol), "countdownTime": timeout_ms}
                reply = await self.client.call(method, params, cost=10, is_urgent=True)
                row = normal.table(reply, symbol)
                confirmed.append(int(normal.need(row, symbol, "countdownTime")) == timeout_ms)
            except VenueError as error:
                confirmed.append(False)
                detail = str(error)
        # Not said to be off is on: it may strike.
        is_armed = bool(confirmed) and all(confirmed) is (timeout_ms > 0)
        return events.DeadManChanged(
            account=self.account,
            is_armed=is_armed,
            detail=detail or f"countdown on {sum(confirmed)} of {len(action.symbols)} instruments",
            until_ms=self._time.now_ms() + timeout_ms if is_armed and timeout_ms else None,
        )
