"""Confirm the breach, not the price: whether a closing response may start.

A breach counts as confirmed when it shows under each of two fresh independent price sources.
Where only one source speaks, a REST re-read is asked for and becomes the second.
"""

from __future__ import annotations

from enum import StrEnum

from riskbot.core import actions
from riskbot.core.limits._base import Limit
from riskbot.core.model import Level, scope_account
from riskbot.core.turn import Turn

MARGIN_FOLLOWS_MARK_MS = 3_000
"""After sources disagreed this long, margin measures follow the mark: it is what liquidates."""

ASK_EVERY_MS = 1_000

UNPRICED_LIMITS = frozenset(
    {
        "open_positions",
        "trades_per_day",
        "loss_streak",
        "order_rate",
        "error_rate",
        "feed_age",
        "clock_offset",
        "slippage",
    }
)
"""Measures that rest on no price: there is nothing to confirm."""

MARGIN_LIMITS = frozenset({"maintenance_margin", "liquidation_distance"})


class Confirmation(StrEnum):
    """Whether two sources show a breach."""

    CONFIRMED = "confirmed"
    SINGLE = "single"
    DISAGREEING = "disagreeing"


def confirm(
    turn: Turn,
    scope: str,
    limit: Limit,
    red: frozenset[str],
    disagree_since_ms: int | None,
    level: Level = Level.RED,
) -> tuple[Confirmation, str]:
    """Judge a breach by the second source of every price it rests on.

    What accounts hold that wait at first contact is left out of it.

    Args:
        turn: the turn; a REST re-read may be asked for on it.
        scope: whose limit.
        limit: the limit in breach under the first source.
        red: its keys in breach there; the second source must show one of them too.
        disagree_since_ms: since when sources have disagreed, None = they did not.
        level: what must show, RED or (for a reduce on approach) ORANGE.

    Returns:
        The confirmation and a sentence on what is missing.
    """
    proof, note = _confirm(turn, scope, limit, red, disagree_since_ms, level)
    if proof is Confirmation.CONFIRMED and level is Level.RED:
        turn.confirmed.add((scope, limit.name))
    return proof, note


def _confirm(
    turn: Turn,
    scope: str,
    limit: Limit,
    red: frozenset[str],
    disagree_since_ms: int | None,
    level: Level,
) -> tuple[Confirmation, str]:
    if limit.name in UNPRICED_LIMITS:
        return Confirmation.CONFIRMED, ""
    second = turn.second(turn.state.enforcement.waiting(scope, limit.name))
    book = second.scopes.get(scope)
    verdicts = turn.state.check(limit, book) if book is not None else []
    shows = any(v.level in {level, Level.RED} and v.key in red for v in verdicts)
    account = scope_account(scope)
    single = [key for key in second.single if account in {None, key[0]}]
    if shows and not single:
        return Confirmation.CONFIRMED, ""
    held = [key for key in second.held if account in {None, key[0]}]
    apart = turn.state.meter.disagreeing(held, turn.now_ms) if not shows else []
    if apart:
        return _disagreement(turn, limit, apart, disagree_since_ms)
    if single:
        ask(turn, single)
        names = ", ".join(sorted({symbol for _, symbol in single}))
        return Confirmation.SINGLE, f"one price source only for {names}: asked the venue again"
    return Confirmation.SINGLE, "the second price source does not show it yet"


def _disagreement(
    turn: Turn, limit: Limit, apart: list[tuple[str, str]], since_ms: int | None
) -> tuple[Confirmation, str]:
    names = ", ".join(sorted({symbol for _, symbol in apart}))
    waited = since_ms is not None and turn.now_ms - since_ms >= MARGIN_FOLLOWS_MARK_MS
    if waited and limit.name in MARGIN_LIMITS:
        return Confirmation.CONFIRMED, f"sources disagree on {names}: margin follows the mark"
    return Confirmation.DISAGREEING, f"price sources differ by 1 % or more on {names}"


def ask(turn: Turn, single: list[tuple[str, str]]) -> None:
    """Ask the venues for the missing second view, at most once a second per account."""
    for account in sorted({name for name, _ in single}):
        if turn.now_ms - turn.state.last_request_ms(account) < ASK_EVERY_MS:
            continue
        symbols = tuple(sorted(symbol for name, symbol in single if name == account))
        turn.emit(
            actions.RefreshAccount(
                account=account,
                request_id=turn.state.next_request_id(),
                reason="confirm",
                symbols=symbols,
                is_urgent=True,
            )
        )
