"""One account's senses: markets, snapshot, streams, routine reads, and clocks of its own.

REST is the authority; the stream is fast and not trusted to be alive. What is seen becomes
events; what any of it means is the core's business.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import RejectReason
from riskbot.core.settings import MonitorSettings
from riskbot.errors import VenueError
from riskbot.exchanges._base import Exchange
from riskbot.feed import ledger
from riskbot.feed.memory import SUSPICION_MS, TELL_EVERY_MS, Seen
from riskbot.feed.wishes import Wishes

_log = logging.getLogger(__name__)

T = TypeVar("T")

OPEN_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 10.0
PRICES_TIMEOUT_S = 3.0
CLOCK_EVERY_S = 60.0
RIGHTS_EVERY_S = 6 * 3600.0
RIGHTS_RETRY_S = 300.0
LOOK_EVERY_S = 0.5
BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0)

ASK_EVERY_MS = 1_000
OUTAGE_READS = 2
LONGEST_PAUSE_S = 60.0
AGREEMENT = 0.0005
"""A REST price this near to the streamed one shows that the stream is quiet, not dead."""

STABLE_MARKETS = ("USDT/USD", "USDC/USD", "USDC/USDT")
"""Watched on accounts with spot, where listed: they price the stablecoins of every account."""


def stable_markets(markets: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is watched for stablecoins on an account configured with these markets."""
    return STABLE_MARKETS if "spot" in (markets or ()) else ()


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
        opened: told what the account was opened with, of what is held and configured.
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
        opened: Callable[[events.InstrumentsLoaded], None] = lambda _: None,
    ) -> None:
        self.account = exchange.account
        self.exchange = exchange
        self._submit = submit
        self._clock, self._rng = clock, rng
        self._monitor = monitor
        self._stale_ms = int(monitor.price_stale_s * 1000)
        self._configured = configured
        self._progress, self._opened = progress, opened
        self._known: set[str] = set()
        self._listed: set[str] = set()
        self._watched: frozenset[str] = frozenset()
        self._wishes = Wishes()
        self._seen = Seen()

    async def run(self) -> None:
        """Open the account and watch it until cancelled."""
        await self._open()
        self._progress(self._step("reconcile"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconcile(), name=f"reconcile:{self.account}")
            tasks.create_task(self._stream(), name=f"stream:{self.account}")
            tasks.create_task(self._measure_clock(), name=f"clock:{self.account}")
            tasks.create_task(self._check_rights(), name=f"rights:{self.account}")
            tasks.create_task(self._read_ledger(), name=f"ledger:{self.account}")
            tasks.create_task(self._watch_silence(), name=f"silence:{self.account}")

    def _step(self, what: str) -> str:
        return f"{what}:{self.account}"

    # ------------------------------------------------------------ passing on

    def pass_on(self, event: events.Event) -> None:
        """Hand an event of this account to the engine, its unknown instruments first."""
        if isinstance(event, events.AccountSnapshotReceived):
            self._describe(self.exchange.symbols_of(event))
            self._seen.compare(event, self._clock.now_ms())
            self._rewatch(event)
        elif isinstance(event, events.PricesUpdated) and not event.is_rest:
            self._seen.note_price(event, self._stale_ms, self._clock.now_ms())
        elif isinstance(event, events.PositionsUpdated):
            self._note_positions(event)
        elif isinstance(event, events.OrderFilled | events.OrderUpdated | events.BalancesUpdated):
            self._seen.frame_ms = self._clock.now_ms()
        elif isinstance(event, events.InstrumentsLoaded):
            self._list(event)
        elif isinstance(event, events.FeedLost) and event.feed == "prices" and not self._watched:
            # Without an instrument to price there is no stream, and none to wait for.
            return
        self._submit(event)

    def _describe(self, symbols: tuple[str, ...]) -> None:
        new = tuple(symbol for symbol in symbols if symbol not in self._known)
        if new:
            self._known.update(new)
            described = self.exchange.instruments(new)
            self._list(described)
            self._submit(described)

    def _list(self, loaded: events.InstrumentsLoaded) -> None:
        symbols = {instrument.symbol for instrument in loaded.instruments}
        self._known |= symbols
        self._listed |= symbols

    def _rewatch(self, snapshot: events.AccountSnapshotReceived) -> None:
        # What the venue does not list has no price to wait for.
        named = (*self.exchange.symbols_of(snapshot), *self._configured, *self._wishes.symbols)
        wanted = self._listed.intersection(named)
        if wanted != self._watched:
            self._watched = frozenset(wanted)
            self._seen.forget_prices(wanted)
            self.exchange.watch(self._watched)
            if not wanted:
                # No frame will come any more that could end what was told of as lost.
                self._submit(events.FeedAlive(account=self.account, feed="prices"))

    def _note_positions(self, update: events.PositionsUpdated) -> None:
        self._seen.note_positions(update, self._clock.now_ms())
        for position in update.positions:
            if position.symbol not in self._watched:
                self._watched |= {position.symbol}
                self.exchange.watch(self._watched)

    def wish(self, symbol: str) -> bool:
        """Watch an instrument that somebody wants to trade; True = its first price is to come.

        False: it is watched already, or cannot be: it is not listed, too many are wished for, or
        the account was not read yet. The price comes when it comes: over the stream, or over REST
        as soon as the silence is noticed.
        """
        if not self._seen.has_read:
            return False
        if symbol not in self._listed:
            found = self.exchange.instruments((symbol,))
            if not found.instruments:
                return False
            self.pass_on(found)
        may_be = self._wishes.take(symbol, self._clock.now_ms())
        if symbol in self._watched or not may_be:
            return False
        self._watched |= {symbol}
        self.exchange.watch(self._watched)
        return True

    # ------------------------------------------------------------ opening and reading

    async def _ask(self, asking: Coroutine[Any, Any, T], seconds: float) -> T | VenueError:
        """Return the venue's answer, or why there is none; nothing it says ends the feed."""
        try:
            async with asyncio.timeout(seconds):
                return await asking
        except VenueError as error:
            return error
        except TimeoutError:
            return VenueError(RejectReason.UNREACHABLE, f"no answer within {seconds:g} s")
        except Exception as error:  # noqa: BLE001 - an answer nobody can read: BLIND, not dead
            _log.critical("an answer of %s cannot be read", self.account, exc_info=error)
            return VenueError(
                RejectReason.OTHER, f"cannot be read: {type(error).__name__}: {error}"
            )

    def _count(self, link: str, outcome: object) -> None:
        """Have the object that reads replaced when it got no answer twice in a row."""
        error = outcome if isinstance(outcome, VenueError) else None
        if self._seen.is_wedged(link, error) and self.exchange.rebuild(f"{link}: {error}"):
            self._seen.misses.clear()

    async def _open(self) -> None:
        """Load markets, retrying while the venue is away: the account is BLIND until then."""
        tries = 0
        while True:
            loaded = await self._ask(self.exchange.open(self._configured), OPEN_TIMEOUT_S)
            self._count("open", loaded)
            if not isinstance(loaded, VenueError):
                self.pass_on(loaded)
                self._opened(loaded)
                self._seen.opened_ms = self._seen.price_ms = self._clock.now_ms()
                if await self._read() is None:
                    # The first price comes over REST: the streams are only being dialed.
                    await self._read_prices(tuple(sorted(self._watched)))
                return
            self._failed(loaded)
            self._progress(self._step("reconcile"))
            await self._pause(tries, loaded)
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

    async def _pause(self, tries: int, error: VenueError | None = None) -> None:
        """Wait before trying again; never less than the venue asked for."""
        delay = BACKOFF_S[min(tries, len(BACKOFF_S) - 1)] * (0.8 + 0.4 * self._rng.random())
        asked_s = (error.retry_after_ms or 0) / 1000 if error else 0.0
        await self._clock.sleep(min(max(delay, asked_s), LONGEST_PAUSE_S))

    async def _read(self) -> VenueError | None:
        snapshot = await self._ask(self.exchange.snapshot(), READ_TIMEOUT_S)
        self._count("snapshot", snapshot)
        if isinstance(snapshot, VenueError):
            self._failed(snapshot)
            return snapshot
        self.pass_on(snapshot)
        return None

    async def _reconcile(self) -> None:
        error: VenueError | None = None
        tries = 0 if self._seen.has_read else 1
        while True:
            if tries:
                await self._pause(tries - 1, error)
            else:
                await self._clock.sleep(self._monitor.reconcile_s)
            error = await self._read()
            self._progress(self._step("reconcile"))
            if error is None and tries >= OUTAGE_READS:
                # Sockets that outlived the outage may be half open, and say nothing for minutes.
                await self._restart("account", "the venue was away")
            tries = tries + 1 if error else 0

    async def _measure_clock(self) -> None:
        while True:
            measured = await self._ask(self.exchange.clock(), READ_TIMEOUT_S)
            if not isinstance(measured, VenueError):
                self._submit(measured)
            await self._clock.sleep(CLOCK_EVERY_S)

    async def _read_ledger(self) -> None:
        """Pass on what the venue books; what it says of money is PnL or a flow, never both."""
        known = ledger.Ledger()
        while True:
            await self._clock.sleep(ledger.EVERY_S * (0.9 + 0.2 * self._rng.random()))
            began_ms = self._clock.now_ms()
            reading = self.exchange.ledger(known.since_ms(began_ms))
            rows = await self._ask(reading, READ_TIMEOUT_S)
            for row in known.fresh(rows, began_ms) if not isinstance(rows, VenueError) else ():
                self._submit(row)

    async def _check_rights(self) -> None:
        while True:
            rights = await self._ask(self.exchange.key_rights(), READ_TIMEOUT_S)
            is_known = not isinstance(rights, VenueError)
            if not isinstance(rights, VenueError):
                self._submit(rights)
            await self._clock.sleep(RIGHTS_EVERY_S if is_known else RIGHTS_RETRY_S)

    # ------------------------------------------------------------ streams

    async def _stream(self) -> None:
        """Run the streams; a dialect that gives up, or breaks, is started again."""
        tries = 0
        while True:
            begun = self._clock.now_ms()
            try:
                await self.exchange.stream(self.pass_on)
                reason = "the stream ended"
            except Exception as error:  # noqa: BLE001 - REST still sees what this stream does not
                reason = f"{type(error).__name__}: {error}"
                if not isinstance(error, VenueError):
                    _log.critical("the stream of %s broke", self.account, exc_info=error)
            self._lost("account", reason)
            self._lost("prices", reason)
            tries = 0 if self._clock.now_ms() - begun > 60_000 else tries + 1
            await self._pause(tries)

    def _lost(self, feed: str, reason: str, symbol: str | None = None) -> None:
        self.pass_on(
            events.FeedLost(account=self.account, feed=feed, reason=reason[:200], symbol=symbol)
        )

    async def _watch_silence(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            now_ms = self._clock.now_ms()
            self._tell_load(now_ms)
            await self._check_prices(now_ms)
            if frozen := self._seen.frozen:
                self._seen.frozen = None
                self._seen.venue_ms.clear()
                await self._restart("prices", f"the venue's time of {frozen} stands still")
            suspect = self._seen.suspect_ms
            if suspect is not None and now_ms - suspect >= SUSPICION_MS:
                self._seen.suspect_ms = None
                await self._restart("account", "a change was read that the stream did not tell")

    def _tell_load(self, now_ms: int) -> None:
        """Tell of waits the venue stated, and of a limit that is nearly used up."""
        load = self.exchange.load()
        if load is not None and self._seen.is_load_news(load, now_ms):
            self._submit(
                events.RequestsLimited(
                    account=self.account,
                    used_ratio=round(load.used_ratio, 3),
                    until_ms=load.until_ms,
                    detail=load.detail[:200],
                )
            )

    async def _check_prices(self, now_ms: int) -> None:
        """Ask over REST for prices that fall silent; a stream that missed a move is dead."""
        seen = self._seen
        stale_ms = self._stale_ms
        is_mute = bool(self._watched) and now_ms - seen.price_ms > stale_ms * 0.8
        if is_mute and getattr(self.exchange, "has_steady_prices", False):
            await self._restart("prices", "no price frame came; the venue sends them steadily")
        ages = {s: now_ms - seen.prices.get(s, (seen.opened_ms, 0.0))[0] for s in self._watched}
        asked = {s for s, age in ages.items() if age > stale_ms // 2} | seen.doubted & ages.keys()
        if not asked or now_ms - seen.asked_ms < ASK_EVERY_MS:
            return
        seen.asked_ms = now_ms
        for symbol in await self._read_prices(tuple(sorted(asked))):
            if ages[symbol] > stale_ms * 0.8 or symbol in seen.doubted:
                seen.doubted.discard(symbol)
                reason = f"{symbol} moved and the stream did not tell"
                await self._restart("prices", reason, None if is_mute else symbol)

    async def _read_prices(self, symbols: tuple[str, ...]) -> list[str]:
        """Read silent prices; return those that moved without a frame."""
        found = await self._ask(self.exchange.prices(symbols), PRICES_TIMEOUT_S)
        self._count("prices", found)
        if isinstance(found, VenueError):
            return []
        moved = []
        for frame in found:
            if self._seen.has_moved(frame, self._clock.now_ms(), AGREEMENT):
                moved.append(frame.symbol)
            self._submit(frame)
        return moved

    async def _restart(self, feed: str, reason: str, symbol: str | None = None) -> None:
        """Tell of a dead stream and have it built anew, each ever more rarely while it stays so."""
        now_ms, seen = self._clock.now_ms(), self._seen
        if now_ms - seen.lost_ms.get(feed, 0) >= TELL_EVERY_MS:
            seen.lost_ms[feed] = now_ms
            self._lost(feed, reason, symbol)
        if seen.restarts.take(now_ms):
            await self.exchange.restart_stream(reason)
