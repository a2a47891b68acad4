"""Resident memory with three accounts at three venues, 600 markets each."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

from tests.bench.daemon import configuration, daemon
from tests.bench.table import Row, bounded
from tests.bench.venue import venue

MARKETS = 600
HELD = 20
DEAD = "http://127.0.0.1:9"
"""Nobody listens there: the Telegram process runs, and keeps trying."""

TELEGRAM = {"token": "1:bench", "api_base_url": DEAD, "users": {1: "admin"}}


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    seconds = 10.0 if is_quick else 60.0
    guard, _ = asyncio.run(_rss(seconds, {}))
    alone, family = asyncio.run(_rss(seconds, {"telegram": TELEGRAM}))
    what = f"RSS after {seconds:.0f} s, 3 accounts, {MARKETS} markets each"
    parts = " + ".join(f"{part:.0f}" for part in family)
    return [
        bounded(f"{what}: guard", guard, 140, "MB"),
        bounded(f"{what}: all, with Telegram", alone + sum(family), 350, "MB", f"others: {parts}"),
    ]


async def _rss(seconds: float, sections: dict[str, Any]) -> tuple[float, list[float]]:
    """Return the MB of the guard, and of each other process."""
    async with AsyncExitStack() as stack:
        accounts = {}
        for exchange in ("binanceusdm", "bybit", "okx"):
            at = await stack.enter_async_context(venue(exchange, MARKETS))
            for name in at.names[:HELD]:
                at.hold(name, Decimal(10))
            accounts[exchange] = at.account()
        running = await stack.enter_async_context(daemon(configuration(accounts, **sections)))
        await running.until_guarding(60)
        await asyncio.sleep(seconds)
        guard, *others = running.rss_mb()
        return guard, others
