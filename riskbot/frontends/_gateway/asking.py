"""A strategy's order becomes an event, the core's answer a document: the same at every door."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from http import HTTPStatus
from typing import Any

from riskbot.core import actions, events
from riskbot.core.ordering import Decision, Stage
from riskbot.frontends._gateway.guard import Asked, Guard
from riskbot.frontends._gateway.models import (
    CLIENT_ID,
    ID_TEXT,
    AmendBody,
    OrderBody,
    taken,
    whole,
)
from riskbot.frontends._gateway.pace import Pace, Place
from riskbot.frontends._gateway.refusal import RefusalError, malformed, shown
from riskbot.frontends._gateway.tokens import Caller

ANSWER_S = 10.0
"""How long the core may take; afterwards nobody knows, and it is said so."""

AT_ONCE = 8
"""Questions of one strategy that the core has at once; the others wait here, so that what the guard
itself has to decide never stands behind hundreds of them. Cancels and exits do not wait."""

PRICE_S, LOOK_S = 3.0, 0.02
"""How long an order waits for the first price of its instrument, and how often it is looked for."""

REFUSED_S, REFUSED_MOST_S = 0.1, 1.0
"""How long a strategy waits before it hears that it asks too often: so long for each of its
questions that waits so, so that a loop of refusals takes no time from others."""

FAULTS_MAX, FAULTS_MS = 2, 600_000
"""A strategy whose orders broke the core so often in that time is asked for no more of them: one
more fault of anybody's would end the process, and a start would meet the same order again."""


