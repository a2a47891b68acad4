"""`reload`: go by the configuration file as it is now, as far as that needs no restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import actions, reloads
from riskbot.core.commands._base import PLAN_LIFE_MS, Command, Plan, Reply
from riskbot.core.model import PORTFOLIO, Role
from riskbot.core.overrides import rows_of

if TYPE_CHECKING:
    from riskbot.core import events
    from riskbot.core.model import Actor
    from riskbot.core.overrides import Scoped
    from riskbot.core.turn import Turn

FAULTS_SHOWN = 5


class Reload(Command):
    """Show what the file would change, what of it needs a restart, and apply the rest.

    A file with any fault changes nothing; nor does one that loosens a limit while one is broken.
    """

    name: ClassVar[str] = "reload"
    help: ClassVar[str] = "go by the configuration file as it is now"
    role: ClassVar[Role] = Role.ADMIN
    is_risky: ClassVar[bool] = True

    reason: str = ""

    def _read(self, turn: Turn) -> events.ConfigRead | None:
        known = turn.state.overrides
        is_recent = turn.now_ms - known.read_ms <= 2 * PLAN_LIFE_MS
        return known.read if is_recent else None

    def needs_factor(self, turn: Turn) -> bool:
        """Return whether a limit is loosened, or somebody may do more than before."""
        read = self._read(turn)
        if read is None or read.faults:
            return False
        return any(change.loosens for change in reloads.limit_changes(turn.state, read)) or any(
            change.gains for change in reloads.user_changes(turn.state, read)
        )

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Show the differences."""
        del actor
        read = self._read(turn)
        if read is None:
            return Plan("", refusal="the configuration file was not read: ask again")
        if read.faults:
            words = "; ".join(read.faults[:FAULTS_SHOWN])
            return Plan("", refusal=f"the configuration stays as it is: {words}")
        state = turn.state
        limits = reloads.limit_changes(state, read)
        users = reloads.user_changes(state, read)
        restart = [*reloads.added(state, read), *read.restart]
        later = f"needs a restart: {', '.join(restart)}" if restart else ""
        if not (limits or users or read.applies):
            return Plan("", refusal=later or "nothing has changed")
        loosened = [f"{c.scope} {c.before.name}" for c in limits if c.loosens]
        broken = reloads.standing(state)
        if loosened and broken:
            words = f"{', '.join(loosened)} would be looser while {', '.join(broken)} is broken"
            return Plan("", refusal=f"the configuration stays as it is: {words}")
        parts = [f"{len(limits)} limits ({len(loosened)} looser)", f"{len(users)} users"]
        parts += read.applies
        message = f"Reload changes {', '.join(parts)}" + (f"; {later}" if later else "")
        details = {
            "limits": [change.shown() for change in limits],
            "users": [change.shown() for change in users],
            "applies": list(read.applies),
            "restart": restart,
        }
        return Plan(message, details, f"{read.config_hash}|{','.join(broken)}")

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Apply it; the next evaluation goes by it."""
        del request_id
        read, state = self._read(turn), turn.state
        assert read is not None  # noqa: S101 - it was planned in this very turn
        limits = reloads.limit_changes(state, read)
        users = reloads.user_changes(state, read)
        changed = {(change.scope, change.before.name): change.after for change in limits}
        known = state.overrides.configured(state.settings.limits)
        after: Scoped = tuple(
            (scope, wanted)
            for scope, limit in known
            if (wanted := changed.get((scope, limit.name), limit)) is not None
        )
        turn.emit(
            actions.ApplyConfig(
                config_hash=read.config_hash, limits=rows_of(after), users=read.users
            )
        )
        turn.audit(
            "reload",
            "",
            PORTFOLIO,
            self.reason or "by command",
            actor.name,
            limits=[change.shown() for change in limits],
            users=[change.shown() for change in users],
            applies=list(read.applies),
        )
        return Reply(ok=True, message=f"applied: {len(limits)} limits, {len(users)} users")
