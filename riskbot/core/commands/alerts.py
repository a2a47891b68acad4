"""`alerts`: alerts that fire, worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import views
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Alerts(ReadCommand):
    """Show alerts that fire, worst first."""

    name: ClassVar[str] = "alerts"
    help: ClassVar[str] = "alerts that fire, worst first"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the document of `/v1/alerts`."""
        return views.alerts(turn.state, turn.now_ms)
