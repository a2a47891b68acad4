"""Sub-state of what people change while riskbot runs: values of limits, and reloads of the file.

An override lasts over restarts until the configuration states another value than it did then:
what is written in the file last counts. A reload lasts until the next start, which reads the file
anyway. Which limits there are is the configuration's alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from riskbot.core import actions, events
from riskbot.core.limits import LIMITS_BY_NAME
from riskbot.core.limits._base import Limit
from riskbot.core.plain import from_plain, to_plain

Scoped = tuple[tuple[str, Limit], ...]
"""(scope, limit) of every limit that is on."""

Row = tuple[str, str, dict[str, Any]]
"""Scope, name and fields of a limit."""

Changing = actions.SetLimit | actions.ApplyConfig | events.ConfigRead | events.Started
"""Records that this folds."""


class Override(NamedTuple):
    """One value that is not the configuration's.

    Attributes:
        value: the limit's `max` or `min` now.
        configured: what the configuration said when it was set.
    """

    value: float
    configured: float
    actor: str
    since_ms: int


@dataclass(slots=True)
class Overrides:
    """Every override, by (scope, limit), and the last reload.

    Attributes:
        read: what was read of the file for a reload that is not confirmed; read_ms: when.
        limits, users: of the reload that holds, None = as at the start.
    """

    values: dict[tuple[str, str], Override] = field(default_factory=dict)
    read: events.ConfigRead | None = None
    read_ms: int = 0
    limits: tuple[Row, ...] | None = None
    users: tuple[tuple[str, str, str], ...] | None = None

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Overrides:
        """Return what `dump` wrote."""
        state: Overrides = from_plain(cls, data)
        return state

    def apply(self, record: Changing, now_ms: int) -> None:
        """Fold one of the records that concern it."""
        match record:
            case actions.SetLimit():
                key, value = (record.scope, record.limit), record.value
                if value is None:
                    self.values.pop(key, None)
                else:
                    self.values[key] = Override(value, record.configured, record.actor, now_ms)
            case events.ConfigRead():
                self.read, self.read_ms = record, now_ms
            case actions.ApplyConfig():
                self.limits, self.users, self.read = record.limits, record.users, None
            case _:
                # A start read the file itself.
                self.limits = self.users = self.read = None

    def configured(self, limits: Scoped) -> Scoped:
        """Return the limits as configured: at the start, or by the last reload."""
        return limits if self.limits is None else built(self.limits)

    def of(self, scope: str, limit: Limit) -> Override | None:
        """Return the override of a configured limit, None = it is as configured."""
        found = self.values.get((scope, limit.name))
        return found if found is not None and found.configured == limit.allowed else None

    def effective(self, limits: Scoped) -> Scoped:
        """Return the limits with what people have set."""
        known = self.configured(limits)
        return tuple((scope, self._effective(scope, limit)) for scope, limit in known)

    def _effective(self, scope: str, limit: Limit) -> Limit:
        found = self.of(scope, limit)
        return limit if found is None else with_value(limit, found.value)


def with_value(limit: Limit, value: float) -> Limit:
    """Return a limit with another `max` or `min`.

    Raises:
        ValueError: the limit refuses the value; pydantic's, with the field and the value.
    """
    fields = {name: getattr(limit, name) for name in limit.model_fields_set}
    return type(limit)(**{**fields, "min" if limit.is_min else "max": value})


def built(rows: Iterable[Row]) -> Scoped:
    """Return limits from their fields."""
    return tuple(
        (scope, LIMITS_BY_NAME[name].model_validate(fields)) for scope, name, fields in rows
    )


def rows_of(limits: Scoped) -> tuple[Row, ...]:
    """Return the fields of limits, as `built` takes them."""
    return tuple(
        (scope, limit.name, limit.model_dump(mode="json", exclude_unset=True))
        for scope, limit in limits
    )
