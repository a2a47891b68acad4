"""A strategy, the daemon and a venue: what is asked for is done once, and nothing past a limit."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.client import Approval, AsyncClient, GatewayAwayError, GatewayRefusedError
from tests.scenarios.daemon import Daemon, guarded
from tests.scenarios.seats import BTC, BYBIT_FIRST, ETH, OKX, Seat, Venue, nightly

TOKENS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("grid", "trend")}
GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}
FREE = {"max_trade": "off", "max_trade_risk": "off", "price_collar": 0.03}


@asynccontextmanager
async def gateway(
    folder: Path, seat: Seat, **sections: Any
) -> AsyncIterator[tuple[Daemon, AsyncClient]]:
    """Start the daemon before one account, and a client of the strategy `grid`."""
    # What strategies ask for may raise a position: the seat's own nevers are about riskbot's.
    seat.is_hedging = True
    strategies = {name: {"token": TOKENS[name], "accounts": ["main"]} for name in ("grid", "trend")}
    async with guarded(
        folder,
        seat,
        limits=GROSS,
        portfolio={"orders": FREE},
        gateway={"strategies": strategies},
        **sections,
    ) as daemon:
        socket = f"unix:{daemon.state_dir / 'gateway.sock'}"
        async with AsyncClient(TOKENS["grid"], socket) as client:
            yield daemon, client


def allowing(venue: Venue, **fields: Any) -> Seat:
    return Seat(venue, instruments=[BTC, ETH], **fields)


# The same at Binance, by the OpenAPI document alone: test_live_contract.py.
@pytest.mark.parametrize("venue", [*BYBIT_FIRST, nightly(OKX)], ids=str)
async def test_strategy_places_is_resized_denied_stopped_and_exits(
    venue: Venue, tmp_path: Path
) -> None:
    seat = allowing(venue)
    async with gateway(tmp_path, seat) as (daemon, client):
        mark = seat.mark(BTC)
        most = Decimal(100_000) / mark + Decimal("0.00004")
        placed = await client.submit("main", BTC, "buy", "0.5")
        assert placed.decision == "approve", placed
        await daemon.until(lambda: seat.held(BTC) == Decimal("0.5"), "bought")
        denied = await client.submit("main", BTC, "buy", most)
        assert (denied.decision, denied.codes) == ("deny", ("QUANTITY_STEP", "LIMIT_EXCEEDED"))
        resized = await client.submit("main", BTC, "buy", most, allow_resize=True)
        assert resized.decision == "resize"
        await daemon.until(lambda: seat.held(BTC) > Decimal("0.5"), "bought more")
        assert seat.held(BTC) * seat.mark(BTC) <= 100_000
        worth = float(seat.held(BTC) * seat.mark(BTC))
        await daemon.until_status(
            lambda s: abs((s["accounts"]["main"]["gross_usd"] or 0) - worth) < 20, "all of it seen"
        )
        await daemon.ctl("halt", "--reason", "lunch")
        stopped = await client.submit("main", ETH, "buy", "0.1")
        assert "TRADING_STATE" in stopped.codes
        exit_ = await client.submit("main", BTC, "sell", seat.held(BTC), reduce_only=True)
        assert exit_.decision == "approve", exit_
        await daemon.until(seat.is_flat, "flat")
        kinds = await daemon.decisions()
        assert {"approve", "deny", "resize", "halt"} <= set(kinds)


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_lost_reply_and_a_kill_leave_one_order(venue: Venue, tmp_path: Path) -> None:
    seat = allowing(venue)
    async with gateway(tmp_path, seat) as (daemon, client):
        price = (seat.mark(BTC) * Decimal("0.98")).quantize(Decimal(1))
        seat.strike("reply_lost", 1, match={"method": "POST"})
        asked = {"account": "main", "instrument": BTC, "side": "buy", "quantity": "1"}
        await client.submit(**asked, price=price, client_order_id="one")
        await daemon.until(lambda: len(seat.resting()) == 1, "rests")
        await daemon.restart()
        again = await until_answered(client, asked, price)
        assert again.order is not None
        await daemon.calm(3)
        order = await client.order("one")
        assert order["status"] == "open"
        assert len(seat.resting()) == 1
        full = await client.check("main", BTC, "buy", Decimal(100_000) / seat.mark(BTC))
        assert "LIMIT_EXCEEDED" in full.codes
        await client.amend("one", price=price - 100)
        await daemon.until(lambda: _prices(seat) == {price - 100}, "amended")
        await client.cancel("one")
        await daemon.until(lambda: not seat.resting(), "canceled")


async def until_answered(client: AsyncClient, asked: dict[str, Any], price: Decimal) -> Approval:
    """Ask again until the daemon that has just started answers."""
    while True:
        try:
            return await client.submit(**asked, price=price, client_order_id="one")
        except (GatewayAwayError, GatewayRefusedError):
            await asyncio.sleep(0.1)


def _prices(seat: Seat) -> set[Decimal | None]:
    return {o.price for o in seat.ledger.orders.values() if o.id in seat.resting()}
