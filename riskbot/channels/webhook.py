"""Documents posted to a URL as JSON, signed so that the receiver knows who speaks and when.

`X-Riskbot-Signature: sha256=<hex>` is the HMAC-SHA256 of `<X-Riskbot-Timestamp>.<body>` under
the configured secret; a receiver refuses what is unsigned or older than it likes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from riskbot.channels._words import document
from riskbot.clock import Clock
from riskbot.core.duty import Alert
from riskbot.errors import ChannelError

TIMEOUT_S = 10.0
SIGNATURE = "X-Riskbot-Signature"
TIMESTAMP = "X-Riskbot-Timestamp"

_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def signature(secret: str, timestamp: str, content: bytes) -> str:
    """Return the value of the signature header."""
    message = timestamp.encode() + b"." + content
    return "sha256=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


class WebhookChannel:
    """Posts each alert and each change of it.

    Args:
        name: of the channel, in events and notices.
        url: posted to; redirects are not followed, the signature is for this receiver.
        secret: returns the signing secret, None = unsigned.
        instance: named in each body.
        clock: for the timestamp.
        timeout_s: for one post.
    """

    def __init__(
        self,
        name: str,
        url: str,
        secret: Callable[[], str] | None,
        instance: str,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._url = URL(url)
        self._secret = secret
        self._instance = instance
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, alert: Alert, *, is_loud: bool) -> None:
        """Post the alert.

        Raises:
            ChannelError: refused, or not answered in time.
        """
        await self.post(document(alert, self._instance, is_loud=is_loud))

    async def post(self, content: Mapping[str, Any]) -> None:
        """Post a document, signed.

        Raises:
            ChannelError: refused, or not answered in time; the URL is not in the message, since
                people put tokens into it.
        """
        body = json.dumps(content).encode()
        timestamp = str(self._clock.now_ms() // 1000)
        headers = {"Content-Type": "application/json", TIMESTAMP: timestamp}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret(), timestamp, body)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as reply:
                _judge(reply)
        except TimeoutError as error:
            message = f"{self._url.host}: no answer in time"
            raise ChannelError(message) from error
        except aiohttp.ClientError as error:
            message = f"{self._url.host}: {type(error).__name__}"
            raise ChannelError(message) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _judge(reply: aiohttp.ClientResponse) -> None:
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    is_temporary = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in _AGAIN
    wait = reply.headers.get("Retry-After", "")
    message = f"{reply.url.host}: HTTP {reply.status}"
    raise ChannelError(
        message,
        is_permanent=not is_temporary,
        retry_after_ms=int(wait) * 1000 if wait.isascii() and wait.isdigit() else None,
    )
