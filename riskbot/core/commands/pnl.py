"""`pnl`: profit and loss, one row a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import results
from riskbot.core.commands._base import Command, Reply, scope_of, unknown_account

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Pnl(Command):
    """Show profit and loss of the portfolio or of one account, one row a day."""

    name: ClassVar[str] = "pnl"
    help: ClassVar[str] = "profit and loss: day, week or month"
    reads_only: ClassVar[bool] = True

    account: str | None = None
    period: results.Period = "week"

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with rows, totals, the best and the worst day."""
        del actor, request_id
        if fault := unknown_account(turn, self.account):
            return Reply(ok=False, message=fault)
        scope = scope_of(self.account)
        document = results.pnl(turn.state, turn.now_ms, self.period, scope)
        return Reply(ok=True, message="", document=document)
