"""Alerts to send in tests, every field defaulted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from riskbot.core import actions
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import Level

BASE = Alert(
    alert_id="A1",
    revision=1,
    level=Level.RED,
    status=AlertStatus.FIRING,
    name="drawdown",
    scope="portfolio",
    title="drawdown 5.20% > 5.00%",
    text="of everything",
    since_ms=1_700_000_000_000,
    updated_ms=1_700_000_000_000,
    measured=0.052,
    allowed=0.05,
    worst=0.052,
    worst_level=Level.RED,
    did="HALTED until resume: entries stopped, exits allowed",
    todo="ack; resume when you have looked at it",
    group="drawdown",
)


def alert(alert_id: str = "A1", level: Level = Level.RED, **fields: Any) -> Alert:
    """Return a firing alert; `worst_level` follows the level."""
    return replace(BASE, **{"alert_id": alert_id, "level": level, "worst_level": level, **fields})


def resolved(before: Alert) -> Alert:
    """Return the end of an alert."""
    return replace(
        before,
        revision=before.revision + 1,
        level=Level.OK,
        status=AlertStatus.RESOLVED,
        resolved_ms=before.updated_ms + 60_000,
        todo="",
    )


def send(told: Alert, *, is_loud: bool = True) -> actions.SendAlert:
    """Return the action that tells it."""
    return actions.SendAlert(alert=told, is_loud=is_loud)
