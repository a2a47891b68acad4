"""Whether an order may go: every check of spec.md section 5, each with its reason code.

All checks that fail are listed. What the limits let pass is asked of the limits themselves,
against positions, working orders, approvals that wait, and fills not seen yet. What follows from
the answer is `gateway`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core.headroom import Bound
from riskbot.core.kept import NONE
from riskbot.core.model import PORTFOLIO, Mode, PositionSide, TradingState
from riskbot.core.ordering import Code, Decision, OrderRequest, Reason
from riskbot.core.pretrade.bounds import bounds, closable_of, exceeded, judged, largest_of
from riskbot.core.pretrade.checks import (
    ENTRIES,
    EVERY,
    FORBIDDING,
    RESIZABLE,
    forbid_new_risk,
    permitted,
)
from riskbot.core.pretrade.trial import Trial, make_trial
from riskbot.core.rounding import floor_to_step

if TYPE_CHECKING:
    from riskbot.core.state import State


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the checks say.

    Attributes:
        quantity: that is approved, 0 when denied.
        max_quantity: the largest that passes, on the venue's step; None = nothing bounds it.
        enforced: it binds; False = shadow, which only says what it would do.
        closing: how much of its direction only closes now, >= 0.
    """

    decision: Decision
    reasons: tuple[Reason, ...]
    quantity: Decimal
    max_quantity: Decimal | None
    is_exit: bool
    enforced: bool
    position_side: PositionSide
    closing: Decimal = Decimal(0)


def judge(
    state: State,
    request: OrderRequest,
    now_ms: int,
    amends: str = "",
    yielding: frozenset[str] = NONE,
) -> Judgement:
    """Return whether an order may go.

    Args:
        state: the state.
        request: the order.
        now_ms: UTC ms.
        amends: id of the reservation that it replaces, empty = it is a new one.
        yielding: ids of reservations that would make room for it.
    """
    nowhere = list(permitted(state, request))
    instrument = state.instrument(request.account, request.symbol)
    if nowhere or instrument is None:
        return _denied(state, nowhere, Decimal(0), PositionSide.NET)
    trial = make_trial(state, request, instrument, now_ms, amends, yielding)
    every = [(check, reason) for check in EVERY for reason in check(trial)]
    asked = FORBIDDING if trial.is_exit else ENTRIES
    entering = [(check, reason) for check in asked for reason in check(trial)]
    fixed = [reason for _, reason in every]
    found: list[Bound] | None = None
    largest: Decimal | None = trial.closing
    if trial.has_rivals and not forbid_new_risk(every + entering):
        # Where nothing new is allowed anyway an exit passes; else what it makes room for counts.
        found = bounds(trial, float(trial.closing))
        largest = closable_of(trial, found)
    passes = largest or Decimal(0)
    if trial.is_exit:
        fixed += exceeded(trial, judged(found or []), passes)
        return _conclude(trial, fixed, passes, passes)
    barred = [reason for _, reason in entering]
    beyond: list[Reason] = []
    if not request.reduce_only and trial.has_price:
        # Also where it is barred anyway: whoever asks hears of all that is in the way at once.
        found = bounds(trial, float(trial.closing)) if found is None else found
        most = largest_of(trial, found, passes)
        beyond = list(exceeded(trial, found, most))
        largest = largest if barred else most
    return _conclude(trial, fixed + barred + beyond, largest, passes)


def _conclude(
    trial: Trial, reasons: list[Reason], largest: Decimal | None, passes: Decimal
) -> Judgement:
    request, state = trial.request, trial.state
    if not reasons:
        return Judgement(
            Decision.APPROVE,
            (),
            request.quantity,
            largest,
            trial.is_exit,
            _is_enforced(state, trial.scopes),
            trial.position_side,
            trial.closing,
        )
    fits = floor_to_step(request.quantity, trial.instrument.step)
    resized = fits if largest is None else min(fits, largest)
    is_bar = any(reason.code not in RESIZABLE for reason in reasons)
    only_closes = resized <= passes
    can_resize = resized > 0 and (not is_bar or (only_closes and _bars_entries_only(reasons)))
    if request.allow_resize and can_resize and resized >= trial.instrument.min_quantity:
        return Judgement(
            Decision.RESIZE,
            tuple(reasons),
            resized,
            largest,
            only_closes,
            _is_enforced(state, trial.scopes),
            trial.position_side,
            trial.closing,
        )
    return replace(
        _denied(state, reasons, largest, trial.position_side, trial.scopes, is_exit=trial.is_exit),
        closing=trial.closing,
    )


def _denied(
    state: State,
    reasons: list[Reason],
    largest: Decimal | None,
    side: PositionSide,
    scopes: tuple[str, ...] = (PORTFOLIO,),
    *,
    is_exit: bool = False,
) -> Judgement:
    binds = any(reason.binds for reason in reasons) or _is_enforced(state, scopes)
    return Judgement(
        Decision.DENY,
        tuple(reasons),
        Decimal(0),
        largest,
        is_exit=is_exit,
        enforced=binds,
        position_side=side,
    )


def _is_enforced(state: State, scopes: tuple[str, ...]) -> bool:
    """Whether the answer binds: in shadow only under an operator's hold, or the HALT file."""
    if state.settings.mode is Mode.ENFORCE or state.enforcement.halt_file:
        return True
    holds = [hold for scope in scopes for hold in state.enforcement.holds_of(scope)]
    return any(hold.is_enforced and hold.state is not TradingState.ACTIVE for hold in holds)


def _bars_entries_only(reasons: list[Reason]) -> bool:
    """Whether what is barred is only new risk: the part that closes may go."""
    return all(reason.code in RESIZABLE or reason.code in _ENTRY_CODES for reason in reasons)


_ENTRY_CODES = frozenset(
    {
        Code.TRADING_STATE,
        Code.MEASURE_HOLD,
        Code.HALT_FILE,
        Code.STOPPING,
        Code.BLIND_PRICE,
        Code.BLIND_CLOCK,
        Code.BLIND_STORAGE,
        Code.BLIND_ALERTS,
        Code.PENDING_FLOW,
        Code.STOP_REQUIRED,
        Code.LIMIT_UNKNOWN,
        Code.ORDER_RATE,
        Code.REPEATED_EXECUTION,
    }
)
