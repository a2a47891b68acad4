"""The desk where commands arrive: role, arguments, plan and confirmation, answer, audit.

What a command does is in its own file under `commands`; who may speak at all is a door's matter.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import ValidationError

from riskbot.core import actions, events, factors, reach
from riskbot.core.commands import BY_NAME, Command
from riskbot.core.commands._base import PLAN_LIFE_MS, Plan
from riskbot.core.duty import Intent, IntentKind, PendingPlan, Target
from riskbot.core.model import PORTFOLIO, Actor
from riskbot.core.turn import Turn

STALE_MS = 30_000
"""A risk-increasing command older than this is answered, not done."""

_RAISES_RISK = frozenset({"resume", "reclassify", "reload", "override"})


def receive(turn: Turn, event: events.CommandReceived) -> None:
    """Answer one command, or carry it out."""
    kind = BY_NAME.get(event.name)
    if kind is None:
        names = ", ".join(BY_NAME)
        _refuse(turn, event, f"no command {event.name!r}; there are: {names}")
        return
    args = dict(event.args)
    plan_id = args.pop("plan_id", None)
    factors.tell(turn, event)
    try:
        command = kind(**{name: value for name, value in args.items() if value is not None})
    except ValidationError as error:
        _refuse(turn, event, _usage(event.name, error))
        return
    if fault := _forbidden(turn, event, command):
        turn.audit("refused", "", PORTFOLIO, f"{event.name}: {fault}", event.actor.name)
        _refuse(turn, event, fault)
        return
    if not command.reads_only and (fault := _factor_fault(turn, event, command, plan_id)):
        turn.audit("refused", "", PORTFOLIO, f"{event.name}: {fault}", event.actor.name)
        _refuse(turn, event, fault, needs_factor=True)
        return
    _carry_out(turn, event, command, args, plan_id)
    if not command.reads_only:
        _audit(turn, event, args)


def _audit(turn: Turn, event: events.CommandReceived, args: dict[str, Any]) -> None:
    """Write down who asked for what, and what came of it."""
    replies = [a for a in turn.out if isinstance(a, actions.SendReply)]
    reply = next(a for a in replies if a.request_id == event.request_id)
    turn.audit(
        "command",
        "",
        PORTFOLIO,
        event.name,
        event.actor.name,
        args=args,
        ok=reply.ok,
        result=reply.message,
        is_plan=reply.plan_id is not None,
    )


def _carry_out(
    turn: Turn, event: events.CommandReceived, command: Command, args: dict[str, Any], plan_id: Any
) -> None:
    if command.is_risky and plan_id is None:
        _offer(turn, event, command, args)
    elif command.is_risky:
        _confirm(turn, event, command, args, str(plan_id))
    else:
        _run(turn, event, command)


def _usage(name: str, error: ValidationError) -> str:
    parts = [f"{'.'.join(map(str, e['loc'])) or name}: {e['msg']}" for e in error.errors()]
    fields = ", ".join(BY_NAME[name].model_fields) or "no arguments"
    return f"{name} takes {fields}; {'; '.join(parts)}"


def _forbidden(turn: Turn, event: events.CommandReceived, command: Command) -> str:
    needed = command.needed_role(turn)
    if event.actor.role.rank < needed.rank:
        has = f"{event.actor.name} is {event.actor.role.value}"
        return f"{event.name} needs the role {needed.value}, {has}"
    age_ms = turn.now_ms - (turn.now_ms if event.asked_ms is None else event.asked_ms)
    if event.name in _RAISES_RISK and age_ms > STALE_MS:
        return f"{event.name} was asked {age_ms // 1000} s ago: not done, ask again"
    return ""


def _planned(command: Command, kept: PendingPlan) -> Command:
    """Return the command that a plan was made for."""
    return type(command)(**{name: value for name, value in kept.args.items() if value is not None})


def _factor_fault(
    turn: Turn, event: events.CommandReceived, command: Command, plan_id: object
) -> str:
    """Return why the second factor does not do; a plan alone needs none."""
    kept = turn.state.enforcement.plans.get(str(plan_id)) if plan_id is not None else None
    if kept is not None and kept.command == event.name:
        # What is carried out is what the plan was made for.
        command = _planned(command, kept)
    is_done_now = not command.is_risky or plan_id is not None
    is_needed = turn.settings.has_factor and is_done_now and command.needs_factor(turn)
    if not is_needed and not command.is_risky:
        return ""
    return factors.fault(turn, event, is_needed=is_needed)


def _refuse(
    turn: Turn, event: events.CommandReceived, message: str, *, needs_factor: bool = False
) -> None:
    turn.emit(
        actions.SendReply(
            request_id=event.request_id, ok=False, message=message, needs_factor=needs_factor
        )
    )


def _run(turn: Turn, event: events.CommandReceived, command: Command) -> None:
    reply = command.run(turn, event.actor, event.request_id)
    turn.emit(
        actions.SendReply(
            request_id=event.request_id,
            ok=reply.ok,
            message=reply.message,
            document=reply.document,
            is_final=reply.is_final,
        )
    )


# ---------------------------------------------------------------- plan, then confirm


def _offer(
    turn: Turn, event: events.CommandReceived, command: Command, args: dict[str, Any]
) -> None:
    plan = command.plan(turn, event.actor)
    if plan.refusal:
        _refuse(turn, event, plan.refusal)
        return
    _keep_plan(turn, event, command, plan, args)


def _keep_plan(
    turn: Turn,
    event: events.CommandReceived,
    command: Command,
    plan: Plan,
    args: dict[str, Any],
    note: str = "",
) -> None:
    kept = PendingPlan(
        plan_id=_plan_id(turn, event),
        command=event.name,
        args=args,
        actor=event.actor.name,
        created_ms=turn.now_ms,
        expires_ms=turn.now_ms + PLAN_LIFE_MS,
        plan=plan.details,
        fingerprint=plan.fingerprint,
    )
    turn.emit(actions.SetPlan(plan=kept))
    turn.emit(
        actions.SendReply(
            request_id=event.request_id,
            ok=True,
            message=note + plan.message,
            plan_id=kept.plan_id,
            plan=plan.details,
            expires_at_ms=kept.expires_ms,
            needs_factor=turn.settings.has_factor and command.needs_factor(turn),
        )
    )


def _plan_id(turn: Turn, event: events.CommandReceived) -> str:
    # Unique, and not to be guessed by who does not see the request id; the actor is checked too.
    seed = f"{event.request_id}|{turn.state.enforcement.plan_counter}|{turn.now_ms}"
    return "p" + hashlib.sha256(seed.encode()).hexdigest()[:15]


def _confirm(
    turn: Turn,
    event: events.CommandReceived,
    command: Command,
    args: dict[str, Any],
    plan_id: str,
) -> None:
    kept = turn.state.enforcement.plans.get(plan_id)
    fault = _plan_fault(turn, event.actor, event.name, kept)
    if kept is None or fault:
        _refuse(turn, event, fault)
        return
    if any(kept.args.get(name) != value for name, value in args.items() if name != "reason"):
        _refuse(turn, event, f"{plan_id} was made for other arguments: ask again")
        return
    confirmed = _planned(command, kept)
    turn.emit(actions.DropPlan(plan_id=plan_id, outcome="confirmed"))
    plan = confirmed.plan(turn, event.actor)
    if plan.refusal:
        _refuse(turn, event, plan.refusal)
    elif plan.fingerprint != kept.fingerprint:
        _keep_plan(
            turn, event, confirmed, plan, kept.args, "the facts have changed, confirm again: "
        )
    else:
        _run(turn, event, confirmed)


def _plan_fault(turn: Turn, actor: Actor, name: str, kept: PendingPlan | None) -> str:
    if kept is None:
        return "no such plan, or it was used already: ask again"
    if kept.actor != actor.name:
        return f"only {kept.actor} can confirm this plan"
    if kept.command != name:
        return f"this plan is for {kept.command}"
    if turn.now_ms > kept.expires_ms:
        turn.emit(actions.DropPlan(plan_id=kept.plan_id, outcome="expired"))
        return "the plan has expired: ask again"
    return ""


def expire(turn: Turn) -> None:
    """Forget plans that nobody confirmed in time."""
    for plan in list(turn.state.enforcement.plans.values()):
        if turn.now_ms > plan.expires_ms + PLAN_LIFE_MS:
            turn.emit(actions.DropPlan(plan_id=plan.plan_id, outcome="expired"))


# ---------------------------------------------------------------- the end of long commands

_END = {
    IntentKind.FLATTEN: "flat",
    IntentKind.REDUCE: "at its target",
    IntentKind.CANCEL: "no entries left",
}


def finish(turn: Turn, ended: list[Intent]) -> None:
    """Answer the commands whose last intent ended in this turn."""
    for reply_to in dict.fromkeys(i.reply_to for i in ended if i.reply_to):
        if any(i.reply_to == reply_to for i in turn.state.enforcement.intents.values()):
            continue
        done = [i for i in ended if i.reply_to == reply_to]
        left = [row for intent in done for row in _left(turn, intent)]
        left += _left_elsewhere(turn, done)
        words = (
            _END.get(done[0].kind, "done")
            if not left
            else f"{len(left)} left: "
            + "; ".join(f"{row['instrument']} {row['quantity']} ({row['reason']})" for row in left)
        )
        name, actor = done[0].kind.value, done[0].actor
        said = f"{name} complete, verified: {words}"
        turn.audit("outcome", "", PORTFOLIO, name, actor, ok=True, result=said)
        turn.emit(
            actions.SendReply(
                request_id=reply_to or "",
                ok=True,
                message=said,
                document={"ok": True, "left": left},
            )
        )


def _left(turn: Turn, intent: Intent) -> list[dict[str, Any]]:
    if intent.kind is not IntentKind.FLATTEN:
        return []
    return [row for target in intent.targets if (row := _row(turn, target))]


def _left_elsewhere(turn: Turn, done: list[Intent]) -> list[dict[str, Any]]:
    """Return what the same flatten kept on accounts whose part ended in an earlier turn."""
    ended = {intent.account for intent in done}
    causes = {cause for intent in done for cause in intent.causes}
    if any(i.kind is not IntentKind.FLATTEN or i.cancel_symbols is not None for i in done):
        return []
    targets = turn.state.flatten_targets(turn.now_ms, reach.sighted(turn, causes))
    return [row for t in targets if t.key.account not in ended and (row := _row(turn, t))]


def _row(turn: Turn, target: Target) -> dict[str, Any]:
    """Return what is left of a position after a verified flatten; nothing when it is gone."""
    quantity = turn.state.quantity(target.key)
    if quantity == 0:
        return {}
    return {
        "account": target.key.account,
        "instrument": target.key.symbol,
        "quantity": str(quantity),
        "reason": target.note or "below the smallest order",
        "kept": True,
    }
