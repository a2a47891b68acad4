"""When a condition becomes an alert, when it comes down, who took it, who keeps it silent."""

from __future__ import annotations

import pytest

from riskbot.core import actions, alerts
from riskbot.core.alerts import Alerts
from riskbot.core.commands.ack import Ack
from riskbot.core.commands.silence import SilenceAlerts
from riskbot.core.commands.unsilence import Unsilence
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import PORTFOLIO, Level, Role
from tests.core.alarm import Alarm

MAIN = "account:main"


# ---------------------------------------------------------------- up


@pytest.mark.parametrize(
    ("level", "seconds"), [(Level.YELLOW, 30), (Level.ORANGE, 10), (Level.RED, 0)]
)
def test_alert_when_a_limit_is_neared_waits_as_long_as_its_level_says(
    level: Level, seconds: int
) -> None:
    alarm = Alarm()
    alarm.set(level)
    if seconds:
        alarm.wait(seconds - 1)
        assert alarm.level() is Level.OK
        alarm.wait(1)
    assert alarm.level() is level


@pytest.mark.parametrize("level", [Level.YELLOW, Level.ORANGE])
def test_alert_of_a_loss_does_not_wait(level: Level) -> None:
    alarm = Alarm()
    alarm.set(level, "drawdown")
    assert alarm.level("drawdown") is level


def test_alert_of_what_is_no_limit_does_not_wait_in_either_direction() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE, "key_rights", MAIN)
    assert alarm.level("key_rights", MAIN) is Level.ORANGE
    alarm.set(Level.OK, "key_rights", MAIN)
    assert alarm.level("key_rights", MAIN) is Level.OK


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("feed_prices", 30), ("feed_account", 30), ("blind_account", 10), ("blind_price", 10)],
)
def test_sight_that_is_back_before_anybody_could_look_is_never_told(
    name: str, seconds: int
) -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE, name, MAIN)
    alarm.wait(seconds - 1)
    alarm.set(Level.OK, name, MAIN)
    assert alarm.sent == []
    assert alarm.state.alerts.pending == {}
    alarm.set(Level.ORANGE, name, MAIN)
    alarm.wait(seconds)
    assert alarm.level(name, MAIN) is Level.ORANGE
    assert alarm.loud() == [2 * seconds - 1]


def test_sight_lost_for_so_long_that_it_is_red_is_told_at_once() -> None:
    alarm = Alarm()
    alarm.set(Level.RED, "blind_account", MAIN)
    assert alarm.loud() == [0]


def test_condition_when_it_passes_in_time_is_never_told() -> None:
    alarm = Alarm()
    alarm.set(Level.YELLOW)
    alarm.wait(29)
    alarm.set(Level.OK)
    alarm.wait(300)
    assert not alarm.sent
    assert not alarm.state.alerts.pending
    # And the next time it begins to wait anew.
    alarm.set(Level.YELLOW)
    alarm.wait(29)
    assert alarm.level() is Level.OK


def test_orange_when_it_comes_and_goes_within_yellow_counts_for_yellow() -> None:
    alarm = Alarm()
    for _ in range(5):
        alarm.set(Level.YELLOW)
        alarm.wait(3)
        alarm.set(Level.ORANGE)
        alarm.wait(3)
    alarm.wait(1)
    assert alarm.level() is Level.YELLOW


def test_since_is_when_the_condition_began() -> None:
    alarm = Alarm()
    alarm.set(Level.YELLOW)
    alarm.wait(40)
    found = alarm.alert()
    assert found is not None
    assert found.since_ms == alarm.start_ms
    assert found.level_ms == alarm.start_ms + 30_000


# ---------------------------------------------------------------- down


@pytest.mark.parametrize(
    ("level", "seconds"), [(Level.YELLOW, 120), (Level.ORANGE, 300), (Level.RED, 600)]
)
def test_alert_when_it_is_calm_comes_down_only_after_a_while(level: Level, seconds: int) -> None:
    alarm = Alarm()
    alarm.set(level)
    alarm.wait(60)
    assert alarm.level() is level
    alarm.set(Level.OK)
    alarm.wait(seconds - 1)
    assert alarm.level() is level
    alarm.wait(1)
    assert alarm.alert() is None
    assert alarm.state.alerts.resolved[-1].status is AlertStatus.RESOLVED
    assert alarm.state.alerts.resolved[-1].worst_level is level


def test_alert_when_it_returns_within_the_while_starts_to_count_anew() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.set(Level.OK)
    alarm.wait(599)
    alarm.set(Level.RED)
    alarm.set(Level.OK)
    alarm.wait(599)
    assert alarm.level() is Level.RED


