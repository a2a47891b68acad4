"""Rows of Bybit's replies and frames turned into our types; no request here.

Orders, positions and wallets look nearly the same over REST and on the private stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELED,
    "PartiallyFilledCanceled": OrderStatus.CANCELED,
    "Deactivated": OrderStatus.CANCELED,
    "Rejected": OrderStatus.REJECTED,
}
_SIDES = {1: PositionSide.LONG, 2: PositionSide.SHORT}
LEGS = {side: index for index, side in _SIDES.items()}
_FILLS = frozenset({"", "Trade", "AdlTrade", "BustTrade", "Settle", "Delivery", "BlockTrade"})
_BOOKED = {
    "SETTLEMENT": LedgerKind.FUNDING,
    "INTEREST": LedgerKind.OTHER,
    "FEE_REFUND": LedgerKind.FEE,
    "LIQUIDATION": LedgerKind.LIQUIDATION,
    "ADL": LedgerKind.LIQUIDATION,
}
# Rows that repeat a fill: its profit and fee are already counted.
_REPEATS = frozenset({"TRADE", "DELIVERY", "CURRENCY_BUY", "CURRENCY_SELL"})


def leg_of(row: Mapping[str, Any]) -> PositionSide:
    """Return the leg `positionIdx` names: 0 one-way, 1 the buy side, 2 the sell side."""
    index = normal.real(row.get("positionIdx"))
    return _SIDES.get(int(index), PositionSide.NET) if index is not None else PositionSide.NET


# ---------------------------------------------------------------- wallet


def coin(row: Mapping[str, Any]) -> Balance | None:
    """Turn a coin of the wallet into a balance; None when there is none of it.

    Raises:
        VenueError: no wallet balance.
    """
    asset = str(row.get("coin"))
    total = normal.need(row, f"wallet {asset}", "walletBalance")
    equity = normal.number(row.get("equity"))
    if total == 0 and not equity:
        return None
    value, locked = normal.real(row.get("usdValue")), normal.number(row.get("locked"))
    price = value / float(equity) if value and equity else None
    return Balance(
        asset=asset,
        total=total,
        free=None if locked is None else total - locked,
        price_usd=price if price is not None and price > 0 else None,
    )


def wallet(reply: Mapping[str, Any], what: str) -> Wallet:
    """Turn the wallet reply into a wallet.

    Raises:
        VenueError: no account in it, or a coin without a balance.
    """
    accounts = normal.rows(reply.get("list"), what)
    if not accounts:
        raise normal.unusable(what, "no account in the reply")
    account = accounts[0]
    found = [coin(row) for row in normal.rows(account.get("coin"), what)]
    equity = normal.real(account.get("totalMarginBalance"))
    return Wallet(
        balances=tuple(balance for balance in found if balance is not None),
        margin=MarginReport(
            equity_usd=normal.real(account.get("totalEquity")) if equity is None else equity,
            maintenance_usd=normal.real(account.get("totalMaintenanceMargin")),
            initial_usd=normal.real(account.get("totalInitialMargin")),
            available_usd=normal.real(account.get("totalAvailableBalance")),
        ),
        maintenance=normal.by_name(account["coin"], "coin", "totalPositionMM"),
        initial=normal.by_name(account["coin"], "coin", "totalPositionIM"),
    )


# ---------------------------------------------------------------- positions, orders, fills


def position(account: str, instrument: Instrument, row: Mapping[str, Any]) -> Position:
    """Turn a position row into ours; a closed one has quantity 0.

    Raises:
        VenueError: no size, a side that contradicts the leg, or a notional that does not fit.
    """
    what = f"{account} {instrument.symbol}"
    size = normal.need(row, what, "size")
    side = leg_of(row)
    quantity = normal.signed(what, size, str(row.get("side") or ""), is_two_sided=True)
    if side is not PositionSide.NET and quantity != 0:
        normal.signed(what, quantity, side.value, is_two_sided=False)
    quantity *= instrument.contract_value
    entry = normal.positive(row.get("avgPrice")) or normal.positive(row.get("entryPrice"))
    mark = normal.positive(row.get("markPrice"))
    normal.check_notional(
        instrument, quantity, normal.number(row.get("positionValue")), entry, mark
    )
    is_isolated = normal.real(row.get("tradeMode")) == 1
    return Position(
        account=account,
        symbol=instrument.symbol,
        side=side,
        quantity=quantity,
        entry_price=entry,
        venue_mark=mark,
        unrealized_pnl=normal.number(row.get("unrealisedPnl")),
        liquidation_price=normal.positive(row.get("liqPrice")),
        leverage=normal.real(row.get("leverage")),
        is_isolated=is_isolated,
        maintenance_margin=normal.number(row.get("positionMM")),
        initial_margin=normal.number(row.get("positionIM")),
        isolated_margin=normal.positive(row.get("positionBalance")) if is_isolated else None,
    )


def order(account: str, instrument: Instrument, row: Mapping[str, Any]) -> WorkingOrder:
    """Turn an order row into ours.

    Raises:
        VenueError: no side or no quantity.
    """
    what = f"{account} {instrument.symbol} order {row.get('orderId')}"
    kind = str(row.get("stopOrderType") or "")
    client_id = row.get("orderLinkId")
    quantity = normal.need(row, what, "qty")
    closes = row.get("closeOnTrigger") is True
    kind_of_price = normal.order_type(row.get("orderType"))
    return WorkingOrder(
        account=account,
        symbol=instrument.symbol,
        order_id=str(row.get("orderId")),
        client_order_id=str(client_id) if client_id else None,
        side=normal.order_side(row.get("side"), what),
        type=kind_of_price,
        quantity=quantity * instrument.contract_value,
        filled=(normal.number(row.get("cumExecQty")) or Decimal(0)) * instrument.contract_value,
        # A market order shows the worst price it would take.
        price=normal.positive(row.get("price")) if kind_of_price is OrderType.LIMIT else None,
        stop_price=normal.positive(row.get("triggerPrice")),
        reduce_only=row.get("reduceOnly") is True or closes,
        close_position=closes and quantity == 0,
        position_side=leg_of(row),
        is_conditional=kind not in {"", "UNKNOWN"} or row.get("orderStatus") == "Untriggered",
        status=_STATUSES.get(str(row.get("orderStatus")), OrderStatus.OPEN),
        created_ms=normal.stamp(row.get("createdTime")) or 0,
        average=normal.positive(row.get("avgPrice")),
    )


def fill(account: str, instrument: Instrument, row: Mapping[str, Any]) -> events.OrderFilled | None:
    """Turn an execution into a fill; None for funding, which is no fill.

    Raises:
        VenueError: no side, quantity or price.
    """
    if str(row.get("execType") or "") not in _FILLS:
        return None
    what = f"{account} {instrument.symbol} execution {row.get('execId')}"
    client_id = row.get("orderLinkId")
    return events.OrderFilled(
        account=account,
        symbol=instrument.symbol,
        trade_id=str(row.get("execId")),
        order_id=str(row.get("orderId")),
        client_order_id=str(client_id) if client_id else None,
        side=normal.order_side(row.get("side"), what),
        quantity=normal.need(row, what, "execQty") * instrument.contract_value,
        price=normal.need(row, what, "execPrice"),
        position_side=leg_of(row),
        fee=normal.number(row.get("execFee")) or Decimal(0),
        fee_asset=_fee_asset(instrument, row),
        venue_ms=normal.stamp(row.get("execTime")),
    )


def _fee_asset(instrument: Instrument, row: Mapping[str, Any]) -> str:
    if stated := row.get("feeCurrency"):
        return str(stated)
    if instrument.kind is not InstrumentKind.SPOT:
        return instrument.settle
    buys = str(row.get("side")) == "Buy"
    return instrument.symbol.split("/", maxsplit=1)[0] if buys else instrument.quote


# ---------------------------------------------------------------- prices, ledger, rights


def prices(
    account: str, symbol: str, row: Mapping[str, Any], venue_ms: int | None, *, is_rest: bool
) -> events.PricesUpdated | None:
    """Read a ticker; None when it states no price."""
    names = ("markPrice", "indexPrice", "bid1Price", "ask1Price", "lastPrice")
    mark, index, bid, ask, last = (normal.real(row.get(name)) for name in names)
    if bid is None and ask is None:
        # Options are streamed under other names than they are read.
        bid, ask = normal.real(row.get("bidPrice")), normal.real(row.get("askPrice"))
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
        bid_quantity=normal.real(row.get("bid1Size")),
        ask_quantity=normal.real(row.get("ask1Size")),
        venue_ms=venue_ms,
        is_rest=is_rest,
        delta=normal.real(row.get("delta")),
        gamma=normal.real(row.get("gamma")),
        vega=normal.real(row.get("vega")),
        funding_rate=normal.real(row.get("fundingRate")),
        funding_interval_h=normal.real(row.get("fundingIntervalHour")),
        next_funding_ms=normal.stamp(row.get("nextFundingTime")),
    )


def booked(
    account: str, row: Mapping[str, Any], symbol: str | None = None
) -> events.LedgerEntryBooked | None:
    """Turn a row of the transaction log into a ledger entry; None when it repeats a fill.

    `symbol` is that of the instrument it names.

    Raises:
        VenueError: no amount or no time.
    """
    name = str(row.get("type") or "")
    if name in _REPEATS:
        return None
    what = f"{account} transaction {name}"
    kind = _BOOKED.get(name, LedgerKind.OTHER)
    if "TRANSFER" in name:
        kind = LedgerKind.TRANSFER
    elif "DEPOSIT" in name:
        kind = LedgerKind.DEPOSIT
    elif "WITHDRAW" in name:
        kind = LedgerKind.WITHDRAWAL
    return events.LedgerEntryBooked(
        account=account,
        entry_id=str(row.get("id")),
        entry_kind=kind,
        asset=str(row.get("currency")),
        amount=normal.need(row, what, "change", "cashFlow"),
        venue_ms=int(normal.need(row, what, "transactionTime")),
        symbol=symbol,
    )


def key_rights(account: str, row: Mapping[str, Any]) -> events.KeyRightsChecked:
    """Read what `query-api` says of the key; an empty row leaves all unknown."""
    rights = row.get("permissions")
    if not isinstance(rights, Mapping):
        return events.KeyRightsChecked(
            account=account, can_trade=None, can_withdraw=None, can_transfer=None, has_ip_list=None
        )
    purse = [str(name).lower() for name in rights.get("Wallet") or ()]
    trades = any(rights.get(name) for name in ("ContractTrade", "Spot", "Derivatives", "Options"))
    addresses = row.get("ips")
    return events.KeyRightsChecked(
        account=account,
        can_trade=bool(trades) and row.get("readOnly") in {0, "0"},
        can_withdraw=any("withdraw" in name for name in purse),
        can_transfer=any("transfer" in name for name in purse),
        has_ip_list=_is_bound(addresses),
        expires_ms=_expiry_ms(row.get("expiredAt")),
    )


def _is_bound(addresses: Any) -> bool | None:
    if not isinstance(addresses, Sequence) or isinstance(addresses, str):
        return None
    return bool(addresses) and "*" not in addresses


def _expiry_ms(text: Any) -> int | None:
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    # A key bound to addresses never expires; the venue then states the epoch.
    return int(found.timestamp() * 1000) or None


def margin_params(move: actions.AddMargin) -> dict[str, Any]:
    """Return what adding margin to a position takes beside the instrument."""
    return {"margin": normal.plain(move.amount), "positionIdx": LEGS.get(move.position_side, 0)}
