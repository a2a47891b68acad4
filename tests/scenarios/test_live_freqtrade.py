"""A real freqtrade, the daemon and a venue: told of halts, asking before it trades, found out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.config_files import secret
from tests.frontends.http.stage import free_port
from tests.scenarios.daemon import Daemon, alert_of, guarded
from tests.scenarios.freqtrade import (
    PASSWORD,
    PLAIN,
    USER,
    Freqtrade,
    needs_freqtrade,
    strategy_of_the_howto,
)
from tests.scenarios.seats import BINANCE, BTC, ETH, Seat

pytestmark = [pytest.mark.nightly, needs_freqtrade]

TOKEN = hashlib.sha256(b"grid").hexdigest()
GROSS = {"gross_exposure": {"max": 0.5, "on_breach": "deny"}}
ORDERS = {"orders": {"max_trade": 0.3, "max_trade_risk": "off"}}


def told(status: dict[str, Any]) -> dict[str, Any]:
    return next((row for row in status["told"] if row["name"] == "freqtrade"), {"confirmed": ""})


@asynccontextmanager
async def traded(
    folder: Path, seat: Seat, *, source: str, dry_run: bool
) -> AsyncIterator[tuple[Daemon, Freqtrade]]:
    """Start the daemon, and a freqtrade that it tells and that knows where to ask."""
    # What the bot opens and closes is the bot's; the seat's nevers are about riskbot's orders.
    seat.is_hedging = True
    listen = f"127.0.0.1:{free_port()}"
    asks = {"account": "main", "url": f"http://{listen}", "token_file": "grid.token"}
    bot = Freqtrade(folder / "bot", seat, dry_run=dry_run, source=source, riskbot=asks)
    (folder / "bot" / "user_data" / "grid.token").write_text(TOKEN)
    secret(folder, "freqtrade.password", PASSWORD)
    login = {"url": bot.url, "username": USER, "password_file": "freqtrade.password"}
    async with guarded(
        folder,
        seat,
        limits=GROSS,
        portfolio=ORDERS,
        http={"listen": listen},
        gateway={"strategies": {"grid": {"token": TOKEN, "accounts": ["main"]}}},
        strategies=[{"freqtrade": login}],
    ) as daemon:
        try:
            await bot.start()
            await bot.until_state("running")
            yield daemon, bot
        finally:
            await bot.stop()


async def obeys(daemon: Daemon, wanted: str) -> dict[str, Any]:
    """Wait until the status says that the bot was seen to obey."""
    return await daemon.until_status(
        lambda s: told(s)["confirmed"] == wanted and not told(s)["error"], f"bot: {wanted}"
    )


async def start_on_its_own(bot: Freqtrade) -> None:
    """Start the bot as somebody would who knows nothing of the halt."""
    await bot.ask("POST", "start")
    await bot.until_state("running")


async def test_bot_is_told_over_restarts_of_either_side(tmp_path: Path) -> None:
    seat = Seat(BINANCE, instruments=[BTC, ETH])
    async with traded(tmp_path, seat, source=PLAIN, dry_run=True) as (daemon, bot):
        await obeys(daemon, "ACTIVE")
        assert (await bot.enter(BTC, 4_000))[0] == 200
        # When somebody halts, the bot takes no entries any more.
        await daemon.ctl("halt", "--reason", "lunch")
        assert told(await obeys(daemon, "HALTED"))["detail"] == "paused"
        assert await bot.state() == "paused"
        assert (await bot.enter(ETH, 4_000))[0] != 200
        # When riskbot dies and comes back, it knows that it was itself.
        await daemon.restart()
        await obeys(daemon, "HALTED")
        # When the bot restarts, it has forgotten, and is told again.
        await bot.stop()
        await daemon.until_status(lambda s: told(s)["error"], "the bot is away")
        await bot.start()
        await bot.until_state("paused")
        await obeys(daemon, "HALTED")
        # And what it may do still is to close.
        assert (await bot.ask("POST", "forceexit", tradeid="all"))[0] == 200
        await bot.until(lambda: _holds(bot, set()), "closed")
        # When the halt ends, it is given back.
        await daemon.ctl("resume", "--yes")
        await obeys(daemon, "ACTIVE")
        assert await bot.state() == "running"
        assert (await bot.enter(ETH, 4_000))[0] == 200
        assert (await daemon.decisions()).count("approve") == 0


async def _holds(bot: Freqtrade, pairs: set[str]) -> bool:
    return set(await bot.trades()) == pairs


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry", "live"])
async def test_bot_asks_is_resized_denied_stopped_by_a_halt_and_exits(
    dry_run: bool, tmp_path: Path
) -> None:
    # On an account where everything must be asked for, the stops at the exchange excepted.
    seat = Seat(BINANCE, instruments=[BTC, ETH], exclusive=True)
    source = strategy_of_the_howto()
    async with traded(tmp_path, seat, source=source, dry_run=dry_run) as (daemon, bot):
        await obeys(daemon, "ACTIVE")
        # Given a trade that passes, and one that is too large.
        assert (await bot.enter(BTC, 4_000))[0] == 200
        assert (await bot.enter(ETH, 60_000))[0] == 200
        await bot.until(lambda: _amounts(bot, {BTC: (0.09, 0.1), ETH: (11.9, 12)}), "entered")
        assert "riskbot: a stake of" in bot.said()
        if not dry_run:
            await daemon.until(lambda: _stops(seat) == {"BTCUSDT", "ETHUSDT"}, "stops rest")
        # When a halt comes and somebody starts the bot all the same.
        await daemon.ctl("halt", "--reason", "lunch")
        await obeys(daemon, "HALTED")
        assert (await bot.ask("POST", "forceexit", tradeid="1"))[0] == 200
        await bot.until(lambda: _holds(bot, {ETH}), "one is closed")
        await start_on_its_own(bot)
        status, answer = await bot.enter(BTC, 4_000)
        # Then the gateway stands there, and exits pass.
        assert status != 200, answer
        assert (await bot.ask("POST", "forceexit", tradeid="2"))[0] == 200
        await bot.until(lambda: _holds(bot, set()), "all is closed")
        await daemon.until(lambda: seat.is_flat() and not seat.resting(), "flat at the venue")
        await daemon.calm(7)
        assert alert_of(await daemon.status(), "rogue_order") is None
        # And a bot that asks where nobody answers does not enter, but exits.
        await daemon.ctl("resume", "--yes")
        await obeys(daemon, "ACTIVE")
        assert (await bot.enter(BTC, 4_000))[0] == 200
        await bot.until(lambda: _amounts(bot, {BTC: (0.09, 0.1)}), "entered again")
        await daemon.kill()
        assert (await bot.enter(ETH, 4_000))[0] != 200
        assert (await bot.ask("POST", "forceexit", tradeid="3"))[0] == 200
        await bot.until(lambda: _holds(bot, set()), "closed without riskbot")
        assert seat.is_flat()
        assert "the gateway is away" in bot.said()
        assert bot.process is not None
        assert bot.process.returncode is None
        await daemon.start()
        await daemon.ready()


def _stops(seat: Seat) -> set[str]:
    orders = seat.ledger.orders.values()
    return {o.instrument for o in orders if o.conditional and o.id in seat.resting()}


async def _amounts(bot: Freqtrade, wanted: dict[str, tuple[float, float]]) -> bool:
    held = await bot.trades()
    return set(held) == set(wanted) and all(
        low <= held[pair] < high for pair, (low, high) in wanted.items()
    )


async def test_triggered_stop_of_the_bot_is_no_rogue(tmp_path: Path) -> None:
    seat = Seat(BINANCE, instruments=[BTC, ETH], exclusive=True)
    source = strategy_of_the_howto()
    async with traded(tmp_path, seat, source=source, dry_run=False) as (daemon, bot):
        assert (await bot.enter(BTC, 4_000))[0] == 200
        await daemon.until(lambda: seat.resting() and seat.held(BTC) > 0, "the stop rests")
        await daemon.calm(7)
        for price in (39_000, 38_300, 37_900):
            seat.move(BTC=price)
            await asyncio.sleep(0.5)
        await daemon.until(seat.is_flat, "stopped out")
        await daemon.calm(7)
        assert alert_of(await daemon.status(), "rogue_order") is None
        assert "rogue" not in await daemon.decisions()


async def test_bot_that_does_not_ask_is_found_out(tmp_path: Path) -> None:
    seat = Seat(BINANCE, instruments=[BTC, ETH], exclusive=True, cancel_rogue=True)
    async with traded(tmp_path, seat, source=PLAIN, dry_run=False) as (daemon, bot):
        assert (await bot.enter(BTC, 4_000))[0] == 200
        await daemon.until(lambda: seat.held(BTC) > Decimal("0.09"), "bought unasked")
        status = await daemon.until_status(lambda s: alert_of(s, "rogue_order"), "found out")
        assert status["trading_state"] == "ACTIVE"


async def test_bot_without_its_section_does_not_start(tmp_path: Path) -> None:
    seat = Seat(BINANCE, instruments=[BTC])
    await seat.open()
    try:
        source = strategy_of_the_howto()
        bot = Freqtrade(tmp_path, seat, dry_run=True, source=source)
        await bot.start()
        await bot.ended()
        assert "in the bot's configuration takes account" in bot.said()
    finally:
        await bot.stop()
        await seat.close()
