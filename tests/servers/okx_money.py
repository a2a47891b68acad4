"""Balances, positions and settings as OKX writes them, for REST replies and for pushes.

Pure: an account in, dictionaries of strings out. Fields that do not apply under the account's
mode are empty strings, as the venue documents. Bills and transfers: `okx_bills.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tests.servers.ledger_types import ZERO, Instrument, Position
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_catalog import kind_of, num, size_text
from tests.servers.okx_rows import Row, side_text, usd_notional

_DETAIL_BLANKS: Final[Row] = {
    "accAvgPx": "",
    "autoLendMtAmt": "0",
    "autoLendStatus": "unsupported",
    "clSpotInUseAmt": "",
    "colBorrAutoConversion": "0",
    "colRes": "0",
    "collateralEnabled": False,
    "collateralRestrict": False,
    "fixedBal": "0",
    "isoEq": "0",
    "isoUpl": "0",
    "maxSpotInUse": "",
    "openAvgPx": "",
    "rewardBal": "0",
    "smtSyncEq": "0",
    "spotBal": "",
    "spotCopyTradingEq": "0",
    "spotInUseAmt": "",
    "spotIsoBal": "0",
    "spotUpl": "",
    "spotUplRatio": "",
    "stgyEq": "0",
    "totalPnl": "",
    "totalPnlRatio": "",
}
# liabilities: nothing is borrowed here; inapplicable in futures mode
_LIABILITIES: Final = ("borrowFroz", "crossLiab", "interest", "isoLiab", "liab", "maxLoan")

_POSITION_BLANKS: Final[Row] = {
    "baseBal": "",
    "baseBorrowed": "",
    "baseInterest": "",
    "bizRefId": "",
    "bizRefType": "",
    "clSpotInUseAmt": "",
    "deltaBS": "",
    "deltaPA": "",
    "gammaBS": "",
    "gammaPA": "",
    "interest": "",
    "liab": "",
    "liabCcy": "",
    "liqPenalty": "0",
    "maxSpotInUseAmt": "",
    "nonSettleAvgPx": "",
    "optVal": "",
    "pendingCloseOrdLiabVal": "",
    "posCcy": "",
    "quoteBal": "",
    "quoteBorrowed": "",
    "quoteInterest": "",
    "settledPnl": "",
    "spotInUseAmt": "",
    "spotInUseCcy": "",
    "thetaBS": "",
    "thetaPA": "",
    "usdPx": "",
    "vegaBS": "",
    "vegaPA": "",
}


def balance_detail(account: OkxAccount, asset: str) -> Row:
    """Return one currency of the account balance."""
    ledger, market = account.ledger, account.market
    price = market.asset_price(asset)
    equity = ledger.equity(asset)
    frozen_orders = ledger.orders_margin(asset) + ledger.locked(asset)
    initial = ledger.positions_margin(asset)
    maintenance = ledger.maintenance(asset)
    available = max(ZERO, equity - initial - frozen_orders)
    futures = account.level == "2"
    crossed = futures and bool(ledger.open_positions(asset))
    row = _DETAIL_BLANKS | dict.fromkeys(_LIABILITIES, "" if futures else "0")
    return row | {
        "availBal": num(max(ZERO, min(available, ledger.balances.get(asset, ZERO)))),
        "availEq": num(available) if account.level != "1" else "",
        "cashBal": num(ledger.balances.get(asset, ZERO)),
        "ccy": asset,
        "disEq": num(equity * price),
        "eq": num(equity),
        "eqUsd": num(equity * price),
        "frozenBal": num(equity - available if equity > available else ZERO),
        "imr": num(initial + ledger.orders_margin(asset)) if futures else "",
        "mgnRatio": num(equity / maintenance) if crossed and maintenance else "",
        "mmr": num(maintenance) if futures else "",
        "notionalLever": _lever(account, asset, equity) if futures else "",
        "ordFrozen": num(frozen_orders),
        "twap": "0",
        "uTime": str(_touched_ms(account, asset)),
        "upl": num(ledger.unrealized(asset)) if account.level != "1" else "",
        "uplLiab": "" if futures else "0",
    }


def _lever(account: OkxAccount, asset: str, equity: Decimal) -> str:
    notional = sum(
        (account.ledger.notional_of(p) for p in account.ledger.open_positions(asset)), ZERO
    )
    return num(notional / equity) if equity > 0 else "0"


def _touched_ms(account: OkxAccount, asset: str) -> int:
    for row in reversed(account.ledger.transfers):
        if row.asset == asset:
            return row.time_ms
    return account.created_ms


def balance_assets(account: OkxAccount) -> list[str]:
    """Return the currencies the venue lists: those with cash or equity."""
    ledger = account.ledger
    return [a for a in ledger.assets() if ledger.balances.get(a, ZERO) or ledger.equity(a)]


def balance_body(account: OkxAccount, assets: list[str] | None = None) -> Row:
    """Return the account balance: details per currency and the account's sums in USD.

    Args:
        account: whose balance.
        assets: the currencies wanted in details; all when None.
    """
    ledger = account.ledger
    details = [
        balance_detail(account, asset)
        for asset in balance_assets(account)
        if assets is None or asset in assets
    ]
    multi = account.level in {"3", "4"}
    sums: dict[str, Decimal] = {}
    if multi:
        sums = _account_sums(account)
    names = (
        "adjEq",
        "availEq",
        "borrowFroz",
        "imr",
        "mgnRatio",
        "mmr",
        "notionalUsd",
        "notionalUsdForBorrow",
        "notionalUsdForFutures",
        "notionalUsdForOption",
        "notionalUsdForSwap",
        "ordFroz",
        "upl",
    )
    row: Row = {name: num(sums[name]) if name in sums else "" for name in names}
    if multi and "mgnRatio" not in sums:
        row["mgnRatio"] = ""
    return row | {
        "details": details,
        "isoEq": "0",
        "totalEq": num(ledger.equity_usd()),
        "uTime": str(account.now_ms),
    }


def _account_sums(account: OkxAccount) -> dict[str, Decimal]:
    ledger, market = account.ledger, account.market
    collateral, maintenance = ledger.collateral_usd(), ledger.maintenance_usd()
    notional = {"SWAP": ZERO, "FUTURES": ZERO}
    upl = ZERO
    for position in ledger.open_positions():
        instrument = market.instruments[position.instrument]
        notional[kind_of(instrument)] += usd_notional(account, instrument, position.quantity)
        upl += ledger.unrealized_of(position) * market.asset_price(instrument.settle)
    frozen = sum((ledger.orders_margin(a) * market.asset_price(a) for a in ledger.assets()), ZERO)
    sums = {
        "adjEq": collateral,
        "availEq": max(ZERO, collateral - ledger.initial_usd()),
        "borrowFroz": ZERO,
        "imr": ledger.initial_usd(),
        "mmr": maintenance,
        "notionalUsd": notional["SWAP"] + notional["FUTURES"],
        "notionalUsdForBorrow": ZERO,
        "notionalUsdForFutures": notional["FUTURES"],
        "notionalUsdForOption": ZERO,
        "notionalUsdForSwap": notional["SWAP"],
        "ordFroz": frozen,
        "upl": upl,
    }
    if maintenance:
        sums["mgnRatio"] = collateral / maintenance
    return sums


def position_text(account: OkxAccount, instrument: Instrument, position: Position) -> str:
    """Return pos: contracts, signed in net mode, without sign under a long or short posSide."""
    quantity = position.quantity if position.side == "both" else abs(position.quantity)
    return size_text(instrument, quantity)


def position_row(account: OkxAccount, position: Position) -> Row:
    """Return a position as account/positions and the positions channel give it."""
    ledger, market = account.ledger, account.market
    instrument = market.instruments[position.instrument]
    is_open = bool(position.quantity)
    fills = account.position_fills(position)
    fee = -sum((fill.fee for fill in fills), ZERO)
    funding = account.funding_of(position)
    is_cross = account.margin_mode(instrument.id) == "cross"
    margin = ledger.position_margin(position) if is_open else ZERO
    row = _POSITION_BLANKS | _profit(account, instrument, position, margin)
    row |= {
        "adl": "1" if is_open else "",
        "availPos": _available(account, instrument, position),
        "avgPx": num(position.entry) if is_open else "",
        "bePx": num(position.entry) if is_open else "",
        "cTime": str(position.created_ms),
        "ccy": instrument.settle,
        "closeOrderAlgo": [],
        "fee": num(fee),
        "fundingFee": num(funding),
        "idxPx": num(market.indexes[instrument.id]),
        "imr": num(margin) if is_open and is_cross else "",
        "instId": instrument.id,
        "instType": kind_of(instrument),
        "last": num(market.lasts[instrument.id]),
        "lever": str(ledger.leverage_of(instrument.id)),
        "liqPx": _liquidation(account, position),
        "margin": num(margin) if is_open and not is_cross else "",
        "markPx": num(market.marks[instrument.id]),
        "mgnMode": account.margin_mode(instrument.id),
        "mgnRatio": _margin_ratio(account, instrument) if is_open else "",
        "mmr": num(ledger.maintenance_of(position)) if is_open else "",
        "notionalUsd": num(usd_notional(account, instrument, position.quantity)),
        "pnl": num(position.realized),
        "pos": position_text(account, instrument, position),
        "posId": account.position_id(position),
        "posSide": side_text(account, instrument, position.side),
        "realizedPnl": num(position.realized + fee + funding),
        "tradeId": fills[-1].id if fills else "",
        "uTime": str(position.updated_ms),
    }
    return row


def _profit(
    account: OkxAccount, instrument: Instrument, position: Position, margin: Decimal
) -> Row:
    if not position.quantity:
        return dict.fromkeys(("upl", "uplLastPx", "uplRatio", "uplRatioLastPx"), "0")
    upl = account.ledger.unrealized_of(position)
    last = account.market.lasts[instrument.id]
    upl_last = instrument.pnl(position.quantity, position.entry, last)
    entry_margin = instrument.notional(position.quantity, position.entry) / (
        account.ledger.leverage_of(instrument.id)
    )
    return {
        "upl": num(upl),
        "uplLastPx": num(upl_last),
        "uplRatio": num(upl / entry_margin),
        "uplRatioLastPx": num(upl_last / entry_margin),
    }


def _available(account: OkxAccount, instrument: Instrument, position: Position) -> str:
    # Only long/short mode reports it for futures and swaps.
    if position.side == "both" or not position.quantity:
        return ""
    return size_text(instrument, account.available_to_close(position))


def _liquidation(account: OkxAccount, position: Position) -> str:
    price = account.ledger.liquidation_price(position)
    return num(price) if price > 0 else ""


def _margin_ratio(account: OkxAccount, instrument: Instrument) -> str:
    ledger = account.ledger
    if account.ledger.multi_asset:
        maintenance, equity = ledger.maintenance_usd(), ledger.collateral_usd()
    else:
        maintenance = ledger.maintenance(instrument.settle)
        equity = ledger.equity(instrument.settle)
    return num(equity / maintenance) if maintenance else ""


def config_row(account: OkxAccount) -> Row:
    """Return account/config: modes of the account, rights and addresses of the key."""
    return {
        "acctLv": account.level,
        "acctStpMode": "cancel_maker",
        "autoLoan": False,
        "ctIsoMode": "automatic",
        "enableSpotBorrow": False,
        "feeType": "0",
        "greeksType": "PA",
        "ip": account.ip,
        "kycLv": "3",
        "label": account.label,
        "level": "Lv1",
        "levelTmp": "",
        "liquidationGear": "-1",
        "mainUid": account.uid,
        "mgnIsoMode": "automatic",
        "opAuth": "0",
        "perm": account.permissions,
        "posMode": "long_short_mode" if account.ledger.hedge_mode else "net_mode",
        "roleType": "0",
        "settleCcy": "",
        "settleCcyList": [],
        "spotBorrowAutoRepay": False,
        "spotOffsetType": "",
        "spotRoleType": "0",
        "spotTraderInsts": [],
        "stgyType": "0",
        "traderInsts": [],
        "type": "0",
        "uid": account.uid,
    }
