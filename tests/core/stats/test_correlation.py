"""Correlation with gaps and few days, beta, groups: against numpy, scipy and the formulas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from scipy.cluster import hierarchy
from scipy.spatial import distance

from riskbot.core.stats import correlation

NAN = np.nan


def market(days: int = 120, count: int = 6, seed: int = 8, own: float = 0.02) -> np.ndarray:
    """Returns that share a factor, each with its own load."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_t(5, days)[:, np.newaxis] * 0.02
    return factor * np.linspace(0.5, 1.5, count) + rng.normal(0, own, (days, count))


def ledoit_wolf(returns: np.ndarray) -> float:
    """The intensity as the paper writes it (appendix B), pair by pair, on unit variances."""
    days, count = returns.shape
    x = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    s = x.T @ x / days
    mean = (s.sum() - count) / (count * (count - 1))
    pi = rho = gamma = 0.0
    for i in range(count):
        for j in range(count):
            error = np.mean((x[:, i] * x[:, j] - s[i, j]) ** 2)
            pi += error
            if i == j:
                rho += error
                continue
            gamma += (mean - s[i, j]) ** 2
            one = np.mean((x[:, i] ** 2 - s[i, i]) * (x[:, i] * x[:, j] - s[i, j]))
            two = np.mean((x[:, j] ** 2 - s[j, j]) * (x[:, i] * x[:, j] - s[i, j]))
            rho += mean / 2 * (one + two)
    return float(np.clip((pi - rho) / gamma / days, 0, 1))


# --- the matrix -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 6, 40])
def test_sample_correlations_are_numpys(count):
    returns = market(count=count)
    found = correlation.correlations(returns)
    expected = np.corrcoef(returns.T)
    np.testing.assert_allclose(found.sample, expected, rtol=1e-9)
    pairs = expected[~np.eye(count, dtype=bool)]
    assert found.average == pytest.approx(pairs.mean(), rel=1e-9)
    np.testing.assert_array_equal(found.days, np.full((count, count), 120))
    assert found.unknown == ()
    assert found.repair == 0


@pytest.mark.parametrize("days", [30, 90, 400])
def test_correlations_are_shrunk_as_ledoit_and_wolf_say(days):
    returns = market(days, 7)
    found = correlation.correlations(returns)
    assert found.intensity == pytest.approx(ledoit_wolf(returns), rel=1e-9)
    assert 0 < found.intensity < 1
    target = np.where(np.eye(7, dtype=bool), 1.0, found.average)
    expected = found.intensity * target + (1 - found.intensity) * found.sample
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-9)
    np.testing.assert_array_equal(np.diag(found.matrix), np.ones(7))


def test_correlations_when_days_are_few_err_less_for_being_shrunk():
    truth = correlation.correlations(market(20_000, 15)).sample
    errors = []
    for seed in range(20):
        found = correlation.correlations(market(30, 15, seed))
        errors.append([np.square(m - truth).sum() for m in (found.sample, found.matrix)])
    measured, shrunk = np.mean(errors, axis=0)
    assert shrunk < 0.9 * measured


def test_correlations_when_days_are_many_are_hardly_shrunk():
    assert correlation.correlations(market(20_000)).intensity < 0.01


def test_correlations_with_gaps_are_those_of_the_days_both_have():
    returns = market()
    returns[np.random.default_rng(1).random(returns.shape) < 0.2] = NAN
    returns[:80, 5] = NAN
    found = correlation.correlations(returns, 20)
    expected = pd.DataFrame(returns).corr(min_periods=20).to_numpy()
    np.testing.assert_allclose(found.sample, expected, rtol=1e-9)
    known = ~np.isnan(returns)
    assert found.days[1, 4] == (known[:, 1] & known[:, 4]).sum()
    assert found.days[5, 5] == known[:, 5].sum()
    assert np.linalg.eigvalsh(found.matrix)[0] >= -1e-12


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.0, 0.7))
def test_correlations_are_always_one_possible_matrix(seed, count, missing):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.02, (40, count)) + rng.normal(0, 0.02, (40, 1))
    returns[rng.random(returns.shape) < missing] = NAN
    found = correlation.correlations(returns, 5)
    filled = found.filled()
    assert not np.isnan(filled).any()
    np.testing.assert_allclose(filled, filled.T, rtol=1e-12)
    np.testing.assert_allclose(np.diag(filled), 1.0, rtol=1e-12)
    assert np.abs(filled).max(initial=0) <= 1 + 1e-12
    assert not len(filled) or np.linalg.eigvalsh(filled)[0] >= -1e-9


