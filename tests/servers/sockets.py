"""One websocket of a protocol server: an ordered outbox, pings, and planted faults on frames.

What is sent to whom is decided by the servers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import WSMsgType, web

from tests.servers.faults import Faults

GARBAGE = '{"e": "24hrTicker", "s": "BTC'


class Connection:
    """An accepted websocket.

    Attributes:
        kind: market or user; servers set it, faults look at it.
        api_key: account of a private socket, empty for public ones.
        subscriptions: stream or topic names.
        state: whatever the server wants to remember of it.
    """

    def __init__(self, socket: web.WebSocketResponse, http: web.Request, faults: Faults) -> None:
        self.socket = socket
        self.path = http.path
        self.kind = "market"
        self.api_key = ""
        self.subscriptions: set[str] = set()
        self.state: dict[str, Any] = {}
        self._transport = http.transport
        self._faults = faults
        self._outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._held: list[str] = []
        self._is_dripping = False

    @property
    def is_silent(self) -> bool:
        """Whether a planted fault keeps this socket from saying anything, pongs included."""
        if self._is_dripping or self._faults.peek("sockets_silent") is not None:
            return True
        return self.kind == "market" and self._faults.peek("market_silent") is not None

    def push(self, payload: Any, *, event: str = "", is_event: bool = True) -> None:
        """Queue a frame: JSON for anything but str; replies to requests pass is_event=False."""
        text = payload if isinstance(payload, str) else json.dumps(payload, default=str)
        context = {"socket": self.kind, "event": event, "api_key": self.api_key}
        if self._faults.take("frame_undecodable", **context):
            self._outbox.put_nowait(GARBAGE)
        if self._faults.take("frame_unknown", **context):
            self._outbox.put_nowait('{"e":"SOMETHING_NEW","E":1,"op":"new","topic":"new.thing"}')
        if not is_event or self.kind != "user":
            self._outbox.put_nowait(text)
            return
        for frame in self._through_faults(text, context):
            self._outbox.put_nowait(frame)

    def _through_faults(self, text: str, context: dict[str, Any]) -> list[str]:
        if self._faults.peek("user_silent", **context) is not None:
            self._faults.take("user_silent", **context)
            return []
        if self._faults.take("frame_dropped", **context):
            return []
        if self._faults.take("frame_reordered", **context):
            self._held.append(text)
            return []
        delayed = self._faults.take("frame_delayed", **context)
        if delayed is not None:
            loop = asyncio.get_running_loop()
            seconds = float(delayed.params.get("seconds", 1))
            loop.call_later(seconds, self._outbox.put_nowait, text)
            return []
        frames = [text, *self._held]
        self._held.clear()
        if self._faults.take("frame_duplicated", **context):
            frames.insert(0, text)
        return frames

    async def write(self) -> None:
        """Send queued frames in order until the socket closes; the server runs it."""
        while not self.socket.closed:
            frame = await self._outbox.get()
            if frame is None:
                return
            if self.is_silent:
                continue
            try:
                dripped = self._faults.peek("frames_dripped", socket=self.kind)
                if dripped is not None and isinstance(frame, str):
                    await self._drip(frame.encode(), float(dripped.params.get("seconds", 0.1)))
                elif isinstance(frame, bytes):
                    await self.socket.ping(frame)
                else:
                    await self.socket.send_str(frame)
            except ConnectionError:
                return

    async def _drip(self, payload: bytes, seconds: float) -> None:
        # A whole text frame (RFC 6455), but so slowly that nothing else fits in between.
        head = bytes([0x81, len(payload)])
        if len(payload) > 125:
            head = bytes([0x81, 126]) + len(payload).to_bytes(2, "big")
        self._is_dripping = True
        try:
            for byte in head + payload:
                if self._transport is None or self._transport.is_closing():
                    return
                self._transport.write(bytes([byte]))
                await asyncio.sleep(seconds)
        finally:
            self._is_dripping = False

    def ping(self, data: bytes = b"") -> None:
        """Queue a ping frame."""
        self._outbox.put_nowait(data)

    async def messages(self) -> AsyncIterator[str]:
        """Yield text frames as they come; answers pings; ends when the socket closes."""
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                yield message.data
            elif message.type is WSMsgType.PING and not self.is_silent:
                await self.socket.pong(message.data)

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Close with a close frame."""
        await self.socket.close(code=code)
