"""The paper venue's skin: an `Exchange` with latency and faults around the pure engine."""

from __future__ import annotations

from dataclasses import replace

from riskbot.core import actions, events
from riskbot.core.model import Instrument, InstrumentKind, RejectReason, Side
from riskbot.errors import VenueError
from riskbot.exchanges._base import DAY_MS, DailyBars
from riskbot.exchanges.paper import past
from riskbot.exchanges.paper.faults import Fault, Mishap
from riskbot.exchanges.paper.order import Refusal, Request
from riskbot.exchanges.paper.settings import DEMO
from riskbot.exchanges.paper.streams import PaperStreams


class PaperExchange(PaperStreams):
    """One paper account; fulfills `_base.Exchange`."""

    # ------------------------------------------------------------ reads

    async def _call(self, method: str) -> Fault | None:
        """Wait as long as a request takes; refuse it or return what happens to its answer.

        Raises:
            VenueError: refused, or (for reads) not answered.
        """
        await self._time.sleep(self.settings.latency_ms / 1000)
        self.play()
        fault = self.faults.take(method)
        if fault is not None and fault.mishap is Mishap.REFUSE:
            raise VenueError(fault.reason, fault.message, retry_after_ms=fault.retry_after_ms)
        return fault

    async def _read(self, method: str) -> None:
        if await self._call(method) is not None:
            raise VenueError(RejectReason.UNREACHABLE, "no answer", is_ambiguous=True)

    async def open(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        """Name what is listed of these symbols and of what is held."""
        self.begin()
        await self._read("open")
        held = self.symbols_of(self.venue.snapshot(self._time.now_ms()))
        return self.instruments(tuple(dict.fromkeys([*symbols, *held])))

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        """Read everything."""
        del is_urgent
        await self._read("snapshot")
        read = self.venue.snapshot(self._time.now_ms(), request_id)
        self._announce(read)
        cut = self.faults.cut_positions
        if cut is None:
            return read
        return events.AccountSnapshotReceived(
            account=read.account,
            as_of_ms=read.as_of_ms,
            balances=read.balances,
            positions=read.positions[:cut],
            orders=read.orders,
            margin=read.margin,
            is_hedge_mode=read.is_hedge_mode,
            request_id=request_id,
            venue_ms=read.venue_ms,
        )

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read prices over another connection than the stream's."""
        await self._read("prices")
        now_ms = self._time.now_ms()
        priced = [s for s in symbols if self.venue.mark(s) is not None]
        return [self.venue.price(symbol, now_ms, is_rest=True) for symbol in priced]

    async def depth(self, symbols: tuple[str, ...]) -> list[events.DepthRead]:
        """Read what rests in the books."""
        try:
            await self._read("depth")
        except VenueError:
            return []
        return [self.venue.depth(s) for s in symbols if self.venue.mark(s) is not None]

    def instruments_of(self, underlying: str) -> tuple[Instrument, ...]:
        """Return the listed instruments of an underlying."""
        listed = (row.instrument(self.account) for row in self.venue.listings.values())
        return tuple(row for row in listed if row.underlying == underlying)

    async def daily_bars(self, symbol: str, since_ms: int, until_ms: int) -> DailyBars:
        """Read the days before now, of the bundled data."""
        self.begin()
        await self._read("daily_bars")
        if self.market is None or symbol not in self.market.path.symbols:
            raise VenueError(RejectReason.OTHER, f"{symbol} has no past on this paper venue")
        now_ms = self._time.now_ms()
        found = past.bars(self.market, symbol, is_demo=self.settings.prices == DEMO, now_ms=now_ms)
        first, last = -(-since_ms // DAY_MS), min(until_ms, now_ms) // DAY_MS - 1
        return replace(found, bars=tuple(b for b in found.bars if first <= b.day <= last))

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        """Read the ledger."""
        await self._read("ledger")
        return self.venue.ledger_rows(since_ms, self._time.now_ms())

    async def clock(self) -> events.ClockMeasured:
        """Measure the clock offset, which is what `faults` says."""
        await self._read("clock")
        return events.ClockMeasured(
            account=self.account,
            offset_ms=self.faults.clock_offset_ms,
            round_trip_ms=self.settings.latency_ms,
        )

    async def key_rights(self) -> events.KeyRightsChecked:
        """Say that there is nothing a key could do wrong."""
        await self._read("key_rights")
        return events.KeyRightsChecked(
            account=self.account,
            can_trade=True,
            can_withdraw=False,
            can_transfer=False,
            has_ip_list=None,
        )

    # ------------------------------------------------------------ orders

    async def place(
        self, order: actions.PlaceOrder
    ) -> events.OrderAccepted | events.OrderRejected | events.OrderOutcomeUnknown:
        """Send one order once."""
        request = self._request(order)
        is_exit = order.reduce_only or self._closes_spot(order)
        if not is_exit and self._halt_check():
            refusal = Refusal(RejectReason.HALT_FILE, "the HALT file stops new risk")
            return self._rejected(order, refusal)
        try:
            fault = await self._call("place")
        except VenueError as error:
            return self._rejected(order, Refusal(error.reason, str(error), error.retry_after_ms))
        if fault is not None and fault.mishap is Mishap.LATE:
            self.late.append((self._time.now_ms() + fault.delay_ms, request))
        if fault is not None and fault.mishap is not Mishap.LOST_AFTER:
            return self._unknown(order)
        answer = self.venue.submit(request, self._time.now_ms())
        self.pump()
        if fault is not None:
            return self._unknown(order)
        if isinstance(answer, Refusal):
            return self._rejected(order, answer)
        return events.OrderAccepted(
            account=self.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            order_id=answer.order_id,
            status=answer.status,
            filled=answer.filled,
            average=answer.average,
        )

    def _request(self, order: actions.PlaceOrder) -> Request:
        listing = self.venue.listings.get(order.symbol)
        is_spot = listing is not None and listing.kind is InstrumentKind.SPOT
        return Request(
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            type=order.type,
            price=order.price,
            time_in_force=order.time_in_force,
            reduce_only=order.reduce_only and not is_spot,
            position_side=order.position_side,
            client_order_id=order.client_order_id,
        )

    def _closes_spot(self, order: actions.PlaceOrder) -> bool:
        listing = self.venue.listings.get(order.symbol)
        is_spot = listing is not None and listing.kind is InstrumentKind.SPOT
        return is_spot and order.side is Side.SELL

    def _rejected(self, order: actions.PlaceOrder, refusal: Refusal) -> events.OrderRejected:
        return events.OrderRejected(
            account=self.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            reason=refusal.reason,
            message=refusal.message,
            retry_after_ms=refusal.retry_after_ms,
        )

    def _unknown(self, order: actions.PlaceOrder) -> events.OrderOutcomeUnknown:
        return events.OrderOutcomeUnknown(
            account=self.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            message="no answer",
        )

    async def cancel(self, order: actions.CancelOrder) -> events.CancelFinished:
        """Cancel one order; one that is already gone counts as done."""
        done: bool | None = True
        reason: RejectReason | None = None
        message = ""
        try:
            fault = await self._call("cancel")
            if fault is None or fault.mishap is Mishap.LOST_AFTER:
                answer = self.venue.cancel(
                    order.order_id, self._time.now_ms(), is_conditional=order.is_conditional
                )
                if isinstance(answer, Refusal):
                    reason, message = answer.reason, answer.message
            if fault is not None:
                done, message = None, "no answer"
        except VenueError as error:
            done, reason, message = False, error.reason, str(error)
        self.pump()
        return events.CancelFinished(
            account=self.account,
            symbol=order.symbol,
            order_id=order.order_id,
            done=done,
            reason=reason,
            message=message,
        )

    async def find(self, query: actions.QueryOrder) -> events.OrderQueried:
        """Look an order up by client id."""
        try:
            await self._read("find")
        except VenueError as error:
            return self._queried(query, found=None, message=str(error))
        order = self.venue.find(query.client_order_id)
        return events.OrderQueried(
            account=self.account,
            symbol=query.symbol,
            client_order_id=query.client_order_id,
            found=order is not None,
            order=order,
        )

    def _queried(
        self, query: actions.QueryOrder, *, found: bool | None, message: str
    ) -> events.OrderQueried:
        return events.OrderQueried(
            account=self.account,
            symbol=query.symbol,
            client_order_id=query.client_order_id,
            found=found,
            message=message,
        )

    async def add_margin(self, move: actions.AddMargin) -> events.MarginMoved:
        """Move margin from the cross pool to an isolated position."""
        done: bool | None = True
        message = ""
        try:
            fault = await self._call("add_margin")
            if fault is None or fault.mishap is Mishap.LOST_AFTER:
                key = (move.symbol, move.position_side)
                message = self.venue.add_margin(key, move.amount)
                done = not message
            if fault is not None:
                done, message = None, "no answer"
        except VenueError as error:
            done, message = False, str(error)
        self.pump()
        return events.MarginMoved(
            account=self.account,
            symbol=move.symbol,
            move_id=move.move_id,
            done=done,
            message=message,
        )

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        """Arm, refresh or disarm the switch."""
        try:
            await self._read("set_dead_man")
        except VenueError as error:
            return events.DeadManChanged(account=self.account, is_armed=False, detail=str(error))
        until_ms = self.venue.set_dead_man(action.timeout_ms, self._time.now_ms())
        is_armed = until_ms is not None
        detail = "armed" if is_armed else "disarmed"
        return events.DeadManChanged(
            account=self.account, is_armed=is_armed, detail=detail, until_ms=until_ms
        )

    async def close(self) -> None:
        """Do nothing: there is no socket."""
