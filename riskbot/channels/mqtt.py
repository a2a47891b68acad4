"""Alerts over MQTT: published, not retained, to whoever listens at the broker.

The connection is the frontend's; both use the one that `app` opened.
"""

from __future__ import annotations

import json
from typing import Protocol

from riskbot.channels._words import document
from riskbot.core.duty import Alert

PATIENCE_S = 10.0
"""A broker that is restarted is waited for so long before an attempt counts as failed."""


class Broker(Protocol):
    """The connection, as far as alerts go."""

    base: str

    async def wait(self, seconds: float) -> None:
        """Return once connected, or after so many seconds."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish; ChannelError when the broker did not take it."""
        ...


class MqttChannel:
    """Publishes each alert and each change of it to `<prefix>/<instance>/alerts`.

    Args:
        broker: the connection.
        instance: named in each message.
    """

    name = "mqtt"

    def __init__(self, broker: Broker, instance: str) -> None:
        self._broker = broker
        self._instance = instance

    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        """Publish the alert, and return when the broker has it.

        Raises:
            ChannelError: no connection, no answer, or refused.
        """
        content = json.dumps(document(alert, self._instance, is_loud=is_loud)).encode()
        await self._broker.wait(PATIENCE_S)
        await self._broker.publish(f"{self._broker.base}/alerts", content)

    async def close(self) -> None:
        """Do nothing: the connection is not this channel's."""
