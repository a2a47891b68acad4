"""A strategy's message as it arrives: what it asks, where its answer may go, what proves it.

Whoever asks chooses the response topic; riskbot answers nowhere but below `/replies/<strategy>`, so
that nobody has it speak on its own topics, or on any other of the broker's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any, NamedTuple

from riskbot.frontends._gateway.refusal import malformed
from riskbot.frontends._gateway.signatures import Signed
from riskbot.frontends.mqtt.commands import Message

KINDS = ("check", "submit", "amend", "cancel")
"""What can be asked, each on `<base>/orders/<kind>`."""

_TOPIC_MAX, _CORRELATION_MAX = 200, 1_024


class Request(NamedTuple):
    """A message: what it asks, and where its answer goes."""

    kind: str
    topic: str
    payload: bytes
    answer_to: str
    owner: str
    correlation: bytes | None
    properties: Any

    @property
    def key(self) -> bytes:
        """The same for the same message."""
        parts = (self.topic.encode(), self.answer_to.encode(), self.correlation or b"")
        return hashlib.sha256(b"\0".join((*parts, self.payload))).digest()


class IgnoredError(Exception):
    """A message that is not answered; its text says why."""


def addressed(message: Message, base: str, strategies: Collection[str]) -> Request:
    """Return a message that can be answered.

    Args:
        message: as it came.
        base: `<prefix>/<instance>`.
        strategies: that are configured.

    Raises:
        IgnoredError: it cannot.
    """
    topic, more = str(message.topic), message.properties
    answer_to = str(getattr(more, "ResponseTopic", ""))
    owner, _, rest = answer_to.removeprefix(f"{base}/replies/").partition("/")
    correlation = getattr(more, "CorrelationData", None)
    if message.retain:
        reason = "a retained message is no request"
    elif not answer_to:
        reason = "there is no response topic"
    elif not answer_to.startswith(f"{base}/replies/") or owner not in strategies:
        reason = "the response topic is not below replies/<strategy>"
    elif len(answer_to) > _TOPIC_MAX or not rest.isprintable() or set(rest) & set("+#"):
        reason = "the response topic is none"
    elif len(correlation or b"") > _CORRELATION_MAX:
        reason = "the correlation data are too long"
    else:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        kind = topic.rpartition("/")[2]
        return Request(kind, topic, payload, answer_to, owner, correlation, more)
    raise IgnoredError(reason)


def signed(asked: Request) -> Signed:
    """Return what a message shows for itself: of each property the first."""
    said = dict(reversed(getattr(asked.properties, "UserProperty", None) or []))
    return Signed(
        method="PUBLISH",
        path=asked.topic,
        body=asked.payload,
        ts=said.get("timestamp", ""),
        nonce=said.get("nonce", ""),
        signature=said.get("signature", ""),
    )


def named(asked: Request, raw: dict[str, Any]) -> dict[str, Any]:
    """Return an order with an id: one that came twice must be known again, also after a restart.

    Raises:
        RefusalError: there is nothing to know it by.
    """
    if raw.get("client_order_id") is not None:
        return raw
    if not asked.correlation:
        message = "client_order_id: is missing: give one, or correlation data"
        raise malformed(message, "client_order_id")
    said = json.dumps(raw, sort_keys=True, default=repr).encode()
    parts = (asked.kind.encode(), asked.correlation, said)
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return {**raw, "client_order_id": f"m{digest[:24]}"}
