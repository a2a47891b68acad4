"""What a venue refuses: the checks an order passes before it is booked.

Pure questions about a `Ledger`; nothing here changes one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.servers.ledger_types import ZERO, Instrument, Order, Position, VenueError

if TYPE_CHECKING:
    from tests.servers.ledger_matching import Matching


def check_phase(ledger: Matching, order: Order) -> None:
    """Refuse what the venue's phase does not allow: MAINTENANCE, CANCEL_ONLY, POST_ONLY_PHASE."""
    phase = ledger.market.phase_of(order.instrument)
    if phase == "maintenance":
        raise VenueError("MAINTENANCE")
    if phase == "cancel_only":
        raise VenueError("CANCEL_ONLY")
    if phase == "post_only" and order.time_in_force != "POST":
        raise VenueError("POST_ONLY_PHASE")


def check_client_id(ledger: Matching, order: Order) -> None:
    """Refuse a client id that is taken: by an open order, or ever, as the ledger is set."""
    if not order.client_id:
        return
    for other in ledger.orders.values():
        if other.client_id != order.client_id or bool(other.parent_id):
            continue
        if other.is_open or ledger.client_ids_unique_ever:
            raise VenueError("DUPLICATE_CLIENT_ID", order.client_id)


def check_numbers(ledger: Matching, order: Order) -> None:
    """Refuse wrong increments and sizes: PRECISION, MIN_QUANTITY, MAX_QUANTITY, MIN_NOTIONAL."""
    instrument = ledger.instrument(order.instrument)
    for price in (order.price, order.stop_price):
        if price is not None and price <= 0:
            raise VenueError("BAD_PRICE", str(price))
        if price is not None and price % instrument.tick:
            raise VenueError("PRICE_PRECISION", f"{price} on tick {instrument.tick}")
    if order.type == "limit" and order.price is None:
        raise VenueError("BAD_PRICE", "a limit order needs a price")
    if order.close_position:
        return
    if order.quantity <= 0:
        raise VenueError("BAD_QUANTITY", str(order.quantity))
    if order.quantity % instrument.step:
        raise VenueError("PRECISION", f"{order.quantity} on step {instrument.step}")
    if order.quantity < instrument.min_quantity:
        raise VenueError("MIN_QUANTITY", str(order.quantity))
    if order.quantity > instrument.max_quantity:
        raise VenueError("MAX_QUANTITY", str(order.quantity))
    check_notional(ledger, instrument, order)


def check_notional(ledger: Matching, instrument: Instrument, order: Order) -> None:
    """Refuse less than the minimum notional, unless the venue exempts reducing orders."""
    if reduces_only(ledger, order) and ledger.min_notional_exempts_reduce_only:
        return
    price = order.price or order.stop_price or ledger.market.marks[order.instrument]
    if instrument.quote_value(order.quantity, price) < instrument.min_notional:
        raise VenueError("MIN_NOTIONAL", str(instrument.min_notional))


def check_position_side(ledger: Matching, order: Order) -> None:
    """Refuse a position side that does not fit the position mode."""
    if ledger.instrument(order.instrument).kind == "spot":
        return
    if ledger.hedge_mode == (order.position_side == "both"):
        raise VenueError("POSITION_SIDE_MISMATCH", order.position_side)


def reduces_only(ledger: Matching, order: Order) -> bool:
    """Return whether the order can only shrink a position: by flag, or by its hedge-mode side."""
    if order.reduce_only or order.close_position:
        return True
    return (order.position_side, order.side) in {("long", "sell"), ("short", "buy")}


def closable(order: Order, position: Position | None) -> Decimal:
    """Return how much of a position an order of this side could close, >= 0."""
    if position is None or position.quantity * order.sign >= 0:
        return ZERO
    return abs(position.quantity)


def check_reduce_only(ledger: Matching, order: Order) -> None:
    """Refuse a plain reducing order that has nothing to reduce or conflicts with resting ones."""
    if not reduces_only(ledger, order):
        return
    room = closable(order, ledger.positions.get((order.instrument, order.position_side)))
    if not room:
        raise VenueError("REDUCE_ONLY_REJECTED", "no position to reduce")
    if ledger.resting_reduce_only == "ignore":
        return
    resting = ZERO
    for other in ledger.open_orders(order.instrument):
        same = (other.side, other.position_side) == (order.side, order.position_side)
        counted = ledger.resting_reduce_only == "all" or not other.conditional
        if same and counted and reduces_only(ledger, other):
            resting += room if other.close_position else other.remaining
    if resting and resting + order.quantity > room:
        raise VenueError("REDUCE_ONLY_CONFLICT", f"{resting} already rests")


def check_trigger(ledger: Matching, order: Order) -> None:
    """Refuse a conditional order whose trigger has already been reached: WOULD_TRIGGER."""
    if order.callback_rate is not None and order.stop_price is None:
        return
    if order.stop_price is None or order.trigger_direction is None:
        raise VenueError("BAD_TRIGGER", "a conditional order needs a trigger price and direction")
    if is_triggered(ledger, order) and ledger.refuses_immediate_trigger:
        raise VenueError("WOULD_TRIGGER")


def is_triggered(ledger: Matching, order: Order) -> bool:
    """Return whether the price has reached a conditional order's trigger."""
    if order.stop_price is None:
        return False
    price = ledger.market.trigger_price(order.instrument, order.trigger_by)
    if order.trigger_direction == "above":
        return price >= order.stop_price
    return price <= order.stop_price


def check_funds(ledger: Matching, order: Order) -> None:
    """Refuse what the account cannot pay: INSUFFICIENT_BALANCE (spot), INSUFFICIENT_MARGIN."""
    instrument = ledger.instrument(order.instrument)
    price = order.price or ledger.market.touch(order.instrument, order.side)
    if instrument.kind == "spot":
        asset = instrument.quote if order.side == "buy" else instrument.base
        needed = order.quantity * price if order.side == "buy" else order.quantity
        if needed > ledger.balances.get(asset, ZERO) - ledger.locked(asset):
            raise VenueError("INSUFFICIENT_BALANCE", asset)
        return
    if reduces_only(ledger, order):
        return
    position = ledger.positions.get((order.instrument, order.position_side))
    opening = order.quantity - closable(order, position)
    if opening <= 0:
        return
    needed = instrument.notional(opening, price) / ledger.leverage_of(order.instrument)
    if needed > ledger.available(instrument.settle):
        raise VenueError("INSUFFICIENT_MARGIN", instrument.settle)


def would_cross(ledger: Matching, order: Order) -> bool:
    """Return whether a limit order would trade at once."""
    if order.price is None:
        return True
    touch = ledger.market.touch(order.instrument, order.side)
    return touch <= order.price if order.side == "buy" else touch >= order.price


def check_order(ledger: Matching, order: Order) -> None:
    """Run every check in the order a venue reports them.

    Raises:
        VenueError: the first reason to refuse.
    """
    ledger.instrument(order.instrument)
    check_phase(ledger, order)
    check_position_side(ledger, order)
    check_client_id(ledger, order)
    check_numbers(ledger, order)
    if order.conditional:
        check_trigger(ledger, order)
        return
    check_reduce_only(ledger, order)
    check_funds(ledger, order)
    if order.time_in_force == "POST" and would_cross(ledger, order):
        raise VenueError("WOULD_CROSS")
