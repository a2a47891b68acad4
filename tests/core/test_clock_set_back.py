"""Restarts on a clock that was set back: what was under way goes on, and nothing old is fresh."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.core import events
from riskbot.core.engine import Engine
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import PORTFOLIO, BlindKind, Level, Response, TradingState
from riskbot.core.rewind import rewound
from tests import builders
from tests.core.world import World, world

HOUR_MS = 3_600_000
FLATTEN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
REDUCE = GrossExposure(max=2.0, on_breach=Response.REDUCE, within_s=30, then=Response.FLATTEN)


def restart(made: World, *, back_ms: int) -> None:
    """Start anew on a clock so far behind, and let the account be read."""
    made.restart(back_ms=back_ms)
    made.price()
    made.read()


@pytest.mark.parametrize("hours", [1, 30, 24 * 400])
@pytest.mark.parametrize("effects", [0, 1, 2])
def test_flatten_under_way_goes_on_when_the_clock_was_set_back(hours: int, effects: int) -> None:
    # Given a flatten, half done, and a process that dies in it.
    made = world(FLATTEN, held={"BTC": (4.0, 50_000.0)}, usdt=60_000)
    made.wait(5)
    made.lose, made.fill_share = 1, Decimal("0.5")
    made.die_after = effects
    made.price(BTC=45_000)
    made.die_after, made.fill_share = -1, Decimal(1)
    # When the next one starts on a clock that is right, after one that was hours ahead.
    restart(made, back_ms=hours * HOUR_MS)
    made.wait(30)
    # Then it ends what was begun, once, and the latch is there.
    assert made.quantity("BTC") == 0
    assert sum(order.quantity for order in made.sent) <= Decimal(6)
    assert not made.engine.state.enforcement.intents
    hold = made.engine.state.enforcement.holds[PORTFOLIO, "drawdown"]
    assert (hold.state, hold.is_latched) == (TradingState.HALTED, True)
    # And people are told of the clock.
    told = made.told("started")[-1].alert
    assert told.level is Level.ORANGE
    assert "the clock was set back by" in told.text


def test_old_prices_are_none_when_the_clock_was_set_back() -> None:
    made = world(FLATTEN, held={"BTC": (4.0, 50_000.0)}, usdt=60_000)
    made.wait(5)
    # When prices stay silent after the start, the old ones do not pass for new.
    made.restart(back_ms=HOUR_MS)
    made.read()
    made.now_ms += 1_000
    made.give(events.TimerFired())
    assert "BTC/USDT:USDT" in made.engine.state.blind_prices("main", made.now_ms)
    assert made.engine.state.enforcement.is_blind(BlindKind.PRICE, "main|BTC/USDT:USDT")


def test_adjustment_window_is_as_long_as_it_was_when_the_clock_was_set_back() -> None:
    # Given a reduce of which nothing is filled, ten seconds into its window of thirty.
    made = world(REDUCE, held={"BTC": (4.0, 50_000.0)}, usdt=110_000)
    made.fill_share = Decimal(0)
    made.price(BTC=40_000)
    made.wait(10)
    before = made.engine.state.enforcement.episodes[PORTFOLIO, "gross_exposure"]
    assert before.deadline_ms is not None
    left_ms = before.deadline_ms - made.now_ms
    # When it starts anew on a clock an hour behind, the window is neither longer nor over.
    restart(made, back_ms=HOUR_MS)
    after = made.engine.state.enforcement.episodes[PORTFOLIO, "gross_exposure"]
    assert after.deadline_ms is not None
    assert abs(after.deadline_ms - made.now_ms - left_ms) <= 5_000
    made.fill_share = Decimal(1)
    made.wait(20)
    assert 0 < made.quantity("BTC") < 4


def test_clock_set_back_folds_as_it_was_lived() -> None:
    made = world(FLATTEN, held={"BTC": (4.0, 50_000.0)}, usdt=60_000)
    made.wait(5)
    made.price(BTC=45_000)
    restart(made, back_ms=HOUR_MS)
    made.wait(5)
    live = made.engine.dump()
    folded = Engine(made.engine.settings, "rbtest")
    for ts_ms, record in made.journal:
        folded.fold(record, ts_ms)
    assert folded.dump() == live


def test_start_on_a_clock_that_goes_on_changes_nothing() -> None:
    made = world(FLATTEN, held={"BTC": (1.0, 50_000.0)})
    made.wait(5)
    made.restart()
    assert made.engine.state.set_back_ms == 0
    assert "set back" not in made.told("started")[-1].alert.text


def test_only_what_happened_is_brought_down() -> None:
    now, ahead = builders.T0, builders.T0 + HOUR_MS
    data = {
        "asked_ms": {"main": ahead, "other": now - 1},
        "answered": [[["portfolio", "flatten:drawdown", "main"], [ahead, ahead]]],
        "targets": [{"not_before_ms": ahead + 500, "quantity": "1", "tries": 2}],
        "hold": {"until_ms": ahead, "since_ms": ahead, "clear_since_ms": None},
        "mark": {"price": 50_000.0, "seen_ms": ahead, "moved_ms": ahead, "venue_ms": ahead},
        "counter": ahead,
    }
    assert rewound(data, now, ahead) == {
        "asked_ms": {"main": now, "other": now - 1},
        "answered": [[["portfolio", "flatten:drawdown", "main"], [now, now]]],
        "targets": [{"not_before_ms": now + 500, "quantity": "1", "tries": 2}],
        "hold": {"until_ms": ahead, "since_ms": now, "clear_since_ms": None},
        "mark": {"price": 50_000.0, "seen_ms": 0, "moved_ms": 0, "venue_ms": ahead},
        "counter": ahead,
    }
