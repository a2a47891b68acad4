"""How Binance USD-M writes orders, positions and money in JSON, on REST and on the user stream.

Pure functions from a ledger's records to documents; nothing is decided here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.servers.ledger import Ledger
from tests.servers.ledger_types import ZERO, Fill, Instrument, Order, Position, Transfer

Row = dict[str, Any]

STATUS = {
    "new": "NEW",
    "partially_filled": "PARTIALLY_FILLED",
    "filled": "FILLED",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "rejected": "REJECTED",
    "triggered": "FILLED",
    "untriggered": "NEW",
}
EXECUTION = {
    "new": "NEW",
    "fill": "TRADE",
    "canceled": "CANCELED",
    "amended": "AMENDMENT",
    "expired": "EXPIRED",
}
INCOME = {
    "deposit": "TRANSFER",
    "withdraw": "TRANSFER",
    "funding": "FUNDING_FEE",
    "commission": "COMMISSION",
    "realized_pnl": "REALIZED_PNL",
    "insurance": "INSURANCE_CLEAR",
    "trade": "TRANSFER",
}


def fix(value: Decimal, places: int = 8) -> str:
    """Return a number with a fixed count of decimals."""
    return f"{value:.{places}f}"


def short(value: Decimal | None) -> str:
    """Return a number without trailing zeros, 0 for None."""
    if not value:
        return "0"
    return f"{value.normalize():f}"


def digits(increment: Decimal) -> int:
    """Return how many decimals an increment has."""
    exponent = increment.as_tuple().exponent
    return max(0, -int(exponent))


def quantity(instrument: Instrument, value: Decimal) -> str:
    """Return a quantity as the venue prints it for an instrument."""
    return fix(value, digits(instrument.step))


def price(instrument: Instrument, value: Decimal | None) -> str:
    """Return a price as the venue prints it for an instrument."""
    return fix(value or ZERO, digits(instrument.tick))


def type_of(order: Order) -> str:
    """Return the venue's order type as it works now."""
    if order.origin != "user":
        return "LIQUIDATION" if order.origin == "liquidation" else "LIMIT"
    return str(order.meta.get("type", "LIMIT" if order.type == "limit" else "MARKET"))


def time_in_force(order: Order) -> str:
    """Return the venue's time in force."""
    return "GTX" if order.time_in_force == "POST" else order.time_in_force


def working_type(order: Order) -> str:
    """Return which price a trigger looks at."""
    return "MARK_PRICE" if order.trigger_by == "mark" else "CONTRACT_PRICE"


def order_row(ledger: Ledger, order: Order, *, is_query: bool = False) -> Row:
    """Return a plain order as order endpoints give it; queries add the time of placing."""
    instrument = ledger.instrument(order.instrument)
    row: Row = {
        "orderId": int(order.id),
        "symbol": order.instrument,
        "status": STATUS[order.status],
        "clientOrderId": order.client_id,
        "price": price(instrument, order.price),
        "avgPrice": fix(order.average, 5),
        "origQty": quantity(instrument, order.quantity),
        "executedQty": quantity(instrument, order.filled),
        "cumQuote": fix(order.filled_value, 5),
        "timeInForce": time_in_force(order),
        "type": type_of(order),
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side.upper(),
        "positionSide": order.position_side.upper(),
        "stopPrice": price(instrument, order.stop_price),
        "workingType": working_type(order),
        "priceProtect": False,
        "origType": str(order.meta.get("orig_type", type_of(order))),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": order.updated_ms,
    }
    if is_query:
        row["time"] = order.created_ms
    else:
        row["cumQty"] = row["executedQty"]
    return row


def algo_status(ledger: Ledger, order: Order) -> str:
    """Return the venue's status of a conditional order."""
    if order.status == "triggered":
        child = ledger.orders.get(order.child_id)
        return "TRIGGERED" if child is not None and child.is_open else "FINISHED"
    return STATUS[order.status]


