"""Telegram in trouble: limits, outages, poison, another poller, a token that is refused."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest

from riskbot.clock import SystemClock
from riskbot.core import events
from riskbot.core.model import Level, Role
from tests.alerts import alert
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, OPERATOR, PACE, Scene
from tests.servers.telegram_api import Fault


def frontends(scene: Scene) -> list[events.FrontendChanged]:
    return [e for e in scene.events if isinstance(e, events.FrontendChanged)]


def health(scene: Scene) -> list[tuple[bool, str]]:
    return [(e.is_up, e.detail) for e in scene.events if isinstance(e, events.FrontendChanged)]


async def test_429_is_waited_for_exactly_and_nothing_is_lost(scene: Scene) -> None:
    fault = Fault("refuse", 1, 429, "Too Many Requests: retry after 2", {"retry_after": 2})
    async with scene.process():
        scene.server.fail("sendMessage", fault)
        scene.server.say(ADMIN, "/status")
        await until(lambda: scene.chat(ADMIN).texts)
    first, second = scene.server.called("sendMessage")[:2]
    assert first.status == 429
    assert second.at - first.at >= 2.0


async def test_red_waits_for_no_other_chat(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/whoami")
        fault = Fault("refuse", 1, 429, "Too Many Requests", {"retry_after": 3})
        scene.server.fail("sendMessage", fault)
        scene.server.say(ADMIN, "/whoami")
        await until(lambda: scene.server.called("sendMessage")[-1].status == 429)
        await scene.answer(OPERATOR, "/whoami")
    assert len(scene.chat(ADMIN).texts) == 1


async def test_red_finds_a_place_in_a_chat_that_is_busy(scene: Scene) -> None:
    async with scene.process(users={ADMIN: Role.ADMIN}, groups=()):
        mild = [alert(f"A{n}", Level.ORANGE, title=f"mild {n}") for n in range(4)]
        tasks = [asyncio.create_task(scene.door.send(told, is_loud=True)) for told in mild]
        await until(lambda: len(scene.chat(ADMIN).texts) == 2)
        tasks.append(asyncio.create_task(scene.door.send(alert("A9"), is_loud=True)))
        await until(lambda: len(scene.chat(ADMIN).texts) == 5)
        await asyncio.gather(*tasks)
    assert ["RED" in text for text in scene.chat(ADMIN).texts].index(True) == 2


@pytest.mark.parametrize("kind", ["refuse", "drop"])
async def test_failed_send_is_tried_again(scene: Scene, kind: str) -> None:
    async with scene.process():
        scene.server.fail("sendMessage", Fault(kind, 2, 502, "Bad Gateway"))
        await scene.answer(ADMIN, "/whoami")
    assert len(scene.chat(ADMIN).texts) == 1


async def test_lost_answer_gives_two_copies_at_most(scene: Scene) -> None:
    async with scene.process():
        scene.server.fail("sendMessage", Fault("lose", 1))
        scene.server.say(ADMIN, "/whoami")
        await until(lambda: len(scene.chat(ADMIN).texts) == 2)
        await scene.answer(OPERATOR, "/whoami")
    assert len(scene.chat(ADMIN).texts) == 2


async def test_chat_is_paced(scene: Scene) -> None:
    async with scene.process():
        for _ in range(5):
            scene.server.say(ADMIN, "/whoami")
        await until(lambda: len(scene.chat(ADMIN).texts) == 5)
    times = [c.at for c in scene.server.called("sendMessage")]
    assert times[4] - times[0] >= 1.9


async def test_outage_is_survived_and_told(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/whoami")
        await scene.server.stop()
        await until(lambda: health(scene)[-1][0] is False)
        scene.server.say(ADMIN, "/status")
        await scene.server.start()
        await until(lambda: len(scene.chat(ADMIN).texts) == 2)
        await until(lambda: health(scene)[-1][0] is True)
    assert "cannot be reached" in health(scene)[-2][1] or "cannot be reached" in str(health(scene))


async def test_start_with_telegram_away_comes_up_by_itself(scene: Scene) -> None:
    await scene.server.stop()
    task = asyncio.create_task(_run(scene))
    try:
        await until(lambda: any(not is_up for is_up, _ in health(scene)))
        await scene.server.start()
        await scene.answer(ADMIN, "/status")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _run(scene: Scene) -> None:
    async with scene.process():
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "poison",
    [
        {"message": {"message_id": "x"}},
        {"message": 7},
        {"callback_query": {"id": 1, "from": None}},
        {"message": {"message_id": 1, "date": 10**30, "chat": {"id": 1, "type": "private"}}},
        {"unheard_of": {"a": 1}},
        {},
    ],
)
async def test_poison_update_hides_no_command(scene: Scene, poison: dict[str, object]) -> None:
    is_read = not poison or "unheard_of" in poison
    async with scene.process():
        scene.server.push(poison)
        await scene.answer(OPERATOR, "/whoami")
        scene.server.allowed = None
        scene.server.push(poison)
        scene.server.push(poison)
        await scene.answer(OPERATOR, "/whoami")
        await until(lambda: is_read or scene.chat(ADMIN).texts)
    assert len(scene.chat(OPERATOR).texts) == 2
    assert sum("cannot be read" in text for text in scene.chat(ADMIN).texts) == (not is_read)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b'{"ok":true',
        b'{"ok":true,"result":{}}',
        b'{"ok":true,"result":[null,7,"x"]}',
        b'{"ok":true,"result":null}',
        b"[" * 100_000,
    ],
)
async def test_nonsense_from_telegram_is_survived(scene: Scene, body: bytes) -> None:
    scene.server.fail("getUpdates", Fault("body", 2, body=body))
    async with scene.process():
        await scene.answer(ADMIN, "/whoami")


async def test_update_that_is_no_json_is_skipped_by_its_number(scene: Scene) -> None:
    async with scene.process():
        bad = scene.server.next_update + 10
        body = b'{"ok":true,"result":[{"update_id":%d,"message":{"text":"\\x"}}]}' % bad
        scene.server.fail("getUpdates", Fault("body", 2, body=body))
        await scene.answer(ADMIN, "/whoami")
        await until(lambda: not scene.server.faults["getupdates"])
        scene.server.next_update = bad
        await scene.answer(OPERATOR, "/whoami")
    memory = json.loads((scene.directory / "telegram.json").read_text())
    assert memory["last_update"] > bad


async def test_broken_characters_do_not_hide_a_command(scene: Scene) -> None:
    async with scene.process():
        message = scene.server.say(ADMIN, "/whoami \ud800 ")
        assert message
        await until(lambda: scene.chat(ADMIN).texts)


async def test_other_poller_is_told_once_and_alerts_go_on(scene: Scene) -> None:
    words = "Conflict: terminated by other getUpdates request"
    async with scene.process():
        scene.server.fail("getUpdates", Fault("refuse", None, 409, words))
        scene.server.say(OPERATOR, "/whoami")
        await until(lambda: health(scene)[-1][0] is False)
        assert "another program polls" in health(scene)[-1][1]
        async with asyncio.timeout(20):
            await scene.door.send(alert("A1"), is_loud=True)
        scene.server.lift()
        await until(lambda: health(scene)[-1][0] is True)
        await until(lambda: len(scene.chat(ADMIN).texts) == 3)
    texts = scene.chat(ADMIN).texts
    assert sum("revoke the token" in text for text in texts) == 1
    assert sum("A1" in text for text in texts) == 1


async def test_resume_is_locked_while_somebody_else_polls(scene: Scene) -> None:
    words = "Conflict: terminated by other getUpdates request"
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/resume")
        scene.server.fail("getUpdates", Fault("refuse", 3, 409, words))
        scene.server.say(OPERATOR, "/whoami")
        await until(lambda: health(scene)[-1][0] is False)
        scene.server.say(ADMIN, "/resume")
        scene.server.say(OPERATOR, "/halt")
        await scene.press(ADMIN, prompt, "Resume")
        await until(lambda: sum("is locked" in t for t in scene.chat(ADMIN).texts) == 2)
        await until(lambda: any("Halt trading?" in t for t in scene.chat(OPERATOR).texts))
    assert scene.desk.done == []


async def test_webhook_of_somebody_else_is_removed_and_locks(scene: Scene) -> None:
    async with scene.process():
        scene.server.api.webhook = "https://thief.example/secret-path"
        await scene.answer(ADMIN, "/whoami")
        await until(lambda: scene.server.api.webhook == "")
        await until(lambda: any("thief.example" in detail for _, detail in health(scene)))
        assert frontends(scene)[-1].is_contested
        await scene.answer(OPERATOR, "/whoami")
        await until(lambda: any("riskbot ctl ack" in text for text in scene.chat(ADMIN).texts))
        assert "is locked" in (await scene.answer(ADMIN, "/resume"))["text"]
        assert "Halt trading?" in (await scene.answer(ADMIN, "/halt"))["text"]
    assert not any("secret-path" in text for text in scene.chat(ADMIN).texts)
    assert scene.desk.asked("resume") == []


async def test_webhook_that_was_set_before_the_first_start_is_somebody_elses(scene: Scene) -> None:
    scene.server.api.webhook = "https://thief.example/"
    async with scene.process():
        await until(lambda: frontends(scene))
        assert frontends(scene)[0].is_contested
        await until(lambda: scene.server.api.webhook == "")
        assert "is locked" in (await scene.answer(ADMIN, "/resume"))["text"]
    assert sum("thief.example" in text for text in scene.chat(ADMIN).texts) == 1
    # It outlives a restart, and is not told anew.
    async with scene.process():
        assert "is locked" in (await scene.answer(ADMIN, "/resume"))["text"]
        assert frontends(scene)[-1].is_contested
    assert sum("thief.example" in text for text in scene.chat(ADMIN).texts) == 1


def contested(scene: Scene, acked_by: str) -> dict[str, object]:
    """Return the guard's alert about the token as it stands, taken by somebody."""
    return {
        "id": "A5",
        "level": "red",
        "limit": "token_conflict",
        "scope": "frontend:telegram",
        "title": "somebody else uses the token of telegram",
        "text": frontends(scene)[-1].detail,
        "acked_by": acked_by,
    }


