"""How much Telegram takes of a bot (its FAQ): a second each, twenty a minute in a group, 30/s."""

from __future__ import annotations

import math
from collections import defaultdict, deque

PACED = frozenset({"sendmessage", "sendphoto", "editmessagetext", "editmessagemedia"})
BURST = 4
"""Short bursts are let pass in a private chat."""

GROUP_MAX, GROUP_S = 20, 60.0
ALL_MAX, ALL_S = 30, 1.0


class Rules:
    """Counts what a bot sends and edits, and refuses what is too much.

    Attributes:
        refused: how often it did.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._full: dict[int, float] = {}
        self._groups: defaultdict[int, deque[float]] = defaultdict(deque)
        self._all: deque[float] = deque()

    def take(self, chat: int, now_s: float) -> int | None:
        """Count one call; return how long to wait when it is too much, s."""
        wait_s = max(
            self._left(self._all, ALL_MAX, ALL_S, now_s),
            self._private(chat, now_s)
            if chat > 0
            else self._left(self._groups[chat], GROUP_MAX, GROUP_S, now_s),
        )
        if wait_s > 0:
            self.refused += 1
            return math.ceil(wait_s)
        self._all.append(now_s)
        if chat > 0:
            self._full[chat] = max(self._full.get(chat, 0.0), now_s) + 1.0
        else:
            self._groups[chat].append(now_s)
        return None

    def _private(self, chat: int, now_s: float) -> float:
        return self._full.get(chat, now_s) + 1.0 - now_s - BURST

    @staticmethod
    def _left(times: deque[float], most: int, seconds: float, now_s: float) -> float:
        while times and now_s - times[0] >= seconds:
            times.popleft()
        return times[0] + seconds - now_s if len(times) >= most else 0.0
