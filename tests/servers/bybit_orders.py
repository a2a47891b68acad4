"""Bybit's order requests: placing, amending and cancelling, with the venue's own checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tests.servers import bybit_wire as wire
from tests.servers.bybit_account import Account, new_id
from tests.servers.bybit_errors import ApiError, from_ledger, refuse
from tests.servers.bybit_market import CATEGORIES, Row, key_of, priced
from tests.servers.bybit_prices import price_limits
from tests.servers.ledger_market import floor_to
from tests.servers.ledger_types import (
    ZERO,
    Instrument,
    Order,
    OrderChanged,
    PositionSide,
    VenueError,
)

Body = dict[str, Any]

LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,36}")
TIMES: Final = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "PostOnly": "POST"}
TRIGGERS: Final = {"LastPrice": "last", "MarkPrice": "mark", "IndexPrice": "index"}
SPOT_FILTERS: Final = ("Order", "tpslOrder", "StopOrder", "OcoOrder", "BidirectionalTpslOrder")
CONTRACT_FILTERS: Final = ("Order", "StopOrder", "OpenOrder")
PROTECTIVE: Final = ("takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy", "tpslMode",
                     "tpLimitPrice", "slLimitPrice", "tpOrderType", "slOrderType")  # fmt: skip
CONDITIONAL_LIMIT: Final = 10


def decimal_of(body: Body, name: str) -> Decimal | None:
    """Return a numeric parameter, None when absent or empty; raises ApiError 10001."""
    raw = body.get(name)
    if raw is None or raw == "":
        return None
    try:
        value = Decimal(str(raw))
    except InvalidOperation:
        raise ApiError(10001, f"params error: {name} invalid") from None
    if not value.is_finite():
        raise ApiError(10001, f"params error: {name} invalid")
    return value


def category_of(body: Body) -> str:
    """Return the category of a request; raises ApiError 10001 when missing or unknown."""
    category = str(body.get("category", ""))
    if category not in (*CATEGORIES, "option"):
        raise ApiError(10001, "Illegal category")
    return category


def instrument_of(account: Account, body: Body) -> Instrument:
    """Return the instrument a request names; raises ApiError 10001 or 170121."""
    category = category_of(body)
    symbol = str(body.get("symbol", ""))
    instrument = account.ledger.instruments.get(key_of(category, symbol))
    if instrument is None or instrument.kind != category:
        raise (
            refuse(170121)
            if category == "spot"
            else ApiError(10001, "params error: symbol invalid " + symbol)
        )
    return instrument


def translated(act: Callable[[], Order], *, spot: bool) -> Order:
    """Run a ledger action, turning its refusals into the venue's codes."""
    try:
        return act()
    except VenueError as error:
        raise from_ledger(error, spot=spot) from error


# ---- placing ------------------------------------------------------------------------------------


def create(account: Account, body: Body) -> Order:
    """Place the order of POST /v5/order/create and return it; raises ApiError."""
    instrument = instrument_of(account, body)
    order = build(account, instrument, body)
    _check_mode(account, instrument, order)
    _check_count(account, instrument, order)
    if instrument.kind != "spot":
        _fit_price(account, instrument, order)
    else:
        _check_price(account, instrument, order)
    if order.conditional and has_fired(account, order):
        current = account.ledger.market.trigger_price(order.instrument, order.trigger_by)
        code = 110092 if order.trigger_direction == "above" else 110093
        raise (
            refuse(170130, "triggerPrice")
            if instrument.kind == "spot"
            else refuse(code, order.stop_price, current)
        )
    try:
        return account.in_mode(instrument.id, lambda: account.ledger.place(order))
    except VenueError as error:
        if error.code == "WOULD_CROSS":
            return _cancel_at_birth(account, order)
        raise from_ledger(error, spot=instrument.kind == "spot") from error


