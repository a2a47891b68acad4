"""Bybit's private account and asset endpoints; each turns a request into a result document."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.servers import bybit_holdings as holdings
from tests.servers import bybit_orders as orders
from tests.servers import bybit_queries as queries
from tests.servers.bybit_account import DCP_PRODUCTS, Account
from tests.servers.bybit_errors import ApiError, refuse
from tests.servers.bybit_market import Row, name_of, of_category, short, text
from tests.servers.ledger_types import ZERO, VenueError

if TYPE_CHECKING:
    from tests.servers.bybit import BybitServer

Body = dict[str, Any]
MARGIN_MODES: Final = ("REGULAR_MARGIN", "ISOLATED_MARGIN", "PORTFOLIO_MARGIN")


# ---- user and account ---------------------------------------------------------------------------


def query_api(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/user/query-api; an unbound key lists the address "*"."""
    del server, query
    rights = account.rights
    bound = bool(rights.ips) and "*" not in rights.ips
    return {
        "id": str(account.uid),
        "note": "riskbot",
        "apiKey": account.key,
        "readOnly": int(rights.is_read_only),
        "secret": "",
        "permissions": rights.permissions,
        "ips": rights.ips or ["*"],
        "type": 1,
        "deadlineDay": -2 if bound else rights.deadline_days,
        "expiredAt": "1970-01-01T00:00:00Z" if bound else rights.expired_at,
        "createdAt": "2025-10-13T03:20:45Z",
        "unified": 0,
        "uta": int(rights.is_unified),
        "userID": account.uid,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": rights.is_master,
        "parentUid": "0",
        "kycLevel": "LEVEL_1",
        "kycRegion": "MYS",
        "userIDInt64": "0",
        "inviterIDInt64": "0",
        "affiliateIDInt64": "0",
    }


