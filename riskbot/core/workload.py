"""What works already beside an order: per position, what its buys and its sells may still fill.

What the limits make of it is `headroom`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core import exits
from riskbot.core.model import Instrument, InstrumentKind, PositionKey, Side, WorkingOrder

if TYPE_CHECKING:
    from riskbot.core.state import State


@dataclass(frozen=True, slots=True)
class Order:
    """What would be traded.

    Attributes:
        unit_usd: USD of exposure per unit of quantity.
        risk_usd: USD lost per unit when the stop is hit.
    """

    instrument: Instrument
    key: PositionKey
    side: Side
    unit_usd: float
    risk_usd: float


@dataclass(frozen=True, slots=True)
class Working:
    """What working entries may still fill on one position, USD, both >= 0."""

    buys: float = 0.0
    sells: float = 0.0

    def plus(self, side: Side, usd: float) -> Working:
        """Return it with more of one side."""
        if side is Side.BUY:
            return replace(self, buys=self.buys + usd)
        return replace(self, sells=self.sells + usd)


def working(
    state: State,
    accounts: Iterable[str],
    order: Order,
    without: str = "",
    strategy: str | None = None,
) -> dict[PositionKey, Working] | None:
    """Return the working entries by position; None = one of them has no price.

    Where an entry works, or the order itself goes, the exits of its side count too, up to what is
    there: once they have closed the position, the entry opens the other side.

    Args:
        state: the state.
        accounts: whose.
        order: what would be traded.
        without: id of a reservation that does not count, nor does its order at the venue.
        strategy: only what is this one's; None = everybody's.
    """
    found: dict[PositionKey, Working] = {}
    for name in accounts:
        entries, closing = _orders(state, name, without, strategy)
        sides = {(_key(each), each.side) for each in entries} | {(order.key, order.side)}
        for each in entries:
            if not _count(state, found, each, each.remaining):
                return None
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
    return found


def _count(
    state: State, found: dict[PositionKey, Working], order: WorkingOrder, quantity: Decimal
) -> bool:
    """Add what an order may still fill; False = its instrument has no price."""
    instrument = state.instrument(order.account, order.symbol)
    unit = unit_usd(state, instrument) if instrument is not None else None
    if unit is None:
        return False
    key = _key(order)
    found[key] = found.get(key, Working()).plus(order.side, float(quantity) * unit)
    return True


def _key(order: WorkingOrder) -> PositionKey:
    return PositionKey(order.account, order.symbol, order.position_side)


def _orders(
    state: State, account: str, without: str, strategy: str | None
) -> tuple[list[WorkingOrder], list[WorkingOrder]]:
    """Return entries and exits: what rests, what was approved, what has just filled."""
    known, kept = state.accounts.get(account), state.reservations
    beside = kept.outstanding(known, without, strategy)
    added = {order.order_id for order in beside}
    gone = kept.live[without].order_id if without else None

    def counts(order: WorkingOrder) -> bool:
        # What is beside is this strategy's own.
        mine = strategy is None or order.order_id in added or kept.owner(account, order) == strategy
        return mine and order.order_id != gone

    closing, entries = exits.split(known, beside)
    return [o for o in entries if counts(o)], [
        o for o in closing if counts(o) and o.stop_price is None
    ]


def unit_usd(state: State, instrument: Instrument) -> float | None:
    """Return USD of exposure per unit of `Position.quantity`, None = unknown."""
    if instrument.kind is InstrumentKind.INVERSE:
        return state.meter.book.price_of(instrument.account, instrument.quote)
    return state.mark_usd(instrument.account, instrument.symbol)
