"""Bybit's private position and order endpoints; each turns a request into a result document."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.servers import bybit_faults as faults
from tests.servers import bybit_holdings as holdings
from tests.servers import bybit_orders as orders
from tests.servers import bybit_protection as protection
from tests.servers import bybit_queries as queries
from tests.servers.bybit_account import Account
from tests.servers.bybit_errors import ApiError, refuse
from tests.servers.bybit_market import Row, name_of, short, text
from tests.servers.ledger_types import ONE, ZERO, Instrument, Order, Position

if TYPE_CHECKING:
    from tests.servers.bybit import BybitServer

Body = dict[str, Any]
Handler = Callable[["BybitServer", Account, Body], Any]


def positions(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/position/list, paged, 20 a page by default and 200 at most."""
    category = orders.category_of(query)
    if category == "spot":
        raise ApiError(10001, "Illegal category")
    if category == "linear" and not query.get("symbol") and not query.get("settleCoin"):
        raise ApiError(10001, "Missing some parameters: symbol or settleCoin")
    if query.get("symbol"):
        found = _sides(account, orders.instrument_of(account, query))
    else:
        found = [
            position
            for position in account.ledger.open_positions(query.get("settleCoin") or None)
            if account.ledger.instruments[position.instrument].kind == category
        ]
    rows = [
        holdings.position_row(account.ledger, item, sequence=account.sequence) for item in found
    ]
    rows = faults.through_position_faults(server, account, rows, query)
    paged = server.faults.take("positions_paged", api_key=account.key)
    if paged is not None:
        query = {**query, "limit": str(paged.params.get("size", 1))}
    part, cursor = queries.page(rows, query, usual=20, most=200)
    return {"list": part, "nextPageCursor": cursor, "category": category}


def _sides(account: Account, instrument: Instrument) -> list[Position]:
    hedged = account.is_hedged(instrument.id)
    known = account.ledger.positions
    held: list[Position] = []
    for side in ("long", "short") if hedged else ("both",):
        position = known.get((instrument.id, side))
        held.append(position or Position(instrument.id, side))
    return held


