"""Private REST endpoints of OKX about the account: balance, positions, settings, money.

Orders are in `okx_desk.py`.
"""

from __future__ import annotations

from typing import Final

from tests.servers.ledger_types import ONE, VenueError
from tests.servers.okx_bills import bills, deposit_row, withdrawal_row
from tests.servers.okx_call import Call, Endpoint, between, matching, page
from tests.servers.okx_catalog import num
from tests.servers.okx_errors import OkxError
from tests.servers.okx_money import balance_body, config_row, position_row
from tests.servers.okx_public import instruments as public_instruments
from tests.servers.okx_rows import Row
from tests.servers.okx_trade import decimal_of, instrument_of
from tests.servers.okx_venue import open_positions


def balance(call: Call) -> list[Row]:
    """GET account/balance."""
    wanted = str(call.params.get("ccy") or "")
    return [balance_body(call.account, wanted.split(",") if wanted else None)]


def positions(call: Call) -> list[Row]:
    """GET account/positions; a named instrument also shows a position that was closed."""
    params, account = call.params, call.account
    names = str(params.get("instId") or "").split(",")
    if len(names) > 10:
        raise OkxError("51000", "instId")
    stale = call.venue.faults.take("positions_stale", **call.context)
    rows = open_positions(account) if stale is None else list(stale.params["rows"][account.key])
    if params.get("instId"):
        rows += [
            position_row(account, position)
            for position in account.ledger.positions.values()
            if position.instrument in names and not position.quantity
        ]
    rows = matching(rows, params, "instType", "instId", "posId")
    cut = call.venue.faults.take("positions_cut", **call.context)
    return rows if cut is None else rows[: int(cut.params.get("keep", 1))]


def position_risk(call: Call) -> list[Row]:
    """GET account/account-position-risk."""
    account = call.account
    body = balance_body(account)
    names, blanks = ("ccy", "disEq", "eq"), ("baseBal", "notionalCcy", "quoteBal")
    fields = [
        "avgPx",
        "ccy",
        "instId",
        "instType",
        "mgnMode",
        "notionalUsd",
        "pos",
        "posCcy",
        "posId",
        "posSide",
    ]
    return [
        {
            "adjEq": body["adjEq"],
            "balData": [{name: detail[name] for name in names} for detail in body["details"]],
            "posData": [
                {name: row[name] for name in fields} | dict.fromkeys(blanks, "")
                for row in open_positions(account)
            ],
            "ts": str(account.now_ms),
        }
    ]


def config(call: Call) -> list[Row]:
    """GET account/config."""
    return [config_row(call.account)]


def account_bills(call: Call) -> list[Row]:
    """GET account/bills and account/bills-archive."""
    names = ("instType", "ccy", "type", "subType", "instId", "mgnMode")
    rows = matching(bills(call.account), call.params, *names)
    return page(between(rows, call.params, "ts"), call.params, "billId")


def set_leverage(call: Call) -> list[Row]:
    """POST account/set-leverage."""
    account, params = call.account, call.params
    instrument = instrument_of(account, params)
    mode, side = params.get("mgnMode"), str(params.get("posSide") or "")
    if mode not in {"cross", "isolated"}:
        raise OkxError("51000", "mgnMode")
    if mode == "isolated" and account.ledger.hedge_mode and side not in {"long", "short"}:
        raise OkxError("51000", "posSide")
    lever = decimal_of(params.get("lever", ""), "lever")
    if lever < ONE:
        raise OkxError("59105")
    try:
        account.ledger.set_leverage(instrument.id, int(lever))
    except VenueError as error:
        raise OkxError("59102") from error
    return [
        {"instId": instrument.id, "lever": num(lever), "mgnMode": mode, "posSide": side or "net"}
    ]


def leverage_info(call: Call) -> list[Row]:
    """GET account/leverage-info."""
    account, mode = call.account, call.params.get("mgnMode")
    if mode not in {"cross", "isolated"}:
        raise OkxError("51000", "mgnMode")
    rows = []
    for name in str(call.params.get("instId") or "").split(","):
        instrument = instrument_of(account, {"instId": name})
        hedged = account.ledger.hedge_mode and instrument.kind != "spot"
        lever = str(account.ledger.leverage_of(instrument.id))
        row = {"ccy": "", "instId": instrument.id, "lever": lever, "mgnMode": mode}
        rows += [row | {"posSide": side} for side in (("long", "short") if hedged else ("net",))]
    return rows


def set_position_mode(call: Call) -> list[Row]:
    """POST account/set-position-mode; refused while positions or orders are open."""
    mode = call.params.get("posMode")
    if mode not in {"long_short_mode", "net_mode"}:
        raise OkxError("51000", "posMode")
    try:
        call.account.ledger.set_hedge_mode(mode == "long_short_mode")
    except VenueError as error:
        if error.code != "MODE_UNCHANGED":
            raise OkxError("59000") from error
    return [{"posMode": mode}]


