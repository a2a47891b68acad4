"""`halt`: no new risk, working entries cancelled and verified gone; positions stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.commands._base import (
    Command,
    Reply,
    accounts_named,
    scope_of,
    unknown_scope,
)
from riskbot.core.disabling import pull_entries
from riskbot.core.duty import OPERATOR, IntentKind
from riskbot.core.holds import place_operator_hold
from riskbot.core.model import Role
from riskbot.core.opening import open_intent

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Halt(Command):
    """Halt the portfolio, an account or a strategy, until `resume`. In every mode and state."""

    name: ClassVar[str] = "halt"
    help: ClassVar[str] = "stop new risk and cancel working entries; exits go on"
    role: ClassVar[Role] = Role.OPERATOR

    account: str | None = None
    strategy: str | None = None
    reason: str = ""

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Place the operator's hold and cancel entries; a second halt says since when."""
        del request_id
        if fault := unknown_scope(turn, self.account, self.strategy):
            return Reply(ok=False, message=fault)
        scope = scope_of(self.account, self.strategy)
        known = turn.state.enforcement.holds.get((scope, OPERATOR))
        if known is None:
            place_operator_hold(turn, scope, actor.name, self.reason)
        if self.strategy is not None:
            pull_entries(turn, self.strategy)
        else:
            self._cancel(turn, scope, actor)
        if known is not None:
            return Reply(ok=True, message=f"{scope} is halted already: {known.reason}")
        return Reply(
            ok=True,
            message=f"{scope} HALTED: entries stopped and being cancelled, exits allowed, "
            "positions stay open. `resume` ends it.",
        )

    def _cancel(self, turn: Turn, scope: str, actor: Actor) -> None:
        for account in accounts_named(turn, self.account):
            open_intent(
                turn,
                account,
                IntentKind.CANCEL,
                ((scope, OPERATOR),),
                (),
                actor=actor.name,
                by_operator=True,
            )
