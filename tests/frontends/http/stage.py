"""The door over real sockets, before the real runner, engine and journal; the venue obeys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from riskbot.clock import SystemClock
from riskbot.config import Config, load
from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.frontends._gateway.guard import Asked
from riskbot.frontends._gateway.parts import Gateway
from riskbot.frontends.http.parts import HttpParts
from riskbot.journal import Journal
from riskbot.runner import Inbox, Runner
from riskbot.views import Views
from tests import builders
from tests.config_files import with_, write
from tests.core.market import PRICES, Market
from tests.fakes import until

LONG_S = 600.0
FREE = {"max_trade": False, "max_trade_risk": False, "price_collar": False, "order_rate": False}
ORDER = {
    "account": "main",
    "instrument": "BTC/USDT:USDT",
    "side": "buy",
    "quantity": "0.05",
    "type": "market",
}


def token(name: str) -> str:
    """Return a token; each name has another one."""
    return hashlib.sha256(name.encode()).hexdigest()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    document: Any


@dataclass
class Wishes:
    """The feed of an account: prices an instrument when it is wished for.

    Attributes:
        priced: what it can price, by symbol.
        asked: what was wished for.
    """

    stage: Stage
    priced: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def wish(self, symbol: str) -> bool:
        self.asked.append(symbol)
        if symbol not in self.priced:
            return False
        self.stage.submit(builders.loaded(symbol))
        self.stage.market.marks[symbol] = self.priced.pop(symbol)
        asyncio.get_running_loop().call_later(0.1, self.stage.price)
        return True


class Stage:
    """A started guard behind an open door.

    Attributes:
        market: the venue; what riskbot sends is in `sent`.
        runner: the guard.
        gate: shut, no entry reaches the core; in_core: those that stand there.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        inbox: Inbox | None = None,
        engine: type[Engine] = Engine,
    ) -> None:
        self.config, self.journal, self.clock = config, journal, SystemClock()
        self.decided: list[actions.Action] = []
        self.submitted: list[events.Event] = []
        self.in_core = self.most_in_core = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.venue_answers = True
        self.runner: Runner[Engine, Views] = Runner(
            journal, lambda: engine(config.core(), "rbtest"), self.clock, Views, inbox=inbox
        )
        self.wishes = Wishes(self)
        self.commands: list[events.CommandReceived] = []
        self.http = HttpParts(
            config,
            self._ask,
            self.runner.latest_view,
            journal.decisions,
            dict.fromkeys(config.accounts, self.wishes),
            (self, self),
            self._emit,
            self.clock,
            "1.2.3",
        )
        for kind in self.runner.missing_routes():
            self.runner.route(getattr(actions, kind), self._carry_out)
        self.runner.route(actions.NotifyOrder, self.http.notify)
        self.runner.observe(self.http.observe, self.decided.extend)
        self.tasks: list[asyncio.Task[None]] = []
        self.gateway: Gateway
        self.reload: Callable[[Any], None]
        self.session: aiohttp.ClientSession

    async def _ask(self, event: Asked) -> AsyncIterator[actions.SendReply]:
        if isinstance(event, events.OrderRequested) and not event.order.reduce_only:
            self.in_core += 1
            self.most_in_core = max(self.most_in_core, self.in_core)
            await self.gate.wait()
            self.in_core -= 1
        async for reply in self.runner.command(event):
            yield reply

    def _emit(self, event: events.Event) -> None:
        self.submitted.append(event)
        self.runner.submit(event)

    async def before(self, command: events.CommandReceived) -> None:
        self.commands.append(command)

    def tell(self, taker: Callable[[Any], None]) -> None:
        """What reads the configuration anew hands it on by this."""
        self.reload = taker

    def serve(self, gateway: Gateway) -> None:
        """Another door before the same gateway, if a story has one."""
        self.gateway = gateway

    # ------------------------------------------------------------ the guard

    async def start(self) -> None:
        await self.runner.recover()
        self.market = Market(self.runner.engine)
        for account in self.config.accounts:
            self.market.wallet[account] = builders.maybe(100_000) or 0  # type: ignore[assignment]
            self.market.held[account], self.market.orders[account] = {}, {}
        self.market.marks |= {f"{base}/USDT:USDT": price for base, price in PRICES.items()}
        self.tasks = [
            asyncio.create_task(self.runner.run()),
            *(asyncio.create_task(part.run()) for _, part in self.http.parts),
        ]
        self.submit(events.Started(version="test", config_hash="x"))
        for account in self.config.accounts:
            self.submit(builders.loaded(*self.market.marks, account=account))
        self.price()
        self.read()
        self.session = aiohttp.ClientSession()
        await self.http.is_listening.wait()
        await until(lambda: not self.runner.latest_view().get("status")["blind"])

    async def end(self) -> None:
        await self.session.close()
        for task in self.tasks[1:]:
            task.cancel()
        self.runner.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.journal.close()

    def submit(self, event: events.Event) -> None:
        self.market.now_ms = self.clock.now_ms()
        self.runner.submit(event)

    def price(self, **marks: float) -> None:
        self.market.marks |= {f"{base}/USDT:USDT": mark for base, mark in marks.items()}
        for account in self.config.accounts:
            for symbol, mark in self.market.marks.items():
                sides = {"bid": round(mark - 0.01, 2), "ask": round(mark + 0.01, 2)}
                now_ms = self.clock.now_ms()
                self.submit(
                    builders.prices(
                        symbol, mark, account=account, index=mark, venue_ms=now_ms, **sides
                    )
                )

    def read(self) -> None:
        self.market.now_ms = self.clock.now_ms()
        for account in self.config.accounts:
            self.submit(self.market._snapshot(account, None))  # noqa: SLF001 - the world's venue

    def _carry_out(self, action: Any) -> None:
        self.market.now_ms = self.clock.now_ms()
        if not self.venue_answers:
            return
        told: Iterable[events.Event] = self.market._carry_out(action)  # noqa: SLF001
        for event in list(told):
            self.submit(event)

    # ------------------------------------------------------------ clients

    @property
    def url(self) -> str:
        return f"http://{self.config.root.http.listen}" if self.config.root.http else "http://x"

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        who: str | None = "grid",
        **options: Any,
    ) -> Answer:
        """Send a request as a client would; `body` may be bytes, that are sent as they are."""
        headers = {} if who is None else {"Authorization": f"Bearer {token(who)}"}
        headers |= options.pop("headers", {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            options["data"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        session = options.pop("session", self.session)
        async with session.request(
            method, f"{self.url}{path}", headers=headers, **options
        ) as response:
            text = await response.text()
            document = json.loads(text) if response.content_type == "application/json" else text
            return Answer(response.status, dict(response.headers), document)

    async def check(self, who: str = "grid", **fields: Any) -> Answer:
        return await self.ask("POST", "/v1/orders/check", {**ORDER, **fields}, who)

    async def place(self, who: str = "grid", **fields: Any) -> Answer:
        return await self.ask("POST", "/v1/orders", {**ORDER, **fields}, who)

    async def command(self, name: str, who: str = "operator", **args: Any) -> Answer:
        return await self.ask("POST", f"/v1/commands/{name}", args, who)


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    limits: dict[str, Any] | None = None,
    inbox: Inbox | None = None,
    engine: type[Engine] = Engine,
    journal: type[Journal] = Journal,
    **fields: Any,
) -> AsyncIterator[Stage]:
    """Open a guard of one account and the strategies `grid` and `trend`, 100,000 USDT."""
    roles = {f"{role}_token": token(role) for role in ("viewer", "operator", "admin", "investor")}
    strategies = {name: {"token": token(name), "accounts": ["main"]} for name in ("grid", "trend")}
    sections: dict[str, Any] = {
        "mode": "enforce",
        "portfolio": {"preset": "holder", "limits": limits or {}, "orders": FREE},
        "monitor": {"price_stale_s": 60, "account_stale_s": LONG_S},
        "http": {"listen": f"127.0.0.1:{free_port()}", **roles},
        "gateway": {"strategies": strategies},
        **fields,
    }
    config = load(write(folder, with_(**sections), mode=0o600))
    config.state_dir.mkdir(mode=0o700, exist_ok=True)
    opened = await journal.open(config.journal_path, SystemClock().now_ms())
    made = Stage(config, opened, inbox, engine)
    await made.start()
    try:
        yield made
    finally:
        await made.end()
