"""Reads what is missing of an underlying's history: one question at a time per account."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from riskbot.core.histories import DAY_MS, HISTORY_DAYS, HistoryWanted
from riskbot.core.model import Instrument, RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import DailyBars
from riskbot.history import names
from riskbot.history.choice import ranked
from riskbot.history.kept import Kept

ENOUGH_BARS = 253
"""A year of returns: with fewer, the next instrument of the venue is looked at too."""

TRIED_MAX = 3

LATE_DAYS = 3
"""An instrument may go without a bar so long before another one is looked for."""

_LASTING = frozenset({RejectReason.OTHER, RejectReason.UNKNOWN_INSTRUMENT, RejectReason.NOT_FOUND})
"""Refusals that asking again soon does not change."""


class Venue(Protocol):
    """What of an account's exchange is needed here; `exchanges/_base.py` says more."""

    def instruments_of(self, underlying: str) -> tuple[Instrument, ...]:
        """Return all instruments of an underlying."""
        ...

    async def daily_bars(self, symbol: str, since_ms: int, until_ms: int) -> DailyBars:
        """Read daily bars."""
        ...


def is_lasting(error: VenueError) -> bool:
    """Whether a failure says that there is nothing, and not merely that it did not work."""
    return error.reason in _LASTING and not error.is_ambiguous


class Finder:
    """Finds and completes histories.

    Args:
        venues: by account, in the order in which they may stand in for each other.
    """

    def __init__(self, venues: Mapping[str, Venue]) -> None:
        self._venues = venues
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(self, wanted: HistoryWanted, known: Kept | None, today: int) -> Kept:
        """Return all that can be had of an underlying up to the day before `today`.

        Args:
            wanted: what is asked for.
            known: what is kept already, and only completed; None = nothing.
            today: the day that runs, in days since 1970-01-01.

        Returns:
            With no bars, `note` says why there are none.

        Raises:
            VenueError: a venue did not answer: worth asking again.
        """
        if known is None or not known.bars or known.is_bundled:
            return await self._anywhere(wanted, today)
        is_asked = known.account in self._venues
        if is_asked:
            known = await self._complete(known, today)
        allowed = LATE_DAYS if is_asked and known.is_active else 1
        if known.bars.last_day >= today - allowed:
            return known
        found = await self._anywhere(wanted, today)
        return found if found.bars.last_day > known.bars.last_day else known

    async def _complete(self, known: Kept, today: int) -> Kept:
        """Add the days since the last bar, as far as its instrument is still listed."""
        row = self._listed(known)
        if row is None:
            return replace(known, is_active=False)
        found = replace(known, bars=known.bars.copy(), is_active=row.is_active)
        await self._add(found, row, 1.0, known.bars.last_day + 1, today)
        await self._add_other_names(found, today)
        return found

    def _listed(self, known: Kept) -> Instrument | None:
        rows = self._venues[known.account].instruments_of(known.underlying)
        return next((row for row in rows if row.symbol == known.symbol), None)

    async def _anywhere(self, wanted: HistoryWanted, today: int) -> Kept:
        faults: list[str] = []
        failure: VenueError | None = None
        asked = wanted.account
        # The asked one first, whatever the order of the others.
        for account in sorted(self._venues, key=lambda name: name != asked):
            try:
                found = await self._of_account(account, wanted, today, faults)
            except VenueError as error:
                if account == asked:
                    raise
                failure = error
                continue
            # A simulated past is one for its own account alone.
            if found.bars and (account == asked or not found.is_bundled):
                return found
        if failure is not None:
            raise failure
        note = "; ".join(dict.fromkeys(faults)) or "nothing quoted in dollars is listed"
        return Kept(wanted.underlying, note=f"no history: {note}")

    async def _of_account(
        self, account: str, wanted: HistoryWanted, today: int, faults: list[str]
    ) -> Kept:
        """Read the best instrument that one account's venue has; no bars = it has none."""
        underlying = wanted.underlying
        best = Kept(underlying, account)
        preferred = wanted.symbol if account == wanted.account else ""
        listed = self._venues[account].instruments_of(underlying)
        first = max(today - HISTORY_DAYS, names.begun(underlying, today))
        for row in ranked(listed, preferred)[:TRIED_MAX]:
            found = Kept(underlying, account, row.symbol, is_active=row.is_active)
            if fault := await self._add(found, row, 1.0, first, today):
                faults.append(fault)
            ends = (found.bars.last_day, best.bars.last_day)
            if ends[0] > ends[1] or (ends[0] == ends[1] and len(found.bars) > len(best.bars)):
                best = found
            if len(best.bars) >= ENOUGH_BARS:
                break
        await self._add_other_names(best, today)
        return best

    async def _add_other_names(self, found: Kept, today: int) -> None:
        """Put what was traded under another code of the coin before, or behind, its own bars."""
        for code, factor in names.others(found.underlying, today):
            rows = ranked(self._venues[found.account].instruments_of(code), "")
            for first, end in self._missing(found, today) if rows else ():
                count = len(found.bars)
                await self._add(found, rows[0], factor, first, end)
                if len(found.bars) > count:
                    found.symbol = found.symbol or rows[0].symbol
                    found.other_names = tuple(dict.fromkeys((*found.other_names, code)))

    def _missing(self, found: Kept, today: int) -> Sequence[tuple[int, int]]:
        """Return what is missing before and behind the bars, as (first day, day after)."""
        oldest = today - HISTORY_DAYS
        if not found.bars:
            return [(oldest, today)]
        spans = [(oldest, found.bars.first_day), (found.bars.last_day + 1, today)]
        if found.checked_ms:
            # What there is before the first bar was looked for already.
            del spans[0]
        return [(first, end) for first, end in spans if first < end]

    async def _add(self, found: Kept, row: Instrument, factor: float, first: int, end: int) -> str:
        """Read one instrument's days, first to the one before `end`, in USD per coin.

        Returns:
            Why it has none and never will, empty = it may have.
        """
        try:
            async with self._locks[row.account]:
                read = await self._venues[row.account].daily_bars(
                    row.symbol, first * DAY_MS, end * DAY_MS
                )
        except VenueError as error:
            if not is_lasting(error):
                raise
            return str(error)
        per_base = float(row.underlying_per_base)
        for bar in read.bars:
            found.bars.put(bar.day, bar.close / per_base * factor, bar.turnover)
        found.is_bundled = read.is_bundled
        found.note = read.note
        return ""
