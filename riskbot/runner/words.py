"""The words of the world in events: what passes here holds no secret, so nothing behind it can."""

from __future__ import annotations

import dataclasses
from typing import Any

from riskbot.core import events
from riskbot.redaction import redact

TEXTS: dict[type, tuple[str, ...]] = {
    events.RefreshFailed: ("message",),
    events.FeedLost: ("reason",),
    events.OrderRejected: ("message",),
    events.OrderOutcomeUnknown: ("message",),
    events.OrderQueried: ("message",),
    events.CancelFinished: ("message",),
    events.DeadManChanged: ("detail",),
    events.AlertDeliveryFailed: ("error",),
    events.FrontendChanged: ("detail",),
    events.StrategyTold: ("detail", "error"),
    events.StorageFailed: ("error",),
    events.EngineFaulted: ("error",),
    events.HaltFileSeen: ("reason",),
    events.CommandRefused: ("reason",),
    events.MarginMoved: ("message",),
    events.RequestsLimited: ("detail",),
}
"""Fields with text that somebody else wrote, by kind of event."""


def without_secrets(event: events.Event) -> events.Event:
    """Return an event whose text may be kept and shown."""
    changed: dict[str, Any] = {}
    for name in TEXTS.get(type(event), ()):
        text = getattr(event, name)
        if (clean := redact(text)) != text:
            changed[name] = clean
    return dataclasses.replace(event, **changed) if changed else event
