"""The guard's door: who speaks for whom, what is passed on, what becomes of alerts."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from riskbot.config import load
from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.errors import ChannelError
from riskbot.frontends._socket import short_path
from riskbot.frontends.telegram_door import WAITING_MAX, TelegramDoor
from riskbot.frontends.telegram_parts import TelegramParts
from tests.alerts import alert
from tests.config_files import with_, write
from tests.fakes import FakeClock, until


class Peer:
    """What a Telegram process says and hears."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, path: Path) -> Peer:
        with short_path(path) as address:
            return cls(*await asyncio.open_unix_connection(address))

    def say(self, document: Any) -> None:
        self.writer.write(json.dumps(document).encode() + b"\n")

    def command(self, name: str, user: Any = 1, **fields: Any) -> None:
        self.say({"type": "command", "id": "7", "user": user, "name": name, **fields})

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return dict(json.loads(await self.reader.readline()))

    def hang_up(self) -> None:
        self.writer.close()


class House:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "telegram.sock"
        self.clock = FakeClock()
        self.commands: list[events.CommandReceived] = []
        self.events: list[Any] = []
        self.peers: list[Peer] = []
        users = {1: Role.ADMIN, 2: Role.VIEWER}
        self.door = TelegramDoor(
            self.path,
            users,
            (),
            self.commands.append,
            self.events.append,
            self.clock,
            {"status": {"level": "ok"}}.get,
        )

    async def peer(self) -> Peer:
        peer = await Peer.connect(self.path)
        self.peers.append(peer)
        await until(lambda: self.door.is_connected)
        return peer


@asynccontextmanager
async def housed(directory: Path) -> AsyncIterator[House]:
    made = House(directory)
    task = asyncio.create_task(made.door.run())
    await made.door.is_listening.wait()
    yield made
    for peer in made.peers:
        peer.hang_up()
        await asyncio.gather(peer.writer.wait_closed(), return_exceptions=True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not made.path.exists()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as made:
        yield made


async def test_socket_is_for_this_user_alone(house: House) -> None:
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o600


async def test_long_path_is_reached_too(tmp_path: Path) -> None:
    async with housed(tmp_path / ("d" * 100)) as house:
        peer = await house.peer()
        peer.command("status")
        await until(lambda: house.commands)


async def test_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "telegram.sock"))
    left.close()
    async with housed(tmp_path) as house:
        await house.peer()


async def test_command_carries_the_role_of_the_configuration(house: House) -> None:
    peer = await house.peer()
    asked_ms = house.clock.now_ms() - 5_000
    peer.command("halt", args={"reason": "news"}, age_ms=5_000)
    await until(lambda: house.commands)
    command = house.commands[0]
    assert command.actor.name == "telegram:1"
    assert command.actor.role is Role.ADMIN
    assert (command.name, command.args, command.asked_ms) == ("halt", {"reason": "news"}, asked_ms)
    reply = actions.SendReply(request_id=command.request_id, ok=True, message="halted")
    assert house.door.deliver(reply)
    told = await peer.hear()
    assert (told["type"], told["id"], told["message"]) == ("reply", "7", "halted")


@pytest.mark.parametrize(
    ("user", "name", "document"),
    [
        (1, "status", {"level": "ok"}),
        (2, "status", {"level": "ok"}),
        (3, "status", None),
        ("1", "status", None),
        (1, "secrets", None),
        (1, ["status"], None),
    ],
)
async def test_view_is_for_listed_users_and_no_command(
    house: House, user: Any, name: Any, document: Any
) -> None:
    peer = await house.peer()
    peer.say({"type": "view", "id": "9", "user": user, "name": name})
    told = await peer.hear()
    assert (told["type"], told["id"], told["document"]) == ("reply", "9", document)
    assert (told["ok"], told["is_final"]) == (document is not None, True)
    peer.say({"type": "view", "id": 9, "user": 1, "name": "status"})  # nobody could be answered
    peer.command("status")
    await until(lambda: house.commands)
    assert [c.name for c in house.commands] == ["status"]


