"""Exit codes of the contract, and what every subcommand says the same way."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from riskbot import redaction
from riskbot.config import DEFAULT_PATH

OK = 0
NOT_DONE = 1
USAGE = 2
INTERNAL = 70
CONFIG = 78
INTERRUPTED = 130


def version() -> str:
    """Return the installed version."""
    try:
        return metadata.version("riskbot")
    except metadata.PackageNotFoundError:
        return "0+source"


def command(started: str | None = None, here: Path | None = None) -> str:
    """Return what to type to call riskbot again.

    Args:
        started: how it was called, default this process's own.
        here: where it will be typed, default the working directory.
    """
    called, here = Path(started or sys.argv[0]), here or Path.cwd()
    if called.name == "riskbot":
        return "riskbot" if shutil.which("riskbot") == str(called) else str(called)
    python = Path(sys.executable)
    return f"{python.relative_to(here) if python.is_relative_to(here) else python} -m riskbot"


def tell_faults(faults: Iterable[str]) -> None:
    """Print every fault of a configuration on standard error."""
    told = list(faults)
    print(f"riskbot: the configuration has {_count(len(told), 'fault')}:", file=sys.stderr)
    for fault in told:
        print(f"  {redaction.redact(fault)}", file=sys.stderr)


def tell_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for warning in warnings:
        print(f"warning: {redaction.redact(warning)}", file=sys.stderr)


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with `--config`."""
    made = argparse.ArgumentParser(prog=f"riskbot {name}", description=description)
    made.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help=f"default {DEFAULT_PATH}",
    )
    return made


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
