"""The client library as `link` uses it: what it keeps to itself, and what it leaves undone.

aiomqtt over paho. Nothing here decides what is sent, or whether to connect again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

KEEPALIVE_S = 15
"""The broker tells the last will when it has heard nothing for one and a half of these."""

ANSWER_S = 5.0
"""Longest wait for an answer of the broker; beyond it the connection counts as hung."""

INCOMING_MAX, PACKET_MAX = 100, 16_384
"""Messages that wait to be heard, and the largest packet the broker may send."""

WILL = b"0"

# Not authorized, topic name invalid, payload format invalid: reason codes of MQTT 5.
_FINAL = frozenset({0x87, 0x90, 0x99})

# What the library says of each lost socket is told by `link` in one line.
_log = logging.getLogger(__name__)
_log.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and who riskbot is there.

    Attributes:
        base: `<prefix>/<instance>`, before every topic.
        password: returns it; None = there is none.
        make_tls: returns the TLS context; reads files. None = no TLS.
    """

    host: str
    port: int
    base: str
    username: str | None = None
    password: Callable[[], str] | None = None
    make_tls: Callable[[], ssl.SSLContext] | None = None

    @property
    def client_id(self) -> str:
        """The same in every run: a new connection ends a dead one before its will is told."""
        return self.base.replace("/", "-")


class Client(aiomqtt.Client):
    """The library's client, and what it keeps to itself.

    Attributes:
        refusal: why the broker did not take the last message, empty = it did.
        is_final: the broker would not take it later either.
    """

    refusal = ""
    is_final = False

    @classmethod
    def to(cls, address: Address, tls: ssl.SSLContext | None) -> Self:
        """Return a client for one connection: nothing of an earlier one is sent again."""
        return cls(
            address.host.strip("[]"),
            address.port,
            username=address.username,
            password=address.password() if address.password is not None else None,
            identifier=address.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            will=aiomqtt.Will(f"{address.base}/online", WILL, 1, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            properties=properties(
                "CONNECT", MaximumPacketSize=PACKET_MAX, ReceiveMaximum=INCOMING_MAX
            ),
            tls_context=tls,
            max_queued_incoming_messages=INCOMING_MAX,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            logger=_log,
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._disconnected.add_done_callback(_look_at)
        return self

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        self.refusal = str(reason_code) if reason_code.is_failure else ""
        self.is_final = reason_code.value in _FINAL
        super()._on_publish(client, userdata, mid, reason_code, properties)

    async def post(
        self, topic: str, payload: bytes, *, retain: bool, more: Properties | None = None
    ) -> None:
        """Publish, and return when the broker has answered.

        Raises:
            MqttError: it has not, or the connection ended, which the library would sit out.
        """
        sending = asyncio.ensure_future(
            self.publish(topic, payload, 1, retain, more, timeout=self.timeout)
        )
        try:
            await asyncio.wait((sending, self._disconnected), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                message = "the connection ended"
                raise aiomqtt.MqttError(message)
            await sending
        finally:
            sending.cancel()

    def forget_quick_acks(self) -> None:
        """Acknowledge late, as at the other end of an idle connection: the self-test needs it."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket) and hasattr(socket, "TCP_QUICKACK"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    def hold_back(self, *, is_held: bool) -> None:
        """Let what is written meanwhile leave in one segment, once it is held no more."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket) and hasattr(socket, "TCP_CORK"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(is_held))

    def abort(self) -> None:
        """End the connection whatever the other end does, also one that was never complete.

        The library leaves the socket of an attempt that was not answered open; the loop closes
        one that was shut down as soon as it looks at it.
        """
        for future in (self._connected, self._disconnected):
            future.add_done_callback(_look_at)
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def properties(packet: str, **fields: Any) -> Properties:
    """Return properties of a packet (`PUBLISH`, `CONNECT`)."""
    make: Callable[[int], Properties] = Properties  # ships without types
    made = make(getattr(PacketTypes, packet))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _look_at(future: asyncio.Future[None]) -> None:
    """Take note of how it ended, lest the loop complains that nobody did."""
    if not future.cancelled():
        future.exception()