async def test_later_replies_come_until_the_last(house: House) -> None:
    peer = await house.peer()
    peer.command("flatten")
    await until(lambda: house.commands)
    request_id = house.commands[0].request_id
    for words, is_final in (("flattening", False), ("flat", True), ("ghost", True)):
        house.door.deliver(
            actions.SendReply(request_id=request_id, ok=True, message=words, is_final=is_final)
        )
    assert [(await peer.hear())["message"] for _ in range(2)] == ["flattening", "flat"]


async def test_reply_of_another_door_is_left_alone(house: House) -> None:
    assert not house.door.deliver(actions.SendReply(request_id="local-1", ok=True, message=""))


@pytest.mark.parametrize(
    ("user", "name", "words"),
    [
        (99, "status", "not listed"),
        ("1", "status", "not listed"),
        (None, "status", "not listed"),
        (2, "halt", "needs the role operator"),
        (2, "flatten", "needs the role admin"),
        (1, "format_disk", "no such command"),
        (1, 7, "no such command"),
    ],
)
async def test_command_is_refused_in_the_guard(
    house: House, user: Any, name: Any, words: str
) -> None:
    peer = await house.peer()
    peer.command(name, user)
    answer = await peer.hear()
    assert not answer["ok"]
    assert words in answer["message"]
    assert house.commands == []


@pytest.mark.parametrize(
    "fields",
    [
        {"args": []},
        {"args": {"reason": {"deep": 1}}},
        {"args": {"reason": "x" * 501}},
        {"age_ms": "now"},
        {"age_ms": 1.5},
        {"age_ms": -3_600_000},
    ],
)
async def test_odd_arguments_are_refused(house: House, fields: dict[str, Any]) -> None:
    peer = await house.peer()
    peer.command("status", **fields)
    assert not (await peer.hear())["ok"]
    assert house.commands == []


async def test_plan_crosses_the_line_with_the_life_it_has_left(house: House) -> None:
    peer = await house.peer()
    peer.command("flatten")
    await until(lambda: house.commands)
    expires_ms = house.clock.now_ms() + 60_000
    house.clock.jump(10_000)
    request_id = house.commands[0].request_id
    house.door.deliver(
        actions.SendReply(
            request_id=request_id, ok=True, message="", plan_id="p", expires_at_ms=expires_ms
        )
    )
    assert (await peer.hear())["expires_in_ms"] == 50_000


async def test_flood_of_commands_is_bounded(house: House) -> None:
    peer = await house.peer()
    for _ in range(WAITING_MAX + 1):
        peer.command("status")
    assert "too many" in (await peer.hear())["message"]
    assert len(house.commands) == WAITING_MAX


async def test_nonsense_does_not_close_the_line(house: House) -> None:
    peer = await house.peer()
    for line in (
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"type":"told"}',
        b'{"type":5}',
        b"[" * 9_000,
    ):
        peer.writer.write(line + b"\n")
    peer.command("status")
    await until(lambda: house.commands)


async def test_request_ids_cannot_be_guessed(house: House, tmp_path: Path) -> None:
    async with housed(tmp_path / "other") as other:
        for each in (house, other):
            (await each.peer()).command("status")
            await until(lambda each=each: each.commands)
        mine, theirs = house.commands[0].request_id, other.commands[0].request_id
    assert mine.rpartition("-")[0] != theirs.rpartition("-")[0]


# ---------------------------------------------------------------- alerts and pings


@pytest.mark.parametrize(
    ("answer", "is_permanent", "retry_after_ms"),
    [
        ({"ok": False, "error": "no chat", "permanent": True}, True, None),
        ({"ok": False, "error": "429", "retry_after_ms": 7_000}, False, 7_000),
        ({"ok": False}, False, None),
        ({"ok": True}, None, None),
    ],
)
async def test_alert_ends_as_the_process_says(
    house: House, answer: dict[str, Any], is_permanent: bool | None, retry_after_ms: int | None
) -> None:
    peer = await house.peer()
    sending = asyncio.create_task(house.door.send(alert("A7"), is_loud=True))
    asked = await peer.hear()
    assert (asked["type"], asked["alert"]["alert_id"], asked["is_loud"]) == ("alert", "A7", True)
    peer.say({"type": "told", "id": asked["id"], **answer})
    if is_permanent is None:
        await sending
        return
    with pytest.raises(ChannelError) as caught:
        await sending
    assert caught.value.is_permanent is is_permanent
    assert caught.value.retry_after_ms == retry_after_ms


