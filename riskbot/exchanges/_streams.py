"""Websockets of one account: who watches what, and what happens when a socket breaks.

ccxt.pro connects, logs in, subscribes and pings; `_tap` hands over every frame as it comes, so a
watch call here only holds a subscription open and tells when its socket is gone. Where the tap
takes nothing, what the watch call returns is used. No REST answer becomes an event here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from riskbot.clock import Clock, Pace
from riskbot.core import events
from riskbot.exchanges._base import Emit
from riskbot.exchanges._tap import deafen

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
CALM_MS = 30_000
LOOK_S = 1.0
REBUILD_AFTER = 2
"""So many failures of a link in a row without a sign of life, and ccxt's object is replaced."""
DEAF_MS = 15_000
"""A link with neither frame nor pong for so long is dead, whatever ccxt believes of it."""
REBUILD_MS = (10_000, 300_000)
"""Least time between two rebuilds: first, and while they keep being needed."""

ALIVE_EVERY_MS = 1_000
ACCOUNT, PRICES = "account", "prices"


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch call that holds a subscription open.

    Attributes:
        feed: `account` or `prices`.
        method: of ccxt.pro, e.g. `watch_orders`; with `call` only a name.
        symbols: it covers; empty for the account's own channels.
        arguments: positional ones.
        params: venue-specific ones, by keyword `params`.
        call: awaited with the ccxt instance instead, for channels ccxt has no method for.
        is_optional: the feed is whole without it; its failure is told to nobody.
    """

    feed: str
    method: str
    symbols: tuple[str, ...] = ()
    arguments: tuple[Any, ...] = ()
    params: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)
    call: Callable[[Any], Awaitable[Any]] | None = field(default=None, compare=False)
    is_optional: bool = False


class Dialect(Protocol):
    """What a venue says about its channels. No method may raise or wait.

    Attributes:
        is_ready_on_connect: an open account socket delivers without a login message.
    """

    is_ready_on_connect: bool

    def account_watches(self) -> Sequence[Watch]:
        """Return the calls that hold the account's channels open."""
        ...

    def price_watches(self, symbols: Sequence[str]) -> Sequence[Watch]:
        """Return the calls that hold prices of these symbols open."""
        ...

    def decode(self, message: Any, url: str) -> list[events.Event] | None:
        """Turn a raw frame into events; None leaves it to ccxt's parser."""
        ...

    def translate(self, result: Any) -> list[events.Event] | None:
        """Turn what ccxt parsed into events; None when it is nothing of ours."""
        ...

    def renew(self, api: Any, feed: str) -> None:
        """Forget what a broken socket of this feed leaves behind (listen key, dial backoff)."""
        ...


@dataclass(slots=True, eq=False)
class _Watcher:
    watch: Watch
    task: asyncio.Task[None] | None = None
    is_down: bool = True
    is_told: bool = False
    failures: int = 0
    heard_ms: int = 0


_current: ContextVar[_Watcher | None] = ContextVar("riskbot_watcher", default=None)


