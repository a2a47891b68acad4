"""Sub-state of limit values that people set while riskbot runs.

An override lasts over restarts until the configuration states another value than it did then:
what is written in the file last counts. Which limits there are is the configuration's alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from riskbot.core import actions
from riskbot.core.limits._base import Limit
from riskbot.core.plain import from_plain, to_plain

Scoped = tuple[tuple[str, Limit], ...]
"""(scope, limit) of every limit that is on."""


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
    """Every override, by (scope, limit)."""

    values: dict[tuple[str, str], Override] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Overrides:
        """Return what `dump` wrote."""
        state: Overrides = from_plain(cls, data)
        return state

    def apply(self, record: actions.SetLimit, now_ms: int) -> None:
        """Fold the only record that concerns it."""
        key = (record.scope, record.limit)
        if record.value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = Override(record.value, record.configured, record.actor, now_ms)

    def of(self, scope: str, limit: Limit) -> Override | None:
        """Return the override of a configured limit, None = it is as configured."""
        found = self.values.get((scope, limit.name))
        return found if found is not None and found.configured == limit.allowed else None

    def effective(self, limits: Scoped) -> Scoped:
        """Return the limits with what people have set."""
        return tuple((scope, self._effective(scope, limit)) for scope, limit in limits)

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
