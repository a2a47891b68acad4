"""Bills, deposits and withdrawals as OKX writes them.

Pure: an account's money ledger in, dictionaries of strings out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tests.servers.ledger_types import Instrument, Transfer
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_catalog import kind_of, num, size_text
from tests.servers.okx_rows import Row, bill_id, sub_type


def bills(account: OkxAccount) -> list[Row]:
    """Return the account's bills, newest first, one per execution and currency."""
    rows: dict[str, Row] = {}
    for transfer in account.ledger.transfers:
        row = _bill(account, transfer)
        known = rows.get(row["billId"])
        if known is None:
            rows[row["billId"]] = row
            continue
        # Profit and fee of one execution are one bill at the venue.
        known["balChg"] = num(Decimal(known["balChg"]) + transfer.amount)
        known["bal"] = row["bal"]
    return list(reversed(rows.values()))


_BILL_TYPES: Final = {"deposit": ("1", "11"), "withdraw": ("1", "12"), "insurance": ("10", "108")}


def _bill(account: OkxAccount, transfer: Transfer) -> Row:
    fill = next((f for f in account.ledger.fills if f.id == transfer.ref), None)
    instrument = account.market.instruments.get(transfer.instrument)
    row: Row = {
        "bal": num(transfer.balance_after),
        "balChg": num(transfer.amount),
        "billId": str(700000000000000000 + int(transfer.id)),
        "ccy": transfer.asset,
        "clOrdId": "",
        "execType": "",
        "fee": "0",
        "fillFwdPx": "",
        "fillIdxPx": "",
        "fillMarkPx": "",
        "fillMarkVol": "",
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillTime": "",
        "from": "",
        "instId": transfer.instrument,
        "instType": kind_of(instrument) if instrument else "",
        "interest": "0",
        "mgnMode": account.margin_mode(instrument.id) if instrument else "",
        "notes": "",
        "ordId": "",
        "pnl": "0",
        "posBal": "0",
        "posBalChg": "0",
        "px": "",
        "subType": "",
        "sz": num(abs(transfer.amount)),
        "tag": "",
        "to": "",
        "tradeId": "",
        "ts": str(transfer.time_ms),
        "type": "",
    }
    if fill is not None and instrument is not None:
        order = account.ledger.orders[fill.order_id]
        kinds = {"user": "2", "liquidation": "5", "adl": "9"}
        suffix = transfer.asset if instrument.kind == "spot" else ""
        return row | {
            "billId": f"{bill_id(fill)}{_asset_number(instrument, suffix)}",
            "clOrdId": fill.client_id if order.origin == "user" else "",
            "execType": "M" if fill.is_maker else "T",
            "fee": num(-fill.fee) if transfer.asset == fill.fee_asset else "0",
            "fillTime": str(fill.time_ms),
            "ordId": fill.order_id,
            "pnl": num(fill.realized),
            "px": num(fill.price),
            "subType": sub_type(order),
            "sz": size_text(instrument, fill.quantity),
            "tradeId": fill.id,
            "type": kinds[order.origin],
        }
    return row | _money_bill(transfer)


def _asset_number(instrument: Instrument, asset: str) -> str:
    # A spot trade moves two currencies: two bills.
    return {"": "", instrument.base: "1", instrument.quote: "2"}.get(asset, "")


def _money_bill(transfer: Transfer) -> Row:
    if transfer.kind == "funding":
        subtype = "174" if transfer.amount > 0 else "173"
        return {"type": "8", "subType": subtype, "pnl": num(transfer.amount)}
    kind, subtype = _BILL_TYPES.get(transfer.kind, ("2", ""))
    ends = {"11": {"from": "6", "to": "18"}, "12": {"from": "18", "to": "6"}}
    return {"type": kind, "subType": subtype, **ends.get(subtype, {})}


def deposit_row(transfer: Transfer) -> Row:
    """Return one row of asset/deposit-history."""
    return {
        "actualDepBlkConfirm": "2",
        "amt": num(transfer.amount),
        "areaCodeFrom": "",
        "ccy": transfer.asset,
        "chain": f"{transfer.asset}-TRC20",
        "depId": str(800000000 + int(transfer.id)),
        "from": "",
        "fromWdId": "",
        "state": "2",
        "to": "TN4hGjVXMzy9b4N1aGizqs",
        "ts": str(transfer.time_ms),
        "txId": f"{int(transfer.id):064x}",
    }


def withdrawal_row(transfer: Transfer) -> Row:
    """Return one row of asset/withdrawal-history."""
    return {
        "amt": num(-transfer.amount),
        "areaCodeFrom": "",
        "areaCodeTo": "",
        "ccy": transfer.asset,
        "chain": f"{transfer.asset}-TRC20",
        "clientId": "",
        "fee": "0",
        "feeCcy": transfer.asset,
        "from": "",
        "nonTradableAsset": False,
        "note": "",
        "state": "2",
        "to": "TA1hGjVXMzy9b4N1aGizqs",
        "toAddrType": "1",
        "ts": str(transfer.time_ms),
        "txId": f"{int(transfer.id):064x}",
        "wdId": str(900000000 + int(transfer.id)),
    }
