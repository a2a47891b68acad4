"""A decision made durable, against the disk's own fdatasync: alone, and 50 at once."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench.table import Row, compared

# A decision as the audit keeps it: about this much text.
WORDS = "gross exposure 2.031 above 2.000, two sources agree; reducing to 1.800"
AT_ONCE = 50
WARM = 1_500
"""Decisions after which the write-ahead log has its full length and is written over in place."""

BLOCK = b"x" * 4_096
START_MS = 1_700_000_000_000

One = Callable[[int], Awaitable[float]]


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    # The repository's own disk: /tmp may be memory, where nothing is ever synced.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        return asyncio.run(_measure(Path(folder), 100 if is_quick else 300))


async def _measure(folder: Path, rounds: int) -> list[Row]:
    from riskbot.core import actions, events
    from riskbot.journal import Journal

    journal = await Journal.open(folder / "journal.sqlite", START_MS)
    event = events.HaltFileSeen(reason="bench")
    decided = [
        actions.RecordDecision(
            decision="reduce",
            limit="gross_exposure",
            scope="portfolio",
            reason=WORDS,
            actor="riskbot",
            inputs={"measured": 2.031, "allowed": 2.0},
        )
    ]

    async def one(number: int) -> float:
        started = time.perf_counter()
        await journal.append(event, decided, START_MS + number)
        return time.perf_counter() - started

    try:
        early, growing = await _in_turns(one, folder / "growing", rounds, is_growing=True)
        await asyncio.gather(*(one(number) for number in range(WARM)))
        for number in range(WARM):
            await one(number)
        late, steady = await _in_turns(one, folder / "steady", rounds, is_growing=False)
        together: list[float] = []
        for _ in range(rounds // 10):
            together += await asyncio.gather(*(one(number) for number in range(AT_ONCE)))
    finally:
        await journal.close()
    over, append = "fdatasync of 4 kB in place", "fdatasync of 4 kB appended"
    return [
        compared("durable decision (event + action, FULL), p50", late, steady, over, 2),
        compared(
            f"{AT_ONCE} durable decisions at once, p50 of the wait",
            statistics.median(together) * 1e6,
            steady,
            over,
            3,
        ),
        compared("durable decision right after start, p50", early, growing, append, 2),
    ]


async def _in_turns(one: One, path: Path, rounds: int, *, is_growing: bool) -> tuple[float, float]:
    """Return us of a decision and of the disk, medians.

    In turns, so that whatever else the disk is doing hits both alike.
    """
    if not is_growing:
        path.write_bytes(BLOCK * rounds)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.fsync(handle)
    decisions: list[float] = []
    disk: list[float] = []
    try:
        for number in range(rounds):
            decisions.append(await one(number))
            os.write(handle, BLOCK)
            started = time.perf_counter()
            os.fdatasync(handle)
            disk.append(time.perf_counter() - started)
    finally:
        os.close(handle)
    return statistics.median(decisions) * 1e6, statistics.median(disk) * 1e6
