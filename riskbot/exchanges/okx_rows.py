"""Rows of OKX's replies and frames turned into our types; no request here.

Sizes of derivatives are contracts; the same fields come over REST and on the private stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Balance,
    Instrument,
    InstrumentKind,
    LedgerKind,
    MarginReport,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    WorkingOrder,
)
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._wallet import Wallet

_STATUSES = {
    "filled": OrderStatus.FILLED,
    # The conditional order is done; the order it made has an id of its own.
    "effective": OrderStatus.EXPIRED,
    "canceled": OrderStatus.CANCELED,
    "mmp_canceled": OrderStatus.CANCELED,
    "order_failed": OrderStatus.REJECTED,
}
HOUR_MS = 3_600_000
_TRANSFER, _INTEREST, _FUNDING = "1", "7", "8"
# Trades, deliveries, liquidations and deleveraging: their profit and fee are in the fills.
_REPEATS = frozenset({"2", "3", "5", "9"})
# Between the cross pool and an isolated position of the same account.
_INSIDE = frozenset({"6"})


# ---------------------------------------------------------------- wallet


def coin(row: Mapping[str, Any]) -> Balance | None:
    """Turn a currency into a balance; None when there is none of it.

    Raises:
        VenueError: no cash balance.
    """
    asset = str(row.get("ccy"))
    total = normal.need(row, f"balance {asset}", "cashBal")
    equity = normal.number(row.get("eq"))
    if total == 0 and not equity:
        return None
    price = _price(row)
    return Balance(
        asset=asset, total=total, free=normal.number(row.get("availBal")), price_usd=price
    )


def _price(row: Mapping[str, Any]) -> float | None:
    value, equity = normal.real(row.get("eqUsd")), normal.real(row.get("eq"))
    return value / equity if value and equity and value * equity > 0 else None


def wallet(row: Mapping[str, Any], what: str) -> Wallet:
    """Turn the account balance into a wallet.

    Raises:
        VenueError: no list of currencies, or one without a balance.
    """
    details = normal.rows(row.get("details"), what)
    found = [coin(detail) for detail in details]
    stated = {name: normal.real(row.get(name)) for name in ("adjEq", "totalEq", "mmr", "imr")}
    equity = stated["adjEq"] if stated["adjEq"] is not None else stated["totalEq"]
    return Wallet(
        balances=tuple(balance for balance in found if balance is not None),
        margin=MarginReport(
            equity_usd=equity,
            maintenance_usd=_total(details, "mmr") if stated["mmr"] is None else stated["mmr"],
            initial_usd=_total(details, "imr") if stated["imr"] is None else stated["imr"],
            available_usd=normal.real(row.get("availEq")),
        ),
        maintenance=normal.by_name(details, "ccy", "mmr"),
        venue_ms=normal.stamp(row.get("uTime")),
    )


def _total(details: list[dict[str, Any]], name: str) -> float | None:
    # In single-currency mode margins are stated per currency alone.
    found = [(normal.real(row.get(name)), _price(row)) for row in details]
    known = [margin * (price or 0.0) for margin, price in found if margin is not None]
    return sum(known) if known else None


# ---------------------------------------------------------------- positions, orders, fills


def position(account: str, instrument: Instrument, row: Mapping[str, Any]) -> Position:
    """Turn a position row into ours; a closed one has quantity 0.

    Raises:
        VenueError: no size, a side that contradicts it, a notional that does not fit, or a
            position of the spot margin kind, which is not supported.
    """
    what = f"{account} {instrument.symbol}"
    if instrument.kind is InstrumentKind.SPOT:
        raise normal.unusable(what, "positions in spot margin are not supported")
    contracts = normal.need(row, what, "pos")
    side = normal.leg(row.get("posSide"))
    is_leg = side is not PositionSide.NET
    named = side.value if is_leg else ""
    quantity = normal.signed(what, contracts, named, is_two_sided=is_leg)
    quantity *= instrument.contract_value
    mark, entry = normal.positive(row.get("markPx")), normal.positive(row.get("avgPx"))
    _check(instrument, quantity, normal.number(row.get("notionalUsd")), mark)
    is_isolated = row.get("mgnMode") == "isolated"
    return Position(
        account=account,
        symbol=instrument.symbol,
        side=side,
        quantity=quantity,
        entry_price=entry,
        venue_mark=mark,
        unrealized_pnl=normal.number(row.get("upl")),
        liquidation_price=normal.positive(row.get("liqPx")),
        leverage=normal.real(row.get("lever")),
        is_isolated=is_isolated,
        maintenance_margin=normal.number(row.get("mmr")),
        initial_margin=normal.first(row, "imr", "margin"),
        isolated_margin=_isolated(row) if is_isolated else None,
    )


def _check(
    instrument: Instrument, quantity: Decimal, usd: Decimal | None, mark: Decimal | None
) -> None:
    if usd is None or mark is None or instrument.kind is InstrumentKind.OPTION:
        return
    # Stated in USD for all kinds; what settles in a stablecoin differs by its peg, far below 2 %.
    is_inverse = instrument.kind is InstrumentKind.INVERSE
    normal.check_notional(instrument, quantity, usd / mark if is_inverse else usd, mark)


def _isolated(row: Mapping[str, Any]) -> Decimal | None:
    margin, profit = normal.number(row.get("margin")), normal.number(row.get("upl"))
    return None if margin is None else margin + (profit or Decimal(0))


def order(account: str, instrument: Instrument, row: Mapping[str, Any]) -> WorkingOrder:
    """Turn an order row into ours.

    Raises:
        VenueError: no side or no size.
    """
    what = f"{account} {instrument.symbol} order {row.get('ordId')}"
    kind = normal.order_type(row.get("ordType"))
    filled = normal.number(row.get("accFillSz")) or Decimal(0)
    price = normal.positive(row.get("px")) if kind is OrderType.LIMIT else None
    average = normal.positive(row.get("avgPx"))
    size = size_of(instrument, row, normal.need(row, what, "sz"), price or average)
    return WorkingOrder(
        account=account,
        symbol=instrument.symbol,
        order_id=str(row.get("ordId")),
        client_order_id=client_id_of(row),
        side=normal.order_side(row.get("side"), what),
        type=kind,
        quantity=(filled if size is None else size) * instrument.contract_value,
        filled=filled * instrument.contract_value,
        price=price,
        reduce_only=str(row.get("reduceOnly")).lower() == "true",
        position_side=normal.leg(row.get("posSide")),
        status=status(row),
        created_ms=normal.stamp(row.get("cTime")) or 0,
        average=average,
    )


def client_id_of(row: Mapping[str, Any]) -> str | None:
    """Return the client id that an order, or a fill, goes by.

    What a conditional order became has none of its own: it goes by that of the order it came of.
    """
    named = row.get("clOrdId") or row.get("algoClOrdId")
    return str(named) if named else None


def status(row: Mapping[str, Any]) -> OrderStatus:
    """Return the status of an order, plain or conditional; an unknown word counts as open."""
    return _STATUSES.get(str(row.get("state")), OrderStatus.OPEN)


def size_of(
    instrument: Instrument, row: Mapping[str, Any], stated: Decimal, price: Decimal | None
) -> Decimal | None:
    """Return an order's size in contracts, or coins on spot.

    What buys coins at market may be sized in the money spent; None when no price turns it.
    """
    is_money = instrument.kind is InstrumentKind.SPOT and row.get("tgtCcy") == "quote_ccy"
    if not is_money:
        return stated
    return None if price is None else stated / price


def fill(account: str, instrument: Instrument, row: Mapping[str, Any]) -> events.OrderFilled | None:
    """Turn an order push or a fill row into a fill; None when nothing was filled.

    Raises:
        VenueError: no side or no price.
    """
    size = normal.positive(row.get("fillSz"))
    trade_id = str(row.get("tradeId") or "")
    if size is None or not trade_id:
        return None
    what = f"{account} {instrument.symbol} trade {trade_id}"
    fee = normal.first(row, "fillFee", "fee") or Decimal(0)
    asset = row.get("fillFeeCcy") or row.get("feeCcy")
    return events.OrderFilled(
        account=account,
        symbol=instrument.symbol,
        # Liquidations carry no trade of the book: the order and the time tell them apart.
        trade_id=trade_id if trade_id != "0" else f"{row.get('ordId')}:{row.get('fillTime')}",
        order_id=str(row.get("ordId")),
        client_order_id=client_id_of(row),
        side=normal.order_side(row.get("side"), what),
        quantity=size * instrument.contract_value,
        price=normal.need(row, what, "fillPx"),
        position_side=normal.leg(row.get("posSide")),
        # The venue writes what is paid as negative.
        fee=-fee,
        fee_asset=str(asset) if asset else None,
        venue_ms=normal.stamp(row.get("fillTime")) or normal.stamp(row.get("ts")),
    )


# ---------------------------------------------------------------- prices, ledger, rights


def prices(
    account: str, symbol: str, row: Mapping[str, Any], *, is_rest: bool
) -> events.PricesUpdated | None:
    """Read a row of marks, index prices or tickers; None when it states no price."""
    names = ("markPx", "idxPx", "bidPx", "askPx", "last")
    mark, index, bid, ask, last = (normal.real(row.get(name)) for name in names)
    if all(price is None for price in (mark, index, bid, ask, last)):
        return None
    return events.PricesUpdated(
        account=account,
        symbol=symbol,
        mark=mark,
        index=index,
        bid=bid,
        ask=ask,
        last=last,
        bid_quantity=normal.real(row.get("bidSz")),
        ask_quantity=normal.real(row.get("askSz")),
        venue_ms=normal.stamp(row.get("ts")),
        is_rest=is_rest,
    )


def funding(account: str, symbol: str, row: Mapping[str, Any]) -> events.PricesUpdated | None:
    """Read the rate of the next funding of a perpetual; None when it states none."""
    rate = normal.real(row.get("fundingRate"))
    if rate is None:
        return None
    settled_ms = normal.stamp(row.get("fundingTime"))
    after_ms = normal.stamp(row.get("nextFundingTime"))
    is_stated = settled_ms is not None and after_ms is not None and after_ms > settled_ms
    return events.PricesUpdated(
        account=account,
        symbol=symbol,
        is_rest=True,
        funding_rate=rate,
        funding_interval_h=((after_ms or 0) - (settled_ms or 0)) / HOUR_MS if is_stated else None,
        next_funding_ms=settled_ms,
    )


def chain_of(instrument_id: str) -> tuple[str, str]:
    """Return family and expiry of an option: `BTC-USD`, `240329` of `BTC-USD-240329-32000-C`."""
    family, expiry, _, _ = instrument_id.rsplit("-", 3)
    return family, expiry


def greeks(account: str, symbol: str, row: Mapping[str, Any]) -> events.PricesUpdated | None:
    """Read the greeks of an option; None when it states none.

    Those in money: the venue's plain ones are of the premium in coin, whose own price moves with
    the collateral that it is paid in.
    """
    delta = normal.real(row.get("deltaBS"))
    if delta is None:
        return None
    return events.PricesUpdated(
        account=account,
        symbol=symbol,
        is_rest=True,
        delta=delta,
        gamma=normal.real(row.get("gammaBS")),
        vega=normal.real(row.get("vegaBS")),
    )


def booked(
    account: str, row: Mapping[str, Any], symbol: str | None = None
) -> events.LedgerEntryBooked | None:
    """Turn a bill into a ledger entry; None when it repeats a fill or moves nothing.

    `symbol` is that of the instrument it names.

    Raises:
        VenueError: no amount or no time.
    """
    name = str(row.get("type"))
    if name in _REPEATS or name in _INSIDE:
        return None
    kinds = {_TRANSFER: LedgerKind.TRANSFER, _FUNDING: LedgerKind.FUNDING}
    what = f"{account} bill {row.get('billId')}"
    return events.LedgerEntryBooked(
        account=account,
        entry_id=str(row.get("billId")),
        entry_kind=kinds.get(name, LedgerKind.OTHER),
        asset=str(row.get("ccy")),
        amount=normal.need(row, what, "balChg"),
        venue_ms=int(normal.need(row, what, "ts")),
        symbol=symbol,
    )


def key_rights(account: str, row: Mapping[str, Any]) -> events.KeyRightsChecked:
    """Read what the account configuration says of the key; an empty row leaves all unknown."""
    rights = row.get("perm")
    names = set(rights.split(",")) if isinstance(rights, str) and rights else None
    address = row.get("ip")
    return events.KeyRightsChecked(
        account=account,
        can_trade=None if names is None else "trade" in names,
        can_withdraw=None if names is None else "withdraw" in names,
        can_transfer=None,
        has_ip_list=bool(address) if isinstance(address, str) else None,
    )


def margin_params(instrument_id: str, move: actions.AddMargin) -> dict[str, Any]:
    """Return what adding margin to a position takes."""
    side, amount = move.position_side.value, normal.plain(move.amount)
    return {"instId": instrument_id, "posSide": side, "type": "add", "amt": amount}
