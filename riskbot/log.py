"""Logs: one line each on standard error, and no secret in any of them.

Redaction is done on the finished line, so it covers messages, fields, tracebacks, other people's
loggers and what the interpreter says by itself.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterable
from typing import IO, Any

import structlog

from riskbot.redaction import Redactor

_QUIET = ("aiosqlite", "aiohttp.access", "asyncio", "ccxt", "urllib3")
"""Loggers whose debug lines are of use to nobody here and hold whole requests."""


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record, then takes the secrets out of the line."""

    def __init__(self, redactor: Redactor, **options: Any) -> None:
        super().__init__(**options)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished line."""
        try:
            line = super().format(record)
        except Exception as error:  # noqa: BLE001 - a bad format string must not end what it tells
            line = f"{record.levelname} {record.name} {record.msg!r} {record.args!r} ({error!r})"
        return self._redactor(line)


def configure(
    secrets: Iterable[str] = (),
    *,
    level: str = "INFO",
    stream: IO[str] | None = None,
    as_json: bool | None = None,
) -> Redactor:
    """Send every log line of the process to standard error, redacted.

    Args:
        secrets: exact values that must appear nowhere.
        level: of riskbot's own lines.
        stream: instead of standard error.
        as_json: one JSON object a line; default: unless the stream is a terminal.

    Returns:
        The redactor, for texts that leave by another way.
    """
    stream = stream or sys.stderr
    redactor = Redactor(secrets)
    as_json = not stream.isatty() if as_json is None else as_json
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(redactor, as_json=as_json))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # A handler that fails must not print the record, secrets and all, past the redactor.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    _catch_the_rest()
    return redactor


def _formatter(redactor: Redactor, *, as_json: bool) -> logging.Formatter:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return _RedactingFormatter(
        redactor, foreign_pre_chain=shared, processors=[remove, renderer], keep_exc_info=False
    )


def _catch_the_rest() -> None:
    """Let what the interpreter would print by itself go through the logs too."""
    log = logging.getLogger("riskbot")

    def on_crash(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("unhandled error", exc_info=(kind, error, trace))

    def on_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            on_crash(args.exc_type, args.exc_value, args.exc_traceback)

    def on_unraisable(args: Any) -> None:
        error = args.exc_value
        log.error("%s: %r", args.err_msg or "error where none can be raised", error, exc_info=error)

    sys.excepthook = on_crash
    threading.excepthook = on_thread
    sys.unraisablehook = on_unraisable


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Log what the loop would print about tasks and transports that nobody waits for."""
    log = logging.getLogger("riskbot.loop")

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        rest = {k: repr(v) for k, v in context.items() if k not in {"exception", "message"}}
        log.error("%s %s", context.get("message", "error in the loop"), rest, exc_info=error)

    loop.set_exception_handler(handle)
