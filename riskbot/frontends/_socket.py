"""Unix sockets of mode 0600 and lines of JSON over them, for doors that a process connects to."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LINE_MAX = 4 * 2**20
"""Longest line, bytes: a status of a thousand positions fits."""

BACKLOG_MAX = 16 * 2**20
"""Bytes a peer may leave unread before it counts as hung."""

# A unix socket's path fits 108 bytes; longer ones are reached through the open directory.
_PATH_MAX = 100


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield an address for a socket's path, however long the path is."""
    if len(os.fsencode(path)) <= _PATH_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def bind(path: Path) -> socket.socket:
    """Return a socket bound to a path that only this user may open.

    The state directory is this riskbot's alone, so a socket found there was left behind.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as address:
            path.unlink(missing_ok=True)
            # Nobody else may connect in the moment before a chmod.
            before = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(before)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """Return who is at the other end, as the kernel knows it."""
    return peer_uid_of(writer.get_extra_info("socket"))


def peer_uid_of(peer: socket.socket) -> int:
    """Return who is at the other end of a unix socket."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


class Line:
    """Documents over one connection, one line each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, document: Mapping[str, Any]) -> None:
        """Queue a document for the peer. Never waits.

        Raises:
            ConnectionError: the peer is gone, or has read nothing for long.
        """
        if self._writer.transport.get_write_buffer_size() > BACKLOG_MAX:
            self._writer.transport.abort()
        if self._writer.is_closing():
            message = "the peer is gone"
            raise ConnectionError(message)
        self._writer.write(json.dumps(finite(document), allow_nan=False).encode() + b"\n")

    async def receive(self) -> dict[str, Any] | None:
        """Return the next document, None when the peer is gone. What is no document is skipped."""
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return None
            with suppress(ValueError, RecursionError):
                document = json.loads(line)
                if isinstance(document, dict):
                    return document

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def finite(value: Any) -> Any:
    """Replace what JSON has no word for: an infinite ratio (equity <= 0) is not known."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
