"""Signed requests: HMAC-SHA256 over what is asked, when, and under a word that is never used twice.

A token that was read somewhere (a proxy's log, a broker) does not do for a strategy that signs.
What was signed up to `AHEAD_MS` after the start is refused: the words of the run before are not
known any more, and a clock that is a little ahead may have signed for that moment already.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from riskbot.clock import Clock

WINDOW_MS = 30_000
"""How old a signature may be."""

AHEAD_MS = 5_000
"""How far a strategy's clock may be ahead of riskbot's."""

NONCES_MAX = 50_000
"""Words remembered of one strategy, each for as long as its signature would be fresh."""

_TIME = re.compile(r"[0-9]{1,15}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signed:
    """What is asked, and what is shown for it.

    Attributes:
        method: of HTTP; `PUBLISH` over MQTT.
        path: with its query, as it was sent; over MQTT the topic.
        body: its bytes, empty = none.
        ts: UTC ms, as text.
    """

    method: str
    path: str
    body: bytes
    ts: str
    nonce: str
    signature: str


def canonical(signed: Signed) -> bytes:
    """Return what is signed: five lines, and then the body as it is sent."""
    lines = ("riskbot-request-1", signed.method, signed.path, signed.ts, signed.nonce, "")
    return "\n".join(lines).encode("utf-8", "surrogateescape") + signed.body


class Signatures:
    """Checks signatures, and remembers the words that were used.

    Args:
        clock: for freshness.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._started_ms = clock, clock.now_ms()
        self._used: dict[str, dict[str, int]] = {}

    def fault(self, strategy: str, key: bytes, signed: Signed) -> str:
        """Return why a request is not its strategy's, empty = it is; its word is used then."""
        if not (_TIME.fullmatch(signed.ts) and _NONCE.fullmatch(signed.nonce)):
            return "a signature needs its time in UTC ms, and a nonce of 16 to 64 A-Z a-z 0-9 _ -"
        if not _SIGNATURE.fullmatch(signed.signature):
            return "the signature must be 64 hexadecimal digits, lower case"
        expected = hmac.new(key, canonical(signed), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signed.signature):
            return "the signature does not match"
        return self._stale(strategy, signed)

    def _stale(self, strategy: str, signed: Signed) -> str:
        now_ms, ts_ms = self._clock.now_ms(), int(signed.ts)
        if not now_ms - WINDOW_MS <= ts_ms <= now_ms + AHEAD_MS:
            return f"signed {(now_ms - ts_ms) / 1000:+.1f} s ago: at most {WINDOW_MS // 1000} s"
        if ts_ms <= self._started_ms + AHEAD_MS:
            return "signed before or just as this riskbot started: sign it anew in a moment"
        used = self._used.setdefault(strategy, {})
        # The oldest stand first, near enough: what they leave behind is dropped with them.
        while used and next(iter(used.values())) < now_ms:
            del used[next(iter(used))]
        if signed.nonce in used:
            return "this nonce was used already"
        if len(used) >= NONCES_MAX:
            return "too many signed requests within the window"
        used[signed.nonce] = ts_ms + WINDOW_MS
        return ""
