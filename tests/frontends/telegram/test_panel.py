"""The live panel: one message per chat, pinned, edited when there is something new."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from riskbot.frontends.telegram.panel import Beat
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, GROUP, OPERATOR, VIEWER, Scene, buttons
from tests.frontends.telegram.test_board import alert, tell
from tests.servers.telegram_api import Fault

QUICK = Beat(look=0.02, every=0.1, private=0.05, group=0.05, heartbeat=0.2, again=0.0)
PATIENT = Beat(look=0.02, every=3_600, private=3_600, group=3_600, heartbeat=3_600, again=3_600)
"""Only what is shown at once is shown."""

FOOT = "updates every 15 s; older than 1 min = I am down"


async def panel(scene: Scene, user: int = ADMIN, text: str = "/panel") -> dict[str, Any]:
    sent = await scene.answer(user, text)
    await until(lambda: scene.chat(user).pinned == sent["message_id"])
    return sent


def edits(scene: Scene, chat: int = ADMIN) -> list[str]:
    return [message["text"] for message in scene.server.api.chats[chat].edits]


async def looks(scene: Scene, count: int) -> None:
    """Wait until the panel has looked so often."""
    target = scene.desk.looks + 2 * count
    await until(lambda: scene.desk.looks >= target)


async def test_panel_is_the_status_pinned_without_a_sound(scene: Scene) -> None:
    async with scene.process(beat=PATIENT):
        sent = await panel(scene, OPERATOR)
        await looks(scene, 3)
    assert sent["is_silent"]
    assert sent["text"].startswith("🟢 OK · no alert")
    assert "48 212.40" in sent["text"]
    assert FOOT in sent["text"]
    assert str(scene.chat(OPERATOR).pins[0]["disable_notification"]).lower() == "true"
    assert [b["text"] for b in buttons(sent)] == [
        "📊 Exposure",
        "🔔 Alerts (0)",
        "📉 VaR",
        "🌪 Stress",
        "⏸ Halt…",
    ]
    # Its own pin came back as an update, and is no command.
    assert len(scene.chat(OPERATOR).sent) == 1
    assert scene.desk.commands == [], "what is looked at all the time is not recorded"


async def test_panel_is_edited_when_figures_change_and_lives_on_in_heartbeats(
    scene: Scene,
) -> None:
    async with scene.process(beat=QUICK):
        await panel(scene)
        scene.desk.documents["status"]["equity_usd"] = 47_000.0
        await until(lambda: any("47 000.00" in text for text in edits(scene)))
        # From here on the clock alone moves.
        scene.desk.documents["status"]["as_of_ms"] += 61_000
        count = len(edits(scene))
        await until(lambda: len(edits(scene)) > count)
    assert not [c for c in scene.server.calls if c.status == 400]


async def test_panel_is_left_alone_while_nothing_is_due(scene: Scene) -> None:
    async with scene.process(beat=PATIENT):
        await panel(scene)
        scene.desk.documents["status"]["equity_usd"] = 47_000.0
        await looks(scene, 10)
        assert edits(scene) == []


async def test_level_is_shown_at_once_and_then_again_in_its_time(scene: Scene) -> None:
    async with scene.process(beat=PATIENT):
        await panel(scene)
        row = {"id": "A17", "level": "red", "title": "x", "scope": "portfolio"}
        scene.desk.documents["status"]["alerts"] = [row]
        await tell(scene, alert("A17"))
        await until(lambda: any(text.startswith("🔴 RED · 1 alert") for text in edits(scene)))
        count = len(edits(scene))
        scene.desk.documents["status"]["alerts"] = []
        await looks(scene, 10)
        assert len(edits(scene)) == count, "a level that flutters is no stream of edits"


async def test_panel_says_when_the_guard_does_not_answer(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        await panel(scene)
        scene.desk.documents["status"] = None
        await until(lambda: any("the guard does not answer" in text for text in edits(scene)))


async def test_panel_says_that_riskbot_stopped_and_goes_on_after_the_start(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        sent = await panel(scene)
    assert scene.now(sent)["text"].startswith("🔌 riskbot stopped ")
    async with scene.process(beat=QUICK):
        await scene.becomes(sent, lambda text: text.startswith("🟢 OK"))
    assert len(scene.chat(ADMIN).sent) == 1
    assert scene.chat(ADMIN).pinned == sent["message_id"]


async def test_deleted_panel_is_made_anew_and_pinned(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        sent = await panel(scene)
        del scene.chat(ADMIN).messages[sent["message_id"]]
        scene.desk.documents["status"]["as_of_ms"] += 61_000
        await until(lambda: len(scene.chat(ADMIN).sent) == 2)
        new = scene.chat(ADMIN).sent[1]
        await until(lambda: scene.chat(ADMIN).pinned == new["message_id"])
        assert FOOT in new["text"]


async def test_deleted_panel_is_not_made_anew_too_often_but_when_asked(scene: Scene) -> None:
    beat = Beat(look=0.02, every=0.02, private=0.02, group=0.02, heartbeat=0.05, again=3_600)
    async with scene.process(beat=beat):
        sent = await panel(scene)
        del scene.chat(ADMIN).messages[sent["message_id"]]
        scene.desk.documents["status"]["as_of_ms"] += 61_000
        await until(lambda: [c for c in scene.server.called("editMessageText") if c.status == 400])
        await looks(scene, 5)
        assert len(scene.chat(ADMIN).sent) == 1
        new = await panel(scene)
    assert new["message_id"] != sent["message_id"]


async def test_panel_asked_for_twice_is_one_message(scene: Scene) -> None:
    async with scene.process(beat=PATIENT):
        sent = await panel(scene)
        again = await scene.answer(ADMIN, "/panel")
    assert again["text"] == "The panel is pinned above."
    assert scene.chat(ADMIN).pinned == sent["message_id"]
    assert len(scene.chat(ADMIN).pins) == 1


async def test_panel_off_unpins_and_freezes(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        sent = await panel(scene)
        answer = await scene.answer(ADMIN, "/panel off")
        assert "unpinned and frozen" in answer["text"]
        assert scene.chat(ADMIN).pinned is None
        frozen = scene.now(sent)
        assert frozen["text"].startswith("⏹ Frozen")
        assert "48 212.40" in frozen["text"]
        assert buttons(frozen) == []
        scene.desk.documents["status"]["equity_usd"] = 1.0
        nothing = await scene.answer(ADMIN, "/panel off")
        assert "There is no panel" in nothing["text"]
    assert scene.now(sent) == frozen, "not even by the end of riskbot"


async def test_group_gets_a_panel_without_buttons(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        answer = await scene.answer(OPERATOR, f"/panel {GROUP}")
        assert str(GROUP) in answer["text"]
        group = scene.server.api.chats[GROUP]
        assert FOOT in group.sent[0]["text"]
        assert buttons(group.sent[0]) == []
        assert group.pinned == group.sent[0]["message_id"]
        assert "off" in (await scene.answer(OPERATOR, f"/panel off {GROUP}"))["text"]
        assert group.pinned is None


async def test_panel_says_that_it_may_not_be_pinned(scene: Scene) -> None:
    scene.server.api.chats[GROUP].may_pin = False
    async with scene.process(beat=PATIENT):
        answer = await scene.answer(OPERATOR, f"/panel {GROUP}")
    assert "may not pin" in answer["text"]


@pytest.mark.parametrize("words", ["-999", "please", f"{GROUP} {GROUP}"])
async def test_panel_of_an_unknown_chat_is_refused(scene: Scene, words: str) -> None:
    async with scene.process(beat=PATIENT):
        answer = await scene.answer(ADMIN, f"/panel {words}")
    assert "/panel off" in answer["text"]
    assert scene.server.called("pinChatMessage") == []


async def test_panel_is_not_for_a_viewer(scene: Scene) -> None:
    async with scene.process(beat=PATIENT):
        answer = await scene.answer(VIEWER, "/panel")
    assert "not for a viewer" in answer["text"]


async def test_panel_of_somebody_no_longer_listed_ends(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        sent = await panel(scene, OPERATOR)
    users = {ADMIN: scene.settings().users[ADMIN]}
    async with scene.process(beat=QUICK, users=users):
        await until(lambda: "has ended" in scene.now(sent)["text"])
        await asyncio.sleep(0)
    assert "has ended" in scene.now(sent)["text"]


async def test_panel_waits_as_long_as_telegram_asks(scene: Scene) -> None:
    async with scene.process(beat=QUICK):
        await panel(scene)
        fault = Fault("refuse", None, 429, "Too Many Requests", {"retry_after": 1})
        scene.server.fail("editMessageText", fault)
        scene.desk.documents["status"]["equity_usd"] = 46_000.0
        await until(lambda: len(scene.server.called("editMessageText")) >= 2)
        scene.server.lift()
        scene.desk.documents["status"]["equity_usd"] = 45_000.0
        await until(lambda: any("45 000.00" in text for text in edits(scene)), 30)
    assert len(scene.chat(ADMIN).sent) == 1
