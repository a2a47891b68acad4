"""Commands over MQTT: signed, fresh, used once, and only such as lower risk.

A sender has a name, a secret and a topic of its own, `<base>/commands/<name>`. What it publishes
there is a JSON object of exactly `command`, `args`, `ts_ms`, `nonce` and `signature`; the signature
is HMAC-SHA256 over `canonical`. Whatever is not in order is refused and audited; only somebody who
signed well is answered, on the response topic, with the correlation data.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import logging
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Actor, Role
from riskbot.errors import ChannelError

BODY_MAX = 4_096
"""Longest message, bytes."""

WINDOW_MS = 30_000
"""How far the sender's clock may be from riskbot's, either way."""

NONCES_MAX = 1_000
"""Nonces remembered for each sender: each for as long as its message would still be fresh."""

WAITING_MAX = 50
"""Commands under way, and answers on their way."""

REFUSALS_MAX, REFUSALS_MS = 20, 60_000
"""So many refusals are audited in that time; those beyond it are counted."""

SAFER = frozenset({"halt", "cancel", "ack", "silence"})
"""All that can ever be commanded over MQTT."""

_KEYS = frozenset({"command", "args", "ts_ms", "nonce", "signature"})
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_TOPIC_MAX, _ARGUMENT_MAX, _CORRELATION_MAX = 200, 500, 1_024

_log = logging.getLogger(__name__)

SubmitCommand = Callable[[events.CommandReceived], None]
Emit = Callable[[events.Event], None]


class Message(Protocol):
    """What arrived, as the client library shows it."""

    @property
    def topic(self) -> Any:
        """Where it was published."""
        ...

    @property
    def payload(self) -> Any:
        """Its bytes."""
        ...

    @property
    def retain(self) -> bool:
        """Whether the broker keeps it for those who come later."""
        ...

    @property
    def properties(self) -> Any:
        """Of MQTT 5."""
        ...


class Publisher(Protocol):
    """The connection, as far as answers go."""

    base: str

    async def publish(
        self, topic: str, payload: bytes, *, correlation: bytes | None = None
    ) -> None:
        """Publish; ChannelError when the broker did not take it."""
        ...


@dataclass(slots=True)
class Sender:
    """Somebody who may command.

    Attributes:
        secret: returns what signs.
        allow: names of commands.
        nonces: those that were used, with the moment after which they are stale anyway, UTC ms.
    """

    secret: Callable[[], str]
    allow: frozenset[str]
    nonces: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    topic: str
    correlation: bytes | None
    command: str
    nonce: str


class _RefusedError(Exception):
    """A message that is not in order; its text says why."""


def canonical(topic: str, command: str, args: Mapping[str, Any], ts_ms: int, nonce: str) -> bytes:
    """Return what is signed: six lines, the last one the arguments as JSON.

    Keys sorted, no spaces, everything beyond ASCII escaped: the same bytes in every language.
    """
    arguments = json.dumps(args, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    lines = ("riskbot-command-1", topic, command, str(ts_ms), nonce, arguments)
    return "\n".join(lines).encode()


def sign(secret: str, signed: bytes) -> str:
    """Return a signature: 64 hexadecimal digits, lower case."""
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class CommandDoor:
    """Hears signed messages and answers them.

    Args:
        base: `<prefix>/<instance>`.
        senders: by name.
        submit_command: hands a command to the runner; never waits.
        emit: takes `CommandRefused`.
        clock: for freshness.

    Attributes:
        topics: to listen to.
    """

    def __init__(
        self,
        base: str,
        senders: Mapping[str, Sender],
        submit_command: SubmitCommand,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._base, self._clock = base, clock
        self._submit, self._emit = submit_command, emit
        self._by_topic = {f"{base}/commands/{name}": name for name in senders}
        self._senders = dict(senders)
        self.topics = tuple(self._by_topic)
        # Signed before this riskbot ran: its nonce may have been used in a run before.
        self._started_ms = clock.now_ms()
        self._prefix = f"mqtt-{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Asked] = {}
        self._answers: asyncio.Queue[tuple[_Asked, dict[str, Any]]] = asyncio.Queue(WAITING_MAX)
        self._refusals: deque[int] = deque(maxlen=REFUSALS_MAX)
        self._unaudited = 0

    # ------------------------------------------------------------ what arrives

    def take(self, message: Message) -> None:
        """Hear one message. Never waits, never raises."""
        topic = str(message.topic)
        name = self._by_topic.get(topic)
        if name is None:
            return
        try:
            asked, args, ts_ms = self._proven(topic, self._senders[name], message)
        except _RefusedError as error:
            self._refuse(name, str(error))
            return
        # From here on it is known who speaks, so it can be told.
        fault = self._fault(self._senders[name], asked, args, ts_ms)
        if fault:
            self._refuse(name, f"{asked.command[:32]!r}: {fault}")
            self._answer(asked, {"ok": False, "message": fault, "document": None})
            return
        request_id = f"{self._prefix}-{next(self._numbers)}"
        self._waiting[request_id] = asked
        self._submit(
            events.CommandReceived(
                request_id=request_id,
                name=asked.command,
                args=args,
                actor=_actor(name),
                asked_ms=min(ts_ms, self._clock.now_ms()),
            )
        )

    def _proven(
        self, topic: str, sender: Sender, message: Message
    ) -> tuple[_Asked, dict[str, Any], int]:
        """Return what a message asks once its signature is proven.

        Raises:
            _RefusedError: it is none of the sender's, or no message at all.
        """
        if message.retain:
            reason = "a retained message is no command"
            raise _RefusedError(reason)
        body = _parsed(message.payload)
        command, args = body["command"], body["args"]
        signed = canonical(topic, command, args, body["ts_ms"], body["nonce"])
        if not hmac.compare_digest(sign(sender.secret(), signed), body["signature"]):
            reason = "the signature does not match"
            raise _RefusedError(reason)
        properties = message.properties
        asked = _Asked(
            topic=str(getattr(properties, "ResponseTopic", "")),
            correlation=getattr(properties, "CorrelationData", None),
            command=command,
            nonce=body["nonce"],
        )
        return asked, args, body["ts_ms"]

    def _fault(self, sender: Sender, asked: _Asked, args: Mapping[str, Any], ts_ms: int) -> str:
        """Return why a proven message is not carried out, empty when it is; its nonce is used."""
        now_ms = self._clock.now_ms()
        if abs(now_ms - ts_ms) > WINDOW_MS:
            return f"ts_ms is {(now_ms - ts_ms) / 1000:+.1f} s off: at most {WINDOW_MS // 1000} s"
        if ts_ms <= self._started_ms:
            return "signed before this riskbot started: sign it anew"
        sender.nonces = {n: until for n, until in sender.nonces.items() if until >= now_ms}
        if asked.nonce in sender.nonces:
            return "this nonce was used already"
        if len(sender.nonces) >= NONCES_MAX or len(self._waiting) >= WAITING_MAX:
            return "too many commands: try again"
        sender.nonces[asked.nonce] = ts_ms + WINDOW_MS
        if asked.command not in sender.allow & SAFER:
            return "not allowed over MQTT to this sender"
        if any(len(value) > _ARGUMENT_MAX for value in args.values() if isinstance(value, str)):
            return "an argument is too long"
        return ""

    def _refuse(self, name: str, reason: str) -> None:
        """Audit a refusal; a flood of them is counted, lest it fills the record."""
        now_ms = self._clock.now_ms()
        if len(self._refusals) == REFUSALS_MAX and now_ms - self._refusals[0] < REFUSALS_MS:
            self._unaudited += 1
            return
        self._refusals.append(now_ms)
        more = f" ({self._unaudited} more were not written down)" if self._unaudited else ""
        self._unaudited = 0
        _log.warning("a command over MQTT is refused: %s: %s", name, reason)
        self._emit(events.CommandRefused(actor=_actor(name), reason=f"MQTT: {reason}{more}"))

    # ------------------------------------------------------------ what is answered

    def deliver(self, reply: actions.SendReply) -> bool:
        """Hand over a reply; False when it is another door's."""
        if not reply.request_id.startswith(self._prefix):
            return False
        asked = self._waiting.get(reply.request_id)
        if asked is not None:
            if reply.is_final:
                del self._waiting[reply.request_id]
            self._answer(
                asked,
                {
                    "ok": reply.ok,
                    "message": reply.message,
                    "document": reply.document,
                    "final": reply.is_final,
                },
            )
        return True

    def _answer(self, asked: _Asked, document: dict[str, Any]) -> None:
        if not self._may_answer(asked.topic) or len(asked.correlation or b"") > _CORRELATION_MAX:
            return
        if self._answers.full():
            self._answers.get_nowait()
        self._answers.put_nowait((asked, document))

    def _may_answer(self, topic: str) -> bool:
        """Keep answers off the topics riskbots speak on: nobody may have this one write there."""
        if not topic or len(topic) > _TOPIC_MAX or topic.startswith("$"):
            return False
        if any(sign in topic for sign in "+#\0"):
            return False
        prefix = self._base.rpartition("/")[0]
        is_ours = f"{topic}/".startswith(f"{prefix}/")
        return not is_ours or topic.startswith(f"{self._base}/replies/")

    async def run(self, publisher: Publisher) -> None:
        """Publish answers until cancelled; what cannot be brought is dropped, it was done."""
        while True:
            asked, document = await self._answers.get()
            head = {"command": asked.command, "nonce": asked.nonce, "ts_ms": self._clock.now_ms()}
            content = orjson.dumps({"final": True, **head, **document}, default=str)
            try:
                await publisher.publish(asked.topic, content, correlation=asked.correlation)
            except ChannelError as error:
                _log.warning("an answer over MQTT was not delivered: %s", error)


