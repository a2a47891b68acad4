"""Frames of Binance's websockets turned into events; no socket here.

`TRADE_LITE` is left alone: it repeats a fill without its fee.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from riskbot.core import events
from riskbot.core.model import (
    Balance,
    Instrument,
    InstrumentKind,
    LedgerKind,
    Position,
    PositionSide,
    WorkingOrder,
)
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import binance_rows

_CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)
_SPOT = (InstrumentKind.SPOT,)

EXPIRED: list[events.Event] = []
"""What `decode` returns when the listen key is dead: the socket is silent from now on."""


class Names(Protocol):
    """Who knows the venue's names for instruments."""

    account: str

    def symbol_of(self, market_id: Any, *kinds: InstrumentKind) -> str:
        """Return the symbol; raises VenueError when the venue's list has no such name."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument; raises VenueError when not listed."""
        ...

    def asset_price(self, asset: str) -> float | None:
        """Return the last known price of an asset in USD."""
        ...

    def funding_interval_h(self, symbol: str) -> float | None:
        """Return the hours between two settlements of funding; None = not known yet."""
        ...


def decode(names: Names, message: Any) -> list[events.Event] | None:
    """Turn a frame into events; None for a frame that is ccxt's own business.

    Raises:
        VenueError: a field that must be there is missing, or an instrument is unknown.
    """
    if isinstance(message, list):
        return _decode_list(names, message)
    if not isinstance(message, dict):
        return None
    inner = message.get("data", message.get("event", message))
    if isinstance(inner, list):
        return _decode_list(names, inner)
    row: Mapping[str, Any] = inner if isinstance(inner, dict) else message
    kind = row.get("e")
    if kind is None and "b" in row and "a" in row and "s" in row:
        kind = "spotBook"
    handler = _HANDLERS.get(str(kind))
    return None if handler is None else handler(names, row)


def _decode_list(names: Names, rows: list[Any]) -> list[events.Event] | None:
    parts = normal.each(rows, lambda row: decode(names, row) if isinstance(row, dict) else None)
    if any(part is None for part in parts):
        return None
    return [event for part in parts if part for event in part]


# ---------------------------------------------------------------- prices


