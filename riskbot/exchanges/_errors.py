"""What a failed request means: one map from a venue's words to `VenueError`.

The venue's own code comes first, the HTTP status second, ccxt's class last: ccxt picks its error
tables by the URL's prefix, so behind another URL the class says little. A code nobody knows is
ambiguous, never a refusal: an order that may live is looked up, not sent again.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from riskbot import redaction
from riskbot.core.model import RejectReason
from riskbot.errors import VenueError

_MESSAGE_CHARS = 240
LONGEST_RESET_MS = 60_000

_CLASSES: tuple[tuple[str, RejectReason], ...] = (
    ("OrderNotFound", RejectReason.NOT_FOUND),
    ("InsufficientFunds", RejectReason.INSUFFICIENT_MARGIN),
    ("DuplicateOrderId", RejectReason.DUPLICATE_ID),
    ("BadSymbol", RejectReason.UNKNOWN_INSTRUMENT),
    ("MarketClosed", RejectReason.MAINTENANCE),
    ("OnMaintenance", RejectReason.MAINTENANCE),
    ("InvalidNonce", RejectReason.CLOCK),
    ("RateLimitExceeded", RejectReason.RATE_LIMITED),
    ("DDoSProtection", RejectReason.RATE_LIMITED),
    ("PermissionDenied", RejectReason.AUTHENTICATION),
    ("AccountSuspended", RejectReason.AUTHENTICATION),
    ("AuthenticationError", RejectReason.AUTHENTICATION),
    ("ArgumentsRequired", RejectReason.OTHER),
    ("InvalidOrder", RejectReason.OTHER),
    ("OperationRejected", RejectReason.OTHER),
    ("BadRequest", RejectReason.OTHER),
    ("NotSupported", RejectReason.OTHER),
)
# Classes of ccxt that say a request was refused for certain; most special first. The rest
# (ExchangeError, NetworkError, BadResponse...) leaves open whether it was carried out.


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """How one venue words its errors.

    Attributes:
        code_patterns: where its code stands in a reply, most special first; one group each.
        refusals: codes after which nothing was carried out.
        ambiguous: codes after which an order may live all the same.
        success: codes that mean no error.
        bans: HTTP statuses of a rate limit or ban, beside 429 and 418.
        reset_headers: names, in lower case, of headers that state in UTC ms when a limit ends.
        endpoint_limits: codes of a rate limit that concerns the endpoint asked alone.
        wordings: for a code that means several things, words of its message, most special first.
    """

    code_patterns: tuple[re.Pattern[str], ...] = ()
    refusals: Mapping[str, RejectReason] = field(default_factory=dict)
    ambiguous: frozenset[str] = frozenset()
    success: frozenset[str] = frozenset()
    bans: frozenset[int] = frozenset()
    reset_headers: frozenset[str] = frozenset()
    endpoint_limits: frozenset[str] = frozenset()
    wordings: Mapping[str, tuple[tuple[str, RejectReason], ...]] = field(default_factory=dict)


def classify(error: BaseException, rules: ErrorRules, now_ms: int) -> VenueError:
    """Turn what a request raised into a `VenueError` with reason and certainty.

    Args:
        error: what ccxt, aiohttp or our own parsing raised.
        rules: the venue's codes.
        now_ms: UTC ms, to turn a ban's end into a wait.
    """
    if isinstance(error, VenueError):
        return error
    status = http_status(error)
    reason, is_ambiguous = _judge(error, status, rules)
    return VenueError(
        reason,
        _shorten(f"{type(error).__name__}: {error}"),
        is_ambiguous=is_ambiguous,
        retry_after_ms=retry_after_ms(error, rules, now_ms),
        http_status=status,
        code=venue_code(_told(error), rules),
    )


def _judge(
    error: BaseException, status: int | None, rules: ErrorRules
) -> tuple[RejectReason, bool]:
    by_code = _by_code(_told(error), rules)
    if by_code is not None:
        return by_code
    by_class = _by_class(error)
    by_status = None if status is None else _by_status(status, rules)
    if by_status is not None:
        reason, is_ambiguous = by_status
        # A status says that it was refused; the class may know why.
        is_vague = reason is RejectReason.OTHER and by_class is not None
        return (by_class if is_vague and by_class else reason), is_ambiguous
    if was_never_sent(error):
        return RejectReason.UNREACHABLE, False
    if by_class is not None:
        return by_class, False
    return RejectReason.UNREACHABLE, True


def _told(error: BaseException) -> str:
    return f"{getattr(error, 'http_body', '')} {error}"


def venue_code(text: str, rules: ErrorRules) -> str | None:
    """Return the venue's code in a reply, None when there is none."""
    for pattern in rules.code_patterns:
        for found in pattern.finditer(text):
            if found.group(1) not in rules.success:
                return found.group(1)
    return None


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status of the reply that raised this, None when there was no reply."""
    status = getattr(error, "http_status", None)
    return status if isinstance(status, int) else None


def retry_after_ms(error: BaseException, rules: ErrorRules, now_ms: int) -> int | None:
    """Return how long the venue asked to wait, None when it did not."""
    headers = getattr(error, "http_headers", None) or {}
    stated = wait_stated(headers)
    if stated is not None:
        return stated
    for name, value in headers.items():
        if name.lower() in rules.reset_headers and str(value).isdigit():
            return max(0, min(int(value) - now_ms, LONGEST_RESET_MS))
    banned = re.search(r"banned until (\d{13})", str(error))
    return max(0, int(banned.group(1)) - now_ms) if banned else None


def wait_stated(headers: Mapping[str, str]) -> int | None:
    """Return the wait in ms that reply headers state, None for none."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0, int(float(value) * 1000))
            except ValueError:
                return None
    return None


def was_never_sent(error: BaseException) -> bool:
    """Whether the connection could not even be opened, so that nothing reached the venue."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        if isinstance(cause, socket.gaierror | ConnectionRefusedError):
            return True
        if isinstance(cause, asyncio.CancelledError):
            return False
        cause = cause.__cause__
    return False


def _by_code(text: str, rules: ErrorRules) -> tuple[RejectReason, bool] | None:
    code = venue_code(text, rules)
    if code is None:
        return None
    for words, reason in rules.wordings.get(code, ()):
        if words.lower() in text.lower():
            return reason, False
    if code in rules.ambiguous:
        return RejectReason.UNREACHABLE, True
    known = rules.refusals.get(code)
    return None if known is None else (known, False)


def _by_status(status: int, rules: ErrorRules) -> tuple[RejectReason, bool] | None:
    if status in {429, 418} or status in rules.bans:
        return RejectReason.RATE_LIMITED, False
    if status >= 500 or status == 408:
        return RejectReason.UNREACHABLE, True
    if status in {401, 403}:
        return RejectReason.AUTHENTICATION, False
    if status >= 400:
        return RejectReason.OTHER, False
    return None


def _by_class(error: BaseException) -> RejectReason | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    for name, reason in _CLASSES:
        if name in names:
            return reason
    return None


def _shorten(text: str) -> str:
    # Signatures and keys stand in URLs of ccxt's messages; nobody needs a URL's query.
    cleaned = re.sub(r"((?:https?|wss?)://[^\s?]+)\?\S*", r"\1", text.replace("\n", " "))
    cleaned = redaction.redact(cleaned)
    return cleaned if len(cleaned) <= _MESSAGE_CHARS else cleaned[: _MESSAGE_CHARS - 1] + "…"
