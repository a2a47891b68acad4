"""Verdicts to episodes and holds: who may trade what, and which response is due.

Reads verdicts, writes episodes, holds and contacts. The closing work itself is opened by
`responses` and carried out by `campaign`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from riskbot.core import actions, confirmation
from riskbot.core.confirmation import Confirmation
from riskbot.core.duty import OPERATOR, Contact, Episode, EpisodeStage, Hold
from riskbot.core.limits._base import Limit, Verdict
from riskbot.core.model import Level, Response, TradingState
from riskbot.core.turn import Turn

CLOSING = frozenset({Response.REDUCE, Response.HEDGE, Response.FLATTEN})
"""Responses that touch positions: they need a confirmed breach and an armed contact."""

UTILIZATION_STEP = 0.05
"""An episode is recorded anew when its utilization moved by this much."""

_UNPROVEN = frozenset({EpisodeStage.UNCONFIRMED, EpisodeStage.DISAGREEING})


def judge(turn: Turn, scope: str, limit: Limit, verdicts: Iterable[Verdict]) -> None:
    """Move the episode and the hold of one limit of one scope to what its verdicts say."""
    found = list(verdicts)
    if not found:
        return
    worst = max(found, key=_badness)
    if worst.level is Level.UNKNOWN or worst.utilization is None:
        # No data freezes what stands; the BLIND flags tell and deny.
        return
    keys = tuple(sorted(v.key for v in found if v.level is Level.RED and v.key))
    _meet(turn, scope, limit, worst)
    if worst.level is Level.RED:
        _breach(turn, scope, limit, worst, keys)
    else:
        _calm(turn, scope, limit, worst)


def _badness(verdict: Verdict) -> tuple[int, float]:
    return (verdict.level.rank, verdict.utilization or 0.0)


# ---------------------------------------------------------------- first contact


def _meet(turn: Turn, scope: str, limit: Limit, worst: Verdict) -> None:
    """Record a limit's first contact in enforce; a breach standing then waits for a person."""
    if not turn.is_enforcing:
        return
    known = turn.state.enforcement.contacts.get((scope, limit.name))
    in_breach = worst.level is Level.RED
    if known is None or (in_breach and _is_tightened(known, limit)):
        acts = turn.settings.startup_breach == "act"
        contact = Contact(scope, limit.name, limit.allowed, is_armed=acts or not in_breach)
        turn.emit(actions.SetContact(contact=contact))
        if in_breach and not acts:
            turn.audit(
                "first_contact",
                limit.name,
                scope,
                "a breach stood at first contact: reported, its closing response waits",
                measured=worst.measured,
                allowed=limit.allowed,
            )
        return
    if not known.is_armed and not in_breach:
        turn.emit(actions.SetContact(contact=replace(known, is_armed=True)))
    elif known.is_armed and known.allowed != limit.allowed:
        turn.emit(actions.SetContact(contact=replace(known, allowed=limit.allowed)))


def _is_tightened(known: Contact, limit: Limit) -> bool:
    if limit.is_min:
        return limit.allowed > known.allowed
    return limit.allowed < known.allowed


# ---------------------------------------------------------------- in breach


def _breach(turn: Turn, scope: str, limit: Limit, worst: Verdict, keys: tuple[str, ...]) -> None:
    before = turn.state.enforcement.episodes.get((scope, limit.name))
    since = before.breach_since_ms if before else None
    since = turn.now_ms if since is None else since
    episode = _episode(turn, scope, limit, worst, before)
    response = _response(turn, limit, before)
    stage, note = _stage(turn, scope, limit, worst, before, since, response)
    deadline = before.deadline_ms if before else None
    if stage is EpisodeStage.ACTING and deadline is None and limit.within_s is not None:
        deadline = turn.now_ms + int(limit.within_s * 1000)
    overdue = deadline is not None and turn.now_ms > deadline
    disagree = _disagree_since(turn, before, stage)
    episode = replace(
        episode,
        stage=stage,
        note=note,
        keys=keys,
        response=response,
        breach_since_ms=since,
        deadline_ms=deadline,
        is_overdue=overdue,
        disagree_since_ms=disagree,
        clear_since_ms=None,
    )
    _store(turn, before, episode)
    _hold(turn, limit, episode)


def _disagree_since(turn: Turn, before: Episode | None, stage: EpisodeStage) -> int | None:
    if stage is not EpisodeStage.DISAGREEING:
        return None
    known = before.disagree_since_ms if before else None
    return turn.now_ms if known is None else known


def _response(turn: Turn, limit: Limit, before: Episode | None) -> Response:
    """Return the response due: the limit's own, or `then` once the window was missed."""
    if before is None:
        return limit.on_breach
    late = before.deadline_ms is not None and turn.now_ms > before.deadline_ms
    if late and limit.then is not None:
        return limit.then
    return before.response if before.breach_since_ms is not None else limit.on_breach


