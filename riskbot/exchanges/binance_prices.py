"""Rows of Binance's REST replies that state prices and funding; no request here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from riskbot.core import events
from riskbot.exchanges import _normalize as normal

Parse = Callable[[str, str, Mapping[str, Any]], events.PricesUpdated | None]
USUAL_INTERVAL_H = 8.0
"""Hours between two settlements of a contract that the venue's list of exceptions leaves out."""


def price_reads(market: str) -> Sequence[tuple[str, Parse]]:
    """Return the endpoints that state prices, with what reads their rows."""
    if market == "spot":
        return (("PublicGetTickerBookTicker", book), ("PublicGetTickerPrice", last))
    return (("PublicGetPremiumIndex", mark), ("PublicGetTickerBookTicker", book))


def mark(account: str, symbol: str, row: Mapping[str, Any]) -> events.PricesUpdated | None:
    """Read mark and index, and of a perpetual the rate of its next funding."""
    price, index = normal.real(row.get("markPrice")), normal.real(row.get("indexPrice"))
    if price is None and index is None:
        return None
    return events.PricesUpdated(
        account=account,
        symbol=symbol,
        mark=price,
        index=index,
        venue_ms=normal.stamp(row.get("time")),
        is_rest=True,
        funding_rate=normal.real(row.get("lastFundingRate")),
        next_funding_ms=normal.stamp(row.get("nextFundingTime")),
    )


def book(account: str, symbol: str, row: Mapping[str, Any]) -> events.PricesUpdated | None:
    """Read the best bid and ask."""
    bid, ask = normal.real(row.get("bidPrice")), normal.real(row.get("askPrice"))
    if bid is None and ask is None:
        return None
    return events.PricesUpdated(
        account=account,
        symbol=symbol,
        bid=bid,
        ask=ask,
        bid_quantity=normal.real(row.get("bidQty")),
        ask_quantity=normal.real(row.get("askQty")),
        venue_ms=normal.stamp(row.get("time")),
        is_rest=True,
    )


def last(account: str, symbol: str, row: Mapping[str, Any]) -> events.PricesUpdated | None:
    """Read the last price."""
    price = normal.real(row.get("price"))
    if price is None:
        return None
    venue_ms = normal.stamp(row.get("time"))
    return events.PricesUpdated(
        account=account, symbol=symbol, last=price, venue_ms=venue_ms, is_rest=True
    )


def intervals(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the hours between two settlements by contract, of those that are no usual ones."""
    read = ((str(row.get("symbol")), normal.real(row.get("fundingIntervalHours"))) for row in rows)
    return {name: hours for name, hours in read if hours is not None and hours > 0}
