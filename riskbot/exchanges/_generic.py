"""From ccxt's unified structures to our types, for venues without a file of their own.

Numbers there have passed through floats; the venue files read the venues' own strings instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    Side,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal

Lookup = Callable[[str], Instrument]
# Some venues want a mark of theirs before an id, and ccxt puts it there.
_MARKED_ID = re.compile(r"^\w{1,16}-(rb[0-9a-z]{4,30})$")
_RAW_QUANTITIES = ("positionAmt", "size", "pos", "szi", "qty", "currentQty", "amount", "contracts")


def position(account: str, row: Mapping[str, Any], lookup: Lookup) -> Position | None:
    """Turn a ccxt position into ours; None when it is flat.

    Raises:
        VenueError: no quantity, a contradicting sign, or a notional that does not fit.
    """
    symbol = str(row.get("symbol"))
    what = f"{account} {symbol}"
    contracts = normal.need(row, what, "contracts")
    if contracts == 0:
        return None
    info = row.get("info") if isinstance(row.get("info"), Mapping) else {}
    side = str(row.get("side") or "")
    quantity = normal.signed(what, contracts, side, is_two_sided=True)
    raw = normal.first(info or {}, *_RAW_QUANTITIES)
    if raw is not None and raw < 0 < quantity:
        raise normal.unusable(what, f"side {side} but the venue's own quantity is {raw}")
    instrument = lookup(symbol)
    quantity *= instrument.contract_value
    mark, entry = normal.positive(row.get("markPrice")), normal.positive(row.get("entryPrice"))
    normal.check_notional(instrument, quantity, normal.number(row.get("notional")), mark, entry)
    is_hedged = row.get("hedged") is True
    return Position(
        account=account,
        symbol=symbol,
        side=PositionSide(side) if is_hedged else PositionSide.NET,
        quantity=quantity,
        entry_price=entry,
        venue_mark=mark,
        unrealized_pnl=normal.number(row.get("unrealizedPnl")),
        liquidation_price=normal.positive(row.get("liquidationPrice")),
        leverage=normal.real(row.get("leverage")),
        is_isolated=row.get("marginMode") == "isolated",
        maintenance_margin=normal.number(row.get("maintenanceMargin")),
        initial_margin=normal.number(row.get("initialMargin")),
        isolated_margin=normal.positive(row.get("collateral"))
        if row.get("marginMode") == "isolated"
        else None,
    )


def order(
    account: str, row: Mapping[str, Any], lookup: Lookup, *, is_conditional: bool = False
) -> WorkingOrder:
    """Turn a ccxt order into ours.

    Raises:
        VenueError: no side, or no quantity where one is needed.
    """
    symbol = str(row.get("symbol"))
    what = f"{account} {symbol} order {row.get('id')}"
    value = _contract_value(lookup(symbol))
    trigger = normal.positive(row.get("triggerPrice")) or normal.positive(row.get("stopPrice"))
    client_id = own_id(row.get("clientOrderId"))
    return WorkingOrder(
        account=account,
        symbol=symbol,
        order_id=str(row.get("id")),
        client_order_id=client_id,
        side=normal.order_side(row.get("side"), what),
        type=normal.order_type(row.get("type")),
        quantity=(normal.number(row.get("amount")) or Decimal(0)) * value,
        filled=(normal.number(row.get("filled")) or Decimal(0)) * value,
        price=normal.positive(row.get("price")),
        stop_price=trigger,
        reduce_only=row.get("reduceOnly") is True,
        is_conditional=is_conditional or trigger is not None,
        status=normal.STATUSES.get(str(row.get("status") or "open"), OrderStatus.OPEN),
        created_ms=normal.stamp(row.get("timestamp")) or 0,
        average=normal.positive(row.get("average")),
    )


def fill(account: str, row: Mapping[str, Any], lookup: Lookup) -> events.OrderFilled:
    """Turn a ccxt trade of ours into a fill.

    Raises:
        VenueError: no side, quantity or price.
    """
    symbol = str(row.get("symbol"))
    what = f"{account} {symbol} trade {row.get('id')}"
    fee = row.get("fee") or {}
    return events.OrderFilled(
        account=account,
        symbol=symbol,
        trade_id=str(row.get("id")),
        order_id=str(row.get("order") or ""),
        client_order_id=own_id(row.get("clientOrderId")),
        side=normal.order_side(row.get("side"), what),
        quantity=normal.need(row, what, "amount") * _contract_value(lookup(symbol)),
        price=normal.need(row, what, "price"),
        fee=normal.number(fee.get("cost")) or Decimal(0),
        fee_asset=fee.get("currency"),
        venue_ms=normal.stamp(row.get("timestamp")),
    )


def own_id(value: Any) -> str | None:
    """Return a client id as we gave it, whatever the venue wants before it; None for none."""
    if not value:
        return None
    marked = _MARKED_ID.match(str(value))
    return marked[1] if marked else str(value)


def prices(account: str, row: Mapping[str, Any], *, is_rest: bool) -> events.PricesUpdated | None:
    """Turn a ccxt ticker into prices; None when it holds none."""
    names = ("markPrice", "indexPrice", "bid", "ask", "last")
    mark, index, bid, ask, last = (normal.real(row.get(name)) for name in names)
    if not row.get("symbol") or all(price is None for price in (mark, index, bid, ask, last)):
        return None
    return events.PricesUpdated(
        account=account,
        symbol=str(row["symbol"]),
        mark=mark,
        index=index,
        bid=bid,
        ask=ask,
        last=last,
        bid_quantity=normal.real(row.get("bidVolume")),
        ask_quantity=normal.real(row.get("askVolume")),
        venue_ms=normal.stamp(row.get("timestamp")),
        is_rest=is_rest,
    )


DEPTH_REACH = Decimal("0.01")
"""How far behind the touch what rests still counts as depth."""


LEVELS_LEAST = 20
"""A side with fewer levels than this is an excerpt, or a market that nobody makes: it says nothing
about what a close would find."""


def depth(account: str, symbol: str, reply: Any, lookup: Lookup) -> events.DepthRead | None:
    """Add up a ccxt order book within reach of its touch; None when it is none, or an excerpt."""
    if not isinstance(reply, Mapping):
        return None
    try:
        if min(len(reply.get(side) or ()) for side in ("bids", "asks")) < LEVELS_LEAST:
            return None
        unit = lookup(symbol).contract_value
        bid, ask = (_within_reach(reply.get(side)) for side in ("bids", "asks"))
    except (VenueError, LookupError, TypeError, ValueError, ArithmeticError):
        return None
    return events.DepthRead(
        account=account, symbol=symbol, bid_quantity=bid * unit, ask_quantity=ask * unit
    )


def _within_reach(levels: Any) -> Decimal:
    rows = [(Decimal(str(row[0])), Decimal(str(row[1]))) for row in levels or ()]
    if not rows:
        return Decimal(0)
    touch = rows[0][0]
    near = [amount for price, amount in rows if abs(price - touch) <= touch * DEPTH_REACH]
    whole = sum(near, Decimal(0))
    return whole if whole.is_finite() and whole > 0 else Decimal(0)


def is_exit(side: Side, kind: InstrumentKind, *, reduce_only: bool) -> bool:
    """Whether an order cannot raise exposure: reduce-only, or selling held coins."""
    return reduce_only or (kind is InstrumentKind.SPOT and side is Side.SELL)


def _contract_value(instrument: Instrument) -> Decimal:
    return instrument.contract_value


def _closed(account: str, row: Mapping[str, Any]) -> Position:
    side = str(row.get("side") or "")
    is_leg = row.get("hedged") is True and side in {"long", "short"}
    return Position(
        account=account,
        symbol=str(row.get("symbol")),
        side=PositionSide(side) if is_leg else PositionSide.NET,
        quantity=Decimal(0),
    )


def order_from_fills(
    query: actions.QueryOrder, fills: Sequence[events.OrderFilled]
) -> WorkingOrder | None:
    """Build a filled order from its own trades; None without any."""
    if not fills:
        return None
    quantity = sum((fill.quantity for fill in fills), Decimal(0))
    value = sum((fill.quantity * fill.price for fill in fills), Decimal(0))
    return WorkingOrder(
        account=query.account,
        symbol=query.symbol,
        order_id=fills[0].order_id,
        client_order_id=query.client_order_id,
        side=fills[0].side,
        type=OrderType.MARKET,
        quantity=quantity,
        filled=quantity,
        status=OrderStatus.FILLED,
        created_ms=fills[0].venue_ms or 0,
        average=value / quantity,
    )


def stream_events(account: str, result: Any, lookup: Lookup) -> list[events.Event] | None:
    """Turn what a watch call of ccxt resolved into events; None when it is none of ours.

    Raises:
        VenueError: a row without what it must have.
    """
    if isinstance(result, dict):
        if "bid" in result and "last" in result:
            price = prices(account, result, is_rest=False)
            return [] if price is None else [price]
        if isinstance(result.get("total"), dict) and "free" in result:
            balances = normal.generic_balances(result)
            return [events.BalancesUpdated(account=account, balances=balances)]
        if result and all(isinstance(v, dict) and "bid" in v for v in result.values()):
            found = [prices(account, row, is_rest=False) for row in result.values()]
            return [price for price in found if price is not None]
        return None
    if not isinstance(result, list) or not len(result):
        return None
    return _row_events(account, result, lookup)


def _row_events(account: str, result: Any, lookup: Lookup) -> list[events.Event] | None:
    new = fresh_rows(result)
    if not new or not isinstance(new[-1], dict):
        return None
    row = new[-1]
    if "contracts" in row:
        # A closed position comes as zero: PositionsUpdated must carry it.
        found = [position(account, item, lookup) or _closed(account, item) for item in new]
        return [events.PositionsUpdated(account=account, positions=tuple(found))]
    if "clientOrderId" in row and "status" in row:
        return [
            events.OrderUpdated(account=account, order=order(account, item, lookup)) for item in new
        ]
    if "takerOrMaker" in row and row.get("order"):
        return [fill(account, item, lookup) for item in new]
    return None


def fresh_rows(result: Any) -> list[Any]:
    """Return what is new in a list ccxt resolved: all of it, or a cache's newest part."""
    limit = getattr(result, "getLimit", None)
    if limit is None:
        return list(result)
    count = limit(None, None) or 0
    return list(result)[-count:] if count else []
