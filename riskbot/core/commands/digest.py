"""`digest`: what the last 24 hours came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import digest
from riskbot.core.commands._base import Command, Reply

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Digest(Command):
    """Show the digest of the last 24 hours: levels, PnL, alerts, outages, commands, limits."""

    name: ClassVar[str] = "digest"
    help: ClassVar[str] = "the last 24 hours in short"
    reads_only: ClassVar[bool] = True

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with the digest; the daily one is told all the same."""
        del actor, request_id
        return Reply(ok=True, message="", document=digest.digest(turn.state, turn.now_ms))
