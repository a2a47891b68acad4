"""The composition root: a configuration becomes parts, one TaskGroup, and an orderly stop.

It knows every part and does nothing itself; each part exposes `async run()`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from importlib.metadata import PackageNotFoundError, version

import uvloop

from riskbot import channels
from riskbot.channels.delivery import Delivery
from riskbot.clock import Clock, SystemClock
from riskbot.config import Config
from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.errors import FatalError
from riskbot.exchanges import exchange_class
from riskbot.executor import Executor
from riskbot.feed import Feed
from riskbot.frontends.local import LocalDoor
from riskbot.frontends.telegram_parts import TelegramParts
from riskbot.haltfile import HaltFile
from riskbot.journal import Journal, Retention
from riskbot.runner import Runner
from riskbot.views import Views

DRAIN_S = 35.0
"""How long work under way may go on after SIGTERM (TimeoutStopSec less ten seconds)."""

FLUSH_S = 5.0


class App:
    """One guard: its parts, wired.

    Args:
        config: checked.
        clock: time; the demo hands in one that runs faster.
        journal: open.

    Attributes:
        runner: the loop; started by `run`.
        exchanges, feeds: by account.
        stop: set it to stop in order.
    """

    def __init__(self, config: Config, clock: Clock, journal: Journal) -> None:
        self.config, self.clock, self.journal = config, clock, journal
        self.stop = asyncio.Event()
        rng = random.Random()
        settings, prefix = config.core(), f"rb{journal.birth}"
        self.runner: Runner[Engine, Views] = Runner(
            journal, lambda: Engine(settings, prefix), clock, Views
        )
        submit = self.runner.submit
        self.halt_file = HaltFile(config.halt_path, submit, clock)
        self.door = LocalDoor(config.socket_path, self._command, self._view)
        self.telegram = TelegramParts(config, self._command, submit, clock, rng)
        self.delivery = Delivery(
            channels.build(config.root, clock, *self.telegram.channels), submit, clock, rng
        )
        self.exchanges = {
            name: exchange_class(account.exchange)(
                name,
                account.exchange,
                account.credentials(),
                account.ccxt,
                tuple(account.markets or ()),
                clock,
                rng,
                self.halt_file.exists,
            )
            for name, account in config.accounts.items()
        }
        self.feeds = {
            name: Feed(exchange, submit, clock, rng, settings.monitor, config.symbols_of(name))
            for name, exchange in self.exchanges.items()
        }
        self.executors = {
            name: Executor(exchange, self.feeds[name].pass_on, clock, self.halt_file.exists)
            for name, exchange in self.exchanges.items()
        }
        self._route()

    def _route(self) -> None:
        for kind in (
            actions.PlaceOrder,
            actions.CancelOrder,
            actions.QueryOrder,
            actions.RefreshAccount,
            actions.SetDeadMan,
        ):
            self.runner.route(kind, lambda action: self.executors[action.account].do(action))
        self.runner.route(actions.SendAlert, self.delivery.send)
        self.runner.route(actions.NotifyStrategies, lambda _: None)
        self.runner.route(actions.RemoveHaltFile, lambda _: self.halt_file.remove())

    def _command(self, command: events.CommandReceived) -> None:
        self._tasks.create_task(self._answer(command), name=f"command {command.name}")

    async def _answer(self, command: events.CommandReceived) -> None:
        async for reply in self.runner.command(command):
            self.door.deliver(reply) or self.telegram.deliver(reply)

    def _view(self, name: str) -> object:
        return self.runner.latest_view().get(name)

    async def run(self) -> None:
        """Run until `stop` is set.

        Raises:
            ExceptionGroup: a part broke for good.
        """
        await self.runner.recover()
        started = events.Started(
            version=riskbot_version(),
            config_hash=self.config.hash,
            halt_file=self.halt_file.exists(),
        )
        self.runner.submit(started)
        async with asyncio.TaskGroup() as self._tasks:
            guard = self._tasks.create_task(self.runner.run(), name="runner")
            others = [
                self._tasks.create_task(part.run(), name=name)
                for name, part in (
                    ("delivery", self.delivery),
                    ("local door", self.door),
                    ("halt file", self.halt_file),
                    *((f"feed {name}", feed) for name, feed in self.feeds.items()),
                    *self.telegram.parts,
                )
            ]
            gc.collect()
            gc.freeze()
            await self.stop.wait()
            await self._wind_down()
            for task in reversed(others):
                task.cancel()
            self.runner.stop()
            await guard
        for exchange in self.exchanges.values():
            await exchange.close()

    async def _wind_down(self) -> None:
        """Deny, let work under way end as far as there is time, tell people."""
        self.runner.submit(events.Stopping())
        deadline = self.clock.now_ms() + int(DRAIN_S * 1000)
        await asyncio.sleep(0.05)
        while self.runner.engine.state.enforcement.intents and self.clock.now_ms() < deadline:
            await self.clock.sleep(0.1)
        await self.delivery.flush(FLUSH_S)


def riskbot_version() -> str:
    """Return the installed version, `dev` in a bare checkout."""
    try:
        return version("riskbot")
    except PackageNotFoundError:
        return "dev"


async def serve(config: Config, clock: Clock | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit code."""
    clock = clock or SystemClock()
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    retention = config.root.retention_days
    journal = await Journal.open(
        config.state_dir / "journal.db",
        clock.now_ms(),
        retention=Retention(retention.observations, retention.decisions),
    )
    code = 0
    try:
        app = App(config, clock, journal)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.stop.set)
        await app.run()
    except* FatalError:
        code = FatalError.exit_code
    finally:
        await journal.close()
    return code


def run(config: Config) -> int:
    """Run the daemon on a loop of its own; return the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(config))