def _mark(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    mark, index = normal.real(row.get("p")), normal.real(row.get("i"))
    if mark is None and index is None:
        return []
    symbol = names.symbol_of(row.get("s"), *_CONTRACTS)
    # Dated contracts state an empty rate and the time 0.
    rate = normal.real(row.get("r"))
    return [
        events.PricesUpdated(
            account=names.account,
            symbol=symbol,
            mark=mark,
            index=index,
            venue_ms=normal.stamp(row.get("E")),
            funding_rate=rate,
            funding_interval_h=None if rate is None else names.funding_interval_h(symbol),
            next_funding_ms=None if rate is None else normal.stamp(row.get("T")),
        )
    ]


def _book(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    # Spot's frame names no event and no time.
    kinds = _CONTRACTS if row.get("e") else _SPOT
    bid, ask = normal.real(row.get("b")), normal.real(row.get("a"))
    if bid is None and ask is None:
        return []
    return [
        events.PricesUpdated(
            account=names.account,
            symbol=names.symbol_of(row.get("s"), *kinds),
            bid=bid,
            ask=ask,
            bid_quantity=normal.real(row.get("B")),
            ask_quantity=normal.real(row.get("A")),
            venue_ms=normal.stamp(row.get("E")),
        )
    ]


def _ticker(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    last = normal.real(row.get("c"))
    if last is None:
        return []
    return [
        events.PricesUpdated(
            account=names.account,
            symbol=names.symbol_of(row.get("s"), *_SPOT),
            last=last,
            venue_ms=normal.stamp(row.get("E")),
        )
    ]


# ---------------------------------------------------------------- futures account


def _account_update(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    data = row.get("a") or {}
    venue_ms = normal.stamp(row.get("E"))
    found: list[events.Event] = []
    positions = tuple(normal.each(data.get("P"), lambda item: _position(names, item)))
    if positions:
        found.append(
            events.PositionsUpdated(account=names.account, positions=positions, venue_ms=venue_ms)
        )
    balances = tuple(normal.each(data.get("B"), lambda item: _balance(names, item)))
    if balances:
        found.append(
            events.BalancesUpdated(account=names.account, balances=balances, venue_ms=venue_ms)
        )
    return found


def _balance(names: Names, row: Mapping[str, Any]) -> Balance:
    asset = str(row.get("a"))
    return Balance(
        asset=asset,
        total=normal.need(row, "balance", "wb"),
        price_usd=names.asset_price(asset),
    )


def _position(names: Names, row: Mapping[str, Any]) -> Position:
    symbol = names.symbol_of(row.get("s"), *_CONTRACTS)
    what = f"{names.account} {symbol}"
    side = normal.leg(row.get("ps"))
    named = "" if side is PositionSide.NET else side.value
    contracts = normal.need(row, what, "pa")
    quantity = normal.signed(what, contracts, named, is_two_sided=False)
    return Position(
        account=names.account,
        symbol=symbol,
        side=side,
        quantity=quantity * names.instrument(symbol).contract_value,
        entry_price=normal.positive(row.get("ep")),
        unrealized_pnl=normal.number(row.get("up")),
        is_isolated=row.get("mt") == "isolated",
    )


def _order_update(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    order = row.get("o") or {}
    instrument = names.instrument(names.symbol_of(order.get("s"), *_CONTRACTS))
    return _order_events(names, instrument, order, normal.stamp(row.get("E")))


def _execution_report(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    instrument = names.instrument(names.symbol_of(row.get("s"), *_SPOT))
    return _order_events(names, instrument, row, normal.stamp(row.get("E")))


def _order_events(
    names: Names, instrument: Instrument, row: Mapping[str, Any], venue_ms: int | None
) -> list[events.Event]:
    what = f"{names.account} {instrument.symbol} order {row.get('i')}"
    value = instrument.contract_value
    # A cancel on spot carries its own id in `c` and that of the order in `C`.
    client_id = row.get("C") or row.get("c")
    quantity = normal.need(row, what, "q") * value
    order = WorkingOrder(
        account=names.account,
        symbol=instrument.symbol,
        order_id=str(row.get("i")),
        client_order_id=str(client_id) if client_id else None,
        side=normal.order_side(row.get("S"), what),
        type=normal.order_type(row.get("o")),
        quantity=quantity,
        filled=(normal.number(row.get("z")) or Decimal(0)) * value,
        price=normal.positive(row.get("p")),
        stop_price=normal.positive(row.get("sp")) or normal.positive(row.get("P")),
        reduce_only=binance_rows.flag(row.get("R")),
        close_position=binance_rows.flag(row.get("cp")),
        position_side=normal.leg(row.get("ps")),
        status=binance_rows.status(row.get("X")),
        created_ms=normal.stamp(row.get("O")) or normal.stamp(row.get("T")) or 0,
        average=normal.positive(row.get("ap")),
    )
    found: list[events.Event] = []
    # The fill first: whoever settles the order on its final status then knows all of it.
    executed = normal.positive(row.get("l"))
    if row.get("x") in {"TRADE", "CALCULATED"} and executed is not None:
        found.append(_fill(names, order, row, executed * value))
    found.append(events.OrderUpdated(account=names.account, order=order, venue_ms=venue_ms))
    return found


def _fill(
    names: Names, order: WorkingOrder, row: Mapping[str, Any], quantity: Decimal
) -> events.OrderFilled:
    what = f"{names.account} {order.symbol} trade {row.get('t')}"
    return events.OrderFilled(
        account=names.account,
        symbol=order.symbol,
        trade_id=str(row.get("t")),
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        side=order.side,
        quantity=quantity,
        price=normal.need(row, what, "L"),
        position_side=order.position_side,
        fee=normal.number(row.get("n")) or Decimal(0),
        fee_asset=row.get("N"),
        venue_ms=normal.stamp(row.get("T")),
    )


def _algo_update(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    order = row.get("o") or {}
    instrument = names.instrument(names.symbol_of(order.get("s"), *_CONTRACTS))
    renamed = {
        "algoId": order.get("aid"),
        "clientAlgoId": order.get("caid"),
        "side": order.get("S"),
        "orderType": order.get("o"),
        "quantity": order.get("q"),
        "price": order.get("p"),
        "triggerPrice": order.get("tp"),
        "reduceOnly": order.get("R"),
        "closePosition": order.get("cp"),
        "positionSide": order.get("ps"),
        "algoStatus": order.get("X"),
        "createTime": row.get("T"),
    }
    found = binance_rows.algo_order(names.account, instrument, renamed)
    venue_ms = normal.stamp(row.get("E"))
    return [events.OrderUpdated(account=names.account, order=found, venue_ms=venue_ms)]


# ---------------------------------------------------------------- spot account


def _spot_balances(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    balances = []
    for item in row.get("B") or ():
        free = normal.need(item, "balance", "f")
        locked = normal.need(item, "balance", "l")
        balances.append(Balance(asset=str(item.get("a")), total=free + locked, free=free))
    venue_ms = normal.stamp(row.get("E"))
    return [
        events.BalancesUpdated(account=names.account, balances=tuple(balances), venue_ms=venue_ms)
    ]


def _spot_flow(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    amount = normal.need(row, "balance update", "d")
    venue_ms = int(normal.need(row, "balance update", "T", "E"))
    return [
        events.LedgerEntryBooked(
            account=names.account,
            entry_id=f"balanceUpdate:{venue_ms}:{row.get('a')}:{amount}",
            entry_kind=LedgerKind.TRANSFER,
            asset=str(row.get("a")),
            amount=amount,
            venue_ms=venue_ms,
        )
    ]


def _expired(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    del names, row
    return EXPIRED


def _nothing(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    del names, row
    return []


_HANDLERS: dict[str, Callable[[Names, Mapping[str, Any]], list[events.Event]]] = {
    "markPriceUpdate": _mark,
    "bookTicker": _book,
    "spotBook": _book,
    "24hrMiniTicker": _ticker,
    "24hrTicker": _ticker,
    "ACCOUNT_UPDATE": _account_update,
    "ORDER_TRADE_UPDATE": _order_update,
    "ALGO_UPDATE": _algo_update,
    "listenKeyExpired": _expired,
    "eventStreamTerminated": _expired,
    "TRADE_LITE": _nothing,
    "MARGIN_CALL": _nothing,
    "ACCOUNT_CONFIG_UPDATE": _nothing,
    "executionReport": _execution_report,
    "outboundAccountPosition": _spot_balances,
    "balanceUpdate": _spot_flow,
}
