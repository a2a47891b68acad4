"""The venue's dead-man's switch: armed while entries rest, off before it can take a stop away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.scenarios.daemon import Daemon, guarded
from tests.scenarios.seats import BINANCE, BTC, ETH, OKX, Seat, Venue

POLICY = {"policy": "entries_only", "timeout_s": 30}


def armed(seat: Seat) -> set[str]:
    """Return what the venue would cancel when it heard no more: instruments, or everything."""
    if seat.venue is BINANCE:
        return set(seat.server.accounts[seat.key].countdowns)
    return {name or "all" for name in seat.server.venue.accounts[seat.key].dead_men}


def everything(seat: Seat, *symbols: str) -> set[str]:
    return {seat.id_of(s) for s in symbols} if seat.venue is BINANCE else {"all"}


async def shows(daemon: Daemon, detail: str) -> None:
    await daemon.until_status(
        lambda s: detail in str(s["accounts"]["main"]["dead_man"]), f"dead man: {detail}"
    )


@pytest.mark.parametrize("venue", [BINANCE, OKX], ids=str)
async def test_switch_is_armed_for_entries_and_off_before_a_stop_could_go(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a position, and an entry that rests.
    seat = Seat(venue, dead_man=POLICY)
    seat.hold(BTC, "1")
    entry = seat.trade(ETH, "1", price=2_000)
    async with guarded(tmp_path, seat, monitor={"reconcile_s": 1}) as daemon:
        # Then the venue's timer runs, and is told so once the venue confirmed it.
        await daemon.until(lambda: armed(seat) == everything(seat, ETH), "armed")
        await shows(daemon, "'is_armed': True")
        # When the entry is gone and a stop protects the position,
        seat.ledger.cancel(entry.id)
        stop = seat.trade(BTC, "-1", stop_price=35_000, reduce_only=True)
        # then no timer is left running anywhere, and it is said why.
        await daemon.until(lambda: not armed(seat), "disarmed")
        await shows(daemon, "not armed: would cancel stops")
        assert stop.is_open


@pytest.mark.parametrize("venue", [BINANCE, OKX], ids=str)
async def test_switch_stays_armed_over_a_stop_and_takes_the_entries_with_it(
    venue: Venue, tmp_path: Path
) -> None:
    # Given an entry under the switch.
    seat = Seat(venue, dead_man={"policy": "all", "timeout_s": 10})
    entry = seat.trade(ETH, "1", price=2_000)
    async with guarded(tmp_path, seat, monitor={"reconcile_s": 1}) as daemon:
        await daemon.until(lambda: armed(seat), "armed")
        # When riskbot is stopped, nobody watches the entry any more:
        assert await daemon.stop() == 0
        assert armed(seat)
        # the venue cancels it by itself.
        for _ in range(300):
            if not entry.is_open:
                break
            await asyncio.sleep(0.1)
        assert not entry.is_open