def has_fired(account: Account, order: Order) -> bool:
    """Return whether a conditional order's trigger has been reached already."""
    price = account.ledger.market.trigger_price(order.instrument, order.trigger_by)
    stop = order.stop_price or ZERO
    return price >= stop if order.trigger_direction == "above" else price <= stop


def _cancel_at_birth(account: Account, order: Order) -> Order:
    # A post-only order that would take is accepted first and cancelled by the engine.
    order.created_ms = order.updated_ms = account.ledger.market.now_ms()
    order.status, order.reason = "canceled", "post only"
    account.ledger.orders[order.id] = order
    for watcher in account.watchers:
        watcher(OrderChanged(order.copy(), "canceled"))
    return order


def build(account: Account, instrument: Instrument, body: Body) -> Order:
    """Return the ledger order of a create request, unchecked against the account."""
    side = {"Buy": "buy", "Sell": "sell"}.get(str(body.get("side")))
    if side is None:
        raise refuse(170117) if instrument.kind == "spot" else ApiError(10001, "Side invalid")
    kind = str(body.get("orderType"))
    if kind not in ("Market", "Limit"):
        raise ApiError(10001, "OrderType invalid")
    link = str(body.get("orderLinkId", "") or "")
    if link and not LINK_ID.fullmatch(link):
        raise ApiError(10001, "params error: OrderLinkId invalid")
    order = Order(
        instrument=instrument.id,
        side="buy" if side == "buy" else "sell",
        type="market" if kind == "Market" else "limit",
        price=decimal_of(body, "price") if kind == "Limit" else None,
        client_id=link,
        id=new_id() if instrument.kind != "spot" else account.spot_id(),
        position_side=side_of(instrument, body),
        reduce_only=body.get("reduceOnly") is True,
        meta=_meta(account, instrument, body),
    )
    _set_time(order, body)
    _set_trigger(account, instrument, order, body)
    _set_quantity(account, instrument, order, body)
    return order


def _meta(account: Account, instrument: Instrument, body: Body) -> dict[str, Any]:
    meta: dict[str, Any] = {
        name: str(body[name]) for name in PROTECTIVE if body.get(name) not in (None, "", "0")
    }
    meta["basePrice"] = account.ledger.market.lasts[instrument.id]
    meta["closeOnTrigger"] = body.get("closeOnTrigger") is True
    if instrument.kind == "spot":
        meta["isLeverage"] = str(body.get("isLeverage", 0))
        meta["orderFilter"] = str(body.get("orderFilter", "Order"))
        if meta["orderFilter"] not in SPOT_FILTERS:
            raise refuse(170201)
    elif ("takeProfit" in meta or "stopLoss" in meta) and "tpslMode" not in meta:
        meta["tpslMode"] = "Full"
    return meta


def side_of(instrument: Instrument, body: Body) -> PositionSide:
    """Return the position side a positionIdx means; raises ApiError 10001."""
    if instrument.kind == "spot":
        return "both"
    try:
        return wire.SIDE_OF_INDEX[int(body.get("positionIdx", 0))]
    except (KeyError, ValueError, TypeError):
        raise ApiError(10001, "params error: positionIdx invalid") from None


def _set_time(order: Order, body: Body) -> None:
    if order.type == "market":
        order.time_in_force = "IOC"
        return
    asked = str(body.get("timeInForce") or "GTC")
    if asked not in TIMES:
        raise ApiError(10001, "TimeInForce invalid")
    order.time_in_force = TIMES[asked]  # type: ignore[assignment]


