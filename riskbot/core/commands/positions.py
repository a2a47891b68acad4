"""`positions`: positions with mark, size and the risk of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import views
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Positions(ReadCommand):
    """Show positions with mark, size and the risk of each."""

    name: ClassVar[str] = "positions"
    help: ClassVar[str] = "positions with mark, size and the risk of each"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the document of `/v1/positions`."""
        return views.positions(turn.state, turn.now_ms)
