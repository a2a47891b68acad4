"""Reduce on approach: which accounts close something before a limit breaks.

How much is `plan`, from there on it is a reduce like any other, but for what it forbids: nothing.
"""

from __future__ import annotations

from riskbot.core import confirmation, contacts
from riskbot.core.confirmation import Confirmation
from riskbot.core.duty import Episode, approach_cause
from riskbot.core.limits._base import Limit
from riskbot.core.model import Level
from riskbot.core.reach import accounts_of, can_close, is_shaken_by_flow
from riskbot.core.turn import Turn

AGAIN_MS = 60_000
"""Nothing more is closed on an approach for so long: a strategy that opens against it would be
closed again and again, for fees alone. What it pushes over the limit is answered by `on_breach`."""


def due(turn: Turn, episode: Episode, limit: Limit) -> list[str]:
    """Return the accounts to plan closes on: two sources show orange, and nothing else works."""
    if "reduce" not in limit.on_approach or not contacts.is_armed(turn, episode.scope, limit.name):
        return []
    accounts = [a for a in accounts_of(turn, episode.scope) if _is_free(turn, episode, a)]
    if not accounts or is_shaken_by_flow(turn, episode.scope, limit.name):
        return []
    book = turn.book(episode.scope)
    verdicts = turn.state.check(limit, book) if book is not None else []
    near = frozenset(v.key for v in verdicts if v.level is Level.ORANGE)
    if not near:
        return []
    proof, _ = confirmation.confirm(turn, episode.scope, limit, near, None, Level.ORANGE)
    return accounts if proof is Confirmation.CONFIRMED else []


def _is_free(turn: Turn, episode: Episode, account: str) -> bool:
    duty = turn.state.enforcement
    if account in duty.intents or account in duty.waiting(episode.scope, episode.limit):
        return False
    answered = duty.answered.get((episode.scope, approach_cause(episode.limit), account))
    is_due = answered is None or turn.now_ms - answered[1] >= AGAIN_MS
    return is_due and can_close(turn, account)
