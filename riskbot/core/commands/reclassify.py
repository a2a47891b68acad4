"""`reclassify`: turn a booked cash flow into a loss, or back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from riskbot.core import actions
from riskbot.core.commands._base import Command, Plan, Reply
from riskbot.core.model import PORTFOLIO, Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Reclassify(Command):
    """Say what a balance change was: money moved (`flow`) or money lost (`loss`)."""

    name: ClassVar[str] = "reclassify"
    help: ClassVar[str] = "call a booked balance change a flow or a loss"
    role: ClassVar[Role] = Role.ADMIN
    is_risky: ClassVar[bool] = True

    id: str
    value: Literal["flow", "loss"]
    reason: str = ""

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Name the flow and what would change."""
        del actor
        amount = turn.state.flow_usd(self.id.upper())
        if amount is None:
            return Plan("", refusal=f"no booked flow {self.id!r}")
        message = f"Count {self.id.upper()} ({amount:+,.2f} USD) as a {self.value}"
        return Plan(message, {"id": self.id.upper(), "amount_usd": amount}, self.id)

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Move units or NAV accordingly."""
        del request_id
        flow_id = self.id.upper()
        turn.emit(actions.ReclassifyFlow(flow_id=flow_id, as_loss=self.value == "loss"))
        turn.audit("flow", "", PORTFOLIO, f"{flow_id} is a {self.value}", actor.name)
        turn.remeasure()
        return Reply(ok=True, message=f"{flow_id} counts as a {self.value}")
