"""Losses at the venues' protocols: the market falls, riskbot acts once and completely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.daemon import DRAWDOWN, alert_of, guarded, limit_of
from tests.scenarios.seats import (
    BINANCE,
    BINANCE_FIRST,
    BTC,
    BYBIT,
    BYBIT_FIRST,
    ETH,
    OKX,
    Seat,
    Venue,
    glide,
    nightly,
)

INVERSE = "BTC/USD:BTC"
DAILY = {"daily_loss": {"max": 0.03, "on_breach": "halt"}}


@pytest.mark.parametrize("venue", [BINANCE, nightly(BYBIT), OKX], ids=str)
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
        # And the protective stop stood until then: it can only close.
        closed_ms = min(f.time_ms for f in seat.ledger.fills if f.instrument == seat.id_of(BTC))
        assert stop.is_open or stop.updated_ms >= closed_ms
        # And once there is nothing left to protect, it is gone too.
        await daemon.until(lambda: stop.id not in seat.resting(), "the orphaned stop cancelled")
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


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_drawdown_in_hedge_mode_closes_both_sides_and_flips_none(
    venue: Venue, tmp_path: Path
) -> None:
    # Given both sides of one instrument, the long one larger.
    seat = Seat(venue, hedge_mode=True)
    seat.hold(BTC, "4", side="long")
    seat.hold(BTC, "-1", side="short")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When the market falls.
        await glide(seat, BTC=34_000)
        # Then each side is closed by an order of its own.
        await daemon.until(daemon.is_flat, "flat")
        await daemon.halted()
        fills = {(f.position_side, f.side) for f in seat.ledger.fills}
        assert fills == {("long", "sell"), ("short", "buy")}


async def test_drawdown_of_an_inverse_position_closes_its_face_value(tmp_path: Path) -> None:
    # Given coins as collateral and a long of 60,000 USD face value on top of them.
    seat = Seat(BYBIT, usdt="0", balance={"BTC": "2"}, markets=["linear", "inverse"])
    seat.hold(INVERSE, "60000")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        assert (await daemon.status())["equity_usd"] == pytest.approx(80_000, rel=1e-3)
        # When the coin falls: collateral and position lose together.
        await glide(seat, BTC=36_000)
        # Then the face value is closed, in slices of what the book shows; the coins stay, being
        # collateral.
        await daemon.until(seat.is_flat, "flat")
        await daemon.halted()
        assert sum(f.quantity for f in seat.ledger.fills) == 60_000
        assert len(seat.sent()) <= 9


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_daily_loss_halts_until_the_next_day_and_keeps_positions(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a long and a working entry.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    entry = seat.trade(BTC, "0.5", price=35_000)
    breakout = seat.trade(ETH, "1", stop_price=3_000)
    async with guarded(tmp_path, seat, limits=DAILY) as daemon:
        # When the day loses 3.5 %.
        await glide(seat, BTC=36_500)
        status = await daemon.halted()
        # Then entries are gone, the position stays, and the hold ends with the day.
        await daemon.until(lambda: not seat.resting(), "entries cancelled")
        assert not entry.is_open
        assert not breakout.is_open
        assert seat.held(BTC) == 1
        assert seat.sent() == []
        assert [(h["limit"], h["latched"]) for h in status["holds"]] == [("daily_loss", False)]
        assert status["holds"][0]["until_ms"] == next_midnight_ms(status["as_of_ms"])
        # And neither a recovery nor a restart ends it sooner.
        await glide(seat, BTC=41_000)
        await daemon.restart()
        after = await daemon.status()
        assert after["trading_state"] == "HALTED"
        assert after["holds"] == [{**status["holds"][0], "reason": after["holds"][0]["reason"]}]


@pytest.mark.nightly
@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_daily_loss_of_yesterday_halts_nobody_today(venue: Venue, tmp_path: Path) -> None:
    # Given a machine and a venue whose clocks stand half a minute before midnight.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    now_ms = seat.server.now_ms()
    ahead_s = (next_midnight_ms(now_ms) - now_ms) / 1000 - 30
    seat.strike("clock_skew", None, ms=round(ahead_s * 1000))
    path = Path(__file__).parent / "wallclock"
    async with guarded(tmp_path, seat, limits=DAILY, starts=False) as daemon:
        await daemon.start(PYTHONPATH=str(path), WALLCLOCK_AHEAD_S=str(ahead_s))
        await daemon.ready()
        # When the day loses more than its limit.
        await glide(seat, steps=3, BTC=36_500)
        status = await daemon.halted()
        until_ms = status["holds"][0]["until_ms"]
        assert until_ms - status["as_of_ms"] < 30_000
        # Then the hold ends with the day, not before, and the new day has lost nothing.
        status = await daemon.until_status(lambda s: not s["holds"], "released")
        assert status["as_of_ms"] >= until_ms
        assert status["trading_state"] == "ACTIVE"
        assert status["daily_loss"] < 0.001
        assert seat.sent() == []


def next_midnight_ms(now_ms: int) -> int:
    """Return the start of the next day, UTC."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return int((today + timedelta(days=1)).timestamp() * 1000)


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_first_contact_reports_a_standing_breach_and_waits(
    venue: Venue, tmp_path: Path
) -> None:
    # Given more exposure than the limit allows, before riskbot has ever run.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    limits = {"gross_exposure": {"max": 1.0, "on_breach": "reduce", "within_s": 60}}
    async with guarded(tmp_path, seat, limits=limits) as daemon:
        # Then it is told, entries are denied, and nothing is closed.
        status = await daemon.until_status(lambda s: s["holds"], "a hold")
        await daemon.calm(3)
        assert seat.sent() == []
        assert status["trading_state"] == "REDUCING"
        assert limit_of(status, "gross_exposure")["stage"] == "asking"
        # When the operator says so, the plan is carried out.
        answer = await daemon.ctl("reduce", "--yes")
        assert answer.code == 0, answer.err
        assert 0.85 < seat.gross() < 0.905
        assert len(seat.sent()) == 1


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_limit_tightened_below_the_present_measure_asks_first_then_is_armed(
    venue: Venue, tmp_path: Path
) -> None:
    # Given an account inside its limit.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    limits: dict[str, Any] = {"gross_exposure": {"max": 2.0, "on_breach": "reduce"}}
    async with guarded(tmp_path, seat, limits=limits) as daemon:
        # When the configuration is edited to less than what is held, and riskbot restarted.
        await daemon.stop()
        daemon.config["portfolio"]["limits"]["gross_exposure"]["max"] = 1.0
        daemon.write()
        await daemon.start()
        await daemon.ready()
        await daemon.until_status(lambda s: s["trading_state"] == "REDUCING", "denied")
        await daemon.calm(3)
        # Then it waits.
        assert seat.sent() == []
        # When it has cleared once and breaks anew, it acts.
        seat.trade(BTC, "-1", reduce_only=True)
        await daemon.until_status(
            lambda s: limit_of(s, "gross_exposure")["measured"] < 0.9, "cleared"
        )
        seat.trade(BTC, "1")
        await daemon.until(lambda: seat.gross() < 0.905, "reduced to target")
        assert len(seat.sent()) == 1


