"""Margin of isolated positions: moved once, and what the venue said of it.

Venues take no id with such a request; whether one came whose answer was lost is seen in the
position, and judged elsewhere.
"""

from __future__ import annotations

from riskbot.core import actions, events
from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._bars import Bars


class Margins(Bars):
    """Moves margin on one account, by ccxt's unified method."""

    async def add_margin(self, move: actions.AddMargin) -> events.MarginMoved:
        """Move margin from the cross pool to an isolated position, once."""
        done: bool | None = True
        message = ""
        try:
            await self._send_margin(move)
        except VenueError as error:
            done, message = (None if error.is_ambiguous else False), str(error)
        return events.MarginMoved(
            account=self.account,
            symbol=move.symbol,
            move_id=move.move_id,
            done=done,
            message=message,
        )

    async def _send_margin(self, move: actions.AddMargin) -> None:
        if not self.client.api.has.get("addMargin"):
            raise VenueError(RejectReason.OTHER, "not supported on this venue")
        await self.client.call("add_margin", move.symbol, float(move.amount), is_urgent=True)
