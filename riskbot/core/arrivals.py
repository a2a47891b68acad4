"""Fills that a position does not show yet: between an order's end and its position's frame.

An order that has filled works no more, and where its position comes over another stream a moment
later, neither would count. Per position: what fills moved since the last quiet read, less what the
position moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.core import events
from riskbot.core.accounts import AccountState
from riskbot.core.exits import base_of, holding
from riskbot.core.model import OrderType, PositionKey, PositionSide, Side, WorkingOrder

QUIET_MS = 500
"""A read shows every fill that was told this long before it began."""

ORDERS_MAX = 1_000
"""Orders followed per position between two reads; beyond, the oldest is taken as shown."""


def order_of(fill: events.OrderFilled) -> WorkingOrder:
    """Return the order that a fill is of, as far as the fill tells."""
    return WorkingOrder(
        fill.account,
        fill.symbol,
        fill.order_id,
        fill.client_order_id,
        fill.side,
        OrderType.MARKET,
        fill.quantity,
        position_side=fill.position_side,
    )


@dataclass(slots=True)
class Flow:
    """What one order moved since the last quiet read: as its frames say, as its fills say."""

    sign: int
    start: Decimal
    told: Decimal = Decimal(0)
    filled: Decimal = Decimal(0)

    @property
    def moved(self) -> Decimal:
        """Signed quantity, the larger of both tellings."""
        return self.sign * max(self.told - self.start, self.filled)


@dataclass(slots=True)
class Moved:
    """One position since the last quiet read.

    Attributes:
        symbol: the last one that was traded; a coin has several.
        start: what it was, signed.
        flows: by venue order id, oldest first.
        fill_ms: when the newest fill was told.
    """

    symbol: str
    start: Decimal
    flows: dict[str, Flow] = field(default_factory=dict)
    fill_ms: int = 0


@dataclass(slots=True)
class Arrivals:
    """Positions that have been traded since their last quiet read, by key.

    Attributes:
        starts: what was there at that read: a position's frame may come before its fill's.
    """

    moved: dict[PositionKey, Moved] = field(default_factory=dict)
    starts: dict[PositionKey, Decimal] = field(default_factory=dict)

    def before(self, order: WorkingOrder, account: AccountState, now_ms: int) -> None:
        """Take an order's frame, before the account folds it.

        Args:
            order: as the frame tells it.
            account: as it was before.
            now_ms: when it was told.
        """
        known = account.orders.get(order.order_id)
        is_new = known is None and order.order_id not in account.finals
        filled_before = known.filled if known is not None else Decimal(0)
        if order.filled <= filled_before or not (known is not None or is_new):
            return
        flow = self._flow(order, account, filled_before, now_ms)
        flow.told = max(flow.told, order.filled)

    def before_fill(self, fill: events.OrderFilled, account: AccountState, now_ms: int) -> None:
        """Take a fill, before the account folds it."""
        order = order_of(fill)
        known = account.orders.get(fill.order_id)
        start = known.filled if known is not None else Decimal(0)
        self._flow(order, account, start, now_ms).filled += fill.quantity

    def _flow(
        self, order: WorkingOrder, account: AccountState, start: Decimal, now_ms: int
    ) -> Flow:
        # The markets of a coin move one balance.
        subject = order.symbol if ":" in order.symbol else base_of(order.symbol)
        key = PositionKey(order.account, subject, order.position_side)
        moved = self.moved.get(key)
        if moved is None:
            now = holding(account, order.symbol, order.position_side)
            # A key that no read has shown was not there; without any read nothing else is known.
            start_quantity = self.starts.get(key, Decimal(0)) if account.was_read else now
            moved = self.moved[key] = Moved(order.symbol, start_quantity)
        moved.fill_ms, moved.symbol = now_ms, order.symbol
        flow = moved.flows.get(order.order_id)
        if flow is None:
            flow = moved.flows[order.order_id] = Flow(order.side.sign, start, start)
            if len(moved.flows) > ORDERS_MAX:
                oldest = moved.flows.pop(next(iter(moved.flows)))
                moved.start += oldest.moved
        return flow

    def read(self, snapshot: events.AccountSnapshotReceived) -> None:
        """Start anew where a read began well after the last fill."""
        self.starts = {k: q for k, q in self.starts.items() if k.account != snapshot.account}
        for position in snapshot.positions:
            self.starts[position.key] = position.quantity
        for balance in snapshot.balances:
            key = PositionKey(snapshot.account, balance.asset, PositionSide.NET)
            self.starts[key] = balance.total
        for key, moved in list(self.moved.items()):
            if key.account == snapshot.account and snapshot.as_of_ms - moved.fill_ms >= QUIET_MS:
                del self.moved[key]

    def unseen(self, account: AccountState) -> list[WorkingOrder]:
        """Return what has filled and is not in the positions yet, as orders still to fill."""
        found = []
        for key, moved in self.moved.items():
            if key.account != account.name:
                continue
            filled = sum((flow.moved for flow in moved.flows.values()), Decimal(0))
            missing = filled - (holding(account, moved.symbol, key.side) - moved.start)
            if missing:
                side = Side.BUY if missing > 0 else Side.SELL
                found.append(
                    WorkingOrder(
                        key.account,
                        moved.symbol,
                        f"~{key.symbol}~{key.side.value}",
                        None,
                        side,
                        OrderType.MARKET,
                        abs(missing),
                        position_side=key.side,
                        created_ms=moved.fill_ms,
                    )
                )
        return found
