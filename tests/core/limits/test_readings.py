"""What each limit reads off a book: one row per figure, worst first."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core.exposure import Losses, ScopeBook
from riskbot.core.limits import LIMITS, LIMITS_BY_NAME
from riskbot.core.model import Level, PositionSide
from tests.core.limits.books import book, leg, pair

INF = float("inf")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"

LONG_BTC = leg(BTC, 60_000.0, sector="layer1", groups=("majors",), strategy="grid")
SHORT_ETH = leg(ETH, -40_000.0, sector="layer1", groups=("majors",), strategy="external")
SHORT_BTC = leg("BTC/USD:BTC", -50_000.0, sector="layer1")
BLIND_DOGE = leg("DOGE/USDT:USDT", None, sector="memes", groups=("dogs",))
TWO = book(LONG_BTC, SHORT_ETH)
HALF_BLIND = book(LONG_BTC, BLIND_DOGE)
BROKE = book(LONG_BTC, equity_usd=-1.0)
EMPTY_BROKE = book(equity_usd=0.0)
UNSYNCED = book(LONG_BTC, equity_usd=None)
NOTHING = book()

# limit, its extra fields, book, [(key, value)] expected
READINGS: list[tuple[str, dict[str, Any], ScopeBook, list[tuple[str, float | None]]]] = [
    ("gross_exposure", {}, TWO, [("", 1.0)]),
    ("gross_exposure", {}, NOTHING, [("", 0.0)]),
    ("gross_exposure", {}, HALF_BLIND, [("", None)]),
    ("gross_exposure", {}, UNSYNCED, [("", None)]),
    ("gross_exposure", {}, BROKE, [("", INF)]),
    ("gross_exposure", {}, EMPTY_BROKE, [("", 0.0)]),
    ("net_exposure", {}, TWO, [("+", 0.2)]),
    ("net_exposure", {}, book(SHORT_ETH), [("-", 0.4)]),
    ("net_exposure", {}, HALF_BLIND, [("", None)]),
    ("net_exposure", {}, book(LONG_BTC, leg(ETH, -60_000.0), equity_usd=-5.0), [("+", INF)]),
    ("net_delta", {}, TWO, [("BTC", 60_000.0), ("ETH", 40_000.0), ("+", 20_000.0)]),
    ("net_delta", {"of_equity": True}, book(SHORT_ETH), [("ETH", 0.4), ("-", 0.4)]),
    ("net_delta", {}, HALF_BLIND, [("+", None), ("DOGE", None), ("BTC", 60_000.0)]),
    ("asset_exposure", {}, TWO, [("BTC", 0.6), ("ETH", 0.4)]),
    ("asset_exposure", {}, book(LONG_BTC, SHORT_BTC), [("BTC", 1.1)]),
    ("asset_exposure", {"netted": True}, book(LONG_BTC, SHORT_BTC), [("BTC", 0.1)]),
    ("asset_exposure", {}, HALF_BLIND, [("DOGE", None), ("BTC", 0.6)]),
    ("asset_exposure", {}, NOTHING, [("", 0.0)]),
    ("sector_exposure", {}, TWO, [("layer1", 1.0)]),
    ("sector_exposure", {}, HALF_BLIND, [("memes", None), ("layer1", 0.6)]),
    ("group_exposure", {}, TWO, [("majors", 1.0)]),
    ("group_exposure", {}, HALF_BLIND, [("dogs", None), ("majors", 0.6)]),
    ("underlying_concentration", {}, book(leg(BTC, 30_000.0)), [("BTC", 0.3)]),
    (
        "underlying_concentration",
        {},
        book(LONG_BTC, leg(ETH, 90_000.0)),
        [("ETH", 0.6), ("BTC", 0.4)],
    ),
    ("underlying_concentration", {"gross_floor": 0.0}, book(leg(BTC, 30_000.0)), [("BTC", 1.0)]),
    ("underlying_concentration", {"gross_floor": 0.0}, NOTHING, [("", 0.0)]),
    ("underlying_concentration", {}, BROKE, [("BTC", INF)]),
    ("underlying_concentration", {}, HALF_BLIND, [("", None)]),
    ("underlying_concentration", {}, UNSYNCED, [("", None)]),
    ("underlying_concentration", {"by": "strategy"}, TWO, [("grid", 0.6), ("external", 0.4)]),
    ("underlying_concentration", {"by": "instrument"}, TWO, [(BTC, 0.6), (ETH, 0.4)]),
    (
        "underlying_concentration",
        {"by": "hedged_pair"},
        book(LONG_BTC, SHORT_BTC, SHORT_ETH, pairs=[pair(LONG_BTC, SHORT_BTC)]),
        [("ETH", 4 / 15), ("BTC pair", 1 / 15)],
    ),
    ("strategy_share", {}, TWO, [("grid", 0.6)]),
    ("strategy_share", {}, HALF_BLIND, [("", None)]),
    ("strategy_share", {}, book(leg(BTC, 0.0, strategy="grid")), [("grid", 0.0)]),
    ("leverage", {}, book(LONG_BTC, capital_usd=10.0), [("", 0.6)]),
    ("leverage", {}, HALF_BLIND, [("", None)]),
    (
        "maintenance_margin",
        {},
        book(maintenance_margin=[("main", 0.2), ("main|" + BTC, 0.4), ("other", None)]),
        [("other", None), ("main|" + BTC, 0.4), ("main", 0.2)],
    ),
    ("liquidation_distance", {}, NOTHING, [("", INF)]),
    ("liquidation_distance", {}, book(LONG_BTC), [("", INF)]),
    (
        "liquidation_distance",
        {},
        book(
            leg(BTC, liquidation_price=8_000.0, liquidation_distance=0.2),
            leg(ETH, liquidation_price=9_500.0, liquidation_distance=0.05),
            leg("SOL/USDT:USDT", None, liquidation_price=1.0),
            leg("ADA/USDT:USDT", 0.0, quantity=0.0, liquidation_price=1.0),
        ),
        [("main|SOL/USDT:USDT", None), ("main|" + ETH, 0.05), ("main|" + BTC, 0.2)],
    ),
    (
        "hedge_drift",
        {},
        book(LONG_BTC, SHORT_BTC, pairs=[pair(LONG_BTC, SHORT_BTC, drift=0.1)]),
        [("BTC pair", 0.1)],
    ),
    (
        "position_size",
        {},
        book(LONG_BTC, leg(BTC, -70_000.0, side=PositionSide.SHORT), BLIND_DOGE),
        [("main|DOGE/USDT:USDT", None), (f"main|{BTC}|short", 0.7), ("main|" + BTC, 0.6)],
    ),
    ("open_positions", {}, book(LONG_BTC, SHORT_ETH, leg(is_dust=True)), [("", 2.0)]),
    ("stop_risk", {}, book(LONG_BTC, stop_risk_usd=5_000.0), [("", 0.05)]),
    ("stop_risk", {}, book(BLIND_DOGE, stop_risk_usd=5_000.0), [("", None)]),
    ("drawdown", {}, book(losses=Losses(drawdown=0.1)), [("", 0.1)]),
    ("drawdown", {}, NOTHING, [("", None)]),
    ("max_drawdown", {}, book(losses=Losses(max_drawdown=0.2)), [("", 0.2)]),
    ("weekly_drawdown", {}, book(losses=Losses(weekly_drawdown=0.03)), [("", 0.03)]),
    ("daily_loss", {}, book(losses=Losses(daily_loss=0.02)), [("", 0.02)]),
    ("weekly_loss", {}, book(losses=Losses(weekly_loss=0.04)), [("", 0.04)]),
    ("rolling_loss", {}, book(losses=Losses(rolling_loss_24h=0.01)), [("", 0.01)]),
    ("rolling_loss", {"window": "7d"}, book(losses=Losses(rolling_loss_7d=0.05)), [("", 0.05)]),
    ("trades_per_day", {}, book(day={"trades_per_day": 7}), [("", 7.0)]),
    ("trades_per_day", {}, NOTHING, [("", None)]),
    ("loss_streak", {}, book(day={"loss_streak": 3}), [("", 3.0)]),
    (
        "venue_share",
        {},
        book(venue_equity={"one": 30_000.0, "two": 70_000.0}, aum_usd=200_000.0),
        [("two", 0.35), ("one", 0.15)],
    ),
    ("venue_share", {}, book(venue_equity={"one": 1.0}, aum_usd=None), [("one", None)]),
    ("venue_share", {}, book(venue_equity={"one": -1.0}, aum_usd=0.0), [("one", INF)]),
    (
        "on_exchange_share",
        {},
        book(venue_equity={"one": 30_000.0, "two": 70_000.0}, aum_usd=200_000.0),
        [("", 0.5)],
    ),
    ("stable_share", {}, book(stablecoins={"USDT": (25_000.0, 1.0, False)}), [("USDT", 0.25)]),
    (
        "peg_deviation",
        {},
        book(stablecoins={"USDT": (1.0, 0.875, False), "FDUSD": (1.0, 1.0, True)}),
        [("FDUSD", None), ("USDT", 0.125)],
    ),
    ("value_at_risk", {}, book(stats={"value_at_risk": 0.03}), [("", 0.03)]),
    ("value_at_risk", {"confidence": 0.99}, book(stats={"value_at_risk_99": 0.05}), [("", 0.05)]),
    ("value_at_risk", {}, NOTHING, [("", None)]),
    (
        "found_group_exposure",
        {},
        book(stats={"found_group_exposure": 0.0, "found_group_exposure:BTC+1": 0.4}),
        [("BTC+1", 0.4), ("", 0.0)],
    ),
    ("expected_shortfall", {}, book(stats={"expected_shortfall": 0.04}), [("", 0.04)]),
    (
        "expected_shortfall",
        {"confidence": 0.99},
        book(stats={"expected_shortfall_99": 0.06, "expected_shortfall": 0.04}),
        [("", 0.06)],
    ),
    (
        "stress_loss",
        {},
        book(stats={"stress_loss:may_2021": 0.2, "stress_loss:ftx": None}),
        [("ftx", None), ("may_2021", 0.2)],
    ),
    ("volatility", {}, book(stats={"volatility": 0.5, "volatility_x": 9.0}), [("", 0.5)]),
    ("time_to_exit", {}, book(stats={"time_to_exit": 90.0}), [("", 90.0)]),
    ("exit_cost", {}, book(stats={"exit_cost": 0.01}), [("", 0.01)]),
    ("funding_cost", {}, book(stats={"funding_cost": 0.001}), [("", 0.001)]),
    ("slippage", {}, book(slippage_bps={"grid": (12.0, 3.0)}), [("grid", 12.0)]),
    ("slippage", {}, NOTHING, [("", 0.0)]),
    ("feed_age", {}, book(operational={"feed_age:main:prices": 3.0}), [("main:prices", 3.0)]),
    ("clock_offset", {}, book(operational={"clock_offset": -700.0}), [("", 700.0)]),
    ("clock_offset", {}, NOTHING, [("", None)]),
    ("error_rate", {}, book(operational={"error_rate": 4.0}), [("", 4.0)]),
    ("order_rate", {}, book(operational={"order_rate": 30.0}), [("", 30.0)]),
]


@pytest.mark.parametrize(("name", "fields", "seen", "expected"), READINGS)
def test_read_when_book_is_given_returns_figures_worst_first(
    name: str, fields: dict[str, Any], seen: ScopeBook, expected: list[tuple[str, float | None]]
) -> None:
    cls = LIMITS_BY_NAME[name]
    limit = cls(**{"min" if cls.is_min else "max": 0.5, **fields})
    found = [(reading.key, reading.value) for reading in limit.read(seen)]
    assert [key for key, _ in found] == [key for key, _ in expected]
    for (_, value), (_, wanted) in zip(found, expected, strict=True):
        assert value == (wanted if wanted is None else pytest.approx(wanted))


def test_every_limit_has_a_reading_in_the_table() -> None:
    assert {row[0] for row in READINGS} == {limit.name for limit in LIMITS}


@pytest.mark.parametrize(("name", "fields", "seen", "expected"), READINGS)
def test_check_when_figure_is_unknown_says_why(
    name: str, fields: dict[str, Any], seen: ScopeBook, expected: list[tuple[str, float | None]]
) -> None:
    cls = LIMITS_BY_NAME[name]
    limit = cls(**{"min" if cls.is_min else "max": 0.5, **fields})
    for verdict in limit.check(seen):
        is_unknown = verdict.measured is None
        assert (verdict.level is Level.UNKNOWN) == is_unknown == bool(verdict.reason)
