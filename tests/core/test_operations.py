"""What runs: orders, health, feeds, channels, dead-man's switches, people, the last actions."""

from __future__ import annotations

import json

import pytest

from riskbot.core import actions, events
from riskbot.core.audits import KEPT
from riskbot.core.commands import COMMANDS
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Actor, Mode, Role
from riskbot.core.settings import AccountSettings, DeadManSettings, User
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0)
VIEWER = Actor("telegram:7", Role.VIEWER, "telegram")
OPERATOR = Actor("telegram:8", Role.OPERATOR, "telegram")


def held(**fields: object) -> World:
    return world(GROSS, held={"BTC": (1, 50_000)}, **fields)  # type: ignore[arg-type]


def switched(policy: str, **fields: object) -> World:
    switch = DeadManSettings(policy, 60.0)  # type: ignore[arg-type]
    accounts = {"main": AccountSettings(exchange="binanceusdm", dead_man=switch)}
    return held(accounts=accounts, **fields)


# ---------------------------------------------------------------- orders


def test_orders_are_told_apart_oldest_first() -> None:
    made = held()
    made.rest("BTC", "buy", "0.3", price=45_000, created_ms=made.now_ms - 5_000)
    made.rest("BTC", "sell", "0.5", stop_price=44_000, reduce_only=True, created_ms=1_000)
    made.rest("BTC", "sell", "0.2", price=60_000, reduce_only=True, filled="0.1")
    made.read()
    rows = made.command("orders").document
    assert [row["kind"] for row in rows] == ["exit", "stop", "entry"]
    entry, stop, out = rows[2], rows[1], rows[0]
    assert (entry["age_s"], out["age_s"]) == (5.0, None)
    assert (stop["trigger"], stop["price"]) == ("44000", None)
    assert (out["quantity"], out["filled"], out["reduce_only"]) == ("0.2", "0.1", True)
    json.dumps(rows)


def test_orders_of_one_account() -> None:
    made = held()
    made.rest("BTC", "buy", "0.3")
    made.read()
    assert len(made.command("orders", account="main").document) == 1
    assert made.command("orders", account="other").document == []


# ---------------------------------------------------------------- health


def test_health_says_what_fares_how() -> None:
    made = held(channels=("log", "ntfy"))
    made.give(events.ClockMeasured(account="main", offset_ms=12, round_trip_ms=2))
    made.give(events.FrontendChanged(name="telegram", is_up=False, detail="polls"))
    made.give(events.AlertDelivered(alert_id="A1", channel="log", revision=1))
    made.give(events.AlertDeliveryFailed(alert_id="A1", channel="webhook", revision=1, error="500"))
    made.now_ms += 4_000
    found = made.command("health").document
    json.dumps(found)
    assert (found["version"], found["uptime_s"], found["storage"]["ok"]) == ("test", 4.0, True)
    (account,) = found["accounts"]
    assert (account["read_age_s"], account["clock_offset_ms"], account["blind"]) == (4.0, 11, False)
    by_name = {row["channel"]: row for row in found["channels"]}
    assert [by_name[n]["ok"] for n in ("log", "webhook", "ntfy")] == [True, False, None]
    assert by_name["webhook"]["error"] == "500"
    assert by_name["log"]["age_s"] == 4.0
    assert found["frontends"] == [{"name": "telegram", "is_up": False, "detail": "polls"}]


def test_health_when_the_disk_takes_nothing_says_since_when() -> None:
    made = held()
    made.give(events.StorageFailed(error="disk full"))
    storage = made.command("health").document["storage"]
    assert storage == {"ok": False, "error": "disk full", "since_ms": made.now_ms}


def test_health_before_anything_began_knows_nothing() -> None:
    made = World(held().engine.__class__(builders.settings()))
    found = made.command("health").document
    (account,) = found["accounts"]
    assert (found["started_ms"], found["uptime_s"]) == (None, None)
    assert (account["last_read_ms"], account["read_age_s"], account["heard_age_s"]) == (None,) * 3


