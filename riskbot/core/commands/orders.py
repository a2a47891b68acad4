"""`orders`: working orders, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import operations
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Orders(ReadCommand):
    """Show working orders, oldest first, each as entry, exit or stop."""

    name: ClassVar[str] = "orders"
    help: ClassVar[str] = "working orders, oldest first"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the rows."""
        return operations.orders(turn.state, turn.now_ms)