def test_correlations_when_pairs_contradict_each_other_are_repaired():
    """A with B and A with C on other days each go together, B with C go apart."""
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(0, 0.02, (3, 90))
    b[:30], c[30:60] = a[:30], a[30:60]
    c[60:] = -b[60:]
    a[60:], b[30:60], c[:30] = NAN, NAN, NAN
    returns = np.column_stack([a, b, c])
    found = correlation.correlations(returns)
    np.testing.assert_allclose(found.sample[np.triu_indices(3, 1)], [1, 1, -1], rtol=1e-9)
    assert np.linalg.eigvalsh(found.sample)[0] < -0.9
    assert 0 < found.repair < 1
    assert np.linalg.eigvalsh(found.matrix)[0] >= -1e-12


def test_correlations_when_a_pair_has_too_few_days_leave_it_unknown():
    returns = market()
    returns[:60, 0] = returns[60:, 1] = NAN
    found = correlation.correlations(returns)
    assert found.unknown == ()
    assert np.isnan(found.sample[0, 1])
    assert np.isnan(found.matrix[1, 0])
    assert np.isnan(found.matrix).sum() == 2
    assert found.filled()[0, 1] == pytest.approx(found.average * (1 - found.repair))


def test_correlations_when_a_pair_does_not_move_together_in_time_leave_it_unknown():
    # The first stands still on all days it shares with the second.
    returns = market()
    returns[:60, 0], returns[60:, 1] = 0.01, NAN
    found = correlation.correlations(returns)
    assert np.isnan(found.matrix[0, 1])
    assert not np.isnan(found.matrix[0, 2:]).any()


def test_correlations_when_columns_say_nothing_name_them():
    returns = market()
    returns[29:, 1] = NAN
    returns[:, 3] = 0.1
    returns[:, 4] = NAN
    found = correlation.correlations(returns)
    assert found.unknown == (1, 3, 4)
    assert np.isnan(found.matrix[[1, 3, 4]]).all()
    assert np.isnan(found.matrix[:, [1, 3, 4]]).all()
    assert found.filled().shape == (3, 3)
    known = np.corrcoef(returns[:, [0, 2, 5]].T)
    np.testing.assert_allclose(found.sample[np.ix_([0, 2, 5], [0, 2, 5])], known, rtol=1e-9)


@pytest.mark.parametrize("days", [0, 1, 29])
def test_correlations_when_days_are_too_few_say_nothing(days):
    found = correlation.correlations(market()[:days])
    assert found.unknown == tuple(range(6))
    assert np.isnan(found.matrix).all()
    assert np.isnan(found.average)
    assert found.filled().shape == (0, 0)


def test_correlations_of_none_one_and_two():
    assert correlation.correlations(np.empty((100, 0))).matrix.shape == (0, 0)
    one = correlation.correlations(market(count=1))
    assert one.matrix.tolist() == one.filled().tolist() == [[1.0]]
    assert np.isnan(one.average)
    assert one.intensity == 0
    same = np.tile(market(count=1), (1, 2))
    found = correlation.correlations(same)
    np.testing.assert_allclose(found.matrix, np.ones((2, 2)), rtol=1e-12)
    opposite = correlation.correlations(same * [1, -1])
    assert opposite.average == pytest.approx(-1)


