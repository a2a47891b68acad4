"""Who is heard, and how old a command may be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import Chat as TelegramChat
from aiogram.types import Message, Update, User

from riskbot.core.model import Level, Role
from riskbot.frontends.telegram import conversation, gate
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.reader import made
from riskbot.frontends.telegram.settings import Settings
from tests.alerts import alert
from tests.fakes import FakeClock, until
from tests.frontends.telegram.scene import ADMIN, GROUP, OPERATOR, STRANGER, VIEWER, Scene, buttons

FORWARD = {
    "forward_origin": {
        "type": "user",
        "date": 1_700_000_000,
        "sender_user": {"id": ADMIN, "is_bot": False, "first_name": "Alice"},
    }
}
BOT = {"id": 55, "is_bot": True, "first_name": "inline", "username": "inline_bot"}


async def handled(scene: Scene) -> None:
    """Wait until everything sent before was looked at: a later command is answered."""
    await scene.answer(VIEWER, "/whoami")


@pytest.mark.parametrize(
    "extra",
    [
        FORWARD,
        {"forward_date": 1_700_000_000},
        {"via_bot": BOT},
        {"sender_chat": {"id": -100, "type": "channel", "title": "x"}},
        {"edit_date": 1_700_000_000},
        {"from": {"id": ADMIN, "is_bot": True, "first_name": "me"}},
        {"is_automatic_forward": True},
    ],
)
async def test_what_a_person_did_not_write_just_now_is_ignored(
    scene: Scene, extra: dict[str, Any]
) -> None:
    async with scene.process():
        scene.server.say(ADMIN, "/halt", **extra)
        await handled(scene)
    assert scene.chat(ADMIN).texts == []
    assert scene.desk.commands == []


@pytest.mark.parametrize(
    "kind", ["edited_message", "channel_post", "edited_channel_post", "business_message"]
)
async def test_other_kinds_of_messages_are_ignored(scene: Scene, kind: str) -> None:
    async with scene.process():
        message = scene.server.say(ADMIN, "/halt")
        await until(lambda: scene.chat(ADMIN).texts)
        count = len(scene.desk.commands)
        scene.server.allowed = None
        scene.server.push({kind: message})
        await handled(scene)
    assert len(scene.desk.commands) == count
    assert len(scene.chat(ADMIN).texts) == 1


async def test_groups_command_nothing(scene: Scene) -> None:
    async with scene.process():
        scene.server.say(ADMIN, "/halt", chat=GROUP)
        scene.server.say(ADMIN, "/status", chat=GROUP)
        anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
        scene.server.say(ADMIN, "/halt", chat=GROUP, **{"from": anonymous})
        await handled(scene)
    assert scene.server.api.chats[GROUP].texts == []
    assert scene.desk.commands == []


async def test_press_in_a_group_or_inline_does_nothing(scene: Scene) -> None:
    async with scene.process():
        prompt = await scene.answer(ADMIN, "/flatten")
        data = buttons(prompt)[0]["callback_data"]
        elsewhere = {**prompt, "chat": scene.server.api.chats[GROUP].info}
        scene.server.press(ADMIN, elsewhere, data)
        scene.server.push(
            {
                "callback_query": {
                    "id": "1",
                    "from": {"id": ADMIN, "is_bot": False, "first_name": "A"},
                    "inline_message_id": "x",
                    "chat_instance": "1",
                    "data": data,
                }
            }
        )
        scene.server.press(STRANGER, prompt, data)
        await handled(scene)
    assert scene.desk.done == []


async def test_stranger_learns_nothing_and_admins_are_told_once(scene: Scene) -> None:
    async with scene.process():
        for text in ("/start", "/status", "/halt", "hello", "/help", "/flatten", "/whoami", "x"):
            scene.server.say(STRANGER, text)
        await handled(scene)
        await until(lambda: scene.chat(ADMIN).texts)
    assert scene.chat(STRANGER).texts == ["Private bot."]
    assert scene.desk.commands == []
    assert len(scene.chat(ADMIN).texts) == 1
    assert str(STRANGER) in scene.chat(ADMIN).texts[0]
    assert scene.chat(OPERATOR).texts == []


async def test_strangers_are_not_told_anew_after_a_restart(scene: Scene) -> None:
    for _ in range(2):
        async with scene.process():
            scene.server.say(STRANGER, "/start")
            await handled(scene)
            await until(lambda: scene.chat(ADMIN).texts)
    assert scene.chat(STRANGER).texts == ["Private bot."]
    assert len(scene.chat(ADMIN).texts) == 1


async def test_crowd_of_strangers_is_one_line_for_the_admins(scene: Scene) -> None:
    crowd = range(8_000, 8_000 + gate.STRANGERS_MAX + 15)
    async with scene.process():
        for user in crowd:
            scene.server.person(user, f"Nobody{user}")
            scene.server.say(user, "hello")
        await handled(scene)
        summary = f"More than {gate.STRANGERS_MAX} strangers"
        await until(lambda: any(summary in edit["text"] for edit in scene.chat(ADMIN).edits), 30)
        await until(lambda: sum(bool(scene.chat(user).texts) for user in crowd) == 20)
        # Three of them, and one message that stands for the others.
        assert len(scene.chat(ADMIN).sent) == 4
        assert str(crowd[-1]) not in str(scene.chat(ADMIN).messages)
        # Strangers cannot use up what alerts may be told with.
        for number in range(1, 4):
            await scene.door.send(alert(f"A{number}", Level.ORANGE), is_loud=True)
    assert [message["is_silent"] for message in scene.chat(ADMIN).sent[4:]] == [False] * 3


class Room:
    """What the gate asks of others, and a clock that is set by hand."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.said: list[tuple[int, str]] = []
        self.told: list[str] = []
        memory = Memory(path, "1")
        settings = Settings(
            token="1:a",
            api_base_url="",
            users={ADMIN: Role.ADMIN},
            groups=(),
            socket="",
            memory="",
            instance="vps-1",
        )
        self.gate = gate.Gate(
            settings,
            self.clock,
            memory,
            lambda *said: self.said.append(said),
            lambda text: self.told.append(made(text)),
        )

    async def write(self, user: int, text: str = "hello") -> None:
        who = User(id=user, is_bot=False, first_name="Nobody")
        message = Message(
            message_id=1,
            date=datetime(2026, 1, 1, tzinfo=UTC),
            chat=TelegramChat(id=user, type="private"),
            from_user=who,
            text=text,
        )
        await self.gate(_fail, Update(update_id=1, message=message), {})


