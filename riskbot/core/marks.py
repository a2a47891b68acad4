"""Sub-state of the prices: per account, instrument and source, with two clocks each.

What a price must be to count as a source, and which sources are independent of each other (spec
section 2), lives here. What is exposed to it lives in `exposure`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import OPTION_ENDS, Instrument, InstrumentKind, PriceSource
from riskbot.core.plain import VOLATILE, from_plain, to_plain
from riskbot.core.quotes import (
    Price,
    Quote,
    Seen,
    StatedPrice,
    is_price,
    seen_after,
    take_rest,
    take_terms,
)

DISAGREEMENT = 0.01
"""Sources that differ by this share or more disagree (spec section 2)."""

FOREVER_MS = 2**62
"""Till when a price stands that only a frame of its own can change, UTC ms."""

_TICK_TOLERANCE = 1e-3
"""Share of a tick that float arithmetic may be off a tick."""


Twin = tuple[str, str, float]
"""Account and symbol of the same thing elsewhere, and own units per unit of its."""


@dataclass(slots=True)
class Marks:
    """All prices.

    Attributes:
        venues: exchange id by account: two accounts of one venue are one source.
        stale_ms: age past which a price is no source.
        instruments: by account and symbol, as loaded.
        twins: (account, symbol) of the instruments that are the same thing at different venues.
        assets: prices of assets by account as its venue states them.
        version: grows when instruments or stated prices change.
        markets: which instrument prices which asset, remembered by `prices` until instruments
            or the set of stated prices change.
        elsewhere: where else an instrument's thing is listed, remembered the same way.
    """

    venues: dict[str, str] = field(default_factory=dict)
    stale_ms: int = 5_000
    quotes: dict[str, dict[str, Quote]] = field(default_factory=dict)
    instruments: dict[str, dict[str, Instrument]] = field(default_factory=dict)
    twins: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    assets: dict[str, dict[str, StatedPrice]] = field(default_factory=dict)
    version: int = 0
    markets: dict[tuple[str, str], tuple[str, str] | None] = field(
        default_factory=dict, metadata={VOLATILE: True}
    )
    elsewhere: dict[tuple[str, str], tuple[Twin, ...]] = field(
        default_factory=dict, metadata={VOLATILE: True}
    )

    # ------------------------------------------------------------ folding

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold a record; those without prices are ignored."""
        match record:
            case events.PricesUpdated():
                self.take(record, now_ms)
            case events.AssetPriced():
                self._state_asset(record.account, record.asset, record.price_usd, now_ms)
            case events.AccountSnapshotReceived() | events.BalancesUpdated():
                for balance in record.balances:
                    if balance.price_usd is not None:
                        self._state_asset(record.account, balance.asset, balance.price_usd, now_ms)
            case events.InstrumentsLoaded():
                self._list(record.account, record.instruments)
            case events.FeedAlive(feed="prices", symbol=str() as symbol):
                self._touch(record.account, symbol, now_ms)
            case _:
                pass

    def _list(self, account: str, instruments: tuple[Instrument, ...]) -> None:
        self.markets.clear()
        self.elsewhere.clear()
        self.version += 1
        listed = self.instruments.setdefault(account, {})
        for instrument in instruments:
            listed[instrument.symbol] = instrument
            twins = self.twins.setdefault(_thing(instrument), [])
            if (account, instrument.symbol) not in twins:
                twins.append((account, instrument.symbol))

    def _state_asset(self, account: str, asset: str, price: float, now_ms: int) -> None:
        if not is_price(price):
            return
        stated = self.assets.setdefault(account, {})
        known = stated.get(asset)
        stated[asset] = StatedPrice(price, now_ms)
        if known is None:
            self.markets.clear()
        if known is None or known.price_usd != price:
            self.version += 1

    def _touch(self, account: str, symbol: str, now_ms: int) -> None:
        quote = self.quote(account, symbol)
        if quote is None:
            return
        for _, seen in quote.sources():
            seen.seen_ms = seen.moved_ms = now_ms
        quote.find_freshest()

    def take(self, frame: events.PricesUpdated, now_ms: int) -> Quote:
        """Take a frame's prices as far as they are sane, and return the quote."""
        of_account = self.quotes.get(frame.account)
        if of_account is None:
            of_account = self.quotes[frame.account] = {}
        quote = of_account.get(frame.symbol)
        if quote is None:
            quote = of_account[frame.symbol] = Quote()
        if frame.mark is not None:
            quote.mark = seen_after(quote.mark, frame.mark, frame, now_ms)
        # An option's index is the price of its underlying, and none of its own.
        if frame.index is not None and not frame.symbol.endswith(OPTION_ENDS):
            quote.index = seen_after(quote.index, frame.index, frame, now_ms)
        if frame.bid is not None or frame.ask is not None:
            self._take_book(quote, frame, now_ms)
        if frame.last is not None and self._is_on_tick(frame, frame.last):
            quote.last = seen_after(quote.last, frame.last, frame, now_ms)
        if frame.delta is not None or frame.funding_rate is not None:
            take_terms(quote, frame, now_ms)
        if frame.is_rest:
            take_rest(quote, frame, now_ms)
        if quote.mark is not None and quote.mark.moved_ms == now_ms:
            quote.fresh_ms = now_ms
        else:
            quote.find_freshest()
        return quote

    def _take_book(self, quote: Quote, frame: events.PricesUpdated, now_ms: int) -> None:
        bid = frame.bid if frame.bid is not None else quote.bid
        ask = frame.ask if frame.ask is not None else quote.ask
        if bid is None or ask is None:
            quote.bid, quote.ask = bid, ask
            return
        if not (is_price(bid) and is_price(ask) and bid < ask):
            # A crossed or broken book is no source until a whole one comes.
            quote.book = quote.bid = quote.ask = None
            return
        if not (self._is_on_tick(frame, bid) and self._is_on_tick(frame, ask)):
            quote.book = None
            return
        quote.bid, quote.ask = bid, ask
        quote.bid_quantity, quote.ask_quantity = frame.bid_quantity, frame.ask_quantity
        quote.book = seen_after(quote.book, (bid + ask) / 2, frame, now_ms)

    def _is_on_tick(self, frame: events.PricesUpdated, price: float) -> bool:
        instrument = self.instrument(frame.account, frame.symbol)
        if instrument is None or not instrument.tick or not math.isfinite(price):
            return True
        ticks = price / float(instrument.tick)
        return abs(ticks - round(ticks)) <= _TICK_TOLERANCE

    # ------------------------------------------------------------ reading

    def instrument(self, account: str, symbol: str) -> Instrument | None:
        """Return an instrument as its venue lists it."""
        listed = self.instruments.get(account)
        return listed.get(symbol) if listed is not None else None

    def quote(self, account: str, symbol: str) -> Quote | None:
        """Return what is known of an instrument's price."""
        of_account = self.quotes.get(account)
        return of_account.get(symbol) if of_account is not None else None

    def best(self, account: str, symbol: str, now_ms: int) -> Price | None:
        """Return the best price: own fresh, else another's fresh, else the last known.

        Another's is of the same underlying, quote and kind, scaled to this instrument's units.
        """
        quote = self.quote(account, symbol)
        own = quote.best(now_ms, self.stale_ms) if quote is not None else None
        if own is not None and not own[2]:
            seen, source, _ = own
            return Price(seen.price, source, account, until_ms=seen.fresh_until(self.stale_ms))
        other = next(self._others(account, symbol, now_ms), None)
        if other is not None:
            return other
        if own is None:
            return None
        until_ms = 0 if self._twins_of(account, symbol) else FOREVER_MS
        return Price(own[0].price, own[1], account, is_stale=True, until_ms=until_ms)

    def is_blind(self, account: str, symbol: str, now_ms: int) -> bool:
        """Whether the account's own venue has no fresh price of it: BLIND(price)."""
        quote = self.quote(account, symbol)
        return quote is None or quote.is_blind(now_ms, self.stale_ms)

    def listen(self, account: str, symbol: str) -> Quote:
        """Return the quote of an instrument, an empty one that frames will fill if need be."""
        return self.quotes.setdefault(account, {}).setdefault(symbol, Quote())

    def sources(self, account: str, symbol: str, now_ms: int) -> list[Price]:
        """Return the fresh sources that are independent of each other, best first.

        Mark, index and book mid of a derivative; mid and last of a spot instrument; then other
        venues' prices of the same underlying, quote and kind.
        """
        without = self._not_independent(account, symbol)
        quote = self.quote(account, symbol)
        own = [
            Price(seen.price, source, account)
            for source, seen in (quote.sources() if quote is not None else ())
            if source is not without and seen.is_fresh(now_ms, self.stale_ms)
        ]
        venue = self.venues.get(account, account)
        others = [
            price
            for price in self._others(account, symbol, now_ms)
            if self.venues.get(price.account, price.account) != venue
        ]
        return own + others

    def second(
        self, account: str, symbol: str, now_ms: int, *, read_since_ms: int | None = None
    ) -> Price | None:
        """Return a second independent source, None if the best one stands alone.

        Args:
            account: whose instrument.
            symbol: of the instrument.
            now_ms: UTC ms.
            read_since_ms: a REST re-read counts as a source if it came after this; None = not.
        """
        quote = self.quote(account, symbol)
        own = self._own_second(account, symbol, quote, now_ms) if quote is not None else None
        if own is not None:
            return own
        found = self.sources(account, symbol, now_ms)
        if len(found) > 1:
            return found[1]
        rest = quote.rest if quote is not None else None
        if rest is None or read_since_ms is None or rest.seen_ms < read_since_ms:
            return None
        if not rest.is_fresh(now_ms, self.stale_ms):
            return None
        return Price(rest.price, PriceSource.REST, account)

    def _own_second(self, account: str, symbol: str, quote: Quote, now_ms: int) -> Price | None:
        """Return the second fresh source on the account's own venue, the usual case."""
        without = self._not_independent(account, symbol)
        first: Seen | None = None
        for source, seen in quote.sources():
            if source is without or not seen.is_fresh(now_ms, self.stale_ms):
                continue
            if first is not None:
                until_ms = min(seen.fresh_until(self.stale_ms), first.fresh_until(self.stale_ms))
                return Price(seen.price, source, account, until_ms=until_ms)
            first = seen
        return None

    def _not_independent(self, account: str, symbol: str) -> PriceSource:
        """Return what is no source of its own: the last trade, of a spot instrument the index."""
        instrument = self.instrument(account, symbol)
        is_spot = instrument is not None and instrument.kind is InstrumentKind.SPOT
        return PriceSource.INDEX if is_spot else PriceSource.LAST

    def disagreement(self, account: str, symbol: str, now_ms: int) -> float | None:
        """Return how far fresh independent sources are apart (max/min - 1), None below two."""
        values = [price.value for price in self.sources(account, symbol, now_ms)]
        return max(values) / min(values) - 1 if len(values) > 1 else None

    def _others(self, account: str, symbol: str, now_ms: int) -> Iterator[Price]:
        """Yield fresh prices of the same thing elsewhere, other venues before own accounts."""
        for name, listed, scale in self._twins_of(account, symbol):
            quote = self.quote(name, listed)
            best = quote.best(now_ms, self.stale_ms) if quote is not None else None
            if best is not None and not best[2]:
                yield Price(best[0].price * scale, best[1], name)

    def _twins_of(self, account: str, symbol: str) -> tuple[Twin, ...]:
        """Return where else the same thing is listed, and what its price there is to be scaled by.

        Other venues come before accounts of the same one.
        """
        known = self.elsewhere.get((account, symbol))
        if known is None:
            known = self.elsewhere[account, symbol] = tuple(self._find_twins(account, symbol))
        return known

    def _find_twins(self, account: str, symbol: str) -> Iterator[Twin]:
        own = self.instrument(account, symbol)
        if own is None:
            return
        venue = self.venues.get(account, account)
        for name, listed in sorted(
            self.twins.get(_thing(own), ()),
            key=lambda twin: (self.venues.get(twin[0], twin[0]) == venue, twin),
        ):
            if name != account:
                other = self.instruments[name][listed]
                yield name, listed, float(own.underlying_per_base / other.underlying_per_base)

    # ------------------------------------------------------------ checkpoints

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Marks:
        """Return what `dump` wrote."""
        state: Marks = from_plain(cls, data)
        for quotes in state.quotes.values():
            for quote in quotes.values():
                quote.find_freshest()
        return state


def _thing(instrument: Instrument) -> str:
    # A dated future is another thing than the perpetual, and than one of another date.
    expiry = instrument.symbol.partition(":")[2].partition("-")[2]
    return f"{instrument.underlying}|{instrument.quote}|{instrument.kind}|{expiry}"
