"""Everything at once: a drawdown while venue, streams, strategies and the guard itself misbehave.

The seed names the run (`RISKBOT_CHAOS_SEEDS`: how many). Whatever happened: once the venue is well
the account ends flat and halted, nothing was sent twice, no order of riskbot's ever raised or
flipped a position, and no death of the guard's cost a latch.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.core.model import Level
from tests.scenarios.afterwards import afterwards
from tests.scenarios.daemon import DRAWDOWN, Daemon, guarded
from tests.scenarios.seats import BTC, ETH, TWO, Seat, glide
from tests.servers.ledger import VenueError

SEEDS = int(os.environ.get("RISKBOT_CHAOS_SEEDS", "10"))
SEEDS_OF_EVERY_RUN = 2
MISHAPS = 8
WELL_AFTER_S = 60.0
STALE_MS = 15_000
"""How old what riskbot knows of a position may be: past that the account is BLIND."""

TRADES_AFTER_THE_FALL = 3
"""What is opened past a halt is closed back so often in ten minutes, then left to people."""

# kind -> parameters; strikes anything.
ANYWHERE: dict[str, dict[str, Any]] = {
    "request_lost": {},
    "reply_lost": {},
    "reply_delayed": {"seconds": 2},
    "reply_html": {},
    "reply_empty": {},
    "reply_null": {},
    "reply_empty_object": {},
    "reply_empty_list": {},
    "reply_truncated": {},
    "reply_nan": {},
    "rate_limited": {"retry_after": 1},
    "server_error": {},
    "positions_cut": {"keep": 0},
    "open_orders_cut": {},
}
ON_ORDERS: dict[str, dict[str, Any]] = {
    "reply_lost": {},
    "request_lost": {},
    "reply_delayed": {"seconds": 6},
    "accept_late": {"seconds": 3},
    "accept_delayed": {"seconds": 2},
    "ambiguous": {"booked": True},
    "market_rejected": {},
    "reduce_only_rejected": {},
    "partial_fill": {"ratio": "0.4"},
}
ON_FRAMES: dict[str, dict[str, Any]] = {
    "frame_dropped": {},
    "frame_duplicated": {},
    "frame_reordered": {},
    "frame_delayed": {"seconds": 1},
    "frame_undecodable": {},
    "frame_unknown": {},
    "price_garbage": {},
}
FOR_A_WHILE = ("sockets_silent", "user_silent", "market_silent", "sockets_refused", "no_reply")


class Chaos:
    """Draws what goes wrong, and does it."""

    def __init__(self, daemon: Daemon, seat: Seat, rng: random.Random) -> None:
        self.daemon, self.seat, self.rng = daemon, seat, rng
        self.story: list[str] = []
        self.whiles: set[asyncio.Task[None]] = set()
        self.trades_left = 1_000

    async def happen(self) -> None:
        """Let one thing go wrong."""
        acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._strike_anything, 4),
            (self._strike_orders, 4),
            (self._strike_frames, 3),
            (self._hush, 3),
            (self._cut_sockets, 1),
            (self._trade, 3),
            (self._move_money, 1),
            (self._kill, 1),
        ]
        weights = [weight for _, weight in acts]
        (act, _), *_ = self.rng.choices(acts, weights)
        await act()
        await asyncio.sleep(self.rng.uniform(0.0, 0.8))

    def _note(self, *words: object) -> None:
        self.story.append(" ".join(map(str, words)))

    async def _strike_anything(self) -> None:
        kind = self.rng.choice(sorted(ANYWHERE))
        times = self.rng.randint(1, 4)
        self._note(kind, times)
        self.seat.strike(kind, times, **ANYWHERE[kind])

    async def _strike_orders(self) -> None:
        kind = self.rng.choice(sorted(ON_ORDERS))
        times = self.rng.randint(1, 3)
        self._note(kind, times, "on orders")
        self.seat.strike(kind, times, self.seat.venue.order_path, **ON_ORDERS[kind])

    async def _strike_frames(self) -> None:
        kind = self.rng.choice(sorted(ON_FRAMES))
        times = self.rng.randint(1, 6)
        self._note(kind, times)
        self.seat.strike(kind, times, **ON_FRAMES[kind])

    async def _hush(self) -> None:
        kind, seconds = self.rng.choice(FOR_A_WHILE), self.rng.uniform(0.5, 4)
        self._note(kind, f"for {seconds:.1f} s")
        fault = self.seat.strike(kind, None)

        async def end() -> None:
            await asyncio.sleep(seconds)
            self.seat.server.faults.remove(fault)

        task = asyncio.create_task(end())
        self.whiles.add(task)
        task.add_done_callback(self.whiles.discard)

    async def _cut_sockets(self) -> None:
        self._note("sockets cut")
        self.seat.server.drop_sockets()

    async def _trade(self) -> None:
        if not self.trades_left:
            return
        self.trades_left -= 1
        symbol = self.rng.choice((BTC, ETH))
        size = self.rng.choice(("0.3", "-0.3"))
        price = round(self.seat.mark(symbol) * Decimal(self.rng.choice(("0.95", "1.05"))))
        fields = self.rng.choice(({}, {"price": price}, {"stop_price": price}))
        self._note("strategy trades", symbol, size, fields)
        with suppress(VenueError):
            self.seat.trade(symbol, size, **fields)

    async def _move_money(self) -> None:
        usdt = self.rng.choice((-5_000, 5_000))
        self._note("money moves", usdt)
        if usdt > 0:
            self.seat.ledger.deposit("USDT", Decimal(usdt))
        else:
            self.seat.ledger.withdraw("USDT", Decimal(-usdt))

    async def _kill(self) -> None:
        self._note("kill -9")
        await self.daemon.kill()
        was_sent = bool(self.seat.sent())
        await self.daemon.start()
        status = await self.daemon.until_status(lambda s: True, "an answer")
        # What was sent was decided, and what was decided is kept: from the first word on.
        assert status["trading_state"] == "HALTED"
        if was_sent:
            assert _latched(status) == ["drawdown"]


def _latched(status: dict[str, Any]) -> list[str]:
    return [hold["limit"] for hold in status["holds"] if hold["latched"]]


def oversized(seat: Seat) -> list[str]:
    """Return orders of riskbot's for more than was there, by what it may have known.

    Its own fills it must know; a stranger's may have come while its order was on the way.
    """
    own = seat.client_ids()
    found = []
    for request in seat.sent():
        told = seat.server.describe(request)
        fills = [f for f in seat.ledger.fills if f.instrument == told["symbol"]]
        signed = [(f, f.quantity if f.side == "buy" else -f.quantity) for f in fills]
        at_end = sum(
            p.quantity for p in seat.ledger.positions.values() if p.instrument == told["symbol"]
        )
        held = at_end - sum(q for f, q in signed if f.time_ms >= request.at_ms)
        strange = sum(
            abs(q)
            for f, q in signed
            if f.client_id not in own and request.at_ms - STALE_MS <= f.time_ms <= request.at_ms
        )
        quantity = Decimal(str(request.params.get("quantity") or request.params.get("qty")))
        if quantity > abs(held) + strange:
            found.append(f"{told['client_id']}: {quantity} of {held}, {strange} of it moved")
    return found


@pytest.mark.parametrize(
    "seed",
    [seed if seed < SEEDS_OF_EVERY_RUN else pytest.param(seed, marks=pytest.mark.nightly)
     for seed in range(SEEDS)],
)  # fmt: skip
async def test_flat_and_halted_whatever_goes_wrong(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    seat = Seat(TWO[seed % len(TWO)], hedge_mode=False)
    seat.hold(BTC, "3")
    seat.hold(ETH, "-4")
    seat.trade(BTC, "0.2", price=33_000)
    seat.trade(BTC, "-3", stop_price=31_000, reduce_only=True)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        chaos = Chaos(daemon, seat, rng)
        try:
            # Given a guard in the midst of trouble,
            for _ in range(rng.randint(0, MISHAPS // 2)):
                await chaos.happen()
            # when the market falls, and trouble goes on,
            await glide(seat, steps=4, BTC=33_500)
            chaos.trades_left = TRADES_AFTER_THE_FALL
            for _ in range(MISHAPS):
                await chaos.happen()
            # then, once the venue is well again,
            for task in chaos.whiles:
                task.cancel()
            seat.heal()
            seat.move(BTC=33_500, ETH=2_500)
            await daemon.until(seat.is_flat, "flat", WELL_AFTER_S)
            status = await daemon.until_status(
                lambda s: s["trading_state"] == "HALTED" and not s["intents"] and not s["blind"],
                "halted, nothing left to do",
                WELL_AFTER_S,
            )
            # it is over, what only adds is gone, and a person is what it waits for;
            assert seat.is_flat()
            assert not [o for o in seat.ledger.open_orders() if not o.reduce_only]
            assert _latched(status) == ["drawdown"]
            assert oversized(seat) == []
            # one more death changes nothing,
            sent = len(seat.sent())
            await daemon.restart()
            assert _latched(await daemon.status()) == ["drawdown"]
            assert len(seat.sent()) == sent
            # and the journal says all of it.
            kept = await afterwards(daemon)
            assert kept.told("drawdown", Level.RED)
            assert kept.sent_ids() >= set(seat.client_ids())
        except AssertionError as error:
            error.add_note(f"seed {seed}: " + "; ".join(chaos.story))
            raise
