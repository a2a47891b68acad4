"""How often a strategy may ask: what is beyond that is answered 429 and never reaches the journal.

A strategy that has lost its mind asks a thousand times a second, and every answer is written down
for years. Cancels are never counted here. Exits are not counted with what may raise risk:
one that was denied again and again is tried once a second, and a flood of them is slowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from riskbot.core import events
from riskbot.core.model import Actor, Role
from riskbot.frontends._gateway.refusal import RefusalError

DENIALS_MOST, DENIALS_A_MINUTE = 300, 30
"""Denials of a strategy: so many at once, and then so many a minute."""

EXIT_DENIALS_MAX, EXIT_AGAIN_MS = 20, 1_000
"""An exit of one instrument and side that was denied so often in a row is tried that often."""

EXITS_A_MINUTE, EXIT_WAIT_MS = 1_200, 8_000
"""Exits of a strategy: a minute's worth at once; those beyond are slowed, so long at most."""

READS_A_MINUTE, READS_MOST, READ_WAIT_MS = 3_000, 300, 1_000
"""Documents of a strategy: so many a minute, so many at once; those beyond are slowed, so long at
most. Who looks without end takes the time in which others are answered."""

PLACES_MAX = 500
"""Instruments and sides whose denied exits are remembered."""

TOLD_MS = 60_000
"""What was refused is audited once in this time, with its number."""

MINUTE_MS = 60_000

Place = tuple[str, str, str]
"""Account, instrument, side."""


class Bucket:
    """Fills steadily up to a bound; each request takes one out.

    Args:
        a_minute: how much flows in.
        most: how much it holds, and holds at first.
        now_ms: UTC ms.
    """

    def __init__(self, a_minute: float, most: float, now_ms: int) -> None:
        self._per_ms, self._most = a_minute / MINUTE_MS, most
        self._holds, self._at_ms = most, now_ms

    def wait_ms(self, now_ms: int) -> int:
        """Return how long until it holds one, 0 = it does."""
        elapsed_ms = max(now_ms - self._at_ms, 0)
        self._holds = min(self._holds + elapsed_ms * self._per_ms, self._most)
        self._at_ms = max(now_ms, self._at_ms)
        return 0 if self._holds >= 1 else max(int((1 - self._holds) / self._per_ms), 1)

    def spend(self) -> None:
        """Take one out, also where there is none: who overdraws waits longer."""
        self._holds -= 1


@dataclass(slots=True)
class _Denied:
    in_a_row: int = 0
    again_ms: int = 0


@dataclass(slots=True)
class _Refused:
    count: int = 0
    told_ms: int = -TOLD_MS
    exits: dict[Place, _Denied] = field(default_factory=dict)


class Pace:
    """Bounds one strategy.

    Args:
        strategy: its name.
        a_minute: requests that it may make in one.
        emit: takes the audit of what was refused.
        now_ms: UTC ms.
    """

    def __init__(
        self, strategy: str, a_minute: int, emit: Callable[[events.Event], None], now_ms: int
    ) -> None:
        self._strategy, self._a_minute, self._emit = strategy, a_minute, emit
        self._requests = Bucket(a_minute, a_minute, now_ms)
        self._denials = Bucket(DENIALS_A_MINUTE, DENIALS_MOST, now_ms)
        self._exits = Bucket(EXITS_A_MINUTE, EXITS_A_MINUTE, now_ms)
        self._reads = Bucket(READS_A_MINUTE, READS_MOST, now_ms)
        self._refused = _Refused()

    def admit(self, now_ms: int) -> int:
        """Let a request in that may raise risk, or asks for nothing that can be done.

        Returns:
            How long it waits for its turn, ms: 0.

        Raises:
            RefusalError: too many.
        """
        if wait_ms := self._requests.wait_ms(now_ms):
            words = f"more than {self._a_minute} requests a minute"
            raise self._too_many(words, wait_ms, now_ms)
        if wait_ms := self._denials.wait_ms(now_ms):
            words = f"denied too often: {DENIALS_A_MINUTE} more a minute"
            raise self._too_many(words, wait_ms, now_ms)
        self._requests.spend()
        return 0

    def admit_exit(self, place: Place, now_ms: int) -> int:
        """Let an exit in that has something to close.

        Returns:
            How long it waits for its turn, ms: 0 unless hundreds were asked for just now.

        Raises:
            RefusalError: the same was denied many times in a row, and just now again; or more wait
                than will ever have their turn.
        """
        denied = self._refused.exits.get(place)
        if denied is not None and denied.in_a_row >= EXIT_DENIALS_MAX:
            if now_ms < denied.again_ms:
                words = f"this exit was denied {denied.in_a_row} times in a row: ask once a second"
                raise self._too_many(words, denied.again_ms - now_ms, now_ms)
            denied.again_ms = now_ms + EXIT_AGAIN_MS
        words = f"more than {EXITS_A_MINUTE} exits a minute, and others wait"
        return self._slow(self._exits, EXIT_WAIT_MS, words, now_ms)

    def admit_read(self, now_ms: int) -> int:
        """Let a strategy read a document.

        Returns:
            How long it waits for its turn, ms.

        Raises:
            RefusalError: more wait than will soon have their turn.
        """
        words = f"more than {READS_A_MINUTE} reads a minute, and others wait"
        return self._slow(self._reads, READ_WAIT_MS, words, now_ms)

    def denied(self) -> None:
        """Count a denial."""
        self._denials.spend()

    def exit_answered(self, place: Place, *, is_denied: bool) -> None:
        """Count an exit's answer."""
        exits = self._refused.exits
        if not is_denied:
            exits.pop(place, None)
            return
        exits.setdefault(place, _Denied()).in_a_row += 1
        if len(exits) > PLACES_MAX:
            del exits[next(iter(exits))]

    def _slow(self, bucket: Bucket, most_ms: int, words: str, now_ms: int) -> int:
        """Return how long one waits for its turn, ms; refuse what would wait longer."""
        wait_ms = bucket.wait_ms(now_ms)
        if wait_ms > most_ms:
            raise self._too_many(words, wait_ms, now_ms)
        bucket.spend()
        return wait_ms

    def _too_many(self, words: str, wait_ms: int, now_ms: int) -> RefusalError:
        self._refused.count += 1
        if now_ms - self._refused.told_ms >= TOLD_MS:
            many = "" if self._refused.count == 1 else f" ({self._refused.count} since the last)"
            self._refused.count, self._refused.told_ms = 0, now_ms
            actor = Actor(f"strategy:{self._strategy}", Role.VIEWER, "gateway")
            self._emit(events.CommandRefused(actor=actor, reason=f"{words}{many}"))
        wait_s = -(-wait_ms // 1_000)
        return RefusalError(HTTPStatus.TOO_MANY_REQUESTS, words, retry_after_s=wait_s)
