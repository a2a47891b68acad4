"""Order actions to the venues: each sent once, each outcome back as an event.

One executor per account. Nothing here decides, retries a create, or waits for anything but the
venue; orders to different instruments go out together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args

from riskbot import crashpoint
from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import Exchange

_log = logging.getLogger(__name__)

T = TypeVar("T")

LEDGER_FIRST_MS = 3 * 86_400_000
LEDGER_OVERLAP_MS = 3_600_000
"""How far the first ledger read reaches back (riskbot may have been away), and how much later ones
overlap: entries are idempotent, and venues book some of them late."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """After so many seconds a request counts as unanswered; for reads, as failed.

    Attributes:
        aside_s: what a read of prices or of the ledger may take longer than the snapshot.
    """

    order_s: float = 10.0
    cancel_s: float = 10.0
    query_s: float = 10.0
    read_s: float = 10.0
    aside_s: float = 1.0


Work = (
    actions.PlaceOrder
    | actions.CancelOrder
    | actions.QueryOrder
    | actions.RefreshAccount
    | actions.ReadDepth
    | actions.AddMargin
    | actions.SetDeadMan
)
"""What an executor carries out."""

WORK: tuple[type[Work], ...] = get_args(Work)


class Reaction(Protocol):
    """Told how long a frame took to its first order, in seconds."""

    def __call__(self, seconds: float) -> None:
        """Observe one reaction."""


class Executor:
    """Carries out the actions of one account.

    Args:
        exchange: the account's venue.
        submit: takes outcomes for the engine.
        clock: time.
        is_halted: whether the HALT file exists, looked at before each send of new risk.
        reacted: told of reaction times.
        deadlines: of the requests.
    """

    def __init__(
        self,
        exchange: Exchange,
        submit: Callable[[events.Event], None],
        clock: Clock,
        is_halted: Callable[[], bool] = lambda: False,
        reacted: Reaction | None = None,
        deadlines: Deadlines = Deadlines(),
    ) -> None:
        self.account = exchange.account
        self._exchange = exchange
        self._submit = submit
        self._clock = clock
        self._is_halted = is_halted
        self._reacted = reacted
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadlines = deadlines
        # Urgent reads do not wait behind a routine one that hangs.
        self._reading: dict[bool, asyncio.Task[None]] = {}
        self._wanted: dict[bool, actions.RefreshAccount] = {}
        self._ledger_ms: int | None = None

    @property
    def in_flight(self) -> int:
        """Requests that have no outcome yet."""
        return len(self._tasks)

    def do(self, action: Work) -> None:
        """Start an action; its outcome comes back as an event. Never blocks."""
        match action:
            case actions.PlaceOrder():
                self._start(self._place(action))
            case actions.CancelOrder():
                self._start(self._cancel(action))
            case actions.QueryOrder():
                self._start(self._query(action))
            case actions.RefreshAccount():
                self._refresh(action)
            case actions.AddMargin():
                self._start(self._add_margin(action))
            case actions.ReadDepth():
                self._start(self._read_depth(action))
            case actions.SetDeadMan():
                self._start(self._set_dead_man(action))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, seconds: float) -> None:
        """Wait for the requests in flight, at most so long."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)

    async def _answer(
        self, asking: Coroutine[Any, Any, T], seconds: float, unknown: Callable[[str], T]
    ) -> T:
        """Return the venue's answer, or `unknown(why)` when there is none that can be read."""
        try:
            async with asyncio.timeout(seconds):
                return await asking
        except TimeoutError:
            return unknown(f"no answer within {seconds:g} s")
        except VenueError as error:
            return unknown(str(error)[:500])
        except Exception as error:  # noqa: BLE001 - a bug behind this line loses no outcome
            _log.critical("a request to %s broke", self.account, exc_info=error)
            return unknown(f"{type(error).__name__}: {error}"[:500])

    # ------------------------------------------------------------ orders

    async def _place(self, order: actions.PlaceOrder) -> None:
        if not order.is_protective and self._is_halted():
            self._submit(
                events.OrderRejected(
                    account=order.account,
                    symbol=order.symbol,
                    client_order_id=order.client_order_id,
                    reason=RejectReason.HALT_FILE,
                    message="the HALT file stops new risk",
                )
            )
            return

        def unknown(why: str) -> events.Event:
            return events.OrderOutcomeUnknown(
                account=order.account,
                symbol=order.symbol,
                client_order_id=order.client_order_id,
                message=why,
            )

        crashpoint.reach("order.before_send")
        self._observe(order)
        sending: Coroutine[Any, Any, events.Event] = self._exchange.place(order)
        outcome = await self._answer(sending, self._deadlines.order_s, unknown)
        crashpoint.reach("order.after_send")
        self._submit(outcome)
        if isinstance(outcome, events.OrderAccepted):
            crashpoint.reach("order.acknowledged")

    def _observe(self, order: actions.PlaceOrder) -> None:
        if self._reacted is not None and order.received_ns:
            self._reacted((self._clock.monotonic_ns() - order.received_ns) / 1e9)

    async def _cancel(self, order: actions.CancelOrder) -> None:
        def unknown(why: str) -> events.CancelFinished:
            return events.CancelFinished(
                account=order.account,
                symbol=order.symbol,
                order_id=order.order_id,
                done=None,
                message=why,
            )

        crashpoint.reach("cancel.before_send")
        canceling = self._exchange.cancel(order)
        outcome = await self._answer(canceling, self._deadlines.cancel_s, unknown)
        crashpoint.reach("cancel.after_send")
        self._submit(outcome)

    async def _query(self, query: actions.QueryOrder) -> None:
        def unknown(why: str) -> events.OrderQueried:
            return events.OrderQueried(
                account=query.account,
                symbol=query.symbol,
                client_order_id=query.client_order_id,
                found=None,
                message=why,
            )

        crashpoint.reach("query.before_send")
        finding = self._exchange.find(query)
        outcome = await self._answer(finding, self._deadlines.query_s, unknown)
        crashpoint.reach("query.after_send")
        self._submit(outcome)

    async def _add_margin(self, action: actions.AddMargin) -> None:
        def unknown(why: str) -> events.MarginMoved:
            return events.MarginMoved(
                account=action.account,
                symbol=action.symbol,
                move_id=action.move_id,
                done=None,
                message=why,
            )

        moving = self._exchange.add_margin(action)
        outcome = await self._answer(moving, self._deadlines.order_s, unknown)
        self._submit(outcome)

    async def _read_depth(self, action: actions.ReadDepth) -> None:
        nothing: list[events.DepthRead] = []
        reading = self._exchange.depth(action.symbols)
        for event in await self._answer(reading, self._deadlines.read_s, lambda _: nothing):
            self._submit(event)

    async def _set_dead_man(self, action: actions.SetDeadMan) -> None:
        def unknown(why: str) -> events.DeadManChanged:
            return events.DeadManChanged(
                account=action.account,
                # One that was not said to be off may strike: it is told again.
                is_armed=action.timeout_ms <= 0,
                detail=f"not confirmed: {why}"[:200],
            )

        setting = self._exchange.set_dead_man(action)
        self._submit(await self._answer(setting, self._deadlines.order_s, unknown))

    # ------------------------------------------------------------ reads

    def _refresh(self, action: actions.RefreshAccount) -> None:
        """Read now; what is asked while a read runs is answered by one read after it.

        A read that began before the question may not show what the question is about.
        """
        lane = action.is_urgent
        reading = self._reading.get(lane)
        if reading is not None and not reading.done():
            self._wanted[lane] = _merged(self._wanted.get(lane), action)
            return
        self._reading[lane] = self._start(self._read_on(action))

    async def _read_on(self, action: actions.RefreshAccount) -> None:
        wanted: actions.RefreshAccount | None = action
        while wanted is not None:
            await self._read_once(wanted)
            wanted = self._wanted.pop(action.is_urgent, None)

    async def _read_once(self, action: actions.RefreshAccount) -> None:
        crashpoint.reach("verify.before_read")
        aside = [asyncio.create_task(reading) for reading in self._aside(action)]
        reading: Coroutine[Any, Any, events.Event] = self._snapshot(action)
        snapshot = await self._answer(
            reading, self._deadlines.read_s, lambda why: _failed(action, why)
        )
        if aside:
            await asyncio.wait(aside, timeout=self._deadlines.aside_s)
        crashpoint.reach("verify.after_read")
        for task in aside:
            if task.done():
                for event in task.result():
                    self._submit(event)
            else:
                task.cancel()
        self._submit(snapshot)

    async def _snapshot(self, action: actions.RefreshAccount) -> events.Event:
        try:
            return await self._exchange.snapshot(action.request_id, is_urgent=action.is_urgent)
        except VenueError as error:
            return _failed(action, str(error), error.reason, error.retry_after_ms)

    def _aside(self, action: actions.RefreshAccount) -> list[Coroutine[Any, Any, list[Any]]]:
        """Return the readings beside the snapshot: theirs come before it, or not at all."""
        found: list[Coroutine[Any, Any, list[Any]]] = []
        if action.symbols:
            prices = self._exchange.prices(action.symbols)
            found.append(self._answer(prices, self._deadlines.read_s, lambda _: []))
        if action.with_ledger:
            found.append(self._answer(self._ledger(), self._deadlines.read_s, lambda _: []))
        return found

    async def _ledger(self) -> list[events.LedgerEntryBooked]:
        now_ms = self._clock.now_ms()
        if self._ledger_ms is None:
            since_ms = now_ms - LEDGER_FIRST_MS
        else:
            since_ms = self._ledger_ms - LEDGER_OVERLAP_MS
        rows = await self._exchange.ledger(since_ms, is_urgent=True)
        self._ledger_ms = now_ms
        return rows


def _failed(
    action: actions.RefreshAccount,
    why: str,
    reason: RejectReason = RejectReason.UNREACHABLE,
    retry_after_ms: int | None = None,
) -> events.RefreshFailed:
    return events.RefreshFailed(
        account=action.account,
        reason=reason,
        message=why[:500],
        request_id=action.request_id,
        retry_after_ms=retry_after_ms,
    )


def _merged(
    one: actions.RefreshAccount | None, other: actions.RefreshAccount
) -> actions.RefreshAccount:
    """Return one read that answers both: the newest id, everything either wants."""
    if one is None:
        return other
    return actions.RefreshAccount(
        account=other.account,
        request_id=max(one.request_id, other.request_id),
        reason=other.reason,
        symbols=tuple(sorted({*one.symbols, *other.symbols})),
        is_urgent=one.is_urgent or other.is_urgent,
        with_ledger=one.with_ledger or other.with_ledger,
    )