def test_correlations_when_no_pair_overlaps_know_only_the_columns():
    returns = market(120, 2)
    returns[:60, 0] = returns[60:, 1] = NAN
    found = correlation.correlations(returns)
    assert np.isnan(found.average)
    assert found.unknown == ()
    np.testing.assert_array_equal(found.filled(), np.eye(2))


def test_correlations_of_two_thousand_assets():
    found = correlation.correlations(market(90, 2_000))
    expected = reference.pearsonr(market(90, 2_000)[:, 0], market(90, 2_000)[:, 1_999]).statistic
    assert found.sample[0, 1_999] == pytest.approx(expected, rel=1e-9)


def test_correlations_when_asked_for_nonsense_refuse():
    with pytest.raises(ValueError, match="min_days 1"):
        correlation.correlations(market(), 1)
    with pytest.raises(ValueError, match="shape"):
        correlation.correlations(np.ones(5))
    with pytest.raises(ValueError, match="infinite in column 0"):
        correlation.correlations(np.full((40, 2), np.inf) * [1, 0.0 + 1])


# --- beta, and one trade --------------------------------------------------------------------------


def test_betas_are_slopes_of_a_regression():
    returns = market()
    returns[np.random.default_rng(1).random(returns.shape) < 0.2] = NAN
    found = correlation.betas(returns, returns[:, 2])
    for column in (0, 1, 3, 4, 5):
        both = returns[~np.isnan(returns[:, [2, column]]).any(axis=1)]
        expected = reference.linregress(both[:, 2], both[:, column]).slope
        assert found[column] == pytest.approx(expected, rel=1e-9)
    assert found[2] == pytest.approx(1, rel=1e-12)


def test_betas_when_nothing_can_be_measured_are_unknown():
    returns = market()
    returns[29:, 1] = NAN
    found = correlation.betas(returns, returns[:, 0])
    assert np.isnan(found[1])
    assert not np.isnan(found[[0, 2, 3, 4, 5]]).any()
    assert np.isnan(correlation.betas(returns, np.full(120, 0.1))).all()
    assert np.isnan(correlation.betas(returns[:0], np.empty(0))).all()
    with pytest.raises(ValueError, match="benchmark: 5 days, returns 120"):
        correlation.betas(returns, np.ones(5))


def test_trade_correlation_is_signed():
    returns = market()
    pnl = returns @ np.array([1e6, 0, -2e5, 0, 0, 0])
    expected = reference.pearsonr(pnl, returns[:, 4]).statistic
    assert expected > 0.3
    found = correlation.trade_correlation(pnl, returns[:, 4], 500.0)
    assert found == pytest.approx(expected, rel=1e-9)
    assert correlation.trade_correlation(pnl, returns[:, 4], -0.01) == pytest.approx(-found)


def test_trade_correlation_when_days_are_missing_uses_those_both_have():
    returns = market()
    pnl = returns @ np.ones(6)
    pnl[3], returns[50:60, 4] = NAN, NAN
    both = ~np.isnan(pnl) & ~np.isnan(returns[:, 4])
    expected = reference.pearsonr(pnl[both], returns[both, 4]).statistic
    found = correlation.trade_correlation(pnl, returns[:, 4], 1.0)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("pnl", "column", "added"),
    [
        (np.zeros(120), market()[:, 0], 1.0),
        (market()[:, 0], np.full(120, 0.1), 1.0),
        (market()[:, 0], market()[:, 1], 0.0),
        (market()[:29, 0], market()[:29, 1], 1.0),
        (np.empty(0), np.empty(0), 1.0),
        (np.full(120, NAN), market()[:, 1], 1.0),
    ],
)
def test_trade_correlation_when_there_is_none_is_unknown(pnl, column, added):
    assert np.isnan(correlation.trade_correlation(pnl, column, added))


def test_trade_correlation_when_amounts_are_far_apart_stays_within_bounds():
    moves = market(count=1)[:, 0]
    assert correlation.trade_correlation(moves * 1e180, moves * 1e-180, 1.0) == pytest.approx(1)


