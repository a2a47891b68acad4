"""Which orders an intent cancels: entries before it closes, orphaned exits once it has.

One cancel and its retries are `outcomes`; when to go on is `campaign`.
"""

from __future__ import annotations

from riskbot.core import outcomes
from riskbot.core.duty import Intent
from riskbot.core.model import OrderType, WorkingOrder
from riskbot.core.turn import Turn

MOMENT_MS = 1_000
"""A plain market order that is listed for longer waits for something."""


def send(turn: Turn, intent: Intent) -> bool:
    """Send the cancels that are due; True while anything is left to cancel or in flight."""
    orders = _entries(turn, intent)
    for order in orders:
        outcomes.cancel_order(turn, order, intent.intent_id)
    in_flight = any(
        c.account == intent.account
        and c.in_flight
        and turn.now_ms - c.sent_ms < outcomes.CANCEL_RESEND_MS
        for c in turn.state.enforcement.cancels.values()
    )
    return bool(orders) or in_flight


def _entries(turn: Turn, intent: Intent) -> list[WorkingOrder]:
    ours = _ours(turn, intent)
    locking = [
        order
        for target in intent.targets
        if turn.state.is_locked(target)
        for order in turn.state.exits_on(target.key)
    ]
    entries = [
        order
        for order in turn.state.entries(intent.account)
        if (intent.cancel_symbols is None or order.symbol in intent.cancel_symbols)
        and (not intent.cancel_keys or turn.state.raises_keys(order, intent.cancel_keys))
    ]
    found = (*entries, *locking)
    return [o for o in found if o.order_id not in ours and _rests(o, turn.now_ms)]


def _ours(turn: Turn, intent: Intent) -> set[str | None]:
    return {p.order_id for p in turn.state.enforcement.pending_of(intent.account)}


def _rests(order: WorkingOrder, now_ms: int) -> bool:
    # A plain market order is told of as new a moment before its fill: there is nothing to cancel,
    # and waiting for the venue to say so would hold up the close. A venue that lists stops among
    # plain orders names them market too, some without the price they wait for.
    if order.type is not OrderType.MARKET or order.is_conditional or order.stop_price is not None:
        return True
    return now_ms - order.created_ms >= MOMENT_MS


# ---------------------------------------------------------------- after the close


def orphans(turn: Turn, intent: Intent) -> list[WorkingOrder]:
    """Return the exits that rest on positions the intent has closed: they protect nothing now.

    One that the venue keeps from opening is in the way of the next position on that key; one
    that it does not is an entry by now, and cancelled as such.
    """
    closed = (
        target.key
        for target in intent.targets
        if not target.kept and not target.quantity and not turn.state.quantity(target.key)
    )
    ours = _ours(turn, intent)
    return [
        order
        for key in closed
        for order in turn.state.exits_on(key)
        if order.order_id not in ours and _rests(order, turn.now_ms)
    ]


def send_orphans(turn: Turn, intent: Intent) -> bool:
    """Cancel the exits of closed positions; True while the venue still shows one."""
    orders = orphans(turn, intent)
    for order in orders:
        outcomes.cancel_order(turn, order, intent.intent_id)
    return bool(orders)
