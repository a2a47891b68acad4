"""What the configuration's `mqtt` section asks for, put together: one task beside the guard."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.frontends._gateway.parts import Gateway
from riskbot.frontends.mqtt.commands import CommandDoor, Sender
from riskbot.frontends.mqtt.documents import Decisions, Documents

if TYPE_CHECKING:
    from riskbot.frontends.mqtt.link import Link
    from riskbot.frontends.mqtt.orders import OrderDoor

AFTER_BUG_S = 60.0
"""How long MQTT rests after a bug of its own."""

_log = logging.getLogger(__name__)


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


class _Sender(Protocol):
    @property
    def secret(self) -> _Secret | None: ...
    @property
    def allow(self) -> Sequence[str]: ...


class _Section(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> _Secret | None: ...
    @property
    def tls(self) -> bool: ...
    @property
    def ca_file(self) -> str | None: ...
    @property
    def cert_file(self) -> str | None: ...
    @property
    def key_file(self) -> str | None: ...
    @property
    def topic_prefix(self) -> str: ...
    @property
    def commands(self) -> Mapping[str, _Sender]: ...
    @property
    def orders(self) -> bool: ...


class MqttConfig(Protocol):
    """What of the configuration (`Config.root`) concerns MQTT."""

    @property
    def instance(self) -> str:
        """Name of this riskbot."""
        ...

    @property
    def mqtt(self) -> Any:
        """The section, None = no MQTT."""
        ...


class MqttParts:
    """The connection, the documents and the door of commands, or none of them.

    Attributes:
        link: the connection, for whoever else publishes; None = not configured.
        orders: the door of strategies, None = there is none.
        parts: (name, part) to run.
    """

    def __init__(
        self,
        config: MqttConfig,
        view: Callable[[str], Any],
        decisions: Decisions,
        submit_command: Callable[[events.CommandReceived], None],
        emit: Callable[[events.Event], None],
        run: int,
        clock: Clock,
        rng: random.Random,
        *,
        after_bug_s: float = AFTER_BUG_S,
    ) -> None:
        self._after_bug_s = after_bug_s
        self.link: Link | None = None
        self.orders: OrderDoor | None = None
        self.parts: tuple[tuple[str, Any], ...] = ()
        self._clock = clock
        wanted: _Section | None = config.mqtt
        if wanted is None:
            return
        # Imported where it is configured: the client library takes its time to load.
        from riskbot.frontends.mqtt.link import Link
        from riskbot.frontends.mqtt.wire import Address

        self._takes_orders = wanted.orders
        base = f"{wanted.topic_prefix}/{config.instance}"
        self._door = CommandDoor(base, _senders(wanted), submit_command, emit, clock)
        address = Address(
            host=wanted.host,
            port=wanted.port,
            base=base,
            username=wanted.username,
            password=None if wanted.password is None else wanted.password.get_secret_value,
            make_tls=(lambda: _tls(wanted)) if wanted.tls else None,
        )
        self.link = Link(address, emit, clock, rng)
        self.link.listen(self._door.topics, self._door.take)
        self._documents = Documents(self.link, view, decisions, run, clock)
        self.parts = (("mqtt", self),)

    def serve(self, gateway: Gateway) -> None:
        """Let strategies ask over the connection; before `run`."""
        if self.link is None or not (self._takes_orders and gateway.asking.strategies):
            return
        from riskbot.frontends.mqtt.orders import OrderDoor

        self.orders = OrderDoor(self.link.base, gateway, self._clock)
        self.link.listen(self.orders.topics, self.orders.take)

    def notify(self, action: actions.NotifyStrategies) -> None:
        """Tell strategies. Never waits."""
        if self.link is not None:
            self._documents.notify(action)

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Take note of what was decided. Never waits."""
        if self.link is not None:
            self._documents.observe(decided)

    def deliver(self, reply: actions.SendReply) -> bool:
        """Hand over a reply; False when it is another door's."""
        return self.link is not None and self._door.deliver(reply)

    async def run(self) -> None:
        """Run until cancelled: a bug in here is told and tried again, the guard goes on."""
        if self.link is None:
            return
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.link.run(), name="mqtt connection")
                    tasks.create_task(self._documents.run(), name="mqtt documents")
                    tasks.create_task(self._door.run(self.link), name="mqtt answers")
                    if self.orders is not None:
                        tasks.create_task(self.orders.run(self.link), name="mqtt orders")
            except Exception as error:  # noqa: BLE001 - nothing of MQTT may end the guard
                _log.critical("MQTT has a bug", exc_info=error)
                detail = f"a bug, tried again in {self._after_bug_s:.0f} s: {error!r}"
                self.link.tell_down(detail)
            await self._clock.sleep(self._after_bug_s)


def _tls(section: _Section) -> ssl.SSLContext:
    """Read the certificates; anew for each connection, so that a renewed one is taken up."""
    context = ssl.create_default_context(cafile=section.ca_file)
    if section.cert_file is not None:
        # A passphrase is refused with the configuration; here nobody could be asked.
        context.load_cert_chain(section.cert_file, section.key_file, password=lambda: "")
    return context


def _senders(section: _Section) -> dict[str, Sender]:
    return {
        name: Sender(sender.secret.get_secret_value, frozenset(sender.allow))
        for name, sender in section.commands.items()
        if sender.secret is not None
    }
