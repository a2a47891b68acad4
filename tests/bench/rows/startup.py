"""From exec to guarding, and what importing ccxt.pro alone takes."""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from decimal import Decimal

from tests.bench.daemon import configuration, daemon
from tests.bench.table import Row, bounded, compared
from tests.bench.venue import venue

MARKETS = 600


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    rounds = 2 if is_quick else 5
    imports = [_import_cpu_s() for _ in range(rounds)]
    starts = [asyncio.run(_start()) for _ in range(rounds)]
    wall = statistics.median(wall for wall, _ in starts)
    cpu = statistics.median(cpu for _, cpu in starts)
    plain = statistics.median(imports)
    what = f"exec to guarding, one account, {MARKETS} markets"
    return [
        bounded(f"{what}: CPU", cpu, 1.5, "s", f"import ccxt.pro: {plain:.2f} s CPU"),
        compared(f"{what}: CPU", cpu, plain, "import ccxt.pro", unit="s"),
        Row(f"{what}: time", f"{wall:.2f} s"),
    ]


def _import_cpu_s() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import ccxt.pro"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def _start() -> tuple[float, float]:
    """Return seconds and CPU seconds until the account is in sight."""
    async with venue("binanceusdm", MARKETS) as at:
        at.hold(at.names[0], Decimal(10))
        async with daemon(configuration({"main": at.account()})) as running:
            await running.until_guarding()
            return time.monotonic() - running.started, running.cpu_s()
