"""What stands on one instrument: orders that work and approvals that wait, summed as they come.

Most only add, and then a sum of each side is all there is to know; where some may close what is
held, they are told apart anew once something changed. What feeds the piles is `standing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from riskbot.core import exits
from riskbot.core.accounts import AccountState
from riskbot.core.model import PositionKey, PositionSide, Side, WorkingOrder
from riskbot.core.workload import Working

_ZERO = Decimal(0)


class Item(NamedTuple):
    """One order that works, or may come.

    Attributes:
        order: as `workload.counted` tells it.
        owner: whose it is, None = nobody's who asked.
        stop: trigger price of the stop that it was approved with, None = none.
        turns: it was approved as an exit, and nothing at the venue keeps it one.
    """

    order: WorkingOrder
    owner: str | None
    stop: Decimal | None
    turns: bool

    @property
    def may_close(self) -> bool:
        """Whether more than its side says whether it opens or closes."""
        return self.turns or exits.is_marked(self.order)


class Sum:
    """What entries of one side may still fill.

    Attributes:
        quantity: of all; unstopped: of those without a stop; stopped: those with a limit price and
            a stop, each times the share that it loses there.
        moving: (quantity, stop) of those with a stop whose price is the mark's, by order id.
        plain: how many of them wait for no trigger.
    """

    __slots__ = ("count", "moving", "plain", "quantity", "stopped", "unstopped")

    def __init__(self) -> None:
        self.quantity = self.unstopped = self.stopped = _ZERO
        self.moving: dict[str, tuple[float, float]] = {}
        self.count = self.plain = 0

    def count_in(self, item: Item, sign: int) -> None:
        """Add an entry, or take it out again: +1 or -1."""
        order, stop = item.order, item.stop
        left = order.remaining * sign
        self.count += sign
        self.plain += sign * (order.stop_price is None)
        self.quantity += left
        if stop is None or (order.price is not None and not order.price):
            self.unstopped += left
        elif order.price is not None:
            at = float(order.price)
            self.stopped += left * Decimal(abs(at - float(stop)) / at)
        elif sign > 0:
            self.moving[order.order_id] = float(left), float(stop)
        else:
            del self.moving[order.order_id]

    def risk(self, at: float | None, assume_stop: float) -> float:
        """Return what they lose when their stops are hit, in units of quantity.

        Args:
            at: the mark, quote units; None = unknown.
            assume_stop: the share that one without a stop loses.
        """
        risk = float(self.unstopped) * assume_stop + float(self.stopped)
        for quantity, stop in self.moving.values():
            risk += quantity * (abs(at - stop) / at if at else assume_stop)
        return risk


class Both:
    """Entries of both sides on one position.

    Attributes:
        key: the position.
    """

    __slots__ = ("_buys", "_sells", "_told", "key")

    def __init__(self, key: PositionKey) -> None:
        self.key = key
        self._buys, self._sells = Sum(), Sum()
        self._told: tuple[tuple[float, float | None, float], Working] | None = None

    def of(self, side: Side) -> Sum:
        """Return those of one side."""
        return self._buys if side is Side.BUY else self._sells

    @property
    def is_empty(self) -> bool:
        """Whether there is none."""
        return not (self._buys.count or self._sells.count)

    @property
    def is_moving(self) -> bool:
        """Whether what they risk goes with the mark."""
        return bool(self._buys.moving or self._sells.moving)

    def count_in(self, item: Item, sign: int) -> None:
        """Add an entry, or take it out again: +1 or -1."""
        self._told = None
        self.of(item.order.side).count_in(item, sign)

    def working(self, unit_usd: float, at: float | None, assume_stop: float) -> Working:
        """Return what they may fill in USD.

        Args:
            unit_usd: USD of exposure per unit of quantity.
            at: the mark, quote units; None = unknown, or it is not asked for.
            assume_stop: the share that one without a stop loses.
        """
        asked = (unit_usd, at, assume_stop)
        if self._told is None or self._told[0] != asked:
            buys, sells = self._buys, self._sells
            risk = buys.risk(at, assume_stop) + sells.risk(at, assume_stop)
            found = Working(
                float(buys.quantity) * unit_usd, float(sells.quantity) * unit_usd, risk * unit_usd
            )
            self._told = (asked, found)
        return self._told[1]


@dataclass(slots=True)
class Told:
    """Which of a pile are entries, and what its exits take.

    Attributes:
        entries: by symbol and position side.
        closing: exits that wait for no trigger, oldest first.
        taken: what exits take of a position before a new order, by position side and side.
        rivals: symbol, position side and side of what are entries before a new order.
    """

    entries: dict[tuple[str, PositionSide], Both]
    closing: list[WorkingOrder] = field(default_factory=list)
    taken: dict[tuple[PositionSide, Side], Decimal] = field(default_factory=dict)
    rivals: set[tuple[str, PositionSide, Side]] | None = None

    def is_rival(self, key: PositionKey, side: Side) -> bool:
        """Whether entries of a side work on a position."""
        if self.rivals is not None:
            return (key.symbol, key.side, side) in self.rivals
        both = self.entries.get((key.symbol, key.side))
        return both is not None and both.of(side).plain > 0


class Pile:
    """All that stands on one instrument, or on one coin, which its spot markets share."""

    __slots__ = ("_all", "_edges", "_told", "closers", "items")

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.closers = 0
        self._all: dict[tuple[str, PositionSide], Both] = {}
        self._told: Told | None = None
        self._edges: dict[tuple[str, Side], Decimal | None] = {}

    def count_in(self, item: Item, sign: int) -> None:
        """Add an order, or take it out again: +1 or -1."""
        order = item.order
        if sign > 0:
            self.items[order.order_id] = item
        else:
            del self.items[order.order_id]
        place = (order.symbol, order.position_side)
        both = self._all.get(place)
        if both is None:
            key = PositionKey(order.account, order.symbol, order.position_side)
            both = self._all[place] = Both(key)
        self.closers += sign * item.may_close
        both.count_in(item, sign)
        is_known = self._told is not None and self._told.entries is self._all
        if not is_known or item.may_close or both.of(order.side).count == (sign > 0):
            # The first of its side may close what is held; the last one leaves nothing.
            self._told = None
        if both.is_empty:
            del self._all[place]
        self._edge(order, sign)

    def forget(self) -> None:
        """Look anew at what closes: what is held has changed."""
        self._told = None

    def told(self, account: AccountState) -> Told:
        """Return which are entries, and what exits take."""
        if self._told is None:
            is_plain = not self.closers and not any(
                self._closes(account, *place, both) for place, both in self._all.items()
            )
            self._told = Told(self._all) if is_plain else self._tell(account)
        return self._told

    @staticmethod
    def _closes(account: AccountState, symbol: str, side: PositionSide, both: Both) -> bool:
        held = exits.holding(account, symbol, side) if side is PositionSide.NET else _ZERO
        closer = Side.BUY if held < 0 else Side.SELL
        return bool(held and both.of(closer).count)

    def _tell(self, account: AccountState) -> Told:
        """Tell exits from entries one by one."""
        told = Told({}, rivals=set())
        before = [item.order for item in self.items.values() if item.order.stop_price is None]
        # A stop takes nothing of what may be closed until it triggers.
        closing, opening = exits.split(account, before)
        for order in closing:
            taker = (order.position_side, order.side)
            told.taken[taker] = told.taken.get(taker, _ZERO) + order.remaining
        told.rivals = {(order.symbol, order.position_side, order.side) for order in opening}
        closing, opening = exits.split(account, [_turned(i) for i in self.items.values()])
        told.closing = [order for order in closing if order.stop_price is None]
        for order in opening:
            place = (order.symbol, order.position_side)
            if place not in told.entries:
                told.entries[place] = Both(PositionKey(order.account, *place))
            told.entries[place].count_in(self.items[order.order_id], 1)
        return told

    # ------------------------------------------------------------ prices

    def edge(self, symbol: str, side: Side) -> Decimal | None:
        """Return the best limit price of a side that waits for no trigger, None = there is none."""
        place = (symbol, side)
        if place not in self._edges:
            self._edges[place] = _best(side, self._prices(symbol, side))
        return self._edges[place]

    def _prices(self, symbol: str, side: Side) -> list[Decimal]:
        orders = (item.order for item in self.items.values())
        return [
            order.price
            for order in orders
            if order.price is not None
            and order.stop_price is None
            and (order.symbol, order.side) == (symbol, side)
        ]

    def _edge(self, order: WorkingOrder, sign: int) -> None:
        place = (order.symbol, order.side)
        if order.price is None or order.stop_price is not None or place not in self._edges:
            return
        known = self._edges[place]
        if sign > 0:
            prices = [order.price] if known is None else [order.price, known]
            self._edges[place] = _best(order.side, prices)
        elif order.price == known:
            del self._edges[place]


def _best(side: Side, prices: Iterable[Decimal]) -> Decimal | None:
    return max(prices, default=None) if side is Side.BUY else min(prices, default=None)


def _turned(item: Item) -> WorkingOrder:
    return replace(item.order, reduce_only=False) if item.turns else item.order
