"""The local door: `riskbot ctl`, and the second process, over a unix socket of mode 0600.

One request per connection: a line of JSON `{name, args, wait_s}`, answered by lines of JSON
`{ok, message, document, plan_id, plan, expires_at_ms, final}` until `final`. Whoever may open the
socket is an admin; who that is comes from the kernel (SO_PEERCRED). What a command does is core's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import Actor, Role
from riskbot.errors import UsageError
from riskbot.frontends._socket import bind, finite, peer_uid

REQUEST_MAX_BYTES = 65_536
CONNECTIONS_MAX = 64
REPLIES_MAX = 256
PEER_TIMEOUT_S = 10.0
FAREWELL_S = 0.5
WAIT_DEFAULT_S = 30.0
WAIT_MAX_S = 3_600.0

SubmitCommand = Callable[[events.CommandReceived], None]
"""Hands a command to the runner; synchronous, never blocks, never raises."""

LatestView = Callable[[str], Any]
"""Returns the newest document of a name (`status`, `limits`), None = there is none."""


class LocalDoor:
    """Serves the socket. `deliver` takes the runner's replies; foreign ones are left alone.

    Args:
        path: of the socket.
        submit_command: hands a command to the runner.
        latest_view: answers `{"name": "view", "args": {"of": "status"}}` without the engine.
    """

    name = "local"

    def __init__(
        self,
        path: Path,
        submit_command: SubmitCommand,
        latest_view: LatestView,
    ) -> None:
        self._path = path
        self._submit = submit_command
        self._latest_view = latest_view
        self._waiting: dict[str, asyncio.Queue[actions.SendReply]] = {}
        self._ids = itertools.count(1)
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.is_listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; the socket is removed on the way out."""
        listener = bind(self._path)
        inode = self._path.stat().st_ino
        server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=REQUEST_MAX_BYTES
        )
        try:
            self.is_listening.set()
            await server.serve_forever()
        finally:
            self.is_listening.clear()
            server.close()
            await self._hang_up()
            # Not one that a successor has bound meanwhile.
            with suppress(OSError):
                if self._path.stat().st_ino == inode:
                    self._path.unlink()

    async def _hang_up(self) -> None:
        """End every conversation: who waits is told, who has not asked yet is dropped."""
        for request_id in list(self._waiting):
            message = "riskbot is stopping"
            self.deliver(actions.SendReply(request_id=request_id, ok=False, message=message))
        if not self._writers:
            return
        _, silent = await asyncio.wait(self._writers, timeout=FAREWELL_S)
        for task in silent:
            self._writers[task].transport.abort()
        if silent:
            await asyncio.wait(silent, timeout=FAREWELL_S)

    def deliver(self, reply: actions.SendReply) -> bool:
        """Hand over a reply; False when no connection of this door waits for it."""
        queue = self._waiting.get(reply.request_id)
        if queue is None:
            return False
        if queue.full() and not reply.is_final:
            return True  # news of something under way; the last one always fits
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(reply)
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs this in one
        self._writers[task] = writer
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            # The peer went away, or does not read: nobody is left to tell.
            writer.transport.abort()
        finally:
            self._writers.pop(task, None)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PEER_TIMEOUT_S):
                line = await reader.readuntil(b"\n")
            request = _parsed(line)
        except TimeoutError:
            await _say(writer, _refusal(f"no request within {PEER_TIMEOUT_S:g} s"))
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            await _say(writer, _refusal(f"a request has at most {REQUEST_MAX_BYTES} bytes"))
        except UsageError as error:
            await _say(writer, _refusal(str(error)))
        else:
            await self._answer(request, writer)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        name, args = request["name"], request["args"]
        if len(self._writers) > CONNECTIONS_MAX:
            await _say(writer, _refusal("too many connections: try again"))
        elif name == "view":
            document = self._latest_view(str(args.get("of")))
            found = document is not None
            message = "" if found else f"no view {args.get('of')!r}"
            await _say(writer, {"ok": found, "message": message, "document": document})
        else:
            await self._command(name, args, request["wait_s"], writer)

    async def _command(
        self,
        name: str,
        args: dict[str, Any],
        wait_s: float,
        writer: asyncio.StreamWriter,
    ) -> None:
        actor = Actor(f"ctl:{peer_uid(writer)}", Role.ADMIN, "ctl")
        request_id = f"{self.name}-{os.getpid()}-{next(self._ids)}"
        queue: asyncio.Queue[actions.SendReply] = asyncio.Queue(REPLIES_MAX)
        self._waiting[request_id] = queue
        try:
            self._submit(
                events.CommandReceived(request_id=request_id, name=name, args=args, actor=actor)
            )
            async with asyncio.timeout(wait_s):
                while True:
                    reply = await queue.get()
                    await _say(writer, _document(reply), is_final=reply.is_final)
                    if reply.is_final:
                        return
        except TimeoutError:
            message = f"{name} has not ended within {wait_s:g} s; it goes on"
            await _say(writer, {**_refusal(message), "timed_out": True})
        finally:
            del self._waiting[request_id]


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the request with its defaults.

    Raises:
        UsageError: it is none; the message says why.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        message = "a request is one line of JSON"
        raise UsageError(message) from None
    if not isinstance(request, dict) or not isinstance(request.get("name"), str):
        message = 'a request reads {"name": "status", "args": {}}'
        raise UsageError(message)
    args = request.get("args")
    if not isinstance(args, dict | None):
        message = "args: must be a mapping"
        raise UsageError(message)
    wait_s = request.get("wait_s")
    if wait_s is None:
        wait_s = WAIT_DEFAULT_S
    if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not wait_s > 0:
        message = "wait_s: must be a number above 0"
        raise UsageError(message)
    return {**request, "args": args or {}, "wait_s": min(float(wait_s), WAIT_MAX_S)}


def _document(reply: actions.SendReply) -> dict[str, Any]:
    document = {"ok": reply.ok, "message": reply.message, "document": reply.document}
    if reply.needs_factor:
        document["needs_factor"] = True
    if reply.plan_id is not None:
        document |= {
            "plan_id": reply.plan_id,
            "plan": reply.plan,
            "expires_at_ms": reply.expires_at_ms,
        }
    return document


def _refusal(message: str) -> dict[str, Any]:
    return {"ok": False, "message": message, "document": None}


async def _say(
    writer: asyncio.StreamWriter, document: Mapping[str, Any], *, is_final: bool = True
) -> None:
    told = finite({**document, "final": is_final})
    writer.write(json.dumps(told, default=str, allow_nan=False).encode() + b"\n")
    async with asyncio.timeout(PEER_TIMEOUT_S):
        await writer.drain()
