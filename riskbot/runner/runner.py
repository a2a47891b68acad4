"""The loop: take, stamp, handle, journal, dispatch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from riskbot import crashpoint, redaction
from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.errors import ConfigError, FatalError, StorageError
from riskbot.runner.contract import Asked, Engine, Journal
from riskbot.runner.dispatch import Deliver, Dispatcher
from riskbot.runner.lanes import Inbox, Taken
from riskbot.runner.recovery import recover
from riskbot.runner.words import without_secrets

_log = logging.getLogger(__name__)

_SOCKET_TURNS = 4
"""Passes of the event loop from handing an order over to its bytes being written."""

E = TypeVar("E", bound=Engine)
V = TypeVar("V")

_ORDERS = (actions.PlaceOrder, actions.CancelOrder)
_STATE_CHANGES = (actions.PlaceHold, actions.DropHold, actions.SetIntent)


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """Rhythms of the runner.

    Attributes:
        view_ms: a view is this old at most when events came since.
        faults: so many within `fault_window_ms` end the process.
        probe_ms: how often failed storage is tried again.
        checkpoint_records: a checkpoint after so many records.
        upkeep_ms: how often retention and the backup run.
        outbox: commits that may wait for the disk before events wait too.
        batch: events handled before the sockets get their turn.
        head_start_ms: how long the next event waits for orders that were just decided.
    """

    view_ms: int = 250
    faults: int = 3
    fault_window_ms: int = 600_000
    probe_ms: int = 5_000
    checkpoint_records: int = 5_000
    upkeep_ms: int = 86_400_000
    outbox: int = 1_000
    batch: int = 64
    head_start_ms: int = 20


@dataclass(slots=True)
class _Commit:
    """A decision on its way to the disk, and what is due once it is there."""

    done: asyncio.Future[int]
    event: events.Event
    decided: list[actions.Action]
    ts_ms: int


class Runner(Generic[E, V]):
    """Sole caller of the engine.

    Args:
        journal: keeps; open.
        make_engine: an empty engine, for the start and after a fault.
        clock: stamps events.
        view: builds the read model of the engine's state at a moment.
        tell: reaches people directly when the engine cannot (a bug); never raises.
        beat: called with each pass of the loop, for the watchdog.
        read_factor: takes one-time codes out of commands, before anything else sees them.
    """

    def __init__(
        self,
        journal: Journal,
        make_engine: Callable[[], E],
        clock: Clock,
        view: Callable[[E, int], V],
        *,
        tell: Callable[[str], None] = _log.critical,
        beat: Callable[[], None] = lambda: None,
        settings: RunnerSettings = RunnerSettings(),
        inbox: Inbox | None = None,
        read_factor: Callable[[events.Event], events.Event] = lambda event: event,
    ) -> None:
        self._journal, self._make_engine, self._clock = journal, make_engine, clock
        self._build_view, self._tell, self._beat, self._settings = view, tell, beat, settings
        self._inbox = Inbox() if inbox is None else inbox
        self._read_factor = read_factor
        self._engine: E | None = None
        self._dispatcher = Dispatcher(self.submit)
        self._outbox: deque[_Commit] = deque()
        self._faults_ms: deque[int] = deque()
        self._observers: list[Callable[[list[actions.Action]], None]] = []
        self._wake, self._committed = asyncio.Event(), asyncio.Event()
        self._room = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._timer_ms = self._deadline_ms = 0
        self._is_failing = False
        self._is_stopping = False
        self._handled = 0
        self._view: tuple[int, int, V] | None = None
        self._checkpoint_seq = self._lost_rows = 0
        self._decisions = 0

    # ------------------------------------------------------------ what others call

    @property
    def engine(self) -> E:
        """The engine; there is one once `recover` returned."""
        if self._engine is None:
            message = "the runner has not recovered yet"
            raise RuntimeError(message)
        return self._engine

    def route(self, kind: type[actions.Effect], deliver: Deliver) -> None:
        """Say who takes an effect. SendReply needs none: whoever asked gets it."""
        self._dispatcher.routes[kind] = deliver

    def observe(self, *observers: Callable[[list[actions.Action]], None]) -> None:
        """Show what was decided once its effects are on their way; they never wait or raise."""
        self._observers += observers

    def missing_routes(self) -> list[str]:
        """Return the effects that nobody takes."""
        return self._dispatcher.missing_routes()

    async def recover(self) -> None:
        """Fold the journal; before this nothing is handled.

        Raises:
            ConfigError: the journal cannot be used, or was written by a newer riskbot.
            FatalError: the fold broke on a record.
        """
        try:
            self._engine = await recover(self._journal, self._make_engine)
        except StorageError as error:
            # Another start would read no more of it: a person is needed.
            raise ConfigError([str(error)]) from error
        self._checkpoint_seq = self._journal.last_seq

    def submit(self, event: events.Event) -> None:
        """Hand in an event, its text without secrets; never waits, never raises."""
        event = without_secrets(self._read_factor(event))
        if not self._inbox.put(event, self._clock.monotonic_ns()):
            self._dispatcher.refuse(event, "riskbot is overloaded: not done")
        self._wake.set()

    def command(self, event: Asked) -> AsyncIterator[actions.SendReply]:
        """Submit what somebody asks and yield the replies up to the final one."""
        return self._dispatcher.replies(event, self.submit)

    def latest_view(self) -> V:
        """Return the newest view: built anew after a decision, or when it is `view_ms` old."""
        now_ms = self._clock.now_ms()
        if self._view is not None:
            built_ms, revision, view = self._view
            if revision == self._decisions and now_ms - built_ms < self._settings.view_ms:
                return view
        view = self._build_view(self.engine, now_ms)
        self._view = (now_ms, self._decisions, view)
        return view

    async def subscribe(self) -> AsyncIterator[V]:
        """Yield a view now, and again whenever something was handled, at most each `view_ms`."""
        seen = -1
        while True:
            if seen != self._handled:
                seen = self._handled
                yield self.latest_view()
            await self._clock.sleep(self._settings.view_ms / 1000)

    def stop(self) -> None:
        """Have `run` handle what waits, make it durable, write a checkpoint, and return."""
        self._is_stopping = True
        self._wake.set()

    # ------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Run until `stop`.

        Raises:
            ExceptionGroup: with FatalError, when the engine broke too often.
        """
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._dispatch_forever(), name="dispatch"),
                group.create_task(self._watch_storage(), name="storage"),
                group.create_task(self._keep_up(), name="upkeep"),
            ]
            try:
                await self._loop()
            finally:
                for helper in helpers:
                    helper.cancel()
                if self._timer:
                    self._timer.cancel()

    async def _loop(self) -> None:
        while True:
            self._beat()
            for _ in range(self._settings.batch):
                if (taken := self._inbox.take()) is None:
                    break
                await self._step(taken)
            now_ms = self._clock.now_ms()
            if now_ms >= self._deadline_ms:
                await self._step(Taken(events.TimerFired(), 0))
            self._deadline_ms = self.engine.next_deadline_ms(now_ms)
            if len(self._inbox):
                await asyncio.sleep(0)
            elif self._is_stopping:
                return await self._end()
            else:
                await self._sleep()

    async def _sleep(self) -> None:
        """Wait for an event or for the engine's next deadline."""
        if self._timer is None or self._timer.done() or self._deadline_ms < self._timer_ms:
            if self._timer:
                self._timer.cancel()
            self._timer_ms = self._deadline_ms
            self._timer = asyncio.create_task(self._ring(self._deadline_ms), name="timer")
        await self._wake.wait()
        self._wake.clear()

    async def _ring(self, deadline_ms: int) -> None:
        await self._clock.sleep_until(deadline_ms)
        self._wake.set()

    async def _step(self, taken: Taken) -> None:
        """Handle one event, and hand what was decided to the journal."""
        event, now_ms = taken.event, self._clock.now_ms()
        crashpoint.reach("event.taken")
        try:
            decided = self.engine.handle(event, now_ms, taken.received_ns)
            crashpoint.reach("decision.made")
            self._handled += 1
            if decided:
                self._commit(event, decided, now_ms)
                if any(isinstance(action, _ORDERS) for action in decided):
                    await self._let_go()
            else:
                self._journal.note(event, now_ms)
        except Exception as error:  # noqa: BLE001 - a bug in the core: quarantine, rebuild, go on
            await self._take_fault(event, error, now_ms)
        while len(self._outbox) >= self._settings.outbox:
            self._room.clear()
            await self._room.wait()

    def _commit(self, event: events.Event, decided: list[actions.Action], now_ms: int) -> None:
        self._decisions += 1
        done = self._journal.enqueue(event, decided, now_ms)
        self._outbox.append(_Commit(done, event, decided, now_ms))
        self._committed.set()

    async def _let_go(self) -> None:
        """Hold the next event until orders are on their way, but not for long for a slow disk."""
        deadline = asyncio.get_running_loop().time() + self._settings.head_start_ms / 1000
        while self._outbox and asyncio.get_running_loop().time() < deadline:
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._room.wait()
        for _ in range(_SOCKET_TURNS):
            await asyncio.sleep(0)

    async def _end(self) -> None:
        while self._outbox:
            self._room.clear()
            await self._room.wait()
        try:
            await self._journal.flush()
            await self._save_checkpoint()
        except StorageError as error:
            _log.error("stopped without a checkpoint: %s", error)

    # ------------------------------------------------------------ dispatch

    async def _dispatch_forever(self) -> None:
        """Let effects go in the order they were decided, each once its decision is durable."""
        while True:
            await self._committed.wait()
            self._committed.clear()
            while self._outbox:
                await self._dispatch(self._outbox[0])
                self._outbox.popleft()
                self._room.set()

    async def _dispatch(self, commit: _Commit) -> None:
        effects = [a for a in commit.decided if isinstance(a, actions.Effect)]
        try:
            await commit.done
        except StorageError as error:
            self._take_storage_failure(str(error))
            effects = self._dispatcher.without_storage(effects)
        if any(isinstance(action, _STATE_CHANGES) for action in commit.decided):
            crashpoint.reach("state.changed")
        if effects:
            crashpoint.reach("dispatch.before")
        for effect in effects:
            self._dispatcher.deliver(effect)
        if effects:
            crashpoint.reach("dispatch.after")
        for observer in self._observers:
            observer(commit.decided)

    # ------------------------------------------------------------ storage

    def _take_storage_failure(self, error: str) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.critical("the journal cannot be written: %s", error)
            self.submit(events.StorageFailed(error=error))

    async def _watch_storage(self) -> None:
        """Notice failing storage within a second, and its return by trying."""
        while True:
            await self._clock.sleep(self._settings.probe_ms / 1000 if self._is_failing else 1)
            if self._journal.failure:
                self._take_storage_failure(self._journal.failure)
            if self._is_failing and await self._probe():
                self._is_failing = False
                _log.warning("the journal takes writes again")
                self.submit(events.StorageRestored())

    async def _probe(self) -> bool:
        """Try to write what has waited; where rows were given up, the state they led to first."""
        if self._journal.lost_rows != self._lost_rows:
            # It waits with the rest, and is written in one transaction with it.
            self._lost_rows = self._journal.lost_rows
            with contextlib.suppress(StorageError):
                await self._save_checkpoint()
        return await self._journal.probe()

    async def _keep_up(self) -> None:
        """Write checkpoints, apply retention, copy the journal."""
        upkept_ms = self._clock.now_ms()
        while True:
            await self._clock.sleep(60)
            try:
                behind = self._journal.last_seq - self._checkpoint_seq
                if behind >= self._settings.checkpoint_records:
                    await self._save_checkpoint()
                if self._clock.now_ms() - upkept_ms >= self._settings.upkeep_ms:
                    upkept_ms = self._clock.now_ms()
                    await self._save_checkpoint()
                    await self._journal.upkeep(upkept_ms)
            except StorageError as error:
                self._take_storage_failure(str(error))

    async def _save_checkpoint(self) -> None:
        seq = self._journal.last_seq
        await self._journal.save_checkpoint(self.engine.dump(), seq, self._clock.now_ms())
        self._checkpoint_seq = seq

    # ------------------------------------------------------------ faults

    async def _take_fault(self, event: events.Event, error: Exception, now_ms: int) -> None:
        """Set the event aside and rebuild the engine; too often means to end the process."""
        text = redaction.redact(f"{type(error).__name__}: {error}")
        _log.critical("%s broke the engine: %s", event.kind, text, exc_info=error)
        trace = redaction.redact("".join(traceback.format_exception(error)))
        self._journal.quarantine(event, trace, now_ms)
        self._tell(f"riskbot has a bug: {event.kind} was set aside ({text}); guarding goes on")
        self._dispatcher.refuse(event, f"riskbot has a bug and did not do it: {text}", is_bug=True)
        self._faults_ms.append(now_ms)
        while self._faults_ms[0] <= now_ms - self._settings.fault_window_ms:
            self._faults_ms.popleft()
        if len(self._faults_ms) >= self._settings.faults:
            message = f"{len(self._faults_ms)} events broke the engine, the last {event.kind}"
            raise FatalError(message) from error
        await self._rebuild()
        faulted = events.EngineFaulted(event_kind=event.kind, error=text)
        self._inbox.put_first(faulted, self._clock.monotonic_ns())

    async def _rebuild(self) -> None:
        """Come back to the last good state: the journal's, and what it could not take."""
        while self._outbox:
            self._room.clear()
            await self._room.wait()
        try:
            await self._journal.flush()
        except StorageError as error:
            self._take_storage_failure(str(error))
        self._engine, self._view = await recover(self._journal, self._make_engine), None