def _actor(name: str) -> Actor:
    return Actor(f"mqtt:{name}", Role.OPERATOR, "mqtt")


def _parsed(payload: object) -> dict[str, Any]:
    """Return a message's object, every key there and of its type.

    Raises:
        _RefusedError: it is anything else.
    """
    if not isinstance(payload, bytes) or len(payload) > BODY_MAX:
        reason = f"a command has at most {BODY_MAX} bytes"
        raise _RefusedError(reason)
    try:
        body = json.loads(payload, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        reason = "a command is one JSON object, each key once"
        raise _RefusedError(reason) from None
    if not isinstance(body, dict) or set(body) != _KEYS:
        reason = f"a command has exactly the keys {', '.join(sorted(_KEYS))}"
        raise _RefusedError(reason)
    fault = _type_fault(body)
    if fault:
        raise _RefusedError(fault)
    return body


def _type_fault(body: Mapping[str, Any]) -> str:
    command, args, ts_ms = body["command"], body["args"], body["ts_ms"]
    if not isinstance(command, str) or len(command) > _ARGUMENT_MAX:
        return "command: must be a name"
    if type(ts_ms) is not int or ts_ms < 0:
        return "ts_ms: must be UTC milliseconds"
    for key, pattern in (("nonce", _NONCE), ("signature", _SIGNATURE)):
        if not isinstance(body[key], str) or not pattern.fullmatch(body[key]):
            return f"{key}: must look like {pattern.pattern}"
    # Whole numbers only: no two languages write all others alike.
    if not isinstance(args, dict) or not all(
        isinstance(value, str) or type(value) is int for value in args.values()
    ):
        return "args: must be an object of texts and whole numbers"
    return ""


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says a key twice: two readers would read two different ones."""
    found = list(pairs)
    if len({key for key, _ in found}) != len(found):
        message = "a key stands there twice"
        raise ValueError(message)
    return dict(found)


def _no_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)
