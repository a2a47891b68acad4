"""`correlation`: how what is held moved together lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import riskviews
from riskbot.core.commands._read import ScopeCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Correlation(ScopeCommand):
    """Show the correlation of daily returns of what is held, its average, and the groups found."""

    name: ClassVar[str] = "correlation"
    help: ClassVar[str] = "how what is held moves together"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn, scope: str) -> Any:
        """Return the matrix of one scope."""
        return riskviews.correlations(turn.state, turn.now_ms, scope)
