"""Payloads as the venues document them, read by each adapter: units, signs, identities."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    LedgerKind,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    RejectReason,
    Side,
)
from riskbot.errors import VenueError
from riskbot.exchanges import (
    binance_frames,
    binance_rows,
    bybit_frames,
    bybit_rows,
    okx_algos,
    okx_frames,
    okx_rows,
)
from riskbot.exchanges.okx_holdings import Holdings

D = Decimal
K = InstrumentKind


class Names:
    """A venue's list of instruments, as far as the payloads name them."""

    account = "main"
    listed = (
        ("BTCUSDT", "BTC/USDT:USDT", K.LINEAR, "1"),
        ("BTCUSDT", "BTC/USDT", K.SPOT, "1"),
        ("BTCUSD_PERP", "BTC/USD:BTC", K.INVERSE, "100"),
        ("BTCUSD", "BTC/USD:BTC", K.INVERSE, "1"),
        ("BTC-USDT-SWAP", "BTC/USDT:USDT", K.LINEAR, "0.01"),
        ("BTC-USD-SWAP", "BTC/USD:BTC", K.INVERSE, "100"),
        ("BTC-USDT", "BTC/USDT", K.SPOT, "1"),
    )

    def __init__(self, *ids: str) -> None:
        self.rows = [row for row in self.listed if not ids or row[0] in ids]
        self.holdings = Holdings()

    def symbol_of(self, market_id: Any, *kinds: InstrumentKind) -> str:
        for name, symbol, kind, _ in self.rows:
            if name == market_id and (not kinds or kind in kinds):
                return symbol
        raise VenueError(RejectReason.UNKNOWN_INSTRUMENT, str(market_id))

    def instrument(self, symbol: str) -> Instrument:
        for _, name, kind, value in self.rows:
            if name == symbol:
                quote, settle = ("USD", "BTC") if kind is K.INVERSE else ("USDT", "USDT")
                return Instrument(
                    "main", symbol, "BTC", quote, settle, kind, D(value), D("0.1"), D(value)
                )
        raise VenueError(RejectReason.UNKNOWN_INSTRUMENT, symbol)

    def asset_price(self, asset: str) -> float | None:
        return {"USDT": 0.9995}.get(asset)

    def funding_interval_h(self, symbol: str) -> float | None:
        return {"BTC/USDT:USDT": 4.0}.get(symbol)

    def joined(self, position: Position) -> list[Position]:
        return self.holdings.pushed(position, self.instrument(position.symbol).kind)

    def symbols_of_index(self, index_id: str) -> list[str]:
        return ["BTC/USDT:USDT"] if index_id == "BTC-USDT" else []


LINEAR = Names("BTCUSDT")
COIN = Names("BTCUSD_PERP")


# ---------------------------------------------------------------- Binance frames


