"""`test`: a test alert through every channel, and which of them took it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from riskbot.core import trials
from riskbot.core.commands._base import Command, Reply
from riskbot.core.model import Level, Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn

OPEN_MAX = 5


class TestAlert(Command):
    """Send a test alert of a level; ten seconds later, say which channel took it."""

    name: ClassVar[str] = "test"
    help: ClassVar[str] = "a test alert through every channel"
    role: ClassVar[Role] = Role.OPERATOR

    level: Literal["yellow", "orange", "red"] = "orange"

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Send it; the final reply comes when the channels have had their time."""
        if len(turn.state.past.trials.open) >= OPEN_MAX:
            return Reply(ok=False, message=f"{OPEN_MAX} tests are under way: wait for their end")
        alert_id = trials.start(turn, Level(self.level), actor.name, request_id)
        words = f"test {alert_id} ({self.level}) is on its way, outcome in 10 s"
        return Reply(ok=True, message=words, is_final=False)