async def test_alert_fails_when_the_process_goes_away(house: House) -> None:
    peer = await house.peer()
    sending = asyncio.create_task(house.door.send(alert(), is_loud=True))
    await peer.hear()
    peer.hang_up()
    with pytest.raises(ChannelError, match="went away"):
        await sending


async def test_infinite_figures_cross_the_line(house: House) -> None:
    peer = await house.peer()
    told = alert(measured=float("inf"), worst=float("nan"))
    sending = asyncio.create_task(house.door.send(told, is_loud=True))
    asked = await peer.hear()
    assert asked["alert"]["measured"] is None
    peer.say({"type": "told", "id": asked["id"], "ok": True})
    await sending


async def test_ping_is_answered_or_fails(house: House) -> None:
    with pytest.raises(ChannelError):
        await house.door.ping()
    peer = await house.peer()
    ping = asyncio.create_task(house.door.ping())
    asked = await peer.hear()
    peer.say({"type": "pong", "id": asked["id"]})
    await ping


async def test_newest_process_is_the_one_that_counts(house: House) -> None:
    old = await house.peer()
    new = await house.peer()
    async with asyncio.timeout(10):
        assert await old.reader.read() == b""
    ping = asyncio.create_task(house.door.ping())
    asked = await new.hear()
    new.say({"type": "pong", "id": asked["id"]})
    await ping


async def test_health_is_told_when_it_changes(house: House) -> None:
    peer = await house.peer()
    for state in ("ok", "ok", "conflict", "ok"):
        peer.say({"type": "health", "state": state, "detail": state})
    peer.hang_up()
    await until(lambda: len(house.events) == 4)
    assert [(e.name, e.is_up) for e in house.events] == [
        ("telegram", True),
        ("telegram", False),
        ("telegram", True),
        ("telegram", False),
    ]


async def test_another_word_about_who_uses_the_token_is_told(house: House) -> None:
    peer = await house.peer()
    for state, detail in (
        ("conflict", "a poller"),
        ("conflict", "a poller"),
        ("conflict", "a webhook"),
        ("down", "refused"),
        ("down", "timeout"),
    ):
        peer.say({"type": "health", "state": state, "detail": detail})
    peer.command("status")
    await until(lambda: house.commands)
    assert [e.detail for e in house.events] == ["a poller", "a webhook", "refused"]
    assert [e.is_contested for e in house.events] == [True, True, False]


async def test_user_whose_role_is_gone_is_not_heard_from_then_on(tmp_path: Path) -> None:
    async with housed(tmp_path) as house:
        peer = await house.peer()
        house.door.set_users({2: Role.OPERATOR})
        peer.command("halt", user=1)
        refused = await peer.hear()
        peer.command("halt", user=2)
        await until(lambda: house.commands)
    assert not refused["ok"]
    assert house.commands[0].actor.role is Role.OPERATOR


async def test_parts_start_the_process_anew_for_other_users_alone(tmp_path: Path) -> None:
    sections = with_(telegram={"token": "1:a", "users": {7: "viewer"}}, state_dir=str(tmp_path))
    config = load(write(tmp_path, sections))
    rng, clock = random.Random(1), FakeClock()
    made = TelegramParts(config, lambda _: None, lambda _: None, clock, rng, lambda _: None)
    process = made.parts[1][1]
    made.set_users({7: Role.VIEWER})
    assert not process.is_restarting
    made.set_users({8: Role.ADMIN})
    assert process.is_restarting
    assert b'"8": "admin"' in process.first_line()
    empty = load(write(tmp_path, with_()))
    none = TelegramParts(empty, lambda _: None, lambda _: None, clock, rng, lambda _: None)
    none.set_users({8: Role.ADMIN})
    assert none.channels == ()
