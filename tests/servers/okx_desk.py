"""Private REST endpoints of OKX about orders, algo orders, executions and cancel-all-after.

What an order must look like is in `okx_trade.py` and `okx_algo.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from tests.servers.ledger_types import VenueError
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_algo import cancel_algo, place_algo
from tests.servers.okx_call import Call, Endpoint, Handler, between, matching, of_family, page
from tests.servers.okx_errors import OkxError
from tests.servers.okx_rows import Row, algo_row, fill_row, order_row
from tests.servers.okx_trade import (
    amend_order,
    cancel_order,
    close_position,
    decimal_of,
    instrument_of,
    place_order,
)

Operation = Callable[[Call, Row], Row]

HOUR_MS: Final = 3_600_000
# Codes that end the whole request, not one order of it.
WHOLE: Final = frozenset({"50001", "50004", "50011", "50013", "50026", "51115"})


def each(operation: Operation, blanks: tuple[str, ...], largest: int) -> Handler:
    """Return a handler that runs an operation on every item and reports each with its sCode."""

    def serve(call: Call) -> list[Row]:
        if not call.items:
            raise OkxError("50000")
        if len(call.items) > largest:
            raise OkxError("51111", str(largest))
        rows = []
        for item in call.items:
            try:
                rows.append(operation(call, item))
            except OkxError as error:
                if error.code in WHOLE:
                    raise
                rows.append(refused(item, error, blanks, call.account))
        return rows

    return serve


def refused(item: Row, error: OkxError, names: tuple[str, ...], account: OkxAccount) -> Row:
    """Return the row of an item that was refused: its ids echoed, the code as sCode."""
    row = {name: str(item.get(name) or "") for name in names}
    row |= {"sCode": error.code, "sMsg": error.text}
    if "ts" in names:
        row["ts"] = str(account.now_ms)
    return row


def failures(rows: list[Row]) -> int:
    """Return how many rows were refused."""
    return sum(row.get("sCode", "0") != "0" for row in rows)


def place(call: Call, item: Row) -> Row:
    """Place one plain order."""
    return place_order(call.account, item, call.venue.faults)


def close(call: Call, item: Row) -> Row:
    """Close one position."""
    return close_position(call.account, item, call.venue.faults)


def algo(call: Call, item: Row) -> Row:
    """Place one algo order."""
    return place_algo(call.account, item)


def cancel(call: Call, item: Row) -> Row:
    """Cancel one plain order."""
    return cancel_order(call.account, item)


def amend(call: Call, item: Row) -> Row:
    """Amend one plain order."""
    return amend_order(call.account, item)


def drop_algo(call: Call, item: Row) -> Row:
    """Cancel one algo order."""
    return cancel_algo(call.account, item)


PLACED: Final = ("clOrdId", "ordId", "tag", "ts")
CANCELED: Final = ("clOrdId", "ordId", "ts")
AMENDED: Final = ("clOrdId", "ordId", "reqId", "ts")
ALGO: Final = ("algoClOrdId", "algoId", "clOrdId", "tag")

place_batch: Final = each(place, PLACED, 20)
cancel_batch: Final = each(cancel, CANCELED, 20)
amend_batch: Final = each(amend, AMENDED, 20)


def cancel_all_after(call: Call) -> list[Row]:
    """POST trade/cancel-all-after: seconds until all pending orders go, 0 to disarm."""
    seconds = decimal_of(call.params.get("timeOut", ""), "timeOut")
    if seconds and not 10 <= seconds <= 120:
        raise OkxError("51000", "timeOut")
    now, tag = call.account.now_ms, str(call.params.get("tag") or "")
    trigger = now + int(seconds * 1000) if seconds else 0
    if trigger:
        call.account.dead_men[tag] = trigger
    else:
        call.account.dead_men.pop(tag, None)
    return [{"tag": tag, "triggerTime": str(trigger // 1000), "ts": str(now // 1000)}]


def strike_dead_man(account: OkxAccount) -> None:
    """Cancel all pending plain orders (of a tag) whose cancel-all-after is due."""
    for tag, trigger in list(account.dead_men.items()):
        if account.now_ms < trigger:
            continue
        del account.dead_men[tag]
        for order in account.ledger.open_orders(conditional=False):
            if tag not in {"", order.meta.get("tag", "")}:
                continue
            order.meta["cancelSource"] = "20"
            with contextlib.suppress(VenueError):
                account.ledger.cancel(order.id)


def order_details(call: Call) -> list[Row]:
    """GET trade/order; canceled orders without a fill are forgotten after two hours."""
    params = call.params
    instrument_of(call.account, params)
    order_id, client_id = str(params.get("ordId") or ""), str(params.get("clOrdId") or "")
    if not order_id and not client_id:
        raise OkxError("51003")
    order = call.account.find_plain(order_id, client_id)
    if order is None or order.instrument != params["instId"]:
        raise OkxError("51603")
    return [order_row(call.account, order)]


def pending(call: Call) -> list[Row]:
    """GET trade/orders-pending."""
    orders = reversed(call.account.ledger.open_orders(conditional=False))
    rows = [order_row(call.account, order) for order in orders]
    rows = matching(of_family(rows, call.params), call.params, *ORDER_FILTERS)
    cut = call.venue.faults.take("open_orders_cut", **call.context)
    if cut is not None:
        rows = rows[: int(cut.params.get("keep", 0))]
    return page(rows, call.params, "ordId")


ORDER_FILTERS: Final = ("instType", "instId", "ordType", "state", "category")


def history(call: Call) -> list[Row]:
    """GET trade/orders-history and its archive; the type of instrument is mandatory."""
    if not call.params.get("instType"):
        raise OkxError("50014", "instType")
    rows = [
        order_row(call.account, order)
        for order in reversed(call.account.ledger.orders.values())
        if not order.conditional and not order.is_open
    ]
    oldest = call.account.now_ms - 2 * HOUR_MS
    rows = [r for r in rows if r["accFillSz"] != "0" or int(r["uTime"]) >= oldest]
    rows = matching(of_family(rows, call.params), call.params, *ORDER_FILTERS)
    return page(between(rows, call.params, "cTime"), call.params, "ordId")


def fills(call: Call) -> list[Row]:
    """GET trade/fills and trade/fills-history."""
    rows = [fill_row(call.account, fill) for fill in reversed(call.account.ledger.fills)]
    rows = matching(
        of_family(rows, call.params), call.params, "instType", "instId", "ordId", "subType"
    )
    return page(between(rows, call.params, "ts"), call.params, "billId")


def fills_history(call: Call) -> list[Row]:
    """GET trade/fills-history; the type of instrument is mandatory."""
    if not call.params.get("instType"):
        raise OkxError("50014", "instType")
    return fills(call)


def _algos(account: OkxAccount) -> list[Row]:
    return [
        algo_row(account, order)
        for order in reversed(account.ledger.orders.values())
        if order.conditional and "hidden_of" not in order.meta
    ]


def _algo_types(params: Row) -> list[str]:
    # Only conditional and oco may be asked for together.
    kinds = str(params.get("ordType") or "").split(",")
    if kinds == [""]:
        raise OkxError("50014", "ordType")
    if len(kinds) > 1 and not set(kinds) <= {"conditional", "oco"}:
        raise OkxError("51000", "ordType")
    known = {"conditional", "oco", "trigger", "move_order_stop", "iceberg", "twap", "chase"}
    if not set(kinds) <= known:
        raise OkxError("51000", "ordType")
    return kinds


def algo_details(call: Call) -> list[Row]:
    """GET trade/order-algo."""
    algo_id = str(call.params.get("algoId") or "")
    client_id = str(call.params.get("algoClOrdId") or "")
    if not algo_id and not client_id:
        raise OkxError("50015", "algoId, algoClOrdId")
    order = call.account.find_algo(algo_id, client_id)
    if order is None:
        raise OkxError("51603")
    return [algo_row(call.account, order)]


def algos_pending(call: Call) -> list[Row]:
    """GET trade/orders-algo-pending; one ordType at a time, except conditional with oco."""
    kinds = _algo_types(call.params)
    rows = [r for r in _algos(call.account) if r["ordType"] in kinds and r["state"] == "live"]
    rows = matching(rows, call.params, "algoId", "instType", "instId")
    cut = call.venue.faults.take("open_orders_cut", **call.context)
    if cut is not None:
        rows = rows[: int(cut.params.get("keep", 0))]
    return page(rows, call.params, "algoId")


def algos_history(call: Call) -> list[Row]:
    """GET trade/orders-algo-history; by state or by algoId."""
    kinds = _algo_types(call.params)
    if not call.params.get("state") and not call.params.get("algoId"):
        raise OkxError("50015", "state, algoId")
    rows = [r for r in _algos(call.account) if r["ordType"] in kinds and r["state"] != "live"]
    rows = matching(rows, call.params, "algoId", "instType", "instId", "state")
    return page(rows, call.params, "algoId")


ENDPOINTS: Final[dict[tuple[str, str], Endpoint]] = {
    ("POST", "trade/order"): Endpoint(each(place, PLACED, 1), "trade", 60, 2, True),
    ("POST", "trade/batch-orders"): Endpoint(place_batch, "trade", 300, 2, True),
    ("POST", "trade/cancel-order"): Endpoint(each(cancel, CANCELED, 1), "trade", 60, 2, True),
    ("POST", "trade/cancel-batch-orders"): Endpoint(cancel_batch, "trade", 300, 2, True),
    ("POST", "trade/amend-order"): Endpoint(each(amend, AMENDED, 1), "trade", 60, 2, True),
    ("POST", "trade/amend-batch-orders"): Endpoint(amend_batch, "trade", 300, 2, True),
    ("POST", "trade/close-position"): Endpoint(
        each(close, ("clOrdId", "instId", "posSide", "tag"), 1), "trade", 20, 2, True
    ),
    ("POST", "trade/order-algo"): Endpoint(each(algo, ALGO, 1), "trade", 20, 2, True),
    ("POST", "trade/cancel-algos"): Endpoint(each(drop_algo, ALGO, 10), "trade", 20, 2, True),
    ("POST", "trade/cancel-all-after"): Endpoint(cancel_all_after, "trade", 1, 1),
    ("GET", "trade/order"): Endpoint(order_details, "read_only", 60, 2, True),
    ("GET", "trade/orders-pending"): Endpoint(pending, "read_only", 60, 2),
    ("GET", "trade/orders-history"): Endpoint(history, "read_only", 40, 2),
    ("GET", "trade/orders-history-archive"): Endpoint(history, "read_only", 20, 2),
    ("GET", "trade/fills"): Endpoint(fills, "read_only", 60, 2),
    ("GET", "trade/fills-history"): Endpoint(fills_history, "read_only", 10, 2),
    ("GET", "trade/order-algo"): Endpoint(algo_details, "read_only", 20, 2),
    ("GET", "trade/orders-algo-pending"): Endpoint(algos_pending, "read_only", 20, 2),
    ("GET", "trade/orders-algo-history"): Endpoint(algos_history, "read_only", 20, 2),
}
ORDER_PATHS: Final = frozenset(
    {"trade/order", "trade/batch-orders", "trade/order-algo", "trade/close-position"}
)
