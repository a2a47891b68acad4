"""How Bybit words one account's positions and wallet.

Pure: reads a ledger, returns rows as REST and the private stream send them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from tests.servers.bybit_market import Row, priced, short, text
from tests.servers.bybit_wire import POSITION_INDEX
from tests.servers.ledger import Ledger
from tests.servers.ledger_types import ZERO, Position, Transfer


class Protection(NamedTuple):
    """The whole-position take profit, stop loss and trailing stop, as the venue's strings."""

    take_profit: str = ""
    stop_loss: str = ""
    trailing: str = ""


def protection_of(ledger: Ledger, position: Position) -> Protection:
    """Return the full-size protective orders that stand on a position."""
    found = {"TakeProfit": "", "StopLoss": "", "TrailingStop": ""}
    instrument = ledger.instruments[position.instrument]
    for order in ledger.open_orders(position.instrument, conditional=True):
        kind = order.meta.get("stopOrderType", "")
        if order.position_side == position.side and kind in found and order.close_position:
            price = order.stop_price or ZERO
            found[kind] = order.meta.get("distance") or priced(price, instrument)
    return Protection(found["TakeProfit"], found["StopLoss"], found["TrailingStop"])


def _bought_side(position: Position) -> str:
    if not position.quantity:
        return ""
    return "Buy" if position.quantity > 0 else "Sell"


def position_row(ledger: Ledger, position: Position, *, sequence: int) -> Row:
    """Return a position as GET /v5/position/list shows it.

    positionValue is at the entry price (at mark it is for the client to compute), and
    positionBalance, bustPrice and tradeMode are the deprecated fields' fixed values.
    """
    instrument = ledger.instruments[position.instrument]
    size = abs(position.quantity)
    value = instrument.notional(size, position.entry) if size else ZERO
    initial, upkeep = ledger.position_margin(position), ledger.maintenance_of(position)
    guard = protection_of(ledger, position)
    liquidation = ledger.liquidation_price(position)
    return {
        "positionIdx": POSITION_INDEX[position.side],
        "riskId": 1,
        "riskLimitValue": "2000000" if instrument.kind == "linear" else "150",
        "symbol": position.instrument,
        "side": _bought_side(position),
        "size": text(size),
        "avgPrice": short(position.entry) if size else "0",
        "positionValue": short(value) if size else "",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if size else 0,
        "leverage": text(ledger.leverage_of(position.instrument)),
        "breakEvenPrice": short(position.entry) if size else "",
        "positionBalance": "",
        "markPrice": priced(ledger.marks[position.instrument], instrument),
        "liqPrice": priced(liquidation, instrument) if liquidation else "",
        "bustPrice": "",
        "positionMM": short(upkeep) if size else "",
        "positionMMByMp": short(upkeep) if size else "",
        "positionIM": short(initial) if size else "",
        "positionIMByMp": short(initial) if size else "",
        "tpslMode": "Full",
        "takeProfit": guard.take_profit,
        "stopLoss": guard.stop_loss,
        "trailingStop": guard.trailing or "0",
        "unrealisedPnl": short(ledger.unrealized_of(position)) if size else "",
        "curRealisedPnl": short(position.realized),
        "cumRealisedPnl": short(_all_realized(ledger, position)),
        "seq": sequence if position.created_ms else -1,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "sessionAvgPrice": "",
        "delta": "",
        "gamma": "",
        "vega": "",
        "theta": "",
        "openTime": position.created_ms if size else 0,
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
    }


def _all_realized(ledger: Ledger, position: Position) -> Decimal:
    return sum(
        (
            fill.realized - fill.fee
            for fill in ledger.fills
            if (fill.instrument, fill.position_side) == (position.instrument, position.side)
        ),
        ZERO,
    )


def position_frame(ledger: Ledger, position: Position, *, sequence: int) -> Row:
    """Return a position as the position topic pushes it: entryPrice, and "0" for nothing."""
    row = position_row(ledger, position, sequence=sequence)
    row["entryPrice"] = row.pop("avgPrice")
    for name in ("delta", "gamma", "vega", "theta"):
        del row[name]
    for name in ("positionValue", "positionIM", "positionIMByMp", "positionMM", "positionMMByMp",
                 "unrealisedPnl", "takeProfit", "stopLoss", "positionBalance"):  # fmt: skip
        row[name] = row[name] or "0"
    row["category"] = ledger.instruments[position.instrument].kind
    return row


