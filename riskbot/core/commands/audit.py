"""`audit`: the last decisions and commands, with who and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from riskbot.core import operations
from riskbot.core.audits import KEPT
from riskbot.core.commands._base import Command, Reply
from riskbot.core.model import Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Audit(Command):
    """Show the last decisions, newest first; of people alone with `people`.

    The whole audit with its hash chain is `ctl decisions` and `riskbot audit verify`.
    """

    name: ClassVar[str] = "audit"
    help: ClassVar[str] = "the last actions, with who and the result"
    role: ClassVar[Role] = Role.ADMIN
    reads_only: ClassVar[bool] = True

    n: int = Field(default=20, ge=1, le=KEPT)
    people: bool = False

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with rows."""
        del actor, request_id
        rows = operations.audit(turn.state, self.n, people_only=self.people)
        return Reply(ok=True, message="", document=rows)