def test_alert_when_only_the_worst_has_passed_comes_down_to_what_stands() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.set(Level.YELLOW)
    alarm.wait(600)
    assert alarm.level() is Level.YELLOW
    found = alarm.alert()
    assert found is not None
    assert found.worst_level is Level.RED


def test_alert_when_its_limit_is_configured_no_more_ends_at_once() -> None:
    alarm = Alarm()
    alarm.set(Level.RED, "gross_exposure", "account:gone")
    alarm.set(Level.OK, "gross_exposure", "account:gone")
    assert not alarm.state.alerts.firing


def test_alert_that_comes_too_often_flaps_and_stays_for_half_an_hour() -> None:
    alarm = Alarm()
    for _ in range(4):
        alarm.set(Level.RED, "blind_account", MAIN)
        alarm.wait(60)
        alarm.set(Level.OK, "blind_account", MAIN)
        alarm.wait(60)
    found = alarm.alert("blind_account", MAIN)
    assert found is not None
    assert found.is_flapping
    alarm.wait(1_738)
    assert alarm.alert("blind_account", MAIN) is not None
    alarm.wait(2)
    assert alarm.alert("blind_account", MAIN) is None


def test_alert_whose_id_is_no_number_is_folded_all_the_same() -> None:
    state = Alerts()
    alert = Alert("Ax", 1, Level.RED, AlertStatus.FIRING, "n", "s", "t", "", 0, 0)
    state.apply(actions.SetAlert(alert=alert), 0)
    assert state.firing["n", "s"] == alert
    assert state.counter == 0


# ---------------------------------------------------------------- taken


def test_ack_stays_until_the_level_rises() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE)
    alarm.wait(10)
    alarm.ack()
    alarm.wait(10)
    found = alarm.alert()
    assert found is not None
    assert found.acked_by == "alice"
    alarm.set(Level.RED)
    found = alarm.alert()
    assert found is not None
    assert found.acked_by is None


@pytest.mark.parametrize(("used", "is_taken"), [(1.14, True), (1.16, False)])
def test_ack_when_it_is_worse_by_a_tenth_of_the_limit_is_nobodys_again(
    used: float, is_taken: bool
) -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.ack()
    alarm.set(Level.RED, used=used)
    found = alarm.alert()
    assert found is not None
    assert (found.acked_by is not None) is is_taken


def test_ack_of_a_min_limit_is_lost_when_it_is_lower() -> None:
    alarm = Alarm()
    key = ("liquidation_distance", MAIN)
    alarm.set(Level.RED, *key, used=0.8)
    alarm.ack(alarm.alert(*key))
    alarm.set(Level.RED, *key, used=0.78)
    found = alarm.alert(*key)
    assert found is not None
    assert found.acked_by
    alarm.set(Level.RED, *key, used=-0.1)
    found = alarm.alert(*key)
    assert found is not None
    assert found.acked_by is None


def test_ack_of_what_has_no_figure_stays() -> None:
    alarm = Alarm()
    alarm.set(Level.RED, "strategy_fighting", MAIN)
    found = alarm.alert("strategy_fighting", MAIN)
    assert found is not None
    alarm.wanted.clear()
    turn = alarm.turn()
    turn.emit(actions.SetAlert(alert=Alert(**{**_fields(found), "measured": None})))
    alarm.ack()
    assert alarm.state.alerts.firing["strategy_fighting", MAIN].acked_used is None


def _fields(alert: Alert) -> dict[str, object]:
    return {name: getattr(alert, name) for name in alert.__slots__}


def test_ack_of_a_message_takes_all_that_is_told_in_it() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.set(Level.RED, "net_exposure")
    thread = alarm.last.alert.thread
    assert alarm.do(Ack(id=f"#{thread.lower()}")).ok
    assert all(a.acked_by == "alice" for a in alarm.state.alerts.firing.values())
    reply = alarm.do(Ack(id="A99"))
    assert not reply.ok
    assert thread in reply.message


# ---------------------------------------------------------------- silenced


def test_silence_keeps_quiet_up_to_orange_and_shows_the_level() -> None:
    alarm = Alarm()
    assert alarm.do(SilenceAlerts(limit="gross_exposure", duration_s=3_600)).ok
    alarm.set(Level.ORANGE)
    alarm.wait(100)
    assert alarm.level() is Level.ORANGE
    assert not alarm.loud()
    assert alarm.sent
    alarm.set(Level.RED)
    assert alarm.loud() == [100]


