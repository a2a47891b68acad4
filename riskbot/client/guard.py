"""A ccxt exchange object with the gateway before it: one changed line in a script.

`exchange = guard(ccxt.binanceusdm({...}), token=..., account="main")`. Every unified call that
creates or changes an order asks first. What goes past ccxt's unified calls (the implicit methods of
a venue's raw API) is not seen here; an account that is `exclusive` finds it out.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Coroutine
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import Any, Literal, NoReturn, TypeVar

from riskbot.client.answers import (
    Approval,
    DeniedError,
    GatewayAwayError,
    GatewayRefusedError,
)
from riskbot.client.calls import new_id
from riskbot.client.http import URL, AsyncClient, Client

Mode = Literal["check", "submit"]
StopOf = Callable[[str, str], Any]
X = TypeVar("X")
_log = logging.getLogger(__name__)

_TRIGGERS = ("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice")
_TRAILING = ("trailingPercent", "trailingAmount")
"""Parameters that make ccxt place a conditional order."""

_MARGIN = ("margin", "marginMode", "sideEffectType", "isIsolated")
"""Parameters of a spot order that may borrow."""

_WORK = {
    "create_order": "_create",
    "create_order_ws": "_create",
    "edit_order": "_edit",
    "edit_order_ws": "_edit",
    "cancel_order": "_cancel",
    "cancel_order_ws": "_cancel",
    "create_orders": "_refuse",
    "create_orders_ws": "_refuse",
    "edit_orders": "_refuse",
}
"""ccxt's calls, and what each becomes."""

_STATUS = {
    "filled": "closed",
    "canceled": "canceled",
    "rejected": "rejected",
    "absent": "rejected",
    "expired": "expired",
    "revoked": "canceled",
}


def guard(
    exchange: X,
    *,
    token: str,
    account: str,
    url: str = URL,
    mode: Mode = "check",
    allow_resize: bool = False,
    hmac_secret: str | None = None,
    stop_of: StopOf | None = None,
) -> X:
    """Put the gateway before an exchange object, and return the same object.

    An order that is denied raises what ccxt raises for a bad order (`InvalidOrder`), and is a
    `DeniedError` too; a gateway that is away raises `GatewayAwayError`, which is ccxt's
    `ExchangeNotAvailable` too. Nothing is sent then. Where the script's own object sends, an order
    that can only close (reduce-only; a sale on a spot market) goes out all the same while the
    gateway is away, or blind: nobody may be kept from closing by a riskbot that cannot judge.

    Args:
        exchange: of ccxt, ccxt.async_support or ccxt.pro.
        token: of the strategy.
        account: riskbot's name of the account that the exchange object trades on.
        url: of riskbot's HTTP server, or `unix:/path`.
        mode: `check` asks, and the script's own object sends; `submit` has riskbot send, and the
            object needs no key that may trade.
        allow_resize: a smaller order that passes is sent instead of none.
        hmac_secret: signs each request, for a strategy that has one.
        stop_of: returns the trigger price of the stop that the script will set for an order of
            (symbol, side), None = none; a `stopLoss` that the order itself carries comes first.
    """
    kind = AsyncClient if inspect.iscoroutinefunction(exchange.create_order) else Client  # type: ignore[attr-defined]
    client = kind(token, url, hmac_secret=hmac_secret)
    guarding = _Guard(exchange, client, account, mode, allow_resize=allow_resize)
    guarding.stop_of = stop_of or guarding.stop_of
    guarding.install()
    return exchange


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never really waits: what it calls answers at once."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    message = "a guarded call has waited where it must not"
    raise RuntimeError(message)


