"""The composition root: a configuration becomes parts (`async run()`), one TaskGroup, a stop."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

from riskbot import channels, exchanges
from riskbot.channels.delivery import Delivery
from riskbot.clock import Clock
from riskbot.config import Config
from riskbot.config.reloader import Reloader
from riskbot.config.rights import RightsGate
from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.ending import wind_down
from riskbot.errors import ConfigError
from riskbot.executor import WORK, Executor
from riskbot.factor import SecondFactor
from riskbot.feed import Feed, stable_markets
from riskbot.frontends.http.parts import HttpParts
from riskbot.frontends.local import LocalDoor
from riskbot.frontends.mqtt.parts import MqttParts
from riskbot.frontends.telegram_parts import TelegramParts
from riskbot.haltfile import HaltFile
from riskbot.history import HistoryService
from riskbot.journal import Journal
from riskbot.release import riskbot_version
from riskbot.runner import Runner
from riskbot.strategies import TellerParts
from riskbot.views import Views
from riskbot.watchdog import Notifier, Watchdog
from riskbot.worker import Worker

CLOSE_S, RUNNER_STEP_S, RECONCILE_STEP_S = 1.0, 10.0, 120.0


class App:
    """One guard: its parts, wired; `stop` ends it in order. The demo hands in a faster clock."""

    def __init__(self, config: Config, clock: Clock, journal: Journal) -> None:
        self.config, self.clock, self.journal = config, clock, journal
        self.stop = asyncio.Event()
        rng, settings, prefix = random.Random(), config.core(), f"rb{journal.birth}"
        ping = url.get_secret_value() if (url := config.root.heartbeat_url) is not None else None
        self.watchdog = Watchdog(clock, Notifier(), status=self._status_line, heartbeat_url=ping)
        self.watchdog.expect("runner", RUNNER_STEP_S)
        self.runner: Runner[Engine, Views] = Runner(
            journal,
            lambda: Engine(settings.telling(channel.name for channel in told), prefix),
            clock,
            Views,
            tell=lambda text: self.delivery.send(channels.shout(text, clock.now_ms())),
            beat=lambda: self.watchdog.beat("runner"),
            read_factor=SecondFactor(config.totp_secret, clock).read,
        )
        submit = self.runner.submit
        self.rights = RightsGate(config.accounts, config.named, submit, self.stop.set, clock)
        self.halt_file = HaltFile(config.halt_path, submit, clock)
        self.door = LocalDoor(config.socket_path, self._command, self._view)
        self.telegram = TelegramParts(config, self._command, submit, clock, rng, self._view)
        ask = (self._view, journal.decisions, self._command, submit)
        self.mqtt = MqttParts(config.root, *ask, int(journal.birth, 36), clock, rng)
        told = channels.build(config.root, clock, *self.telegram.channels, broker=self.mqtt.link)
        self.delivery = Delivery(told, submit, clock, rng, primary=self.telegram.names)
        self.teller = TellerParts(config, told, self._view, self.mqtt.notify, submit, clock, rng)
        self.reloader = Reloader(config, self.telegram, told, submit, self.runner.route)
        self._asked: set[asyncio.Task[None]] = set()
        self.feeds: dict[str, Feed] = {}
        back = (self.runner.command, self.runner.latest_view, journal.decisions, self.feeds)
        tied, version = (self.reloader, self.mqtt), riskbot_version()
        self.http = HttpParts(config, *back, tied, submit, clock, version)
        self.executors: dict[str, Executor] = {}
        for name, account in config.accounts.items():
            exchange = exchanges.build(name, account, clock, rng, self.halt_file.exists)
            watched = config.symbols_of(name) + stable_markets(account.markets)
            beat, opened = self.watchdog.beat, self.rights.opened
            feed = Feed(exchange, self.rights, clock, rng, settings.monitor, watched, beat, opened)
            self.watchdog.expect(f"reconcile:{name}", RECONCILE_STEP_S)
            self.feeds[name] = feed
            self.executors[name] = Executor(exchange, feed.pass_on, clock, self.halt_file.exists)
        for kind in WORK:
            self.runner.route(kind, lambda action: self.executors[action.account].do(action))
        venues = {name: feed.exchange for name, feed in self.feeds.items()}
        self.worker = Worker(submit, clock, rng)
        self.history = HistoryService(venues, config.state_dir, self.worker.pass_on, clock, rng)
        self.runner.route(actions.ReadHistory, self.history.ask)
        self.runner.route(actions.AnalyzeRisk, self.worker.do)
        self.runner.route(actions.SendAlert, self.delivery.send)
        self.runner.route(actions.NotifyStrategies, self.teller.notify)
        self.runner.route(actions.NotifyOrder, self.http.notify)
        self.runner.observe(self.mqtt.observe, self.http.observe)
        self.runner.route(actions.RemoveHaltFile, lambda _: self.halt_file.remove())

    def _status_line(self) -> str:
        status = self._view("status")
        return f"{status['mode']} {status['trading_state']}, {len(status['blind'])} blind"

    def _command(self, command: events.CommandReceived) -> None:
        task = self._tasks.create_task(self._answer(command), name=f"command {command.name}")
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _answer(self, command: events.CommandReceived) -> None:
        await self.reloader.before(command)
        async for reply in self.runner.command(command):
            any(door.deliver(reply) for door in (self.door, self.telegram, self.mqtt))

    def _view(self, name: str) -> Any:
        return self.runner.latest_view().get(name)

    async def run(self) -> None:
        """Run until `stop`; raise ConfigError for what a venue refutes, a group if a part broke."""
        await self.runner.recover()
        version, digest, halted = riskbot_version(), self.config.hash, self.halt_file.exists()
        self.runner.submit(events.Started(version=version, config_hash=digest, halt_file=halted))
        async with asyncio.TaskGroup() as self._tasks:
            guard = self._tasks.create_task(self.runner.run(), name="runner")
            self.watchdog.supervise("runner", guard)
            self.watchdog.supervise("journal", self.journal.task)
            own = {"delivery": self.delivery, "local door": self.door, "halt file": self.halt_file}
            parts: list[tuple[str, Any]] = [
                *own.items(),
                *[("watchdog", self.watchdog), ("history", self.history), ("worker", self.worker)],
                *((f"feed {name}", feed) for name, feed in self.feeds.items()),
                *(self.telegram.parts + self.mqtt.parts + self.http.parts + self.teller.parts),
            ]
            running = [self._tasks.create_task(part.run(), name=name) for name, part in parts]
            await self.door.is_listening.wait()
            self.watchdog.ready()
            # Nothing of what is loaded by now is ever freed: collections need not look at it.
            gc.collect()
            gc.freeze()
            await self.stop.wait()
            self.watchdog.stopping()
            workers, flush = self.executors.values(), self.delivery.flush
            await wind_down(self.runner.submit, self._is_closing, workers, flush, self.clock)
            for task in (*self._asked, *reversed(running)):
                task.cancel()
            self.runner.stop()
            await guard
        closing = [asyncio.create_task(feed.exchange.close()) for feed in self.feeds.values()]
        await asyncio.wait(closing, timeout=CLOSE_S)
        if self.rights.faults:
            raise ConfigError(self.rights.faults)

    def _is_closing(self) -> bool:
        return bool(self.runner.engine.state.enforcement.intents)
