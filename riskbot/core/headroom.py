"""How much may be traded now, in each direction, and which limit binds.

The limits themselves are asked, over a what-if Book: each formula stays where it is. Aggregates
count as at the gateway (spec.md section 5): positions, working entries, then the order; per
instrument the worse of all buys and all sells, for net all orders of the order's own direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from riskbot.core import lines
from riskbot.core.exits import base_of
from riskbot.core.exposure import Aggregate, Leg, ScopeBook
from riskbot.core.limits._base import Limit, Verdict, position_subject
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    PositionKey,
    PositionSide,
    Response,
    Side,
    scope_account,
)
from riskbot.core.workload import Order, Working, unit_usd

if TYPE_CHECKING:
    from riskbot.core.state import State

_TINY = 1e-9
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


# ---------------------------------------------------------------- the what-if Book


class WhatIf:
    """The Book of one scope with working entries and one more order filled.

    Args:
        state: the state.
        book: of the scope, as it is.
        entries: what works.
        order: what would be traded.
        has_statistics: what analysis says is computed anew, too.
    """

    def __init__(
        self,
        state: State,
        book: ScopeBook,
        entries: Mapping[PositionKey, Working],
        order: Order,
        *,
        has_statistics: bool = False,
    ) -> None:
        self._state, self._book, self._order = state, book, order
        self._has_statistics = has_statistics
        self._legs = {leg.key: leg for leg in book.legs}
        self._places = {leg.key: place for place, leg in enumerate(book.legs)}
        account = scope_account(book.scope)
        self._entries = {k: w for k, w in entries.items() if account in {None, k.account}}
        self._risk_usd = sum(each.risk for each in self._entries.values())
        for key in (*self._entries, order.key):
            if key not in self._legs:
                self._legs[key] = self._empty(key)

    def _empty(self, key: PositionKey) -> Leg:
        listed = self._state.instrument(key.account, key.symbol)
        instrument = listed if listed is not None else lines.unlisted(key.account, key.symbol)
        leg = lines.new_leg(self._state.settings, key.account, key, instrument)
        leg.notional_usd = leg.delta_usd = 0.0
        leg.is_dust = True
        return leg

    def touches(self, key: str) -> bool:
        """Whether a reading's key is about what the order trades, or about the whole."""
        leg = self._legs[self._order.key]
        subject = position_subject(leg.key)
        return key in {"", "+", "-", leg.underlying, leg.sector, subject, *leg.groups}

    def kinks(self) -> list[float]:
        """Return the quantities where a measure may change its slope."""
        n, work, sign = self._now(), self._work(), self._order.side.sign
        own, other = (work.buys, work.sells) if sign > 0 else (work.sells, work.buys)
        leg = self._legs[self._order.key]
        moved = sum(w.buys if sign > 0 else w.sells for w in self._entries.values())
        within = sum(
            w.buys if sign > 0 else w.sells
            for k, w in self._entries.items()
            if self._legs[k].underlying == leg.underlying
        )
        net = self._book.underlyings.get(leg.underlying, Aggregate()).net
        zeros = (
            -sign * n - own,
            abs(n - sign * other) - sign * n - own,
            -sign * self._book.net_usd - moved,
            -sign * net - within,
        )
        return [usd / self._order.unit_usd for usd in zeros if usd > 0]

    def _now(self) -> float:
        return self._legs[self._order.key].notional_usd or 0.0

    def _work(self) -> Working:
        return self._entries.get(self._order.key, Working())

    def at(self, quantity: float) -> ScopeBook:
        """Return the Book after a quantity of the order and everything that works."""
        order, sign = self._order, self._order.side.sign
        usd = quantity * order.unit_usd
        entries = dict(self._entries)
        entries[order.key] = self._work().plus(order.side, usd)
        book = replace(
            self._book,
            underlyings=dict(self._book.underlyings),
            sectors=dict(self._book.sectors),
            groups=dict(self._book.groups),
            stop_risk_usd=self._book.stop_risk_usd + self._risk_usd + quantity * order.risk_usd,
        )
        book.legs = [*self._book.legs]
        for key, filled in entries.items():
            leg = self._filled(book, self._legs[key], filled, sign)
            if (place := self._places.get(key)) is not None:
                book.legs[place] = leg
            elif leg.notional_usd:
                book.legs.append(leg)
        if self._has_statistics:
            self._state.appraise(book)
        return book

    def _filled(self, book: ScopeBook, leg: Leg, filled: Working, sign: int) -> Leg:
        """Return a leg at its worst, and add what that changes to the sums."""
        before = leg.notional_usd or 0.0
        up, down = before + filled.buys, before - filled.sells
        worst = up if abs(up) >= abs(down) else down
        gross = abs(worst) - abs(before)
        net = filled.buys if sign > 0 else -filled.sells
        book.gross_usd += gross
        book.net_usd += net
        book.delta_usd += net
        for sums, name in (
            (book.underlyings, leg.underlying),
            (book.sectors, leg.sector),
            *((book.groups, group) for group in leg.groups),
        ):
            # The Book's own sums stay as they are.
            known = sums.get(name, Aggregate())
            sums[name] = Aggregate(known.gross + gross, known.net + net)
        is_dust = leg.is_dust and not (filled.buys or filled.sells)
        return replace(leg, notional_usd=worst, delta_usd=worst, is_dust=is_dust)


