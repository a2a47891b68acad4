"""Which approval an order at the venue is of, where it is not simply the one that stands for it.

An approval is for one order. What is done with what is found here is `reservations`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from riskbot.core.kept import Kept
from riskbot.core.model import WorkingOrder
from riskbot.core.ordering import Reservation, Stage

ON_ITS_WAY_MS = 2_000
"""An order seen so soon after its approval was taken back had been sent before; and so soon after
a conditional order is over, one of its name is what it became when its trigger was met."""


def late(kept: Kept, order: WorkingOrder, filled: Decimal, now_ms: int) -> Reservation | None:
    """Return an approval as it lives again whose order came when it had been let go, None = none.

    Args:
        kept: all approvals.
        order: as it is seen.
        filled: of it.
        now_ms: when.
    """
    known = kept.done.get(kept.names.get(f"|{order.client_order_id}", ""))
    if known is None or known.account != order.account:
        return None
    is_same = (known.symbol, known.side, known.venue_id) == (
        order.symbol,
        order.side,
        order.client_order_id,
    )
    is_soon = now_ms - known.ended_ms <= ON_ITS_WAY_MS
    if not is_same or order.quantity > known.quantity - known.filled:
        return None
    if known.order_id is not None:
        # Nothing becomes a conditional order: a late frame of one is of what is over.
        is_plain = known.order_id != order.order_id and not order.is_conditional
        is_another = is_plain and known.stage is Stage.EXPIRED
        became = replace(
            known, stage=Stage.OPEN, ended_ms=0, sent_filled=known.filled, told=Decimal(0)
        )
        return replace(became, order_id=None) if is_another and is_soon else None
    if order.status.is_final and not filled:
        return None
    # Taken back by riskbot, or given back: its strategy knows that it may not be sent.
    is_rogue = known.stage in {Stage.REVOKED, Stage.CANCELED} and not is_soon
    return replace(known, stage=Stage.OPEN, ended_ms=0, is_late=True, is_rogue=is_rogue)


def unnamed(kept: Kept, order: WorkingOrder) -> Reservation | None:
    """Return the approval that an order without its id can be, None = none, or several.

    Of several that are just like it, it is the oldest.
    """
    if order.client_order_id or kept.is_known(order) or kept.may_be(order):
        return None
    found = [
        r
        for r in kept.on(order.account)
        if r.stage is Stage.RESERVED
        and (r.symbol, r.side) == (order.symbol, order.side)
        and order.quantity <= r.quantity
    ]
    alike = [r for r in found if (r.quantity, r.price) == (order.quantity, order.price)]
    if order.is_conditional or not (alike or len(found) == 1):
        return None
    return min(alike or found, key=lambda r: (r.created_ms, r.reservation_id))


def edited(kept: Kept, known: Reservation, order: WorkingOrder) -> Reservation | None:
    """Return the unsent approval that an order now stands for, which its strategy has edited.

    None = it was not edited, or nobody asked.
    """
    terms = (order.quantity, order.price)
    was_seen = known.order_id == order.order_id
    if known.is_submit or not was_seen or terms == (known.quantity, known.price):
        return None
    own = (known.strategy, known.symbol, known.side, known.position_side)
    found = [
        r
        for r in kept.on(known.account)
        if r.is_unsent
        and (r.strategy, r.symbol, r.side, r.position_side) == own
        and (r.quantity, r.price) == terms
    ]
    return min(found, key=lambda r: (r.created_ms, r.reservation_id), default=None)
