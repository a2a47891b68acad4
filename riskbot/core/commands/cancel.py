"""`cancel`: cancel working entries; exits and protective stops stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core.commands._base import (
    Command,
    Reply,
    accounts_named,
    scope_of,
    unknown_account,
)
from riskbot.core.duty import OPERATOR, IntentKind
from riskbot.core.model import Role
from riskbot.core.opening import open_intent

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Cancel(Command):
    """Cancel working entries of all accounts, one account, one instrument; verified gone."""

    name: ClassVar[str] = "cancel"
    help: ClassVar[str] = "cancel working entries; exits and stops stay"
    role: ClassVar[Role] = Role.OPERATOR

    account: str | None = None
    instrument: str | None = None
    reason: str = ""

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Open a cancelling intent on each account named."""
        del request_id
        if fault := unknown_account(turn, self.account):
            return Reply(ok=False, message=fault)
        busy, count = [], 0
        for account in accounts_named(turn, self.account):
            orders = turn.state.entries(account)
            count += sum(self.instrument in {None, o.symbol} for o in orders)
            opened = open_intent(
                turn,
                account,
                IntentKind.CANCEL,
                ((scope_of(account), OPERATOR),),
                (),
                actor=actor.name,
                cancel_symbols=(self.instrument,) if self.instrument else None,
                by_operator=True,
            )
            if opened is None:
                busy.append(account)
        note = f"; {', '.join(busy)}: already cancelling within stronger work" if busy else ""
        return Reply(ok=True, message=f"cancelling {count} working entries{note}")
