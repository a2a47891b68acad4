"""`history`: one measure of the portfolio through time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from riskbot.core import history
from riskbot.core.commands._base import Command, Reply

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn

HOUR_MS = 3_600_000


class History(Command):
    """Show a measure through time, up to now unless `until_ms` says otherwise.

    A point a minute for the last day, one an hour for a week, one a day for a year.
    """

    name: ClassVar[str] = "history"
    help: ClassVar[str] = "a measure through time"
    reads_only: ClassVar[bool] = True

    measure: Literal[
        "equity_usd",
        "gross_exposure",
        "net_exposure",
        "drawdown",
        "daily_loss",
        "maintenance_margin",
        "stop_risk",
    ] = "drawdown"
    hours: float = Field(default=24.0, gt=0, le=24 * 400)
    since_ms: int | None = None
    until_ms: int | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with `[[ts_ms, value]]`, oldest first, None = unknown."""
        del actor, request_id
        until_ms = turn.now_ms if self.until_ms is None else self.until_ms
        since_ms = until_ms - int(self.hours * HOUR_MS) if self.since_ms is None else self.since_ms
        points = history.points(turn, self.measure, since_ms, until_ms)
        return Reply(ok=True, message="", document=points)