def account_update(position: dict[str, Any]) -> dict[str, Any]:
    usual = {"s": "BTCUSDT", "pa": "0", "ep": "0.00000", "bep": "0", "cr": "200", "up": "0",
             "mt": "isolated", "iw": "0.00000000", "ps": "BOTH"}  # fmt: skip
    return {
        "e": "ACCOUNT_UPDATE",
        "E": 1564745798939,
        "T": 1564745798938,
        "a": {
            "m": "ORDER",
            "B": [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.1"}],
            "P": [usual | position],
        },
    }


@pytest.mark.parametrize(
    ("row", "side", "quantity"),
    [
        ({"pa": "-0.089", "ep": "19700.03933"}, PositionSide.NET, "-0.089"),
        ({"pa": "20", "ps": "LONG"}, PositionSide.LONG, "20"),
        ({"pa": "-10", "ps": "SHORT"}, PositionSide.SHORT, "-10"),
        ({"pa": "0", "ps": "LONG"}, PositionSide.LONG, "0"),
        ({"pa": "0"}, PositionSide.NET, "0"),
    ],
)
def test_binance_position_of_every_shape(
    row: dict[str, Any], side: PositionSide, quantity: str
) -> None:
    found = binance_frames.decode(LINEAR, account_update(row))
    assert found is not None
    positions, balances = found
    assert isinstance(positions, events.PositionsUpdated)
    assert isinstance(balances, events.BalancesUpdated)
    (position,) = positions.positions
    assert (position.side, position.quantity) == (side, D(quantity))
    assert positions.venue_ms == 1564745798939
    assert balances.balances[0].total == D("122624.12345678")
    assert balances.balances[0].price_usd == 0.9995


def test_binance_leg_against_its_sign_is_not_believed() -> None:
    found = binance_frames.decode(LINEAR, account_update({"pa": "-1", "ps": "LONG"}))
    assert found is not None
    assert not [event for event in found if isinstance(event, events.PositionsUpdated)]


def test_binance_coin_margined_position_is_face_value() -> None:
    frame = account_update({"s": "BTCUSD_PERP", "pa": "-3", "ep": "40000"})
    found = binance_frames.decode(COIN, frame)
    assert found is not None
    assert isinstance(found[0], events.PositionsUpdated)
    assert found[0].positions[0].quantity == D(-300)


def order_update(**changes: Any) -> dict[str, Any]:
    order = {
        "s": "BTCUSDT", "c": "rb1", "S": "SELL", "o": "MARKET", "f": "GTC", "q": "0.002", "p": "0",
        "ap": "0", "sp": "0", "x": "NEW", "X": "NEW", "i": 8886774, "l": "0", "z": "0", "L": "0",
        "N": "USDT", "n": "0", "T": 1568879465650, "t": 0, "b": "0", "a": "9.91", "m": False,
        "R": True, "wt": "CONTRACT_PRICE", "ot": "MARKET", "ps": "BOTH", "cp": False, "rp": "0",
    }  # fmt: skip
    return {
        "e": "ORDER_TRADE_UPDATE", "E": 1568879465651, "T": 1568879465650, "o": order | changes,
    }  # fmt: skip


def test_binance_fill_comes_before_the_order_it_ends() -> None:
    frame = order_update(
        x="TRADE", X="FILLED", l="0.002", z="0.002", L="41000.5", ap="41000.5", n="0.0328", t=77
    )
    found = binance_frames.decode(LINEAR, frame)
    assert found is not None
    fill, order = found
    assert isinstance(fill, events.OrderFilled)
    assert (fill.trade_id, fill.quantity, fill.price) == ("77", D("0.002"), D("41000.5"))
    assert (fill.fee, fill.fee_asset, fill.side) == (D("0.0328"), "USDT", Side.SELL)
    assert isinstance(order, events.OrderUpdated)
    assert order.order.status is OrderStatus.FILLED
    assert order.order.reduce_only
    assert order.order.type is OrderType.MARKET
    assert order.order.price is None


@pytest.mark.parametrize("client_id", ["autoclose-1695621921", "adl_autoclose"])
def test_binance_forced_close_is_a_fill_like_any_other(client_id: str) -> None:
    frame = order_update(c=client_id, x="CALCULATED", X="FILLED", l="0.002", z="0.002", L="39000",
                         t=78)  # fmt: skip
    found = binance_frames.decode(LINEAR, frame)
    assert found is not None
    assert isinstance(found[0], events.OrderFilled)
    assert found[0].client_order_id == client_id


def test_binance_conditional_order_of_the_algo_service() -> None:
    frame = {
        "e": "ALGO_UPDATE", "T": 1750515742297, "E": 1750515742303,
        "o": {"caid": "Q5xaq5EGKgXXa0fD7fs0Ip", "aid": 2148719, "at": "CONDITIONAL",
              "o": "STOP_MARKET", "s": "BTCUSDT", "S": "SELL", "ps": "BOTH", "f": "GTC",
              "q": "0.01", "X": "NEW", "ai": "", "ap": "0.00000", "aq": "0.00000", "act": "0",
              "tp": "35000", "p": "0", "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE", "pm": "NONE",
              "cp": True, "pP": False, "R": True, "tt": 0, "gtd": 0, "rm": ""},
    }  # fmt: skip
    found = binance_frames.decode(LINEAR, frame)
    assert found is not None
    assert isinstance(found[0], events.OrderUpdated)
    order = found[0].order
    assert (order.order_id, order.is_conditional, order.close_position) == ("2148719", True, True)
    assert (order.stop_price, order.price, order.type) == (D(35000), None, OrderType.MARKET)


def test_binance_prices_tell_contracts_from_spot_of_the_same_name() -> None:
    mark = {"e": "markPriceUpdate", "E": 1562305380000, "s": "BTCUSDT", "p": "11794.15000000",
            "i": "11784.62659091", "P": "11784.25641265", "r": "0.00038167",
            "T": 1562306400000}  # fmt: skip
    book = {"e": "bookTicker", "u": 400900217, "E": 1568014460893, "T": 1568014460891,
            "s": "BTCUSDT", "b": "25.35190000", "B": "31.21", "a": "25.36520000",
            "A": "40.66"}  # fmt: skip
    spot = {"u": 400900217, "s": "BTCUSDT", "b": "25.35", "B": "31.21", "a": "25.36", "A": "40.66"}
    both = Names("BTCUSDT")
    found = [binance_frames.decode(both, frame) for frame in (mark, book, spot)]
    read = [part[0] for part in found if part]
    assert all(isinstance(price, events.PricesUpdated) for price in read)
    assert [getattr(price, "symbol", "") for price in read] == [
        "BTC/USDT:USDT", "BTC/USDT:USDT", "BTC/USDT",
    ]  # fmt: skip
    assert binance_frames.decode(both, {"stream": "btcusdt@markPrice", "data": mark}) == found[0]
    assert binance_frames.decode(both, [mark, mark]) == [read[0], read[0]]


def test_binance_spot_account_frames() -> None:
    position = {"e": "outboundAccountPosition", "E": 1564034571105, "u": 1564034571073,
                "B": [{"a": "ETH", "f": "10000.000000", "l": "2.5"}]}  # fmt: skip
    flow = {"e": "balanceUpdate", "E": 1573200697110, "a": "BTC", "d": "-100.00000000",
            "T": 1573200697068}  # fmt: skip
    (balances,) = binance_frames.decode(LINEAR, {"subscriptionId": 0, "event": position}) or []
    assert isinstance(balances, events.BalancesUpdated)
    assert (balances.balances[0].total, balances.balances[0].free) == (D("10002.5"), D(10000))
    (booked,) = binance_frames.decode(LINEAR, flow) or []
    assert isinstance(booked, events.LedgerEntryBooked)
    assert (booked.amount, booked.asset) == (D(-100), "BTC")


@pytest.mark.parametrize("frame", [{"result": None, "id": 1}, {"id": 7, "status": 200}, "pong", 5,
                                   {"e": "somethingNew", "s": "BTCUSDT"}])  # fmt: skip
def test_binance_other_frames_are_left_to_ccxt(frame: Any) -> None:
    assert binance_frames.decode(LINEAR, frame) is None


def test_binance_expired_key_is_told_apart() -> None:
    frame = {"e": "listenKeyExpired", "E": "1736996475556", "listenKey": "WsCM"}
    assert binance_frames.decode(LINEAR, frame) is binance_frames.EXPIRED


def test_one_row_that_makes_no_sense_takes_no_other_with_it() -> None:
    good = bybit_position(size="0.5")
    rows = [bybit_position(symbol="NEWCOIN"), None, good, bybit_position(size="NaN")]
    frame = {"topic": "position", "creationTime": 1, "data": rows}
    (found,) = bybit_frames.decode(LINEAR, frame, {}) or []
    assert isinstance(found, events.PositionsUpdated)
    assert [position.quantity for position in found.positions] == [D("0.5")]
    update = account_update({"pa": "1"})
    update["a"]["P"].insert(0, {"s": "NEWCOIN", "pa": "5"})
    read = binance_frames.decode(LINEAR, update)
    assert read is not None
    assert isinstance(read[0], events.PositionsUpdated)
    assert [position.quantity for position in read[0].positions] == [D(1)]


# ---------------------------------------------------------------- Binance rows


def risk_row(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "ADAUSDT", "positionSide": "BOTH", "positionAmt": "30", "entryPrice": "0.385",
        "breakEvenPrice": "0.385077", "markPrice": "0.41047590",
        "unRealizedProfit": "0.76427700", "liquidationPrice": "0", "isolatedMargin": "0",
        "notional": "12.31427700", "marginAsset": "USDT", "isolatedWallet": "0",
        "initialMargin": "0.61571385", "maintMargin": "0.08004280",
        "positionInitialMargin": "0.61571385", "openOrderInitialMargin": "0", "adl": 2,
        "bidNotional": "0", "askNotional": "0", "updateTime": 1720736417660,
    } | changes  # fmt: skip


def test_binance_position_risk_row() -> None:
    instrument = LINEAR.instrument("BTC/USDT:USDT")
    found = binance_rows.position("main", instrument, risk_row(), D(30))
    assert (found.quantity, found.entry_price) == (D(30), D("0.385"))
    assert found.leverage == pytest.approx(20.0)
    assert found.liquidation_price is None
    assert (found.maintenance_margin, found.is_isolated) == (D("0.08004280"), False)
    isolated = risk_row(isolatedWallet="5", isolatedMargin="5.76427700")
    found = binance_rows.position("main", instrument, isolated, D(30))
    assert (found.is_isolated, found.isolated_margin) == (True, D("5.76427700"))


def test_binance_wrong_contract_size_is_caught_before_any_order() -> None:
    wrong = COIN.instrument("BTC/USD:BTC")
    row = risk_row(symbol="BTCUSD_PERP", markPrice="40000", notionalValue="0.00025", notional=None)
    with pytest.raises(VenueError) as caught:
        binance_rows.position("main", wrong, row, D(1))
    assert "BTC/USD:BTC" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("TRANSFER", LedgerKind.TRANSFER), ("INTERNAL_TRANSFER", LedgerKind.TRANSFER),
     ("STRATEGY_UMFUTURES_TRANSFER", LedgerKind.TRANSFER), ("FUNDING_FEE", LedgerKind.FUNDING),
     ("INSURANCE_CLEAR", LedgerKind.LIQUIDATION), ("COIN_SWAP_DEPOSIT", LedgerKind.DEPOSIT),
     ("COIN_SWAP_WITHDRAW", LedgerKind.WITHDRAWAL), ("API_REBATE", LedgerKind.FEE),
     ("AUTO_EXCHANGE", LedgerKind.OTHER), ("REALIZED_PNL", None), ("COMMISSION", None)],
)  # fmt: skip
def test_binance_income_rows(name: str, kind: LedgerKind | None) -> None:
    row = {"symbol": "", "incomeType": name, "income": "-0.37500000", "asset": "USDT",
           "info": name, "time": 1570608000000, "tranId": 9689322392, "tradeId": ""}  # fmt: skip
    found = binance_rows.income("main", row)
    assert (found.entry_kind if found else None) == kind


