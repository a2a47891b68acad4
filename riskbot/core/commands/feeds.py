"""`feeds`: age and state of every stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import views
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Feeds(ReadCommand):
    """Show age and state of every stream."""

    name: ClassVar[str] = "feeds"
    help: ClassVar[str] = "age and state of every stream"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the rows."""
        return views.feeds(turn.state, turn.now_ms)
