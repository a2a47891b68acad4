"""What an order is told of a scope without measuring all of it: sums that are there anyway.

After a price tick they cost what the tick moved. What needs more is asked of the Book.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from riskbot.core import measures
from riskbot.core.exposure import ScopeBook, Totals
from riskbot.core.limits._base import Limit, Verdict

if TYPE_CHECKING:
    from riskbot.core.state import State


def totals(state: State, scope: str, now_ms: int) -> Totals:
    """Return what of a scope is summed up, as its Book would say it."""
    meter = state.meter
    found = meter.glances.get(scope)
    if found is None:
        meter.book.view.now_ms = now_ms
        found = meter.glances[scope] = measures.totals(meter.book, scope, now_ms)
        _add_what_is_aside(state, found, now_ms)
    return found


def _add_what_is_aside(state: State, found: Totals, now_ms: int) -> None:
    """Add what no order moves, where a limit of the scope reads it."""
    scope, aside = found.scope, state.binding.aside(found.scope)
    if aside.has_losses:
        found.losses = state.meter.booking.losses(scope, now_ms)
    if aside.has_others:
        day_ms = state.meter.booking.periods.day_start_ms(now_ms)
        found.operational = dict(state.feeds.operational(scope, now_ms))
        found.day = dict(state.trades.counts(scope))
        found.slippage_bps = state.reservations.slips.of(scope, day_ms)


def verdicts(state: State, scope: str, limit: Limit, now_ms: int) -> list[Verdict]:
    """Return what a limit says of now, of what is summed up where it needs no more."""
    if not limit.reads_totals:
        return state.check(limit, state.scopes(now_ms)[scope])
    # Such a limit declares `read` over totals.
    return state.check(limit, cast("ScopeBook", totals(state, scope, now_ms)))


def is_settled(state: State, scope: str, limit: Limit, now_ms: int) -> bool:
    """Whether all figures of a limit are known that no order moves: then it lets each pass."""
    settled, name = state.meter.settled, (scope, limit.name)
    if name not in settled:
        told = verdicts(state, scope, limit, now_ms)
        # It is kept with the sums, and forgotten with them.
        totals(state, scope, now_ms)
        if any(verdict.utilization is None for verdict in told):
            return False
        settled.add(name)
    return True
