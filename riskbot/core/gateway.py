"""The gateway: a strategy's order is judged, reserved, answered; then followed until it is over.

Which orders pass is decided in `pretrade`, what is approved is kept in `reservations`. One order
after the other is judged here, each against all that was approved before it: there is no gap
between the check and the reservation.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, analyzing, disabling, events
from riskbot.core.model import PORTFOLIO, OrderType, strategy_scope
from riskbot.core.ordering import (
    OVERRIDABLE,
    Code,
    Decision,
    OrderRequest,
    Reason,
    Reservation,
    Stage,
    plain,
)
from riskbot.core.pretrade import Judgement, judge
from riskbot.core.revoking import with_room
from riskbot.core.rounding import floor_to_step
from riskbot.core.turn import Turn
from riskbot.core.working import as_request, audit, end, notify, place, pull, withdraw

LIFE_MS = 30_000
"""How long an approval waits for its order."""

_VENUE_ID = re.compile(r"[A-Za-z0-9]{1,32}")
"""What every venue takes as a client order id."""

_OWN = "rb"
"""What riskbot's own ids begin with: nobody else may use them."""

Request = events.OrderRequested | events.AmendRequested | events.CancelRequested
"""What strategies ask for."""


def receive(turn: Turn, event: Request) -> None:
    """Answer what a strategy asks for, and do it where that is wanted."""
    if isinstance(event, events.OrderRequested):
        _order(turn, event)
    elif isinstance(event, events.AmendRequested):
        _amend(turn, event)
    else:
        _cancel(turn, event)
    notify(turn)


# ---------------------------------------------------------------- a new order


def _order(turn: Turn, event: events.OrderRequested) -> None:
    order, kept = event.order, turn.state.reservations
    name = order.client_order_id
    known = kept.answer(order.strategy, name) if name else None
    if known is not None and known.fingerprint != event.fingerprint:
        _refuse(turn, event, 409, f"client_order_id {name} was used with another body")
        return
    if known is not None:
        _reply(turn, event, _again(turn, known.document, known.reservation))
        return
    if fault := _name_fault(turn, order):
        _refuse(turn, event, 409, fault)
        return
    judgement = with_room(turn, order, judge(turn.state, order, turn.now_ms))
    judgement, override = _overridden(turn, order, judgement)
    # What shadow would have denied is sent all the same: it is known, and no stranger.
    passes = judgement.decision is not Decision.DENY or not judgement.enforced
    quantity = _let_through(turn, order, judgement)
    reservation = None
    if passes:
        reservation = _reserved(turn, order, judgement, quantity, override)
        turn.emit(
            actions.SetReservation(
                reservation=reservation,
                is_new=not reservation.is_tolerated,
                takes_id=not order.is_submit,
            )
        )
        if order.is_submit:
            place(turn, reservation)
    document = _document(turn, order, judgement, reservation)
    audit(turn, order, judgement, reservation)
    _disable(turn, order, judgement)
    if name:
        turn.emit(
            actions.KeepAnswer(
                strategy=order.strategy,
                client_order_id=name,
                fingerprint=event.fingerprint,
                document=document,
                reservation=reservation.reservation_id if reservation is not None else "",
            )
        )
    _reply(turn, event, document)
    analyzing.ask_for(turn, order.account, order.symbol)


def _let_through(turn: Turn, order: OrderRequest, judgement: Judgement) -> Decimal:
    """Return how much of an order may be sent; shadow makes none smaller but for its venue."""
    if judgement.decision is Decision.DENY:
        return order.quantity
    codes = {reason.code for reason in judgement.reasons if reason.binds}
    instrument = turn.state.instrument(order.account, order.symbol)
    if judgement.enforced or instrument is None or codes - {Code.QUANTITY_STEP}:
        return judgement.quantity
    return floor_to_step(order.quantity, instrument.step)


