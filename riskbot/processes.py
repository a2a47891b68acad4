"""Processes beside the guard: how they are started, without its secrets, and how they are ended.

What runs in them, and what happens when one dies, is the business of whoever starts it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

STOP_S = 2.0
"""Each of closing its input and SIGTERM gets so long: both fit into the stop of the unit."""

# What a process needs of the environment; all else may hold secrets.
_ENVIRONMENT = frozenset(
    "PATH HOME LANG LANGUAGE TZ TZDIR VIRTUAL_ENV SSL_CERT_FILE SSL_CERT_DIR TMPDIR "
    "PYTHONWARNINGS PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE OPENBLAS_NUM_THREADS".split()
)


def command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module with this interpreter."""
    # -P: what lies in the working directory is not imported.
    return (sys.executable, "-P", "-m", module)


def environment() -> dict[str, str]:
    """Return what a process is started with: nothing that may be a secret."""
    kept = {k: v for k, v in os.environ.items() if k in _ENVIRONMENT or k.startswith("LC_")}
    # Where riskbot itself is imported from, installed or not.
    root, given = str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")
    return {**kept, "PYTHONPATH": os.pathsep.join([root, given] if given else [root])}


async def stop(process: Process) -> None:
    """End a process: its input first, then asked, then killed."""
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with suppress(ProcessLookupError):
                process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
                return
        except TimeoutError:
            continue
