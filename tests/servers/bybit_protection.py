"""Take profit, stop loss and trailing stop of a Bybit position."""

from __future__ import annotations

from decimal import Decimal

from tests.servers import bybit_wire as wire
from tests.servers.bybit_account import Account, new_id
from tests.servers.bybit_errors import ApiError, refuse
from tests.servers.bybit_market import text
from tests.servers.bybit_orders import (
    PROTECTIVE,
    TRIGGERS,
    Body,
    decimal_of,
    has_fired,
    instrument_of,
    side_of,
    translated,
)
from tests.servers.ledger_market import floor_to
from tests.servers.ledger_types import Instrument, Order


def set_protection(account: Account, body: Body) -> None:
    """Carry out POST /v5/position/trading-stop; raises ApiError."""
    instrument = instrument_of(account, body)
    side = side_of(instrument, body)
    if account.is_hedged(instrument.id) == (side == "both"):
        raise ApiError(10001, "position idx not match position mode")
    position = account.ledger.positions.get((instrument.id, side))
    if position is None or not position.quantity:
        raise ApiError(10001, "can not set tp/sl/ts for zero position")
    mode = str(body.get("tpslMode", "Full"))
    changed = False
    for name, kind, letters in (("takeProfit", "TakeProfit", "tp"), ("stopLoss", "StopLoss", "sl")):
        price = decimal_of(body, name)
        if price is not None:
            _protect(account, instrument, body | {"tpslMode": mode}, kind, letters, price)
            changed = True
    distance = decimal_of(body, "trailingStop")
    if distance is not None:
        _trail(account, instrument, body, distance)
        changed = True
    if not changed:
        raise refuse(34040)


def attach(account: Account, order: Order) -> None:
    """Set the position protection that came with an order, once it has filled."""
    body: Body = {
        "category": account.ledger.instruments[order.instrument].kind,
        "symbol": order.instrument,
        "positionIdx": wire.POSITION_INDEX[order.position_side],
    } | {name: order.meta[name] for name in PROTECTIVE if order.meta.get(name)}
    try:
        set_protection(account, body)
    except ApiError:
        order.meta["protectionRefused"] = True


def _drop(account: Account, instrument: Instrument, side: str, kind: str) -> None:
    for order in account.ledger.open_orders(instrument.id, conditional=True):
        if order.position_side == side and order.meta.get("stopOrderType") == kind:
            account.ledger.cancel(order.id)


def _protect(
    account: Account, instrument: Instrument, body: Body, kind: str, letters: str, price: Decimal
) -> None:
    side = side_of(instrument, body)
    is_full = body["tpslMode"] == "Full"
    if is_full:
        _drop(account, instrument, side, kind)
    if price == 0:
        return
    position = account.ledger.positions[instrument.id, side]
    is_long = position.quantity > 0
    source = str(body.get(f"{letters}TriggerBy") or "LastPrice")
    limit = decimal_of(body, f"{letters}LimitPrice")
    size = decimal_of(body, f"{letters}Size")
    order = Order(
        instrument=instrument.id,
        side="sell" if is_long else "buy",
        quantity=abs(position.quantity) if is_full or size is None else size,
        type="limit" if limit else "market",
        price=limit,
        id=new_id(),
        position_side=position.side,
        stop_price=price,
        trigger_by=TRIGGERS.get(source, "last"),  # type: ignore[arg-type]
        trigger_direction="above" if is_long == (kind == "TakeProfit") else "below",
        time_in_force="GTC" if limit else "IOC",
        reduce_only=True,
        close_position=is_full,
        conditional=True,
        meta={
            "stopOrderType": kind if is_full else f"Partial{kind}",
            "closeOnTrigger": True,
            "tpslMode": body["tpslMode"],
            "basePrice": account.ledger.market.lasts[instrument.id],
        },
    )
    if has_fired(account, order):
        word = "TakeProfit" if kind == "TakeProfit" else "StopLoss"
        raise ApiError(10001, f"{word}:{text(price)} set on the wrong side of the price")
    translated(
        lambda: account.in_mode(instrument.id, lambda: account.ledger.place(order)), spot=False
    )


def _trail(account: Account, instrument: Instrument, body: Body, distance: Decimal) -> None:
    side = side_of(instrument, body)
    _drop(account, instrument, side, "TrailingStop")
    if distance == 0:
        return
    position = account.ledger.positions[instrument.id, side]
    is_long = position.quantity > 0
    last = account.ledger.market.lasts[instrument.id]
    stop = floor_to(last - distance if is_long else last + distance, instrument.tick)
    order = Order(
        instrument=instrument.id,
        side="sell" if is_long else "buy",
        quantity=abs(position.quantity),
        id=new_id(),
        position_side=position.side,
        stop_price=stop,
        trigger_direction="below" if is_long else "above",
        callback_rate=distance / last,
        time_in_force="IOC",
        reduce_only=True,
        close_position=True,
        conditional=True,
        meta={
            "stopOrderType": "TrailingStop",
            "closeOnTrigger": True,
            "tpslMode": "Full",
            "distance": text(distance),
            "basePrice": last,
        },
    )
    translated(
        lambda: account.in_mode(instrument.id, lambda: account.ledger.place(order)), spot=False
    )


def _book(account: Account, order: Order) -> None:
    translated(
        lambda: account.in_mode(order.instrument, lambda: account.ledger.place(order)), spot=False
    )
