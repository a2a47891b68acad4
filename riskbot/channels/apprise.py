"""Alerts through any URL that apprise knows (ntfy, e-mail, Slack, SMS, ...).

apprise and the plug-ins it loads block; all of it happens in a thread of its own, so that a hung
server delays nobody else, not even the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from riskbot.channels._words import body, headline, severity
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import DIGEST, Level
from riskbot.errors import ChannelError


class AppriseChannel:
    """One apprise URL.

    What was sent through it cannot be edited: it hears loud changes, first notices and ends.

    Args:
        name: of the channel, in events and notices.
        url: returns the URL; it holds secrets and is never shown.
        min_level: lowest level that is sent.
        takes_digest: the daily digest is sent, too.
    """

    def __init__(
        self,
        name: str,
        url: Callable[[], str],
        min_level: Level,
        *,
        takes_digest: bool = False,
    ) -> None:
        self.name = name
        self._url = url
        self._min_level = min_level
        self._takes_digest = takes_digest
        self._sender: Any = None
        self._thread: threading.Thread | None = None
        self._turn = asyncio.Lock()

    def set_level(self, min_level: Level, *, takes_digest: bool) -> None:
        """Send from another level on."""
        self._min_level, self._takes_digest = min_level, takes_digest

    def wants(self, alert: Alert, *, is_loud: bool) -> bool:
        """Return whether the alert is grave enough, and new enough to be worth a message."""
        if alert.name == DIGEST:
            return self._takes_digest
        is_news = is_loud or alert.revision == 1 or alert.status is AlertStatus.RESOLVED
        return is_news and severity(alert).rank >= self._min_level.rank

    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        """Send the alert.

        Raises:
            ChannelError: not taken, or the message before still hangs.
        """
        del is_loud
        async with self._turn:
            await self._send(alert)

    async def _send(self, alert: Alert) -> None:
        if self._thread is not None and self._thread.is_alive():
            raise ChannelError(_HANGS)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[str] = loop.create_future()

        def work() -> None:
            error = self._notify(alert)
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, result, error)

        # A daemon: a server that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=work, name=f"apprise-{self.name}", daemon=True)
        self._thread.start()
        if error := await result:
            raise ChannelError(error, is_permanent=error == _BAD_URL)

    def _notify(self, alert: Alert) -> str:
        """Send in the worker thread; return what went wrong, empty for nothing."""
        try:
            if self._sender is None:
                self._sender = _load(self._url())
            if self._sender is None:
                return _BAD_URL
            taken = self._sender.notify(
                title=headline(alert), body=body(alert), notify_type=_kind(alert)
            )
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            # Its own words may hold the URL.
            return f"{type(error).__name__} in the notification service"
        return "" if taken else "the notification service did not take it"

    async def close(self) -> None:
        """Let go; a thread that hangs dies with the process."""
        self._sender = None


_BAD_URL = "this is no URL that apprise knows"
_HANGS = "the message before is not through yet"


def _settle(result: asyncio.Future[str], error: str) -> None:
    if not result.done():
        result.set_result(error)


def _load(url: str) -> Any:
    import apprise

    # Its own log names URLs with their passwords.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    sender = apprise.Apprise()
    return sender if sender.add(url) else None


def _kind(alert: Alert) -> str:
    if alert.status is AlertStatus.RESOLVED:
        return "success"
    return {Level.RED: "failure", Level.OK: "info"}.get(alert.level, "warning")
