"""`exposure`: gross and net, by asset, sector and group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import views
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.turn import Turn


class Exposure(ReadCommand):
    """Show gross and net, by asset, sector and group."""

    name: ClassVar[str] = "exposure"
    help: ClassVar[str] = "gross and net, by asset, sector and group"
    reads_only: ClassVar[bool] = True

    def document(self, turn: Turn) -> Any:
        """Return the document of `/v1/exposure`."""
        return views.exposure(turn.state, turn.now_ms)
