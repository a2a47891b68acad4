"""`whoami`: who the guard takes the asking person for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import operations
from riskbot.core.commands._base import Command, Reply

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class WhoAmI(Command):
    """Show name, door and role of who asks, and what that role may do."""

    name: ClassVar[str] = "whoami"
    help: ClassVar[str] = "your name, role and what you may do"
    reads_only: ClassVar[bool] = True

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with the actor as the desk sees them."""
        del request_id
        # Here and not above: the registry lists this file too.
        from riskbot.core import commands

        may = [c.name for c in commands.COMMANDS if c.role.rank <= actor.role.rank]
        document = operations.who_am_i(turn.state, actor, may, turn.now_ms)
        return Reply(ok=True, message="", document=document)
