"""Binance USD-M orders that exist: look up, list, cancel and amend, plain and algo ones.

Each handler takes a `Call` and returns the JSON document, or raises ApiError or VenueError.
"""

from __future__ import annotations

from tests.servers import binance_rows as rows
from tests.servers.binance_account import WEEK_MS, Call
from tests.servers.binance_errors import ApiError, missing
from tests.servers.binance_rows import Row
from tests.servers.ledger import Order, VenueError

DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


def find(call: Call, *, is_algo: bool) -> Order:
    """Return the order a request names by id or client id.

    Raises:
        ApiError: neither was sent.
        VenueError: ORDER_NOT_FOUND.
    """
    id_name = "algoId" if is_algo else "orderId"
    client_name = "clientAlgoId" if is_algo else "origClientOrderId"
    order_id, client_id = call.params.get(id_name), call.params.get(client_name)
    if not order_id and not client_id:
        raise missing(client_name)
    for order in reversed(list(call.ledger.orders.values())):
        if order.conditional != is_algo:
            continue
        if not is_algo and call.params.get("symbol") not in (None, "", order.instrument):
            continue
        if (order_id and order.id == str(order_id)) or (
            not order_id and order.client_id == client_id
        ):
            return order
    raise VenueError("ORDER_NOT_FOUND")


def get_order(call: Call) -> Row:
    """Return GET /fapi/v1/order."""
    call.symbol()
    return rows.order_row(call.ledger, find(call, is_algo=False), is_query=True)


def get_open_order(call: Call) -> Row:
    """Return GET /fapi/v1/openOrder: an order that is still open."""
    call.symbol()
    order = find(call, is_algo=False)
    if not order.is_open:
        raise ApiError(-2013)
    return rows.order_row(call.ledger, order, is_query=True)


def _cancel(call: Call, *, is_algo: bool) -> Order:
    try:
        order = find(call, is_algo=is_algo)
    except VenueError:
        raise ApiError(-2011) from None
    return call.ledger.cancel(order.id)


def cancel_order(call: Call) -> Row:
    """Answer DELETE /fapi/v1/order."""
    call.symbol()
    return rows.order_row(call.ledger, _cancel(call, is_algo=False))


def amend_order(call: Call) -> Row:
    """Answer PUT /fapi/v1/order: limit orders only, quantity and price both sent."""
    call.symbol()
    order = find(call, is_algo=False)
    amount, limit = call.number("quantity"), call.number("price")
    if amount is None or limit is None:
        raise missing("quantity" if amount is None else "price")
    if order.type != "limit":
        raise ApiError(-5025)
    if (order.quantity, order.price) == (amount, limit):
        raise ApiError(-5027)
    if order.is_open and amount <= order.filled:
        return rows.order_row(call.ledger, call.ledger.cancel(order.id))
    call.ledger.amend(order.id, quantity=amount, price=limit)
    return rows.order_row(call.ledger, order)


def _wanted(call: Call) -> str | None:
    return call.symbol() if call.params.get("symbol") else None


def open_orders(call: Call) -> list[Row]:
    """Return GET /fapi/v1/openOrders: plain orders only."""
    found = call.ledger.open_orders(_wanted(call), conditional=False)
    cut = call.faults.take("open_orders_cut", api_key=call.account.key)
    if cut is not None:
        found = found[: int(cut.params.get("keep", 0))]
    return [rows.order_row(call.ledger, order, is_query=True) for order in found]


def all_orders(call: Call) -> list[Row]:
    """Return GET /fapi/v1/allOrders of one symbol, oldest first."""
    name, first = call.symbol(), call.integer("orderId")
    limit = min(call.integer("limit", 500) or 500, 1000)
    plain = [o for o in call.ledger.orders.values() if o.instrument == name and not o.conditional]
    if first is not None:
        chosen = [o for o in plain if int(o.id) >= first][:limit]
    else:
        chosen = call.within([(o.created_ms, o) for o in plain], limit, WEEK_MS)
    return [rows.order_row(call.ledger, order, is_query=True) for order in chosen]


def cancel_all(call: Call) -> Row:
    """Answer DELETE /fapi/v1/allOpenOrders: plain orders only."""
    call.ledger.cancel_all(call.symbol(), conditional=False)
    return dict(DONE)


def get_algo_order(call: Call) -> Row:
    """Return GET /fapi/v1/algoOrder."""
    return rows.algo_row(call.ledger, find(call, is_algo=True), is_query=True)


def open_algo_orders(call: Call) -> list[Row]:
    """Return GET /fapi/v1/openAlgoOrders."""
    found = call.ledger.open_orders(_wanted(call), conditional=True)
    cut = call.faults.take("open_orders_cut", api_key=call.account.key)
    if cut is not None:
        found = found[: int(cut.params.get("keep", 0))]
    return [rows.algo_row(call.ledger, order, is_query=True) for order in found]


def all_algo_orders(call: Call) -> list[Row]:
    """Return GET /fapi/v1/allAlgoOrders of one symbol."""
    name = call.symbol()
    limit = min(call.integer("limit", 500) or 500, 1000)
    algo = [o for o in call.ledger.orders.values() if o.instrument == name and o.conditional]
    chosen = call.within([(o.created_ms, o) for o in algo], limit, WEEK_MS)
    return [rows.algo_row(call.ledger, order, is_query=True) for order in chosen]


def cancel_algo_order(call: Call) -> Row:
    """Answer DELETE /fapi/v1/algoOrder."""
    order = _cancel(call, is_algo=True)
    done = {"code": "200", "msg": "success"}
    return {"algoId": int(order.id), "clientAlgoId": order.client_id, **done}


def cancel_all_algo(call: Call) -> Row:
    """Answer DELETE /fapi/v1/algoOpenOrders."""
    call.ledger.cancel_all(call.symbol(), conditional=True)
    return dict(DONE)


def force_orders(call: Call) -> list[Row]:
    """Return GET /fapi/v1/forceOrders: liquidations and auto-deleveraging of the account."""
    wanted = {"LIQUIDATION": "liquidation", "ADL": "adl"}.get(
        str(call.params.get("autoCloseType", ""))
    )
    found = [o for o in call.ledger.orders.values() if o.origin != "user"]
    chosen = [o for o in found if wanted in (None, o.origin)]
    return [rows.order_row(call.ledger, order, is_query=True) for order in chosen]


def countdown(call: Call) -> Row:
    """Answer POST /fapi/v1/countdownCancelAll: arm, renew or (with 0) stop a symbol's timer."""
    name, wait = call.symbol(), call.integer("countdownTime")
    if wait is None or wait < 0:
        raise missing("countdownTime")
    if wait == 0:
        call.account.countdowns.pop(name, None)
    else:
        call.account.countdowns[name] = call.market.now_ms() + wait
    return {"symbol": name, "countdownTime": str(wait)}
