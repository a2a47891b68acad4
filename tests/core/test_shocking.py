"""Scenarios that move prices, for every evaluation: against the plain sum, and what is left out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from riskbot.core import panel
from riskbot.core.exposure import Aggregate, ScopeBook
from riskbot.core.limits.stress_loss import StressLoss
from riskbot.core.model import PORTFOLIO, Level, Response
from riskbot.core.scenarios import Scenario
from riskbot.core.settings import CoreSettings
from riskbot.core.shocking import Table
from riskbot.core.stressing import apply
from riskbot.core.stressviews import result_of
from tests import builders
from tests.core.limits import books
from tests.core.market import codes, market
from tests.core.past import noise, read
from tests.core.test_stressing import leg
from tests.oracle import stress_pnl


def scenario(name: str, **fields: Any) -> Scenario:
    return Scenario(name=name, title=name, description=name, source="test", **fields)


CRASH = scenario("crash", shocks={"BTC": -0.5, "sector:defi": -0.7, "DEFAULT": -0.2})
JOINT = scenario("joint", joint_move={"correlation": 0.9, "sigmas": 3.0})
PEG = scenario("peg", depeg={"USDT": -0.1})
QUIET = scenario("quiet", shocks={"BTC": -0.9}, is_counted=False)
SETTINGS = replace(
    builders.settings(), scenarios=(CRASH, JOINT, PEG, QUIET), sectors={"UNI": "defi"}
)


def book(**held: float) -> ScopeBook:
    sums = {name: Aggregate(abs(usd), usd) for name, usd in held.items()}
    return ScopeBook(PORTFOLIO, builders.T0, equity_usd=1_000.0, underlyings=sums)


def table(settings: CoreSettings = SETTINGS) -> Table:
    return Table(settings)


def test_loss_is_the_sum_of_exposure_times_shock_by_own_sector_and_default() -> None:
    held = {"BTC": 1_000.0, "UNI": 300.0, "XRP": -200.0}
    found = table().losses(book(**held), None)
    expected = -stress_pnl(
        [("BTC", 1_000.0, 1.0), ("UNI", 300.0, 1.0), ("XRP", -200.0, 1.0)],
        {"BTC": -0.5, "UNI": -0.7, "XRP": -0.2},
    )
    assert found["crash"] == pytest.approx(expected)
    assert found.keys() == {"crash", "joint", "peg"}


def test_peg_lost_beside_a_fall_counts_as_position_by_position() -> None:
    fall = scenario("fall", shocks={"DEFAULT": -0.25, "BTC": -0.1}, depeg={"UST": -0.8})
    held = books.book(
        leg("BTC/USDT:USDT", 1), leg("BTC/UST:UST", -0.5), leg("BTC/UST", 0.2), equity_usd=9e4
    )
    known = table(replace(SETTINGS, scenarios=(fall,)))
    # Nobody holds the coin, but what is quoted in it is margined by something else.
    without = apply(fall, held)
    assert without.pnl_usd == pytest.approx(-3_500 - 20_000)
    assert known.losses(held, None) == {"fall": pytest.approx(23_500)}
    held.stablecoins["UST"] = (20_000.0, 1.0, False)
    result = apply(fall, held)
    assert result.pnl_usd is not None
    assert known.losses(held, None) == {"fall": pytest.approx(-result.pnl_usd)}
    assert -result.pnl_usd == pytest.approx(3_500 + 16_000 + 20_000)


def test_lost_peg_alone_stops_spreads_and_funding_count_as_position_by_position() -> None:
    made = market(held={"BTC": (0.4, 50_000), "ETH": (-5, 2_000)})
    for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT"):
        frame = {"funding_rate": 0.001, "funding_interval_h": 8.0}
        made.give(builders.prices(symbol, made.marks[symbol], **frame))
    made.rest("BTC", "sell", "0.4", stop_price=48_000, reduce_only=True)
    made.read()
    made.wait(1)
    state = made.engine.state
    held = state.scopes(made.now_ms)[PORTFOLIO]
    several = (
        PEG,
        scenario("stops", stops={"slippage": 0.01}),
        scenario("spread", spread_multiple=10.0),
        scenario("funding", funding_multiple=10.0),
        scenario("all", shocks={"DEFAULT": -0.1}, spread_multiple=5.0, depeg={"USDT": -0.05}),
        scenario("venue", venue_lost="largest"),
    )
    known = table(replace(state.settings, scenarios=several))
    found = known.losses(held, None, state.meter.marks)
    for each in several[:-1]:
        whole = result_of(state, each, PORTFOLIO, made.now_ms)
        assert whole.pnl_usd is not None
        assert found[each.name] == pytest.approx(max(0.0, -whole.pnl_usd))
        assert each.is_read
    assert (found["stops"] or 0) > 0.4 * 2_000
    assert min(found["spread"] or 0, found["funding"] or 0, found["peg"] or 0) > 0
    assert "venue" not in found
    assert not several[-1].is_read
    # What nobody tells is unknown, and says so.
    alone = known.losses(held, None)
    assert (alone["spread"], alone["funding"], alone["all"]) == (None, None, None)
    made.now_ms += 60_000
    late = replace(held, now_ms=made.now_ms)
    assert known.losses(late, None, state.meter.marks)["spread"] is None


def test_gain_is_no_loss_and_a_new_underlying_is_taken_in() -> None:
    known = table()
    assert known.losses(book(BTC=-100.0), None)["crash"] == 0.0
    assert known.losses(book(ETH=100.0), None)["crash"] == pytest.approx(20.0)
    assert known.losses(book(), None) == {"crash": 0.0, "joint": 0.0, "peg": 0.0}


def test_joint_move_loses_its_sigmas_and_is_unknown_without_volatility() -> None:
    known = panel.build({"BTC": noise("BTC", 1), "ETH": noise("ETH", 2)})
    assert known is not None
    loss = table().losses(book(BTC=1_000.0, ETH=500.0), known)["joint"]
    swings = np.array([1_000.0, 500.0]) * known.volatility
    variance = 0.9 * swings.sum() ** 2 + 0.1 * (swings @ swings)
    assert loss == pytest.approx(3 * math.sqrt(variance))
    assert table().losses(book(BTC=1_000.0, NEW=5.0), known)["joint"] is None
    assert table().losses(book(BTC=1_000.0), None)["joint"] is None


def test_without_scenarios_there_is_nothing_to_lose() -> None:
    assert Table(builders.settings()).losses(book(BTC=1.0), None) == {}


def test_stress_limit_reads_each_scenario_and_bounds_orders() -> None:
    made = market(
        StressLoss(max=0.15, on_breach=Response.DENY),
        held={"BTC": (0.4, 50_000)},
        scenarios=(CRASH, JOINT),
    )
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    made.wait(2)
    state = made.engine.state
    ((_, limit),) = state.limits
    equity = state.scopes(made.now_ms)[PORTFOLIO].equity_usd
    assert equity is not None
    rows = {row.key: row for row in state.check(limit, state.scopes(made.now_ms)[PORTFOLIO])}
    assert rows["crash"].measured == pytest.approx(10_000 / equity)
    assert rows["joint"].level is not Level.UNKNOWN
    denied = made.decide("ETH", "buy", "100")
    assert codes(denied) == {"LIMIT_EXCEEDED"}
    room = (0.15 * equity - 10_000) / 0.2 / 2_000
    assert float(denied["max_quantity"]) == pytest.approx(room, abs=0.01)


def test_stress_limit_without_prices_or_history_is_unknown_and_says_why() -> None:
    made = market(StressLoss(max=0.15), held={"BTC": (0.4, 50_000)}, scenarios=(JOINT,))
    state = made.engine.state
    ((_, limit),) = state.limits
    (row,) = state.check(limit, state.scopes(made.now_ms)[PORTFOLIO])
    why = "joint: a volatility, a spread or a funding rate is not known"
    assert (row.level, row.reason) == (Level.UNKNOWN, why)
