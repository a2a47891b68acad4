"""The whole way at one venue: the service, the adapter, ccxt as it is, a server that limits."""

from __future__ import annotations

import asyncio
import random
import time
from decimal import Decimal
from pathlib import Path

from riskbot.core import actions, events
from riskbot.core.histories import DAY_MS, HISTORY_DAYS, DailySeries, HistoryWanted
from riskbot.history import HistoryService
from riskbot.history.service import SETTLE_MS
from tests.exchanges.venues import VENUES, Leaping, open_desk
from tests.fakes import until
from tests.servers import days

TODAY = time.time_ns() // 1_000_000 // DAY_MS


async def test_coin_listed_in_thousands_has_two_years_of_closes_per_coin(tmp_path: Path) -> None:
    clock = Leaping()
    # Right after midnight it would wait until the venue has finished the day.
    clock.ahead_ms = max(0, SETTLE_MS - clock.now_ms() % DAY_MS)
    told: list[DailySeries] = []

    def take(event: events.Event) -> None:
        assert isinstance(event, events.PriceHistoryRead)
        told.extend(event.series)

    async with open_desk(VENUES[0], clock=clock) as desk:
        closes = [Decimal(n + 1) / 1_000 for n in range(1_000)]
        days.set_closes(desk.server.market, "1000PEPEUSDT", TODAY - 1_000, closes)
        # The first question is one too many; the venue says for how long to wait.
        desk.strike("rate_limited", "/fapi/v1/klines")
        venues = {"main": desk.exchange}
        service = HistoryService(venues, tmp_path, take, clock, random.Random(1))
        task = asyncio.create_task(service.run())
        service.ask(actions.ReadHistory(wanted=(HistoryWanted("PEPE", "main"),)))
        try:
            await until(lambda: told or task.done())
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    (pepe,) = told
    assert pepe.source == "main|1000PEPE/USDT:USDT"
    assert (len(pepe.closes), pepe.last_day) == (HISTORY_DAYS, TODAY - 1)
    assert pepe.closes[-1] == 0.001
    assert pepe.note == ""
