"""`kill` on one account: cancel, verify, close, verify, against a deadline.

A venue that does not answer is asked again until then. No order is sent while the outcome of the
last one for the same position is not known.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.cli.closing import Holding, Kept, Meeting, Read, holdings, left_to_close, targets
from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    OrderType,
    PositionKey,
    PositionSide,
    RejectReason,
    Side,
    TimeInForce,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges._base import Exchange

CLEAN_READS = 2
# Between reads; some venues allow few reads of conditional orders.
PAUSE_S = 0.8
RETRY_S = 1.0
AT_ONCE = 8
# How long accounts wait for each other's first read before pairs are judged without them.
MEET_S = 10.0
# An unknown order that the venue denies this often, this late, was never there.
ABSENT_QUERIES = 3
ABSENT_MS = 3_000
RESTING_MS = 5_000
COLLARS = (Decimal("0.01"), Decimal("0.03"), Decimal("0.05"))

_NO_MARKET_ORDER = frozenset(
    {RejectReason.ORDER_TYPE, RejectReason.PRICE_BAND, RejectReason.PRECISION}
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    flatten: bool = False
    all_orders: bool = False


@dataclass
class Result:
    """What became of one account.

    Attributes:
        left: what should be gone and is not; kept: what stays on purpose, each with its reason.
        error: why the account could not be dealt with to the end.
    """

    account: str
    cancelled: int = 0
    closed: int = 0
    left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether everything asked for is verified."""
        return not self.error and not self.left


@dataclass
class _Sent:
    """A closing order whose end is not known yet."""

    order: actions.PlaceOrder
    sent_ms: int
    order_id: str | None = None
    denials: int = 0


