"""Hand-written stand-ins for the world: a clock that is moved, a venue and a channel that obey."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events, model
from riskbot.core.duty import Alert
from riskbot.errors import ChannelError, VenueError
from riskbot.exchanges._base import DAY_MS, Capabilities, DailyBar, DailyBars, Emit, Load

START_MS = 1_700_000_000_000
"""Where a FakeClock stands when nothing else is said: 2023-11-14 22:13:20 UTC."""


async def settle(rounds: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait in real time until something holds; what must hold has a generous deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


class FakeClock:
    """Time that stands still until it is advanced."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ns(self) -> int:
        return self._now_ms * 1_000_000

    async def sleep_until(self, deadline_ms: int) -> None:
        if deadline_ms <= self._now_ms:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline_ms, next(self._order), future))
        await future

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(self._now_ms + round(seconds * 1000))

    async def advance(self, milliseconds: int) -> None:
        """Move on, stopping at each deadline on the way so that sleepers wake in order."""
        target = self._now_ms + milliseconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            deadline, _, future = heapq.heappop(self._sleepers)
            self._now_ms = max(self._now_ms, deadline)
            if not future.done():
                future.set_result(None)
                await settle()
        self._now_ms = target
        await settle()

    def jump(self, milliseconds: int) -> None:
        """Move on without waking anyone."""
        self._now_ms += milliseconds


