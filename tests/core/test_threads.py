"""Which alerts are told together, when and how loud: figures of the alert life cycle."""

from __future__ import annotations

from itertools import pairwise

import pytest

from riskbot.core import alerts, events, threads
from riskbot.core.duty import AlertStatus
from riskbot.core.holds import place_operator_hold
from riskbot.core.model import PORTFOLIO, Level
from tests.core.alarm import Alarm, named

MAIN = "account:main"
FLOCK = (
    "gross_exposure",
    "net_exposure",
    "asset_exposure",
    "sector_exposure",
    "group_exposure",
    "position_size",
    "open_positions",
    "hedge_drift",
)
"""Limits of one family."""


# ---------------------------------------------------------------- sound


def test_red_is_told_at_once_and_aloud() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    assert alarm.loud() == [0]


def test_orange_of_a_limit_waits_for_others_of_its_cause() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE)
    alarm.wait(15)
    alarm.set(Level.ORANGE, "net_exposure")
    alarm.wait(4)
    assert not alarm.sent
    alarm.wait(2)
    assert alarm.loud() == [20]
    assert alarm.last.alert.also == ()
    alarm.wait(10)
    # The second one joins the message: an edit, no second sound.
    assert alarm.loud() == [20]
    assert "NET_EXPOSURE" in alarm.last.alert.also[0].upper()


def test_yellow_is_silent() -> None:
    alarm = Alarm()
    alarm.set(Level.YELLOW)
    alarm.wait(60)
    assert alarm.sent
    assert not alarm.loud()


def test_red_when_nobody_takes_it_repeats_and_escalates_on_time() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.wait(4_600, step=10)
    assert alarm.loud() == [0, 300, 900, 1500, 2100, 2700, 4500]
    told = [t for _, t in alarm.sent if t.is_loud]
    assert [t.alert.escalation for t in told] == [0, 1, 2, 2, 2, 2, 2]
    assert [t.alert.repeats for t in told] == [0, 0, 0, 1, 2, 3, 4]


def test_red_when_nobody_reacts_for_hours_repeats_ever_more_slowly() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.wait(40_000, step=60)
    late = [second for second in alarm.loud() if second > 7_200]
    waits = [b - a for a, b in pairwise(late)]
    assert all(wait == 7_200 for wait in waits)
    assert waits


def test_orange_when_nobody_takes_it_is_heard_again_after_a_quarter_and_each_hour() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE, "key_rights", MAIN)
    alarm.wait(5_000, step=10)
    assert alarm.loud() == [0, 900, 4500]


def test_red_when_taken_is_called_to_mind_after_an_hour() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.wait(60)
    alarm.ack()
    alarm.wait(7_400, step=10)
    assert alarm.loud() == [0, 3660, 7260]


def test_orange_when_taken_is_quiet() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE)
    alarm.wait(20)
    alarm.ack()
    alarm.wait(8_000, step=10)
    assert alarm.loud() == [20]


def test_red_beside_a_red_makes_one_sound_a_minute() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.wait(5)
    alarm.set(Level.RED, "net_exposure")
    assert not alarm.last.is_loud
    alarm.wait(60)
    assert alarm.loud() == [0, 60]


def test_alert_when_it_gets_worse_calls_again_and_counts_anew() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE)
    alarm.wait(1_000)
    assert alarm.loud() == [20, 920]
    alarm.set(Level.RED)
    alarm.wait(301)
    assert alarm.loud() == [20, 920, 1000, 1300]


def test_alert_when_it_comes_down_edits_and_from_red_is_heard() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.set(Level.YELLOW)
    alarm.wait(600, step=10)
    assert (alarm.last.alert.level, alarm.last.is_loud) == (Level.YELLOW, True)
    alarm.set(Level.OK)
    alarm.wait(120)
    assert alarm.last.alert.status is AlertStatus.RESOLVED
    assert alarm.last.is_loud


def test_alert_when_it_wavers_round_a_level_is_one_silent_message() -> None:
    alarm = Alarm()
    for second in range(1_800):
        level = Level.ORANGE if second % 7 < 4 else Level.YELLOW
        alarm.set(level)
        alarm.wait(1)
    # One message, no sound; its edits are paced.
    assert not alarm.loud()
    assert {told.alert.thread for _, told in alarm.sent} == {"A1"}
    assert len(alarm.sent) <= 1_800 / 5 + 1


# ---------------------------------------------------------------- together


def test_alerts_of_one_cause_stand_in_one_message_headed_by_the_worst() -> None:
    alarm = Alarm()
    alarm.set(Level.YELLOW, "drawdown")
    alarm.wait(10)
    alarm.set(Level.RED, "daily_loss")
    told = alarm.last.alert
    assert (told.thread, told.name) == ("A1", "daily_loss")
    assert told.also == ("YELLOW drawdown yellow #A1",)
    alarm.set(Level.OK, "daily_loss")
    alarm.wait(600, step=10)
    assert named(alarm.last) == "drawdown"
    assert alarm.last.alert.thread == "A1"
    alarm.set(Level.OK, "drawdown")
    alarm.wait(120)
    assert alarm.last.alert.status is AlertStatus.RESOLVED
    assert (alarm.last.alert.thread, alarm.last.alert.name) == ("A1", "daily_loss")


