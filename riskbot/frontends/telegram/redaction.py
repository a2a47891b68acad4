"""The process' log: on standard error, and never with the token in it."""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

_TOKEN = re.compile(r"\d{5,}:[A-Za-z0-9_-]{20,}")
HIDDEN = "<token>"


class Redacting(logging.Formatter):
    """Formats records, tracebacks included, with the token and whatever looks like one hidden."""

    def __init__(self, secret: str) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without secrets."""
        text = super().format(record).replace(self._secret, HIDDEN)
        secret_part = self._secret.partition(":")[2]
        return _TOKEN.sub(HIDDEN, text.replace(secret_part, HIDDEN) if secret_part else text)


def set_up(secret: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log of the process to standard error, redacted."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Redacting(secret))
    logging.basicConfig(level=level, handlers=[handler], force=True)