# ---- wallet -------------------------------------------------------------------------------------


def coin_row(ledger: Ledger, coin: str) -> Row:
    """Return one coin of the unified wallet; availableToWithdraw is retired and stays empty."""
    equity = ledger.equity(coin)
    realized = sum(
        (f.realized for f in ledger.fills if ledger.instruments[f.instrument].settle == coin), ZERO
    )
    return {
        "availableToBorrow": "",
        "bonus": "0",
        "accruedInterest": "0",
        "availableToWithdraw": "",
        "totalOrderIM": short(ledger.orders_margin(coin)),
        "equity": short(equity),
        "totalPositionMM": short(ledger.maintenance(coin)),
        "usdValue": short(equity * ledger.market.asset_price(coin)),
        "spotHedgingQty": "0",
        "unrealisedPnl": short(ledger.unrealized(coin)),
        "collateralSwitch": True,
        "borrowAmount": "0",
        "totalPositionIM": short(ledger.positions_margin(coin)),
        "walletBalance": short(ledger.balances.get(coin, ZERO)),
        "cumRealisedPnl": short(realized),
        "locked": short(ledger.locked(coin)),
        "marginCollateral": True,
        "coin": coin,
        "spotBorrow": "0",
    }


def wallet_row(ledger: Ledger, coins: Iterable[str]) -> Row:
    """Return the unified account's totals in USD, and the rows of some coins."""
    market = ledger.market
    wallet = sum((ledger.balances.get(a, ZERO) * market.asset_price(a) for a in ledger.assets()),
                 ZERO)  # fmt: skip
    profit = sum((ledger.unrealized(a) * market.asset_price(a) for a in ledger.assets()), ZERO)
    initial, upkeep = ledger.initial_usd(), ledger.maintenance_usd()
    margin = ledger.collateral_usd()
    rates = (initial / margin, upkeep / margin) if margin > 0 else (ZERO, ZERO)
    totals: dict[str, Any] = {
        "totalEquity": short(ledger.equity_usd()),
        "accountIMRate": short(rates[0], 4),
        "accountIMRateByMp": short(rates[0], 4),
        "totalMarginBalance": short(margin),
        "totalInitialMargin": short(initial),
        "totalInitialMarginByMp": short(initial),
        "accountType": "UNIFIED",
        "totalAvailableBalance": short(max(ZERO, margin - initial)),
        "accountMMRate": short(rates[1], 4),
        "accountMMRateByMp": short(rates[1], 4),
        "totalPerpUPL": short(profit),
        "totalWalletBalance": short(wallet),
        "accountLTV": "0",
        "totalMaintenanceMargin": short(upkeep),
        "totalMaintenanceMarginByMp": short(upkeep),
    }
    return totals | {"coin": [coin_row(ledger, coin) for coin in coins]}


# ---- records ------------------------------------------------------------------------------------


def deposit_row(row: Transfer, amount: str, when: str, hashed: str) -> Row:
    """Return a row of GET /v5/asset/deposit/query-record."""
    blank: dict[str, Any] = dict.fromkeys(("tag", "depositFee"), "")
    return blank | {
        "coin": row.asset,
        "chain": "TRX",
        "amount": amount,
        "txID": hashed,
        "status": 3,
        "toAddress": "TDGYpm5zPacnEqKV34TJPuhJhHom9hcXAy",
        "successAt": when,
        "confirmations": "50",
        "txIndex": "0",
        "blockHash": hashed[2:],
        "batchReleaseLimit": "-1",
        "depositType": "0",
        "fromAddress": "TJ7hhYhVhaxNx6BPyq7yFpqZrQULL3JSdb",
        "taxDepositRecordsId": "0",
        "taxStatus": 0,
        "id": row.id,
    }


def withdrawal_row(row: Transfer, amount: str, when: str, hashed: str) -> Row:
    """Return a row of GET /v5/asset/withdraw/query-record."""
    blank: dict[str, Any] = dict.fromkeys(("tag", "fee", "tax", "taxRate", "taxType"), "")
    return blank | {
        "coin": row.asset,
        "chain": "ETH",
        "amount": amount,
        "txID": hashed,
        "status": "success",
        "toAddress": "0xE3De6d711e0951d34777b5Cd93c827F822ee8514",
        "withdrawFee": "0",
        "createTime": when,
        "updateTime": when,
        "withdrawId": row.id,
        "withdrawType": 0,
    }
