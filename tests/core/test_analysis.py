"""Price history as the core keeps it: told anew at each start, never in a checkpoint."""

from __future__ import annotations

import json

from riskbot.core import events
from riskbot.core.engine import Engine
from riskbot.core.histories import DAY_MS, DailySeries, last_ended_day
from tests import builders

BTC = DailySeries("BTC", "main|BTC/USDT:USDT", 19_000, (20_000.0, None, 21_000.0), 1e9)
NONE = DailySeries("NEW", note="no history anywhere")


def test_history_that_is_told_replaces_what_was_known_of_the_same_underlying() -> None:
    engine = Engine(builders.settings())
    engine.handle(events.PriceHistoryRead(series=(BTC, NONE)), 1)
    longer = DailySeries("BTC", BTC.source, 19_000, (*BTC.closes, 22_000.0))
    engine.handle(events.PriceHistoryRead(series=(longer,)), 2)
    assert engine.state.analysis.series == {"BTC": longer, "NEW": NONE}


def test_history_is_decided_on_with_the_next_timer() -> None:
    engine = Engine(builders.settings())
    engine.handle(events.TimerFired(), 1)
    assert engine.handle(events.PriceHistoryRead(series=(BTC,)), 2) == []
    assert engine.state.analysis.series == {"BTC": BTC}


def test_history_is_in_no_checkpoint() -> None:
    engine = Engine(builders.settings())
    engine.handle(events.PriceHistoryRead(series=(BTC,)), 1)
    dumped = json.loads(json.dumps(engine.dump()))
    assert "21000" not in json.dumps(dumped)
    other = Engine(builders.settings())
    other.load(dumped)
    assert other.state.analysis.series == {}


def test_last_day_of_a_series_is_the_day_of_its_last_bar() -> None:
    assert BTC.last_day == 19_002
    assert NONE.last_day is None


def test_day_that_runs_has_not_ended() -> None:
    assert last_ended_day(19_000 * DAY_MS) == 18_999
    assert last_ended_day(19_000 * DAY_MS - 1) == 18_998
