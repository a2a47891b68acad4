"""The process' log: on standard error, and never with the token in it."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from riskbot.redaction import Redactor


class Redacting(logging.Formatter):
    """Formats records, tracebacks included, without the token or whatever looks like a secret."""

    def __init__(self, token: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = Redactor([token, token.partition(":")[2]])

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without secrets."""
        return self._redact(super().format(record))


def set_up(token: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log of the process to standard error, redacted."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Redacting(token))
    logging.basicConfig(level=level, handlers=[handler], force=True)