# ---------------------------------------------------------------- Bybit


def bybit_position(**changes: Any) -> dict[str, Any]:
    return {
        "positionIdx": 0, "tradeMode": 0, "riskId": 41, "riskLimitValue": "200000",
        "symbol": "BTCUSDT", "side": "Buy", "size": "0.5", "entryPrice": "40000",
        "leverage": "10", "positionValue": "20000", "positionBalance": "", "markPrice": "41000",
        "positionIM": "2000", "positionMM": "100", "takeProfit": "0", "stopLoss": "0",
        "trailingStop": "0", "unrealisedPnl": "500", "cumRealisedPnl": "0",
        "createdTime": "1694402496913", "updatedTime": "1697673900012", "tpslMode": "Full",
        "liqPrice": "", "category": "linear", "positionStatus": "Normal", "adlRankIndicator": 2,
        "seq": 8327597863,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("row", "side", "quantity"),
    [
        ({}, PositionSide.NET, "0.5"),
        ({"side": "Sell"}, PositionSide.NET, "-0.5"),
        ({"positionIdx": 1}, PositionSide.LONG, "0.5"),
        ({"positionIdx": 2, "side": "Sell"}, PositionSide.SHORT, "-0.5"),
        ({"side": "", "size": "0", "positionValue": "0"}, PositionSide.NET, "0"),
        ({"positionIdx": 2, "side": "", "size": "0", "positionValue": ""}, PositionSide.SHORT, "0"),
    ],
)
def test_bybit_position_of_every_shape(
    row: dict[str, Any], side: PositionSide, quantity: str
) -> None:
    frame = {"id": "1", "topic": "position", "creationTime": 1697682317038,
             "data": [bybit_position(**row)]}  # fmt: skip
    (found,) = bybit_frames.decode(LINEAR, frame, {}) or []
    assert isinstance(found, events.PositionsUpdated)
    assert (found.positions[0].side, found.positions[0].quantity) == (side, D(quantity))


