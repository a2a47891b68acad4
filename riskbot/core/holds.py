"""Holds: what a breach forbids, how strictly, and what ends it.

A standing hold is never weakened by the breach behind it. Which stage a breach is in is `ladder`.
"""

from __future__ import annotations

from dataclasses import replace

from riskbot.core import actions
from riskbot.core.duty import OPERATOR, Episode, EpisodeStage, Hold
from riskbot.core.limits._base import Limit
from riskbot.core.model import Response, TradingState
from riskbot.core.turn import Turn

IMPLY_DENY = frozenset({Response.REDUCE, Response.HEDGE})
"""Responses that deny and cancel from the breach on, also while they wait for their start."""

_PROVEN = frozenset({EpisodeStage.ACTING, EpisodeStage.ASKING})


def place(turn: Turn, limit: Limit, episode: Episode, near: frozenset[str]) -> None:
    """Place what the episode forbids; a standing hold is never weakened here.

    Args:
        turn: the turn.
        limit: whose breach it is.
        episode: that breach.
        near: keys that are not below the clearing level yet: what holds them goes on.
    """
    wanted = _wanted_hold(turn, limit, episode)
    known = turn.state.enforcement.holds.get((episode.scope, limit.name))
    if wanted is None:
        return
    if known is not None and not known.is_enforced and turn.is_enforcing:
        # What shadow would have held does not make the first hold of enforce any stricter.
        known = None
    if known is not None:
        wanted = _joined(wanted, known, near)
        if wanted == known:
            return
    turn.emit(actions.PlaceHold(hold=wanted))
    if known is None or known.state is not wanted.state:
        turn.audit(
            "hold" if turn.is_enforcing else "would_hold",
            limit.name,
            episode.scope,
            wanted.reason,
            state=wanted.state.value,
            keys=list(wanted.keys),
            measured=episode.measured,
            allowed=episode.allowed,
            response=episode.response.value,
        )


def _joined(wanted: Hold, known: Hold, near: frozenset[str]) -> Hold:
    """Return the stricter of both in every respect."""
    state = max(wanted.state, known.state, key=lambda s: s.rank)
    keys = {*wanted.keys, *(near & set(known.keys))}
    return replace(
        wanted,
        state=state,
        since_ms=known.since_ms,
        reason=wanted.reason if state is not known.state else known.reason,
        is_latched=wanted.is_latched or known.is_latched,
        is_enforced=wanted.is_enforced or known.is_enforced,
        keys=tuple(sorted(keys)) if state is TradingState.ACTIVE else (),
        until_ms=wanted.until_ms or known.until_ms,
        is_proven=wanted.is_proven or known.is_proven,
    )


def _wanted_hold(turn: Turn, limit: Limit, episode: Episode) -> Hold | None:
    waits = episode.stage is EpisodeStage.WAITING and episode.response not in IMPLY_DENY
    if episode.response is Response.ALERT or waits:
        return None
    halts = episode.response in {Response.HALT, Response.FLATTEN}
    keys: tuple[str, ...] = ()
    if halts and episode.stage is EpisodeStage.ACTING:
        state, latched = TradingState.HALTED, limit.latch
    elif limit.is_keyed:
        state, latched, keys = TradingState.ACTIVE, False, episode.keys
    else:
        state, latched = TradingState.REDUCING, False
    until = None
    if limit.is_calendar and episode.stage is EpisodeStage.ACTING:
        # Of the day the measure counts from, which may not have ended although midnight passed.
        begun_ms = turn.state.meter.day_begun_ms(episode.scope)
        until = turn.state.next_day_start_ms(turn.now_ms if begun_ms is None else begun_ms)
    return Hold(
        limit=limit.name,
        scope=episode.scope,
        state=state,
        since_ms=turn.now_ms,
        reason=describe(limit, episode.measured),
        is_latched=latched,
        is_enforced=turn.is_enforcing,
        keys=keys,
        until_ms=until,
        is_proven=episode.stage in _PROVEN,
    )


def describe(limit: Limit, measured: float | None) -> str:
    """Return `gross_exposure 2.04 > 2.00` in the limit's unit."""
    sign = "<" if limit.is_min else ">"
    shown = "unknown" if measured is None else figure(measured, limit.unit)
    return f"{limit.name} {shown} {sign} {figure(limit.allowed, limit.unit)}"


def figure(value: float, unit: str) -> str:
    """Write a measure for people: shares below 10 as percent where that is how they are said."""
    if unit == "ratio":
        return f"{value:.2f}x" if abs(value) >= 1 else f"{value * 100:.2f}%"
    if unit in {"count", "/min", "s", "ms", "bps"}:
        return f"{value:g} {unit}" if unit != "count" else f"{value:g}"
    return f"{value:,.0f} {unit}"


# ---------------------------------------------------------------- the end of a hold


def stop_clearing(turn: Turn, hold: Hold | None) -> None:
    """Start the wait for a release anew: the measure is not known to be clear."""
    if hold is not None and hold.clear_since_ms is not None:
        turn.emit(actions.PlaceHold(hold=replace(hold, clear_since_ms=None)))


def release(turn: Turn, scope: str, limit: Limit, used: float) -> None:
    """Drop an unlatched hold once utilization stayed at or below `clear_at` long enough."""
    hold = turn.state.enforcement.holds.get((scope, limit.name))
    if hold is None or hold.is_latched or hold.until_ms is not None:
        return
    if used > limit.clear_at or turn.state.is_scope_blind(scope):
        stop_clearing(turn, hold)
        return
    if not hold.is_proven:
        # What the second source never showed was no breach: nothing to wait for.
        drop_hold(turn, hold, "the breach was not confirmed")
        return
    if hold.clear_since_ms is None:
        turn.emit(actions.PlaceHold(hold=replace(hold, clear_since_ms=turn.now_ms)))
    elif turn.now_ms - hold.clear_since_ms >= turn.settings.clear_for_s * 1000:
        drop_hold(turn, hold, f"inside the limit for {turn.settings.clear_for_s:g} s")


def place_operator_hold(turn: Turn, scope: str, actor: str, reason: str) -> None:
    """Place a person's latched hold on a scope; enforced in every mode."""
    words = f"by {actor}" + (f": {reason}" if reason else "")
    hold = Hold(
        limit=OPERATOR,
        scope=scope,
        state=TradingState.HALTED,
        since_ms=turn.now_ms,
        reason=words,
        is_latched=True,
    )
    turn.emit(actions.PlaceHold(hold=hold))
    turn.audit("halt", OPERATOR, scope, words, actor)


def drop_hold(turn: Turn, hold: Hold, reason: str, actor: str = "riskbot") -> None:
    """Drop a hold and say so in the audit."""
    turn.emit(actions.DropHold(scope=hold.scope, limit=hold.limit, reason=reason))
    turn.audit("release", hold.limit, hold.scope, reason, actor, since_ms=hold.since_ms)


def drop_calendar_holds(turn: Turn) -> None:
    """Drop the holds whose day has ended.

    Where the scope has a NAV its next day must have begun, too: measured against the old one, the
    loss would set the same hold again, for another day.
    """
    for hold in list(turn.state.enforcement.holds.values()):
        if hold.until_ms is None or turn.now_ms < hold.until_ms or hold.is_latched:
            continue
        begun_ms = turn.state.meter.day_begun_ms(hold.scope)
        if begun_ms is None or begun_ms >= hold.until_ms:
            drop_hold(turn, hold, "a new day started")