async def _fail(event: Any, data: dict[str, Any]) -> None:
    pytest.fail("a stranger reached a handler")


async def test_stranger_is_answered_once_an_hour_and_told_of_once_a_day(tmp_path: Path) -> None:
    room = Room(tmp_path / "memory.json")
    for _ in range(48):
        await room.write(STRANGER)
        await room.write(STRANGER)
        room.clock.jump(1_800_000)
    assert room.said == [(STRANGER, gate.NEUTRAL)] * 24
    assert len(room.told) == 1
    room.clock.jump(1_800_000)
    await room.write(STRANGER, "x" * 100)
    assert len(room.told) == 2
    assert room.told[1].endswith(": " + "x" * 60)


async def test_crowds_are_counted_by_the_hour(tmp_path: Path) -> None:
    room = Room(tmp_path / "memory.json")
    for hour in range(3):
        for number in range(gate.STRANGERS_MAX + 30):
            await room.write(10_000 * (hour + 1) + number)
        room.clock.jump(gate.HOUR_MS)
    assert len(room.said) == 3 * gate.STRANGERS_MAX
    summaries = [text for text in room.told if "More than" in text]
    assert len(summaries) == 3
    assert len(room.told) == 3 * (gate.STRANGERS_MAX + 1)


async def test_same_name_with_another_number_is_a_stranger(scene: Scene) -> None:
    scene.server.person(7777, "Alice", "alice")
    async with scene.process():
        scene.server.say(7777, "/status")
        await until(lambda: scene.chat(7777).texts)
    assert scene.chat(7777).texts == ["Private bot."]


@pytest.mark.parametrize("age_s", [40, 3_600, 80_000])
async def test_old_resume_is_dropped_and_said(scene: Scene, age_s: float) -> None:
    async with scene.process():
        scene.server.say(ADMIN, "/resume", age_s=age_s)
        await until(lambda: scene.chat(ADMIN).texts)
    assert "While I was away" in scene.chat(ADMIN).texts[0]
    assert "resume" in scene.chat(ADMIN).texts[0]
    assert scene.desk.commands == []


@pytest.mark.parametrize("command", ["/halt", "/flatten"])
async def test_old_halt_and_flatten_are_asked_afresh(scene: Scene, command: str) -> None:
    async with scene.process():
        message = await scene.answer(ADMIN, command, age_s=720)
        assert "12 min ago" in message["text"]
        assert scene.desk.done == []
        await scene.press(ADMIN, message, "Yes")
        await until(lambda: scene.desk.done)


async def test_what_waited_for_the_start_is_not_done_by_itself(scene: Scene) -> None:
    for text in ("/resume", "/status", "/status", "/halt"):
        scene.server.say(ADMIN, text, age_s=900)
    async with scene.process():
        await until(lambda: len(scene.chat(ADMIN).texts) == 2)
    texts = "\n".join(scene.chat(ADMIN).texts)
    assert "resume, status x2. Not executed." in texts
    assert "You wanted to halt 15 min ago" in texts
    assert scene.desk.done == []


async def test_update_is_handled_once_across_a_restart(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/status")
    async with scene.process():
        await scene.answer(ADMIN, "/limits")
    assert len(scene.desk.asked("status")) == 1
    offsets = [int(c.params.get("offset", 0)) for c in scene.server.called("getUpdates")]
    assert offsets == sorted(offsets)
    assert (scene.directory / "telegram.json").stat().st_mode & 0o777 == 0o600


async def test_person_is_slowed_down_but_never_in_danger(scene: Scene) -> None:
    async with scene.process():
        for _ in range(conversation.READS_BURST + 5):
            scene.server.say(ADMIN, "/whoami")
        await until(lambda: any("Slow down" in t for t in scene.chat(ADMIN).texts), 20)
        scene.server.say(ADMIN, "/halt")
        await until(lambda: any("Halt trading?" in t for t in scene.chat(ADMIN).texts), 20)
    assert sum("Slow down" in t for t in scene.chat(ADMIN).texts) == 1


@pytest.mark.parametrize("extra", [{"sticker": {}}, {"voice": {}}, {"dice": {}}, {}])
async def test_message_without_text_is_survived(scene: Scene, extra: dict[str, Any]) -> None:
    media: dict[str, Any] = {
        "sticker": {
            "file_id": "s",
            "file_unique_id": "s",
            "type": "regular",
            "width": 1,
            "height": 1,
            "is_animated": False,
            "is_video": False,
        },
        "voice": {"file_id": "v", "file_unique_id": "v", "duration": 1},
        "dice": {"emoji": "🎲", "value": 3},
    }
    async with scene.process():
        scene.server.say(ADMIN, None, **{kind: media[kind] for kind in extra})
        await scene.answer(ADMIN, "/whoami")
    assert len(scene.chat(ADMIN).texts) == 1