def test_alerts_of_other_causes_and_scopes_have_messages_of_their_own() -> None:
    alarm = Alarm()
    alarm.set(Level.RED, "drawdown")
    alarm.set(Level.RED, "gross_exposure")
    alarm.set(Level.RED, "gross_exposure", MAIN)
    assert len({told.alert.thread for _, told in alarm.sent}) == 3


def test_message_lists_five_others_and_counts_the_rest() -> None:
    alarm = Alarm()
    for name in FLOCK:
        alarm.wanted[name, PORTFOLIO] = (Level.RED, 2.1)
    alarm.look()
    # Eight alerts at once are one message.
    assert alarm.loud() == [0]
    assert len(alarm.last.alert.also) == 6
    assert alarm.last.alert.also[-1] == "+2 more"


# ---------------------------------------------------------------- hidden


def test_red_hides_what_its_rule_says_more_mildly_elsewhere() -> None:
    alarm = Alarm()
    alarm.set(Level.RED)
    alarm.set(Level.ORANGE, "gross_exposure", MAIN)
    alarm.wait(60)
    assert {told.alert.scope for _, told in alarm.sent} == {PORTFOLIO}
    alarm.set(Level.OK)
    alarm.wait(700, step=10)
    assert alarm.last.alert.scope == MAIN


def test_account_out_of_sight_hides_what_its_figures_say_and_the_count_is_shown() -> None:
    alarm = Alarm()
    alarm.set(Level.RED, "blind_account", MAIN)
    alarm.set(Level.ORANGE, "feed_prices", MAIN)
    alarm.set(Level.ORANGE, "gross_exposure", MAIN)
    alarm.wait(60)
    assert {told.alert.name for _, told in alarm.sent} == {"blind_account"}
    assert "1 hidden by a graver cause" in alarm.last.alert.also
    alarm.set(Level.RED, "liquidation_distance", MAIN)
    assert named(alarm.last) == "liquidation_distance"


def test_halt_hides_exposure_that_nears_its_limit() -> None:
    alarm = Alarm()
    turn = alarm.turn()
    place_operator_hold(turn, PORTFOLIO, "alice", "why")
    alarm.set(Level.ORANGE, "halt")
    alarm.set(Level.YELLOW)
    alarm.wait(100)
    assert {told.alert.name for _, told in alarm.sent} == {"halt"}
    alarm.set(Level.YELLOW, "drawdown")
    alarm.wait(10)
    assert named(alarm.last) == "drawdown"


def test_message_whose_alerts_are_all_hidden_stays_as_it_is() -> None:
    alarm = Alarm()
    alarm.set(Level.ORANGE, "gross_exposure", MAIN)
    alarm.wait(30)
    count = len(alarm.sent)
    alarm.set(Level.RED)
    alarm.wait(30)
    assert [told.alert.scope for _, told in alarm.sent[count:]] == [PORTFOLIO]


# ---------------------------------------------------------------- restart


def test_restart_tells_nothing_again_that_was_confirmed() -> None:
    alarm = Alarm()
    alarm.delivered("telegram", _never(alarm))
    alarm.set(Level.RED)
    alarm.delivered("telegram", alarm.last)
    count = len(alarm.sent)
    alarm.again()
    assert len(alarm.sent) == count
    alarm.wait(300)
    # Nor does it forget what is due.
    assert alarm.loud() == [0, 300]


def test_restart_brings_what_no_channel_confirmed_to_those_that_miss_it() -> None:
    alarm = Alarm()
    alarm.delivered("telegram", _never(alarm))
    alarm.delivered("notify", _never(alarm))
    alarm.delivered("log", _never(alarm))
    alarm.set(Level.RED)
    alarm.delivered("notify", alarm.last)
    alarm.delivered("log", alarm.last)
    alarm.again()
    assert alarm.last.channels == ("telegram",)
    assert alarm.last.alert.revision == 1
    assert alarm.last.is_loud


def test_restart_after_the_end_tells_the_end() -> None:
    alarm = Alarm()
    alarm.delivered("telegram", _never(alarm))
    alarm.set(Level.RED, "blind_account", MAIN)
    alarm.set(Level.OK, "blind_account", MAIN)
    alarm.again()
    assert alarm.last.channels == ("telegram",)
    assert alarm.last.alert.status is AlertStatus.RESOLVED


def test_restart_brings_a_silent_change_silently_and_only_while_it_matters() -> None:
    for waited, is_told in ((599, True), (601, False)):
        alarm = Alarm()
        alarm.delivered("telegram", _never(alarm))
        alarm.set(Level.YELLOW, "a")
        assert not alarm.last.is_loud
        first_ms, count = alarm.now_ms, len(alarm.sent)
        alarm.now_ms += waited * 1_000
        alarm.again()
        assert (len(alarm.sent) > count) is is_told
        if is_told:
            assert alarm.last.channels == ("telegram",)
            assert not alarm.last.is_loud
            # A reader sees how late it is.
            assert alarm.last.alert.updated_ms == first_ms


