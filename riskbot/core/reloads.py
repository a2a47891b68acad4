"""What a reload of the configuration would change, and what keeps it from being applied.

Values, levels and responses of limits that are on, limits taken away, and who may command are
applied while riskbot runs; the rest is named and waits for a restart. Reading the file is not
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from riskbot.core.model import Level, Response, Role
from riskbot.core.overrides import built

if TYPE_CHECKING:
    from riskbot.core import events
    from riskbot.core.limits._base import Limit
    from riskbot.core.state import State

_STRENGTH = list(Response)
NOBODY = -1
"""Rank of who is not listed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One limit that the file states otherwise; `after` None = taken away."""

    scope: str
    before: Limit
    after: Limit | None

    @property
    def loosens(self) -> bool:
        """Whether it allows more than before, answers less, or later, or lets go by itself."""
        before, after = self.before, self.after
        if after is None:
            return True
        sign = -1 if before.is_min else 1
        return (
            sign * (after.allowed - before.allowed) > 0
            or _STRENGTH.index(after.on_breach) < _STRENGTH.index(before.on_breach)
            or after.start_after_s > before.start_after_s
            or (before.latch and not after.latch)
            or after.clear_at > before.clear_at
        )

    def shown(self) -> dict[str, Any]:
        """Return it as a row of a plan: the fields that differ."""
        old = self.before.model_dump(mode="json")
        new = self.after.model_dump(mode="json") if self.after is not None else {}
        names = [name for name in old if self.after is not None and old[name] != new[name]]
        return {
            "scope": self.scope,
            "limit": self.before.name,
            "before": ", ".join(f"{n} {_plain(old[n])}" for n in names) or "on",
            "after": ", ".join(f"{n} {_plain(new[n])}" for n in names) or "off",
            "loosens": self.loosens,
        }


def _plain(value: object) -> str:
    return "none" if value in (None, []) else str(value)


@dataclass(frozen=True, slots=True)
class UserChange:
    """Somebody whose role the file states otherwise; None = not listed."""

    door: str
    name: str
    before: Role | None
    after: Role | None

    @property
    def gains(self) -> bool:
        """Whether they may do more than before."""
        ranks = [role.rank if role is not None else NOBODY for role in (self.before, self.after)]
        return ranks[1] > ranks[0]

    def shown(self) -> dict[str, Any]:
        """Return it as a row of a plan."""
        old, new = (role.value if role is not None else "-" for role in (self.before, self.after))
        return {"door": self.door, "name": self.name, "before": old, "after": new}


def limit_changes(state: State, read: events.ConfigRead) -> list[Change]:
    """Return the limits that are on and that the file states otherwise."""
    wanted = {(scope, limit.name): limit for scope, limit in built(read.limits)}
    known = state.overrides.configured(state.settings.limits)
    found = [Change(scope, limit, wanted.get((scope, limit.name))) for scope, limit in known]
    return [change for change in found if change.after != change.before]


def added(state: State, read: events.ConfigRead) -> list[str]:
    """Return the limits of the file that are not on: they are taken in by a restart."""
    known = {(s, limit.name) for s, limit in state.overrides.configured(state.settings.limits)}
    return [f"{scope} {name}: new" for scope, name, _ in read.limits if (scope, name) not in known]


def user_changes(state: State, read: events.ConfigRead) -> list[UserChange]:
    """Return who may do more or less than now."""
    now = {(u.door, u.name): u.role for u in state.settings.users}
    if state.overrides.users is not None:
        now = {(door, name): Role(role) for door, name, role in state.overrides.users}
    then = {(door, name): Role(role) for door, name, role in read.users}
    found = [UserChange(*key, now.get(key), then.get(key)) for key in dict.fromkeys((*now, *then))]
    return [change for change in found if change.before is not change.after]


def standing(state: State) -> list[str]:
    """Return the breaches that stand, and the holds that limits have placed."""
    duty = state.enforcement
    found = [f"{e.scope} {e.limit}" for e in duty.episodes.values() if e.level is Level.RED]
    limits = {limit.name for _, limit in state.limits}
    found += [f"{h.scope} {h.limit}" for h in duty.holds.values() if h.limit in limits]
    return list(dict.fromkeys(found))
