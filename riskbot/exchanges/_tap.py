"""Listening in on ccxt.pro: the one file that leans on its client's internals.

A watch call returns only the item that woke it, and a frame that breaks its parser stops the
socket's read loop for good. So each client gets a guard around its parser, and what it decodes or
resolves is handed over as it comes, complete and in order. Where ccxt's layout has changed, the
plain watch loops of `_streams` still work, less completely.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import WSMsgType


class Tap(Protocol):
    """Who listens. No method may raise."""

    def opened(self, url: str) -> None:
        """Tell that a watch call uses the client of this URL."""
        ...

    def connected(self, url: str) -> None:
        """Take note that this socket is open."""
        ...

    def frame(self, url: str, message: Any) -> bool:
        """Take a decoded frame; True keeps it from ccxt's own parser."""
        ...

    def result(self, url: str, result: Any) -> bool:
        """Take what ccxt parsed; True keeps it from the waiting watch call."""
        ...

    def bad_frame(self, url: str, error: Exception) -> None:
        """Take note of a frame nobody could decode."""
        ...

    def pong(self, url: str) -> None:
        """Take note that the other end answers pings."""
        ...


class Ear(Protocol):
    """Who hears of every REST reply, and says what time it is."""

    def now_ms(self) -> int:
        """Return UTC ms by the clock that the venue's offset is measured with."""
        ...

    def replied(self, status: int, headers: Mapping[str, str], url: str) -> None:
        """Take note of a reply."""
        ...


def tapped(base: type[Any]) -> type[Any]:
    """Return a subclass of a ccxt.pro class that reports to `tap` and `ear` where they are set.

    Errors it raises carry `http_status`, `http_headers` and `http_body` of their reply.
    """
    return type(base.__name__, (_Heard, base), {"__module__": base.__module__})


class _Heard:
    # Mixed in before a ccxt.pro class; `super()` is that class.
    tap: Tap | None = None
    ear: Ear | None = None
    reply_headers: Mapping[str, str] = {}

    def milliseconds(self) -> int:
        # Requests are signed by the clock whose offset is known: the wall clock may be stepped.
        if self.ear is None:
            return int(super().milliseconds())  # type: ignore[misc]
        return self.ear.now_ms()

    def client(self, url: str) -> Any:
        client = super().client(url)  # type: ignore[misc]
        if self.tap is not None:
            _install(client, self.tap)
            self.tap.opened(url)
        return client

    def on_connected(self, client: Any, message: Any = None) -> None:
        super().on_connected(client, message)  # type: ignore[misc]
        if self.tap is not None:
            self.tap.connected(client.url)

    def on_rest_response(
        self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any
    ) -> Any:
        if self.ear is not None:
            self.ear.replied(code, headers, url)
        return super().on_rest_response(code, reason, url, method, headers, *rest)  # type: ignore[misc]

    def handle_errors(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any
    ) -> Any:
        # The next call is told no headers, and follows without an await in between.
        self.reply_headers = headers
        try:
            return super().handle_errors(  # type: ignore[misc]
                code, reason, url, method, headers, body, *rest
            )
        except Exception as error:
            _label(error, code, headers, body)
            raise

    def handle_http_status_code(
        self, code: int, reason: str, url: str, method: str, body: Any
    ) -> Any:
        try:
            return super().handle_http_status_code(code, reason, url, method, body)  # type: ignore[misc]
        except Exception as error:
            _label(error, code, self.reply_headers, body)
            raise


def _label(error: Exception, status: int, headers: Mapping[str, str], body: str) -> None:
    error.http_status = status  # type: ignore[attr-defined]
    error.http_headers = dict(headers)  # type: ignore[attr-defined]
    # ccxt words some errors anew and leaves out the code that the body states.
    error.http_body = body  # type: ignore[attr-defined]


def deafen(api: Any) -> None:
    """Take nothing more from an object that was replaced, while its sockets are being closed."""
    api.tap = None
    for client in (getattr(api, "clients", None) or {}).values():
        client.riskbot_tap = None


def _is_heard(client: Any, tap: Tap) -> bool:
    return getattr(client, "riskbot_tap", None) is tap


def _install(client: Any, tap: Tap) -> None:
    if getattr(client, "riskbot_tap", None) is tap:
        return
    client.riskbot_tap = tap
    _guard_decoding(client, tap)
    _guard_frames(client, tap)
    _hear_results(client, tap)


def _guard_decoding(client: Any, tap: Tap) -> None:
    decode = client.handle_text_or_binary_message
    handle = client.handle_message

    def guarded_decode(data: Any) -> None:
        try:
            decode(data)
        except Exception as error:  # noqa: BLE001 - whatever a frame holds, the loop must go on
            if _is_heard(client, tap):
                tap.bad_frame(client.url, error)

    def heard_message(message: Any) -> None:
        handle(message)
        if message.type is WSMsgType.PONG and _is_heard(client, tap):
            tap.pong(client.url)

    client.handle_text_or_binary_message = guarded_decode
    client.handle_message = heard_message


def _guard_frames(client: Any, tap: Tap) -> None:
    parse = client.on_message_callback

    def frame(source: Any, message: Any) -> None:
        if _is_heard(client, tap) and not tap.frame(client.url, message):
            parse(source, message)

    client.on_message_callback = frame


def _hear_results(client: Any, tap: Tap) -> None:
    resolve = client.resolve

    def heard(result: Any, message_hash: Any) -> Any:
        if not _is_heard(client, tap) or tap.result(client.url, result):
            return result
        return resolve(result, message_hash)

    client.resolve = heard