def _stage(
    turn: Turn,
    scope: str,
    limit: Limit,
    worst: Verdict,
    before: Episode | None,
    since: int,
    response: Response,
) -> tuple[EpisodeStage, str]:
    """Return where the episode stands and a note on why."""
    contact = turn.state.enforcement.contacts.get((scope, limit.name))
    if contact is not None and not contact.is_armed and response in CLOSING:
        return EpisodeStage.ASKING, "stood at first contact: waits for an operator"
    if turn.now_ms < since + int(limit.start_after_s * 1000):
        return EpisodeStage.WAITING, f"response starts after {limit.start_after_s:g} s"
    if before is not None and before.stage is EpisodeStage.ACTING:
        return EpisodeStage.ACTING, before.note
    if response in CLOSING or response is Response.HALT:
        disagree_since = before.disagree_since_ms if before else None
        proof, note = confirmation.confirm(turn, scope, limit, worst, disagree_since)
        if proof is Confirmation.DISAGREEING:
            return EpisodeStage.DISAGREEING, note
        if proof is Confirmation.SINGLE:
            return EpisodeStage.UNCONFIRMED, note
    return EpisodeStage.ACTING, ""


def _hold(turn: Turn, limit: Limit, episode: Episode) -> None:
    """Place what the episode forbids; a standing hold is never weakened here."""
    wanted = _wanted_hold(turn, limit, episode)
    known = turn.state.enforcement.holds.get((episode.scope, limit.name))
    if wanted is None:
        return
    if known is not None:
        wanted = replace(
            wanted,
            since_ms=known.since_ms,
            is_latched=wanted.is_latched or known.is_latched,
            state=max(wanted.state, known.state, key=lambda s: s.rank),
            is_enforced=wanted.is_enforced or known.is_enforced,
            keys=wanted.keys,
            reason=wanted.reason if wanted.state is not known.state else known.reason,
        )
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


def _wanted_hold(turn: Turn, limit: Limit, episode: Episode) -> Hold | None:
    if episode.response is Response.ALERT or episode.stage is EpisodeStage.WAITING:
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
    if limit.is_calendar:
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


# ---------------------------------------------------------------- not in breach


def _calm(turn: Turn, scope: str, limit: Limit, worst: Verdict) -> None:
    before = turn.state.enforcement.episodes.get((scope, limit.name))
    used = worst.utilization or 0.0
    _release(turn, scope, limit, used, before)
    level = max(worst.level, _sticky(limit, before, used), key=lambda lv: lv.rank)
    hold = turn.state.enforcement.holds.get((scope, limit.name))
    if level is Level.OK and hold is None:
        if before is not None:
            turn.emit(actions.EndEpisode(scope=scope, limit=limit.name))
        return
    if level is Level.OK and before is None:
        return
    episode = _episode(turn, scope, limit, worst, before)
    stage = EpisodeStage.CLEARING if hold is not None else EpisodeStage.APPROACHING
    if level is Level.RED:
        stage = EpisodeStage.CLEARING
    cleared = used <= limit.clear_at
    episode = replace(
        episode,
        level=level,
        stage=stage,
        response=limit.on_breach,
        breach_since_ms=None if cleared else (before.breach_since_ms if before else None),
        deadline_ms=None,
        is_overdue=False,
        disagree_since_ms=None,
        note="",
    )
    _store(turn, before, episode)


def _sticky(limit: Limit, before: Episode | None, used: float) -> Level:
    """Return the level that hysteresis keeps: it clears at utilization <= level * clear_at."""
    if before is None:
        return Level.OK
    yellow, orange = limit.levels
    for level, share in ((Level.RED, 1.0), (Level.ORANGE, orange), (Level.YELLOW, yellow)):
        if before.level.rank >= level.rank and used > share * limit.clear_at:
            return level
    return Level.OK


def _release(turn: Turn, scope: str, limit: Limit, used: float, before: Episode | None) -> None:
    """Drop an unlatched hold once utilization stayed at or below `clear_at` long enough."""
    hold = turn.state.enforcement.holds.get((scope, limit.name))
    if hold is None or hold.is_latched or hold.until_ms is not None:
        return
    if used > limit.clear_at:
        if hold.clear_since_ms is not None:
            turn.emit(actions.PlaceHold(hold=replace(hold, clear_since_ms=None)))
        return
    if before is not None and before.stage in _UNPROVEN:
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


# ---------------------------------------------------------------- shared


def _episode(
    turn: Turn, scope: str, limit: Limit, worst: Verdict, before: Episode | None
) -> Episode:
    measured = worst.measured
    record = before.worst if before else None
    if measured is not None:
        bad = min if limit.is_min else max
        record = measured if record is None else bad(record, measured)
    return Episode(
        scope=scope,
        limit=limit.name,
        level=worst.level,
        stage=EpisodeStage.APPROACHING,
        since_ms=before.since_ms if before else turn.now_ms,
        measured=measured,
        allowed=limit.allowed,
        utilization=worst.utilization,
        worst=record,
        response=limit.on_breach,
        keys=(worst.key,) if worst.key else (),
    )


def _store(turn: Turn, before: Episode | None, episode: Episode) -> None:
    """Record an episode when something a person or a recovery would miss has changed."""
    if before is None or _differs(before, episode):
        turn.emit(actions.SetEpisode(episode=episode))


def _differs(before: Episode, episode: Episode) -> bool:
    if (before.utilization is None) != (episode.utilization is None):
        return True
    moved = abs((before.utilization or 0.0) - (episode.utilization or 0.0))
    if before.utilization != episode.utilization and not moved < UTILIZATION_STEP:
        return True
    return any(
        getattr(before, name) != getattr(episode, name)
        for name in (
            "level",
            "stage",
            "keys",
            "response",
            "breach_since_ms",
            "deadline_ms",
            "is_overdue",
            "disagree_since_ms",
            "note",
            "allowed",
        )
    )
