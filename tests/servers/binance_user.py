"""Binance USD-M user data: the venue's events of every change in an account's ledger.

Pure functions from records to payloads; `binance_usdm.py` decides who gets them.
"""

from __future__ import annotations

from decimal import Decimal

from tests.servers import binance_rows as rows
from tests.servers.binance_rows import Row, fix, price, quantity, short
from tests.servers.ledger import Ledger, Order, Position
from tests.servers.ledger_types import (
    ZERO,
    AccountChanged,
    Event,
    Fill,
    LeverageChanged,
    OrderChanged,
)

REASONS = {
    "deposit": "DEPOSIT",
    "withdraw": "WITHDRAW",
    "funding": "FUNDING_FEE",
    "order": "ORDER",
    "liquidation": "ORDER",
    "adl": "ORDER",
}


def force_order(ledger: Ledger, order: Order, now_ms: int) -> Row:
    """Return the public liquidation event of an order."""
    instrument = ledger.instrument(order.instrument)
    amount = quantity(instrument, order.quantity)
    detail = {
        "s": order.instrument,
        "S": order.side.upper(),
        "o": "LIMIT",
        "f": "IOC",
        "q": amount,
        "p": price(instrument, order.price),
        "ap": price(instrument, order.average),
        "X": "FILLED",
        "l": amount,
        "z": amount,
        "T": order.updated_ms,
    }
    return {"e": "forceOrder", "E": now_ms, "o": detail}


