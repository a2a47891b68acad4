"""What is secret, taken out of text: exact values in every usual form, and patterns.

A secret is known here from the moment the configuration is read. Text of the world passes through
`redact` where it comes in, so that nothing behind that line can hold one: not the journal, not a
document, not an alert. Logs pass through it once more on their way out.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator

REDACTED = "***"

_SHORTEST = 4
"""A secret shorter than this is not looked for: it would blacken half of every line."""

_STUMP = 6
"""So much of a secret at the end of a text that was cut short is taken out too."""

_NAMES = (
    r"(?:api[_-]?key|api[_-]?secret|secret|signature|sign|passphrase|password|private[_-]?key"
    r"|access[_-]?token|token|totp|listen[_-]?key|x-mbx-apikey|x-bapi-api-key|x-bapi-sign"
    r"|ok-access-key|ok-access-sign|ok-access-passphrase)"
)
_PATTERNS = (
    # Telegram bot tokens; they stand in the path of every request.
    (re.compile(r"(?<!\d)\d{6,12}:[A-Za-z0-9_-]{30,}"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {REDACTED}"),
    # name=value of queries and forms, name: value and "name": "value" of headers and JSON.
    (re.compile(rf"(?i)(\b{_NAMES}=)[^\s&\"',;)]+"), rf"\1{REDACTED}"),
    (re.compile(rf"(?i)([\"']?\b{_NAMES}[\\\"']*\s*:\s*[\\\"']+)[^\s\"'\\]+"), rf"\1{REDACTED}"),
    # Listen keys: in the path of a socket's URL, and in what a venue says about them.
    (re.compile(r"(wss?://[^\s'\"?]*/)[A-Za-z0-9_-]{32,}"), rf"\1{REDACTED}"),
    (
        re.compile(r"\b(?=\w*[a-z])(?=\w*[A-Z])(?=\w*[0-9])[A-Za-z0-9]{56,128}\b"),
        REDACTED,
    ),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{REDACTED}@"),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|$)", re.S),
        REDACTED,
    ),
)


class Redactor:
    """Replaces secrets in text: the exact ones it was given, in every usual form, and patterns."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
        self._forms = sorted(forms, key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, self._forms))) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if self._exact:
            text = self._exact.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def clipped(self, text: str) -> str:
        """Return a text that may have been cut short, in the middle of a secret, without it."""
        text = self(text)
        whole = text.removesuffix("…")
        for form in self._forms:
            at = whole.rfind(form[:_STUMP]) if len(form) > _STUMP else -1
            if at >= 0 and form.startswith(whole[at:]):
                return whole[:at] + REDACTED
        return text


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may turn up: plain, escaped, in a URL, in base64 at any offset."""
    if len(secret) < _SHORTEST:
        return
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    quoted = urllib.parse.quote(secret, safe="")
    yield from (quoted, urllib.parse.quote(secret), urllib.parse.quote_plus(secret))
    yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    data = secret.encode("utf-8", "surrogatepass")
    yield data.hex()
    for offset in range(3):
        # The characters that a neighbor has a part in are not known, so they are left out.
        text = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        last = len(text) - bool((offset + len(data)) % 3)
        inner = text[(0, 2, 3)[offset] : last]
        if len(inner) >= 2 * _SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
    if "\n" in secret.strip():
        # A key of many lines may be logged line by line.
        yield from (line for line in secret.splitlines() if len(line) >= 4 * _SHORTEST)


_process = Redactor()


def learn(secrets: Iterable[str]) -> None:
    """Hide these from now on, in place of what was learned before: a process has one file."""
    global _process  # noqa: PLW0603 - what is secret is so for the whole process
    _process = Redactor(secrets)


def redact(text: str) -> str:
    """Return a text of the world without this process' secrets, also if it was cut short."""
    return _process.clipped(text)