def algo_row(ledger: Ledger, order: Order, *, is_query: bool = False) -> Row:
    """Return a conditional order as the algo order endpoints give it."""
    instrument = ledger.instrument(order.instrument)
    trailing = order.callback_rate is not None
    row: Row = {
        "algoId": int(order.id),
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": type_of(order),
        "symbol": order.instrument,
        "side": order.side.upper(),
        "positionSide": order.position_side.upper(),
        "timeInForce": str(order.meta.get("tif", "GTC")),
        "quantity": quantity(instrument, order.quantity),
        "algoStatus": algo_status(ledger, order),
        "triggerPrice": price(instrument, order.stop_price),
        "price": price(instrument, order.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": working_type(order),
        "priceMatch": "NONE",
        "closePosition": order.close_position,
        "priceProtect": bool(order.meta.get("price_protect", False)),
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
        "triggerTime": order.updated_ms if order.status == "triggered" else 0,
        "goodTillDate": 0,
    }
    if trailing:
        row["activatePrice"] = str(order.meta.get("activate", ""))
        row["callbackRate"] = short((order.callback_rate or ZERO) * 100)
    if is_query:
        child = ledger.orders.get(order.child_id)
        row["actualOrderId"] = order.child_id
        row["actualPrice"] = fix(child.average if child else ZERO, 5)
        empty = {"tpTriggerPrice": "0.000", "tpPrice": "0.000", "slTriggerPrice": "0.000"}
        row.update(empty, slPrice="0.000", tpOrderType="")
    return row


def position_risk(ledger: Ledger, position: Position, version: int) -> Row:
    """Return a position as /fapi/v2 or /fapi/v3 positionRisk gives it."""
    instrument = ledger.instrument(position.instrument)
    mark = ledger.marks[position.instrument]
    isolated = position.isolated_margin or ZERO
    notional = position.quantity * mark
    common: Row = {
        "symbol": position.instrument,
        "positionSide": position.side.upper(),
        "positionAmt": quantity(instrument, position.quantity),
        "entryPrice": short(position.entry) if position.entry else "0.0",
        "breakEvenPrice": short(break_even(ledger, position)) if position.entry else "0.0",
        "markPrice": fix(mark),
        "unRealizedProfit": fix(ledger.unrealized_of(position)),
        "liquidationPrice": short(round(ledger.liquidation_price(position), 8)),
        "isolatedMargin": short(isolated),
        "notional": fix(notional) if notional else "0",
        "isolatedWallet": short(isolated),
        "updateTime": position.updated_ms,
    }
    if version == 2:
        return common | {
            "leverage": str(ledger.leverage_of(position.instrument)),
            "maxNotionalValue": max_notional(ledger, position.instrument),
            "marginType": "cross" if position.isolated_margin is None else "isolated",
            "isAutoAddMargin": "false",
            "isolatedMargin": fix(isolated),
        }
    initial = ledger.position_margin(position)
    return common | {
        "marginAsset": instrument.settle,
        "initialMargin": fix(initial),
        "maintMargin": fix(ledger.maintenance_of(position)),
        "positionInitialMargin": fix(initial),
        "openOrderInitialMargin": "0",
        "adl": 2,
        "bidNotional": "0",
        "askNotional": "0",
    }


def account_position(ledger: Ledger, position: Position, version: int) -> Row:
    """Return a position as it stands in /fapi/v2 or /fapi/v3 account."""
    instrument = ledger.instrument(position.instrument)
    initial = fix(ledger.position_margin(position))
    row: Row = {
        "symbol": position.instrument,
        "positionSide": position.side.upper(),
        "positionAmt": quantity(instrument, position.quantity),
        "unrealizedProfit": fix(ledger.unrealized_of(position)),
        "initialMargin": initial,
        "maintMargin": fix(ledger.maintenance_of(position)),
        "updateTime": position.updated_ms,
        "isolatedWallet": short(position.isolated_margin),
        "notional": short(position.quantity * ledger.marks[position.instrument]),
    }
    if version == 3:
        return row | {"isolatedMargin": fix(position.isolated_margin or ZERO)}
    return row | {
        "positionInitialMargin": initial,
        "openOrderInitialMargin": "0",
        "leverage": str(ledger.leverage_of(position.instrument)),
        "isolated": position.isolated_margin is not None,
        "entryPrice": short(position.entry) if position.entry else "0.0",
        "breakEvenPrice": short(break_even(ledger, position)) if position.entry else "0.0",
        "maxNotional": max_notional(ledger, position.instrument),
        "bidNotional": "0",
        "askNotional": "0",
    }


def break_even(ledger: Ledger, position: Position) -> Decimal:
    """Return the entry price with the taker fee of opening on top."""
    sign = 1 if position.quantity > 0 else -1
    return round(position.entry * (1 + sign * ledger.taker_fee), 8)


def max_notional(ledger: Ledger, name: str) -> str:
    """Return the largest position notional the chosen leverage allows, as brackets() says it."""
    leverage = ledger.leverage_of(name)
    allowed = [b["notionalCap"] for b in brackets(ledger, name) if b["initialLeverage"] >= leverage]
    return str(max(allowed, default=0))


def brackets(ledger: Ledger, name: str) -> list[Row]:
    """Return an instrument's notional brackets."""
    instrument = ledger.instrument(name)
    tiers = instrument.tiers or ((ZERO, instrument.mmr),)
    caps = [floor for floor, _ in tiers[1:]] + [Decimal(1_800_000_000)]
    rows: list[Row] = []
    cumulative, below, leverage = ZERO, ZERO, instrument.max_leverage
    for number, ((floor, rate), cap) in enumerate(zip(tiers, caps, strict=True), 1):
        cumulative += floor * (rate - below)
        below = rate
        rows.append(
            {
                "bracket": number,
                "initialLeverage": leverage,
                "notionalCap": int(cap),
                "notionalFloor": int(floor),
                "maintMarginRatio": float(rate),
                "cum": float(cumulative),
            }
        )
        leverage = max(1, leverage * 4 // 5)
    return rows


def trade_row(ledger: Ledger, fill: Fill) -> Row:
    """Return an execution as userTrades gives it."""
    instrument = ledger.instrument(fill.instrument)
    return {
        "symbol": fill.instrument,
        "id": int(fill.id),
        "orderId": int(fill.order_id),
        "side": fill.side.upper(),
        "price": price(instrument, fill.price),
        "qty": quantity(instrument, fill.quantity),
        "realizedPnl": fix(fill.realized),
        "quoteQty": fix(fill.quantity * fill.price, 5),
        "commission": fix(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "buyer": fill.side == "buy",
        "maker": fill.is_maker,
        "positionSide": fill.position_side.upper(),
    }


def income_row(row: Transfer) -> Row:
    """Return a money row as the income history gives it."""
    kind = INCOME[row.kind]
    return {
        "symbol": row.instrument,
        "incomeType": kind,
        "income": fix(row.amount),
        "asset": row.asset,
        "info": kind if not row.ref else row.ref,
        "time": row.time_ms,
        "tranId": int(row.id),
        "tradeId": row.ref,
    }
