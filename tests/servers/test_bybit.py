"""The Bybit server as plain ccxt.pro sees it: market, money, rights and limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt.pro as ccxt
import pytest

from tests.servers.bybit import BybitServer
from tests.servers.bybit_client import BTC, D, code_of, connect, refused, running, soon
from tests.servers.ledger_types import Instrument


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    async with running() as venue:
        yield venue


@pytest.fixture
async def client(server: BybitServer) -> AsyncIterator[Any]:
    exchange = connect(server)
    yield exchange
    await exchange.close()


async def test_lists_contracts_and_spot_pairs_of_the_same_name(client: Any) -> None:
    markets = await client.load_markets()
    linear, spot, inverse = markets[BTC], markets["BTC/USDT"], markets["BTC/USD:BTC"]
    assert linear["id"] == spot["id"] == "BTCUSDT"
    assert (linear["linear"], inverse["inverse"], spot["spot"]) == (True, True, True)
    assert linear["limits"]["cost"]["min"] == 5
    assert linear["precision"] == {"amount": 0.001, "price": 0.1} | {
        k: v for k, v in linear["precision"].items() if k not in ("amount", "price")
    }
    assert inverse["contractSize"] == 1
    assert markets["BTC/USDC:USDC"]["id"] == "BTCPERP"
    future = markets["BTC/USDT:USDT-271231"]
    assert (future["type"], future["expiryDatetime"]) == ("future", "2027-12-31T08:00:00.000Z")
    assert markets["BTC/USD:BTC-271231"]["inverse"] is True


async def test_pages_instruments_with_a_cursor(server: BybitServer, client: Any) -> None:
    for number in range(30):
        name = f"C{number}USDT"
        server.market.add(Instrument(name, f"C{number}", "USDT", "USDT"), D(10))
    query = {"category": "linear", "limit": 10}
    first = (await client.public_get_v5_market_instruments_info(query))["result"]
    cursor = first["nextPageCursor"]
    second = await client.public_get_v5_market_instruments_info({**query, "cursor": cursor})
    names = [row["symbol"] for part in (first, second["result"]) for row in part["list"]]
    assert len(names) == len(set(names)) == 20
    assert "C29/USDT:USDT" in await client.load_markets()


async def test_public_prices(server: BybitServer, client: Any) -> None:
    server.market.set_price("BTCUSDT", D(41000), bid=D("40999.5"), ask=D("41000.5"), index=D(41010))
    ticker = await client.fetch_ticker(BTC)
    assert (ticker["bid"], ticker["ask"], ticker["markPrice"]) == (40999.5, 41000.5, 41000)
    assert ticker["indexPrice"] == 41010
    book = await client.fetch_order_book(BTC, 5)
    assert (book["bids"][0][0], book["asks"][0][0], len(book["bids"])) == (40999.5, 41000.5, 5)
    candles = await client.fetch_ohlcv(BTC, "1m", limit=3)
    assert candles[-1][4] == 41000
    tiers = await client.fetch_market_leverage_tiers(BTC)
    assert tiers[0]["maintenanceMarginRate"] == 0.005
    assert (await client.fetch_funding_rate(BTC))["fundingRate"] == 0.0001
    assert abs(await client.fetch_time() - server.now_ms()) < 5000


async def test_wallet_counts_profit_and_every_collateral(server: BybitServer, client: Any) -> None:
    ledger = server.ledger
    ledger.deposit("BTC", D(1))
    ledger.set_position("BTCUSDT", D(2), D(39000))
    balance = await client.fetch_balance()
    row = balance["info"]["result"]["list"][0]
    assert D(row["totalEquity"]) == D(100_000) + D(2000) + D(40_000)
    assert D(row["totalPerpUPL"]) == 2000
    assert D(row["totalInitialMargin"]) == 8000
    assert D(row["totalMaintenanceMargin"]) == 400
    coin = next(c for c in row["coin"] if c["coin"] == "USDT")
    assert (D(coin["equity"]), D(coin["walletBalance"])) == (D(102_000), D(100_000))
    assert coin["availableToWithdraw"] == ""
    assert balance["USDT"]["total"] == 100_000


async def test_position_rows(server: BybitServer, client: Any) -> None:
    server.ledger.set_position("BTCUSDT", D("-1.5"), D(39000))
    server.ledger.set_position("BTCUSD", D(30000), D(38000))
    (short,) = await client.fetch_positions()
    assert (short["side"], short["contracts"], short["entryPrice"]) == ("short", 1.5, 39000)
    assert D(short["info"]["positionValue"]) == D("58500")  # at entry, not at mark
    assert short["unrealizedPnl"] == -1500
    assert short["leverage"] == 10
    (inverse,) = await client.fetch_positions(None, {"subType": "inverse"})
    assert (inverse["side"], inverse["contracts"]) == ("long", 30000)
    assert D(inverse["info"]["unrealisedPnl"]) == round(D(30000) * (1 / D(38000) - 1 / D(40000)), 8)
    (flat,) = await client.fetch_positions(["ETH/USDT:USDT"])
    assert (flat["contracts"], flat["info"]["side"]) == (0, "")
    missing = client.private_get_v5_position_list({"category": "linear"})
    assert await refused(ccxt.BadRequest, missing) == 10001


async def test_position_list_is_paged(server: BybitServer, client: Any) -> None:
    for number in range(25):
        name = f"C{number}USDT"
        server.market.add(Instrument(name, f"C{number}", "USDT", "USDT"), D(10))
        server.ledger.set_position(name, D(1), D(10))
    query = {"category": "linear", "settleCoin": "USDT"}
    sizes, cursor = [], ""
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        result = (await client.private_get_v5_position_list(asked))["result"]
        sizes.append(len(result["list"]))
        cursor = result["nextPageCursor"]
        if not cursor:
            break
    assert sizes == [20, 5, 0]  # a cursor comes with the last page too
    assert len(await client.fetch_positions()) == 25


async def test_money_records(server: BybitServer, client: Any) -> None:
    ledger = server.ledger
    ledger.set_position("BTCUSDT", D(1), D(40000))
    ledger.deposit("USDT", D(500))
    ledger.withdraw("USDT", D(200))
    ledger.apply_funding("BTCUSDT", D("0.0001"))
    await client.create_order(BTC, "market", "sell", 1, None, {"reduceOnly": True})
    rows = (await client.private_get_v5_account_transaction_log({}))["result"]["list"]
    assert [row["type"] for row in rows] == ["TRADE", "SETTLEMENT", "TRANSFER_OUT", "TRANSFER_IN"]
    assert [D(row["change"]) for row in rows[1:]] == [-4, -200, 500]
    trade = rows[0]
    assert D(trade["change"]) == D(trade["cashFlow"]) - D(trade["fee"])
    assert D(trade["cashBalance"]) == ledger.balances["USDT"]
    (deposit,) = await client.fetch_deposits("USDT")
    assert (deposit["amount"], deposit["status"]) == (500, "ok")
    (withdrawal,) = await client.fetch_withdrawals("USDT")
    assert withdrawal["amount"] == 200
    types = {row["type"] for row in await client.fetch_ledger("USDT")}
    assert types == {"trade", "transaction"}
    funding = await client.fetch_funding_history(BTC)
    assert [abs(row["amount"]) for row in funding] == [4]


async def test_own_transfers_are_not_deposits(server: BybitServer, client: Any) -> None:
    account = server.accounts["key"]
    account.funding_wallet["USDT"] = D(1000)
    denied = client.transfer("USDT", 100, "FUND", "UNIFIED")
    assert await refused(ccxt.PermissionDenied, denied) == 10005
    account.rights.permissions["Wallet"] = ["AccountTransfer"]
    await client.transfer("USDT", 100, "FUND", "UNIFIED")
    assert server.ledger.balances["USDT"] == 100_100
    assert account.funding_wallet["USDT"] == 900
    assert await client.fetch_deposits("USDT") == []
    (row,) = await client.fetch_transfers("USDT")
    assert row["amount"] == 100


async def test_wrong_secret_key_and_clock(server: BybitServer) -> None:
    forger, stranger, late = (
        connect(server, secret="no"),
        connect(server, key="no"),
        connect(server),
    )
    try:
        assert await refused(ccxt.AuthenticationError, forger.fetch_balance()) == 10004
        assert await refused(ccxt.AuthenticationError, stranger.fetch_balance()) == 10003
        fault = server.faults.add("clock_skew", None, ms=-2000)
        assert await refused(ccxt.InvalidNonce, late.fetch_balance()) == 10002
        server.faults.remove(fault)
        assert (await late.fetch_balance())["USDT"]["total"] == 100_000
        with pytest.raises(ccxt.ExchangeError):
            await soon(forger.watch_orders())
    finally:
        for exchange in (forger, stranger, late):
            await exchange.close()
    assert server.orders_received() == []


async def test_key_rights(server: BybitServer, client: Any) -> None:
    rights = server.accounts["key"].rights
    shown = (await client.private_get_v5_user_query_api())["result"]
    assert (shown["readOnly"], shown["ips"], shown["uta"]) == (0, ["*"], 1)
    assert shown["permissions"]["Wallet"] == []
    assert int(shown["deadlineDay"]) > 0
    rights.is_read_only = True
    await client.fetch_balance()
    order = client.create_order(BTC, "market", "buy", 0.1)
    assert await refused(ccxt.PermissionDenied, order) == 10005
    rights.ips = ["10.1.2.3"]
    assert await refused(ccxt.PermissionDenied, client.fetch_balance()) == 10010
    rights.ips = ["127.0.0.1"]
    shown = (await client.private_get_v5_user_query_api())["result"]
    assert (shown["readOnly"], int(shown["deadlineDay"])) == (1, -2)
    rights.expired = True
    assert await refused(ccxt.AuthenticationError, client.fetch_balance()) == 33004


async def test_rate_limit_of_a_path_leaves_other_paths_alone(
    server: BybitServer, client: Any
) -> None:
    await client.load_markets()
    client.enableRateLimit = False
    orders = [client.create_order(BTC, "limit", "buy", 0.01, 39000 + i) for i in range(15)]
    outcomes = await asyncio.gather(*orders, return_exceptions=True)
    limited = [o for o in outcomes if isinstance(o, ccxt.RateLimitExceeded)]
    assert len(limited) == 5
    assert {code_of(error) for error in limited} == {10006}
    assert client.last_response_headers["X-Bapi-Limit-Status"] == "0"
    await client.cancel_all_orders(BTC)
    assert server.ledger.open_orders() == []


async def test_dead_mans_switch_is_armed_only_where_granted(
    server: BybitServer, client: Any
) -> None:
    query = client.private_get_v5_account_query_dcp_info
    assert (await client.cancel_all_orders_after(10_000))["retCode"] == 0
    assert (await query())["result"]["dcpInfos"] == []
    account = server.accounts["key"]
    account.dcp_granted.add("DERIVATIVES")
    await client.cancel_all_orders_after(5_000)
    (info,) = (await query())["result"]["dcpInfos"]
    assert info == {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "5"}
    assert await refused(ccxt.BadRequest, client.cancel_all_orders_after(1_000)) == 10001
