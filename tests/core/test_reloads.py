"""A reload of the configuration: what it shows, what it applies, and what keeps it from that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits._base import Limit
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.model import Actor, Response, Role
from riskbot.core.overrides import rows_of
from riskbot.core.settings import User
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.DENY)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
NEAR = LiquidationDistance(min=0.1)
USERS = (("telegram", "7", "viewer"), ("telegram", "8", "admin"))
OPERATOR = Actor("telegram:9", Role.OPERATOR, "telegram")


def made(*limits: Limit, **fields: Any) -> World:
    listed = tuple(User(door, name, Role(role)) for door, name, role in USERS)
    fields = {"held": {"BTC": (1, 50_000)}, "users": listed, **fields}
    return world(*(limits or (GROSS, DRAWDOWN, NEAR)), **fields)


def reads(scene: World, *limits: Limit, users: Any = USERS, **fields: Any) -> None:
    """The file is read, as a door does when somebody asks."""
    rows = rows_of(tuple(("portfolio", limit) for limit in limits))
    read = events.ConfigRead(config_hash="abc", limits=rows, users=users, **fields)
    scene.give(read)


def present(scene: World, name: str) -> Limit | None:
    return scene.engine.state.limit("portfolio", name)


# ---------------------------------------------------------------- the plan


def test_plan_shows_what_would_change_and_what_needs_a_restart() -> None:
    scene = made()
    tighter = GrossExposure(max=1.5, on_breach=Response.DENY)
    users = (("telegram", "7", "operator"), ("telegram", "9", "viewer"))
    reads(
        scene,
        tighter,
        DRAWDOWN,
        NEAR,
        NetExposure(max=0.5),
        users=users,
        applies=("levels of notify",),
        restart=("timezone",),
    )
    reply = scene.command("reload")
    assert reply.ok, reply.message
    assert reply.plan == {
        "limits": [
            {
                "scope": "portfolio",
                "limit": "gross_exposure",
                "before": "max 2.0",
                "after": "max 1.5",
                "loosens": False,
            }
        ],
        "users": [
            {"door": "telegram", "name": "7", "before": "viewer", "after": "operator"},
            {"door": "telegram", "name": "8", "before": "admin", "after": "-"},
            {"door": "telegram", "name": "9", "before": "-", "after": "viewer"},
        ],
        "applies": ["levels of notify"],
        "restart": ["portfolio net_exposure: new", "timezone"],
    }
    assert "needs a restart: portfolio net_exposure: new, timezone" in reply.message
    assert present(scene, "gross_exposure") == GROSS, "a plan changes nothing"


def test_nothing_is_planned_when_nothing_has_changed() -> None:
    scene = made()
    reads(scene, GROSS, DRAWDOWN, NEAR)
    reply = scene.command("reload")
    assert (reply.ok, reply.message) == (False, "nothing has changed")
    reads(scene, GROSS, DRAWDOWN, NEAR, restart=("timezone",))
    assert scene.command("reload").message == "needs a restart: timezone"


def test_faults_leave_everything_as_it_is() -> None:
    scene = made()
    scene.give(events.ConfigRead(faults=("portfolio.preset: is missing",)))
    reply = scene.command("reload")
    assert not reply.ok
    assert "stays as it is: portfolio.preset: is missing" in reply.message


def test_file_that_was_not_read_or_long_ago_is_not_planned() -> None:
    scene = made()
    assert "was not read" in scene.command("reload").message
    reads(scene, DRAWDOWN, NEAR)
    scene.now_ms += 130_000
    assert "was not read" in scene.command("reload").message


def test_operator_may_not() -> None:
    scene = made()
    reads(scene, DRAWDOWN, NEAR)
    assert not scene.command("reload", OPERATOR).ok


# ---------------------------------------------------------------- applied


def test_confirmed_it_holds_from_then_on() -> None:
    scene = made()
    tighter = GrossExposure(max=0.3, on_breach=Response.DENY)
    users = (("telegram", "7", "operator"),)
    reads(scene, tighter, NEAR, NetExposure(max=0.9), users=users)
    reply = scene.confirm("reload")
    assert reply.ok
    assert present(scene, "gross_exposure") == tighter
    assert present(scene, "drawdown") is None
    assert present(scene, "net_exposure") is None, "what is new waits for a restart"
    (applied,) = scene.of(actions.ApplyConfig)
    assert (applied.config_hash, applied.users) == ("abc", users)
    scene.wait(2)
    assert ("portfolio", "gross_exposure") in scene.engine.state.enforcement.holds
    rows = {row["name"]: row["role"] for row in scene.command("users").document}
    assert rows["7"] == "operator"
    assert "8" not in rows
    (row,) = [r for r in scene.of(actions.RecordDecision) if r.decision == "reload"]
    assert row.inputs["limits"][0]["after"] == "max 0.3"
    # The next one starts from there.
    reads(scene, tighter, NEAR, users=users)
    assert scene.command("reload").message == "nothing has changed"


def test_value_that_somebody_set_is_kept_until_the_file_says_otherwise() -> None:
    scene = made()
    scene.confirm("setlimit", limit="gross_exposure", value=1.2)
    reads(scene, GROSS, Drawdown(max=0.1, on_breach=Response.FLATTEN, latch=True), NEAR)
    scene.confirm("reload")
    found = present(scene, "gross_exposure")
    assert found is not None
    assert found.allowed == 1.2
    reads(scene, GrossExposure(max=1.8, on_breach=Response.DENY), DRAWDOWN, NEAR)
    scene.command("reload")
    reads(scene, GrossExposure(max=1.8, on_breach=Response.DENY),
          Drawdown(max=0.1, on_breach=Response.FLATTEN, latch=True), NEAR)  # fmt: skip
    scene.confirm("reload")
    found = present(scene, "gross_exposure")
    assert found is not None
    assert found.allowed == 1.8
    assert scene.confirm("setlimit", limit="gross_exposure", value=1.0).ok


def test_start_reads_the_file_anyway() -> None:
    scene = made()
    reads(scene, GrossExposure(max=1.5, on_breach=Response.DENY), NEAR)
    scene.confirm("reload")
    again = Engine(scene.engine.settings, "rbtest")
    again.load(json.loads(json.dumps(scene.engine.dump())))
    found = again.state.limit("portfolio", "gross_exposure")
    assert found is not None
    assert found.allowed == 1.5
    scene.restart()
    assert present(scene, "gross_exposure") == GROSS
    assert {u["name"] for u in scene.command("users").document} >= {"7", "8"}


def test_plan_of_another_file_is_not_confirmed() -> None:
    scene = made()
    reads(scene, GrossExposure(max=1.5, on_breach=Response.DENY), DRAWDOWN, NEAR)
    offer = scene.command("reload")
    scene.give(
        events.ConfigRead(
            config_hash="other",
            limits=rows_of((("portfolio", GrossExposure(max=1.0, on_breach=Response.DENY)),)),
            users=USERS,
        )
    )
    again = scene.command("reload", plan_id=offer.plan_id)
    assert "the facts have changed" in again.message
    assert present(scene, "gross_exposure") == GROSS


# ---------------------------------------------------------------- looser


@pytest.mark.parametrize(
    "limits",
    [
        (GrossExposure(max=3.0, on_breach=Response.DENY), DRAWDOWN, NEAR),
        (GrossExposure(max=2.0), DRAWDOWN, NEAR),
        (GrossExposure(max=2.0, on_breach=Response.DENY, start_after_s=60), DRAWDOWN, NEAR),
        (GrossExposure(max=2.0, on_breach=Response.DENY, clear_at=1.0), DRAWDOWN, NEAR),
        (GROSS, Drawdown(max=0.15, on_breach=Response.FLATTEN), NEAR),
        (GROSS, DRAWDOWN, LiquidationDistance(min=0.05)),
        (GROSS, DRAWDOWN),
    ],
)
def test_looser_limit_is_refused_while_one_is_broken(limits: tuple[Limit, ...]) -> None:
    scene = made(usdt=20_000)
    scene.wait(2)
    reads(scene, *limits)
    reply = scene.command("reload")
    assert not reply.ok
    assert "would be looser while portfolio gross_exposure is broken" in reply.message


def test_tighter_limit_is_taken_while_one_is_broken() -> None:
    scene = made(usdt=20_000)
    scene.wait(2)
    reads(scene, GROSS, Drawdown(max=0.05, on_breach=Response.FLATTEN, latch=True), NEAR)
    assert scene.confirm("reload").ok


def test_breach_between_plan_and_yes_is_looked_at_again() -> None:
    scene = made()
    reads(scene, GrossExposure(max=3.0, on_breach=Response.DENY), DRAWDOWN, NEAR)
    offer = scene.command("reload")
    scene.somebody_trades("BTC", "4")
    scene.wait(2)
    reply = scene.command("reload", plan_id=offer.plan_id)
    assert not reply.ok
    assert "is broken" in reply.message


def test_code_is_asked_for_what_loosens_or_lets_somebody_do_more() -> None:
    scene = made(has_factor=True)
    reads(scene, GrossExposure(max=3.0, on_breach=Response.DENY), DRAWDOWN, NEAR)
    assert scene.command("reload").needs_factor
    reads(scene, GROSS, DRAWDOWN, NEAR, users=(("telegram", "7", "admin"),))
    assert scene.command("reload").needs_factor
    reads(scene, GROSS, Drawdown(max=0.1, on_breach=Response.FLATTEN, latch=True), NEAR)
    offer = scene.command("reload")
    assert not offer.needs_factor
    assert scene.command("reload", plan_id=offer.plan_id).ok


def test_code_is_not_asked_for_what_cannot_be_applied_any_more() -> None:
    scene = made(has_factor=True)
    looser = GrossExposure(max=3.0, on_breach=Response.DENY)
    reads(scene, looser, DRAWDOWN, NEAR)
    offer = scene.command("reload")
    scene.give(events.ConfigRead(faults=("x: wrong",)))
    faulty = scene.command("reload", plan_id=offer.plan_id)
    reads(scene, looser, DRAWDOWN, NEAR)
    offer = scene.command("reload")
    scene.now_ms += 130_000
    late = scene.command("reload", plan_id=offer.plan_id)
    assert [(r.ok, r.needs_factor) for r in (faulty, late)] == [(False, False)] * 2


def test_limit_that_is_switched_off_is_shown_as_off() -> None:
    scene = made()
    reads(scene, GROSS, NEAR)
    reply = scene.command("reload")
    assert reply.plan is not None
    assert reply.plan["limits"][0]["after"] == "off"
    assert reply.plan["limits"][0]["loosens"]
