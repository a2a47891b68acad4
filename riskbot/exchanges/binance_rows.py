"""Rows of Binance's REST replies turned into our types, and its error codes; no request here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from riskbot.core import events
from riskbot.core.model import (
    Balance,
    Instrument,
    LedgerKind,
    MarginReport,
    OrderStatus,
    Position,
    PositionSide,
    WorkingOrder,
)
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._wallet import Wallet

_STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "PENDING_CANCEL": OrderStatus.OPEN,
    "TRIGGERING": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
    # The conditional order is done; the order it made has an id of its own.
    "TRIGGERED": OrderStatus.EXPIRED,
    # That one has filled or was canceled, which its own frames tell.
    "FINISHED": OrderStatus.EXPIRED,
}

_INCOME = {
    "FUNDING_FEE": LedgerKind.FUNDING,
    "COMMISSION_REBATE": LedgerKind.FEE,
    "API_REBATE": LedgerKind.FEE,
    "REFERRAL_KICKBACK": LedgerKind.FEE,
    "FEE_RETURN": LedgerKind.FEE,
    "INSURANCE_CLEAR": LedgerKind.LIQUIDATION,
}
# Rows that repeat a fill: its profit and fee are already counted.
_REPEATS = frozenset({"REALIZED_PNL", "COMMISSION"})
_DEPOSITS = frozenset({"DEPOSIT", "COIN_SWAP_DEPOSIT", "WELCOME_BONUS", "CONTEST_REWARD"})
_WITHDRAWALS = frozenset({"WITHDRAW", "COIN_SWAP_WITHDRAW"})

Symbols = Callable[[Any], str]


def status(value: Any) -> OrderStatus:
    """Return the status of an order; an unknown word counts as still open."""
    return _STATUSES.get(str(value), OrderStatus.OPEN)


def flag(value: Any) -> bool:
    """Return a boolean that may come as text."""
    return str(value).lower() == "true"


def futures_wallet(
    reply: Mapping[str, Any], what: str, prices: Mapping[str, float], symbol_of: Symbols
) -> Wallet:
    """Turn the futures account reply into a wallet.

    Raises:
        VenueError: no list of assets, or an asset without a balance.
    """
    balances = []
    for row in normal.rows(reply.get("assets"), what):
        asset = str(row.get("asset"))
        total = normal.need(row, f"{what} {asset}", "walletBalance")
        if total != 0 or normal.number(row.get("unrealizedProfit")):
            balances.append(
                Balance(
                    asset=asset,
                    total=total,
                    free=normal.first(row, "availableBalance", "maxWithdrawAmount"),
                    price_usd=prices.get(asset),
                )
            )
    return Wallet(
        balances=tuple(balances),
        margin=_margin(reply),
        open_keys=_open_keys(reply.get("positions"), symbol_of),
        margin_in_use=normal.first(reply, "totalPositionInitialMargin"),
        maintenance=normal.by_name(reply["assets"], "asset", "maintMargin"),
        initial=normal.by_name(reply["assets"], "asset", "positionInitialMargin"),
        venue_ms=normal.stamp(reply.get("updateTime")),
    )


def _margin(reply: Mapping[str, Any]) -> MarginReport:
    # COIN-M has no totals: its pools are per coin.
    cross = normal.first(reply, "totalCrossWalletBalance")
    profit = normal.first(reply, "totalCrossUnPnl")
    whole = normal.real(reply.get("totalMarginBalance"))
    return MarginReport(
        equity_usd=whole if cross is None or profit is None else float(cross + profit),
        maintenance_usd=normal.real(reply.get("totalMaintMargin")),
        initial_usd=normal.real(reply.get("totalInitialMargin")),
        available_usd=normal.real(reply.get("availableBalance")),
    )


def _open_keys(positions: Any, symbol_of: Symbols) -> frozenset[tuple[str, PositionSide]] | None:
    if not isinstance(positions, list):
        return None
    found = set()
    for row in positions:
        quantity = normal.number(row.get("positionAmt")) if isinstance(row, dict) else None
        if quantity is None:
            return None
        if quantity != 0:
            found.add((symbol_of(row.get("symbol")), normal.leg(row.get("positionSide"))))
    return frozenset(found)


def spot_wallet(reply: Mapping[str, Any], what: str) -> Wallet:
    """Turn the spot account reply into a wallet.

    Raises:
        VenueError: no list of balances, or a balance that is no number.
    """
    balances = []
    for row in normal.rows(reply.get("balances"), what):
        asset = str(row.get("asset"))
        free = normal.need(row, f"{what} {asset}", "free")
        locked = normal.need(row, f"{what} {asset}", "locked")
        if free + locked != 0:
            balances.append(Balance(asset=asset, total=free + locked, free=free))
    return Wallet(tuple(balances), venue_ms=normal.stamp(reply.get("updateTime")))


def joined(wallets: Sequence[Wallet]) -> Wallet:
    """Add the wallets of several kinds of account; the margin report is the first one's."""
    totals: dict[str, Balance] = {}
    for wallet in wallets:
        for balance in wallet.balances:
            known = totals.get(balance.asset)
            totals[balance.asset] = balance if known is None else _added(known, balance)
    keys = [wallet.open_keys for wallet in wallets if wallet.open_keys is not None]
    reports = [wallet.margin for wallet in wallets if wallet.margin.equity_usd is not None]
    return Wallet(
        balances=tuple(totals.values()),
        margin=reports[0] if reports else MarginReport(),
        open_keys=frozenset().union(*keys) if keys else None,
        venue_ms=max((wallet.venue_ms or 0 for wallet in wallets), default=0) or None,
    )


