"""Plain orders at OKX: what a request asks for, what the venue refuses, what it answers.

One function per operation on one order; batching, HTTP and websockets are elsewhere.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from tests.servers import ledger_rules as rules
from tests.servers.faults import Faults
from tests.servers.ledger_market import floor_to
from tests.servers.ledger_types import (
    ZERO,
    Instrument,
    Order,
    OrderChanged,
    Side,
    TimeInForce,
    VenueError,
)
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_catalog import to_contracts, to_quantity
from tests.servers.okx_errors import OkxError
from tests.servers.okx_rows import Row, side_text

ID_FORM: Final = re.compile(r"[A-Za-z0-9]{1,32}")
FORCES: Final[dict[str, TimeInForce]] = {
    "limit": "GTC",
    "market": "GTC",
    "post_only": "POST",
    "fok": "FOK",
    "ioc": "IOC",
    "optimal_limit_ioc": "IOC",
}
ORDER_FAULTS: Final[dict[str, str]] = {
    "market_rejected": "51109",
    "reduce_only_rejected": "51169",
    "insufficient_margin": "51008",
    "min_notional": "51020",
}


def decimal_of(value: Any, name: str) -> Decimal:
    """Return a number of a request; refuses what is none, under the parameter's name."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise OkxError("51000", name) from None
    if not number.is_finite():
        raise OkxError("51000", name)
    return number


def flag_of(value: Any) -> bool:
    """Return a boolean that came as one or as text."""
    return value is True or str(value).lower() == "true"


def instrument_of(account: OkxAccount, item: Row) -> Instrument:
    """Return the instrument a request names by instId or instIdCode."""
    name = item.get("instId") or code_names(account).get(str(item.get("instIdCode", "")))
    if not name:
        raise OkxError("50014", "instId")
    if name not in account.market.instruments:
        raise OkxError("51001")
    return account.market.instruments[str(name)]


def code_names(account: OkxAccount) -> dict[str, str]:
    """Return instIdCode -> instId; codes follow the order of listing."""
    return {str(10000 + n): name for n, name in enumerate(account.market.instruments)}


def client_id_of(item: Row, name: str) -> str:
    """Return a client id; refuses what is not alphanumeric or longer than 32."""
    text = str(item.get(name) or "")
    if text and not ID_FORM.fullmatch(text):
        raise OkxError("51000", name)
    return text


def check_modes(account: OkxAccount, instrument: Instrument, item: Row) -> None:
    """Refuse a tdMode or posSide that does not fit instrument and account."""
    mode, side = item.get("tdMode"), item.get("posSide") or ""
    if instrument.kind == "spot":
        if mode != "cash":
            raise OkxError("51010" if mode in {"cross", "isolated"} else "51000", "tdMode")
        return
    if account.level == "1":
        raise OkxError("51010")
    if mode not in {"cross", "isolated"}:
        raise OkxError("51000", "tdMode")
    allowed = {"long", "short"} if account.ledger.hedge_mode else {"", "net"}
    if side not in allowed:
        raise OkxError("51000", "posSide")


def side_of(item: Row) -> Side:
    """Return buy or sell."""
    if item.get("side") not in {"buy", "sell"}:
        raise OkxError("51000", "side")
    return "buy" if item["side"] == "buy" else "sell"


def build_order(account: OkxAccount, item: Row) -> Order:
    """Turn one item of a place-order request into a ledger order."""
    instrument = instrument_of(account, item)
    check_modes(account, instrument, item)
    side, kind = side_of(item), str(item.get("ordType") or "")
    if kind not in FORCES:
        raise OkxError("51000", "ordType")
    type_: Literal["market", "limit"] = "limit"
    if kind in {"market", "optimal_limit_ioc"}:
        type_ = "market"
    if type_ == "limit" and item.get("px") in {None, ""}:
        raise OkxError("51204")
    size = decimal_of(item.get("sz") or "", "sz")
    in_quote = _counts_quote(instrument, item, kind, side)
    quantity = to_quantity(instrument, size)
    if in_quote:
        touch = account.market.touch(instrument.id, side)
        quantity = floor_to(size / touch, instrument.step)
    meta = {
        "ordType": kind,
        "sz": str(item["sz"]),
        "tag": str(item.get("tag") or ""),
        "tdMode": item["tdMode"],
        "tgtCcy": _target(instrument, item, kind, side),
        "attachAlgoOrds": _attached(item),
    }
    return Order(
        instrument=instrument.id,
        side=side,
        quantity=quantity,
        type=type_,
        price=decimal_of(item["px"], "px") if type_ == "limit" else None,
        client_id=client_id_of(item, "clOrdId"),
        position_side=account.position_side(str(item.get("posSide") or "")),
        time_in_force=FORCES[kind],
        # In long/short mode the venue ignores the flag: the side decides.
        reduce_only=flag_of(item.get("reduceOnly")) and not account.ledger.hedge_mode,
        meta=meta,
    )


