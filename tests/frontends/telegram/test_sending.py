"""The way to a chat: long texts, the same text twice, the budget, and what a crash leaves owed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from riskbot.clock import SystemClock
from riskbot.core.model import Level, Role
from riskbot.frontends.telegram.budget import LONG_MS, SHORT_MAX, SHORT_MS, Budget
from riskbot.frontends.telegram.memory import OWED_MAX, Memory
from riskbot.frontends.telegram.notes import Owed
from riskbot.frontends.telegram.sender import NotSentError, Sender, Urgency
from tests.alerts import alert, resolved
from tests.fakes import FakeClock, until
from tests.frontends.telegram.scene import ADMIN, OPERATOR, Scene, buttons
from tests.frontends.telegram.test_board import memory, tell
from tests.frontends.telegram.test_letters import table
from tests.servers.telegram_api import Fault

KEYS = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="Refresh", callback_data="x")]]
)


@asynccontextmanager
async def sending(scene: Scene) -> AsyncIterator[Sender]:
    """A sender at the scene's server, without a process around it."""
    server = TelegramAPIServer.from_base(scene.server.url)
    bot = Bot(scene.server.token, session=AiohttpSession(api=server))
    memory_ = Memory(scene.directory / "sender.json", "1")
    sender = Sender(bot, memory_, random.Random(1), SystemClock(), lambda: None, lambda _: None)
    try:
        yield sender
    finally:
        await sender.close()
        await bot.session.close()


async def test_long_text_comes_in_messages_the_last_with_the_buttons(scene: Scene) -> None:
    async with sending(scene) as sender:
        number = await sender.send(ADMIN, table(250), keyboard=KEYS)
    sent = scene.chat(ADMIN).sent
    assert len(sent) == 3
    assert all(call.status == 200 for call in scene.server.called("sendMessage"))
    assert [bool(buttons(message)) for message in sent] == [False, False, True]
    assert number == sent[-1]["message_id"]
    assert all(message["entities"] for message in sent)


async def test_very_long_text_ends_in_a_file(scene: Scene) -> None:
    async with sending(scene) as sender:
        number = await sender.send(ADMIN, table(1_000), keyboard=KEYS)
    sent = scene.chat(ADMIN).sent
    assert [("document" in message) for message in sent] == [False, False, False, True]
    assert number == sent[2]["message_id"]
    assert buttons(sent[2])
    file = sent[3]["document"]
    assert file["file_name"] == "rest.txt"
    assert sent[3]["is_silent"]
    content = scene.server.api.files[file["file_id"]].decode()
    assert content.splitlines()[-1] == "at 12:44"
    assert "<pre>" not in content
    assert "lines" in sent[3]["caption"]


async def test_edit_that_is_too_long_is_cut_with_a_note(scene: Scene) -> None:
    async with sending(scene) as sender:
        number = await sender.send(ADMIN, "short", keyboard=KEYS)
        await sender.edit(ADMIN, number, table(1_000), keyboard=KEYS)
    (edit,) = scene.chat(ADMIN).edits
    assert "more lines" in edit["text"].splitlines()[-1]
    assert buttons(edit)
    assert len(scene.chat(ADMIN).sent) == 1


async def test_same_text_is_not_sent_twice_in_a_minute_unless_red_or_asked(scene: Scene) -> None:
    async with sending(scene) as sender:
        numbers = await asyncio.gather(
            *(sender.send(ADMIN, "down", urgency=Urgency.ORANGE) for _ in range(3))
        )
        assert await sender.send(ADMIN, "down", urgency=Urgency.YELLOW) == numbers[0]
        await sender.send(OPERATOR, "down", urgency=Urgency.ORANGE)
        assert scene.chat(ADMIN).texts == scene.chat(OPERATOR).texts == ["down"]
        assert len(set(numbers)) == 1
        for urgency in (Urgency.RED, Urgency.REPLY):
            await sender.send(ADMIN, "down", urgency=urgency)
        await sender.send(ADMIN, "up", urgency=Urgency.ORANGE)
    assert scene.chat(ADMIN).texts == ["down", "down", "down", "up"]


async def test_text_that_was_not_sent_is_no_echo(scene: Scene) -> None:
    scene.server.fail("sendMessage", Fault("refuse", 1, 400, "Bad Request: chat not found"))
    async with sending(scene) as sender:
        with pytest.raises(NotSentError):
            await sender.send(ADMIN, "down", urgency=Urgency.ORANGE)
        await sender.send(ADMIN, "down", urgency=Urgency.ORANGE)
    assert scene.chat(ADMIN).texts == ["down"]


# ---------------------------------------------------------------- the budget


