"""How much may be traded now, in each direction, and which limit binds.

The limits themselves are asked, over a what-if Book: each formula stays where it is. Aggregates
count as at the gateway (spec.md section 5): positions, working entries, then the order; per
instrument the worse of all buys and all sells, for net all orders of the order's own direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from riskbot.core import glance
from riskbot.core.exits import base_of
from riskbot.core.exposure import ScopeBook, Totals
from riskbot.core.limits._base import Along, Limit, Verdict
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    PositionKey,
    PositionSide,
    Response,
    Side,
)
from riskbot.core.whatif import WhatIf, kinks, outlook
from riskbot.core.workload import Order, Working, exposed, unit_usd

if TYPE_CHECKING:
    from riskbot.core.state import State

_TINY = 1e-9
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a limit with a mistake in it raises."""

HALVINGS = 24
"""Of the last piece, where a measure is no straight line of the quantity."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One reason why no more may be traded.

    Attributes:
        quantity: largest that it lets pass, >= 0, unit of `Position.quantity`.
        measured, allowed: of the limit now, None = no figure of it.
        is_unknown: the limit cannot be judged, and lets nothing pass.
    """

    limit: str
    scope: str
    quantity: float
    measured: float | None
    allowed: float | None
    message: str
    is_unknown: bool = False


def least(order: Order) -> float:
    """Return the smallest quantity that the venue takes, > 0."""
    instrument = order.instrument
    return float(max(instrument.min_quantity, instrument.step)) or _TINY


# ---------------------------------------------------------------- what limits let pass


def limit_bounds(case: Case, limits: tuple[Limit, ...], asked: float) -> Iterator[Bound]:
    """Yield what limits let pass of an order; the case's cap comes down to the tightest of them.

    Beyond that only the quantity that is asked for is of interest: which limits it breaks, too.

    Args:
        case: the order before their scope.
        limits: that deny; the case may know which is the tightest, as a guess to begin with.
        asked: quantity that is asked for, 0 = none: then every limit is of interest.
    """
    slow, first = [], case.tightest
    if first is not None and first in limits:
        limits = (first, *(limit for limit in limits if limit is not first))
    for limit in limits:
        if not limit.is_moved_by_orders and glance.is_settled(
            case.state, case.book.scope, limit, case.now_ms
        ):
            continue
        along = case.along(limit)
        if along is None:
            slow.append(limit)
            continue
        for key, figure in along.items():
            if limit.utilization(figure(case.cap)) > case.full:
                yield from _lowering(case, limit, quick_bound(case, limit, key, figure), asked)
    for limit in slow:
        yield from _lowering(case, limit, slow_bounds(case, limit), asked)


def _lowering(case: Case, limit: Limit, found: Iterable[Bound], asked: float) -> Iterable[Bound]:
    for bound in found:
        if asked > 0 and not bound.is_unknown:
            case.lower(max(bound.quantity, asked), limit, is_bound=bound.quantity > asked)
    return found


class Case:
    """One order before the limits of one scope.

    Args:
        state: the state.
        book: of the scope, as it is.
        entries: what works.
        order: what would be traded.
        cap: largest quantity that is of interest, > 0.
        owned: what works of the order's strategy, None = it is not asked for.
        has_statistics: what analysis says is computed anew, too, where Books are asked.
    """

    def __init__(
        self,
        state: State,
        book: Totals,
        entries: Mapping[PositionKey, Working],
        order: Order,
        cap: float,
        owned: Mapping[PositionKey, Working] | None = None,
        *,
        has_statistics: bool = False,
    ) -> None:
        self.state, self.book, self.cap = state, book, cap
        self.now_ms = state.meter.book.view.now_ms
        self.outlook = outlook(state, book, entries, order, owned)
        self._points: list[float] | None = None
        self.full = 1.0
        self.tightest: Limit | None = None
        self.is_plain = not book.unpriced and (book.capital_usd or 0.0) > 0
        self._entries, self._order, self._has_statistics = entries, order, has_statistics
        self._what_if: WhatIf | None = None
        self._books: dict[float, ScopeBook] = {}

    @property
    def points(self) -> list[float]:
        """Quantities up to the cap between which every measure is straight, rising."""
        if self._points is None:
            cap = self.cap
            found = {0.0, min(least(self._order), cap), cap, *kinks(self.outlook)}
            self._points = sorted(point for point in found if point <= cap)
        return self._points

    def lower(self, cap: float, limit: Limit, *, is_bound: bool) -> None:
        """Look at nothing beyond a quantity any more.

        Args:
            cap: the quantity.
            limit: that lets no more pass.
            is_bound: it ends there: another one that does, too, says nothing new.
        """
        if cap < self.cap:
            self.cap, self._points, self.tightest = cap, None, limit
            self.full = 1 + _TINY if is_bound else 1.0

    def check(self, limit: Limit, quantity: float) -> dict[str, Verdict]:
        """Return what a limit says after a quantity, by key: the slow way, over a what-if Book."""
        if self._what_if is None:
            book = self.book
            if not isinstance(book, ScopeBook):
                book = self.state.scopes(self.now_ms)[book.scope]
            self._what_if = WhatIf(
                self.state,
                book,
                self._entries,
                self._order,
                has_statistics=self._has_statistics,
            )
        after = self._books.get(quantity) or self._what_if.at(quantity)
        if quantity in self.points:
            # Every limit is asked there.
            self._books[quantity] = after
        return _by_key(self.state.check(limit, after))

    def along(self, limit: Limit) -> Along | None:
        """Return a limit's figures as functions of the quantity, None = the slow way is to go."""
        if not self.is_plain:
            return None
        try:
            return limit.along(self.outlook)
        except _FAULTS:
            # The slow way says what is wrong with it.
            return None

    def touches(self, key: str) -> bool:
        """Whether a reading's key is about what the order trades, or about the whole."""
        leg = self.outlook.leg
        names = {"", "+", "-", leg.underlying, leg.sector, self.outlook.subject, *leg.groups}
        return key in names


