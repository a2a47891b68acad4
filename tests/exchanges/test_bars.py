"""Daily bars at each venue: paged to the end, in quote units, only of days that have ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from riskbot.core.model import InstrumentKind, RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import DAY_MS
from riskbot.exchanges._budget import Budget, Lane
from tests.exchanges.venues import BTC, VENUES, Desk, Leaping, Venue, make_exchange, open_desk
from tests.servers import days

D = Decimal
TODAY = time.time_ns() // 1_000_000 // DAY_MS
KLINES = {"binanceusdm": "/fapi/v1/klines", "bybit": "/v5/market/kline"}


@pytest.fixture(params=VENUES, ids=str)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with open_desk(request.param) as opened:
        yield opened


def asked(desk: Desk) -> list[str]:
    """Return the paths of the candle requests so far."""
    words = ("kline", "candles")
    return [r.path for r in desk.server.requests if any(word in r.path for word in words)]


async def test_days_are_read_to_the_end_and_the_one_that_runs_is_not_one(desk: Desk) -> None:
    count = 1_203
    closes = [D(20_000 + n) for n in range(count)]
    days.set_closes(desk.server.market, desk.venue.ids[BTC], TODAY - count, closes, volume=3)
    read = await desk.exchange.daily_bars(BTC, (TODAY - count) * DAY_MS, (TODAY + 5) * DAY_MS)
    assert [bar.day for bar in read.bars] == list(range(TODAY - count, TODAY))
    assert [bar.close for bar in read.bars] == [float(close) for close in closes]
    # 3 coins a day, in quote units; a candle of contracts may count them in whatever it likes.
    assert all(bar.turnover == pytest.approx(3 * bar.close) for bar in read.bars)
    assert not read.is_bundled


async def test_day_without_a_trade_stays_a_gap_and_time_before_listing_is_none(desk: Desk) -> None:
    closes = [D(100), D(101), None, None, D(104), D(105)]
    days.set_closes(desk.server.market, desk.venue.ids[BTC], TODAY - 9, closes)
    read = await desk.exchange.daily_bars(BTC, (TODAY - 400) * DAY_MS, TODAY * DAY_MS)
    # The last three days have no bar either: it was delisted.
    assert [TODAY - bar.day for bar in read.bars] == [9, 8, 5, 4]
    assert [bar.close for bar in read.bars] == [100, 101, 104, 105]


async def test_nothing_is_read_beyond_what_is_asked_for(desk: Desk) -> None:
    read = await desk.exchange.daily_bars(BTC, (TODAY - 2) * DAY_MS, TODAY * DAY_MS)
    assert [bar.day for bar in read.bars] == [TODAY - 2, TODAY - 1]
    assert len(asked(desk)) == 1
    assert (await desk.exchange.daily_bars(BTC, TODAY * DAY_MS, TODAY * DAY_MS)).bars == ()
    assert len(asked(desk)) == 1


async def test_instruments_of_an_underlying_are_told_with_their_multiplier(desk: Desk) -> None:
    found = desk.exchange.instruments_of("BTC")
    assert BTC in {row.symbol for row in found}
    assert {row.underlying for row in found} == {"BTC"}
    assert desk.exchange.instruments_of("NOPE") == ()


async def test_too_many_requests_is_a_wait_and_not_an_end(desk: Desk) -> None:
    path = KLINES.get(desk.venue.exchange_id, "/api/v5/market/candles")
    desk.strike("rate_limited", path)
    with pytest.raises(VenueError) as caught:
        await desk.exchange.daily_bars(BTC, (TODAY - 2) * DAY_MS, TODAY * DAY_MS)
    assert caught.value.reason is RejectReason.RATE_LIMITED
    assert caught.value.retry_after_ms


# ---------------------------------------------------------------- one venue is enough for these


async def test_multiplied_contract_tells_what_it_is_a_multiple_of() -> None:
    async with open_desk(VENUES[0]) as desk:
        (pepe,) = desk.exchange.instruments_of("PEPE")
        assert (pepe.symbol, pepe.underlying_per_base) == ("1000PEPE/USDT:USDT", 1000)


async def test_coin_margined_contract_tells_turnover_in_dollars() -> None:
    async with open_desk(VENUES[2]) as desk:
        inverse = next(
            row
            for row in desk.exchange.instruments_of("BTC")
            if row.kind is InstrumentKind.INVERSE and "-" not in row.symbol
        )
        days.set_closes(desk.server.market, "BTC-USD-SWAP", TODAY - 1, [D(50_000)], volume=7)
        read = await desk.exchange.daily_bars(inverse.symbol, (TODAY - 1) * DAY_MS, TODAY * DAY_MS)
        assert [(bar.close, bar.turnover) for bar in read.bars] == [(50_000, 350_000)]


async def test_history_waits_while_the_budget_is_needed_for_something_else() -> None:
    async with open_desk(VENUES[0]) as desk:
        client = desk.exchange.client
        client.budget = Budget(100, 60_000)
        client.budget.spend(38, client.clock.now_ms(), Lane.ROUTINE)
        with pytest.raises(VenueError, match="spare requests stop at 20%") as caught:
            await desk.exchange.daily_bars(BTC, (TODAY - 2) * DAY_MS, TODAY * DAY_MS)
        assert caught.value.retry_after_ms
        assert not asked(desk)
        await desk.exchange.prices((BTC,))


async def test_instruments_that_are_not_known_yet_are_no_answer() -> None:
    venue: Venue = VENUES[0]
    server = venue.server()
    await server.start()
    exchange = make_exchange(venue, server, clock=Leaping())
    try:
        with pytest.raises(VenueError) as caught:
            exchange.instruments_of("BTC")
        assert caught.value.is_ambiguous
    finally:
        await exchange.close()
        await server.stop()
