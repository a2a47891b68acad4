"""A venue for `kill`: cancels, closes and refuses as told; and a clock that never waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Balance,
    Instrument,
    OrderStatus,
    OrderType,
    Position,
    PositionKey,
    RejectReason,
    WorkingOrder,
)
from tests import builders
from tests.fakes import FakeClock, FakeExchange


class HastyClock(FakeClock):
    """Sleeping moves it on at once."""

    async def sleep_until(self, deadline_ms: int) -> None:
        self._now_ms = max(self._now_ms, deadline_ms)
        await asyncio.sleep(0)


class KillVenue(FakeExchange):
    """One account whose orders and positions obey; `plan` still comes first (see FakeExchange).

    Attributes:
        is_deaf: cancels are accepted but nothing happens.
        fill_share: of a closing order that fills.
        loses_answers: the next orders are booked, their answers lost.
        sent: closing orders that reached the venue.
    """

    def __init__(self, account: str = "main", clock: FakeClock | None = None) -> None:
        super().__init__(account, clock=clock)
        self.listed: dict[str, Instrument] = {}
        self.is_deaf = False
        self.fill_share = Decimal(1)
        self.loses_answers = 0
        self.loses_orders = 0
        self.is_hedge_mode = False
        self.sent: list[actions.PlaceOrder] = []
        self.booked: dict[str, WorkingOrder] = {}

    def hold(self, symbol: str, quantity: Any, **fields: Any) -> Position:
        """Open a position."""
        made = builders.position(symbol, quantity, account=self.account, **fields)
        self.positions[made.key] = made
        return made

    def own(self, asset: str, total: Any, free: Any = None) -> None:
        """Put coins into the wallet."""
        amount = Decimal(str(total))
        self.balances.append(Balance(asset, amount, amount if free is None else Decimal(str(free))))
        self.list(f"{asset}/USDT")

    def work(self, symbol: str, **fields: Any) -> WorkingOrder:
        """Rest an order."""
        made = builders.order(symbol, account=self.account, **fields)
        made = replace(made, order_id=f"o{len(self.orders) + 1}")
        self.orders.append(made)
        self.list(symbol)
        return made

    def list(self, symbol: str, **fields: Any) -> None:
        """List an instrument."""
        self.listed[symbol] = builders.instrument(symbol, account=self.account, **fields)

    def _instruments(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        for position in self.positions.values():
            self.listed.setdefault(
                position.symbol, builders.instrument(position.symbol, account=self.account)
            )
        return events.InstrumentsLoaded(
            account=self.account, instruments=tuple(self.listed.values())
        )

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        read = await super().snapshot(request_id, is_urgent=is_urgent)
        return replace(read, is_hedge_mode=self.is_hedge_mode)

    async def cancel(self, order: actions.CancelOrder) -> events.CancelFinished:
        if not self.is_deaf and not self.plan["cancel"]:
            self.orders = [o for o in self.orders if o.order_id != order.order_id]
        return await super().cancel(order)

    async def place(
        self, order: actions.PlaceOrder
    ) -> events.OrderAccepted | events.OrderRejected | events.OrderOutcomeUnknown:
        if self.plan["place"]:
            return await super().place(order)  # type: ignore[no-any-return]
        if self.loses_orders:
            self.loses_orders -= 1
            self.calls.append(("place", order))
            return self._silence(order)
        self.sent.append(order)
        self._fill(order)
        if self.loses_answers:
            self.loses_answers -= 1
            self.calls.append(("place", order))
            return self._silence(order)
        accepted = await super().place(order)
        return replace(accepted, status=OrderStatus.FILLED)

    def _silence(self, order: actions.PlaceOrder) -> events.OrderOutcomeUnknown:
        return events.OrderOutcomeUnknown(
            account=order.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            message="timed out",
        )

    def _fill(self, order: actions.PlaceOrder) -> None:
        amount = order.quantity * self.fill_share
        key = PositionKey(order.account, order.symbol, order.position_side)
        if key in self.positions:
            held = self.positions[key]
            left = held.quantity + amount * order.side.sign
            assert abs(left) < abs(held.quantity), "a close must not add, nor flip"
            assert held.quantity * left >= 0, "a close must not flip"
            if left:
                self.positions[key] = replace(held, quantity=left)
            else:
                del self.positions[key]
        else:
            base = order.symbol.partition("/")[0]
            self.balances = [
                replace(b, total=b.total - amount, free=(b.free or b.total) - amount)
                if b.asset == base
                else b
                for b in self.balances
            ]
        self.booked[order.client_order_id] = WorkingOrder(
            account=order.account,
            symbol=order.symbol,
            order_id=f"b{len(self.booked)}",
            client_order_id=order.client_order_id,
            side=order.side,
            type=OrderType.MARKET,
            quantity=order.quantity,
            filled=amount,
            status=OrderStatus.FILLED,
        )

    async def find(self, query: actions.QueryOrder) -> events.OrderQueried:
        if self.plan["find"]:
            return await super().find(query)  # type: ignore[no-any-return]
        self.calls.append(("find", query))
        known = self.booked.get(query.client_order_id)
        return events.OrderQueried(
            account=self.account,
            symbol=query.symbol,
            client_order_id=query.client_order_id,
            found=known is not None,
            order=known,
        )


def refusal(reason: RejectReason, message: str = "") -> Any:
    """Return a plan entry: the next order is refused for this reason."""

    def answer(order: actions.PlaceOrder) -> events.OrderRejected:
        return events.OrderRejected(
            account=order.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            reason=reason,
            message=message,
        )

    return answer
