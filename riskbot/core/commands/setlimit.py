"""`setlimit`: give a limit another value while riskbot runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import ValidationError

from riskbot.core import actions
from riskbot.core.commands._base import Command, Plan, Reply, scope_of, unknown_account
from riskbot.core.exposure import ScopeBook
from riskbot.core.holds import figure
from riskbot.core.model import Level, Role
from riskbot.core.overrides import with_value

if TYPE_CHECKING:
    from riskbot.core.limits._base import Limit
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class SetLimit(Command):
    """Set the `max` (or `min`) of a limit that is on; without a value, the configured one again.

    Lasts over restarts, until the configuration states another value.
    """

    name: ClassVar[str] = "setlimit"
    help: ClassVar[str] = "give a limit another value"
    role: ClassVar[Role] = Role.ADMIN
    is_risky: ClassVar[bool] = True

    limit: str
    value: float | None = None
    account: str | None = None
    reason: str = ""

    def _present(self, turn: Turn) -> Limit | None:
        return turn.state.limit(scope_of(self.account), self.limit)

    def _configured(self, turn: Turn) -> Limit | None:
        wanted = (scope_of(self.account), self.limit)
        rows = turn.state.overrides.configured(turn.settings.limits)
        return next((limit for scope, limit in rows if (scope, limit.name) == wanted), None)

    def _wanted(self, turn: Turn) -> Limit | None:
        """Return the limit as it would be, None = the value cannot be."""
        configured = self._configured(turn)
        if configured is None or self.value is None:
            return configured
        try:
            return with_value(configured, self.value)
        except ValidationError:
            return None

    def _loosens(self, before: Limit, after: Limit) -> bool:
        if before.is_min:
            return after.allowed < before.allowed
        return after.allowed > before.allowed

    def needs_factor(self, turn: Turn) -> bool:
        """Return whether it allows more than now."""
        before, after = self._present(turn), self._wanted(turn)
        return before is not None and after is not None and self._loosens(before, after)

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Say what is measured and at which level it would stand."""
        del actor
        if fault := unknown_account(turn, self.account):
            return Plan("", refusal=fault)
        before, after, scope = self._present(turn), self._wanted(turn), scope_of(self.account)
        if before is None:
            on = sorted(limit.name for where, limit in turn.state.limits if where == scope)
            return Plan("", refusal=f"{self.limit} is not on for {scope}; on: {', '.join(on)}")
        if after is None:
            field = "min" if before.is_min else "max"
            words = f"{field} of {self.limit}: {self.value!r} cannot be (a share is written 0.03)"
            return Plan("", refusal=words)
        if after.allowed == before.allowed:
            return Plan(
                "", refusal=f"{self.limit} is {figure(before.allowed, before.unit)} already"
            )
        verdicts = after.check(turn.book(scope) or ScopeBook(scope))
        worst = max(verdicts, key=lambda v: v.level.rank, default=None)
        level = worst.level if worst is not None else Level.OK
        measured = worst.measured if worst is not None else None
        word = "loosens" if self._loosens(before, after) else "tightens"
        old, new = figure(before.allowed, before.unit), figure(after.allowed, after.unit)
        now = "unknown" if measured is None else figure(measured, after.unit)
        message = f"{word} {scope} {self.limit}: {old} -> {new}; measured {now}, then {level.value}"
        details = {
            "scope": scope,
            "limit": self.limit,
            "before": before.allowed,
            "after": after.allowed,
            "measured": measured,
            "level": level.value,
            "loosens": word == "loosens",
        }
        return Plan(message, details, f"{before.allowed}|{after.allowed}|{level.value}")

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Set it; the next evaluation goes by it."""
        del request_id
        scope = scope_of(self.account)
        before, after, configured = self._present(turn), self._wanted(turn), self._configured(turn)
        # The plan, made again in this turn, refuses what cannot be set.
        assert before is not None and after is not None and configured is not None  # noqa: S101, PT018
        value = None if after.allowed == configured.allowed else after.allowed
        turn.emit(
            actions.SetLimit(
                scope=scope,
                limit=self.limit,
                value=value,
                configured=configured.allowed,
                actor=actor.name,
            )
        )
        turn.audit(
            "setlimit",
            self.limit,
            scope,
            self.reason or "by command",
            actor.name,
            before=before.allowed,
            after=after.allowed,
            configured=configured.allowed,
        )
        new = figure(after.allowed, after.unit)
        note = "as configured" if value is None else "until the configuration says otherwise"
        return Reply(ok=True, message=f"{scope} {self.limit} is {new} now, {note}")
