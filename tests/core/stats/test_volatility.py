"""Exponentially weighted volatility and covariance, and returns restated at today's volatility."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core.stats import var, volatility

NAN = np.nan


def moves(days: int = 120, count: int = 4, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(5, (days, count)) * 0.03


# --- published examples ---------------------------------------------------------------------------


def test_ewma_when_a_day_is_added_is_hulls_example():
    # J. Hull, "Options, Futures, and Other Derivatives", 9th ed., 2015, sections 23.2 and 23.7:
    # volatility of 1 % and a move of 2 % at decay 0.9; a correlation of 0.6 that becomes 0.6044.
    found = volatility.updated_covariance(np.array([[1e-4]]), np.array([0.02]), 10_000, 0.9)
    assert np.sqrt(found[0, 0]) == pytest.approx(0.0114, abs=5e-5)
    given = np.array([[0.01**2, 0.6 * 0.01 * 0.02], [0.6 * 0.01 * 0.02, 0.02**2]])
    found = volatility.updated_covariance(given, np.array([0.005, 0.025]), 10_000, 0.95)
    expected = [[0.00009625, 0.00012025], [0.00012025, 0.00041125]]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[0, 1] / np.sqrt(found[0, 0] * found[1, 1]) == pytest.approx(0.6044, abs=5e-5)


@pytest.mark.parametrize(("share", "days"), [(1e-2, 74), (1e-3, 112), (1e-4, 149), (1e-5, 186)])
def test_ewma_looks_back_as_far_as_riskmetrics_says(share, days):
    # RiskMetrics Technical Document, 4th ed., table 5.7: days that hold all but a share at 0.94.
    pulse = np.zeros(3_000)
    pulse[:-days] = 1.0
    assert volatility.ewma_volatility(pulse) ** 2 == pytest.approx(share, rel=0.03)


def test_annualized_counts_every_day_of_the_year():
    assert volatility.annualized(0.02) == pytest.approx(0.02 * np.sqrt(365))
    assert volatility.annualized(0.01, 252) == pytest.approx(0.1587, abs=5e-5)


# --- independent references -----------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.8, 0.94, 0.99])
@pytest.mark.parametrize("days", [2, 60, 500])
def test_ewma_volatility_is_the_one_of_pandas(days, decay):
    returns = moves(days)
    squares = pd.DataFrame(returns**2).ewm(alpha=1 - decay, adjust=True).mean()
    expected = np.sqrt(squares.iloc[-1].to_numpy())
    found = volatility.ewma_volatilities(returns, decay, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert volatility.ewma_volatility(returns[:, 1], decay) == pytest.approx(expected[1], rel=1e-9)


def test_ewma_volatilities_when_days_are_missing_let_the_others_age():
    returns = moves()
    returns[np.random.default_rng(1).random(returns.shape) < 0.3] = NAN
    squares = pd.DataFrame(returns**2).ewm(alpha=0.06, adjust=True, ignore_na=False).mean()
    found = volatility.ewma_volatilities(returns)
    np.testing.assert_allclose(found, np.sqrt(squares.iloc[-1].to_numpy()), rtol=1e-9)


def test_ewma_covariance_is_the_weighted_mean_of_products():
    returns = moves(100, 5)
    weights = 0.94 ** np.arange(99, -1, -1)
    expected = np.einsum("t,ti,tj->ij", weights / weights.sum(), returns, returns)
    found = volatility.ewma_covariance(returns)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(
        np.sqrt(np.diag(found)), volatility.ewma_volatilities(returns), rtol=1e-9
    )
    assert np.linalg.eigvalsh(found)[0] > 0


@settings(max_examples=40)
@given(st.integers(2, 80), st.integers(1, 6), st.floats(0.5, 0.999), st.integers(0, 99))
def test_updated_covariance_equals_one_estimated_anew(days, count, decay, seed):
    returns = moves(days + 1, count, seed)
    before = volatility.ewma_covariance(returns[:-1], decay)
    found = volatility.updated_covariance(before, returns[-1], days, decay)
    expected = volatility.ewma_covariance(returns, decay)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


# --- filtered -------------------------------------------------------------------------------------


def filtered_by_hand(returns: np.ndarray, decay: float = 0.94) -> np.ndarray:
    variance, forecasts = float(np.mean(returns**2)), []
    for move in returns:
        forecasts.append(variance)
        variance = decay * variance + (1 - decay) * move**2
    return returns * np.sqrt(variance / np.array(forecasts))


def test_filtered_restates_each_day_at_todays_volatility():
    returns = moves()
    found = volatility.filtered(returns)
    for column in range(4):
        expected = filtered_by_hand(returns[:, column])
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-9)


def test_filtered_var_follows_the_market_and_the_plain_one_does_not():
    rng = np.random.default_rng(3)
    calm_then_wild = np.concatenate([rng.normal(0, 0.01, 200), rng.normal(0, 0.05, 52)])
    for returns, least in ((calm_then_wild, 1.3), (calm_then_wild[::-1], 0.0)):
        plain = var.value_at_risk(returns, 0.95)
        ratio = var.value_at_risk(volatility.filtered(returns[:, np.newaxis])[:, 0], 0.95) / plain
        assert ratio > least if least else ratio < 0.7


def test_filtered_when_volatility_does_not_change_is_the_same():
    steady = np.tile([0.02, -0.02], 60)[:, np.newaxis]
    np.testing.assert_allclose(volatility.filtered(steady), steady, rtol=1e-9)


def test_filtered_when_days_are_missing_learns_nothing_from_them():
    returns = moves()
    holed = np.insert(returns, 40, NAN, axis=0)
    found = volatility.filtered(holed)
    assert np.isnan(found[40]).all()
    np.testing.assert_allclose(np.delete(found, 40, axis=0), volatility.filtered(returns))


def test_filtered_when_a_market_was_halted_stays_within_bounds():
    # 200 days without a move, then a fall of 40 %: its day had next to no volatility.
    halted = np.zeros((252, 2))
    halted[:20], halted[220] = 0.05, -0.4
    found = volatility.filtered(halted)
    assert (found >= -1).all()
    assert found[220, 0] == pytest.approx(max(-1.0, -0.4 * volatility.RATIO_MAX))
    assert volatility.filtered(halted, floor=-np.inf)[220, 0] == pytest.approx(-4.0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (5, 0), (1, 1), (30, 2_000)])
def test_filtered_when_nothing_ever_moves_changes_nothing(shape):
    np.testing.assert_array_equal(volatility.filtered(np.zeros(shape)), np.zeros(shape))


# --- what cannot be computed ----------------------------------------------------------------------


def test_ewma_volatilities_when_days_are_too_few_are_unknown():
    returns = moves()
    returns[29:, 0] = NAN
    returns[30:, 1] = NAN
    returns[:, 2] = 0.0
    returns[:, 3] = NAN
    found = volatility.ewma_volatilities(returns)
    assert np.isnan(found[[0, 3]]).all()
    assert found[1] > 0
    assert found[2] == 0
    assert np.isnan(volatility.ewma_volatilities(returns[:1])).all()
    assert np.isnan(volatility.ewma_volatilities(returns[:0])).all()
    assert volatility.ewma_volatilities(np.empty((50, 0))).shape == (0,)
    assert volatility.ewma_volatilities(moves(40, 2_000)).shape == (2_000,)


@pytest.mark.parametrize("days", [0, 1])
def test_ewma_when_there_is_one_day_refuses(days):
    with pytest.raises(ValueError, match=f"{days} of them, fewer than 2"):
        volatility.ewma_volatility(np.ones(days))
    with pytest.raises(ValueError, match=f"{days} days, fewer than 2"):
        volatility.ewma_covariance(np.ones((days, 2)))


def test_ewma_when_a_return_is_missing_refuses_or_names_it():
    with pytest.raises(ValueError, match="not finite at 3"):
        volatility.ewma_volatility(np.array([1, 2, 3, NAN]))
    returns = moves()
    returns[5, [1, 3]] = NAN
    with pytest.raises(ValueError, match="missing in column 1, 3"):
        volatility.ewma_covariance(returns)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 94, NAN])
def test_ewma_when_the_decay_is_no_share_refuses(decay):
    for compute in (volatility.ewma_volatilities, volatility.ewma_covariance, volatility.filtered):
        with pytest.raises(ValueError, match="decay"):
            compute(moves(), decay)
    with pytest.raises(ValueError, match="decay"):
        volatility.ewma_volatility(moves()[:, 0], decay)
    with pytest.raises(ValueError, match="decay"):
        volatility.updated_covariance(np.eye(2), np.ones(2), 5, decay)


@pytest.mark.parametrize(("size", "newest", "days"), [(2, 3, 5), (3, 3, 0)])
def test_updated_covariance_when_shapes_do_not_fit_refuses(size, newest, days):
    with pytest.raises(ValueError, match="covariance: shape"):
        volatility.updated_covariance(np.eye(size), np.ones(newest), days)
