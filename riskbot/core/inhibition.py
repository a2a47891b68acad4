"""Causes: which alerts belong together, and which say nothing while a graver one stands.

Nothing here decides when or how loud; that is `threads`.
"""

from __future__ import annotations

from riskbot.core.duty import Alert
from riskbot.core.limits import LIMITS_BY_NAME
from riskbot.core.model import PORTFOLIO, Level, TradingState, scope_account
from riskbot.core.turn import Turn

_FAMILIES = {
    "blind_account": "sight",
    "blind_price": "sight",
    "blind_clock": "sight",
    "feed_prices": "sight",
    "feed_account": "sight",
}
"""Cause of alerts that are no limit's; what is not named is a cause of its own."""

_OF_SIGHT = frozenset({"blind_price", "feed_prices", "feed_account"})


def waits(turn: Turn, alert: Alert) -> bool:
    """Whether others of the same cause may follow soon: limits come in flocks, losses at once."""
    limit = turn.state.limit(alert.scope, alert.name)
    return limit is not None and not limit.is_loss


def group(alert: Alert) -> str:
    """Return the cause of an alert: its scope and the family of its rule."""
    limit = LIMITS_BY_NAME.get(alert.name)
    family = limit.family if limit is not None else _FAMILIES.get(alert.name, alert.name)
    return f"{alert.scope}|{family}"


def hidden(turn: Turn) -> set[tuple[str, str]]:
    """Return (name, scope) of the alerts that are shown but not told."""
    return {
        key
        for key, alert in turn.state.alerts.firing.items()
        if _same_rule(turn, alert) or _out_of_sight(turn, alert) or _halted(turn, alert)
    }


def _same_rule(turn: Turn, alert: Alert) -> bool:
    """Red of a rule hides what the same rule says more mildly elsewhere."""
    if alert.level is Level.RED or alert.name not in LIMITS_BY_NAME:
        return False
    others = turn.state.alerts.firing.values()
    return any(a.name == alert.name and a.level is Level.RED for a in others)


def _out_of_sight(turn: Turn, alert: Alert) -> bool:
    """An account that is out of sight hides what its figures say, short of red."""
    is_figure = alert.name in _OF_SIGHT or alert.name in LIMITS_BY_NAME
    if scope_account(alert.scope) is None or alert.level is Level.RED or not is_figure:
        return False
    return ("blind_account", alert.scope) in turn.state.alerts.firing


def _halted(turn: Turn, alert: Alert) -> bool:
    """While all is halted, nobody is told that exposure nears a limit."""
    limit = LIMITS_BY_NAME.get(alert.name)
    if alert.level is not Level.YELLOW or limit is None or limit.family != "exposure":
        return False
    if turn.state.enforcement.state_of(PORTFOLIO) is not TradingState.HALTED:
        return False
    firing = turn.state.alerts.firing.values()
    return any(a.scope == PORTFOLIO and (a.name == "halt" or a.level is Level.RED) for a in firing)