def test_feeds_have_their_ages() -> None:
    rows = held().command("feeds").document
    assert [(row["feed"], row["ok"]) for row in rows] == [("prices", True)]


# ---------------------------------------------------------------- dead-man's switch


def why(made: World) -> str:
    (row,) = made.command("deadman").document
    assert not row["armed"]
    return str(row["why_not"])


def test_switch_that_the_venue_confirmed_is_armed() -> None:
    made = switched("all")
    made.rest("BTC", "buy", "0.3", price=45_000)
    made.read()
    told = events.DeadManChanged(
        account="main", is_armed=True, detail="60 s", until_ms=made.now_ms + 60_000
    )
    made.give(told)
    (row,) = made.command("deadman").document
    assert (row["armed"], row["until_ms"], row["why_not"]) == (True, told.until_ms, "")
    assert (row["orders"], row["instruments"]) == (1, ["BTC/USDT:USDT"])


def test_switch_that_is_not_armed_says_why() -> None:
    assert why(held()) == "off by configuration"
    assert why(switched("all", mode=Mode.SHADOW)) == "shadow touches nobody's orders"
    made = switched("all")
    assert why(made) == "no working orders"
    made.rest("BTC", "sell", "1", stop_price=45_000, reduce_only=True)
    made.read()
    assert why(made) == "not confirmed by the venue yet"
    made.give(events.DeadManChanged(account="main", is_armed=False, detail="refused: 400"))
    assert why(made) == "refused: 400"
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(90)
    assert why(made) == "out of sight: left to lapse"
    made.restart()
    assert why(made) == "the account is not read yet"


def test_switch_for_entries_alone_when_a_stop_rests_would_cancel_it() -> None:
    made = switched("entries_only")
    made.rest("BTC", "sell", "1", stop_price=45_000, reduce_only=True)
    made.read()
    assert why(made) == "would cancel stops"
    assert made.command("deadman").document[0]["stops"] == 1


# ---------------------------------------------------------------- people


def test_users_are_listed_the_mightiest_first() -> None:
    made = held(
        users=(User("telegram", "7", Role.VIEWER), User("telegram", "8", Role.OPERATOR)),
    )
    rows = made.command("users").document
    assert [(row["door"], row["role"]) for row in rows] == [
        ("ctl", "admin"),
        ("telegram", "operator"),
        ("telegram", "viewer"),
    ]
    assert not made.command("users", OPERATOR).ok


def test_whoami_names_role_and_what_it_may() -> None:
    made = held()
    found = made.command("whoami", VIEWER).document
    assert (found["name"], found["door"], found["role"]) == ("telegram:7", "telegram", "viewer")
    assert "status" in found["may"]
    assert "halt" not in found["may"]
    assert found["locked_until_ms"] is None
    made.engine.state.factors.locked["telegram:7"] = made.now_ms + 5
    assert made.command("whoami", VIEWER).document["locked_until_ms"] == made.now_ms + 5


# ---------------------------------------------------------------- the last actions


def test_audit_says_who_did_what_and_what_came_of_it() -> None:
    made = held()
    made.command("halt", OPERATOR, reason="news")
    made.command("resume", VIEWER)
    made.command("flatten", VIEWER)
    offer = made.command("flatten")
    made.command("flatten", plan_id="p0")
    made.command("flatten", plan_id=offer.plan_id)
    made.wait(5)
    rows = made.command("audit", people=True, n=50).document
    said = [(r["kind"], r["reason"], r["actor"], r["ok"]) for r in rows if r["ok"] is not None]
    assert said == [
        ("outcome", "flatten", "tester", True),
        ("command", "flatten", "tester", True),
        ("command", "flatten", "tester", False),
        ("command", "flatten", "tester", True),
        ("command", "halt", "telegram:8", True),
    ]
    results = " | ".join(row["result"] for row in rows)
    assert "no such plan" in results
    assert "flatten complete, verified: flat" in results
    refused = [row["reason"] for row in rows if row["kind"] == "refused"]
    assert refused == [
        "flatten: flatten needs the role admin, telegram:7 is viewer",
        "resume: resume needs the role operator, telegram:7 is viewer",
    ]
    assert all(row["actor"] != "riskbot" for row in rows)