def _added(one: Balance, other: Balance) -> Balance:
    free = None if one.free is None or other.free is None else one.free + other.free
    price = one.price_usd if one.price_usd is not None else other.price_usd
    return Balance(one.asset, one.total + other.total, free, price)


def asset_prices(rows: Sequence[Any]) -> dict[str, float]:
    """Return USD index prices per asset."""
    found = {}
    for row in rows:
        name = str(row.get("symbol") or "") if isinstance(row, dict) else ""
        price = normal.real(row.get("index")) if name.endswith("USD") else None
        if price is not None and price > 0:
            found[name.removesuffix("USD")] = price
    return found


# ---------------------------------------------------------------- positions and orders


def position(
    account: str, instrument: Instrument, row: Mapping[str, Any], contracts: Decimal
) -> Position:
    """Turn a row of position risk into a position.

    Raises:
        VenueError: sign and side contradict each other, or the notional does not fit.
    """
    what = f"{account} {instrument.symbol}"
    side = normal.leg(row.get("positionSide"))
    named = "" if side is PositionSide.NET else side.value
    quantity = normal.signed(what, contracts, named, is_two_sided=False) * instrument.contract_value
    mark, entry = normal.positive(row.get("markPrice")), normal.positive(row.get("entryPrice"))
    stated = normal.first(row, "notional", "notionalValue")
    normal.check_notional(instrument, quantity, stated, mark)
    isolated = normal.number(row.get("isolatedWallet"))
    is_isolated = row.get("marginType") == "isolated" or bool(isolated)
    initial = normal.first(row, "positionInitialMargin", "initialMargin")
    leverage = normal.real(row.get("leverage"))
    if leverage is None and stated is not None and initial:
        leverage = round(float(abs(stated) / initial), 2)
    return Position(
        account=account,
        symbol=instrument.symbol,
        side=side,
        quantity=quantity,
        entry_price=entry,
        venue_mark=mark,
        unrealized_pnl=normal.first(row, "unRealizedProfit", "unrealizedProfit"),
        liquidation_price=normal.positive(row.get("liquidationPrice")),
        leverage=leverage,
        is_isolated=is_isolated,
        maintenance_margin=normal.number(row.get("maintMargin")),
        initial_margin=initial,
        isolated_margin=normal.number(row.get("isolatedMargin")) if is_isolated else None,
    )


def order(account: str, instrument: Instrument, row: Mapping[str, Any]) -> WorkingOrder:
    """Turn an order row into ours.

    Raises:
        VenueError: no side or no quantity.
    """
    what = f"{account} {instrument.symbol} order {row.get('orderId')}"
    value = instrument.contract_value
    client_id = row.get("clientOrderId")
    return WorkingOrder(
        account=account,
        symbol=instrument.symbol,
        order_id=str(row.get("orderId")),
        client_order_id=str(client_id) if client_id else None,
        side=normal.order_side(row.get("side"), what),
        type=normal.order_type(row.get("type")),
        quantity=normal.need(row, what, "origQty") * value,
        filled=(normal.number(row.get("executedQty")) or Decimal(0)) * value,
        price=normal.positive(row.get("price")),
        stop_price=normal.positive(row.get("stopPrice")),
        reduce_only=flag(row.get("reduceOnly")),
        close_position=flag(row.get("closePosition")),
        position_side=normal.leg(row.get("positionSide")),
        status=status(row.get("status")),
        created_ms=normal.stamp(row.get("time")) or normal.stamp(row.get("updateTime")) or 0,
        average=_average(row),
    )


