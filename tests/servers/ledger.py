"""One venue account's truth: balances, positions, orders, fills and money rows, in Decimal.

Synchronous and without I/O; the protocol servers are skins over it that turn its events into the
venue's frames and its refusals (`VenueError`) into the venue's codes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal

from tests.servers import ledger_rules as rules
from tests.servers.ledger_market import Market
from tests.servers.ledger_matching import Matching
from tests.servers.ledger_types import (
    ZERO,
    Fill,
    Instrument,
    LeverageChanged,
    Order,
    OrderChanged,
    Position,
    PositionChanged,
    PositionSide,
    Transfer,
    VenueError,
)

__all__ = [
    "Fill",
    "Instrument",
    "Ledger",
    "Market",
    "Order",
    "Position",
    "Transfer",
    "VenueError",
]


class Ledger(Matching):
    """One account at one venue.

    Attributes:
        hedge_mode: whether long and short positions of one instrument live side by side.
        taker_fee, maker_fee: fraction of notional, > 0 is paid.
        fill_ratio: fraction of a taker order that finds a counterparty (floored to the step).
        fill_chunks: in how many executions a taking fill arrives, >= 1.
        rests_remainder: whether the unfilled rest of a market order stays open until the next
            price instead of expiring.
        resting_reduce_only: which resting reduce-only orders a new one conflicts with.
        refuses_immediate_trigger: whether a conditional order that would trigger at once is
            refused (else it triggers).
        spawns_orders: whether a triggered conditional order becomes a new order with its own id.
        liquidates: whether a price that takes maintenance margin above equity liquidates.
        is_read_only: nothing may be placed; place raises NO_PERMISSION.
    """

    def __init__(
        self,
        *,
        balance: Mapping[str, Decimal],
        hedge_mode: bool = False,
        taker_fee: Decimal = Decimal("0.0005"),
        maker_fee: Decimal = Decimal("0.0002"),
        market: Market | None = None,
    ) -> None:
        super().__init__(market or Market(), balance, hedge_mode, taker_fee, maker_fee)
        self.market.ledgers.append(self)

    # ---- settings -------------------------------------------------------------------------------

    def set_leverage(self, name: str, leverage: int) -> None:
        """Choose an instrument's leverage; raises VenueError BAD_LEVERAGE out of range."""
        if not 1 <= leverage <= self.instrument(name).max_leverage:
            raise VenueError("BAD_LEVERAGE", str(leverage))
        self.leverage[name] = leverage
        self._emit(LeverageChanged(name, leverage))

    def set_hedge_mode(self, hedge_mode: bool) -> None:
        """Switch the position mode.

        Raises:
            VenueError: MODE_UNCHANGED, MODE_HAS_ORDERS or MODE_HAS_POSITIONS.
        """
        if hedge_mode == self.hedge_mode:
            raise VenueError("MODE_UNCHANGED")
        if self.open_orders():
            raise VenueError("MODE_HAS_ORDERS")
        if self.open_positions():
            raise VenueError("MODE_HAS_POSITIONS")
        self.hedge_mode = hedge_mode

    def set_position(
        self, name: str, quantity: Decimal, entry: Decimal, side: PositionSide = "both"
    ) -> None:
        """Put a position in place without a trade, as a starting state."""
        now = self.market.now_ms()
        position = Position(self.instrument(name).id, side, quantity, entry, ZERO, None, now, now)
        self.positions[name, side] = position
        with self._one_cause("seed"):
            self._emit(PositionChanged(dataclasses.replace(position), "seed"))

    # ---- orders ---------------------------------------------------------------------------------

    def place(self, order: Order) -> Order:
        """Check, book and match an order; the same object comes back with id and status.

        Raises:
            VenueError: UNKNOWN_SYMBOL, MAINTENANCE, CANCEL_ONLY, POST_ONLY_PHASE, NO_PERMISSION,
                POSITION_SIDE_MISMATCH, DUPLICATE_CLIENT_ID, BAD_PRICE, BAD_QUANTITY, BAD_TRIGGER,
                PRICE_PRECISION, PRECISION, MIN_QUANTITY, MAX_QUANTITY, MIN_NOTIONAL,
                WOULD_TRIGGER, REDUCE_ONLY_REJECTED, REDUCE_ONLY_CONFLICT, INSUFFICIENT_BALANCE,
                INSUFFICIENT_MARGIN or WOULD_CROSS. Nothing is booked then.
        """
        if self.is_read_only:
            raise VenueError("NO_PERMISSION")
        rules.check_order(self, order)
        if rules.reduces_only(self, order) and not order.conditional:
            self._clip_to_position(order)
        self._accept(order)
        if order.conditional:
            self._follow(order)
            if rules.is_triggered(self, order):
                self._trigger(order)
        else:
            self._match(order, is_taker=True)
        return order

    def find(self, *, order_id: str = "", client_id: str = "") -> Order:
        """Return the order with an id, or the newest one with a client id.

        Raises:
            VenueError: ORDER_NOT_FOUND.
        """
        if order_id and order_id in self.orders:
            return self.orders[order_id]
        if client_id and not order_id:
            for order in reversed(self.orders.values()):
                if order.client_id == client_id:
                    return order
        raise VenueError("ORDER_NOT_FOUND", order_id or client_id)

    def cancel(self, order_id: str) -> Order:
        """Cancel an open order; raises VenueError ORDER_NOT_FOUND or ORDER_CLOSED."""
        order = self.find(order_id=order_id)
        if self.market.phase_of(order.instrument) == "maintenance":
            raise VenueError("MAINTENANCE")
        if not order.is_open:
            raise VenueError("ORDER_CLOSED", order.id)
        self._end(order, "canceled", "canceled")
        return order

    def cancel_all(
        self, instrument: str | None = None, conditional: bool | None = None
    ) -> list[Order]:
        """Cancel open orders of one instrument or all; plain, conditional (untriggered) or both."""
        return [self.cancel(order.id) for order in self.open_orders(instrument, conditional)]

    def amend(
        self,
        order_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> Order:
        """Change an open order, then match it again; raises VenueError as place does."""
        order = self.find(order_id=order_id)
        if not order.is_open:
            raise VenueError("ORDER_CLOSED", order.id)
        changed = order.copy()
        changed.quantity = order.quantity if quantity is None else quantity
        changed.price = order.price if price is None else price
        changed.stop_price = order.stop_price if stop_price is None else stop_price
        rules.check_phase(self, changed)
        rules.check_numbers(self, changed)
        if changed.quantity <= order.filled:
            raise VenueError("BAD_QUANTITY", "not above what is filled")
        order.quantity, order.price = changed.quantity, changed.price
        order.stop_price = changed.stop_price
        order.updated_ms = self.market.now_ms()
        self._emit(OrderChanged(order.copy(), "amended"))
        if not order.conditional and rules.would_cross(self, order):
            self._match(order, is_taker=True)
        return order
