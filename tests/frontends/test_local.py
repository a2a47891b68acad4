"""The local door over a real socket: who asks, what is refused, and how long it waits."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.frontends import local
from riskbot.frontends.local import LocalDoor
from tests.fakes import until


class Desk:
    """Keeps what was asked and answers as told."""

    def __init__(self) -> None:
        self.asked: list[events.CommandReceived] = []
        self.door: LocalDoor | None = None
        self.answer: Callable[[events.CommandReceived], list[actions.SendReply]] = lambda _: []

    def submit(self, command: events.CommandReceived) -> None:
        self.asked.append(command)
        for reply in self.answer(command):
            assert self.door is not None
            assert self.door.deliver(reply)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Desk]:
    desk = Desk()
    desk.door = LocalDoor(
        path, desk.submit, lambda name: {"is": name} if name == "status" else None
    )
    task = asyncio.create_task(desk.door.run())
    await desk.door.is_listening.wait()
    try:
        yield desk
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def say(path: Path, line: bytes) -> list[dict[str, Any]]:
    """Send one line and return every document of the answer."""
    with local_address(path) as address:
        reader, writer = await asyncio.open_unix_connection(address, limit=2**20)
    writer.write(line)
    await writer.drain()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return [json.loads(part) for part in answer.splitlines()]


def local_address(path: Path) -> Any:
    from riskbot.frontends._socket import short_path

    return short_path(path)


def request(name: str, **fields: Any) -> bytes:
    return json.dumps({"name": name, **fields}).encode() + b"\n"


def reply(command: events.CommandReceived, **fields: Any) -> actions.SendReply:
    return actions.SendReply(
        **{"request_id": command.request_id, "ok": True, "message": "done", **fields}
    )


async def test_door_when_asked_hands_the_command_over_with_the_callers_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        desk.answer = lambda c: [reply(c, document={"equity_usd": 1.5})]
        answers = await say(path, request("halt", args={"account": "main"}))
    assert answers == [
        {"ok": True, "message": "done", "document": {"equity_usd": 1.5}, "final": True}
    ]
    (asked,) = desk.asked
    assert (asked.name, asked.args) == ("halt", {"account": "main"})
    assert (asked.actor.name, asked.actor.role) == (f"ctl:{os.getuid()}", Role.ADMIN)


async def test_door_when_command_goes_on_streams_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        desk.answer = lambda c: [
            reply(c, message="flattening", is_final=False),
            reply(c, ok=False, message="1 left"),
        ]
        answers = await say(path, request("flatten"))
    assert [(a["message"], a["ok"], a["final"]) for a in answers] == [
        ("flattening", True, False),
        ("1 left", False, True),
    ]


async def test_door_when_reply_is_a_plan_passes_it_on(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        desk.answer = lambda c: [reply(c, plan_id="p1", plan={"close": []}, expires_at_ms=5)]
        (answer,) = await say(path, request("flatten"))
    assert (answer["plan_id"], answer["plan"], answer["expires_at_ms"]) == ("p1", {"close": []}, 5)


async def test_door_when_figure_is_infinite_says_unknown(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        desk.answer = lambda c: [reply(c, document=[{"gross": float("inf"), "net": float("nan")}])]
        (answer,) = await say(path, request("exposure"))
    assert answer["document"] == [{"gross": None, "net": None}]


async def test_door_when_nothing_answers_says_so_and_forgets(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        (answer,) = await say(path, request("status", wait_s=0.05))
        assert desk.door is not None
        assert not desk.door.deliver(reply(desk.asked[0]))
    assert (answer["ok"], answer["timed_out"], answer["final"]) == (False, True, True)
    assert "status has not ended within 0.05 s" in answer["message"]


async def test_view_when_asked_comes_without_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        (good,) = await say(path, request("view", args={"of": "status"}))
        (bad,) = await say(path, request("view", args={"of": "x"}))
    assert (good["document"], bad["ok"], desk.asked) == ({"is": "status"}, False, [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"status\n", "a request is one line of JSON"),
        (b"\xff\xfe\n", "a request is one line of JSON"),
        (b"[" * 30_000 + b"\n", "a request is one line of JSON"),
        (b"[1]\n", 'a request reads {"name": "status", "args": {}}'),
        (b'{"name": 5}\n', 'a request reads {"name": "status", "args": {}}'),
        (b'{"name": "a", "args": [1]}\n', "args: must be a mapping"),
        (b'{"name": "a", "wait_s": -1}\n', "wait_s: must be a number above 0"),
        (b'{"name": "a", "wait_s": true}\n', "wait_s: must be a number above 0"),
        (b'{"name": "a", "wait_s": NaN}\n', "wait_s: must be a number above 0"),
        (b'{"name": "' + b"x" * 70_000 + b'"}\n', "a request has at most 65536 bytes"),
    ],
)
async def test_door_when_request_is_none_refuses_it(
    tmp_path: Path, line: bytes, message: str
) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        (answer,) = await say(path, line)
    assert (answer["ok"], answer["message"], answer["final"]) == (False, message, True)
    assert desk.asked == []


async def test_door_when_peer_leaves_at_once_serves_the_next(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        desk.answer = lambda c: [reply(c)]
        for text in (b"", b"half a line"):
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.write(text)
            writer.close()
            await writer.wait_closed()
        (answer,) = await say(path, request("status"))
    assert answer["ok"]


async def test_door_when_too_many_wait_refuses_one_more(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        waiting = [
            asyncio.create_task(say(path, request("status", wait_s=30)))
            for _ in range(local.CONNECTIONS_MAX)
        ]
        await until(lambda: len(desk.asked) == local.CONNECTIONS_MAX)
        (answer,) = await say(path, request("status"))
        assert answer["message"] == "too many connections: try again"
        assert desk.door is not None
        for command in desk.asked:
            desk.door.deliver(reply(command))
        assert all(answers[-1]["ok"] for answers in await asyncio.gather(*waiting))


async def test_deliver_when_news_pile_up_keeps_the_end(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path) as desk:
        news = local.REPLIES_MAX + 50
        desk.answer = lambda c: [
            *(reply(c, message=str(n), is_final=False) for n in range(news)),
            reply(c, message="end"),
        ]
        answers = await say(path, request("flatten"))
    assert answers[-1]["message"] == "end"
    assert len(answers) == local.REPLIES_MAX


async def test_deliver_when_request_is_of_another_door_leaves_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "riskbot.sock") as desk:
        assert desk.door is not None
        foreign = actions.SendReply(request_id="telegram-1", ok=True, message="")
        assert not desk.door.deliver(foreign)


async def test_socket_when_open_belongs_to_its_owner_alone_and_goes_with_the_door(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state" / "riskbot.sock"
    async with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_socket_when_left_behind_by_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.sock"
    async with opened(path):
        path.rename(tmp_path / "kept")
    (tmp_path / "kept").rename(path)
    async with opened(path) as desk:
        desk.answer = lambda c: [reply(c)]
        assert (await say(path, request("status")))[0]["ok"]


async def test_socket_when_path_is_long_works_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 60) / ("e" * 60) / "riskbot.sock"
    async with opened(path) as desk:
        desk.answer = lambda c: [reply(c)]
        assert (await say(path, request("status")))[0]["ok"]
