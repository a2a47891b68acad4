"""One-time codes, silences and limits from a phone."""

from __future__ import annotations

import asyncio

import pytest

from riskbot.core import events
from riskbot.frontends.telegram.requests import number, seconds
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, OPERATOR, VIEWER, Scene, buttons

CODE = "123456"


async def test_resume_with_a_code_takes_a_press_and_the_code_which_leaves_the_chat(
    scene: Scene,
) -> None:
    scene.desk.code = CODE
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        await scene.press(ADMIN, prompt, "Yes, resume")
        await scene.becomes(prompt, lambda text: "6-digit code" in text)
        assert [label for b in buttons(scene.now(prompt)) for label in [b["text"]]] == ["✖ Cancel"]
        assert scene.desk.done == []
        scene.server.say(ADMIN, "123 456")
        ended = await scene.becomes(prompt, lambda text: "complete" in text)
        await until(lambda: scene.server.called("deleteMessage"))
    assert [name for name, _, _ in scene.desk.done] == ["resume"]
    assert CODE not in ended["text"]
    assert not any(CODE in text or "123 456" in text for text in scene.chat(ADMIN).texts)


async def test_wrong_code_may_be_tried_again_while_the_prompt_lives(scene: Scene) -> None:
    scene.desk.code = CODE
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        await scene.press(ADMIN, prompt, "Yes, resume")
        await scene.becomes(prompt, lambda text: "6-digit code" in text)
        scene.server.say(ADMIN, "000000")
        await scene.becomes(prompt, lambda text: "4 tries left" in text)
        assert scene.desk.done == []
        scene.server.say(ADMIN, CODE)
        await scene.becomes(prompt, lambda text: "complete" in text)


async def test_code_of_somebody_else_is_not_taken(scene: Scene) -> None:
    scene.desk.code = CODE
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        await scene.press(ADMIN, prompt, "Yes, resume")
        await scene.becomes(prompt, lambda text: "6-digit code" in text)
        answer = await scene.answer(OPERATOR, CODE)
        assert "No code is asked for" in answer["text"]
        assert scene.desk.done == []


async def test_cancel_while_the_code_is_waited_for_ends_it(scene: Scene) -> None:
    scene.desk.code = CODE
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        await scene.press(ADMIN, prompt, "Yes, resume")
        await scene.becomes(prompt, lambda text: "6-digit code" in text)
        await scene.press(ADMIN, scene.now(prompt), "Cancel")
        await scene.becomes(prompt, lambda text: "Canceled" in text)
        answer = await scene.answer(ADMIN, CODE)
        assert "No code is asked for" in answer["text"]
    assert scene.desk.done == []


async def test_setlimit_shows_the_plan_and_asks_twice(scene: Scene) -> None:
    async with scene.process():
        assert "Usage" in (await scene.answer(ADMIN, "/setlimit drawdown"))["text"]
        assert "Usage" in (await scene.answer(ADMIN, "/setlimit drawdown much"))["text"]
        prompt = await scene.answer(ADMIN, "/setlimit DRAWDOWN 12% main")
        await scene.press(ADMIN, prompt, "Yes, set it")
        await scene.becomes(prompt, lambda text: "(2/2)" in text)
        await scene.press(ADMIN, scene.now(prompt), "Yes, set it")
        await scene.becomes(prompt, lambda text: "complete" in text)
    args = scene.desk.asked("setlimit")[0].args
    assert args == {"limit": "drawdown", "value": 0.12, "account": "main"}


async def test_setlimit_is_refused_to_an_operator(scene: Scene) -> None:
    async with scene.process():
        answer = await scene.answer(OPERATOR, "/setlimit drawdown 0.2")
    assert "not for an operator" in answer["text"]


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("/silence drawdown 1h", {"limit": "drawdown", "duration_s": 3_600.0}),
        ("/mute A17 30m", {"id": "A17", "duration_s": 1_800.0}),
        ("/silence all 2h main", {"limit": "all", "duration_s": 7_200.0, "account": "main"}),
        ("/silence drawdown", {"limit": "drawdown", "duration_s": 3_600.0}),
    ],
)
async def test_silence_is_done_at_once(scene: Scene, text: str, args: dict[str, object]) -> None:
    async with scene.process():
        answer = await scene.answer(OPERATOR, text)
    assert "silence done" in answer["text"]
    assert scene.desk.asked("silence")[0].args == args


async def test_silence_of_red_asks_for_a_code(scene: Scene) -> None:
    def answer(command: events.CommandReceived) -> list[object]:
        if command.args.get("totp") == CODE:
            scene.desk.done.append((command.name, command.args, command.actor.name))
            return [scene.desk.reply(command, message="silenced")]
        words = "silence needs the 6-digit code"
        return [scene.desk.reply(command, ok=False, message=words, needs_factor=True)]

    scene.desk.on["silence"] = answer  # type: ignore[assignment]
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/silence drawdown 30m")
        await scene.press(ADMIN, prompt, "Yes, silence")
        await scene.becomes(prompt, lambda text: "(2/2)" in text)
        scene.server.say(ADMIN, CODE)
        await scene.becomes(prompt, lambda text: "silenced" in text)
    assert [name for name, _, _ in scene.desk.done] == ["silence"]


async def test_silence_when_it_cannot_be_read_says_how(scene: Scene) -> None:
    async with scene.process():
        assert "Usage" in (await scene.answer(OPERATOR, "/silence drawdown soon"))["text"]
        assert "Usage" in (await scene.answer(OPERATOR, "/silence"))["text"]
        refused = await scene.answer(VIEWER, "/silence drawdown 1h")
        assert "not for a viewer" in refused["text"]
        assert "unsilence done" in (await scene.answer(OPERATOR, "/unmute drawdown"))["text"]
        assert "not for a viewer" in (await scene.answer(VIEWER, "/unmute"))["text"]
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("word", "value"), [("90s", 90), ("30m", 1_800), ("1.5h", 5_400), ("1d", 86_400), ("x", None)]
)
def test_durations_as_people_write_them(word: str, value: float | None) -> None:
    assert seconds(word) == value


@pytest.mark.parametrize(
    ("word", "value"), [("0.05", 0.05), ("5%", 0.05), ("-1", -1), ("1e5", None), ("nan", None)]
)
def test_values_as_people_write_them(word: str, value: float | None) -> None:
    assert number(word) == value
