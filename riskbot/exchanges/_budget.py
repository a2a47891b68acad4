"""How many requests we may send: one weighted budget per venue, host and way out.

Four lanes. What nobody waits for stops at 20 %, routine reads at 60 %. Reads that serve a close
stop at 70 %, but a tenth is theirs whoever else uses up the rest: a close needs its reading. The
last 30 % is for cancels and closes, which never wait for it. Only a wait that the venue itself
stated stops all it was stated for: asking on lengthens it, and it is kept no longer than stated,
since positions stay open.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._base import Load

SPARE_SHARE, ROUTINE_SHARE, READ_SHARE, OWN_READ_SHARE = 0.2, 0.6, 0.7, 0.1


class Lane(StrEnum):
    """Who asks: what nobody waits for, what may wait, what serves a close, what closes."""

    SPARE = "spare"
    ROUTINE = "routine"
    READ = "read"
    ORDER = "order"


_SHARES = {Lane.SPARE: SPARE_SHARE, Lane.ROUTINE: ROUTINE_SHARE}


class _Window:
    # Weight by the time it was spent, and its sum.
    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.spent: deque[tuple[int, float]] = deque()
        self._sum = 0.0

    def add(self, cost: float, now_ms: int) -> None:
        self.spent.append((now_ms, cost))
        self._sum += cost

    def total(self, now_ms: int) -> float:
        while self.spent and self.spent[0][0] <= now_ms - self.length_ms:
            self._sum -= self.spent.popleft()[1]
        if not self.spent:
            self._sum = 0.0
        return max(0.0, self._sum)

    def room_in_ms(self, excess: float, now_ms: int) -> int:
        # When so much weight will have left the window.
        for spent_ms, weight in self.spent:
            excess -= weight
            if excess <= 1e-9:
                return max(1, spent_ms + self.length_ms - now_ms)
        return self.length_ms


class Budget:
    """Weight spent within a sliding window.

    Attributes:
        capacity: weight allowed per window.
        window_ms: length of the window.
    """

    def __init__(self, capacity: float, window_ms: int) -> None:
        self.capacity = capacity
        self.window_ms = window_ms
        self._all, self._reads = _Window(window_ms), _Window(window_ms)
        self._others = 0.0
        self._others_until_ms = 0
        self._banned_until_ms = 0
        self._ban_detail = ""

    def used(self, now_ms: int) -> float:
        """Return the weight used in the window that ends now, that of others included."""
        others = self._others if now_ms < self._others_until_ms else 0.0
        return self._all.total(now_ms) + others

    def load(self, now_ms: int) -> Load:
        """Return how far it is used up, and what the venue asked us to wait for."""
        ratio = self.used(now_ms) / self.capacity
        if now_ms < self._banned_until_ms:
            return Load(ratio, self._banned_until_ms, self._ban_detail)
        return Load(ratio)

    def has_room(self, cost: float, now_ms: int) -> bool:
        """Whether a routine read of this cost would pass now."""
        return self.used(now_ms) + cost <= self.capacity * ROUTINE_SHARE

    def spend(self, cost: float, now_ms: int, lane: Lane) -> None:
        """Take weight for one request.

        Raises:
            VenueError: RATE_LIMITED, nothing was sent; `retry_after_ms` says when to come back.
        """
        self.check_ban(now_ms)
        wait_ms = self._wait_ms(cost, now_ms, lane)
        if wait_ms:
            share = _SHARES.get(lane, READ_SHARE)
            raise VenueError(
                RejectReason.RATE_LIMITED,
                f"own request budget: {lane} requests stop at {share:.0%}",
                retry_after_ms=wait_ms,
            )
        self._all.add(cost, now_ms)
        if lane is Lane.READ:
            self._reads.add(cost, now_ms)

    def check_ban(self, now_ms: int) -> None:
        """Refuse while a wait that the venue stated lasts.

        Raises:
            VenueError: RATE_LIMITED, nothing was sent.
        """
        if now_ms < self._banned_until_ms:
            raise VenueError(
                RejectReason.RATE_LIMITED,
                f"the venue asked us to wait; nothing was sent ({self._ban_detail})",
                retry_after_ms=self._banned_until_ms - now_ms,
            )

    def _wait_ms(self, cost: float, now_ms: int, lane: Lane) -> int:
        if lane is Lane.ORDER:
            return 0
        used = self.used(now_ms)
        if lane in _SHARES:
            excess = used + cost - self.capacity * _SHARES[lane]
            return self._all.room_in_ms(excess, now_ms) if excess > 0 else 0
        excess = used + cost - self.capacity * READ_SHARE
        own_excess = self._reads.total(now_ms) + cost - self.capacity * OWN_READ_SHARE
        if min(excess, own_excess) <= 0:
            return 0
        return min(self._all.room_in_ms(excess, now_ms), self._reads.room_in_ms(own_excess, now_ms))

    def pace_ms(self, now_ms: int, lane: Lane) -> int:
        """Return how long one more request must wait not to be one too many of an endpoint's."""
        share = _SHARES.get(lane, 1.0)
        excess = self.used(now_ms) + 1 - max(1.0, self.capacity * share)
        return self._all.room_in_ms(excess, now_ms) if excess > 0 else 0

    def observe_used(self, reported: float, now_ms: int) -> None:
        """Take the venue's own count: whoever else shares this address or account is in it."""
        self._others = max(0.0, reported - self._all.total(now_ms))
        self._others_until_ms = now_ms + self.window_ms

    def ban(self, wait_ms: int, now_ms: int, detail: str = "") -> None:
        """Honor a wait the venue stated."""
        if now_ms + wait_ms > self._banned_until_ms:
            self._banned_until_ms, self._ban_detail = now_ms + wait_ms, detail


_shared: dict[str, Budget] = {}


def shared_budget(key: str, capacity: float, window_ms: int) -> Budget:
    """Return the budget all accounts behind the same venue, host and way out share."""
    return _shared.setdefault(key, Budget(capacity, window_ms))
