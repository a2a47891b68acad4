"""Telling strategies to stop, and that they may go on: what the configuration asks for.

MQTT's retained state is published by `frontends/mqtt`, over the connection that it shares.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.strategies._base import Standing, Told
from riskbot.strategies._memory import Memory
from riskbot.strategies._teller import Teller
from riskbot.strategies.freqtrade import FreqtradeBot
from riskbot.strategies.freqtrade_api import Api
from riskbot.strategies.webhook import Poster, Webhook

AFTER_BUG_S = 60.0
"""How long a teller rests after a bug of its own."""

_log = logging.getLogger(__name__)


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


class _Freqtrade(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> _Secret | None: ...
    @property
    def scope(self) -> str: ...


class _Entry(Protocol):
    @property
    def freqtrade(self) -> _Freqtrade | None: ...


class _Root(Protocol):
    @property
    def instance(self) -> str: ...
    @property
    def strategies(self) -> Sequence[_Entry]: ...


class StrategiesConfig(Protocol):
    """What of the configuration concerns strategies that are told."""

    @property
    def root(self) -> _Root:
        """The sections."""
        ...

    @property
    def memory_path(self) -> Path:
        """File that remembers who was stopped."""
        ...


class TellerParts:
    """Everybody who is told, each by a task of its own.

    Args:
        config: who is told.
        channels: those of them that can post hear of trading states too.
        view: returns the newest document of a name.
        publish: takes each notice as well: MQTT.
        emit: takes `StrategyTold`.
        clock: for waits and stamps.
        rng: for jitter.
        after_bug_s: see `AFTER_BUG_S`.

    Attributes:
        parts: (name, part) to run.
    """

    def __init__(
        self,
        config: StrategiesConfig,
        channels: Iterable[object],
        view: Callable[[str], Any],
        publish: Callable[[actions.NotifyStrategies], None],
        emit: Callable[[events.Event], None],
        clock: Clock,
        rng: random.Random,
        *,
        after_bug_s: float = AFTER_BUG_S,
    ) -> None:
        self._publish, self._clock, self._after_bug_s = publish, clock, after_bug_s
        memory = Memory(config.memory_path)
        told: list[Told] = [*_bots(config.root.strategies, memory)]
        posters = [channel for channel in channels if isinstance(channel, Poster)]
        told += [Webhook(poster, config.root.instance, clock) for poster in posters]
        self._tellers = [
            Teller(each, lambda: Standing.of(view("standing")), emit, clock, rng) for each in told
        ]
        self.parts: tuple[tuple[str, Any], ...] = (("strategies", self),) if told else ()

    def notify(self, action: actions.NotifyStrategies) -> None:
        """Tell everybody. Never waits."""
        self._publish(action)
        for teller in self._tellers:
            teller.notify()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for teller in self._tellers:
                tasks.create_task(self._keep(teller), name=f"telling {teller.told.name}")

    async def _keep(self, teller: Teller) -> None:
        """Run one: a bug in there is told in the log and tried again, the guard goes on."""
        while True:
            try:
                await teller.run()
            except Exception as error:  # noqa: BLE001 - nothing of a strategy may end the guard
                _log.critical("telling %s has a bug", teller.told.name, exc_info=error)
            await self._clock.sleep(self._after_bug_s)


def _bots(entries: Iterable[_Entry], memory: Memory) -> list[FreqtradeBot]:
    bots: list[FreqtradeBot] = []
    for entry in entries:
        bot = entry.freqtrade
        if bot is None or bot.password is None:
            continue
        name = "freqtrade" if not bots else f"freqtrade-{len(bots) + 1}"
        api = Api(bot.url, bot.username, bot.password.get_secret_value())
        bots.append(FreqtradeBot(name, bot.scope, bot.url, api, memory))
    return bots
