"""What is no straight line: options beyond their delta, isolated positions down to their margin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import appraisal, curved, panel
from riskbot.core.appraisal import Days
from riskbot.core.exposure import Aggregate, Leg, ScopeBook
from riskbot.core.scenarios import Scenario
from riskbot.core.shocking import Table
from riskbot.core.stats import stress, var
from riskbot.core.stressed import Inputs
from riskbot.core.stressing import apply
from tests import builders
from tests.builders import BTC_INVERSE, BTC_PERP
from tests.core.past import noise
from tests.core.test_stressing import book, call, leg, scenario

SETTINGS = builders.settings()
PUT = "BTC/USDT:USDT-261225-40000-P"


def table(*scenarios: Scenario) -> Table:
    return Table(replace(SETTINGS, scenarios=scenarios))


def isolated(
    symbol: str = BTC_PERP, quantity: float = 1.0, margin_usd: float = 5_000.0, **fields: Any
) -> tuple[Leg, dict[str, Any]]:
    held = leg(symbol, quantity, **fields)
    subject = f"main|{symbol}"
    return held, {
        "maintenance_margin": [("main", 0.0), (subject, 0.1)],
        "margin_equity": {"main": 50_000.0, subject: margin_usd},
    }


def live(made: ScopeBook, what: Scenario) -> float | None:
    return table(what).losses(made, None)[what.name]


# ---------------------------------------------------------------- options

amounts = st.floats(-1e6, 1e6)


@given(delta=amounts, gamma=amounts, value=amounts, unit=st.floats(0, 1e7), move=st.floats(-1, 3))
def test_many_options_at_once_are_each_as_alone(
    delta: float, gamma: float, value: float, unit: float, move: float
) -> None:
    alone = stress.option_pnl(delta, move, value_usd=value, gamma_usd=gamma, unit_usd=unit)
    together = stress.option_pnls(
        np.array([delta, delta]),
        np.array([[move, move], [0.0, 0.0]]),
        value_usd=np.array([value, value]),
        gamma_usd=np.array([gamma, 0.0]),
        unit_usd=np.array([unit, math.inf]),
    )
    assert together[0, 0] == pytest.approx(alone, rel=1e-12, abs=1e-9)
    plain = stress.option_pnl(delta, move, value_usd=value)
    assert together[0, 1] == pytest.approx(plain, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("quantity", [2.0, -2.0])
@pytest.mark.parametrize("shock", [-0.6, -0.1, 0.1, 0.8])
@pytest.mark.parametrize("gamma", [True, False])
@pytest.mark.parametrize("peg", [0.0, -0.1, -1.0])
def test_live_loss_of_options_is_that_of_the_whole_scenario(
    quantity: float, shock: float, gamma: bool, peg: float
) -> None:
    fields = {} if gamma else {"gamma_usd": None}
    made = book(call(quantity, unit_usd=50_000.0, **fields), leg(BTC_PERP, -0.3))
    what = scenario({"BTC": shock}, depeg={"USDT": peg} if peg else {})
    made.stablecoins = {"USDT": (10_000.0, 1.0, False)}
    whole = apply(what, made)
    if peg == -1.0:
        # Position by position nobody knows; here the option is bound by its underlying.
        assert whole.pnl_usd is None
        assert live(made, what) is not None
        return
    assert whole.pnl_usd is not None
    assert live(made, what) == pytest.approx(max(0.0, -whole.pnl_usd))


def test_long_option_loses_its_value_at_most_and_a_short_straddle_is_no_hedge() -> None:
    assert live(book(call(2.0, unit_usd=50_000.0)), scenario({"BTC": -0.9})) == 6_000
    short = call(-2.0, unit_usd=50_000.0)
    put = replace(short, delta_usd=50_000.0, notional_usd=50_000.0)
    straddle = book(short, replace(put, key=put.key._replace(symbol=PUT)))
    assert straddle.underlyings["BTC"].net == 0
    for shock in (-0.2, 0.2):
        # 10,000 by delta and 1,000 by gamma on one side; the other gains its premium at most.
        assert live(straddle, scenario({"BTC": shock})) == pytest.approx(11_000 - 6_000)


def test_option_whose_mark_is_unknown_is_not_bound_by_it() -> None:
    for quantity in (2.0, -2.0, 0.0):
        option = call(quantity, mark_usd=None, gamma_usd=None, delta_usd=50_000.0, notional_usd=5e4)
        assert live(book(option), scenario({"BTC": -0.5})) == 25_000


def test_joint_move_takes_options_by_gamma_too() -> None:
    known = panel.build({"BTC": noise("BTC", 1)})
    assert known is not None
    what = scenario(joint_move={"correlation": 0.9, "sigmas": 3.0})
    made = book(call(-2.0, unit_usd=50_000.0))
    loss = table(what).losses(made, known)["it"]
    volatility = {"BTC": float(known.volatility[0])}
    whole = apply(what, made, Inputs(volatilities=volatility))
    assert whole.pnl_usd is not None
    assert loss == pytest.approx(-whole.pnl_usd)
    assert loss is not None
    assert loss > 50_000 * 3 * volatility["BTC"]


# ---------------------------------------------------------------- isolated positions


@pytest.mark.parametrize(
    ("symbol", "quantity", "shock", "fields", "loss"),
    [
        (BTC_PERP, 1.0, -0.05, {}, 2_500),
        (BTC_PERP, 1.0, -0.5, {}, 5_000),
        (BTC_PERP, -1.0, 0.5, {}, 5_000),
        (BTC_PERP, -1.0, -0.5, {}, 0),
        # Liquidated at -8 %: nothing is left of the margin, though 1,000 of it would be by price.
        (BTC_PERP, 1.0, -0.08, {"liquidation_distance": 0.08}, 5_000),
        (BTC_PERP, 1.0, -0.079, {"liquidation_distance": 0.08}, 3_950),
        # In coins, which fall as well: what is left of the margin is what can be lost of it.
        (BTC_INVERSE, 1.0, -0.5, {}, 2_500),
    ],
)
def test_isolated_position_loses_its_margin_at_most(
    symbol: str, quantity: float, shock: float, fields: dict[str, Any], loss: float
) -> None:
    held, pools = isolated(symbol, quantity, **fields)
    made = book(held, **pools)
    what = scenario({"BTC": shock})
    whole = apply(what, made)
    assert whole.pnl_usd is not None
    assert max(0.0, -whole.pnl_usd) == pytest.approx(loss)
    assert live(made, what) == pytest.approx(loss)
    (position,) = whole.moves.positions
    is_bound = "its own margin is all that it can lose" in position.notes
    assert is_bound is (abs(loss) in {5_000, 2_500} and abs(shock) != 0.05)
    if is_bound:
        assert "no more than its margin of" in position.parts[0].words
        assert [each.reason for each in whole.liquidated] != []


def test_lost_peg_takes_its_share_of_the_margin_first() -> None:
    held, pools = isolated()
    made = book(held, **pools, stablecoins={"USDT": (20_000.0, 1.0, False)})
    what = scenario({"BTC": -0.6}, depeg={"USDT": -0.1})
    whole = apply(what, made)
    assert whole.pnl_usd == pytest.approx(-2_000 - 4_500)
    assert live(made, what) == pytest.approx(6_500)


@pytest.mark.parametrize(
    "pools",
    [
        {"maintenance_margin": [(f"main|{BTC_PERP}", None)]},
        {"maintenance_margin": [(f"main|{BTC_PERP}", math.inf)]},
        {"margin_equity": {f"main|{BTC_PERP}": -1.0}},
        {"maintenance_margin": [("main", 0.2)]},
    ],
)
def test_unknown_margin_bounds_nothing(pools: dict[str, Any]) -> None:
    held, known = isolated()
    made = book(held, **(known | pools))
    assert live(made, scenario({"BTC": -0.5})) == 25_000
    assert apply(scenario({"BTC": -0.5}), made).moves.positions[0].pnl_usd == -25_000


def test_what_an_order_would_add_brings_margin_by_its_leverage_or_no_bound() -> None:
    held, pools = isolated(leverage=10.0)
    grown = replace(held, notional_usd=80_000.0, delta_usd=80_000.0)
    margins = curved.margins_of(book(grown, **pools))
    assert curved.margin_of(grown, margins) == pytest.approx(5_000 + 3_000)
    assert curved.margin_of(replace(grown, leverage=None), margins) is None
    assert curved.margin_of(replace(grown, notional_usd=None), margins) is None
    assert curved.margin_of(replace(grown, mark_usd=None), margins) is None
    smaller = replace(held, notional_usd=20_000.0)
    assert curved.margin_of(smaller, margins) == 5_000


def test_margin_in_a_coin_that_is_no_underlying_of_it_falls_with_that_coin() -> None:
    instrument = replace(builders.instrument("ETH/BTC:BTC"), underlying="ETH", settle="BTC")
    held, pools = isolated("ETH/BTC:BTC", instrument=instrument)
    made = book(held, **pools)
    assert live(made, scenario({"ETH": -0.5, "BTC": -0.2})) == pytest.approx(4_000)


# ---------------------------------------------------------------- a year of days


def of_days(made: ScopeBook) -> tuple[Days, panel.Panel]:
    known = panel.build({"BTC": noise("BTC", 1), "ETH": noise("ETH", 2)})
    assert known is not None
    made.now_ms = builders.T0
    days = appraisal.days_of(made, known)
    assert isinstance(days, Days)
    return days, known


def test_days_of_a_book_with_options_are_by_delta_and_gamma() -> None:
    option = call(-2.0, unit_usd=50_000.0)
    days, known = of_days(book(option, leg("ETH/USDT:USDT", 10, 2_000)))
    moves = known.returns[:, known.columns["BTC"]]
    assert option.delta_usd is not None
    by_hand = [
        stress.option_pnl(
            option.delta_usd,
            move,
            value_usd=-6_000.0,
            gamma_usd=option.gamma_usd,
            unit_usd=100_000.0,
        )
        for move in moves.tolist()
    ]
    rest = 20_000 * known.returns[:, known.columns["ETH"]]
    assert days.pnl_usd == pytest.approx(np.array(by_hand) + rest)
    delta = var.historical(option.delta_usd * moves + rest).var_usd
    assert var.historical(days.pnl_usd).var_usd > delta
    for row in (0, 100):
        assert sum(days.made(row).values()) == pytest.approx(float(days.pnl_usd[row]))


def test_components_sum_to_the_whole_with_options_and_what_is_lost() -> None:
    made = book(call(-2.0, unit_usd=50_000.0), leg("ETH/USDT:USDT", 10, 2_000))
    made.underlyings["NEW"] = Aggregate(800.0, 800.0)
    days, _ = of_days(made)
    assert days.lost == ("NEW",)
    for confidence in (0.95, 0.99):
        found, shares = days.attribute(confidence)
        assert list(shares) == ["BTC", "ETH", "NEW"]
        whole = sum(share.var_usd for share in shares.values())
        assert whole == pytest.approx(found.tail.var_usd, rel=1e-9)
        worst = sum(share.es_usd for share in shares.values())
        assert worst == pytest.approx(found.tail.es_usd, rel=1e-9)
    assert days.made(3)["NEW"] == -800


def test_straddle_without_delta_has_its_part_in_the_tail() -> None:
    short = call(-2.0, unit_usd=50_000.0)
    put = replace(short, delta_usd=50_000.0, notional_usd=50_000.0)
    days, _ = of_days(book(short, replace(put, key=put.key._replace(symbol=PUT))))
    found, shares = days.attribute(0.95)
    assert found.tail.var_usd > 0
    assert list(shares) == ["BTC"]
    assert shares["BTC"].var_usd == pytest.approx(found.tail.var_usd, rel=1e-9)


def test_option_of_what_has_no_history_is_part_of_what_is_lost() -> None:
    option = replace(call(0.01, unit_usd=50_000.0), underlying="NEW")
    held = book(option, leg("ETH/USDT:USDT", 10, 2_000))
    days, _ = of_days(held)
    assert days.lost == ("NEW",)
    assert set(days.beside) == {"NEW"}
    # Without a delta in all it may lose as well.
    held.underlyings["NEW"].net = 0.0
    assert of_days(held)[0].lost == ("NEW",)
