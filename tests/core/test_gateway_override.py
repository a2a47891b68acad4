"""One denied order passes where an admin says so: once, soon, and only that one."""

from __future__ import annotations

import json

import pytest

from riskbot.core import actions
from riskbot.core.commands import BY_NAME
from riskbot.core.denials import DENIALS_MAX
from riskbot.core.engine import Engine
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Actor, Mode, Response, Role
from riskbot.core.turn import Turn
from tests.core.market import Market, codes, market

GROSS = GrossExposure(max=1.0, on_breach=Response.DENY)


def denied(made: Market, quantity: str = "3") -> str:
    found = made.decide("BTC", "buy", quantity, price="49000")
    assert (found["decision"], codes(found)) == ("deny", {"LIMIT_EXCEEDED"})
    return str(found["order_hash"])


def decision(made: Market, quantity: str = "3", **fields: object) -> str:
    return str(made.decide("BTC", "buy", quantity, price="49000", **fields)["decision"])


def test_denied_order_passes_once_when_an_admin_lets_it() -> None:
    made = market(GROSS)
    name = denied(made)
    offer = made.command("override", id=name)
    assert "buy 3 BTC/USDT:USDT on main at 49000 of grid" in offer.message
    assert decision(made) == "deny"
    assert made.command("override", id=name, plan_id=offer.plan_id).ok
    # Nothing but that very order.
    assert decision(made, "3.1") == "deny"
    assert decision(made, strategy="trend") == "deny"
    assert decision(made, is_submit=True) == "deny"
    passed = made.decide("BTC", "buy", "3", price="49000")
    assert (passed["decision"], codes(passed)) == ("approve", {"LIMIT_EXCEEDED"})
    assert passed["order"]["quantity"] == "3"
    assert passed["order_hash"] is None
    # And once.
    assert decision(made) == "deny"
    rows = [d for d in made.of(actions.RecordDecision) if d.decision == "override"]
    assert [row.actor for row in rows] == ["tester"]


def test_leave_to_pass_lapses_and_outlives_a_restart() -> None:
    made = market(GROSS)
    made.confirm("override", id=denied(made))
    made.restart()
    made.price()
    made.read()
    fresh = Engine(made.engine.settings, "rbtest")
    fresh.load(json.loads(json.dumps(made.engine.dump())))
    assert fresh.state.reservations.allowed == made.engine.state.reservations.allowed != {}
    made.wait(301)
    assert decision(made) == "deny"
    made.confirm("override", id=denied(made))
    assert decision(made) == "approve"


def test_what_nobody_denied_lately_cannot_be_let_pass() -> None:
    made = market(GROSS)
    assert "no order" in made.command("override", id="0123456789abcdef").message
    name = denied(made)
    made.wait(601)
    assert "no order" in made.command("override", id=name).message
    operator = Actor("op", Role.OPERATOR, "test")
    assert "needs the role admin" in made.command("override", operator, id=denied(made)).message


@pytest.mark.parametrize("quantity", ["0.1", "0.10001"])
def test_halts_and_the_venues_rules_cannot_be_overridden(quantity: str) -> None:
    made = market(GROSS)
    if quantity == "0.1":
        made.command("halt")
    found = made.decide("BTC", "buy", quantity)
    assert "nobody can override" in made.command("override", id=found["order_hash"]).message


def test_halt_after_the_leave_was_given_denies_all_the_same() -> None:
    made = market(GROSS)
    made.confirm("override", id=denied(made))
    made.command("halt")
    assert decision(made) == "deny"


def test_shadow_denies_nothing_that_could_be_let_pass_and_denials_are_bounded() -> None:
    made = market(GROSS, mode=Mode.SHADOW)
    made.decide("BTC", "buy", "3")
    assert not made.engine.state.reservations.denials
    made = market(GROSS)
    for number in range(DENIALS_MAX + 1):
        made.decide("BTC", "buy", str(3 + number))
    assert len(made.engine.state.reservations.denials) == DENIALS_MAX


def test_override_goes_beyond_a_limit_and_takes_a_code() -> None:
    made = market(has_factor=True)
    turn = Turn(made.engine.state, made.engine.settings, made.now_ms)
    assert BY_NAME["override"](id="x").needs_factor(turn)
