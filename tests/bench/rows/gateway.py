"""One order check: in the engine, over HTTP and over the unix socket, and what makes it grow."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from riskbot.client import AsyncClient
from riskbot.core import events
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.model import Response, Side
from riskbot.core.ordering import OrderRequest
from tests.bench.table import Row, compared, figure, quantile
from tests.core.market import Market, market
from tests.frontends.http.stage import free_port, stage, token

SIZES = (10, 100, 1_000)
RESERVED = 200
GOAL_GROWTH, GOAL_DENIAL, GOAL_HTTP = 1.5, 1.5, 1.5
BTC = "BTC/USDT:USDT"
DENY = Response.DENY
LIMITS = (
    GrossExposure(max=2, on_breach=DENY),
    NetExposure(max=2, on_breach=DENY),
    AssetExposure(max=1, on_breach=DENY),
    SectorExposure(max=1, on_breach=DENY),
    PositionSize(max=1, on_breach=DENY),
    OpenPositions(max=10_000, on_breach=DENY),
)


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    rounds = 30 if is_quick else 200
    costs = {count: _in_process(count, rounds) for count in SIZES}
    approved, denied, crowded = costs[100]
    rows = [
        Row(f"a check in the engine, {count} positions", f"{figure(cost[0])} us")
        for count, cost in costs.items()
    ]
    small, large = costs[SIZES[0]][0], costs[SIZES[-1]][0]
    what = f"the same, {SIZES[-1]} positions"
    rows += [
        compared(what, large, small, f"{SIZES[0]} positions", GOAL_GROWTH),
        compared("a denial, 100 positions", denied, approved, "an approval", GOAL_DENIAL),
        compared(f"beside {RESERVED} approvals", crowded, approved, "beside none"),
    ]
    return rows + asyncio.run(_over_sockets(rounds))


def _in_process(count: int, rounds: int) -> tuple[float, float, float]:
    """Return us of an approval, of a denial, and of an approval beside many others."""
    made = market(*LIMITS, held={f"C{n}": (1_000 / count, 100.0) for n in range(count)}, usdt=1e6)
    approved = _median(made, "0.001", rounds, gives_back=True)
    denied = _median(made, "10000", rounds)
    _median(made, "0.001", RESERVED)
    return approved, denied, _median(made, "0.001", rounds, gives_back=True)


def _median(made: Market, quantity: str, rounds: int, *, gives_back: bool = False) -> float:
    order = OrderRequest(
        strategy="grid", account="main", symbol=BTC, side=Side.BUY, quantity=Decimal(quantity)
    )
    found = []
    for number in range(rounds):
        made.now_ms += 1
        event = events.OrderRequested(request_id=str(number), order=order)
        started = time.perf_counter()
        decided = made.engine.handle(event, made.now_ms)
        found.append((time.perf_counter() - started) * 1e6)
        if gives_back:
            replies = [a.document for a in decided if a.kind == "SendReply"]
            made.pull(replies[0]["client_order_id"])
    return statistics.median(found)


async def _over_sockets(rounds: int) -> list[Row]:
    """Return the rows of the doors, each against an empty handler over the same transport."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder), limits={"gross_exposure": {"max": 1.0}}) as made:
            unix = f"unix:{made.config.state_dir / 'gateway.sock'}"
            doors = {"HTTP, kept alive": made.url, "the unix socket": unix}
            return [await _door(name, url, rounds) for name, url in doors.items()]


async def _door(name: str, url: str, rounds: int) -> Row:
    checked: list[float] = []
    async with AsyncClient(token("grid"), url) as client:
        for _ in range(rounds):
            started = time.perf_counter()
            answer = await client.check("main", BTC, "buy", "0.001")
            checked.append((time.perf_counter() - started) * 1e3)
            await client.cancel(str(answer.client_order_id))
    empty = await _empty(rounds)
    return compared(
        f"a check over {name}, durable, p50",
        quantile(checked, 0.5),
        quantile(empty, 0.5),
        "an empty aiohttp handler",
        GOAL_HTTP,
        unit="ms",
    )


async def _empty(rounds: int) -> list[float]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/v1/orders/{name}", handler)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    found = []
    async with AsyncClient(token("grid"), f"http://127.0.0.1:{port}") as client:
        for _ in range(rounds):
            started = time.perf_counter()
            await client.order("x")
            found.append((time.perf_counter() - started) * 1e3)
    await runner.cleanup()
    return found
