"""OKX's conditional (algo) orders, and how they and the orders they become are told together.

The venue keeps them in a service of their own: when one triggers it is over, and a plain order
with another id works in its place. Rows of plain orders are in `okx_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from riskbot.core.model import Instrument, OrderStatus, OrderType, WorkingOrder
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges import okx_rows

# Made by a trigger order, a stop or target, a trailing stop: each makes one order and is done.
_TRIGGERED = frozenset({"6", "7", "25"})


def algo_order(account: str, instrument: Instrument, row: Mapping[str, Any]) -> WorkingOrder:
    """Turn a conditional order into ours.

    Raises:
        VenueError: no side.
    """
    what = f"{account} {instrument.symbol} conditional order {row.get('algoId')}"
    client_id = row.get("algoClOrdId")
    triggers = ("slTriggerPx", "triggerPx", "tpTriggerPx", "moveTriggerPx", "activePx")
    prices = ("slOrdPx", "ordPx", "tpOrdPx")
    stated = next((p for name in prices if (p := normal.number(row.get(name))) is not None), None)
    limit = stated if stated is not None and stated > 0 else None
    stop = next((p for name in triggers if (p := normal.positive(row.get(name)))), None)
    size = normal.number(row.get("sz")) or Decimal(0)
    quantity = okx_rows.size_of(instrument, row, size, limit or stop) or Decimal(0)
    closes = normal.number(row.get("closeFraction")) == 1
    return WorkingOrder(
        account=account,
        symbol=instrument.symbol,
        order_id=str(row.get("algoId")),
        client_order_id=str(client_id) if client_id else None,
        side=normal.order_side(row.get("side"), what),
        # A price of -1 means: at market.
        type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity=quantity * instrument.contract_value,
        price=limit,
        stop_price=stop,
        reduce_only=str(row.get("reduceOnly")).lower() == "true" or closes,
        close_position=closes,
        position_side=normal.leg(row.get("posSide")),
        is_conditional=True,
        status=okx_rows.status(row),
        created_ms=normal.stamp(row.get("cTime")) or 0,
    )


def origin(made: WorkingOrder, row: Mapping[str, Any]) -> WorkingOrder | None:
    """Return the conditional order that an order came of, which is over; None when of none.

    It is told of on another socket, be it earlier or later.
    """
    algo_id = row.get("algoId")
    if not algo_id or str(row.get("source")) not in _TRIGGERED:
        return None
    client_id = row.get("algoClOrdId")
    return replace(
        made,
        order_id=str(algo_id),
        client_order_id=str(client_id) if client_id else None,
        filled=Decimal(0),
        average=None,
        is_conditional=True,
        status=OrderStatus.EXPIRED,
    )


def made_by(row: Mapping[str, Any]) -> str | None:
    """Return the venue's id of the order that a conditional order became, None when of none."""
    listed = row.get("ordIdList") or ()
    made = row.get("ordId") or (listed[-1] if listed else None)
    return str(made) if made else None
