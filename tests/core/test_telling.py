"""What people are told: alerts with their times, notices, BLIND flags, the dead-man's switch."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

import pytest

from riskbot.core import actions, blind, events
from riskbot.core.duty import AlertStatus
from riskbot.core.limits import LIMITS_BY_NAME
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.model import (
    PORTFOLIO,
    Actor,
    BlindKind,
    Level,
    MarginReport,
    Mode,
    RejectReason,
    Response,
    Role,
    TradingState,
)
from riskbot.core.settings import AccountSettings, DeadManSettings
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.DENY)
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def quiet() -> World:
    return world(GROSS, held={"BTC": (1, 50_000)})


def red() -> World:
    """Build a world whose gross limit is broken and stays so."""
    return world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)


# ---------------------------------------------------------------- figures


def test_worst_of_a_min_limit_is_the_lowest() -> None:
    made = world(LiquidationDistance(min=0.2, severity="red"), held={"BTC": (1, 50_000)})
    for mark in (48_000, 44_000, 46_000):
        made.now_ms += 1_000
        row = builders.position(BTC, 1, 50_000, liquidation_price=40_000)
        made.give(builders.snapshot(row, as_of_ms=made.now_ms))
        made.price(BTC=mark)
        made.give(events.TimerFired())
    alert = made.engine.state.alerts.firing["liquidation_distance", PORTFOLIO]
    assert alert.worst == pytest.approx(4 / 44)


def test_margin_alert_states_the_top_up() -> None:
    made = world(MaintenanceMargin(max=0.3), held={"BTC": (1, 50_000)}, scope="account:main")
    made.now_ms += 1_000
    margin = MarginReport(equity_usd=100_000, maintenance_usd=50_000)
    made.give(
        builders.snapshot(builders.position(), as_of_ms=made.now_ms, margin=margin, usdt=100_000)
    )
    for _ in range(2):
        made.now_ms += 10_000
        made.give(builders.snapshot(builders.position(), as_of_ms=made.now_ms, margin=margin))
    (told,) = made.told("maintenance_margin")
    assert "top-up of 66,667 USD on main" in told.alert.todo


# ---------------------------------------------------------------- notices


def test_start_is_told_in_one_silent_line_with_what_is_open() -> None:
    made = red()
    made.deaf.add("main")
    made.confirm("flatten")
    made.restart()
    last = made.told("started")[-1]
    assert not last.is_loud
    assert "1 accounts with unfinished work" in last.alert.text


def test_start_when_the_halt_file_is_there_halts() -> None:
    made = quiet()
    made.give(events.Started(version="t", config_hash="x", halt_file=True))
    made.give(events.HaltFileSeen())
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    assert len([a for a in made.of(actions.PlaceHold) if a.hold.limit == "operator"]) == 1


def test_stop_is_told() -> None:
    made = quiet()
    made.give(events.Stopping())
    assert made.told("stopping")


def test_fault_of_the_engine_is_told_in_red() -> None:
    made = quiet()
    made.give(events.EngineFaulted(event_kind="PricesUpdated", error="boom"))
    (told,) = made.told("engine_fault")
    assert told.alert.level is Level.RED


@pytest.mark.parametrize(
    ("rights", "level"),
    [
        ({"can_withdraw": True}, Level.ORANGE),
        ({"can_transfer": True}, Level.ORANGE),
        ({"has_ip_list": False}, Level.YELLOW),
    ],
)
def test_key_that_may_too_much_is_told_until_it_is_replaced(
    rights: dict[str, bool], level: Level
) -> None:
    made = quiet()
    nothing = {"can_trade": True, "can_withdraw": False, "can_transfer": False, "has_ip_list": True}
    made.give(events.KeyRightsChecked(account="main", **{**nothing, **rights}))
    assert made.told("key_rights")[0].alert.level is level
    made.give(events.KeyRightsChecked(account="main", **nothing))
    assert made.told("key_rights")[-1].alert.status is AlertStatus.RESOLVED
    assert made.command("status").document["accounts"]["main"]["key_rights"]["can_trade"]


def test_frontend_that_is_down_is_told_until_it_is_back() -> None:
    made = quiet()
    made.give(events.FrontendChanged(name="telegram", is_up=False, detail="409"))
    made.give(events.FrontendChanged(name="telegram", is_up=True))
    first, last = made.told("frontend_down")
    assert first.alert.text == "409"
    assert last.alert.status is AlertStatus.RESOLVED


def test_token_that_somebody_else_uses_is_red_until_he_is_gone() -> None:
    made = quiet()
    contested = {"is_up": False, "detail": "another program polls", "is_contested": True}
    made.give(events.FrontendChanged(name="telegram", **contested))
    made.give(events.FrontendChanged(name="telegram", is_up=False, detail="gone"))
    assert [s.alert.level for s in made.told("token_conflict")] == [Level.RED]
    made.give(events.FrontendChanged(name="telegram", is_up=True))
    first, last = made.told("token_conflict")
    assert "only what lowers risk" in first.alert.did
    assert last.alert.status is AlertStatus.RESOLVED


def test_ack_of_one_who_uses_the_token_is_none_of_the_next() -> None:
    made = quiet()

    def contest(words: str) -> None:
        made.give(
            events.FrontendChanged(name="telegram", is_up=False, detail=words, is_contested=True)
        )

    def taken() -> list[str | None]:
        return [row["acked_by"] for row in made.command("alerts").document]

    made.give(events.FrontendChanged(name="telegram", is_up=False, detail="gone"))
    contest("another program polls")
    assert made.told("frontend_down")[-1].alert.status is AlertStatus.RESOLVED
    made.command("ack", id=made.told("token_conflict")[-1].alert.alert_id)
    contest("another program polls")
    assert taken() == ["tester"]
    contest("a webhook was set")
    assert taken() == [None]
    assert made.told("token_conflict")[-1].alert.text == "a webhook was set"


def test_frontend_that_is_slow_is_told_until_it_is_fast_again() -> None:
    made = quiet()
    slow = events.FrontendChanged(name="mqtt", is_up=True, is_slow=True, detail="44 ms")
    made.give(slow)
    (told,) = made.told("frontend_slow")
    assert (told.alert.level, told.alert.text) == (Level.YELLOW, "44 ms")
    assert "set_tcp_nodelay" in told.alert.todo
    made.give(events.FrontendChanged(name="mqtt", is_up=False, detail="gone"))
    assert len(made.told("frontend_slow")) == 1
    made.give(events.FrontendChanged(name="mqtt", is_up=True))
    assert made.told("frontend_slow")[-1].alert.status is AlertStatus.RESOLVED


def test_command_that_a_door_refused_is_audited_under_who_it_claimed_to_be() -> None:
    made = quiet()
    actor = Actor("mqtt:desk", Role.OPERATOR, "mqtt")
    made.give(events.CommandRefused(actor=actor, reason="MQTT: the signature does not match"))
    rows = [r for _, r in made.journal if isinstance(r, actions.RecordDecision)]
    assert (rows[-1].decision, rows[-1].actor) == ("refused", "mqtt:desk")
    assert "signature" in rows[-1].reason


def fails(made: World, channel: str) -> None:
    made.give(events.AlertDeliveryFailed(alert_id="A1", channel=channel, revision=1, error="no"))


def test_alerts_when_every_channel_is_dead_for_minutes_are_blind() -> None:
    made = quiet()
    made.give(events.AlertDelivered(alert_id="A1", channel="mail", revision=1))
    fails(made, "telegram")
    made.wait(400)
    assert not made.engine.state.enforcement.is_blind(BlindKind.ALERTS)
    fails(made, "mail")
    made.wait(200)
    assert not made.engine.state.enforcement.is_blind(BlindKind.ALERTS)
    made.wait(120)
    assert made.engine.state.enforcement.is_blind(BlindKind.ALERTS)
    made.give(events.AlertDelivered(alert_id="A1", channel="mail", revision=2, is_held=True))
    assert made.engine.state.enforcement.is_blind(BlindKind.ALERTS), "it proves no channel"
    assert made.told("channel_down")[-1].alert.status is AlertStatus.FIRING
    made.give(events.AlertDelivered(alert_id="A1", channel="mail", revision=2))
    assert not made.engine.state.enforcement.is_blind(BlindKind.ALERTS)
    assert made.told("channel_down")[-1].alert.status is AlertStatus.RESOLVED


# ---------------------------------------------------------------- blind


def test_storage_when_it_fails_is_blind_until_it_is_back() -> None:
    made = quiet()
    made.give(events.StorageFailed(error="disk full"))
    made.give(events.StorageFailed(error="disk full"))
    assert made.engine.state.enforcement.is_blind(BlindKind.STORAGE)
    made.give(events.StorageRestored())
    assert not made.engine.state.enforcement.is_blind(BlindKind.STORAGE)
    assert len(made.told("storage")) == 2


@pytest.mark.parametrize(("offset", "level"), [(300, Level.YELLOW), (-1_500, Level.RED)])
def test_clock_when_it_is_off_is_told_and_far_off_is_blind(offset: int, level: Level) -> None:
    made = quiet()
    made.give(events.ClockMeasured(account="main", offset_ms=offset, round_trip_ms=10))
    made.wait(1)
    assert made.told("blind_clock")[0].alert.level is level
    assert made.engine.state.enforcement.is_blind(BlindKind.CLOCK, "main") is (level is Level.RED)
    made.give(events.ClockMeasured(account="main", offset_ms=0, round_trip_ms=10))
    made.wait(1)
    assert not made.engine.state.enforcement.is_blind(BlindKind.CLOCK, "main")
    assert made.told("blind_clock")[-1].alert.status is AlertStatus.RESOLVED


def test_clock_that_stays_off_is_told_once() -> None:
    made = quiet()
    made.give(events.ClockMeasured(account="main", offset_ms=400, round_trip_ms=10))
    made.wait(30)
    assert len(made.told("blind_clock")) == 1


def test_names_of_alerts_that_no_limit_raises_are_no_names_of_limits() -> None:
    # A limit without an episode ends the alerts of its name, each turn anew.
    told = set()
    for path in pathlib.Path(blind.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in {"alerts.tell", "tell"}:
                told |= {a.value for a in call.args[1:2] if isinstance(a, ast.Constant)}
    assert len(told) > 5
    assert not told & set(LIMITS_BY_NAME)


def test_clock_read_over_a_slow_way_is_off_by_what_is_certain() -> None:
    made = quiet()
    made.give(events.ClockMeasured(account="main", offset_ms=1_200, round_trip_ms=2_200))
    made.wait(1)
    assert not made.told("blind_clock")
    assert not made.engine.state.enforcement.is_blind(BlindKind.CLOCK, "main")


def test_price_when_it_stops_is_flagged_told_and_red_after_a_minute() -> None:
    made = quiet()
    made.wait(20)
    made.muted.add("main")
    made.wait(7)
    assert made.engine.state.enforcement.is_blind(BlindKind.PRICE, f"main|{BTC}")
    assert not made.told("blind_price")
    made.wait(9)
    assert made.told("blind_price")[0].alert.level is Level.ORANGE
    made.wait(70)
    assert made.told("blind_price")[-1].alert.level is Level.RED
    assert not made.sent
    made.muted.clear()
    made.wait(2)
    assert made.told("blind_price")[-1].alert.status is AlertStatus.RESOLVED


def test_account_when_it_is_silent_is_flagged_told_and_back_by_itself() -> None:
    made = quiet()
    made.wait(20)
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(17)
    assert made.engine.state.enforcement.is_blind(BlindKind.ACCOUNT, "main")
    assert not made.told("blind_account")
    made.wait(10)
    assert made.told("blind_account")[0].alert.level is Level.ORANGE
    made.wait(70)
    assert made.told("blind_account")[-1].alert.level is Level.RED
    made.deaf.clear()
    made.wait(2)
    assert ("blind_account", "account:main") not in made.engine.state.alerts.firing


def test_stream_when_it_is_lost_is_told_until_it_lives_again() -> None:
    made = quiet()
    made.give(events.FeedLost(account="main", feed="account", reason="gone"))
    made.give(events.FeedLost(account="main", feed="account", reason="gone still"))
    made.wait(31)
    assert made.told("feed_account")[0].alert.level is Level.ORANGE
    made.restart()
    assert made.told("feed_account")[-1].alert.status is AlertStatus.FIRING
    made.give(events.FeedAlive(account="main", feed="account"))
    made.wait(1)
    assert made.told("feed_account")[-1].alert.status is AlertStatus.RESOLVED


def test_stream_when_its_account_is_blind_says_nothing_beside_it() -> None:
    made = quiet()
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(20)
    made.give(events.FeedLost(account="main", feed="prices", reason="gone"))
    assert not made.told("feed_prices")


# ---------------------------------------------------------------- dead-man's switch


def watched(policy: str, mode: Mode = Mode.ENFORCE) -> World:
    account = AccountSettings(
        exchange="bybit",
        dead_man=DeadManSettings(policy=policy, timeout_s=60),  # type: ignore[arg-type]
    )
    made = world(GROSS, held={"BTC": (1, 50_000)}, accounts={"main": account}, mode=mode)
    made.now_ms += 120_000
    return made


def told_venue(made: World) -> list[tuple[int, tuple[str, ...]]]:
    return [(a.timeout_ms, a.symbols) for a in made.of(actions.SetDeadMan)]


def armed(made: World, *, is_armed: bool = True) -> None:
    made.give(events.DeadManChanged(account="main", is_armed=is_armed, detail="", until_ms=None))


def test_dead_man_is_armed_while_orders_rest_and_refreshed_in_time() -> None:
    made = watched("all")
    made.wait(2)
    assert told_venue(made) == []
    made.rest("BTC", "buy", "1", price=40_000)
    made.wait(2)
    assert told_venue(made) == [(60_000, (BTC,))]
    armed(made)
    made.wait(25)
    assert len(told_venue(made)) == 2
    assert made.command("status").document["accounts"]["main"]["dead_man"]["is_armed"]


def test_dead_man_of_entries_only_is_disarmed_at_once_when_a_stop_rests() -> None:
    made = watched("entries_only")
    made.rest("BTC", "buy", "1", price=40_000)
    made.wait(2)
    armed(made)
    made.rest("BTC", "sell", "1", stop_price=45_000, reduce_only=True)
    made.wait(2)
    assert told_venue(made)[-1][0] == 0
    armed(made, is_armed=False)
    told = len(told_venue(made))
    made.wait(30)
    assert len(told_venue(made)) == told


def test_dead_man_after_a_restart_is_disarmed_although_the_venue_has_not_said_so() -> None:
    made = watched("entries_only")
    made.rest("BTC", "buy", "1", price=40_000)
    made.wait(2)
    assert told_venue(made) == [(60_000, (BTC,))]
    made.rest("BTC", "sell", "1", stop_price=45_000, reduce_only=True)
    made.restart()
    made.wait(3)
    assert 0 in [timeout for timeout, _ in told_venue(made)]


def test_dead_man_lapses_on_an_account_that_is_blind_for_long() -> None:
    made = watched("all")
    made.rest("BTC", "buy", "1", price=40_000)
    made.wait(2)
    armed(made)
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(100)
    told = len(told_venue(made))
    made.wait(100)
    assert len(told_venue(made)) == told


def test_dead_man_is_disarmed_wherever_it_was_armed_orders_there_or_not() -> None:
    """Where each instrument has a timer, one that ran out would cancel the stop placed since."""
    made = watched("entries_only")
    made.rest("ETH", "buy", "1", price=1_000)
    made.wait(2)
    armed(made)
    made.orders["main"].clear()
    made.rest("BTC", "sell", "1", stop_price=45_000, reduce_only=True)
    made.wait(3)
    assert told_venue(made)[-1] == (0, (BTC, ETH))
    # Not said to be off: told again until it is.
    armed(made)
    told = len(told_venue(made))
    made.wait(5)
    assert len(told_venue(made)) > told


def dead_man(made: World) -> Any:
    return made.command("status").document["accounts"]["main"]["dead_man"]


def test_dead_man_is_shown_as_it_is() -> None:
    made = watched("entries_only")
    made.wait(2)
    assert dead_man(made)["detail"] == "no order that it would cancel"
    made.rest("BTC", "sell", "1", stop_price=45_000, reduce_only=True)
    made.wait(2)
    assert dead_man(made)["detail"] == "not armed: would cancel stops"
    assert dead_man(made)["is_armed"] is False
    made.give(
        events.DeadManChanged(
            account="main", is_armed=True, detail="60 s", until_ms=made.now_ms + 60_000
        )
    )
    assert dead_man(made)["is_armed"] is True
    made.now_ms += 61_000
    shown = dead_man(made)
    assert (shown["policy"], shown["is_armed"]) == ("entries_only", False)


def test_dead_man_that_was_not_refreshed_is_shown_as_lapsed() -> None:
    made = watched("all")
    made.give(
        events.DeadManChanged(
            account="main", is_armed=True, detail="60 s", until_ms=made.now_ms + 1_000
        )
    )
    made.now_ms += 2_000
    assert (dead_man(made)["is_armed"], dead_man(made)["detail"]) == (False, "lapsed")


# ---------------------------------------------------------------- request limits, keys that end


def test_wait_the_venue_states_is_told_and_shown_until_it_is_over() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    until_ms = made.now_ms + 30_000
    made.give(
        events.RequestsLimited(
            account="main", used_ratio=0.9, until_ms=until_ms, detail="418 -1003"
        )
    )
    alert = made.told("rate_limited")[-1].alert
    assert (alert.level, alert.text) == (Level.ORANGE, "418 -1003")
    assert "30 s" in alert.title
    shown = made.command("status").document["accounts"]["main"]["requests"]
    assert (shown["until_ms"], shown["used_ratio"]) == (until_ms, 0.9)
    made.give(events.RequestsLimited(account="main", used_ratio=0.7))
    assert made.told("rate_limited")[-1].alert.level is Level.YELLOW
    made.give(events.RequestsLimited(account="main", used_ratio=0.2))
    assert made.told("rate_limited")[-1].alert.status is AlertStatus.RESOLVED


@pytest.mark.parametrize(
    ("days", "level"),
    [(20, None), (13, Level.YELLOW), (6, Level.ORANGE), (0.5, Level.RED), (-1, Level.RED)],
)
def test_end_of_a_key_is_told_in_time(days: float, level: Level | None) -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    rights: dict[str, Any] = {
        "can_trade": True, "can_withdraw": False, "can_transfer": False, "has_ip_list": True,
    }  # fmt: skip
    ends = made.now_ms + int(days * 86_400_000)
    made.give(events.KeyRightsChecked(account="main", **rights, expires_ms=ends))
    told = made.told("key_expiry")
    assert [t.alert.level for t in told] == ([] if level is None else [level])
    made.give(events.KeyRightsChecked(account="main", **rights))
    assert all(t.alert.status is AlertStatus.RESOLVED for t in made.told("key_expiry")[1:])


def test_dead_man_in_shadow_is_never_armed() -> None:
    made = watched("all", Mode.SHADOW)
    made.rest("BTC", "buy", "1", price=40_000)
    made.wait(2)
    assert told_venue(made) == []


def test_account_that_only_its_stream_shows_is_told_of() -> None:
    made = quiet()
    refused = events.RefreshFailed(
        account="main", reason=RejectReason.MAINTENANCE, message="503 behind the curtain"
    )
    made.deaf.add("main")
    frame = events.BalancesUpdated(
        account="main", balances=(builders.balance("USDT", made.wallet["main"]),)
    )
    for second in range(80):
        made.now_ms += 1_000
        made.give(frame)
        made.give(refused)
        if second in {24, 26}:
            assert bool(made.told("unread_account")) is (second == 26)
    told = made.told("unread_account")
    assert [t.alert.level for t in told][:2] == [Level.ORANGE, Level.RED]
    assert "503 behind the curtain" in told[0].alert.text
    assert not made.told("blind_account")
    made.deaf.clear()
    made.read()
    assert made.told("unread_account")[-1].alert.status is AlertStatus.RESOLVED
