"""`var`: what a bad day would cost, and which positions it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import riskviews
from riskbot.core.commands._read import ScopeCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Var(ScopeCommand):
    """Show value at risk and expected shortfall of a day, by underlying, with the worst days."""

    name: ClassVar[str] = "var"
    help: ClassVar[str] = "what a bad day would cost, by position"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn, scope: str) -> Any:
        """Return the tail of one scope, and what the figures rest on."""
        state, now_ms = turn.state, turn.now_ms
        document: dict[str, Any] = riskviews.tail(state, scope, now_ms)
        document["liquidity"] = riskviews.exits(state, now_ms, scope)
        document["history"] = riskviews.history(state)
        return document
