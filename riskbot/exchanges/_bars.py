"""Daily price history of one account's venue, through ccxt's unified candles, paged to the end.

What a series is made of is chosen in `riskbot/history/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from riskbot.core.model import Instrument, InstrumentKind, RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._base import DAY_MS, DailyBar, DailyBars
from riskbot.exchanges._budget import Lane
from riskbot.exchanges._reading import Reading

PAGE, PAGE_MAX = 100, 1_000
"""Bars per request: where ccxt does not know how many a venue gives, and at most."""

PAGES_MAX = 24
"""Requests for one series, before a venue is taken to answer something else than was asked."""

_Row = tuple[float, float | None]


class Bars(Reading):
    """Reads daily bars of one account's instruments.

    Attributes:
        bars_cost: weight of one page.
        has_base_volume: candles of contracts tell volume in base units here, not in contracts.
    """

    bars_cost: ClassVar[float] = 5
    has_base_volume: ClassVar[bool] = False

    def instruments_of(self, underlying: str) -> tuple[Instrument, ...]:
        """Return all instruments of an underlying, delisted ones too.

        Raises:
            VenueError: markets are not loaded yet.
        """
        found = []
        for symbol, market in self._listed_markets().items():
            base = str(market.get("base") or "")
            if underlying not in base or normal.underlying_of(base)[0] != underlying:
                continue
            try:
                found.append(self.instrument(symbol))
            except VenueError:
                continue
        return tuple(found)

    def _listed_markets(self) -> Mapping[str, Any]:
        markets: Mapping[str, Any] | None = self.client.api.markets
        if not markets:
            raise normal.unusable(self.account, "the list of instruments is not loaded yet")
        return markets

    async def daily_bars(self, symbol: str, since_ms: int, until_ms: int) -> DailyBars:
        """Read the bars of all UTC days that begin and end between two moments.

        Raises:
            VenueError: the read failed, or the venue has no such bars.
        """
        self._listed_markets()
        api = self.client.api
        if api.has.get("fetchOHLCV") is not True or "1d" not in (api.timeframes or {}):
            raise VenueError(RejectReason.OTHER, f"{self.account}: the venue has no daily bars")
        instrument = self.instrument(symbol)
        first, last = -(-since_ms // DAY_MS), min(until_ms, self._time.now_ms()) // DAY_MS - 1
        rows = await self._rows(instrument, first, last) if first <= last else {}
        return DailyBars(tuple(DailyBar(day, *rows[day]) for day in sorted(rows)))

    async def _rows(self, instrument: Instrument, first: int, last: int) -> dict[int, _Row]:
        """Read days that are wanted, whichever end of them a venue gives first, and how many."""
        size = self._bars_per_page(instrument)
        found: dict[int, _Row] = {}
        spans = [(first, last)]
        for _ in range(PAGES_MAX):
            if not spans:
                return found
            begin, rest = spans.pop()
            end = min(rest, begin + size - 1)
            if end < rest:
                spans.append((end + 1, rest))
            rows = await self._page(instrument, begin, end)
            if not rows:
                continue
            found |= rows
            # What is missing at either side was cut off, or is not there: the next answer tells.
            if (earliest := min(rows)) > begin:
                spans.append((begin, earliest - 1))
            if (latest := max(rows)) < end:
                spans.append((latest + 1, end))
        raise normal.unusable(instrument.symbol, f"daily bars did not end after {PAGES_MAX} pages")

    def _bars_per_page(self, instrument: Instrument) -> int:
        known = self.client.api.feature_value(instrument.symbol, "fetchOHLCV", "limit", PAGE)
        return max(1, min(int(known or PAGE), PAGE_MAX))

    async def _page(self, instrument: Instrument, begin: int, end: int) -> dict[int, _Row]:
        reply = await self.client.call(
            "fetch_ohlcv",
            instrument.symbol,
            "1d",
            begin * DAY_MS,
            end - begin + 1,
            {"until": (end + 1) * DAY_MS - 1},
            cost=self.bars_cost,
            lane=Lane.SPARE,
        )
        if not isinstance(reply, list):
            raise normal.unusable(instrument.symbol, "daily bars are not a list")
        found = {}
        for row in reply:
            day, close, turnover = self._bar(instrument, row)
            if close is not None and begin <= day <= end:
                found[day] = (close, turnover)
        return found

    def _bar(self, instrument: Instrument, row: Any) -> tuple[int, float | None, float | None]:
        try:
            begun_ms, close, volume = int(row[0]), normal.real(row[4]), normal.real(row[5])
        except (LookupError, TypeError, ValueError) as error:
            raise normal.unusable(instrument.symbol, f"no daily bar: {row!r}") from error
        if begun_ms % DAY_MS:
            hour = begun_ms % DAY_MS // 3_600_000
            raise VenueError(
                RejectReason.OTHER,
                f"{instrument.symbol}: the venue's days begin at {hour}:00 UTC, not at midnight",
            )
        if close is None or close <= 0:
            return begun_ms // DAY_MS, None, None
        is_base = (
            instrument.kind is InstrumentKind.SPOT
            or self.has_base_volume
            or (instrument.kind is InstrumentKind.LINEAR and instrument.contract_value == 1)
        )
        is_known = is_base and volume is not None and volume >= 0
        return begun_ms // DAY_MS, close, close * (volume or 0.0) if is_known else None