async def test_lock_of_a_webhook_ends_by_an_ack_on_the_host_alone(scene: Scene) -> None:
    scene.server.api.webhook = "https://thief.example/"
    async with scene.process():
        await until(lambda: any(e.is_contested for e in frontends(scene)))
        mine = contested(scene, f"telegram:{ADMIN}")
        other = {**contested(scene, "ctl:0"), "text": "a webhook, found and removed 00:00:00 UTC"}
        scene.desk.documents["status"]["alerts"] = [mine, other]
        looks = scene.desk.looks
        await until(lambda: scene.desk.looks > looks + 2)
        assert "is locked" in (await scene.answer(ADMIN, "/resume"))["text"]
        scene.desk.documents["status"]["alerts"] = [contested(scene, "ctl:0")]
        await until(lambda: frontends(scene)[-1].is_up)
        await until(lambda: "Acknowledged on the host" in scene.chat(ADMIN).texts[-1])
        assert "Resume trading?" in (await scene.answer(ADMIN, "/resume"))["text"]
    async with scene.process():
        assert "Resume trading?" in (await scene.answer(ADMIN, "/resume"))["text"]


async def test_another_token_ends_the_lock(scene: Scene) -> None:
    scene.server.api.webhook = "https://thief.example/"
    async with scene.process():
        await until(lambda: any(e.is_contested for e in frontends(scene)))
    scene.server.token = scene.server.token[:-4] + "9999"
    async with scene.process():
        assert "Resume trading?" in (await scene.answer(ADMIN, "/resume"))["text"]
        assert frontends(scene)[-1].is_up


