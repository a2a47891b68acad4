"""`deadman`: the venues' dead-man's switches, armed or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import operations
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class DeadMan(ReadCommand):
    """Show each account's dead-man's switch: armed until when, or why not; what it would cancel."""

    name: ClassVar[str] = "deadman"
    help: ClassVar[str] = "dead-man's switches: armed, or why not"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the rows."""
        return operations.dead_men(turn.state, turn.now_ms)
