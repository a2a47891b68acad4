"""The Binance USD-M server's REST side, driven by plain ccxt.pro and by hand-signed requests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import ccxt  # type: ignore[import-untyped]
import pytest

from tests.servers.base import Request
from tests.servers.binance_client import (
    BTC,
    ETH,
    KEY,
    Desk,
    make_client,
    open_desk,
    until,
)
from tests.servers.binance_market import MarketData
from tests.servers.binance_routes import Route
from tests.servers.binance_weights import Weights
from tests.servers.ledger import Instrument, Market

D = Decimal


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


@pytest.fixture
async def hedged() -> AsyncIterator[Desk]:
    async with open_desk(hedge_mode=True) as opened:
        yield opened


def market_orders(desk: Desk) -> list[dict[str, Any]]:
    return [r.params for r in desk.server.orders_received() if r.params["type"] == "MARKET"]


# ---- markets and account ------------------------------------------------------------------------


async def test_markets_carry_increments_and_minimum(desk: Desk) -> None:
    market = desk.client.market(BTC)
    assert (market["linear"], market["contractSize"], market["settle"]) == (True, 1, "USDT")
    assert market["precision"]["amount"] == 0.001
    assert market["precision"]["price"] == 0.1
    assert market["limits"]["cost"]["min"] == 100


async def test_balance_and_positions_follow_the_ledger(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(2), D(39000))
    balance = await desk.client.fetch_balance()
    assert balance["USDT"]["total"] == 102000
    assert balance["USDT"]["used"] == 4000
    [position] = await desk.client.fetch_positions()
    assert (position["symbol"], position["side"], position["contracts"]) == (BTC, "long", 2)
    assert (position["entryPrice"], position["unrealizedPnl"]) == (39000, 2000)
    assert position["notional"] == 80000
    assert position["info"]["maintMargin"] == "320.00000000"


async def test_account_v2_lists_every_symbol_and_v3_only_live_ones(desk: Desk) -> None:
    desk.ledger.set_position("ETHUSDT", D(-3), D(2400))
    old = await desk.client.fapiPrivateV2GetAccount()
    new = await desk.client.fapiPrivateV3GetAccount()
    assert len(old["positions"]) == len(desk.server.market.instruments)
    assert [p["symbol"] for p in new["positions"]] == ["ETHUSDT"]
    assert old["totalUnrealizedProfit"] == new["totalUnrealizedProfit"] == "-300.00000000"
    risk = await desk.client.fapiPrivateV2GetPositionRisk({"symbol": "ETHUSDT"})
    assert (risk[0]["positionAmt"], risk[0]["notional"]) == ("-3.000", "-7500.00000000")


async def test_multi_assets_mode_values_collateral_at_its_price(desk: Desk) -> None:
    desk.ledger.balances["USDC"] = D(1000)
    desk.server.market.asset_prices["USDC"] = D("0.88")
    await desk.client.fapiPrivatePostMultiAssetsMargin({"multiAssetsMargin": "true"})
    account = await desk.client.fapiPrivateV3GetAccount()
    assert account["totalWalletBalance"] == "100880.00000000"
    index = await desk.client.fapiPublicGetAssetIndex({"symbol": "USDCUSD"})
    assert index["index"] == "0.88000000"


async def test_leverage_brackets_and_tiers_agree_with_maintenance(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(20), D(40000))
    tiers = (await desk.client.fetch_leverage_tiers([BTC]))[BTC]
    assert [t["maintenanceMarginRate"] for t in tiers][:2] == [0.004, 0.005]
    account = await desk.client.fapiPrivateV3GetAccount()
    cumulative = float(tiers[1]["info"]["cum"])
    assert float(account["totalMaintMargin"]) == 800_000 * 0.005 - cumulative


async def test_leverage_and_modes_are_settable(desk: Desk) -> None:
    answer = await desk.client.set_leverage(50, BTC)
    assert answer["leverage"] == 50
    assert desk.ledger.leverage["BTCUSDT"] == 50
    assert (await desk.client.fetch_position_mode(BTC))["hedged"] is False
    await desk.client.set_position_mode(True, BTC)
    assert desk.ledger.hedge_mode
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await desk.client.set_position_mode(True, BTC)


async def test_key_rights_are_shown_and_enforced(desk: Desk) -> None:
    rights = await desk.client.sapiGetAccountApiRestrictions()
    assert (rights["enableWithdrawals"], rights["ipRestrict"]) == (False, True)
    desk.server.accounts[KEY].rights["enableFutures"] = False
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await desk.client.create_order(BTC, "market", "buy", 1)


async def test_income_lists_what_moved_the_balance(desk: Desk) -> None:
    desk.ledger.deposit("USDT", D(500))
    await desk.client.create_order(BTC, "market", "buy", 1)
    desk.ledger.apply_funding("BTCUSDT", D("0.0001"))
    rows = await desk.client.fapiPrivateGetIncome()
    assert [r["incomeType"] for r in rows] == ["TRANSFER", "COMMISSION", "FUNDING_FEE"]
    assert sum(D(r["income"]) for r in rows) == desk.ledger.balances["USDT"] - 100_000
    [funding] = await desk.client.fetch_funding_history(BTC)
    assert funding["amount"] == -4
    [entry] = [e for e in await desk.client.fetch_ledger("USDT") if e["type"] == "transfer"]
    assert (entry["amount"], entry["direction"]) == (500, "in")


async def test_prices_on_rest(desk: Desk) -> None:
    desk.server.market.set_price("BTCUSDT", D("41000.05"), index=D("40990"))
    ticker = await desk.client.fetch_ticker(BTC)
    assert ticker["last"] == 41000
    funding = await desk.client.fetch_funding_rate(BTC)
    assert (funding["markPrice"], funding["indexPrice"]) == (41000.05, 40990)
    book = await desk.client.fetch_order_book(BTC)
    assert book["bids"][0][0] < book["asks"][0][0]
    candles = await desk.client.fetch_ohlcv(BTC, "1m", limit=3)
    assert [c[4] for c in candles] == [40000, 40000, 41000]


def test_candles_without_trades_repeat_the_last_close() -> None:
    minute = 60_000
    market = Market(now_ms=lambda: 100 * minute)
    market.add(Instrument("BTCUSDT", "BTC", "USDT", "USDT"), D(40000))
    data = MarketData(market)
    data.candles["BTCUSDT"] = [
        [D(97 * minute), D(10), D(12), D(9), D(11), D(5)],
        [D(99 * minute), D(11), D(15), D(11), D(14), D(2)],
    ]

    def closes(limit: int) -> list[str]:
        return [row[4] for row in data.klines("BTCUSDT", "1m", limit, 101 * minute)]

    assert closes(1) == ["14.0"]
    assert closes(6) == ["10.0", "11.0", "11.0", "14.0", "14.0", "14.0"]
    [hour] = data.klines("BTCUSDT", "1h", 1, 101 * minute)
    assert hour[1:6] == ["10.0", "15.0", "9.0", "14.0", "7.000"]


# ---- orders -------------------------------------------------------------------------------------


async def test_market_order_fills_and_is_found_by_client_id(desk: Desk) -> None:
    order = await desk.client.create_order(
        BTC, "market", "buy", 1, None, {"clientOrderId": "rb000001"}
    )
    assert (order["status"], order["filled"], order["average"]) == ("closed", 1, 40000.1)
    again = await desk.client.fetch_order(None, BTC, {"origClientOrderId": "rb000001"})
    assert (again["id"], again["status"]) == (order["id"], "closed")
    [trade] = await desk.client.fetch_my_trades(BTC)
    assert (trade["order"], trade["amount"], trade["takerOrMaker"]) == (order["id"], 1, "taker")
    assert trade["fee"] == {"cost": 20.00005, "currency": "USDT"}


async def test_limit_order_rests_amends_fills_and_leaves_the_open_list(desk: Desk) -> None:
    order = await desk.client.create_order(BTC, "limit", "buy", 1, 39000)
    assert (order["status"], order["filled"]) == ("open", 0)
    amended = await desk.client.edit_order(order["id"], BTC, "limit", "buy", 2, 39500)
    assert (amended["amount"], amended["price"]) == (2, 39500)
    [seen] = await desk.client.fetch_open_orders(BTC)
    assert seen["amount"] == 2
    desk.server.market.set_price("BTCUSDT", D(39400))
    assert await desk.client.fetch_open_orders(BTC) == []
    [trade] = await desk.client.fetch_my_trades(BTC)
    assert (trade["price"], trade["takerOrMaker"]) == (39500, "maker")


async def test_cancel_and_its_refusals(desk: Desk) -> None:
    order = await desk.client.create_order(BTC, "limit", "buy", 1, 30000)
    canceled = await desk.client.cancel_order(order["id"], BTC)
    assert canceled["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        await desk.client.cancel_order(order["id"], BTC)
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await desk.client.fetch_order("999", BTC)


async def test_cancel_all_takes_two_passes(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    await desk.client.create_order(BTC, "limit", "buy", 1, 30000)
    await desk.client.create_order(BTC, "market", "sell", 1, None, {"stopLossPrice": 38000})
    await desk.client.cancel_all_orders(BTC)
    assert await desk.client.fetch_open_orders(BTC) == []
    assert len(await desk.client.fetch_open_orders(BTC, params={"trigger": True})) == 1
    await desk.client.cancel_all_orders(BTC, {"trigger": True})
    assert desk.ledger.open_orders() == []


async def test_conditional_order_lives_in_the_algo_service_until_it_fires(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    params = {"stopLossPrice": 39000, "reduceOnly": True, "clientOrderId": "stop-1"}
    stop = await desk.client.create_order(BTC, "market", "sell", 1, None, params)
    assert (stop["status"], stop["triggerPrice"]) == ("open", 39000)
    assert [r.path for r in desk.server.orders_received()] == ["/fapi/v1/algoOrder"]
    desk.server.market.set_price("BTCUSDT", D(38900))
    row = await desk.client.fapiPrivateGetAlgoOrder({"clientAlgoId": "stop-1"})
    assert (row["algoStatus"], str(row["algoId"])) == ("FINISHED", stop["id"])
    child = await desk.client.fetch_order(row["actualOrderId"], BTC)
    assert (child["status"], child["side"]) == ("closed", "sell")
    assert desk.ledger.positions["BTCUSDT", "both"].quantity == 0


async def test_take_profit_close_position_and_trailing_stop(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    profit = await desk.client.create_order(
        BTC, "TAKE_PROFIT_MARKET", "sell", None, None, {"stopPrice": 42000, "closePosition": True}
    )
    trailing = await desk.client.create_order(
        BTC, "market", "sell", 1, None, {"trailingPercent": 1, "reduceOnly": True}
    )
    rows = await desk.client.fapiPrivateGetOpenAlgoOrders()
    assert {str(r["algoId"]) for r in rows} == {profit["id"], trailing["id"]}
    desk.server.market.set_price("BTCUSDT", D(41000))
    desk.server.market.set_price("BTCUSDT", D(40500))
    assert desk.ledger.positions["BTCUSDT", "both"].quantity == 0
    assert desk.ledger.open_orders() == []


async def test_conditional_types_are_refused_on_the_plain_endpoint(desk: Desk) -> None:
    params = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": "39000"}
    status, body = await desk.raw("POST", "/fapi/v1/order", params | {"quantity": "1"})
    assert (status, body["code"]) == (400, -4120)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPE"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "WISH"}, -1116),
        ({"quantity": "x"}, -1102),
        ({"quantity": ""}, -1102),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "1000001"}, -4005),
        ({"quantity": "100"}, -2019),
        ({"quantity": "0.002"}, -4164),
        ({"reduceOnly": "true"}, -2022),
        ({"positionSide": "LONG"}, -4061),
        ({"newClientOrderId": "no spaces allowed"}, -4015),
        ({"newClientOrderId": "taken"}, -4116),
        ({"type": "LIMIT", "price": "39000"}, -1102),
        ({"type": "LIMIT", "price": "39000.05", "timeInForce": "GTC"}, -4014),
        ({"type": "LIMIT", "price": "39000.005", "timeInForce": "GTC"}, -1111),
        ({"type": "LIMIT", "price": "43000", "timeInForce": "GTC"}, -4016),
        ({"type": "LIMIT", "price": "40001", "timeInForce": "GTX"}, -5022),
    ],
)
async def test_new_order_is_refused_with_the_venues_code(
    desk: Desk, params: dict[str, str], code: int
) -> None:
    await desk.client.create_order(BTC, "limit", "buy", 1, 30000, {"clientOrderId": "taken"})
    known = len(desk.ledger.orders)
    full = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"} | params
    status, body = await desk.raw("POST", "/fapi/v1/order", full)
    assert (status, body["code"]) == (400, code)
    assert len(desk.ledger.orders) == known


async def test_market_order_is_refused_when_the_book_is_far_from_mark(desk: Desk) -> None:
    desk.server.market.set_price("BTCUSDT", D(40000), bid=D(36000), ask=D(44000))
    for side in ("buy", "sell"):
        with pytest.raises(ccxt.ExchangeError, match="-4131"):
            await desk.client.create_order(BTC, "market", side, 1)


async def test_one_closing_stop_and_one_closing_profit_per_direction(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    place = desk.client.create_order
    close = {"closePosition": True}
    await place(BTC, "STOP_MARKET", "sell", None, None, {"stopPrice": 38000} | close)
    await place(BTC, "TAKE_PROFIT_MARKET", "sell", None, None, {"stopPrice": 44000} | close)
    with pytest.raises(ccxt.ExchangeError, match="-4130"):
        await place(BTC, "STOP_MARKET", "sell", None, None, {"stopPrice": 37000} | close)
    for number in range(8):
        await place(BTC, "market", "sell", 0.1, None, {"stopLossPrice": 37000 - number})
    with pytest.raises(ccxt.ExchangeError, match="-4045"):
        await place(BTC, "market", "sell", 0.1, None, {"stopLossPrice": 36000})


async def test_trigger_already_reached_is_refused(desk: Desk) -> None:
    with pytest.raises(ccxt.ExchangeError, match="-2021"):
        await desk.client.create_order(BTC, "market", "sell", 1, None, {"stopLossPrice": 41000})


async def test_reducing_order_is_clipped_and_conflicts_with_resting_ones(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    reduce = {"reduceOnly": True}
    resting = await desk.client.create_order(BTC, "limit", "sell", 1, 41000, reduce)
    with pytest.raises(ccxt.ExchangeError, match="-4118"):
        await desk.client.create_order(BTC, "market", "sell", 1, None, reduce)
    await desk.client.cancel_order(resting["id"], BTC)
    order = await desk.client.create_order(BTC, "market", "sell", 5, None, reduce)
    assert (order["amount"], order["filled"]) == (1, 1)
    assert desk.ledger.positions["BTCUSDT", "both"].quantity == 0


async def test_dust_may_be_closed_below_the_minimum_notional(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D("0.001"), D(40000))
    order = await desk.client.create_order(BTC, "market", "sell", 0.001, None, {"reduceOnly": True})
    assert order["status"] == "closed"


async def test_batch_reports_refusals_inline(desk: Desk) -> None:
    orders = [
        {"symbol": BTC, "type": "limit", "side": "buy", "amount": 1, "price": 30000},
        {"symbol": BTC, "type": "market", "side": "buy", "amount": 1000},
    ]
    answers = await desk.client.create_orders(orders)
    refused, placed = sorted(answers, key=lambda answer: answer["status"], reverse=True)
    assert (refused["status"], placed["status"]) == ("rejected", "open")
    assert refused["info"]["code"] == -2019
    canceled = await desk.client.cancel_orders([placed["id"]], BTC)
    assert canceled[0]["status"] == "canceled"


async def test_hedge_mode_keeps_two_sides(hedged: Desk) -> None:
    long, short = {"positionSide": "LONG"}, {"positionSide": "SHORT"}
    await hedged.client.create_order(BTC, "market", "buy", 2, None, long)
    await hedged.client.create_order(BTC, "market", "sell", 1, None, short)
    positions = await hedged.client.fetch_positions([BTC])
    sides = {p["side"]: (p["contracts"], p["hedged"]) for p in positions}
    assert sides == {"long": (2, True), "short": (1, True)}
    await hedged.client.create_order(BTC, "market", "sell", 2, None, long)
    assert hedged.ledger.positions["BTCUSDT", "long"].quantity == 0
    with pytest.raises(ccxt.ExchangeError, match="-4061"):
        await hedged.client.create_order(BTC, "market", "sell", 1)


async def test_hedge_mode_refuses_the_reduce_only_parameter(hedged: Desk) -> None:
    hedged.ledger.set_position("BTCUSDT", D(1), D(40000), "long")
    params = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "1"}
    more = {"positionSide": "LONG", "reduceOnly": "true"}
    status, body = await hedged.raw("POST", "/fapi/v1/order", params | more)
    assert (status, body["code"]) == (400, -1106)


async def test_countdown_cancels_one_symbol_and_is_renewed_or_stopped(desk: Desk) -> None:
    await desk.client.create_order(BTC, "limit", "buy", 1, 30000)
    await desk.client.create_order(ETH, "limit", "buy", 1, 2000)
    arm = desk.client.fapiPrivatePostCountdownCancelAll
    answer = await arm({"symbol": "BTCUSDT", "countdownTime": 60_000})
    assert answer == {"symbol": "BTCUSDT", "countdownTime": "60000"}
    await arm({"symbol": "ETHUSDT", "countdownTime": 60_000})
    await arm({"symbol": "ETHUSDT", "countdownTime": 0})
    await arm({"symbol": "BTCUSDT", "countdownTime": 50})
    await until(lambda: not desk.ledger.open_orders("BTCUSDT"))
    assert len(desk.ledger.open_orders("ETHUSDT")) == 1


async def test_two_accounts_do_not_see_each_other(desk: Desk) -> None:
    other = desk.server.add_account("key2", "secret2", balance={"USDT": D(5)})
    client = make_client(desk.server, "key2", "secret2")
    try:
        await desk.client.create_order(BTC, "market", "buy", 1)
        assert await client.fetch_positions() == []
        assert (await client.fetch_balance())["USDT"]["total"] == 5
    finally:
        await client.close()
    assert other.orders == {}


# ---- authentication, clock, limits --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"secret": "wrong"}, 400, -1022),
        ({"key": "stranger"}, 401, -2015),
        ({"key": ""}, 401, -2014),
        ({"at_ms": 1_000}, 400, -1021),
        ({"at_ms": time.time_ns() // 1_000_000 + 60_000_000}, 400, -1021),
    ],
)
async def test_bad_credentials_and_clocks(
    desk: Desk, options: dict[str, Any], status: int, code: int
) -> None:
    got = await desk.raw("GET", "/fapi/v3/account", **options)
    assert (got[0], got[1]["code"]) == (status, code)


async def test_ccxt_raises_its_own_classes_for_bad_credentials(desk: Desk) -> None:
    for key, secret, code in ((KEY, "wrong", "-1022"), ("stranger", "x", "-2015")):
        client = make_client(desk.server, key, secret)
        try:
            with pytest.raises(ccxt.AuthenticationError, match=code):
                await client.fapiPrivateV3GetBalance()
        finally:
            await client.close()


async def test_skewed_clock_is_refused_until_the_client_adjusts(desk: Desk) -> None:
    desk.server.faults.add("clock_skew", times=None, ms=-5_000)
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        await desk.client.fetch_balance()
    await desk.client.load_time_difference()
    desk.client.options["adjustForTimeDifference"] = True
    assert (await desk.client.fetch_balance())["USDT"]["total"] == 100_000


async def test_weight_is_counted_and_refused_with_retry_after(desk: Desk) -> None:
    await desk.client.fetch_positions()
    desk.server.weights.limit = desk.server.weights.used
    desk.server.weights.ban_after = 2
    used = desk.client.last_response_headers["X-MBX-USED-WEIGHT-1M"]
    assert int(used) == desk.server.weights.used
    with pytest.raises(ccxt.DDoSProtection, match="429"):
        await desk.client.fetch_balance()
    assert int(desk.client.last_response_headers["Retry-After"]) >= 1
    for _ in range(2):
        with pytest.raises(ccxt.DDoSProtection):
            await desk.client.fetch_balance()
    status, body = await desk.raw("GET", "/fapi/v3/account")
    assert (status, body["code"]) == (418, -1003)


def test_too_many_orders_of_one_key_are_refused_until_the_span_ends() -> None:
    weights, route = Weights(), Route(lambda call: None, weight=0)
    weights.orders_10s = 1

    def count(key: str, now_ms: int) -> Any:
        request = Request(0.0, now_ms, "POST", "/fapi/v1/order", {}, key, is_order=True)
        return weights.count(request, route, now_ms)

    headers, refusal = count("a", 1_000)
    assert (headers["X-MBX-ORDER-COUNT-10S"], refusal) == ("1", None)
    refused = count("a", 2_000)[1]
    assert (refused.status, refused.data["code"]) == (429, -1015)
    assert count("b", 2_000)[1] is None
    assert count("a", 11_000)[1] is None


async def test_unknown_path_is_no_json(desk: Desk) -> None:
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await desk.client.fapiPublicGetConstituents({"symbol": "BTCUSDT"})


async def test_liquidation_and_adl_show_as_forced_orders(desk: Desk) -> None:
    desk.ledger.set_position("BTCUSDT", D(1), D(40000))
    desk.ledger.set_position("ETHUSDT", D(10), D(2000))
    desk.ledger.liquidate("BTCUSDT")
    desk.ledger.adl("ETHUSDT", quantity=D(4))
    rows = await desk.client.fapiPrivateGetForceOrders()
    assert [r["clientOrderId"].split("-")[0] for r in rows] == ["autoclose", "adl_autoclose"]
    assert desk.ledger.positions["ETHUSDT", "both"].quantity == 6
