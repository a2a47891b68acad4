"""VaR, ES and where they come from, against textbooks, numpy, scipy and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import integrate, optimize
from scipy import stats as reference

from riskbot.core.stats import var

CONFIDENCES = (0.9, 0.95, 0.975, 0.99)


def market(days: int = 252, count: int = 8, seed: int = 5) -> np.ndarray:
    """Fat-tailed returns that move together."""
    rng = np.random.default_rng(seed)
    common = rng.standard_t(4, days) * 0.02
    return common[:, np.newaxis] + rng.standard_t(4, (days, count)) * 0.015


def book(count: int = 8, seed: int = 6) -> np.ndarray:
    """Signed exposures, long on the whole."""
    return np.random.default_rng(seed).normal(2_000, 5_000, count)


# --- published examples ---------------------------------------------------------------------------

# J. Hull, "Options, Futures, and Other Derivatives", 9th ed., 2015, table 22.4: the fifteen worst
# of 500 scenarios of a portfolio of four stock indices, USD thousands.
HULL = [477.841, 345.435, 282.204, 277.041, 253.385, 217.974, 202.256, 201.389]
HULL += [191.269, 191.050, 185.127, 184.450, 182.707, 180.105, 172.224]


def test_historical_when_given_hulls_scenarios_finds_his_var_and_expected_shortfall():
    pnl = np.concatenate([np.linspace(170, -300, 485), HULL]) * -1
    found = var.historical(np.random.default_rng(1).permutation(pnl), 0.99)
    assert found.var_usd == 253.385
    assert found.es_usd == pytest.approx(327.181, abs=5e-4)
    assert found.days == 500


def test_historical_when_given_a_worked_example_is_what_the_hand_computes():
    # 100 days, losses of 1 to 100: VaR 95 is the 5th worst, ES the mean of the five.
    pnl = -np.arange(1.0, 101.0)
    assert var.historical(pnl, 0.95) == (0.95, 96.0, 98.0, 100)
    assert var.historical(pnl, 0.99) == (0.99, 100.0, 100.0, 100)
    # 252 days: 12.6 of them are the tail: 12 whole ones, and 0.6 of the 13th.
    pnl = -np.arange(1.0, 253.0)
    found = var.historical(pnl, 0.95)
    assert found.var_usd == 240.0
    assert found.es_usd == pytest.approx((sum(range(241, 253)) + 0.6 * 240) / 12.6, rel=1e-12)
    # 30 days hold no hundredth: the worst day is all that can be said.
    assert var.historical(-np.arange(1.0, 31.0), 0.99)[1:3] == (30.0, 30.0)


# `value_at_risk` and `conditional_value_at_risk` of empyrical-reloaded 0.7.1 on 0.02 sin(n^2)
# for n = 1 .. 500 (ES, where its whole-day tail is ours) and n = 1 .. 501 (VaR, where its
# interpolation falls on a day).
EMPYRICAL_ES, EMPYRICAL_VAR = 0.019937646318815207, 0.01980999766451036


def test_historical_where_another_library_has_the_same_convention_is_equal():
    found = var.historical(0.02 * np.sin(np.arange(1.0, 501.0) ** 2), 0.95)
    assert found.es_usd == pytest.approx(EMPYRICAL_ES, rel=1e-12)
    found = var.historical(0.02 * np.sin(np.arange(1.0, 502.0) ** 2), 0.95)
    assert found.var_usd == pytest.approx(EMPYRICAL_VAR, rel=1e-12)


# --- independent references -----------------------------------------------------------------------


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("days", [1, 2, 30, 100, 252, 500])
def test_value_at_risk_is_numpys_inverse_of_the_empirical_distribution(days, confidence):
    pnl = market(days, 1)[:, 0]
    quantile = np.quantile(pnl, round(1 - confidence, 12), method="inverted_cdf")
    assert var.value_at_risk(pnl, confidence) == max(0.0, -quantile)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_expected_shortfall_is_the_mean_of_all_deeper_vars(confidence):
    pnl = market(60, 1)[:, 0]
    tail = round(1 - confidence, 12)
    mean, _ = integrate.quad(
        lambda share: -np.quantile(pnl, share, method="inverted_cdf"),
        0,
        tail,
        points=[day / 60 for day in range(1, 60) if day / 60 < tail],
    )
    assert var.expected_shortfall(pnl, confidence) == pytest.approx(mean / tail, rel=1e-9)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_expected_shortfall_is_the_minimum_of_rockafellar_and_uryasev(confidence):
    # R. T. Rockafellar and S. Uryasev, "Optimization of conditional value-at-risk", 2000: a linear
    # program, here over the threshold and one excess per day.
    pnl = market(100, 1)[:, 0] * 1_000
    tail = 1 - confidence
    found = optimize.linprog(
        np.concatenate([[1.0], np.full(100, 1 / (100 * tail))]),
        A_ub=np.column_stack([-np.ones(100), -np.eye(100)]),
        b_ub=pnl,
        bounds=[(None, None), *[(0, None)] * 100],
    )
    assert var.expected_shortfall(pnl, confidence) == pytest.approx(found.fun, rel=1e-9)


def test_a_diagonal_normal_book_converges_to_the_closed_form():
    rng = np.random.default_rng(11)
    sigmas, held = np.array([0.01, 0.03, 0.05]), np.array([5_000.0, -2_000.0, 1_000.0])
    sigma = float(np.sqrt(((sigmas * held) ** 2).sum()))
    for days in (1_000, 100_000):
        returns = rng.normal(0, sigmas, (days, 3))
        for confidence in (0.95, 0.99):
            z, tail = reference.norm.ppf(confidence), 1 - confidence
            density = reference.norm.pdf(z)
            found = var.attribute(returns, held, confidence)
            # Four standard errors of an empirical quantile.
            error = 4 * sigma * np.sqrt(tail * confidence / days) / density
            assert found.tail.var_usd == pytest.approx(z * sigma, abs=error)
            assert found.tail.es_usd == pytest.approx(density / tail * sigma, abs=2 * error)
    expected = (sigmas * held) ** 2 / sigma * density / tail
    np.testing.assert_allclose(found.es_components_usd, expected, atol=2 * error)
    np.testing.assert_allclose(found.var_components_usd, expected / density * tail * z, rtol=0.1)


# --- what must always hold ------------------------------------------------------------------------


def numbers(shape, least: float, most: float):
    """Arrays of thousandths, often with equal ones: ties are where order could matter."""
    whole = st.integers(round(least * 1_000), round(most * 1_000))
    return arrays.arrays(np.int64, shape, elements=whole).map(lambda found: found / 1_000)


PNL = numbers(st.integers(1, 60), -1e6, 1e6)


@st.composite
def books(draw):
    """Returns and exposures that fit."""
    days, count = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    return draw(numbers((days, count), -1.0, 3.0)), draw(numbers(count, -1e6, 1e6))


quickly = settings(max_examples=40)


@quickly
@given(PNL)
def test_var_99_is_never_below_var_95_nor_zero_and_es_never_below_var(pnl):
    low, high = var.historical(pnl, 0.95), var.historical(pnl, 0.99)
    assert high.var_usd >= low.var_usd >= 0
    assert high.es_usd >= low.es_usd * (1 - 1e-12)
    assert low.es_usd >= low.var_usd
    assert high.es_usd >= high.var_usd
    assert high.es_usd <= max(0.0, -pnl.min()) * (1 + 1e-12)


@quickly
@given(PNL, st.floats(0.001, 0.999), st.integers(-20, 20))
def test_scaling_a_book_scales_its_tail_and_mirrors_it_when_negative(pnl, confidence, power):
    factor = 2.0**power
    found, scaled = var.historical(pnl, confidence), var.historical(pnl * factor, confidence)
    assert scaled.var_usd == found.var_usd * factor
    assert scaled.es_usd == pytest.approx(found.es_usd * factor, rel=1e-12)
    mirrored = var.historical(pnl * -factor, confidence)
    assert mirrored.var_usd == var.historical(-pnl, confidence).var_usd * abs(factor)


@quickly
@given(PNL, st.randoms(use_true_random=False))
def test_the_order_of_days_does_not_matter(pnl, random):
    shuffled = list(pnl)
    random.shuffle(shuffled)
    assert var.historical(np.array(shuffled)) == var.historical(pnl)


@quickly
@given(books(), st.floats(0.5, 0.999))
def test_components_sum_to_the_whole(case, confidence):
    returns, held = case
    found = var.attribute(returns, held, confidence)
    # What the positions make against each other rounds by their sum, not by what is left of it.
    size = max(np.abs(found.es_components_usd).sum(), np.abs(found.var_components_usd).sum(), 1e-9)
    assert found.var_components_usd.sum() == pytest.approx(found.tail.var_usd, abs=1e-9 * size)
    assert found.es_components_usd.sum() == pytest.approx(found.tail.es_usd, abs=1e-9 * size)
    whole = var.historical(var.exposure_pnl(returns, held), confidence)
    floor = 1e-9 * np.abs(held).sum()
    assert found.tail.var_usd == pytest.approx(whole.var_usd, abs=floor)
    assert found.tail.es_usd == pytest.approx(whole.es_usd, abs=floor)


@quickly
@given(books(), st.randoms(use_true_random=False))
def test_the_order_of_positions_does_not_matter(case, random):
    returns, held = case
    places = list(range(len(held)))
    random.shuffle(places)
    found = var.attribute(returns[:, places], held[places]).tail
    size = np.abs(held).sum()
    expected = var.attribute(returns, held).tail
    assert found.var_usd == pytest.approx(expected.var_usd, abs=1e-9 * size)
    assert found.es_usd == pytest.approx(expected.es_usd, abs=1e-9 * size)


def test_the_order_of_positions_does_not_matter_to_their_components():
    returns, held = market(), book()
    places = np.random.default_rng(2).permutation(8)
    found, moved = var.attribute(returns, held), var.attribute(returns[:, places], held[places])
    for name in ("var_components_usd", "es_components_usd", "marginal_var", "marginal_es"):
        expected = getattr(found, name)[places]
        np.testing.assert_allclose(getattr(moved, name), expected, rtol=1e-9)
    assert moved.day == found.day


@quickly
@given(numbers(st.integers(1, 40), -1.0, 3.0), st.integers(-(10**6), 10**6))
def test_a_perfectly_hedged_pair_has_no_value_at_risk(moves, amount):
    returns = np.column_stack([moves, moves])
    held = np.array([amount, -amount], dtype=np.float64)
    found = var.attribute(returns, held)
    assert found.tail.var_usd == 0
    assert found.tail.es_usd == 0
    assert not found.var_components_usd.any()
    assert not found.es_components_usd.any()
    assert var.value_at_risk(var.exposure_pnl(returns, held)) <= 1e-12 * abs(amount)


@quickly
@given(books(), books(), st.floats(0.5, 0.999))
def test_expected_shortfall_of_two_books_is_no_more_than_of_each(one, other, confidence):
    days = min(len(one[0]), len(other[0]))
    first = var.exposure_pnl(one[0][:days], one[1])
    second = var.exposure_pnl(other[0][:days], other[1])
    apart = var.expected_shortfall(first, confidence) + var.expected_shortfall(second, confidence)
    together = var.expected_shortfall(first + second, confidence)
    assert together <= apart + 1e-9 * (np.abs(first).max() + np.abs(second).max())


# --- attribution ----------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_attribute_sums_to_the_whole_to_nine_digits(confidence):
    found = var.attribute(market(), book(), confidence)
    assert found.var_components_usd.sum() == pytest.approx(found.tail.var_usd, rel=1e-12)
    assert found.es_components_usd.sum() == pytest.approx(found.tail.es_usd, rel=1e-12)
    np.testing.assert_allclose(found.marginal_var * book(), found.var_components_usd, rtol=1e-12)


def test_attribute_names_the_scenario_and_the_days_around_it():
    returns, held = market(), book()
    pnl = var.exposure_pnl(returns, held)
    found = var.attribute(returns, held, pnl_usd=pnl)
    assert -pnl[found.day] == found.tail.var_usd
    worst = np.argsort(pnl)
    np.testing.assert_array_equal(found.es_days, worst[:13])
    np.testing.assert_array_equal(found.var_days, worst[6:19])
    mean = -(returns[worst[6:19]] * held).mean(axis=0)
    expected = mean * found.tail.var_usd / mean.sum()
    np.testing.assert_allclose(found.var_components_usd, expected, rtol=1e-9)


def test_attribute_when_days_lose_alike_takes_the_oldest_first():
    moves = np.random.default_rng(0).permutation(np.repeat([-1.0, -0.5, 0.0, 0.5], 200))
    found = var.attribute(moves[:, np.newaxis], np.ones(1))
    worst = np.flatnonzero(moves == -1.0)
    assert found.es_days.tolist() == worst[:40].tolist()
    assert found.day == worst[39]


def test_marginal_expected_shortfall_is_its_derivative():
    returns, held = market(), book()
    found = var.attribute(returns, held)
    for column in range(len(held)):
        step = np.eye(len(held))[column] * 0.01
        up = var.expected_shortfall(var.exposure_pnl(returns, held + step))
        down = var.expected_shortfall(var.exposure_pnl(returns, held - step))
        assert found.marginal_es[column] == pytest.approx((up - down) / 0.02, rel=1e-6, abs=1e-9)


def test_marginal_var_when_few_days_are_deeper_is_its_derivative():
    # 20 days at 95 %: the worst day alone, so nothing is averaged.
    returns, held = market(20), book()
    found = var.attribute(returns, held)
    assert found.var_days.tolist() == [found.day]
    np.testing.assert_allclose(found.marginal_var, -returns[found.day], rtol=1e-12)


def test_attribute_when_the_days_around_say_something_else_takes_the_day_itself():
    # The 13th worst of 252 loses 100, all better ones nearly nothing, the worse ones ten times.
    pnl = np.concatenate([np.full(12, -1_000.0), [-100.0], np.full(239, 1.0)])
    found = var.attribute(pnl[:, np.newaxis], np.ones(1))
    assert found.var_days.tolist() == [found.day] == [12]
    assert found.var_components_usd.tolist() == [100.0]


def test_attribute_when_a_book_earns_even_on_bad_days_floors_the_whole_and_its_parts():
    returns = np.column_stack([np.full(100, 0.05), np.full(100, -0.01)])
    returns[0, 0] = -0.5
    found = var.attribute(returns, np.array([100.0, 100.0]), 0.95)
    assert found.tail.var_usd == 0
    assert found.var_components_usd.tolist() == [0.0, 0.0]
    assert found.marginal_var.tolist() == [0.0, 0.0]
    # One day of five loses 51, the others earn 4: that is an expected shortfall.
    assert found.tail.es_usd == pytest.approx((51 - 16) / 5)
    np.testing.assert_allclose(found.es_components_usd, [30.0 / 5 * 1.0, 1.0])


def test_attribute_when_something_is_not_held_says_what_it_would_add():
    returns, held = market(), book()
    held[3] = 0.0
    found = var.attribute(returns, held)
    assert found.es_components_usd[3] == found.var_components_usd[3] == 0
    added = np.where(np.arange(8) == 3, 1e-3, 0.0)
    more = var.expected_shortfall(var.exposure_pnl(returns, held + added))
    assert found.marginal_es[3] == pytest.approx((more - found.tail.es_usd) / 1e-3, rel=1e-6)


def test_attribute_when_something_not_held_is_unknown_leaves_it_unknown():
    returns, held = market(), book()
    held[3], returns[:, 3] = 0.0, np.nan
    found = var.attribute(returns, held)
    assert np.isnan(found.marginal_var[3])
    assert np.isnan(found.marginal_es[3])
    assert found.var_components_usd[3] == 0
    assert found.var_components_usd.sum() == pytest.approx(found.tail.var_usd, rel=1e-12)


# --- what is added --------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("added", [-3_000.0, 0.0, 12_345.0])
def test_what_if_equals_the_book_with_the_exposure_in_it(added, confidence):
    returns, held = market(), book()
    pnl = var.exposure_pnl(returns, held)
    held_then = held + np.eye(8)[2] * added
    expected = var.historical(var.exposure_pnl(returns, held_then), confidence)
    found = var.what_if(pnl, returns[:, 2], added, confidence)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    change = var.incremental_var(pnl, returns[:, 2], added, confidence)
    before = var.value_at_risk(pnl, confidence)
    assert change == pytest.approx(expected.var_usd - before, rel=1e-9, abs=1e-9)


def test_incremental_var_of_a_hedge_is_negative():
    returns = market()
    pnl = var.exposure_pnl(returns, np.eye(8)[0] * 10_000)
    assert var.incremental_var(pnl, returns[:, 0], -10_000.0) == -var.value_at_risk(pnl)
    assert var.incremental_var(pnl, returns[:, 1], -1_000.0) < 0


# --- what cannot be computed ----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_historical_when_a_day_is_unknown_refuses(bad):
    with pytest.raises(ValueError, match=r"pnl: not finite at 1$"):
        var.historical(np.array([1.0, bad, 2.0]))


def test_historical_when_amounts_are_beyond_their_squares_still_counts_them():
    with np.errstate(over="ignore"):
        assert var.value_at_risk(np.array([-1e200, 1e200])) == 1e200


def test_historical_when_there_are_no_days_or_no_vector_refuses():
    with pytest.raises(ValueError, match="no days"):
        var.historical(np.array([]))
    with pytest.raises(ValueError, match="shape"):
        var.historical(np.ones((3, 3)))


@pytest.mark.parametrize("confidence", [-0.1, 0.0, 1.0, 95.0, np.nan])
def test_historical_when_the_confidence_is_no_share_refuses(confidence):
    with pytest.raises(ValueError, match="confidence"):
        var.historical(np.ones(5), confidence)


def test_historical_when_there_is_one_day_is_that_day():
    assert var.historical(np.array([-5.0])) == (0.95, 5.0, 5.0, 1)
    assert var.historical(np.array([5.0])) == (0.95, 0.0, 0.0, 1)
    found = var.attribute(np.array([[-0.5, 0.25]]), np.array([10.0, 4.0]))
    assert found.var_components_usd.tolist() == found.es_components_usd.tolist() == [5.0, -1.0]


def test_exposure_pnl_when_a_held_asset_is_unknown_names_it_and_only_it():
    returns = market()
    returns[7, 2] = returns[0, 5] = returns[9, 5] = np.nan
    held = book()
    with pytest.raises(ValueError, match="column 2, 5, which is held"):
        var.exposure_pnl(returns, held)
    held[5] = 0
    with pytest.raises(ValueError, match="column 2, which is held"):
        var.exposure_pnl(returns, held)
    held[2] = 0
    known = [0, 1, 3, 4, 6, 7]
    expected = returns[:, known] @ held[known]
    np.testing.assert_allclose(var.exposure_pnl(returns, held), expected, rtol=1e-12, atol=1e-9)


def test_exposure_pnl_when_shapes_do_not_fit_refuses():
    with pytest.raises(ValueError, match="shape"):
        var.exposure_pnl(market(), np.ones(7))
    with pytest.raises(ValueError, match="shape"):
        var.exposure_pnl(np.ones(8), np.ones(8))
    with pytest.raises(ValueError, match="exposures: not finite at 1"):
        var.exposure_pnl(market(count=2), np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="shape"):
        var.what_if(np.ones(5), np.ones(4), 1.0)


def test_an_empty_book_has_no_value_at_risk_and_two_thousand_assets_have_one():
    found = var.attribute(np.empty((252, 0)), np.empty(0))
    assert found.tail == (0.95, 0.0, 0.0, 252)
    assert found.var_components_usd.shape == (0,)
    returns, held = market(count=2_000), book(2_000)
    found = var.attribute(returns, held, 0.99)
    assert found.tail.var_usd == var.value_at_risk(returns @ held, 0.99) > 0
    assert found.var_components_usd.sum() == pytest.approx(found.tail.var_usd, rel=1e-9)


@quickly
@given(books())
def test_a_book_held_twice_has_twice_the_components(case):
    returns, held = case
    found, double = var.attribute(returns, held), var.attribute(returns, held * 2)
    np.testing.assert_allclose(double.var_components_usd, found.var_components_usd * 2, rtol=1e-9)
    np.testing.assert_allclose(double.es_components_usd, found.es_components_usd * 2, rtol=1e-9)
