"""The one connection to the broker: kept up, with birth and last will, and what it publishes.

MQTT 5, QoS 1, one message under way at a time: nothing piles up here or in the client library.
Each connection starts with nothing of the one before. What is published, and when, is not here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.errors import ChannelError
from riskbot.frontends.mqtt.wire import WILL, Address, Client, properties

Emit = Callable[[events.Event], None]
Take = Callable[[aiomqtt.Message], None]

FAREWELL_S = 1.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
STEADY_S = 30.0
"""A connection that lived so long starts the waits anew."""

DOWN_AFTER_MS = 10_000
"""A broker that is away for less is not told of: it was restarted."""

SLOW_MS = 20.0
"""A round trip beyond this is told; Nagle's algorithm at the broker costs some 40 ms."""

SAMPLES, SAMPLE_PAUSE_S = 5, 0.3
"""The self-test: so many, after pauses in which both ends forget that they were talking."""

WRITING_TURNS = 4

BIRTH = b"1"

_log = logging.getLogger(__name__)


class Link:
    """Keeps one connection, and publishes over it.

    Args:
        address: of the broker.
        emit: takes `FrontendChanged`.
        clock: for waits.
        rng: for jitter.

    Attributes:
        base: `<prefix>/<instance>`.
        connected: set while messages can be published.
        sessions: connections so far.
    """

    name = "mqtt"

    def __init__(
        self,
        address: Address,
        emit: Emit,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.base = address.base
        self.connected = asyncio.Event()
        self.sessions = 0
        self._address, self._emit, self._clock, self._rng = address, emit, clock, rng
        self._takes: dict[str, Take] = {}
        self._client: Client | None = None
        self._turn = asyncio.Lock()
        self._why = "not connected yet"
        self._refused: dict[str, str] = {}
        self._lost_ms = clock.now_ms()
        self._told: tuple[bool, bool, str] | None = None
        self._slow = ""

    # ------------------------------------------------------------ what others call

    def listen(self, topics: Sequence[str], take: Take) -> None:
        """Hear these topics too, from the next connection on."""
        self._takes |= dict.fromkeys(topics, take)

    async def wait(self, seconds: float) -> None:
        """Return once connected, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.connected.wait()

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        correlation: bytes | None = None,
        is_noted: bool = True,
    ) -> None:
        """Publish, and return when the broker has taken it.

        Args:
            topic: whole.
            payload: of the message.
            retain: the broker keeps it for those who come later.
            correlation: correlation data of the request this answers.
            is_noted: people are told when the broker refuses the topic.

        Raises:
            ChannelError: not connected, not answered, or refused. After a refusal the connection
                stays.
        """
        async with self._turn:
            client = self._client
            if client is None or not self.connected.is_set():
                message = f"no connection to the broker: {self._why}"
                raise ChannelError(message)
            await self._send(client, topic, payload, retain=retain, correlation=correlation)
            refusal, is_final = client.refusal, client.is_final
        if is_noted:
            self._note(topic, refusal)
        if refusal:
            message = f"the broker refuses {topic}: {refusal}"
            raise ChannelError(message, is_permanent=is_final)

    async def _send(
        self,
        client: Client,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> None:
        more = None
        if correlation is not None:
            more = properties("PUBLISH", CorrelationData=correlation)
        try:
            await client.post(topic, payload, retain=retain, more=more)
        except (aiomqtt.MqttError, ValueError) as error:
            client.abort()
            self._end()
            message = f"no answer of the broker: {error}"
            raise ChannelError(message) from error

    def _note(self, topic: str, refusal: str) -> None:
        """Tell that the broker begins or ends to refuse a topic."""
        if self._refused.get(topic, "") == refusal:
            return
        if refusal:
            self._refused[topic] = refusal
        else:
            del self._refused[topic]
        self._tell_health()

    def tell_down(self, detail: str) -> None:
        """Tell that MQTT does not work; the next connection tells that it does again."""
        self._tell(is_up=False, detail=detail)

    # ------------------------------------------------------------ the connection

    async def run(self) -> None:
        """Keep the connection until cancelled; then say goodbye, so that no will is told."""
        failures = 0
        while True:
            began_ms = self._clock.now_ms()
            try:
                await self._session()
            except (aiomqtt.MqttError, ChannelError, ValueError, OSError) as error:
                self._lost(error)
            lived_ms = self._clock.now_ms() - began_ms
            failures = 1 if lived_ms >= STEADY_S * 1000 else failures + 1
            wait_s = min(FIRST_WAIT_S * 2 ** min(failures - 1, 10), LONGEST_WAIT_S)
            await self._clock.sleep(wait_s * self._rng.uniform(0.75, 1.25))

    def _lost(self, error: Exception) -> None:
        """Note why there is no connection; tell it once it lasts, or at once if it was refused."""
        cause = error.__cause__ if isinstance(error, aiomqtt.MqttError) else None
        why = str(cause or error) or type(error).__name__
        if why != self._why:
            _log.warning("no connection to the MQTT broker: %s", why)
        self._why = why
        now_ms = self._clock.now_ms()
        was_refused = isinstance(error, MqttConnectError)
        if was_refused or now_ms - self._lost_ms >= DOWN_AFTER_MS:
            self.tell_down(why)

    async def _session(self) -> None:
        """Connect and live until the connection ends, which always raises.

        Raises:
            MqttError, ChannelError, ValueError, OSError: why it ended.
        """
        client = await self._make()
        try:
            async with client:
                try:
                    await self._live(client)
                except asyncio.CancelledError:
                    await self._farewell(client)
                    raise
                finally:
                    self._end()
                    # What hangs is not asked to hang up.
                    client.timeout = FAREWELL_S
        finally:
            client.abort()

    async def _make(self) -> Client:
        address, tls = self._address, None
        if address.make_tls is not None:
            tls = await asyncio.to_thread(address.make_tls)
        return Client.to(address, tls)

    async def _live(self, client: Client) -> None:
        online = f"{self.base}/online"
        self._refused.clear()
        await self._send(client, online, BIRTH, retain=True)
        if client.refusal:
            self._refused[online] = client.refusal
        if self._takes:
            await self._subscribe(client)
        self._begin(client)
        test = asyncio.create_task(self._test(client), name="mqtt self-test")
        try:
            async for message in client.messages:
                if (take := self._takes.get(str(message.topic))) is not None:
                    take(message)
        finally:
            test.cancel()
            await asyncio.gather(test, return_exceptions=True)

    async def _subscribe(self, client: Client) -> None:
        # What was retained before is not sent, and what is retained says so: neither is heard.
        options = SubscribeOptions(
            qos=1,
            retainAsPublished=True,
            retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND,
        )
        topics = tuple(self._takes)
        answers = await client.subscribe([(topic, options) for topic in topics])
        for topic, answer in zip(topics, answers, strict=True):
            if isinstance(answer, ReasonCode) and answer.is_failure:
                self._refused[topic] = str(answer)

    def _begin(self, client: Client) -> None:
        self._client = client
        self.sessions += 1
        away_s = (self._clock.now_ms() - self._lost_ms) / 1000
        _log.info("connected to the MQTT broker after %.1f s", away_s)
        self._why = ""
        self.connected.set()
        self._tell_health()

    def _end(self) -> None:
        if self._client is not None:
            self._lost_ms = self._clock.now_ms()
        self._client = None
        self.connected.clear()

    async def _farewell(self, client: Client) -> None:
        client.timeout = FAREWELL_S
        with suppress(aiomqtt.MqttError):
            await client.post(f"{self.base}/online", WILL, retain=True)

    # ------------------------------------------------------------ how it does

    async def _test(self, client: Client) -> None:
        """Measure the round trip of two messages at once, and tell if it is slow.

        The second answer is the one that Nagle's algorithm holds back at the broker. A broker that
        answers the first message before the second is sent would have nothing to hold back.
        """
        took = []
        for _ in range(SAMPLES):
            await asyncio.sleep(SAMPLE_PAUSE_S)
            async with self._turn:
                client.forget_quick_acks()
                client.hold_back(is_held=True)
                began_ns = self._clock.monotonic_ns()
                topic = f"{self.base}/selftest"
                both = asyncio.gather(*(self._send(client, topic, b"") for _ in range(2)))
                # Both are written within these turns of the loop, else they go one by one.
                for _ in range(WRITING_TURNS):
                    await asyncio.sleep(0)
                client.hold_back(is_held=False)
                with suppress(ChannelError):
                    await both
                took.append((self._clock.monotonic_ns() - began_ns) / 1e6)
        median = statistics.median(took)
        self._slow = ""
        if median > SLOW_MS:
            self._slow = (
                f"a round trip takes {median:.0f} ms, more than {SLOW_MS:.0f}: does the broker set "
                "`set_tcp_nodelay true`?"
            )
            _log.warning("the MQTT broker is slow: %s", self._slow)
        self._tell_health()

    def _tell_health(self) -> None:
        refused = "; ".join(f"{topic}: {why}" for topic, why in sorted(self._refused.items()))
        if refused:
            _log.warning("the MQTT broker refuses %s", refused)
            self.tell_down(f"connected, but the broker refuses {refused}")
        else:
            self._tell(is_up=True, detail=self._slow)

    def _tell(self, *, is_up: bool, detail: str) -> None:
        is_slow = is_up and bool(self._slow)
        if self._told == (is_up, is_slow, detail):
            return
        self._told = (is_up, is_slow, detail)
        self._emit(
            events.FrontendChanged(name=self.name, is_up=is_up, detail=detail, is_slow=is_slow)
        )
