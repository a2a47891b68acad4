"""Order actions to the venues: each sent once, each outcome back as an event.

One executor per account. Nothing here decides, retries a create, or waits for anything but the
venue; orders to different instruments go out together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, get_args

from riskbot import crashpoint
from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import Exchange

ORDER_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 10.0
QUERY_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
LEDGER_BACK_MS = 3_600_000
"""How far back a ledger read reaches: entries are idempotent."""

Work = (
    actions.PlaceOrder
    | actions.CancelOrder
    | actions.QueryOrder
    | actions.RefreshAccount
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
    """

    def __init__(
        self,
        exchange: Exchange,
        submit: Callable[[events.Event], None],
        clock: Clock,
        is_halted: Callable[[], bool] = lambda: False,
        reacted: Reaction | None = None,
    ) -> None:
        self.account = exchange.account
        self._exchange = exchange
        self._submit = submit
        self._clock = clock
        self._is_halted = is_halted
        self._reacted = reacted
        self._tasks: set[asyncio.Task[None]] = set()
        self._read: asyncio.Task[None] | None = None
        self._wanted: actions.RefreshAccount | None = None

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
        crashpoint.reach("order.before_send")
        self._observe(order)
        outcome: events.Event
        try:
            async with asyncio.timeout(ORDER_TIMEOUT_S):
                outcome = await self._exchange.place(order)
        except TimeoutError:
            outcome = events.OrderOutcomeUnknown(
                account=order.account,
                symbol=order.symbol,
                client_order_id=order.client_order_id,
                message=f"no answer within {ORDER_TIMEOUT_S:g} s",
            )
        crashpoint.reach("order.after_send")
        self._submit(outcome)
        if isinstance(outcome, events.OrderAccepted):
            crashpoint.reach("order.acknowledged")

    def _observe(self, order: actions.PlaceOrder) -> None:
        if self._reacted is not None and order.received_ns:
            self._reacted((self._clock.monotonic_ns() - order.received_ns) / 1e9)

    async def _cancel(self, order: actions.CancelOrder) -> None:
        crashpoint.reach("cancel.before_send")
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                outcome = await self._exchange.cancel(order)
        except TimeoutError:
            outcome = events.CancelFinished(
                account=order.account,
                symbol=order.symbol,
                order_id=order.order_id,
                done=None,
                message=f"no answer within {CANCEL_TIMEOUT_S:g} s",
            )
        crashpoint.reach("cancel.after_send")
        self._submit(outcome)

    async def _query(self, query: actions.QueryOrder) -> None:
        crashpoint.reach("query.before_send")
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S):
                outcome = await self._exchange.find(query)
        except TimeoutError:
            outcome = events.OrderQueried(
                account=query.account,
                symbol=query.symbol,
                client_order_id=query.client_order_id,
                found=None,
                message=f"no answer within {QUERY_TIMEOUT_S:g} s",
            )
        crashpoint.reach("query.after_send")
        self._submit(outcome)

    # ------------------------------------------------------------ reads

    def _refresh(self, action: actions.RefreshAccount) -> None:
        """Read now; what is asked while a read runs is answered by one read after it.

        A read that began before the question may not show what the question is about.
        """
        if self._read is not None and not self._read.done():
            self._wanted = _merged(self._wanted, action)
            return
        self._read = self._start(self._read_on(action))

    async def _read_on(self, action: actions.RefreshAccount) -> None:
        wanted: actions.RefreshAccount | None = action
        while wanted is not None:
            self._wanted = None
            await self._read_once(wanted)
            wanted = self._wanted

    async def _read_once(self, action: actions.RefreshAccount) -> None:
        crashpoint.reach("verify.before_read")
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                found = await self._collect(action)
            crashpoint.reach("verify.after_read")
            for event in found:
                self._submit(event)
        except VenueError as error:
            self._failed(action, error.reason, str(error), error.retry_after_ms)
        except TimeoutError:
            self._failed(action, RejectReason.UNREACHABLE, "no answer to a read")

    async def _collect(self, action: actions.RefreshAccount) -> list[events.Event]:
        snapshot = asyncio.ensure_future(
            self._exchange.snapshot(action.request_id, is_urgent=action.is_urgent)
        )
        found: list[events.Event] = []
        try:
            if action.symbols:
                found.extend(await self._optional(self._exchange.prices(action.symbols)))
            if action.with_ledger:
                since = self._clock.now_ms() - LEDGER_BACK_MS
                found.extend(await self._optional(self._exchange.ledger(since)))
            found.append(await snapshot)
        finally:
            if not snapshot.done():
                snapshot.cancel()
        return found

    @staticmethod
    async def _optional(reading: Coroutine[Any, Any, list[Any]]) -> list[Any]:
        """Return what a side reading found, nothing when it failed: the snapshot decides."""
        try:
            return await reading
        except VenueError:
            return []

    def _failed(
        self,
        action: actions.RefreshAccount,
        reason: RejectReason,
        message: str,
        retry_after_ms: int | None = None,
    ) -> None:
        self._submit(
            events.RefreshFailed(
                account=action.account,
                reason=reason,
                message=message[:500],
                request_id=action.request_id,
                retry_after_ms=retry_after_ms,
            )
        )

    async def _set_dead_man(self, action: actions.SetDeadMan) -> None:
        outcome: events.DeadManChanged
        try:
            async with asyncio.timeout(ORDER_TIMEOUT_S):
                outcome = await self._exchange.set_dead_man(action)
        except (VenueError, TimeoutError) as error:
            outcome = events.DeadManChanged(
                account=action.account, is_armed=False, detail=f"not confirmed: {error}"[:200]
            )
        self._submit(outcome)


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
