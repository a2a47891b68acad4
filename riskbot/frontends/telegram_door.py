"""The guard's side of Telegram: a unix socket for the Telegram process, and the alert channel.

Lines of JSON. The process says `hello`, `command`, `told`, `pong`, `health`; the guard says
`reply`, `alert`, `ping`. The process names a Telegram user by number; what that user may do is
looked up here, so that a process that was taken over gains no more than the listed users have.
Ages and lives cross the line as durations: the two processes need not agree on the time. Nothing
here knows the Bot API.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.commands import BY_NAME
from riskbot.core.duty import Alert
from riskbot.core.model import Actor, Role
from riskbot.errors import ChannelError
from riskbot.frontends._socket import LINE_MAX, Line, bind, peer_uid

Emit = Callable[[events.Event], None]
ShowView = Callable[[str], Any]
"""Returns a document of this moment, None = there is none of that name."""

SubmitCommand = Callable[[events.CommandReceived], None]
"""Hands a command to the runner; synchronous, never blocks."""

WAITING_MAX = 200
"""Commands under way; beyond it the next is refused."""

ARGUMENT_MAX = 500
"""Longest text argument, characters."""

ALERT: TypeAdapter[Alert] = TypeAdapter(Alert)


class TelegramDoor:
    """Listens for the Telegram process, and is the channel `telegram`.

    Args:
        path: of the socket, in the state directory.
        users: role by numeric user id; nobody else is heard.
        groups: chats that alerts also go to; kept for the record, the process serves them.
        submit_command: hands a command to the runner.
        emit: takes `FrontendChanged`.
        clock: for the age of commands.
        view: shows documents of this moment: what is looked at all the time is no command, and
            not recorded.
    """

    name = "telegram"

    def __init__(
        self,
        path: Path,
        users: Mapping[int, Role],
        groups: tuple[int, ...],
        submit_command: SubmitCommand,
        emit: Emit,
        clock: Clock,
        view: ShowView | None = None,
    ) -> None:
        self._path = path
        self._view = view
        self._users = dict(users)
        self._groups = groups
        self._submit = submit_command
        self._emit = emit
        self._clock = clock
        self._line: Line | None = None
        self._connected = asyncio.Event()
        self._health = ""
        # Ids that nobody can guess: what a plan is called is derived from them.
        self._prefix = f"telegram-{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)
        self._waiting: dict[str, str] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.is_listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; the socket is removed on the way out."""
        server = await asyncio.start_unix_server(self._serve, sock=bind(self._path), limit=LINE_MAX)
        inode = self._path.stat().st_ino
        try:
            self.is_listening.set()
            await server.serve_forever()
        finally:
            self.is_listening.clear()
            with suppress(OSError):
                # Not one that a successor has bound meanwhile.
                if self._path.stat().st_ino == inode:
                    self._path.unlink()

    def set_users(self, users: Mapping[int, Role]) -> None:
        """Hear these users from now on, and nobody else."""
        self._users = dict(users)

    @property
    def is_connected(self) -> bool:
        """Whether the process is there."""
        return self._line is not None

    # ------------------------------------------------------------ what the guard wants

    def deliver(self, reply: actions.SendReply) -> bool:
        """Hand over a reply; False when it is another door's."""
        if not reply.request_id.startswith(self._prefix):
            return False
        number = self._waiting.get(reply.request_id)
        if number is not None:
            if reply.is_final:
                del self._waiting[reply.request_id]
            now_ms = self._clock.now_ms()
            self._say({"type": "reply", "id": number, **_document(reply, now_ms)})
        return True

    async def send(self, alert: Alert, *, is_loud: bool) -> bool:
        """Have the process tell an alert, and wait until a chat has it.

        A process that is away is waited for: it is being started, or started again. How long is
        for the caller to say.

        Returns:
            Whether it is held: everyone it goes to has quiet hours.

        Raises:
            ChannelError: the process went away meanwhile, or Telegram did not take it.
        """
        await self._connected.wait()
        document = ALERT.dump_python(alert, mode="json")
        age_ms = max(0, self._clock.now_ms() - alert.updated_ms)
        answer = await self._ask(
            {"type": "alert", "alert": document, "is_loud": is_loud, "age_ms": age_ms}
        )
        if not answer.get("ok"):
            wait = answer.get("retry_after_ms")
            raise ChannelError(
                str(answer.get("error") or "not taken"),
                is_permanent=bool(answer.get("permanent")),
                retry_after_ms=wait if isinstance(wait, int) else None,
            )
        return answer.get("held") is True

    async def ping(self) -> None:
        """Return when the process has answered.

        Raises:
            ChannelError: it is not connected, or went away meanwhile.
        """
        await self._ask({"type": "ping"})

    async def close(self) -> None:
        """Hang up; the process is the supervisor's to stop."""
        if self._line is not None:
            await self._line.close()

    async def _ask(self, document: dict[str, Any]) -> dict[str, Any]:
        if self._line is None:
            message = "the Telegram process is not connected"
            raise ChannelError(message)
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._say({**document, "id": number})
            return await answer
        finally:
            del self._answers[number]

    def _say(self, document: Mapping[str, Any]) -> None:
        # A peer that went away is noticed by the reader; what was under way is failed there.
        if self._line is not None:
            with suppress(ConnectionError):
                self._line.send(document)

    # ------------------------------------------------------------ what the process says

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        if peer_uid(writer) not in {os.geteuid(), 0}:
            await line.close()
            return
        before, self._line = self._line, line
        self._connected.set()
        if before is not None:
            await before.close()  # the newest process is the one that lives
        try:
            while (document := await line.receive()) is not None:
                self._take(document)
        finally:
            if self._line is line:
                self._line = None
                self._connected.clear()
                self._lost()
            await line.close()

    def _lost(self) -> None:
        self._waiting.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ChannelError("the Telegram process went away"))
        self._set_health("down", "the Telegram process went away")

    def _take(self, document: dict[str, Any]) -> None:
        match document.get("type"):
            case "command":
                self._command(document)
            case "view":
                self._show(document)
            case "told" | "pong":
                answer = self._answers.get(_number(document.get("id")))
                if answer is not None and not answer.done():
                    answer.set_result(document)
            case "health":
                detail = str(document.get("detail") or "")[:ARGUMENT_MAX]
                self._set_health(str(document.get("state") or ""), detail)
            case _:
                pass  # `hello`, or the word of a newer process

    def _set_health(self, state: str, detail: str) -> None:
        # Who else uses the token matters as much as that somebody does.
        known = f"{state} {detail}" if state == "conflict" else state
        # One that is still starting is neither up nor down.
        if known == self._health or state == "starting":
            return
        self._health = known
        self._emit(
            events.FrontendChanged(
                name=self.name,
                is_up=state == "ok",
                detail=detail,
                is_contested=state == "conflict",
            )
        )

    def _command(self, document: dict[str, Any]) -> None:
        number, name, user = document.get("id"), document.get("name"), document.get("user")
        args, age_ms = document.get("args"), document.get("age_ms")
        if not isinstance(number, str) or len(number) > ARGUMENT_MAX:
            return  # nobody could be answered
        role = self._users.get(user) if isinstance(user, int) else None
        fault = self._fault(name, role, args, age_ms)
        if fault or role is None:
            refusal = {"ok": False, "message": fault, "document": None, "is_final": True}
            self._say({"type": "reply", "id": number, **refusal})
            return
        request_id = f"{self._prefix}-{next(self._numbers)}"
        self._waiting[request_id] = number
        self._submit(
            events.CommandReceived(
                request_id=request_id,
                name=str(name),
                args=args or {},
                actor=Actor(f"telegram:{user}", role, "telegram"),
                asked_ms=None if age_ms is None else self._clock.now_ms() - age_ms,
            )
        )

    def _show(self, document: dict[str, Any]) -> None:
        """Answer with a document of this moment, to a listed user only."""
        number, name, user = document.get("id"), document.get("name"), document.get("user")
        if not isinstance(number, str) or len(number) > ARGUMENT_MAX:
            return
        is_known = isinstance(user, int) and user in self._users and isinstance(name, str)
        found = self._view(str(name)) if is_known and self._view is not None else None
        words = "" if found is not None else "there is no such document for this user"
        answer = {"ok": found is not None, "message": words, "document": found, "is_final": True}
        self._say({"type": "reply", "id": number, **answer})

    def _fault(self, name: object, role: Role | None, args: object, age_ms: object) -> str:
        """Return why a command is not passed on, empty when it is."""
        if role is None:
            return "this user is not listed"
        if not isinstance(name, str) or name not in BY_NAME:
            return "no such command"
        needed = BY_NAME[name].role
        if role.rank < needed.rank:
            return f"{name} needs the role {needed.value}, you are {role.value}"
        if not isinstance(args, dict | None) or not _is_plain(args or {}):
            return "arguments must be short texts or numbers"
        # A command from the future would count as younger than it is.
        if age_ms is not None and (not isinstance(age_ms, int) or age_ms < 0):
            return "age_ms must be a duration"
        if len(self._waiting) >= WAITING_MAX:
            return "too many commands are under way"
        return ""


def _is_plain(args: dict[str, Any]) -> bool:
    return all(
        isinstance(value, int | float | None)
        or (isinstance(value, str) and len(value) <= ARGUMENT_MAX)
        for value in args.values()
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _document(reply: actions.SendReply, now_ms: int) -> dict[str, Any]:
    expires_ms = reply.expires_at_ms
    return {
        "ok": reply.ok,
        "message": reply.message,
        "document": reply.document,
        "plan_id": reply.plan_id,
        "plan": reply.plan,
        "expires_in_ms": None if expires_ms is None else max(0, expires_ms - now_ms),
        "is_final": reply.is_final,
        "needs_factor": reply.needs_factor,
    }
