"""Who is let in: tokens that are known, wrong ones counted, and an audit of them with a bound.

One of these serves every door, so that the same stranger is counted once wherever it knocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import Actor, Role
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends._gateway.signatures import Signatures, Signed
from riskbot.frontends._gateway.tokens import FAILURES_MAX, FAILURES_MS, Caller, Failures, Tokens

UNKNOWN = "unknown token"
"""Why a login failed, in the audit."""

REFUSALS_MAX, REFUSALS_MS = 20, 60_000
"""So many failed logins are audited in that time; those beyond it are only counted."""


class Logins:
    """Finds out who asks.

    Args:
        known: (token, whose it is).
        clock: for counting failures.
        emit: takes the audit of failures.

    Attributes:
        unaudited: failures that were not written down.
    """

    def __init__(
        self,
        known: Iterable[tuple[str, Caller]],
        clock: Clock,
        emit: Callable[[events.Event], None],
    ) -> None:
        self._tokens, self._clock, self._emit = Tokens(known), clock, emit
        self._failures, self._signatures = Failures(), Signatures(clock)
        self._refused_ms: list[int] = []
        self.unaudited = 0

    def replace(self, known: Iterable[tuple[str, Caller]]) -> None:
        """Know these tokens from now on, and no others."""
        self._tokens = Tokens(known)

    def knows(self, caller: Caller) -> bool:
        """Whether somebody's token is still one."""
        return caller in self._tokens

    def find(self, token: str, peer: str, door: str) -> Caller:
        """Return whose token it is.

        Also while wrong tokens come from there: on one machine all share an address, and a token
        of 128 bits cannot be tried out. Whoever has one is never locked out by somebody else.

        Args:
            token: that was shown.
            peer: who showed it, as far as the door can tell.
            door: its name, for the audit.

        Raises:
            RefusalError: nobody's.
        """
        found = self._tokens.find(token)
        if found is None:
            raise self.failed(peer, door, UNKNOWN)
        return found

    def prove(self, caller: Caller, signed: Signed, peer: str, door: str) -> None:
        """Check that who shows a strategy's token has its secret too, where there is one.

        Raises:
            RefusalError: not proven.
        """
        if not caller.signs_with or caller.strategy is None:
            return
        if why := self._signatures.fault(caller.strategy, caller.signs_with, signed):
            raise self.failed(peer, door, f"{caller.name}: {why}")

    def failed(self, peer: str, door: str, why: str) -> RefusalError:
        """Count a failed login, audit it if there is room, and return how it is refused."""
        now_ms = self._clock.now_ms()
        count = self._failures.note(peer, now_ms)
        if count > FAILURES_MAX:
            message = f"more than {FAILURES_MAX} failed logins within a minute"
            self.unaudited += 1
            return RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS, message, retry_after_s=FAILURES_MS // 1_000
            )
        self._refused_ms = [ms for ms in self._refused_ms if now_ms - ms < REFUSALS_MS]
        if len(self._refused_ms) < REFUSALS_MAX:
            self._refused_ms.append(now_ms)
            actor = Actor(f"{door}:{peer}", Role.VIEWER, door)
            reason = f"{why}, failed login {count} within a minute"
            self._emit(events.CommandRefused(actor=actor, reason=reason))
        else:
            self.unaudited += 1
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        words = "the token is not known" if why == UNKNOWN else why
        return RefusalError(HTTPStatus.UNAUTHORIZED, words, headers=headers)
