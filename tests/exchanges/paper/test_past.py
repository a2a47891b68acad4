"""The paper venue's past: real days before the demo, and days as if for any other market."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from riskbot.core.model import RejectReason
from riskbot.data import prices
from riskbot.errors import VenueError
from riskbot.exchanges._base import DAY_MS, Credentials, DailyBars
from riskbot.exchanges.paper.exchange import PaperExchange
from riskbot.exchanges.paper.faults import Fault, Mishap
from tests.fakes import START_MS, FakeClock

BTC, SHIB = "BTC/USDT:USDT", "SHIB1000/USDT:USDT"
DEMO_MS = int(datetime(2022, 1, 20, 15, tzinfo=UTC).timestamp() * 1000)
TODAY = START_MS // DAY_MS


def exchange(now_ms: int = START_MS, **ccxt: Any) -> PaperExchange:
    return PaperExchange(
        "main",
        "paper",
        Credentials(),
        {"latency_ms": 0, **ccxt},
        ("linear",),
        FakeClock(now_ms),
        random.Random(1),
        lambda: False,
    )


async def read(
    made: PaperExchange, symbol: str = BTC, days: int = 760, now_ms: int = START_MS
) -> DailyBars:
    return await made.daily_bars(symbol, (now_ms // DAY_MS - days) * DAY_MS, now_ms)


async def test_demo_has_the_real_days_before_its_moment() -> None:
    made = exchange(DEMO_MS, prices="demo", follow_clock=True)
    found = await read(made, now_ms=DEMO_MS)
    real = prices.daily_closes()[BTC]
    days = {date.fromordinal(date(1970, 1, 1).toordinal() + bar.day): bar for bar in found.bars}
    assert max(days) == date(2022, 1, 19)
    assert min(days) == min(real)
    assert {day: bar.close for day, bar in days.items()} == {
        day: close for day, close in real.items() if day <= date(2022, 1, 19)
    }
    assert all(bar.turnover for bar in found.bars)
    assert (found.is_bundled, found.note) == (True, "bundled data")
    (row,) = made.instruments_of("SHIB")
    assert (row.symbol, row.underlying_per_base) == (SHIB, 1000)
    assert (await read(made, SHIB, now_ms=DEMO_MS)).bars


async def test_demo_played_at_another_time_has_its_days_moved_there() -> None:
    made = exchange(prices="demo", start="2022-01-20 15:00")
    found = await read(made, days=30)
    assert [bar.day for bar in found.bars] == list(range(TODAY - 30, TODAY))
    assert found.bars[-1].close == prices.daily_closes()[BTC][date(2022, 1, 19)]
    assert found.note == "bundled data of other days"


async def test_fixed_price_has_the_newest_bundled_days_at_its_level() -> None:
    made = exchange(prices={BTC: 500})
    found = await read(made)
    closes = [bar.close for bar in found.bars]
    assert [bar.day for bar in found.bars] == list(range(TODAY - 760, TODAY))
    real = prices.daily_closes()[BTC]
    last = [real[day] for day in sorted(real)]
    assert closes[-1] == 500
    assert closes[-100] / closes[-2] == pytest.approx(last[-99] / last[-1])


async def test_coin_that_no_bundled_data_knows_has_its_own_days_alone() -> None:
    made = exchange(prices={"NOPE/USDT:USDT": 3})
    assert [(b.day, b.close) for b in (await read(made, "NOPE/USDT:USDT")).bars] == [(TODAY - 1, 3)]


async def test_price_file_gives_its_own_days_behind_the_bundled_ones(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(
        "timestamp,close\n2023-01-01T12:00,10\n2023-01-02T12:00,11\n2023-01-04T12:00,13\n"
    )
    made = exchange(prices=str(file), start="2023-01-05 12:00")
    closes = [bar.close for bar in (await read(made, days=6)).bars]
    # A row holds until the next one; the days before are shaped by what is bundled.
    assert closes[-4:] == [10, 11, 11, 13]
    assert len(closes) == 6
    assert closes[1] == 10


async def test_venue_without_a_market_has_no_past() -> None:
    made = exchange(prices={BTC: 500})
    made.market = None
    with pytest.raises(VenueError, match="no past") as caught:
        await read(made)
    assert caught.value.reason is RejectReason.OTHER


async def test_request_that_is_lost_is_told_as_such() -> None:
    made = exchange(prices={BTC: 500})
    made.faults.will("daily_bars", Fault(Mishap.LOST_BEFORE))
    with pytest.raises(VenueError) as caught:
        await read(made)
    assert caught.value.is_ambiguous
