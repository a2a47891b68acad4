"""What the venue said of riskbot's orders: settle them, look them up, re-price, take the next rung.

Which order is sent next is `campaign`'s business.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from riskbot.core import actions, events, sizing
from riskbot.core.duty import Intent, PendingOrder, Target
from riskbot.core.model import OrderType, RejectReason, Side, WorkingOrder
from riskbot.core.turn import Turn

ABSENT_QUERIES = 3
ABSENT_AFTER_MS = 10_000
"""An unanswered order is absent after three look-ups that knew nothing, this long after it."""

MUTE_AFTER_MS = 30_000
"""An order that the venue answers nothing about is judged by its position after this long."""

CHASE_MS = 3_000
"""A resting closing order is cancelled and priced anew after this long."""

CONGESTED_MS = 12_000
"""A market order a busy venue has taken but not filled keeps its place in the queue this long:
there is nothing to price anew, and another one would stand behind it."""

CANCEL_RESEND_MS = 5_000
READ_AGAIN_MS = 1_000


def on_outcome(turn: Turn, event: events.Event) -> None:
    """Settle orders by what the venue said, before intents move on."""
    if isinstance(event, events.OrderRejected):
        _on_rejected(turn, event)
    for pending in list(turn.state.enforcement.pending.values()):
        # On an account that is configured no more there is nobody to ask; it may come back.
        if pending.account in turn.settings.accounts:
            track(turn, pending)


def _on_rejected(turn: Turn, event: events.OrderRejected) -> None:
    pending = turn.state.enforcement.pending.get(event.client_order_id)
    if pending is None:
        return
    if event.reason is RejectReason.DUPLICATE_ID:
        # The venue has an order under this id: ours, whose answer was lost.
        query(turn, pending)
        return
    turn.emit(
        actions.SettleOrder(client_order_id=pending.client_order_id, outcome=event.reason.value)
    )
    intent = turn.state.enforcement.intents.get(pending.account)
    if intent is None or intent.intent_id != pending.intent_id:
        return
    for target in [t for t in intent.targets if t.key == pending.key]:
        changed = sizing.after_refusal(
            target,
            event.reason,
            event.message,
            event.retry_after_ms,
            turn.now_ms,
            may_be_dust=_may_be_dust(turn, pending),
        )
        replace_target(turn, intent, changed)
    if event.reason is RejectReason.REDUCE_ONLY:
        # Exits that rest against the position use up what may be closed: they go first.
        for order in turn.state.exits_on(pending.key):
            cancel_order(turn, order, intent.intent_id)


def _may_be_dust(turn: Turn, pending: PendingOrder) -> bool:
    state, account, symbol = turn.state, pending.account, pending.symbol
    notional_usd, price = state.meter.leg_usd(pending.key), state.price(account, symbol)
    mark_usd = state.mark_usd(account, symbol)
    if notional_usd is None or not price or not mark_usd:
        return True
    usd_per_quote = mark_usd / price
    return sizing.may_be_dust(
        abs(notional_usd) / usd_per_quote,
        state.listed(pending.key).min_notional,
        turn.settings.monitor.dust_usd / usd_per_quote,
    )


def track(turn: Turn, pending: PendingOrder) -> None:
    """Settle, look up or re-price one order in flight."""
    is_over = pending.order_id is not None and not pending.is_resting
    if pending.filled >= pending.quantity or (is_over and not pending.is_unknown):
        _settle(turn, pending, "filled" if pending.filled else "done")
    elif _is_lost(turn, pending):
        _settle_by_position(turn, pending)
    elif turn.now_ms >= pending.next_query_ms:
        query(turn, pending)
    patience_ms = CONGESTED_MS if pending.is_market else CHASE_MS
    if pending.is_resting and pending.order_id and turn.now_ms - pending.sent_ms >= patience_ms:
        _reprice(turn, pending)


def query(turn: Turn, pending: PendingOrder) -> None:
    """Look an order up by its client id."""
    turn.emit(
        actions.QueryOrder(
            account=pending.account,
            symbol=pending.symbol,
            client_order_id=pending.client_order_id,
            order_id=pending.order_id,
        )
    )


def _is_lost(turn: Turn, pending: PendingOrder) -> bool:
    """Whether the venue will not say what became of an order: its position must.

    Three look-ups that knew nothing, ten seconds after it was sent, or three without an answer
    and none of it among the working orders, after thirty; and a position read well after it.
    """
    said_no = pending.is_unknown and pending.queries >= ABSENT_QUERIES
    if not said_no and (pending.mute < ABSENT_QUERIES or _is_listed(turn, pending)):
        return False
    patience_ms = ABSENT_AFTER_MS if said_no else MUTE_AFTER_MS
    if turn.now_ms - pending.sent_ms < patience_ms:
        return False
    if turn.state.read_since(pending.account, pending.sent_ms + patience_ms // 2):
        return True
    if turn.now_ms - turn.state.last_request_ms(pending.account) >= READ_AGAIN_MS:
        turn.emit(
            actions.RefreshAccount(
                account=pending.account,
                request_id=turn.state.next_request_id(),
                reason="lost order",
                is_urgent=True,
            )
        )
    return False


def _is_listed(turn: Turn, pending: PendingOrder) -> bool:
    orders = turn.state.accounts.get(pending.account).orders.values()
    return any(order.client_order_id == pending.client_order_id for order in orders)


def _settle_by_position(turn: Turn, pending: PendingOrder) -> None:
    """Settle an order that nothing is known of: absent unless the position moved its way."""
    moved = (turn.state.quantity(pending.key) - pending.position_before) * pending.sign
    filled = max(min(moved, pending.quantity), pending.filled)
    if filled <= 0:
        _settle(turn, pending, "absent")
    else:
        _settle(turn, pending, "seen in the position", filled)


def _settle(turn: Turn, pending: PendingOrder, outcome: str, filled: Decimal = Decimal(0)) -> None:
    order_id = pending.client_order_id
    turn.emit(actions.SettleOrder(client_order_id=order_id, outcome=outcome, filled=filled))
    intent = turn.state.enforcement.intents.get(pending.account)
    if intent is None or intent.intent_id != pending.intent_id:
        return
    target = next((t for t in intent.targets if t.key == pending.key), None)
    if target is not None and outcome != "absent":
        changed = sizing.after_round(
            target, turn.now_ms, has_filled=max(pending.filled, filled) > 0
        )
        replace_target(turn, intent, changed)


def _reprice(turn: Turn, pending: PendingOrder) -> None:
    order = WorkingOrder(
        account=pending.account,
        symbol=pending.symbol,
        order_id=pending.order_id or "",
        client_order_id=pending.client_order_id,
        side=Side.BUY if pending.sign > 0 else Side.SELL,
        type=OrderType.LIMIT,
        quantity=pending.quantity,
    )
    cancel_order(turn, order, pending.intent_id)


def cancel_order(turn: Turn, order: WorkingOrder, intent_id: int) -> None:
    """Send one cancel unless it is in flight or waits for its retry."""
    known = turn.state.enforcement.cancels.get((order.account, order.order_id))
    if known is not None:
        lost = known.in_flight and turn.now_ms - known.sent_ms >= CANCEL_RESEND_MS
        due = not known.in_flight and turn.now_ms >= known.retry_ms
        if not lost and not due:
            return
    turn.emit(
        actions.CancelOrder(
            account=order.account,
            symbol=order.symbol,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            is_conditional=order.is_conditional,
            intent_id=intent_id,
        )
    )


def replace_target(turn: Turn, intent: Intent, target: Target) -> None:
    """Put a changed target in its place in the intent as it stands now."""
    current = turn.state.enforcement.intents.get(intent.account, intent)
    targets = tuple(target if t.key == target.key else t for t in current.targets)
    turn.emit(actions.SetIntent(intent=replace(current, targets=targets)))
