"""`users`: who may command, at which door, in which role."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import operations
from riskbot.core.commands._base import Command, Reply
from riskbot.core.model import Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Users(Command):
    """Show who may command, as the configuration lists them."""

    name: ClassVar[str] = "users"
    help: ClassVar[str] = "who may command, in which role"
    role: ClassVar[Role] = Role.ADMIN
    reads_only: ClassVar[bool] = True

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with rows."""
        del actor, request_id
        return Reply(ok=True, message="", document=operations.users(turn.state))