class AccountKill:
    """One account's part of a kill."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        sells_coins: bool,
        options: Options,
        meeting: Meeting,
        clock: Clock,
        say: Say,
    ) -> None:
        self.result = Result(exchange.account)
        self._exchange = exchange
        self._sells_coins = sells_coins
        self._options = options
        self._meeting = meeting
        self._clock = clock
        self._say = say
        self._instruments: dict[str, Instrument] = {}
        self._is_open = False
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._sent: dict[PositionKey, _Sent] = {}
        self._rungs: dict[PositionKey, int] = {}
        self._dust: dict[PositionKey, str] = {}
        self._refused: dict[PositionKey, str] = {}
        self._count = 0
        self._deadline_ms = 0
        self._read: Read | None = None
        self._kept: Kept = {}

    async def run(self, deadline_ms: int) -> Result:
        """Do it all, or as much as can be verified until the deadline."""
        self._deadline_ms = deadline_ms
        try:
            left_s = (deadline_ms - self._clock.now_ms()) / 1000
            async with asyncio.timeout(max(left_s, 0.001)):
                await self._all()
            self.result.error = ""
        except TimeoutError:
            self.result.error = self.result.error or "not verified in time"
        finally:
            self._conclude()
            await self._exchange.close()
        return self.result

    async def _all(self) -> None:
        both = self._options.flatten and self._options.all_orders
        # Protective stops stay until what they protect is closed.
        await self._cancel(with_exits=self._options.all_orders and not both)
        if self._options.flatten:
            await self._flatten()
        if both:
            await self._cancel(with_exits=True)

    # ------------------------------------------------------------ reading

    async def _look(self) -> Read:
        """Return a complete read; a venue that fails is asked again until the deadline."""
        while self._clock.now_ms() < self._deadline_ms:
            try:
                if not self._is_open:
                    loaded = await self._exchange.open(())
                    self._learn(loaded)
                    self._is_open = True
                snapshot = await self._exchange.snapshot(is_urgent=True)
                self._check_whole(snapshot)
                await self._learn_missing(snapshot)
            except VenueError as error:
                self._trouble(error)
                await self._clock.sleep(max(RETRY_S, (error.retry_after_ms or 0) / 1000))
                continue
            self.result.error = ""
            self._read = Read(
                self._exchange.account, snapshot, dict(self._instruments), self._sells_coins
            )
            self._meeting.bring(self._read)
            return self._read
        raise TimeoutError

    def _trouble(self, error: VenueError) -> None:
        text = str(error)
        if text != self.result.error:
            self._say(f"{self._exchange.account}: {text}; trying again")
        self.result.error = text

    @staticmethod
    def _check_whole(snapshot: events.AccountSnapshotReceived) -> None:
        if snapshot.orders is None:
            raise VenueError(RejectReason.OTHER, "working orders could not be read")

    def _learn(self, loaded: events.InstrumentsLoaded) -> None:
        self._instruments |= {i.symbol: i for i in loaded.instruments}

    async def _learn_missing(self, snapshot: events.AccountSnapshotReceived) -> None:
        """Ask for instruments that appeared since the start."""
        named = {p.symbol for p in snapshot.positions} | {o.symbol for o in snapshot.orders or ()}
        if missing := tuple(sorted(named - set(self._instruments))):
            self._learn(await self._exchange.open(missing))

    # ------------------------------------------------------------ cancelling

    async def _cancel(self, *, with_exits: bool) -> None:
        """Cancel until two reads in a row show nothing left to cancel."""
        clean = 0
        while clean < CLEAN_READS:
            orders = (await self._look()).orders(with_exits=with_exits)
            if orders:
                clean = 0
                await asyncio.gather(*(self._cancel_one(order) for order in orders))
            else:
                clean += 1
            if clean < CLEAN_READS:
                await self._clock.sleep(PAUSE_S)

    async def _cancel_one(self, order: WorkingOrder) -> None:
        async with self._gate:
            outcome = await self._exchange.cancel(
                actions.CancelOrder(
                    account=order.account,
                    symbol=order.symbol,
                    order_id=order.order_id,
                    client_order_id=order.client_order_id,
                    is_conditional=order.is_conditional,
                )
            )
        if outcome.done:
            self.result.cancelled += 1
            self._say(f"{order.account}: cancelled {_named(order)}")

    # ------------------------------------------------------------ closing

    async def _flatten(self) -> None:
        """Close until two reads in a row show nothing left to close."""
        if not await self._meeting.wait(self._clock, MEET_S):
            self._say(f"{self._exchange.account}: not all accounts answer, closing without them")
        # Once: while positions shrink, what hedges what must not be judged anew.
        self._kept = targets(self._meeting.reads.values())
        clean = 0
        while clean < CLEAN_READS:
            read = await self._look()
            await self._settle(read)
            left = [x for x in left_to_close(read, self._kept) if x[0].key not in self._dust]
            # A stop that is not reduce-only would by now open what it closed before.
            stray = read.orders(with_exits=False)
            if left or stray:
                clean = 0
                await asyncio.gather(
                    *(self._close(read, held, q) for held, q in left),
                    *(self._cancel_one(order) for order in stray),
                )
            else:
                clean += 1
            if clean < CLEAN_READS:
                await self._clock.sleep(PAUSE_S)

    def _kept_lines(self) -> list[str]:
        mine = {k: v for k, v in self._kept.items() if k.account == self._exchange.account}
        lines = [
            f"{k.symbol} {quantity.normalize():f}: {why}" for k, (quantity, why) in mine.items()
        ]
        return lines + [f"{k.symbol}: dust, {why}" for k, why in self._dust.items()]

    async def _settle(self, read: Read) -> None:
        """Find out what became of orders sent; what is final or proven absent is forgotten."""
        held = {h.key for h in holdings(read)}
        for key, sent in list(self._sent.items()):
            if key not in held or await self._is_settled(sent):
                del self._sent[key]

    async def _is_settled(self, sent: _Sent) -> bool:
        order, age_ms = sent.order, self._clock.now_ms() - sent.sent_ms
        answer = await self._exchange.find(
            actions.QueryOrder(
                account=order.account,
                symbol=order.symbol,
                client_order_id=order.client_order_id,
                order_id=sent.order_id,
            )
        )
        if answer.found is None:
            return False
        if not answer.found or answer.order is None:
            sent.denials += 1
            return sent.denials >= ABSENT_QUERIES and age_ms >= ABSENT_MS
        if not answer.order.status.is_final and age_ms >= RESTING_MS:
            await self._cancel_one(answer.order)
        return answer.order.status.is_final

    async def _close(self, read: Read, held: Holding, amount: Decimal) -> None:
        if held.key in self._sent:
            return
        order = await self._order(read, held, amount)
        if order is None:
            return
        async with self._gate:
            self._sent[held.key] = sent = _Sent(order, self._clock.now_ms())
            outcome = await self._exchange.place(order)
        match outcome:
            case events.OrderAccepted():
                sent.order_id = outcome.order_id
                self.result.closed += 1
                self._say(
                    f"{order.account}: closing {order.side} {_plain(order.quantity)} {order.symbol}"
                )
                if outcome.status.is_final:
                    self._sent.pop(held.key, None)
            case events.OrderRejected():
                del self._sent[held.key]
                await self._refusal(held, outcome)
            case events.OrderOutcomeUnknown():
                self._say(f"{order.account}: {order.symbol}: no answer, asking for the order")

    async def _refusal(self, held: Holding, outcome: events.OrderRejected) -> None:
        key = held.key
        text = f"{outcome.reason.value} {outcome.message}".strip()
        if self._refused.get(key) != text:
            self._say(f"{key.account}: {key.symbol}: refused, {text}")
        self._refused[key] = text
        is_too_small = outcome.reason is RejectReason.MIN_NOTIONAL
        if is_too_small and held.may_be_dust:
            self._dust[key] = text
        elif is_too_small or outcome.reason in _NO_MARKET_ORDER:
            self._rungs[key] = self._rungs.get(key, 0) + 1
        else:
            await self._clock.sleep(max(RETRY_S, (outcome.retry_after_ms or 0) / 1000))

    async def _order(self, read: Read, held: Holding, amount: Decimal) -> actions.PlaceOrder | None:
        """Return the next closing order: market, then limit orders that fill at once or not."""
        instrument = held.instrument
        if instrument is not None and instrument.max_market_quantity is not None:
            amount = min(amount, instrument.max_market_quantity)
        side = Side.SELL if held.quantity > 0 else Side.BUY
        rung, price = self._rungs.get(held.key, 0), None
        if rung:
            collar = COLLARS[min(rung, len(COLLARS)) - 1]
            price = await self._collared(held.key.symbol, side, collar)
            if price is None:
                return None
        self._count += 1
        return actions.PlaceOrder(
            account=self._exchange.account,
            symbol=held.key.symbol,
            client_order_id=self._client_order_id(),
            side=side,
            quantity=amount,
            type=OrderType.LIMIT if rung else OrderType.MARKET,
            price=price,
            time_in_force=TimeInForce.IOC if rung else TimeInForce.GTC,
            reduce_only=not held.is_coin,
            position_side=held.key.side,
            is_hedge_mode=bool(read.snapshot.is_hedge_mode)
            or held.key.side is not PositionSide.NET,
            position_before=held.quantity,
        )

    async def _collared(self, symbol: str, side: Side, collar: Decimal) -> Decimal | None:
        try:
            rows = await self._exchange.prices((symbol,))
        except VenueError as error:
            self._trouble(error)
            return None
        for row in rows:
            near = (row.ask if side is Side.BUY else row.bid) or row.mark or row.last
            if near:
                return Decimal(repr(near)) * (1 + collar * side.sign)
        return None

    def _client_order_id(self) -> str:
        # Beside the daemon's own counter: another letter, the time and this process.
        stamp = f"{_base36(self._clock.now_ms())}{_base36(os.getpid())}"
        return f"rbk{stamp}z{_base36(self._count)}"

    # ------------------------------------------------------------ the end

    def _conclude(self) -> None:
        """Say what is left by the last read."""
        if self._read is None:
            self.result.left = ["nothing could be read"]
            return
        orders = self._read.orders(with_exits=self._options.all_orders)
        self.result.left = [f"order {_named(order)}" for order in orders]
        if self._options.flatten:
            self.result.kept = self._kept_lines()
            for held, amount in left_to_close(self._read, self._kept):
                if held.key not in self._dust:
                    why = self._refused.get(held.key, "")
                    line = f"position {held.key.symbol} {_plain(amount)}"
                    self.result.left.append(f"{line}: {why}" if why else line)


def _plain(quantity: Decimal) -> str:
    return f"{quantity.normalize():f}"


def _named(order: WorkingOrder) -> str:
    what = "conditional " if order.is_conditional else ""
    return f"{what}{order.side} {_plain(order.remaining)} {order.symbol} ({order.order_id})"


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"
