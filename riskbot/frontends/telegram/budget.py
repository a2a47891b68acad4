"""Alerts a chat may be sent; what is more is folded into one message. Red is not counted."""

from __future__ import annotations

from riskbot.clock import Clock

SHORT_MS, SHORT_MAX = 600_000, 6
LONG_MS, LONG_MAX = 3_600_000, 20
"""New messages in ten minutes, and in an hour."""

LINES_MAX = 5


class Budget:
    """New messages of alerts that are not red, by chat.

    Args:
        clock: for times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: dict[int, tuple[int, ...]] = {}
        self._more: dict[int, tuple[int, dict[str, str]]] = {}

    def take(self, chat: int) -> bool:
        """Return whether one more may go, and count it."""
        now_ms = self._clock.now_ms()
        times = tuple(ms for ms in self._sent.get(chat, ()) if now_ms - ms < LONG_MS)
        lately = sum(now_ms - ms < SHORT_MS for ms in times)
        if lately >= SHORT_MAX or len(times) >= LONG_MAX:
            return False
        self._sent[chat] = (*times, now_ms)
        # What comes beyond it from now on is another flood: with a message of its own.
        self._more.pop(chat, None)
        return True

    def fold(self, chat: int, alert_id: str, line: str) -> tuple[int, str]:
        """Return the message that stands for all that is more, 0 = none yet, and its words."""
        message, lines = self._more.setdefault(chat, (0, {}))
        lines.pop(alert_id, None)
        lines[alert_id] = line
        last = list(lines.values())[-LINES_MAX:]
        return message, "\n".join([f"{len(lines)} more, /alerts", *last])

    def note(self, chat: int, message: int) -> None:
        """Note the message that stands for all that is more."""
        if chat in self._more:
            self._more[chat] = (message, self._more[chat][1])
