"""20 closing orders at once against one: how long until the last is at the server."""

from __future__ import annotations

import asyncio
import statistics
import time
from decimal import Decimal

from tests.bench.daemon import Daemon, configuration, daemon
from tests.bench.table import NotYetError, Row, compared
from tests.bench.venue import Venue, venue

D = Decimal
MANY = 20
SETTLE_S = 2.0


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    rounds = 2 if is_quick else 6
    return [asyncio.run(_venue(name, rounds)) for name in ("binanceusdm", "bybit")]


async def _venue(exchange: str, rounds: int) -> Row:
    what = f"{exchange}: flatten, last of {MANY} orders at the server"
    try:
        one, many = await _measure(exchange, rounds)
    except NotYetError as error:
        return Row(what, f"not there yet: {error}")
    return compared(what, many, one, "one order", 8, unit="ms")


async def _measure(exchange: str, rounds: int) -> list[float]:
    """Return ms for one order and for many, medians."""
    taken: dict[int, list[float]] = {1: [], MANY: []}
    async with (
        venue(exchange, MANY) as at,
        daemon(configuration({"main": at.account()})) as running,
    ):
        await running.until_guarding()
        await running.until(at.hears_account)
        await asyncio.sleep(SETTLE_S)
        # The first of each warms up what is done once: instruments, sockets, code.
        for number in range(rounds + 1):
            for count, found in taken.items():
                seconds = await _flatten(at, running, count)
                if number:
                    found.append(seconds)
    return [statistics.median(found) * 1e3 for found in taken.values()]


async def _flatten(at: Venue, running: Daemon, count: int) -> float:
    """Open so many positions, flatten them, resume; return seconds from the yes to the last."""
    for name in at.names[:count]:
        at.trade(name, D(10))
    await asyncio.sleep(SETTLE_S)
    plan = await running.ask("flatten")
    if not plan.get("plan_id"):
        raise NotYetError(f"flatten: {plan.get('message')}")
    seen = len(at.orders())
    started = time.monotonic()
    flat = asyncio.create_task(running.ask("flatten", plan_id=plan["plan_id"]))
    try:
        orders = await at.next_orders(seen, count)
    except TimeoutError:
        got = len(at.orders()) - seen
        raise NotYetError(f"flatten sent {got} of {count} orders") from None
    reply = await flat
    if not reply["ok"]:
        raise NotYetError(f"flatten: {reply['message']}")
    resumed = await running.confirmed("resume")
    if not resumed["ok"]:
        raise NotYetError(f"resume: {resumed['message']}")
    return max(order.at for order in orders) - started
