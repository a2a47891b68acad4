"""Limit values that people set: planned, audited, kept until the configuration speaks again."""

from __future__ import annotations

import pytest

from riskbot.core import actions
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.model import PORTFOLIO, Actor, Mode, Response, Role
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, yellow=0.7, on_breach=Response.DENY)
DISTANCE = LiquidationDistance(min=0.1)
OPERATOR = Actor("op", Role.OPERATOR, "test")


def allowed(made: World) -> float:
    row = next(r for r in made.command("limits").document if r["name"] == "gross_exposure")
    return float(row["limit"])


def test_setlimit_says_old_new_and_where_the_measure_would_stand_then() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)})
    offer = made.command("setlimit", limit="gross_exposure", value=1.4)
    assert offer.plan is not None
    assert (offer.plan["before"], offer.plan["after"], offer.plan["level"]) == (2.0, 1.4, "red")
    assert "tightens" in offer.message
    assert allowed(made) == 2.0
    made.command("setlimit", limit="gross_exposure", value=1.4, plan_id=offer.plan_id)
    assert allowed(made) == 1.4
    rows = [d for d in made.of(actions.RecordDecision) if d.decision == "setlimit"]
    assert (rows[-1].inputs["before"], rows[-1].inputs["after"], rows[-1].actor) == (
        2.0,
        1.4,
        "tester",
    )
    # The fields beside the value stay as configured.
    limit = made.engine.state.limit(PORTFOLIO, "gross_exposure")
    assert limit is not None
    assert limit.levels[0] == 0.7


def test_setlimit_lasts_over_a_restart_until_the_configuration_changes() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.confirm("setlimit", limit="gross_exposure", value=3.0)
    made.restart()
    made.read()
    assert allowed(made) == 3.0
    other = GrossExposure(max=2.5, on_breach=Response.DENY)
    made.restart(builders.settings(mode=Mode.ENFORCE, limits=((PORTFOLIO, other),)))
    made.read()
    assert allowed(made) == 2.5


def test_setlimit_without_a_value_is_the_configured_one_again() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.confirm("setlimit", limit="gross_exposure", value=3.0)
    assert "as configured" in made.confirm("setlimit", limit="gross_exposure").message
    assert allowed(made) == 2.0
    assert not made.engine.state.overrides.values


def test_setlimit_of_a_min_limit_loosens_downwards() -> None:
    made = world(DISTANCE, held={"BTC": (1, 50_000)})
    offer = made.command("setlimit", limit="liquidation_distance", value=0.05)
    assert offer.plan is not None
    assert offer.plan["loosens"] is True


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"limit": "gross_exposure", "value": 2.0}, "already"),
        ({"limit": "gross_exposure", "value": -1.0}, "-1.0"),
        ({"limit": "gross_exposure", "value": 1e9}, "cannot be"),
        ({"limit": "drawdown", "value": 0.1}, "on: gross_exposure"),
        ({"limit": "gross_exposure", "value": 1.0, "account": "nosuch"}, "nosuch"),
    ],
)
def test_setlimit_when_it_cannot_be_says_why(args: dict[str, object], words: str) -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    reply = made.command("setlimit", **args)
    assert not reply.ok
    assert words in reply.message


def test_setlimit_is_an_admins() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    assert not made.command("setlimit", OPERATOR, limit="gross_exposure", value=3.0).ok
