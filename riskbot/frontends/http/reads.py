"""What people and scripts read, and the commands they give: the same core as every other door."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from decimal import Decimal
from http import HTTPStatus
from math import isfinite
from typing import Any

from aiohttp import web

from riskbot.core import actions, events
from riskbot.core.commands import BY_NAME
from riskbot.core.model import Actor, Role
from riskbot.errors import StorageError
from riskbot.frontends._gateway.asking import Asking
from riskbot.frontends._gateway.body import Unusable
from riskbot.frontends._gateway.guard import Guard
from riskbot.frontends._gateway.models import CommandBody, taken
from riskbot.frontends._gateway.refusal import RefusalError, malformed, shown
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.http.door import Door, answer, json_of, query_of

VIEWS = ("positions", "exposure", "limits", "alerts", "risk")
"""Documents that are read as they are."""

ROWS, ROWS_MAX = 100, 1_000
COMMAND_S = 30.0

_WHOLE = re.compile(r"[0-9]{1,15}")
PRICE = r"^(?=[0-9.]*[1-9])[0-9]{1,15}(\.[0-9]{1,15})?$"
_NUMBER = re.compile(PRICE)

ALWAYS = ("plan_id", "totp")
"""Arguments of every command."""


class Reads:
    """Documents, decisions, history, size, commands, and whether riskbot lives.

    Args:
        door: is told of the routes.
        guard: answers.
        asking: has an instrument watched before its size is asked for, and counts that.
        contract: the OpenAPI document.
    """

    def __init__(
        self,
        door: Door,
        guard: Guard,
        asking: Asking,
        contract: dict[str, Any],
    ) -> None:
        self._door, self._guard, self._asking, self._contract = door, guard, asking, contract
        door.add("GET", "/healthz", self._health)
        door.add("GET", "/readyz", self._ready)
        door.add("GET", "/v1/openapi.json", self._openapi)
        door.add("GET", "/v1/status", self._status)
        for name in VIEWS:
            door.add("GET", f"/v1/{name}", self._document)
        door.add("GET", "/v1/decisions", self._decisions)
        door.add("GET", "/v1/history", self._history)
        door.add("GET", "/v1/size", self._size)
        door.add("POST", "/v1/commands/{name}", self._command)

    # ------------------------------------------------------------ without a token

    async def _health(self, request: web.Request) -> web.Response:
        del request
        return answer({"ok": True})

    async def _ready(self, request: web.Request) -> web.Response:
        del request
        status = self._guard.latest_view().get("status")
        reasons = [row["what"] for row in status["blind"]]
        if status["starting"]:
            reasons.append("starting")
        ready = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return answer({"ready": not reasons, "reasons": reasons}, ready)

    # ------------------------------------------------------------ documents

    async def _openapi(self, request: web.Request) -> web.Response:
        await self._asking.look(await self._door.caller(request))
        return answer(self._contract)

    async def _status(self, request: web.Request) -> web.Response:
        caller = await self._door.caller(request)
        if caller.strategy is None:
            _person(caller)
        query_of(request)
        await self._asking.look(caller)
        return answer(self._guard.latest_view().get("status"))

    async def _document(self, request: web.Request) -> web.Response:
        _person(await self._door.caller(request))
        query_of(request)
        return answer(self._guard.latest_view().get(request.path.rpartition("/")[2]))

    async def _decisions(self, request: web.Request) -> web.Response:
        _person(await self._door.caller(request))
        query = query_of(request, "limit", "before")
        limit = _whole(query, "limit") if "limit" in query else ROWS
        if not 1 <= (limit or 0) <= ROWS_MAX:
            message = f"limit: must be 1 to {ROWS_MAX}"
            raise malformed(message, "limit")
        try:
            rows = await self._guard.decisions(
                before_seq=_whole(query, "before"), limit=limit or ROWS
            )
        except StorageError as error:
            message = f"the journal cannot be read: {error}"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, message) from error
        return answer(rows)

    async def _history(self, request: web.Request) -> web.Response:
        caller = await self._door.caller(request)
        role = _person(caller)
        query = query_of(request, "measure", "since", "until")
        args: dict[str, Any] = {
            "since_ms": _whole(query, "since"),
            "until_ms": _whole(query, "until"),
        }
        if "measure" in query:
            args["measure"] = query["measure"]
        return await self._read(caller, role, "history", args)

    async def _size(self, request: web.Request) -> web.Response:
        caller = await self._door.caller(request)
        role = Role.VIEWER if caller.strategy is not None else _person(caller)
        query = query_of(request, "instrument", "stop", "account")
        if "instrument" not in query:
            message = "instrument: is missing"
            raise malformed(message, "instrument")
        stop = query.get("stop")
        if stop is not None and not _NUMBER.fullmatch(stop):
            message = "stop: must be a price"
            raise malformed(message, "stop")
        account = _account(caller, query.get("account"))
        await self._asking.admit(caller)
        if account is not None:
            await self._asking.prepare(account, query["instrument"])
        args = {"instrument": query["instrument"], "account": account}
        return await self._read(
            caller, role, "size", args if stop is None else {**args, "stop": float(stop)}
        )

    async def _read(
        self, caller: Caller, role: Role, name: str, args: dict[str, Any]
    ) -> web.Response:
        """Answer with the document of a command that only reads."""
        reply = await self._give(caller, role, name, args)
        if not reply.ok and name == "size":
            raise RefusalError(HTTPStatus.NOT_FOUND, reply.message)
        if not reply.ok:
            raise malformed(reply.message)
        return answer(reply.document)

    # ------------------------------------------------------------ commands

    async def _command(self, request: web.Request) -> web.Response:
        caller, name = await self._door.caller(request), request.match_info["name"]
        role = _person(caller)
        kind = BY_NAME.get(name)
        if kind is None:
            message = f"no command {shown(name)}; there are: {', '.join(BY_NAME)}"
            raise RefusalError(HTTPStatus.NOT_FOUND, message)
        raw = await json_of(request, may_be_empty=True)
        known = taken(CommandBody, {key: _plain(value) for key, value in raw.items()})
        args = known.model_dump(exclude_none=True)
        for field in args:
            if field not in kind.model_fields and field not in ALWAYS:
                message = f"{field}: {name} does not take it"
                raise malformed(message, field)
        reply = await self._give(caller, role, name, args)
        if not reply.ok and role.rank < kind.role.rank:
            raise RefusalError(HTTPStatus.FORBIDDEN, reply.message)
        return answer(_done(reply))

    async def _give(
        self, caller: Caller, role: Role, name: str, args: dict[str, Any]
    ) -> actions.SendReply:
        command = events.CommandReceived(
            request_id=self._door.request_id(),
            name=name,
            args=args,
            actor=Actor(caller.name, role, "http"),
        )
        try:
            async with asyncio.timeout(COMMAND_S):
                await self._guard.before(command)
                return await self._guard.first_reply(command)
        except TimeoutError:
            message = f"{name} was not answered within {COMMAND_S:g} s; it may still be done"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, message) from None


def _person(caller: Caller) -> Role:
    """Return a person's role.

    Raises:
        RefusalError: it is a strategy's token, or one that may not read this.
    """
    if caller.role is None:
        message = f"{caller.name} may not do this"
        raise RefusalError(HTTPStatus.FORBIDDEN, message)
    return caller.role


def _account(caller: Caller, named: str | None) -> str | None:
    if caller.strategy is None:
        return named
    if named is None and len(caller.accounts) == 1:
        return caller.accounts[0]
    if named is None:
        message = f"account: is missing, one of {', '.join(caller.accounts)}"
        raise malformed(message, "account")
    if named not in caller.accounts:
        message = f"{caller.name} does not trade on {shown(named)}"
        raise RefusalError(HTTPStatus.FORBIDDEN, message)
    return named


def _whole(query: Any, name: str) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    if not _WHOLE.fullmatch(value):
        message = f"{name}: must be a whole number"
        raise malformed(message, name)
    return int(value)


def _plain(value: Any) -> Any:
    """Return a figure as a command takes it, one too small for an order too."""
    if isinstance(value, Unusable):
        with suppress(ValueError):
            return number if isfinite(number := float(value.text)) else value
    return float(value) if isinstance(value, Decimal) else value


def _done(reply: actions.SendReply) -> dict[str, Any]:
    document: dict[str, Any] = {"ok": reply.ok, "message": reply.message}
    if reply.document is not None:
        document["document"] = reply.document
    if not reply.is_final:
        document["final"] = False
    if reply.needs_factor:
        document["needs_factor"] = True
    if reply.plan_id is not None:
        document |= {
            "plan_id": reply.plan_id,
            "plan": reply.plan,
            "expires_at_ms": reply.expires_at_ms,
        }
    return document
