"""What a chat may be sent besides red and answers; what is more is folded into one message."""

from __future__ import annotations

from dataclasses import replace

from riskbot.clock import Clock
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.notes import Fold
from riskbot.frontends.telegram.reader import say

SHORT_MS, SHORT_MAX = 600_000, 6
LONG_MS, LONG_MAX = 3_600_000, 20
"""New messages in ten minutes, and in an hour."""

LINES_MAX = 5
FOLDED_MAX = 50
"""Lines that are remembered; how many there were is counted all the same."""


class Budget:
    """New messages that are neither red nor answers, by chat; it outlives a restart.

    Args:
        clock: for times.
        memory: keeps what was sent.
    """

    def __init__(self, clock: Clock, memory: Memory) -> None:
        self._clock = clock
        self._memory = memory

    def take(self, chat: int, *, is_notice: bool = False) -> bool:
        """Return whether one more may go, and count it.

        Notices may use half of it: what strangers can bring about must not silence an alert.
        """
        now_ms = self._clock.now_ms()
        # What is ahead was sent before a clock was set back: it must not lock the chat.
        times = [ms for ms in self._memory.sent(chat) if 0 <= now_ms - ms < LONG_MS]
        lately = sum(now_ms - ms < SHORT_MS for ms in times)
        share = 2 if is_notice else 1
        if lately >= SHORT_MAX // share or len(times) >= LONG_MAX // share:
            return False
        self._memory.note_sent(chat, [*times, now_ms])
        return True

    def count(self, chat: int) -> None:
        """Count a message that goes in any case."""
        if not self.take(chat):
            times = self._memory.sent(chat)[1:]
            self._memory.note_sent(chat, [*times, self._clock.now_ms()])

    def fold(self, chat: int, key: str, line: str) -> tuple[int, str]:
        """Return the message that stands for all that is more, 0 = none yet, and its words.

        After ten minutes it has scrolled away: what comes then gets a message of its own.
        """
        now_ms = self._clock.now_ms()
        fold = self._memory.fold(chat)
        if not 0 <= now_ms - fold.at_ms < SHORT_MS:
            fold = Fold(at_ms=now_ms)
        lines = {name: text for name, text in fold.lines.items() if name != key} | {key: line}
        dropped = fold.dropped
        while len(lines) > FOLDED_MAX:
            del lines[next(iter(lines))]
            dropped += 1
        self._memory.note_fold(chat, replace(fold, lines=lines, dropped=dropped))
        last = list(lines.values())[-LINES_MAX:]
        count = len(lines) + dropped
        return fold.message, "\n".join([say("{count} more, /alerts", count=count), *last])

    def note(self, chat: int, message: int) -> None:
        """Note the message that stands for all that is more."""
        fold = self._memory.fold(chat)
        if fold.lines:
            self._memory.note_fold(chat, replace(fold, message=message))
