"""Sub-state of the accounts: instruments, balances, positions, working orders, and how fresh.

REST is the authority: a snapshot replaces the set. The stream only touches what it names, and
only with what is newer. What things are worth lives in `exposure`, cash flows in `cashflows`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from riskbot.core import actions, events
from riskbot.core.model import (
    Balance,
    Instrument,
    MarginReport,
    Position,
    PositionKey,
    WorkingOrder,
)
from riskbot.core.plain import VOLATILE, from_plain, to_plain

MEMORY = 2_000
"""Ids kept per account and kind (orders, trades, ledger rows), oldest forgotten first."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a record changed of one account: (before, after), None = was not or is no more."""

    account: str
    positions: tuple[tuple[Position | None, Position | None], ...] = ()
    balances: tuple[tuple[Balance | None, Balance | None], ...] = ()
    orders: bool = False
    instruments: bool = False
    margin: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.positions or self.balances or self.orders or self.instruments or self.margin
        )


class Stamp(NamedTuple):
    """When the stream last spoke of something: receipt, and the venue's time."""

    seen_ms: int
    venue_ms: int | None


@dataclass(slots=True)
class AccountState:
    """One account as far as riskbot knows it.

    Attributes:
        orders: working orders by venue id, plain and conditional.
        as_of_ms: when the last complete REST read began, 0 = never.
        venue_as_of_ms: the same on the venue's clock, None = not comparable.
        read_ms: when that read came in; frame_ms: last sign of life of the account's stream;
            told_ms: last time it told something of the account.
        is_synced: a complete read came since the process started.
        gap_ms: since when the stream may have lost something; None = a read came after it.
        failure: what the last failed read said; empty once one succeeds.
        failed_ms: since when REST reads have failed without one succeeding.
        clock_offset_ms: local minus venue, None = not measured.
        finals: order ids that are final for certain; a late frame does not open them again.
        touched: ids of orders that came, went or changed since `standing` looked at them.
    """

    name: str
    instruments: dict[str, Instrument] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    positions: dict[PositionKey, Position] = field(default_factory=dict)
    orders: dict[str, WorkingOrder] = field(default_factory=dict)
    margin: MarginReport = field(default_factory=MarginReport)
    is_hedge_mode: bool | None = None
    as_of_ms: int = 0
    venue_as_of_ms: int | None = None
    read_ms: int = 0
    frame_ms: int = 0
    told_ms: int = 0
    is_synced: bool = False
    gap_ms: int | None = None
    failed_ms: int | None = None
    failure: str = ""
    clock_offset_ms: int | None = None
    position_stamps: dict[PositionKey, Stamp] = field(default_factory=dict)
    balance_stamps: dict[str, Stamp] = field(default_factory=dict)
    order_stamps: dict[str, Stamp] = field(default_factory=dict)
    finals: dict[str, None] = field(default_factory=dict)
    touched: dict[str, None] = field(default_factory=dict, metadata={VOLATILE: True}, compare=False)

    @property
    def was_read(self) -> bool:
        """Whether a complete read ever came, be it before a restart."""
        return self.as_of_ms > 0

    def age_ms(self, now_ms: int) -> int | None:
        """Return the silence since anything was heard of the account, None = never heard."""
        last = max(self.read_ms, self.frame_ms)
        return now_ms - last if last else None

    def blind_reason(self, now_ms: int, stale_ms: int) -> str | None:
        """Return why the account is BLIND, None if it is in sight.

        A stream that is merely quiet is kept alive by the routine REST reads; one that broke
        counts from the last read alone. While reads fail, a pong shows that a socket is open, not
        that the venue still tells it anything.
        """
        if not self.is_synced:
            return "not read since start"
        stream_ms = self.frame_ms if self.failed_ms is None else self.told_ms
        heard = self.read_ms if self.gap_ms is not None else max(self.read_ms, stream_ms)
        silent = now_ms - heard
        return f"silent for {silent // 1000} s" if silent > stale_ms else None

    def quantity(self, key: PositionKey) -> Decimal:
        """Return the signed quantity of a derivative position, 0 if there is none."""
        position = self.positions.get(key)
        return position.quantity if position is not None else Decimal(0)

    # ------------------------------------------------------------ REST

    def take_snapshot(self, snap: events.AccountSnapshotReceived, now_ms: int) -> Change:
        """Replace the set by a complete read; newer stream frames stay on top."""
        if snap.as_of_ms < self.as_of_ms:
            return Change(self.name)
        self.as_of_ms, self.read_ms = snap.as_of_ms, now_ms
        self.venue_as_of_ms = self._venue_start(snap)
        self.is_synced, self.failed_ms, self.failure = True, None, ""
        if self.gap_ms is not None and snap.as_of_ms >= self.gap_ms:
            self.gap_ms = None
        if snap.is_hedge_mode is not None:
            self.is_hedge_mode = snap.is_hedge_mode
        self._forget_old_stamps()
        has_margin = snap.margin != self.margin
        self.margin = snap.margin
        return Change(
            self.name,
            self._replace_positions(snap.positions),
            self._replace_balances(snap.balances),
            snap.orders is not None and self._replace_orders(snap.orders),
            margin=has_margin,
        )

    def _venue_start(self, snap: events.AccountSnapshotReceived) -> int | None:
        if snap.venue_ms is not None:
            return snap.venue_ms - snap.duration_ms
        if self.clock_offset_ms is not None:
            return snap.as_of_ms - self.clock_offset_ms
        return None

    def _is_newer(self, stamp: Stamp) -> bool:
        # Seen before the read began, or older on the venue's own clock: the read knows better.
        if stamp.seen_ms <= self.as_of_ms:
            return False
        start = self.venue_as_of_ms
        return stamp.venue_ms is None or start is None or stamp.venue_ms >= start

    def _forget_old_stamps(self) -> None:
        self.position_stamps = _newer(self.position_stamps, self)
        self.balance_stamps = _newer(self.balance_stamps, self)
        self.order_stamps = _newer(self.order_stamps, self)

    def _replace_positions(
        self, read: Iterable[Position]
    ) -> tuple[tuple[Position | None, Position | None], ...]:
        old = self.positions
        fresh = {p.key: p for p in read if p.quantity}
        self.positions = _overlaid(fresh, old, self.position_stamps)
        return _differences(old, self.positions)

    def _replace_balances(
        self, read: Iterable[Balance]
    ) -> tuple[tuple[Balance | None, Balance | None], ...]:
        old = self.balances
        fresh = {b.asset: b for b in read if b.total}
        self.balances = _overlaid(fresh, old, self.balance_stamps)
        return _differences(old, self.balances)

    def _replace_orders(self, read: Iterable[WorkingOrder]) -> bool:
        old = self.orders
        fresh = {
            o.order_id: o for o in read if not o.status.is_final and o.order_id not in self.finals
        }
        self.orders = _overlaid(fresh, old, self.order_stamps)
        changed = [i for i in {**old, **self.orders} if old.get(i) != self.orders.get(i)]
        self.touched.update(dict.fromkeys(changed))
        return bool(changed)

    # ------------------------------------------------------------ stream

    def take_positions(self, update: events.PositionsUpdated, now_ms: int) -> Change:
        """Take positions the stream names; zero ends one."""
        self.frame_ms = self.told_ms = now_ms
        changed = []
        for position in update.positions:
            key, old = position.key, self.positions.get(position.key)
            if not self._admit(self.position_stamps, key, Stamp(now_ms, update.venue_ms)):
                continue
            if position.quantity:
                self.positions[key] = new = _filled_in(position, old)
            else:
                self.positions.pop(key, None)
                new = None
            if new != old:
                changed.append((old, new))
        return Change(self.name, tuple(changed))

    def take_balances(self, update: events.BalancesUpdated, now_ms: int) -> Change:
        """Take balances the stream names."""
        self.frame_ms = self.told_ms = now_ms
        changed = []
        for balance in update.balances:
            asset, old = balance.asset, self.balances.get(balance.asset)
            if not self._admit(self.balance_stamps, asset, Stamp(now_ms, update.venue_ms)):
                continue
            if balance.total:
                price = balance.price_usd
                if price is None and old is not None:
                    price = old.price_usd
                self.balances[asset] = replace(balance, price_usd=price)
            else:
                self.balances.pop(asset, None)
            new = self.balances.get(asset)
            if new != old:
                changed.append((old, new))
        return Change(self.name, balances=tuple(changed))

    def take_order(self, order: WorkingOrder, stamp: Stamp) -> Change:
        """Take an order's state; final stays final, and fills never shrink."""
        self.frame_ms = max(self.frame_ms, stamp.seen_ms)
        self.told_ms = max(self.told_ms, stamp.seen_ms)
        known = self.orders.get(order.order_id)
        if order.order_id in self.finals or (known is not None and order.filled < known.filled):
            return Change(self.name)
        if not self._admit(self.order_stamps, order.order_id, stamp):
            return Change(self.name)
        if order.status.is_final:
            self._end_order(order.order_id)
        else:
            self.orders[order.order_id] = order
            self.touched[order.order_id] = None
        return Change(self.name, orders=known != self.orders.get(order.order_id))

    def drop_order(self, order_id: str, now_ms: int) -> Change:
        """Take an order as gone for certain."""
        was_working = order_id in self.orders
        self.order_stamps[order_id] = Stamp(now_ms, None)
        self._end_order(order_id)
        return Change(self.name, orders=was_working)

    def _end_order(self, order_id: str) -> None:
        if self.orders.pop(order_id, None) is not None:
            self.touched[order_id] = None
        remember(self.finals, order_id)

    def _admit(self, stamps: dict[Any, Stamp], key: Any, stamp: Stamp) -> bool:
        """Whether a frame is newer than the last read and than the last frame of its key."""
        last = stamps.get(key)
        if last is not None and last.venue_ms is not None and stamp.venue_ms is not None:
            if stamp.venue_ms < last.venue_ms:
                return False
        elif not self._is_newer(stamp):
            return False
        stamps[key] = stamp
        return True


