"""Test alerts: through every channel, marked, answered at once and when all had their time."""

from __future__ import annotations

import json

import pytest

from riskbot.core import actions, events
from riskbot.core.duty import AlertStatus
from riskbot.core.engine import Engine
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Actor, Level, Role
from tests import builders
from tests.core.world import World, world

CHANNELS = ("log", "telegram", "ntfy", "webhook")
OPERATOR = Actor("alice", Role.OPERATOR, "test")


def made() -> World:
    return world(GrossExposure(max=2.0), held={"BTC": (1, 50_000)}, channels=CHANNELS)


def told(scene: World) -> list[actions.SendAlert]:
    return scene.told("test")


def last(scene: World, reply: actions.SendReply) -> actions.SendReply:
    return [r for r in scene.replies() if r.request_id == reply.request_id][-1]


@pytest.mark.parametrize(("level", "is_loud"), [("yellow", False), ("orange", True), ("red", True)])
def test_alert_is_sent_at_once_as_loud_as_its_level(level: str, is_loud: bool) -> None:
    scene = made()
    reply = scene.command("test", OPERATOR, level=level)
    assert (reply.ok, reply.is_final) == (True, False)
    (sent,) = told(scene)
    assert (sent.alert.level, sent.is_loud, sent.alert.title[:4]) == (Level(level), is_loud, "TEST")
    assert sent.channels == ()


def test_outcome_says_which_channel_took_it_and_which_did_not() -> None:
    scene = made()
    reply = scene.command("test", OPERATOR, level="red")
    scene.now_ms += 800
    scene.give(events.AlertDeliveryFailed(alert_id="T1", channel="log", revision=1, error="?"))
    scene.give(events.AlertDelivered(alert_id="T1", channel="log", revision=1))
    scene.give(events.AlertDelivered(alert_id="T1", channel="log", revision=1))
    scene.give(events.AlertDelivered(alert_id="T1", channel="telegram", revision=1))
    scene.give(events.AlertDelivered(alert_id="A9", channel="ntfy", revision=1))
    scene.give(events.AlertDeliveryFailed(alert_id="T1", channel="ntfy", revision=1, error="401"))
    scene.give(events.AlertDeliveryFailed(alert_id="A9", channel="log", revision=1, error="x"))
    scene.wait(8)
    assert last(scene, reply) == reply
    scene.wait(3)
    end = last(scene, reply)
    assert end.is_final
    assert not end.ok
    assert end.document["took"] == [
        {"channel": "log", "after_ms": 800},
        {"channel": "telegram", "after_ms": 800},
    ]
    assert end.document["failed"] == [{"channel": "ntfy", "error": "401"}]
    assert end.document["silent"] == ["webhook"]
    for part in ("taken by log 0.8 s", "ntfy failed: 401", "no word of webhook"):
        assert part in end.message
    assert told(scene)[-1].alert.status is AlertStatus.RESOLVED
    assert not told(scene)[-1].is_loud
    scene.wait(15)
    assert len(told(scene)) == 2


def test_outcome_when_all_took_it_is_good() -> None:
    scene = made()
    reply = scene.command("test", OPERATOR)
    for channel in CHANNELS:
        scene.give(events.AlertDelivered(alert_id="T1", channel=channel, revision=1))
    scene.wait(11)
    assert last(scene, reply).ok
    assert last(scene, reply).document["silent"] == []


def test_outcome_when_everyone_of_a_channel_sleeps_says_that_it_is_kept() -> None:
    scene = made()
    reply = scene.command("test", OPERATOR)
    held = events.AlertDelivered(alert_id="T1", channel="telegram", revision=1, is_held=True)
    scene.give(held)
    scene.give(events.AlertDelivered(alert_id="T1", channel="log", revision=1))
    scene.wait(11)
    end = last(scene, reply)
    assert end.document["held"] == ["telegram"]
    assert "telegram" not in end.document["silent"]
    assert "held by telegram: everyone there has quiet hours" in end.message


def test_outcome_when_nobody_took_it_says_so() -> None:
    scene = made()
    reply = scene.command("test", OPERATOR)
    scene.wait(11)
    assert "no channel took it" in last(scene, reply).message


def test_alert_of_a_test_is_nobodys_condition() -> None:
    scene = made()
    scene.command("test", OPERATOR, level="red")
    assert not scene.engine.state.alerts.firing
    assert scene.command("digest").document["alerts"] == []
    assert not scene.command("ack", id="T1").ok


def test_tests_are_bounded_numbered_and_outlive_a_restart() -> None:
    scene = made()
    replies = [scene.command("test", OPERATOR) for _ in range(6)]
    assert [reply.ok for reply in replies] == [True] * 5 + [False]
    assert replies[-1].is_final
    again = Engine(scene.engine.settings, "rbtest")
    again.load(json.loads(json.dumps(scene.engine.dump())))
    scene.engine = again
    scene.wait(11)
    assert not scene.engine.state.past.trials.open
    scene.command("test", OPERATOR)
    assert told(scene)[-1].alert.alert_id == "T6"


def test_viewer_may_not_test() -> None:
    assert not made().command("test", Actor("eve", Role.VIEWER, "test")).ok


def test_settings_name_the_channels_that_alerts_go_to() -> None:
    settings = builders.settings()
    assert settings.channels == ()
    assert settings.telling(iter(("log", "ntfy"))).channels == ("log", "ntfy")
