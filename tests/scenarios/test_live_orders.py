"""A drawdown while the venue makes closing hard: it ends flat all the same, and once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.daemon import DRAWDOWN, Daemon, guarded
from tests.scenarios.seats import (
    BINANCE,
    BINANCE_FIRST,
    BTC,
    BYBIT,
    BYBIT_FIRST,
    ETH,
    TWO,
    Seat,
    Venue,
    glide,
    nightly,
)


def exposed(venue: Venue) -> Seat:
    """Return an account that 15 % off BTC brings below its limit."""
    seat = Seat(venue)
    seat.hold(BTC, "3")
    seat.hold(ETH, "-4")
    return seat


async def fall(seat: Seat) -> None:
    await glide(seat, steps=3, BTC=34_000)


async def ends_flat(daemon: Daemon, seat: Seat, orders: int | None = None) -> None:
    """Wait for flat, halted, nothing left to do; and so it stays."""
    await daemon.until(seat.is_flat, "flat")
    await daemon.halted()
    sent = len(seat.sent())
    assert orders is None or sent == orders
    await daemon.calm(1.5)
    assert seat.is_flat()
    assert len(seat.sent()) == sent


def closed(seat: Seat, symbol: str) -> Decimal:
    """Return the signed quantity that riskbot's orders traded."""
    ours = seat.client_ids()
    fills = [f for f in seat.ledger.fills if f.client_id in ours]
    mine = [f for f in fills if f.instrument == seat.id_of(symbol)]
    return sum((f.quantity if f.side == "buy" else -f.quantity for f in mine), Decimal(0))


