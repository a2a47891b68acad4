"""What the gateway records of an order: several records of each, and none of them is measured."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from riskbot.core import actions, events


def _parts(*names: str) -> tuple[attrgetter[Any], ...]:
    return tuple(attrgetter(name) for name in names)


UNMEASURED: dict[type[Any], tuple[attrgetter[Any], ...]] = {
    events.OrderRequested: (),
    events.AmendRequested: (),
    events.CancelRequested: (),
    actions.SetReservation: _parts("enforcement", "reservations"),
    actions.EndReservation: _parts("reservations"),
    actions.KeepAnswer: _parts("reservations"),
    actions.SendReply: (),
    actions.NotifyOrder: _parts("reservations"),
    actions.ReadHistory: _parts("analysis"),
    actions.RecordDecision: _parts("past.audits", "past.daybook", "reservations"),
}
"""The records, and the sub-states that care."""