class FakeExchange:
    """One account at a venue that does as it is told.

    `plan[method]` holds what the next calls do, first come first served: an exception is raised, a
    callable is awaited with the call's arguments, anything else is returned. Without a plan each
    call succeeds. `calls` lists what was asked, in order.
    """

    def __init__(self, account: str = "main", *, clock: FakeClock | None = None) -> None:
        self.account = account
        self.time = clock or FakeClock()
        self.capabilities = Capabilities(
            streams=("positions", "orders", "prices"),
            dead_man="none",
            client_id_charset="a-z0-9",
            has_conditional_pass=True,
        )
        self.plan: dict[str, deque[Any]] = defaultdict(deque)
        self.calls: list[tuple[str, Any]] = []
        self.positions: dict[model.PositionKey, model.Position] = {}
        self.balances: list[model.Balance] = [model.Balance("USDT", Decimal(10_000))]
        self.orders: list[model.WorkingOrder] = []
        self.marks: dict[str, float] = {}
        self.known: set[str] = set()
        self.listed: list[model.Instrument] = []
        self.days: dict[str, dict[int, DailyBar]] = {}
        self.watched: frozenset[str] = frozenset()
        self.emit: Emit | None = None
        self.restarts: list[str] = []
        self.rebuilds: list[str] = []
        self.used: Load | None = None
        self.streams_begun = 0
        self.stream_gate = asyncio.Event()
        self.stream_error: Exception | None = None
        self._ids = itertools.count(1)

    def will(self, method: str, *outcomes: Any) -> None:
        """Plan what the next calls of a method do."""
        self.plan[method].extend(outcomes)

    def called(self, method: str) -> list[Any]:
        """Arguments of the calls of one method, in order."""
        return [argument for name, argument in self.calls if name == method]

    async def _answer(self, method: str, argument: Any, default: Callable[[], Any]) -> Any:
        self.calls.append((method, argument))
        await asyncio.sleep(0)
        if not self.plan[method]:
            return default()
        outcome = self.plan[method].popleft()
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            result = outcome(argument)
            return await result if isinstance(result, Awaitable) else result
        return outcome

    async def open(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        return await self._answer("open", symbols, lambda: self._instruments(symbols))

    def _instruments(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        found = [s for s in symbols if not self.known or s in self.known]
        return events.InstrumentsLoaded(
            account=self.account, instruments=tuple(instrument(self.account, s) for s in found)
        )

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        as_of_ms = self.time.now_ms()

        def read() -> events.AccountSnapshotReceived:
            return events.AccountSnapshotReceived(
                account=self.account,
                as_of_ms=as_of_ms,
                balances=tuple(self.balances),
                positions=tuple(self.positions.values()),
                orders=tuple(self.orders),
                request_id=request_id,
            )

        return await self._answer("snapshot", (request_id, is_urgent), read)

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        def read() -> list[events.PricesUpdated]:
            return [
                events.PricesUpdated(
                    account=self.account,
                    symbol=symbol,
                    mark=self.marks[symbol],
                    venue_ms=self.time.now_ms(),
                    is_rest=True,
                )
                for symbol in symbols
                if symbol in self.marks
            ]

        return await self._answer("prices", symbols, read)

    async def depth(self, symbols: tuple[str, ...]) -> list[events.DepthRead]:
        return await self._answer("depth", symbols, list)

    def instruments_of(self, underlying: str) -> tuple[model.Instrument, ...]:
        """Return the instruments of an underlying that are in `listed`."""
        return tuple(row for row in self.listed if row.underlying == underlying)

    async def daily_bars(self, symbol: str, since_ms: int, until_ms: int) -> DailyBars:
        def read() -> DailyBars:
            first, last = -(-since_ms // DAY_MS), min(until_ms, self.time.now_ms()) // DAY_MS
            found = self.days.get(symbol, {})
            return DailyBars(tuple(found[day] for day in sorted(found) if first <= day < last))

        return await self._answer("daily_bars", (symbol, since_ms, until_ms), read)

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        return await self._answer("ledger", since_ms, list)

    async def clock(self) -> events.ClockMeasured:
        def read() -> events.ClockMeasured:
            return events.ClockMeasured(account=self.account, offset_ms=0, round_trip_ms=50)

        return await self._answer("clock", None, read)

    def symbols_of(self, snapshot: events.AccountSnapshotReceived) -> tuple[str, ...]:
        """Return the instruments a snapshot names."""
        named = [
            *(p.symbol for p in snapshot.positions),
            *(o.symbol for o in snapshot.orders or ()),
        ]
        return tuple(dict.fromkeys(named))

    def instruments(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        """Describe those of these symbols that the venue lists."""
        return self._instruments(symbols)

    async def stream(self, emit: Emit) -> None:
        self.streams_begun += 1
        self.emit = emit
        self.stream_gate.clear()
        await self.stream_gate.wait()
        if self.stream_error:
            raise self.stream_error

    def break_stream(self, error: Exception | None = None) -> None:
        """End the running stream, as a bug in an adapter would."""
        self.stream_error = error
        self.stream_gate.set()

    def push(self, event: events.Event) -> None:
        """Emit an event as the venue's stream would."""
        assert self.emit, "nobody listens"
        self.emit(event)

    def watch(self, symbols: frozenset[str]) -> None:
        self.watched = symbols

    async def restart_stream(self, reason: str) -> None:
        self.restarts.append(reason)
        await self._answer("restart_stream", reason, lambda: None)

    def load(self) -> Load | None:
        return self.used

    def rebuild(self, reason: str) -> bool:
        self.rebuilds.append(reason)
        return True

    async def place(
        self, order: actions.PlaceOrder
    ) -> events.OrderAccepted | events.OrderRejected | events.OrderOutcomeUnknown:
        def accept() -> events.OrderAccepted:
            return events.OrderAccepted(
                account=order.account,
                symbol=order.symbol,
                client_order_id=order.client_order_id,
                order_id=f"v{next(self._ids)}",
            )

        return await self._answer("place", order, accept)

    async def cancel(self, order: actions.CancelOrder) -> events.CancelFinished:
        def done() -> events.CancelFinished:
            return events.CancelFinished(
                account=order.account, symbol=order.symbol, order_id=order.order_id, done=True
            )

        return await self._answer("cancel", order, done)

    async def find(self, query: actions.QueryOrder) -> events.OrderQueried:
        def nothing() -> events.OrderQueried:
            return events.OrderQueried(
                account=query.account,
                symbol=query.symbol,
                client_order_id=query.client_order_id,
                found=False,
            )

        return await self._answer("find", query, nothing)

    async def key_rights(self) -> events.KeyRightsChecked:
        def rights() -> events.KeyRightsChecked:
            return events.KeyRightsChecked(
                account=self.account,
                can_trade=True,
                can_withdraw=False,
                can_transfer=False,
                has_ip_list=True,
            )

        return await self._answer("key_rights", None, rights)

    async def add_margin(self, move: actions.AddMargin) -> events.MarginMoved:
        def moved() -> events.MarginMoved:
            return events.MarginMoved(
                account=move.account, symbol=move.symbol, move_id=move.move_id, done=True
            )

        return await self._answer("add_margin", move, moved)

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        def change() -> events.DeadManChanged:
            return events.DeadManChanged(
                account=self.account, is_armed=action.timeout_ms > 0, detail="confirmed"
            )

        return await self._answer("set_dead_man", action, change)

    async def close(self) -> None:
        self.calls.append(("close", None))


def instrument(account: str, symbol: str) -> model.Instrument:
    """Return a linear instrument with a tick of 0.1 and a step of 0.001."""
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    return model.Instrument(
        account=account,
        symbol=symbol,
        underlying=base,
        quote=quote,
        settle=quote,
        kind=model.InstrumentKind.LINEAR if ":" in rest else model.InstrumentKind.SPOT,
        contract_value=Decimal(1),
        tick=Decimal("0.1"),
        step=Decimal("0.001"),
    )


def unreachable(message: str = "no answer") -> VenueError:
    """Return what an adapter raises when the venue cannot be reached."""
    return VenueError(model.RejectReason.UNREACHABLE, message)


async def never(_: Any = None) -> Any:
    """Do not answer until cancelled."""
    await asyncio.Event().wait()


class FakeChannel:
    """A channel that keeps what it was told; `fail` makes the next sends fail."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.sent: list[tuple[Alert, bool]] = []
        self.failures: deque[ChannelError] = deque()
        self.is_closed = False

    def fail(self, *failures: ChannelError) -> None:
        """Plan failures of the next sends."""
        self.failures.extend(failures)

    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.popleft()
        self.sent.append((alert, is_loud))

    async def close(self) -> None:
        self.is_closed = True
