"""What a move does to positions: by hand, by the oracle, and for any numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core.stats import stress
from tests import oracle

usd = st.floats(-1e7, 1e7)
shocks_ = st.floats(-1, 3)


# ---------------------------------------------------------------- coins, linear, inverse


def test_long_linear_position_loses_its_notional_times_the_fall() -> None:
    # 2 BTC at 50,000, BTC -10 %: 2 * (45,000 - 50,000).
    assert stress.position_pnl(100_000, -0.10) == -10_000


def test_inverse_account_computed_in_coins_equals_collateral_plus_face_times_shock() -> None:
    # 1 BTC of collateral, long 30,000 USD of face since 40,000, BTC 50,000 -> 35,000.
    wallet, face, entry, before, after = 1.0, 30_000.0, 40_000.0, 50_000.0, 35_000.0
    shock = after / before - 1

    def worth(price: float) -> float:
        return (wallet + face * (1 / entry - 1 / price)) * price

    coins = wallet + face * (1 / entry - 1 / before)
    by_legs = stress.position_pnl(coins * before, shock) + stress.position_pnl(face, shock)
    assert by_legs == pytest.approx(worth(after) - worth(before), rel=1e-12)


@given(
    coins=st.floats(0.01, 100), entry=st.floats(10, 1e5), price=st.floats(10, 1e5), shock=shocks_
)
def test_coin_hedged_by_a_short_inverse_contract_keeps_its_dollars(
    coins: float, entry: float, price: float, shock: float
) -> None:
    # The face that hedges is the worth of all the coins: wallet and profit.
    held = coins * price
    pnl = stress.position_pnl(held, shock) + stress.position_pnl(-held, shock)
    assert pnl == pytest.approx(0, abs=1e-6 * held)


def test_linear_position_under_a_depeg_computed_in_the_quote_equals_the_formula() -> None:
    # 1 BTC long at 50,000 USDT on 100,000 USDT; USDT falls to 0.90, BTC keeps its dollars.
    after = 50_000 / 0.9
    equity = (100_000 + (after - 50_000)) * 0.9
    pnl = 100_000 * -0.1 + stress.position_pnl(50_000, 0.0, -0.1)
    assert 100_000 + pnl == pytest.approx(equity)
    # Together with a fall of BTC by 20 %.
    after = 50_000 * 0.8 / 0.9
    equity = (100_000 + (after - 50_000)) * 0.9
    pnl = 100_000 * -0.1 + stress.position_pnl(50_000, -0.2, -0.1)
    assert 100_000 + pnl == pytest.approx(equity)


@given(
    st.lists(
        st.tuples(st.sampled_from("ABCDE"), st.floats(-100, 100), st.floats(1, 1e4)), max_size=8
    ),
    st.dictionaries(st.sampled_from(["A", "B", "C", "DEFAULT"]), shocks_),
)
def test_any_book_equals_the_oracle(
    book: list[tuple[str, float, float]], shocks: dict[str, float]
) -> None:
    expected = oracle.stress_pnl(book, shocks)
    assets = sorted({asset for asset, _, _ in book})
    net = {a: sum(q * m for asset, q, m in book if asset == a) for a in assets}
    row = [shocks.get(a, shocks.get("DEFAULT", 0.0)) for a in assets]
    pnl = stress.scenario_pnl(
        np.array([row, row]).reshape(2, -1), np.array([net[a] for a in assets])
    )
    assert pnl == pytest.approx([expected, expected], rel=1e-9, abs=1e-3)


@given(st.lists(st.tuples(usd, shocks_), min_size=1, max_size=10), st.floats(-3, 3))
def test_scenarios_are_linear_in_the_book(rows: list[tuple[float, float]], factor: float) -> None:
    exposures = np.array([usd for usd, _ in rows])
    matrix = np.array([[shock for _, shock in rows]])
    once = stress.scenario_pnl(matrix, exposures)
    assert stress.scenario_pnl(matrix, exposures * factor) == pytest.approx(once * factor, abs=1e-3)
    turned = stress.scenario_pnl(matrix[:, ::-1], exposures[::-1])
    assert turned == pytest.approx(once, abs=1e-3)


@pytest.mark.parametrize(
    ("matrix", "exposures"),
    [
        (np.zeros((2, 3)), np.zeros(2)),
        (np.zeros(3), np.zeros(3)),
        (np.full((1, 1), np.nan), np.ones(1)),
        (np.ones((1, 1)), np.full(1, np.inf)),
        (np.zeros((0, 1)), np.full(1, np.nan)),
    ],
)
def test_arrays_that_do_not_fit_or_are_not_finite_are_refused(
    matrix: stress.FloatArray, exposures: stress.FloatArray
) -> None:
    with pytest.raises(ValueError, match=r"shocks|finite"):
        stress.scenario_pnl(matrix, exposures)


def test_no_scenario_and_no_position_are_no_pnl() -> None:
    assert stress.scenario_pnl(np.zeros((0, 2)), np.ones(2)).shape == (0,)
    assert stress.scenario_pnl(np.zeros((3, 0)), np.zeros(0)).tolist() == [0, 0, 0]


def test_price_in_a_quote_that_fell_rises() -> None:
    assert stress.quoted_move(0.0, -0.1) == pytest.approx(1 / 0.9 - 1)
    assert stress.quoted_move(-0.2, 0.0) == pytest.approx(-0.2)
    assert stress.quoted_move(-0.2, -1.0) == math.inf


# ---------------------------------------------------------------- options


def test_long_call_by_delta_and_gamma_by_hand() -> None:
    # 2 calls, S 50,000, delta 0.5, gamma 0.00001, mark 3,000; S +4 % = +2,000:
    # 2 * (0.5 * 2,000 + 0.00001 * 2,000^2 / 2) = 2,040.
    pnl = stress.option_pnl(
        2 * 0.5 * 50_000,
        0.04,
        value_usd=6_000,
        gamma_usd=2 * 0.00001 * 50_000**2,
        unit_usd=2 * 50_000,
    )
    assert pnl == pytest.approx(2_040)


def test_long_option_loses_its_value_and_no_more() -> None:
    fall = stress.option_pnl(50_000, -0.5, value_usd=6_000, gamma_usd=0.0, unit_usd=100_000)
    assert fall == -6_000
    assert stress.option_pnl(50_000, -0.5, value_usd=6_000) == -6_000


def test_short_option_gains_its_value_and_no_more_and_loses_by_gamma() -> None:
    assert stress.option_pnl(-50_000, -0.5, value_usd=-6_000) == 6_000
    pnl = stress.option_pnl(-50_000, 0.2, value_usd=-6_000, gamma_usd=-150_000.0, unit_usd=100_000)
    assert pnl == pytest.approx(-10_000 - 3_000)


def test_option_never_moves_by_more_than_its_underlying() -> None:
    rise = stress.option_pnl(50_000, 1.0, value_usd=6_000, gamma_usd=1e6, unit_usd=100_000)
    assert rise == 100_000
    loss = stress.option_pnl(-50_000, 1.0, value_usd=-6_000, gamma_usd=-1e6, unit_usd=100_000)
    assert loss == -100_000


@given(
    quantity=st.floats(-10, 10),
    delta=st.floats(-1, 1),
    gamma=st.floats(0, 1e-3),
    mark=st.floats(0, 5_000),
    move=shocks_,
)
def test_any_option_stays_within_its_value_and_its_underlying(
    quantity: float, delta: float, gamma: float, mark: float, move: float
) -> None:
    spot = 50_000.0
    value = quantity * mark
    pnl = stress.option_pnl(
        quantity * delta * spot,
        move,
        value_usd=value,
        gamma_usd=quantity * gamma * spot**2,
        unit_usd=abs(quantity) * spot,
    )
    assert abs(pnl) <= abs(quantity) * spot * abs(move) + 1e-6
    assert pnl >= -value if value >= 0 else pnl <= -value


# ---------------------------------------------------------------- one correlation


def test_joint_move_of_two_assets_by_hand() -> None:
    # x = (1,000, 1,000): V^2 = 0.9 * 2,000^2 + 0.1 * 2e6 = 3.8e6; the book loses 3 V.
    moves = stress.joint_move(
        np.array([50_000.0, 20_000.0]), np.array([0.02, 0.05]), correlation=0.9, sigmas=3
    )
    deviation = math.sqrt(3.8e6)
    pull = (0.9 * 2_000 + 0.1 * 1_000) / deviation
    assert moves == pytest.approx([-3 * 0.02 * pull, -3 * 0.05 * pull])
    assert moves @ np.array([50_000, 20_000]) == pytest.approx(-3 * deviation)


def test_joint_move_when_correlation_is_one_moves_each_by_its_sigmas() -> None:
    volatilities = np.array([0.02, 0.05])
    longs = stress.joint_move(np.array([5e4, 2e4]), volatilities, correlation=1, sigmas=2, days=4)
    assert longs == pytest.approx(-2 * 2 * volatilities)
    shorts = stress.joint_move(np.array([-5e4, -2e4]), volatilities, correlation=1, sigmas=2)
    assert shorts == pytest.approx(2 * volatilities)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 0.08)), min_size=1, max_size=6),
    st.floats(0.05, 1),
)
def test_joint_move_loses_the_closed_form_of_any_book(
    rows: list[tuple[float, float]], correlation: float
) -> None:
    exposures, volatilities = (np.array(column) for column in zip(*rows, strict=True))
    matrix = np.full((len(rows), len(rows)), correlation)
    np.fill_diagonal(matrix, 1)
    swings = exposures * volatilities
    deviation = math.sqrt(max(float(swings @ matrix @ swings), 0.0))
    moves = stress.joint_move(exposures, volatilities, correlation=correlation, sigmas=1)
    assert moves @ exposures == pytest.approx(-deviation, rel=1e-6, abs=1e-3)


def test_joint_move_of_a_book_without_variance_is_none() -> None:
    nothing = stress.joint_move(np.zeros(2), np.ones(2), correlation=0.9, sigmas=3)
    assert nothing.tolist() == [0, 0]


def test_joint_move_never_takes_a_price_below_nothing() -> None:
    moves = stress.joint_move(np.array([1e5]), np.array([0.5]), correlation=0.9, sigmas=3)
    assert moves.tolist() == [-1]


@pytest.mark.parametrize(
    ("exposures", "volatilities", "correlation", "sigmas", "days"),
    [
        ([1.0], [0.1, 0.2], 0.9, 3, 1),
        ([[1.0]], [[0.1]], 0.9, 3, 1),
        ([math.nan], [0.1], 0.9, 3, 1),
        ([1.0], [math.inf], 0.9, 3, 1),
        ([1.0], [-0.1], 0.9, 3, 1),
        ([1.0], [0.1], 0.0, 3, 1),
        ([1.0], [0.1], 1.1, 3, 1),
        ([1.0], [0.1], 0.9, 0, 1),
        ([1.0], [0.1], 0.9, 3, 0),
    ],
)
def test_joint_move_when_an_argument_is_out_of_range_is_refused(
    exposures: list[float],
    volatilities: list[float],
    correlation: float,
    sigmas: float,
    days: float,
) -> None:
    with pytest.raises(ValueError, match=r"exposure|range"):
        stress.joint_move(
            np.array(exposures),
            np.array(volatilities),
            correlation=correlation,
            sigmas=sigmas,
            days=days,
        )


# ---------------------------------------------------------------- stops, margin, losses


def test_position_closed_at_its_stop_loses_the_way_there_and_slippage() -> None:
    # 1 BTC long at 50,000, stop 45,000, 1 % worse: sold at 44,550.
    assert stress.stop_pnl(50_000, 5_000, 0.01) == pytest.approx(44_550 - 50_000)
    # Short, stop 55,000: bought at 55,550.
    assert stress.stop_pnl(-50_000, 5_000, 0.01) == pytest.approx(50_000 - 55_550)


def test_liquidation_is_reached_from_above_by_a_long_and_from_below_by_a_short() -> None:
    assert stress.is_liquidated(0.2, -0.2, is_long=True)
    assert not stress.is_liquidated(0.2, -0.19, is_long=True)
    assert not stress.is_liquidated(0.2, 0.5, is_long=True)
    assert stress.is_liquidated(0.2, 0.2, is_long=False)
    assert not stress.is_liquidated(0.2, -0.5, is_long=False)


def test_distance_to_liquidation_after_a_move() -> None:
    # Mark 100, long, liquidated at 80: at 90 it is 10/90 away.
    assert stress.distance_after(0.2, -0.1, is_long=True) == pytest.approx(10 / 90)
    assert stress.distance_after(0.2, 0.1, is_long=False) == pytest.approx(10 / 110)
    assert stress.distance_after(0.2, -0.3, is_long=True) == 0
    assert stress.distance_after(0.2, math.inf, is_long=True) == 0


def test_margin_moves_with_gross_and_equity() -> None:
    assert stress.margin_ratio(1_000, 20_000, 100_000, 80_000) == pytest.approx(0.04)
    assert stress.margin_ratio(1_000, 0, 100_000, 80_000) == math.inf
    assert stress.margin_ratio(0, 20_000, 0, 0) == 0
    assert stress.margin_ratio(1_000, -5, 100_000, 0) == 0


def test_loss_since_a_start_grows_with_what_is_lost_of_what_is_left() -> None:
    # 90 of 100 are left, and a fifth of that goes: 72.
    assert stress.loss_after(0.1, 0.8) == pytest.approx(0.28)
    assert stress.loss_after(-0.1, 0.8) == pytest.approx(0.12)
