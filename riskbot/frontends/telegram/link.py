"""The line to the guard: commands out, replies back, alerts and pings in. Reconnects by itself."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from riskbot.core.model import Level
from riskbot.errors import RiskbotError
from riskbot.frontends._socket import LINE_MAX, Line, short_path
from riskbot.frontends.telegram.reader import phrase, say

LOGGER = logging.getLogger(__name__)

ANSWER_S = 10.0
"""How long the guard may take for its first answer."""

LONG_S = 900.0
"""How long a command may go on, such as a flatten."""

RECONNECT_S = 0.5


class GuardAwayError(RiskbotError):
    """The guard cannot be asked, or does not answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the guard, as `actions.SendReply` says it.

    Attributes:
        expires_in_ms: life left of the plan when the guard answered.
    """

    ok: bool
    message: str
    document: Any = None
    plan_id: str | None = None
    plan: dict[str, Any] | None = None
    expires_in_ms: int | None = None
    is_final: bool = True
    needs_factor: bool = False


GONE = Reply(ok=False, message=phrase("the guard went away; check before you ask again"))


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert as the guard hands it over.

    Attributes:
        alert: `duty.Alert` in JSON values.
        age_ms: since the alert last changed, when it was handed over.
        changed_ms: when it last changed, by the clock here.
        life_s: for how long it is still worth sending, None = as long as any of its level.
    """

    alert: dict[str, Any]
    is_loud: bool
    age_ms: int = 0
    changed_ms: int = 0
    life_s: float | None = None

    @property
    def alert_id(self) -> str:
        """Its speakable id."""
        return str(self.alert.get("thread") or self.alert["alert_id"])

    @property
    def level(self) -> Level:
        """Its level now."""
        return Level(self.alert["level"])


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an alert: in a chat, or why in none.

    Attributes:
        is_held: kept for the morning in every chat that can be reached.
    """

    ok: bool
    is_held: bool = False
    error: str = ""
    is_permanent: bool = False
    retry_after_ms: int | None = None


TakeAlert = Callable[[Notice], Awaitable[Taken]]


class Guard:
    """The guard as the process sees it.

    Args:
        path: of the guard's socket.
        take_alert: tells an alert to people.
        answer_s: how long the first answer to a command may take.
    """

    def __init__(self, path: Path, take_alert: TakeAlert, *, answer_s: float = ANSWER_S) -> None:
        self._path = path
        self._take_alert = take_alert
        self._answer_s = answer_s
        self._line: Line | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Queue[Reply]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._health: dict[str, str] = {"state": "starting", "detail": ""}

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            with suppress(OSError):
                await self._converse()
            await asyncio.sleep(RECONNECT_S)

    def tell_health(self, state: str, detail: str = "") -> None:
        """Tell the guard how Telegram is: `ok`, `down`, `conflict`, `unauthorized`."""
        self._health = {"state": state, "detail": detail}
        self._say({"type": "health", **self._health})

    async def ask(
        self, user: int, name: str, args: dict[str, Any] | None = None, age_ms: int | None = None
    ) -> Reply:
        """Return the first answer to a command.

        Raises:
            GuardAwayError: the guard is away or silent; a command that was sent may be done.
        """
        async with aclosing(self.follow(user, name, args, age_ms)) as replies:
            async for reply in replies:
                return reply
        message = "the guard does not answer"
        raise GuardAwayError(message)

    async def view(self, user: int, name: str) -> Any:
        """Return a document of this moment, without a command that would be recorded.

        Raises:
            GuardAwayError: there is none.
        """
        async with aclosing(
            self._exchange({"type": "view", "user": user, "name": name})
        ) as replies:
            async for reply in replies:
                if reply.ok and reply.document is not None:
                    return reply.document
        message = "the guard does not say"
        raise GuardAwayError(message)

    async def follow(
        self, user: int, name: str, args: dict[str, Any] | None = None, age_ms: int | None = None
    ) -> AsyncGenerator[Reply, None]:
        """Yield every answer to a command until the last.

        Raises:
            GuardAwayError: the guard is away, silent, or goes away in between.
        """
        command = {"type": "command", "user": user, "name": name, "args": args or {}}
        async with aclosing(self._exchange({**command, "age_ms": age_ms})) as replies:
            async for reply in replies:
                yield reply

    async def _exchange(self, document: dict[str, Any]) -> AsyncGenerator[Reply, None]:
        """Say something and yield every answer to it.

        Raises:
            GuardAwayError: see `follow`.
        """
        if self._line is None:
            message = "the guard is away"
            raise GuardAwayError(message)
        number = str(next(self._ids))
        queue: asyncio.Queue[Reply] = asyncio.Queue()
        self._waiting[number] = queue
        wait_s = self._answer_s
        try:
            self._say({**document, "id": number})
            while True:
                async with asyncio.timeout(wait_s):
                    reply = await queue.get()
                if reply is GONE:
                    reply = replace(reply, message=say(GONE.message))
                yield reply
                if reply.is_final:
                    return
                wait_s = LONG_S
        except TimeoutError:
            message = "the guard does not answer"
            raise GuardAwayError(message) from None
        finally:
            del self._waiting[number]

    async def _converse(self) -> None:
        with short_path(self._path) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=LINE_MAX)
        self._line = line = Line(reader, writer)
        self._say({"type": "hello", "version": 1})
        self._say({"type": "health", **self._health})
        try:
            while (document := await line.receive()) is not None:
                self._take(document)
        finally:
            self._line = None
            for queue in self._waiting.values():
                queue.put_nowait(GONE)
            await line.close()

    def _say(self, document: dict[str, Any]) -> None:
        if self._line is not None:
            with suppress(ConnectionError):  # noticed by the reader
                self._line.send(document)

    def _take(self, document: dict[str, Any]) -> None:
        match document.get("type"):
            case "ping":
                self._say({"type": "pong", "id": document.get("id")})
            case "alert":
                task = asyncio.get_running_loop().create_task(self._alert(document))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case "reply":
                queue = self._waiting.get(str(document.pop("id", "")))
                if queue is not None:
                    document.pop("type")
                    queue.put_nowait(Reply(**document))
            case _:
                pass  # the word of a newer guard

    async def _alert(self, document: dict[str, Any]) -> None:
        notice = Notice(document["alert"], bool(document["is_loud"]), document.get("age_ms", 0))
        taken = await self._take_alert(notice)
        answer = {
            "ok": taken.ok,
            "held": taken.is_held,
            "error": taken.error,
            "permanent": taken.is_permanent,
            "retry_after_ms": taken.retry_after_ms,
        }
        self._say({"type": "told", "id": document.get("id"), **answer})
