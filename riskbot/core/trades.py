"""Sub-state of trades: orders that opened or added today, and losing round trips in a row.

Kept from fills alone, over lots that are set straight by every quiet REST read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import PORTFOLIO, PositionKey
from riskbot.core.ordering import REPEATED
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

    def take(self, fill: events.OrderFilled) -> tuple[bool, Decimal | None]:
        """Take a fill.

        Returns:
            Whether it opened or added, and the PnL of the round trip that it ended, None = none.
        """
        change = fill.quantity * fill.side.sign
        before = self.quantity
        closed = min(abs(change), abs(before)) if before * change < 0 else Decimal(0)
        opened = abs(change) - closed
        if fill.fee_asset is not None and fill.fee_asset in fill.symbol.partition("/")[2]:
            self.pnl -= fill.fee
        if closed:
            direction = 1 if before > 0 else -1
            self.pnl += closed * (fill.price - self.entry) * direction
        self.quantity += change
        ended = None
        if closed and closed == abs(before):
            ended, self.pnl, self.entry = self.pnl, Decimal(0), fill.price
        elif opened:
            self.entry = (self.entry * abs(before) + fill.price * opened) / (abs(before) + opened)
        return opened > 0, ended


@dataclass(slots=True)
class Part:
    """Counters of what one strategy's own fills made.

    Attributes:
        lots: by position key.
        orders: when the orders that opened or added first did, by `account|id`.
        streak: losing round trips in a row.
    """

    lots: dict[PositionKey, Lot] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    streak: int = 0


@dataclass(slots=True)
class Trades:
    """Counters by account and by strategy.

    Attributes:
        lots: by position key.
        orders: when the orders that opened or added first did, by account and id.
        day_ms: start of the day that counts now.
        streaks: losing round trips in a row, by account.
        seen: trade ids, oldest forgotten first.
        parts: by strategy.
    """

    lots: dict[PositionKey, Lot] = field(default_factory=dict)
    orders: dict[str, dict[str, int]] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    portfolio_streak: int = 0
    seen: dict[str, None] = field(default_factory=dict)
    day_ms: int = field(default=0, metadata={VOLATILE: True})
    fill_ms: int = 0
    parts: dict[str, Part] = field(default_factory=dict)

    def _today(self, orders: dict[str, int]) -> int:
        return sum(ms >= self.day_ms for ms in orders.values())

    def counts(self, scope: str) -> dict[str, int]:
        """Return `trades_per_day` and `loss_streak` of a scope."""
        kind, _, name = scope.partition(":")
        if scope == PORTFOLIO:
            total = sum(self._today(orders) for orders in self.orders.values())
            return {"trades_per_day": total, "loss_streak": self.portfolio_streak}
        if kind == "account":
            orders, streak = self.orders.get(name, {}), self.streaks.get(name, 0)
        else:
            part = self.parts.get(name, Part())
            orders, streak = part.orders, part.streak
        return {"trades_per_day": self._today(orders), "loss_streak": streak}

    def apply(self, record: events.Event | actions.Action, now_ms: int, strategy: str = "") -> None:
        """Fold one record.

        Args:
            record: what happened.
            now_ms: UTC ms.
            strategy: whose order a fill is of, empty = nobody's who asked.
        """
        if isinstance(record, events.OrderFilled):
            self._fill(record, now_ms, strategy)
        elif isinstance(record, events.AccountSnapshotReceived):
            self._straighten(record)
        elif isinstance(record, actions.DropHold) and record.limit == REPEATED:
            # Whoever is let trade again begins anew.
            self.parts.pop(record.scope.partition(":")[2], None)

    def _straighten(self, snapshot: events.AccountSnapshotReceived) -> None:
        if snapshot.as_of_ms - self.fill_ms < QUIET_MS:
            return
        read = {p.key: p for p in snapshot.positions}
        for lots in (self.lots, *(part.lots for part in self.parts.values())):
            for key in [k for k in lots if k.account == snapshot.account and ":" in k.symbol]:
                if key not in read:
                    del lots[key]
        for key, position in read.items():
            lot = self.lots.setdefault(key, Lot())
            if lot.quantity != position.quantity:
                lot.quantity = position.quantity
                lot.entry = position.entry_price or lot.entry

    def _fill(self, fill: events.OrderFilled, now_ms: int, strategy: str) -> None:
        trade = f"{fill.account}|{fill.symbol}|{fill.trade_id}"
        if trade in self.seen:
            return
        self.seen[trade] = None
        if len(self.seen) > MEMORY:
            del self.seen[next(iter(self.seen))]
        self.fill_ms = now_ms
        key, account = PositionKey(fill.account, fill.symbol, fill.position_side), fill.account
        has_opened, pnl = self.lots.setdefault(key, Lot()).take(fill)
        if has_opened:
            _count(self.orders.setdefault(account, {}), fill.order_id, now_ms)
        if pnl is not None:
            self.streaks[account] = _streak(self.streaks.get(account, 0), pnl)
            self.portfolio_streak = _streak(self.portfolio_streak, pnl)
        if strategy:
            self._fill_part(fill, now_ms, self.parts.setdefault(strategy, Part()), key)

    def _fill_part(
        self, fill: events.OrderFilled, now_ms: int, part: Part, key: PositionKey
    ) -> None:
        has_opened, pnl = part.lots.setdefault(key, Lot()).take(fill)
        if has_opened:
            _count(part.orders, f"{fill.account}|{fill.order_id}", now_ms)
        if pnl is not None:
            part.streak = _streak(part.streak, pnl)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Trades:
        """Return what `dump` wrote."""
        state: Trades = from_plain(cls, data)
        return state


def _count(orders: dict[str, int], order_id: str, now_ms: int) -> None:
    orders.setdefault(order_id, now_ms)
    for old in [o for o, ms in orders.items() if now_ms - ms > KEPT_MS]:
        del orders[old]


def _streak(before: int, pnl: Decimal) -> int:
    return before + 1 if pnl < 0 else 0