@pytest.mark.parametrize("row", [{"side": ""}, {"positionIdx": 1, "side": "Sell"},
                                 {"positionValue": "200"}])  # fmt: skip
def test_bybit_contradiction_is_not_believed(row: dict[str, Any]) -> None:
    with pytest.raises(VenueError):
        bybit_rows.position("main", LINEAR.instrument("BTC/USDT:USDT"), bybit_position(**row))


def test_bybit_inverse_value_is_in_coins() -> None:
    names = Names("BTCUSD")
    row = bybit_position(symbol="BTCUSD", size="30000", positionValue="0.75", category="inverse")
    found = bybit_rows.position("main", names.instrument("BTC/USD:BTC"), row)
    assert found.quantity == D(30_000)


def test_bybit_ticker_delta_leaves_the_rest_as_it_was() -> None:
    tickers: bybit_frames.Tickers = {}
    snapshot = {
        "topic": "tickers.BTCUSDT", "type": "snapshot", "cs": 24987956059, "ts": 1673272861686,
        "data": {"symbol": "BTCUSDT", "lastPrice": "17216.00", "markPrice": "17217.33",
                 "indexPrice": "17227.36", "bid1Price": "17215.50", "bid1Size": "84.489",
                 "ask1Price": "17216.00", "ask1Size": "83.020"},
    }  # fmt: skip
    delta = {"topic": "tickers.BTCUSDT", "type": "delta", "ts": 1673272861786,
             "data": {"symbol": "BTCUSDT", "markPrice": "17300.00"}}  # fmt: skip
    bybit_frames.decode(LINEAR, snapshot, tickers)
    (price,) = bybit_frames.decode(LINEAR, delta, tickers) or []
    assert isinstance(price, events.PricesUpdated)
    assert (price.mark, price.index, price.bid, price.ask) == (17300, 17227.36, 17215.5, 17216)
    assert price.venue_ms == 1673272861786


