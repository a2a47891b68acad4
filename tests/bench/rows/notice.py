"""How soon the first message of a red alert is with Telegram, from the moment it was decided."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from tests.bench.daemon import Daemon, configuration, daemon
from tests.bench.table import Row, bounded, figure, quantile
from tests.bench.venue import CASH, KEY, PRICE, venue
from tests.servers.ledger import Order
from tests.servers.telegram_api import TelegramServer

USER = 1001
GOAL_MS = 1_000.0
EVERY_S = 4.0
"""A private chat takes one message a second, and each breach makes an edit or two as well."""

SETTLE_S = 3.0
ACCOUNTS = 6
"""One breach each: a second one of the same limit would be the same message."""

LIMITS = {"gross_exposure": {"max": 0.5, "on_breach": "alert", "severity": "red"}}
MUCH = CASH / PRICE
"""Of equity, once: from nothing over the limit at one stroke."""


class Stamped(TelegramServer):
    """The Bot API server, with the wall's time of each message it was handed.

    Attributes:
        came_ms: UTC ms by text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.came_ms: list[tuple[float, str]] = []
        take = self.api.methods["sendmessage"]

        def stamped(params: dict[str, Any]) -> Any:
            self.came_ms.append((time.time() * 1000, str(params["text"])))
            return take(params)

        self.api.methods["sendmessage"] = stamped


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    taken: list[float] = []
    plain: list[float] = []
    for _ in range(1 if is_quick else 10):
        found, beside = asyncio.run(_measure())
        taken += found
        plain += beside
    beside_p50 = f"a bare aiohttp POST, p50 {figure(quantile(plain, 0.5))} ms"
    what = "a breach, from the decision to its first message at the Bot API server"
    return [
        Row(f"{what}, p50 of {len(taken)}", f"{figure(quantile(taken, 0.5))} ms", beside_p50),
        bounded(
            f"{what}, p99",
            quantile(taken, 0.99),
            GOAL_MS,
            "ms",
            f"the same, p99 {figure(quantile(plain, 0.99))} ms",
        ),
    ]


async def _measure() -> tuple[list[float], list[float]]:
    """Return ms that the first message of each account's breach took, and ms of bare posts."""
    server = Stamped()
    server.person(USER)
    await server.start()
    section = {"token": server.token, "api_base_url": server.url, "users": {USER: "admin"}}
    try:
        async with venue("binanceusdm", 1, ACCOUNTS) as at:
            keys = [KEY if not number else f"{KEY}{number}" for number in range(ACCOUNTS)]
            accounts = {
                f"desk-{number}": {**at.account(), "api_key": key, "limits": LIMITS}
                for number, key in enumerate(keys)
            }
            async with daemon(configuration(accounts, telegram=section)) as running:
                await running.until_guarding(90)
                await running.until(lambda: any("started" in text for _, text in server.came_ms))
                await asyncio.sleep(SETTLE_S)
                taken = []
                for number, key in enumerate(keys):
                    ledger = at.server.ledgers[key]
                    ledger.place(
                        Order(
                            instrument=at.names[0],
                            side="buy",
                            quantity=MUCH,
                            type="market",
                        )
                    )
                    taken.append(await _told(running, server, f"account:desk-{number}"))
                    await asyncio.sleep(EVERY_S)
                return taken, await _posts(server, ACCOUNTS)
    finally:
        await server.stop()


async def _told(running: Daemon, server: Stamped, scope: str) -> float:
    """Return ms from the decision that an account is in breach to the message at the server."""

    def came() -> list[float]:
        heads = ((ms, text) for ms, text in server.came_ms if "RED" in text.partition("\n")[0])
        return [ms for ms, text in heads if f"{scope}:" in text]

    await running.until(came)
    rows = (await running.ask("alerts"))["document"]
    (row,) = [r for r in rows if (r["scope"], r["limit"]) == (scope, "gross_exposure")]
    # What two sources must show first is not red at first sight: it is decided when it calls out.
    shown = (await running.ask("alerts", which=row["id"]))["document"]
    decided_ms = shown["message"]["loud_ms"]
    return came()[0] - float(decided_ms)


async def _posts(server: Stamped, rounds: int) -> list[float]:
    """Return ms from before a bare post to the arrival of its message at the server."""
    taken = []
    url = f"{server.url}/bot{server.token}/sendMessage"
    async with aiohttp.ClientSession() as session:
        for number in range(rounds):
            begun_ms = time.time() * 1000
            form = {"chat_id": str(USER), "text": f"message {number}"}
            async with session.post(url, data=form) as reply:
                await reply.read()
            taken.append(server.came_ms[-1][0] - begun_ms)
            await asyncio.sleep(0.01)
    return taken
