"""What strategies are told, and how telling them stands. Who tells them is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskbot.core import alerts, events
from riskbot.core.model import PORTFOLIO, BlindKind, Level, account_scope, strategy_scope

if TYPE_CHECKING:
    from riskbot.core.state import State
    from riskbot.core.turn import Turn


def scopes(state: State) -> list[str]:
    """Return every scope that has a trading state."""
    found = [PORTFOLIO, *(account_scope(a) for a in state.settings.accounts)]
    return found + [strategy_scope(s) for s in state.settings.strategies]


def reason(state: State, scope: str) -> str:
    """Return why the enforced trading state of a scope is what it is."""
    now = state.enforcement.state_of(scope)
    holds = state.enforcement.holds_of(scope)
    return "; ".join(h.reason for h in holds if h.state is now) or "resumed"


def standing(state: State, now_ms: int) -> dict[str, Any]:
    """Return what strategies must know now: the enforced trading state of every scope.

    `may_start` is False while nothing can be recorded: a return to ACTIVE that a restart would
    forget is told to nobody.
    """
    return {
        "scopes": {
            scope: {
                "trading_state": state.enforcement.state_of(scope).value,
                "reason": reason(state, scope),
            }
            for scope in scopes(state)
        },
        "may_start": not state.enforcement.is_blind(BlindKind.STORAGE),
        "as_of_ms": now_ms,
    }


def rows(state: State) -> list[dict[str, Any]]:
    """Return one row per strategy that is told, with what it confirmed."""
    return [{"name": name, **row} for name, row in sorted(state.feeds.told.items())]


def on_event(turn: Turn, event: events.Event) -> None:
    """Tell people of a strategy that cannot be told, until it can."""
    if not isinstance(event, events.StrategyTold):
        return
    name, scope = "strategy_untold", f"told:{event.name}"
    if not event.is_lost:
        why = "it was told" if not event.error else "there is nothing to tell it any more"
        alerts.resolve(turn, name, scope, why)
        return
    alerts.tell(
        turn,
        name,
        scope,
        Level.ORANGE,
        f"{event.name} cannot be told {event.wanted.value}",
        text=event.error,
        did="it is tried again with growing pauses; the guard waits for none of it",
        todo="stop or start the strategy by hand if it must not wait",
    )
