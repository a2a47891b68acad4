"""No secret in any line, whatever way it took."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator

import pytest
import structlog

from riskbot import log, redaction
from riskbot.redaction import Redactor

SECRET = 'kA9/+"x ü\\Zq%7-long_enough'
TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw8"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50\n-----END PRIVATE KEY-----"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Logging as the daemon configures it, into a buffer; put back afterwards."""
    root = logging.getLogger()
    kept = (root.handlers[:], root.level, logging.raiseExceptions)
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    stream = io.StringIO()
    log.configure([SECRET, PEM], stream=stream, as_json=True)
    yield stream
    root.handlers[:], logging.raiseExceptions = kept[0], kept[2]
    root.setLevel(kept[1])
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def forms(secret: str) -> list[str]:
    data = secret.encode()
    return [
        secret,
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(secret, safe="")),
        json.dumps(secret),
        repr(secret),
        data.hex(),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        base64.b64encode(b"user:" + data).decode(),
        base64.b64encode(b"u:" + data + b"&more").decode(),
        base64.b64encode(b"us:" + data).decode(),
    ]


@pytest.mark.parametrize("form", forms(SECRET))
def test_exact_secret_in_every_form_is_taken_out(form: str) -> None:
    shown = Redactor([SECRET])(f"before {form} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert redaction.REDACTED in shown
    assert form not in shown
    core = SECRET.encode()[4:-4]
    assert base64.b64encode(core).decode().rstrip("=")[:-1] not in shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"https://api.telegram.org/bot{TOKEN}/getMe", TOKEN),
        ("GET /x?symbol=BTC&signature=deadbeef00&timestamp=1", "deadbeef00"),
        ("https://x/?apiKey=abcdef123", "abcdef123"),
        ("{'X-MBX-APIKEY': 'abcdef123'}", "abcdef123"),
        ('{"secret": "abcdef123"}', "abcdef123"),
        ('{\\"secret\\": \\"abcdef123\\"}', "abcdef123"),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("mqtt://riskbot:hunter22@broker:1883", "hunter22"),
        ("wss://x/ws?listenKey=pqia91ma19a5s61cv6a81va65sd", "pqia91ma19a5s61cv6a81va65sd"),
        (PEM, "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_unasked(text: str, secret: str) -> None:
    shown = Redactor()(text)
    assert secret not in shown
    assert redaction.REDACTED in shown


def test_harmless_text_is_left_alone() -> None:
    text = "PlaceOrder BTC/USDT:USDT sell 0.5 at 40000.1, rb0k3x2 12:30:01 position=1"
    assert Redactor(["", "abc", SECRET])(text) == text


def test_key_of_many_lines_is_taken_out_line_by_line() -> None:
    shown = Redactor([PEM])("b'MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50'")
    assert "MC4CAQ" not in shown


def canary_free(stream: io.StringIO, *expected: str) -> list[str]:
    text = stream.getvalue()
    assert SECRET not in text
    for form in forms(SECRET):
        assert form.strip("'\"") not in text
    for part in expected:
        assert part in text
    return text.splitlines()


def test_messages_fields_and_tracebacks_hold_no_secret(lines: io.StringIO) -> None:
    other = logging.getLogger("somebody.else")
    other.warning("url %s", f"https://x/?k={SECRET}", extra={"note": SECRET})
    structlog.get_logger("riskbot").info("decided", inputs={"key": SECRET})
    try:
        {}[SECRET]
    except KeyError:
        other.exception("failed with %r", SECRET)
    found = canary_free(lines, "somebody.else", "decided", "KeyError", "Traceback")
    assert len(found) == 3
    assert all(isinstance(json.loads(line), dict) for line in found)


def test_bad_format_string_is_told_without_secret(lines: io.StringIO) -> None:
    too_few = (SECRET,)
    logging.getLogger("x").warning("two %s %s", *too_few)
    canary_free(lines, "two ")


def test_what_the_interpreter_says_by_itself_holds_no_secret(lines: io.StringIO) -> None:
    error = RuntimeError(SECRET)
    sys.excepthook(RuntimeError, error, None)
    thread = threading.Thread(target=lambda: (_ for _ in ()).throw(error))
    thread.start()
    thread.join()
    canary_free(lines, "RuntimeError")
    assert len(lines.getvalue().splitlines()) == 2


async def test_loop_tells_of_lost_errors_without_secret(lines: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    log.watch_loop(loop)
    loop.call_exception_handler({"message": f"lost {SECRET}", "exception": OSError(SECRET)})
    loop.set_exception_handler(None)
    canary_free(lines, "lost", "OSError")


def test_debug_lines_of_noisy_libraries_are_not_shown(lines: io.StringIO) -> None:
    logging.getLogger("aiosqlite").debug("executing %s", SECRET)
    assert lines.getvalue() == ""


def test_lines_on_a_terminal_are_for_people() -> None:
    code = (
        "from riskbot import log; import logging, io; s = io.StringIO();"
        "log.configure(['hunter22'], stream=s, as_json=False);"
        "logging.getLogger('a').warning('x hunter22'); print(s.getvalue())"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "warning" in done.stdout
    assert "x ***" in done.stdout
    assert "hunter22" not in done.stdout
