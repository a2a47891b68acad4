"""From a websocket frame to the first order at the server: riskbot and a bare ccxt.pro script.

The whole daemon, as a process of its own, with journal, sanity checks and every limit on; a limit
breaks, it reduces, and the next round breaks it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.bench.daemon import ROOT, configuration, daemon
from tests.bench.table import NotYetError, Row, compared, quantile
from tests.bench.venue import CASH, KEY, PRICE, SECRET, Load, Venue, venue

D = Decimal
INSTRUMENTS = 20
LOAD_PER_S = 1_000
CALM = D("1.80")
"""Times equity: where a reduce ends, 0.9 of a gross exposure of 2."""

STEP = D("0.25") * CASH / PRICE
PAUSE_S = (1.5, 2.0)
"""Between rounds, drawn anew each time: a reduce is read back, and timers are not met in step."""

LIMITS = {"gross_exposure": {"max": 2.0, "on_breach": "reduce", "within_s": 60, "clear_at": 0.95}}


@dataclass(frozen=True)
class Case:
    """One thing measured at one venue."""

    exchange: str
    on: str
    is_busy: bool

    @property
    def title(self) -> str:
        busy = f", {LOAD_PER_S:,} ticks/s" if self.is_busy else ""
        return f"{self.exchange}: {self.on} to first order{busy}"


CASES = tuple(
    Case(exchange, on, is_busy)
    for exchange in ("binanceusdm", "bybit")
    for on, is_busy in (("fill", False), ("fill", True), ("price", False))
)


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    rounds = 8 if is_quick else 30
    rows: list[Row] = []
    for case in CASES:
        rows += asyncio.run(_case(case, rounds))
    return rows


async def _case(case: Case, rounds: int) -> list[Row]:
    async with venue(case.exchange, INSTRUMENTS) as at:
        for name in at.names[1:]:
            at.hold(name, D(1))
        async with _loaded(case, at):
            bare = await _bare(case, at, rounds, is_throttled=False)
            default = await _bare(case, at, min(rounds, 8), is_throttled=True)
        plain = [1e3 * seconds for seconds in bare]
        name = "bare script, throttle off"
        at.ledger.balances["USDT"] = CASH
        at.hold(at.names[0], _calm(case, at))
        try:
            async with _loaded(case, at):
                ours = await _riskbot(case, at, rounds)
        except NotYetError as error:
            known = f"{name}: {quantile(plain, 0.5):.2f} ms"
            return [Row(case.title, f"not there yet: {error}", known)]
    ms = [1e3 * seconds for seconds in ours]
    return [
        compared(f"{case.title}, p50", quantile(ms, 0.5), quantile(plain, 0.5), name, 2, unit="ms"),
        compared(
            f"{case.title}, p99", quantile(ms, 0.99), quantile(plain, 0.99), name, 4, unit="ms"
        ),
        compared(
            f"{case.title}, p50",
            quantile(ms, 0.5),
            quantile([1e3 * seconds for seconds in default], 0.5),
            "default ccxt client",
            0.05,
            unit="ms",
        ),
    ]


@asynccontextmanager
async def _loaded(case: Case, at: Venue) -> AsyncIterator[None]:
    if not case.is_busy:
        yield
        return
    task = asyncio.create_task(Load(at, at.names[1:], LOAD_PER_S).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# ---------------------------------------------------------------- the bare script


async def _bare(case: Case, at: Venue, rounds: int, *, is_throttled: bool) -> list[float]:
    options: dict[str, Any] = {
        "exchange": case.exchange,
        "api_key": KEY,
        "api_secret": SECRET,
        "ccxt": at.server.ccxt_config(),
        "throttle": is_throttled,
        "on": case.on,
        "book": case.exchange == "binanceusdm",
        "symbol": at.symbols[0],
        "symbols": at.symbols,
        "trigger": float(PRICE) * 1.01,
        "quantity": float(STEP),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.bare", json.dumps(options)), cwd=ROOT
    )
    try:
        async with asyncio.timeout(60):
            while not at.is_streaming():
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        return [await _bare_round(case, at, number) for number in range(rounds + 2)][2:]
    finally:
        process.kill()
        await process.wait()
        at.hold(at.names[0], D(0))


async def _bare_round(case: Case, at: Venue, number: int) -> float:
    await asyncio.sleep(random.uniform(0.25, 0.35))
    seen = len(at.orders())
    name = at.names[0]
    if case.on == "fill":
        started = time.monotonic()
        at.trade(name, STEP if number % 2 == 0 else -STEP)
    else:
        at.hold(name, -STEP)
        started = time.monotonic()
        at.server.market.set_price(name, PRICE * D("1.02"))
    order = await at.next_order(seen)
    if case.on == "price":
        await asyncio.sleep(0.1)
        at.server.market.set_price(name, PRICE)
    return order.at - started


# ---------------------------------------------------------------- riskbot


async def _riskbot(case: Case, at: Venue, rounds: int) -> list[float]:
    config = configuration({"main": at.account()}, LIMITS)
    async with daemon(config) as running:
        await running.until_guarding()
        await running.until(at.is_streaming)
        await asyncio.sleep(3.0)
        found = []
        for number in range(rounds + 2):
            taken = await _our_round(case, at)
            if taken is None:
                status = await running.status()
                if os.environ.get("BENCH_DEBUG"):
                    print(running.say(), file=sys.stderr)
                raise NotYetError(f"no order in round {number}: {_why(status)}")
            found.append(taken)
        return found[2:]


def _why(status: dict[str, Any]) -> str:
    holds = [hold.get("limit") for hold in status.get("holds", [])]
    return f"state {status.get('trading_state')}, holds {holds}, blind {status.get('blind')}"


def _calm(case: Case, at: Venue) -> Decimal:
    """Return the quantity to start a round with: long for fills, short where the price rises."""
    sign = 1 if case.on == "fill" else -1
    quantity = CALM * at.ledger.equity("USDT") / at.server.market.marks[at.names[0]]
    return sign * quantity.quantize(D(1))


async def _our_round(case: Case, at: Venue) -> float | None:
    """Break the limit once; None = no order came."""
    name = at.names[0]
    missing = _calm(case, at) - at.ledger.positions[name, "both"].quantity
    if missing:
        at.trade(name, missing)
    await asyncio.sleep(random.uniform(*PAUSE_S))
    seen = len(at.orders())
    started = time.monotonic()
    if case.on == "fill":
        at.trade(name, STEP)
    else:
        # A short at 1.8x equity: 5 % against it makes 1.89 / 0.91 = 2.08.
        at.server.market.set_price(name, PRICE * D("1.05"))
    try:
        order = await at.next_order(seen)
    except TimeoutError:
        return None
    if case.on == "price":
        await asyncio.sleep(0.5)
        at.server.market.set_price(name, PRICE)
    return order.at - started
