"""Quotes: one instrument's price by source, with two clocks each, and what a frame makes of it.

Which sources are independent of each other, across accounts, lives in `marks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from riskbot.core import events
from riskbot.core.model import OPTION_ENDS, PriceSource
from riskbot.core.plain import VOLATILE

AGREEMENT = 0.001
"""A REST price within this share of the known one shows that the known one still holds."""

GREEKS_STALE_MS = 300_000
"""Greeks told longer ago say nothing: an option without any is unknown."""

_LARGEST_RATE = 1.0
"""No venue takes more than a position's whole notional at one settlement."""

_REST_LAG_MS = 1_000
"""A REST read without a venue time may be older than a pushed price by this much."""


@dataclass(slots=True)
class Seen:
    """One source's price.

    Attributes:
        price: quote units per base unit, finite, > 0.
        seen_ms: when a frame last carried it.
        venue_ms: the venue's time in that frame, None = not stated.
        moved_ms: when a frame last came whose venue time had advanced; the same as `seen_ms`
            where none is stated.
    """

    price: float
    seen_ms: int
    venue_ms: int | None
    moved_ms: int

    def is_fresh(self, now_ms: int, stale_ms: int) -> bool:
        """Whether both clocks are young enough: a frozen venue time is as stale as silence."""
        return now_ms - self.seen_ms <= stale_ms and now_ms - self.moved_ms <= stale_ms

    def fresh_until(self, stale_ms: int) -> int:
        """Return the last moment at which both clocks are young enough, UTC ms."""
        return min(self.seen_ms, self.moved_ms) + stale_ms


class Price(NamedTuple):
    """A usable price in quote units and where it comes from.

    Attributes:
        is_stale: no fresh source; the last known one.
        account: whose venue said it.
        until_ms: till when it is the answer unless a frame of the instrument comes, UTC ms;
            0 = it rests on what others say, and must be asked for again.
    """

    value: float
    source: PriceSource
    account: str
    is_stale: bool = False
    until_ms: int = 0


class AssetPrice(NamedTuple):
    """USD per unit of an asset; `is_assumed` = nobody states it, it is taken as 1."""

    value: float
    is_assumed: bool = False


@dataclass(slots=True)
class Funding:
    """What a perpetual's venue says of its next funding.

    Attributes:
        rate: share of the notional that longs pay shorts at a settlement; < 0 = shorts pay.
        seen_ms: when it was last told.
        interval_h: hours between two settlements, > 0; None = not stated.
        next_ms: when the next one is, UTC ms; None = not stated.
    """

    rate: float
    seen_ms: int
    interval_h: float | None = None
    next_ms: int | None = None


def spread_of(bid: float | None, ask: float | None) -> float | None:
    """Return ask less bid as a share of the middle, None = one of them is not known."""
    if bid is None or ask is None:
        return None
    return 2 * (ask - bid) / (ask + bid)


@dataclass(slots=True)
class Quote:
    """All that is known of one instrument's price on one account's venue.

    Attributes:
        delta, gamma, vega: greeks of one unit of an option, as in `events.PricesUpdated`.
        greeks_ms: when they were last told.
        funding: of a perpetual, as last told.
        fresh_ms: up to when some source was fresh for certain, kept by `marks`.
    """

    mark: Seen | None = None
    index: Seen | None = None
    book: Seen | None = None
    last: Seen | None = None
    rest: Seen | None = None
    bid: float | None = None
    ask: float | None = None
    bid_quantity: float | None = None
    ask_quantity: float | None = None
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    greeks_ms: int = 0
    funding: Funding | None = None
    fresh_ms: int = field(default=0, metadata={VOLATILE: True})

    def find_freshest(self) -> None:
        """Note when the freshest source was last heard of."""
        ages = [min(seen.seen_ms, seen.moved_ms) for _, seen in self.sources()]
        self.fresh_ms = max(ages, default=0)

    def is_blind(self, now_ms: int, stale_ms: int) -> bool:
        """Whether no source is fresh."""
        return not self.fresh_ms or now_ms - self.fresh_ms > stale_ms

    def has_greeks(self, now_ms: int) -> bool:
        """Whether an option's greeks were told lately."""
        return self.delta is not None and now_ms - self.greeks_ms <= GREEKS_STALE_MS

    def best(self, now_ms: int, stale_ms: int) -> tuple[Seen, PriceSource, bool] | None:
        """Return the best price, its source, and whether it is stale; None = never priced.

        Mark, else index, else book mid, else last; a stale one only when all are.
        """
        newest: tuple[Seen, PriceSource] | None = None
        for source, seen in self.sources():
            if seen.is_fresh(now_ms, stale_ms):
                return seen, source, False
            if newest is None or seen.seen_ms > newest[0].seen_ms:
                newest = seen, source
        return (*newest, True) if newest is not None else None

    def sources(self) -> Iterator[tuple[PriceSource, Seen]]:
        """Yield the sources that ever spoke, best first."""
        if self.mark is not None:
            yield PriceSource.MARK, self.mark
        if self.index is not None:
            yield PriceSource.INDEX, self.index
        if self.book is not None:
            yield PriceSource.BOOK, self.book
        if self.last is not None:
            yield PriceSource.LAST, self.last


