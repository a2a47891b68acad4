"""One account's senses: markets, snapshot, streams, routine reads, and clocks of its own.

REST is the authority; the stream is fast and not trusted to be alive. What is seen becomes
events; what any of it means is the core's business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import PositionKey, RejectReason
from riskbot.core.settings import MonitorSettings
from riskbot.errors import VenueError
from riskbot.exchanges._base import Exchange

OPEN_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 10.0
CLOCK_EVERY_S = 60.0
RIGHTS_EVERY_S = 6 * 3600.0
LOOK_EVERY_S = 0.5
BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0)

SUSPICION_MS = 3_000
"""A change that a read shows must have been streamed by so long after, or the stream is dead."""

RESTART_EVERY_MS = 10_000
AGREEMENT = 0.0005
"""A REST price this near to the streamed one shows that the stream is quiet, not dead."""

Submit = Callable[[events.Event], None]
Progress = Callable[[str], None]


class ListingExchange(Exchange, Protocol):
    """A venue that can also describe instruments met on the way."""

    def symbols_of(self, snapshot: events.AccountSnapshotReceived) -> tuple[str, ...]:
        """Return the instruments a snapshot names, and those that price its coins."""
        ...

    def instruments(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        """Describe those of these symbols that the venue lists."""
        ...


@dataclass(slots=True)
class _Seen:
    """What the feed remembers to judge the streams by.

    Attributes:
        prices: (when, price) of the last streamed frame by symbol.
        positions: quantities as told last, by read or stream.
        frame_ms: last account frame.
        suspect_ms: when a read showed what the stream had not told.
    """

    prices: dict[str, tuple[int, float]] = field(default_factory=dict)
    positions: dict[PositionKey, Decimal] = field(default_factory=dict)
    frame_ms: int = 0
    price_ms: int = 0
    suspect_ms: int | None = None
    restart_ms: int = 0


class Feed:
    """Keeps one account in sight.

    Args:
        exchange: the account's venue.
        submit: takes events for the engine; synchronous.
        clock: time.
        rng: jitter of the retries.
        monitor: ages and intervals.
        configured: instruments to watch whatever is held (allow-list, hedges, pairs).
        progress: told of each completed or timed-out attempt, for the watchdog.
    """

    def __init__(
        self,
        exchange: ListingExchange,
        submit: Submit,
        clock: Clock,
        rng: random.Random,
        monitor: MonitorSettings,
        configured: tuple[str, ...] = (),
        progress: Progress = lambda _: None,
    ) -> None:
        self.account = exchange.account
        self.exchange = exchange
        self._submit = submit
        self._clock = clock
        self._rng = rng
        self._monitor = monitor
        self._configured = configured
        self._progress = progress
        self._known: set[str] = set()
        self._watched: frozenset[str] = frozenset()
        self._seen = _Seen()

    async def run(self) -> None:
        """Open the account and watch it until cancelled."""
        await self._open()
        self._progress(self._step("reconcile"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconcile(), name=f"reconcile:{self.account}")
            tasks.create_task(self._stream(), name=f"stream:{self.account}")
            tasks.create_task(self._measure_clock(), name=f"clock:{self.account}")
            tasks.create_task(self._check_rights(), name=f"rights:{self.account}")
            tasks.create_task(self._watch_silence(), name=f"silence:{self.account}")

    def _step(self, what: str) -> str:
        return f"{what}:{self.account}"

    # ------------------------------------------------------------ passing on

    def pass_on(self, event: events.Event) -> None:
        """Hand an event of this account to the engine, its unknown instruments first."""
        if isinstance(event, events.AccountSnapshotReceived):
            self._describe(self.exchange.symbols_of(event))
            self._compare(event)
            self._rewatch(event)
        elif isinstance(event, events.PricesUpdated) and not event.is_rest:
            self._note_price(event)
        elif isinstance(event, events.PositionsUpdated):
            self._note_positions(event)
        elif isinstance(event, events.OrderFilled | events.OrderUpdated | events.BalancesUpdated):
            self._seen.frame_ms = self._clock.now_ms()
        elif isinstance(event, events.InstrumentsLoaded):
            self._known.update(i.symbol for i in event.instruments)
        self._submit(event)

    def _describe(self, symbols: tuple[str, ...]) -> None:
        new = tuple(symbol for symbol in symbols if symbol not in self._known)
        if new:
            self._known.update(new)
            self._submit(self.exchange.instruments(new))

    def _rewatch(self, snapshot: events.AccountSnapshotReceived) -> None:
        wanted = frozenset((*self.exchange.symbols_of(snapshot), *self._configured))
        if wanted != self._watched:
            self._watched = wanted
            self.exchange.watch(wanted)

    def _note_price(self, frame: events.PricesUpdated) -> None:
        price = frame.mark or frame.last or frame.bid or frame.index
        now_ms = self._clock.now_ms()
        self._seen.price_ms = now_ms
        if price is not None:
            self._seen.prices[frame.symbol] = (now_ms, price)

    def _note_positions(self, update: events.PositionsUpdated) -> None:
        self._seen.frame_ms = self._clock.now_ms()
        self._seen.suspect_ms = None
        for position in update.positions:
            self._seen.positions[position.key] = position.quantity
            if position.symbol not in self._watched:
                self._watched |= {position.symbol}
                self.exchange.watch(self._watched)

    def _compare(self, snapshot: events.AccountSnapshotReceived) -> None:
        """Suspect the stream when a read shows a position it has not told of."""
        read = {p.key: p.quantity for p in snapshot.positions if p.quantity}
        told = {key: quantity for key, quantity in self._seen.positions.items() if quantity}
        now_ms = self._clock.now_ms()
        recent = now_ms - self._seen.frame_ms < SUSPICION_MS
        if self._seen.positions and read != told and not recent:
            self._seen.suspect_ms = self._seen.suspect_ms or now_ms
        self._seen.positions = dict(read)

    # ------------------------------------------------------------ opening and reading

    async def _open(self) -> None:
        """Load markets, retrying while the venue is away: the account is BLIND until then."""
        tries = 0
        while True:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    loaded = await self.exchange.open(self._configured)
            except VenueError as error:
                self._failed(error)
            except TimeoutError:
                self._failed(VenueError(RejectReason.UNREACHABLE, "no answer while opening"))
            else:
                self.pass_on(loaded)
                if await self.read():
                    # The first price comes over REST: the streams are only being dialed.
                    await self._read_prices(tuple(sorted(self._watched)))
                return
            self._progress(self._step("reconcile"))
            await self._pause(tries)
            tries += 1

    def _failed(self, error: VenueError) -> None:
        self._submit(
            events.RefreshFailed(
                account=self.account,
                reason=error.reason,
                message=str(error)[:500],
                retry_after_ms=error.retry_after_ms,
            )
        )

    async def _pause(self, tries: int) -> None:
        delay = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]
        await self._clock.sleep(delay * (0.8 + 0.4 * self._rng.random()))

    async def read(self) -> bool:
        """Read the account once; True when it answered in full."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                snapshot = await self.exchange.snapshot()
        except VenueError as error:
            self._failed(error)
            return False
        except TimeoutError:
            self._failed(VenueError(RejectReason.UNREACHABLE, "no answer to a read"))
            return False
        self.pass_on(snapshot)
        return True

    async def _reconcile(self) -> None:
        tries = 0
        while True:
            if tries:
                await self._pause(tries - 1)
            else:
                await self._clock.sleep(self._monitor.reconcile_s)
            answered = await self.read()
            tries = 0 if answered else tries + 1
            self._progress(self._step("reconcile"))

    async def _measure_clock(self) -> None:
        while True:
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    self._submit(await self.exchange.clock())
            except (VenueError, TimeoutError):
                pass  # the reads tell of an unreachable venue; a clock is measured next time
            await self._clock.sleep(CLOCK_EVERY_S)

    async def _check_rights(self) -> None:
        while True:
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    self._submit(await self.exchange.key_rights())
            except (VenueError, TimeoutError):
                pass  # unknown rights stay unknown; asked again with the next round
            await self._clock.sleep(RIGHTS_EVERY_S)

    # ------------------------------------------------------------ streams

    async def _stream(self) -> None:
        """Run the streams; a dialect that gives up is started again."""
        tries = 0
        while True:
            begun = self._clock.now_ms()
            try:
                await self.exchange.stream(self.pass_on)
            except VenueError as error:
                self._lost("account", str(error))
                self._lost("prices", str(error))
            tries = 0 if self._clock.now_ms() - begun > 60_000 else tries + 1
            await self._pause(tries)

    def _lost(self, feed: str, reason: str) -> None:
        self._submit(events.FeedLost(account=self.account, feed=feed, reason=reason[:200]))

    async def _watch_silence(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            now_ms = self._clock.now_ms()
            await self._check_prices(now_ms)
            suspect = self._seen.suspect_ms
            if suspect is not None and now_ms - suspect >= SUSPICION_MS:
                self._seen.suspect_ms = None
                await self._restart("account", "a change was read that the stream did not tell")

    async def _check_prices(self, now_ms: int) -> None:
        """Ask over REST for prices that fall silent; a stream that missed a move is dead."""
        stale_ms = int(self._monitor.price_stale_s * 1000)
        silent = [
            symbol
            for symbol in self._watched
            if now_ms - self._seen.prices.get(symbol, (0, 0.0))[0] > stale_ms // 2
        ]
        if not silent or not self._seen.price_ms:
            return
        is_mute = now_ms - self._seen.price_ms > stale_ms * 0.8
        if is_mute and getattr(self.exchange, "has_steady_prices", False):
            await self._restart("prices", "no price frame came; the venue sends them steadily")
            self._seen.price_ms = now_ms
        moved = await self._read_prices(tuple(silent))
        if moved and is_mute:
            await self._restart("prices", f"{moved} moved and the stream did not tell")

    async def _read_prices(self, symbols: tuple[str, ...]) -> str:
        """Read silent prices; return the first symbol that moved without a frame."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                found = await self.exchange.prices(symbols)
        except (VenueError, TimeoutError):
            return ""
        moved = ""
        for frame in found:
            _, streamed = self._seen.prices.get(frame.symbol, (0, 0.0))
            price = frame.mark or frame.last or frame.bid or frame.index
            if price is not None and streamed and abs(price / streamed - 1) > AGREEMENT:
                moved = moved or frame.symbol
            elif price is not None:
                self._seen.prices[frame.symbol] = (self._clock.now_ms(), streamed or price)
            self._submit(frame)
        return moved

    async def _restart(self, feed: str, reason: str) -> None:
        self._lost(feed, reason)
        now_ms = self._clock.now_ms()
        if now_ms - self._seen.restart_ms >= RESTART_EVERY_MS:
            self._seen.restart_ms = now_ms
            await self.exchange.restart_stream(reason)