def test_budget_outlives_a_restart_and_comes_back_with_time(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "memory.json"
    taken = [Budget(clock, Memory(path, "1")).take(ADMIN) for _ in range(SHORT_MAX + 2)]
    assert taken == [True] * SHORT_MAX + [False] * 2
    assert Budget(clock, Memory(path, "1")).take(OPERATOR)
    assert Budget(clock, Memory(path, "1")).fold(ADMIN, "A1", "one") == (0, "1 more, /alerts\none")
    Budget(clock, Memory(path, "1")).note(ADMIN, 77)
    again = Budget(clock, Memory(path, "1"))
    assert again.fold(ADMIN, "A2", "two") == (77, "2 more, /alerts\none\ntwo")
    clock.jump(SHORT_MS)
    assert again.take(ADMIN)
    assert again.fold(ADMIN, "A3", "three") == (0, "1 more, /alerts\nthree")


def test_budget_is_twenty_an_hour(tmp_path: Path) -> None:
    clock = FakeClock()
    budget = Budget(clock, Memory(tmp_path / "memory.json", "1"))
    start_ms, taken = clock.now_ms(), 0
    while clock.now_ms() - start_ms < LONG_MS:
        taken += budget.take(ADMIN)
        clock.jump(60_000)
    assert taken == 20


def test_budget_of_a_clock_that_was_set_back_locks_nobody_out(tmp_path: Path) -> None:
    clock = FakeClock()
    budget = Budget(clock, Memory(tmp_path / "memory.json", "1"))
    for _ in range(SHORT_MAX):
        assert budget.take(ADMIN)
    clock.jump(-10 * LONG_MS)
    assert [budget.take(ADMIN) for _ in range(SHORT_MAX + 1)] == [True] * SHORT_MAX + [False]


def test_notices_use_half_of_the_budget_and_grave_ones_go_in_any_case(tmp_path: Path) -> None:
    clock = FakeClock()
    budget = Budget(clock, Memory(tmp_path / "memory.json", "1"))
    half = SHORT_MAX // 2
    taken = [budget.take(ADMIN, is_notice=True) for _ in range(SHORT_MAX)]
    assert taken == [True] * half + [False] * half
    budget.count(ADMIN)
    assert [budget.take(ADMIN) for _ in range(half)] == [True] * (half - 1) + [False]
    clock.jump(SHORT_MS - 1)
    budget.count(ADMIN)
    clock.jump(1)
    # The one that went in any case is the one that counts on.
    assert [budget.take(ADMIN) for _ in range(SHORT_MAX)] == [True] * (SHORT_MAX - 1) + [False]


def test_folded_message_stands_for_ten_minutes(tmp_path: Path) -> None:
    clock = FakeClock()
    budget = Budget(clock, Memory(tmp_path / "memory.json", "1"))
    for number in range(60):
        budget.fold(ADMIN, f"A{number}", f"line {number}")
    budget.note(ADMIN, 7)
    assert budget.take(ADMIN)
    message, words = budget.fold(ADMIN, "A59", "line 59 again")
    assert (message, words.splitlines()[0]) == (7, "60 more, /alerts")
    assert words.splitlines()[-1] == "line 59 again"
    clock.jump(SHORT_MS)
    assert budget.fold(ADMIN, "A1", "new") == (0, "1 more, /alerts\nnew")


async def test_flood_over_a_restart_stays_one_folded_message(scene: Scene) -> None:
    alone: dict[str, Any] = {"groups": (), "users": {ADMIN: Role.ADMIN}}
    async with scene.process(**alone):
        for number in range(1, 9):
            await tell(scene, alert(f"A{number}", Level.ORANGE))
    async with scene.process(**alone):
        for number in range(9, 13):
            await tell(scene, alert(f"A{number}", Level.ORANGE))
    sent = scene.chat(ADMIN).sent
    assert len(sent) == SHORT_MAX + 1
    assert scene.now(sent[-1])["text"].startswith("6 more, /alerts")


async def test_call_beyond_the_budget_is_folded_too(scene: Scene) -> None:
    first = alert("A1", Level.YELLOW)
    async with scene.process(groups=(), users={ADMIN: Role.ADMIN}):
        await tell(scene, first, is_loud=False)
        for number in range(2, 7):
            await tell(scene, alert(f"A{number}", Level.ORANGE))
        worse = replace(first, revision=2, level=Level.ORANGE, worst_level=Level.ORANGE)
        await tell(scene, worse)
    sent = scene.chat(ADMIN).sent
    assert len(sent) == 7
    assert sent[-1]["text"] == "1 more, /alerts\n🟠 ORANGE · drawdown #A1"
    assert "ORANGE" in scene.now(sent[0])["text"]


# ---------------------------------------------------------------- what a crash leaves


BOTH: dict[str, Any] = {"groups": (), "users": {ADMIN: Role.ADMIN, OPERATOR: Role.OPERATOR}}


async def owed_to_one(scene: Scene, number: str, level: Level, age_s: float = 0) -> None:
    """Let one chat have an alert, and the process end before the other one can be told."""
    at_ms = SystemClock().now_ms() - round(age_s * 1000)
    scene.server.unanswered = {OPERATOR}
    async with scene.process(**BOTH):
        await tell(scene, alert(number, level, updated_ms=at_ms))
        assert list(memory(scene)["owed"]) == [number]
        assert scene.chat(OPERATOR).texts == []
    scene.server.unanswered = set()


async def test_chat_that_a_dead_process_owed_an_alert_gets_it(scene: Scene) -> None:
    await owed_to_one(scene, "A1", Level.ORANGE, age_s=300)
    async with scene.process(**BOTH):
        await until(lambda: scene.chat(OPERATOR).texts)
        await until(lambda: memory(scene)["owed"] == {})
        await tell(scene, resolved(alert("A1", Level.ORANGE)))
    assert "⏱" in scene.chat(OPERATOR).texts[0]
    assert "5 min late" in scene.chat(OPERATOR).texts[0]
    assert not scene.chat(OPERATOR).sent[0]["is_silent"]
    assert sum("ORANGE · drawdown 5.20%" in text for text in scene.chat(ADMIN).texts) == 1


async def test_owed_alert_that_matters_no_more_is_only_summed_up(scene: Scene) -> None:
    await owed_to_one(scene, "A1", Level.YELLOW, age_s=590)
    content = memory(scene)
    content["owed"]["A1"]["changed_ms"] -= 11_000
    content["away_ms"] = SystemClock().now_ms() - 840_000
    (scene.directory / "telegram.json").write_text(json.dumps(content))
    async with scene.process(**BOTH):
        await until(lambda: scene.chat(OPERATOR).texts)
    words = "Telegram was away 14 min; missed:\n#A1, no longer told"
    assert scene.chat(OPERATOR).texts == [words]


async def _outage(scene: Scene) -> None:
    async with scene.process(**BOTH):
        await asyncio.Event().wait()


async def test_outage_that_a_process_does_not_survive_is_summed_up_by_the_next(
    scene: Scene,
) -> None:
    async with scene.process(**BOTH):
        await scene.answer(ADMIN, "/whoami")
        await scene.server.stop()
        await until(lambda: memory(scene)["away_ms"] > 0)
        since_ms = memory(scene)["away_ms"]
    run = asyncio.create_task(_outage(scene))
    late = alert("A1", updated_ms=SystemClock().now_ms() - 90_000)
    await until(lambda: scene.door.is_connected)
    telling = asyncio.create_task(scene.door.send(late, is_loud=True))
    await asyncio.sleep(0.2)
    assert memory(scene)["away_ms"] == since_ms
    await scene.server.start()
    await telling
    await until(lambda: any("was away" in text for text in scene.chat(ADMIN).texts), 20)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    (summary,) = [text for text in scene.chat(ADMIN).texts if "was away" in text]
    assert "RED · drawdown #A1" in summary
    assert memory(scene)["away_ms"] == 0


def test_owed_alerts_are_bounded_and_red_stays(tmp_path: Path) -> None:
    kept = Memory(tmp_path / "memory.json", "1")
    kept.owe("R", Owed({"level": "red", "revision": 1}, False, 0, [ADMIN]))
    for number in range(OWED_MAX + 5):
        kept.owe(f"Y{number}", Owed({"level": "yellow", "revision": 1}, False, 0, [ADMIN]))
    kept.owe("R", Owed({"level": "red", "revision": 2}, False, 0, [ADMIN]))
    owed = Memory(tmp_path / "memory.json", "1").owed()
    assert len(owed) == OWED_MAX
    assert "R" in owed
    assert "Y0" not in owed
    kept.settle("R", ADMIN, 1)
    assert "R" in kept.owed()
    kept.settle("R", OPERATOR, 2)
    assert "R" in kept.owed()
    kept.settle("R", ADMIN, 2)
    assert "R" not in Memory(tmp_path / "memory.json", "1").owed()


def test_owed_loudness_is_kept_by_a_newer_revision(tmp_path: Path) -> None:
    kept = Memory(tmp_path / "memory.json", "1")
    kept.owe("R", Owed({"level": "red", "revision": 1}, True, 0, [ADMIN]))
    kept.owe("R", Owed({"level": "red", "revision": 2}, False, 0, [ADMIN]))
    assert Memory(tmp_path / "memory.json", "1").owed()["R"].is_loud