def _counts_quote(instrument: Instrument, item: Row, kind: str, side: str) -> bool:
    return _target(instrument, item, kind, side) == "quote_ccy"


def _target(instrument: Instrument, item: Row, kind: str, side: str) -> str:
    if instrument.kind != "spot" or kind != "market":
        return ""
    default = "quote_ccy" if side == "buy" else "base_ccy"
    return str(item.get("tgtCcy") or default)


def _attached(item: Row) -> list[Row]:
    rows = []
    for attached in item.get("attachAlgoOrds") or []:
        blank = dict.fromkeys(
            ("attachAlgoClOrdId", "slOrdPx", "slTriggerPx", "sz", "tpOrdPx", "tpTriggerPx"), ""
        )
        defaults = {"slTriggerPxType": "last", "tpTriggerPxType": "last", "tpOrdKind": "condition"}
        rows.append(blank | defaults | {"amendPxOnTriggerType": "0"} | attached)
    return rows


def place_order(account: OkxAccount, item: Row, faults: Faults) -> Row:
    """Place one order and return its row of the reply; raises OkxError when it is refused."""
    order = build_order(account, item)
    _strike(order, faults)
    ledger = account.ledger
    if order.reduce_only or ledger.hedge_mode:
        _check_closing(account, order)
    partial = faults.take("partial_fill", symbol=order.instrument, client_id=order.client_id)
    usual = ledger.fill_ratio
    if partial is not None:
        ledger.fill_ratio = Decimal(str(partial.params.get("ratio", "0.5")))
    previous = account.margin_modes.get(order.instrument)
    if order.meta["tdMode"] != "cash":
        account.margin_modes[order.instrument] = order.meta["tdMode"]
    try:
        ledger.place(order)
    except VenueError as error:
        if previous is not None:
            account.margin_modes[order.instrument] = previous
        if error.code != "WOULD_CROSS":
            raise OkxError.of(error) from error
        _accept_and_cancel(account, order)
    finally:
        ledger.fill_ratio = usual
    return placed_row(account, order)


def placed_row(account: OkxAccount, order: Order) -> Row:
    """Return the reply to an accepted order."""
    return {
        "clOrdId": order.client_id,
        "ordId": order.id,
        "sCode": "0",
        "sMsg": "Order placed",
        "tag": order.meta.get("tag", ""),
        "ts": str(account.now_ms),
    }


def _strike(order: Order, faults: Faults) -> None:
    context = {"symbol": order.instrument, "client_id": order.client_id, "type": order.type}
    applies = {
        "market_rejected": order.type == "market",
        "reduce_only_rejected": order.reduce_only or order.position_side != "both",
        "insufficient_margin": True,
        "min_notional": True,
    }
    for kind, code in ORDER_FAULTS.items():
        fault = faults.take(kind, **context) if applies[kind] else None
        if fault is not None:
            raise OkxError(str(fault.params.get("code", code)))


def _check_closing(account: OkxAccount, order: Order) -> None:
    # Long/short mode refuses more than is available; net mode shrinks, and makes room.
    ledger = account.ledger
    if not rules.reduces_only(ledger, order):
        return
    position = ledger.positions.get((order.instrument, order.position_side))
    room = rules.closable(order, position)
    if position is None or not room:
        same_way = position is not None and position.quantity * order.sign > 0
        raise OkxError("51170" if same_way else "51169")
    if ledger.hedge_mode:
        if order.quantity > account.available_to_close(position):
            raise OkxError("51112")
        return
    resting = [
        other
        for other in ledger.open_orders(order.instrument, conditional=False)
        if other.reduce_only and other.side == order.side
    ]
    taken = sum((other.remaining for other in resting), ZERO)
    for other in resting:
        if taken + min(order.quantity, room) <= room:
            break
        other.meta["cancelSource"] = "23"
        taken -= other.remaining
        ledger.cancel(other.id)


