"""How an alert reads in plain text: the line a lock screen shows, then what follows it.

Markup is each channel's own business; nothing here escapes anything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from riskbot.core import views
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import Level

BADGES = {
    Level.OK: "🟢 OK",
    Level.YELLOW: "🟡 YELLOW",
    Level.ORANGE: "🟠 ORANGE",
    Level.UNKNOWN: "⚪ UNKNOWN",
    Level.RED: "🔴 RED",
}
"""Level as people see it: the word always beside the color."""


def severity(alert: Alert) -> Level:
    """Return how much an alert matters: a resolved one as much as it did at its worst."""
    return alert.worst_level if alert.status is AlertStatus.RESOLVED else alert.level


def headline(alert: Alert) -> str:
    """Return level, what, figure and limit: all of it fits a lock screen."""
    if alert.status is AlertStatus.RESOLVED:
        was = alert.worst_level.value.upper()
        return f"✅ RESOLVED · was {was} · {alert.title} #{alert.alert_id}"
    if alert.is_notice and alert.level is Level.YELLOW:
        return f"ℹ NOTICE · {alert.title} #{alert.alert_id}"
    still = "STILL " if alert.repeats else ""
    return f"{still}{BADGES[alert.level]} · {alert.title} #{alert.alert_id}"


def body(alert: Alert) -> str:
    """Return what else there is to say: of what, what riskbot did, what to do, since when."""
    lines = [
        alert.text,
        "flapping: it stays up for 30 minutes" if alert.is_flapping else "",
        *(f"also: {line}" for line in alert.also),
        f"scope: {alert.scope}",
        f"done by riskbot: {alert.did}" if alert.did else "",
        f"you: {alert.todo}" if alert.todo else "",
        f"acknowledged by {alert.acked_by}" if alert.acked_by else "",
        f"since {utc(alert.since_ms)}",
    ]
    return "\n".join(line for line in lines if line)


def utc(ms: int) -> str:
    """Return a moment with its zone."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def document(alert: Alert, instance: str, *, is_loud: bool) -> dict[str, Any]:
    """Return an alert for machines: the document of `/v1/alerts` and what delivery adds."""
    return {
        "type": "alert",
        "instance": instance,
        "revision": alert.revision,
        "is_loud": is_loud,
        "headline": headline(alert),
        "thread": alert.message,
        "also": list(alert.also),
        **views.alert(alert),
    }
