"""The daily digest: what it says, and that it goes out once a day whatever happens."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from riskbot.core import actions, digest, events
from riskbot.core.daybook import HOUR_MS, Daybook
from riskbot.core.engine import Engine
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import DIGEST, Actor, BlindKind, Level, Role
from riskbot.core.settings import CoreSettings
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0)
DAY_MS = 24 * HOUR_MS
VIEWER = Actor("eve", Role.VIEWER, "test")


def held(**fields: object) -> World:
    return world(GROSS, held={"BTC": (1, 50_000)}, **fields)  # type: ignore[arg-type]


def go_to(made: World, at_ms: int) -> None:
    """Jump: nobody fed anything meanwhile, then the world goes on."""
    made.now_ms = at_ms
    made.price()
    made.read()
    made.wait(2)


def eight(made: World, days: int = 1, zone: str = "UTC") -> int:
    """Return eight o'clock, so many days after today."""
    today = datetime.fromtimestamp(made.now_ms / 1000, ZoneInfo(zone)).date()
    day = today + timedelta(days=days)
    local = datetime(day.year, day.month, day.day, 8, tzinfo=ZoneInfo(zone))
    return round(local.timestamp() * 1000)


def told(made: World) -> list[actions.SendAlert]:
    return made.told(DIGEST)


# ---------------------------------------------------------------- when


def test_digest_goes_out_at_eight_once_and_silently() -> None:
    made = held()
    due_ms = eight(made)
    go_to(made, due_ms - 60_000)
    assert not told(made)
    go_to(made, due_ms)
    (sent,) = told(made)
    assert (sent.is_loud, sent.alert.level) == (False, Level.OK)
    made.wait(30)
    assert len(told(made)) == 1
    go_to(made, due_ms + DAY_MS)
    assert [a.alert.alert_id for a in told(made)] == ["D1", "D2"]


def test_digest_is_told_by_the_clock_of_the_zone() -> None:
    made = held(timezone="Asia/Tokyo")
    due_ms = eight(made, zone="Asia/Tokyo")
    go_to(made, due_ms - 60_000)
    assert not told(made)
    go_to(made, due_ms + 1_000)
    assert len(told(made)) == 1


def test_digest_when_riskbot_was_away_at_eight_comes_later() -> None:
    made = held()
    due_ms = eight(made)
    made.now_ms = due_ms + 2 * HOUR_MS
    made.restart()
    assert not told(made), "not before the accounts are read"
    made.price()
    made.read()
    made.wait(2)
    (sent,) = told(made)
    assert "riskbot" in sent.alert.text


def test_digest_is_not_repeated_by_a_restart() -> None:
    made = held()
    go_to(made, eight(made) + 1_000)
    assert len(told(made)) == 1
    made.restart()
    made.price()
    made.read()
    made.wait(60)
    assert len(told(made)) == 1
    again = Engine(made.engine.settings, "rbtest")
    again.load(json.loads(json.dumps(made.engine.dump())))
    made.engine = again
    made.wait(5)
    assert len(told(made)) == 1


def test_digest_of_less_than_an_hour_waits_for_the_next_day() -> None:
    made = World(Engine(builders.settings(limits=(("portfolio", GROSS),)), "rbtest"))
    due_ms = eight(made)
    made.now_ms = due_ms - 60_000
    for account in made.engine.settings.accounts:
        made.wallet[account] = builders.dec(100_000)
        made.held[account] = {}
        made.orders[account] = {}
    made.start()
    go_to(made, due_ms + 1_000)
    assert not told(made)
    go_to(made, due_ms + DAY_MS + 1_000)
    assert len(told(made)) == 1


def test_digest_changes_no_level_and_no_list_of_alerts() -> None:
    made = held()
    go_to(made, eight(made) + 1_000)
    assert told(made)
    assert not made.engine.state.alerts.firing
    rows = made.command("alerts", which="24h").document
    assert DIGEST not in {row["limit"] for row in rows}


# ---------------------------------------------------------------- what


def test_digest_tells_the_day() -> None:
    made = held()
    made.price(BTC=51_000)
    made.wait(61)
    made.command("halt")
    made.confirm("resume")
    made.command("resume", VIEWER)
    for _ in range(digest.NOISY):
        made.give(events.FrontendChanged(name="http", is_up=False))
        made.wait(6)
        made.give(events.FrontendChanged(name="http", is_up=True))
        # Further apart than what counts as flapping.
        go_to(made, made.now_ms + 900_000)
    made.give(events.FrontendChanged(name="http", is_up=False))
    made.wait(1)
    alert = next(a for a in made.engine.state.alerts.firing.values() if a.name == "frontend_down")
    made.command("ack", id=alert.alert_id)
    made.wait(60)
    found = made.command("digest", VIEWER).document
    json.dumps(found)
    assert found["pnl_usd"] == pytest.approx(1_000)
    assert found["pnl_share"] == pytest.approx(0.01)
    row = next(row for row in found["alerts"] if row["rule"] == "frontend_down")
    assert row == {"rule": "frontend_down", "raised": 7, "acked": 1, "worst": "orange"}
    assert found["noisy"][0]["rule"] == "frontend_down"
    assert found["level_minutes"]["orange"] > 1.5
    assert sum(found["level_minutes"].values()) == pytest.approx(
        (found["until_ms"] - found["since_ms"]) / 60_000
    )
    assert found["commands"] == {"ack": 1, "halt": 1, "resume": 1}
    assert found["refused"] == 1
    assert found["open_alerts"] == 1
    assert found["nearest"][0]["limit"] == "gross_exposure"
    words = "\n".join(digest.lines(found))
    for part in ("frontend_down raised 7 times: hysteresis?", "commands", "refused 1", "nearest"):
        assert part in words
    assert "+1,000.00 USD (+1.00%)" in digest.title(found)


