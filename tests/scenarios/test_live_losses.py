"""Losses at the venues' protocols: the market falls, riskbot acts once and completely."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.daemon import DRAWDOWN, alert_of, guarded, limit_of
from tests.scenarios.seats import BTC, ETH, TWO, Seat, Venue, glide


@pytest.mark.parametrize("venue", TWO, ids=str)
async def test_drawdown_flattens_once_verified_and_stays_halted(
    venue: Venue, tmp_path: Path
) -> None:
    # Given an account long BTC and short ETH, with an entry, a conditional entry and a stop.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    seat.hold(ETH, "-4")
    entry = seat.trade(BTC, "0.5", price=32_000)
    breakout = seat.trade(BTC, "0.5", stop_price=48_000)
    stop = seat.trade(BTC, "-3", stop_price=30_000, reduce_only=True)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        assert (await daemon.status())["trading_state"] == "ACTIVE"
        # When the market falls by 15 %.
        await glide(seat, BTC=34_000)
        # Then the account is flat, each instrument closed by one order.
        await daemon.until(daemon.is_flat, "flat")
        status = await daemon.halted()
        assert [len(seat.sent(symbol)) for symbol in (BTC, ETH)] == [1, 1]
        assert not {entry.id, breakout.id} & seat.resting()
        # And the protective stop stood until then: it can only close, so nobody took it away.
        closed_ms = min(fill.time_ms for fill in seat.ledger.fills if fill.instrument == "BTCUSDT")
        assert stop.is_open or stop.updated_ms >= closed_ms
        # And it says so.
        assert [(h["limit"], h["latched"]) for h in status["holds"]] == [("drawdown", True)]
        assert limit_of(status, "drawdown")["level"] == "red"
        alert = alert_of(status, "drawdown")
        assert alert is not None
        assert alert["level"] == "red"
        # And the latch keeps, whatever the market does, also for another daemon.
        await glide(seat, BTC=41_000)
        await daemon.restart()
        status = await daemon.status()
        assert status["trading_state"] == "HALTED"
        assert [h["limit"] for h in status["holds"]] == ["drawdown"]
        assert len(seat.sent()) == 2
