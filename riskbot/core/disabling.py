"""Strategies that repeat themselves or keep losing: disabled until a person lets them trade again.

What counts as a repeat is in `pretrade.checks`; a strategy's own halt pulls its orders as well.
"""

from __future__ import annotations

from riskbot.core import actions, alerts, tellings
from riskbot.core.duty import Hold
from riskbot.core.model import Level, TradingState, strategy_scope
from riskbot.core.ordering import REPEATED
from riskbot.core.turn import Turn
from riskbot.core.working import withdraw


def watch(turn: Turn) -> None:
    """Disable whoever has lost as many round trips in a row as its rules allow."""
    for name, strategy in turn.settings.strategies.items():
        allowed, part = strategy.orders.max_losing_trips, turn.state.trades.parts.get(name)
        if allowed is not None and part is not None and part.streak >= allowed:
            disable(turn, name, f"{part.streak} losing round trips in a row")


def disable(turn: Turn, strategy: str, words: str) -> None:
    """Hold a strategy and pull its entries; shadow says what it would do."""
    scope, enforces = strategy_scope(strategy), turn.is_enforcing
    known = turn.state.enforcement.holds.get((scope, REPEATED))
    if known is not None and known.is_enforced >= enforces:
        return
    hold = Hold(
        limit=REPEATED,
        scope=scope,
        state=TradingState.HALTED,
        since_ms=turn.now_ms,
        reason=words,
        is_latched=True,
        is_enforced=enforces,
    )
    turn.emit(actions.PlaceHold(hold=hold))
    turn.audit("hold" if enforces else "would_hold", REPEATED, scope, words)
    did = "nothing: shadow" if not enforces else "its entries are denied and pulled; exits pass"
    alerts.tell(
        turn,
        "repeated_execution",
        scope,
        Level.RED,
        f"{strategy} {'is' if enforces else 'would be'} disabled: {words}",
        did=did,
        todo=f"mend the strategy, then `riskbot ctl resume --strategy {strategy}`",
    )
    if enforces:
        pull_entries(turn, strategy)


def announce(turn: Turn, strategy: str) -> None:
    """Tell a strategy its trading state, where the turn itself announces none."""
    scope = strategy_scope(strategy)
    turn.emit(
        actions.NotifyStrategies(
            scope=scope,
            trading_state=turn.state.enforcement.state_of(scope),
            reason=tellings.reason(turn.state, scope),
        )
    )


def pull_entries(turn: Turn, strategy: str) -> None:
    """Cancel what a strategy was approved as new risk, wherever it was sent from."""
    for known in list(turn.state.reservations.live.values()):
        if known.strategy == strategy and not (known.is_exit or known.is_unsent):
            withdraw(turn, known)
