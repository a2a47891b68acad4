"""`alerts`: alerts that fire, those that ended lately, or the whole story of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core import operations, views
from riskbot.core.commands._base import Reply
from riskbot.core.commands._read import ReadCommand

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn

DAY_MS = 86_400_000


class Alerts(ReadCommand):
    """Show alerts that fire, worst first (`open`), those that ended in `24h`, or one by its id."""

    name: ClassVar[str] = "alerts"
    help: ClassVar[str] = "alerts that fire, worst first; 24h; one by its id"
    reads_only: ClassVar[bool] = True

    which: str = "open"

    def document(self, turn: Turn) -> Any:
        """Return the document of `/v1/alerts`, None = no such alert."""
        word = self.which.strip().removeprefix("#")
        if word.lower() == "open":
            return views.alerts(turn.state, turn.now_ms)
        if word.lower() == "24h":
            return views.ended_alerts(turn.state, turn.now_ms, DAY_MS)
        return operations.alert_history(turn.state, word.upper())

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with rows, or with one alert and its timeline."""
        reply = super().run(turn, actor, request_id)
        if reply.document is None:
            words = f"no alert {self.which!r} is known: open, 24h, or an id such as A17"
            return Reply(ok=False, message=words)
        return reply
