"""`python -m tests.bench [NAME ...]`: runs rows, each in a process of its own, prints one table."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import platform
import subprocess
import sys
import time
from importlib.metadata import version

from tests.bench.table import NotYetError, Row, rendered

ROWS: dict[str, str] = {
    "reaction": "websocket frame to first order at the server: riskbot, a bare ccxt.pro script",
    "burst": "20 closing orders at once against one",
    "engine": "one event through the engine at 10 to 10,000 positions; ticks/s of one core",
    "load": "2,000 price frames/s over 100 symbols: CPU, losses, loop gaps",
    "journal": "a durable decision against fdatasync, alone and 50 at once",
    "startup": "exec to guarding against the import of ccxt.pro",
    "memory": "resident memory with 3 accounts, 600 markets each",
    "alerts": "loop gaps while an alert channel hangs",
    "notice": "a breach's first message at the Bot API server against a bare POST",
    "gateway": "one order check: in the engine, over HTTP, the unix socket, MQTT; its growth",
    "statistics": "VaR, ES, components, what-if, covariance, groups against bare numpy; growth",
    "messages": "messages a day in a week of ordinary trading, by kind",
}
CHILD = "--child"
DEADLINE_S = 1_800


def main() -> int:
    """Run what the command line asks for."""
    if sys.argv[1:2] == [CHILD]:
        return child(sys.argv[2], is_quick="--quick" in sys.argv)
    options = parse()
    if options.list:
        for name, text in ROWS.items():
            print(f"{name:<10}{text}")
        return 0
    rows: list[Row] = []
    for name in options.names or ROWS:
        rows += run(name, is_quick=options.quick)
    print(about(), rendered(rows), sep="\n\n")
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*ROWS, []], help="rows to run")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, rougher figures")
    return parser.parse_args()


def run(name: str, *, is_quick: bool) -> list[Row]:
    """Run a row's file in a process of its own; what stops it is said in its place."""
    command = [sys.executable, "-m", "tests.bench", CHILD, name, *(["--quick"] if is_quick else [])]
    print(f"{name}: {ROWS[name]} ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [Row(ROWS[name], f"not measured: no end within {DEADLINE_S} s")]
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    try:
        return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
    except (ValueError, IndexError, TypeError):
        return [Row(ROWS[name], f"not measured: its process ended with {done.returncode}")]


def child(name: str, *, is_quick: bool) -> int:
    """Measure in this process and print the rows as JSON."""
    try:
        module = importlib.import_module(f"tests.bench.rows.{name}")
        rows: list[Row] = module.measure(is_quick)
    except NotYetError as error:
        rows = [Row(ROWS[name], f"not there yet: {error}")]
    except ImportError as error:
        if not str(error.name).startswith("riskbot"):
            raise
        rows = [Row(ROWS[name], f"not there yet: {error.name}")]
    print(json.dumps([dataclasses.asdict(row) for row in rows]))
    return 0


def about() -> str:
    """Say what the figures were measured on."""
    return (
        f"Python {platform.python_version()}, ccxt {version('ccxt')}, {platform.machine()}, "
        f"load {open('/proc/loadavg').read().split()[0]}: read ratios, not times"
    )


if __name__ == "__main__":
    sys.exit(main())
