"""Telegram's whole path: a Bot API server, unmodified aiogram over HTTP, the door, a guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from riskbot.clock import SystemClock
from riskbot.core.model import Role
from riskbot.frontends.telegram.panel import Beat
from riskbot.frontends.telegram.polling import Pace
from riskbot.frontends.telegram.process import Process
from riskbot.frontends.telegram.settings import Settings
from riskbot.frontends.telegram_door import TelegramDoor
from tests.fakes import until
from tests.frontends.telegram.desk import FakeDesk
from tests.servers.telegram_api import TelegramServer
from tests.servers.telegram_chats import Chat

ADMIN, OPERATOR, VIEWER, STRANGER = 1001, 1002, 1003, 6666
GROUP = -4001
USERS = {ADMIN: Role.ADMIN, OPERATOR: Role.OPERATOR, VIEWER: Role.VIEWER}


PACE = Pace(first=0.05, longest=0.2, conflict=0.2, unauthorized=0.5, custody=0.1)
"""Without the waits that only politeness to the real Telegram makes long."""


class Scene:
    """Everything, and the questions tests ask of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = TelegramServer()
        self.desk = FakeDesk()
        self.events: list[Any] = []
        self.door = TelegramDoor(
            directory / "telegram.sock",
            USERS,
            (GROUP,),
            self.desk.submit,
            self.events.append,
            SystemClock(),
            self.desk.view,
        )
        self.desk.deliver = self.door.deliver
        for user, name in ((ADMIN, "alice"), (OPERATOR, "bob"), (VIEWER, "carol")):
            self.server.person(user, name.capitalize(), name)
        self.server.person(STRANGER, "Mallory")
        self.server.group(GROUP)

    def settings(self, **changes: Any) -> Settings:
        """Return what the process is told."""
        given: dict[str, Any] = {
            "token": self.server.token,
            "api_base_url": self.server.url,
            "users": USERS,
            "groups": (GROUP,),
            "socket": str(self.directory / "telegram.sock"),
            "memory": str(self.directory / "telegram.json"),
            "instance": "vps-1",
        }
        return Settings(**(given | changes))

    @asynccontextmanager
    async def process(
        self, *, answer_s: float = 10.0, pace: Pace = PACE, beat: Beat | None = None, **changes: Any
    ) -> AsyncIterator[Process]:
        """Run the process in this loop until the block ends."""
        made = Process(
            self.settings(**changes), pace=pace, answer_s=answer_s, beat=beat, draw_s=120
        )
        task = asyncio.create_task(made.run())
        try:
            await until(lambda: self.door.is_connected and self.server.called("getUpdates"))
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: not self.door.is_connected)

    def chat(self, user: int) -> Chat:
        """Return the private chat of a user."""
        return self.server.api.chats[user]

    async def answer(self, user: int, text: str, **extra: Any) -> dict[str, Any]:
        """Write a text and return the bot's next message in that chat."""
        count = len(self.chat(user).sent)
        self.server.say(user, text, **extra)
        await until(lambda: len(self.chat(user).sent) > count)
        return self.chat(user).sent[-1]

    def now(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message as it stands now."""
        return self.server.api.chats[message["chat"]["id"]].messages[message["message_id"]]

    async def press(self, user: int, message: dict[str, Any], label: str) -> dict[str, Any]:
        """Press the button whose label contains a text; return Telegram's record of the answer."""
        return await self.press_data(user, message, button(self.now(message), label))

    async def press_data(self, user: int, message: dict[str, Any], data: str) -> dict[str, Any]:
        """Press with raw callback data."""
        query = self.server.press(user, self.now(message), data)
        return await self.answered(query)

    async def answered(self, query: str) -> dict[str, Any]:
        """Return how a press was answered."""

        def found() -> list[dict[str, Any]]:
            return [a for a in self.server.api.answers if a["callback_query_id"] == query]

        await until(found)
        return found()[0]

    async def becomes(
        self, message: dict[str, Any], condition: Callable[[str], bool]
    ) -> dict[str, Any]:
        """Wait until a message's text is so; return the message."""
        await until(lambda: condition(self.now(message)["text"]))
        return self.now(message)


def buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the buttons of a message."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


def button(message: dict[str, Any], label: str) -> str:
    """Return the data of the button whose label contains a text."""
    found = [b["callback_data"] for b in buttons(message) if label in b["text"]]
    assert found, f"no button {label!r} in {[b['text'] for b in buttons(message)]}"
    return str(found[0])
