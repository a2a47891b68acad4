"""Matching and settlement of one account: triggers, fills, fees, profit, liquidation.

What may be placed at all is decided in `ledger_rules.py`; orders enter through `ledger.Ledger`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Literal

from tests.servers import ledger_rules as rules
from tests.servers.ledger_market import Market, floor_to
from tests.servers.ledger_money import MoneyBook
from tests.servers.ledger_types import (
    ONE,
    ZERO,
    Fill,
    Filled,
    Instrument,
    MarkChanged,
    Order,
    OrderChanged,
    Position,
    PositionChanged,
    PositionSide,
    Status,
    VenueError,
)


class Matching(MoneyBook):
    """Orders meeting prices; `Ledger` documents the attributes."""

    def __init__(
        self,
        market: Market,
        balance: Mapping[str, Decimal],
        hedge_mode: bool,
        taker_fee: Decimal,
        maker_fee: Decimal,
    ) -> None:
        super().__init__(market, balance)
        self.hedge_mode = hedge_mode
        self.taker_fee = taker_fee
        self.maker_fee = maker_fee
        self.fills: list[Fill] = []
        self.fill_ratio = ONE
        self.fill_chunks = 1
        self.rests_remainder = False
        self.resting_reduce_only: Literal["ignore", "limits", "all"] = "ignore"
        self.refuses_immediate_trigger = True
        self.spawns_orders = False
        self.client_ids_unique_ever = False
        self.min_notional_exempts_reduce_only = True
        self.liquidates = False
        self.is_read_only = False

    def _accept(self, order: Order) -> None:
        order.id = order.id or self.market.make_order_id()
        order.created_ms = order.updated_ms = self.market.now_ms()
        order.status = "untriggered" if order.conditional else "new"
        self.orders[order.id] = order
        self._emit(OrderChanged(order.copy(), "new"))

    def _end(self, order: Order, status: Status, reason: str) -> None:
        order.status = status
        order.updated_ms = self.market.now_ms()
        order.reason = order.reason or reason
        self._emit(OrderChanged(order.copy(), reason))

    # ---- matching -------------------------------------------------------------------------------

    def on_price(self, event: MarkChanged) -> None:
        """React to a new price: trigger, fill what crosses, liquidate; called by the market."""
        self._emit(event)
        if self.market.phase_of(event.instrument) != "trading":
            return
        for order in self.open_orders(event.instrument):
            if not order.is_open:
                continue
            if order.status == "untriggered":
                self._follow(order)
                if rules.is_triggered(self, order):
                    self._trigger(order)
            elif order.type == "market" or rules.would_cross(self, order):
                self._match(order, is_taker=False)
        if self.liquidates:
            self._liquidate_if_due(self.instrument(event.instrument).settle)

    def _follow(self, order: Order) -> None:
        # A trailing stop's trigger follows the best price seen, never backwards.
        if order.callback_rate is None:
            return
        price = self.market.trigger_price(order.instrument, order.trigger_by)
        if order.activate_price is not None:
            if (price - order.activate_price) * order.sign > 0:
                return
            order.activate_price = None
        tick = self.instrument(order.instrument).tick
        stop = floor_to(price * (ONE + order.sign * order.callback_rate), tick)
        if order.stop_price is None or (stop - order.stop_price) * order.sign < 0:
            order.stop_price = stop
            order.trigger_direction = "above" if order.side == "buy" else "below"

    def _trigger(self, order: Order) -> None:
        if order.close_position:
            key = (order.instrument, order.position_side)
            order.quantity = rules.closable(order, self.positions.get(key))
        if not self.spawns_orders:
            order.status = "new"
            order.updated_ms = self.market.now_ms()
            self._emit(OrderChanged(order.copy(), "triggered"))
            self._execute_triggered(order)
            return
        child = order.copy()
        child.id, child.parent_id, child.conditional = "", order.id, False
        child.filled = child.filled_value = ZERO
        order.status, order.updated_ms = "triggered", self.market.now_ms()
        try:
            rules.check_reduce_only(self, child)
            rules.check_funds(self, child)
        except VenueError as error:
            self._end(order, "rejected", error.code)
            return
        child.id = order.child_id = self.market.make_order_id()
        self._emit(OrderChanged(order.copy(), "triggered"))
        self._accept(child)
        self._execute_triggered(child)

    def _execute_triggered(self, order: Order) -> None:
        if rules.reduces_only(self, order):
            key = (order.instrument, order.position_side)
            if not rules.closable(order, self.positions.get(key)):
                self._end(order, "expired", "nothing to reduce")
                return
            self._clip_to_position(order)
        self._match(order, is_taker=True)

    def _clip_to_position(self, order: Order) -> None:
        # Venues shrink a reducing order to what there is to reduce.
        position = self.positions.get((order.instrument, order.position_side))
        room = rules.closable(order, position)
        if order.close_position:
            order.quantity = room
        order.quantity = min(order.quantity, order.filled + room)

    def _match(self, order: Order, *, is_taker: bool) -> None:
        # Executes what the book offers now, then decides what becomes of the rest.
        if order.type == "market" or rules.would_cross(self, order):
            quantity = self._executable(order, is_taker=is_taker)
            if order.time_in_force == "FOK" and quantity < order.remaining:
                quantity = ZERO
            for part in self._chunks(order, quantity):
                if order.is_open:
                    self._fill(order, part, self._fill_price(order, is_taker), not is_taker)
        if not order.is_open:
            return
        rests = self.rests_remainder if order.type == "market" else True
        if not rests or order.time_in_force in ("IOC", "FOK"):
            self._end(order, "expired", "expired")

    def _fill_price(self, order: Order, is_taker: bool) -> Decimal:
        if order.price is not None and not is_taker:
            return order.price
        return self.market.touch(order.instrument, order.side)

    def _executable(self, order: Order, *, is_taker: bool) -> Decimal:
        step = self.instrument(order.instrument).step
        quantity = min(order.remaining, self.market.left(order.instrument, order.side))
        if rules.reduces_only(self, order):
            key = (order.instrument, order.position_side)
            quantity = min(quantity, rules.closable(order, self.positions.get(key)))
        if is_taker and self.fill_ratio != ONE:
            quantity = floor_to(quantity * self.fill_ratio, step)
        return quantity

    def _chunks(self, order: Order, quantity: Decimal) -> Iterator[Decimal]:
        step = self.instrument(order.instrument).step
        part = floor_to(quantity / self.fill_chunks, step)
        if part > 0:
            for _ in range(self.fill_chunks - 1):
                yield part
                quantity -= part
        if quantity > 0:
            yield quantity

    def fill(self, order_id: str, quantity: Decimal, price: Decimal | None = None) -> None:
        """Execute part of a resting order by hand, as a maker, at its price unless one is given."""
        order = self.orders[order_id]
        if not order.is_open or quantity > order.remaining:
            raise VenueError("ORDER_CLOSED", order_id)
        self._fill(order, quantity, price or self._fill_price(order, False), True)

    # ---- settlement -----------------------------------------------------------------------------

    def _fill(self, order: Order, quantity: Decimal, price: Decimal, is_maker: bool) -> None:
        instrument = self.instrument(order.instrument)
        rate = self.maker_fee if is_maker else self.taker_fee
        if order.origin == "adl":
            rate = ZERO
        fee, fee_asset = instrument.notional(quantity, price) * rate, instrument.settle
        if instrument.kind == "spot" and order.side == "buy":
            fee, fee_asset = quantity * rate, instrument.base
        now = self.market.now_ms()
        self.market.take(order.instrument, order.side, quantity)
        order.filled += quantity
        order.filled_value += quantity * price
        order.updated_ms = now
        order.status = "filled" if order.remaining <= 0 else "partially_filled"
        fill_id = self.market.make_fill_id()
        reason = "order" if order.origin == "user" else order.origin
        with self._one_cause(reason):
            realized = self._settle(order, instrument, quantity, price, fill_id, now)
            self._book("commission", fee_asset, -fee, instrument.id, fill_id)
        fill = Fill(
            fill_id,
            order.id,
            order.client_id,
            order.instrument,
            order.side,
            order.position_side,
            quantity,
            price,
            fee,
            fee_asset,
            realized,
            is_maker,
            now,
        )
        self.fills.append(fill)
        self._emit(Filled(fill, order.copy()))
        self._emit(OrderChanged(order.copy(), "fill", fill))
        self._drop_orphans(order)

    def _settle(
        self,
        order: Order,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal,
        ref: str,
        now: int,
    ) -> Decimal:
        signed = quantity * order.sign
        if instrument.kind == "spot":
            self._book("trade", instrument.base, signed, instrument.id, ref)
            self._book("trade", instrument.quote, -signed * price, instrument.id, ref)
            return ZERO
        key = (instrument.id, order.position_side)
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(instrument.id, order.position_side)
        realized = move_position(instrument, position, signed, price, now)
        self._book("realized_pnl", instrument.settle, realized, instrument.id, ref)
        self._emit(PositionChanged(dataclasses.replace(position), "order"))
        return realized

    def _drop_orphans(self, cause: Order) -> None:
        # A venue ends reducing orders once the position they were for is gone.
        position = self.positions.get((cause.instrument, cause.position_side))
        if position is None or position.quantity:
            return
        for order in self.open_orders(cause.instrument):
            same = order.position_side == cause.position_side and order is not cause
            resting = not order.conditional and rules.reduces_only(self, order)
            if same and (order.close_position or resting):
                self._end(order, "expired", "expired")

    # ---- forced closes --------------------------------------------------------------------------

    def _liquidate_if_due(self, settle: str) -> None:
        positions = self.open_positions(settle)
        if not positions:
            return
        if self.multi_asset:
            is_due = self.collateral_usd() <= self.maintenance_usd()
        else:
            is_due = self.equity(settle) <= self.maintenance(settle)
        if is_due:
            for position in positions:
                self.liquidate(position.instrument, position.side)

    def liquidate(
        self, name: str, side: PositionSide = "both", quantity: Decimal | None = None
    ) -> Order:
        """Close a position at mark by force, as a liquidation, in whole or in part."""
        return self._force_close(name, side, quantity, None, "liquidation")

    def adl(
        self,
        name: str,
        side: PositionSide = "both",
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> Order:
        """Close a profitable position by auto-deleveraging, without fee, at mark or a price."""
        return self._force_close(name, side, quantity, price, "adl")

    def _force_close(
        self,
        name: str,
        side: PositionSide,
        quantity: Decimal | None,
        price: Decimal | None,
        origin: Literal["liquidation", "adl"],
    ) -> Order:
        position = self.positions[name, side]
        if not position.quantity:
            raise VenueError("NO_POSITION", name)
        size = abs(position.quantity) if quantity is None else quantity
        now = self.market.now_ms()
        prefix = "autoclose-" if origin == "liquidation" else "adl_autoclose-"
        order = Order(
            instrument=name,
            side="sell" if position.quantity > 0 else "buy",
            quantity=size,
            type="limit",
            time_in_force="IOC",
            price=self.market.marks[name] if price is None else price,
            client_id=f"{prefix}{now}",
            position_side=side,
            origin=origin,
        )
        for other in self.open_orders(name) if origin == "liquidation" else []:
            self._end(other, "canceled", "canceled")
        self._accept(order)
        self._fill(order, size, order.price or ZERO, False)
        return order


def move_position(
    instrument: Instrument, position: Position, signed: Decimal, price: Decimal, now_ms: int
) -> Decimal:
    """Apply a signed execution to a position in place and return the profit it realized.

    The entry averages by value for linear instruments and harmonically for inverse ones; a
    crossing execution closes at the old entry and opens the rest at the new price.
    """
    old = position.quantity
    position.updated_ms = now_ms
    if old * signed >= 0:
        total = old + signed
        if old == 0:
            position.entry, position.realized, position.created_ms = price, ZERO, now_ms
        elif instrument.kind == "inverse":
            position.entry = total / (old / position.entry + signed / price)
        else:
            position.entry = (old * position.entry + signed * price) / total
        position.quantity = total
        return ZERO
    closed = signed if abs(signed) <= abs(old) else -old
    realized = instrument.pnl(-closed, position.entry, price)
    position.quantity = old + signed
    position.realized += realized
    if position.quantity == 0:
        position.entry = ZERO
    elif abs(signed) > abs(old):
        position.entry, position.realized, position.created_ms = price, ZERO, now_ms
    return realized
