"""What venues tell besides prices: rates of funding, greeks of options, whose funding was booked.

Payloads as the venues document them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from decimal import Decimal
from typing import Any

import pytest

from riskbot.clock import SystemClock
from riskbot.core import events
from riskbot.core.model import InstrumentKind, LedgerKind
from riskbot.exchanges import (
    _polls,
    binance_frames,
    binance_prices,
    bybit_frames,
    bybit_rows,
    okx_frames,
    okx_rows,
)
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.unified import UnifiedExchange
from tests import builders
from tests.exchanges.test_generic import generic_desk
from tests.exchanges.test_payloads import Names
from tests.exchanges.venues import BTC, KEY, SECRET, VENUES, Desk, Venue, open_desk
from tests.fakes import until

D = Decimal
H_MS = 3_600_000


class OptionNames(Names):
    """The same with options."""

    listed = (
        *Names.listed,
        ("BTC-26JAN24-39000-C", "BTC/USDC:USDC-240126-39000-C", InstrumentKind.OPTION, "1"),
        ("BTC-USD-240329-32000-C", "BTC/USD:BTC-240329-32000-C", InstrumentKind.OPTION, "0.01"),
    )


NAMES = OptionNames()


def terms(event: Any) -> tuple[float | None, float | None, int | None]:
    assert isinstance(event, events.PricesUpdated)
    return event.funding_rate, event.funding_interval_h, event.next_funding_ms


# ---------------------------------------------------------------- Binance


def binance_mark(**changes: Any) -> dict[str, Any]:
    return {
        "e": "markPriceUpdate", "E": 1562305380000, "s": "BTCUSDT", "p": "11794.15000000",
        "ap": "11794.15000000", "i": "11784.62659091", "P": "11784.25641265", "r": "0.00038167",
        "T": 1562306400000,
    } | changes  # fmt: skip


def test_binance_mark_tells_the_rate_and_when_it_is_settled() -> None:
    (found,) = binance_frames.decode(NAMES, binance_mark()) or []
    assert terms(found) == (0.00038167, 4.0, 1562306400000)


def test_binance_dated_contract_has_no_rate() -> None:
    (found,) = binance_frames.decode(NAMES, binance_mark(r="", T=0)) or []
    assert terms(found) == (None, None, None)


def test_binance_rate_of_a_contract_of_unknown_interval_is_told_without_one() -> None:
    (found,) = binance_frames.decode(NAMES, binance_mark(s="BTCUSD_PERP")) or []
    assert terms(found) == (0.00038167, None, 1562306400000)


def test_binance_premium_index_row() -> None:
    row = {"symbol": "BTCUSDT", "markPrice": "11793.63104562", "indexPrice": "11781.80495970",
           "estimatedSettlePrice": "11781.16138815", "lastFundingRate": "0.00038246",
           "interestRate": "0.00010000", "nextFundingTime": 1597392000000,
           "time": 1597370495002}  # fmt: skip
    found = binance_prices.mark("main", BTC, row)
    assert terms(found) == (0.00038246, None, 1597392000000)


def test_binance_exceptions_of_the_interval() -> None:
    rows = [
        {"symbol": "BLZUSDT", "adjustedFundingRateCap": "0.02500000",
         "adjustedFundingRateFloor": "-0.02500000", "fundingIntervalHours": 4, "disclaimer": False},
        {"symbol": "ODDUSDT", "fundingIntervalHours": 0},
    ]  # fmt: skip
    assert binance_prices.intervals(rows) == {"BLZUSDT": 4.0}


# ---------------------------------------------------------------- Bybit


def test_bybit_ticker_tells_funding_and_a_delta_keeps_it() -> None:
    data = {"symbol": "BTCUSDT", "markPrice": "17217.33", "indexPrice": "17227.36",
            "lastPrice": "17216.00", "bid1Price": "17215.50", "bid1Size": "84.489",
            "ask1Price": "17216.00", "ask1Size": "83.020", "fundingRate": "-0.000212",
            "fundingIntervalHour": "8", "nextFundingTime": "1760342400000"}  # fmt: skip
    tickers: bybit_frames.Tickers = {}
    frame = {"topic": "tickers.BTCUSDT", "type": "snapshot", "data": data, "ts": 1760325052630}
    for message in (frame, frame | {"type": "delta", "data": {"lastPrice": "17216.50"}}):
        (found,) = bybit_frames.decode(NAMES, message, tickers, "linear") or []
        assert terms(found) == (-0.000212, 8.0, 1760342400000)


def test_bybit_option_ticker_tells_greeks_and_its_own_book() -> None:
    data = {"symbol": "BTC-26JAN24-39000-C", "bidPrice": "3205", "bidSize": "7.1",
            "bidIv": "0.5478", "askPrice": "3315", "askSize": "1.98", "askIv": "0.5638",
            "lastPrice": "3230", "markPrice": "3273.02263032", "indexPrice": "36790.96",
            "markPriceIv": "0.5577", "underlyingPrice": "37649.67254894", "delta": "0.49640971",
            "gamma": "0.00004131", "vega": "69.08651675", "theta": "-24.9443226"}  # fmt: skip
    frame = {"topic": "tickers.BTC-26JAN24-39000-C", "type": "snapshot", "data": data, "ts": 1}
    (found,) = bybit_frames.decode(NAMES, frame, {}, "option") or []
    assert isinstance(found, events.PricesUpdated)
    assert (found.delta, found.gamma, found.vega) == (0.49640971, 0.00004131, 69.08651675)
    assert (found.mark, found.bid, found.ask) == (3273.02263032, 3205, 3315)
    assert found.funding_rate is None


def test_bybit_settlement_names_its_instrument() -> None:
    row = {"id": "592324_XRPUSDT_161440249321", "symbol": "BTCUSDT", "category": "linear",
           "side": "Buy", "transactionTime": "1672128000000", "type": "SETTLEMENT", "qty": "10",
           "size": "10", "currency": "USDT", "tradePrice": "0.33", "funding": "-0.00134",
           "fee": "0", "cashFlow": "0", "change": "-0.00134", "cashBalance": "99"}  # fmt: skip
    found = bybit_rows.booked("main", row, BTC)
    assert found is not None
    assert (found.entry_kind, found.symbol, found.amount) == (
        LedgerKind.FUNDING, BTC, D("-0.00134"),
    )  # fmt: skip


# ---------------------------------------------------------------- OKX


def okx_rate(**changes: Any) -> dict[str, Any]:
    row = {
        "fundingRate": "0.0001875391284828", "fundingTime": "1700726400000",
        "instId": "BTC-USD-SWAP", "instType": "SWAP", "method": "current_period",
        "maxFundingRate": "0.00375", "minFundingRate": "-0.00375", "nextFundingRate": "",
        "nextFundingTime": "1700755200000", "premium": "0.0001233824646391",
        "settFundingRate": "0.0001699799259033", "settState": "settled", "ts": "1700724675402",
    } | changes  # fmt: skip
    return {"arg": {"channel": "funding-rate", "instId": "BTC-USD-SWAP"}, "data": [row]}


def test_okx_funding_channel() -> None:
    (found,) = okx_frames.decode(NAMES, okx_rate()) or []
    assert terms(found) == (0.0001875391284828, 8.0, 1700726400000)
    assert isinstance(found, events.PricesUpdated)
    assert (found.symbol, found.is_rest, found.mark) == ("BTC/USD:BTC", True, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nextFundingTime": ""}, (0.0001875391284828, None, 1700726400000)),
        ({"nextFundingTime": "1700726400000"}, (0.0001875391284828, None, 1700726400000)),
        ({"fundingTime": ""}, (0.0001875391284828, None, None)),
        ({"nextFundingTime": "1700740800000"}, (0.0001875391284828, 4.0, 1700726400000)),
    ],
)
def test_okx_interval_lies_between_two_settlements(
    changes: dict[str, str], expected: tuple[Any, ...]
) -> None:
    (found,) = okx_frames.decode(NAMES, okx_rate(**changes)) or []
    assert terms(found) == expected


def test_okx_without_a_rate_tells_nothing() -> None:
    assert okx_frames.decode(NAMES, okx_rate(fundingRate="")) == []


def test_okx_server_without_the_channel_keeps_its_prices() -> None:
    words = "Wrong URL or channel:funding-rate,instId:BTC-USD-SWAP doesn't exist."
    refused = {"event": "error", "code": "60018", "msg": words, "connId": "a4d3ae55"}
    assert okx_frames.decode(NAMES, refused) == []
    assert okx_frames.decode(NAMES, refused | {"msg": "Login failed."}) is None


def test_okx_greeks_are_those_in_money() -> None:
    row = {"askVol": "0", "bidVol": "0", "delta": "0.5105464486882039",
           "deltaBS": "0.7325502184143025", "fwdPx": "37675.80158694987186",
           "gamma": "-0.13183515090501083", "gammaBS": "0.000024139685826358558",
           "instId": "BTC-USD-240329-32000-C", "instType": "OPTION", "lever": "4.504428015946619",
           "markVol": "0.5916253554539876", "realVol": "0", "theta": "-0.0004202992014012855",
           "thetaBS": "-18.52354631567909", "ts": "1699586421976", "uly": "BTC-USD",
           "vega": "0.0020207455080045846", "vegaBS": "74.44022302387287"}  # fmt: skip
    found = okx_rows.greeks("main", "BTC/USD:BTC-240329-32000-C", row)
    assert found is not None
    assert (found.delta, found.gamma, found.vega) == (
        0.7325502184143025, 0.000024139685826358558, 74.44022302387287,
    )  # fmt: skip
    assert okx_rows.greeks("main", "x", row | {"deltaBS": ""}) is None
    assert okx_rows.chain_of("BTC-USD-240329-32000-C") == ("BTC-USD", "240329")


# ---------------------------------------------------------------- any venue


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"interval": "8h", "fundingTimestamp": 10 * H_MS}, (0.001, 8.0, 10 * H_MS)),
        ({"interval": "1h", "fundingTimestamp": None}, (0.001, 1.0, None)),
        ({"interval": "30m", "fundingTimestamp": 10 * H_MS}, (0.001, 0.5, 10 * H_MS)),
        ({"interval": None, "fundingTimestamp": 10 * H_MS}, (0.001, None, 10 * H_MS)),
        ({"interval": "0h", "fundingTimestamp": 10 * H_MS}, (0.001, None, 10 * H_MS)),
        (
            {"fundingTimestamp": 2 * H_MS, "nextFundingTimestamp": 6 * H_MS},
            (0.001, 4.0, 6 * H_MS),
        ),
    ],
)
def test_unified_funding_rate(row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    whole = {"symbol": BTC, "fundingRate": 0.001} | row
    assert terms(_polls.funding("main", whole, 5 * H_MS)) == expected


def test_unified_rows_without_figures_tell_nothing() -> None:
    assert _polls.funding("main", {"symbol": BTC, "fundingRate": None}, 0) is None
    assert _polls.greeks("main", {"symbol": BTC, "delta": None}) is None


def test_unified_greeks() -> None:
    # As ccxt reads Deribit's ticker of BTC-27SEP24-40000-C.
    row = {"symbol": "BTC/USD:BTC-240927-40000-C", "delta": 0.59621, "gamma": 0.00002,
           "theta": -13.48784, "vega": 141.90146, "rho": 130.63998}  # fmt: skip
    found = _polls.greeks("main", row)
    assert found is not None
    assert (found.delta, found.gamma, found.vega, found.is_rest) == (
        0.59621, 0.00002, 141.90146, True,
    )  # fmt: skip


def test_options_have_the_market_of_their_underlying_watched() -> None:
    exchange = UnifiedExchange(
        "main", "deribit", Credentials(KEY, SECRET), {}, ("option",), SystemClock(),
        random.Random(7), lambda: False,
    )  # fmt: skip
    option = "BTC/USD:BTC-240927-40000-C"
    exchange.client.api.markets = {"BTC/USD:BTC": {}, option: {}}
    held = builders.snapshot(builders.position(option, 1, None), usdt=None)
    assert exchange.symbols_of(held) == ("BTC/USD:BTC", option)


# ---------------------------------------------------------------- over the wire


async def rate_of(desk: Desk) -> tuple[float | None, float | None]:
    """Stream until a rate with its interval has come, and return the newest."""
    desk.exchange.watch(frozenset({BTC}))
    task = asyncio.create_task(desk.exchange.stream(desk.seen.append))

    def found() -> list[events.PricesUpdated]:
        return [e for e in desk.of(events.PricesUpdated) if e.funding_interval_h is not None]

    try:
        await until(lambda: bool(found()))
        return found()[-1].funding_rate, found()[-1].funding_interval_h
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("venue", VENUES, ids=str)
async def test_rate_and_interval_reach_over_the_stream(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        desk.server.market.funding_rates[venue.ids[BTC]] = D("-0.00025")
        assert await rate_of(desk) == (-0.00025, 8.0)


async def test_rate_is_asked_for_where_ccxt_has_no_stream_of_it() -> None:
    venue = next(venue for venue in VENUES if venue.exchange_id == "okx")
    async with generic_desk(venue) as desk:
        desk.server.market.funding_rates[venue.ids[BTC]] = D("0.0004")
        assert await rate_of(desk) == (0.0004, 8.0)


@pytest.mark.parametrize("venue", VENUES, ids=str)
async def test_booked_funding_names_its_instrument(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        desk.hold(BTC, "1")
        desk.ledger.apply_funding(venue.ids[BTC], D("0.0001"))
        rows = await desk.exchange.ledger(desk.server.market.now_ms() - H_MS)
        booked = [row for row in rows if row.entry_kind is LedgerKind.FUNDING]
        assert [row.symbol for row in booked] == [BTC]
        assert booked[0].amount < 0
