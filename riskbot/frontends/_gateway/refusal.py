"""What is answered instead of a document: a status and `{error, field?}`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

SHOWN_MAX = 64
"""Characters of a stranger's text that are repeated to it."""


class RefusalError(Exception):
    """Why a request is not answered with its document.

    Attributes:
        field: of the body or the query that is at fault, None = none is.
        more: further fields of the answer.
        headers: of the answer over HTTP.
        retry_after_s: when to try again, None = it is no matter of time.
    """

    def __init__(
        self,
        status: HTTPStatus,
        words: str,
        field: str | None = None,
        *,
        more: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(words)
        self.status, self.field = status, field
        self.more, self.headers = more or {}, headers or {}
        self.retry_after_s = retry_after_s
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)

    def document(self) -> dict[str, Any]:
        """Return it as it is answered."""
        named = {} if self.field is None else {"field": self.field}
        return {"error": str(self), **named, **self.more}


def malformed(words: str, field: str | None = None) -> RefusalError:
    """Return the refusal of what cannot be understood."""
    return RefusalError(HTTPStatus.BAD_REQUEST, words, field)


def shown(text: object) -> str:
    """Return a stranger's text as it may be repeated: short, and of harmless characters."""
    clean = "".join(c if c.isascii() and c.isprintable() else "?" for c in str(text)[:SHOWN_MAX])
    return clean if len(str(text)) <= SHOWN_MAX else f"{clean}..."