def _newer(stamps: dict[Any, Stamp], state: AccountState) -> dict[Any, Stamp]:
    return {key: stamp for key, stamp in stamps.items() if state._is_newer(stamp)}  # noqa: SLF001


def _overlaid(fresh: dict[Any, Any], known: dict[Any, Any], stamps: dict[Any, Stamp]) -> Any:
    # What the stream said after the read began stands on top of it, endings included.
    for key in stamps:
        if key in known:
            fresh[key] = known[key]
        else:
            fresh.pop(key, None)
    return fresh


def _differences(old: dict[Any, Any], new: dict[Any, Any]) -> tuple[tuple[Any, Any], ...]:
    changed = [(old.get(key), value) for key, value in new.items() if old.get(key) != value]
    gone = [(value, None) for key, value in old.items() if key not in new]
    return (*changed, *gone)


def remember(memory: dict[str, None], item: str) -> bool:
    """Keep an id; False if it was known. The oldest is forgotten at the bound."""
    if item in memory:
        return False
    memory[item] = None
    if len(memory) > MEMORY:
        del memory[next(iter(memory))]
    return True


def _filled_in(position: Position, old: Position | None) -> Position:
    # Streams name less than REST: what they leave out is kept while the side stays. Margins
    # follow the quantity until the next read states them.
    if old is None or (old.quantity > 0) != (position.quantity > 0):
        return position
    share = position.quantity / old.quantity
    kept: dict[str, Any] = {
        name: getattr(old, name)
        for name in ("leverage", "liquidation_price", "venue_mark", "delta", "gamma", "vega")
        if getattr(position, name) is None
    }
    for name in ("maintenance_margin", "initial_margin", "isolated_margin"):
        if getattr(position, name) is None and getattr(old, name) is not None:
            kept[name] = getattr(old, name) * share
    if position.entry_price is None and share <= 1:
        kept["entry_price"] = old.entry_price
    return replace(position, is_isolated=position.is_isolated or old.is_isolated, **kept)


