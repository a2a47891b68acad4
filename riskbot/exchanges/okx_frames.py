"""Frames of OKX's websockets turned into events; no socket here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from riskbot.core import events
from riskbot.core.model import Balance, Instrument, InstrumentKind, Position
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import okx_algos, okx_rows

_RATES = "funding-rate"


class Names(Protocol):
    """Who knows the venue's names for instruments."""

    account: str

    def symbol_of(self, market_id: Any, *kinds: InstrumentKind) -> str:
        """Return the symbol; raises VenueError when the venue's list has no such name."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument; raises VenueError when not listed."""
        ...

    def symbols_of_index(self, index_id: str) -> Sequence[str]:
        """Return the contracts that follow an index."""
        ...

    def joined(self, position: Position) -> list[Position]:
        """Return what a pushed position makes of those the core knows."""
        ...


def decode(names: Names, message: Any) -> list[events.Event] | None:
    """Turn a frame into events; None for a frame that is ccxt's own business.

    Raises:
        VenueError: a field that must be there is missing, or an instrument is unknown.
    """
    if not isinstance(message, dict) or "data" not in message or "arg" not in message:
        return _refused(message)
    handler = _HANDLERS.get(str(message["arg"].get("channel")))
    if handler is None:
        return None
    read = normal.each(message["data"], lambda row: handler(names, row))
    return [event for part in read for event in part]


def _refused(message: Any) -> list[events.Event] | None:
    # ccxt would end every subscription of the socket: prices go on without the rates of funding.
    is_refused = isinstance(message, dict) and message.get("event") == "error"
    return [] if is_refused and _RATES in str(message.get("msg")) else None


def _instrument_of(names: Names, row: Mapping[str, Any]) -> Instrument:
    return names.instrument(names.symbol_of(row.get("instId")))


def _prices(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    symbol = names.symbol_of(row.get("instId"))
    price = okx_rows.prices(names.account, symbol, row, is_rest=False)
    return [] if price is None else [price]


def _funding(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    found = okx_rows.funding(names.account, names.symbol_of(row.get("instId")), row)
    return [] if found is None else [found]


def _index(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    stated = {"idxPx": row.get("idxPx"), "ts": row.get("ts")}
    symbols = names.symbols_of_index(str(row.get("instId")))
    found = (okx_rows.prices(names.account, symbol, stated, is_rest=False) for symbol in symbols)
    return [price for price in found if price is not None]


def _account(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    balances = normal.each(row.get("details"), _coin)
    if not balances:
        return []
    venue_ms = normal.stamp(row.get("uTime"))
    return [
        events.BalancesUpdated(account=names.account, balances=tuple(balances), venue_ms=venue_ms)
    ]


def _coin(row: Mapping[str, Any]) -> Balance:
    # A currency that is gone must be told as zero, or it would stay.
    return okx_rows.coin(row) or Balance(asset=str(row.get("ccy")), total=normal.ZERO)


def _position(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    found = okx_rows.position(names.account, _instrument_of(names, row), row)
    venue_ms = normal.stamp(row.get("uTime"))
    whole = tuple(names.joined(found))
    return [events.PositionsUpdated(account=names.account, positions=whole, venue_ms=venue_ms)]


def _order(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    instrument = _instrument_of(names, row)
    order = okx_rows.order(names.account, instrument, row)
    filled = okx_rows.fill(names.account, instrument, row)
    venue_ms = normal.stamp(row.get("uTime"))
    found: list[events.Event] = []
    if (origin := okx_algos.origin(order, row)) is not None:
        # Else both would count as working, and this one be a second order under one name.
        found.append(events.OrderUpdated(account=names.account, order=origin, venue_ms=venue_ms))
    # The fill first: whoever settles the order on its final status then knows all of it.
    if filled is not None:
        found.append(filled)
    found.append(events.OrderUpdated(account=names.account, order=order, venue_ms=venue_ms))
    return found


def _algo(names: Names, row: Mapping[str, Any]) -> list[events.Event]:
    order = okx_algos.algo_order(names.account, _instrument_of(names, row), row)
    venue_ms = normal.stamp(row.get("uTime"))
    return [events.OrderUpdated(account=names.account, order=order, venue_ms=venue_ms)]


_HANDLERS: dict[str, Callable[[Names, Mapping[str, Any]], list[events.Event]]] = {
    "mark-price": _prices,
    "tickers": _prices,
    "index-tickers": _index,
    _RATES: _funding,
    "account": _account,
    "positions": _position,
    "orders": _order,
    "orders-algo": _algo,
    "algo-advance": _algo,
}
