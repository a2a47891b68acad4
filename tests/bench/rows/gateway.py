"""One order check: in the engine, over HTTP, the unix socket and MQTT, and what makes it grow.

What computes alone is measured in CPU time, so that a loaded machine does not show in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import uvloop
from aiohttp import web

from riskbot import turns
from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.model import Response, Side
from riskbot.core.ordering import OrderRequest
from riskbot.frontends._gateway import body, models
from riskbot.frontends._gateway.guard import Asked
from riskbot.frontends._gateway.tokens import Caller, Tokens
from riskbot.frontends.http.door import answer
from riskbot.frontends.mqtt.orders import OrderDoor
from tests import builders
from tests.bench.table import Row, compared, figure, quantile
from tests.core.market import Market, market
from tests.frontends.http.stage import ORDER, Stage, free_port, stage, token
from tests.frontends.mqtt.desk import BASE, USERS, Desk
from tests.servers.mosquitto import MISSING, Listener, Mosquitto, listening

SIZES = (10, 100, 1_000)
RESERVED = 200
GOAL_GROWTH, GOAL_DENIAL, GOAL_HTTP, GOAL_MQTT = 1.5, 1.5, 1.5, 6.0
TURNS, WARM = 5, 50
BLOCK = b"x" * 4_096
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
    approved, denied, crowded, _ = costs[100]
    rows = [
        Row(f"a check in the engine, {count} positions", f"{figure(cost[0])} us")
        for count, cost in costs.items()
    ]
    small, large = costs[SIZES[0]], costs[SIZES[-1]]
    what, than = f"the same, {SIZES[-1]} positions", f"{SIZES[0]} positions"
    ticking = f"after a price tick, {SIZES[-1]} positions"
    rows += [
        compared(what, large[0], small[0], than, GOAL_GROWTH),
        compared(ticking, large[3], small[3], than, GOAL_GROWTH),
        compared("the same", large[3], large[0], "without a tick"),
        compared("a denial, 100 positions", denied, approved, "an approval", GOAL_DENIAL),
        compared(f"beside {RESERVED} approvals", crowded, approved, "beside none"),
    ]
    what = "the door's own work on a check: token, body, order, answer"
    rows.append(compared(what, _door_work(rounds), approved, "a check in the engine"))
    # On the loop and with the slices that `riskbot run` has.
    turns.soon()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return rows + runner.run(_over_sockets(rounds))


def _door_work(rounds: int) -> float:
    """Return us of what a door does with a request besides reading and writing its socket."""
    known = [(token(f"t{n}"), Caller(f"t{n}")) for n in range(6)]
    tokens, text = Tokens(known), json.dumps({**ORDER, "client_order_id": "c1"}).encode()
    document = dict.fromkeys(models.Answer.model_fields, "x")
    found = []
    for _ in range(rounds):
        started = time.thread_time()
        tokens.find(known[3][0])
        order = models.taken(models.OrderBody, body.read(text))
        models.whole(order)
        order.request("grid", is_submit=False)
        order.fingerprint(is_submit=False)
        answer(document)
        found.append((time.thread_time() - started) * 1e6)
    return statistics.median(found)


def _in_process(count: int, rounds: int) -> tuple[float, float, float, float]:
    """Return us of an approval, a denial, an approval beside many others, one after a tick."""
    made = market(*LIMITS, held={f"C{n}": (1_000 / count, 100.0) for n in range(count)}, usdt=1e6)
    approved = _median(made, "0.001", rounds, gives_back=True)
    denied = _median(made, "10000", rounds)
    ticked = _median(made, "0.001", rounds, gives_back=True, ticks=True)
    _median(made, "0.001", RESERVED)
    return approved, denied, _median(made, "0.001", rounds, gives_back=True), ticked


def _median(
    made: Market, quantity: str, rounds: int, *, gives_back: bool = False, ticks: bool = False
) -> float:
    order = OrderRequest(
        strategy="grid", account="main", symbol=BTC, side=Side.BUY, quantity=Decimal(quantity)
    )
    found = []
    for number in range(rounds):
        made.now_ms += 1
        event = events.OrderRequested(request_id=str(number), order=order)
        if ticks:
            price = 100 + 0.01 * (number % 2)
            tick = builders.prices(f"C{number % 5}/USDT:USDT", price, index=price)
            made.engine.handle(tick, made.now_ms)
        started = time.thread_time()
        decided = made.engine.handle(event, made.now_ms)
        found.append((time.thread_time() - started) * 1e6)
        if gives_back:
            replies = [a.document for a in decided if a.kind == "SendReply"]
            made.pull(replies[0]["client_order_id"])
    return statistics.median(found)


class Timed(Engine):
    """Keeps how long each order took it."""

    took: ClassVar[list[float]] = []

    def handle(
        self, event: events.Event, now_ms: int, received_ns: int = 0
    ) -> list[actions.Action]:
        started = time.thread_time()
        decided = super().handle(event, now_ms, received_ns)
        if isinstance(event, events.OrderRequested):
            self.took.append((time.thread_time() - started) * 1e3)
        return decided


class Core:
    """The gateway's question to the core, timed: engine, commit and the way back.

    Attributes:
        took: ms of each order.
        folder: on the disk of the journal.
    """

    def __init__(self, made: Stage) -> None:
        self.took: list[float] = []
        self.folder = made.config.state_dir
        self._journal = made.journal
        guard = made.gateway.guard
        self._ask = guard.first_reply
        # What is measured stands where the door calls it.
        object.__setattr__(guard, "first_reply", self.first_reply)

    async def first_reply(self, event: Asked) -> actions.SendReply:
        started = time.perf_counter()
        reply = await self._ask(event)
        if isinstance(event, events.OrderRequested):
            self.took.append((time.perf_counter() - started) * 1e3)
        return reply

    async def sync(self, mode: str) -> None:
        """Have the journal synced as riskbot does (FULL), or never (OFF)."""
        await self._journal.flush()
        await self._journal.writer.run(lambda each: each.execute(f"PRAGMA synchronous={mode}"))

    def forget(self) -> None:
        """Begin anew."""
        self.took.clear()
        Timed.took.clear()


@dataclass
class Taken:
    """Ms of checks: as the strategy sees them, of them the engine's, and the whole core's."""

    whole: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    core: list[float] = field(default_factory=list)

    @property
    def door(self) -> float:
        """What is not the core's."""
        return quantile(self.whole, 0.5) - quantile(self.core, 0.5)

    @property
    def way(self) -> float:
        """What of the core's is not the engine's."""
        return quantile(self.core, 0.5) - quantile(self.engine, 0.5)


