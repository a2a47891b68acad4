"""Alerts in chats: one message each, edited through its life, loud where one must look."""

from __future__ import annotations

import asyncio
import gc
import json
from dataclasses import replace
from typing import Any

import pytest

from riskbot.core.duty import Alert
from riskbot.core.model import Level, Role
from riskbot.errors import ChannelError
from riskbot.frontends.telegram.link import Notice
from tests.alerts import alert, resolved
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, GROUP, OPERATOR, VIEWER, Scene, buttons
from tests.servers.telegram_api import Fault


async def tell(scene: Scene, told: Alert, *, is_loud: bool = True) -> None:
    async with asyncio.timeout(20):
        await scene.door.send(told, is_loud=is_loud)


def worse(before: Alert, level: Level) -> Alert:
    return replace(before, revision=before.revision + 1, level=level, worst_level=level)


def shown(scene: Scene, chat: int, number: int = 0) -> dict[str, Any]:
    """Return a message of the bot's as it stands now."""
    return scene.now(scene.server.api.chats[chat].sent[number])


async def test_red_reaches_everybody_with_its_buttons(scene: Scene) -> None:
    async with scene.process():
        await tell(scene, alert("A17"))
    for chat in (ADMIN, OPERATOR, VIEWER, GROUP):
        sent = scene.server.api.chats[chat].sent
        assert len(sent) == 1
        assert not sent[0]["is_silent"]
        first = sent[0]["text"].splitlines()[0]
        assert first.startswith("🔴 RED · drawdown 5.20% > 5.00%")
        assert "#A17" in first
        assert "Done by riskbot: HALTED" in sent[0]["text"]
        assert "You: ack" in sent[0]["text"]
        assert "UTC" in sent[0]["text"]
    labels = [b["text"] for b in buttons(shown(scene, ADMIN))]
    assert labels[:3] == ["✅ Ack", "🔕 Mute 1 h", "📋 Status"]
    assert labels[3:] == ["📈 Chart", "⏸ Halt…", "🧯 Flatten…"]
    assert "🧯 Flatten…" not in [b["text"] for b in buttons(shown(scene, OPERATOR))]
    assert not buttons(shown(scene, VIEWER))
    assert not buttons(shown(scene, GROUP))


async def test_yellow_is_silent_and_worse_is_edited_and_heard(scene: Scene) -> None:
    yellow = alert("A1", Level.YELLOW)
    async with scene.process():
        await tell(scene, yellow, is_loud=False)
        assert scene.chat(ADMIN).sent[0]["is_silent"]
        await tell(scene, worse(yellow, Level.ORANGE))
    sent = scene.chat(ADMIN).sent
    assert len(sent) == 2
    assert not sent[1]["is_silent"]
    assert sent[1]["reply_to_message"]["message_id"] == sent[0]["message_id"]
    assert "ORANGE" in shown(scene, ADMIN)["text"]


async def test_what_gets_worse_while_a_message_is_on_its_way_is_heard_too(scene: Scene) -> None:
    yellow = alert("A1", Level.YELLOW)
    orange = worse(yellow, Level.ORANGE)
    async with scene.process(users={ADMIN: Role.ADMIN}, groups=()):
        await tell(scene, yellow, is_loud=False)
        busy = {"retry_after": 1}
        scene.server.fail("sendMessage", Fault("refuse", 1, 429, "Too Many Requests", busy))
        telling = asyncio.create_task(tell(scene, orange))
        await until(lambda: len(scene.server.called("sendMessage")) == 2)
        await tell(scene, worse(orange, Level.RED))
        await telling
    heard = [m["text"].split()[1] for m in scene.chat(ADMIN).sent if not m["is_silent"]]
    assert heard == ["ORANGE", "RED"]


async def test_quiet_change_only_edits(scene: Scene) -> None:
    orange = alert("A1", Level.ORANGE)
    async with scene.process():
        await tell(scene, orange)
        await tell(scene, replace(orange, revision=2, text="94% of the limit"), is_loud=False)
    assert len(scene.chat(ADMIN).sent) == 1
    assert "94% of the limit" in shown(scene, ADMIN)["text"]


async def test_end_of_a_red_is_edited_and_said_aloud(scene: Scene) -> None:
    red = alert("A1")
    async with scene.process():
        await tell(scene, red)
        await tell(scene, resolved(red))
    sent = scene.chat(ADMIN).sent
    assert len(sent) == 2
    assert not sent[1]["is_silent"]
    now = shown(scene, ADMIN)
    assert now["text"].startswith("✅ RESOLVED · was RED 60 s")
    assert not buttons(now)