class Streams:
    """The sockets of one account, rebuilt when they break; fulfills `_tap.Tap`."""

    def __init__(
        self,
        account: str,
        dialect: Dialect,
        new_api: Callable[[Any], Any],
        retire: Callable[[Any], None],
        clock: Clock,
        rng: random.Random,
        faults: tuple[type[Exception], ...],
    ) -> None:
        self._account = account
        self._dialect = dialect
        self._new_api = new_api
        self._retire = retire
        self._rebuilds, self._deaf_ms = Pace(*REBUILD_MS), DEAF_MS
        self._clock = clock
        self._rng = rng
        self._faults = faults
        self._wanted: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        self._restart_reason: str | None = None
        self._is_account_expired = False
        self._watchers: list[_Watcher] = []
        self._by_url: dict[str, set[_Watcher]] = {}
        self._alive_ms: dict[str, int] = {}
        self._lost: set[str] = set()
        self._emit: Emit = _drop
        self.bad_frames = 0

    # ------------------------------------------------------------ life

    def watch(self, symbols: frozenset[str]) -> None:
        """Set which symbols' prices are streamed."""
        self._wanted = symbols
        self._wake.set()

    def is_wanted(self, symbol: str) -> bool:
        """Whether prices of this symbol are asked for."""
        return symbol in self._wanted

    def restart(self, reason: str) -> None:
        """Ask for new sockets."""
        self._restart_reason = reason
        self._wake.set()

    def refresh(self) -> None:
        """Look again at which channels the account needs."""
        self._wake.set()

    def reconnect_account(self) -> None:
        """Ask for a new account socket alone (its login has expired)."""
        self._is_account_expired = True
        self._wake.set()

    async def run(self, emit: Emit) -> None:
        """Keep sockets open until cancelled."""
        self._emit = emit
        while True:
            await self._session()
            reason = self._restart_reason or "restart"
            self._restart_reason = None
            for feed in (ACCOUNT, PRICES):
                self._tell_lost(feed, reason)

    async def _session(self) -> None:
        api = self._new_api(self)
        self._by_url.clear()
        self._watchers = []
        keep_alive = (getattr(api, "streaming", None) or {}).get("keepAlive") or 0
        self._deaf_ms = max(DEAF_MS, 3 * int(keep_alive))
        listener = asyncio.create_task(self._listen(), name=f"{self._account}:listen")
        try:
            while self._restart_reason is None:
                self._wake.clear()
                if self._is_account_expired:
                    self._is_account_expired = False
                    self._drop_account(api)
                self._match_watchers(api)
                await self._wake.wait()
        finally:
            tasks = [watcher.task for watcher in self._watchers if watcher.task is not None]
            for task in (*tasks, listener):
                task.cancel()
            # Closing a socket whose other end is gone takes long: the next ones do not wait.
            deafen(api)
            self._retire(api)
            await asyncio.gather(*tasks, listener, return_exceptions=True)

    async def _listen(self) -> None:
        """Hold every link to a deadline of our own: ccxt may wait for ever without noticing."""
        while True:
            await self._clock.sleep(LOOK_S)
            # Each login may have an address of its own: those nobody uses are forgotten.
            self._by_url = {url: group for url, group in self._by_url.items() if group}
            now_ms = self._clock.now_ms()
            for group in self._by_url.values():
                needed = [watcher for watcher in group if not watcher.watch.is_optional]
                heard_ms = max((watcher.heard_ms for watcher in needed), default=now_ms)
                if now_ms - heard_ms > self._deaf_ms:
                    name = needed[0].watch.method
                    self._rebuild(f"{name}: neither frame nor pong for {self._deaf_ms / 1000:g} s")

    def _rebuild(self, reason: str) -> None:
        # A new ccxt object, ever more rarely while that does not help.
        if self._restart_reason is None and self._rebuilds.take(self._clock.now_ms()):
            self.restart(reason)

    def _drop_account(self, api: Any) -> None:
        for watcher in [w for w in self._watchers if w.watch.feed == ACCOUNT]:
            self._watchers.remove(watcher)
            for group in self._by_url.values():
                group.discard(watcher)
            if watcher.task is not None:
                watcher.task.cancel()
        self._dialect.renew(api, ACCOUNT)
        self._tell_lost(ACCOUNT, "login expired")

    def _match_watchers(self, api: Any) -> None:
        running = {w.watch for w in self._watchers if w.watch.feed == ACCOUNT}
        for watch in self._dialect.account_watches():
            if watch not in running:
                self._start(api, watch)
        prices = [w for w in self._watchers if w.watch.feed == PRICES]
        covered = {symbol for watcher in prices for symbol in watcher.watch.symbols}
        missing = sorted(self._wanted - covered)
        for watch in self._dialect.price_watches(missing) if missing else ():
            self._start(api, watch)
        for watcher in [w for w in prices if not self._wanted.intersection(w.watch.symbols)]:
            self._watchers.remove(watcher)
            if watcher.task is not None:
                watcher.task.cancel()

    def _start(self, api: Any, watch: Watch) -> None:
        watcher = _Watcher(watch, heard_ms=self._clock.now_ms())
        self._watchers.append(watcher)
        watcher.task = asyncio.create_task(
            self._keep(api, watcher), name=f"{self._account}:{watch.method}"
        )

    # ------------------------------------------------------------ one subscription

    async def _keep(self, api: Any, watcher: _Watcher) -> None:
        _current.set(watcher)
        watch = watcher.watch
        failures = 0
        while True:
            began_ms = self._clock.now_ms()
            try:
                await self._hold(api, watch)
                continue
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                reason = "socket closed"
            except self._faults as error:
                reason = f"{type(error).__name__}: {error}"[:160]
            if self._clock.now_ms() - began_ms > CALM_MS:
                failures = 0
            self._went_down(watcher, reason)
            watcher.failures += 1
            if self._is_link_down(watcher):
                self._rebuild(reason)
            for group in self._by_url.values():
                group.discard(watcher)
            self._dialect.renew(api, watch.feed)
            delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(failures, 10))
            failures += 1
            await self._clock.sleep(delay * (0.5 + 0.5 * self._rng.random()))

    async def _hold(self, api: Any, watch: Watch) -> None:
        if watch.call is not None:
            result = await watch.call(api)
        else:
            result = await getattr(api, watch.method)(*watch.arguments, params=dict(watch.params))
        # Only what the tap let through arrives here.
        self.publish(self._dialect.translate(result) or [])

    def _went_down(self, watcher: _Watcher, reason: str) -> None:
        if watcher.is_told or watcher.watch.is_optional:
            return
        watcher.is_down = watcher.is_told = True
        if not self._is_down(watcher):
            return
        feed = watcher.watch.feed
        siblings = [w for w in self._watchers if w.watch.feed == feed and not w.watch.is_optional]
        if feed == ACCOUNT or all(w.is_down for w in siblings):
            self._tell_lost(feed, reason)
            return
        for symbol in watcher.watch.symbols:
            others = [w for w in siblings if symbol in w.watch.symbols]
            if self.is_wanted(symbol) and all(w.is_down for w in others):
                lost = events.FeedLost(
                    account=self._account, feed=feed, reason=reason, symbol=symbol
                )
                self._emit(lost)

    def _is_down(self, watcher: _Watcher) -> bool:
        # A single channel the venue refuses is no broken socket while others share it.
        sharing = [w for w in self._sharing(watcher) if not w.watch.is_optional]
        return bool(sharing) and all(w.is_down for w in sharing)

    def _is_link_down(self, watcher: _Watcher) -> bool:
        # What never dials may be a channel that the venue has not: no fault of the object's then.
        siblings = [w for w in self._watchers if w.watch.feed == watcher.watch.feed]
        if any(watcher in group for group in self._by_url.values()):
            return watcher.failures >= REBUILD_AFTER and self._is_down(watcher)
        return watcher.failures >= 4 * REBUILD_AFTER and all(w.is_down for w in siblings)

    def _sharing(self, watcher: _Watcher) -> set[_Watcher]:
        groups = [group for group in self._by_url.values() if watcher in group]
        return {watcher}.union(*groups)

    def _tell_lost(self, feed: str, reason: str) -> None:
        if feed not in self._lost:
            self._lost.add(feed)
            self._emit(events.FeedLost(account=self._account, feed=feed, reason=reason))

    # ------------------------------------------------------------ the tap

    def opened(self, url: str) -> None:
        """Remember which watch call uses this socket."""
        watcher = _current.get()
        if watcher is not None:
            self._by_url.setdefault(url, set()).add(watcher)

    def frame(self, url: str, message: Any) -> bool:
        """Publish what the frame says; True when ccxt need not parse it."""
        found = self._dialect.decode(message, url)
        self._came_alive(url, is_data=any(not getattr(e, "is_rest", False) for e in found or ()))
        if found is None:
            return False
        self.publish(found)
        return True

    def result(self, url: str, result: Any) -> bool:
        """Publish what ccxt parsed; True when the watch call should go on waiting."""
        found = self._dialect.translate(result)
        if found is None:
            return False
        self._came_alive(url, is_data=True)
        self.publish(found)
        return True

    def bad_frame(self, url: str, error: Exception) -> None:
        """Count a frame nobody could decode; the socket lives on."""
        del url, error
        self.bad_frames += 1

    def pong(self, url: str) -> None:
        """Take a pong of the account's socket as a sign of life."""
        self._came_alive(url, is_data=False)

    def connected(self, url: str) -> None:
        """Take an opened socket as a sign of life where nothing more has to be agreed on."""
        if self._dialect.is_ready_on_connect:
            self._came_alive(url, is_data=False, is_heard=False)

    def _came_alive(self, url: str, *, is_data: bool, is_heard: bool = True) -> None:
        watchers = self._by_url.get(url)
        if not watchers:
            return
        for watcher in watchers:
            watcher.is_down = watcher.is_told = False
            if is_heard:
                watcher.failures, watcher.heard_ms = 0, self._clock.now_ms()
        for feed in {watcher.watch.feed for watcher in watchers}:
            # A pong proves a socket, not a price: for prices only data counts.
            if feed == PRICES and not is_data:
                continue
            returned = feed in self._lost
            self._lost.discard(feed)
            if returned or (feed == ACCOUNT and not is_data and self._is_due(feed)):
                self._emit(events.FeedAlive(account=self._account, feed=feed))

    def _is_due(self, feed: str) -> bool:
        now_ms = self._clock.now_ms()
        if now_ms - self._alive_ms.get(feed, 0) < ALIVE_EVERY_MS:
            return False
        self._alive_ms[feed] = now_ms
        return True

    def publish(self, found: Sequence[events.Event]) -> None:
        """Hand events on; prices of what is not asked for are left out."""
        for event in found:
            if isinstance(event, events.PricesUpdated) and not self.is_wanted(event.symbol):
                continue
            self._emit(event)


def _drop(event: events.Event) -> None:
    del event
