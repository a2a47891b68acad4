"""Which working orders are exits and which are entries, and which protect a position.

Spec section 4: exit = reduce-only, closePosition, positionSide-closing, or an opposite-side order
whose cumulative quantity, with the other working exits, stays within the position or the balance.
What to do about entries lives in `enforcement`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from riskbot.core.accounts import AccountState
from riskbot.core.model import (
    InstrumentKind,
    PositionKey,
    PositionSide,
    Side,
    WorkingOrder,
)


def exits(account: AccountState) -> list[WorkingOrder]:
    """Return the working orders that can only reduce what is held, oldest first."""
    return split(account, account.orders.values())[0]


def entries(account: AccountState) -> list[WorkingOrder]:
    """Return the working orders that may add risk, oldest first."""
    return split(account, account.orders.values())[1]


def closable(account: AccountState, order: WorkingOrder, orders: Iterable[WorkingOrder]) -> Decimal:
    """Return how much an order like this may take and only close, >= 0.

    Args:
        account: whose.
        order: whose side and position count, whatever its quantity.
        orders: what counts as working beside it.
    """
    held = holding(account, order.symbol, order.position_side)
    if held * order.side.sign >= 0:
        return Decimal(0)
    return max(abs(held) - _taken(account, order, orders), Decimal(0))


def _taken(account: AccountState, order: WorkingOrder, orders: Iterable[WorkingOrder]) -> Decimal:
    """Return what the exits on the same position take of it."""
    working = split(account, orders)[0]
    return sum((o.remaining for o in working if _competes(account, o, order)), Decimal(0))


def is_exit(account: AccountState, order: WorkingOrder) -> bool:
    """Whether a new order is an exit beside those that work already.

    It comes last: what the working exits already cover is not there for it any more. The
    working order of the same id, if any, is what it amends and does not count beside it.
    """
    others = [o for o in account.orders.values() if o.order_id != order.order_id]
    if is_marked(order):
        return True
    return _taken(account, order, others) + order.remaining <= _closable(account, order)


def base_of(symbol: str) -> str:
    """Return the asset a spot symbol trades: `BTC` of `BTC/USDT`."""
    return symbol.partition("/")[0]


def holding(account: AccountState, symbol: str, side: PositionSide) -> Decimal:
    """Return the signed quantity an order on this symbol and side can close.

    The position of a derivative, the whole coin balance of a spot instrument.
    """
    instrument = account.instruments.get(symbol)
    is_spot = (
        instrument.kind is InstrumentKind.SPOT if instrument is not None else ":" not in symbol
    )
    if not is_spot:
        return account.quantity(PositionKey(account.name, symbol, side))
    balance = account.balances.get(base_of(symbol))
    return balance.total if balance is not None else Decimal(0)


def protective(account: AccountState) -> dict[PositionKey, list[WorkingOrder]]:
    """Return the resting conditional exits by the position they close, by rising trigger price.

    Whether one is a stop or a take-profit depends on the mark.
    """
    found: dict[PositionKey, list[WorkingOrder]] = {}
    for order in exits(account):
        if order.stop_price is None:
            continue
        held = holding(account, order.symbol, order.position_side)
        if held * order.side.sign < 0:
            key = PositionKey(account.name, order.symbol, order.position_side)
            found.setdefault(key, []).append(order)
    for orders in found.values():
        orders.sort(key=lambda order: order.stop_price or Decimal(0))
    return found


def split(
    account: AccountState, orders: Iterable[WorkingOrder]
) -> tuple[list[WorkingOrder], list[WorkingOrder]]:
    """Return exits and entries among orders that count as working on an account."""
    ordered = sorted(orders, key=lambda o: (o.created_ms, o.order_id))
    taken: defaultdict[tuple[str, PositionSide, Side], Decimal] = defaultdict(Decimal)
    found: set[str] = set()
    for order in ordered:
        if is_marked(order):
            found.add(order.order_id)
            taken[_claim(account, order)] += order.remaining
    for order in ordered:
        claim = _claim(account, order)
        if order.order_id in found or taken[claim] + order.remaining > _closable(account, order):
            continue
        found.add(order.order_id)
        taken[claim] += order.remaining
    return (
        [o for o in ordered if o.order_id in found],
        [o for o in ordered if o.order_id not in found],
    )


def is_marked(order: WorkingOrder) -> bool:
    """Whether the venue itself keeps this order from adding."""
    if order.reduce_only or order.close_position:
        return True
    return (order.position_side, order.side) in {
        (PositionSide.LONG, Side.SELL),
        (PositionSide.SHORT, Side.BUY),
    }


def _claim(account: AccountState, order: WorkingOrder) -> tuple[str, PositionSide, Side]:
    return (claimed(account, order.symbol), order.position_side, order.side)


def claimed(account: AccountState, symbol: str) -> str:
    """Return what orders on an instrument would close: it, or the coin that it trades."""
    # Spot instruments of one coin (BTC/USDT, BTC/USDC) claim the same balance.
    instrument = account.instruments.get(symbol)
    is_spot = instrument is not None and instrument.kind is InstrumentKind.SPOT
    return base_of(symbol) if is_spot else symbol


def _competes(account: AccountState, one: WorkingOrder, other: WorkingOrder) -> bool:
    return _claim(account, one) == _claim(account, other)


def _closable(account: AccountState, order: WorkingOrder) -> Decimal:
    """Return how much an order of this side may take, 0 if it would add."""
    if order.position_side is not PositionSide.NET:
        return Decimal(0)
    held = holding(account, order.symbol, order.position_side)
    return abs(held) if held * order.side.sign < 0 else Decimal(0)


def raises_keys(
    order: WorkingOrder, underlying: str, sector: str, groups: Iterable[str], keys: Iterable[str]
) -> bool:
    """Whether an entry, filled, would raise the measure of one of these keys.

    Args:
        order: the entry.
        underlying: what it trades.
        sector: of that.
        groups: it is a member of.
        keys: as a measure hold names them.
    """
    subject = f"{order.account}|{order.symbol}"
    direction = "+" if order.side is Side.BUY else "-"
    mine = {direction, underlying, sector, order.account, order.symbol, subject, *groups}
    return any(key in mine or key.startswith(f"{subject}|") for key in keys)
