"""A Bot API server on 127.0.0.1, written to the official document; what methods do: telegram_chats.

People are injected with `say` and `press`; anything else Telegram might send with `push`.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.servers.telegram_chats import Chat, Chats, Params, Refused
from tests.servers.telegram_rules import PACED, Rules

TOKEN = "123456789:AAHtest-token-of-the-test-server_0123456"
BOT = {"id": 123456789, "is_bot": True, "first_name": "riskbot", "username": "risk_test_bot"}

UPDATES_MAX = 100


@dataclass
class Fault:
    """What happens to the next calls of a method.

    Attributes:
        kind: `refuse` (answer `status`), `hang` (no answer), `drop` (cut before acting), `lose`
            (act, then cut), `body` (answer this text).
        times: how often; None = until it is lifted.
    """

    kind: str
    times: int | None = 1
    status: int = 500
    description: str = "Internal Server Error"
    parameters: dict[str, Any] | None = None
    body: bytes = b""


@dataclass
class Call:
    """One call as it arrived."""

    method: str
    params: Params
    at: float
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class TelegramServer:
    """One bot at a Bot API server.

    Attributes:
        calls: every call, oldest first.
        faults: by method in lower case, `*` for all.
        unanswered: chats that get no answer: calls about them hang.
        rules: how much is taken, None = all.
        is_tolerant: updates are handed out beside a webhook, as between two refusals.
    """

    def __init__(self, *, port: int = 0, token: str = TOKEN) -> None:
        self.port = port
        self.token = token
        self.api = Chats(BOT)
        self.api.push = self.push
        self.calls: list[Call] = []
        self.faults: dict[str, list[Fault]] = {}
        self.updates: list[dict[str, Any]] = []
        self.allowed: list[str] | None = None
        self.next_update = 5_000
        self.is_tolerant = False
        self.unanswered: set[int] = set()
        self.rules: Rules | None = None
        self._queries = 0
        self.languages: dict[int, str] = {}
        self._poll: asyncio.Event | None = None
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # ---- life -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """What `api_base_url` names."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; the port stays the same over stop and start."""
        self._stopping.clear()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/bot{token}/{method}", self._dispatch)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Refuse connections; chats and updates stay."""
        self._stopping.set()
        self._news.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ---- people ---------------------------------------------------------------------------------

    def person(self, user: int, name: str = "Alice", username: str | None = None) -> Chat:
        """Let somebody start the bot: a private chat exists from then on."""
        info = {"id": user, "type": "private", "first_name": name}
        if username:
            info["username"] = username
        return self.api.chats.setdefault(user, Chat(info))

    def group(self, chat: int, title: str = "Desk") -> Chat:
        """Put the bot into a group."""
        info = {"id": chat, "type": "supergroup" if chat < -1_000_000 else "group", "title": title}
        return self.api.chats.setdefault(chat, Chat(info))

    def say(
        self,
        user: int,
        text: str | None,
        *,
        chat: int | None = None,
        age_s: float = 0,
        **extra: Any,
    ) -> dict[str, Any]:
        """Write to the bot; `extra` are further fields of the message."""
        room = self.api.chats[chat or user]
        message: dict[str, Any] = {
            "message_id": self.api.next_message(),
            "from": self._user(user),
            "chat": room.info,
            "date": int(time.time() - age_s),
        }
        if text is not None:
            message["text"] = text
        message |= extra
        room.messages[message["message_id"]] = message
        self.push({"message": message})
        return message

    def press(self, user: int, message: dict[str, Any], data: str, **extra: Any) -> str:
        """Press a button of a message; return the id of the press."""
        self._queries += 1
        query = str(4_000_000 + self._queries)
        self.api.open_queries.add(query)
        self.push(
            {
                "callback_query": {
                    "id": query,
                    "from": self._user(user),
                    "message": message,
                    "chat_instance": "1",
                    "data": data,
                    **extra,
                }
            }
        )
        return query

    def _user(self, user: int) -> dict[str, Any]:
        known = self.api.chats.get(user)
        info = known.info if known else {"first_name": "Nobody"}
        named = {k: info[k] for k in ("first_name", "username") if k in info}
        return {
            "id": user,
            "is_bot": False,
            "language_code": self.languages.get(user, "en"),
            **named,
        }

    def push(self, update: dict[str, Any]) -> int:
        """Queue an update of any kind; return its number."""
        self.next_update += 1
        kinds = [kind for kind in update if kind != "update_id"]
        if self.allowed is None or any(kind in self.allowed for kind in kinds):
            self.updates.append({"update_id": self.next_update, **update})
            self._news.set()
        return self.next_update

    # ---- what tests ask -------------------------------------------------------------------------

    def called(self, method: str) -> list[Call]:
        """Return the calls of one method."""
        return [call for call in self.calls if call.method == method.lower()]

    def fail(self, method: str, fault: Fault) -> None:
        """Plan a fault."""
        self.faults.setdefault(method.lower(), []).append(fault)

    def lift(self) -> None:
        """Lift every fault."""
        self.faults.clear()

    # ---- HTTP -----------------------------------------------------------------------------------

    async def _dispatch(self, http: web.Request) -> web.StreamResponse:
        token, method = http.match_info["token"], http.match_info["method"].lower()
        call = Call(method, await _params(http), time.monotonic(), headers=dict(http.headers))
        self.calls.append(call)
        if token != self.token:
            words = (401, "Unauthorized") if ":" in token else (404, "Not Found")
            return _refusal(call, Refused(*words))
        if call.params.get("chat_id") in {str(chat) for chat in self.unanswered}:
            return await self._misbehave(http, call, Fault("hang"))
        fault = self._fault(method)
        if fault is not None and fault.kind in {"refuse", "body", "hang", "drop"}:
            return await self._misbehave(http, call, fault)
        try:
            result = await self._result(method, call.params)
        except Refused as refused:
            return _refusal(call, refused)
        if fault is not None:
            return _cut(http)
        call.status = 200
        return web.json_response({"ok": True, "result": result})

    async def _result(self, method: str, params: Params) -> Any:
        if method == "getupdates":
            return await self._get_updates(params)
        if method not in self.api.methods:
            raise Refused(404, "Not Found")
        if self.rules is not None and method in PACED:
            wait_s = self.rules.take(int(params["chat_id"]), time.monotonic())
            if wait_s is not None:
                words = f"Too Many Requests: retry after {wait_s}"
                raise Refused(429, words, {"retry_after": wait_s})
        return self.api.methods[method](params)

    def _fault(self, method: str) -> Fault | None:
        for name in (method, "*"):
            planned = self.faults.get(name)
            if planned:
                fault = planned[0]
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        planned.pop(0)
                return fault
        return None

    async def _misbehave(self, http: web.Request, call: Call, fault: Fault) -> web.StreamResponse:
        if fault.kind == "refuse":
            return _refusal(call, Refused(fault.status, fault.description, fault.parameters))
        if fault.kind == "body":
            call.status = fault.status if fault.status != 500 else 200
            return web.Response(
                body=fault.body, status=call.status, content_type="application/json"
            )
        if fault.kind == "hang":
            await self._stopping.wait()
        return _cut(http)

    # ---- updates --------------------------------------------------------------------------------

    async def _get_updates(self, params: Params) -> list[dict[str, Any]]:
        if self.api.webhook and not self.is_tolerant:
            raise Refused(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook "
                "to delete the webhook first",
            )
        if "allowed_updates" in params:
            self.allowed = json.loads(params["allowed_updates"]) or None
        if self._poll is not None:
            self._poll.set()  # the older one is told of the conflict
            self._news.set()
        mine = self._poll = asyncio.Event()
        try:
            return await self._wait_for_updates(params, mine)
        finally:
            if self._poll is mine:
                self._poll = None

    async def _wait_for_updates(self, params: Params, mine: asyncio.Event) -> list[dict[str, Any]]:
        offset = int(params.get("offset") or 0)
        deadline = time.monotonic() + min(50, int(params.get("timeout") or 0))
        if offset > 0:
            self.updates = [u for u in self.updates if u["update_id"] >= offset]
        elif offset < 0:
            self.updates = self.updates[offset:]
        while True:
            if mine.is_set():
                raise Refused(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one "
                    "bot instance is running",
                )
            limit = min(UPDATES_MAX, int(params.get("limit") or UPDATES_MAX))
            left = deadline - time.monotonic()
            if self.updates or left <= 0 or self._stopping.is_set():
                return self.updates[:limit]
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                continue


async def _params(http: web.Request) -> Params:
    params: Params = dict(http.query)
    if http.content_type == "application/json":
        params |= await http.json()
    elif http.method == "POST":
        form = await http.post()
        params |= {k: v if isinstance(v, str) else _file(v) for k, v in form.items()}
    return params


def _file(value: Any) -> dict[str, Any]:
    return {"file": value.filename, "data": value.file.read()}


def _refusal(call: Call, refused: Refused) -> web.Response:
    call.status = refused.code
    answer = {"ok": False, "error_code": refused.code, "description": refused.description}
    if refused.parameters:
        answer["parameters"] = refused.parameters  # type: ignore[assignment]
    return web.json_response(answer, status=refused.code)


def _cut(http: web.Request) -> web.StreamResponse:
    if http.transport is not None:
        http.transport.abort()
    return web.Response()
