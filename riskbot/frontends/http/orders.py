"""The order routes: what is asked over HTTP is handed to the gateway, its answer is an answer."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from riskbot.core.model import Role
from riskbot.frontends._gateway.asking import Asking, checked_id, strategy_of
from riskbot.frontends._gateway.guard import Guard
from riskbot.frontends._gateway.refusal import RefusalError, malformed
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.http.door import Door, answer, json_of, query_of

ORDER = "/v1/orders/{client_order_id:(?!check$)[^/]+}"
"""The route of one order: no order is named `check`."""


class Orders:
    """Check, submit, amend, cancel, look up.

    Args:
        door: is told of the routes.
        guard: has the orders.
        asking: asks the core.
    """

    def __init__(self, door: Door, guard: Guard, asking: Asking) -> None:
        self._door, self._guard, self._asking = door, guard, asking
        door.add("POST", "/v1/orders/check", self._check)
        door.add("POST", "/v1/orders", self._submit)
        door.add("GET", ORDER, self._show)
        door.add("PATCH", ORDER, self._amend)
        door.add("DELETE", ORDER, self._cancel)

    async def _check(self, request: web.Request) -> web.Response:
        caller = await self._strategy(request)
        return answer(await self._asking.order(caller, await json_of(request), is_submit=False))

    async def _submit(self, request: web.Request) -> web.Response:
        caller = await self._strategy(request)
        return answer(await self._asking.order(caller, await json_of(request), is_submit=True))

    async def _amend(self, request: web.Request) -> web.Response:
        caller, name = await self._strategy(request), _id_of(request)
        return answer(await self._asking.amend(caller, name, await json_of(request)))

    async def _cancel(self, request: web.Request) -> web.Response:
        caller = await self._strategy(request)
        return answer(await self._asking.cancel(caller, _id_of(request)))

    async def _show(self, request: web.Request) -> web.Response:
        caller, name = await self._door.caller(request), _id_of(request)
        await self._asking.look(caller)
        asked = query_of(request, "strategy").get("strategy")
        if caller.strategy is not None and asked in {None, caller.strategy}:
            owners: tuple[str, ...] = (caller.strategy,)
        elif caller.role is Role.ADMIN:
            owners = self._asking.strategies if asked is None else (asked,)
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

    async def _strategy(self, request: web.Request) -> Caller:
        caller = await self._door.caller(request)
        strategy_of(caller)
        return caller


def _id_of(request: web.Request) -> str:
    return checked_id(request.match_info["client_order_id"])
