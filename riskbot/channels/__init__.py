"""Every channel, and which of them a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from riskbot.channels._base import Channel
from riskbot.channels.apprise import AppriseChannel
from riskbot.channels.log import LogChannel
from riskbot.channels.mqtt import Broker, MqttChannel
from riskbot.channels.webhook import WebhookChannel
from riskbot.clock import Clock
from riskbot.core import actions
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import PORTFOLIO, Level


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


class _Notify(Protocol):
    @property
    def url(self) -> _Secret | None: ...
    @property
    def min_level(self) -> str: ...
    @property
    def digest(self) -> bool: ...


class _Webhook(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def secret(self) -> _Secret | None: ...


class ChannelsConfig(Protocol):
    """What of the configuration (`Config.root`) concerns channels."""

    @property
    def instance(self) -> str:
        """Name of this riskbot."""
        ...

    @property
    def notify(self) -> Sequence[_Notify]:
        """One apprise URL each."""
        ...

    @property
    def webhooks(self) -> Sequence[_Webhook]:
        """One URL each."""
        ...


def build(
    config: ChannelsConfig, clock: Clock, *more: Channel, broker: Broker | None = None
) -> list[Channel]:
    """Return the channels of a configuration: the log always, then `more` (the Telegram door).

    Args:
        config: what is asked for.
        clock: for timestamps.
        more: channels that are doors as well.
        broker: the MQTT connection, None = there is none.
    """
    channels: list[Channel] = [LogChannel(), *more]
    if broker is not None:
        channels.append(MqttChannel(broker, config.instance))
    channels += [
        AppriseChannel(
            _numbered("notify", number),
            entry.url.get_secret_value,
            Level(entry.min_level),
            takes_digest=entry.digest,
        )
        for number, entry in enumerate(config.notify, 1)
        if entry.url is not None
    ]
    channels += [
        WebhookChannel(
            _numbered("webhook", number),
            entry.url,
            entry.secret.get_secret_value if entry.secret is not None else None,
            config.instance,
            clock,
        )
        for number, entry in enumerate(config.webhooks, 1)
    ]
    return channels


def _numbered(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


def shout(text: str, now_ms: int) -> actions.SendAlert:
    """Return words for every channel when the engine itself cannot speak: a bug."""
    alert = Alert(
        alert_id="A0",
        revision=now_ms,
        level=Level.RED,
        status=AlertStatus.FIRING,
        name="engine_fault",
        scope=PORTFOLIO,
        title=text,
        text="",
        since_ms=now_ms,
        updated_ms=now_ms,
    )
    return actions.SendAlert(alert=alert)
