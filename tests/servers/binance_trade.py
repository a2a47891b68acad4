"""Binance USD-M new orders: plain, algo (conditional) and batches; what is refused before booking.

Each handler takes a `Call` and returns the JSON document, or raises ApiError or VenueError.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, cast

from tests.servers import binance_orders as orders
from tests.servers import binance_rows as rows
from tests.servers.binance_account import Call
from tests.servers.binance_errors import ApiError, from_ledger, missing
from tests.servers.binance_rows import Row, digits
from tests.servers.ledger import Order, VenueError
from tests.servers.ledger_types import ZERO, PositionSide, TimeInForce

ALGO_TYPES = {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
MAX_ORDERS, MAX_ALGO_ORDERS = 200, 10
CLIENT_ID = re.compile(r"^[.A-Z:/a-z0-9_-]{1,36}$")
_generated = itertools.count(1)


def new_order(call: Call) -> Row:
    """Answer POST /fapi/v1/order."""
    order = place(call, parse(call, is_algo=False))
    row = rows.order_row(call.ledger, order)
    final = call.params.get("newOrderRespType") == "RESULT"
    if final and (order.type == "market" or order.time_in_force in ("IOC", "FOK")):
        return row
    if order.status == "rejected":
        return row
    zero = rows.quantity(call.ledger.instrument(order.instrument), ZERO)
    accepted = {"status": "NEW", "executedQty": zero, "cumQty": zero, "cumQuote": "0.00000"}
    return row | accepted | {"avgPrice": "0.00"}


def try_order(call: Call) -> Row:
    """Answer POST /fapi/v1/order/test: parse only."""
    parse(call, is_algo=False)
    return {}


def new_algo_order(call: Call) -> Row:
    """Answer POST /fapi/v1/algoOrder."""
    if call.params.get("algoType") != "CONDITIONAL":
        raise missing("algoType")
    order = place(call, parse(call, is_algo=True))
    return rows.algo_row(call.ledger, order) | {"algoStatus": "NEW"}


def place(call: Call, order: Order) -> Order:
    """Place on the ledger, unless a planted fault refuses; raises ApiError or VenueError."""
    context = {
        "api_key": call.account.key,
        "symbol": order.instrument,
        "client_id": order.client_id,
        "type": order.meta["type"],
    }
    _planted_refusal(call, order, context)
    if not call.account.rights["enableFutures"]:
        raise ApiError(-2015)
    _check_counts(call, order)
    partial = None if order.conditional else call.faults.take("partial_fill", **context)
    if partial is None:
        return call.ledger.place(order)
    usual = call.ledger.fill_ratio
    call.ledger.fill_ratio = Decimal(str(partial.params.get("ratio", "0.5")))
    try:
        return call.ledger.place(order)
    finally:
        call.ledger.fill_ratio = usual


def _planted_refusal(call: Call, order: Order, context: dict[str, Any]) -> None:
    if order.type == "market" and not order.conditional:
        fault = call.faults.take("market_rejected", **context)
        if fault is not None:
            raise ApiError(int(fault.params.get("code", -4131)))
    reduces = order.reduce_only or order.close_position
    fault = call.faults.take("reduce_only_rejected", **context) if reduces else None
    if fault is not None:
        raise ApiError(int(fault.params.get("code", -2022)))
    for kind, code in (("insufficient_margin", -2019), ("min_notional", -4164)):
        if call.faults.take(kind, **context) is not None:
            raise ApiError(code)


def _check_counts(call: Call, order: Order) -> None:
    # Per symbol: 200 plain orders, 10 conditional ones, one closing stop and one closing profit.
    others = call.ledger.open_orders(order.instrument, conditional=order.conditional)
    if len(others) >= (MAX_ALGO_ORDERS if order.conditional else MAX_ORDERS):
        raise ApiError(-4045 if order.conditional else -2025)
    kind = str(order.meta["type"]).split("_")[0]
    for other in others if order.close_position else []:
        same = (other.side, other.position_side) == (order.side, order.position_side)
        if other.close_position and same and str(other.meta["type"]).startswith(kind):
            raise ApiError(-4130)


# ---- reading an order request -------------------------------------------------------------------


def parse(call: Call, *, is_algo: bool) -> Order:
    """Return the order a request describes.

    Raises:
        ApiError: a parameter is missing, malformed or not allowed in this combination.
    """
    params = call.params
    name, kind = call.symbol(), str(params.get("type", ""))
    side = {"BUY": "buy", "SELL": "sell"}.get(str(params.get("side", "")))
    if side is None:
        raise ApiError(-1117) if params.get("side") else missing("side")
    _check_type(kind, is_algo=is_algo)
    order = Order(
        instrument=name,
        side=cast("Literal['buy', 'sell']", side),
        type="limit" if kind in ("LIMIT", "STOP", "TAKE_PROFIT") else "market",
        client_id=_client_id(params, "clientAlgoId" if is_algo else "newClientOrderId"),
        position_side=_position_side(call),
        reduce_only=call.flag("reduceOnly"),
        close_position=call.flag("closePosition"),
        conditional=is_algo,
        trigger_by="mark" if params.get("workingType") == "MARK_PRICE" else "last",
        meta={"type": kind, "orig_type": kind, "price_protect": call.flag("priceProtect")},
    )
    if call.ledger.hedge_mode and "reduceOnly" in params:
        raise ApiError(-1106)
    _read_numbers(call, order)
    if is_algo:
        _read_trigger(call, order, kind)
    return order


def _check_type(kind: str, *, is_algo: bool) -> None:
    if not kind:
        raise missing("type")
    if is_algo and kind not in ALGO_TYPES:
        raise ApiError(-1116)
    if not is_algo and kind in ALGO_TYPES:
        raise ApiError(-4120)
    if not is_algo and kind not in ("LIMIT", "MARKET"):
        raise ApiError(-1116)


def _client_id(params: dict[str, Any], name: str) -> str:
    text = str(params.get(name) or f"auto{next(_generated):018d}")
    if not CLIENT_ID.match(text):
        raise ApiError(-4015)
    return text


def _position_side(call: Call) -> PositionSide:
    default = "BOTH"
    side = str(call.params.get("positionSide") or default).lower()
    if side not in ("both", "long", "short"):
        raise ApiError(-1130, "Data sent for parameter 'positionSide' is not valid.")
    return cast("PositionSide", side)


def _read_numbers(call: Call, order: Order) -> None:
    instrument = call.ledger.instrument(order.instrument)
    amount = call.number("quantity")
    if amount is None and not order.close_position:
        raise missing("quantity")
    if amount is not None and order.close_position:
        raise ApiError(-1106, "Parameter 'quantity' sent when not required.")
    order.quantity = amount or ZERO
    if order.type == "limit":
        order.price = call.number("price")
        if order.price is None:
            raise missing("price")
        order.time_in_force = _time_in_force(call, is_needed=not order.conditional)
        order.meta["tif"] = rows.time_in_force(order)
    if not order.conditional:
        _check_percent_price(call, order)
    for value, step in ((order.quantity, instrument.step), (order.price, instrument.tick)):
        if value is not None and digits(value.normalize()) > digits(step):
            raise ApiError(-1111)


def _time_in_force(call: Call, *, is_needed: bool) -> TimeInForce:
    text = call.params.get("timeInForce")
    if not text and is_needed:
        raise missing("timeInForce")
    known = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "GTX": "POST", "GTD": "GTC"}
    found = known.get(str(text or "GTC"))
    if found is None:
        raise ApiError(-1115)
    return cast("TimeInForce", found)


def _check_percent_price(call: Call, order: Order) -> None:
    # Limits may not pay more than 5% over mark; the book's best price may not be further either.
    mark = call.market.marks[order.instrument]
    highest, lowest = mark * Decimal("1.05"), mark * Decimal("0.95")
    paid = order.price or call.market.touch(order.instrument, order.side)
    is_high = order.side == "buy" and paid > highest
    is_low = order.side == "sell" and paid < lowest
    if (is_high or is_low) and order.type == "market":
        raise ApiError(-4131)
    if is_high:
        raise ApiError(-4016, f"Limit price can't be higher than {highest:f}.")
    if is_low:
        raise ApiError(-4024, f"Limit price can't be lower than {lowest:f}.")


def _read_trigger(call: Call, order: Order, kind: str) -> None:
    if kind == "TRAILING_STOP_MARKET":
        rate = call.number("callbackRate")
        if rate is None or not Decimal("0.1") <= rate <= 10:
            raise ApiError(-2007, "Invalid callBack rate")
        order.callback_rate = rate / 100
        order.activate_price = call.number("activatePrice")
        order.meta["activate"] = call.params.get("activatePrice", "")
        return
    order.stop_price = call.number("triggerPrice")
    if order.stop_price is None:
        raise missing("triggerPrice")
    is_stop = kind.startswith("STOP")
    order.trigger_direction = "above" if is_stop == (order.side == "buy") else "below"


# ---- batches ------------------------------------------------------------------------------------


def _each(call: Call, items: list[dict[str, Any]], work: Callable[[Call], Row]) -> list[Row]:
    answers: list[Row] = []
    for item in items:
        one = Call(call.account, call.data, call.faults, item)
        try:
            answers.append(work(one))
        except VenueError as error:
            refused = from_ledger(error)
            answers.append({"code": refused.code, "msg": refused.message})
        except ApiError as error:
            answers.append({"code": error.code, "msg": error.message})
    return answers


def _batch(call: Call, work: Callable[[Call], Row]) -> list[Row]:
    try:
        items = json.loads(str(call.params.get("batchOrders", "")))
    except ValueError:
        raise missing("batchOrders") from None
    if not isinstance(items, list) or not 1 <= len(items) <= 5:
        raise ApiError(-4082, "Invalid number of batch place orders.")
    return _each(call, items, work)


def new_batch(call: Call) -> list[Row]:
    """Answer POST /fapi/v1/batchOrders; refusals stand in the list."""
    return _batch(call, new_order)


def amend_batch(call: Call) -> list[Row]:
    """Answer PUT /fapi/v1/batchOrders."""
    return _batch(call, orders.amend_order)


def cancel_batch(call: Call) -> list[Row]:
    """Answer DELETE /fapi/v1/batchOrders; parameter names in any case, as clients send them."""
    lists = {key.lower(): value for key, value in call.params.items()}
    name, items = call.symbol(), []
    try:
        for key, field in (
            ("orderidlist", "orderId"),
            ("origclientorderidlist", "origClientOrderId"),
        ):
            values = json.loads(str(lists.get(key) or "[]"))
            items += [{"symbol": name, field: value} for value in values]
    except ValueError:
        raise missing("orderIdList") from None
    if not 1 <= len(items) <= 10:
        raise ApiError(-4083, "Invalid number of batch cancel orders.")
    return _each(call, items, orders.cancel_order)
