"""A freqtrade bot is told, over real sockets, whatever it or a person does meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from riskbot.core import actions
from riskbot.core.model import TradingState
from tests.servers.freqtrade_api import MIDDLE, NEW, OLD, Bot
from tests.strategies.desk import BotEntry, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    made = Bot()
    await made.start()
    yield made
    await made.stop()


def entry(bot: Bot, **fields: str) -> BotEntry:
    return BotEntry(bot.url, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "initial", "stop", "back"),
    [
        (NEW, "running", ["stopentry"], ["start"]),
        (MIDDLE, "running", ["stopentry"], ["reload_config"]),
        (MIDDLE, "stopped", ["stopentry"], ["reload_config", "start"]),
        (OLD, "running", ["stopbuy"], ["reload_config"]),
    ],
)
async def test_bot_of_any_version_stops_entries_and_gets_them_back(
    desk: Desk, bot: Bot, version: str, initial: str, stop: list[str], back: list[str]
) -> None:
    bot.version, bot.initial_state = version, initial
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events)
        assert (desk.last.confirmed, bot.asked) == (TradingState.ACTIVE, [])
        desk.move("HALTED")
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED)
        assert (bot.asked, bot.takes_entries, bot.state != "stopped") == (stop, False, True)
        desk.move("ACTIVE")
        await desk.until(lambda: desk.last.confirmed is TradingState.ACTIVE)
        assert (bot.asked, bot.takes_entries) == (stop + back, True)
        # And that is all: nothing is asked for again.
        await desk.pass_s(130)
        assert bot.asked == stop + back
    assert not any(event.is_lost for event in desk.events)


async def test_reducing_stops_entries_and_halted_after_it_asks_for_nothing_more(
    desk: Desk, bot: Bot
) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("REDUCING")
        await desk.until(lambda: desk.events and desk.last.confirmed is TradingState.REDUCING)
        desk.move("HALTED")
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED)
        assert bot.asked == ["stopentry"]


@pytest.mark.parametrize("state", ["stopped", "paused"])
async def test_bot_that_a_person_stopped_is_neither_asked_nor_started(
    desk: Desk, bot: Bot, state: str
) -> None:
    # stopentry would even start a stopped bot, paused.
    bot.state = state
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: desk.events and desk.last.confirmed is TradingState.HALTED)
        desk.move("ACTIVE")
        await desk.until(lambda: desk.last.wanted is TradingState.ACTIVE)
        assert (desk.last.confirmed, "not by riskbot" in desk.last.detail) == (None, True)
        await desk.pass_s(70)
    assert (bot.asked, bot.state) == ([], state)


async def test_bot_that_a_person_stopped_during_the_halt_stays_stopped(
    desk: Desk, bot: Bot
) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: bot.state == "paused" and desk.last.confirmed)
        bot.state = "stopped"
        await desk.until(lambda: desk.last.detail == "stopped")
        desk.move("ACTIVE")
        await desk.until(lambda: desk.last.wanted is TradingState.ACTIVE)
        await desk.pass_s(70)
    assert (bot.asked, bot.state) == (["stopentry"], "stopped")


@pytest.mark.parametrize("how", ["a person", "its restart"])
async def test_bot_that_is_started_while_the_halt_stands_is_stopped_again(
    desk: Desk, bot: Bot, how: str
) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: bot.state == "paused")
        if how == "its restart":
            await bot.stop()
            bot.restarted()
            await bot.start()
        else:
            bot.state = "running"
        await desk.until(lambda: bot.asked == ["stopentry"] * 2)
        assert not bot.takes_entries


async def test_who_was_stopped_is_remembered_over_a_restart(desk: Desk, bot: Bot) -> None:
    desk.move("HALTED")
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events and desk.last.confirmed)
    assert desk.memory_path.stat().st_mode & 0o777 == 0o600
    # Resumed while riskbot was away: the next one gives the bot back.
    desk.move("ACTIVE")
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: bot.takes_entries)
    assert bot.asked == ["stopentry", "start"]


@pytest.mark.parametrize("content", ["{", "[]", '{"x": "y"}'])
async def test_memory_that_cannot_be_read_starts_nobody(desk: Desk, bot: Bot, content: str) -> None:
    bot.state = "paused"
    desk.memory_path.write_text(content)
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events)
        await desk.pass_s(70)
    assert (bot.asked, bot.state) == ([], "paused")


async def test_memory_that_cannot_be_written_keeps_nobody_from_being_stopped(
    desk: Desk, bot: Bot
) -> None:
    desk.memory_path = desk.memory_path / "nowhere" / "strategies.json"
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: not bot.takes_entries)
        desk.move("ACTIVE")
        await desk.until(lambda: bot.takes_entries)


async def test_stop_whose_reply_is_lost_counts_as_riskbots_own(desk: Desk, bot: Bot) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events)
        bot.fault = "lost"
        desk.move("HALTED")
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED)
        assert bot.asked == ["stopentry"]
        bot.fault = ""
        desk.move("ACTIVE")
        await desk.until(lambda: bot.takes_entries)
    assert bot.asked == ["stopentry", "start"]


async def test_stop_that_was_refused_leaves_a_later_pause_to_the_person_who_made_it(
    desk: Desk, bot: Bot
) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events)
        # Given a bot that shows itself but refuses to be stopped.
        bot.version = "2020.1"
        desk.move("HALTED")
        await desk.until(lambda: desk.last.error)
        bot.version, bot.state = NEW, "paused"
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED)
        desk.move("ACTIVE")
        await desk.until(lambda: desk.last.wanted is TradingState.ACTIVE)
        await desk.pass_s(70)
    assert (bot.asked, bot.state) == ([], "paused")


async def test_bot_that_says_yes_and_goes_on_is_told_of(desk: Desk, bot: Bot) -> None:
    bot.is_deaf = True
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: desk.events and desk.last.is_lost, seconds=40)
        assert "takes entries still" in desk.last.error
        assert desk.last.confirmed is None
        bot.is_deaf = False
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED, seconds=90)
        assert not desk.last.is_lost


@pytest.mark.parametrize("fault", ["hang", "error", "gone"])
async def test_bot_in_trouble_is_asked_with_growing_pauses_and_told_once_it_is_back(
    desk: Desk, bot: Bot, fault: str
) -> None:
    async with desk.telling(desk.bot(entry(bot), timeout_s=0.05)):
        await desk.until(lambda: desk.events)
        bot.fault = fault
        if fault == "gone":
            await bot.stop()
        desk.move("HALTED")
        await desk.until(lambda: desk.last.error)
        assert not desk.last.is_lost, "at once it is no loss yet"
        await desk.until(lambda: desk.last.is_lost, seconds=40)
        told = len(desk.events)
        await desk.pass_s(60)
        assert len(desk.events) == told, "it is said once"
        bot.fault = ""
        if fault == "gone":
            await bot.start()
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED, seconds=120)
        assert (desk.last.is_lost, bot.takes_entries) == (False, False)


async def test_attempts_grow_rarer_and_a_new_state_waits_for_no_pause(desk: Desk, bot: Bot) -> None:
    async with desk.telling(desk.bot(entry(bot))) as teller:
        await desk.until(lambda: desk.events)
        bot.version, bot.asked = "2020.1", []
        desk.move("REDUCING")
        before = bot.looks
        await desk.pass_s(300)
        assert 8 <= bot.looks - before <= 12, "1, 2, 4 ... 60 s"
        bot.version = NEW
        desk.move("HALTED")
        teller.notify()
        await desk.until(lambda: not bot.takes_entries, seconds=0.5)


async def test_bot_that_is_away_while_nothing_is_to_be_told_alarms_nobody(
    desk: Desk, bot: Bot
) -> None:
    await bot.stop()
    async with desk.telling(desk.bot(entry(bot))):
        await desk.pass_s(120)
    assert desk.last.error
    assert not any(event.is_lost for event in desk.events)


async def test_wrong_password_is_told_before_it_matters(desk: Desk, bot: Bot) -> None:
    bot.password = "another"
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events)
        assert desk.last.is_lost
        assert "username and password" in desk.last.error
        bot.password = "sësame"
        await desk.until(lambda: desk.last.confirmed is TradingState.ACTIVE, seconds=90)


async def test_tokens_that_ran_out_are_renewed(desk: Desk, bot: Bot) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        await desk.until(lambda: desk.events)
        bot.expire()
        desk.move("HALTED")
        await desk.until(lambda: not bot.takes_entries)
        assert (bot.logins, bot.refreshes) == (1, 1)
        bot.expire(refresh_too=True)
        desk.move("ACTIVE")
        await desk.until(lambda: bot.takes_entries)
        assert (bot.logins, bot.refreshes) == (2, 1)
    assert not any(event.error for event in desk.events)


@pytest.mark.parametrize("scope", ["account:main", "strategy:grid"])
async def test_bot_obeys_its_own_scope_alone(desk: Desk, bot: Bot, scope: str) -> None:
    async with desk.telling(desk.bot(entry(bot, scope=scope))):
        await desk.until(lambda: desk.events)
        desk.move("HALTED", "account:other")
        await desk.pass_s(5)
        assert bot.takes_entries
        desk.move("HALTED", scope)
        await desk.until(lambda: not bot.takes_entries)


async def test_bot_is_not_given_back_while_nothing_can_be_recorded(desk: Desk, bot: Bot) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: bot.state == "paused")
        desk.document["may_start"] = False
        desk.move("ACTIVE")
        await desk.pass_s(70)
        assert bot.state == "paused"
        assert "journal" in desk.last.detail
        desk.document["may_start"] = True
        await desk.until(lambda: bot.takes_entries)


async def test_halt_during_a_reload_stops_the_bot_and_it_comes_back_after_it(
    desk: Desk, bot: Bot
) -> None:
    bot.version = MIDDLE
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: not bot.takes_entries)
        desk.move("ACTIVE")
        await desk.until(lambda: "reload_config" in bot.asked)
        desk.move("HALTED")
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED)
        desk.move("ACTIVE")
        await desk.until(lambda: desk.last.confirmed is TradingState.ACTIVE)
    assert bot.takes_entries


async def test_bot_whose_own_file_allows_no_trades_any_more_is_reloaded_once(
    desk: Desk, bot: Bot
) -> None:
    bot.version = MIDDLE
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: not bot.takes_entries)
        bot.cap = 0
        desk.move("ACTIVE")
        await desk.until(lambda: "not by riskbot" in desk.last.detail)
        await desk.pass_s(130)
    assert bot.asked == ["stopentry", "reload_config"]


async def test_two_bots_are_told_each_by_its_own_and_mqtt_with_them(desk: Desk) -> None:
    one, two = Bot(), Bot()
    await one.start()
    await two.start()
    parts = desk.parts(entry(one), entry(two, scope="account:main"))
    async with desk.running(parts):
        await two.stop()
        desk.move("HALTED")
        notice = actions.NotifyStrategies(
            scope="portfolio", trading_state=TradingState.HALTED, reason="lunch"
        )
        parts.notify(notice)
        await desk.until(lambda: not one.takes_entries)
        assert desk.published == [notice]
        await two.start()
        await desk.until(lambda: not two.takes_entries, seconds=90)
    await one.stop()
    await two.stop()
    assert {event.name for event in desk.events} == {"freqtrade", "freqtrade-2"}


async def test_nothing_configured_is_nothing_to_run(desk: Desk) -> None:
    assert desk.parts().parts == ()


async def test_what_is_no_freqtrade_is_said(desk: Desk, bot: Bot) -> None:
    async with desk.telling(desk.bot(BotEntry(bot.url + "/elsewhere"))):
        desk.move("HALTED")
        await desk.until(lambda: desk.events and desk.last.is_lost, seconds=40)
        assert "404" in desk.last.error


async def test_attempt_ends_also_when_each_request_has_patience(desk: Desk, bot: Bot) -> None:
    bot.fault = "hang"
    async with desk.telling(desk.bot(entry(bot), timeout_s=60.0), attempt_s=0.05):
        desk.move("HALTED")
        await desk.until(lambda: desk.last.error == "no answer in 0.05 s")
        bot.fault = ""
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED, seconds=90)


async def test_start_that_is_taken_and_not_done_is_asked_for_again(desk: Desk, bot: Bot) -> None:
    async with desk.telling(desk.bot(entry(bot))):
        desk.move("HALTED")
        await desk.until(lambda: bot.state == "paused" and desk.last.confirmed)
        bot.is_deaf = True
        desk.move("ACTIVE")
        await desk.until(lambda: desk.last.is_lost, seconds=40)
        assert "does not run" in desk.last.error
        bot.is_deaf = False
        await desk.until(lambda: bot.takes_entries, seconds=90)