# --- groups ---------------------------------------------------------------------------------------


def named(count: int) -> list[str]:
    return [f"C{number:04d}" for number in range(count)]


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("count", [2, 10, 60])
def test_groups_are_scipys_complete_linkage(count, threshold):
    rng = np.random.default_rng(count)
    factors = rng.normal(0, 1, (60, 4))
    loads = rng.dirichlet(np.full(4, 0.3), count)
    matrix = np.corrcoef((factors @ loads.T + rng.normal(0, 0.3, (60, count))).T)
    far = distance.squareform(1 - matrix, checks=False)
    labels = hierarchy.fcluster(hierarchy.linkage(far, "complete"), 1 - threshold, "distance")
    expected: dict[int, list[str]] = {}
    for name, label in zip(named(count), labels, strict=True):
        expected.setdefault(label, []).append(name)
    found = correlation.groups(matrix, named(count), threshold)
    assert set(found) == {tuple(group) for group in expected.values() if len(group) > 1}


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 12), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_columns_even_where_all_are_tied(seed, count, random):
    tenths = np.random.default_rng(seed).integers(5, 11, (count, count)) / 10
    matrix = np.minimum(tenths, tenths.T)
    names = named(count)
    found = correlation.groups(matrix, names)
    places = list(range(count))
    random.shuffle(places)
    moved = correlation.groups(matrix[np.ix_(places, places)], [names[place] for place in places])
    assert moved == found
    for group in found:
        inside = [names.index(name) for name in group]
        assert all(matrix[a, b] >= 0.8 for a in inside for b in inside if a != b)
    # Complete: no two groups, and nobody alone, could still be joined.
    alone = set(names) - {name for group in found for name in group}
    parts = [[names.index(name) for name in group] for group in [*found, *((n,) for n in alone)]]
    for one in parts:
        for other in parts:
            assert one is other or matrix[np.ix_(one, other)].min() < 0.8


def test_groups_when_a_correlation_is_exactly_the_threshold_hold_it():
    matrix = np.array([[1, 0.8], [0.8, 1]])
    assert correlation.groups(matrix, ["B", "A"]) == (("A", "B"),)
    assert correlation.groups(matrix - 1e-12, ["B", "A"]) == ()


def test_groups_when_a_matrix_is_not_symmetric_take_the_smaller_and_end():
    # Each finds the next one nearest, round and round.
    matrix = np.array([[1, 0.95, 0.9], [0.9, 1, 0.95], [0.95, 0.9, 1]])
    assert correlation.groups(matrix, ["A", "B", "C"]) == (("A", "B", "C"),)
    assert correlation.groups(matrix, ["A", "B", "C"], 0.92) == ()


def test_groups_when_a_pair_is_unknown_keep_it_apart():
    matrix = np.full((3, 3), 0.9)
    matrix[0, 1] = matrix[1, 0] = NAN
    assert correlation.groups(matrix, ["A", "B", "C"]) == (("A", "C"),)
    assert correlation.groups(np.full((2, 2), NAN), ["A", "B"]) == ()


def test_groups_come_largest_first():
    matrix = np.eye(6)
    matrix[0, 1] = matrix[1, 0] = 0.99
    matrix[2:5, 2:5] = 0.85
    assert correlation.groups(matrix, list("ABCDEF")) == (("C", "D", "E"), ("A", "B"))


def test_groups_of_none_and_of_two_thousand():
    assert correlation.groups(np.empty((0, 0)), []) == ()
    block = np.kron(np.eye(200), np.full((10, 10), 0.9))
    found = correlation.groups(block, named(2_000))
    assert len(found) == 200
    assert found[0] == tuple(named(10))


@pytest.mark.parametrize("names", [["A"], ["A", "A"]])
def test_groups_when_names_do_not_fit_refuse(names):
    with pytest.raises(ValueError, match="names"):
        correlation.groups(np.eye(2), names)
