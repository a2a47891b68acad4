"""Orders that bypass the gateway, on accounts where every order must come through it.

An order, or a fill, that matches no approval after five seconds is told, and an entry is cancelled
where the account says so (`cancel_rogue`). Exits stay: whoever closes lowers risk. A stop that
protects is no rogue: the gateway takes no conditional orders, so nobody could ask for it.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from riskbot.core import actions, alerts, events, exits, outcomes
from riskbot.core.arrivals import order_of
from riskbot.core.model import Level, WorkingOrder, account_scope
from riskbot.core.ordering import Stray
from riskbot.core.turn import Turn

GRACE_MS = 5_000
"""An order may be seen before its approval's frame: so long it is nobody's yet."""

STANDS_MS = 300_000
"""A fill is over when it is found out: so long it is shown, or nobody would see it."""


def watch(turn: Turn, event: events.Event) -> None:
    """Note what no approval explains, and act on what stays unexplained."""
    if isinstance(event, events.OrderFilled):
        _note_fill(turn, event)
    if not isinstance(event, events.TimerFired):
        return
    for name, account in turn.settings.accounts.items():
        if account.exclusive and turn.state.is_synced(name):
            _note_orders(turn, name)
            _act(turn, name)
    for stray in list(turn.state.reservations.strays.values()):
        known = turn.settings.accounts.get(stray.account)
        if known is None or not known.exclusive:
            _set(turn, stray, is_over=True)


def _is_explained(turn: Turn, order: WorkingOrder) -> bool:
    pending = turn.state.enforcement.pending.get(order.client_order_id or "")
    return pending is not None or turn.state.reservations.is_known(order)


def _note_fill(turn: Turn, fill: events.OrderFilled) -> None:
    account = turn.settings.accounts.get(fill.account)
    kept = turn.state.reservations
    if account is None or not account.exclusive:
        return
    name = f"{fill.account}|{fill.order_id}"
    if name in kept.strays or _is_explained(turn, order_of(fill)) or _is_of_a_stop(turn, fill):
        return
    stray = Stray(
        fill.account,
        fill.symbol,
        fill.order_id,
        fill.client_order_id,
        turn.now_ms,
        is_fill=True,
    )
    _set(turn, stray)


def _is_of_a_stop(turn: Turn, fill: events.OrderFilled) -> bool:
    """Whether a fill is of what a stop became when its trigger was met, and take it off there."""
    orders, signed = turn.state.accounts.get(fill.account).orders, fill.side.sign * fill.quantity
    for stray in turn.state.reservations.strays.values():
        is_same = (stray.account, stray.symbol) == (fill.account, fill.symbol)
        is_within = stray.stop_quantity * signed > 0 and abs(signed) <= abs(stray.stop_quantity)
        if is_same and is_within and stray.order_id not in orders:
            _set(turn, replace(stray, stop_quantity=stray.stop_quantity - signed))
            return True
    return False


def _note_orders(turn: Turn, account: str) -> None:
    strays = turn.state.reservations.strays
    for order in turn.state.orders(account):
        if f"{account}|{order.order_id}" in strays or _is_explained(turn, order):
            continue
        stray = Stray(account, order.symbol, order.order_id, order.client_order_id, turn.now_ms)
        if _protects(turn, order):
            stray = replace(stray, stop_quantity=order.side.sign * order.remaining)
        _set(turn, stray)


def _act(turn: Turn, account: str) -> None:
    orders = turn.state.accounts.get(account).orders
    standing: list[Stray] = []
    for stray in [s for s in turn.state.reservations.strays.values() if s.account == account]:
        order = orders.get(stray.order_id)
        if stray.stop_quantity or stray.is_gone:
            _follow_stop(turn, stray, order)
            continue
        is_explained = _is_over(turn, stray, order)
        is_old = turn.now_ms - stray.seen_ms >= GRACE_MS
        if is_explained or (order is None and not stray.is_fill):
            _set(turn, stray, is_over=True)
        elif is_old and not stray.is_told:
            _tell(turn, stray, order)
            _set(turn, stray, is_told=True)
            standing.append(stray)
        elif stray.is_fill and turn.now_ms - stray.seen_ms >= STANDS_MS:
            _set(turn, stray, is_over=True)
        elif is_old:
            standing.append(stray)
        if is_old and order is not None and not is_explained:
            _cancel(turn, order)
    if not standing:
        alerts.resolve(
            turn,
            "rogue_order",
            account_scope(account),
            "nothing unexplained works or has just filled",
        )


def _follow_stop(turn: Turn, stray: Stray, order: WorkingOrder | None) -> None:
    """Keep a stop in mind while it protects, and a while after it is gone."""
    if order is not None and _protects(turn, order):
        signed = order.side.sign * order.remaining
        if signed != stray.stop_quantity:
            _set(turn, replace(stray, stop_quantity=signed))
    elif order is not None:
        # It protects nothing any more: from now on it is an order like any other.
        _set(turn, replace(stray, stop_quantity=Decimal(0), seen_ms=turn.now_ms))
    elif not stray.is_gone:
        _set(turn, replace(stray, is_gone=True, seen_ms=turn.now_ms))
    elif turn.now_ms - stray.seen_ms >= GRACE_MS:
        _set(turn, stray, is_over=True)


def _protects(turn: Turn, order: WorkingOrder) -> bool:
    """Whether an order is a stop, or a target, that can only close what is there."""
    held = exits.holding(turn.state.accounts.get(order.account), order.symbol, order.position_side)
    is_opposite = order.stop_price is not None and held * order.side.sign < 0
    return is_opposite and order.remaining <= abs(held)


def _is_over(turn: Turn, stray: Stray, order: WorkingOrder | None) -> bool:
    if order is not None:
        return _is_explained(turn, order) or _protects(turn, order)
    return f"{stray.account}|{stray.order_id}" in turn.state.reservations.own


def _tell(turn: Turn, stray: Stray, order: WorkingOrder | None) -> None:
    scope = account_scope(stray.account)
    what = f"{order.side.value} {order.quantity}" if order is not None else "a fill of"
    words = f"{what} {stray.symbol} on {stray.account} came past the gateway"
    does = _may_cancel(turn, stray.account, order)
    turn.audit(
        "rogue",
        "rogue_order",
        scope,
        words,
        order_id=stray.order_id,
        client_order_id=stray.client_order_id,
        is_fill=stray.is_fill,
    )
    alerts.tell(
        turn,
        "rogue_order",
        scope,
        Level.RED,
        words,
        did="the order is cancelled" if does else "told, nothing else",
        todo="find what trades there without asking",
    )


def _may_cancel(turn: Turn, account: str, order: WorkingOrder | None) -> bool:
    known = turn.settings.accounts[account]
    if order is None or not known.cancel_rogue or not turn.is_enforcing:
        return False
    return not exits.is_exit(turn.state.accounts.get(account), order)


def _cancel(turn: Turn, order: WorkingOrder) -> None:
    if _may_cancel(turn, order.account, order):
        outcomes.cancel_order(turn, order, 0)


def _set(turn: Turn, stray: Stray, *, is_told: bool = False, is_over: bool = False) -> None:
    turn.emit(
        actions.SetStray(
            account=stray.account,
            symbol=stray.symbol,
            order_id=stray.order_id,
            client_order_id=stray.client_order_id,
            seen_ms=stray.seen_ms,
            is_fill=stray.is_fill,
            is_told=is_told,
            is_over=is_over,
            stop_quantity=stray.stop_quantity,
            is_gone=stray.is_gone,
        )
    )