@dataclass(slots=True)
class StatedPrice:
    """An asset's price as a venue states it."""

    price_usd: float
    seen_ms: int


def is_price(value: float) -> bool:
    """Whether a number can be a price: finite and above zero."""
    return math.isfinite(value) and value > 0


def seen_after(
    old: Seen | None, price: float, frame: events.PricesUpdated, now_ms: int
) -> Seen | None:
    """Return the source after a frame; what is insane, late or unproven leaves it as it was."""
    if not is_price(price):
        return old
    if old is None:
        return Seen(price, now_ms, frame.venue_ms, now_ms)
    if frame.is_rest and not _is_news(old, frame, now_ms):
        # Read over REST without a newer venue time: it can only show that the price still holds.
        if abs(price / old.price - 1) <= AGREEMENT:
            old.seen_ms = old.moved_ms = now_ms
        return old
    venue_ms = frame.venue_ms
    if venue_ms is None or old.venue_ms is None or venue_ms > old.venue_ms:
        old.venue_ms = venue_ms
        old.moved_ms = now_ms
    elif venue_ms < old.venue_ms:
        return old
    old.price = price
    old.seen_ms = now_ms
    return old


def _is_news(old: Seen, frame: events.PricesUpdated, now_ms: int) -> bool:
    if frame.venue_ms is not None and old.venue_ms is not None:
        return frame.venue_ms > old.venue_ms
    return now_ms - old.seen_ms > _REST_LAG_MS


def take_terms(quote: Quote, frame: events.PricesUpdated, now_ms: int) -> None:
    """Take what a frame says of an instrument besides prices: its funding, its greeks."""
    _take_greeks(quote, frame, now_ms)
    _take_funding(quote, frame, now_ms)


def _take_funding(quote: Quote, frame: events.PricesUpdated, now_ms: int) -> None:
    # What cannot be a rate leaves all as it was.
    rate = frame.funding_rate
    if rate is None or not abs(rate) <= _LARGEST_RATE:
        return
    known = quote.funding
    if known is None:
        known = quote.funding = Funding(rate, now_ms)
    known.rate, known.seen_ms = rate, now_ms
    interval_h = frame.funding_interval_h
    if interval_h is not None and is_price(interval_h):
        known.interval_h = interval_h
    if frame.next_funding_ms is not None:
        known.next_ms = frame.next_funding_ms


def _take_greeks(quote: Quote, frame: events.PricesUpdated, now_ms: int) -> None:
    delta = frame.delta
    if delta is None or not math.isfinite(delta):
        return
    quote.delta, quote.greeks_ms = delta, now_ms
    quote.gamma, quote.vega = (
        value if value is not None and math.isfinite(value) else None
        for value in (frame.gamma, frame.vega)
    )


def take_rest(quote: Quote, frame: events.PricesUpdated, now_ms: int) -> None:
    """Take the best sane price of a REST read as a source of its own."""
    mid = None
    if frame.bid is not None and frame.ask is not None and 0 < frame.bid < frame.ask:
        mid = (frame.bid + frame.ask) / 2
    index = None if frame.symbol.endswith(OPTION_ENDS) else frame.index
    for price in (frame.mark, index, mid, frame.last):
        if price is not None and is_price(price):
            quote.rest = Seen(price, now_ms, frame.venue_ms, now_ms)
            return
