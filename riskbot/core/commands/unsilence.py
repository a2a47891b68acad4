"""`unsilence`: let silenced alerts make a sound again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import actions
from riskbot.core.alerts import ANY
from riskbot.core.commands._base import Command, Reply
from riskbot.core.model import Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Unsilence(Command):
    """End the silences of a limit, of the limit of an alert, or all of them."""

    name: ClassVar[str] = "unsilence"
    help: ClassVar[str] = "end a silence"
    role: ClassVar[Role] = Role.OPERATOR

    limit: str | None = None
    id: str | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """End them, and say which."""
        del request_id
        state = turn.state.alerts
        word = (self.id or self.limit or "all").strip()
        alert = next((a for a in state.firing.values() if a.alert_id == word.upper()), None)
        name = alert.name if alert is not None else word
        is_all = word.lower() in {"all", ANY}
        found = [key for key in state.silences if is_all or key[0] == name]
        if not found:
            names = ", ".join(dict.fromkeys(key[0] for key in state.silences)) or "nothing"
            return Reply(ok=False, message=f"{word} is not silenced; silenced: {names}")
        for key in found:
            turn.emit(actions.DropSilence(name=key[0], scope=key[1]))
        words = ", ".join("every alert" if key[0] == ANY else key[0] for key in found)
        turn.audit("unsilence", "", "portfolio", words, actor.name)
        return Reply(ok=True, message=f"not silenced any more: {words}")
