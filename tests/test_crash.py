"""kill -9 of the real process: at every labelled point and at random, while it flattens.

`RISKBOT_KILLS` says how many kills there are in all (`make crash`: 200). A case is one account that
is flattened through four deaths, then left to a daemon that lives: nothing was sent twice, nothing
was flipped, the latch is there, and the account is flat within ten seconds of that start. A fifth
death shows that the latch stays.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.crashpoint import LABELS
from tests.scenarios.daemon import Daemon, guarded
from tests.scenarios.seats import BTC, ETH, TWO, Seat, Venue, glide

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

KILLS = int(os.environ.get("RISKBOT_KILLS", "8"))
LABELS_PER_CASE = 3
KILLS_PER_CASE = 2 + LABELS_PER_CASE

FLAT_WITHIN_S = 10.0
RESTART_AFTER_S = 2.0
"""RestartSec of the unit: a supervisor waits so long."""

# Once anything is closed this is in breach no more: what goes on does so because it was decided.
LIMIT = {"gross_exposure": {"max": 1.45, "on_breach": "flatten", "latch": True}}
BTC_HELD, ETH_HELD = Decimal("3"), Decimal("-8")

# What passes of each label fall between the start and the middle of a flatten.
PASSES = {
    "event.taken": 40,
    "decision.made": 40,
    "journal.before_write": 15,
    "journal.in_transaction": 15,
    "journal.after_write": 15,
    "state.changed": 6,
    "dispatch.before": 8,
    "dispatch.after": 8,
    "order.before_send": 3,
    "order.after_send": 3,
    "order.acknowledged": 3,
    "verify.before_read": 3,
    "verify.after_read": 3,
}


@dataclass(frozen=True)
class Case:
    """One account, and where its guard dies."""

    number: int
    venue: Venue
    points: tuple[str, ...]
    after_s: float

    def __str__(self) -> str:
        return f"{self.number}-{self.venue}-{'+'.join(self.points)}"


def cases() -> list[Case]:
    """Deal every label in turn; the pass and the random instant come from the case's seed."""
    made = []
    for number in range(max(1, -(-KILLS // KILLS_PER_CASE))):
        rng = random.Random(number)
        first = number * LABELS_PER_CASE
        labels = [LABELS[i % len(LABELS)] for i in range(first, first + LABELS_PER_CASE)]
        # A checkpoint is written when the work is done: nothing is left for a point after it.
        labels.sort(key=lambda label: label.startswith("checkpoint."))
        points = tuple(f"{label}:{rng.randint(1, PASSES.get(label, 1))}" for label in labels)
        made.append(Case(number, TWO[number % len(TWO)], points, rng.uniform(0.0, 0.6)))
    return made


class Market:
    """Lets the account's instruments trade a little at a time, so that a flatten takes a while."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat

    def offer(self, btc: str, eth: str) -> None:
        """Put so much on each side of the books, once."""
        touch = self.seat.server.market.touch_quantity
        touch[self.seat.id_of(BTC)], touch[self.seat.id_of(ETH)] = Decimal(btc), Decimal(eth)
        self.refresh()

    def open_up(self) -> None:
        """Let everything trade."""
        self.seat.server.market.touch_quantity.clear()
        self.refresh()

    def refresh(self) -> None:
        """Send prices anew, as they are."""
        self.seat.move(BTC=self.seat.mark(BTC), ETH=self.seat.mark(ETH))


async def die(daemon: Daemon, point: str) -> bool:
    """Start a daemon that dies at a point; kill it if it does not get there. True: it got there."""
    label = point.partition(":")[0]
    await daemon.start(crash_at=point)
    watch = daemon.watch()
    if label.startswith("checkpoint."):
        # A checkpoint is written on the way out, once the work under way has ended.
        await daemon.until_status(lambda status: True, "an answer")
        daemon.signal(signal.SIGTERM)
    while daemon.is_running and watch.seconds() < 20.0:
        await asyncio.sleep(0.05)
    reached = not daemon.is_running
    await daemon.kill()
    return reached


def prepare(market: Market, point: str) -> None:
    """Arrange for the label to be passed."""
    market.seat.heal()
    if point.startswith("query."):
        market.seat.strike("reply_lost", 2, market.seat.venue.order_path)
    if point.startswith("cancel."):
        market.seat.trade(BTC, "0.1", price=30_000)
    if point.startswith("checkpoint."):
        market.open_up()
    else:
        market.offer("0.4", "1")


async def first_word(daemon: Daemon) -> dict[str, Any]:
    """Return the first status that a starting daemon answers."""
    return await daemon.until_status(lambda status: True, "an answer")


def check_latch(seat: Seat, status: dict[str, Any]) -> None:
    """Once anything was sent the decision was durable: halted and latched from the first word."""
    assert status["trading_state"] == "HALTED"
    if seat.sent():
        assert [(h["limit"], h["latched"]) for h in status["holds"]] == [("gross_exposure", True)]


@pytest.mark.parametrize("case", cases(), ids=str)
async def test_kill_9_never_doubles_an_order_nor_loses_the_latch(
    case: Case, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seat = Seat(case.venue)
    seat.hold(BTC, BTC_HELD)
    seat.hold(ETH, ETH_HELD)
    market = Market(seat)
    kills, reached = 0, []
    async with guarded(tmp_path, seat, limits=LIMIT) as daemon:
        # Given a market so thin that each life of the guard closes a part of the account.
        market.offer("0.4", "1")
        # When the market falls, and the guard dies at some instant of what it does then.
        await glide(seat, steps=2, BTC=34_000)
        await asyncio.sleep(case.after_s)
        await daemon.kill()
        kills += 1
        # And again, at each of the case's points.
        for point in case.points:
            prepare(market, point)
            reached.append(await die(daemon, point))
            kills += 1
        seat.heal()
        market.open_up()
        await asyncio.sleep(RESTART_AFTER_S)
        watch = daemon.watch()
        await daemon.start()
        check_latch(seat, await first_word(daemon))
        left_s = FLAT_WITHIN_S - watch.seconds()
        # Then the one that lives ends it.
        await daemon.until(seat.is_flat, f"flat in time; left {seat.held(BTC)}", left_s)
        record_property("flat_after_s", f"{watch.seconds():.1f}")
        await daemon.halted()
        check_latch(seat, await daemon.status())
        # And what was closed is what was held: nothing more, nothing flipped (see `guarded`).
        closed = {symbol: Decimal(0) for symbol in (BTC, ETH)}
        for fill in seat.ledger.fills:
            signed = fill.quantity if fill.side == "buy" else -fill.quantity
            closed[BTC if fill.instrument == seat.id_of(BTC) else ETH] += signed
        assert closed == {BTC: -BTC_HELD, ETH: -ETH_HELD}
        # And the latch outlives one more death, although nothing is in breach any more.
        sent = len(seat.sent())
        await daemon.restart()
        kills += 1
        check_latch(seat, await daemon.status())
        await daemon.calm(1)
        assert len(seat.sent()) == sent
    assert kills == KILLS_PER_CASE
    assert all(reached), dict(zip(case.points, reached, strict=True))


@pytest.mark.parametrize("venue", TWO, ids=str)
async def test_order_on_its_way_when_the_guard_dies_is_not_sent_again(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a venue that takes orders four seconds after they came, and says nothing until then.
    seat = Seat(venue)
    seat.hold(BTC, "3.5")
    async with guarded(tmp_path, seat, limits=LIMIT) as daemon:
        seat.strike("accept_late", 1, venue.order_path, seconds=4)
        # When the guard dies with its order on the way, and another one starts.
        await glide(seat, steps=2, BTC=34_000)
        await daemon.until(seat.sent, "an order")
        await daemon.restart()
        # Then that order is the only one there ever is.
        await daemon.until(seat.is_flat, "flat")
        await daemon.halted()
        await daemon.calm(2)
        assert len(seat.sent()) == 1


def test_every_label_has_its_turn_and_enough_kills_are_planned() -> None:
    made = cases()
    labels = {point.partition(":")[0] for case in made for point in case.points}
    assert len(made) * KILLS_PER_CASE >= KILLS
    if KILLS >= 30:
        assert labels == set(LABELS)
