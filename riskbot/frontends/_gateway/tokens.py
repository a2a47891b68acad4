"""Who asks: bearer tokens, of which only digests are kept, and failed logins, which are counted."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from riskbot.core.model import Role

FAILURES_MAX, FAILURES_MS = 10, 60_000
"""So many failed logins of a peer in that time are answered 401, those beyond 429."""

PEERS_MAX = 1_000
TOKEN_MAX = 512


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose token is known.

    Attributes:
        name: as it is audited: `http:admin`, `strategy:grid`.
        role: None for a strategy, and for whoever may only see the investor view.
        strategy: None = it is none.
        accounts: where the strategy may trade.
        signs_with: key that its requests are signed with, empty = they are not.
        digest: of the token; another token makes another caller.
    """

    name: str
    role: Role | None = None
    strategy: str | None = None
    accounts: tuple[str, ...] = ()
    signs_with: bytes = field(default=b"", repr=False)
    digest: bytes = field(default=b"", repr=False)


class Tokens:
    """The tokens that are known; each is forgotten for its digest at once.

    Args:
        known: (token, whose it is).
    """

    def __init__(self, known: Iterable[tuple[str, Caller]]) -> None:
        digests = ((_digest(token), caller) for token, caller in known)
        self._known = [(digest, replace(caller, digest=digest)) for digest, caller in digests]

    def __contains__(self, caller: object) -> bool:
        return any(known == caller for _, known in self._known)

    def find(self, token: str) -> Caller | None:
        """Return whose token it is; every digest is compared, so that time tells nothing."""
        shown, found = _digest(token[:TOKEN_MAX]), None
        for digest, caller in self._known:
            if hmac.compare_digest(digest, shown):
                found = caller
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Failures:
    """Failed logins of the last minute by peer, those of the most recent peers."""

    def __init__(self) -> None:
        self._at_ms: dict[str, deque[int]] = {}

    def note(self, peer: str, now_ms: int) -> int:
        """Take note of a failure and return how many there were within the minute, it included."""
        stamps = self._at_ms.pop(peer, None) or deque(maxlen=FAILURES_MAX + 1)
        while stamps and now_ms - stamps[0] >= FAILURES_MS:
            stamps.popleft()
        stamps.append(now_ms)
        self._at_ms[peer] = stamps
        if len(self._at_ms) > PEERS_MAX:
            del self._at_ms[next(iter(self._at_ms))]
        return len(stamps)
