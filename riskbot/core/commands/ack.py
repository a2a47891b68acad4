"""`ack`: take an alert; its repeats and escalation stop, its level stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import alerts
from riskbot.core.commands._base import Command, Reply
from riskbot.core.model import Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Ack(Command):
    """Acknowledge an alert by its id, all alerts of a message by its id, or `all`."""

    name: ClassVar[str] = "ack"
    help: ClassVar[str] = "take an alert: no more repeats, the level stays"
    role: ClassVar[Role] = Role.OPERATOR

    id: str

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Mark the alert as taken by the actor."""
        del request_id
        firing = list(turn.state.alerts.firing.values())
        word = self.id.upper().removeprefix("#")
        thread = turn.state.alerts.threads.get(word)
        # A message stands for all that is told in it.
        members = {word, *(thread.members if thread is not None else ())}
        found = [a for a in firing if word == "ALL" or a.alert_id in members]
        if not found:
            names = ", ".join(a.alert_id for a in firing) or "none"
            return Reply(ok=False, message=f"no alert {self.id!r} fires; firing: {names}")
        for alert in found:
            alerts.acknowledge(turn, alert, actor.name)
            turn.audit("ack", alert.name, alert.scope, f"ack {alert.alert_id}", actor.name)
        return Reply(ok=True, message="acknowledged " + ", ".join(a.alert_id for a in found))
