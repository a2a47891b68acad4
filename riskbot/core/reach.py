"""Whose positions a response may touch: the accounts of its scope that are in sight.

What is done on them is in `responses` and `campaign`.
"""

from __future__ import annotations

from collections.abc import Iterable

from riskbot.core.confirmation import MARGIN_LIMITS
from riskbot.core.duty import cause_limit
from riskbot.core.model import PORTFOLIO, BlindKind, scope_account
from riskbot.core.turn import Turn


def accounts_of(turn: Turn, scope: str) -> list[str]:
    """Return the accounts a response in this scope may touch.

    A strategy's reach is its accounts that no other strategy shares and nobody else trades.
    """
    if scope == PORTFOLIO:
        return sorted(turn.settings.accounts)
    account = scope_account(scope)
    if account is not None:
        return [account] if account in turn.settings.accounts else []
    name = scope.partition(":")[2]
    mine = turn.settings.strategies.get(name)
    others = {a for n, s in turn.settings.strategies.items() if n != name for a in s.accounts}
    return [
        a
        for a in (mine.accounts if mine else ())
        if a not in others and turn.settings.accounts[a].exclusive
    ]


def can_close(turn: Turn, account: str) -> bool:
    """Whether closing work may be opened on an account: sighted, no unexplained flow."""
    blind = turn.state.enforcement.is_blind(BlindKind.ACCOUNT, account)
    return not blind and not turn.state.has_pending_flow(account)


def sighted(turn: Turn, causes: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the accounts these causes reach that are in sight: what may be closed of a pair."""
    names = {
        name
        for scope, label in causes
        for name in accounts_of(turn, scope)
        if name not in turn.state.enforcement.waiting(scope, cause_limit(label))
    }
    return tuple(sorted(name for name in names if not turn.state.is_account_blind(name)))


def is_shaken_by_flow(turn: Turn, scope: str, name: str) -> bool:
    """Whether an unexplained change of equity anywhere in the scope may be all of the breach.

    Losses leave it out of NAV, and the margin of one account is not over another's equity.
    """
    limit = turn.state.limit(scope, name)
    if limit is None or limit.is_loss or limit.name in MARGIN_LIMITS:
        return False
    return any(turn.state.is_unexplained(a) for a in accounts_of(turn, scope))
