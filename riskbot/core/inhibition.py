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


def hidden(turn: Turn) -> dict[tuple[str, str], str]:
    """Return the alerts that are shown but not told, and the id of what hides each."""
    firing = turn.state.alerts.firing
    found: dict[tuple[str, str], str] = {}
    for key, alert in firing.items():
        cause = _same_rule(turn, alert) or _out_of_sight(turn, alert) or _halted(turn, alert)
        if cause is not None and cause is not alert:
            found[key] = cause.alert_id
    return found


def _same_rule(turn: Turn, alert: Alert) -> Alert | None:
    """Red of a rule hides what the same rule says more mildly elsewhere."""
    if alert.level is Level.RED or alert.name not in LIMITS_BY_NAME:
        return None
    others = turn.state.alerts.firing.values()
    return next((a for a in others if a.name == alert.name and a.level is Level.RED), None)


def _out_of_sight(turn: Turn, alert: Alert) -> Alert | None:
    """An account that is out of sight hides what its figures say, short of red."""
    account = scope_account(alert.scope)
    if (
        account is None
        or alert.level is Level.RED
        or not (alert.name in _OF_SIGHT or alert.name in LIMITS_BY_NAME)
    ):
        return None
    return turn.state.alerts.firing.get(("blind_account", alert.scope))


def _halted(turn: Turn, alert: Alert) -> Alert | None:
    """While all is halted, nobody is told that exposure nears a limit."""
    limit = LIMITS_BY_NAME.get(alert.name)
    if alert.level is not Level.YELLOW or limit is None or limit.family != "exposure":
        return None
    if turn.state.enforcement.state_of(PORTFOLIO) is not TradingState.HALTED:
        return None
    firing = turn.state.alerts.firing.values()
    reasons = (a for a in firing if a.name == "halt" or a.level is Level.RED)
    return next((a for a in reasons if a.scope == PORTFOLIO), None)