def order_update(ledger: Ledger, event: OrderChanged, now_ms: int) -> Row:
    """Return ORDER_TRADE_UPDATE of a plain order."""
    order, fill = event.order, event.fill
    instrument = ledger.instrument(order.instrument)
    forced = order.origin != "user"
    detail: Row = {
        "s": order.instrument,
        "c": order.client_id,
        "S": order.side.upper(),
        "o": rows.type_of(order),
        "f": rows.time_in_force(order),
        "q": quantity(instrument, order.quantity),
        "p": short(order.price),
        "ap": short(order.average),
        "sp": short(order.stop_price),
        "x": "CALCULATED" if forced and fill else rows.EXECUTION[event.reason],
        "X": rows.STATUS[order.status],
        "i": int(order.id),
        "l": quantity(instrument, fill.quantity) if fill else "0",
        "z": quantity(instrument, order.filled),
        "L": short(fill.price) if fill else "0",
        "n": short(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else instrument.settle,
        "T": order.updated_ms,
        "t": int(fill.id) if fill else 0,
        "b": "0",
        "a": "0",
        "m": bool(fill and fill.is_maker),
        "R": order.reduce_only,
        "wt": rows.working_type(order),
        "ot": str(order.meta.get("orig_type", rows.type_of(order))),
        "ps": order.position_side.upper(),
        "cp": order.close_position,
        "rp": short(fill.realized) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": _expiry_reason(order) if event.reason == "expired" else "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": order.updated_ms, "E": now_ms, "o": detail}


def _expiry_reason(order: Order) -> str:
    if order.type == "market":
        return "9"
    return "2" if order.time_in_force in ("IOC", "FOK") else "4"


def trade_lite(ledger: Ledger, order: Order, fill: Fill, now_ms: int) -> Row:
    """Return TRADE_LITE of an execution."""
    instrument = ledger.instrument(order.instrument)
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": fill.time_ms,
        "s": order.instrument,
        "q": quantity(instrument, order.quantity),
        "p": price(instrument, order.price),
        "m": fill.is_maker,
        "c": order.client_id,
        "S": order.side.upper(),
        "L": price(instrument, fill.price),
        "l": quantity(instrument, fill.quantity),
        "t": int(fill.id),
        "i": int(order.id),
    }


def algo_update(ledger: Ledger, order: Order, status: str, now_ms: int) -> Row:
    """Return ALGO_UPDATE of a conditional order in a status of the venue's."""
    instrument = ledger.instrument(order.instrument)
    child = ledger.orders.get(order.child_id)
    in_book = status in ("TRIGGERED", "FINISHED")
    detail: Row = {
        "caid": order.client_id,
        "aid": int(order.id),
        "at": "CONDITIONAL",
        "o": rows.type_of(order),
        "s": order.instrument,
        "S": order.side.upper(),
        "ps": order.position_side.upper(),
        "f": str(order.meta.get("tif", "GTC")),
        "q": quantity(instrument, order.quantity),
        "X": status,
        "ai": order.child_id if in_book else "",
        "ap": fix(child.average if child else ZERO, 5),
        "aq": fix(child.filled if child else ZERO, 5),
        "act": ("LIMIT" if order.type == "limit" else "MARKET") if in_book else "0",
        "tp": short(order.stop_price),
        "p": short(order.price),
        "V": "EXPIRE_MAKER",
        "wt": rows.working_type(order),
        "pm": "NONE",
        "cp": order.close_position,
        "pP": False,
        "R": order.reduce_only,
        "tt": order.updated_ms if in_book else 0,
        "gtd": 0,
        "rm": order.reason if status == "REJECTED" else "",
    }
    return {"e": "ALGO_UPDATE", "T": order.updated_ms, "E": now_ms, "o": detail}


def account_update(ledger: Ledger, event: AccountChanged, now_ms: int) -> Row | None:
    """Return ACCOUNT_UPDATE, None for causes the venue never announces."""
    if event.reason not in REASONS:
        return None
    is_order = REASONS[event.reason] == "ORDER"
    changes: dict[str, Decimal] = {}
    for change in event.balances:
        changes[change.asset] = changes.get(change.asset, ZERO) + change.change
    for moved in event.positions:
        changes.setdefault(ledger.instrument(moved.position.instrument).settle, ZERO)
    balances = [
        {
            "a": asset,
            "wb": fix(ledger.balances.get(asset, ZERO)),
            "cw": fix(ledger.balances.get(asset, ZERO)),
            "bc": "0" if is_order else fix(amount),
        }
        for asset, amount in changes.items()
    ]
    positions = [_position(ledger, moved.position) for moved in event.positions]
    document = {"m": REASONS[event.reason], "B": balances, "P": positions}
    return {"e": "ACCOUNT_UPDATE", "T": now_ms, "E": now_ms, "a": document}


def _position(ledger: Ledger, position: Position) -> Row:
    return {
        "s": position.instrument,
        "pa": short(position.quantity),
        "ep": short(position.entry),
        "bep": short(rows.break_even(ledger, position)),
        "cr": short(position.realized),
        "up": short(ledger.unrealized_of(position)),
        "mt": "cross" if position.isolated_margin is None else "isolated",
        "iw": short(position.isolated_margin),
        "ps": position.side.upper(),
        "ma": ledger.instrument(position.instrument).settle,
    }


def margin_call(ledger: Ledger, settle: str, now_ms: int) -> Row:
    """Return MARGIN_CALL over all positions settled in an asset."""
    called = [
        {
            "s": position.instrument,
            "ps": position.side.upper(),
            "pa": short(position.quantity),
            "mt": "CROSSED",
            "iw": "0",
            "mp": fix(ledger.marks[position.instrument]),
            "up": fix(ledger.unrealized_of(position)),
            "mm": fix(ledger.maintenance_of(position)),
        }
        for position in ledger.open_positions(settle)
    ]
    wallet = fix(ledger.balances.get(settle, ZERO))
    return {"e": "MARGIN_CALL", "E": now_ms, "cw": wallet, "p": called}


def user_frames(ledger: Ledger, event: Event, now_ms: int) -> list[Row]:
    """Return the user data events of one change in the ledger, in the venue's order."""
    if isinstance(event, AccountChanged):
        frame = account_update(ledger, event, now_ms)
        return [frame] if frame is not None else []
    if isinstance(event, LeverageChanged):
        config = {"s": event.instrument, "l": event.leverage}
        return [{"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": config}]
    if not isinstance(event, OrderChanged):
        return []
    order = event.order
    if order.conditional:
        if event.reason == "triggered":
            both = ("TRIGGERING", "TRIGGERED")
            return [algo_update(ledger, order, status, now_ms) for status in both]
        return [algo_update(ledger, order, rows.STATUS[order.status], now_ms)]
    frames = [order_update(ledger, event, now_ms)]
    if event.fill is not None and order.origin == "user":
        frames.insert(0, trade_lite(ledger, order, event.fill, now_ms))
    parent = ledger.orders.get(order.parent_id)
    if parent is not None and not order.is_open:
        frames.append(algo_update(ledger, parent, "FINISHED", now_ms))
    return frames
