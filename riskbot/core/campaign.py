"""Intents to orders: cancel, read, close, verify; survives a crash at any instruction.

Each step is a fold of what the venue has said since, so a restart goes on where it was. One
order per position key at a time; a lost answer is looked up, never sent again; flat means two
reads that say so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from riskbot.core import actions, events, sizing
from riskbot.core.duty import Intent, IntentKind, IntentPhase, PendingOrder, Rung, Target
from riskbot.core.model import OrderType, RejectReason, Side, WorkingOrder
from riskbot.core.turn import Turn

if TYPE_CHECKING:
    from riskbot.core.state import State

READ_RETRY_MS = 1_000
SECOND_READ_AFTER_MS = 1_000
CANCEL_PATIENCE_MS = 5_000
"""A close waits this long for cancels a venue does not confirm; they are retried meanwhile."""

CANCEL_RESEND_MS = 5_000
PATIENCE_MS = 30_000
"""An intent that is not through by now is paged to a person, and goes on."""

STEPS_MAX = 8
"""Phases one turn may walk through: all of them, and one round back."""


def advance(turn: Turn) -> None:
    """Move every intent as far as what is known allows."""
    for account in sorted(turn.state.enforcement.intents):
        for _ in range(STEPS_MAX):
            intent = turn.state.enforcement.intents.get(account)
            if intent is None or not _step(turn, intent):
                break


def _step(turn: Turn, intent: Intent) -> bool:
    """Take one step; True when the phase changed and the next may follow at once."""
    _page_when_late(turn, intent)
    intent = turn.state.enforcement.intents[intent.account]
    if intent.phase is IntentPhase.CANCEL:
        return _cancel(turn, intent)
    if intent.phase is IntentPhase.READ:
        return _read(turn, intent)
    if intent.phase is IntentPhase.CLOSE:
        return _close(turn, intent)
    return _verify(turn, intent)


def _set(turn: Turn, intent: Intent, **changes: object) -> bool:
    turn.emit(actions.SetIntent(intent=replace(intent, **changes)))  # type: ignore[arg-type]
    return "phase" in changes


# ---------------------------------------------------------------- cancel


def _to_cancel(turn: Turn, intent: Intent) -> list[WorkingOrder]:
    orders = (
        turn.state.orders(intent.account)
        if intent.cancels_all_orders
        else turn.state.entries(intent.account)
    )
    ours = {p.order_id for p in turn.state.enforcement.pending_of(intent.account) if p.order_id}
    return [
        order
        for order in orders
        if order.order_id not in ours
        and (intent.cancel_symbols is None or order.symbol in intent.cancel_symbols)
        and (not intent.cancel_keys or turn.state.raises_keys(order, intent.cancel_keys))
    ]


def _send_cancels(turn: Turn, intent: Intent) -> bool:
    """Send what is due; True while anything is left to cancel or in flight."""
    orders = _to_cancel(turn, intent)
    for order in orders:
        cancel_order(turn, order, intent.intent_id)
    in_flight = any(
        c.account == intent.account and c.in_flight for c in turn.state.enforcement.cancels.values()
    )
    return bool(orders) or in_flight


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


def _cancel(turn: Turn, intent: Intent) -> bool:
    busy = _send_cancels(turn, intent)
    if busy and not intent.has_canceled:
        _set(turn, intent, has_canceled=True)
    waited = turn.now_ms - intent.started_ms
    if busy and not (intent.targets and waited >= CANCEL_PATIENCE_MS):
        return False
    first_look = not busy and not intent.has_canceled and not intent.last_read_ms
    if intent.targets and first_look and turn.state.is_fresh(intent.account, turn.now_ms):
        # What is known is a second old at most: no read between the decision and the order.
        return _set(turn, intent, phase=IntentPhase.CLOSE)
    return _set(turn, intent, phase=IntentPhase.READ, request_id=None)


# ---------------------------------------------------------------- read


def _request_read(turn: Turn, intent: Intent) -> None:
    request_id = turn.state.next_request_id()
    turn.emit(
        actions.RefreshAccount(
            account=intent.account,
            request_id=request_id,
            reason=intent.kind.value,
            is_urgent=True,
        )
    )
    _set(turn, intent, request_id=request_id)


def _has_read(turn: Turn, intent: Intent) -> bool:
    """Whether the read it waits for came; asks (again) when it has not."""
    if intent.request_id is None:
        _request_read(turn, intent)
        return False
    if turn.state.answered(intent.account, intent.request_id):
        return True
    if turn.now_ms - turn.state.last_request_ms(intent.account) >= READ_RETRY_MS:
        failed = turn.state.has_failed_read(intent.account, intent.request_id)
        if failed or turn.state.is_read_overdue(intent.account, turn.now_ms):
            _request_read(turn, intent)
    return False


def _read(turn: Turn, intent: Intent) -> bool:
    if not _has_read(turn, intent):
        return False
    intent = _with_new_positions(turn, replace(intent, last_read_ms=turn.now_ms))
    if _send_cancels(turn, intent) and turn.now_ms - intent.started_ms < CANCEL_PATIENCE_MS:
        # Second pass: the read shows entries that the first did not know or did not get.
        return _set(turn, intent, phase=IntentPhase.CANCEL, request_id=None, has_canceled=True)
    if intent.targets:
        return _set(turn, intent, phase=IntentPhase.CLOSE, request_id=None)
    return _set(turn, intent, phase=IntentPhase.VERIFY, request_id=None, flat_reads=1)


def _with_new_positions(turn: Turn, intent: Intent) -> Intent:
    """Return a flatten with what has been opened since it was planned."""
    if intent.kind is not IntentKind.FLATTEN:
        return intent
    known = {target.key for target in intent.targets}
    symbols = {key.symbol for key in known}
    new = tuple(
        target
        for target in turn.state.flatten_targets(turn.now_ms, (intent.account,))
        if target.key not in known
        and (intent.cancel_symbols is None or target.key.symbol in symbols)
    )
    return replace(intent, targets=intent.targets + new) if new else intent


# ---------------------------------------------------------------- close


def _opens(intent: Intent) -> bool:
    return intent.kind is IntentKind.HEDGE


def _is_met(turn: Turn, intent: Intent, target: Target) -> bool:
    instrument = turn.state.instrument(target.key.account, target.key.symbol)
    if instrument is None:
        return target.kept
    quantity = turn.state.quantity(target.key)
    return sizing.is_met(target, quantity, instrument, opens=_opens(intent))


def _close(turn: Turn, intent: Intent) -> bool:
    _send_cancels(turn, intent)
    waiting = False
    for target in intent.targets:
        if _is_met(turn, intent, target):
            continue
        if _must_wait(turn, target):
            waiting = True
        else:
            waiting = _place(turn, intent, target) or waiting
    if turn.state.enforcement.pending_of(intent.account):
        return False
    intent = turn.state.enforcement.intents[intent.account]
    if waiting and not _needs_read(turn, intent):
        return False
    return _set(turn, intent, phase=IntentPhase.VERIFY, request_id=None)


def _must_wait(turn: Turn, target: Target) -> bool:
    if turn.state.enforcement.pending_on(target.key) is not None:
        return True
    return turn.now_ms < target.not_before_ms or not _is_read_since(turn, target)


def _is_read_since(turn: Turn, target: Target) -> bool:
    """Whether the position was re-read since the last order on it settled.

    The next order is sized by what the venue says after the last one, never by arithmetic.
    """
    settled = turn.state.last_settled_ms(target.key)
    return settled is None or turn.state.read_since(target.key.account, settled)


def _needs_read(turn: Turn, intent: Intent) -> bool:
    return any(not _is_met(turn, intent, t) and not _is_read_since(turn, t) for t in intent.targets)


def _place(turn: Turn, intent: Intent, target: Target) -> bool:
    """Send the next order of a key; True when something is under way or must be waited for."""
    state, key = turn.state, target.key
    instrument = state.instrument(key.account, key.symbol)
    if instrument is None:
        return False
    shape = sizing.shape_order(
        target,
        state.quantity(key),
        state.closable(key),
        instrument,
        state.quote(key.account, key.symbol),
        opens=_opens(intent),
    )
    if shape is None:
        replace_target(turn, intent, replace(target, kept=True, note="nothing free to close"))
        return False
    turn.emit(
        actions.PlaceOrder(
            account=key.account,
            symbol=key.symbol,
            client_order_id=state.next_order_id(),
            side=shape.side,
            quantity=shape.quantity,
            type=shape.type,
            price=shape.price,
            time_in_force=shape.time_in_force,
            reduce_only=shape.reduce_only,
            position_side=key.side,
            is_hedge_mode=state.is_hedge_mode(key.account),
            intent_id=intent.intent_id,
            position_before=state.quantity(key),
            received_ns=turn.received_ns,
        )
    )
    return True


def replace_target(turn: Turn, intent: Intent, target: Target) -> None:
    """Put a changed target in its place in the intent as it stands now."""
    current = turn.state.enforcement.intents.get(intent.account, intent)
    targets = tuple(target if t.key == target.key else t for t in current.targets)
    _set(turn, current, targets=targets)


# ---------------------------------------------------------------- verify


def _verify(turn: Turn, intent: Intent) -> bool:
    if intent.flat_reads and turn.now_ms < intent.last_read_ms + SECOND_READ_AFTER_MS:
        return False
    if not _has_read(turn, intent):
        return False
    read = _with_new_positions(turn, replace(intent, last_read_ms=turn.now_ms))
    if _send_cancels(turn, intent):
        return _set(turn, read, phase=IntentPhase.CANCEL, request_id=None, flat_reads=0)
    if not all(_is_met(turn, read, t) for t in read.targets):
        return _set(turn, read, phase=IntentPhase.CLOSE, request_id=None, flat_reads=0)
    reads = intent.flat_reads + 1
    if intent.kind is IntentKind.FLATTEN and reads < 2:
        _set(turn, read, request_id=None, flat_reads=reads)
        return False
    _set(turn, read, phase=IntentPhase.DONE, request_id=None, flat_reads=reads)
    turn.ended.append(turn.state.enforcement.intents[intent.account])
    turn.emit(actions.EndIntent(account=intent.account, intent_id=intent.intent_id, outcome="done"))
    turn.remeasure()
    return False


def _page_when_late(turn: Turn, intent: Intent) -> None:
    late = turn.now_ms - intent.started_ms >= PATIENCE_MS
    stuck = any(t.rung is Rung.PAGE and not t.kept for t in intent.targets)
    if (late or stuck) and not intent.is_paged:
        _set(turn, intent, is_paged=True)


# ---------------------------------------------------------------- outcomes


def on_outcome(turn: Turn, event: events.Event) -> None:
    """Settle orders by what the venue said, before intents move on."""
    if isinstance(event, events.OrderRejected):
        _on_rejected(turn, event)
    for pending in list(turn.state.enforcement.pending.values()):
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
    target = next((t for t in intent.targets if t.key == pending.key), None)
    if target is None:
        return
    changed = sizing.after_refusal(
        target, event.reason, event.message, event.retry_after_ms, turn.now_ms
    )
    replace_target(turn, intent, changed)
    if event.reason is RejectReason.REDUCE_ONLY:
        # Exits that rest against the position use up what may be closed: they go first.
        for order in turn.state.exits_on(pending.key):
            cancel_order(turn, order, intent.intent_id)


ABSENT_QUERIES = 3
ABSENT_AFTER_MS = 10_000
CHASE_MS = 3_000


def track(turn: Turn, pending: PendingOrder) -> None:
    """Settle, look up or re-price one order in flight."""
    is_over = pending.order_id is not None and not pending.is_resting
    if pending.filled >= pending.quantity or (is_over and not pending.is_unknown):
        _settle(turn, pending, "filled" if pending.filled else "done")
    elif pending.is_unknown and _is_absent(turn, pending):
        _settle(turn, pending, "absent")
    elif turn.now_ms >= pending.next_query_ms:
        query(turn, pending)
    if pending.is_resting and pending.order_id and turn.now_ms - pending.sent_ms >= CHASE_MS:
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


def _is_absent(turn: Turn, pending: PendingOrder) -> bool:
    """Whether an unanswered order is proven not to exist.

    Three look-ups that knew nothing, ten seconds after it was sent, and a position read since
    then that did not move its way.
    """
    waited = turn.now_ms - pending.sent_ms >= ABSENT_AFTER_MS
    if not waited or pending.queries < ABSENT_QUERIES:
        return False
    if not turn.state.read_since(pending.account, pending.sent_ms + 1):
        return False
    moved = (turn.state.quantity(pending.key) - pending.position_before) * pending.sign
    return moved <= 0


def _settle(turn: Turn, pending: PendingOrder, outcome: str) -> None:
    turn.emit(actions.SettleOrder(client_order_id=pending.client_order_id, outcome=outcome))
    intent = turn.state.enforcement.intents.get(pending.account)
    if intent is None or intent.intent_id != pending.intent_id:
        return
    target = next((t for t in intent.targets if t.key == pending.key), None)
    if target is not None and outcome != "absent":
        changed = sizing.after_round(target, turn.now_ms, has_filled=pending.filled > 0)
        if changed != target:
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


# ---------------------------------------------------------------- deadlines


def deadlines(state: State, now_ms: int) -> list[int]:
    """Return when intents and orders in flight next need a look, UTC ms."""
    enforcement = state.enforcement
    due = [p.next_query_ms for p in enforcement.pending.values()]
    due += [c.retry_ms for c in enforcement.cancels.values() if not c.in_flight]
    for intent in enforcement.intents.values():
        due += [t.not_before_ms for t in intent.targets if t.not_before_ms > now_ms]
        if intent.flat_reads:
            due.append(intent.last_read_ms + SECOND_READ_AFTER_MS)
    return due
