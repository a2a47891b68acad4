"""Orders, algo orders and executions as OKX writes them, for REST replies and for pushes.

Pure: ledger records in, dictionaries of strings out. Balances and positions: `okx_money.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from tests.servers.ledger_types import ZERO, Fill, Instrument, Order
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_catalog import kind_of, num, size_text
from tests.servers.okx_errors import LEDGER_CODES

Row = dict[str, Any]

PLAIN_STATES: Final = {
    "new": "live",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "expired": "canceled",
    "rejected": "canceled",
}
ALGO_STATES: Final = {
    "untriggered": "live",
    "triggered": "effective",
    "canceled": "canceled",
    "expired": "canceled",
    "rejected": "order_failed",
}
CATEGORIES: Final = {"user": "normal", "liquidation": "full_liquidation", "adl": "adl"}
SOURCES: Final = {"trigger": "6", "conditional": "7", "oco": "7", "move_order_stop": "25"}

# fields that exist in every row of an order and are empty for what is served here
_PLAIN_BLANKS: Final[Row] = {
    "attachAlgoClOrdId": "",
    "ccy": "",
    "isTpLimit": "false",
    "pxType": "",
    "pxUsd": "",
    "pxVol": "",
    "quickMgnType": "",
    "slOrdPx": "",
    "slTriggerPx": "",
    "slTriggerPxType": "",
    "stpId": "",
    "stpMode": "cancel_maker",
    "tpOrdPx": "",
    "tpTriggerPx": "",
    "tpTriggerPxType": "",
}
_PUSH_BLANKS: Final[Row] = {
    "amendSource": "",
    "code": "0",
    "fillFwdPx": "",
    "fillMarkVol": "",
    "fillPxUsd": "",
    "fillPxVol": "",
    "msg": "",
}
_ALGO_BLANKS: Final[Row] = {
    "amendPxOnTriggerType": "0",
    "attachAlgoOrds": [],
    "ccy": "",
    "chaseType": "",
    "chaseVal": "",
    "clOrdId": "",
    "isTradeBorrowMode": "",
    "linkedOrd": {"ordId": ""},
    "maxChaseType": "",
    "maxChaseVal": "",
    "pxLimit": "",
    "pxSpread": "",
    "pxVar": "",
    "quickMgnType": "",
    "szLimit": "",
    "tgtCcy": "",
    "timeInterval": "",
}

_NOT_PUSHED: Final = frozenset(
    {"activePx", "callbackRatio", "callbackSpread", "chaseType", "chaseVal", "maxChaseType"}
    | {"maxChaseVal", "moveTriggerPx", "pxLimit", "pxSpread", "pxVar", "szLimit", "timeInterval"}
)


def text(value: Decimal | None) -> str:
    """Return a number as the venue writes it, empty when there is none."""
    return "" if value is None else num(value)


def side_text(account: OkxAccount, instrument: Instrument, side: str) -> str:
    """Return posSide: long, short or net; empty for spot."""
    if instrument.kind == "spot":
        return ""
    return "net" if side == "both" else side


def usd_notional(account: OkxAccount, instrument: Instrument, quantity: Decimal) -> Decimal:
    """Return the USD value of a ledger quantity at mark."""
    market = account.market
    mark = market.marks[instrument.id]
    asset = "USD" if instrument.kind == "inverse" else instrument.quote
    return instrument.quote_value(quantity, mark) * market.asset_price(asset)


def order_type(order: Order) -> str:
    """Return ordType of a plain order: as it was sent, or what a trigger made of it."""
    if order.parent_id:
        return order.type
    return str(order.meta.get("ordType", order.type))


def order_row(account: OkxAccount, order: Order, fill: Fill | None = None) -> Row:
    """Return an order as trade/order, orders-pending and orders-history give it."""
    instrument = account.market.instruments[order.instrument]
    spot = instrument.kind == "spot"
    fills = account.fills_of(order.id)
    last = fill or (fills[-1] if fills else None)
    parent = account.parent_of(order)
    return _PLAIN_BLANKS | {
        "accFillSz": size_text(instrument, order.filled),
        "algoClOrdId": parent.client_id if parent else "",
        "algoId": parent.id if parent else "",
        "attachAlgoOrds": [] if parent else order.meta.get("attachAlgoOrds", []),
        "avgPx": num(order.average) if order.filled else "",
        "cTime": str(order.created_ms),
        "cancelSource": _cancel_source(order),
        "cancelSourceReason": "",
        "category": CATEGORIES[order.origin],
        "clOrdId": "" if parent or order.origin != "user" else order.client_id,
        "fee": num(-sum((f.fee for f in fills), ZERO)),
        "feeCcy": last.fee_asset if last else instrument.settle,
        "fillPx": num(last.price) if last else "",
        "fillSz": size_text(instrument, last.quantity) if last else "0",
        "fillTime": str(last.time_ms) if last else "",
        "instId": instrument.id,
        "instType": kind_of(instrument),
        "lever": "" if spot else str(account.ledger.leverage_of(instrument.id)),
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": order.id,
        "ordType": order_type(order),
        "pnl": num(sum((f.realized for f in fills), ZERO)),
        "posSide": side_text(account, instrument, order.position_side),
        "px": text(order.price) if order_type(order) != "market" else "",
        "rebate": "0",
        "rebateCcy": instrument.base if spot and order.side == "sell" else instrument.settle,
        "reduceOnly": "true" if order.reduce_only else "false",
        "side": order.side,
        "source": SOURCES.get(str(parent.meta.get("ordType")), "") if parent else "",
        "state": PLAIN_STATES[order.status],
        "sz": _size(instrument, order),
        "tag": order.meta.get("tag", ""),
        "tdMode": order.meta.get("tdMode") or account.margin_mode(instrument.id),
        "tgtCcy": order.meta.get("tgtCcy", ""),
        "tradeId": _trade_id(order, last),
        "tradeQuoteCcy": instrument.quote if spot else "",
        "uTime": str(order.updated_ms),
    }


def order_push(account: OkxAccount, order: Order, reason: str, fill: Fill | None) -> Row:
    """Return an order as the orders channel pushes it; fill fields belong to this update only."""
    instrument = account.market.instruments[order.instrument]
    market = account.market
    derivative = instrument.kind != "spot"
    row = order_row(account, order, fill) | _PUSH_BLANKS
    del row["cancelSourceReason"]
    row |= {
        "amendResult": "0" if reason == "amended" else "",
        "avgPx": num(order.average),
        "execType": ("M" if fill.is_maker else "T") if fill else "",
        "fillFee": num(-fill.fee) if fill else "0",
        "fillFeeCcy": fill.fee_asset if fill else "",
        "fillIdxPx": num(market.indexes[instrument.id]) if fill else "",
        "fillMarkPx": num(market.marks[instrument.id]) if fill and derivative else "",
        "fillNotionalUsd": num(usd_notional(account, instrument, order.filled)) if fill else "",
        "fillPnl": num(fill.realized) if fill else "0",
        "fillPx": num(fill.price) if fill else "",
        "fillSz": size_text(instrument, fill.quantity) if fill else "0",
        "fillTime": str(fill.time_ms) if fill else "",
        "lastPx": num(market.lasts[instrument.id]),
        "lever": row["lever"] or "0",
        "notionalUsd": num(usd_notional(account, instrument, order.quantity)),
        "reqId": order.meta.get("reqId", "") if reason == "amended" else "",
        "tradeId": _trade_id(order, fill),
    }
    return row


def _size(instrument: Instrument, order: Order) -> str:
    if order.meta.get("tgtCcy") == "quote_ccy" and not order.parent_id:
        return str(order.meta["sz"])
    return size_text(instrument, order.quantity)


def _trade_id(order: Order, fill: Fill | None) -> str:
    # Forced closes carry no trade of the book: the venue writes 0 in their orders.
    if fill is None:
        return ""
    return fill.id if order.origin == "user" else "0"


def _cancel_source(order: Order) -> str:
    if PLAIN_STATES.get(order.status) != "canceled":
        return ""
    if "cancelSource" in order.meta:
        return str(order.meta["cancelSource"])
    by_force = {"FOK": "13", "IOC": "14"}
    return by_force.get(order.time_in_force, "0")


def algo_row(account: OkxAccount, order: Order) -> Row:
    """Return an algo order as orders-algo-pending, -history and order-algo give it."""
    instrument = account.market.instruments[order.instrument]
    meta = order.meta
    child = account.ledger.orders.get(order.child_id)
    kind = str(meta.get("ordType", "trigger"))
    limits = kind != "trigger"
    row = _ALGO_BLANKS | {
        "activePx": meta.get("activePx", ""),
        "actualPx": "",
        "actualSide": meta.get("actualSide") or (meta.get("leg", "") if child else ""),
        "actualSz": size_text(instrument, child.quantity) if child else "0",
        "algoClOrdId": order.client_id,
        "algoId": order.id,
        "cTime": str(order.created_ms),
        "callbackRatio": meta.get("callbackRatio", ""),
        "callbackSpread": meta.get("callbackSpread", ""),
        "closeFraction": "1" if order.close_position else "",
        "failCode": _fail_code(order),
        "instId": instrument.id,
        "instType": kind_of(instrument),
        "last": meta.get("last", ""),
        "lever": str(account.ledger.leverage_of(instrument.id)),
        "moveTriggerPx": text(order.stop_price) if kind == "move_order_stop" else "",
        "ordId": order.child_id,
        "ordIdList": [order.child_id] if order.child_id else [],
        "ordPx": "" if limits else meta.get("orderPx", "-1"),
        "ordType": kind,
        "posSide": side_text(account, instrument, order.position_side),
        "reduceOnly": "true" if order.reduce_only else "false",
        "side": order.side,
        "state": ALGO_STATES[order.status],
        "sz": "" if order.close_position else size_text(instrument, order.quantity),
        "tag": meta.get("tag", ""),
        "tdMode": meta.get("tdMode") or account.margin_mode(instrument.id),
        "tradeQuoteCcy": instrument.quote if instrument.kind == "spot" else "",
        "triggerPx": text(order.stop_price) if kind == "trigger" else "",
        "triggerPxType": order.trigger_by if kind == "trigger" else "",
        "triggerTime": str(order.updated_ms) if order.status == "triggered" else "",
        "uTime": str(order.updated_ms),
    }
    for name in ("slOrdPx", "slTriggerPx", "slTriggerPxType"):
        row[name] = meta.get(name, "")
    for name in ("tpOrdPx", "tpTriggerPx", "tpTriggerPxType"):
        row[name] = meta.get(name, "")
    return row


def algo_push(account: OkxAccount, order: Order, reason: str) -> Row:
    """Return an algo order as the orders-algo channel pushes it: no fields of other algo kinds."""
    instrument = account.market.instruments[order.instrument]
    row = {k: v for k, v in algo_row(account, order).items() if k not in _NOT_PUSHED}
    return row | {
        "amendResult": "0" if reason == "amended" else "",
        "notionalUsd": num(usd_notional(account, instrument, order.quantity)),
        "reqId": order.meta.get("reqId", "") if reason == "amended" else "",
    }


def _fail_code(order: Order) -> str:
    if order.status != "rejected":
        return ""
    return LEDGER_CODES.get(order.reason, ("51000", ""))[0]


def fill_row(account: OkxAccount, fill: Fill) -> Row:
    """Return an execution as trade/fills and fills-history give it."""
    instrument = account.market.instruments[fill.instrument]
    order = account.ledger.orders[fill.order_id]
    spot = instrument.kind == "spot"
    forced = order.origin != "user"
    return {
        "billId": bill_id(fill),
        "clOrdId": "" if forced or order.parent_id else fill.client_id,
        "execType": "" if forced else ("M" if fill.is_maker else "T"),
        "fee": num(-fill.fee),
        "feeCcy": fill.fee_asset,
        "feeRate": num(-account.ledger.taker_fee) if spot else "",
        "fillFwdPx": "",
        "fillIdxPx": num(account.market.indexes[instrument.id]),
        "fillMarkPx": "" if spot else num(account.market.marks[instrument.id]),
        "fillMarkVol": "",
        "fillPnl": num(fill.realized),
        "fillPx": num(fill.price),
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillSz": size_text(instrument, fill.quantity),
        "fillTime": str(fill.time_ms),
        "instId": instrument.id,
        "instType": kind_of(instrument),
        "ordId": fill.order_id,
        "posSide": "net" if fill.position_side == "both" else fill.position_side,
        "side": fill.side,
        "subType": sub_type(order),
        "tag": order.meta.get("tag", ""),
        "tradeId": f"-{fill.id}" if forced else fill.id,
        "tradeQuoteCcy": instrument.quote if spot else "",
        "ts": str(fill.time_ms),
    }


def bill_id(fill: Fill) -> str:
    """Return the bill an execution is booked under."""
    return str(600000000000000000 + int(fill.id))


def sub_type(order: Order) -> str:
    """Return the venue's number of a trade: by side, by open and close, or forced."""
    if order.position_side == "both":
        pairs = {"user": ("1", "2"), "liquidation": ("106", "107"), "adl": ("127", "128")}
        buy, sell = pairs[order.origin]
        return buy if order.side == "buy" else sell
    closes = (order.position_side, order.side) in {("long", "sell"), ("short", "buy")}
    if order.origin == "user":
        return (
            {"long": "5", "short": "6"}[order.position_side]
            if closes
            else ({"long": "3", "short": "4"}[order.position_side])
        )
    pairs = {"liquidation": ("104", "105"), "adl": ("125", "126")}
    return pairs[order.origin][0 if order.position_side == "long" else 1]
