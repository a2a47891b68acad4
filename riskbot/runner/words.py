"""The words of the world in events: what passes here holds no secret, so nothing behind it can."""

from __future__ import annotations

import dataclasses
from typing import Any

from riskbot.core import events
from riskbot.redaction import redact

TEXTS: dict[type, str] = {
    events.RefreshFailed: "message",
    events.FeedLost: "reason",
    events.OrderRejected: "message",
    events.OrderOutcomeUnknown: "message",
    events.OrderQueried: "message",
    events.CancelFinished: "message",
    events.DeadManChanged: "detail",
    events.AlertDeliveryFailed: "error",
    events.FrontendChanged: "detail",
    events.StrategyTold: "error",
    events.StorageFailed: "error",
    events.EngineFaulted: "error",
    events.HaltFileSeen: "reason",
    events.CommandRefused: "reason",
    events.MarginMoved: "message",
    events.RequestsLimited: "detail",
}
"""Field with text that somebody else wrote, by kind of event."""


def without_secrets(event: events.Event) -> events.Event:
    """Return an event whose text may be kept and shown."""
    name = TEXTS.get(type(event))
    if name is None:
        return event
    text = getattr(event, name)
    clean = redact(text)
    if clean == text:
        return event
    changed: Any = {name: clean}
    return dataclasses.replace(event, **changed)
