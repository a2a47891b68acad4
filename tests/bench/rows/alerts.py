"""How late timers come while alerts go to a channel that takes them and never answers."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path

from tests.bench import gaps
from tests.bench.daemon import configuration, daemon
from tests.bench.table import Row, quantile
from tests.bench.venue import CASH, PRICE, Venue, venue

D = Decimal
ALERT_EVERY_S = 0.5
LIMITS = {"gross_exposure": {"max": 2.0, "on_breach": "alert", "within_s": None}}


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    return asyncio.run(_measure(10.0 if is_quick else 30.0))


async def _measure(seconds: float) -> list[Row]:
    hung = await asyncio.start_server(_hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{hung.sockets[0].getsockname()[1]}/"
    late: list[float] = []
    async with hung, venue("binanceusdm", 1) as at:
        at.hold(at.names[0], D(1))
        with tempfile.TemporaryDirectory() as folder:
            probe = gaps.Probe(Path(folder) / "gaps")
            config = configuration({"main": at.account()}, LIMITS, webhooks=[{"url": url}])
            async with daemon(config, "tests.bench.gaps", probe.env) as running:
                await running.until_guarding()
                await running.until(at.is_streaming)
                await asyncio.sleep(3.0)
                async with gaps.beside() as idle:
                    probe.begin(running.process.pid)
                    await _alarm(at, seconds)
                    late = await probe.end(running.process.pid)
    what = "loop gaps while an alert channel hangs"
    ratio = quantile(late, 0.99) / quantile(idle, 0.99)
    beside = f"idle loop beside it: {gaps.summary(idle)}"
    return [
        Row(
            f"{what}, p99", f"{quantile(late, 0.99):.2f} ms", beside, ratio, "<= 1.2x", ratio <= 1.2
        ),
        gaps.worst(f"{what}, worst", late, idle),
    ]


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything, say nothing."""
    while await reader.read(65_536):
        pass
    writer.close()


async def _alarm(at: Venue, seconds: float) -> None:
    """Bring a limit from ok to its highest level and back, again and again."""
    much = (D(2) * CASH / PRICE).quantize(D(1))
    for number in range(int(seconds / ALERT_EVERY_S)):
        at.trade(at.names[0], much if number % 2 == 0 else -much)
        await asyncio.sleep(ALERT_EVERY_S)
