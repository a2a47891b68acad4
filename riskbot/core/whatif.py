"""The Book of one scope with working entries and one more order filled: the slow way and the quick.

`WhatIf` is the Book itself, which any limit may read; `outlook` what a few sums of it become, which
a limit that knows no others reads instead. Both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING

from riskbot.core import options
from riskbot.core.exposure import Aggregate, Leg, ScopeBook, Totals
from riskbot.core.limits._base import position_subject
from riskbot.core.model import InstrumentKind, PositionKey, scope_account, strategy_scope
from riskbot.core.outlooks import Outlook, Part, Pool
from riskbot.core.workload import Order, Working

if TYPE_CHECKING:
    from riskbot.core.state import State

_NOTHING = Working()


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
        self._entries = _of_scope(book, entries)
        self._risk_usd = sum(each.risk for each in self._entries.values())
        for key in (*self._entries, order.key):
            if key not in self._legs:
                self._legs[key] = _empty(state, key)

    def _work(self) -> Working:
        return self._entries.get(self._order.key, _NOTHING)

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
        made = replace(leg, notional_usd=worst, delta_usd=worst, is_dust=is_dust)
        if leg.instrument.kind is InstrumentKind.OPTION and worst != before:
            options.take_trade(self._state, made)
        return made


def _empty(state: State, key: PositionKey) -> Leg:
    return state.binding.nothing(key, state.instrument(key.account, key.symbol))


def _of_scope(book: Totals, entries: Mapping[PositionKey, Working]) -> dict[PositionKey, Working]:
    account = scope_account(book.scope)
    return {k: w for k, w in entries.items() if account in {None, k.account}}


# ---------------------------------------------------------------- the quick way


def outlook(
    state: State,
    book: Totals,
    entries: Mapping[PositionKey, Working],
    order: Order,
    owned: Mapping[PositionKey, Working] | None = None,
) -> Outlook:
    """Return what a scope's sums become; it costs what works, whatever is held.

    Args:
        state: the state.
        book: of the scope, as it is.
        entries: what works.
        order: what would be traded.
        owned: what works of the order's strategy, None = it is not asked for.
    """
    sign, mine = order.side.sign, _of_scope(book, entries)
    leg = book.by_key.get(order.key) or _empty(state, order.key)
    work, now = mine.pop(order.key, _NOTHING), leg.notional_usd or 0.0
    keyed = {
        ("underlying", leg.underlying): _without(book.underlyings, leg.underlying, now),
        ("sector", leg.sector): _without(book.sectors, leg.sector, now),
        **{("group", name): _without(book.groups, name, now) for name in leg.groups},
    }
    gross, net = book.gross_usd - abs(now), book.net_usd - now
    count, drawn = book.open_count - (not leg.is_dust), 0.0
    for key, filled in mine.items():
        other = book.by_key.get(key) or _empty(state, key)
        before = other.notional_usd or 0.0
        growth = max(abs(before + filled.buys), abs(before - filled.sells)) - abs(before)
        change = filled.buys if sign > 0 else -filled.sells
        gross, net = gross + growth, net + change
        drawn += growth if key.account == order.key.account and not other.is_spot else 0.0
        count += other.is_dust and (filled.buys or filled.sells) > 0
        for name in _names(other):
            if name in keyed:
                before_gross, before_net = keyed[name]
                keyed[name] = (before_gross + growth, before_net + change)
    risk = sum(each.risk for each in mine.values()) + work.risk
    return Outlook(
        book=book,
        leg=leg,
        subject=position_subject(leg.key),
        sign=sign,
        unit_usd=order.unit_usd,
        risk_usd=order.risk_usd,
        now=now,
        own=work.buys if sign > 0 else work.sells,
        other=work.sells if sign > 0 else work.buys,
        base_gross=gross,
        base_net=net,
        base_risk=book.stop_risk_usd + risk,
        base_count=count,
        keyed=keyed,
        find_pool=lambda: _pool(state, book, leg, drawn),
        part=None if owned is None else _part(state, book, owned, order),
    )


ASSUMED_RATE = 0.05
"""Maintenance margin per USD of a position that nothing is known of: more than large coins ask."""


def _pool(state: State, book: Totals, leg: Leg, drawn: float) -> Pool | None:
    """Return the margin an order on a position draws on.

    No venue states here what a larger position will ask: it is taken to ask per USD what the
    position asks now, and one that is not there what the account's pool asks, 5 % at least.

    Args:
        state: the state.
        book: of the scope.
        leg: the position.
        drawn: what works elsewhere on the account adds to its gross, USD.
    """
    if leg.instrument.kind is InstrumentKind.SPOT:
        return None
    account = leg.key.account
    sheet = state.meter.book.sheet(account)
    subject, ratio, found = state.meter.pool_of(leg.key)
    if ratio is None or not isfinite(ratio) or book.scope.startswith(strategy_scope("")):
        return None
    is_apart, equity = subject != account, found or 0.0
    known = state.accounts.get(account).positions.get(leg.key)
    now, maintenance = abs(leg.notional_usd or 0.0), ratio * equity
    gross = now if is_apart else sheet.gross()
    average = maintenance / gross if gross > 0 else ASSUMED_RATE
    rate = average if is_apart else max(average, ASSUMED_RATE)
    if known is not None and known.maintenance_margin and now and leg.mark_usd:
        stated = float(known.maintenance_margin) * _settle_usd(state, leg)
        rate = stated / now if stated else rate
    if is_apart:
        return Pool(subject, maintenance, equity, rate, known.leverage if known else None)
    return Pool(subject, maintenance + max(average, ASSUMED_RATE) * drawn, equity, rate)


def _settle_usd(state: State, leg: Leg) -> float:
    """Return USD per unit of what margin is stated in, 0 = unknown."""
    return state.meter.book.price_of(leg.key.account, leg.instrument.settle) or 0.0


def _part(state: State, book: Totals, owned: Mapping[PositionKey, Working], order: Order) -> Part:
    """Return what the order's strategy holds, its own entries filled."""
    tally = state.meter.book.parts[order.strategy]
    sign, mine = order.side.sign, {**owned}
    work = mine.pop(order.key, _NOTHING)
    held = {key: leg.notional_usd or 0.0 for key, leg in tally.legs.items()}
    gross = sum(abs(notional) for notional in held.values())
    now = held.pop(order.key, 0.0)
    elsewhere = sum(
        max(abs(notional + filled.buys), abs(notional - filled.sells))
        for key in {**held, **mine}
        for notional, filled in ((held.get(key, 0.0), mine.get(key, _NOTHING)),)
    )
    return Part(
        strategy=order.strategy,
        now=now,
        own=work.buys if sign > 0 else work.sells,
        other=work.sells if sign > 0 else work.buys,
        elsewhere=elsewhere,
        external=max(book.gross_usd - gross, 0.0),
    )


def _without(sums: Mapping[str, Aggregate], name: str, notional: float) -> tuple[float, float]:
    known = sums.get(name, Aggregate())
    return known.gross - abs(notional), known.net - notional


def _names(leg: Leg) -> tuple[tuple[str, str], ...]:
    return (
        ("underlying", leg.underlying),
        ("sector", leg.sector),
        *(("group", name) for name in leg.groups),
    )


def kinks(seen: Outlook) -> list[float]:
    """Return the quantities > 0 where a measure may change its slope."""
    sign, ahead = seen.sign, seen.sign * seen.shift(0.0)
    zeros = (
        -ahead,
        abs(seen.now - sign * seen.other) - ahead,
        -sign * seen.net(0.0),
        -sign * seen.keyed_net("underlying", seen.leg.underlying, 0.0),
    )
    return [usd / seen.unit_usd for usd in zeros if usd > 0]
