"""`limits`: every limit: measured, allowed, headroom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import views
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Limits(ReadCommand):
    """Show every limit: measured, allowed, headroom."""

    name: ClassVar[str] = "limits"
    help: ClassVar[str] = "every limit: measured, allowed, headroom"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the document of `/v1/limits`."""
        return views.limits(turn.state, turn.now_ms)
