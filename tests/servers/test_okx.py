"""The OKX server's markets, prices, keys and accounts, over real sockets with ccxt.pro."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import ccxt.pro  # type: ignore[import-untyped]
import pytest

from tests.servers.okx import OkxServer
from tests.servers.okx_client import ID, SWAP, D, connect, server, within

__all__ = ["connect", "server"]


# ---- markets and prices -------------------------------------------------------------------------


async def test_markets_load_with_contract_sizes_and_kinds(connect: Any) -> None:
    okx = connect()
    markets = await okx.load_markets(reload=True)
    swap, inverse, spot = markets[SWAP], markets["BTC/USD:BTC"], markets["BTC/USDT"]
    assert (swap["contractSize"], swap["linear"], swap["precision"]["amount"]) == (0.01, True, 0.01)
    assert (inverse["contractSize"], inverse["inverse"], inverse["settle"]) == (100, True, "BTC")
    assert (spot["spot"], spot["precision"]["price"]) == (True, 0.1)
    assert [m for m in markets.values() if m["future"]]


async def test_prices_follow_set_price_over_rest(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.market.set_price(ID, D("41234.5"), bid=D(41234), ask=D(41235), index=D(41230))
    ticker = await okx.fetch_ticker(SWAP)
    mark = await okx.fetch_mark_price(SWAP)
    book = await okx.fetch_order_book(SWAP)
    index = await okx.public_get_market_index_tickers({"instId": "BTC-USDT"})
    assert (ticker["bid"], ticker["ask"]) == (41234, 41235)
    assert mark["markPrice"] == 41234.5
    assert (book["bids"][0][0], book["asks"][0][0]) == (41234, 41235)
    assert index["data"][0]["instId"] == "BTC-USDT"
    assert abs(await okx.fetch_time() - server.now_ms()) < 5000


async def test_price_channels_push_every_move(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await okx.load_markets()
    first = await within(okx.watch_mark_prices([SWAP]))
    assert first[SWAP]["markPrice"] == 40000
    ticker = await within(okx.watch_tickers([SWAP]))
    book = await within(okx.watch_order_book(SWAP))
    assert ticker[SWAP]["info"]["instId"] == ID
    assert book["asks"][0][0] == 40000.1

    async def mark_is(price: float) -> None:
        while (await okx.watch_mark_prices([SWAP]))[SWAP]["markPrice"] != price:
            pass

    async def touch_is(bid: float, ask: float) -> None:
        while True:
            book = await okx.watch_order_book(SWAP)
            if (book["bids"][0][0], book["asks"][0][0]) == (bid, ask):
                return

    moved = asyncio.gather(mark_is(39000), touch_is(38999, 39001))
    await asyncio.sleep(0.05)
    server.market.set_price(ID, D(39000), bid=D(38999), ask=D(39001))
    await within(moved)


async def test_bids_and_asks_come_over_the_bbo_channel(connect: Any) -> None:
    okx = connect()
    touch = await within(okx.watch_bids_asks([SWAP]))
    assert (touch[SWAP]["bid"], touch[SWAP]["ask"]) == (39999.9, 40000.1)


# ---- authentication -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "code"),
    [
        ({"secret": "wrong"}, ccxt.AuthenticationError, "50113"),
        ({"password": "wrong"}, ccxt.AuthenticationError, "50105"),
        ({"apiKey": "wrong"}, ccxt.AuthenticationError, "50111"),
    ],
)
async def test_wrong_credentials_are_refused(
    connect: Any, settings: dict[str, str], error: type[Exception], code: str
) -> None:
    okx = connect(**settings)
    with pytest.raises(error, match=f'"{code}"'):
        await okx.private_get_account_balance()


async def test_missing_key_is_refused_with_its_own_code(server: OkxServer, connect: Any) -> None:
    okx = connect()
    url = f"{server.rest_url}/api/v5/account/balance"
    with pytest.raises(ccxt.AuthenticationError, match='"50103"'):
        await okx.fetch(url)


async def test_old_timestamp_is_refused(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.faults.add("clock_skew", times=None, ms=40_000)
    with pytest.raises(ccxt.InvalidNonce, match='"50102"'):
        await okx.private_get_account_balance()


async def test_key_rights_and_addresses_are_told(server: OkxServer, connect: Any) -> None:
    server.add_account(
        "reader", "s", balance={"USDT": D(1)}, permissions="read_only", ip="10.0.0.1"
    )
    server.add_account("open", "s", balance={"USDT": D(1)}, permissions="read_only")
    config = (await connect().private_get_account_config())["data"][0]
    assert (config["perm"], config["ip"], config["acctLv"]) == ("read_only,trade", "", "2")
    assert config["posMode"] == "net_mode"
    with pytest.raises(ccxt.PermissionDenied, match='"50110"'):
        await connect(apiKey="reader", secret="s").private_get_account_config()
    with pytest.raises(ccxt.ExchangeError, match='"50120"'):
        await connect(apiKey="open", secret="s").create_order(SWAP, "market", "buy", 1)


async def test_wrong_login_over_websocket_is_refused(connect: Any) -> None:
    okx = connect(password="wrong")
    with pytest.raises(ccxt.AuthenticationError, match='"60024"'):
        await within(okx.authenticate())


# ---- account ------------------------------------------------------------------------------------


async def test_balance_shows_equity_and_free_margin(server: OkxServer, connect: Any) -> None:
    server.ledger.set_position(ID, D(1), D(40000))
    server.market.set_price(ID, D(41000))
    balance = await connect().fetch_balance()
    assert balance["USDT"]["total"] == 101000
    assert balance["USDT"]["free"] == 101000 - 41000 / 20
    detail = balance["info"]["data"][0]["details"][0]
    assert (detail["cashBal"], detail["upl"], detail["mmr"]) == ("100000", "1000", "164")
    assert balance["info"]["data"][0]["mgnRatio"] == ""


async def test_multi_currency_mode_reports_account_margin(server: OkxServer, connect: Any) -> None:
    balances = {"USDT": D(10000), "BTC": D(1)}
    ledger = server.add_account("multi", "s", balance=balances, level="3")
    ledger.set_position(ID, D(-1), D(40000))
    info = (await connect(apiKey="multi", secret="s").fetch_balance())["info"]["data"][0]
    assert info["totalEq"] == info["adjEq"] == "50000"
    assert (info["imr"], info["mmr"], info["mgnRatio"]) == ("2000", "160", "312.5")
    assert info["notionalUsdForSwap"] == "40000"


async def test_net_mode_positions_are_signed_contracts(server: OkxServer, connect: Any) -> None:
    server.ledger.set_position(ID, D("-0.5"), D(42000))
    server.ledger.set_position("BTC-USD-SWAP", D(10), D(40000))
    short, inverse = sorted(
        await connect().fetch_positions(), key=lambda p: str(p["symbol"]), reverse=True
    )
    assert (short["symbol"], short["side"], short["contracts"]) == (SWAP, "short", 50)
    assert (short["info"]["pos"], short["info"]["posSide"]) == ("-50", "net")
    assert (short["unrealizedPnl"], short["notional"], short["hedged"]) == (1000, 20000, False)
    assert (inverse["contracts"], inverse["side"], inverse["contractSize"]) == (10, "long", 100)
    assert inverse["notional"] == 0.025


async def test_closed_position_shows_only_when_named(connect: Any) -> None:
    okx = connect()
    await okx.create_order(SWAP, "market", "buy", 1)
    await okx.create_order(SWAP, "market", "sell", 1, None, {"reduceOnly": True})
    assert await okx.fetch_positions() == []
    named = await okx.private_get_account_positions({"instId": ID})
    assert [row["pos"] for row in named["data"]] == ["0"]


async def test_long_short_mode_keeps_both_sides(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await okx.set_position_mode(True)
    assert (await okx.fetch_position_mode())["hedged"] is True
    await okx.create_order(SWAP, "market", "buy", 3, None, {"positionSide": "long"})
    await okx.create_order(SWAP, "market", "sell", 2, None, {"positionSide": "short"})
    both = {p["side"]: p for p in await okx.fetch_positions()}
    assert (both["long"]["contracts"], both["short"]["contracts"]) == (3, 2)
    assert both["short"]["info"]["pos"] == "2"
    with pytest.raises(ccxt.InvalidOrder, match='"51112"'):
        await okx.create_order(SWAP, "market", "buy", 5, None, {"positionSide": "short"})
    with pytest.raises(ccxt.BadRequest, match='"51000"'):
        await okx.create_order(SWAP, "market", "buy", 1)
    with pytest.raises(ccxt.ExchangeError, match='"59000"'):
        await okx.set_position_mode(False)
    await okx.create_order(SWAP, "market", "buy", 2, None, {"positionSide": "short"})
    assert [p["side"] for p in await okx.fetch_positions()] == ["long"]
    assert server.ledger.positions[ID, "short"].quantity == 0


async def test_leverage_is_set_and_bounded(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await okx.set_leverage(10, SWAP, {"marginMode": "cross"})
    assert server.ledger.leverage_of(ID) == 10
    assert (await okx.fetch_leverage(SWAP, {"marginMode": "cross"}))["longLeverage"] == 10
    with pytest.raises(ccxt.ExchangeError, match='"59102"'):
        await okx.set_leverage(120, SWAP, {"marginMode": "cross"})


async def test_money_rows_tell_fees_funding_and_transfers(server: OkxServer, connect: Any) -> None:
    okx = connect()
    await okx.create_order(SWAP, "market", "buy", 10)
    server.ledger.apply_funding(ID, D("0.0001"))
    server.ledger.deposit("USDT", D(500))
    server.ledger.withdraw("USDT", D(200))
    rows = (await okx.private_get_account_bills())["data"]
    assert [row["type"] for row in rows] == ["1", "1", "8", "2"]
    assert [row["subType"] for row in rows] == ["12", "11", "173", "1"]
    assert rows[2]["balChg"] == "-0.4"
    assert Decimal(rows[3]["balChg"]) == Decimal(rows[3]["fee"]) < 0
    assert [d["amount"] for d in await okx.fetch_deposits()] == [500]
    assert [w["amount"] for w in await okx.fetch_withdrawals()] == [200]
    # The filter by type of instrument, which ccxt always sends, hides transfers.
    assert sorted(row["type"] for row in await okx.fetch_ledger()) == ["fee", "trade"]
