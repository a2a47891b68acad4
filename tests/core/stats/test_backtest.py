"""Backtests against published tables, scipy, and the real market of 2022 to 2025."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from riskbot.core.stats import backtest, returns, var, volatility
from riskbot.data import prices

# --- published tables -----------------------------------------------------------------------------

# P. Kupiec, 1995, as reprinted in P. Jorion, "Value at Risk", 3rd ed., table 6.2: by chance of an
# exceedance and days, counts n below and above which a VaR is rejected at 95 %: low < n < high.
KUPIEC = {
    0.01: {255: (None, 7), 510: (1, 11), 1_000: (4, 17)},
    0.025: {255: (2, 12), 510: (6, 21), 1_000: (15, 36)},
    0.05: {255: (6, 21), 510: (16, 36), 1_000: (37, 65)},
    0.075: {255: (11, 28), 510: (27, 51), 1_000: (59, 92)},
    0.10: {255: (16, 36), 510: (38, 65), 1_000: (81, 120)},
}


@pytest.mark.parametrize(
    ("chance", "days", "low", "high"),
    [(c, d, *bounds) for c, rows in KUPIEC.items() for d, bounds in rows.items()],
)
def test_kupiec_rejects_where_his_table_does(chance, days, low, high):
    passed = [n for n in range(days) if backtest.kupiec(n, days, 1 - chance).p_value > 0.05]
    assert passed[-1] + 1 == high
    # At 1 % and 255 days the table names no low bound, because none but 0 is below.
    assert passed[0] - 1 == (low or 0)


def following(calm: int, falls: int, runs: int) -> np.ndarray:
    """Exceedances with so many pairs of days: calm after calm, bad after calm, bad after bad."""
    found = [0]
    for number in range(falls):
        found += [1, 1, 0] if number < runs else [1, 0]
    spare = calm - sum(pair == (0, 0) for pair in pairwise(found))
    return np.array([0] * spare + found, dtype=bool)


def test_christoffersen_is_jorions_example():
    # Jorion, 3rd ed., section 6.2.4: 20 exceptions in a year of J.P. Morgan's, 6 of them the day
    # after another: LR of 3.91, 9.53 and 13.44 together.
    exceeded = following(calm=218, falls=14, runs=6)
    assert exceeded.sum() == 20
    found = backtest.kupiec(20, 252, 0.95)
    assert found.statistic == pytest.approx(3.91, abs=5e-3)
    assert found.p_value == pytest.approx(0.048, abs=5e-4)
    independence = backtest.christoffersen(exceeded)
    assert independence.statistic == pytest.approx(9.53, abs=5e-3)
    assert found.statistic + independence.statistic == pytest.approx(13.44, abs=5e-3)
    # He counts 252 pairs of days as the days of the first test; here they are 253.
    both = backtest.judged(exceeded, 0.95)
    assert both.days == 253
    assert both.coverage.statistic == pytest.approx(13.44, abs=0.1)
    assert both.coverage.p_value < 0.01


# Basel Committee, 1996, table 2: probability of at most so many exceptions in 250 days at 99 %.
BASEL = [8.11, 28.58, 54.32, 75.81, 89.22, 95.88, 98.63, 99.60, 99.89, 99.97, 99.99]


@pytest.mark.parametrize(("exceeded", "percent"), list(enumerate(BASEL)))
def test_traffic_light_has_the_committees_probabilities_and_zones(exceeded, percent):
    found = backtest.as_many_or_fewer(exceeded, 250, 0.01)
    assert found * 100 == pytest.approx(percent, abs=5e-3)
    zone = "green" if exceeded < 5 else "yellow" if exceeded < 10 else "red"
    assert backtest.traffic_light(exceeded, 250) == zone


# --- independent references -----------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(1, 2_000), st.data(), st.floats(0.5, 0.999))
def test_kupiec_is_a_ratio_of_binomial_likelihoods(days, data, confidence):
    exceeded = data.draw(st.integers(0, days))
    found = backtest.kupiec(exceeded, days, confidence)
    seen = reference.binom.logpmf(exceeded, days, exceeded / days)
    expected = max(0.0, 2 * (seen - reference.binom.logpmf(exceeded, days, 1 - confidence)))
    assert found.statistic == pytest.approx(expected, rel=1e-9, abs=1e-8)
    tail = reference.chi2.sf(found.statistic, 1)
    assert found.p_value == pytest.approx(tail, rel=1e-9, abs=1e-300)


@settings(max_examples=60)
@given(st.integers(1, 2_000), st.data(), st.floats(0.001, 0.5))
def test_the_binomial_is_scipys(days, data, chance):
    exceeded = data.draw(st.integers(0, days))
    expected = reference.binom.cdf(exceeded, days, chance)
    found = backtest.as_many_or_fewer(exceeded, days, chance)
    # Far out scipy itself is off: exact fractions agree with ours to 1e-12 there.
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-100)


@pytest.mark.parametrize("seed", range(5))
def test_christoffersen_is_a_test_of_a_two_by_two_table(seed):
    rng = np.random.default_rng(seed)
    exceeded = rng.random(800) < 0.1 + 0.1 * np.sin(np.arange(800) / 20)
    before, after = exceeded[:-1], exceeded[1:]
    table = [[(~before & ~after).sum(), (~before & after).sum()]]
    table += [[(before & ~after).sum(), (before & after).sum()]]
    expected = reference.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    found = backtest.christoffersen(exceeded)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    whole = backtest.judged(exceeded, 0.9)
    both = whole.frequency.statistic + whole.independence.statistic
    assert whole.coverage.p_value == pytest.approx(reference.chi2.sf(both, 2), rel=1e-9)


# --- rolling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_rolling_var_is_the_var_of_the_days_before(confidence, is_filtered):
    pnl = np.random.default_rng(4).standard_t(4, 130)
    found = backtest.rolling_var(pnl, confidence, 60, is_filtered=is_filtered)
    assert found.shape == (70,)
    for row in (0, 33, 69):
        window = pnl[row : row + 60]
        if is_filtered:
            window = volatility.filtered(window[:, np.newaxis], floor=-np.inf)[:, 0]
        assert found[row] == pytest.approx(var.value_at_risk(window, confidence), rel=1e-12)
    exceeded = backtest.exceedances(pnl, found)
    np.testing.assert_array_equal(exceeded, pnl[60:] < -found)


def test_rolling_var_of_a_matrix_takes_each_column_on_its_own():
    pnl = np.random.default_rng(4).standard_t(4, (130, 3))
    found = backtest.rolling_var(pnl, 0.95, 60)
    for column in range(3):
        np.testing.assert_array_equal(
            found[:, column], backtest.rolling_var(pnl[:, column], 0.95, 60)
        )
    assert backtest.rolling_var(np.empty((130, 0)), 0.95, 60).shape == (70, 0)


def test_rolling_var_of_what_always_earns_is_zero_and_never_exceeded():
    found = backtest.rolling_var(np.ones(100), 0.95, 50)
    np.testing.assert_array_equal(found, np.zeros(50))
    assert not backtest.exceedances(np.ones(100), found).any()


@pytest.mark.parametrize(("days", "window"), [(252, 252), (0, 252), (10, 0)])
def test_rolling_var_when_no_day_is_left_refuses(days, window):
    with pytest.raises(ValueError, match="none to judge"):
        backtest.rolling_var(np.ones(days), 0.95, window)


def test_rolling_var_when_a_day_is_unknown_refuses():
    with pytest.raises(ValueError, match="not finite at 3"):
        backtest.rolling_var(np.array([1, 2, 3, np.nan, 5]), 0.95, 2)


# --- corners --------------------------------------------------------------------------------------


def test_exceedances_when_the_loss_is_the_var_are_none():
    found = backtest.exceedances(np.array([-9.0, -1.0, -1.1]), np.array([1.0, 1.0]))
    assert found.tolist() == [False, True]


def test_exceedances_when_forecasts_outnumber_days_refuses():
    with pytest.raises(ValueError, match="3 for 2 days"):
        backtest.exceedances(np.ones(2), np.ones(3))


@pytest.mark.parametrize("judge", [backtest.kupiec, backtest.traffic_light])
@pytest.mark.parametrize(("exceeded", "days"), [(0, 0), (-1, 10), (11, 10)])
def test_tests_when_counts_cannot_be_refuse(judge, exceeded, days):
    with pytest.raises(ValueError, match="exceedances on"):
        judge(exceeded, days, 0.99)


def test_tests_when_the_confidence_is_no_share_refuse():
    with pytest.raises(ValueError, match="confidence"):
        backtest.kupiec(1, 10, 1.0)
    with pytest.raises(ValueError, match="confidence"):
        backtest.traffic_light(1, 10, 99)


@pytest.mark.parametrize("exceeded", [[], [True], [False, False], [True, True], [False, True]])
def test_christoffersen_when_nothing_can_speak_against_it_lets_it_pass(exceeded):
    assert backtest.christoffersen(np.array(exceeded, dtype=bool)) == (0.0, 1.0)


def test_judged_when_there_are_no_days_or_no_vector_refuses():
    with pytest.raises(ValueError, match="0 exceedances on 0 days"):
        backtest.judged(np.array([], dtype=bool), 0.95)
    with pytest.raises(ValueError, match="shape"):
        backtest.judged(np.zeros((2, 2), dtype=bool), 0.95)


# --- the market -----------------------------------------------------------------------------------


def day(at: date) -> int:
    return (at - date(1970, 1, 1)).days


def test_var_of_an_equal_weight_book_is_exceeded_as_often_as_it_says_2022_to_2025():
    """As it would have run: each day the assets listed for 30 days, late ones filled by beta."""
    closes = prices.daily_closes()
    names = sorted(closes, key=lambda name: (name != prices.BTC, name))
    days = [sorted(closes[name]) for name in names]
    series = [
        (day(own[0]), [closes[name][at] for at in own])
        for name, own in zip(names, days, strict=True)
    ]
    first, last = day(date(2022, 1, 1)), max(day(own[-1]) for own in days)
    history = returns.simple_returns(returns.aligned(series, last, last - first + 1 + 253))
    exceeded: dict[float, list[bool]] = {0.95: [], 0.99: []}
    for row in range(252, len(history)):
        known = returns.complete(history[row - 252 : row], 0)
        is_held = ~np.isnan(known.returns[0])
        held = is_held / is_held.sum()
        made = var.exposure_pnl(history[row : row + 1], held)[0]
        pnl = var.exposure_pnl(known.returns, held)
        for confidence, found in exceeded.items():
            found.append(made < -var.value_at_risk(pnl, confidence))
    for confidence, found in exceeded.items():
        judged = backtest.judged(np.array(found), confidence)
        share = judged.exceeded / judged.days
        print(  # noqa: T201 -- the figure is what this is for: pytest -s
            f"\nVaR {confidence:.0%}, equal weight of up to {len(names)} perpetuals, 2022-01-01 to "
            f"{date.fromordinal(last + date(1970, 1, 1).toordinal())}: exceeded on "
            f"{judged.exceeded} of {judged.days} days, {share:.2%} "
            f"(Kupiec p = {judged.frequency.p_value:.3f}, independence p = "
            f"{judged.independence.p_value:.3f}, {judged.zone.value})"
        )
        assert judged.days > 1_400
        assert judged.frequency.p_value > 0.05
        assert judged.zone is backtest.Zone.GREEN
        assert share == pytest.approx(1 - confidence, rel=0.25)
