"""Frames of Bybit's websockets turned into events; no socket here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from riskbot.core import events
from riskbot.core.model import Balance, Instrument, InstrumentKind
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import bybit_rows

_KINDS = {
    "spot": (InstrumentKind.SPOT,),
    "linear": (InstrumentKind.LINEAR,),
    "inverse": (InstrumentKind.INVERSE,),
    "option": (InstrumentKind.OPTION,),
}
_CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE, InstrumentKind.OPTION)
_SPOT = (InstrumentKind.SPOT,)

Tickers = dict[str, dict[str, Any]]
"""Last known fields per symbol: a delta repeats only what changed."""


class Names(Protocol):
    """Who knows the venue's names for instruments."""

    account: str

    def symbol_of(self, market_id: Any, *kinds: InstrumentKind) -> str:
        """Return the symbol; raises VenueError when the venue's list has no such name."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return the instrument; raises VenueError when not listed."""
        ...


def decode(
    names: Names, message: Any, tickers: Tickers, category: str = ""
) -> list[events.Event] | None:
    """Turn a frame into events; None for a frame that is ccxt's own business.

    Args:
        names: the venue's names.
        message: the frame.
        tickers: what is known of each ticker; changed here.
        category: what the socket speaks of, empty = not known.

    Raises:
        VenueError: a field that must be there is missing, or an instrument is unknown.
    """
    topic = message.get("topic") if isinstance(message, dict) else None
    if not isinstance(topic, str):
        return None
    if topic.startswith("tickers."):
        return _ticker(names, message, tickers, category)
    if topic.startswith("orderbook.1."):
        return _book(names, message)
    handler = _PRIVATE.get(topic.split(".", maxsplit=1)[0])
    return None if handler is None else handler(names, message)


# ---------------------------------------------------------------- prices


def _ticker(
    names: Names, message: Mapping[str, Any], tickers: Tickers, category: str
) -> list[events.Event]:
    data = message.get("data") or {}
    market_id = str(message["topic"]).split(".", maxsplit=1)[1]
    guessed = _SPOT if "usdIndexPrice" in data else _CONTRACTS
    symbol = names.symbol_of(market_id, *_KINDS.get(category, guessed))
    if message.get("type") == "snapshot":
        tickers[symbol] = dict(data)
    else:
        tickers.setdefault(symbol, {}).update(data)
    venue_ms = normal.stamp(message.get("ts"))
    # What a delta leaves out stands as of its time: the whole ticker is fresh.
    price = bybit_rows.prices(names.account, symbol, tickers[symbol], venue_ms, is_rest=False)
    return [] if price is None else [price]


def _book(names: Names, message: Mapping[str, Any]) -> list[events.Event]:
    data = message.get("data") or {}
    bid, ask = _best(data.get("b")), _best(data.get("a"))
    if bid is None and ask is None:
        return []
    return [
        events.PricesUpdated(
            account=names.account,
            symbol=names.symbol_of(data.get("s"), *_SPOT),
            bid=bid[0] if bid else None,
            ask=ask[0] if ask else None,
            bid_quantity=bid[1] if bid else None,
            ask_quantity=ask[1] if ask else None,
            venue_ms=normal.stamp(message.get("ts")),
        )
    ]


def _best(levels: Any) -> tuple[float, float | None] | None:
    # A delta deletes a level by quantity 0 and names the new one beside it.
    for level in levels or ():
        price, quantity = normal.real(level[0]), normal.real(level[1])
        if price is not None and quantity != 0:
            return price, quantity
    return None


# ---------------------------------------------------------------- account


def _instrument_of(names: Names, row: Mapping[str, Any]) -> Instrument:
    kinds = _KINDS.get(str(row.get("category")), _CONTRACTS)
    return names.instrument(names.symbol_of(row.get("symbol"), *kinds))


def _positions(names: Names, message: Mapping[str, Any]) -> list[events.Event]:
    found = tuple(
        normal.each(
            message.get("data"),
            lambda row: bybit_rows.position(names.account, _instrument_of(names, row), row),
        )
    )
    venue_ms = normal.stamp(message.get("creationTime"))
    if not found:
        return []
    return [events.PositionsUpdated(account=names.account, positions=found, venue_ms=venue_ms)]


def _orders(names: Names, message: Mapping[str, Any]) -> list[events.Event]:
    venue_ms = normal.stamp(message.get("creationTime"))
    orders = normal.each(
        message.get("data"),
        lambda row: bybit_rows.order(names.account, _instrument_of(names, row), row),
    )
    return [
        events.OrderUpdated(account=names.account, order=order, venue_ms=venue_ms)
        for order in orders
    ]


def _fills(names: Names, message: Mapping[str, Any]) -> list[events.Event]:
    read = normal.each(
        message.get("data"),
        lambda row: bybit_rows.fill(names.account, _instrument_of(names, row), row),
    )
    return [fill for fill in read if fill is not None]


def _wallet(names: Names, message: Mapping[str, Any]) -> list[events.Event]:
    balances: list[Balance] = []
    for account in message.get("data") or ():
        balances.extend(normal.each(account.get("coin"), _coin))
    venue_ms = normal.stamp(message.get("creationTime"))
    if not balances:
        return []
    return [
        events.BalancesUpdated(account=names.account, balances=tuple(balances), venue_ms=venue_ms)
    ]


def _coin(row: Mapping[str, Any]) -> Balance:
    # A coin that is gone must be told as zero, or it would stay.
    return bybit_rows.coin(row) or Balance(asset=str(row.get("coin")), total=normal.ZERO)


_PRIVATE: dict[str, Callable[[Names, Mapping[str, Any]], list[events.Event]]] = {
    "position": _positions,
    "order": _orders,
    "execution": _fills,
    "wallet": _wallet,
}
