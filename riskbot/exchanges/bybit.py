"""Bybit: unified trading account over v5; its orders, streams, rights and switch.

What is read of it over REST is in `bybit_reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    PositionSide,
    TimeInForce,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic, bybit_frames, bybit_rows, bybit_urls
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._streams import ACCOUNT, PRICES, Watch
from riskbot.exchanges.bybit_reads import KINDS, BybitReads

DEAD_MAN_S = (3, 300)
_ACCOUNT_CHANNELS = ("watch_orders", "watch_my_trades", "watch_positions", "watch_balance")


class Bybit(BybitReads):
    """One Bybit account."""

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

    def decode(self, message: Any, url: str = "") -> list[events.Event] | None:
        """Turn a frame into events; None leaves it to ccxt (login, subscriptions, pongs)."""
        try:
            return bybit_frames.decode(self, message, self._tickers, self._category_of(url))
        except (VenueError, LookupError, TypeError, ValueError, AttributeError):
            return []

    def _category_of(self, url: str) -> str:
        # Frames of spot and contracts of one name differ by their socket alone.
        if self._spoken is None:
            self._spoken = bybit_urls.categories(self.client.api)
        return self._spoken.get(url, "")

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
