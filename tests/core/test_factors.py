"""One-time codes: asked for where it counts, taken once, wrong ones counted."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.factors import LOCKED_MS, WRONG_MAX
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import PORTFOLIO, Actor, Mode, Response, Role, TradingState
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.DENY)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.HALT, latch=True)
BOB = Actor("bob", Role.ADMIN, "test")


def guarded(*, flatten: str = "never", limit: Any = GROSS, **fields: Any) -> World:
    """Return a world whose riskiest commands ask for a code."""
    made = world(limit, held={"BTC": (1, 50_000)}, **fields)
    made.restart(
        builders.settings(
            mode=Mode.ENFORCE,
            limits=((PORTFOLIO, limit),),
            has_factor=True,
            flatten_factor=flatten,
        )
    )
    made.price()
    made.read()
    return made


def ask(
    made: World,
    name: str,
    *,
    step: int | None = None,
    wrong: bool = False,
    actor: Actor = BOB,
    **args: Any,
) -> actions.SendReply:
    """Give a command with what its code proves; return the answer."""
    request_id = f"f{len(made.journal)}"
    made.give(
        events.CommandReceived(
            request_id=request_id,
            name=name,
            args=args,
            actor=actor,
            factor_step=step,
            is_factor_wrong=wrong,
        )
    )
    return next(r for r in made.replies() if r.request_id == request_id)


def latched() -> World:
    """Return a world that a limit has halted for good."""
    made = guarded(limit=DRAWDOWN)
    made.price(BTC=30_000)
    made.wait(3)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    made.price(BTC=50_000)
    made.wait(1)
    return made


def test_resume_after_a_latch_asks_for_a_code_and_takes_it_once() -> None:
    made = latched()
    offer = ask(made, "resume")
    assert offer.needs_factor
    refused = ask(made, "resume", plan_id=offer.plan_id)
    assert (refused.ok, refused.needs_factor) == (False, True)
    assert "6-digit code" in refused.message
    # The plan is still good: only the code was missing.
    done = ask(made, "resume", plan_id=offer.plan_id, step=7)
    assert done.ok
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.ACTIVE
    offer = ask(made, "setlimit", limit="drawdown", value=0.2)
    again = ask(made, "setlimit", limit="drawdown", value=0.2, plan_id=offer.plan_id, step=7)
    assert "used already" in again.message
    assert ask(made, "setlimit", plan_id=offer.plan_id, limit="drawdown", value=0.2, step=8).ok


def test_resume_of_what_a_person_halted_needs_no_code() -> None:
    made = guarded()
    made.command("halt")
    offer = ask(made, "resume")
    assert not offer.needs_factor
    assert ask(made, "resume", plan_id=offer.plan_id).ok


def test_halt_never_asks_for_a_code() -> None:
    assert ask(guarded(), "halt").ok


def test_code_where_none_is_configured_is_not_asked_for() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    offer = made.command("setlimit", limit="gross_exposure", value=3.0)
    assert not offer.needs_factor
    assert made.command("setlimit", limit="gross_exposure", value=3.0, plan_id=offer.plan_id).ok


@pytest.mark.parametrize(
    ("wanted", "is_red", "is_asked"),
    [
        ("never", False, False),
        ("always", False, True),
        ("always", True, True),
        ("unless_red", False, True),
        ("unless_red", True, False),
    ],
)
def test_flatten_asks_for_a_code_as_configured(wanted: str, is_red: bool, is_asked: bool) -> None:
    made = guarded(flatten=wanted)
    if is_red:
        made.give(events.EngineFaulted(event_kind="X", error="x"))
        made.somebody_trades("BTC", "5")
        made.wait(2)
    assert ask(made, "flatten").needs_factor is is_asked


def test_wrong_codes_lock_their_actor_for_a_while_and_everybody_is_told() -> None:
    made = latched()
    plan = ask(made, "resume").plan_id
    for left in range(WRONG_MAX - 1, 0, -1):
        assert f"{left} tries left" in ask(made, "resume", plan_id=plan, wrong=True).message
    assert "locked" in ask(made, "resume", plan_id=plan, wrong=True).message
    (told,) = made.told("factor_locked")
    assert told.is_loud
    # One more wrong code neither lengthens it nor is told again.
    made.now_ms += 1_000
    ask(made, "resume", plan_id=plan, wrong=True)
    assert made.engine.state.factors.locked == {"bob": made.now_ms - 1_000 + LOCKED_MS}
    assert len(made.told("factor_locked")) == 1
    # Not even a good code, nor another danger command, until it is over; halt and others go on.
    assert "locked" in ask(made, "resume", plan_id=plan, step=9).message
    assert "locked" in ask(made, "flatten").message
    assert ask(made, "halt").ok
    assert ask(made, "flatten", actor=Actor("carol", Role.ADMIN, "test")).plan_id
    made.restart()
    made.read()
    assert "locked" in ask(made, "flatten").message
    made.now_ms += LOCKED_MS
    assert ask(made, "flatten").plan_id


def test_wrong_codes_long_ago_do_not_count() -> None:
    made = latched()
    for _ in range(WRONG_MAX - 1):
        ask(made, "resume", plan_id=ask(made, "resume").plan_id, wrong=True)
    made.now_ms += 600_000
    made.read()
    reply = ask(made, "resume", plan_id=ask(made, "resume").plan_id, wrong=True)
    assert f"{WRONG_MAX - 1} tries left" in reply.message


def test_every_refused_code_is_audited() -> None:
    made = latched()
    ask(made, "resume", plan_id=ask(made, "resume").plan_id, wrong=True)
    rows = [d for d in made.of(actions.RecordDecision) if d.decision == "refused"]
    assert "wrong" in rows[-1].reason
    assert rows[-1].actor == "bob"