def test_digest_of_a_quiet_day_says_so() -> None:
    made = world(usdt=0)
    words = digest.lines(made.command("digest").document)
    assert "alerts none" in words
    assert "nearest no limit" in words


def test_digest_counts_what_was_out_of_sight() -> None:
    made = held()
    made.wait(10)
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(120)
    open_ = made.command("digest").document["outages"]
    row = next(row for row in open_ if row["what"] == "account:main")
    assert row["open"]
    assert row["minutes"] == pytest.approx(104 / 60, abs=0.2)
    made.deaf.clear()
    made.muted.clear()
    made.wait(3)
    ended = made.command("digest").document["outages"]
    row = next(row for row in ended if row["what"] == "account:main")
    assert (row["open"], row["times"]) == (False, 1)
    assert any(
        line.startswith("out of sight")
        for line in digest.lines(
            {
                **made.command("digest").document,
            }
        )
    )


def test_digest_knows_how_near_a_limit_was() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)})
    made.price(BTC=40_000)
    made.wait(2)
    made.price(BTC=50_000)
    made.wait(2)
    (row,) = made.command("digest").document["nearest"]
    assert row["utilization"] == pytest.approx(0.75)
    assert row["worst_utilization"] == pytest.approx(120 / 70 / 2)


def test_orders_of_riskbot_are_counted() -> None:
    made = held()
    made.rest("BTC", "buy", "0.1", price=40_000)
    made.read()
    made.confirm("flatten")
    found = made.command("digest").document
    assert (found["orders"], found["cancels"]) == (1, 1)


def test_figures_that_flow_in_are_no_profit() -> None:
    daybook = Daybook()

    def nav(units: float, value: float) -> actions.RecordNav:
        return actions.RecordNav(scope="portfolio", equity_usd=units * value, nav=value,
                                 units=units, day_start_ms=1, week_start_ms=1)  # fmt: skip

    flow = actions.BookFlow(flow_id="F1", account="a", amount_usd=110.0, source="ledger",
                            navs={"portfolio": 1.1})  # fmt: skip
    daybook.apply(flow, 0)
    daybook.apply(nav(100, 1.0), 1)
    daybook.apply(flow, 2)
    daybook.apply(nav(200, 1.2), 3)
    assert sum(hour.pnl_usd for hour in daybook.hours) == pytest.approx(100 * 0.1 + 200 * 0.1)


def test_flag_that_was_up_before_anything_was_counted_is_no_outage() -> None:
    daybook = Daybook()
    lifted = actions.SetBlind(what=BlindKind.STORAGE, subject="", is_blind=False, reason="")
    daybook.apply(lifted, HOUR_MS)
    assert daybook == Daybook()


# ---------------------------------------------------------------- the window


def test_digest_forgets_what_is_older_than_a_day() -> None:
    made = held()
    made.command("halt")
    go_to(made, made.now_ms + 12 * HOUR_MS)
    assert made.command("digest").document["commands"] == {"halt": 1}
    go_to(made, made.now_ms + 14 * HOUR_MS)
    found = made.command("digest").document
    assert found["commands"] == {}
    assert found["until_ms"] - found["since_ms"] <= 25 * HOUR_MS
    assert len(made.engine.state.past.daybook.hours) <= 26


def test_level_that_stands_for_hours_is_counted_in_each() -> None:
    made = held()
    made.give(events.FrontendChanged(name="http", is_up=False))
    go_to(made, made.now_ms + 3 * HOUR_MS)
    made.give(events.FrontendChanged(name="http", is_up=True))
    made.wait(1)
    found = made.command("digest").document
    assert found["level_minutes"]["orange"] == pytest.approx(180, abs=1)
    spread = [hour.levels.get("orange", 0) for hour in made.engine.state.past.daybook.hours]
    assert max(spread) <= HOUR_MS


def test_fold_of_the_journal_ends_in_the_same_daybook() -> None:
    made = held()
    made.give(events.FrontendChanged(name="http", is_up=False))
    made.wait(130)
    made.command("halt")
    go_to(made, eight(made) + 1_000)
    again = Engine(made.engine.settings, "rbtest")
    for ts_ms, record in made.journal:
        again.fold(record, ts_ms)
    assert again.state.past.daybook == made.engine.state.past.daybook
    assert isinstance(made.engine.settings, CoreSettings)
