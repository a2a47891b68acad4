"""Episodes and holds: levels, stages, first contact, what clears and what never weakens."""

from __future__ import annotations

import pytest

from riskbot.core import actions, events
from riskbot.core.duty import Episode, EpisodeStage, Hold
from riskbot.core.holds import describe, figure
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.rolling_loss import RollingLoss
from riskbot.core.model import PORTFOLIO, Level, Mode, RejectReason, Response, TradingState
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
BTC = "BTC/USDT:USDT"


def episode(made: World, name: str) -> Episode:
    return made.engine.state.enforcement.episodes[PORTFOLIO, name]


def hold(made: World, name: str) -> Hold | None:
    return made.engine.state.enforcement.holds.get((PORTFOLIO, name))


def lone_mark(made: World, mark: float) -> None:
    """Let one source alone say a price; the others stand against it."""
    made.give(builders.prices(BTC, mark, venue_ms=made.now_ms))


# ---------------------------------------------------------------- what is not proven


def test_halt_when_one_source_alone_shows_it_is_dropped_with_the_outlier() -> None:
    made = world(DailyLoss(max=0.03, on_breach=Response.HALT), held={"BTC": (1, 50_000)})
    lone_mark(made, 40_000)
    found = hold(made, "daily_loss")
    assert found is not None
    assert (found.state, found.is_proven, found.until_ms) == (TradingState.REDUCING, False, None)
    made.price(BTC=50_000)
    assert hold(made, "daily_loss") is None


def test_halt_when_proven_survives_a_later_outlier() -> None:
    limit = RollingLoss(max=0.03, on_breach=Response.HALT)
    made = world(limit, held={"BTC": (1, 50_000)})
    made.price(BTC=46_000)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    made.price(BTC=50_000)
    made.wait(60)
    lone_mark(made, 40_000)
    assert episode(made, "rolling_loss").stage is EpisodeStage.DISAGREEING
    made.price(BTC=50_000)
    made.wait(60)
    found = hold(made, "rolling_loss")
    assert found is not None
    assert found.state is TradingState.HALTED
    made.wait(300)
    assert hold(made, "rolling_loss") is None


def test_then_when_its_breach_is_not_shown_by_two_sources_closes_nothing() -> None:
    limit = GrossExposure(max=1.0, on_breach=Response.DENY, within_s=5, then=Response.FLATTEN)
    made = world(limit, held={"BTC": (-1.9, 50_000)})
    for _ in range(12):
        made.now_ms += 1_000
        made.read()
        others = {"index": 50_000, "bid": 49_999, "ask": 50_001}
        made.give(builders.prices(BTC, 55_000, venue_ms=made.now_ms, **others))
        made.give(events.TimerFired())
    assert not made.sent
    assert episode(made, "gross_exposure").response is Response.FLATTEN
    assert episode(made, "gross_exposure").stage is EpisodeStage.DISAGREEING
    made.price(BTC=55_000)
    made.wait(5)
    assert made.quantity("BTC") == 0


# ---------------------------------------------------------------- clearing


def test_release_when_the_measure_is_unknown_meanwhile_waits_anew() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)}, usdt=80_000)
    made.price(BTC=43_000)
    made.wait(200)
    assert hold(made, "gross_exposure") is not None
    made.give(
        events.PositionsUpdated(
            account="main", positions=(builders.position("XYZ/USDT:USDT", 1, 10),)
        )
    )
    found = hold(made, "gross_exposure")
    assert found is not None
    assert found.clear_since_ms is None
    made.wait(200)
    assert hold(made, "gross_exposure") is not None
    made.wait(110)
    assert hold(made, "gross_exposure") is None


def test_release_when_out_of_sight_waits() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)}, usdt=80_000)
    made.price(BTC=43_000)
    made.wait(100)
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(400)
    assert hold(made, "gross_exposure") is not None


