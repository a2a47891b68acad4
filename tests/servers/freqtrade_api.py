"""A freqtrade bot's API server, as its documentation describes it, of three generations.

2025.3 and later: `stopentry` (`stopbuy`, `pause`) pauses the trader, and starts a stopped one,
paused; `start` ends a pause. 2022.5 to 2025.2: it sets `max_open_trades` to 0 until
`reload_config`. Before: the same, as `stopbuy` alone. Unknown POST routes answer 405, because the
user interface takes every GET.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

NEW, MIDDLE, OLD = "2026.8", "2024.11", "2021.9"
USER, PASSWORD = "riskbot", "sësame"

_ROUTES = {
    NEW: {"start", "stop", "reload_config", "stopentry", "stopbuy", "pause"},
    MIDDLE: {"start", "stop", "reload_config", "stopentry", "stopbuy"},
    OLD: {"start", "stop", "reload_config", "stopbuy"},
}


@dataclass
class Bot:
    """One bot.

    Attributes:
        state: `running`, `paused`, `stopped`, `reload_config`.
        initial_state: what it is in after a start or a reload.
        cap: `max_open_trades` of its configuration file.
        fault: "" | "hang" | "error" (500) | "lost" (done, but the reply is lost).
        is_deaf: takes `stopentry` and `start`, and does nothing.
        asked: routes that were called, in order, but for looks and tokens.
        logins, refreshes: tokens handed out.
    """

    version: str = NEW
    state: str = "running"
    initial_state: str = "running"
    cap: int = 3
    max_open_trades: int = 3
    password: str = PASSWORD
    fault: str = ""
    is_deaf: bool = False
    asked: list[str] = field(default_factory=list)
    looks: int = 0
    logins: int = 0
    refreshes: int = 0
    port: int = 0
    _valid: set[str] = field(default_factory=set)
    _refreshing: set[str] = field(default_factory=set)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def takes_entries(self) -> bool:
        return self.state == "running" and self.max_open_trades != 0

    # ------------------------------------------------------------ the process

    async def start(self) -> None:
        """Come up; on the port it had before, and with all that a restart forgets."""
        app = web.Application()
        app.router.add_route("*", "/api/v1/{name:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def restarted(self) -> None:
        """Forget what a restart forgets."""
        self.state, self.max_open_trades = self.initial_state, self.cap

    def expire(self, *, refresh_too: bool = False) -> None:
        """Let the access tokens run out."""
        self._valid.clear()
        if refresh_too:
            self._refreshing.clear()

    # ------------------------------------------------------------ requests

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self.fault == "hang":
            await asyncio.sleep(3_600)
        if self.fault == "error":
            return web.json_response({"error": "Error querying"}, status=500)
        if name.startswith("token/"):
            return self._token(request, name)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._valid:
            return web.json_response({"detail": "Unauthorized"}, status=401)
        if request.method == "GET" and name == "show_config":
            self.looks += 1
            return web.json_response(self._config())
        if request.method != "POST" or name not in _ROUTES.get(self.version, set()):
            return web.json_response({"detail": "Method Not Allowed"}, status=405)
        self.asked.append(name)
        answer = self._do(name)
        if self.fault == "lost":
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"status": answer})

    def _token(self, request: web.Request, name: str) -> web.Response:
        header = request.headers.get("Authorization", "")
        if name == "token/refresh":
            if header.removeprefix("Bearer ") not in self._refreshing:
                return web.json_response({"detail": "Could not validate"}, status=401)
            self.refreshes += 1
            access = f"access-r{self.refreshes}"
            self._valid.add(access)
            return web.json_response({"access_token": access})
        wanted = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if header != f"Basic {wanted}":
            return web.json_response({"detail": "Incorrect username or password"}, status=401)
        self.logins += 1
        access, refresh = f"access-{self.logins}", f"refresh-{self.logins}"
        self._valid.add(access)
        self._refreshing.add(refresh)
        return web.json_response({"access_token": access, "refresh_token": refresh})

    def _config(self) -> dict[str, Any]:
        shown = {
            "version": self.version,
            "dry_run": True,
            "max_open_trades": self.max_open_trades,
            "state": self.state,
            "bot_name": "freqtrade",
        }
        if self.state == "reload_config":
            # The loop takes it up a moment later.
            self.restarted()
        return shown

    def _do(self, name: str) -> str:
        if name == "start":
            if self.state == "running":
                return "already running"
            self.state = self.state if self.is_deaf else "running"
            return "starting trader ..."
        if name == "stop":
            self.state = "stopped"
            return "stopping trader ..."
        if name == "reload_config":
            self.state = "reload_config"
            return "Reloading config ..."
        if self.is_deaf:
            return "paused, no more entries will occur from now. Run /start to enable entries."
        if self.version == NEW:
            self.state = "paused"
            return "paused, no more entries will occur from now. Run /start to enable entries."
        self.max_open_trades = 0
        return "No more entries will occur from now. Run /reload_config to reset."
