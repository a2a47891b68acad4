"""Measures through time: which points are kept, for how long, and what a point stands for."""

from __future__ import annotations

import json

import pytest

from riskbot.core import actions, events
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.past import Past
from riskbot.core.series import MEASURES, TIERS, Series
from tests.builders import T0
from tests.core.world import world

MINUTE_MS, HOUR_MS, DAY_MS = (tier.step_ms for tier in TIERS)
START_MS = T0 - T0 % DAY_MS


def recorded(**row: float | None) -> actions.RecordExposure:
    return actions.RecordExposure(cause="timer", row={**dict.fromkeys(MEASURES), **row})


def filled(count: int, step_ms: int, start_ms: int = START_MS) -> Series:
    """Rows at a step; gross is the number of the row."""
    series = Series()
    for n in range(count):
        series.apply(recorded(gross_exposure=float(n)), start_ms + n * step_ms)
    return series


def test_point_of_a_minute_is_the_last_of_a_measure_and_the_worst_of_a_loss() -> None:
    series = Series()
    for n, (gross, drawdown) in enumerate([(1.0, 0.02), (2.0, 0.05), (1.5, None)]):
        series.apply(recorded(gross_exposure=gross, drawdown=drawdown), START_MS + n * 1_000)
    assert series.points("gross_exposure", START_MS, START_MS + HOUR_MS) == [(START_MS, 1.5)]
    assert series.points("drawdown", START_MS, START_MS + HOUR_MS) == [(START_MS, 0.05)]


def test_worst_of_what_was_unknown_first_is_what_came_after() -> None:
    series = Series()
    series.apply(recorded(drawdown=None), START_MS)
    series.apply(recorded(drawdown=0.01), START_MS + 1)
    assert series.points("drawdown", START_MS, START_MS) == [(START_MS, 0.01)]


def test_ratio_over_no_equity_is_no_point() -> None:
    series = Series()
    series.apply(recorded(gross_exposure=float("inf")), START_MS)
    assert series.points("gross_exposure", START_MS, START_MS) == [(START_MS, None)]


def test_other_records_leave_it_alone() -> None:
    series = Series()
    series.apply(events.TimerFired(), START_MS)
    assert series == Series()


def test_day_is_told_by_the_minute_and_a_week_by_the_hour() -> None:
    series = filled(3 * 24 * 60, MINUTE_MS)
    now_ms = START_MS + 3 * DAY_MS
    day = series.points("gross_exposure", now_ms - DAY_MS, now_ms)
    assert len(day) == 24 * 60
    assert day[-1] == (now_ms - MINUTE_MS, 3 * 24 * 60 - 1.0)
    week = series.points("gross_exposure", now_ms - 7 * DAY_MS, now_ms)
    assert len(week) == 3 * 24
    assert week[0] == (START_MS, 59.0)


def test_window_ends_where_it_is_asked_to() -> None:
    series = filled(10, MINUTE_MS)
    found = series.points("gross_exposure", START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS)
    assert [value for _, value in found] == [1.0, 2.0]


def test_year_is_told_by_the_day() -> None:
    series = filled(30 * 24 * 12, 5 * MINUTE_MS)
    now_ms = START_MS + 30 * DAY_MS
    month = series.points("gross_exposure", now_ms - 30 * DAY_MS, now_ms)
    assert [ts for ts, _ in month] == [START_MS + n * DAY_MS for n in range(30)]


def test_memory_of_each_tier_is_bounded() -> None:
    series = filled(2_000, MINUTE_MS)
    assert len(series.tiers[0]) <= TIERS[0].kept * 1.1
    assert len(series.points("gross_exposure", 0, START_MS + DAY_MS * 400)) > 30


def test_checkpoint_brings_all_of_it_back() -> None:
    past = Past(series=filled(90, MINUTE_MS))
    again = Past.load(json.loads(json.dumps(past.dump())))
    assert again.series == past.series


def test_command_ends_with_the_present_value() -> None:
    made = world(GrossExposure(max=2.0), held={"BTC": (1, 50_000)})
    made.wait(125)
    points = made.command("history", measure="gross_exposure").document
    assert points[-1] == (made.now_ms, pytest.approx(0.5))
    assert len(points) >= 3
    past = made.command("history", measure="gross_exposure", until_ms=made.now_ms - 60_000)
    assert all(ts <= made.now_ms - 60_000 for ts, _ in past.document)
    since = made.command("history", since_ms=made.now_ms)
    assert [ts for ts, _ in since.document] == [made.now_ms]


def test_command_before_anything_was_read_has_no_points() -> None:
    made = world(GrossExposure(max=2.0))
    made.restart()
    assert made.command("history", hours=1).document[-1:] != [(made.now_ms, None)]
