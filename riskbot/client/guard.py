"""A ccxt exchange object with the gateway before it: one changed line in a script.

`exchange = guard(ccxt.binanceusdm({...}), token=..., account="main")`. Every unified call that
creates or changes an order asks first; what is asked is `wish`. What goes past ccxt's unified calls
(the implicit methods of a venue's raw API) is not seen here; an account that is `exclusive` finds
it out.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from decimal import Decimal
from functools import partial
from typing import Any, Literal, NoReturn, TypeVar

from riskbot.client.answers import (
    Approval,
    GatewayAwayError,
    GatewayError,
    GatewayRefusedError,
)
from riskbot.client.http import URL, AsyncClient, Client
from riskbot.client.spelling import (
    ccxt_error,
    in_ccxts_words,
    may_be_done,
    passing,
    shown,
    unanswered,
)
from riskbot.client.wish import (
    StopOf,
    body_of,
    fault_of,
    is_conditional,
    nameless,
    only_closes,
)

Mode = Literal["check", "submit"]
X = TypeVar("X")
_log = logging.getLogger(__name__)

_inside: ContextVar[bool] = ContextVar("inside", default=False)
"""An order that was asked about is on its way through ccxt's own calls."""

AGAIN = 2
"""An order that riskbot was to send, and did not answer, is asked for so often again."""

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
    # What some venues' own create_order and edit_order go on to.
    "create_spot_order": "_inner",
    "create_spot_orders": "_inner",
    "create_swap_order": "_inner",
    "create_contract_order": "_inner",
    "create_contract_orders": "_inner",
    "create_uta_order": "_inner",
    "create_uta_orders": "_inner",
    "edit_spot_order": "_inner",
    "edit_contract_order": "_inner",
    # Trades that are no orders.
    "create_convert_trade": "_refuse",
    "create_twap_order": "_refuse",
    "create_rfq_order": "_refuse",
    "fetch_order": "_fetch",
}
"""ccxt's calls, and what each becomes."""


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
            if work in {"_cancel", "_fetch"} and self._mode == "check":
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

    async def _send(self, name: str, *args: Any) -> Any:
        """Let ccxt send what may go."""
        token = _inside.set(True)
        try:
            return await self._done(self._plain[name](*args))
        finally:
            _inside.reset(token)

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
        closes = await self._look(symbol, type, side, given)
        if closes and is_conditional(given):
            return await self._send(name, symbol, type, side, amount, price, given)
        body = self._body(symbol, type, side, amount, price, given)
        if self._mode == "submit":
            if is_conditional(given):
                self._reject("riskbot places market and limit orders")
            approval = passing(await self._submitted(body))
            return self._shown(approval.order)
        found = await self._approval(body, closes=closes)
        if found is None:
            return await self._send(name, symbol, type, side, amount, price, given)
        count = self._amount(symbol, found, amount)
        own = found.client_order_id or body["client_order_id"]
        named = nameless(given) | {"clientOrderId": own}
        try:
            return await self._send(name, symbol, type, side, count, price, named)
        except ccxt_error("ExchangeError") as error:
            # What nobody knows the end of is no ExchangeError.
            if not isinstance(error, ccxt_error("DuplicateOrderId")):
                await self._give_back(own)
            raise

    async def _give_back(self, name: str) -> None:
        """Let go of an approval whose order the venue has refused."""
        try:
            await self._done(self._client.cancel(name))
        except GatewayError as error:
            # It lapses by itself.
            _log.debug("the approval of %s was not given back: %s", name, error)

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
        closes = await self._look(symbol, type, side, given)
        if self._mode == "submit":
            wanted = None if amount is None else self._quantity(symbol, amount)
            at = None if price is None else self._exchange.price_to_precision(symbol, price)
            answer = await self._asked(self._client.amend, id, quantity=wanted, price=at)
            passing(Approval.read(answer, wanted or Decimal(0)))
            return self._shown(await self._asked(self._client.order, id))
        if closes and is_conditional(given):
            return await self._send(name, id, symbol, type, side, amount, price, given)
        if amount is None:
            self._reject("an order is edited with its whole amount")
        # Asked for as if it were a new one: until the venue has changed it, both count.
        body = self._body(symbol, type, side, amount, price, nameless(given))
        found = await self._approval(body, closes=closes)
        count = amount if found is None else self._amount(symbol, found, amount)
        return await self._send(name, id, symbol, type, side, count, price, given)

    async def _cancel(
        self,
        name: str,
        id: str,  # noqa: A002 - ccxt's word
        symbol: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        del name, symbol, params
        return await self._followed(self._client.cancel, id)

    async def _fetch(
        self,
        name: str,
        id: str,  # noqa: A002 - ccxt's word
        symbol: str | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        del name, symbol, params
        return await self._followed(self._client.order, id)

    async def _followed(self, ask: Callable[..., Any], name: str) -> Any:
        """Return an order of riskbot's in ccxt's shape, whatever is asked about it."""
        await self._done(self._exchange.load_markets())
        return self._shown(await self._asked(ask, name))

    async def _inner(self, name: str, *args: Any, **fields: Any) -> Any:
        if not _inside.get():
            self._reject(f"{name} is not guarded: use create_order or edit_order")
        return await self._done(self._plain[name](*args, **fields))

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
            raise in_ccxts_words(error) from error

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
        return passing(approval)

    async def _submitted(self, body: dict[str, Any]) -> Approval:
        """Have riskbot send an order, and ask again under its id where no answer comes.

        Raises:
            GatewayError: it was refused, or never reached riskbot; where nobody knows what became
                of it, it is ccxt's RequestTimeout too and names the id.
        """
        for left in reversed(range(AGAIN + 1)):
            try:
                approval: Approval = await self._done(self._client.submit(**body))
            except (GatewayAwayError, GatewayRefusedError) as error:
                if not may_be_done(error):
                    raise in_ccxts_words(error) from error
                if not left:
                    raise unanswered(error, body["client_order_id"]) from error
            else:
                return approval
        raise AssertionError

    async def _look(self, symbol: str, kind: str, side: str, params: dict[str, Any]) -> bool:
        """Return whether an order can only close.

        Raises:
            Exception: ccxt's NotSupported, where it cannot be asked about.
        """
        await self._done(self._exchange.load_markets())
        market, options = self._exchange.market(symbol), self._exchange.options
        if fault := fault_of(market, kind, side, params, options):
            self._reject(fault)
        return only_closes(market, side, params, options)

    def _body(
        self, symbol: str, kind: str, side: str, amount: Any, price: Any, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what is asked: quantity and prices as ccxt will round them."""
        round_price = partial(self._exchange.price_to_precision, symbol)
        quantity, market = self._quantity(symbol, amount), self._exchange.market(symbol)
        body = body_of(self._account, market, kind, side, quantity, price, params, self.stop_of)
        if body["price"] is not None:
            body["price"] = round_price(body["price"])
        return {**body, "allow_resize": self._allow_resize}

    def _quantity(self, symbol: str, amount: Any) -> Decimal:
        """Return base units of ccxt's amount, as it will be rounded."""
        return Decimal(self._exchange.amount_to_precision(symbol, amount)) * self._unit(symbol)

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
        return shown(order, self._unit(order["instrument"]))

    def _reject(self, message: str) -> NoReturn:
        raise ccxt_error("NotSupported")(message)


def _no_stop(symbol: str, side: str) -> None:
    del symbol, side
