"""What the tests of price history share: days, venues that have them, and a service to ask."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from riskbot.core import actions, events
from riskbot.core.histories import DAY_MS, DailySeries, HistoryWanted
from riskbot.core.model import Instrument
from riskbot.exchanges._base import DailyBar
from riskbot.history import HistoryService
from tests import builders
from tests.fakes import START_MS, FakeClock, FakeExchange, settle

TODAY = START_MS // DAY_MS
BTC, SPOT = "BTC/USDT:USDT", "BTC/USDT"


def bars(
    closes: Iterable[float | None], last: int = TODAY - 1, turnover: float | None = 1_000
) -> dict[int, DailyBar]:
    """Return bars that end on a day; None = no bar."""
    listed = list(closes)
    first = last - len(listed) + 1
    return {
        day: DailyBar(day, close, turnover)
        for day, close in enumerate(listed, first)
        if close is not None
    }


class Past:
    """A history service, its venues, and what it told."""

    def __init__(self, path: Path, *accounts: str, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        names = accounts or ("main",)
        self.venues = {name: FakeExchange(name, clock=self.clock) for name in names}
        self.told: list[DailySeries] = []
        self.service = HistoryService(
            self.venues,
            path,
            self.take,
            self.clock,
            random.Random(3),
        )

    def take(self, event: events.Event) -> None:
        """Take an event as the runner does."""
        assert isinstance(event, events.PriceHistoryRead)
        self.told.extend(event.series)

    def lists(
        self,
        symbol: str,
        closes: dict[int, DailyBar] | None = None,
        *,
        account: str = "main",
        **fields: Any,
    ) -> Instrument:
        """Let a venue list an instrument that has these bars."""
        row = builders.instrument(symbol, account=account, **fields)
        self.venues[account].listed.append(row)
        self.venues[account].days[symbol] = closes or {}
        return row

    def ask(self, underlying: str = "BTC", account: str = "main", symbol: str = BTC) -> None:
        """Ask as the engine does."""
        wanted = HistoryWanted(underlying, account, symbol)
        self.service.ask(actions.ReadHistory(wanted=(wanted,)))

    async def settle(self, seconds: float = 1.0) -> None:
        """Let it work so long."""
        await self.clock.advance(int(seconds * 1000))
        await settle()

    def asked(self, account: str = "main") -> list[tuple[str, int, int]]:
        """Return what a venue was asked for: symbol, first day, day after the last."""
        calls = self.venues[account].called("daily_bars")
        return [(symbol, since // DAY_MS, until // DAY_MS) for symbol, since, until in calls]

    @property
    def last(self) -> DailySeries:
        """What was told last."""
        return self.told[-1]
