"""The door's connections: how many there may be, whose they are, and who makes room for whom."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from riskbot.frontends._gateway.refusal import RefusalError

CONNECTIONS_MAX = 400
"""Connections of each address at once, so that the venues' sockets have theirs and whoever comes by
the other address is not shut out. For one more, one that showed no token is hung up on, the oldest
first; where all did, the new one is."""

STRATEGY_MAX, STRATEGIES_MAX = 256, 350
"""Connections of one strategy, and of all of them: the others are left to people and scripts."""

FIRST_S = 10.0
"""How long a connection may take to send its first request."""


class Places:
    """Connections of both addresses."""

    def __init__(self) -> None:
        self._silent: set[asyncio.BaseProtocol] = set()
        self._nameless: dict[web.RequestHandler, None] = {}
        self._held: dict[str, set[web.RequestHandler]] = {}

    def makes(self, runner: web.AppRunner, *, is_unix: bool) -> Callable[[], asyncio.BaseProtocol]:
        """Return what makes an address's connections: such as ask, and such as are hung up on."""
        server, loop = runner.server, asyncio.get_running_loop()
        assert server is not None  # noqa: S101 - the runner was set up

        def make() -> asyncio.BaseProtocol:
            open_now = server.connections
            if len(open_now) >= CONNECTIONS_MAX:
                here = sum(is_at_unix(each.transport) is is_unix for each in open_now)
                if here >= CONNECTIONS_MAX and not self._make_room(is_unix=is_unix):
                    return _HangUp()
            if len(self._nameless) > 2 * CONNECTIONS_MAX:
                self._nameless = {m: None for m in self._nameless if m.transport is not None}
            made = server()
            self._silent.add(made)
            self._nameless[made] = None
            loop.call_later(FIRST_S, self._drop_silent, made)
            return made

        return make

    def _make_room(self, *, is_unix: bool) -> bool:
        """Hang up on the oldest connection that showed no token; False = all of them did."""
        for each in list(self._nameless):
            transport = each.transport
            if transport is not None and is_at_unix(transport) is not is_unix:
                continue
            del self._nameless[each]
            if transport is not None:
                transport.abort()
                return True
        return False

    def _drop_silent(self, made: web.RequestHandler) -> None:
        if made in self._silent:
            self._silent.discard(made)
            if made.transport is not None:
                made.transport.abort()

    def heard(self, connection: web.RequestHandler) -> None:
        """Note that a connection has asked something."""
        self._silent.discard(connection)

    def take(self, connection: web.RequestHandler, strategy: str | None) -> None:
        """Count a connection that has shown a token.

        Raises:
            RefusalError: it is one too many of its strategy's.
        """
        self._nameless.pop(connection, None)
        if strategy is None:
            return
        mine = self._held.setdefault(strategy, set())
        if connection in mine:
            return
        if len(mine) >= STRATEGY_MAX or sum(map(len, self._held.values())) >= STRATEGIES_MAX:
            for name, held in self._held.items():
                self._held[name] = {each for each in held if each.transport is not None}
            mine = self._held[strategy]
        if len(mine) >= STRATEGY_MAX or sum(map(len, self._held.values())) >= STRATEGIES_MAX:
            message = f"too many connections, {STRATEGY_MAX} of a strategy at most"
            raise RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS,
                message,
                headers={"Connection": "close"},
                retry_after_s=1,
            )
        mine.add(connection)


class _HangUp(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


def socket_of(transport: asyncio.BaseTransport | None) -> socket.socket | None:
    """Return a connection's socket, None = it is gone."""
    return None if transport is None else transport.get_extra_info("socket")


def is_at_unix(transport: asyncio.BaseTransport | None) -> bool:
    """Whether somebody came by the unix socket."""
    found = socket_of(transport)
    return found is not None and found.family == socket.AF_UNIX