class Asking:
    """Check, submit, amend, cancel.

    Args:
        guard: answers.
        rates: of each strategy that is configured, the requests it may make in a minute.
    """

    def __init__(self, guard: Guard, rates: Mapping[str, int]) -> None:
        self._guard, self.strategies = guard, tuple(rates)
        self._turns = {name: asyncio.Semaphore(AT_ONCE) for name in rates}
        now_ms = guard.clock.now_ms()
        self._paces = {name: Pace(name, n, guard.emit, now_ms) for name, n in rates.items()}
        self._faults_ms: dict[str, list[int]] = {}
        self._coming: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._ids = itertools.count(1)
        self._refusing: Counter[str] = Counter()

    # ------------------------------------------------------------ what doors call

    async def order(
        self, caller: Caller, raw: dict[str, Any], *, is_submit: bool
    ) -> dict[str, Any]:
        """Return the decision on an order.

        Args:
            caller: whose.
            raw: the body, as it was read.
            is_submit: riskbot is to send it.

        Raises:
            RefusalError: there is none.
        """
        strategy = strategy_of(caller)
        order = taken(OrderBody, raw)
        whole(order)
        event = events.OrderRequested(
            request_id=self._request_id(),
            order=order.request(strategy, is_submit=is_submit),
            fingerprint=order.fingerprint(is_submit=is_submit),
        )
        pace, place = self._paces[strategy], self._exit_of(caller, event)
        now_ms = self._guard.clock.now_ms()
        async with self._paced(strategy):
            wait_ms = pace.admit_exit(place, now_ms) if place is not None else pace.admit(now_ms)
        if wait_ms:
            await self._guard.clock.sleep(wait_ms / 1_000)
        if order.account in caller.accounts:
            await self.prepare(order.account, order.instrument)
        document = await self._asked(strategy, event)
        is_denied = document.get("decision") == Decision.DENY
        if place is not None:
            pace.exit_answered(place, is_denied=is_denied)
        elif is_denied:
            pace.denied()
        return document

    async def amend(self, caller: Caller, name: str, raw: dict[str, Any]) -> dict[str, Any]:
        """Return the decision on an amendment.

        Raises:
            RefusalError: there is none.
        """
        strategy = strategy_of(caller)
        change = taken(AmendBody, raw)
        whole(change)
        async with self._paced(strategy):
            self._paces[strategy].admit(self._guard.clock.now_ms())
        event = events.AmendRequested(
            request_id=self._request_id(),
            strategy=strategy,
            client_order_id=checked_id(name),
            quantity=change.quantity,
            price=change.price,
        )
        document = await self._asked(strategy, event)
        if document.get("decision") == Decision.DENY:
            self._paces[strategy].denied()
        return document

    async def cancel(self, caller: Caller, name: str) -> dict[str, Any]:
        """Cancel an order, or give an approval back, and return how it stands.

        A cancel is never one too many; where it would change nothing it is answered from the view,
        so that no flood of them is written down.

        Raises:
            RefusalError: there is no such order, or it is over.
        """
        strategy = strategy_of(caller)
        view = self._guard.latest_view()
        known = view.order(strategy, checked_id(name))
        if known is None:
            message = f"{strategy} has no order {name}"
            raise RefusalError(HTTPStatus.NOT_FOUND, message)
        if Stage(known["status"]).is_final:
            message = f"order {name} is over: {known['status']}"
            raise RefusalError(HTTPStatus.CONFLICT, message, more={"order": known})
        if not known["submitted"] and known["status"] != Stage.RESERVED:
            message = f"order {name} was only checked: change it where it was sent"
            raise RefusalError(HTTPStatus.CONFLICT, message, more={"order": known})
        if view.is_cancelling(strategy, name):
            return known
        return await self._asked(
            strategy,
            events.CancelRequested(
                request_id=self._request_id(), strategy=strategy, client_order_id=name
            ),
        )

    async def admit(self, caller: Caller) -> None:
        """Count a strategy's question that is answered by the core and is no order.

        Raises:
            RefusalError: too many.
        """
        if caller.strategy is not None:
            async with self._paced(caller.strategy):
                self._paces[caller.strategy].admit(self._guard.clock.now_ms())

    @asynccontextmanager
    async def _paced(self, strategy: str) -> AsyncIterator[None]:
        """Have a strategy that is refused wait before it hears so."""
        try:
            yield
        except RefusalError:
            self._refusing[strategy] += 1
            try:
                wait_s = min(REFUSED_S * self._refusing[strategy], REFUSED_MOST_S)
                await self._guard.clock.sleep(wait_s)
            finally:
                self._refusing[strategy] -= 1
            raise

    async def look(self, caller: Caller) -> None:
        """Count a document that a strategy reads, and wait where it reads too many.

        Raises:
            RefusalError: far too many.
        """
        if caller.strategy is None:
            return
        clock = self._guard.clock
        async with self._paced(caller.strategy):
            wait_ms = self._paces[caller.strategy].admit_read(clock.now_ms())
        if wait_ms:
            await clock.sleep(wait_ms / 1_000)

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

    # ------------------------------------------------------------ asking

    def _request_id(self) -> str:
        """Return an id that no other request of this process has."""
        return f"order-{os.getpid()}-{next(self._ids)}"

    def _exit_of(self, caller: Caller, event: events.OrderRequested) -> Place | None:
        """Return what an order closes, None = nothing that the view shows."""
        order = event.order
        if order.account not in caller.accounts:
            return None
        held = self._guard.latest_view().closable(order.account, order.symbol, order.side)
        if held <= 0 or not (order.reduce_only or order.quantity <= held):
            return None
        return order.account, order.symbol, order.side.value

    def _turn(self, strategy: str, event: Asked) -> AbstractAsyncContextManager[None]:
        is_exit = isinstance(event, events.OrderRequested) and event.order.reduce_only
        if is_exit or isinstance(event, events.CancelRequested):
            return nullcontext()
        return self._turns[strategy]

    async def _asked(self, strategy: str, event: Asked) -> dict[str, Any]:
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
        return _document(reply)


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


def strategy_of(caller: Caller) -> str:
    """Return whose orders somebody may ask for.

    Raises:
        RefusalError: nobody's.
    """
    if caller.strategy is None:
        message = f"orders are a strategy's, {caller.name} is none"
        raise RefusalError(HTTPStatus.FORBIDDEN, message)
    return caller.strategy


def checked_id(name: object) -> str:
    """Return a client order id that looks like one.

    Raises:
        RefusalError: it does not.
    """
    if not isinstance(name, str) or not ID_TEXT.fullmatch(name):
        message = f"client_order_id: must look like {CLIENT_ID}, is {shown(name)}"
        raise malformed(message, "client_order_id")
    return name
