"""Approvals taken back before their order was seen, and orders that come all the same.

A halt ends what was approved and not sent; an exit that nobody sends makes room for somebody
else's. Whose order shows up later is known, and said.
"""

from __future__ import annotations

from riskbot.core import actions, alerts
from riskbot.core.kept import MINUTE_MS, idle_name
from riskbot.core.model import (
    Level,
    PositionKey,
    TradingState,
    account_scope,
    strategy_scope,
)
from riskbot.core.ordering import Decision, OrderRequest, Reservation, Stage
from riskbot.core.pretrade import Judgement, judge
from riskbot.core.state import State
from riskbot.core.turn import Turn

UNSENT_MS = 5_000
"""So long an exit that was approved keeps its place although its order is not seen."""


def at_holds(turn: Turn) -> None:
    """Take back what was approved as new risk, was not sent, and would be denied by now."""
    for known in [r for r in turn.state.reservations.live.values() if r.is_unsent]:
        if not known.is_exit and (words := _barred(turn.state, known)):
            _revoke(turn, known, words)


def _barred(state: State, known: Reservation) -> str:
    """Return which enforced hold forbids it by now, empty = none does."""
    if state.enforcement.halt_file:
        return "the HALT file is there"
    for scope in (account_scope(known.account), strategy_scope(known.strategy)):
        for hold in state.enforcement.holds_of(scope):
            if not hold.is_enforced:
                continue
            is_state = hold.state is not TradingState.ACTIVE
            if is_state or state.raises(known.phantom(), hold, known.strategy):
                return f"{hold.scope} {hold.state.value}: {hold.reason}"
    return ""


def _revoke(turn: Turn, known: Reservation, words: str) -> None:
    note = f"taken back, unsent: {words}"
    turn.emit(
        actions.EndReservation(reservation_id=known.reservation_id, stage=Stage.REVOKED, note=note)
    )


# ---------------------------------------------------------------- room for an exit


def with_room(turn: Turn, request: OrderRequest, first: Judgement) -> Judgement:
    """Judge an exit anew where what others were approved and did not send keeps it out.

    What makes room is taken back, the oldest first, and no more of it than the exit needs.
    """
    need = request.quantity - first.closing
    if first.decision is Decision.APPROVE or need <= 0:
        return first
    held = turn.state.quantity(PositionKey(request.account, request.symbol, first.position_side))
    if held * request.side.sign >= 0:
        return first
    chosen: list[Reservation] = []
    for rival in sorted(_rivals(turn, request, first), key=lambda r: r.created_ms):
        if need > 0:
            chosen.append(rival)
            need -= rival.remaining
    if not chosen:
        return first
    names = frozenset(rival.reservation_id for rival in chosen)
    found = judge(turn.state, request, turn.now_ms, yielding=names)
    if not found.is_exit or found.quantity <= first.quantity:
        return first
    for rival in chosen:
        _revoke(turn, rival, f"{request.strategy} closes what it kept")
    return found


def _rivals(turn: Turn, request: OrderRequest, judged: Judgement) -> list[Reservation]:
    """Return the unsent exits of other strategies beside it that have had their time."""
    wanted = (request.symbol, request.side, judged.position_side)
    kept = turn.state.reservations
    return [
        known
        for known in kept.on(request.account)
        if known.is_unsent
        and known.is_exit
        and known.strategy != request.strategy
        and (known.symbol, known.side, known.position_side) == wanted
        and _had_its_time(turn, known)
    ]


def _had_its_time(turn: Turn, known: Reservation) -> bool:
    """Whether it has waited for long, or its strategy let such an approval go unsent just now."""
    idle_ms = turn.state.reservations.idle.get(idle_name(known))
    is_idle = idle_ms is not None and turn.now_ms - idle_ms < MINUTE_MS
    return is_idle or turn.now_ms - known.created_ms >= UNSENT_MS


# ---------------------------------------------------------------- orders that come too late


def tell_late(turn: Turn) -> None:
    """Say whose orders were seen after their approval had been let go."""
    kept = turn.state.reservations
    for name in list(kept.late):
        known = kept.live.get(name) or kept.done[name]
        scope = account_scope(known.account)
        words = (
            f"{known.side.value} {known.quantity} {known.symbol} of {known.strategy} came after "
            "its approval had ended"
        )
        turn.audit(
            "late",
            "late_order",
            scope,
            words,
            strategy=known.strategy,
            reservation_id=name,
            order_id=known.order_id,
            filled=str(known.filled),
            is_rogue=known.is_rogue,
        )
        if not _was_told(turn, scope):
            alerts.once(
                turn,
                "late_order",
                scope,
                Level.ORANGE,
                words,
                did="counted as that strategy's; it held no room while it was on its way",
                todo="have it send at once after the answer, or ask again",
            )


def _was_told(turn: Turn, scope: str) -> bool:
    """Whether people heard of such an order of this account within the minute."""
    since_ms = turn.now_ms - MINUTE_MS
    told = ((a.name, a.scope) for a in turn.state.alerts.resolved if a.updated_ms > since_ms)
    return ("late_order", scope) in told