def test_restart_brings_each_channel_what_it_misses() -> None:
    alarm = Alarm()
    for name in ("telegram", "mqtt", "webhook"):
        alarm.delivered(name, _never(alarm))
    alarm.set(Level.RED, "a")
    alarm.delivered("telegram", alarm.last)
    alarm.delivered("mqtt", alarm.last)
    alarm.ack()
    assert not alarm.last.is_loud
    alarm.delivered("mqtt", alarm.last)
    alarm.now_ms += 60_000
    count = len(alarm.sent)
    alarm.again()
    again = {(told.channels, told.is_loud) for _, told in alarm.sent[count:]}
    assert again == {(("webhook",), True), (("telegram",), False)}
    assert alarm.last.alert.acked_by == "alice"


def test_restart_tells_an_old_call_that_still_holds_but_not_an_old_end() -> None:
    alarm = Alarm()
    alarm.delivered("telegram", _never(alarm))
    alarm.set(Level.ORANGE, "a")
    alarm.ack()
    alarm.now_ms += 4_000_000
    alarm.again()
    assert alarm.last.is_loud
    assert alarm.last.channels == ("telegram",)
    alarm.delivered("telegram", alarm.last)
    alarm.set(Level.OK, "a")
    alarm.now_ms += 3_599_000
    alarm.again()
    assert alarm.last.alert.status is AlertStatus.RESOLVED
    count = len(alarm.sent)
    alarm.now_ms += 2_000
    alarm.again()
    assert len(alarm.sent) == count


def notified(level: Level, name: str = "engine_fault") -> Alarm:
    """Return an alarm that has told one notice, confirmed by MQTT alone."""
    alarm = Alarm()
    for channel in ("telegram", "mqtt"):
        alarm.delivered(channel, _never(alarm))
    turn = alarm.turn()
    alerts.once(turn, name, PORTFOLIO, level, "a bug")
    threads.dispatch(turn, events.TimerFired())
    alarm.keep(turn)
    alarm.delivered("mqtt", alarm.last)
    return alarm


def test_restart_brings_a_notice_to_the_channel_that_misses_it() -> None:
    alarm = notified(Level.RED)
    alarm.now_ms += 80_000_000
    alarm.again()
    told = alarm.last
    assert told.channels == ("telegram",)
    assert told.is_loud
    assert (told.alert.title, told.alert.status) == ("a bug", AlertStatus.FIRING)
    assert told.alert.updated_ms == alarm.start_ms
    alarm.delivered("telegram", told)
    count = len(alarm.sent)
    alarm.again()
    assert len(alarm.sent) == count
    alarm.now_ms += 7_000_000
    alarm.look()
    assert not alarm.state.alerts.threads


@pytest.mark.parametrize(
    ("level", "name", "waited_ms"),
    [
        (Level.ORANGE, "flow_unexplained", 3_601_000),
        (Level.YELLOW, "engine_fault", 0),
        (Level.ORANGE, "stopping", 0),
        (Level.RED, "engine_fault", 86_401_000),
    ],
)
def test_restart_leaves_notices_that_matter_no_more(
    level: Level, name: str, waited_ms: int
) -> None:
    alarm = notified(level, name)
    count = len(alarm.sent)
    alarm.now_ms += waited_ms
    alarm.again()
    assert len(alarm.sent) == count


def test_restart_counts_channels_that_have_never_said_a_word() -> None:
    alarm = Alarm()
    alarm.state.settings = alarm.state.settings.telling(["log", "telegram"])
    alarm.set(Level.RED, "a")
    alarm.again()
    assert alarm.last.channels == ("telegram",)


def test_threads_that_are_over_are_forgotten() -> None:
    alarm = Alarm()
    for _ in range(30):
        for name in ("a", "b"):
            alarm.set(Level.RED, name)
            alarm.set(Level.OK, name)
        alarm.now_ms += 1_900_000
        alarm.look()
    assert len(alarm.state.alerts.threads) <= 4


def test_thread_whose_alerts_nobody_remembers_ends_without_a_word() -> None:
    alarm = Alarm()
    alarm.set(Level.RED, "a")
    alarm.wanted.clear()
    alarm.state.alerts.firing.clear()
    count = len(alarm.sent)
    alarm.look()
    assert len(alarm.sent) == count
    alarm.again()
    assert len(alarm.sent) == count


def _never(alarm: Alarm):  # type: ignore[no-untyped-def]
    """Return something a channel has confirmed before: it is known from then on."""
    from riskbot.core import actions
    from riskbot.core.duty import Alert

    alert = Alert("A0", 1, Level.OK, AlertStatus.RESOLVED, "x", "y", "", "", 0, 0)
    return actions.SendAlert(alert=alert)


def test_orange_that_riskbot_has_acted_on_is_told_at_once() -> None:
    alarm = Alarm()
    alarm.urgent.add(("gross_exposure", PORTFOLIO))
    alarm.set(Level.ORANGE)
    assert alarm.loud() == [0]
