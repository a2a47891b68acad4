"""`riskbot run` with a strategy at its HTTP door: placed, killed, halted, closed, each once."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from tests.frontends.http.stage import ORDER, free_port, token
from tests.scenarios.daemon import guarded
from tests.scenarios.seats import BINANCE, BTC, ETH, Seat


class Client:
    """A strategy that knows nothing but the contract."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session

    async def ask(self, method: str, path: str, who: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token(who)}"}
        async with self.session.request(
            method, self.url + path, headers=headers, json=body
        ) as answer:
            return answer.status, await answer.json()

    async def place(self, name: str, **fields: Any) -> dict[str, Any]:
        status, found = await self.ask(
            "POST", "/v1/orders", "grid", {**ORDER, "client_order_id": name, **fields}
        )
        assert status == 200, found
        document: dict[str, Any] = found
        return document

    async def until_status(self, name: str, wanted: str) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while True:
            _, order = await self.ask("GET", f"/v1/orders/{name}", "grid")
            if order.get("status") == wanted:
                found: dict[str, Any] = order
                return found
            assert time.monotonic() < deadline, order
            await asyncio.sleep(0.05)


async def test_orders_of_a_strategy_reach_the_venue_once_through_halt_and_crash(
    tmp_path: Path,
) -> None:
    http = {"listen": f"127.0.0.1:{free_port()}", "operator_token": token("operator")}
    gateway = {"strategies": {"grid": {"token": token("grid"), "accounts": ["main"]}}}
    orders = {"max_trade": "off", "max_trade_risk": "off"}
    seat = Seat(BINANCE)
    async with (
        guarded(tmp_path, seat, portfolio={"orders": orders}, http=http, gateway=gateway) as daemon,
        aiohttp.ClientSession() as session,
    ):
        client = Client(f"http://{http['listen']}", session)
        # Nobody holds it, and nothing of the configuration names it: it is watched from now on.
        answer = await client.place("first", quantity="0.1")
        assert answer["decision"] == "approve", answer["reasons"]
        await client.until_status("first", "filled")
        assert seat.held(BTC) == Decimal("0.1")
        other = await client.place("eth", instrument=ETH, quantity="1")
        assert other["decision"] == "approve", other["reasons"]
        await client.until_status("eth", "filled")
        denied = await client.place("nope", instrument="NOPE/USDT:USDT")
        assert [r["code"] for r in denied["reasons"]] == ["INSTRUMENT_UNKNOWN"]
        # Killed and started anew, it knows the order, and asked again it places nothing.
        await daemon.restart()
        assert (await client.place("first", quantity="0.1"))["order"]["status"] == "filled"
        status, halted = await client.ask("POST", "/v1/commands/halt", "operator", {"reason": "x"})
        assert (status, halted["ok"]) == (200, True)
        assert (await client.place("late"))["decision"] == "deny"
        closing = await client.place("out", side="sell", quantity="0.1", reduce_only=True)
        assert closing["decision"] == "approve", closing["reasons"]
        await client.until_status("out", "filled")
        assert seat.held(BTC) == 0
        assert len(seat.sent(BTC)) == 2
        # The venue's witness takes riskbot for one that only closes: two orders opened, as wanted.
        assert [fault.partition(" took ")[2][:3] for fault in seat.broken] == ["BTC", "ETH"]
        seat.broken.clear()