def _set_trigger(account: Account, instrument: Instrument, order: Order, body: Body) -> None:
    stop = decimal_of(body, "triggerPrice")
    if stop is None:
        if order.meta.get("orderFilter") in ("StopOrder", "tpslOrder"):
            raise refuse(170130, "triggerPrice")
        return
    order.conditional, order.stop_price = True, stop
    if instrument.kind == "spot":
        last = account.ledger.market.lasts[instrument.id]
        order.trigger_direction = "above" if stop > last else "below"
        is_tpsl = order.meta["orderFilter"] == "tpslOrder"
        order.meta["stopOrderType"] = "tpslOrder" if is_tpsl else "Stop"
        return
    direction = str(body.get("triggerDirection", ""))
    if direction not in ("1", "2"):
        raise ApiError(10001, "TriggerDirection invalid")
    source = str(body.get("triggerBy") or "LastPrice")
    if source not in TRIGGERS:
        raise ApiError(10001, "TriggerBy invalid")
    order.trigger_direction = "above" if direction == "1" else "below"
    order.trigger_by = TRIGGERS[source]  # type: ignore[assignment]
    order.meta["stopOrderType"] = "Stop"


def _set_quantity(account: Account, instrument: Instrument, order: Order, body: Body) -> None:
    quantity = decimal_of(body, "qty")
    if quantity is None:
        raise ApiError(10001, "Qty invalid")
    if instrument.kind == "spot":
        unit = str(body.get("marketUnit") or "")
        by_value = unit == "quoteCoin" or (not unit and order.side == "buy")
        if order.type == "market":
            order.meta["marketUnit"] = unit
        if order.type == "market" and by_value:
            price = account.ledger.market.touch(instrument.id, order.side)
            order.meta["quoteQuantity"] = quantity
            quantity = floor_to(quantity / price, instrument.step)
    elif quantity == 0 and order.reduce_only and order.meta["closeOnTrigger"]:
        order.close_position = order.conditional
        position = account.ledger.positions.get((order.instrument, order.position_side))
        held = position.quantity if position else ZERO
        quantity = abs(held) if held * order.sign < 0 else ZERO
        if not quantity:
            raise ApiError(110017)
    order.quantity = quantity


def _check_mode(account: Account, instrument: Instrument, order: Order) -> None:
    if instrument.kind == "spot":
        return
    if account.is_hedged(instrument.id) == (order.position_side == "both"):
        raise ApiError(10001, "position idx not match position mode")


def _check_count(account: Account, instrument: Instrument, order: Order) -> None:
    limit, code = (CONDITIONAL_LIMIT, 110009) if order.conditional else (500, 110020)
    if instrument.kind == "spot":
        limit, code = (30, 170005) if order.conditional else (500, 170005)
    if len(account.ledger.open_orders(instrument.id, order.conditional)) >= limit:
        raise refuse(code)


def _fit_price(account: Account, instrument: Instrument, order: Order) -> None:
    # Contracts by default move a limit price outside the band to its edge.
    if order.price is None or order.conditional or order.price % instrument.tick:
        return
    highest, lowest = price_limits(account.ledger.market, instrument)
    if account.refuses_far_prices and not lowest <= order.price <= highest:
        far_buy = order.side == "buy" and order.price > highest
        if far_buy or (order.side == "sell" and order.price < lowest):
            raise refuse(110003)
    order.price = min(order.price, highest) if order.side == "buy" else max(order.price, lowest)


def _check_price(account: Account, instrument: Instrument, order: Order) -> None:
    if order.price is None or order.conditional:
        return
    highest, lowest = price_limits(account.ledger.market, instrument)
    if order.side == "buy" and order.price > highest:
        raise refuse(170193, priced(highest, instrument))
    if order.side == "sell" and order.price < lowest:
        raise refuse(170194, priced(lowest, instrument))


# ---- changing -----------------------------------------------------------------------------------


def find(account: Account, body: Body) -> Order:
    """Return the order a request names by orderId, else orderLinkId, in its category.

    Raises:
        ApiError: 10001 without either, 110001 or 170213 when there is none.
    """
    instrument = instrument_of(account, body)
    order_id = str(body.get("orderId", "") or "")
    link = str(body.get("orderLinkId", "") or "")
    if not order_id and not link:
        raise ApiError(10001, "params error: OrderId or OrderLinkId is required")
    missing = refuse(170213 if instrument.kind == "spot" else 110001)
    try:
        order = account.ledger.find(order_id=order_id, client_id=link)
    except VenueError:
        raise missing from None
    if order.instrument != instrument.id:
        raise missing
    if instrument.kind == "spot" and filter_of(order, spot=True) != body.get(
        "orderFilter", "Order"
    ):
        raise missing
    return order


