"""`var`: what a bad day would cost, and which positions it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import riskviews
from riskbot.core.commands._base import Command, Reply, scope_named

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Var(Command):
    """Show value at risk and expected shortfall of a day, by underlying, with the worst days."""

    name: ClassVar[str] = "var"
    help: ClassVar[str] = "what a bad day would cost, by position"
    reads_only: ClassVar[bool] = True

    account: str | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with the tail of one scope, and what the figures rest on."""
        del actor, request_id
        scope, fault = scope_named(turn, self.account)
        if fault:
            return Reply(ok=False, message=fault)
        state, now_ms = turn.state, turn.now_ms
        document: dict[str, Any] = riskviews.tail(state, scope, now_ms)
        document["liquidity"] = riskviews.exits(state, now_ms, scope)
        document["history"] = riskviews.history(state)
        return Reply(ok=True, message="", document=document)
