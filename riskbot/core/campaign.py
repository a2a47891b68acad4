"""Intents to orders: cancel, read, close, verify; survives a crash at any instruction.

Each step is a fold of what the venue has said since, so a restart goes on where it was. One
order per position key at a time; a lost answer is looked up, never sent again; flat means two
reads that say so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from riskbot.core import actions, cancels, depths, hedging, outcomes, reach, sizing
from riskbot.core.duty import Intent, IntentKind, IntentPhase, Rung, Target, cause_limit
from riskbot.core.model import InstrumentKind, account_scope
from riskbot.core.turn import Turn

if TYPE_CHECKING:
    from riskbot.core.state import State

READ_RETRY_MS = 1_000
SECOND_READ_AFTER_MS = 1_000
CANCEL_PATIENCE_MS = 5_000
"""A close waits this long for cancels a venue does not confirm; they are retried meanwhile."""

READ_PATIENCE_MS = 5_000
"""A close waits this long for a read that the venue does not give, or that is not believed."""

PATIENCE_MS = 30_000
"""An intent that is not through by now is paged to a person, and goes on."""

ORPHAN_READS = 5
"""Reads that wait for exits of closed positions to be gone; they hold nothing up after that."""

STEPS_MAX = 8
"""Phases one turn may walk through: all of them, and one round back."""


def advance(turn: Turn) -> None:
    """Move every intent as far as what is known allows."""
    for account in sorted(turn.state.enforcement.intents):
        any(not _step_of(turn, account) for _ in range(STEPS_MAX))


def _step_of(turn: Turn, account: str) -> bool:
    intent = turn.state.enforcement.intents.get(account)
    return intent is not None and _step(turn, intent)


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


def _cancel(turn: Turn, intent: Intent) -> bool:
    busy = cancels.send(turn, intent)
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
        if not _goes_unread(turn, intent):
            return False
        return _set(turn, intent, phase=IntentPhase.CLOSE, request_id=None)
    intent = _with_new_positions(turn, replace(intent, last_read_ms=turn.now_ms))
    if cancels.send(turn, intent) and turn.now_ms - intent.started_ms < CANCEL_PATIENCE_MS:
        # Second pass: the read shows entries that the first did not know or did not get.
        return _set(turn, intent, phase=IntentPhase.CANCEL, request_id=None, has_canceled=True)
    if intent.targets:
        return _set(turn, intent, phase=IntentPhase.CLOSE, request_id=None)
    return _set(turn, intent, phase=IntentPhase.VERIFY, request_id=None, flat_reads=1)


def _goes_unread(turn: Turn, intent: Intent) -> bool:
    """Whether to close by what the streams tell, since no read comes.

    Each key gets one order so, which is reduce-only and cannot flip; the next one waits for a
    read. Spot has no such order: its free balance is always read first.
    """
    waited = turn.now_ms - intent.started_ms >= READ_PATIENCE_MS
    if not waited or not intent.targets or _opens(intent):
        return False
    if not turn.state.is_synced(intent.account) or turn.state.is_account_blind(intent.account):
        return False
    instruments = (turn.state.instrument(t.key.account, t.key.symbol) for t in intent.targets)
    return all(i is not None and i.kind is not InstrumentKind.SPOT for i in instruments)


def _with_new_positions(turn: Turn, intent: Intent) -> Intent:
    """Return a flatten with what has been opened since it was planned."""
    if intent.kind is not IntentKind.FLATTEN:
        return intent
    known = {target.key for target in intent.targets}
    symbols = {key.symbol for key in known}
    sighted = (*reach.sighted(turn, intent.causes), intent.account)
    new = tuple(
        target
        for target in turn.state.flatten_targets(turn.now_ms, sighted)
        if target.key.account == intent.account
        and target.key not in known
        and (intent.cancel_symbols is None or target.key.symbol in symbols)
    )
    return replace(intent, targets=intent.targets + new) if new else intent


# ---------------------------------------------------------------- close


def _opens(intent: Intent) -> bool:
    return intent.kind is IntentKind.HEDGE


def _is_met(turn: Turn, intent: Intent, target: Target) -> bool:
    quantity = turn.state.quantity(target.key)
    return sizing.is_met(target, quantity, turn.state.listed(target.key), opens=_opens(intent))


def _close(turn: Turn, intent: Intent) -> bool:
    cancels.send(turn, intent)
    waiting = False
    for target in intent.targets:
        if _is_met(turn, intent, target):
            continue
        waiting = _must_wait(turn, target) or _place(turn, intent, target) or waiting
    if turn.state.enforcement.pending_of(intent.account):
        return False
    intent = turn.state.enforcement.intents[intent.account]
    if waiting and not _needs_read(turn, intent):
        return False
    return _set(turn, intent, phase=IntentPhase.VERIFY, request_id=None)


def _must_wait(turn: Turn, target: Target) -> bool:
    if turn.state.enforcement.pending_on(target.key) is not None:
        return True
    # The next order is sized by what the venue says after the last one, never by arithmetic.
    return turn.now_ms < target.not_before_ms or not turn.state.is_read_after_order(target.key)


def _needs_read(turn: Turn, intent: Intent) -> bool:
    return any(
        not _is_met(turn, intent, t) and not turn.state.is_read_after_order(t.key)
        for t in intent.targets
    )


def _place(turn: Turn, intent: Intent, target: Target) -> bool:
    """Send the next order of a key; True when something is under way or must be waited for."""
    state, key = turn.state, target.key
    shape = sizing.shape_order(
        target,
        state.quantity(key),
        state.closable(key),
        state.listed(key),
        state.quote(key.account, key.symbol),
        opens=_opens(intent),
        share_cap=depths.slice_of(turn, target, sizing.remaining(target, state.quantity(key))),
    )
    unseen = _opens(intent) and hedging.is_unseen(turn, key)
    if shape is None or unseen:
        note = "filled, but the position does not show it" if unseen else "nothing free to close"
        stuck = replace(target, kept=True, note=note)
        outcomes.replace_target(turn, intent, stuck)
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
            # A hedge that opens is new risk: it goes nowhere unrecorded, nor past a HALT file.
            is_protective=state.quantity(key) * shape.side.sign < 0,
            received_ns=turn.received_ns,
        )
    )
    return True


# ---------------------------------------------------------------- verify


def _verify(turn: Turn, intent: Intent) -> bool:
    if intent.flat_reads and turn.now_ms < intent.last_read_ms + SECOND_READ_AFTER_MS:
        return False
    if not _has_read(turn, intent):
        return False
    read = _with_new_positions(turn, replace(intent, last_read_ms=turn.now_ms))
    if cancels.send(turn, intent):
        return _set(turn, read, phase=IntentPhase.CANCEL, request_id=None, flat_reads=0)
    if not all(_is_met(turn, read, t) for t in read.targets):
        return _set(turn, read, phase=IntentPhase.CLOSE, request_id=None, flat_reads=0)
    reads = intent.flat_reads + 1
    orphaned = cancels.send_orphans(turn, read) and reads < ORPHAN_READS
    if orphaned or (intent.kind is IntentKind.FLATTEN and reads < 2):
        _set(turn, read, request_id=None, flat_reads=reads)
        return False
    _set(turn, read, phase=IntentPhase.DONE, request_id=None, flat_reads=reads)
    turn.ended.append(turn.state.enforcement.intents[intent.account])
    _end(turn, read)
    return False


def _end(turn: Turn, intent: Intent) -> None:
    """End an intent that is complete and verified, in the audit and in words."""
    summary = _summary(turn, intent)
    scope, label = intent.causes[0] if intent.causes else (account_scope(intent.account), "")
    turn.audit(
        f"{intent.kind.value}_done",
        cause_limit(label),
        scope,
        summary or f"{intent.kind.value} verified on {intent.account}",
        intent.actor,
        account=intent.account,
    )
    turn.emit(
        actions.EndIntent(
            account=intent.account, intent_id=intent.intent_id, outcome="done", summary=summary
        )
    )
    turn.remeasure()


def _summary(turn: Turn, intent: Intent) -> str:
    """Return what closing work came to: `flattened main, verified; kept BTC/USDT (spot: hold)`."""
    if intent.kind is IntentKind.CANCEL:
        return ""
    word = {IntentKind.FLATTEN: "flattened", IntentKind.HEDGE: "hedged on"}
    kept = [
        f"{t.key.symbol} {turn.state.quantity(t.key)}" + (f" ({t.note})" if t.note else "")
        for t in intent.targets
        if intent.kind is IntentKind.FLATTEN and turn.state.quantity(t.key)
    ]
    orphans = sorted({order.symbol for order in cancels.orphans(turn, intent)})
    done = f"{word.get(intent.kind, 'reduced')} {intent.account}, verified"
    done += f"; kept {', '.join(kept)}" if kept else ""
    return done + (f"; exits of {', '.join(orphans)} could not be cancelled" if orphans else "")


def _page_when_late(turn: Turn, intent: Intent) -> None:
    late = turn.now_ms - intent.started_ms >= PATIENCE_MS
    stuck = any(t.rung is Rung.PAGE and not t.kept for t in intent.targets)
    if (late or stuck) and not intent.is_paged:
        _set(turn, intent, is_paged=True)


# ---------------------------------------------------------------- deadlines


def deadlines(state: State, now_ms: int) -> list[int]:
    """Return when intents and orders in flight next need a look, UTC ms, later than now.

    What is due already was looked at in the turn that asks; it waits for an event, or the tick.
    """
    enforcement = state.enforcement
    due = [p.next_query_ms for p in enforcement.pending.values()]
    due += [c.retry_ms for c in enforcement.cancels.values() if not c.in_flight]
    for intent in enforcement.intents.values():
        due += [t.not_before_ms for t in intent.targets]
        due.append(intent.last_read_ms + SECOND_READ_AFTER_MS)
    return [ms for ms in due if ms > now_ms]
