"""One teller and what it says, before a trading state that a story moves by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import TradingState
from riskbot.strategies import TellerParts
from riskbot.strategies._base import Standing, Told
from riskbot.strategies._memory import Memory
from riskbot.strategies._teller import Teller
from riskbot.strategies.freqtrade import FreqtradeBot
from riskbot.strategies.freqtrade_api import Api
from tests.fakes import FakeClock, until
from tests.servers.freqtrade_api import PASSWORD, USER


@dataclass(frozen=True)
class Password:
    value: str

    def get_secret_value(self) -> str:
        return self.value


@dataclass(frozen=True)
class BotEntry:
    url: str
    username: str = USER
    password: Password | None = Password(PASSWORD)
    scope: str = "portfolio"


@dataclass(frozen=True)
class Entry:
    freqtrade: BotEntry | None


@dataclass(frozen=True)
class Root:
    strategies: tuple[Entry, ...]
    instance: str = "vps-1"


@dataclass(frozen=True)
class Settings:
    root: Root
    memory_path: Path


class Desk:
    """Tellers on a clock that is moved, real sockets before them."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.memory_path = folder / "strategies.json"
        self.events: list[events.StrategyTold] = []
        self.published: list[actions.NotifyStrategies] = []
        self.document: dict[str, Any] = {"scopes": {}, "may_start": True, "as_of_ms": 0}
        for scope in ("portfolio", "account:main", "strategy:grid"):
            self.move("ACTIVE", scope)

    def move(self, state: str, scope: str = "portfolio", reason: str = "lunch") -> None:
        """Change the trading state of a scope; the portfolio's holds for all."""
        for each in [scope] if scope != "portfolio" else ["portfolio", *self.document["scopes"]]:
            self.document["scopes"][each] = {"trading_state": state, "reason": reason}

    def keep(self, event: events.Event) -> None:
        assert isinstance(event, events.StrategyTold)
        self.events.append(event)

    @property
    def last(self) -> events.StrategyTold:
        """The newest report; before the first, one that says nothing."""
        nothing = events.StrategyTold(name="", via="", scope="", wanted=TradingState.ACTIVE)
        return self.events[-1] if self.events else nothing

    def parts(self, *bots: BotEntry, channels: tuple[object, ...] = ()) -> TellerParts:
        """What the configuration makes of it."""
        return TellerParts(
            Settings(Root(tuple(Entry(bot) for bot in bots)), self.memory_path),
            channels,
            lambda name: {"standing": self.document}[name],
            self.published.append,
            self.keep,
            self.clock,
            random.Random(7),
        )

    def bot(self, entry: BotEntry, *, timeout_s: float = 5.0) -> FreqtradeBot:
        """One bot, with a patience of the story's."""
        api = Api(entry.url, entry.username, PASSWORD, timeout_s=timeout_s)
        return FreqtradeBot("freqtrade", entry.scope, entry.url, api, Memory(self.memory_path))

    @asynccontextmanager
    async def telling(self, told: Told, *, attempt_s: float = 20.0) -> AsyncIterator[Teller]:
        teller = Teller(
            told,
            lambda: Standing.of(self.document),
            self.keep,
            self.clock,
            random.Random(7),
            attempt_s=attempt_s,
        )
        async with self.running(teller):
            yield teller

    @asynccontextmanager
    async def running(self, part: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(part.run())
        try:
            yield
        finally:
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError), results

    async def until(self, condition: Any, *, seconds: float = 30.0) -> None:
        """Move the clock in small steps, sockets working in between, until something holds."""
        for _ in range(int(seconds * 10)):
            if condition():
                return
            await self.clock.advance(100)
            await asyncio.sleep(0.005)
        await until(condition)

    async def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds * 2)):
            await self.clock.advance(500)
            await asyncio.sleep(0.005)