@pytest.mark.parametrize(("level", "count"), [(Level.ORANGE, 2), (Level.YELLOW, 1)])
async def test_end_of_less_is_silent(scene: Scene, level: Level, count: int) -> None:
    told = alert("A1", level)
    async with scene.process():
        await tell(scene, told, is_loud=level is Level.ORANGE)
        await tell(scene, resolved(told), is_loud=False)
    sent = scene.chat(ADMIN).sent
    assert len(sent) == count
    assert count == 1 or sent[-1]["is_silent"]
    assert "RESOLVED" in shown(scene, ADMIN)["text"]


async def test_ack_goes_to_the_guard_and_shows_who(scene: Scene) -> None:
    red = alert("A17")
    async with scene.process():
        await tell(scene, red)
        answer = await scene.press(OPERATOR, shown(scene, OPERATOR), "Ack")
        assert "ack done" in answer["text"]
        assert scene.desk.done == [("ack", {"id": "A17"}, f"telegram:{OPERATOR}")]
        acked = replace(red, revision=2, acked_by="telegram:1002", acked_ms=red.updated_ms)
        await tell(scene, acked, is_loud=False)
    text = shown(scene, ADMIN)["text"]
    assert "ack by telegram:1002" in text
    assert "repeats" not in text
    assert "✅ Ack" not in [b["text"] for b in buttons(shown(scene, ADMIN))]


async def test_button_under_an_alert_opens_the_prompt(scene: Scene) -> None:
    async with scene.process():
        await tell(scene, alert("A17"))
        await scene.press(ADMIN, shown(scene, ADMIN), "Flatten…")
        await until(lambda: len(scene.chat(ADMIN).sent) == 2)
    assert "Flatten?" in scene.chat(ADMIN).texts[-1]
    assert scene.desk.done == []


async def test_restart_keeps_the_message_and_sends_nothing_anew(scene: Scene) -> None:
    red = alert("A1")
    async with scene.process():
        await tell(scene, red)
    async with scene.process():
        await tell(scene, red)
        assert len(scene.chat(ADMIN).sent) == 1
        await tell(scene, resolved(red), is_loud=False)
    assert "RESOLVED" in shown(scene, ADMIN)["text"]


async def test_deleted_message_gets_a_successor(scene: Scene) -> None:
    orange = alert("A1", Level.ORANGE)
    async with scene.process():
        await tell(scene, orange)
        scene.chat(ADMIN).messages.clear()
        await tell(scene, replace(orange, revision=2, text="news"), is_loud=False)
    assert len(scene.chat(ADMIN).sent) == 2
    assert "news" in scene.chat(ADMIN).texts[-1]


async def test_same_revision_asked_twice_is_told_once(scene: Scene) -> None:
    red = alert("A1")
    async with scene.process():
        await asyncio.gather(tell(scene, red), tell(scene, red))
    assert len(scene.chat(ADMIN).sent) == 1


async def test_notice_is_forgotten_once_it_is_told(scene: Scene) -> None:
    async with scene.process(groups=()):
        for number in range(3):
            await scene.door.send(alert(f"A{number}", Level.YELLOW, is_notice=True), is_loud=False)
        gc.collect()
        assert not [each for each in gc.get_objects() if isinstance(each, Notice)]


async def test_hostile_words_are_shown_as_they_are(scene: Scene) -> None:
    async with scene.process():
        await tell(scene, alert("A1", title="<b>&lt;", did="</pre>", text="<a href='x'>"))
    text = scene.chat(ADMIN).texts[0]
    assert "<b>&lt;" in text
    assert "<a href='x'>" in text
    assert all(call.status == 200 for call in scene.server.called("sendMessage"))


async def test_text_that_is_refused_as_html_goes_plain(scene: Scene) -> None:
    words = "Bad Request: can't parse entities: Unsupported start tag"
    scene.server.fail("sendMessage", Fault("refuse", 1, 400, words))
    async with scene.process(users={ADMIN: Role.ADMIN}, groups=()):
        await tell(scene, alert("A1", title="a < b"))
    assert "a < b" in scene.chat(ADMIN).texts[0]
    assert len(scene.chat(ADMIN).sent) == 1


async def test_blocked_user_does_not_keep_it_from_the_others(scene: Scene) -> None:
    scene.chat(ADMIN).is_blocked = True
    async with scene.process():
        await tell(scene, alert("A1"))
    assert len(scene.chat(OPERATOR).sent) == 1


async def test_alert_that_no_chat_takes_has_failed(scene: Scene) -> None:
    for chat in scene.server.api.chats.values():
        chat.is_blocked = True
    async with scene.process():
        with pytest.raises(ChannelError, match="blocked") as caught:
            await tell(scene, alert("A1"))
    assert caught.value.is_permanent


