"""`reduce`: carry out the plan of a standing breach, or of one limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import plan as plans
from riskbot.core.commands._base import Command, Plan, Reply, unknown_account
from riskbot.core.duty import OPERATOR, IntentKind, Target
from riskbot.core.exposure import ScopeBook
from riskbot.core.model import Level, Role, account_scope
from riskbot.core.opening import merged_targets, open_intent

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Reduce(Command):
    """Bring every broken limit that is measured over equity, or the one named, to its target."""

    name: ClassVar[str] = "reduce"
    help: ClassVar[str] = "close down to the target of the broken limits"
    role: ClassVar[Role] = Role.ADMIN
    is_risky: ClassVar[bool] = True

    limit: str | None = None
    account: str | None = None
    reason: str = ""

    def _targets(self, turn: Turn) -> tuple[list[str], tuple[Target, ...]]:
        names: list[str] = []
        merged: tuple[Target, ...] = ()
        for scope in _scopes(turn, self.account):
            book = turn.book(scope) or ScopeBook(scope)
            breaches = [
                plans.Breach(scope, limit, verdict.key, verdict.measured)
                for where, limit in turn.state.limits
                if where == scope
                if limit.is_over_equity and self.limit in {None, limit.name}
                for verdict in turn.state.check(limit, book)
                if verdict.level is Level.RED and verdict.measured is not None
            ]
            names += [f"{scope} {breach.limit.name}" for breach in breaches]
            targets = plans.reduce_targets(book, turn.state.holdings(), breaches)
            merged = merged_targets(IntentKind.REDUCE, merged, targets)
        return names, merged

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Name the closes that would bring the broken limits to their targets."""
        del actor
        if fault := unknown_account(turn, self.account):
            return Plan("", refusal=fault)
        names, targets = self._targets(turn)
        if not targets:
            wanted = self.limit or "any limit"
            return Plan("", refusal=f"nothing to reduce: no breach of {wanted} stands")
        rows = [
            {
                "account": t.key.account,
                "instrument": t.key.symbol,
                "from": str(turn.state.quantity(t.key)),
                "to": str(t.quantity),
            }
            for t in targets
        ]
        message = f"Reduce for {', '.join(names)}: {len(rows)} closes"
        return Plan(message, {"close": rows}, f"{len(rows)}|{','.join(sorted(names))}")

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Open the reduce on every account it touches."""
        names, targets = self._targets(turn)
        accounts = sorted({t.key.account for t in targets})
        opened = [
            open_intent(
                turn,
                account,
                IntentKind.REDUCE,
                ((account_scope(account), OPERATOR),),
                tuple(t for t in targets if t.key.account == account),
                actor=actor.name,
                reply_to=request_id,
                by_operator=True,
            )
            for account in accounts
        ]
        if not any(opened):
            return Reply(ok=False, message="a flatten is under way: it closes more than a reduce")
        return Reply(ok=True, message=f"reducing for {', '.join(names)}", is_final=False)


def _scopes(turn: Turn, account: str | None) -> list[str]:
    if account is not None:
        return [account_scope(account)]
    return sorted({scope for scope, _ in turn.state.limits})
