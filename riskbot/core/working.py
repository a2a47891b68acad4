"""Approved orders on their way: placed, looked up, pulled, replaced, told, until they are over.

Which orders pass is decided in `pretrade`; what strategies ask for arrives in `gateway`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from riskbot.core import actions, outcomes, revoking
from riskbot.core.model import (
    InstrumentKind,
    OrderType,
    PositionSide,
    Side,
    TimeInForce,
    strategy_scope,
)
from riskbot.core.ordering import Decision, OrderRequest, Reservation, Stage
from riskbot.core.pretrade import Judgement, judge
from riskbot.core.pretrade.trial import collar_of
from riskbot.core.rounding import ceil_to_step, floor_to_step
from riskbot.core.turn import Turn

REASONS_MAX = 8
"""So many reasons of a denial are written into the audit; the answer has them all."""

ABSENT_QUERIES = 3
ABSENT_AFTER_MS = 10_000
"""An unanswered order is absent after three look-ups that knew nothing, this long after it."""


def follow(turn: Turn) -> None:
    """Bring every approval on: expire, look up, pull, replace; then tell its strategy."""
    revoking.tell_late(turn)
    revoking.at_holds(turn)
    for known in list(turn.state.reservations.live.values()):
        _advance(turn, known)
    notify(turn)


def _advance(turn: Turn, known: Reservation) -> None:
    match known.stage:
        case Stage.RESERVED if _has_lapsed(turn, known):
            end(turn, known, Stage.EXPIRED, "no order came within 30 s")
        case Stage.UNKNOWN if turn.now_ms >= known.next_query_ms:
            _look_up(turn, known)
        case Stage.REPLACING if not known.venue_id:
            _replace(turn, known)
        case Stage.OPEN | Stage.REPLACING if known.wants_cancel or known.amend_quantity is not None:
            pull(turn, known)
        case _:
            pass


def _has_lapsed(turn: Turn, known: Reservation) -> bool:
    """Whether its time is up, and a read since then shows that no order of it is there."""
    if turn.now_ms < known.expires_ms or known.account not in turn.settings.accounts:
        return turn.now_ms >= known.expires_ms
    return turn.state.read_since(known.account, known.expires_ms)


def _look_up(turn: Turn, known: Reservation) -> None:
    is_old = turn.now_ms - known.sent_ms >= ABSENT_AFTER_MS
    if known.queries >= ABSENT_QUERIES and is_old:
        stage = Stage.CANCELED if known.filled or known.order_id is not None else Stage.ABSENT
        end(turn, known, stage, "the venue knows no such order")
        return
    turn.emit(
        actions.QueryOrder(
            account=known.account,
            symbol=known.symbol,
            client_order_id=known.venue_id,
            order_id=known.order_id,
        )
    )


def _replace(turn: Turn, known: Reservation) -> None:
    """Place what replaces an order that is gone: never more than the parent has left."""
    assert known.amend_quantity is not None  # noqa: S101 - that is why it was pulled
    left = known.amend_quantity - known.filled
    if left <= 0:
        end(turn, known, Stage.FILLED)
        return
    order = as_request(known, left, known.amend_price)
    judgement = judge(turn.state, order, turn.now_ms, known.reservation_id)
    if judgement.decision is Decision.DENY and judgement.enforced:
        words = "; ".join(reason.message for reason in judgement.reasons)
        audit(turn, order, judgement, known)
        end(turn, known, Stage.CANCELED, f"not replaced: {words}")
        return
    changed = replace(
        known,
        venue_id=turn.state.next_order_id(),
        quantity=known.amend_quantity,
        price=known.amend_price,
        amend_quantity=None,
        amend_price=None,
        sent_filled=known.filled,
        told=Decimal(0),
        stage=Stage.SENT,
        sent_ms=turn.now_ms,
        order_id=None,
        queries=0,
        is_exit=judgement.is_exit,
        mark=turn.state.price(known.account, known.symbol),
    )
    turn.emit(actions.SetReservation(reservation=changed))
    place(turn, changed)


def place(turn: Turn, reservation: Reservation) -> None:
    """Send the order of a reservation that stands as sent."""
    state, quantity = turn.state, reservation.sent_quantity
    instrument = state.instrument(reservation.account, reservation.symbol)
    kind, price, lasts = reservation.type, reservation.price, TimeInForce.GTC
    collar = None if reservation.is_exit else collar_of(state, reservation)
    mark = state.price(reservation.account, reservation.symbol)
    if kind is OrderType.MARKET and collar is not None and mark and instrument is not None:
        # A market order has no price of its own: the collar is where it ends.
        kind, lasts = OrderType.LIMIT, TimeInForce.IOC
        price = _on_tick(
            mark * (1 + collar * reservation.side.sign), instrument.tick, reservation.side
        )
    is_derivative = instrument is not None and instrument.kind is not InstrumentKind.SPOT
    is_one_way = reservation.position_side is PositionSide.NET
    closes = reservation.is_exit or reservation.reduce_only
    turn.emit(
        actions.PlaceOrder(
            account=reservation.account,
            symbol=reservation.symbol,
            client_order_id=reservation.venue_id,
            side=reservation.side,
            quantity=quantity,
            type=kind,
            price=price,
            time_in_force=lasts,
            reduce_only=closes and is_derivative and is_one_way,
            position_side=reservation.position_side,
            is_hedge_mode=state.is_hedge_mode(reservation.account),
            intent_id=0,
            position_before=state.quantity(reservation.key),
            is_protective=closes,
            received_ns=turn.received_ns,
            strategy=reservation.strategy,
        )
    )


def _on_tick(price: float, tick: Decimal, side: Side) -> Decimal:
    """Round a price onto the tick, never beyond the collar."""
    exact = Decimal(repr(price))
    return floor_to_step(exact, tick) if side is Side.BUY else ceil_to_step(exact, tick)


def pull(turn: Turn, reservation: Reservation) -> None:
    """Cancel the order that stands for a reservation, once it is known there."""
    if reservation.order_id is None:
        return
    order = replace(
        reservation.phantom(), order_id=reservation.order_id, quantity=reservation.sent_quantity
    )
    outcomes.cancel_order(turn, order, 0)


def withdraw(turn: Turn, known: Reservation) -> Reservation:
    """Pull an order for good, again until it is gone; return it as it stands now."""
    changed = replace(known, wants_cancel=True, amend_quantity=None, amend_price=None)
    turn.emit(actions.SetReservation(reservation=changed))
    if changed.venue_id:
        pull(turn, changed)
    else:
        # It was pulled to be replaced: nothing replaces it.
        end(turn, changed, Stage.CANCELED)
    return changed


def end(turn: Turn, known: Reservation, stage: Stage, note: str = "") -> None:
    """Let go of an approval: its order is over, or never came."""
    turn.emit(actions.EndReservation(reservation_id=known.reservation_id, stage=stage, note=note))


def notify(turn: Turn) -> None:
    """Tell strategies of every order whose state has changed."""
    kept = turn.state.reservations
    for name in list(kept.changed):
        known = kept.live.get(name) or kept.done[name]
        turn.emit(
            actions.NotifyOrder(
                reservation_id=name, strategy=known.strategy, document=kept.document(known)
            )
        )


def as_request(known: Reservation, quantity: Decimal, price: Decimal | None) -> OrderRequest:
    """Return what is asked of the checks when an order of this parent is replaced."""
    return OrderRequest(
        strategy=known.strategy,
        account=known.account,
        symbol=known.symbol,
        side=known.side,
        quantity=quantity,
        type=known.type,
        price=price,
        stop_loss=known.stop_loss,
        reduce_only=known.reduce_only,
        position_side=known.position_side,
        client_order_id=known.client_order_id,
        is_submit=True,
    )


def audit(
    turn: Turn, order: OrderRequest, judgement: Judgement, reservation: Reservation | None
) -> None:
    """Write the decision down with what it rests on."""
    first = judgement.reasons[0] if judgement.reasons else None
    told = judgement.reasons[:REASONS_MAX]
    words = "; ".join(reason.message for reason in told) or "all checks passed"
    decision = judgement.decision.value
    turn.audit(
        decision if judgement.enforced or decision == "approve" else f"would_{decision}",
        first.limit or first.code.value if first is not None else "",
        strategy_scope(order.strategy),
        words,
        f"strategy:{order.strategy}",
        account=order.account,
        instrument=order.symbol,
        side=order.side.value,
        quantity=str(order.quantity),
        type=order.type.value,
        price=None if order.price is None else str(order.price),
        submit=order.is_submit,
        approved=str(judgement.quantity),
        max_quantity=None if judgement.max_quantity is None else str(judgement.max_quantity),
        codes=[reason.code.value for reason in told],
        reasons=len(judgement.reasons),
        order_hash=order.hash if judgement.decision is Decision.DENY else None,
        figures=[[reason.measured, reason.allowed] for reason in told],
        client_order_id=order.client_order_id,
        reservation_id=reservation.reservation_id if reservation is not None else None,
    )