async def _over_sockets(rounds: int) -> list[Row]:
    """Return the rows of the doors, each against an empty handler over the same transport."""
    # The repository's own disk: /tmp may be memory, where nothing is ever synced.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        rate = {"token": token("grid"), "accounts": ["main"], "request_rate": 10**6}
        options = {"limits": {"gross_exposure": {"max": 1.0}}, "engine": Timed}
        async with stage(folder, gateway={"strategies": {"grid": rate}}, **options) as made:
            core = Core(made)
            unix = made.config.state_dir / "gateway.sock"
            rows, over_http = await _door(core, rounds, "HTTP, kept alive", made.url, None)
            more, _ = await _door(core, rounds, "the unix socket", f"unix:{unix}", folder / "empty")
            rows += more
            if MISSING:
                return [*rows, Row("a check over MQTT", f"not measured: {MISSING}")]
            return rows + await _mqtt(made, folder / "broker", rounds, over_http)


async def _door(
    core: Core, rounds: int, name: str, url: str, empty_at: Path | None
) -> tuple[list[Row], float]:
    """Return the rows of one address, and the ms of a check.

    An empty handler, a guard whose journal is never synced, one that syncs, and the disk alone take
    turns: whatever else the machine is doing hits them alike.
    """
    empty, memory, durable, disk = [], Taken(), Taken(), []
    each = max(rounds // TURNS, 1)
    async with _empty(empty_at) as empty_url:
        await _checks(url, WARM)
        for _ in range(TURNS):
            empty += await _checks(empty_url, each)
            for taken, mode in ((memory, "OFF"), (durable, "FULL")):
                await core.sync(mode)
                core.forget()
                taken.whole += await _checks(url, each)
                taken.engine += Timed.took
                taken.core += core.took
            disk += _syncs(core.folder, each)
    return _door_rows(name, quantile(empty, 0.5), memory, durable, quantile(disk, 0.5)), (
        quantile(durable.whole, 0.5)
    )


def _door_rows(name: str, empty: float, memory: Taken, durable: Taken, disk: float) -> list[Row]:
    over = "an empty aiohttp handler"
    in_memory, on_disk = quantile(memory.whole, 0.5), quantile(durable.whole, 0.5)
    engine = quantile(durable.engine, 0.5)
    floor = f"{over}, engine, fdatasync"
    rows = [
        compared(
            f"a check over {name}, never synced", in_memory, empty, over, GOAL_HTTP, unit="ms"
        ),
        compared("  durable", on_disk, empty, over, GOAL_HTTP, unit="ms"),
        compared("  the same", on_disk, empty + engine + disk, floor, unit="ms"),
        compared("  of it transport and door", durable.door, empty, over, unit="ms"),
        Row("  of it engine", f"{figure(engine)} ms"),
    ]
    way = "  of it turns, encoding, journal"
    return [
        *rows,
        Row(f"{way}, never synced", f"{figure(memory.way)} ms"),
        compared(f"{way}, durable", durable.way, disk, "fdatasync of 4 kB", unit="ms"),
    ]


def _syncs(folder: Path, rounds: int) -> list[float]:
    """Return ms of the disk's own fdatasync, in place."""
    found = []
    handle = os.open(folder / "block", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(handle, BLOCK * rounds)
        os.fsync(handle)
        os.lseek(handle, 0, os.SEEK_SET)
        for _ in range(rounds):
            os.write(handle, BLOCK)
            started = time.perf_counter()
            os.fdatasync(handle)
            found.append((time.perf_counter() - started) * 1e3)
    finally:
        os.close(handle)
    return found


async def _checks(url: str, rounds: int) -> list[float]:
    """Return ms of each check of a strategy in a process of its own, given back in between."""
    asker = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.asker", url, token("grid"), str(rounds)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asker.communicate()
    found: list[float] = json.loads(told)
    return found


@asynccontextmanager
async def _empty(path: Path | None) -> AsyncIterator[str]:
    """Serve the same routes with a handler that reads the body, and answers what it always does."""
    order = {"quantity": "0.001"}
    document = dict.fromkeys(("client_order_id", "reservation_id"), "x") | {
        "decision": "approve",
        "enforced": True,
        "max_quantity": None,
        "expires_at_ms": None,
        "reasons": [],
        "order": order,
    }

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(document)

    app = web.Application()
    app.router.add_post("/v1/orders/check", handler)
    app.router.add_delete("/v1/orders/{name}", handler)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    if path is not None:
        await web.UnixSite(runner, str(path)).start()
    else:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"unix:{path}" if path is not None else f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


# ---------------------------------------------------------------- over a broker


async def _mqtt(made: Stage, folder: Path, rounds: int, over_http: float) -> list[Row]:
    """Return the row of QoS 1 there and back, against somebody who says the same back."""
    broker = Mosquitto(folder, users=USERS)
    await broker.start()
    desk = Desk(broker)
    door = OrderDoor(BASE, made.gateway, made.clock)
    desk.link.listen(door.topics, door.take)
    order = {**ORDER, "strategy": "grid", "token": token("grid"), "quantity": "0.001"}
    try:
        async with desk.running(lambda: door.run(desk.link)), listening(broker) as mine:
            await desk.connected()
            # Its self-test takes turns at the connection.
            await asyncio.sleep(3)
            checked = await _asked(mine, f"{BASE}/orders/check", order, rounds, made)
        echo = asyncio.create_task(_echo(broker))
        async with listening(broker) as mine:
            await asyncio.sleep(0.5)
            bare = await _asked(mine, "echo", order, rounds, None)
        echo.cancel()
        await asyncio.gather(echo, return_exceptions=True)
    finally:
        await broker.kill()
    what = "a check over MQTT, QoS 1, durable, p50"
    took = quantile(checked, 0.5)
    return [
        compared(what, took, quantile(bare, 0.5), "a bare echo", unit="ms"),
        compared("the same", took, over_http, "over HTTP", GOAL_MQTT, unit="ms"),
    ]


async def _asked(
    mine: Listener, topic: str, order: dict[str, Any], rounds: int, made: Stage | None
) -> list[float]:
    found, replies = [], f"{BASE}/replies/grid"
    for number in range(rounds):
        seen = len(mine.heard)
        body = json.dumps({**order, "client_order_id": f"q{topic[-1]}{number}"})
        started = time.perf_counter()
        await mine.say(topic, body, answer_to=replies, correlation=b"%d" % number)
        while not any(m.topic == replies for m in mine.heard[seen:]):
            await asyncio.sleep(0)
        found.append((time.perf_counter() - started) * 1e3)
        if made is not None:
            await made.ask("DELETE", f"/v1/orders/q{topic[-1]}{number}")
    return found


async def _echo(broker: Mosquitto) -> None:
    async with broker.client(
        socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
    ) as client:
        await client.subscribe("echo", 1)
        async for message in client.messages:
            more = message.properties
            topic = str(getattr(more, "ResponseTopic", ""))
            await client.publish(topic, message.payload, 1)