class _Guard:
    """One exchange object with the gateway before it.

    The work is written once, as coroutines; for an object that waits they are run on the spot.
    """

    def __init__(
        self,
        exchange: Any,
        client: AsyncClient | Client,
        account: str,
        mode: Mode,
        *,
        allow_resize: bool,
    ) -> None:
        self._exchange, self._account = exchange, account
        self._mode, self._allow_resize = mode, allow_resize
        self._is_async = isinstance(client, AsyncClient)
        self._client: Any = client
        self._plain = {name: getattr(exchange, name) for name in _WORK if hasattr(exchange, name)}
        self.stop_of: StopOf = _no_stop

    def install(self) -> None:
        """Set the guarded calls on the object, by both of ccxt's spellings."""
        for name in self._plain:
            work = _WORK[name]
            if work == "_cancel" and self._mode == "check":
                continue
            call = self._call(partial(getattr(self, work), name))
            first, *rest = name.split("_")
            setattr(self._exchange, name, call)
            setattr(self._exchange, first + "".join(map(str.capitalize, rest)), call)
        if self._is_async:
            self._plain["close"] = self._exchange.close
            self._exchange.close = self._close

    async def _close(self) -> None:
        await self._client.close()
        await self._plain["close"]()

    def _call(self, work: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        if self._is_async:

            async def awaited(*args: Any, **fields: Any) -> Any:
                return await work(*args, **fields)

            return awaited
        return lambda *args, **fields: _run(work(*args, **fields))

    async def _done(self, answer: Any) -> Any:
        return await answer if self._is_async else answer

    # ------------------------------------------------------------ the guarded calls

    async def _create(
        self,
        name: str,
        symbol: str,
        type: str,  # noqa: A002 - ccxt's word
        side: str,
        amount: Any,
        price: Any = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        given = params or {}
        await self._done(self._exchange.load_markets())
        closes = _only_closes(self._exchange.market(symbol), side, given)
        if closes and _is_conditional(given):
            return await self._done(self._plain[name](symbol, type, side, amount, price, given))
        body = self._body(symbol, type, side, amount, price, given)
        if self._mode == "submit":
            if _is_conditional(given):
                self._reject("riskbot places market and limit orders")
            approval = _passing(await self._asked(self._client.submit, **body))
            return self._shown(approval.order)
        found = await self._approval(body, closes=closes)
        if found is None:
            return await self._done(self._plain[name](symbol, type, side, amount, price, given))
        count = self._amount(symbol, found, amount)
        named = {**given, "clientOrderId": found.client_order_id or body["client_order_id"]}
        return await self._done(self._plain[name](symbol, type, side, count, price, named))

    async def _edit(
        self,
        name: str,
        id: str,  # noqa: A002 - ccxt's word
        symbol: str,
        type: str,  # noqa: A002 - ccxt's word
        side: str,
        amount: Any = None,
        price: Any = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        given = params or {}
        await self._done(self._exchange.load_markets())
        if self._mode == "submit":
            wanted = None if amount is None else Decimal(str(amount)) * self._unit(symbol)
            answer = await self._asked(self._client.amend, id, quantity=wanted, price=price)
            _passing(Approval.read(answer, wanted or Decimal(0)))
            return self._shown(await self._asked(self._client.order, id))
        if amount is None:
            self._reject("an order is edited with its whole amount")
        # Asked for as if it were a new one: until the venue has changed it, both count.
        body = self._body(symbol, type, side, amount, price, given)
        _passing(await self._asked(self._client.check, **body))
        return await self._done(self._plain[name](id, symbol, type, side, amount, price, given))

    async def _cancel(
        self,
        name: str,
        id: str,  # noqa: A002 - ccxt's word
        symbol: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        del name, symbol, params
        await self._done(self._exchange.load_markets())
        return self._shown(await self._asked(self._client.cancel, id))

    async def _refuse(self, name: str, *_: Any, **__: Any) -> Any:
        self._reject(f"{name} is not guarded: create the orders one by one")

    # ------------------------------------------------------------ question and answer

    async def _asked(self, call: Callable[..., Any], *args: Any, **fields: Any) -> Any:
        """Return what the gateway answers.

        Raises:
            GatewayError: none, or a refusal; for programs that know only ccxt it is ccxt's too.
        """
        try:
            return await self._done(call(*args, **fields))
        except (GatewayAwayError, GatewayRefusedError) as error:
            raise _in_ccxts_words(error) from error

    async def _approval(self, body: dict[str, Any], *, closes: bool) -> Approval | None:
        """Return an approval that passes, None = nobody can judge what only closes anyway."""
        try:
            approval: Approval = await self._asked(self._client.check, **body)
        except (GatewayAwayError, GatewayRefusedError) as error:
            if closes and (isinstance(error, GatewayAwayError) or error.is_passing):
                _log.warning("sent without an approval, for it only closes: %s", error)
                return None
            raise
        if closes and not approval.passes and approval.is_blind:
            words = "; ".join(approval.messages)
            _log.warning("sent without an approval, for it only closes: %s", words)
            return None
        return _passing(approval)

    def _body(
        self,
        symbol: str,
        kind: str,
        side: str,
        amount: Any,
        price: Any,
        params: dict[str, Any],
    ) -> dict[str, Any]:
        if "cost" in params or params.get("createMarketBuyOrderRequiresPrice") is False:
            self._reject("an order by cost is not guarded: give a quantity")
        trigger = next((params[n] for n in _TRIGGERS if params.get(n) is not None), None)
        attached = params.get("stopLoss")
        hedged = params.get("positionSide")
        return {
            "account": self._account,
            "instrument": symbol,
            "side": side,
            "quantity": Decimal(str(amount)) * self._unit(symbol),
            "price": trigger if "market" in kind else price,
            "stop_loss": (
                attached.get("triggerPrice")
                if isinstance(attached, dict)
                else self.stop_of(symbol, side)
            ),
            "reduce_only": bool(params.get("reduceOnly") or params.get("closePosition")),
            "position_side": (
                hedged.lower() if isinstance(hedged, str) and hedged.upper() != "BOTH" else None
            ),
            "client_order_id": params.get("clientOrderId") or new_id(),
            "allow_resize": self._allow_resize,
        }

    def _unit(self, symbol: str) -> Decimal:
        """Return base units (inverse: face value) per unit of ccxt's amount."""
        market = self._exchange.market(symbol)
        size = market.get("contractSize") if market.get("contract") else None
        return Decimal(1) if size is None else Decimal(str(size))

    def _amount(self, symbol: str, approval: Approval, asked: Any) -> Any:
        """Return ccxt's amount of what was approved."""
        if approval.decision != "resize":
            return asked
        exact = approval.quantity / self._unit(symbol)
        return float(self._exchange.amount_to_precision(symbol, float(exact)))

    def _shown(self, order: dict[str, Any] | None) -> dict[str, Any]:
        """Return a followed order in ccxt's shape; amounts in ccxt's unit."""
        if order is None:
            message = "the gateway approved an order and does not show it"
            raise GatewayAwayError(message)
        unit = self._unit(order["instrument"])
        quantity, filled = Decimal(order["quantity"]) / unit, Decimal(order["filled"]) / unit
        return {
            # What riskbot knows it by: the venue's own id is in `info`.
            "id": order["client_order_id"],
            "clientOrderId": order["client_order_id"],
            "symbol": order["instrument"],
            "type": order["type"],
            "side": order["side"],
            "price": None if order["price"] is None else float(order["price"]),
            "amount": float(quantity),
            "filled": float(filled),
            "remaining": float(quantity - filled),
            "status": _STATUS.get(order["status"], "open"),
            "timestamp": order["created_ms"],
            "info": order,
        }

    def _reject(self, message: str) -> NoReturn:
        raise _ccxt_error("NotSupported")(message)


def _no_stop(symbol: str, side: str) -> None:
    del symbol, side


def _only_closes(market: dict[str, Any], side: str, params: dict[str, Any]) -> bool:
    """Whether the venue itself sees to it that an order can only close."""
    if market.get("contract"):
        return bool(params.get("reduceOnly") or params.get("closePosition"))
    # What is lent can be sold short.
    is_plain = not any(params.get(name) for name in _MARGIN)
    return bool(market.get("spot")) and side == "sell" and is_plain


def _is_conditional(params: dict[str, Any]) -> bool:
    return any(params.get(name) is not None for name in (*_TRIGGERS, *_TRAILING))


def _passing(approval: Approval) -> Approval:
    """Return an approval that passes.

    Raises:
        DeniedError: it does not; for scripts that know only ccxt it is an InvalidOrder.
    """
    if approval.passes:
        return approval
    kind = type("OrderDeniedError", (DeniedError, _ccxt_error("InvalidOrder")), {})
    raise kind(approval)


def _in_ccxts_words(error: GatewayAwayError | GatewayRefusedError) -> Exception:
    """Return an error as one of ccxt's too: a bot that knows only those goes on."""
    if isinstance(error, GatewayAwayError):
        away = (GatewayAwayError, _ccxt_error("ExchangeNotAvailable"))
        found: Exception = type("AwayError", away, {})(str(error))
        return found
    name = "ExchangeNotAvailable" if error.is_passing else "InvalidOrder"
    if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        name = "PermissionDenied"
    kind = type("RefusedError", (GatewayRefusedError, _ccxt_error(name)), {})
    refused: Exception = kind(error.status, error.message, error.field)
    return refused


def _ccxt_error(name: str) -> type[Exception]:
    # The object comes from ccxt, so it is there; the client alone does without.
    found: type[Exception] = getattr(importlib.import_module("ccxt.base.errors"), name)
    return found
