"""Opening an intent: one per account, taking over what the one it absorbs has not finished.

Flatten absorbs reduce and hedge, reduce targets are met jointly; what was to be cancelled still
is, and nobody who waits for the end is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from riskbot.core import actions
from riskbot.core.duty import Intent, IntentKind, IntentPhase, Target, cause_limit
from riskbot.core.model import PORTFOLIO, PositionKey
from riskbot.core.turn import RISKBOT, Turn

_STRENGTH = {
    IntentKind.CANCEL: 0,
    IntentKind.BASELINE: 1,
    IntentKind.HEDGE: 2,
    IntentKind.REDUCE: 3,
    IntentKind.FLATTEN: 4,
}


def open_intent(
    turn: Turn,
    account: str,
    kind: IntentKind,
    causes: tuple[tuple[str, str], ...],
    targets: tuple[Target, ...],
    *,
    actor: str = RISKBOT,
    cancel_keys: tuple[str, ...] = (),
    cancel_symbols: tuple[str, ...] | None = None,
    reply_to: str | None = None,
    by_operator: bool = False,
) -> Intent | None:
    """Open an intent on an account, absorbing a weaker one; None when nothing is opened.

    What the absorbed one had still to cancel or to close, and who waits for its end, goes on.

    In shadow riskbot's own are only said (`would_...`); an operator's are carried out.
    """
    scope, limit = causes[0] if causes else (PORTFOLIO, "")
    enforced = by_operator or turn.is_enforcing
    present = turn.state.enforcement.intents.get(account)
    if enforced and present is not None and _STRENGTH[present.kind] > _STRENGTH[kind]:
        _join(turn, present, kind, causes, cancel_symbols, cancel_keys)
        return None
    if not enforced and _was_said(turn, account, causes):
        return None
    turn.audit(
        kind.value if enforced else f"would_{kind.value}",
        cause_limit(limit),
        scope,
        "; ".join(f"{s} {n}" for s, n in causes),
        actor,
        account=account,
        targets={f"{t.key.symbol}|{t.key.side.value}": str(t.quantity) for t in targets},
    )
    if not enforced:
        turn.emit(actions.MarkAnswered(account=account, causes=causes))
        return None
    if present is not None:
        end = actions.EndIntent(account=account, intent_id=present.intent_id, outcome="absorbed")
        turn.emit(end)
    intent = Intent(
        intent_id=turn.state.enforcement.intent_counter + 1,
        kind=kind,
        account=account,
        causes=causes,
        actor=actor,
        phase=IntentPhase.CANCEL,
        started_ms=turn.now_ms,
        targets=targets,
        cancel_keys=cancel_keys,
        cancel_symbols=cancel_symbols,
        reply_to=reply_to,
    )
    if present is not None:
        _tell_replaced(turn, present, intent)
        intent = _absorbed(intent, present)
    turn.emit(actions.SetIntent(intent=intent))
    return intent


def _join(
    turn: Turn,
    present: Intent,
    kind: IntentKind,
    causes: tuple[tuple[str, str], ...],
    cancel_symbols: tuple[str, ...] | None,
    cancel_keys: tuple[str, ...],
) -> None:
    """Let closing work that cancels less cancel these entries, too: they do not wait for its end.

    A flatten of everything does already; one of a single instrument must not become that.
    """
    if kind is not IntentKind.CANCEL or present.kind is IntentKind.FLATTEN:
        return
    symbols = _wider(cancel_symbols, present.cancel_symbols)
    keys = cancel_keys if present.cancel_symbols == () else _keys(cancel_keys, present.cancel_keys)
    joined = replace(
        present,
        causes=tuple(dict.fromkeys((*present.causes, *causes))),
        cancel_symbols=symbols,
        cancel_keys=keys,
        phase=IntentPhase.CANCEL,
        request_id=None,
        flat_reads=0,
    )
    turn.emit(actions.SetIntent(intent=joined))
    turn.emit(actions.MarkAnswered(account=present.account, causes=causes))


def _was_said(turn: Turn, account: str, causes: tuple[tuple[str, str], ...]) -> bool:
    """Whether shadow has said this for the same breach already."""
    enforcement = turn.state.enforcement
    return all(
        (known := enforcement.answered.get((scope, limit, account))) is not None
        and known[0] == enforcement.breach_since(scope, limit)
        for scope, limit in causes
    )


# ---------------------------------------------------------------- absorbing


def _absorbed(intent: Intent, present: Intent) -> Intent:
    """Return an intent with what the present one has not finished."""
    return replace(
        intent,
        causes=tuple(dict.fromkeys((*intent.causes, *present.causes))),
        targets=merged_targets(intent.kind, present.targets, intent.targets)
        if present.kind is intent.kind
        else intent.targets,
        cancel_symbols=_wider(intent.cancel_symbols, present.cancel_symbols),
        cancel_keys=_keys(intent.cancel_keys, present.cancel_keys),
        has_canceled=present.has_canceled,
        reply_to=intent.reply_to or present.reply_to,
    )


def merged_targets(
    kind: IntentKind, present: Iterable[Target], wanted: Iterable[Target]
) -> tuple[Target, ...]:
    """Return targets met jointly: of a reduce the smaller of two, else what is wanted now."""
    found: dict[PositionKey, Target] = {target.key: target for target in present}
    for target in wanted:
        known = found.get(target.key)
        is_met = known is not None and abs(known.quantity) <= abs(target.quantity)
        if not (is_met and kind is IntentKind.REDUCE):
            found[target.key] = target
    return tuple(found.values())


def _wider(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return both filters as one; None = everything."""
    return None if one is None or other is None else tuple(sorted({*one, *other}))


def _keys(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return both filters of keys as one; empty = any key."""
    return _wider(one or None, other or None) or ()


def _tell_replaced(turn: Turn, present: Intent, intent: Intent) -> None:
    """Answer who waits for an intent that another command has taken over."""
    if present.reply_to and intent.reply_to and present.reply_to != intent.reply_to:
        message = f"taken over by a later {intent.kind.value} of {intent.actor}"
        turn.emit(actions.SendReply(request_id=present.reply_to, ok=False, message=message))
