"""Sub-state of trades: orders that opened or added today, and losing round trips in a row.

Kept from fills alone, over lots that are set straight by every quiet REST read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import PORTFOLIO, PositionKey, account_scope
from riskbot.core.plain import VOLATILE, from_plain, to_plain

QUIET_MS = 2_000
"""A read sets the lots straight when no fill came for this long before it began."""

MEMORY = 2_000
KEPT_MS = 26 * 3_600_000
"""Longest a day can be, and some."""


@dataclass(slots=True)
class Lot:
    """A position as the fills made it.

    Attributes:
        quantity: signed, unit of `Position.quantity`.
        entry: average price, quote units.
        pnl: of the round trip so far, quote units, fees in it.
    """

    quantity: Decimal = Decimal(0)
    entry: Decimal = Decimal(0)
    pnl: Decimal = Decimal(0)


@dataclass(slots=True)
class Trades:
    """Counters by account.

    Attributes:
        lots: by position key.
        orders: when the orders that opened or added first did, by account and id.
        day_ms: start of the day that counts now.
        streaks: losing round trips in a row, by account.
        seen: trade ids, oldest forgotten first.
    """

    lots: dict[PositionKey, Lot] = field(default_factory=dict)
    orders: dict[str, dict[str, int]] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    portfolio_streak: int = 0
    seen: dict[str, None] = field(default_factory=dict)
    day_ms: int = field(default=0, metadata={VOLATILE: True})
    fill_ms: int = 0

    def _today(self, account: str) -> int:
        return sum(ms >= self.day_ms for ms in self.orders.get(account, {}).values())

    def counts(self, scope: str) -> dict[str, int]:
        """Return `trades_per_day` and `loss_streak` of the portfolio or an account."""
        if scope == PORTFOLIO:
            total = sum(self._today(account) for account in self.orders)
            return {"trades_per_day": total, "loss_streak": self.portfolio_streak}
        for account in self.orders:
            if account_scope(account) == scope:
                streak = self.streaks.get(account, 0)
                return {"trades_per_day": self._today(account), "loss_streak": streak}
        return {"trades_per_day": 0, "loss_streak": 0}

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        if isinstance(record, events.OrderFilled):
            self._fill(record, now_ms)
        elif isinstance(record, events.AccountSnapshotReceived):
            self._straighten(record)

    def _straighten(self, snapshot: events.AccountSnapshotReceived) -> None:
        if snapshot.as_of_ms - self.fill_ms < QUIET_MS:
            return
        read = {p.key: p for p in snapshot.positions}
        for key in [k for k in self.lots if k.account == snapshot.account and ":" in k.symbol]:
            if key not in read:
                del self.lots[key]
        for key, position in read.items():
            lot = self.lots.setdefault(key, Lot())
            if lot.quantity != position.quantity:
                lot.quantity = position.quantity
                lot.entry = position.entry_price or lot.entry

    def _fill(self, fill: events.OrderFilled, now_ms: int) -> None:
        trade = f"{fill.account}|{fill.symbol}|{fill.trade_id}"
        if trade in self.seen:
            return
        self.seen[trade] = None
        if len(self.seen) > MEMORY:
            del self.seen[next(iter(self.seen))]
        self.fill_ms = now_ms
        key = PositionKey(fill.account, fill.symbol, fill.position_side)
        lot = self.lots.setdefault(key, Lot())
        change = fill.quantity * fill.side.sign
        closed = min(abs(change), abs(lot.quantity)) if lot.quantity * change < 0 else Decimal(0)
        if abs(change) > closed:
            self._count(fill.account, fill.order_id, now_ms)
        if fill.fee_asset is not None and fill.fee_asset in fill.symbol.partition("/")[2]:
            lot.pnl -= fill.fee
        if closed:
            direction = 1 if lot.quantity > 0 else -1
            lot.pnl += closed * (fill.price - lot.entry) * direction
        self._move(fill.account, lot, change, closed, fill.price)

    def _count(self, account: str, order_id: str, now_ms: int) -> None:
        orders = self.orders.setdefault(account, {})
        orders.setdefault(order_id, now_ms)
        for old in [o for o, ms in orders.items() if now_ms - ms > KEPT_MS]:
            del orders[old]

    def _move(
        self, account: str, lot: Lot, change: Decimal, closed: Decimal, price: Decimal
    ) -> None:
        before = lot.quantity
        lot.quantity += change
        opened = abs(change) - closed
        if closed and closed == abs(before):
            self._end_trip(account, lot.pnl)
            lot.pnl, lot.entry = Decimal(0), price
        elif opened:
            lot.entry = (lot.entry * abs(before) + price * opened) / (abs(before) + opened)

    def _end_trip(self, account: str, pnl: Decimal) -> None:
        lost = pnl < 0
        self.streaks[account] = self.streaks.get(account, 0) + 1 if lost else 0
        self.portfolio_streak = self.portfolio_streak + 1 if lost else 0

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Trades:
        """Return what `dump` wrote."""
        state: Trades = from_plain(cls, data)
        return state
