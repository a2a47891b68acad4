"""The paper venue: orders in, prices in, events out. Pure: time is an argument, nothing is drawn.

Its skin towards riskbot, with latency and faults, is `exchange`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from riskbot.core import events
from riskbot.core.model import (
    Instrument,
    MarginReport,
    OrderStatus,
    RejectReason,
    Side,
    WorkingOrder,
)
from riskbot.exchanges.paper.matching import HISTORY_MAX
from riskbot.exchanges.paper.order import Order, Refusal, Request
from riskbot.exchanges.paper.pool import HoldingKey
from riskbot.exchanges.paper.rules import Case, judge
from riskbot.exchanges.paper.upkeep import Upkeep

_BID, _ASK = Side.BUY, Side.SELL
_HOUR_MS = 3_600_000
_REACH = Decimal("0.01")


class PaperVenue(Upkeep):
    """A venue for one account; see `Matching` for the arguments."""

    dead_man_ms: int | None = None

    # ------------------------------------------------------------ requests

    def submit(self, request: Request, now_ms: int) -> WorkingOrder | Refusal:
        """Take an order or refuse it; what becomes of it is on `outbox`."""
        listing = self.listings.get(request.symbol)
        if listing is None:
            return Refusal(RejectReason.UNKNOWN_INSTRUMENT, f"{request.symbol} is not listed")
        book = self.books[request.symbol]
        mark = book.mark
        if mark is None:
            return Refusal(RejectReason.OTHER, f"{request.symbol} has no price yet")
        book.refill(now_ms)
        case = Case(
            request=request,
            listing=listing,
            mark=mark,
            best=book.touch(request.side.opposite) or mark,
            pool=self.pool,
            rules=self.rules,
            orders=self.working(),
            client_ids=self.client_ids,
            is_hedge_mode=self.is_hedge_mode,
        )
        refusal = judge(case)
        if refusal is not None:
            return refusal
        quantity = request.quantity
        if case.is_exit and request.stop_price is None:
            quantity = min(quantity, case.closable())
        return self._take(request, quantity, mark, now_ms)

    def _take(
        self, request: Request, quantity: Decimal, mark: Decimal, now_ms: int
    ) -> WorkingOrder:
        order = Order(
            order_id=self._next_id("o"),
            request=request,
            client_order_id=request.client_order_id or self._next_id("c"),
            created_ms=now_ms,
            quantity=quantity,
            is_waiting=request.stop_price is not None,
            triggers_up=request.stop_price is not None and request.stop_price > mark,
        )
        self.client_ids.add(order.client_order_id)
        self.orders[order.order_id] = order
        self.history[order.order_id] = order
        if len(self.history) > HISTORY_MAX:
            del self.history[next(iter(self.history))]
        self._tell_order(order, now_ms)
        if not order.is_waiting:
            self._start(order, now_ms)
        return order.report(self.account)

    def cancel(
        self, order_id: str, now_ms: int, *, is_conditional: bool | None = None
    ) -> WorkingOrder | Refusal:
        """Cancel a working order.

        Args:
            order_id: the venue's.
            now_ms: UTC ms.
            is_conditional: which of the two order services is asked, None = both.
        """
        order = self.orders.get(order_id)
        wrong_desk = (
            order is not None
            and is_conditional is not None
            and order.is_waiting is not is_conditional
        )
        if order is None or wrong_desk:
            return Refusal(RejectReason.NOT_FOUND, f"no working order {order_id}")
        told = order.report(self.account)
        self._end(order, OrderStatus.CANCELED, now_ms)
        return told

    def find(self, client_order_id: str) -> WorkingOrder | None:
        """Return an order by client id, working or ended, None = never taken."""
        for order in reversed(self.history.values()):
            if order.client_order_id == client_order_id:
                return order.report(self.account)
        return None

    # ------------------------------------------------------------ the market

    def set_price(self, symbol: str, mark: Decimal, now_ms: int) -> None:
        """Move one instrument's mark; see `set_prices`."""
        self.set_prices({symbol: mark}, now_ms)

    def set_prices(self, marks: Mapping[str, Decimal], now_ms: int) -> None:
        """Move marks together, then fill, trigger and liquidate what they call for.

        Raises:
            KeyError: an instrument is not listed.
            ValueError: a mark is not above zero.
        """
        for symbol, mark in marks.items():
            if not mark.is_finite() or mark <= 0:
                message = f"{symbol}: a mark of {mark}"
                raise ValueError(message)
            self.books[symbol].set_mark(mark, now_ms)
            self.last.setdefault(symbol, mark)
        for symbol in marks:
            self.outbox.append(self.price(symbol, now_ms))
        for symbol, mark in marks.items():
            self.last[symbol] = self.books[symbol].touch(_BID) or mark
            self._trigger(symbol, mark, now_ms)
            self._fill_resting(symbol, now_ms)
        self.liquidate(now_ms)

    def _fill_resting(self, symbol: str, now_ms: int) -> None:
        resting = [
            order
            for order in self.working()
            if order.request.symbol == symbol and not order.is_waiting
        ]
        # All are asked: an order that filled does not keep the next one from filling.
        touched = [self._touch(order, now_ms) for order in resting]
        if any(touched):
            self._tell_account((symbol,), now_ms)

    def advance(self, now_ms: int) -> None:
        """Let time pass: funding, liquidation and the dead-man's switch, where they are due."""
        self.fund(now_ms)
        self.liquidate(now_ms)
        if self.dead_man_ms is not None and now_ms >= self.dead_man_ms:
            self.dead_man_ms = None
            for order_id in list(self.orders):
                self.cancel(order_id, now_ms)

    def add_margin(self, key: HoldingKey, amount: Decimal) -> str:
        """Move margin to an isolated position; return why not, empty when it was moved."""
        holding = self.pool.holdings.get(key)
        if holding is None or not holding.quantity or not holding.is_isolated:
            return "there is no isolated position"
        usd = self.pool.usd(holding.listing.settle) or Decimal(0)
        if amount * usd > self.pool.available_usd(self.working()):
            return "not enough available"
        holding.isolated_margin += amount
        return ""

    def set_dead_man(self, timeout_ms: int, now_ms: int) -> int | None:
        """Cancel every order after a timeout unless told again; 0 disarms. Return when it is."""
        self.dead_man_ms = now_ms + timeout_ms if timeout_ms > 0 else None
        return self.dead_man_ms

    def price(self, symbol: str, now_ms: int, *, is_rest: bool = False) -> events.PricesUpdated:
        """Return the prices of an instrument as its feed tells them.

        Raises:
            KeyError: it is not listed, or was never priced.
        """
        book = self.books[symbol]
        if book.mark is None:
            raise KeyError(symbol)
        is_derivative = self.listings[symbol].is_derivative
        bid, ask = book.touch(_BID), book.touch(_ASK)
        mark = float(book.mark)
        rate, every_ms = float(self.listings[symbol].funding_rate), self.rules.funding_every_ms
        return events.PricesUpdated(
            account=self.account,
            symbol=symbol,
            mark=mark if is_derivative else None,
            index=mark if is_derivative else None,
            bid=float(bid) if bid is not None else None,
            ask=float(ask) if ask is not None else None,
            last=float(self.last[symbol]),
            bid_quantity=float(book.touch_quantity(_BID)),
            ask_quantity=float(book.touch_quantity(_ASK)),
            venue_ms=now_ms,
            is_rest=is_rest,
            funding_rate=rate if is_derivative else None,
            funding_interval_h=every_ms / _HOUR_MS if is_derivative else None,
            next_funding_ms=(now_ms // every_ms + 1) * every_ms if is_derivative else None,
        )

    def depth(self, symbol: str) -> events.DepthRead:
        """Return what rests near the touch of an instrument.

        Raises:
            KeyError: it is not listed.
        """
        book = self.books[symbol]
        return events.DepthRead(
            account=self.account,
            symbol=symbol,
            bid_quantity=book.visible(_BID, _REACH),
            ask_quantity=book.visible(_ASK, _REACH),
        )

    # ------------------------------------------------------------ reading

    def instruments(self, symbols: tuple[str, ...] = ()) -> tuple[Instrument, ...]:
        """Return these instruments as listed; all of them without any named."""
        names = [s for s in symbols if s in self.listings] if symbols else list(self.listings)
        return tuple(self.listings[name].instrument(self.account) for name in names)

    def snapshot(
        self, now_ms: int, request_id: int | None = None
    ) -> events.AccountSnapshotReceived:
        """Return the whole account as a complete read shows it."""
        working = self.working()
        return events.AccountSnapshotReceived(
            account=self.account,
            as_of_ms=now_ms,
            balances=self.pool.balances(working),
            positions=self.pool.positions(self.account),
            orders=tuple(order.report(self.account) for order in working),
            margin=self.margin(),
            is_hedge_mode=self.is_hedge_mode,
            request_id=request_id,
            venue_ms=now_ms,
        )

    def margin(self) -> MarginReport:
        """Return what the venue says of the cross pool."""
        return self.pool.report(self.working())

    def ledger_rows(self, since_ms: int, now_ms: int) -> list[events.LedgerEntryBooked]:
        """Return the ledger's rows from a moment on, as far as they can be read by now."""
        return [
            row
            for visible_ms, row in self.ledger
            if visible_ms <= now_ms and row.venue_ms >= since_ms
        ]

    def drain(self) -> list[events.Event]:
        """Take what the streams have to tell, oldest first."""
        taken, self.outbox = self.outbox, []
        return taken
