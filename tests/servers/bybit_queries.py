"""Which orders, executions and records a Bybit query selects, and how lists are paged."""

from __future__ import annotations

from typing import Any, Final

from tests.servers import bybit_wire as wire
from tests.servers.bybit_account import Account
from tests.servers.bybit_errors import ApiError
from tests.servers.bybit_market import Row, key_of
from tests.servers.bybit_orders import category_of, in_scope
from tests.servers.ledger_types import Order

DAY_MS: Final = 86_400_000


def page(
    rows: list[Any], query: dict[str, str], *, usual: int, most: int, always_cursor: bool = True
) -> tuple[list[Any], str]:
    """Return one page of rows and the cursor of the next.

    The venue hands out a cursor with every page that is not empty, also with the last one, and an
    empty page after it; always_cursor=False tells the end by an empty cursor instead.

    Raises:
        ApiError: 10001 for a limit or a cursor that is none.
    """
    try:
        limit = max(1, min(most, int(query.get("limit") or usual)))
        start = int((query.get("cursor") or "0").replace("%3A", ":").rpartition(":")[2])
    except ValueError:
        raise ApiError(10001, "params error: limit or cursor invalid") from None
    part = rows[start : start + limit]
    is_last = start + limit >= len(rows)
    if not part or (is_last and not always_cursor):
        return part, ""
    return part, f"page%3A{start + len(part)}"


def _named(order: Order, query: dict[str, str]) -> bool | None:
    # None when the query names no order.
    if query.get("orderId"):
        return order.id == query["orderId"]
    if query.get("orderLinkId"):
        return order.client_id == query["orderLinkId"]
    return None


def realtime(account: Account, query: dict[str, str]) -> list[Row]:
    """Return GET /v5/order/realtime, newest first: open orders, or closed ones when asked."""
    category = category_of(query)
    narrowed = any(query.get(n) for n in ("symbol", "baseCoin", "settleCoin"))
    if category == "linear" and not narrowed:
        raise ApiError(
            10001, "Missing some parameters that must be filled in, symbol or settleCoin"
        )
    want_open = query.get("openOnly", "0") in ("0", "")
    rows = []
    for order in reversed(account.ledger.orders.values()):
        named = _named(order, query)
        fits = order.is_open == want_open if named is None else named
        if fits and in_scope(account, order, query) and _filtered(order, query, category):
            rows.append(wire.order_row(account.ledger, order))
    return rows if want_open else rows[:500]


def history(account: Account, query: dict[str, str], now_ms: int) -> list[Row]:
    """Return GET /v5/order/history, newest first: orders that ended, seven days by default."""
    category = category_of(query)
    start, end = window(query, now_ms, days=7)
    rows = []
    for order in reversed(account.ledger.orders.values()):
        if order.is_open or _named(order, query) is False or not in_scope(account, order, query):
            continue
        if not _filtered(order, query, category) or not start <= order.created_ms <= end:
            continue
        row = wire.order_row(account.ledger, order)
        if query.get("orderStatus") in (None, "", row["orderStatus"]):
            rows.append(row)
    return rows


def _filtered(order: Order, query: dict[str, str], category: str) -> bool:
    wanted = query.get("orderFilter")
    if not wanted:
        return True
    if category == "spot":
        return bool(order.meta.get("orderFilter", "Order") == wanted)
    return wanted == ("StopOrder" if order.conditional else "Order")


def window(query: dict[str, str], now_ms: int, *, days: int) -> tuple[int, int]:
    """Return the time range a query covers, both ends included, in UTC milliseconds.

    Raises:
        ApiError: 10001 when the range is longer than seven days.
    """
    span = days * 86_400_000
    start, end = query.get("startTime"), query.get("endTime")
    if start and end:
        if int(end) - int(start) > 7 * 86_400_000:
            raise ApiError(10001, "The time range between startTime and endTime exceeds 7 days")
        return int(start), int(end)
    if start:
        return int(start), int(start) + span
    if end:
        return int(end) - span, int(end)
    return now_ms - span, now_ms + 60_000


def executions(account: Account, query: dict[str, str], now_ms: int) -> list[Row]:
    """Return GET /v5/execution/list, newest first, seven days by default."""
    category = category_of(query)
    start, end = window(query, now_ms, days=7)
    rows = []
    for kind, row in reversed(account.executions):
        named = query.get("orderId") or query.get("orderLinkId")
        if named and named not in (row["orderId"], row["orderLinkId"]):
            continue
        key = key_of(category, row["symbol"])
        narrow = named or query.get("symbol") in (None, "", row["symbol"])
        base = (
            query.get("baseCoin") in (None, "", account.ledger.instruments[key].base)
            if (kind == category)
            else False
        )
        is_type = query.get("execType") in (None, "", row["execType"])
        if narrow and base and is_type and start <= int(row["execTime"]) <= end:
            rows.append(row)
    return rows
