"""How fast, and how often the same: what keeps a chat within Telegram's limits and bearable."""

from __future__ import annotations

import asyncio
from typing import Any

PRIVATE_EVERY_S = 1.0
GROUP_EVERY_S = 4.0
GLOBAL_EVERY_S = 0.05
BURST = 3

ECHO_S = 60.0
"""For so long a chat is not sent the same text again."""


class Bucket:
    """Tokens that come back one by one: bursts are allowed, more is not."""

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s = every_s
        self._burst = burst
        self._full_at = 0.0

    def left_s(self, kept: int = 0) -> float:
        """Return in how many seconds one more may go, such that `kept` could follow at once."""
        now = asyncio.get_running_loop().time()
        full_at = max(self._full_at, now) + (1 + kept) * self._every_s
        return max(0.0, full_at - now - self._burst * self._every_s)

    def spend(self) -> None:
        """Count one."""
        now = asyncio.get_running_loop().time()
        self._full_at = max(self._full_at, now) + self._every_s

    async def take(self) -> None:
        """Return when one more may go."""
        left_s = self.left_s()
        self.spend()
        if left_s > 0:
            await asyncio.sleep(left_s)


def bucket_of(chat: int) -> Bucket:
    """Return the bucket of a chat: groups are allowed less."""
    return Bucket(PRIVATE_EVERY_S if chat > 0 else GROUP_EVERY_S, BURST)


class Echoes:
    """What each chat was sent lately, on its way or there."""

    def __init__(self) -> None:
        self._lately: dict[tuple[int, str], tuple[float, asyncio.Future[Any]]] = {}

    def find(self, chat: int, text: str) -> asyncio.Future[Any] | None:
        """Return what becomes of the same text in a chat, None = it was not sent lately."""
        since = asyncio.get_running_loop().time() - ECHO_S
        self._lately = {key: sent for key, sent in self._lately.items() if sent[0] > since}
        sent = self._lately.get((chat, text))
        if sent is None or _failed(sent[1]):
            return None
        return sent[1]

    def note(self, chat: int, text: str, result: asyncio.Future[Any]) -> None:
        """Note a text that is being sent."""
        self._lately[chat, text] = (asyncio.get_running_loop().time(), result)


def _failed(result: asyncio.Future[Any]) -> bool:
    return result.done() and (result.cancelled() or result.exception() is not None)
