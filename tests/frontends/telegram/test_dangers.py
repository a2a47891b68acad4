"""What asks before it acts: prompts, presses, and everything that must not count as one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from riskbot.clock import SystemClock
from riskbot.core import actions, events
from riskbot.frontends.telegram import prompts
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, OPERATOR, VIEWER, Scene, button, buttons


async def test_halt_takes_one_tap_and_shows_what_it_does(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(OPERATOR, "/halt news at 14:00")
        for part in ("Halt trading?", "Working orders", "12", "@bob", "expires in"):
            assert part in prompt["text"]
        assert scene.desk.done == []
        await scene.press(OPERATOR, prompt, "Yes, halt")
        ended = await scene.becomes(prompt, lambda text: "halt done" in text)
    assert scene.desk.done == [("halt", {"reason": "news at 14:00"}, f"telegram:{OPERATOR}")]
    assert not buttons(ended)
    assert "@bob" in ended["text"]


async def test_others_who_command_are_told(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(OPERATOR, "/halt")
        await scene.press(OPERATOR, prompt, "Yes, halt")
        await until(lambda: scene.chat(ADMIN).texts)
    assert "@bob: halt." in scene.chat(ADMIN).texts[-1]
    assert scene.chat(VIEWER).texts == []


async def test_second_halt_says_since_when(scene: Scene) -> None:
    status = scene.desk.documents["status"]
    status["holds"] = [
        {
            "limit": "operator",
            "scope": "portfolio",
            "since_ms": status["as_of_ms"],
            "reason": "by x",
        }
    ]
    async with scene.process():
        message = await scene.answer(OPERATOR, "/halt")
    assert "Already halted since" in message["text"]
    assert not buttons(message)


async def test_flatten_shows_the_plan_and_confirms_that_one(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        for part in ("BTC/USDT:USDT", "42 100 USD", "kept: DOGE/USDT spot: hold", "12"):
            assert part in prompt["text"]
        await scene.press(ADMIN, prompt, "Yes, flatten")
        ended = await scene.becomes(prompt, lambda text: "verified: flat" in text)
    assert [name for name, _, _ in scene.desk.done] == ["flatten"]
    assert scene.desk.done[0][1] == {"plan_id": "p0"}
    assert not buttons(ended)


async def test_resume_takes_two_taps(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        first = button(prompt, "Resume")
        await scene.press(ADMIN, prompt, "Resume")
        await scene.becomes(prompt, lambda text: "(2/2)" in text)
        assert scene.desk.done == []
        assert button(scene.now(prompt), "Yes, resume") != first
        await scene.press(ADMIN, prompt, "Yes, resume")
        await scene.becomes(prompt, lambda text: "complete" in text)
    assert [name for name, _, _ in scene.desk.done] == ["resume"]


async def test_button_of_the_first_step_does_not_confirm_the_second(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        first = button(prompt, "Resume")
        await scene.press_data(ADMIN, prompt, first)
        await scene.becomes(prompt, lambda text: "(2/2)" in text)
        answer = await scene.press_data(ADMIN, prompt, first)
    assert "used already" in answer["text"]
    assert scene.desk.done == []


async def test_cancel_does_nothing_and_takes_the_buttons(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        data = button(prompt, "Yes")
        answer = await scene.press(ADMIN, prompt, "Cancel")
        assert answer["text"] == "Canceled"
        ended = await scene.becomes(prompt, lambda text: "nothing was done" in text)
        assert not buttons(ended)
        answer = await scene.press_data(ADMIN, prompt, data)
    assert "canceled" in answer["text"]
    assert scene.desk.done == []


async def test_three_presses_at_once_are_one_action(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        data = button(prompt, "Yes")
        queries = [scene.server.press(ADMIN, prompt, data) for _ in range(3)]
        answers = await asyncio.gather(*(scene.answered(query) for query in queries))
        await scene.becomes(prompt, lambda text: "verified: flat" in text)
    assert len(scene.desk.done) == 1
    assert sorted(a["text"] == "Yes" for a in answers) == [False, False, True]


async def test_prompt_of_another_person_is_refused(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        data = button(prompt, "Yes")
        mine = await scene.answer(OPERATOR, "/halt")
        answer = await scene.press_data(OPERATOR, mine, data)
        assert "Only who asked" in answer["text"]
        await scene.press(ADMIN, prompt, "Yes")
        await scene.becomes(prompt, lambda text: "verified" in text)
    assert [name for name, _, _ in scene.desk.done] == ["flatten"]


async def test_press_on_another_message_is_refused(scene: Scene) -> None:
    async with scene.process():
        other = await scene.answer(ADMIN, "/status")
        prompt = await scene.answer(ADMIN, "/flatten")
        answer = await scene.press_data(ADMIN, other, button(prompt, "Yes"))
    assert "old copy" in answer["text"]
    assert scene.desk.done == []


async def test_forged_and_foreign_data_are_refused(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        real = button(prompt, "Yes")
        version, action, number, nonce = real.split(":")
        forged = [
            f"{version}:{action}:{number}:{'A' * len(nonce)}",
            f"{version}:{action}:{number}:",
            f"{version}:halt:{number}:{nonce}",
            f"{version}:{action}:C0000:{nonce}",
            f"v2:{action}:{number}:{nonce}",
            "flatten",
            ":" * 60,
        ]
        for data in forged:
            assert "text" in await scene.press_data(ADMIN, prompt, data), data
        assert len(real.encode()) <= 64
        assert len(nonce) >= 16
    assert scene.desk.done == []


async def test_prompt_of_before_a_restart_is_dead_and_says_so(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
    async with scene.process():
        answer = await scene.press(ADMIN, prompt, "Yes")
        assert "before a restart" in answer["text"]
        await until(lambda: not buttons(scene.now(prompt)))
    assert scene.desk.done == []


async def test_prompt_expires(scene: Scene) -> None:
    def soon(command: events.CommandReceived) -> list[actions.SendReply]:
        expires_ms = SystemClock().now_ms() + 400
        plan = scene.desk.reply(
            command, message="m", plan_id="p", plan={}, expires_at_ms=expires_ms
        )
        return [plan]

    scene.desk.on["flatten"] = soon
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        data = button(prompt, "Yes")
        ended = await scene.becomes(prompt, lambda text: "Expired" in text)
        assert not buttons(ended)
        answer = await scene.press_data(ADMIN, prompt, data)
    assert "expired" in answer["text"]
    assert len(scene.desk.asked("flatten")) == 1


async def test_changed_facts_are_asked_again(scene: Scene) -> None:
    def plan(command: events.CommandReceived) -> list[actions.SendReply]:
        plans = {None: "p1", "p1": "p2"}
        plan_id = command.args.get("plan_id")
        if plan_id in plans:
            words = "the facts have changed, confirm again" if plan_id else "close 7"
            return [scene.desk.reply(command, message=words, plan_id=plans[plan_id], plan={})]
        scene.desk.done.append((command.name, command.args, command.actor.name))
        return [scene.desk.reply(command, message="verified: flat")]

    scene.desk.on["flatten"] = plan
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        await scene.press(ADMIN, prompt, "Yes")
        await until(lambda: len(scene.chat(ADMIN).sent) == 2)
        again = scene.chat(ADMIN).sent[-1]
        assert "facts have" in again["text"]
        assert scene.desk.done == []
        await scene.press(ADMIN, again, "Yes")
        await scene.becomes(again, lambda text: "verified: flat" in text)
    assert scene.desk.done[0][1] == {"plan_id": "p2"}


@pytest.mark.parametrize("command", ["/halt", "/flatten", "/resume", "/reduce", "/cancel"])
async def test_viewer_commands_nothing(scene: Scene, command: str) -> None:
    async with scene.process():
        message = await scene.answer(VIEWER, command)
    assert "not for a viewer" in message["text"]
    assert not buttons(message)
    assert scene.desk.commands == []


async def test_operator_does_not_flatten(scene: Scene) -> None:
    async with scene.process():
        assert "not for an operator" in (await scene.answer(OPERATOR, "/flatten"))["text"]
    assert scene.desk.commands == []


async def test_refusal_of_the_guard_is_said(scene: Scene) -> None:
    def refuse(command: events.CommandReceived) -> list[actions.SendReply]:
        return [scene.desk.reply(command, ok=False, message="flattening <is> under way")]

    scene.desk.on["resume"] = refuse
    async with scene.process():
        message = await scene.answer(ADMIN, "/resume")
    assert "✖ flattening <is> under way" in message["text"]
    assert not buttons(message)


async def test_flatten_of_one_instrument_by_its_underlying(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/flatten eth")
        assert scene.desk.asked("flatten")[-1].args == {"instrument": "ETH/USDT:USDT"}
        await scene.answer(ADMIN, "/flatten main")
        assert scene.desk.asked("flatten")[-1].args == {"account": "main"}
        message = await scene.answer(ADMIN, "/flatten LUNA")
        assert "Nothing was done" in message["text"]
    assert len(scene.desk.asked("flatten")) == 2


async def test_guard_that_is_silent_is_said_not_guessed(scene: Scene) -> None:
    scene.desk.is_silent = True
    async with scene.process(answer_s=0.3):
        assert "does not answer" in (await scene.answer(ADMIN, "/flatten"))["text"]
        assert "does not answer" in (await scene.answer(ADMIN, "/status"))["text"]


async def test_progress_of_a_long_flatten_is_shown(scene: Scene) -> None:
    first: list[events.CommandReceived] = []

    def flatten(command: events.CommandReceived) -> list[actions.SendReply]:
        if "plan_id" not in command.args:
            return [scene.desk.reply(command, message="m", plan_id="p1", plan={})]
        first.append(command)
        scene.desk.documents["status"]["intents"] = [
            {
                "kind": "flatten",
                "account": "main",
                "phase": "closing",
                "targets": [
                    {"instrument": "BTC", "quantity": "0", "target": "0", "rung": "market"},
                    {"instrument": "DOGE", "quantity": "9", "target": "0", "rung": "ioc"},
                ],
            }
        ]
        return [scene.desk.reply(command, message="flattening", is_final=False)]

    scene.desk.on["flatten"] = flatten
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        await scene.press(ADMIN, prompt, "Yes")
        shown = await scene.becomes(prompt, lambda text: "closing" in text)
        assert "DOGE" in shown["text"]
        assert not buttons(shown)
        scene.desk.deliver(scene.desk.reply(first[0], message="verified: flat"))
        await scene.becomes(prompt, lambda text: "verified: flat" in text)


async def test_result_is_said_although_the_prompt_was_deleted(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/halt")
        data = button(prompt, "Yes")
        del scene.chat(ADMIN).messages[prompt["message_id"]]
        query = scene.server.press(ADMIN, prompt, data)
        await scene.answered(query)
        await until(lambda: any("halt done" in text for text in scene.chat(ADMIN).texts))


async def test_press_that_overtakes_its_message_counts(scene: Scene) -> None:
    """A fast client presses before the process has read the answer to its own message."""
    real = scene.server.api.methods["sendmessage"]
    queries: list[str] = []

    def at_once(params: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = real(params)
        if "Halt trading?" in message["text"]:
            queries.append(scene.server.press(OPERATOR, message, button(message, "Yes")))
        return message

    scene.server.api.methods["sendmessage"] = at_once
    async with scene.process():
        scene.server.say(OPERATOR, "/halt")
        await until(lambda: scene.desk.done)
        assert (await scene.answered(queries[0]))["text"] == "Yes"


def test_every_button_fits() -> None:
    data = prompts.Button("positions", "A" * 20, "n" * 22).data()
    assert len(data.encode()) <= 64
    assert prompts.Button.read("v1:a:b") is None
    assert prompts.Button.read(None) is None
