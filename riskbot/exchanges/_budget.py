"""How many requests we may send: one weighted budget per venue, host and way out.

Routine reads stop at 70 %; the rest is for cancels, closes and reads that serve them, which never
wait here. Only a ban the venue itself stated stops everything, since asking again lengthens it.
"""

from __future__ import annotations

from collections import deque

from riskbot.core.model import RejectReason
from riskbot.errors import VenueError

ROUTINE_SHARE = 0.7


class Budget:
    """Weight spent within a sliding window.

    Attributes:
        capacity: weight allowed per window.
        window_ms: length of the window.
    """

    def __init__(self, capacity: float, window_ms: int) -> None:
        self.capacity = capacity
        self.window_ms = window_ms
        self._spent: deque[tuple[int, float]] = deque()
        self._sum = 0.0
        self._others = 0.0
        self._others_until_ms = 0
        self._banned_until_ms = 0

    def used(self, now_ms: int) -> float:
        """Return the weight used in the window that ends now, that of others included."""
        while self._spent and self._spent[0][0] <= now_ms - self.window_ms:
            self._sum -= self._spent.popleft()[1]
        others = self._others if now_ms < self._others_until_ms else 0.0
        return max(0.0, self._sum) + others

    def spend(self, cost: float, now_ms: int, *, is_urgent: bool) -> None:
        """Take weight for one request.

        Raises:
            VenueError: RATE_LIMITED, nothing was sent; `retry_after_ms` says when to come back.
        """
        if now_ms < self._banned_until_ms:
            raise VenueError(
                RejectReason.RATE_LIMITED,
                "the venue asked us to wait; nothing was sent",
                retry_after_ms=self._banned_until_ms - now_ms,
            )
        if not is_urgent and self.used(now_ms) + cost > self.capacity * ROUTINE_SHARE:
            raise VenueError(
                RejectReason.RATE_LIMITED,
                "own request budget: routine reads stop at 70 %",
                retry_after_ms=self._room_in_ms(cost, now_ms),
            )
        self._spent.append((now_ms, cost))
        self._sum += cost

    def observe_used(self, reported: float, now_ms: int) -> None:
        """Take the venue's own count: whoever else shares this address is in it."""
        own = self.used(now_ms) - (self._others if now_ms < self._others_until_ms else 0.0)
        self._others = max(0.0, reported - own)
        self._others_until_ms = now_ms + self.window_ms

    def ban(self, wait_ms: int, now_ms: int) -> None:
        """Honor a wait the venue stated."""
        self._banned_until_ms = max(self._banned_until_ms, now_ms + wait_ms)

    def _room_in_ms(self, cost: float, now_ms: int) -> int:
        excess = self.used(now_ms) + cost - self.capacity * ROUTINE_SHARE
        for spent_ms, weight in self._spent:
            excess -= weight
            if excess <= 0:
                return max(1, spent_ms + self.window_ms - now_ms)
        return self.window_ms


_shared: dict[str, Budget] = {}


def shared_budget(key: str, capacity: float, window_ms: int) -> Budget:
    """Return the budget all accounts behind the same venue, host and way out share."""
    return _shared.setdefault(key, Budget(capacity, window_ms))