def _accept_and_cancel(account: OkxAccount, order: Order) -> None:
    # A post-only order that would take is accepted, then canceled by the venue.
    order.id = account.market.make_order_id()
    order.created_ms = order.updated_ms = account.now_ms
    account.ledger.orders[order.id] = order
    account.emit(OrderChanged(order.copy(), "new"))
    order.meta["cancelSource"] = "31"
    order.status = "canceled"
    account.emit(OrderChanged(order.copy(), "canceled"))


def _wanted(account: OkxAccount, item: Row, closed: str) -> Order:
    instrument_of(account, item)
    order_id, client_id = str(item.get("ordId") or ""), str(item.get("clOrdId") or "")
    if not order_id and not client_id:
        raise OkxError("51407")
    order = account.find_plain(order_id, client_id)
    if order is None or not order.is_open:
        raise OkxError(closed)
    return order


def cancel_order(account: OkxAccount, item: Row) -> Row:
    """Cancel one order; raises OkxError 51400 when it is not open."""
    order = _wanted(account, item, "51400")
    order.meta["cancelSource"] = "1"
    try:
        account.ledger.cancel(order.id)
    except VenueError as error:
        raise OkxError.of(error) from error
    return {
        "clOrdId": order.client_id,
        "ordId": order.id,
        "sCode": "0",
        "sMsg": "",
        "ts": str(account.now_ms),
    }


def amend_order(account: OkxAccount, item: Row) -> Row:
    """Change size or price of one order; raises OkxError 51503 when it is not open."""
    order = _wanted(account, item, "51503")
    instrument = account.market.instruments[order.instrument]
    size, price = item.get("newSz"), item.get("newPx")
    if not size and not price:
        raise OkxError("51500")
    quantity = to_quantity(instrument, decimal_of(size, "newSz")) if size else None
    order.meta["reqId"] = str(item.get("reqId") or "")
    try:
        account.ledger.amend(
            order.id, quantity=quantity, price=decimal_of(price, "newPx") if price else None
        )
    except VenueError as error:
        raise OkxError.of(error) from error
    return {
        "clOrdId": order.client_id,
        "ordId": order.id,
        "reqId": order.meta["reqId"],
        "sCode": "0",
        "sMsg": "",
        "ts": str(account.now_ms),
    }


def close_position(account: OkxAccount, item: Row, faults: Faults) -> Row:
    """Close a position by a market order; raises OkxError 51023 when there is none."""
    instrument = instrument_of(account, item)
    if instrument.kind == "spot" or item.get("mgnMode") not in {"cross", "isolated"}:
        raise OkxError("51000", "mgnMode")
    side = account.position_side(str(item.get("posSide") or ""))
    if (side == "both") == account.ledger.hedge_mode:
        raise OkxError("51000", "posSide")
    position = account.ledger.positions.get((instrument.id, side))
    is_same_mode = account.margin_mode(instrument.id) == item["mgnMode"]
    if position is None or not position.quantity or not is_same_mode:
        raise OkxError("51023")
    closing = "sell" if position.quantity > 0 else "buy"
    for other in account.ledger.open_orders(instrument.id, conditional=False):
        reducing = rules.reduces_only(account.ledger, other)
        if other.side != closing or other.position_side != side or not reducing:
            continue
        if not flag_of(item.get("autoCxl")):
            raise OkxError("51115")
        other.meta["cancelSource"] = "17"
        account.ledger.cancel(other.id)
    request = {
        "instId": instrument.id,
        "tdMode": item["mgnMode"],
        "side": closing,
        "posSide": "" if side == "both" else side,
        "ordType": "market",
        "sz": str(to_contracts(instrument, abs(position.quantity))),
        "reduceOnly": side == "both",
        "clOrdId": item.get("clOrdId") or "",
        "tag": item.get("tag") or "",
    }
    place_order(account, request, faults)
    return {
        "clOrdId": request["clOrdId"],
        "instId": instrument.id,
        "posSide": side_text(account, instrument, side),
        "tag": request["tag"],
    }