def test_silence_when_it_ends_lets_what_still_stands_call_out() -> None:
    alarm = Alarm()
    alarm.do(SilenceAlerts(limit="gross_exposure", duration_s=600))
    alarm.set(Level.ORANGE)
    alarm.wait(599)
    assert not alarm.loud()
    alarm.wait(1)
    assert alarm.loud() == [600]
    assert not alarm.state.alerts.silences


def test_silence_still_says_that_it_is_over() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE)
    alarm.wait(20)
    alarm.do(SilenceAlerts(id="A1", duration_s=3_600))
    alarm.set(Level.OK)
    alarm.wait(300)
    assert alarm.last.alert.status is AlertStatus.RESOLVED


def test_silence_of_an_account_leaves_the_others_alone() -> None:
    alarm = Alarm()
    alarm.do(SilenceAlerts(limit="all", account="main", duration_s=3_600))
    alarm.set(Level.ORANGE, "gross_exposure", MAIN)
    alarm.wait(30)
    assert not alarm.loud()
    alarm.set(Level.ORANGE)
    alarm.wait(30)
    assert alarm.loud()


@pytest.mark.parametrize(
    ("level", "role", "fields", "words"),
    [
        (Level.RED, Role.OPERATOR, {"limit": "gross_exposure"}, "admin"),
        (Level.RED, Role.ADMIN, {"limit": "gross_exposure", "duration_s": 7_200}, "1 h at most"),
        (Level.ORANGE, Role.OPERATOR, {"id": "all", "duration_s": 18_000}, "4 h at most"),
        (Level.ORANGE, Role.OPERATOR, {"limit": "nosuch"}, "nosuch"),
        (Level.ORANGE, Role.OPERATOR, {"limit": "gross_exposure", "account": "no"}, "no account"),
        (Level.ORANGE, Role.OPERATOR, {"id": "A7"}, "A1"),
        (Level.ORANGE, Role.OPERATOR, {}, "name a limit"),
        (Level.ORANGE, Role.OPERATOR, {"limit": "net_exposure", "duration_s": -1}, "24 h"),
        (Level.ORANGE, Role.OPERATOR, {"limit": "net_exposure", "duration_s": 90_000}, "24 h"),
    ],
)
def test_silence_when_it_may_not_be_is_refused_with_the_reason(
    level: Level, role: Role, fields: dict[str, object], words: str
) -> None:
    alarm = Alarm()
    alarm.set(level)
    alarm.wait(10)
    reply = alarm.do(SilenceAlerts(**fields), role)  # type: ignore[arg-type]
    assert not reply.ok
    assert words in reply.message
    assert not alarm.state.alerts.silences


def test_silence_of_red_is_an_admins_and_needs_the_second_factor() -> None:
    alarm = Alarm()
    command = SilenceAlerts(limit="gross_exposure", duration_s=3_600)
    assert not command.needs_factor(alarm.turn())
    alarm.set(Level.RED)
    assert command.needs_factor(alarm.turn())
    assert not SilenceAlerts(id="A9").needs_factor(alarm.turn())
    assert alarm.do(command, Role.ADMIN).ok
    alarm.wait(1_200)
    assert alarm.loud() == [0]


def test_silence_of_a_day_covers_yellow_alone() -> None:
    alarm = Alarm()
    assert alarm.do(SilenceAlerts(limit="gross_exposure", duration_s=86_400)).ok
    alarm.set(Level.ORANGE)
    alarm.wait(20)
    assert alarm.loud()


def test_unsilence_ends_what_is_named_or_all() -> None:
    alarm = Alarm()
    reply = alarm.do(Unsilence(limit="gross_exposure"))
    assert not reply.ok
    assert "nothing" in reply.message
    alarm.set(Level.ORANGE)
    alarm.wait(10)
    alarm.do(SilenceAlerts(id="A1"))
    assert alarm.state.alerts.silences[("gross_exposure", PORTFOLIO)]
    assert alarm.do(Unsilence(id="a1")).ok
    alarm.do(SilenceAlerts(limit="all"))
    assert "every alert" in alarm.do(Unsilence()).message
    assert not alarm.state.alerts.silences


def test_notice_is_over_as_it_is_told() -> None:
    alarm = Alarm()
    turn = alarm.turn()
    alerts.once(turn, "started", PORTFOLIO, Level.YELLOW, "started")
    alarm.keep(turn)
    assert alarm.last.alert.is_notice
    assert not alarm.last.is_loud
    assert not alarm.state.alerts.firing