def _overridden(turn: Turn, order: OrderRequest, judgement: Judgement) -> tuple[Judgement, str]:
    """Return the judgement, an approval where an admin lets this very order pass, and its hash."""
    allowed = turn.state.reservations.allowed
    if judgement.decision is not Decision.DENY or not allowed:
        return judgement, ""
    can_pass = all(reason.code in OVERRIDABLE for reason in judgement.reasons)
    if turn.now_ms >= allowed.get(order.hash, 0) or not can_pass:
        return judgement, ""
    return replace(judgement, decision=Decision.APPROVE, quantity=order.quantity), order.hash


def _disable(turn: Turn, order: OrderRequest, judgement: Judgement) -> None:
    """Hold a strategy that asked once too often for the same."""
    for reason in judgement.reasons:
        if reason.code is Code.REPEATED_EXECUTION:
            before = turn.state.enforcement.state_of(reason.scope)
            disabling.disable(turn, order.strategy, reason.message)
            if turn.state.enforcement.state_of(reason.scope) is not before:
                disabling.announce(turn, order.strategy)


def _name_fault(turn: Turn, order: OrderRequest) -> str:
    """Return why a client id cannot be used, empty = it can."""
    name = order.client_order_id
    if not name:
        return ""
    if name.startswith(_OWN):
        return f"client_order_id {name}: names that begin with {_OWN!r} are riskbot's own"
    if turn.state.reservations.find(order.strategy, name) is not None:
        return f"client_order_id {name} names an order of yours whose answer is kept no more"
    if not order.is_submit and _VENUE_ID.fullmatch(name) and turn.state.reservations.is_taken(name):
        return f"client_order_id {name} is in use by another order"
    return ""


def _reserved(
    turn: Turn, order: OrderRequest, judgement: Judgement, quantity: Decimal, override: str
) -> Reservation:
    own_id, name = turn.state.next_order_id(), order.client_order_id
    venue_id = own_id
    if not order.is_submit and name and _VENUE_ID.fullmatch(name):
        venue_id = name
    return Reservation(
        reservation_id=own_id,
        client_order_id=name or venue_id,
        venue_id=venue_id,
        strategy=order.strategy,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        position_side=judgement.position_side,
        quantity=quantity,
        type=order.type,
        price=order.price,
        stop_loss=order.stop_loss,
        reduce_only=order.reduce_only,
        is_exit=judgement.is_exit,
        is_submit=order.is_submit,
        stage=Stage.SENT if order.is_submit else Stage.RESERVED,
        created_ms=turn.now_ms,
        sent_ms=turn.now_ms,
        expires_ms=turn.now_ms + LIFE_MS,
        next_query_ms=turn.now_ms,
        mark=turn.state.price(order.account, order.symbol),
        is_tolerated=judgement.decision is Decision.DENY and not order.is_submit,
        override=override,
    )


def _document(
    turn: Turn, order: OrderRequest, judgement: Judgement, reservation: Reservation | None
) -> dict[str, Any]:
    name = order.client_order_id
    expires = None
    if reservation is not None:
        name = reservation.client_order_id if order.is_submit else reservation.venue_id
        expires = None if order.is_submit else reservation.expires_ms
    return {
        "decision": judgement.decision.value,
        "enforced": judgement.enforced,
        "reasons": [reason.document() for reason in judgement.reasons],
        "max_quantity": None if judgement.max_quantity is None else plain(judgement.max_quantity),
        "client_order_id": name,
        "reservation_id": reservation.reservation_id if reservation is not None else None,
        "expires_at_ms": expires,
        "order": (
            turn.state.reservations.document(reservation) if reservation is not None else None
        ),
        "order_hash": order.hash if judgement.decision is Decision.DENY else None,
    }


def _again(turn: Turn, document: dict[str, Any], reservation_id: str) -> dict[str, Any]:
    """Return an earlier answer, with the order as it stands now."""
    known = turn.state.reservations.get(reservation_id)
    answer = document if known is None else {**document, "order": known.document()}
    was_checked = document["expires_at_ms"] is not None and document["decision"] != "deny"
    is_void = known is None or (known.stage.is_final and known.order_id is None)
    if was_checked and is_void:
        # Whoever asks again would send an order that holds no exposure any more.
        words = "the approval holds nothing any more: ask with another client_order_id"
        gone = Reason(Code.RESERVATION_EXPIRED, PORTFOLIO, words)
        return {**answer, "decision": Decision.DENY.value, "reasons": [gone.document()]}
    return answer


