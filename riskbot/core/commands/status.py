"""`status`: mode, state, holds, equity, exposure, losses, alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import views
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Status(ReadCommand):
    """Show mode, state, holds, equity, exposure, losses, alerts."""

    name: ClassVar[str] = "status"
    help: ClassVar[str] = "mode, state, holds, equity, exposure, losses, alerts"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the document of `/v1/status`."""
        return views.status(turn.state, turn.now_ms)
