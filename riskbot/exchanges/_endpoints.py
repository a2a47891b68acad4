"""Limits a venue counts per endpoint and account, beside the one of the address.

Tables by path stand in the venue files; ccxt's method names are matched to them. An endpoint that
has no row has no known limit, but a wait that the venue states for it alone is kept all the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from riskbot.exchanges._budget import Budget, Lane

Limits = Mapping[str, tuple[int, int]]
"""Requests per window in ms, by path: `{"v5/position/list": (50, 1000)}`."""

USUAL = ""
"""Key of the limit that private endpoints without a row of their own have."""

_VERB = re.compile(r"^(?:[a-z0-9]+?)?(Private|Public|private|public)(?:V\d)?(Get|Post|Put|Delete)")
_WRITES = re.compile(r"^(create|cancel|edit)_|(Post|Delete)[A-Z]")


def lane_of(method: str, *, is_urgent: bool) -> Lane:
    """Return the lane of a call: what changes something at the venue cancels or closes."""
    if not is_urgent:
        return Lane.ROUTINE
    return Lane.ORDER if _WRITES.search(method) else Lane.READ


def _plain(path: str) -> str:
    return re.sub(r"[^a-z0-9]", "", path.lower())


class Endpoints:
    """The budgets of one account's endpoints, by ccxt's method names."""

    def __init__(self, limits: Limits) -> None:
        self._limits = {_plain(path): limit for path, limit in limits.items()}
        self._budgets: dict[str, Budget] = {}

    def of(self, method: str) -> Budget:
        """Return the budget of the endpoint behind a method."""
        known = self._budgets.get(method)
        if known is None:
            capacity, window_ms = self._limit(method)
            # Requests do not arrive as far apart as they were sent.
            known = self._budgets[method] = Budget(capacity, window_ms + window_ms // 5)
        return known

    def _limit(self, method: str) -> tuple[float, int]:
        found = _VERB.match(method)
        if found is not None:
            own = self._limits.get(_plain(method[found.end() :]))
            usual = self._limits.get(USUAL) if found.group(1).lower() == "private" else None
            if limit := own or usual:
                return limit
        return math.inf, 1_000

    def at(self, path: str) -> list[Budget]:
        """Return the budgets in use of the endpoint at a path (a reply told of them)."""
        wanted = _plain(path)
        found = []
        for method, budget in self._budgets.items():
            verb = _VERB.match(method)
            if verb is not None and wanted == _plain(method[verb.end() :]):
                found.append(budget)
        return found

    def banned(self, now_ms: int) -> Budget | None:
        """Return the budget of the endpoint whose wait ends last, None when none waits."""
        waiting = [(b.load(now_ms).until_ms or 0, n) for n, b in self._budgets.items()]
        until_ms, name = max(waiting, default=(0, ""))
        return self._budgets[name] if until_ms else None