def test_release_when_it_is_near_again_starts_over() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)}, usdt=80_000)
    made.price(BTC=43_000)
    made.wait(100)
    held = made.quantity("BTC")
    made.somebody_trades("BTC", "0.15")
    made.wait(1)
    found = hold(made, "gross_exposure")
    assert found is not None
    assert found.clear_since_ms is None
    assert made.quantity("BTC") > held


def test_hold_when_one_of_two_keys_stays_near_keeps_both() -> None:
    limit = AssetExposure(max=0.5, on_breach=Response.DENY)
    made = world(limit, held={"BTC": (-1, 40_000), "ETH": (-20, 2_000)})
    for btc, eth, keys in (
        (50_000, 2_600, ("BTC", "ETH")),
        (41_000, 2_600, ("BTC", "ETH")),
        (30_000, 2_600, ("ETH",)),
    ):
        made.price(BTC=btc, ETH=eth)
        found = hold(made, "asset_exposure")
        assert found is not None
        assert found.keys == keys


def test_level_when_just_below_stays_until_the_clearing_share() -> None:
    made = world(GrossExposure(max=2.0), held={"BTC": (-1.65, 50_000)}, usdt=50_000)
    made.price(BTC=48_000)
    made.wait(1)
    assert episode(made, "gross_exposure").level is Level.YELLOW
    made.price(BTC=44_000)
    made.wait(1)
    assert (PORTFOLIO, "gross_exposure") not in made.engine.state.enforcement.episodes


# ---------------------------------------------------------------- waiting, windows


def test_reduce_when_its_start_is_delayed_denies_and_cancels_at_once() -> None:
    limit = GrossExposure(max=2.0, on_breach=Response.REDUCE, start_after_s=10)
    made = world(limit, held={"BTC": (3, 50_000)}, usdt=80_000)
    entry = made.rest("BTC", "buy", "1", price=30_000)
    made.price(BTC=43_000)
    made.wait(3)
    assert episode(made, "gross_exposure").stage is EpisodeStage.WAITING
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.REDUCING
    assert entry.order_id not in made.orders["main"]
    assert not made.sent
    made.wait(12)
    assert made.sent


def test_halt_when_its_start_is_delayed_waits_whole() -> None:
    limit = RollingLoss(max=0.03, on_breach=Response.HALT, start_after_s=10)
    made = world(limit, held={"BTC": (1, 50_000)})
    made.price(BTC=46_000)
    made.wait(3)
    assert hold(made, "rolling_loss") is None
    made.wait(10)
    assert hold(made, "rolling_loss") is not None


def test_window_when_missed_goes_red_and_takes_the_next_response() -> None:
    limit = GrossExposure(max=1.0, on_breach=Response.ALERT, within_s=5, then=Response.REDUCE)
    made = world(limit, held={"BTC": (-1.9, 50_000)})
    made.price(BTC=53_000)
    made.wait(2)
    assert not made.sent
    levels = [a.alert.level for a in made.of(actions.SendAlert) if a.alert.name == limit.name]
    assert Level.RED not in levels
    made.wait(20)
    assert made.sent


def test_window_when_missed_without_a_next_response_is_red() -> None:
    limit = GrossExposure(max=1.0, on_breach=Response.ALERT, within_s=5)
    made = world(limit, held={"BTC": (-1.9, 50_000)}, startup_breach="act")
    made.price(BTC=53_000)
    made.wait(4)
    assert not made.told(limit.name)
    made.wait(4)
    assert [told.alert.level for told in made.told(limit.name)][-1] is Level.RED
    assert not made.sent


# ---------------------------------------------------------------- other configurations


def settings_with(made: World, *limits: GrossExposure, **fields: object) -> World:
    """Restart with other limits."""
    scoped = tuple((PORTFOLIO, limit) for limit in limits)
    made.restart(builders.settings(mode=Mode.ENFORCE, limits=scoped, **fields))
    made.price()
    made.read()
    return made


