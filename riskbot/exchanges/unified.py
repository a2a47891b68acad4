"""The adapter for any ccxt.pro venue: one account's reads, streams and orders.

Venue files replace what their venue does differently; nothing here knows a venue by name. It
never decides whether an order should be sent, and never sends one twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderStatus,
    OrderType,
    RejectReason,
    Side,
    TimeInForce,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic, _streams
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._base import Credentials, Emit
from riskbot.exchanges._client import is_absent, is_refused
from riskbot.exchanges._margins import Margins
from riskbot.exchanges._polls import Polls
from riskbot.exchanges._streams import ACCOUNT, PRICES, Watch

SYMBOLS_PER_CALL = 100
_ACCOUNT_CHANNELS = (
    ("watchOrders", "watch_orders"),
    ("watchMyTrades", "watch_my_trades"),
    ("watchPositions", "watch_positions"),
    ("watchBalance", "watch_balance"),
)


class UnifiedExchange(Margins):
    """One account at one venue; fulfills `_base.Exchange`, `_streams.Dialect`."""

    own_id_param = "clientOrderId"  # what an order is told its client id under
    is_ready_on_connect = False
    has_steady_prices = False
    """Whether prices come about every second also while they stand still."""

    def __init__(
        self,
        account: str,
        venue_id: str,
        credentials: Credentials,
        ccxt_config: Mapping[str, Any],
        markets: tuple[str, ...],
        clock: Clock,
        rng: random.Random,
        halt_check: Callable[[], bool],
    ) -> None:
        super().__init__(
            account, venue_id, credentials, ccxt_config, markets, clock, rng, halt_check
        )
        self._streams = _streams.Streams(
            account, self, self._stream_api, self.client.retired.retire, clock, rng,
            self.client.faults,
        )  # fmt: skip
        streams = self._streams
        self.polls = Polls(account, self.client, clock, streams.is_wanted, streams.publish)
        self.stream_client: Any = None
        self._announced: set[str] = set()

    # ------------------------------------------------------------ streams

    async def stream(self, emit: Emit) -> None:
        """Run the websockets until cancelled; a symbol's instrument is told before its first event.

        Raises:
            VenueError: markets were never loaded and cannot be now.
        """
        if not self.client.api.markets:
            await self._load_markets(reload=False)

        def announce(event: events.Event) -> None:
            for symbol in _symbols_in(event):
                if symbol not in self._announced:
                    self._announced.add(symbol)
                    emit(self.instruments([symbol]))
            emit(event)

        await self._streams.run(announce)

    def watch(self, symbols: frozenset[str]) -> None:
        """Set which instruments' prices are streamed from now on."""
        listed = self.client.api.markets or {}
        self._streams.watch(frozenset(symbols) & set(listed) if listed else symbols)

    async def restart_stream(self, reason: str) -> None:
        """Drop the sockets and build them anew."""
        self._streams.restart(reason)

    async def _load_markets(self, *, reload: bool) -> None:
        await super()._load_markets(reload=reload)
        if self.stream_client is not None:
            self.stream_client.set_markets_from_exchange(self.client.api)

    def _stream_api(self, tap: Any) -> Any:
        self.stream_client = self.client.new_api(tap)
        return self.stream_client

    def _apply_offset(self, offset_ms: int) -> None:
        super()._apply_offset(offset_ms)
        if self.stream_client is not None:
            self.stream_client.options["timeDifference"] = offset_ms

    def account_watches(self) -> Sequence[Watch]:
        """Return the account's channels, as far as the venue has them."""
        has = self.client.api.has
        return [Watch(ACCOUNT, method) for name, method in _ACCOUNT_CHANNELS if has.get(name)]

    def price_watches(self, symbols: Sequence[str]) -> Sequence[Watch]:
        """Return the price channels of these symbols, per kind and in portions."""
        has = self.client.api.has
        found = []
        for portion, kind in self.portions(symbols):
            methods = [("watchBidsAsks", "watch_bids_asks"), ("watchTickers", "watch_tickers")]
            if kind is not InstrumentKind.SPOT:
                methods.insert(0, ("watchMarkPrices", "watch_mark_prices"))
            for name, method in methods:
                if has.get(name):
                    found.append(Watch(PRICES, method, portion, (list(portion),)))
            found.extend(self.polls.watches(portion, kind))
        return found

    def portions(
        self, symbols: Sequence[str], at_most: int = SYMBOLS_PER_CALL
    ) -> list[tuple[tuple[str, ...], InstrumentKind]]:
        """Group symbols by kind, since ccxt takes one kind a call, in portions of `at_most`."""
        by_kind: dict[InstrumentKind, list[str]] = {}
        for symbol in symbols:
            market = (self.client.api.markets or {}).get(symbol)
            if market is not None:
                by_kind.setdefault(normal.kind_of(market), []).append(symbol)
        return [
            (tuple(group[start : start + at_most]), kind)
            for kind, group in by_kind.items()
            for start in range(0, len(group), at_most)
        ]

    def decode(self, message: Any, url: str = "") -> list[events.Event] | None:
        """Leave raw frames to ccxt; venue files decode their own."""
        del message, url
        return None

    def translate(self, result: Any) -> list[events.Event] | None:
        """Turn what ccxt parsed into events; None for what is none of ours."""
        try:
            return _generic.stream_events(self.account, result, self.instrument)
        except (VenueError, LookupError, TypeError, ValueError, AttributeError):
            # One row nobody understands must not end the feed; the next REST read corrects.
            return []

    def renew(self, api: Any, feed: str) -> None:
        """Let the next connection dial at once; our own delay already passed."""
        del feed
        api.ws_dial_backoff = {}

    # ------------------------------------------------------------ orders

    async def place(
        self, order: actions.PlaceOrder
    ) -> events.OrderAccepted | events.OrderRejected | events.OrderOutcomeUnknown:
        """Send one order once."""
        try:
            instrument = self.instrument(order.symbol)
            quantity, price = self._fitted(order, instrument)
            self._check_halt(order, instrument)
            reply = await self._send(order, instrument, quantity, price)
        except VenueError as error:
            return self._not_accepted(order, error)
        try:
            return self._accepted(order, instrument, reply)
        except self.client.faults as error:
            return self._unknown(order, f"reply not understood: {error}")

    def _check_halt(self, order: actions.PlaceOrder, instrument: Instrument) -> None:
        is_exit = _generic.is_exit(order.side, instrument.kind, reduce_only=order.reduce_only)
        if not is_exit and self._halt_check():
            raise VenueError(RejectReason.HALT_FILE, "the HALT file stops new risk")

    def _fitted(
        self, order: actions.PlaceOrder, instrument: Instrument
    ) -> tuple[Decimal, Decimal | None]:
        # Down to the step: more than the position would be refused, or open the other side.
        quantity = normal.floor_to_step(order.quantity, instrument.step)
        if quantity <= 0:
            raise VenueError(
                RejectReason.MIN_NOTIONAL, f"{order.quantity} is below the step {instrument.step}"
            )
        price = order.price
        if price is not None and instrument.tick > 0:
            # Away from the market, so that a collar is never exceeded by rounding.
            rounding = ROUND_FLOOR if order.side is Side.BUY else ROUND_CEILING
            price = (price / instrument.tick).to_integral_value(rounding) * instrument.tick
        if order.type is OrderType.LIMIT and price is None:
            raise VenueError(RejectReason.PRECISION, "a limit order without a price")
        return quantity, price

    def _not_accepted(
        self, order: actions.PlaceOrder, error: VenueError
    ) -> events.OrderRejected | events.OrderOutcomeUnknown:
        if error.is_ambiguous:
            return self._unknown(order, str(error))
        return events.OrderRejected(
            account=self.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            reason=error.reason,
            message=str(error),
            retry_after_ms=error.retry_after_ms,
        )

    def _unknown(self, order: actions.PlaceOrder, message: str) -> events.OrderOutcomeUnknown:
        return events.OrderOutcomeUnknown(
            account=self.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            message=message,
        )

    async def _send(
        self,
        order: actions.PlaceOrder,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal | None,
    ) -> Any:
        params: dict[str, Any] = {self.own_id_param: order.client_order_id}
        if order.is_hedge_mode:
            params["hedged"] = True
        if order.reduce_only and instrument.kind is not InstrumentKind.SPOT:
            params["reduceOnly"] = True
        if order.time_in_force is TimeInForce.IOC and order.type is OrderType.LIMIT:
            params["timeInForce"] = "IOC"
        return await self.client.call(
            "create_order",
            order.symbol,
            order.type.value,
            order.side.value,
            float(quantity / instrument.contract_value),
            None if price is None else float(price),
            params,
            is_urgent=True,
        )

    def _accepted(
        self, order: actions.PlaceOrder, instrument: Instrument, reply: Any
    ) -> events.OrderAccepted:
        row = normal.table(reply, "created order")
        if not row.get("id"):
            raise normal.unusable(order.symbol, "created order without an id")
        status = normal.STATUSES.get(str(row.get("status") or "open"), OrderStatus.OPEN)
        filled = (normal.number(row.get("filled")) or Decimal(0)) * instrument.contract_value
        return self._taken(order, row["id"], status, filled, normal.positive(row.get("average")))

    def _taken(
        self,
        order: actions.PlaceOrder,
        order_id: Any,
        status: OrderStatus = OrderStatus.OPEN,
        filled: Decimal = Decimal(0),
        average: Decimal | None = None,
    ) -> events.OrderAccepted:
        return events.OrderAccepted(
            account=self.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            order_id=str(order_id),
            status=status,
            filled=filled,
            average=average,
        )

    async def cancel(self, order: actions.CancelOrder) -> events.CancelFinished:
        """Cancel one order; one that is already gone counts as done."""
        done: bool | None = True
        reason: RejectReason | None = None
        message = ""
        try:
            await self._send_cancel(order)
        except VenueError as error:
            message = str(error)
            if error.reason is RejectReason.NOT_FOUND:
                reason = error.reason
            else:
                done, reason = (None if error.is_ambiguous else False), error.reason
        return events.CancelFinished(
            account=self.account,
            symbol=order.symbol,
            order_id=order.order_id,
            done=done,
            reason=reason,
            message=message,
        )

    async def _send_cancel(self, order: actions.CancelOrder) -> None:
        params = {"trigger": True} if order.is_conditional else {}
        await self.client.call("cancel_order", order.order_id, order.symbol, params, is_urgent=True)

    async def find(self, query: actions.QueryOrder) -> events.OrderQueried:
        """Look an order up; False only when every place that could be asked said no."""
        found: WorkingOrder | None = None
        answers = 0
        failure = await self._missing_list()
        for number, look in enumerate(() if failure else self._lookups()):
            try:
                found = await look(query)
            except VenueError as error:
                if error.reason is RejectReason.NOT_FOUND:
                    answers += 1
                elif not (is_absent(error) or (number and is_refused(error))):
                    failure = str(error)
                continue
            answers += 1
            if found is not None:
                break
        is_known: bool | None = found is not None
        if found is None and (failure or not answers):
            is_known = None
        return events.OrderQueried(
            account=self.account,
            symbol=query.symbol,
            client_order_id=query.client_order_id,
            found=is_known,
            order=found,
            message=failure,
        )

    def _lookups(self) -> Sequence[Callable[[actions.QueryOrder], Any]]:
        return (self._find_open, self._find_closed, self._find_in_trades)

    async def _find_open(self, query: actions.QueryOrder) -> WorkingOrder | None:
        return await self._find_among("fetch_open_orders", query)

    async def _find_closed(self, query: actions.QueryOrder) -> WorkingOrder | None:
        has = self.client.api.has
        for name, method in (("fetchClosedOrders", "fetch_closed_orders"),
                             ("fetchCanceledOrders", "fetch_canceled_orders"),
                             ("fetchOrders", "fetch_orders")):  # fmt: skip
            if has.get(name) is True and (found := await self._find_among(method, query)):
                return found
        return None

    async def _find_among(self, method: str, query: actions.QueryOrder) -> WorkingOrder | None:
        reply = await self.client.call(method, query.symbol, cost=2, is_urgent=True)
        for row in normal.rows(reply, method):
            if _generic.own_id(row.get("clientOrderId")) == query.client_order_id:
                return _generic.order(self.account, row, self.instrument)
        return None

    async def _find_in_trades(self, query: actions.QueryOrder) -> WorkingOrder | None:
        reply = await self.client.call("fetch_my_trades", query.symbol, cost=2, is_urgent=True)
        fills = [
            _generic.fill(self.account, row, self.instrument)
            for row in normal.rows(reply, "own trades")
            if query.client_order_id in {_generic.own_id(text) for text in _texts(row)}
            or (query.order_id is not None and str(row.get("order")) == query.order_id)
        ]
        return _generic.order_from_fills(query, fills)

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        """Say that this venue's switch is not known to riskbot."""
        return events.DeadManChanged(
            account=self.account, is_armed=False, detail="not supported on this venue"
        )

    async def close(self) -> None:
        """Close sockets and sessions."""
        await asyncio.shield(self.client.close())


def _texts(row: Mapping[str, Any]) -> tuple[str, ...]:
    info = row.get("info")
    values = (row.get("clientOrderId"), *(info.values() if isinstance(info, dict) else ()))
    return tuple(value for value in values if isinstance(value, str))


def _symbols_in(event: events.Event) -> tuple[str, ...]:
    match event:
        case events.PositionsUpdated():
            return tuple(position.symbol for position in event.positions)
        case events.OrderUpdated():
            return (event.order.symbol,)
        case events.OrderFilled():
            return (event.symbol,)
        case _:
            return ()
