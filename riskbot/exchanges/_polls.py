"""What venues tell only when asked again and again: rates of funding, greeks of options.

A venue that does not tell costs nothing but an unknown: no failure here ends or breaks a feed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import InstrumentKind
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._client import VenueClient
from riskbot.exchanges._streams import PRICES, Watch

EVERY_S = {"funding": 60.0, "greeks": 10.0}
"""How often each is asked for."""

Ask = Callable[[Sequence[str]], Awaitable[Sequence[events.PricesUpdated]]]
"""Asks for the figures of these symbols; what does not come is left out."""

_INTERVAL = re.compile(r"^(\d+)([mhd])$")
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}
_HOUR_MS = 3_600_000


class Polls:
    """Figures of one account's instruments that no stream carries.

    Args:
        account: whose.
        client: asks the venue, from what is left of its rate budget.
        clock: time.
        is_wanted: whether prices of a symbol are asked for.
        publish: takes what was told.
    """

    def __init__(
        self,
        account: str,
        client: VenueClient,
        clock: Clock,
        is_wanted: Callable[[str], bool],
        publish: Callable[[Sequence[events.Event]], None],
    ) -> None:
        self._account = account
        self._client = client
        self._clock = clock
        self._is_wanted = is_wanted
        self._publish = publish

    def watches(self, portion: Sequence[str], kind: InstrumentKind) -> list[Watch]:
        """Return what asks through ccxt for figures of these symbols, as far as it can."""
        has = self._client.api.has
        if kind is InstrumentKind.OPTION:
            return (
                [self.watch("greeks", portion, self._ask_greeks)] if has.get("fetchGreeks") else []
            )
        markets = self._client.api.markets or {}
        swaps = [symbol for symbol in portion if (markets.get(symbol) or {}).get("swap")]
        if swaps and (has.get("fetchFundingRates") or has.get("fetchFundingRate")):
            return [self.watch("funding", portion, self._ask_funding)]
        return []

    def watch(self, name: str, portion: Sequence[str], ask: Ask) -> Watch:
        """Return a watch that asks for ever, as long as one of these symbols is wanted."""

        async def call(api: Any) -> None:
            del api
            wanted = [symbol for symbol in portion if self._is_wanted(symbol)]
            # An answer nobody can read is none.
            with suppress(VenueError, LookupError, TypeError, ValueError, AttributeError):
                self._publish(await ask(wanted))
            await self._clock.sleep(EVERY_S[name])

        return Watch(PRICES, name, tuple(portion), call=call, is_optional=True)

    async def _ask_funding(self, symbols: Sequence[str]) -> list[events.PricesUpdated]:
        markets = self._client.api.markets
        swaps = [symbol for symbol in symbols if markets[symbol].get("swap")]
        if not swaps:
            return []
        if self._client.api.has.get("fetchFundingRates"):
            reply = await self._client.optional("fetch_funding_rates", swaps, cost=5)
            rows = [*reply.values()] if isinstance(reply, dict) else []
        else:
            rows = [await self._client.optional("fetch_funding_rate", s, cost=2) for s in swaps]
        now_ms = self._clock.now_ms()
        read = (funding(self._account, row, now_ms) for row in rows if isinstance(row, dict))
        return [found for found in read if found is not None]

    async def _ask_greeks(self, symbols: Sequence[str]) -> list[events.PricesUpdated]:
        rows = [await self._client.optional("fetch_greeks", s, cost=2) for s in symbols]
        read = (greeks(self._account, row) for row in rows if isinstance(row, dict))
        return [found for found in read if found is not None]


def funding(account: str, row: Mapping[str, Any], now_ms: int) -> events.PricesUpdated | None:
    """Turn ccxt's funding rate into a frame; None when it holds none."""
    rate = normal.real(row.get("fundingRate"))
    if rate is None or not row.get("symbol"):
        return None
    times = [normal.stamp(row.get(name)) for name in ("fundingTimestamp", "nextFundingTimestamp")]
    stated = sorted(time for time in times if time is not None)
    hours = hours_of(row.get("interval"))
    if hours is None and len(stated) > 1 and stated[1] > stated[0]:
        hours = (stated[1] - stated[0]) / _HOUR_MS
    return events.PricesUpdated(
        account=account,
        symbol=str(row["symbol"]),
        is_rest=True,
        funding_rate=rate,
        funding_interval_h=hours,
        next_funding_ms=next((time for time in stated if time > now_ms), None),
    )


def hours_of(interval: Any) -> float | None:
    """Return the hours of an interval as ccxt writes it (`8h`), None for anything else."""
    found = _INTERVAL.match(str(interval))
    hours = int(found[1]) * _HOURS[found[2]] if found else 0.0
    return hours or None


def greeks(account: str, row: Mapping[str, Any]) -> events.PricesUpdated | None:
    """Turn ccxt's greeks into a frame; None when it holds no delta."""
    delta = normal.real(row.get("delta"))
    if delta is None or not row.get("symbol"):
        return None
    return events.PricesUpdated(
        account=account,
        symbol=str(row["symbol"]),
        is_rest=True,
        delta=delta,
        gamma=normal.real(row.get("gamma")),
        vega=normal.real(row.get("vega")),
    )
