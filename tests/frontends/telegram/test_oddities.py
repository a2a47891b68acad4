"""What Telegram and people send besides plain commands, and processes that end amid one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, GROUP, OPERATOR, STRANGER, VIEWER, Scene, button


def membership(scene: Scene, chat: int, status: str) -> dict[str, Any]:
    """Return the update by which Telegram says what the bot is in a chat now."""
    user = {"id": 123456789, "is_bot": True, "first_name": "riskbot"}
    return {
        "my_chat_member": {
            "chat": scene.server.api.chats[chat].info,
            "from": {"id": max(chat, 1), "is_bot": False, "first_name": "A"},
            "date": 1_700_000_000,
            "old_chat_member": {"user": user, "status": "member"},
            "new_chat_member": {"user": user, "status": status, "until_date": 0},
        }
    }


async def test_command_that_a_process_did_not_end_is_told_by_the_next(scene: Scene) -> None:
    scene.desk.is_silent = True
    async with scene.process():
        scene.server.say(ADMIN, "/halt@risk_test_bot now")
        await until(lambda: scene.desk.commands)
    scene.desk.is_silent = False
    for _ in range(2):
        async with scene.process():
            await scene.answer(OPERATOR, "/whoami")
            await until(lambda: scene.chat(ADMIN).texts)
    (text,) = scene.chat(ADMIN).texts
    assert text.startswith("I was interrupted at halt (")
    assert scene.desk.done == []


async def test_press_that_a_process_did_not_end_is_told_by_the_next(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        scene.desk.on["flatten"] = lambda _: []
        await scene.press(ADMIN, prompt, "Yes")
        await until(lambda: len(scene.desk.asked("flatten")) == 2)
    async with scene.process():
        await until(lambda: len(scene.chat(ADMIN).texts) == 2)
        # What Telegram may send once more is not done twice.
        await scene.press_data(ADMIN, prompt, button(prompt, "Yes"))
    assert scene.chat(ADMIN).texts[1].startswith("I was interrupted at flatten (")
    assert len(scene.desk.asked("flatten")) == 2


async def test_command_that_was_answered_is_not_told_again(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/halt")
        scene.server.say(STRANGER, "/halt")
        await scene.answer(VIEWER, "/whoami")
    async with scene.process():
        await scene.answer(VIEWER, "/whoami")
    assert not any("interrupted" in text for text in scene.chat(ADMIN).texts)
    assert scene.chat(STRANGER).texts == ["Private bot."]


async def test_who_blocks_the_bot_is_known_at_once(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/whoami")
        for _ in range(2):
            scene.server.push(membership(scene, OPERATOR, "kicked"))
        scene.server.push(membership(scene, STRANGER, "kicked"))
        scene.server.push(membership(scene, GROUP, "left"))
        await until(lambda: sum("has blocked" in t for t in scene.chat(ADMIN).texts) == 2)
        scene.server.push(membership(scene, OPERATOR, "member"))
        await scene.answer(OPERATOR, "/whoami")
    blocked = [text for text in scene.chat(ADMIN).texts if "has blocked" in text]
    assert all(any(f"{chat} has" in text for text in blocked) for chat in (OPERATOR, GROUP))
    assert not any(str(STRANGER) in text for text in scene.chat(ADMIN).texts)


@pytest.mark.parametrize(
    "text",
    [
        "/halt " + "x" * 300,
        "/halt \u202e\u05e9\u05dc\u05d5\u05dd\u202c <b>&amp;</b>",
        "/HALT",
        "/halt\nsecond line",
        "/halt " + "\u200b" * 50,
    ],
)
async def test_odd_words_behind_halt_still_ask(scene: Scene, text: str) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, text)
        assert "Halt trading?" in prompt["text"]
        await scene.press(ADMIN, prompt, "Yes")
        await until(lambda: scene.desk.done)
    assert scene.desk.done[0][0] == "halt"
    assert all(c.status == 200 for c in scene.server.called("sendMessage"))


async def test_burst_of_commands_is_answered_one_by_one(scene: Scene) -> None:
    async with scene.process():
        for _ in range(12):
            scene.server.say(ADMIN, "/status")
        await until(lambda: len(scene.chat(ADMIN).sent) == 12, 30)
    assert all(call.status == 200 for call in scene.server.called("sendMessage"))


async def test_press_under_a_message_that_telegram_does_not_show_any_more(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        old = {"chat": prompt["chat"], "message_id": prompt["message_id"], "date": 0}
        query = scene.server.press(ADMIN, old, button(prompt, "Yes"))
        assert (await scene.answered(query))["text"] == "Yes"
        await until(lambda: scene.desk.done)
        # One that is gone altogether confirms nothing.
        scene.server.push(
            {
                "callback_query": {
                    "id": "9",
                    "from": {"id": ADMIN, "is_bot": False, "first_name": "A"},
                    "chat_instance": "1",
                    "data": button(prompt, "Yes"),
                }
            }
        )
        await scene.answer(ADMIN, "/whoami")
    assert len(scene.desk.done) == 1