def test_audit_is_bounded_and_outlives_a_restart() -> None:
    made = held()
    for _ in range(KEPT):
        made.command("halt", OPERATOR)
    before = made.command("audit", n=KEPT).document
    assert len(before) == KEPT
    again = type(made.engine)(made.engine.settings, made.engine.state.order_prefix)
    again.load(json.loads(json.dumps(made.engine.dump())))
    made.engine = again
    assert made.command("audit", n=KEPT).document == before
    assert not made.command("audit", n=KEPT + 1).ok
    assert not made.command("audit", OPERATOR).ok


# ---------------------------------------------------------------- alerts


def test_alert_tells_its_story_by_its_id() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)})
    made.price(BTC=30_000)
    made.wait(25)
    (row,) = [r for r in made.command("alerts").document if r["limit"] == "gross_exposure"]
    made.command("ack", OPERATOR, id=row["id"])
    told = made.told("gross_exposure")[-1]
    made.give(
        events.AlertDelivered(
            alert_id=told.alert.message, channel="log", revision=told.alert.revision
        )
    )
    found = made.command("alerts", which=f"#{row['id'].lower()}").document
    assert found["acked_by"] == "telegram:8"
    assert [words for _, words in found["timeline"]][-1] == "ack telegram:8"
    assert found["message"]["deliveries"] == [
        {"channel": "log", "revision": told.alert.revision, "newest": True, "held": False}
    ]
    assert row["id"] in found["message"]["members"]


def test_story_of_an_alert_says_which_channel_keeps_it_for_the_morning() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)})
    made.price(BTC=30_000)
    made.wait(25)
    (row,) = [r for r in made.command("alerts").document if r["limit"] == "gross_exposure"]
    message = made.told("gross_exposure")[-1].alert.message
    for channel, revision, is_held in (("log", 1, False), ("telegram", 1, True)):
        made.give(
            events.AlertDelivered(
                alert_id=message, channel=channel, revision=revision, is_held=is_held
            )
        )
    rows = made.command("alerts", which=row["id"]).document["message"]["deliveries"]
    assert [(r["channel"], r["held"]) for r in rows] == [("log", False), ("telegram", True)]
    made.give(events.AlertDelivered(alert_id=message, channel="telegram", revision=2))
    rows = made.command("alerts", which=row["id"]).document["message"]["deliveries"]
    assert [(r["channel"], r["held"]) for r in rows] == [("log", False), ("telegram", False)]


def test_alert_that_is_over_is_found_among_those_of_the_day() -> None:
    made = held()
    made.give(events.FrontendChanged(name="http", is_up=False))
    made.give(events.FrontendChanged(name="http", is_up=True))
    made.wait(1)
    rows = made.command("alerts", which="24h").document
    ended = next(row for row in rows if row["limit"] == "frontend_down")
    assert ended["level"] == "resolved"
    found = made.command("alerts", which=ended["id"]).document
    assert found["status"] == "resolved"
    made.engine.state.alerts.threads.clear()
    assert made.command("alerts", which=ended["id"]).document["message"] is None


def test_alert_that_nobody_knows_is_said_so() -> None:
    reply = held().command("alerts", which="A999")
    assert not reply.ok
    assert "A999" in reply.message


READS = [command for command in COMMANDS if command.reads_only]
OBSERVED = (actions.SendReply, actions.RecordExposure, actions.RecordNav)


@pytest.mark.parametrize("name", [command.name for command in READS])
def test_command_that_reads_decides_nothing(name: str) -> None:
    made = held()
    made.wait(2)
    seen = len(made.actions)
    reply = made.command(name, **({"instrument": "BTC"} if name == "size" else {}))
    assert reply.ok
    assert [a for a in made.actions[seen:] if not isinstance(a, OBSERVED)] == []