@pytest.mark.nightly
async def test_plain_restart_with_a_standing_halt_changes_nothing(tmp_path: Path) -> None:
    # Given a breach that was acted on, and a process that ends and starts three times.
    seat = Seat()
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await glide(seat, BTC=34_000)
        await daemon.halted()
        for _ in range(3):
            assert await daemon.stop() == 0
            await daemon.start()
            await daemon.ready()
        # Then one close was sent in all, and the hold has kept its beginning.
        status = await daemon.status()
        assert status["trading_state"] == "HALTED"
        assert len(seat.sent()) == 1


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_shadow_sends_nothing_says_what_it_would_do_and_obeys_the_operator(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a live account that is only watched.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    entry = seat.trade(BTC, "0.5", price=32_000)
    async with guarded(tmp_path, seat, limits=DRAWDOWN, mode="shadow") as daemon:
        # When it loses more than the limit.
        await glide(seat, BTC=34_000)
        status = await daemon.until_status(lambda s: s["would_be_state"] == "HALTED", "would halt")
        await daemon.calm(2)
        # Then nothing was sent, no order cancelled, and the record says what would have been.
        assert seat.sent() == []
        assert entry.is_open
        assert status["trading_state"] == "ACTIVE"
        assert [h["enforced"] for h in status["holds"]] == [False]
        assert "would_flatten" in await daemon.decisions()
        # When the operator flattens, it is done.
        answer = await daemon.ctl("flatten", "--yes")
        assert answer.code == 0, answer.err
        assert seat.is_flat()
        assert not entry.is_open
        assert (await daemon.status())["trading_state"] == "HALTED"


# ---------------------------------------------------------------- money that comes and goes


@pytest.mark.parametrize(
    ("venue", "usdt"),
    [
        (BINANCE, -40_000),
        (BYBIT, 60_000),
        nightly(BINANCE, 60_000),
        nightly(BYBIT, -40_000),
    ],
    ids=str,
)
async def test_deposit_or_withdrawal_is_no_drawdown_and_hides_none(
    venue: Venue, usdt: int, tmp_path: Path
) -> None:
    # Given an account that has lost 6 %.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await glide(seat, BTC=38_000)
        await daemon.until_status(lambda s: abs(s["drawdown"] - 0.06) < 0.003, "6 % down")
        # When money moves.
        if usdt > 0:
            seat.ledger.deposit("USDT", Decimal(usdt))
        else:
            seat.ledger.withdraw("USDT", Decimal(-usdt))
        equity = float(seat.equity())
        status = await daemon.until_status(
            lambda s: abs(s["equity_usd"] - equity) < 50, "the new equity"
        )
        # Then the drawdown is what it was, at once and later.
        assert abs(status["drawdown"] - 0.06) < 0.005
        await daemon.calm(4)
        status = await daemon.status()
        assert abs(status["drawdown"] - 0.06) < 0.005
        assert status["trading_state"] == "ACTIVE"
        assert seat.sent() == []
        # And the next loss counts against the money that is there now.
        room = (0.85 / 0.94 - 1) * equity / 3
        await glide(seat, BTC=38_000 + room * 0.9)
        await daemon.calm(2)
        assert seat.sent() == []
        await glide(seat, BTC=38_000 + room * 1.1)
        await daemon.until(daemon.is_flat, "flat")
