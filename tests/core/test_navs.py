"""NAV through time: peaks, periods, rolling windows, re-bases, seeds."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import actions, events
from riskbot.core.navs import DAY_MS, MINUTE_MS, NavHistory
from riskbot.core.periods import Periods
from tests import builders, oracle
from tests.builders import ACCOUNT, T0, position
from tests.core.rig import Rig, rig

HOUR_MS = 3_600_000


def sample(
    nav: float, *, day_ms: int = 1, week_ms: int = 1, units: float = 1.0
) -> actions.RecordNav:
    return actions.RecordNav(
        scope="portfolio",
        equity_usd=nav * units,
        nav=nav,
        units=units,
        day_start_ms=day_ms,
        week_start_ms=week_ms,
    )


def history(*curve: float, step_ms: int = MINUTE_MS) -> NavHistory:
    """One sample per step, all on one day."""
    made = NavHistory()
    for n, nav in enumerate(curve):
        made.record(sample(nav), T0 + n * step_ms)
    return made


curves = st.lists(st.floats(0.01, 1_000), min_size=1, max_size=60)


@given(curve=curves)
def test_losses_of_any_curve_equal_the_oracle(curve: list[float]) -> None:
    losses = history(*curve).losses(curve[-1], None, T0 + len(curve) * MINUTE_MS)
    assert losses.drawdown == pytest.approx(oracle.drawdown(curve))
    assert losses.weekly_drawdown == pytest.approx(oracle.drawdown(curve))
    assert losses.max_drawdown == pytest.approx(oracle.max_drawdown(curve))
    assert losses.true_drawdown == pytest.approx(oracle.drawdown(curve))
    assert losses.true_max_drawdown == pytest.approx(oracle.max_drawdown(curve))
    assert losses.daily_loss == pytest.approx(oracle.period_loss(curve[0], curve[-1]))
    assert losses.weekly_loss == pytest.approx(oracle.period_loss(curve[0], curve[-1]))
    assert losses.rolling_loss_24h == pytest.approx(oracle.period_loss(curve[0], curve[-1]))
    assert losses.peak_nav == max(curve)


@given(curve=curves, now=st.floats(0.01, 1_000))
def test_nav_between_samples_counts_at_once(curve: list[float], now: float) -> None:
    losses = history(*curve).losses(now, None, T0)
    assert losses.drawdown == pytest.approx(oracle.drawdown([*curve, now]))
    assert losses.max_drawdown == pytest.approx(oracle.max_drawdown([*curve, now]))


def test_losses_without_a_sample_are_none_to_speak_of() -> None:
    losses = NavHistory().losses(1.0, 5.0, T0)
    assert (losses.drawdown, losses.daily_loss, losses.rolling_loss_7d) == (0, 0, 0)
    assert losses.daily_pnl_usd is None


@pytest.mark.parametrize(("hours", "start"), [(3, 1.00), (24, 1.00), (25, 1.01), (30, 1.06)])
def test_rolling_loss_is_against_nav_one_window_ago(hours: int, start: float) -> None:
    made = NavHistory()
    for n in range(hours):
        made.record(sample(1 + n / 100), T0 + n * HOUR_MS)
    loss = made.losses(0.8, None, T0 + hours * HOUR_MS).rolling_loss_24h
    assert loss == pytest.approx(oracle.period_loss(start, 0.8))


def test_samples_are_kept_for_a_week_and_a_little() -> None:
    made = NavHistory()
    for n in range(8 * 24 * 60):
        made.record(sample(1.0), T0 + n * MINUTE_MS)
    assert 7 * 24 * 60 < len(made.samples) < 7 * 24 * 60 + 150
    assert made.losses(0.9, None, T0 + 8 * DAY_MS).rolling_loss_7d == pytest.approx(0.1)


def test_samples_within_a_minute_move_peaks_only() -> None:
    made = history(1.0, 1.2, step_ms=1_000)
    assert len(made.samples) == 1
    assert made.true.peak == 1.2


def test_new_day_and_week_start_at_the_first_sample_after_the_boundary() -> None:
    made = history(1.0, 0.9)
    made.record(sample(0.8, day_ms=2), T0 + DAY_MS)
    losses = made.losses(0.6, 5.0, T0 + DAY_MS)
    assert losses.daily_loss == pytest.approx(0.25)
    assert losses.weekly_loss == pytest.approx(0.4)
    assert losses.daily_pnl_usd == pytest.approx(5.0 - 0.8)
    made.record(sample(0.5, day_ms=3, week_ms=2), T0 + 2 * DAY_MS)
    after = made.losses(0.4, None, T0 + 2 * DAY_MS)
    assert after.weekly_drawdown == pytest.approx(0.2)
    assert after.drawdown == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("limit", "field", "before"),
    [
        ("drawdown", "drawdown", 0.5),
        ("max_drawdown", "max_drawdown", 0.6),
        ("weekly_drawdown", "weekly_drawdown", 0.5),
        ("daily_loss", "daily_loss", 0.5),
        ("weekly_loss", "weekly_loss", 0.5),
        ("rolling_loss", "rolling_loss_24h", 0.5),
    ],
)
def test_rebase_moves_one_limit_and_leaves_the_truth(limit: str, field: str, before: float) -> None:
    made = history(1.0, 0.4, 0.5)
    now_ms = T0 + 3 * MINUTE_MS
    assert getattr(made.losses(0.5, None, now_ms), field) == pytest.approx(before)
    made.rebase(limit, 0.5, now_ms)
    after = made.losses(0.5, None, now_ms + 1)
    assert getattr(after, field) == pytest.approx(0)
    assert (after.true_drawdown, after.true_max_drawdown) == (0.5, pytest.approx(0.6))
    changed = [
        name
        for name in ("drawdown", "max_drawdown", "weekly_drawdown", "daily_loss", "weekly_loss")
        if getattr(after, name) == pytest.approx(0)
    ]
    assert changed == ([field] if limit != "rolling_loss" else [])
    made.record(sample(0.5), now_ms + MINUTE_MS)
    lower = made.losses(0.45, None, now_ms + 2 * MINUTE_MS)
    assert getattr(lower, field) == pytest.approx(0.1)


def test_rebase_of_a_limit_that_is_no_loss_changes_nothing() -> None:
    made = history(1.0, 0.5)
    before = made.losses(0.5, None, T0)
    made.rebase("gross_exposure", 0.5, T0)
    assert made.losses(0.5, None, T0) == before


# ---------------------------------------------------------------- through the booking


def records(made: Rig) -> list[actions.RecordNav]:
    return [r for r in made.flows(actions.RecordNav) if r.scope == "portfolio"]


def test_nav_is_recorded_each_minute_and_with_each_new_peak_or_low() -> None:
    made = rig(position(), usdt=100_000)
    made.booked.clear()
    made.wait(30)
    assert records(made) == []
    made.mark(BTC=50_005.0)
    made.wait(1)
    assert records(made) == []
    made.mark(BTC=51_000.0)
    made.wait(1)
    assert [r.nav for r in records(made)] == [pytest.approx(1.01)]
    made.mark(BTC=50_000.0)
    made.wait(1)
    assert len(records(made)) == 2
    made.mark(BTC=50_500.0)
    made.wait(1)
    assert len(records(made)) == 2
    made.wait(60)
    assert len(records(made)) == 3


def test_seeded_peak_counts_once_all_accounts_are_in() -> None:
    made = rig(
        settings=builders.settings(ACCOUNT, "b", peak_usd=200_000.0, initial_capital_usd=90_000.0)
    )
    made.read(usdt=60_000)
    made.wait(1)
    assert made.portfolio.losses.drawdown == 0
    made.give(builders.snapshot(account="b", usdt=100_000))
    made.wait(1)
    assert made.portfolio.losses.drawdown == pytest.approx(0.2)
    assert made.portfolio.losses.max_drawdown == pytest.approx(0.2)
    assert made.scopes()["account:main"].losses.drawdown == 0


def test_seed_below_the_present_is_no_peak() -> None:
    made = rig(position(), settings=builders.settings(peak_usd=50_000.0), usdt=100_000)
    assert made.portfolio.losses.drawdown == 0
    made.mark(BTC=40_000.0)
    assert made.portfolio.losses.drawdown == pytest.approx(0.1)


def test_day_begins_at_the_boundary_unless_an_account_is_blind_or_a_clock_off() -> None:
    made = rig(position(), usdt=100_000)
    made.mark(BTC=40_000.0)
    made.wait(1)
    assert made.portfolio.losses.daily_loss == pytest.approx(0.1)
    midnight = Periods("UTC").next_day_start_ms(made.now_ms)
    made.now_ms = midnight
    made.wait(1)
    assert made.portfolio.losses.daily_loss == pytest.approx(0.1)
    made.give(events.ClockMeasured(account=ACCOUNT, offset_ms=1_500, round_trip_ms=10))
    made.read(position())
    made.wait(1)
    assert made.portfolio.losses.daily_loss == pytest.approx(0.1)
    made.give(events.ClockMeasured(account=ACCOUNT, offset_ms=150, round_trip_ms=10))
    made.wait(1)
    assert made.portfolio.losses.daily_loss == pytest.approx(0)
    assert records(made)[-1].day_start_ms == midnight


def test_rebase_action_reaches_its_scope() -> None:
    made = rig(position(), usdt=100_000)
    made.mark(BTC=40_000.0)
    made.give(actions.RebaseLoss(scope="portfolio", limit="drawdown", nav=0.9))
    scopes = made.scopes()
    assert scopes["portfolio"].losses.drawdown == pytest.approx(0)
    assert scopes["account:main"].losses.drawdown == pytest.approx(0.1)


# ---------------------------------------------------------------- periods


def utc(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("zone", "now", "start", "end"),
    [
        ("UTC", (2026, 3, 29, 12), (2026, 3, 29), (2026, 3, 30)),
        ("Europe/Berlin", (2026, 3, 29, 12), (2026, 3, 28, 23), (2026, 3, 29, 22)),
        ("Europe/Berlin", (2026, 10, 25, 12), (2026, 10, 24, 22), (2026, 10, 25, 23)),
        ("America/New_York", (2026, 11, 1, 4, 30), (2026, 11, 1, 4), (2026, 11, 2, 5)),
        # Beirut skips midnight in spring; Havana repeats it in autumn.
        ("Asia/Beirut", (2026, 3, 29, 12), (2026, 3, 28, 22), (2026, 3, 29, 21)),
        ("America/Havana", (2026, 11, 1, 5, 30), (2026, 11, 1, 4), (2026, 11, 2, 5)),
        ("Asia/Kolkata", (2026, 1, 1, 18, 29), (2025, 12, 31, 18, 30), (2026, 1, 1, 18, 30)),
    ],
)
def test_day_of_a_zone(
    zone: str, now: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    periods = Periods(zone)
    assert periods.day_start_ms(utc(*now)) == utc(*start)
    assert periods.next_day_start_ms(utc(*now)) == utc(*end)


@given(
    zone=st.sampled_from(["UTC", "Europe/London", "Australia/Lord_Howe", "America/Sao_Paulo"]),
    now_ms=st.integers(1_500_000_000_000, 1_900_000_000_000),
)
def test_any_moment_lies_in_its_day_and_week(zone: str, now_ms: int) -> None:
    periods = Periods(zone)
    day, week = periods.day_start_ms(now_ms), periods.week_start_ms(now_ms)
    assert week <= day <= now_ms < periods.next_day_start_ms(now_ms)
    assert now_ms - day <= 25 * HOUR_MS
    assert datetime.fromtimestamp(week / 1000, ZoneInfo(zone)).weekday() == 0
    assert periods.day_start_ms(periods.next_day_start_ms(now_ms)) == periods.next_day_start_ms(
        now_ms
    )
