"""Orders and algo orders at the OKX server, over real sockets with ccxt.pro."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro  # type: ignore[import-untyped]
import pytest

from tests.servers.okx import OkxServer
from tests.servers.okx_client import ID, SWAP, D, connect, server, until

__all__ = ["connect", "server"]


# ---- orders -------------------------------------------------------------------------------------


async def test_market_order_fills_and_is_found_by_client_id(connect: Any) -> None:
    okx = connect()
    params = {"clientOrderId": "rb1abc"}
    placed = await okx.create_order(SWAP, "market", "buy", 25, None, params)
    order = await okx.fetch_order(placed["id"], SWAP)
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 25, "rb1abc")
    assert order["average"] == 40000.1
    assert (await okx.fetch_order("", SWAP, params))["id"] == placed["id"]
    trades = await okx.fetch_my_trades(SWAP)
    assert [(t["order"], t["amount"], t["side"]) for t in trades] == [(placed["id"], 25, "buy")]
    assert trades[0]["fee"] == {"cost": pytest.approx(5.0000125), "currency": "USDT"}
    assert [o["id"] for o in await okx.fetch_closed_orders(SWAP)] == [placed["id"]]


async def test_limit_order_rests_is_amended_and_canceled(connect: Any) -> None:
    okx = connect()
    placed = await okx.create_order(SWAP, "limit", "buy", 10, 30000)
    assert [o["id"] for o in await okx.fetch_open_orders(SWAP)] == [placed["id"]]
    await okx.edit_order(placed["id"], SWAP, "limit", "buy", 5, 31000)
    order = await okx.fetch_order(placed["id"], SWAP)
    assert (order["price"], order["amount"], order["status"]) == (31000, 5, "open")
    await okx.cancel_order(placed["id"], SWAP)
    assert await okx.fetch_open_orders(SWAP) == []
    canceled = await okx.fetch_canceled_orders(SWAP)
    assert [o["info"]["cancelSource"] for o in canceled] == ["1"]
    with pytest.raises(ccxt.OrderNotFound, match='"51400"'):
        await okx.cancel_order(placed["id"], SWAP)
    with pytest.raises(ccxt.OrderNotFound, match='"51603"'):
        await okx.fetch_order("1", SWAP)


async def test_batches_report_each_order(connect: Any) -> None:
    okx = connect()
    await okx.load_markets()
    good = {"symbol": SWAP, "type": "limit", "side": "buy", "amount": 1, "price": 30000}
    orders = await okx.create_orders([good, good | {"price": 30001}, good | {"amount": 11000}])
    assert [o["status"] for o in orders] == [None, None, "rejected"]
    assert orders[2]["info"]["sCode"] == "51008"
    ids = [*(o["id"] for o in orders[:2]), "1"]
    cancels = [{"instId": ID, "ordId": order_id} for order_id in ids]
    done = await okx.private_post_trade_cancel_batch_orders(cancels)
    assert (done["code"], [row["sCode"] for row in done["data"]]) == ("2", ["0", "0", "51400"])


@pytest.mark.parametrize(
    ("order", "params", "error", "code"),
    [
        (("market", "buy", 30000), {}, ccxt.InvalidOrder, "51202"),
        (("limit", "buy", 9000, 40000), {}, ccxt.InsufficientFunds, "51008"),
        (("market", "sell", 1), {"reduceOnly": True}, ccxt.ExchangeError, "51169"),
        (("market", "buy", 1), {"clOrdId": "rb-1"}, ccxt.BadRequest, "51000"),
        (("market", "buy", 1), {"clOrdId": "r" * 33}, ccxt.BadRequest, "51000"),
        (("market", "buy", 1), {"sz": "0.001"}, ccxt.InvalidOrder, "51121"),
        (("limit", "buy", 1, 30000), {"px": "30000.01"}, ccxt.ExchangeError, "51150"),
        (("market", "buy", 1), {"instId": "NO-SUCH-SWAP"}, ccxt.BadSymbol, "51001"),
        (("market", "buy", 1), {"posSide": "long"}, ccxt.BadRequest, "51000"),
        (("market", "buy", 1), {"tdMode": "cash"}, ccxt.BadRequest, "51000"),
    ],
)
async def test_bad_orders_are_refused_under_the_venues_codes(
    server: OkxServer,
    connect: Any,
    order: tuple[Any, ...],
    params: dict[str, Any],
    error: type[Exception],
    code: str,
) -> None:
    server.ledger.set_leverage(ID, 20)
    with pytest.raises(error, match=f'"{code}"'):
        await connect().create_order(SWAP, *order, params=params)
    assert not server.ledger.orders
    assert len(server.orders_received()) == 1


async def test_client_id_is_taken_only_while_the_order_is_open(connect: Any) -> None:
    okx = connect()
    params = {"clientOrderId": "same"}
    first = await okx.create_order(SWAP, "limit", "buy", 1, 30000, params)
    with pytest.raises(ccxt.InvalidOrder, match='"51016"'):
        await okx.create_order(SWAP, "limit", "buy", 1, 30000, params)
    await okx.cancel_order(first["id"], SWAP)
    second = await okx.create_order(SWAP, "limit", "buy", 1, 30000, params)
    assert (await okx.fetch_order("", SWAP, params))["id"] == second["id"]


async def test_reduce_only_shrinks_to_the_position(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.ledger.set_position(ID, D("0.03"), D(40000))
    resting = await okx.create_order(SWAP, "limit", "sell", 3, 50000, {"reduceOnly": True})
    placed = await okx.create_order(SWAP, "market", "sell", 10, None, {"reduceOnly": True})
    order = await okx.fetch_order(placed["id"], SWAP)
    assert (order["filled"], order["reduceOnly"]) == (3, True)
    assert server.ledger.positions[ID, "both"].quantity == 0
    # The venue made room for the better-priced one.
    assert (await okx.fetch_order(resting["id"], SWAP))["info"]["cancelSource"] == "23"
    with pytest.raises(ccxt.ExchangeError, match='"51169"'):
        await okx.create_order(SWAP, "market", "sell", 1, None, {"reduceOnly": True})


async def test_post_only_that_would_take_is_accepted_then_canceled(connect: Any) -> None:
    okx = connect()
    placed = await okx.create_order(SWAP, "limit", "buy", 1, 41000, {"postOnly": True})
    order = await okx.fetch_order(placed["id"], SWAP)
    assert (order["status"], order["filled"]) == ("canceled", 0)
    assert order["info"]["cancelSource"] == "31"


async def test_close_position_takes_all_of_it(server: OkxServer, connect: Any) -> None:
    okx = connect()
    with pytest.raises(ccxt.ExchangeError, match='"51023"'):
        await okx.close_position(SWAP)
    server.ledger.set_position(ID, D("-0.0123"), D(40000))
    resting = await okx.create_order(SWAP, "limit", "buy", 1, 30000, {"reduceOnly": True})
    with pytest.raises(ccxt.InvalidOrder, match='"51115"'):
        await okx.close_position(SWAP)
    await okx.close_position(SWAP, None, {"autoCxl": True})
    assert await okx.fetch_positions() == []
    assert (await okx.fetch_order(resting["id"], SWAP))["status"] == "canceled"


async def test_spot_counts_in_base_or_in_quote(server: OkxServer, connect: Any) -> None:
    okx = connect(options={"defaultType": "spot"})
    server.market.set_price("BTC-USDT", D("39999.9"))
    await okx.create_order("BTC/USDT", "market", "buy", 0.5)
    # The fee of a buy is taken from what is bought.
    assert server.ledger.balances["BTC"] == D("0.5") * D("0.9995")
    await okx.create_market_buy_order_with_cost("BTC/USDT", 4000)
    assert server.ledger.balances["BTC"] == D("0.6") * D("0.9995")
    await okx.create_order("BTC/USDT", "market", "sell", 0.5997)
    assert server.ledger.balances["BTC"] == 0
    with pytest.raises(ccxt.InsufficientFunds, match='"51008"'):
        await okx.create_order("BTC/USDT", "market", "sell", 1)


async def test_cancel_all_after_needs_ten_seconds_and_spares_algos(
    server: OkxServer, connect: Any
) -> None:
    okx = connect()
    await okx.create_order(SWAP, "limit", "buy", 1, 30000)
    await okx.create_order(SWAP, "market", "sell", 1, None, {"triggerPrice": 30000})
    armed = await okx.cancel_all_orders_after(10_000)
    assert int(armed["data"][0]["triggerTime"]) > int(armed["data"][0]["ts"])
    await asyncio.sleep(1.1)
    with pytest.raises(ccxt.BadRequest, match='"51000"'):
        await okx.cancel_all_orders_after(5000)
    server.venue.skew_ms = 10_000
    await until(lambda: not server.ledger.open_orders(conditional=False))
    assert len(server.ledger.open_orders(conditional=True)) == 1
    server.venue.skew_ms = 0
    assert [o["info"]["cancelSource"] for o in await okx.fetch_canceled_orders(SWAP)] == ["20"]


async def test_cancel_all_after_can_be_for_one_tag(server: OkxServer, connect: Any) -> None:
    okx = connect()
    for tag in ("mine", "other"):
        await okx.create_order(SWAP, "limit", "buy", 1, 30000, {"clOrdId": tag, "tag": tag})
    await okx.cancel_all_orders_after(10_000, {"tag": "mine"})
    server.venue.skew_ms = 10_000
    await until(lambda: len(server.ledger.open_orders()) == 1)
    assert [order.client_id for order in server.ledger.open_orders()] == ["other"]


# ---- algo orders --------------------------------------------------------------------------------


async def test_trigger_order_waits_apart_and_becomes_a_plain_order(
    server: OkxServer, connect: Any
) -> None:
    okx = connect()
    server.ledger.set_position(ID, D("0.1"), D(40000))
    params = {"triggerPrice": 39000, "reduceOnly": True, "algoClOrdId": "stop1"}
    placed = await okx.create_order(SWAP, "market", "sell", 10, None, params)
    assert await okx.fetch_open_orders(SWAP) == []
    waiting = await okx.fetch_open_orders(SWAP, params={"trigger": True})
    assert [(o["id"], o["triggerPrice"]) for o in waiting] == [(placed["id"], 39000)]
    server.market.set_price(ID, D(38990))
    algo = await okx.fetch_order(placed["id"], SWAP, {"trigger": True})
    assert (algo["info"]["state"], algo["info"]["algoClOrdId"]) == ("effective", "stop1")
    child = await okx.fetch_order(algo["info"]["ordId"], SWAP)
    assert (child["status"], child["filled"]) == ("closed", 10)
    assert (child["info"]["algoId"], child["info"]["source"]) == (placed["id"], "6")
    assert server.ledger.positions[ID, "both"].quantity == 0


async def test_algo_kinds_are_listed_one_at_a_time(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.ledger.set_position(ID, D("0.1"), D(40000))
    stop = await okx.create_order(
        SWAP, "market", "sell", 10, None, {"stopLossPrice": 39000, "reduceOnly": True}
    )
    both = await okx.create_order(
        SWAP, "market", "sell", 10, None, {"stopLossPrice": 38000, "takeProfitPrice": 42000}
    )
    trail = await okx.create_order(SWAP, "market", "sell", 10, None, {"trailingPercent": "1"})
    assert await okx.fetch_open_orders(SWAP, params={"trigger": True}) == []
    for kind, order in (("conditional", stop), ("oco", both), ("move_order_stop", trail)):
        listed = await okx.fetch_open_orders(SWAP, params={"trigger": True, "ordType": kind})
        assert [o["id"] for o in listed] == [order["id"]]
    pair = await okx.private_get_trade_orders_algo_pending({"ordType": "conditional,oco"})
    assert len(pair["data"]) == 2
    with pytest.raises(ccxt.BadRequest, match='"50014"'):
        await okx.private_get_trade_orders_algo_pending()
    gone = await okx.cancel_orders([stop["id"], both["id"], trail["id"]], SWAP, {"trigger": True})
    assert len(gone) == 3
    assert not server.ledger.open_orders()
    with pytest.raises(ccxt.OrderNotFound, match='"51400"'):
        await okx.cancel_order(stop["id"], SWAP, {"trigger": True})


async def test_one_leg_of_an_oco_ends_the_other(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.ledger.set_position(ID, D("0.1"), D(40000))
    params = {"stopLossPrice": 38000, "takeProfitPrice": 42000, "reduceOnly": True}
    placed = await okx.create_order(SWAP, "market", "sell", 10, None, params)
    server.market.set_price(ID, D(42001))
    row = (await okx.private_get_trade_order_algo({"algoId": placed["id"]}))["data"][0]
    assert (row["state"], row["actualSide"]) == ("effective", "tp")
    child = await okx.fetch_order(row["ordId"], SWAP)
    assert (child["filled"], child["info"]["algoId"]) == (10, placed["id"])
    assert not server.ledger.open_orders()


async def test_whole_position_is_closed_by_close_fraction(server: OkxServer, connect: Any) -> None:
    okx = connect()
    server.ledger.set_position(ID, D("0.1"), D(40000))
    params = {"stopLossPrice": 39000, "closeFraction": "1", "reduceOnly": True}
    placed = await okx.create_order(SWAP, "market", "sell", 1, None, params)
    with pytest.raises(ccxt.ExchangeError, match='"51088"'):
        await okx.create_order(SWAP, "market", "sell", 1, None, params)
    server.market.set_price(ID, D(38000))
    assert server.ledger.positions[ID, "both"].quantity == 0
    row = (await okx.private_get_trade_order_algo({"algoId": placed["id"]}))["data"][0]
    assert (row["closeFraction"], row["sz"], row["state"]) == ("1", "", "effective")


async def test_wrong_side_stop_is_refused(connect: Any) -> None:
    with pytest.raises(ccxt.InvalidOrder, match='"51280"'):
        await connect().create_order(SWAP, "market", "sell", 1, None, {"stopLossPrice": 41000})


async def test_attached_protection_is_placed_with_the_fill(server: OkxServer, connect: Any) -> None:
    okx = connect()
    params = {"stopLoss": {"triggerPrice": 39000}, "takeProfit": {"triggerPrice": 43000}}
    await okx.create_order(SWAP, "market", "buy", 10, None, params)
    rows = (await okx.private_get_trade_orders_algo_pending({"ordType": "oco"}))["data"]
    assert [(r["slTriggerPx"], r["tpTriggerPx"], r["sz"]) for r in rows] == [
        ("39000", "43000", "10")
    ]
    server.market.set_price(ID, D(38999))
    assert server.ledger.positions[ID, "both"].quantity == 0