def set_leverage(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/position/set-leverage; both sides alike, as cross margin wants."""
    del server
    instrument = orders.instrument_of(account, body)
    buy, sell = orders.decimal_of(body, "buyLeverage"), orders.decimal_of(body, "sellLeverage")
    if buy is None or sell is None or buy != sell or instrument.kind == "spot":
        raise ApiError(10001, "buy leverage not equal sell leverage")
    if buy < ONE or buy > instrument.max_leverage:
        raise refuse(110013)
    if buy == account.ledger.leverage_of(instrument.id):
        raise refuse(110043)
    account.ledger.set_leverage(instrument.id, int(buy))
    return {}


def switch_mode(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/position/switch-mode, of a symbol, or of every contract of a settle coin."""
    del server
    if str(body.get("mode")) not in ("0", "3"):
        raise ApiError(10001, "params error: mode invalid")
    hedged = str(body["mode"]) == "3"
    ledger = account.ledger
    if body.get("symbol"):
        names = [orders.instrument_of(account, body).id]
        instrument = ledger.instruments[names[0]]
        if instrument.kind != "linear" or instrument.settle != "USDT":
            raise refuse(110029)
        if any(p.instrument == names[0] for p in ledger.open_positions()):
            raise refuse(110024)
        if ledger.open_orders(names[0]):
            raise refuse(110028)
    elif body.get("coin") == "USDT":
        names = [
            item.id
            for item in ledger.instruments.values()
            if item.kind == "linear" and item.settle == "USDT" and _is_idle(account, item.id)
        ]
    else:
        raise ApiError(10001, "params error: symbol or coin is required")
    if all(account.is_hedged(name) == hedged for name in names):
        raise refuse(110025)
    account.hedged.update(dict.fromkeys(names, hedged))
    return {}


def _is_idle(account: Account, name: str) -> bool:
    held = any(p.instrument == name for p in account.ledger.open_positions())
    return not held and not account.ledger.open_orders(name)


def trading_stop(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/position/trading-stop."""
    del server
    protection.set_protection(account, body)
    return {}


# ---- orders -------------------------------------------------------------------------------------


def create(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/order/create."""
    with faults.order_faults(server, account, body):
        return orders.acknowledgement(orders.create(account, body))


def amend(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/order/amend."""
    del server
    return orders.acknowledgement(orders.amend(account, body))


def cancel(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/order/cancel."""
    del server
    return orders.acknowledgement(orders.cancel(account, body))


def cancel_all(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/order/cancel-all."""
    del server
    rows = [orders.acknowledgement(order) for order in orders.cancel_all(account, body)]
    return {"list": rows, "success": "1"}


def _batch(
    server: BybitServer,
    account: Account,
    body: Body,
    act: Callable[[BybitServer, Account, Body], Row],
) -> Row:
    # Each part answers for itself: results in `list`, codes in retExtInfo.list.
    category = orders.category_of(body)
    parts = body.get("request")
    if not isinstance(parts, list) or not 1 <= len(parts) <= 20:
        raise ApiError(10001, "params error: request invalid")
    results, codes = [], []
    for part in parts:
        row: Row = {"category": category, "symbol": part.get("symbol", "")}
        row |= {"orderId": "", "orderLinkId": part.get("orderLinkId", ""), "createAt": ""}
        try:
            row |= act(server, account, {**part, "category": category})
            codes.append({"code": 0, "msg": "OK"})
        except ApiError as error:
            codes.append({"code": error.code, "msg": error.message})
        results.append(row)
    return {"list": results, "retExtInfo": {"list": codes}}


def realtime(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/order/realtime, paged, 20 a page by default and 50 at most."""
    rows = queries.realtime(account, query)
    cut = server.faults.take("open_orders_cut", api_key=account.key)
    if cut is not None:
        rows = rows[: int(cut.params.get("keep", 0))]
    part, cursor = queries.page(rows, query, usual=20, most=50)
    return {"list": part, "nextPageCursor": cursor, "category": query["category"]}


def history(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/order/history."""
    rows = queries.history(account, query, server.now_ms())
    part, cursor = queries.page(rows, query, usual=20, most=50)
    return {"list": part, "nextPageCursor": cursor, "category": query["category"]}


def executions(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/execution/list."""
    rows = queries.executions(account, query, server.now_ms())
    part, cursor = queries.page(rows, query, usual=50, most=100)
    return {"list": part, "nextPageCursor": cursor, "category": query["category"]}


def closed_profit(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/position/closed-pnl: one row per order that closed something, newest first."""
    category = orders.category_of(query)
    start, end = queries.window(query, server.now_ms(), days=7)
    rows = [
        _closed_row(account, order)
        for order in reversed(account.ledger.orders.values())
        if account.ledger.instruments[order.instrument].kind == category
        and query.get("symbol") in (None, "", name_of(order.instrument))
        and start <= order.updated_ms <= end
        and any(f.order_id == order.id and f.realized for f in account.ledger.fills)
    ]
    part, cursor = queries.page(rows, query, usual=50, most=100)
    return {"list": part, "nextPageCursor": cursor, "category": category}


def _closed_row(account: Account, order: Order) -> Row:
    instrument = account.ledger.instruments[order.instrument]
    fills = [f for f in account.ledger.fills if f.order_id == order.id]
    size = sum((f.quantity for f in fills), ZERO)
    exits = sum((instrument.notional(f.quantity, f.price) for f in fills), ZERO)
    gain = sum((f.realized for f in fills), ZERO)
    fees = sum((f.fee for f in fills), ZERO)
    is_inverse = instrument.kind == "inverse"
    entries = exits - gain * order.sign if is_inverse else exits + gain * order.sign
    averages = [size / v if is_inverse else v / size for v in (entries, exits)]
    return {
        "symbol": name_of(order.instrument),
        "orderType": "Limit" if order.type == "limit" else "Market",
        "leverage": text(account.ledger.leverage_of(order.instrument)),
        "updatedTime": str(order.updated_ms),
        "side": "Buy" if order.side == "buy" else "Sell",
        "orderId": order.id,
        "closedPnl": short(gain - fees),
        "avgEntryPrice": short(averages[0]),
        "qty": text(order.quantity),
        "cumEntryValue": short(entries),
        "createdTime": str(order.created_ms),
        "orderPrice": text(order.price, "0"),
        "closedSize": text(size),
        "avgExitPrice": short(averages[1]),
        "execType": "Trade",
        "fillCount": str(len(fills)),
        "cumExitValue": short(exits),
    }


GET: Final[dict[str, Handler]] = {
    "/v5/position/list": positions,
    "/v5/position/closed-pnl": closed_profit,
    "/v5/order/realtime": realtime,
    "/v5/order/history": history,
    "/v5/execution/list": executions,
}
POST: Final[dict[str, Handler]] = {
    "/v5/position/set-leverage": set_leverage,
    "/v5/position/switch-mode": switch_mode,
    "/v5/position/trading-stop": trading_stop,
    "/v5/order/create": create,
    "/v5/order/amend": amend,
    "/v5/order/cancel": cancel,
    "/v5/order/cancel-all": cancel_all,
    "/v5/order/create-batch": lambda s, a, b: _batch(s, a, b, create),
    "/v5/order/amend-batch": lambda s, a, b: _batch(s, a, b, amend),
    "/v5/order/cancel-batch": lambda s, a, b: _batch(s, a, b, cancel),
}
