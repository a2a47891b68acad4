"""What a feed remembers of the frames and reads it saw, to judge the streams and links by.

Nothing is asked, awaited or told here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.clock import Pace
from riskbot.core import events
from riskbot.core.model import PositionKey, RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import Load

SUSPICION_MS = 3_000
"""A change that a read shows must have been streamed by so long after, or the stream is dead."""

DOUBT = 0.01
"""A mark read with a position further than this from the streamed one: one of them stands still."""

TELL_EVERY_MS = 10_000
RESTART_MS = (10_000, 120_000)
"""New sockets at most so often: first, and while they keep being needed."""

REBUILD_AFTER = 2
"""So many reads without an answer in a row, and the object that asks is taken to be at fault."""

BUSY_SHARE = 0.6
LOAD_EVERY_MS = 300_000
"""How far the request limit is used is told so often while nothing is the matter."""

_WEDGED = frozenset({RejectReason.UNREACHABLE, RejectReason.OTHER})


@dataclass(slots=True)
class Seen:
    """What one account's feed saw last.

    Attributes:
        prices: (when, price) of the last streamed frame by symbol.
        venue_ms: (venue's time, when it was first seen) of the last streamed frame by symbol.
        frozen: instrument whose frames keep coming while the venue's time in them stands still.
        has_read: the account was read since the start.
        positions: quantities as told last, by read or stream.
        frame_ms: last account frame; price_ms: last price frame of any instrument.
        suspect_ms: when a read showed what the stream had not told.
        doubted: instruments whose streamed price is not the mark their position was read with.
        opened_ms: when the streams were first begun.
        asked_ms: when silent prices were last asked for over REST.
        lost_ms: when a feed was last told of as lost.
        load: end of a stated wait, whether much is used, and when either was told.
        misses: reads in a row that got no answer, by what was read.
    """

    prices: dict[str, tuple[int, float]] = field(default_factory=dict)
    venue_ms: dict[str, tuple[int, int]] = field(default_factory=dict)
    frozen: str | None = None
    positions: dict[PositionKey, Decimal] = field(default_factory=dict)
    has_read: bool = False
    frame_ms: int = 0
    price_ms: int = 0
    suspect_ms: int | None = None
    doubted: set[str] = field(default_factory=set)
    opened_ms: int = 0
    asked_ms: int = 0
    lost_ms: dict[str, int] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)
    load: tuple[int | None, bool, int] = (None, False, 0)
    restarts: Pace = field(default_factory=lambda: Pace(*RESTART_MS))

    def note_price(self, frame: events.PricesUpdated, stale_ms: int, now_ms: int) -> None:
        """Remember a streamed price, by both clocks."""
        price = frame.mark or frame.last or frame.bid or frame.index
        self.price_ms = now_ms
        if price is not None:
            self.prices[frame.symbol] = (now_ms, price)
        if frame.venue_ms is not None:
            self._note_venue_time(frame.symbol, frame.venue_ms, stale_ms, now_ms)

    def _note_venue_time(self, symbol: str, venue_ms: int, stale_ms: int, now_ms: int) -> None:
        # The second clock: a venue that repeats itself for ever sends frames, not prices.
        known = self.venue_ms.get(symbol)
        if known is None or venue_ms > known[0]:
            self.venue_ms[symbol] = (venue_ms, now_ms)
            if self.frozen == symbol:
                self.frozen = None
        elif now_ms - known[1] > stale_ms:
            self.frozen = symbol

    def note_positions(self, update: events.PositionsUpdated, now_ms: int) -> None:
        """Remember what the stream says is held."""
        self.frame_ms = now_ms
        self.suspect_ms = None
        self.positions.update({p.key: p.quantity for p in update.positions})

    def compare(self, snapshot: events.AccountSnapshotReceived, now_ms: int) -> None:
        """Suspect the streams when a read shows a position or a mark they have not told of."""
        read = {p.key: p.quantity for p in snapshot.positions if p.quantity}
        told = {key: quantity for key, quantity in self.positions.items() if quantity}
        recent = now_ms - self.frame_ms < SUSPICION_MS
        if self.has_read and read != told and not recent:
            self.suspect_ms = self.suspect_ms or now_ms
        self.positions = dict(read)
        self.has_read = True
        for position in snapshot.positions:
            _, streamed = self.prices.get(position.symbol, (0, 0.0))
            mark = float(position.venue_mark or 0)
            if mark and streamed and abs(mark / streamed - 1) > DOUBT:
                self.doubted.add(position.symbol)

    def has_moved(self, frame: events.PricesUpdated, now_ms: int, agreement: float) -> bool:
        """Take a price read over REST: True when it moved and the stream did not tell."""
        _, streamed = self.prices.get(frame.symbol, (0, 0.0))
        price = frame.mark or frame.last or frame.bid or frame.index
        if price is None:
            return False
        # A stream that speaks may be a moment behind or ahead of a read.
        tolerance = DOUBT if frame.symbol in self.doubted else agreement
        if streamed and abs(price / streamed - 1) > tolerance:
            return True
        self.doubted.discard(frame.symbol)
        self.prices[frame.symbol] = (now_ms, streamed or price)
        return False

    def forget_prices(self, watched: Iterable[str]) -> None:
        """Drop what is not watched any more."""
        for known in (self.prices, self.venue_ms):
            for symbol in set(known).difference(watched):
                del known[symbol]

    def is_load_news(self, load: Load, now_ms: int) -> bool:
        """Whether people should hear of a change of the request budget."""
        was, was_busy, told_ms = self.load
        is_busy = load.used_ratio >= (BUSY_SHARE - 0.1 if was_busy else BUSY_SHARE)
        is_new = (load.until_ms, is_busy) != (was, was_busy)
        is_due = now_ms - told_ms >= LOAD_EVERY_MS
        if not is_new and not is_due:
            return False
        self.load = (load.until_ms, is_busy, now_ms)
        return True

    def is_wedged(self, link: str, error: VenueError | None) -> bool:
        """Count a read's outcome; True when it is time for a new object to read with.

        An answer of the venue's, be it a refusal, shows that the object works.
        """
        is_silent = error is not None and error.http_status is None and error.reason in _WEDGED
        self.misses[link] = self.misses.get(link, 0) + 1 if is_silent else 0
        return self.misses[link] >= REBUILD_AFTER
