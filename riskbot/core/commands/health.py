"""`health`: how riskbot itself fares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import operations
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Health(ReadCommand):
    """Show feeds, reads, channels, doors, storage, version and uptime."""

    name: ClassVar[str] = "health"
    help: ClassVar[str] = "feeds, reads, channels, storage, uptime"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the document."""
        return operations.health(turn.state, turn.now_ms)
