"""Work that is given up: needed no more, allowed no more, or on an account that is none any more.

What ends because it is done is `campaign`'s business.
"""

from __future__ import annotations

from riskbot.core import actions
from riskbot.core.duty import Intent, IntentKind, IntentPhase, cause_limit, is_approach
from riskbot.core.model import BlindKind, TradingState
from riskbot.core.turn import RISKBOT, Turn


def drop(turn: Turn) -> None:
    """End what must not go on; an order in flight is waited for, where there is an account."""
    for intent in list(turn.state.enforcement.intents.values()):
        if intent.account not in turn.settings.accounts:
            end(turn, intent, "the account is configured no more")
        elif not turn.state.enforcement.pending_of(intent.account) and (why := _why(turn, intent)):
            end(turn, intent, why)


def end(turn: Turn, intent: Intent, outcome: str) -> None:
    """End an intent that is not complete, and say why."""
    turn.emit(
        actions.EndIntent(account=intent.account, intent_id=intent.intent_id, outcome=outcome)
    )


def _why(turn: Turn, intent: Intent) -> str:
    """Return why an intent goes on no more, empty = it goes on."""
    is_own = intent.actor == RISKBOT and intent.kind is not IntentKind.CANCEL
    if is_own and not turn.is_enforcing:
        # Begun in enforce, before a restart. Its hold stands.
        return "shadow: riskbot closes nothing of its own"
    if intent.kind is IntentKind.HEDGE:
        return _why_no_hedge(turn, intent)
    begun = intent.phase not in {IntentPhase.CANCEL, IntentPhase.READ}
    if intent.kind is not IntentKind.REDUCE or intent.actor != RISKBOT or begun:
        return ""
    if all(_is_at_target(turn, scope, label) for scope, label in intent.causes):
        return "inside again before anything was sent"
    return ""


def _why_no_hedge(turn: Turn, intent: Intent) -> str:
    """Return what forbids a hedge that still has to open something, empty = nothing."""
    if all(abs(t.quantity) <= abs(turn.state.quantity(t.key)) for t in intent.targets):
        return ""
    if turn.state.enforcement.account_state(intent.account) is TradingState.HALTED:
        return "halted: a hedge would be new risk"
    # Sent unrecorded, it would be opened again after a restart.
    is_unwritten = turn.state.enforcement.is_blind(BlindKind.STORAGE)
    return "the journal takes no writes: a hedge would be new risk" if is_unwritten else ""


def _is_at_target(turn: Turn, scope: str, label: str) -> bool:
    name = cause_limit(label)
    episode = turn.state.enforcement.episodes.get((scope, name))
    limit = turn.state.limit(scope, name)
    if episode is None or limit is None:
        return True
    target = limit.approach_target if is_approach(label) else limit.target
    return episode.utilization is not None and episode.utilization <= target