def test_bybit_funding_execution_is_no_fill() -> None:
    row = {"category": "linear", "symbol": "BTCUSDT", "execFee": "0.5", "execId": "7e2ae69c",
           "execPrice": "40000", "execQty": "0.5", "execType": "Funding", "side": "Buy",
           "orderId": "1", "orderLinkId": "", "execTime": "1672364174443"}  # fmt: skip
    frame = {"topic": "execution", "creationTime": 1672364174455, "data": [row]}
    assert bybit_frames.decode(LINEAR, frame, {}) == []
    trade = frame | {"data": [row | {"execType": "BustTrade"}]}
    (fill,) = bybit_frames.decode(LINEAR, trade, {}) or []
    assert isinstance(fill, events.OrderFilled)
    assert (fill.trade_id, fill.fee_asset, fill.client_order_id) == ("7e2ae69c", "USDT", None)


def test_bybit_wallet_prices_coins_by_usd_value() -> None:
    row = {"coin": "USDC", "equity": "200", "usdValue": "176.0", "walletBalance": "190",
           "locked": "10", "unrealisedPnl": "10"}  # fmt: skip
    found = bybit_rows.coin(row)
    assert found is not None
    assert (found.total, found.free) == (D(190), D(180))
    assert found.price_usd == pytest.approx(0.88)
    assert bybit_rows.coin({"coin": "X", "equity": "0", "walletBalance": "0"}) is None


# ---------------------------------------------------------------- OKX