def _average(row: Mapping[str, Any]) -> Decimal | None:
    stated = normal.positive(row.get("avgPrice"))
    filled = normal.positive(row.get("executedQty"))
    spent = normal.positive(row.get("cummulativeQuoteQty"))
    return spent / filled if stated is None and filled and spent else stated


def algo_order(account: str, instrument: Instrument, row: Mapping[str, Any]) -> WorkingOrder:
    """Turn a row of the conditional service into ours.

    Raises:
        VenueError: no side.
    """
    what = f"{account} {instrument.symbol} conditional order {row.get('algoId')}"
    client_id = row.get("clientAlgoId")
    quantity = normal.number(row.get("quantity")) or Decimal(0)
    return WorkingOrder(
        account=account,
        symbol=instrument.symbol,
        order_id=str(row.get("algoId")),
        client_order_id=str(client_id) if client_id else None,
        side=normal.order_side(row.get("side"), what),
        type=normal.order_type(row.get("orderType") or row.get("type")),
        quantity=quantity * instrument.contract_value,
        price=normal.positive(row.get("price")),
        stop_price=normal.positive(row.get("triggerPrice")),
        reduce_only=flag(row.get("reduceOnly")),
        close_position=flag(row.get("closePosition")),
        position_side=normal.leg(row.get("positionSide")),
        is_conditional=True,
        status=status(row.get("algoStatus")),
        created_ms=normal.stamp(row.get("createTime")) or 0,
    )


def fill(account: str, instrument: Instrument, row: Mapping[str, Any]) -> events.OrderFilled:
    """Turn an own trade into a fill.

    Raises:
        VenueError: no side, quantity or price.
    """
    what = f"{account} {instrument.symbol} trade {row.get('id')}"
    buys = row.get("isBuyer") if "isBuyer" in row else row.get("buyer")
    side = row.get("side") or ("BUY" if flag(buys) else "SELL")
    return events.OrderFilled(
        account=account,
        symbol=instrument.symbol,
        trade_id=str(row.get("id")),
        order_id=str(row.get("orderId")),
        client_order_id=None,
        side=normal.order_side(side, what),
        quantity=normal.need(row, what, "qty") * instrument.contract_value,
        price=normal.need(row, what, "price"),
        position_side=normal.leg(row.get("positionSide")),
        fee=normal.number(row.get("commission")) or Decimal(0),
        fee_asset=row.get("commissionAsset"),
        venue_ms=normal.stamp(row.get("time")),
    )


def income(
    account: str, row: Mapping[str, Any], symbol: str | None = None
) -> events.LedgerEntryBooked | None:
    """Turn a row of the income history into a ledger entry; None when it repeats a fill.

    `symbol` is that of the contract it names.

    Raises:
        VenueError: no amount or no time.
    """
    name = str(row.get("incomeType"))
    if name in _REPEATS:
        return None
    what = f"{account} income {name}"
    amount = normal.need(row, what, "income")
    kind = _INCOME.get(name, LedgerKind.OTHER)
    if name in _DEPOSITS:
        kind = LedgerKind.DEPOSIT
    elif name in _WITHDRAWALS:
        kind = LedgerKind.WITHDRAWAL
    elif "TRANSFER" in name:
        kind = LedgerKind.TRANSFER
    identity = (name, row.get("tranId"), row.get("tradeId") or "", row.get("asset"))
    return events.LedgerEntryBooked(
        account=account,
        entry_id=":".join(str(part) for part in identity),
        entry_kind=kind,
        asset=str(row.get("asset")),
        amount=amount,
        venue_ms=int(normal.need(row, what, "time")),
        symbol=symbol,
    )


def key_rights(
    account: str, row: Mapping[str, Any], markets: Sequence[str]
) -> events.KeyRightsChecked:
    """Read the key's restrictions; an empty row leaves all unknown."""

    def right(*names: str) -> bool | None:
        stated = [row[name] for name in names if isinstance(row.get(name), bool)]
        return any(stated) if stated else None

    trades = "enableFutures" if set(markets) - {"spot"} else "enableSpotAndMarginTrading"
    return events.KeyRightsChecked(
        account=account,
        can_trade=right(trades),
        can_withdraw=right("enableWithdrawals"),
        can_transfer=right("enableInternalTransfer", "permitsUniversalTransfer"),
        has_ip_list=right("ipRestrict"),
        expires_ms=normal.stamp(row.get("tradingAuthorityExpirationTime")),
    )
