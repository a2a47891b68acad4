"""Instruments that are watched because somebody wants to trade them, though nobody holds them."""

from __future__ import annotations

WISHES_MAX = 200
"""So many of an account at once: each is a subscription at the venue."""

KEPT_MS = 3_600_000
"""One that nobody asked for in so long makes room for another."""


class Wishes:
    """What is wished for on one account, and when it was asked for last."""

    def __init__(self) -> None:
        self._asked_ms: dict[str, int] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """The instruments, the one that was asked for last at the end."""
        return tuple(self._asked_ms)

    def take(self, symbol: str, now_ms: int) -> bool:
        """Note a wish; False when there are too many, all of them asked for lately."""
        if self._asked_ms.pop(symbol, None) is None and len(self._asked_ms) >= WISHES_MAX:
            oldest = next(iter(self._asked_ms))
            if now_ms - self._asked_ms[oldest] < KEPT_MS:
                return False
            del self._asked_ms[oldest]
        self._asked_ms[symbol] = now_ms
        return True
