"""The paper venue's streams: the market played on riskbot's clock, and what is told of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import PositionSide, Side
from riskbot.errors import ConfigError
from riskbot.exchanges._base import Capabilities, Credentials, Emit
from riskbot.exchanges.paper.book import Match
from riskbot.exchanges.paper.engine import PaperVenue
from riskbot.exchanges.paper.faults import ACCOUNT, PRICES, Faults
from riskbot.exchanges.paper.market import Market, build
from riskbot.exchanges.paper.order import Refusal, Request
from riskbot.exchanges.paper.settings import PaperSettings, read_settings

_NO_FEE = Decimal(0)


class PaperStreams:
    """One paper account: its venue, its market and its streams.

    Arguments as those of the other venues; credentials are not looked at, `ccxt_config` is read
    as `settings.PaperSettings`.

    Attributes:
        venue: the pure venue; what is done to it directly is told at the next `pump`.
        faults: what is to go wrong.
        market: where its prices come from; None = they are set by hand.
        late: (when, order) that nobody was answered for and that will be taken all the same.
        has_steady_prices: prices are told each heartbeat, moved or not: silence is a fault.
    """

    has_steady_prices = True

    def __init__(
        self,
        account: str,
        venue_id: str,
        credentials: Credentials,
        ccxt_config: Mapping[str, Any],
        markets: tuple[str, ...],
        clock: Clock,
        rng: random.Random,
        halt_check: Callable[[], bool],
        *,
        venue: PaperVenue | None = None,
    ) -> None:
        del venue_id, credentials, rng
        self.account = account
        self.settings: PaperSettings = read_settings(account, ccxt_config)
        self.capabilities = Capabilities(
            streams=("positions", "balances", "orders", "fills", "prices"),
            dead_man="supported",
            client_id_charset="A-Za-z0-9_-",
            has_conditional_pass=True,
            notes=("simulated: no money, no network",),
        )
        self.faults = Faults()
        self.market: Market | None = None
        self._time = clock
        self._halt_check = halt_check
        self.late: list[tuple[int, Request]] = []
        self._emit: Emit | None = None
        self._watched: frozenset[str] = frozenset()
        self._announced: set[str] = set()
        self._break: str | None = None
        self._wake = asyncio.Event()
        if venue is not None:
            self.venue = venue
            return
        self.market, listings = build(account, self.settings, markets)
        self.venue = PaperVenue(
            account,
            listings,
            is_hedge_mode=self.settings.hedge_mode,
            balances=self.settings.balance,
        )

    # ------------------------------------------------------------ the market

    def begin(self) -> None:
        """Give the venue its first prices, then what the account holds and rests from the start."""
        market, now_ms = self.market, self._time.now_ms()
        if market is None or self.venue.last:
            return
        self.venue.set_prices(market.begin(now_ms), now_ms)
        self.venue.fund(now_ms)
        faults = [*self._open_positions(), *self._rest_orders(now_ms)]
        self.venue.drain()
        if faults:
            raise ConfigError(faults)

    def _open_positions(self) -> Iterable[str]:
        for symbol, quantity in self.settings.positions.items():
            listing, mark = self.venue.listings.get(symbol), self.venue.mark(symbol)
            if listing is None or mark is None:
                yield f"accounts.{self.account}.ccxt.positions: {symbol} is not listed"
                continue
            leg = PositionSide.NET
            if self.settings.hedge_mode and listing.is_derivative:
                leg = PositionSide.LONG if quantity > 0 else PositionSide.SHORT
            side = Side.BUY if quantity > 0 else Side.SELL
            self.venue.trade(listing, side, leg, Match(mark, abs(quantity)), _NO_FEE)

    def _rest_orders(self, now_ms: int) -> Iterable[str]:
        for row in self.settings.orders:
            answer = self.venue.submit(row.request(), now_ms)
            if isinstance(answer, Refusal):
                yield f"accounts.{self.account}.ccxt.orders: {row.symbol}: {answer.message}"

    def play(self) -> None:
        """Bring the venue's prices and its upkeep to the present."""
        now_ms = self._time.now_ms()
        for row in self.market.take(now_ms) if self.market is not None else ():
            self.venue.set_prices(row, now_ms)
        self.venue.advance(now_ms)
        due = [request for at_ms, request in self.late if at_ms <= now_ms]
        self.late = [(at_ms, request) for at_ms, request in self.late if at_ms > now_ms]
        for request in due:
            self.venue.submit(request, now_ms)

    # ------------------------------------------------------------ streams

    def pump(self) -> None:
        """Tell over the streams what the venue has to tell."""
        batch = self.faults.told([e for e in self.venue.drain() if self._is_told(e)])
        if self._emit is None:
            return
        for event in batch:
            self._announce(event)
            self._emit(event)

    def _is_told(self, event: events.Event) -> bool:
        return not isinstance(event, events.PricesUpdated) or event.symbol in self._watched

    def _announce(self, event: events.Event) -> None:
        # An instrument is told before the first event that names it.
        new = tuple(s for s in _symbols_in(event) if s not in self._announced)
        if new and self._emit is not None:
            self._announced.update(new)
            self._emit(self.instruments(new))

    def instruments(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        """Describe those of these symbols that are listed."""
        listed = self.venue.instruments(symbols) if symbols else ()
        return events.InstrumentsLoaded(account=self.account, instruments=listed)

    def symbols_of(self, snapshot: events.AccountSnapshotReceived) -> tuple[str, ...]:
        """Return the instruments a snapshot names, and those that price its coins."""
        named = [position.symbol for position in snapshot.positions]
        named += [order.symbol for order in snapshot.orders or ()]
        coins = {balance.asset for balance in snapshot.balances}
        named += [
            name
            for name, row in self.venue.listings.items()
            if not row.is_derivative and row.base in coins
        ]
        return tuple(dict.fromkeys(named))

    async def stream(self, emit: Emit) -> None:
        """Play the market and tell of it until cancelled."""
        self.connect(emit)
        try:
            while True:
                self.step()
                await self._rest()
        finally:
            self._emit = None

    def connect(self, emit: Emit) -> None:
        """Tell the streams to someone from now on."""
        self.begin()
        self._emit = emit

    def step(self) -> None:
        """Play what is due and tell of it."""
        self._reconnect()
        self.play()
        self._beat()
        self.pump()

    def _beat(self) -> None:
        """Repeat prices nobody moved, as feeds do, and show that the account's socket lives."""
        now_ms = self._time.now_ms()
        told = {e.symbol for e in self.venue.outbox if isinstance(e, events.PricesUpdated)}
        for symbol in sorted(self._watched - told):
            if self.venue.mark(symbol) is not None:
                self.venue.outbox.append(self.venue.price(symbol, now_ms))
        for feed in (ACCOUNT, PRICES):
            if self._emit is not None and feed not in self.faults.silent:
                self._emit(events.FeedAlive(account=self.account, feed=feed))

    async def _rest(self) -> None:
        """Wait for the next row, the next heartbeat, or something done to the stream."""
        now_ms = self._time.now_ms()
        due = now_ms + self.settings.heartbeat_ms
        following = self.market.next_ms(now_ms) if self.market is not None else None
        if following is not None:
            due = min(due, following)
        self._wake.clear()
        sleeping = asyncio.ensure_future(self._time.sleep_until(due))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    def _reconnect(self) -> None:
        if self._break is None or self._emit is None:
            return
        for feed in (ACCOUNT, PRICES):
            self._emit(events.FeedLost(account=self.account, feed=feed, reason=self._break))
        self._break = None

    def watch(self, symbols: frozenset[str]) -> None:
        """Set which instruments' prices are streamed from now on."""
        self._watched = symbols & frozenset(self.venue.listings)
        self._wake.set()

    async def restart_stream(self, reason: str) -> None:
        """Drop the sockets and build them anew."""
        self._break = reason
        self._wake.set()

    def load(self) -> None:
        """Return nothing: a venue in this process has no request limit."""
        return

    def rebuild(self, reason: str) -> bool:
        """Replace nothing: the venue is in this process."""
        del reason
        return False


def _symbols_in(event: events.Event) -> tuple[str, ...]:
    match event:
        case events.PositionsUpdated() | events.AccountSnapshotReceived():
            return tuple(position.symbol for position in event.positions)
        case events.OrderUpdated():
            return (event.order.symbol,)
        case events.OrderFilled() | events.PricesUpdated():
            return (event.symbol,)
        case _:
            return ()
