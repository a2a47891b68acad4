"""The order routes: a strategy's order becomes an event, the core's answer an answer."""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import Any

from aiohttp import web

from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.frontends.http.door import Door, answer, json_of, query_of
from riskbot.frontends.http.guard import Asked, Guard
from riskbot.frontends.http.models import AmendBody, OrderBody, taken, whole
from riskbot.frontends.http.refusal import RefusalError, malformed, shown
from riskbot.frontends.http.tokens import Caller

ANSWER_S = 10.0
"""How long the core may take; afterwards nobody knows, and it is said so."""

AT_ONCE = 8
"""Questions of one strategy that the core has at once; the others wait here, so that what the guard
itself has to decide never stands behind hundreds of them. Cancels and exits do not wait."""

PRICE_S, LOOK_S = 3.0, 0.02
"""How long an order waits for the first price of its instrument, and how often it is looked for."""

FAULTS_MAX, FAULTS_MS = 2, 600_000
"""A strategy whose orders broke the core so often in that time is asked for no more of them: one
more fault of anybody's would end the process, and a start would meet the same order again."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class Orders:
    """Check, submit, amend, cancel, look up.

    Args:
        door: is told of the routes.
        guard: answers.
        strategies: names of those that are configured.
    """

    def __init__(self, door: Door, guard: Guard, strategies: tuple[str, ...]) -> None:
        self._door, self._guard, self._strategies = door, guard, strategies
        self._turns = {name: asyncio.Semaphore(AT_ONCE) for name in strategies}
        self._faults_ms: dict[str, list[int]] = {}
        self._coming: dict[tuple[str, str], asyncio.Task[None]] = {}
        door.add("POST", "/v1/orders/check", self._check)
        door.add("POST", "/v1/orders", self._submit)
        door.add("GET", "/v1/orders/{client_order_id}", self._show)
        door.add("PATCH", "/v1/orders/{client_order_id}", self._amend)
        door.add("DELETE", "/v1/orders/{client_order_id}", self._cancel)

    async def _check(self, request: web.Request) -> web.Response:
        return await self._order(request, is_submit=False)

    async def _submit(self, request: web.Request) -> web.Response:
        return await self._order(request, is_submit=True)

    async def _order(self, request: web.Request, *, is_submit: bool) -> web.Response:
        caller, strategy = self._strategy(request)
        order = taken(OrderBody, await json_of(request))
        whole(order)
        if order.account in caller.accounts:
            await self.prepare(order.account, order.instrument)
        return await self._asked(
            strategy,
            events.OrderRequested(
                request_id=self._door.request_id(),
                order=order.request(strategy, is_submit=is_submit),
                fingerprint=order.fingerprint(is_submit=is_submit),
            ),
        )

    async def _show(self, request: web.Request) -> web.Response:
        caller, name = self._door.caller(request), _id_of(request)
        asked = query_of(request, "strategy").get("strategy")
        if caller.strategy is not None and asked in {None, caller.strategy}:
            owners: tuple[str, ...] = (caller.strategy,)
        elif caller.role is Role.ADMIN:
            owners = self._strategies if asked is None else (asked,)
        else:
            message = f"{caller.name} may not see this order"
            raise RefusalError(HTTPStatus.FORBIDDEN, message)
        view = self._guard.latest_view()
        found = [order for owner in owners if (order := view.order(owner, name)) is not None]
        if not found:
            message = f"no order {name}"
            raise RefusalError(HTTPStatus.NOT_FOUND, message)
        if len(found) > 1:
            message = "strategy: is missing, several have an order of that id"
            raise malformed(message, "strategy")
        return answer(found[0])

    async def _amend(self, request: web.Request) -> web.Response:
        _, strategy = self._strategy(request)
        name, change = _id_of(request), taken(AmendBody, await json_of(request))
        whole(change)
        return await self._asked(
            strategy,
            events.AmendRequested(
                request_id=self._door.request_id(),
                strategy=strategy,
                client_order_id=name,
                quantity=change.quantity,
                price=change.price,
            ),
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        _, strategy = self._strategy(request)
        return await self._asked(
            strategy,
            events.CancelRequested(
                request_id=self._door.request_id(),
                strategy=strategy,
                client_order_id=_id_of(request),
            ),
        )

    # ------------------------------------------------------------ asking

    def _strategy(self, request: web.Request) -> tuple[Caller, str]:
        caller = self._door.caller(request)
        if caller.strategy is None:
            message = f"orders are a strategy's, {caller.name} is none"
            raise RefusalError(HTTPStatus.FORBIDDEN, message)
        return caller, caller.strategy

    async def prepare(self, account: str, instrument: str) -> None:
        """Have an instrument watched that nobody holds, and wait a little for its first price.

        Only for the first: an order for what is watched already waits for nothing.
        """
        place, feed = (account, instrument), self._guard.feeds.get(account)
        if feed is None or self._guard.latest_view().is_priced(*place):
            return
        if feed.wish(instrument):
            task = asyncio.create_task(self._first_price(*place), name=f"price of {instrument}")
            self._coming[place] = task
            task.add_done_callback(lambda _: self._coming.pop(place, None))
        if (coming := self._coming.get(place)) is not None:
            await asyncio.shield(coming)

    async def _first_price(self, account: str, instrument: str) -> None:
        view, clock = self._guard.latest_view, self._guard.clock
        deadline_ms = clock.now_ms() + int(PRICE_S * 1_000)
        while not view().is_priced(account, instrument) and clock.now_ms() < deadline_ms:
            await clock.sleep(LOOK_S)

    def _turn(self, strategy: str, event: Asked) -> AbstractAsyncContextManager[None]:
        is_exit = isinstance(event, events.OrderRequested) and event.order.reduce_only
        if is_exit or isinstance(event, events.CancelRequested):
            return nullcontext()
        return self._turns[strategy]

    async def _asked(self, strategy: str, event: Asked) -> web.Response:
        now_ms, faults = self._guard.clock.now_ms(), self._faults_ms.setdefault(strategy, [])
        faults[:] = [ms for ms in faults if now_ms - ms < FAULTS_MS]
        if len(faults) >= FAULTS_MAX:
            message = f"orders of {strategy} broke riskbot {len(faults)} times: none for a while"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, message)
        try:
            async with asyncio.timeout(ANSWER_S), self._turn(strategy, event):
                reply = await self._guard.first_reply(event)
        except TimeoutError:
            message = f"no answer within {ANSWER_S:g} s: ask again with the same client_order_id"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, message) from None
        document: dict[str, Any] = reply.document or {}
        if document.get("status") == HTTPStatus.INTERNAL_SERVER_ERROR:
            faults.append(now_ms)
        return answer(_document(reply))


def _document(reply: actions.SendReply) -> dict[str, Any]:
    """Return what was decided.

    Raises:
        RefusalError: nothing was.
    """
    document: dict[str, Any] = reply.document or {}
    if reply.ok:
        return document
    status = HTTPStatus(document.get("status", HTTPStatus.SERVICE_UNAVAILABLE))
    order = document.get("order")
    raise RefusalError(status, reply.message, more={} if order is None else {"order": order})


def _id_of(request: web.Request) -> str:
    name: str = request.match_info["client_order_id"]
    if not _ID.fullmatch(name):
        message = f"client_order_id: must look like {_ID.pattern}, is {shown(name)}"
        raise malformed(message, "client_order_id")
    return name