# ---------------------------------------------------------------- amend, cancel


def _own_order(
    turn: Turn, event: events.AmendRequested | events.CancelRequested
) -> Reservation | None:
    known = turn.state.reservations.find(event.strategy, event.client_order_id)
    if known is None:
        _refuse(turn, event, 404, f"{event.strategy} has no order {event.client_order_id}")
    elif known.stage.is_final:
        words = f"order {event.client_order_id} is over: {known.stage.value}"
        _refuse(turn, event, 409, words, known)
    elif not known.is_submit:
        words = f"order {event.client_order_id} was only checked: change it where it was sent"
        if isinstance(event, events.CancelRequested) and known.stage is Stage.RESERVED:
            # The strategy will not send it: what it holds is free.
            end(turn, known, Stage.CANCELED, "given back")
            _answer(turn, event, known)
        else:
            _refuse(turn, event, 409, words, known)
    else:
        return known
    return None


def _amend(turn: Turn, event: events.AmendRequested) -> None:
    known = _own_order(turn, event)
    if known is None:
        return
    quantity = event.quantity if event.quantity is not None else known.quantity
    price = event.price if event.price is not None else known.price
    if fault := _amend_fault(known, quantity):
        _refuse(turn, event, 409, fault, known)
        return
    order = as_request(known, quantity - known.filled, price)
    judgement = judge(turn.state, order, turn.now_ms, known.reservation_id)
    audit(turn, order, judgement, known)
    if judgement.decision is Decision.DENY and judgement.enforced:
        document = _document(turn, order, judgement, None)
        _reply(
            turn,
            event,
            {**document, "client_order_id": known.client_order_id, "order": known.document()},
        )
        return
    changed = replace(known, amend_quantity=quantity, amend_price=price, stage=Stage.REPLACING)
    turn.emit(actions.SetReservation(reservation=changed, is_new=True))
    pull(turn, changed)
    document = _document(turn, order, judgement, changed)
    _reply(turn, event, {**document, "client_order_id": known.client_order_id})


def _amend_fault(known: Reservation, quantity: Decimal) -> str:
    if known.type is OrderType.MARKET:
        return "a market order cannot be amended"
    if known.wants_cancel or known.amend_quantity is not None:
        return f"order {known.client_order_id} is being changed already"
    if known.order_id is None:
        return f"order {known.client_order_id} is not at the venue yet"
    if quantity <= known.filled:
        return f"quantity {quantity} has filled already ({known.filled})"
    return ""


def _cancel(turn: Turn, event: events.CancelRequested) -> None:
    known = _own_order(turn, event)
    if known is None:
        return
    changed = withdraw(turn, known)
    turn.audit(
        "cancel",
        "",
        strategy_scope(event.strategy),
        f"order {known.client_order_id}",
        f"strategy:{event.strategy}",
        reservation_id=known.reservation_id,
    )
    _answer(turn, event, changed)


# ---------------------------------------------------------------- replies


def _reply(turn: Turn, event: Request, document: dict[str, Any]) -> None:
    turn.emit(
        actions.SendReply(
            request_id=event.request_id,
            ok=True,
            message=document["decision"],
            document=document,
        )
    )


def _answer(turn: Turn, event: Request, known: Reservation) -> None:
    now = turn.state.reservations.get(known.reservation_id) or known
    turn.emit(
        actions.SendReply(
            request_id=event.request_id,
            ok=True,
            message=now.stage.value,
            document=now.document(),
        )
    )


def _refuse(
    turn: Turn, event: Request, status: int, words: str, known: Reservation | None = None
) -> None:
    """Answer what is no decision: an id that clashes, an order that is not there."""
    document = {"status": status, "order": known.document() if known is not None else None}
    turn.emit(
        actions.SendReply(request_id=event.request_id, ok=False, message=words, document=document)
    )