def trade_fee(call: Call) -> list[Row]:
    """GET account/trade-fee; negative is charged."""
    if not call.params.get("instType"):
        raise OkxError("50014", "instType")
    ledger = call.account.ledger
    maker, taker = num(-ledger.maker_fee), num(-ledger.taker_fee)
    derivative = call.params["instType"] != "SPOT"
    return [
        {
            "category": "1",
            "delivery": "",
            "exercise": "",
            "fiat": [],
            "instType": call.params["instType"],
            "level": "Lv1",
            "maker": maker,
            "makerU": maker if derivative else "",
            "makerUSDC": maker if derivative else "",
            "ruleType": "normal",
            "taker": taker,
            "takerU": taker if derivative else "",
            "takerUSDC": taker if derivative else "",
            "ts": str(call.account.now_ms),
        }
    ]


def instruments(call: Call) -> list[Row]:
    """GET account/instruments."""
    return public_instruments(call.venue, call.params)


def currencies(call: Call) -> list[Row]:
    """GET asset/currencies: every asset listed, on one chain."""
    assets = dict.fromkeys(
        asset for i in call.venue.market.instruments.values() for asset in (i.base, i.quote)
    )
    assets.pop("USD", None)
    return matching([_currency(asset) for asset in assets], call.params, "ccy")


def _currency(asset: str) -> Row:
    blanks = "burningFeeRate ctAddr depEstOpenTime depQuotaFixed depQuoteDailyLayer2 logoLink"
    blanks += " maxFeeForCtAddr minFeeForCtAddr usedDepQuotaFixed wdEstOpenTime"
    return dict.fromkeys(blanks.split(), "") | {
        "canDep": True,
        "canInternal": True,
        "canWd": True,
        "ccy": asset,
        "chain": f"{asset}-{'TRC20' if asset.startswith('USD') else asset}",
        "fee": "1",
        "mainNet": True,
        "maxFee": "1",
        "maxWd": "1000000",
        "minDep": "0.01",
        "minDepArrivalConfirm": "1",
        "minFee": "1",
        "minInternal": "0.01",
        "minWd": "2",
        "minWdUnlockConfirm": "2",
        "name": asset,
        "needTag": False,
        "usedWdQuota": "0",
        "wdQuota": "10000000",
        "wdTickSz": "6",
    }


def funding_balances(call: Call) -> list[Row]:
    """GET asset/balances: the funding account, which holds nothing here."""
    del call
    return []


def deposits(call: Call) -> list[Row]:
    """GET asset/deposit-history, newest first; after and before are times."""
    rows = [deposit_row(t) for t in call.account.ledger.transfers if t.kind == "deposit"]
    return _history(rows, call.params)


def withdrawals(call: Call) -> list[Row]:
    """GET asset/withdrawal-history, newest first; after and before are times."""
    rows = [withdrawal_row(t) for t in call.account.ledger.transfers if t.kind == "withdraw"]
    return _history(rows, call.params)


def _history(rows: list[Row], params: Row) -> list[Row]:
    rows = matching(reversed(rows), params, "ccy", "state", "txId")
    return page(rows, params, "ts")


ENDPOINTS: Final[dict[tuple[str, str], Endpoint]] = {
    ("GET", "account/balance"): Endpoint(balance, "read_only", 10, 2),
    ("GET", "account/positions"): Endpoint(positions, "read_only", 10, 2),
    ("GET", "account/account-position-risk"): Endpoint(position_risk, "read_only", 10, 2),
    ("GET", "account/config"): Endpoint(config, "read_only", 5, 2),
    ("GET", "account/bills"): Endpoint(account_bills, "read_only", 5, 1),
    ("GET", "account/bills-archive"): Endpoint(account_bills, "read_only", 5, 2),
    ("POST", "account/set-leverage"): Endpoint(set_leverage, "trade", 20, 2),
    ("GET", "account/leverage-info"): Endpoint(leverage_info, "read_only", 20, 2),
    ("POST", "account/set-position-mode"): Endpoint(set_position_mode, "trade", 5, 2),
    ("GET", "account/trade-fee"): Endpoint(trade_fee, "read_only", 5, 2),
    ("GET", "account/instruments"): Endpoint(instruments, "read_only", 20, 2),
    ("GET", "asset/currencies"): Endpoint(currencies, "read_only", 6, 1),
    ("GET", "asset/balances"): Endpoint(funding_balances, "read_only", 6, 1),
    ("GET", "asset/deposit-history"): Endpoint(deposits, "read_only", 6, 1),
    ("GET", "asset/withdrawal-history"): Endpoint(withdrawals, "read_only", 6, 1),
}
