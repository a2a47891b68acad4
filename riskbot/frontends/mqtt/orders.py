"""Orders over MQTT: asked on `/orders/...`, answered where the strategy listens, their life told.

What is taken and what comes of it is the gateway's, as over HTTP. Here the same message, which QoS
1 may deliver twice, gets the same answer; strangers get few, and nobody's flood goes before others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from http import HTTPStatus
from typing import Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Actor, Role
from riskbot.errors import ChannelError
from riskbot.frontends._documents import dumped
from riskbot.frontends._gateway import body
from riskbot.frontends._gateway.asking import checked_id
from riskbot.frontends._gateway.logins import UNKNOWN
from riskbot.frontends._gateway.pace import Bucket
from riskbot.frontends._gateway.parts import Gateway
from riskbot.frontends._gateway.refusal import RefusalError, malformed, shown
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.mqtt.commands import Message
from riskbot.frontends.mqtt.requests import (
    KINDS,
    IgnoredError,
    Request,
    addressed,
    named,
    signed,
)

UNDER_WAY_MAX, OWN_UNDER_WAY_MAX = 1_024, 256
"""Requests under way, of all and of one strategy; its cancels are taken beyond that."""

ANSWERS_MAX = 512
"""Answers of one strategy on their way; beyond it the oldest is given up."""

STRANGERS_MOST = 20
"""Answers a minute to messages that prove nothing: anybody at the broker can send such."""

AGAIN_MS, AGAIN_MAX = 60_000, 2_000
"""How long, and how many, answers are remembered for messages that come twice."""

LIVES_MAX = 500
"""Orders of one strategy whose news wait for the broker; of each the newest."""

REFUSALS_MAX, REFUSALS_MS = 20, 60_000
"""So many ignored messages are audited in that time; those beyond it are counted."""

PEER = "broker"
"""Who published a message cannot be seen over a broker: all strangers count as one."""

_log = logging.getLogger(__name__)

Document = dict[str, Any]


class Publisher(Protocol):
    """The connection, as far as answers go."""

    connected: asyncio.Event

    async def publish(
        self, topic: str, payload: bytes, *, correlation: bytes | None = None, is_noted: bool = True
    ) -> None:
        """Publish; ChannelError when the broker did not take it."""
        ...


class OrderDoor:
    """Hears what strategies ask and answers them.

    Args:
        base: `<prefix>/<instance>`.
        gateway: what is asked.
        clock: for bounds by time.

    Attributes:
        topics: to listen to.
        ignored: messages that were not answered, by reason.
    """

    def __init__(self, base: str, gateway: Gateway, clock: Clock) -> None:
        self._base, self._gateway, self._clock = base, gateway, clock
        self._asking, self._logins = gateway.asking, gateway.logins
        self.topics = tuple(f"{base}/orders/{kind}" for kind in KINDS)
        self.ignored: Counter[str] = Counter()
        self._strangers = Bucket(STRANGERS_MOST, STRANGERS_MOST, clock.now_ms())
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()
        self._again: OrderedDict[bytes, tuple[int, Document | None]] = OrderedDict()
        self._answers: dict[str, deque[tuple[Request, Document]]] = {}
        self._lives: dict[str, OrderedDict[str, Document]] = {}
        self._has_answers, self._has_news = asyncio.Event(), asyncio.Event()
        self._refused_ms: deque[int] = deque(maxlen=REFUSALS_MAX)
        self._unaudited = 0
        gateway.subscribe(self._notify)

    # ------------------------------------------------------------ what arrives

    def take(self, message: Message) -> None:
        """Hear one message. Never waits, never raises."""
        if len(self._tasks) >= UNDER_WAY_MAX:
            self._ignore("too many requests are under way")
            return
        task = asyncio.create_task(self._serve(message), name="order over mqtt")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, message: Message) -> None:
        asked = None
        try:
            asked = addressed(message, self._base, self._asking.strategies)
            await self._hear(asked)
        except IgnoredError as error:
            self._ignore(str(error))
        except Exception as error:  # noqa: BLE001 - one request's bug is an answer, not the door's end
            _log.critical("a request broke the MQTT door", exc_info=error)
            words = "riskbot has a bug: not done"
            if asked is not None:
                bug = RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, words)
                self._answer_stranger(asked, bug)

    async def _hear(self, asked: Request) -> None:
        """Answer a message.

        Raises:
            IgnoredError: it is not to be answered.
        """
        try:
            caller, raw = self._known(asked)
        except RefusalError as refusal:
            self._answer_stranger(asked, refusal)
            return
        if asked.owner != caller.strategy:
            reason = f"{caller.name} wants its answer at another's topic"
            raise IgnoredError(reason)
        if self._is_again(asked):
            return
        document: Document | None = None
        try:
            document = await self._answered(caller, asked, raw)
        finally:
            self._remember(asked, document)
        self._answer(asked, document)

    def _known(self, asked: Request) -> tuple[Caller, Document]:
        """Return who asks, and the body without what proves it.

        Raises:
            RefusalError: nobody who is known, or no body.
        """
        if len(asked.payload) > body.BODY_MAX:
            message = f"the body is longer than {body.BODY_MAX} bytes"
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        raw = body.read(asked.payload)
        shown_as = {name: raw.pop(name, None) for name in ("strategy", "token")}
        for name, value in shown_as.items():
            if not isinstance(value, str) or not value:
                message = f"{name}: is missing" if value is None else f"{name}: must be text"
                raise malformed(message, name)
        caller = self._logins.find(shown_as["token"], PEER, "mqtt")
        if caller.strategy is None:
            message = f"orders are a strategy's, {caller.name} is none"
            raise RefusalError(HTTPStatus.FORBIDDEN, message)
        if caller.strategy != shown_as["strategy"]:
            raise self._logins.failed(PEER, "mqtt", UNKNOWN)
        return caller, raw

    def _is_again(self, asked: Request) -> bool:
        """Answer a message that came before as it was answered then; False = it is new."""
        now_ms = self._clock.now_ms()
        while self._again and next(iter(self._again.values()))[0] <= now_ms - AGAIN_MS:
            self._again.popitem(last=False)
        known = self._again.get(asked.key)
        if known is None:
            self._again[asked.key] = (now_ms, None)
            if len(self._again) > AGAIN_MAX:
                self._again.popitem(last=False)
            return False
        # One that is under way still is answered once: to the same topic, with the same data.
        if known[1] is not None:
            self._answer(asked, known[1])
        return True

    def _remember(self, asked: Request, document: Document | None) -> None:
        if document is not None and document["http_status"] == HTTPStatus.OK:
            self._again[asked.key] = (self._clock.now_ms(), document)
        else:
            # Asking again may help: it was no decision.
            self._again.pop(asked.key, None)

    # ------------------------------------------------------------ what is asked

    async def _answered(self, caller: Caller, asked: Request, raw: Document) -> Document:
        try:
            self._logins.prove(caller, signed(asked), PEER, "mqtt")
            return {"http_status": HTTPStatus.OK.value, **await self._done(caller, asked, raw)}
        except RefusalError as refusal:
            return _refused(refusal)

    async def _done(self, caller: Caller, asked: Request, raw: Document) -> Document:
        count = self._under_way
        if count[asked.owner] >= OWN_UNDER_WAY_MAX and asked.kind != "cancel":
            message = f"{OWN_UNDER_WAY_MAX} requests of yours are under way"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, message, retry_after_s=1)
        count[asked.owner] += 1
        try:
            if asked.kind in {"check", "submit"}:
                order = named(asked, raw)
                return await self._asking.order(caller, order, is_submit=asked.kind == "submit")
            if "client_order_id" not in raw:
                message = "client_order_id: is missing"
                raise malformed(message, "client_order_id")
            name = checked_id(raw.pop("client_order_id"))
            if asked.kind == "amend":
                return await self._asking.amend(caller, name, raw)
            if raw:
                field = shown(next(iter(raw)))
                message = f"{field}: a cancel does not take it"
                raise malformed(message, field)
            return await self._asking.cancel(caller, name)
        finally:
            count[asked.owner] -= 1

    # ------------------------------------------------------------ what is not

    def _answer_stranger(self, asked: Request, refusal: RefusalError) -> None:
        """Tell whoever could not prove who it is, but no flood of them."""
        now_ms = self._clock.now_ms()
        if self._strangers.wait_ms(now_ms):
            self.ignored["nobody who is known"] += 1
            return
        self._strangers.spend()
        self._answer(asked, _refused(refusal))

    def _ignore(self, reason: str) -> None:
        """Count a message that is not answered, and audit it; of a flood only the number."""
        self.ignored[reason] += 1
        now_ms = self._clock.now_ms()
        if len(self._refused_ms) == REFUSALS_MAX and now_ms - self._refused_ms[0] < REFUSALS_MS:
            self._unaudited += 1
            return
        self._refused_ms.append(now_ms)
        more = f" ({self._unaudited} more were not written down)" if self._unaudited else ""
        self._unaudited = 0
        _log.warning("an order over MQTT is not answered: %s%s", reason, more)
        actor = Actor("mqtt:orders", Role.VIEWER, "mqtt")
        self._gateway.guard.emit(events.CommandRefused(actor=actor, reason=f"{reason}{more}"))

    # ------------------------------------------------------------ what is told

    def _answer(self, asked: Request, document: Document) -> None:
        waiting = self._answers.setdefault(asked.owner, deque())
        if len(waiting) >= ANSWERS_MAX:
            waiting.popleft()
            self.ignored["too many answers wait for the broker"] += 1
        waiting.append((asked, document))
        self._has_answers.set()

    def _notify(self, action: actions.NotifyOrder) -> None:
        """Have an order's news published: the newest of each order. Never waits."""
        waiting = self._lives.setdefault(action.strategy, OrderedDict())
        name = str(action.document["client_order_id"])
        waiting.pop(name, None)
        waiting[name] = {"ts_ms": self._clock.now_ms(), **action.document}
        if len(waiting) > LIVES_MAX:
            waiting.popitem(last=False)
        self._has_news.set()

    async def run(self, publisher: Publisher) -> None:
        """Publish answers and news until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish_answers(publisher), name="mqtt order answers")
                tasks.create_task(self._publish_news(publisher), name="mqtt order news")
        finally:
            for task in self._tasks:
                task.cancel()

    async def _publish_answers(self, publisher: Publisher) -> None:
        """One of each strategy in turn: a flood of one's is not before the others'."""
        while True:
            await self._has_answers.wait()
            self._has_answers.clear()
            while any(self._answers.values()):
                for waiting in [each for each in self._answers.values() if each]:
                    asked, document = waiting.popleft()
                    await self._publish_answer(publisher, asked, document)

    async def _publish_answer(
        self, publisher: Publisher, asked: Request, document: Document
    ) -> None:
        # Whoever asked chose the topic: what the broker says to it is not news of the connection.
        try:
            await publisher.publish(
                asked.answer_to, dumped(document), correlation=asked.correlation, is_noted=False
            )
        except ChannelError as error:
            # To the strategy no answer is a denial; asked again it gets the same.
            self.ignored["an answer was not delivered"] += 1
            _log.warning("an answer over MQTT was not delivered: %s", error)

    async def _publish_news(self, publisher: Publisher) -> None:
        while True:
            await self._has_news.wait()
            await publisher.connected.wait()
            self._has_news.clear()
            for strategy, waiting in list(self._lives.items()):
                topic = f"{self._base}/strategies/{strategy}/orders"
                while waiting:
                    name, document = waiting.popitem(last=False)
                    try:
                        await publisher.publish(topic, dumped(document))
                    except ChannelError as error:
                        if error.is_permanent:
                            continue
                        # Kept for the next connection, unless there is newer news of it by then.
                        waiting.setdefault(name, document)
                        waiting.move_to_end(name, last=False)
                        self._has_news.set()
                        break
            await self._clock.sleep(0)


def _refused(refusal: RefusalError) -> Document:
    document = {"http_status": refusal.status.value, **refusal.document()}
    if refusal.retry_after_s is not None:
        document["retry_after_s"] = refusal.retry_after_s
    return document
