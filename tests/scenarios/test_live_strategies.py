"""Strategies that do not stop: what is opened past a halt is closed back, and named in the end."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.scenarios.daemon import DRAWDOWN, Daemon, alert_of, guarded
from tests.scenarios.seats import BINANCE_FIRST, BTC, BYBIT_FIRST, ETH, Seat, Venue, glide


async def flattened(daemon: Daemon, seat: Seat) -> int:
    """Let the market fall; return how many orders it took to be flat and halted."""
    await glide(seat, steps=3, BTC=34_000)
    await daemon.until(seat.is_flat, "flat")
    await daemon.halted()
    return len(seat.sent())


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_strategy_that_opens_again_is_closed_three_times_then_called_fighting(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a halt after a drawdown.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        before = await flattened(daemon, seat)
        # When the strategy buys again and again.
        for number in range(3):
            seat.trade(BTC, "0.5")
            await daemon.until(seat.is_flat, f"closed back, time {number + 1}")
            await daemon.until_status(lambda s: not s["intents"], "work ended")
        seat.trade(BTC, "0.5")
        # Then it is closed back three times, and the fourth time a person is called instead.
        status = await daemon.until_status(lambda s: alert_of(s, "strategy_fighting"), "named")
        await daemon.calm(2)
        again = seat.sent()[before:]
        assert len(again) == 3
        assert seat.held(BTC) == Decimal("0.5")
        alert = alert_of(status, "strategy_fighting")
        assert alert is not None
        assert alert["level"] == "red"
        assert status["trading_state"] == "HALTED"


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_entries_that_appear_during_the_halt_are_cancelled_and_exits_are_not(
    venue: Venue, tmp_path: Path
) -> None:
    # Given the operator's halt with a position kept.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await daemon.ctl("halt")
        # When a strategy places entries, plain and conditional, and an exit.
        limit = seat.trade(BTC, "0.5", price=38_000)
        breakout = seat.trade(ETH, "1", stop_price=2_700)
        profit = seat.trade(BTC, "-0.3", price=45_000, reduce_only=True)
        # Then the entries go and the exit stays.
        await daemon.until(lambda: not (limit.is_open or breakout.is_open), "cancelled")
        await daemon.calm(1)
        assert profit.is_open
        assert seat.held(BTC) == 1
        # And when it closes a part itself, that is the new measure of what may be held.
        seat.trade(BTC, "-0.6", reduce_only=True)
        await daemon.calm(2)
        seat.trade(BTC, "0.3")
        await daemon.until(lambda: seat.held(BTC) == Decimal("0.4"), "closed back to 0.4")


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_strategy_trading_during_the_flatten_ends_flat_too(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a strategy that buys the dip while riskbot closes.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    seat.hold(ETH, "-4")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await glide(seat, steps=3, BTC=34_000)
        await daemon.until(lambda: seat.sent(BTC), "the first order")
        seat.trade(BTC, "1")
        seat.trade(ETH, "2")
        # Then all of it is closed, and nothing past zero.
        await daemon.until(seat.is_flat, "flat")
        await daemon.halted()
        assert seat.is_flat()
