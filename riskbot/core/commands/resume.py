"""`resume`: drop operator and latched holds; re-base the loss limits that are in breach."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import actions, alerts
from riskbot.core.commands._base import Command, Plan, Reply, scope_of, unknown_scope
from riskbot.core.duty import OPERATOR, Hold
from riskbot.core.exposure import ScopeBook
from riskbot.core.holds import drop_hold
from riskbot.core.model import PORTFOLIO, Level, Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Resume(Command):
    """Trade again: an operator may end an unlatched halt, an admin a latched one."""

    name: ClassVar[str] = "resume"
    help: ClassVar[str] = "end a halt; says what it re-bases first"
    role: ClassVar[Role] = Role.OPERATOR
    is_risky: ClassVar[bool] = True

    account: str | None = None
    strategy: str | None = None
    reason: str = ""

    def needed_role(self, turn: Turn) -> Role:
        """Return admin when a latched hold of a limit stands in the way."""
        return Role.ADMIN if self._is_latched(turn) else Role.OPERATOR

    def needs_factor(self, turn: Turn) -> bool:
        """Return whether a limit has latched what this ends."""
        return self._is_latched(turn)

    @property
    def _scope(self) -> str:
        return scope_of(self.account, self.strategy)

    @property
    def _is_all(self) -> bool:
        return self.account is None and self.strategy is None

    def _is_latched(self, turn: Turn) -> bool:
        return any(h.is_latched and h.limit != OPERATOR for h in self._holds(turn))

    def _holds(self, turn: Turn) -> list[Hold]:
        holds = turn.state.enforcement.holds.values()
        if self._is_all:
            return list(holds)
        return [h for h in holds if h.scope == self._scope]

    def _loss_breaches(self, turn: Turn) -> list[tuple[str, str, float, float]]:
        """Return (scope, limit, measured, NAV) of the loss limits that would halt again at once."""
        found = []
        for scope, limit in turn.state.limits:
            if not limit.is_loss or (not self._is_all and scope != self._scope):
                continue
            book = turn.book(scope) or ScopeBook(scope)
            found += [
                (scope, limit.name, v.measured, book.losses.nav)
                for v in turn.state.check(limit, book)
                if v.level is Level.RED and v.measured is not None and book.losses.nav is not None
            ]
        return found

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Name the holds that end, what is re-based, and what may trade then."""
        del actor
        if fault := unknown_scope(turn, self.account, self.strategy):
            return Plan("", refusal=fault)
        if turn.state.enforcement.is_flattening:
            return Plan("", refusal="flattening is under way: resume when it has finished")
        holds = self._holds(turn)
        if not holds and not turn.state.enforcement.halt_file:
            return Plan("", refusal=self._nothing(turn))
        rebased = self._loss_breaches(turn)
        names = ", ".join(f"{h.scope} {h.limit}" for h in holds) or "the HALT file"
        message = f"Resume: ends {names}"
        if rebased:
            starts = ", ".join(f"{s} {n} ({m * 100:.2f}%)" for s, n, m, _ in rebased)
            message += f"; NAV now becomes the new start of {starts} for enforcement,"
            message += " reports keep the true peak"
        details = {
            "holds": [{"scope": h.scope, "limit": h.limit, "reason": h.reason} for h in holds],
            "rebased": [{"scope": s, "limit": n, "measured": m} for s, n, m, _ in rebased],
        }
        parts = [f"{h.scope}/{h.limit}" for h in holds] + [f"{s}/{n} again" for s, n, *_ in rebased]
        fingerprint = "|".join(sorted(parts))
        return Plan(message, details, fingerprint)

    def _nothing(self, turn: Turn) -> str:
        portfolio = [h for h in turn.state.enforcement.holds.values() if h.scope == PORTFOLIO]
        if portfolio and not self._is_all:
            word, name = ("strategy", self.strategy) if self.strategy else ("account", self.account)
            return f"{name} is halted with the portfolio: resume without --{word}"
        return "nothing is halted"

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Drop the holds, re-base, remove the HALT file."""
        del request_id
        for scope, limit, measured, nav in self._loss_breaches(turn):
            turn.emit(actions.RebaseLoss(scope=scope, limit=limit, nav=nav))
            turn.audit("rebase", limit, scope, "resume", actor.name, measured=measured, nav=nav)
        for hold in self._holds(turn):
            drop_hold(turn, hold, f"resume {self.reason}".strip(), actor.name)
            turn.emit(actions.EndEpisode(scope=hold.scope, limit=hold.limit))
            alerts.resolve(turn, hold.limit, hold.scope, f"resumed by {actor.name}", at_once=True)
        if turn.state.enforcement.halt_file and self._is_all:
            turn.emit(actions.RemoveHaltFile())
        turn.remeasure()
        state = turn.state.enforcement.state_of(self._scope)
        return Reply(ok=True, message=f"{self._scope} is {state.value}")
