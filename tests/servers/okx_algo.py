"""Algo orders at OKX: trigger, conditional (TP/SL), oco and trailing stops.

The venue keeps them apart from plain orders; when one triggers it places a plain order.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from tests.servers.ledger_types import (
    ZERO,
    Direction,
    Event,
    Instrument,
    Order,
    OrderChanged,
    Trigger,
    VenueError,
)
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_catalog import num, to_quantity
from tests.servers.okx_errors import OkxError
from tests.servers.okx_rows import Row
from tests.servers.okx_trade import (
    check_modes,
    client_id_of,
    decimal_of,
    flag_of,
    instrument_of,
    side_of,
)

KINDS: Final = frozenset({"trigger", "conditional", "oco", "move_order_stop"})
TRIGGER_TYPES: Final[dict[str, Trigger]] = {"last": "last", "mark": "mark", "index": "index"}
# (leg, side) -> where the trigger lies, and the code when it does not
LEGS: Final[dict[tuple[str, str], tuple[Direction, str]]] = {
    ("tp", "sell"): ("above", "51279"),
    ("tp", "buy"): ("below", "51277"),
    ("sl", "sell"): ("below", "51280"),
    ("sl", "buy"): ("above", "51278"),
}


def place_algo(account: OkxAccount, item: Row) -> Row:
    """Place one algo order and return its row of the reply; raises OkxError when refused."""
    instrument = instrument_of(account, item)
    check_modes(account, instrument, item)
    kind = str(item.get("ordType") or "")
    if kind not in KINDS:
        raise OkxError("51000", "ordType")
    client_id = client_id_of(item, "algoClOrdId")
    if account.find_algo("", client_id) is not None:
        raise OkxError("51065")
    order = _skeleton(account, instrument, item, kind, client_id)
    if kind == "trigger":
        _set_trigger(account, order, item)
        placed = _place(account, order)
    elif kind == "move_order_stop":
        _set_trail(account, order, item)
        placed = _place(account, order)
    else:
        placed = _place_protection(account, order, item)
    if item["tdMode"] != "cash":
        account.margin_modes.setdefault(instrument.id, item["tdMode"])
    return {
        "algoClOrdId": client_id,
        "algoId": placed.id,
        "clOrdId": "",
        "sCode": "0",
        "sMsg": "",
        "tag": order.meta["tag"],
    }


def _skeleton(
    account: OkxAccount, instrument: Instrument, item: Row, kind: str, client_id: str
) -> Order:
    whole = str(item.get("closeFraction") or "")
    if whole:
        _check_whole(account, instrument, item, kind)
    elif not item.get("sz"):
        raise OkxError("50015", "sz, closeFraction")
    hedge = account.ledger.hedge_mode
    size = ZERO if whole else to_quantity(instrument, decimal_of(item["sz"], "sz"))
    return Order(
        instrument=instrument.id,
        side=side_of(item),
        quantity=size,
        client_id=client_id,
        position_side=account.position_side(str(item.get("posSide") or "")),
        reduce_only=flag_of(item.get("reduceOnly")) and not hedge,
        close_position=bool(whole),
        conditional=True,
        meta={
            "ordType": kind,
            "tag": str(item.get("tag") or ""),
            "tdMode": item["tdMode"],
            "last": num(account.market.lasts[instrument.id]),
        },
    )


def _check_whole(account: OkxAccount, instrument: Instrument, item: Row, kind: str) -> None:
    if str(item["closeFraction"]) != "1":
        raise OkxError("51000", "closeFraction")
    if instrument.kind == "spot" or kind not in {"conditional", "oco"}:
        raise OkxError("51327")
    if not account.ledger.hedge_mode and not flag_of(item.get("reduceOnly")):
        raise OkxError("51328")
    side = account.position_side(str(item.get("posSide") or ""))
    for other in account.ledger.open_orders(instrument.id, conditional=True):
        if other.close_position and other.position_side == side:
            raise OkxError("51088")


def _trigger_by(item: Row, name: str) -> Trigger:
    text = str(item.get(name) or "last")
    if text not in TRIGGER_TYPES:
        raise OkxError("51000", name)
    return TRIGGER_TYPES[text]


def _set_price(order: Order, text: Any, name: str) -> None:
    price = decimal_of(text, name)
    if price == Decimal(-1):
        order.type, order.price = "market", None
    else:
        order.type, order.price = "limit", price


def _set_trigger(account: OkxAccount, order: Order, item: Row) -> None:
    for name in ("triggerPx", "orderPx"):
        if item.get(name) in {None, ""}:
            raise OkxError("50014", name)
    order.stop_price = decimal_of(item["triggerPx"], "triggerPx")
    order.trigger_by = _trigger_by(item, "triggerPxType")
    now = account.market.trigger_price(order.instrument, order.trigger_by)
    order.trigger_direction = "above" if order.stop_price >= now else "below"
    order.meta["orderPx"] = str(item["orderPx"])
    _set_price(order, item["orderPx"], "orderPx")


def _set_trail(account: OkxAccount, order: Order, item: Row) -> None:
    ratio, spread = item.get("callbackRatio"), item.get("callbackSpread")
    if bool(ratio) == bool(spread):
        raise OkxError("50015", "callbackRatio, callbackSpread")
    order.meta |= {"callbackRatio": str(ratio or ""), "callbackSpread": str(spread or "")}
    last = account.market.lasts[order.instrument]
    share = decimal_of(ratio, "callbackRatio") if ratio else decimal_of(spread, "x") / last
    if not 0 < share < 1:
        raise OkxError("51000", "callbackRatio")
    order.callback_rate = share
    if item.get("activePx"):
        order.meta["activePx"] = str(item["activePx"])
        order.activate_price = decimal_of(item["activePx"], "activePx")


def _place_protection(account: OkxAccount, order: Order, item: Row) -> Order:
    legs = [leg for leg in ("sl", "tp") if item.get(f"{leg}TriggerPx")]
    if not legs:
        raise OkxError("50015", "tpTriggerPx, slTriggerPx")
    if order.meta["ordType"] == "conditional":
        # Both given to a one-way order: the venue keeps the stop-loss.
        legs = legs[:1]
    for leg in legs:
        order.meta |= {
            f"{leg}TriggerPx": str(item[f"{leg}TriggerPx"]),
            f"{leg}TriggerPxType": _trigger_by(item, f"{leg}TriggerPxType"),
            f"{leg}OrdPx": str(item.get(f"{leg}OrdPx") or ""),
        }
    orders = [_leg(account, order, item, leg) for leg in legs]
    main = _place(account, orders[0])
    for hidden in orders[1:]:
        hidden.client_id = ""
        hidden.meta |= {"hidden_of": main.id, "sibling": main.id}
        try:
            _place(account, hidden)
        except OkxError:
            account.ledger.cancel(main.id)
            raise
        main.meta["sibling"] = hidden.id
    return main


def _leg(account: OkxAccount, order: Order, item: Row, leg: str) -> Order:
    part = order.copy()
    part.stop_price = decimal_of(item[f"{leg}TriggerPx"], f"{leg}TriggerPx")
    part.trigger_by = _trigger_by(item, f"{leg}TriggerPxType")
    part.trigger_direction, code = LEGS[leg, order.side]
    if not item.get(f"{leg}OrdPx"):
        raise OkxError("50014", f"{leg}OrdPx")
    _set_price(part, item[f"{leg}OrdPx"], f"{leg}OrdPx")
    now = account.market.trigger_price(order.instrument, part.trigger_by)
    reached = (
        part.stop_price <= now if part.trigger_direction == "above" else part.stop_price >= now
    )
    if reached:
        raise OkxError(code)
    part.meta["actualSide"] = ""
    part.meta["leg"] = leg
    return part


def _place(account: OkxAccount, order: Order) -> Order:
    try:
        return account.ledger.place(order)
    except VenueError as error:
        raise OkxError.of(error) from error


def cancel_algo(account: OkxAccount, item: Row) -> Row:
    """Cancel one algo order; raises OkxError 51400 when it is not waiting."""
    instrument_of(account, item)
    algo_id, client_id = str(item.get("algoId") or ""), str(item.get("algoClOrdId") or "")
    if not algo_id and not client_id:
        raise OkxError("50015", "algoId, algoClOrdId")
    order = account.find_algo(algo_id, client_id)
    if order is None or not order.is_open:
        raise OkxError("51400")
    try:
        account.ledger.cancel(order.id)
    except VenueError as error:
        raise OkxError.of(error) from error
    return {
        "algoClOrdId": order.client_id,
        "algoId": order.id,
        "clOrdId": "",
        "sCode": "0",
        "sMsg": "",
        "tag": order.meta.get("tag", ""),
    }


def attach_protection(account: OkxAccount, event: Event) -> None:
    """Place the TP/SL orders attached to an order once it is filled completely."""
    if not isinstance(event, OrderChanged) or event.reason != "fill":
        return
    order = event.order
    if order.status != "filled" or order.parent_id:
        return
    instrument = account.market.instruments[order.instrument]
    for attached in order.meta.get("attachAlgoOrds", []):
        legs = [leg for leg in ("sl", "tp") if attached.get(f"{leg}TriggerPx")]
        request = dict(attached) | {
            "instId": instrument.id,
            "tdMode": order.meta["tdMode"],
            "side": "sell" if order.side == "buy" else "buy",
            "posSide": "" if order.position_side == "both" else order.position_side,
            "ordType": "oco" if len(legs) == 2 else "conditional",
            "algoClOrdId": attached["attachAlgoClOrdId"],
            "sz": str(_contracts(instrument, order)),
            "reduceOnly": instrument.kind != "spot",
        }
        try:
            place_algo(account, request)
        except OkxError:
            # The price has passed the trigger meanwhile: the venue drops the protection.
            continue


def _contracts(instrument: Instrument, order: Order) -> Decimal:
    if instrument.kind == "linear":
        return order.filled / instrument.contract_size
    return order.filled
