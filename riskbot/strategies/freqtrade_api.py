"""A freqtrade bot's REST API: tokens, requests, and what `show_config` says. Decides nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from riskbot.errors import StrategyError

TIMEOUT_S = 5.0
"""For one request."""

ANSWER_MAX = 1_000_000
"""Bytes of an answer that are read; `show_config` has some thousand."""

RUNNING, PAUSED, STOPPED = "running", "paused", "stopped"
STATES = frozenset({RUNNING, PAUSED, STOPPED})
"""What a bot says of itself; `reload_config` passes by itself."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a bot stands.

    Attributes:
        state: one of `STATES`.
        is_capped: it may hold no trade, as a version before 2025.3 that was told to stop entries.
    """

    state: str
    is_capped: bool

    @property
    def takes_entries(self) -> bool:
        """Whether it may open positions."""
        return self.state == RUNNING and not self.is_capped


class MissingRouteError(StrategyError):
    """This version of freqtrade has no such route."""


class Api:
    """Requests to one bot.

    Args:
        url: of its API server, with or without `/api/v1`.
        username, password: it is logged in with.
        timeout_s: for one request.
    """

    def __init__(
        self, url: str, username: str, password: str, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        whole = url.rstrip("/")
        self._base = URL(whole if whole.endswith("/api/v1") else f"{whole}/api/v1")
        self._login = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._access = self._refresh = ""

    async def show(self) -> Shown:
        """Return how the bot stands.

        Raises:
            StrategyError: no answer, or none that says it.
        """
        answer = await self._call("GET", "show_config")
        state, trades = answer.get("state"), answer.get("max_open_trades")
        if state not in STATES:
            # While it starts or reloads; without a trader (`webserver`) there is none.
            message = f"{self._base.host}: the bot is neither running nor stopped"
            raise StrategyError(message)
        return Shown(str(state), trades == 0)

    async def post(self, name: str) -> None:
        """Call a route that changes something.

        Raises:
            MissingRouteError: it has no such route.
            StrategyError: refused, or no answer.
        """
        await self._call("POST", name)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ------------------------------------------------------------ tokens

    async def _call(self, method: str, name: str) -> dict[str, Any]:
        if not self._access:
            await self._log_in()
        status, answer = await self._send(method, name, self._bearer(self._access))
        if status == HTTPStatus.UNAUTHORIZED:
            await self._renew()
            status, answer = await self._send(method, name, self._bearer(self._access))
        self._judge(status, name)
        return answer

    async def _renew(self) -> None:
        """Get another access token; its life is a quarter of an hour."""
        self._access = ""
        bearer = self._bearer(self._refresh)
        status, answer = await self._send("POST", "token/refresh", bearer)
        if status == HTTPStatus.OK and answer.get("access_token"):
            self._access = str(answer["access_token"])
        else:
            await self._log_in()

    async def _log_in(self) -> None:
        headers = {"Authorization": f"Basic {self._login}"}
        status, answer = await self._send("POST", "token/login", headers)
        self._judge(status, "token/login")
        access, refresh = answer.get("access_token"), answer.get("refresh_token")
        if not access:
            message = f"{self._base.host}: a login that gives no token: is this freqtrade?"
            raise StrategyError(message)
        self._access, self._refresh = str(access), str(refresh or "")

    def _bearer(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    # ------------------------------------------------------------ requests

    def _judge(self, status: int, name: str) -> None:
        if status == HTTPStatus.OK:
            return
        message = f"{self._base.host}: HTTP {status} for {name}"
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            self._access = ""
            words = f"{self._base.host}: refuses username and password"
            raise StrategyError(words, is_permanent=True)
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
            raise MissingRouteError(message)
        raise StrategyError(message)

    async def _send(
        self, method: str, name: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                method, self._base / name, headers=headers, allow_redirects=False
            ) as reply:
                return reply.status, _object(await reply.content.read(ANSWER_MAX))
        except TimeoutError as error:
            message = f"{self._base.host}: no answer in time"
            raise StrategyError(message, is_ambiguous=True) from error
        except aiohttp.ClientConnectorError as error:
            message = f"{self._base.host}: cannot be reached"
            raise StrategyError(message) from error
        except aiohttp.ClientError as error:
            message = f"{self._base.host}: {type(error).__name__}"
            raise StrategyError(message, is_ambiguous=True) from error


def _object(content: bytes) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