async def test_group_that_became_a_supergroup_is_followed(scene: Scene) -> None:
    scene.server.api.chats[GROUP].moved_to = -1_004_001
    scene.server.group(-1_004_001)
    red = alert("A1")
    async with scene.process():
        await tell(scene, red)
        await until(lambda: scene.server.api.chats[-1_004_001].sent)
    async with scene.process():
        await tell(scene, resolved(red), is_loud=False)
    assert "RESOLVED" in scene.server.api.chats[-1_004_001].edits[-1]["text"]
    assert len([c for c in scene.server.called("sendMessage") if c.status == 400]) == 1


def memory(scene: Scene) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((scene.directory / "telegram.json").read_text())
    return content


async def test_quiet_hours_hold_all_but_red_for_the_morning(scene: Scene) -> None:
    orange, worse_ = alert("A1", Level.ORANGE), alert("A3", Level.YELLOW, name="gross_leverage")
    async with scene.process(quiet_hours="00:00-24:00"):
        await tell(scene, orange)
        await tell(scene, alert("A2", Level.RED))
        await tell(scene, worse_, is_loud=False)
        await tell(scene, worse(worse_, Level.RED))
    assert [m["is_silent"] for m in scene.chat(ADMIN).sent] == [False, False]
    assert "#A2" in scene.chat(ADMIN).texts[0]
    assert "#A3" in scene.chat(ADMIN).texts[1]
    async with scene.process():
        await until(lambda: memory(scene)["held"] == {})
        await tell(scene, resolved(orange), is_loud=False)
    assert len(scene.chat(ADMIN).sent) == 3
    assert "held in the quiet hours" in scene.chat(ADMIN).texts[2]
    assert "ORANGE · drawdown #A1" in scene.chat(ADMIN).texts[2]


async def test_flood_is_folded_into_one_message_and_red_is_not(scene: Scene) -> None:
    async with scene.process(groups=(), users={ADMIN: Role.ADMIN}):
        for number in range(1, 10):
            await tell(scene, alert(f"A{number}", Level.ORANGE))
        await tell(scene, alert("B1"))
        await tell(scene, worse(alert("A9", Level.ORANGE), Level.RED))
    sent = scene.chat(ADMIN).sent
    assert len(sent) == 6 + 1 + 2
    folded = shown(scene, ADMIN, 6)["text"]
    assert folded.startswith("3 more, /alerts")
    assert all(f"#A{number}" in folded for number in (7, 8, 9))
    assert "#B1" in sent[7]["text"]
    assert "RED" in sent[8]["text"]
    assert "#A9" in sent[8]["text"]


async def test_blocked_user_is_left_alone_and_the_others_are_told(scene: Scene) -> None:
    async with scene.process(groups=(), users={ADMIN: Role.ADMIN, OPERATOR: Role.OPERATOR}):
        await scene.answer(ADMIN, "/whoami")
        scene.chat(OPERATOR).is_blocked = True
        await tell(scene, alert("A1"))
        await until(lambda: any("has blocked" in text for text in scene.chat(ADMIN).texts))
        count = len(tries(scene, OPERATOR))
        await tell(scene, alert("A2"))
        assert len(tries(scene, OPERATOR)) == count == 1
        scene.chat(OPERATOR).is_blocked = False
        await scene.answer(OPERATOR, "/whoami")
        await tell(scene, alert("A3"))
    assert "#A3" in scene.chat(OPERATOR).texts[-1]
    assert sum("has blocked" in text for text in scene.chat(ADMIN).texts) == 1


def tries(scene: Scene, chat: int) -> list[Any]:
    return [c for c in scene.server.called("sendMessage") if c.params["chat_id"] == str(chat)]


async def test_alert_waits_for_a_process_that_is_being_started(scene: Scene) -> None:
    telling = asyncio.create_task(tell(scene, alert("A1")))
    await asyncio.sleep(0.05)
    assert not telling.done()
    async with scene.process():
        await telling
    assert len(scene.chat(ADMIN).sent) == 1


async def test_second_contact_hears_only_what_nobody_took_and_then_its_end(scene: Scene) -> None:
    first, second = alert("A1"), alert("A2")
    async with scene.process(second_contacts=(OPERATOR,)):
        await tell(scene, first)
        await tell(scene, second)
        assert len(scene.chat(ADMIN).sent) == 2
        assert scene.chat(OPERATOR).sent == []
        await tell(scene, replace(first, revision=2, escalation=1))
        assert len(scene.chat(OPERATOR).sent) == 1
        await tell(scene, replace(resolved(first), revision=3))
        await tell(scene, replace(resolved(second), revision=3))
    assert all("#A1" in text for text in scene.chat(OPERATOR).texts)
    assert "RESOLVED" in shown(scene, OPERATOR)["text"]


async def test_only_second_contacts_are_the_first(scene: Scene) -> None:
    async with scene.process(second_contacts=(ADMIN, OPERATOR, VIEWER), groups=()):
        await tell(scene, alert("A1"))
    assert len(scene.chat(OPERATOR).sent) == 1
