"""`override`: let one order pass that the gateway has denied, once and soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import actions
from riskbot.core.commands._base import Command, Plan, Reply
from riskbot.core.model import Role, strategy_scope
from riskbot.core.ordering import OVERRIDABLE

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.ordering import Denial
    from riskbot.core.turn import Turn

KNOWN_MS = 600_000
"""A denial can be overridden for so long."""

LIFE_MS = 300_000
"""The order has to be asked for again within so long."""


class Override(Command):
    """Let a denied order pass once, if it is asked for again just as it was.

    Not what a halt, missing sight or the venue's own rules deny.
    """

    name: ClassVar[str] = "override"
    help: ClassVar[str] = "let one denied order pass, by its order_hash"
    role: ClassVar[Role] = Role.ADMIN
    is_risky: ClassVar[bool] = True

    id: str
    reason: str = ""

    def needs_factor(self, turn: Turn) -> bool:
        """Return that it always does: it goes beyond a limit."""
        del turn
        return True

    def _denial(self, turn: Turn) -> Denial | None:
        found = turn.state.reservations.denials.get(self.id)
        return found if found is not None and turn.now_ms - found.at_ms <= KNOWN_MS else None

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Show the order and why it was denied."""
        del actor
        denial = self._denial(turn)
        if denial is None:
            words = f"no order {self.id!r} was denied within {KNOWN_MS // 60_000} min"
            return Plan("", refusal=words)
        barred = [code for code in denial.codes if code not in OVERRIDABLE]
        if barred:
            return Plan("", refusal=f"nobody can override {', '.join(barred)}")
        message = f"Let {denial.words} of {denial.strategy} pass once: {denial.reason}"
        return Plan(message, {"order_hash": self.id, "codes": list(denial.codes)}, self.id)

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Allow it; the next order that is just like it uses that up."""
        del request_id
        denial = self._denial(turn)
        assert denial is not None  # noqa: S101 - the plan, made again in this turn, found it
        until_ms = turn.now_ms + LIFE_MS
        turn.emit(actions.AllowOrder(order_hash=self.id, until_ms=until_ms, actor=actor.name))
        turn.audit(
            "override",
            "",
            strategy_scope(denial.strategy),
            self.reason or "by command",
            actor.name,
            order_hash=self.id,
            order=denial.words,
            until_ms=until_ms,
        )
        return Reply(
            ok=True,
            message=f"{denial.words} passes once within {LIFE_MS // 60_000} min, if it is asked "
            "for just so, with another client_order_id",
        )
