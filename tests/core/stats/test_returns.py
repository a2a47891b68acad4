"""Returns from closes with gaps, bad prices and unequal histories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from riskbot.core.stats import returns

NAN = np.nan


def closes(*columns: list[float]) -> np.ndarray:
    """One list per asset, oldest first."""
    return np.array(columns, dtype=np.float64).T


def walks(days: int, count: int, seed: int = 1) -> np.ndarray:
    """Closes of a market and what follows it."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.001, 0.03, days)
    own = rng.normal(0, 0.03, (days, count))
    return 100 * np.exp(np.cumsum(market[:, np.newaxis] + own, axis=0))


# --- alignment ------------------------------------------------------------------------------------


def test_aligned_when_histories_are_unequal_puts_the_newest_day_last():
    found = returns.aligned([(100, [1, 2, 3]), (102, [7.0]), (90, [5] * 10)], 102, 3)
    np.testing.assert_array_equal(found, closes([1, 2, 3], [NAN, NAN, 7], [NAN, NAN, NAN]))


def test_aligned_when_a_close_is_none_leaves_a_gap_and_cuts_what_is_outside():
    found = returns.aligned([(98, [1, 2, None, 4, 5, 6]), (105, [1.0])], 102, 3)
    np.testing.assert_array_equal(found, closes([NAN, 4, 5], [NAN, NAN, NAN]))


def test_aligned_when_nothing_is_asked_for_is_empty():
    assert returns.aligned([], 102, 3).shape == (3, 0)
    assert returns.aligned([(100, [1.0])], 102, 0).shape == (0, 1)


# --- returns --------------------------------------------------------------------------------------


def test_simple_returns_of_known_closes():
    found = returns.simple_returns(closes([100, 110, 99], [50, 25, 100]))
    np.testing.assert_allclose(found, closes([0.1, -0.1], [-0.5, 3.0]), rtol=1e-15)


def test_log_returns_of_known_closes():
    found = returns.log_returns(closes([1, np.e, 1]))
    np.testing.assert_allclose(found, closes([1, -1]), rtol=1e-15)


@pytest.mark.parametrize("count", [1, 39, 2_000])
def test_returns_when_compared_with_pandas_are_equal(count: int):
    prices = walks(60, count)
    prices[np.random.default_rng(2).random(prices.shape) < 0.05] = NAN
    frame = pd.DataFrame(prices)
    expected = frame.pct_change(fill_method=None).to_numpy()[1:]
    np.testing.assert_allclose(returns.simple_returns(prices), expected, rtol=1e-9, atol=1e-15)
    expected = np.log(frame).diff().to_numpy()[1:]
    np.testing.assert_allclose(returns.log_returns(prices), expected, rtol=1e-9, atol=1e-15)


def test_returns_when_a_day_is_missing_have_no_return_there_or_after():
    prices = closes([100, NAN, 50, 55], [1, 1, 1, 1])
    expected = closes([NAN, NAN, 0.1], [0, 0, 0])
    np.testing.assert_allclose(returns.simple_returns(prices), expected, atol=1e-15)


def test_returns_when_asked_to_span_gaps_keep_what_happened_in_them():
    prices = closes([NAN, 100, NAN, NAN, 50, 55])
    found = returns.simple_returns(prices, span_gaps=True)
    np.testing.assert_allclose(found, closes([NAN, NAN, NAN, -0.5, 0.1]), rtol=1e-15)
    found = returns.log_returns(prices, span_gaps=True)
    np.testing.assert_allclose(found, np.log(closes([NAN, NAN, NAN, 0.5, 1.1])), rtol=1e-12)


def test_returns_when_an_asset_is_not_traded_yet_are_missing_until_its_second_day():
    found = returns.simple_returns(closes([100, 101, 102], [NAN, 5, 6]))
    assert np.isnan(found[0, 1])
    np.testing.assert_allclose(found[1, 1], 0.2)
    np.testing.assert_array_equal(returns.missing_share(found), [0.0, 0.5])


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, -np.inf])
@pytest.mark.parametrize("compute", [returns.simple_returns, returns.log_returns])
def test_returns_when_a_close_is_no_price_name_it(compute, bad: float):
    with pytest.raises(ValueError, match="column 1 on row 2"):
        compute(closes([1, 1, 1], [1, 1, bad]))


def test_returns_when_many_closes_are_no_prices_name_a_few():
    with pytest.raises(ValueError, match=r"column 0, 1, 2, 3, 4 and 3 more on row 0, 1$"):
        returns.simple_returns(np.zeros((2, 8)))


def test_returns_when_beyond_what_floats_hold_say_so():
    with pytest.raises(ValueError, match="column 0"):
        returns.simple_returns(closes([1e-300, 1e300]))
    np.testing.assert_allclose(returns.log_returns(closes([1e-300, 1e300])), 600 * np.log(10))


