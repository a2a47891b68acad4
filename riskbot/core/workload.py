"""What works already beside an order: per position, what its buys and its sells may still fill.

What the limits make of it is `headroom`.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core import exits, options
from riskbot.core.kept import NONE
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    PositionKey,
    Side,
    WorkingOrder,
)

if TYPE_CHECKING:
    from riskbot.core.state import State


@dataclass(frozen=True, slots=True)
class Order:
    """What would be traded.

    Attributes:
        side: on which it adds exposure.
        unit_usd: USD of exposure per unit of quantity.
        risk_usd: USD lost per unit when the stop is hit.
        strategy: whose, empty = nobody's in particular.
    """

    instrument: Instrument
    key: PositionKey
    side: Side
    unit_usd: float
    risk_usd: float
    strategy: str = ""


@dataclass(frozen=True, slots=True)
class Working:
    """What working entries may still fill on one position, USD, all >= 0.

    Attributes:
        risk: what they lose when their stops are hit.
    """

    buys: float = 0.0
    sells: float = 0.0
    risk: float = 0.0

    def plus(self, side: Side, usd: float) -> Working:
        """Return it with more of one side."""
        if side is Side.BUY:
            return replace(self, buys=self.buys + usd)
        return replace(self, sells=self.sells + usd)


def working(
    state: State,
    accounts: Iterable[str],
    order: Order,
    without: frozenset[str] = NONE,
    strategy: str | None = None,
) -> dict[PositionKey, Working] | None:
    """Return the working entries by position; None = one of them has no price.

    Where an entry works, or the order itself goes, the exits of its side count too, up to what is
    there: once they have closed the position, the entry opens the other side.

    Args:
        state: the state.
        accounts: whose.
        order: what would be traded.
        without: ids of reservations that do not count, nor do their orders at the venue.
        strategy: only what is this one's; None = everybody's.
    """
    found: dict[PositionKey, Working] = {}
    for name in accounts:
        if state.standing.is_all(name, without):
            is_known = state.standing.add_working(found, name, order, strategy)
        else:
            is_known = add_one_by_one(state, found, name, order, without, strategy)
        if not is_known:
            return None
    return found


def add_one_by_one(
    state: State,
    found: dict[PositionKey, Working],
    account: str,
    order: Order,
    without: frozenset[str] = NONE,
    strategy: str | None = None,
) -> bool:
    """Add what works on an account, order by order; False = one of the entries has no price.

    Args:
        state: the state.
        found: what is added to, by position.
        account: whose.
        order: what would be traded.
        without: ids of reservations that do not count, nor do their orders at the venue.
        strategy: only what is this one's; None = everybody's.
    """
    turning = state.reservations.turning(state.accounts.get(account))
    orders = [
        replace(each, reduce_only=False) if each.order_id in turning else each
        for each in counted(state, account, without, strategy)
    ]
    exiting, entries = exits.split(state.accounts.get(account), orders)
    closing = [each for each in exiting if each.stop_price is None]
    for each in entries:
        if not _count(state, found, each, each.remaining):
            return False
        key = _key(each)
        found[key] = replace(found[key], risk=found[key].risk + _risk_usd(state, each))
    sides = {(_key(each), each.side) for each in entries} | {(order.key, traded(state, order))}
    add_closing(state, found, closing, sides)
    return True


def add_closing(
    state: State,
    found: dict[PositionKey, Working],
    closing: Iterable[WorkingOrder],
    sides: Set[tuple[PositionKey, Side]],
) -> None:
    """Add exits of the sides that open, too, up to what is there.

    Args:
        state: the state.
        found: what is added to, by position.
        closing: exits that wait for no trigger, oldest first.
        sides: positions and sides of entries, and of the order itself.
    """
    left: dict[PositionKey, Decimal] = {}
    for each in closing:
        key = _key(each)
        if (key, each.side) not in sides:
            continue
        if key not in left:
            left[key] = abs(state.quantity(key))
        quantity = min(each.remaining, left[key])
        left[key] -= quantity
        # Its position has an entry that was priced just now, or is the order's own.
        _count(state, found, each, quantity)


def room(
    state: State, key: PositionKey, side: Side, without: frozenset[str]
) -> tuple[Decimal, bool]:
    """Return how much an order would only close, and whether entries of its side are there.

    Args:
        state: the state.
        key: the position it is on.
        side: of it.
        without: ids of reservations that do not count, nor do their orders at the venue.
    """
    if state.standing.is_all(key.account, without):
        return state.standing.room(key, side)
    return room_one_by_one(state, key, side, without)


def room_one_by_one(
    state: State, key: PositionKey, side: Side, without: frozenset[str] = NONE
) -> tuple[Decimal, bool]:
    """Return the same, told order by order."""
    known = state.accounts.get(key.account)
    # A stop takes nothing of what may be closed until it triggers.
    orders = [o for o in counted(state, key.account, without) if o.stop_price is None]
    entries = exits.split(known, orders)[1]
    has_rivals = any((_key(o), o.side) == (key, side) for o in entries)
    stub = WorkingOrder(
        key.account,
        key.symbol,
        "",
        None,
        side,
        OrderType.MARKET,
        Decimal(0),
        position_side=key.side,
    )
    return exits.closable(known, stub, orders), has_rivals


def edge(state: State, key: PositionKey, side: Side, without: frozenset[str]) -> Decimal | None:
    """Return the best limit price of one side of an account's orders, None = there is none.

    Args:
        state: the state.
        key: of the instrument.
        side: of the orders.
        without: ids of reservations that do not count, nor do their orders at the venue.
    """
    if not any(name in state.reservations.live for name in without):
        return state.standing.edge(key, side)
    return edge_one_by_one(state, key, side, without)


def edge_one_by_one(
    state: State, key: PositionKey, side: Side, without: frozenset[str] = NONE
) -> Decimal | None:
    """Return the same, told order by order."""
    prices = [
        order.price
        for order in counted(state, key.account, without)
        if (order.symbol, order.side) == (key.symbol, side)
        and order.price is not None
        and order.stop_price is None
    ]
    return max(prices, default=None) if side is Side.BUY else min(prices, default=None)


def _count(
    state: State, found: dict[PositionKey, Working], order: WorkingOrder, quantity: Decimal
) -> bool:
    """Add what an order may still fill; False = its instrument has no price."""
    instrument = state.instrument(order.account, order.symbol)
    unit = unit_usd(state, instrument) if instrument is not None else None
    if unit is None:
        return False
    key = _key(order)
    assert instrument is not None  # noqa: S101 - without it there is no unit
    side = exposed(state, instrument, order.side)
    found[key] = found.get(key, Working()).plus(side, float(quantity) * unit)
    return True


def _risk_usd(state: State, order: WorkingOrder) -> float:
    """Return what an entry that works loses at its stop, `assume_stop` away where it has none."""
    instrument = state.instrument(order.account, order.symbol)
    usd = float(order.remaining) * (unit_usd(state, instrument) or 0.0) if instrument else 0.0
    price = order.price
    at = float(price) if price is not None else state.price(order.account, order.symbol)
    stop = state.reservations.stop_of(order)
    if stop is None or not at:
        return usd * state.settings.assume_stop
    return usd * abs(at - float(stop)) / at


def _key(order: WorkingOrder) -> PositionKey:
    return PositionKey(order.account, order.symbol, order.position_side)


def counted(
    state: State, account: str, without: frozenset[str] = NONE, strategy: str | None = None
) -> list[WorkingOrder]:
    """Return all that works or may come: the venue's list, approvals, riskbot's own, late fills.

    Args:
        state: the state.
        account: whose.
        without: ids of reservations that do not count, nor do their orders at the venue.
        strategy: only what is this one's; None = everybody's.
    """
    known, kept = state.accounts.get(account), state.reservations
    gone = {kept.live[name].order_id for name in without if name in kept.live}
    closing = kept.closing(account)
    found = []
    for order in known.orders.values():
        mine = strategy is None or kept.owner(account, order) == strategy
        if mine and order.order_id not in gone:
            # What was approved as an exit stays one, whatever the position does meanwhile.
            is_closing = order.order_id in closing and not order.reduce_only
            found.append(replace(order, reduce_only=True) if is_closing else order)
    found += kept.outstanding(known, without, strategy)
    return found if strategy is not None else found + _own(state, account)


def _own(state: State, account: str) -> list[WorkingOrder]:
    """Return riskbot's orders that the venue does not show (yet)."""
    shown = {order.client_order_id for order in state.accounts.get(account).orders.values()}
    return [
        WorkingOrder(
            account=account,
            symbol=pending.symbol,
            order_id=f"~{pending.client_order_id}",
            client_order_id=pending.client_order_id,
            side=Side.BUY if pending.sign > 0 else Side.SELL,
            type=OrderType.MARKET,
            quantity=pending.quantity,
            filled=pending.filled,
            reduce_only=not pending.is_hedge,
            position_side=pending.key.side,
            created_ms=pending.sent_ms,
        )
        for pending in state.enforcement.pending_of(account)
        if pending.client_order_id not in shown
    ]


def unit_usd(state: State, instrument: Instrument) -> float | None:
    """Return USD of exposure per unit of `Position.quantity`, >= 0, None = unknown.

    An option counts with its delta; one without is unknown.
    """
    if instrument.kind is InstrumentKind.OPTION:
        found = options.delta_usd(state, instrument)
        return None if found is None else abs(found)
    if instrument.kind is InstrumentKind.INVERSE:
        return state.meter.book.price_of(instrument.account, instrument.quote)
    return state.mark_usd(instrument.account, instrument.symbol)


def exposed(state: State, instrument: Instrument, side: Side) -> Side:
    """Return the side on which an order adds exposure: of a put it is the other one."""
    if instrument.kind is not InstrumentKind.OPTION:
        return side
    found = options.delta_usd(state, instrument)
    return side.opposite if found is not None and found < 0 else side


def traded(state: State, order: Order) -> Side:
    """Return the side that an order has at its venue."""
    return exposed(state, order.instrument, order.side)