def account_info(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/account/info: a unified account 2.0 Pro; the DCP fields are retired."""
    del query
    return {
        "marginMode": account.margin_mode,
        "updatedTime": str(server.now_ms()),
        "unifiedMarginStatus": 6,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def wallet(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/account/wallet-balance: coins that are not zero, or those asked for."""
    del server
    if query.get("accountType") != "UNIFIED":
        raise ApiError(10001, "accountType only support UNIFIED.")
    ledger = account.ledger
    asked = query.get("coin")
    if asked:
        coins = [coin for coin in str(asked).split(",") if coin]
    else:
        coins = [c for c in ledger.assets() if ledger.equity(c) or ledger.balances.get(c)]
    return {"list": [holdings.wallet_row(ledger, coins)]}


def fee_rate(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/account/fee-rate."""
    found = of_category(server.market, orders.category_of(query))
    rows = [
        {
            "symbol": name_of(item.id),
            "takerFeeRate": text(account.ledger.taker_fee),
            "makerFeeRate": text(account.ledger.maker_fee),
        }
        for item in found
        if query.get("symbol") in (None, "", name_of(item.id))
    ]
    return {"category": query.get("category"), "list": rows}


def transaction_log(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/account/transaction-log, newest first, one day by default."""
    start, end = queries.window(query, server.now_ms(), days=1)
    wanted = {
        name: query[name] for name in ("currency", "category", "type", "symbol") if query.get(name)
    }
    rows = [
        row
        for row in reversed(account.log)
        if start <= int(row["transactionTime"]) <= end
        and all(row[name] == value for name, value in wanted.items())
    ]
    part, cursor = queries.page(rows, query, usual=20, most=50)
    return {"list": part, "nextPageCursor": cursor}


def set_margin_mode(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/account/set-margin-mode; refused while positions or orders are open."""
    del server
    mode = body.get("setMarginMode")
    if mode not in MARGIN_MODES:
        raise ApiError(10001, "params error: setMarginMode invalid")
    if account.ledger.open_positions() or account.ledger.open_orders():
        raise refuse(3400045)
    account.margin_mode = mode
    return {"reasons": []}


def dcp_info(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/account/query-dcp-info: empty unless the venue has granted the protection."""
    del server, query
    rows = [
        {
            "product": product,
            "dcpStatus": "ON",
            "timeWindow": str(account.dcp_windows.get(product, 10)),
        }
        for product in DCP_PRODUCTS
        if product in account.dcp_granted
    ]
    return {"dcpInfos": rows}


def set_dcp(server: BybitServer, account: Account, body: Body) -> None:
    """POST /v5/order/disconnected-cancel-all: success also where nothing is armed by it."""
    del server
    product = body.get("product") or "OPTIONS"
    seconds = orders.decimal_of(body, "timeWindow")
    if product not in DCP_PRODUCTS:
        raise ApiError(10001, "params error: product invalid")
    if seconds is None or not 3 <= seconds <= 300:
        raise ApiError(10001, "params error: timeWindow invalid")
    if product in account.dcp_granted:
        account.dcp_windows[product] = int(seconds)


# ---- money --------------------------------------------------------------------------------------


def _records(
    server: BybitServer, rows: list[Row], query: Body, stamp: str, *, most: int, usual: int
) -> tuple[list[Row], str]:
    start = int(query.get("startTime") or 0)
    end = int(query.get("endTime") or server.now_ms() + 1000)
    found = [
        row
        for row in reversed(rows)
        if start // 1000 <= int(row[stamp]) // 1000 <= end // 1000
        and query.get("coin") in (None, "", row["coin"])
    ]
    return queries.page(found, query, usual=usual, most=most)


def deposits(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/asset/deposit/query-record."""
    part, cursor = _records(server, account.deposits, query, "successAt", usual=50, most=50)
    return {"rows": part, "nextPageCursor": cursor}


def withdrawals(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/asset/withdraw/query-record."""
    part, cursor = _records(server, account.withdrawals, query, "createTime", usual=50, most=50)
    return {"rows": part, "nextPageCursor": cursor}


def transfers(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/asset/transfer/query-inter-transfer-list."""
    part, cursor = _records(server, account.transfers, query, "timestamp", usual=20, most=50)
    return {"list": part, "nextPageCursor": cursor}


def transfer(server: BybitServer, account: Account, body: Body) -> Row:
    """POST /v5/asset/transfer/inter-transfer between FUND and UNIFIED."""
    del server
    ends = (body.get("fromAccountType"), body.get("toAccountType"))
    if ends not in (("FUND", "UNIFIED"), ("UNIFIED", "FUND")):
        raise ApiError(10001, "params error: account type invalid")
    amount = orders.decimal_of(body, "amount")
    if amount is None or amount <= 0:
        raise ApiError(10001, "params error: amount invalid")
    try:
        row = account.move(str(body.get("coin")), amount, inward=ends[0] == "FUND")
    except VenueError:
        raise refuse(131212) from None
    return {"transferId": row["transferId"], "status": "SUCCESS"}


def fund_balances(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/asset/transfer/query-account-coins-balance."""
    del server
    kind = query.get("accountType")
    amounts = account.funding_wallet if kind == "FUND" else account.ledger.balances
    asked = [coin for coin in str(query.get("coin") or "").split(",") if coin]
    rows = [
        {
            "coin": coin,
            "transferBalance": short(amounts.get(coin, ZERO)),
            "walletBalance": short(amounts.get(coin, ZERO)),
            "bonus": "",
        }
        for coin in asked or amounts
    ]
    return {"memberId": str(account.uid), "accountType": kind, "balance": rows}


def coins(server: BybitServer, account: Account, query: Body) -> Row:
    """GET /v5/asset/coin/query-info."""
    del account
    names = dict.fromkeys(
        name for item in server.market.instruments.values() for name in (item.base, item.quote)
    )
    rows = [
        {
            "name": name,
            "coin": name,
            "remainAmount": "10000000",
            "chains": [
                {
                    "chainType": "Ethereum",
                    "confirmation": "6",
                    "withdrawFee": "3",
                    "depositMin": "0",
                    "withdrawMin": "3",
                    "chain": "ETH",
                    "chainDeposit": "1",
                    "chainWithdraw": "1",
                    "minAccuracy": "8",
                    "withdrawPercentageFee": "0",
                    "contractAddress": "",
                    "safeConfirmNumber": "65",
                    "withdrawMax": "10000000",
                }
            ],
        }
        for name in names
        if name != "USD" and query.get("coin") in (None, "", name)
    ]
    return {"rows": rows}


Handler = Callable[["BybitServer", Account, Body], Any]

GET: Final[dict[str, Handler]] = {
    "/v5/user/query-api": query_api,
    "/v5/account/info": account_info,
    "/v5/account/wallet-balance": wallet,
    "/v5/account/fee-rate": fee_rate,
    "/v5/account/transaction-log": transaction_log,
    "/v5/account/query-dcp-info": dcp_info,
    "/v5/asset/deposit/query-record": deposits,
    "/v5/asset/withdraw/query-record": withdrawals,
    "/v5/asset/transfer/query-inter-transfer-list": transfers,
    "/v5/asset/transfer/query-account-coins-balance": fund_balances,
    "/v5/asset/coin/query-info": coins,
}
POST: Final[dict[str, Handler]] = {
    "/v5/account/set-margin-mode": set_margin_mode,
    "/v5/asset/transfer/inter-transfer": transfer,
    "/v5/order/disconnected-cancel-all": set_dcp,
}