def amend(account: Account, body: Body) -> Order:
    """Change an open order; raises ApiError."""
    order = find(account, body)
    spot = wire.is_spot(account.ledger, order.instrument)
    if not order.is_open:
        raise (
            ApiError(170213)
            if spot
            else ApiError(110001, "order not exists or too late to replace")
        )
    quantity, price = decimal_of(body, "qty"), decimal_of(body, "price")
    stop = decimal_of(body, "triggerPrice")
    if quantity is None and price is None and stop is None and not set(PROTECTIVE) & set(body):
        raise ApiError(10001, "The order remains unchanged as the parameters entered match")
    for name in PROTECTIVE:
        if name in body:
            order.meta[name] = "" if body[name] == "0" else str(body[name])
    if quantity is not None and quantity <= order.filled:
        raise refuse(110064)
    return translated(
        lambda: account.ledger.amend(order.id, quantity=quantity, price=price, stop_price=stop),
        spot=spot,
    )


def cancel(account: Account, body: Body) -> Order:
    """Cancel one order; raises ApiError."""
    order = find(account, body)
    return translated(
        lambda: account.ledger.cancel(order.id), spot=wire.is_spot(account.ledger, order.instrument)
    )


def cancel_all(account: Account, body: Body) -> list[Order]:
    """Cancel what POST /v5/order/cancel-all selects, at most 500 contract orders."""
    category = category_of(body)
    spot = category == "spot"
    wanted = body.get("orderFilter")
    if wanted is not None and wanted not in (SPOT_FILTERS if spot else CONTRACT_FILTERS):
        raise refuse(170201) if spot else ApiError(10001, "params error: orderFilter invalid")
    if not spot and not any(body.get(n) for n in ("symbol", "baseCoin", "settleCoin")):
        raise ApiError(10001, "Missing some parameters: symbol, settleCoin or baseCoin")
    if body.get("symbol"):
        instrument_of(account, body)
    if spot:
        wanted = wanted or "Order"
    only = str(body.get("stopOrderType", "")) if wanted == "StopOrder" else ""
    chosen = [
        order
        for order in account.ledger.open_orders()
        if in_scope(account, order, body)
        and wanted in (None, filter_of(order, spot=spot))
        and (not only or order.meta.get("stopOrderType") == only)
    ]
    chosen = chosen[: None if spot else 500]
    return [translated(lambda o=order: account.ledger.cancel(o.id), spot=spot) for order in chosen]  # type: ignore[misc]


def filter_of(order: Order, *, spot: bool) -> str:
    """Return the orderFilter word an order falls under now."""
    if order.status != "untriggered" and (not spot or order.meta.get("triggered")):
        return "Order"
    if spot:
        return str(order.meta.get("orderFilter", "Order"))
    return "StopOrder" if order.conditional else "Order"


def in_scope(account: Account, order: Order, body: Body) -> bool:
    """Return whether an order is in the category, and in its symbol, else base or settle coin."""
    instrument = account.ledger.instruments[order.instrument]
    category = str(body.get("category"))
    if instrument.kind != category:
        return False
    if body.get("symbol"):
        return order.instrument == key_of(category, str(body["symbol"]))
    if body.get("baseCoin"):
        return instrument.base == str(body["baseCoin"])
    if body.get("settleCoin") and category != "spot":
        return instrument.settle == str(body["settleCoin"])
    return True


def acknowledgement(order: Order) -> Row:
    """Return what order/create, amend and cancel answer."""
    return {"orderId": order.id, "orderLinkId": order.client_id}