async def test_webhook_that_a_server_tolerates_is_found(scene: Scene) -> None:
    async with scene.process(pace=replace(PACE, webhook=0.1)):
        await scene.answer(ADMIN, "/whoami")
        scene.server.is_tolerant = True
        scene.server.api.webhook = "https://thief.example/"
        await asyncio.sleep(0.15)
        await scene.answer(ADMIN, "/whoami")
        await until(lambda: any(e.is_contested for e in frontends(scene)))
        await until(lambda: scene.server.api.webhook == "")
        assert "is locked" in (await scene.answer(ADMIN, "/resume"))["text"]


async def test_outage_is_summed_up_and_late_alerts_say_so(scene: Scene) -> None:
    async with scene.process(groups=(), users={ADMIN: Role.ADMIN}):
        await scene.answer(ADMIN, "/whoami")
        await scene.server.stop()
        await until(lambda: health(scene)[-1][0] is False)
        before = alert("A1", updated_ms=SystemClock().now_ms() - 90_000)
        telling = asyncio.create_task(scene.door.send(before, is_loud=True))
        await asyncio.sleep(0.2)
        await scene.server.start()
        await telling
        await until(lambda: len(scene.chat(ADMIN).texts) == 3)
    texts = scene.chat(ADMIN).texts
    (summary,) = [text for text in texts if "Telegram was away" in text]
    assert "RED · drawdown #A1" in summary
    (late,) = [text for text in texts if "⏱" in text]
    assert re.search(r"^⏱ \d\d:\d\d UTC, 9\d s late$", late, re.MULTILINE)


async def test_refused_token_makes_no_hot_loop_and_is_told(scene: Scene) -> None:
    token, scene.server.token = scene.server.token, "1:other"
    door = asyncio.create_task(_unauthorized(scene, token))
    try:
        await until(lambda: any("refuses the bot's token" in detail for _, detail in health(scene)))
        count = len(scene.server.calls)
        await asyncio.sleep(0.4)
        assert len(scene.server.calls) <= count + 3
        scene.server.token = token
        await until(lambda: health(scene)[-1][0] is True)
    finally:
        door.cancel()
        await asyncio.gather(door, return_exceptions=True)


async def _unauthorized(scene: Scene, token: str) -> None:
    async with scene.process(token=token):
        await asyncio.Event().wait()


async def test_press_that_cannot_be_answered_still_counts(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(OPERATOR, "/halt")
        scene.server.fail("answerCallbackQuery", Fault("hang", None))
        data = prompt["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
        scene.server.press(OPERATOR, prompt, data)
        await until(lambda: scene.desk.done)
        scene.server.lift()


async def test_hung_chat_keeps_nobody_waiting(scene: Scene) -> None:
    async with scene.process():
        scene.server.fail("sendMessage", Fault("hang", 1))
        scene.server.say(ADMIN, "/whoami")
        await until(lambda: scene.server.called("sendMessage"))
        await scene.answer(OPERATOR, "/whoami")


async def test_server_without_webhooks_and_menus_will_do(scene: Scene) -> None:
    for method in ("deletewebhook", "getmycommands", "setmycommands"):
        del scene.server.api.methods[method]
    async with scene.process():
        await scene.answer(ADMIN, "/whoami")