@pytest.mark.parametrize("venue", TWO, ids=str)
async def test_partial_fills_go_on_until_flat(venue: Venue, tmp_path: Path) -> None:
    # Given a book that takes 0.7 BTC at a time, and recovers with each price.
    seat = exposed(venue)
    seat.server.market.touch_quantity[seat.id_of(BTC)] = Decimal("0.7")

    async def breathe() -> None:
        while True:
            await asyncio.sleep(0.3)
            seat.move(BTC=seat.mark(BTC))

    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When the market falls.
        await fall(seat)
        breath = asyncio.create_task(breathe())
        # Then riskbot sells what the book takes, again and again, exactly what was held.
        await ends_flat(daemon, seat)
        breath.cancel()
        with suppress(asyncio.CancelledError):
            await breath
        assert len(seat.sent(BTC)) > 2
        assert closed(seat, BTC) == -3


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_reduce_only_refused_is_read_again_and_tried_again(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a take-profit that claims the whole position, and a venue that refuses once more.
    seat = exposed(venue)
    profit = seat.trade(BTC, "-3", price=45_000, reduce_only=True)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("reduce_only_rejected", 1)
        # When the market falls.
        await fall(seat)
        # Then it ends flat, and what stood in the way is gone.
        await ends_flat(daemon, seat)
        assert not profit.is_open


async def test_dust_is_named_and_not_hammered(tmp_path: Path) -> None:
    # Given a rest that the venue does not trade, also not to close it.
    seat = exposed(BINANCE)
    seat.ledger.min_notional_exempts_reduce_only = False
    seat.hold(ETH, "-0.002")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When all is flattened.
        await fall(seat)
        await daemon.until(lambda: seat.held(BTC) == 0, "BTC closed")
        await daemon.halted()
        await daemon.calm(3)
        # Then the rest stays, without a storm of orders.
        assert seat.held(ETH) == Decimal("-0.002")
        assert len(seat.sent(ETH)) <= 1


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_market_orders_refused_take_the_next_rung(venue: Venue, tmp_path: Path) -> None:
    # Given a venue that takes no market orders now.
    seat = exposed(venue)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("market_rejected", None)
        # When the market falls.
        await fall(seat)
        # Then priced orders close it.
        await ends_flat(daemon, seat)
        filled = {seat.ledger.orders[f.order_id].type for f in seat.ledger.fills}
        assert filled == {"limit"}


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_rate_limit_is_waited_out_as_the_venue_says(venue: Venue, tmp_path: Path) -> None:
    # Given a venue that says to come back in three seconds.
    seat = exposed(venue)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("rate_limited", 1, venue.order_path, retry_after=3, status=429)
        # When the market falls.
        await fall(seat)
        await ends_flat(daemon, seat)
        # Then the refused instrument's next order came no sooner.
        refused = next(r for r in seat.sent() if r.status == 429)
        again = [r for r in seat.sent() if r.at > refused.at and _symbol(r) == _symbol(refused)]
        assert len(again) == 1
        assert again[0].at - refused.at >= 3


def _symbol(request: Any) -> str:
    return str(request.params["symbol"])


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_cancel_only_phase_cancels_at_once_and_closes_when_it_ends(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a venue that opens after an outage for cancels alone.
    seat = exposed(venue)
    entry = seat.trade(BTC, "0.5", price=32_000)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.server.market.phase = "cancel_only"
        # When the market falls.
        await fall(seat)
        # Then entries go, and the close is tried without a storm.
        await daemon.until(lambda: not entry.is_open, "entry cancelled")
        await daemon.calm(4)
        assert not seat.is_flat()
        assert (await daemon.status())["trading_state"] == "HALTED"
        assert len(seat.sent()) < 20
        # And it ends once trading is back.
        seat.server.market.phase = "trading"
        await ends_flat(daemon, seat)


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_maintenance_is_waited_out(venue: Venue, tmp_path: Path) -> None:
    # Given a venue that answers everything with maintenance.
    seat = exposed(venue)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When the market falls and the venue goes.
        seat.server.market.phase = "maintenance"
        seat.strike("maintenance", None)
        await fall(seat)
        status = await daemon.until_status(lambda s: s["trading_state"] == "HALTED", "halted")
        await daemon.calm(4)
        # Then riskbot stays halted, keeps its intent and does not hammer.
        assert status["holds"][0]["limit"] == "drawdown"
        assert not seat.is_flat()
        assert len(seat.sent()) < 20
        # And ends it when the venue is back.
        seat.heal()
        seat.server.market.phase = "trading"
        await ends_flat(daemon, seat)


LOST: dict[str, dict[str, Any]] = {
    "reply_lost": {},
    "ambiguous": {"booked": True},
    "reply_html": {},
    "reply_truncated": {},
    "reply_empty": {},
    "reply_delayed": {"seconds": 7},
}
"""How an answer is lost although the order was taken (HTML: or was not)."""


@pytest.mark.parametrize(
    ("venue", "kind"),
    [
        (BINANCE, "reply_lost"),
        (BYBIT, "reply_lost"),
        *(nightly(venue, kind) for venue in TWO for kind in LOST if kind != "reply_lost"),
    ],
    ids=str,
)
async def test_order_taken_whose_answer_is_lost_is_looked_up_and_not_sent_again(
    venue: Venue, kind: str, tmp_path: Path
) -> None:
    # Given a venue that takes the first orders and does not say so.
    seat = exposed(venue)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike(kind, 2, venue.order_path, **LOST[kind])
        # When the market falls.
        await fall(seat)
        # Then one order closes each position, however the answer got lost.
        taken = kind != "reply_html"
        await ends_flat(daemon, seat, orders=2 if taken else None)
        assert closed(seat, BTC) == -3
        assert closed(seat, ETH) == 4


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_order_that_never_arrived_is_replaced_once_that_is_proven(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a connection that breaks before the order gets there.
    seat = exposed(venue)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        lost = seat.strike("request_lost", 1, venue.order_path)
        # When the market falls.
        await fall(seat)
        # Then another order is sent, under another id, not before the first is proven absent.
        await ends_flat(daemon, seat)
        assert lost.hits == 1
        assert closed(seat, BTC) == -3
        assert closed(seat, ETH) == 4


@pytest.mark.parametrize("seconds", [4, nightly(20)])
@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_order_taken_late_closes_and_never_opens_the_other_side(
    venue: Venue, seconds: int, tmp_path: Path
) -> None:
    # Given a venue that answers nothing and takes the order seconds later.
    seat = exposed(venue)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("accept_late", 1, venue.order_path, seconds=seconds)
        # When the market falls.
        await fall(seat)
        # Then all is flat; a take within the proof's time is the only order there is.
        await ends_flat(daemon, seat, orders=2 if seconds < 10 else None)
        await daemon.calm(max(0, seconds - 12))
        assert seat.is_flat()


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_lost_cancel_is_sent_again_until_the_order_is_gone(
    venue: Venue, tmp_path: Path
) -> None:
    # Given entries whose first cancels get lost on the way.
    seat = exposed(venue)
    entries = [seat.trade(BTC, "0.1", price=32_000 - i * 100) for i in range(3)]
    breakout = seat.trade(BTC, "0.1", stop_price=48_000)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("request_lost", 3, match={"method": "DELETE"})
        seat.strike("request_lost", 3, "/v5/order/cancel")
        # When the market falls.
        await fall(seat)
        # Then they are gone in the end.
        await ends_flat(daemon, seat)
        assert not any(order.is_open for order in [*entries, breakout])
