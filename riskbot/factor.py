"""The second factor: a one-time code becomes a fact the core can judge, and is gone.

Codes are read here, before anything is journaled or logged; whether one is needed, was used before
or came too often wrong is decided in the core. RFC 6238: SHA-1, 30 s, 6 digits, one step either
way for clocks that disagree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import pyotp

from riskbot.core import events

STEP_S = 30
STEPS_OFF = 1


class _Totp(pyotp.TOTP):
    # 16 base32 characters: what most authenticators are set up with.
    min_secret_length_bits = 80


class _Clock(Protocol):
    def now_ms(self) -> int: ...


class SecondFactor:
    """Reads the codes of commands.

    Args:
        secret: base32, None = none is configured; with one that cannot be read every code is wrong.
        clock: for the time step.
    """

    def __init__(self, secret: str | None, clock: _Clock) -> None:
        self._is_configured = bool(secret)
        self._totp = _Totp(_bare(secret)) if secret and not fault(secret) else None
        self._clock = clock

    def read(self, event: events.Event) -> events.Event:
        """Return a command with what its code proves in place of the code; others as they are."""
        if not isinstance(event, events.CommandReceived) or "totp" not in event.args:
            return event
        args = dict(event.args)
        code = args.pop("totp")
        if code in {None, ""} or not self._is_configured:
            return replace(event, args=args)
        step = self._step(str(code).replace(" ", ""))
        return replace(event, args=args, factor_step=step, is_factor_wrong=step is None)

    def _step(self, code: str) -> int | None:
        """Return the time step a code belongs to, None = it is none of now."""
        if self._totp is None or len(code) != self._totp.digits:
            return None
        now = self._clock.now_ms() // 1_000 // STEP_S
        # Every step is compared, so that the time it takes tells nothing.
        fits = [
            step
            for step in range(now - STEPS_OFF, now + STEPS_OFF + 1)
            if pyotp.utils.strings_equal(code, self._totp.at(step * STEP_S))
        ]
        return fits[-1] if fits else None


def fault(secret: str) -> str:
    """Return what is wrong with a secret, empty = it can be used; never the secret itself."""
    try:
        _Totp(_bare(secret))
    except ValueError:  # its words may hold the secret
        return "is no base32 text of 16 characters or more"
    return ""


def _bare(secret: str) -> str:
    return secret.replace(" ", "").rstrip("=")