@dataclass(slots=True)
class Accounts:
    """All accounts by name. An account appears with the first record that names it."""

    by_name: dict[str, AccountState] = field(default_factory=dict)

    def get(self, account: str) -> AccountState:
        """Return the account's state, an empty one if nothing is known."""
        state = self.by_name.get(account)
        if state is None:
            state = self.by_name[account] = AccountState(account)
        return state

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold a record; those that do not concern accounts are ignored."""
        self.fold(record, now_ms)

    def fold(self, record: events.Event | actions.Action, now_ms: int) -> Change | None:
        """Fold a record and say what it changed, None for what does not concern accounts."""
        match record:
            case events.AccountSnapshotReceived():
                return self.get(record.account).take_snapshot(record, now_ms)
            case events.PositionsUpdated():
                return self.get(record.account).take_positions(record, now_ms)
            case events.BalancesUpdated():
                return self.get(record.account).take_balances(record, now_ms)
            case events.OrderUpdated(account=account, order=order):
                return self.get(account).take_order(order, Stamp(now_ms, record.venue_ms))
            case events.OrderQueried(found=True, order=WorkingOrder() as order):
                return self.get(record.account).take_order(order, Stamp(now_ms, None))
            case events.CancelFinished(done=True):
                return self.get(record.account).drop_order(record.order_id, now_ms)
            case events.InstrumentsLoaded(account=account, instruments=instruments):
                self.get(account).instruments.update({i.symbol: i for i in instruments})
                return Change(account, instruments=True)
            case _:
                self._fold_life(record, now_ms)
                return None

    def _fold_life(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case events.OrderFilled(account=account):
                state = self.get(account)
                state.frame_ms = state.told_ms = now_ms
            case events.FeedAlive(account=account, feed="account"):
                self.get(account).frame_ms = now_ms
            case events.FeedLost(account=account, feed="account"):
                self.get(account).gap_ms = now_ms
            case events.RefreshFailed(account=account, message=message):
                state = self.get(account)
                state.failure = message
                state.failed_ms = state.failed_ms if state.failed_ms is not None else now_ms
            case events.ClockMeasured(account=account, offset_ms=offset_ms):
                self.get(account).clock_offset_ms = offset_ms
            case events.Started():
                # What was seen before the restart is kept as last known, and is out of sight.
                for state in self.by_name.values():
                    state.is_synced = False
            case _:
                pass

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Accounts:
        """Return what `dump` wrote."""
        state: Accounts = from_plain(cls, data)
        return state
