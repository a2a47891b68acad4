"""`correlation`: how what is held moved together lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import riskviews
from riskbot.core.commands._base import Command, Reply, scope_named

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Correlation(Command):
    """Show the correlation of daily returns of what is held, its average, and the groups found."""

    name: ClassVar[str] = "correlation"
    help: ClassVar[str] = "how what is held moves together"
    reads_only: ClassVar[bool] = True

    account: str | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with the matrix of one scope."""
        del actor, request_id
        scope, fault = scope_named(turn, self.account)
        if fault:
            return Reply(ok=False, message=fault)
        document = riskviews.correlations(turn.state, turn.now_ms, scope)
        return Reply(ok=True, message="", document=document)