def okx_position(**changes: Any) -> dict[str, Any]:
    return {
        "instId": "BTC-USDT-SWAP", "instType": "SWAP", "posSide": "net", "pos": "50",
        "avgPx": "40000", "markPx": "41000", "upl": "500", "lever": "10", "liqPx": "",
        "mgnMode": "cross", "margin": "", "imr": "2050", "mmr": "82", "notionalUsd": "20498",
        "ccy": "USDT", "uTime": "1619507761462", "cTime": "1619507758793",
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("row", "side", "quantity"),
    [
        ({}, PositionSide.NET, "0.5"),
        ({"pos": "-50"}, PositionSide.NET, "-0.5"),
        ({"posSide": "long"}, PositionSide.LONG, "0.5"),
        ({"posSide": "short"}, PositionSide.SHORT, "-0.5"),
        ({"pos": "0", "notionalUsd": "", "avgPx": ""}, PositionSide.NET, "0"),
    ],
)
def test_okx_contracts_become_base_units(
    row: dict[str, Any], side: PositionSide, quantity: str
) -> None:
    frame = {"arg": {"channel": "positions", "instType": "ANY"}, "data": [okx_position(**row)]}
    (found,) = okx_frames.decode(Names("BTC-USDT-SWAP"), frame) or []
    assert isinstance(found, events.PositionsUpdated)
    assert (found.positions[0].side, found.positions[0].quantity) == (side, D(quantity))


def test_okx_inverse_contracts_become_face_value() -> None:
    names = Names("BTC-USD-SWAP")
    row = okx_position(instId="BTC-USD-SWAP", pos="-300", notionalUsd="30000", ccy="BTC")
    found = okx_rows.position("main", names.instrument("BTC/USD:BTC"), row)
    assert found.quantity == D(-30_000)


@pytest.mark.parametrize("row", [{"notionalUsd": "205000"}, {"pos": "NaN"}, {"pos": ""},
                                 {"posSide": "long", "pos": "-50"}])  # fmt: skip
def test_okx_contradiction_is_not_believed(row: dict[str, Any]) -> None:
    names = Names("BTC-USDT-SWAP")
    with pytest.raises(VenueError):
        okx_rows.position("main", names.instrument("BTC/USDT:USDT"), okx_position(**row))


def test_okx_order_push_with_a_fill() -> None:
    row = {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "ordId": "312269865356374016",
           "clOrdId": "rb1", "side": "sell", "posSide": "net", "ordType": "market", "sz": "50",
           "px": "", "accFillSz": "20", "avgPx": "41000", "state": "partially_filled",
           "reduceOnly": "true", "fillPx": "41000", "fillSz": "20", "tradeId": "242589207",
           "fillFee": "-4.1", "fillFeeCcy": "USDT", "fillTime": "1597026383085",
           "cTime": "1597026383000", "uTime": "1597026383085"}  # fmt: skip
    frame = {"arg": {"channel": "orders", "instType": "ANY"}, "data": [row]}
    fill, order = okx_frames.decode(Names("BTC-USDT-SWAP"), frame) or []
    assert isinstance(fill, events.OrderFilled)
    assert isinstance(order, events.OrderUpdated)
    assert (fill.quantity, fill.fee, fill.trade_id) == (D("0.2"), D("4.1"), "242589207")
    assert (order.order.quantity, order.order.filled) == (D("0.5"), D("0.2"))
    assert order.order.status is OrderStatus.OPEN
    later = frame | {"data": [row | {"fillSz": "0", "tradeId": "", "state": "canceled"}]}
    (only,) = okx_frames.decode(Names("BTC-USDT-SWAP"), later) or []
    assert isinstance(only, events.OrderUpdated)
    assert only.order.status is OrderStatus.CANCELED


def test_okx_stop_that_closes_the_whole_position() -> None:
    row = {"instId": "BTC-USDT-SWAP", "algoId": "581878926302093312", "algoClOrdId": "",
           "ordType": "conditional", "side": "sell", "posSide": "net", "sz": "", "state": "live",
           "closeFraction": "1", "slTriggerPx": "35000", "slOrdPx": "-1", "tpTriggerPx": "",
           "tpOrdPx": "", "reduceOnly": "true", "cTime": "1684999999999"}  # fmt: skip
    found = okx_algos.algo_order("main", Names("BTC-USDT-SWAP").instrument("BTC/USDT:USDT"), row)
    assert (found.close_position, found.quantity, found.stop_price) == (True, D(0), D(35000))
    assert (found.type, found.price, found.is_conditional) == (OrderType.MARKET, None, True)


@pytest.mark.parametrize(
    "message",
    [
        "pong",
        {"event": "login", "code": "0", "msg": ""},
        {"event": "subscribe", "arg": {"channel": "tickers"}},
    ],
)
def test_okx_other_frames_are_left_to_ccxt(message: Any) -> None:
    assert okx_frames.decode(Names(), message) is None