@pytest.mark.parametrize("days", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_returns_when_there_is_one_day_or_none_are_empty_and_all_missing(days: int, count: int):
    found = returns.simple_returns(np.ones((days, count)))
    assert found.shape == (0, count)
    np.testing.assert_array_equal(returns.missing_share(found), np.ones(count))


def test_returns_when_closes_are_one_series_ask_for_a_matrix():
    with pytest.raises(ValueError, match="shape"):
        returns.simple_returns(np.ones(5))
    with pytest.raises(ValueError, match="shape"):
        returns.missing_share(np.ones(5))
    with pytest.raises(ValueError, match="infinite in column 1"):
        returns.missing_share(closes([1, 1], [1, np.inf]))


def test_returns_of_a_constant_series_are_zero():
    np.testing.assert_array_equal(returns.simple_returns(np.full((4, 2), 7.0)), np.zeros((3, 2)))


# --- unequal histories ----------------------------------------------------------------------------


def late(days: int = 200, listed: int = 120) -> np.ndarray:
    """Returns of a benchmark and an asset with twice its moves that lists late."""
    rng = np.random.default_rng(3)
    market = rng.normal(0, 0.03, days)
    asset = 2 * market + rng.normal(0, 0.02, days)
    asset[:listed] = NAN
    return np.column_stack([market, asset])


def test_complete_when_an_asset_lists_late_fills_by_its_beta_and_counts_its_own_days():
    given = late()
    found = returns.complete(given, 0)
    slope = reference.linregress(given[120:, 0], given[120:, 1]).slope
    assert slope > 1.5
    np.testing.assert_allclose(found.betas, [NAN, slope], rtol=1e-9)
    np.testing.assert_allclose(found.returns[:120, 1], slope * given[:120, 0], rtol=1e-9)
    np.testing.assert_array_equal(found.returns[120:], given[120:])
    np.testing.assert_array_equal(found.own_days, [200, 80])
    assert (found.unknown, found.constant) == ((), ())
    assert not np.isnan(found.returns).any()


def test_complete_when_a_beta_is_low_takes_at_least_the_benchmark():
    given = late()
    given[:, 1] *= 0.1
    np.testing.assert_array_equal(returns.complete(given, 0).returns[:120, 1], given[:120, 0])


def test_complete_when_the_filled_return_would_lose_more_than_all_stops_there():
    given = late()
    given[5, 0] = -0.7
    assert returns.complete(given, 0).returns[5, 1] == returns.TOTAL_LOSS


def test_complete_when_own_days_are_too_few_names_the_asset_and_says_nothing_of_it():
    found = returns.complete(late(listed=171), 0)
    assert found.unknown == (1,)
    assert np.isnan(found.returns[:, 1]).all()
    assert np.isnan(found.betas).all()
    assert returns.complete(late(listed=170), 0).unknown == ()


def test_complete_when_an_asset_has_no_day_at_all_names_it():
    found = returns.complete(late(listed=200), 0)
    assert found.unknown == (1,)
    np.testing.assert_array_equal(found.own_days, [200, 0])


def test_complete_when_the_benchmark_has_a_gap_leaves_that_day_out():
    given = late()
    given[[7, 150], 0] = NAN
    found = returns.complete(given, 0)
    assert len(found.returns) == 198
    assert 7 not in found.rows
    assert 150 not in found.rows
    np.testing.assert_array_equal(found.own_days, [198, 79])
    np.testing.assert_array_equal(found.returns[:, 0], given[found.rows, 0])


def test_complete_when_the_benchmark_does_not_move_leaves_what_needs_it_unknown():
    given = np.column_stack([np.full(60, 0.1), late(60, 20)[:, 1], late(60, 0)[:, 1]])
    found = returns.complete(given, 0)
    assert found.unknown == (1,)
    assert found.constant == (0,)
    assert not np.isnan(found.returns[:, [0, 2]]).any()


def test_complete_when_a_market_is_halted_names_it():
    given = late()
    given[120:, 1] = 0.0
    assert returns.complete(given, 0).constant == (1,)


@pytest.mark.parametrize("days", [0, 1, 29])
def test_complete_when_the_benchmark_is_too_short_refuses(days: int):
    with pytest.raises(ValueError, match=f"{days} returns, fewer than 30"):
        returns.complete(late()[:days], 0)


@pytest.mark.parametrize(("column", "least"), [(2, 30), (-1, 30), (0, 1)])
def test_complete_when_asked_for_what_there_is_not_refuses(column: int, least: int):
    with pytest.raises(ValueError, match="of 2"):
        returns.complete(late(), column, least)


def test_complete_when_there_are_two_thousand_assets():
    given = np.tile(late(listed=0)[:, 1:], (1, 2_000)) * np.linspace(1, 3, 2_000)
    given[:100, 1_000:] = NAN
    found = returns.complete(given, 0)
    assert found.returns.shape == (200, 2_000)
    np.testing.assert_allclose(found.betas[1_000:], np.linspace(1, 3, 2_000)[1_000:], rtol=1e-9)
