"""Verdicts to episodes and holds: who may trade what, and which response is due.

Reads verdicts, writes episodes and holds; who waits at first contact is `contacts`. The closing
work itself is opened by `responses` and carried out by `campaign`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from riskbot.core import actions, confirmation, contacts, holds
from riskbot.core.confirmation import Confirmation
from riskbot.core.duty import Episode, EpisodeStage
from riskbot.core.limits._base import Limit, Verdict
from riskbot.core.model import Level, Response
from riskbot.core.turn import Turn

CLOSING = frozenset({Response.REDUCE, Response.HEDGE, Response.FLATTEN})
"""Responses that touch positions: they need a confirmed breach and an armed contact."""

UTILIZATION_STEP = 0.05
"""An episode is recorded anew when its utilization moved by this much."""


def judge(turn: Turn, scope: str, limit: Limit, verdicts: Iterable[Verdict]) -> None:
    """Move the episode and the hold of one limit of one scope to what its verdicts say."""
    found = list(verdicts)
    if not found:
        return
    worst = max(found, key=_badness)
    if worst.level is Level.UNKNOWN or worst.utilization is None:
        # No data freezes what stands; the BLIND flags tell and deny. Nor does it clear anything.
        holds.stop_clearing(turn, turn.state.enforcement.holds.get((scope, limit.name)))
        return
    known = (scope, limit.name) in turn.state.enforcement.episodes
    if not known and not turn.state.is_settled(scope, turn.now_ms):
        # Part of the accounts is not the portfolio: what it shows now is no breach yet.
        return
    contacts.meet(turn, scope, limit, worst)
    if worst.level is Level.RED:
        _breach(turn, scope, limit, worst, found)
    else:
        _calm(turn, scope, limit, worst)


def _badness(verdict: Verdict) -> tuple[int, float]:
    return (verdict.level.rank, verdict.utilization or 0.0)


# ---------------------------------------------------------------- in breach


def _breach(turn: Turn, scope: str, limit: Limit, worst: Verdict, found: list[Verdict]) -> None:
    before = turn.state.enforcement.episodes.get((scope, limit.name))
    red = frozenset(v.key for v in found if v.level is Level.RED)
    keys = tuple(sorted(key for key in red if key))
    since = before.breach_since_ms if before else None
    since = turn.now_ms if since is None else since
    episode = _episode(turn, scope, limit, worst, before)
    response = _response(turn, limit, before)
    stage, note = _stage(turn, scope, limit, red, before, since, response)
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
        keys_ms=_keys_ms(turn, before, keys),
        response=response,
        breach_since_ms=since,
        deadline_ms=deadline,
        is_overdue=overdue,
        disagree_since_ms=disagree,
    )
    _store(turn, before, episode)
    near = frozenset(v.key for v in found if (v.utilization or 0.0) > limit.clear_at)
    holds.place(turn, limit, episode, near)


def _keys_ms(turn: Turn, before: Episode | None, keys: tuple[str, ...]) -> int:
    """Return when a key last joined the breach: its entries are still to be cancelled."""
    if before is None or before.breach_since_ms is None or set(keys) - set(before.keys):
        return turn.now_ms
    return before.keys_ms


def _disagree_since(turn: Turn, before: Episode | None, stage: EpisodeStage) -> int | None:
    if stage is not EpisodeStage.DISAGREEING:
        return None
    known = before.disagree_since_ms if before else None
    return turn.now_ms if known is None else known


def _response(turn: Turn, limit: Limit, before: Episode | None) -> Response:
    """Return the response due: the limit's own, or `then` once the window was missed."""
    if before is None or before.breach_since_ms is None:
        return limit.on_breach
    late = before.deadline_ms is not None and turn.now_ms > before.deadline_ms
    if late and limit.then is not None:
        return limit.then
    # What another configuration named before a restart is no response of this limit.
    return before.response if before.response is limit.then else limit.on_breach


def _stage(
    turn: Turn,
    scope: str,
    limit: Limit,
    red: frozenset[str],
    before: Episode | None,
    since: int,
    response: Response,
) -> tuple[EpisodeStage, str]:
    """Return where the episode stands and a note on why."""
    closes = response in CLOSING
    if closes and not contacts.is_armed(turn, scope, limit.name):
        return EpisodeStage.ASKING, "stood at first contact: waits for an operator"
    waiting = turn.state.enforcement.waiting(scope, limit.name)
    if closes and waiting and not contacts.shows_without(turn, scope, limit, waiting):
        return EpisodeStage.ASKING, f"came with {', '.join(sorted(waiting))}: waits for an operator"
    if turn.now_ms < since + int(limit.start_after_s * 1000):
        return EpisodeStage.WAITING, f"response starts after {limit.start_after_s:g} s"
    acted = before is not None and before.stage is EpisodeStage.ACTING
    if before is not None and acted and before.response is response:
        return EpisodeStage.ACTING, before.note
    if closes or response is Response.HALT:
        disagree_since = before.disagree_since_ms if before else None
        proof, note = confirmation.confirm(turn, scope, limit, red, disagree_since)
        if proof is Confirmation.DISAGREEING:
            return EpisodeStage.DISAGREEING, note
        if proof is Confirmation.SINGLE:
            return EpisodeStage.UNCONFIRMED, note
    return EpisodeStage.ACTING, ""


# ---------------------------------------------------------------- not in breach


def _calm(turn: Turn, scope: str, limit: Limit, worst: Verdict) -> None:
    before = turn.state.enforcement.episodes.get((scope, limit.name))
    used = worst.utilization or 0.0
    holds.release(turn, scope, limit, used)
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


# ---------------------------------------------------------------- shared


def _episode(
    turn: Turn, scope: str, limit: Limit, worst: Verdict, before: Episode | None
) -> Episode:
    measured = worst.measured
    seen = [m for m in (before.worst if before else None, measured) if m is not None]
    record = (min if limit.is_min else max)(seen, default=None)
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
            "keys_ms",
            "is_overdue",
            "disagree_since_ms",
            "note",
            "allowed",
        )
    )
