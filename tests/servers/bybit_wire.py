"""How Bybit words one account's orders and executions.

Pure: reads a ledger, returns rows as REST and the private stream send them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tests.servers.bybit_market import Row, name_of, priced, short, text
from tests.servers.ledger import Ledger
from tests.servers.ledger_types import ONE, ZERO, Fill, Instrument, Order, PositionSide

POSITION_INDEX: Final[dict[str, int]] = {"both": 0, "long": 1, "short": 2}
SIDE_OF_INDEX: Final[dict[int, PositionSide]] = {0: "both", 1: "long", 2: "short"}
SIDES: Final = {"buy": "Buy", "sell": "Sell"}
TIMES: Final = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "POST": "PostOnly"}
TRIGGERS: Final = {"last": "LastPrice", "mark": "MarkPrice", "index": "IndexPrice"}
STATUSES: Final = {
    "untriggered": "Untriggered",
    "triggered": "Triggered",
    "new": "New",
    "partially_filled": "PartiallyFilled",
    "filled": "Filled",
    "rejected": "Rejected",
}
EXEC_TYPES: Final = {"user": "Trade", "liquidation": "BustTrade", "adl": "AdlTrade"}
CREATE_TYPES: Final = {
    "Stop": "CreateByStopOrder",
    "TakeProfit": "CreateByTakeProfit",
    "StopLoss": "CreateByStopLoss",
    "PartialTakeProfit": "CreateByPartialTakeProfit",
    "PartialStopLoss": "CreateByPartialStopLoss",
    "TrailingStop": "CreateByTrailingStop",
}


# Fields of features that no account here uses.
UNUSED: Final[Row] = {
    "placeType": "",
    "smpType": "None",
    "smpGroup": 0,
    "smpOrderId": "",
    "slippageToleranceType": "UNKNOWN",
    "slippageTolerance": "",
    "extraFees": "",
    "rpiTakerAccess": False,
    "rpiMatchedQty": "0",
}


def is_spot(ledger: Ledger, key: str) -> bool:
    """Return whether a ledger key names a spot pair."""
    return ledger.instruments[key].kind == "spot"


# ---- orders -------------------------------------------------------------------------------------


def status_of(order: Order, *, spot: bool) -> str:
    """Return orderStatus; ended orders are told apart by what happened before."""
    word = STATUSES.get(order.status)
    if word is not None:
        return word
    if order.conditional and not order.meta.get("triggered"):
        return "Deactivated"
    if spot and order.filled:
        return "PartiallyFilledCanceled"
    return "Cancelled"


def _cancel_type(order: Order) -> str:
    if order.status not in ("canceled", "expired"):
        return "UNKNOWN"
    if order.reason.startswith("Cancel"):
        return order.reason
    if order.status == "canceled":
        return "CancelByUser"
    if order.close_position and not order.meta.get("triggered"):
        return "CancelByTpSlTsClear"
    if order.reduce_only and order.time_in_force in ("GTC", "POST"):
        return "CancelByReduceOnly"
    return "UNKNOWN"


def _reject_reason(order: Order) -> str:
    if order.status == "rejected":
        return "EC_Others"
    if order.reason == "post only":
        return "EC_PostOnlyWillTakeLiquidity"
    if order.status == "expired" and order.time_in_force == "FOK":
        return "EC_CancelForNoFullFill"
    if order.status == "expired" and _cancel_type(order) == "UNKNOWN":
        return "EC_NoImmediateQtyToFill"
    if order.status == "canceled":
        return "EC_PerCancelRequest"
    return "EC_NoError"


def _shown_quantity(ledger: Ledger, order: Order) -> Decimal:
    # An order that closes the whole position shows the size it would close now.
    if not order.close_position or order.status != "untriggered":
        return order.quantity
    position = ledger.positions.get((order.instrument, order.position_side))
    return abs(position.quantity) if position else ZERO


def fees_of(ledger: Ledger, order: Order) -> tuple[Decimal, str]:
    """Return the fees an order has paid so far and their coin."""
    fills = [fill for fill in ledger.fills if fill.order_id == order.id]
    coin = fills[0].fee_asset if fills else ""
    return sum((fill.fee for fill in fills), ZERO), coin


def _market_price(instrument: Instrument, order: Order) -> Decimal:
    # Contracts show a working market order at the limit the engine protects it with.
    if instrument.kind == "spot" or order.status == "untriggered":
        return ZERO
    reference = Decimal(order.meta.get("basePrice", 0))
    return reference * (ONE + order.sign * Decimal("0.05"))


def order_row(ledger: Ledger, order: Order, *, status: str | None = None) -> Row:
    """Return an order as GET /v5/order/realtime and the order topic show it."""
    instrument = ledger.instruments[order.instrument]
    spot = instrument.kind == "spot"
    meta = order.meta
    quantity = _shown_quantity(ledger, order)
    is_done = order.status in ("canceled", "expired", "rejected", "filled")
    left = ZERO if is_done else quantity - order.filled
    price = order.price if order.price is not None else _market_price(instrument, order)
    fee, coin = fees_of(ledger, order)
    value = instrument.notional(order.filled, order.average) if order.filled else ZERO
    stop = order.stop_price
    row: Row = {
        "orderId": order.id,
        "orderLinkId": order.client_id,
        "parentOrderLinkId": "",
        "blockTradeId": "",
        "symbol": name_of(order.instrument),
        "price": priced(price, instrument) if price else "0",
        "qty": text(meta.get("quoteQuantity", quantity)),
        "side": SIDES[order.side],
        "isLeverage": str(meta.get("isLeverage", "")),
        "positionIdx": POSITION_INDEX[order.position_side],
        "orderStatus": status or status_of(order, spot=spot),
        "cancelType": _cancel_type(order),
        "rejectReason": _reject_reason(order),
        "avgPrice": priced(order.average, instrument) if order.filled else "",
        "leavesQty": text(left),
        "leavesValue": short(instrument.notional(left, price)) if price else "0",
        "cumExecQty": text(order.filled),
        "cumExecValue": short(value),
        "cumExecFee": short(fee),
        "timeInForce": TIMES[order.time_in_force],
        "orderType": "Limit" if order.type == "limit" else "Market",
        "stopOrderType": meta.get("stopOrderType", "" if spot else "UNKNOWN"),
        "orderIv": "",
        "marketUnit": meta.get("marketUnit", ""),
        "triggerPrice": priced(stop, instrument) if stop else "",
        "takeProfit": meta.get("takeProfit", ""),
        "stopLoss": meta.get("stopLoss", ""),
        "tpLimitPrice": meta.get("tpLimitPrice", ""),
        "slLimitPrice": meta.get("slLimitPrice", ""),
        "tpTriggerBy": meta.get("tpTriggerBy", ""),
        "slTriggerBy": meta.get("slTriggerBy", ""),
        "triggerDirection": _direction(order),
        "triggerBy": TRIGGERS[order.trigger_by] if stop and not spot else "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": bool(meta.get("closeOnTrigger", False)),
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "cumFeeDetail": {coin: short(fee)} if coin else {},
    }
    return row | UNUSED | _by_kind(order, instrument)


def _by_kind(order: Order, instrument: Instrument) -> Row:
    base = priced(Decimal(order.meta.get("basePrice", 0)), instrument)
    if instrument.kind == "spot":
        return {"basePrice": base, "ocoTriggerBy": "OcoTriggerByUnknown"}
    return {
        "lastPriceOnCreated": base,
        "tpslMode": order.meta.get("tpslMode", ""),
        "createType": create_type(order),
    }


def create_type(order: Order) -> str:
    """Return createType of a contract order."""
    if order.origin == "liquidation":
        return "CreateByLiq"
    if order.origin == "adl":
        return "CreateByAdl_PassThrough"
    return CREATE_TYPES.get(order.meta.get("stopOrderType", ""), "CreateByUser")


def _direction(order: Order) -> int:
    if order.stop_price is None:
        return 0
    return 1 if order.trigger_direction == "above" else 2


def order_frame(ledger: Ledger, order: Order, *, status: str | None = None) -> Row:
    """Return an order as the order topic pushes it."""
    row = order_row(ledger, order, status=status)
    realized = sum((f.realized for f in ledger.fills if f.order_id == order.id), ZERO)
    row["category"] = ledger.instruments[order.instrument].kind
    row["closedPnl"] = short(realized)
    row["feeCurrency"] = ""
    return row


# ---- executions ---------------------------------------------------------------------------------


def execution_row(ledger: Ledger, fill: Fill, order: Order, *, sequence: int) -> Row:
    """Return an execution as GET /v5/execution/list shows it."""
    instrument = ledger.instruments[fill.instrument]
    spot = instrument.kind == "spot"
    value = instrument.notional(fill.quantity, fill.price)
    price = order.price if order.price is not None else _market_price(instrument, order)
    row: Row = {
        "symbol": name_of(fill.instrument),
        "orderType": "Limit" if order.type == "limit" else "Market",
        "underlyingPrice": "",
        "orderLinkId": fill.client_id,
        "side": SIDES[fill.side],
        "indexPrice": "",
        "orderId": fill.order_id,
        "stopOrderType": order.meta.get("stopOrderType", "" if spot else "UNKNOWN"),
        "leavesQty": text(max(ZERO, order.remaining)),
        "execTime": str(fill.time_ms),
        "feeCurrency": fill.fee_asset if spot else "",
        "isMaker": fill.is_maker,
        "execFee": short(fill.fee),
        "feeRate": text(ledger.maker_fee if fill.is_maker else ledger.taker_fee),
        "execId": fill.id,
        "tradeIv": "",
        "blockTradeId": "",
        "markPrice": priced(ledger.marks[fill.instrument], instrument),
        "execPrice": priced(fill.price, instrument),
        "markIv": "",
        "orderQty": text(order.quantity),
        "orderPrice": priced(price, instrument) if price else "0",
        "execValue": short(value),
        "execType": EXEC_TYPES[order.origin],
        "execQty": text(fill.quantity),
        "closedSize": "" if spot else text(order.meta.get(f"closed:{fill.id}", ZERO)),
        "extraFees": "",
        "seq": sequence,
    }
    return row if spot else row | {"createType": create_type(order)}


def execution_frame(ledger: Ledger, fill: Fill, order: Order, *, sequence: int) -> Row:
    """Return an execution as the execution topic pushes it."""
    row = execution_row(ledger, fill, order, sequence=sequence)
    return row | {
        "category": ledger.instruments[fill.instrument].kind,
        "isLeverage": "0",
        "marketUnit": order.meta.get("marketUnit", ""),
        "execPnl": short(fill.realized),
        "extraFees": [],
        "feeCurrency": fill.fee_asset,
    }


def fast_frame(ledger: Ledger, fill: Fill, *, sequence: int) -> Row:
    """Return an execution as the execution.fast topic pushes it; makers lose their link id."""
    return {
        "category": ledger.instruments[fill.instrument].kind,
        "symbol": name_of(fill.instrument),
        "execId": fill.id,
        "execPrice": text(fill.price),
        "execQty": text(fill.quantity),
        "orderId": fill.order_id,
        "isMaker": fill.is_maker,
        "orderLinkId": "" if fill.is_maker else fill.client_id,
        "side": SIDES[fill.side],
        "execTime": str(fill.time_ms),
        "seq": sequence,
    }