def bounds_of(case: Case, limit: Limit) -> list[Bound]:
    """Return what a limit lets pass, the quick way where it knows one."""
    along = case.along(limit)
    if along is None:
        return slow_bounds(case, limit)
    rows = [quick_bound(case, limit, key, figure) for key, figure in along.items()]
    return [bound for row in rows for bound in row]


def quick_bound(
    case: Case, limit: Limit, key: str, figure: Callable[[float], float]
) -> list[Bound]:
    """Return what one figure of a limit lets pass, by how it goes along the quantity."""

    def used(x: float) -> float:
        return limit.utilization(figure(x))

    last = limit.utilization(figure(case.cap))
    return _bound(case, limit, key, used, figure(0.0), last) if last > case.full else []


def slow_bounds(case: Case, limit: Limit) -> list[Bound]:
    """Return the same, asked of the limit itself over what-if Books."""
    last = case.check(limit, case.cap)
    if all(row.utilization is not None and row.utilization <= 1 for row in last.values()):
        return []
    tables = [case.check(limit, point) for point in case.points]
    found = []
    for key in dict.fromkeys(key for table in tables for key in table):
        rows = [table.get(key) for table in tables]
        if _unknown(rows):
            if limit.when_unknown == "deny" and case.touches(key):
                found.append(_of_unknown(limit, case.book.scope, rows))
            continue

        def used(x: float, key: str = key) -> float:
            row = case.check(limit, x).get(key)
            return row.utilization or 0.0 if row is not None else 0.0

        first = rows[0]
        measured = first.measured if first is not None else 0.0
        found += _bound(case, limit, key, used, measured, used(case.cap))
    return found


def _bound(
    case: Case,
    limit: Limit,
    key: str,
    used: Callable[[float], float],
    measured: float | None,
    last: float,
) -> list[Bound]:
    """Return what one figure of a limit lets pass, nothing where the order does not raise it.

    Args:
        case: the order.
        limit: the limit.
        key: of the figure.
        used: utilization by quantity.
        measured: the figure before the order.
        last: utilization at the cap.
    """
    points = case.points
    figures = [last]
    for point in points[-2::-1]:
        # From the right, no further than the last piece that comes from within the limit.
        figures.insert(0, used(point))
        if figures[0] <= 1 < figures[-1] - _TINY:
            break
    if math.isfinite(figures[-1]) and figures[-1] <= max(1.0, min(figures) + _TINY):
        return []
    words = f"{limit.name}{f' of {key}' if key else ''}"
    quantity = _crossing(used, points[-len(figures) :], figures)
    return [Bound(limit.name, case.book.scope, quantity, measured, limit.allowed, words)]


def _of_unknown(limit: Limit, scope: str, rows: Iterable[Verdict | None]) -> Bound:
    reasons = [row.reason for row in rows if row is not None and row.reason]
    words = f"unknown: {reasons[0]}" if reasons else "unknown"
    return Bound(limit.name, scope, 0.0, None, limit.allowed, words, is_unknown=True)


def _by_key(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.key: verdict for verdict in verdicts}


def _unknown(rows: list[Verdict | None]) -> bool:
    return any(row is not None and row.utilization is None for row in rows)


def _crossing(used: Callable[[float], float], points: list[float], figures: list[float]) -> float:
    """Return the largest quantity at which utilization is at most 1; else where it is least.

    Args:
        used: utilization by quantity.
        points: where it may change its slope, rising.
        figures: what it is there.
    """
    # From the right: a close through zero may pass a stretch that is in breach already.
    at = len(figures) - 1
    while at > 0 and figures[at - 1] > 1:
        at -= 1
    if at == 0:
        return points[figures.index(min(figures))]
    low, high, below, above = points[at - 1], points[at], figures[at - 1], figures[at]
    if not math.isfinite(above):
        return low
    guess = low + (1 - below) / (above - below) * (high - low)
    reached = used(guess)
    if reached <= 1 + _TINY:
        return guess
    # Of many keys a limit shows the near ones alone: lower down this one counted as nothing.
    nearer = guess - (reached - 1) / max(above - reached, _TINY) * (high - guess)
    if nearer > low and used(nearer) <= 1 + _TINY:
        return nearer
    high = guess
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if used(middle) <= 1:
            low = middle
        else:
            high = middle
    return low


DENYING = frozenset(Response) - {Response.ALERT}
"""Responses that deny what would break their limit; an `alert` only tells."""


def order_of(
    state: State,
    instrument: Instrument,
    side: Side,
    stop: float | None,
    price: float,
    position_side: PositionSide,
    strategy: str = "",
) -> Order:
    """Return the order that is asked about.

    Args:
        state: the state.
        instrument: what.
        side: of it.
        stop: trigger price of its stop in quote units, None = none.
        price: in quote units, > 0.
        position_side: the position it is on.
        strategy: whose, empty = nobody's in particular.
    """
    account = instrument.account
    unit = unit_usd(state, instrument) or 0.0
    away = abs(price - stop) / price if stop is not None else state.settings.assume_stop
    key = PositionKey(account, instrument.symbol, position_side)
    if instrument.kind is InstrumentKind.SPOT:
        # A coin is one position, whichever of its markets is traded.
        key = state.meter.coin_key(account, base_of(instrument.symbol)) or key
    side = exposed(state, instrument, side)
    return Order(instrument, key, side, unit, unit * away, strategy)