def least(order: Order) -> float:
    """Return the smallest quantity that the venue takes, > 0."""
    instrument = order.instrument
    return float(max(instrument.min_quantity, instrument.step)) or _TINY


# ---------------------------------------------------------------- what limits let pass


def limit_bounds(
    state: State,
    scoped: Iterable[tuple[Limit, ScopeBook]],
    entries: Mapping[PositionKey, Working],
    order: Order,
    cap: float,
) -> list[Bound]:
    """Return what each limit lets pass, the tightest first.

    Args:
        state: the state.
        scoped: limits that deny, each with the Book of its scope.
        entries: what works.
        order: what would be traded.
        cap: largest quantity that is of interest, > 0.
    """
    found: list[Bound] = []
    grouped: dict[str, list[Limit]] = {}
    books: dict[str, ScopeBook] = {}
    for limit, book in scoped:
        grouped.setdefault(book.scope, []).append(limit)
        books[book.scope] = book
    for scope, limits in grouped.items():
        needs_statistics = any(limit.needs_statistics for limit in limits)
        what_if = WhatIf(state, books[scope], entries, order, has_statistics=needs_statistics)
        points = sorted({0.0, min(least(order), cap), cap, *what_if.kinks()})
        points = [point for point in points if point <= cap]
        samples = [what_if.at(point) for point in points]
        for limit in limits:
            found += _bounds(state, limit, what_if, points, samples)
    return sorted(found, key=lambda bound: bound.quantity)


def _bounds(
    state: State,
    limit: Limit,
    what_if: WhatIf,
    points: list[float],
    samples: list[ScopeBook],
) -> list[Bound]:
    tables = [_by_key(state.check(limit, book)) for book in samples]
    found = []
    for key in dict.fromkeys(key for table in tables for key in table):
        rows = [table.get(key) for table in tables]
        if _unknown(rows):
            if limit.when_unknown == "deny" and what_if.touches(key):
                found.append(_of_unknown(limit, samples[0].scope, rows))
            continue
        used = [row.utilization or 0.0 if row is not None else 0.0 for row in rows]
        if math.isfinite(used[-1]) and used[-1] <= max(1.0, min(used) + _TINY):
            continue
        quantity = _crossing(state, limit, what_if, key, points, used)
        first = rows[0]
        found.append(
            Bound(
                limit.name,
                samples[0].scope,
                quantity,
                first.measured if first is not None else 0.0,
                limit.allowed,
                f"{limit.name}{f' of {key}' if key else ''}",
            )
        )
    return found


def _of_unknown(limit: Limit, scope: str, rows: Iterable[Verdict | None]) -> Bound:
    reasons = [row.reason for row in rows if row is not None and row.reason]
    words = f"unknown: {reasons[0]}" if reasons else "unknown"
    return Bound(limit.name, scope, 0.0, None, limit.allowed, words, is_unknown=True)


def _by_key(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.key: verdict for verdict in verdicts}


def _unknown(rows: list[Verdict | None]) -> bool:
    return any(row is not None and row.utilization is None for row in rows)


def _crossing(
    state: State,
    limit: Limit,
    what_if: WhatIf,
    key: str,
    points: list[float],
    used: list[float],
) -> float:
    """Return the largest quantity at which utilization is at most 1; else where it is least."""
    # From the right: a close through zero may pass a stretch that is in breach already.
    at = len(used) - 1
    while at > 0 and used[at - 1] > 1:
        at -= 1
    if at == 0:
        return points[used.index(min(used))]
    low, high, below, above = points[at - 1], points[at], used[at - 1], used[at]
    if not math.isfinite(above):
        return low
    guess = low + (1 - below) / (above - below) * (high - low)
    reached = _used(state, limit, what_if.at(guess), key)
    if reached <= 1 + _TINY:
        return guess
    # Of many keys a limit shows the near ones alone: lower down this one counted as nothing.
    nearer = guess - (reached - 1) / max(above - reached, _TINY) * (high - guess)
    if nearer > low and _used(state, limit, what_if.at(nearer), key) <= 1 + _TINY:
        return nearer
    high = guess
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _used(state, limit, what_if.at(middle), key) <= 1:
            low = middle
        else:
            high = middle
    return low


def _used(state: State, limit: Limit, book: ScopeBook, key: str) -> float:
    row = _by_key(state.check(limit, book)).get(key)
    return row.utilization or 0.0 if row is not None else 0.0


DENYING = frozenset(Response) - {Response.ALERT}
"""Responses that deny what would break their limit; an `alert` only tells."""


def order_of(
    state: State,
    instrument: Instrument,
    side: Side,
    stop: float | None,
    price: float,
    position_side: PositionSide,
) -> Order:
    """Return the order that is asked about.

    Args:
        state: the state.
        instrument: what.
        side: of it.
        stop: trigger price of its stop in quote units, None = none.
        price: in quote units, > 0.
        position_side: the position it is on.
    """
    account = instrument.account
    unit = unit_usd(state, instrument) or 0.0
    away = abs(price - stop) / price if stop is not None else state.settings.assume_stop
    key = PositionKey(account, instrument.symbol, position_side)
    if instrument.kind is InstrumentKind.SPOT:
        # A coin is one position, whichever of its markets is traded.
        coins = (leg.key for leg in state.meter.legs() if leg.is_spot)
        base = base_of(instrument.symbol)
        key = next((k for k in coins if k.account == account and base_of(k.symbol) == base), key)
    return Order(instrument, key, side, unit, unit * away)
