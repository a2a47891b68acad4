"""A real freqtrade, where one is installed: its configuration, its process, its own API.

`RISKBOT_FREQTRADE` names the executable, else it is looked for on the path. It trades at a protocol
server with a key of its own to the seat's account; nothing of it but URLs is changed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.frontends.http.stage import free_port
from tests.scenarios.seats import BTC, ETH, Seat

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "riskbot", "password-of-a-test"
KEY, SECRET = "key-of-freqtrade", "venue-secret-of-freqtrade"
PATIENCE_S = 60.0

EXECUTABLE = os.environ.get("RISKBOT_FREQTRADE") or shutil.which("freqtrade")
needs_freqtrade = pytest.mark.skipif(
    EXECUTABLE is None,
    reason="no freqtrade: install it in an environment of its own, RISKBOT_FREQTRADE=.../freqtrade",
)

PLAIN = """
from freqtrade.strategy import IStrategy


class Plain(IStrategy):
    timeframe = "1m"
    stoploss = -0.05
    minimal_roi = {"0": 10.0}
    can_short = True

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""


def strategy_of_the_howto() -> str:
    """Return the strategy that docs/howto-freqtrade.md shows."""
    text = (ROOT / "docs" / "howto-freqtrade.md").read_text()
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in found if "@gated" in block)


class Freqtrade:
    """One bot.

    Args:
        folder: of its configuration, data and log.
        seat: whose account it trades; the seat's venue must be Binance's.
        dry_run: it simulates its orders.
        source: of the strategy, whose class is the last one in it.
        config: further keys of its configuration, read at each start.
    """

    def __init__(
        self, folder: Path, seat: Seat, *, dry_run: bool, source: str, **config: Any
    ) -> None:
        self.folder, self.seat, self.port = folder, seat, free_port()
        self.strategy = re.findall(r"^class (\w+)", source, re.MULTILINE)[-1]
        self.log = folder / "freqtrade.log"
        self.process: asyncio.subprocess.Process | None = None
        strategies = folder / "user_data" / "strategies"
        strategies.mkdir(parents=True, exist_ok=True)
        (strategies / f"{self.strategy}.py").write_text(source)
        server = seat.server
        # Another key to the same account, as a bot has.
        server.ledgers[KEY], server.secrets[KEY] = seat.ledger, SECRET
        server.accounts[KEY] = server.accounts[seat.key]
        self._dry_run, self.config = dry_run, config

    @property
    def url(self) -> str:
        """Where its API listens."""
        return f"http://127.0.0.1:{self.port}"

    def _configured(self) -> dict[str, Any]:
        urls = self.seat.server.ccxt_config()["urls"]
        at_top = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
        return {
            "dry_run": self._dry_run,
            "dry_run_wallet": 100_000,
            "max_open_trades": 3,
            "stake_currency": "USDT",
            "stake_amount": 4_000,
            "trading_mode": "futures",
            "margin_mode": "cross",
            "dataformat_ohlcv": "json",
            "exchange": {
                "name": "binance",
                "key": KEY,
                "secret": SECRET,
                "enable_ws": False,
                "pair_whitelist": [BTC, ETH],
                # This venue has USD-M futures alone.
                "ccxt_config": {"urls": urls, "options": {"fetchMarkets": {"types": ["linear"]}}},
            },
            "entry_pricing": at_top,
            "exit_pricing": at_top,
            "pairlists": [{"method": "StaticPairList"}],
            "api_server": {
                "enabled": True,
                "listen_ip_address": "127.0.0.1",
                "listen_port": self.port,
                "jwt_secret_key": "secret-of-a-test-that-is-long-enough",
                "username": USER,
                "password": PASSWORD,
            },
            "initial_state": "running",
            "force_entry_enable": True,
            "internals": {"process_throttle_secs": 1},
        }

    # ------------------------------------------------------------ the process

    async def start(self) -> None:
        """Start it, and wait until it trades."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(self._configured() | self.config))
        words = ("trade", "--config", path, "--userdir", self.folder / "user_data")
        more = ("--strategy", self.strategy, "--db-url", f"sqlite:///{self.folder}/trades.sqlite")
        assert EXECUTABLE is not None
        with self.log.open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                EXECUTABLE,
                *map(str, words + more),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # The client is the checkout's; it needs nothing that freqtrade lacks.
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "1000"},
            )

    async def running(self) -> None:
        """Wait until it trades."""
        await self.until_state("running")

    async def stop(self) -> None:
        """End it as an operator does."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(self.process.wait(), 30)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()

    async def ended(self) -> None:
        """Wait until it has ended by itself."""
        assert self.process is not None
        await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    def said(self) -> str:
        """Return all that it wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # ------------------------------------------------------------ its API

    async def ask(self, method: str, name: str, **body: Any) -> tuple[int, Any]:
        """Return the status and the document of one request."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Basic {login}"}) as session,
            session.request(method, f"{self.url}/api/v1/{name}", json=body or None) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def state(self) -> str:
        """Return its state, empty while it does not answer."""
        try:
            return str((await self.ask("GET", "show_config"))[1].get("state", ""))
        except (aiohttp.ClientError, OSError):
            return ""

    async def until_state(self, wanted: str) -> None:
        """Wait until it says so of itself."""
        await self.until(lambda: self._is(wanted), wanted)

    async def _is(self, wanted: str) -> bool:
        return await self.state() == wanted

    async def until(self, condition: Any, what: str) -> None:
        """Wait until something awaitable holds."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not await condition():
            assert self.process is not None
            is_late = asyncio.get_running_loop().time() > deadline
            if self.process.returncode is not None or is_late:
                raise AssertionError(f"freqtrade: {what}\n{self.said()[-4_000:]}")
            await asyncio.sleep(0.2)

    async def enter(self, pair: str, stake: float, **fields: Any) -> tuple[int, Any]:
        """Ask it to enter, as its user would."""
        body = {"pair": pair, "side": "long", "stakeamount": stake, "ordertype": "limit"}
        return await self.ask("POST", "forceenter", **{**body, **fields})

    async def trades(self) -> dict[str, float]:
        """Return the amounts of its open trades by pair."""
        _, rows = await self.ask("GET", "status")
        return {row["pair"]: row["amount"] for row in rows}