def test_restart_when_the_limit_only_alerts_now_does_no_more_than_that() -> None:
    made = world(GROSS, held={"BTC": (3, 50_000)}, usdt=80_000)
    made.refuse.extend([RejectReason.RATE_LIMITED] * 50)
    made.price(BTC=43_000)
    made.wait(1)
    settings_with(made, GrossExposure(max=2.0, on_breach=Response.ALERT))
    assert episode(made, "gross_exposure").response is Response.ALERT


def test_contact_when_tightened_below_the_measure_asks_again() -> None:
    made = world(GROSS, held={"BTC": (2.5, 50_000)}, usdt=80_000)
    made.wait(1)
    settings_with(made, GrossExposure(max=1.5, on_breach=Response.REDUCE))
    made.wait(3)
    assert not made.sent
    assert episode(made, "gross_exposure").stage is EpisodeStage.ASKING


def test_contact_when_loosened_is_remembered_with_the_new_limit() -> None:
    made = world(GROSS, held={"BTC": (2.5, 50_000)}, usdt=80_000)
    settings_with(made, GrossExposure(max=3, on_breach=Response.REDUCE))
    contact = made.engine.state.enforcement.contacts[PORTFOLIO, "gross_exposure"]
    assert (contact.allowed, contact.is_armed) == (3, True)


def test_contact_when_a_min_limit_is_raised_above_the_measure_asks_again() -> None:
    made = world(LiquidationDistance(min=0.05), held={"BTC": (1, 50_000)})
    made.wait(1)
    row = builders.position(BTC, 1, 50_000, liquidation_price=40_000)
    made.give(builders.snapshot(row, as_of_ms=made.now_ms, usdt=100_000))
    scoped = ((PORTFOLIO, LiquidationDistance(min=0.5)),)
    made.restart(builders.settings(mode=Mode.ENFORCE, limits=scoped))
    made.give(builders.snapshot(row, as_of_ms=made.now_ms, usdt=100_000))
    made.price()
    contact = made.engine.state.enforcement.contacts[PORTFOLIO, "liquidation_distance"]
    assert not contact.is_armed


def test_contact_when_the_limit_was_removed_and_is_added_again_asks() -> None:
    made = world(GROSS, held={"BTC": (2.5, 50_000)}, usdt=80_000)
    made.wait(1)
    settings_with(made)
    made.somebody_trades("BTC", "2")
    settings_with(made, GROSS)
    made.wait(3)
    assert not made.sent
    settings_with(made, GROSS, startup_breach="act")
    made.wait(3)
    assert made.sent


def test_limit_when_removed_ends_its_alert() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)
    assert (("gross_exposure", PORTFOLIO)) in made.engine.state.alerts.firing
    settings_with(made)
    assert (("gross_exposure", PORTFOLIO)) not in made.engine.state.alerts.firing


def test_enforce_when_shadow_would_have_halted_starts_with_a_deny() -> None:
    limit = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
    made = world(limit, held={"BTC": (2, 50_000)}, mode=Mode.SHADOW)
    made.price(BTC=42_000)
    found = hold(made, "drawdown")
    assert found is not None
    assert (found.state, found.is_enforced) == (TradingState.HALTED, False)
    made.restart(builders.settings(mode=Mode.ENFORCE, limits=((PORTFOLIO, limit),)))
    made.price()
    made.read()
    made.wait(5)
    found = hold(made, "drawdown")
    assert found is not None
    assert (found.state, found.is_enforced) == (TradingState.REDUCING, True)
    assert not found.is_latched
    assert not made.sent


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.04, "ratio", "2.04x"),
        (0.031, "ratio", "3.10%"),
        (21, "count", "21"),
        (61, "/min", "61 /min"),
        (12_345.6, "USD", "12,346 USD"),
    ],
)
def test_figure_writes_a_measure_in_its_unit(value: float, unit: str, text: str) -> None:
    assert figure(value, unit) == text


def test_describe_when_unknown_says_so() -> None:
    assert describe(LiquidationDistance(min=0.1), None) == "liquidation_distance unknown < 10.00%"
