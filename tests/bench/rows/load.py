"""2,000 price frames a second over 100 symbols: CPU, what gets lost, and how late timers come."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench import gaps
from tests.bench.daemon import Daemon, configuration, daemon
from tests.bench.table import Row, bounded, quantile
from tests.bench.venue import Load, Venue, venue

D = Decimal
SYMBOLS = 100
PER_S = 2_000
FILL_EVERY_S = 0.25


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    return asyncio.run(_measure(8.0 if is_quick else 30.0))


async def _measure(seconds: float) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        probe = gaps.Probe(Path(folder) / "gaps")
        async with venue("binanceusdm", SYMBOLS) as at:
            for name in at.names:
                at.hold(name, D(10))
            config = configuration({"main": at.account()}, {"gross_exposure": {"max": 10.0}})
            async with daemon(config, "tests.bench.gaps", probe.env) as running:
                await running.until_guarding()
                await running.until(lambda: _subscribed(at) >= SYMBOLS)
                await asyncio.sleep(5.0)
                return await _under_load(at, running, probe, seconds)


def _subscribed(at: Venue) -> int:
    return sum(
        stream.endswith("@bookTicker")
        for connection in at.server.connections
        for stream in connection.subscriptions
    )


async def _under_load(at: Venue, running: Daemon, probe: gaps.Probe, seconds: float) -> list[Row]:
    pid = running.process.pid
    load = Load(at, at.names, PER_S)
    async with gaps.beside() as idle:
        probe.begin(pid)
        cpu = running.cpu_s()
        fills = asyncio.create_task(_fill(at))
        await load.run(seconds)
        fills.cancel()
        cpu = (running.cpu_s() - cpu) / seconds
        late = await probe.end(pid)
    wanted = load.finish()
    await asyncio.sleep(1.0)
    positions = (await running.ask("positions"))["document"]
    rate = load.sent / seconds
    what = f"{rate:,.0f} price frames/s over {SYMBOLS} symbols, 4 fills/s"
    lost = _lost(at, positions, wanted)
    behind = f", sender up to {load.late_s * 1e3:.0f} ms late" if load.late_s > 0.05 else ""
    return [
        bounded(f"{what}: CPU of one core", cpu * 100, 40, "%", f"sent {load.sent:,}{behind}"),
        bounded(f"{what}: newest prices and positions lost", lost, 0, "", f"of {2 * SYMBOLS}"),
        gaps.worst(f"{what}: worst loop gap", late, idle),
        Row(f"{what}: loop gap, p99", f"{quantile(late, 0.99):.2f} ms"),
    ]


async def _fill(at: Venue) -> None:
    """Trade in turn, 0.01 at a time."""
    number = 0
    while True:
        at.trade(at.names[number % SYMBOLS], D("0.01"))
        number += 1
        await asyncio.sleep(FILL_EVERY_S)


def _lost(at: Venue, positions: list[dict[str, Any]], wanted: dict[str, float]) -> int:
    """Count the newest marks and quantities that riskbot does not show."""
    seen = {row["instrument"]: row for row in positions}
    lost = 0
    for name, symbol in zip(at.names, at.symbols, strict=True):
        row = seen.get(symbol)
        lost += row is None or abs(row["mark"] - wanted[symbol]) > 1e-9
        held = at.ledger.positions[name, "both"].quantity
        lost += row is None or D(str(row["quantity"])) != held
    return lost
