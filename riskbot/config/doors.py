"""What the doors' sections mean together: tokens that hold, a second factor, a safe address.

Listening is the frontend's business; nothing here opens a socket.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from typing import TYPE_CHECKING

from riskbot import factor
from riskbot.addresses import is_address, is_loopback

if TYPE_CHECKING:
    from riskbot.config.models import HttpConfig, Root
    from riskbot.config.secret import Secret

TOKEN_BITS = 128
"""Weakest token that is taken: a shorter one could be tried out."""

DISTINCT_MIN = 8
"""A token of fewer different characters was typed, not drawn."""

PORT_MAX = 65_535

ROLE_TOKENS = ("viewer_token", "operator_token", "admin_token", "investor_token")

_ALPHABETS = (
    frozenset(string.digits),
    frozenset(string.hexdigits.lower()),
    frozenset(string.hexdigits.upper()),
    frozenset(string.ascii_lowercase + string.digits),
    frozenset(string.ascii_letters + string.digits),
    frozenset(string.ascii_letters + string.digits + string.punctuation),
)


def check(root: Root, faults: list[str]) -> None:
    """Append what does not hold, each a sentence that begins with the key, without the token."""
    seen: dict[str, str] = {}
    for key, token in _tokens(root):
        text = token.get_secret_value()
        if fault := token_fault(text):
            faults.append(f"{key}: {fault}")
        elif text in seen:
            faults.append(f"{key}: is the same as {seen[text]}: nobody could tell who asks")
        seen.setdefault(text, key)
    if root.http is not None:
        _check_listen(root.http, faults)


def _tokens(root: Root) -> Iterator[tuple[str, Secret]]:
    for name in ROLE_TOKENS if root.http is not None else ():
        if (token := getattr(root.http, name)) is not None:
            yield f"http.{name}", token
    for name, strategy in root.gateway.strategies.items():
        if strategy.token is not None:
            yield f"gateway.strategies.{name}.token", strategy.token


def token_fault(token: str) -> str:
    """Return why a token is none, empty = it holds."""
    alphabet = next((a for a in _ALPHABETS if a.issuperset(token)), None)
    if alphabet is None:
        return "has characters that a header cannot carry: use letters and digits"
    if len(token) * math.log2(len(alphabet)) < TOKEN_BITS or len(set(token)) < DISTINCT_MIN:
        return f"is too weak, needs {TOKEN_BITS} bits: make one with `openssl rand -hex 32`"
    return ""


def _check_listen(http: HttpConfig, faults: list[str]) -> None:
    host, _, port = http.listen.rpartition(":")
    if not 0 < int(port) <= PORT_MAX:
        faults.append(f"http.listen: must have a port of 1 to {PORT_MAX}, is {port}")
    if is_loopback(host):
        return
    if not is_address(host):
        faults.append(f"http.listen: must be an IP address or localhost, is {host!r}")
    elif all(getattr(http, name) is None for name in ROLE_TOKENS):
        faults.append(
            f"http.listen: {host} is open to the network, and no token is configured under http"
        )


def warnings(root: Root) -> list[str]:
    """Return what works and should not stay so."""
    told = _factor_warnings(root)
    http = root.http
    if http is not None and not is_loopback(http.listen.rpartition(":")[0]):
        told.append(
            f"http.listen: {http.listen} is reached from other machines, and riskbot speaks no "
            "TLS: tokens and orders cross the network for everybody to read; listen on 127.0.0.1 "
            "behind a proxy with TLS, or a tunnel"
        )
    if http is not None and http.investor_token is not None:
        told.append("http.investor_token: is accepted, but this version does not use it yet")
    return told


def _factor_warnings(root: Root) -> list[str]:
    if root.telegram is None:
        return []
    secret = root.telegram.totp_secret
    if secret is None:
        return [
            "telegram.totp_secret: is not set: resume after a latch and limit raises have no "
            "second factor, a listed phone is enough"
        ]
    fault = factor.fault(secret.get_secret_value())
    return [
        f"telegram.totp_secret: {fault}: no code will fit, so resume after a latch and limit "
        "raises are refused until it is mended"
    ] * bool(fault)
