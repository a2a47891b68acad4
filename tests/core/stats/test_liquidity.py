"""Time and cost of an exit, and whom a fall takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core.stats import liquidity

NAN, INF = math.nan, math.inf
BIDS = [(99.0, 2.0), (98.0, 3.0), (95.0, 10.0)]
ASKS = [(101.0, 2.0), (102.0, 3.0), (105.0, 10.0)]

# --- time -----------------------------------------------------------------------------------------


def test_time_to_exit_is_the_share_of_turnover_that_is_ours():
    # A tenth of 24 million a day is 100,000 an hour.
    assert liquidity.time_to_exit_s(-50_000, 24e6) == pytest.approx(1_800)
    assert liquidity.time_to_exit_s(50_000, 24e6, 1.0) == pytest.approx(180)


def test_time_to_exit_when_nothing_is_traded_never_ends_and_of_nothing_is_none():
    assert liquidity.time_to_exit_s(1, 0) == INF
    assert liquidity.time_to_exit_s(0, 0) == 0
    assert liquidity.time_to_exit_s(1, 1e-320, 0.1) == INF


@pytest.mark.parametrize(
    ("notional", "turnover", "share"),
    [
        (1, NAN, 0.1),
        (NAN, 1, 0.1),
        (INF, 1, 0.1),
        (1, -1, 0.1),
        (1, 1, 0),
        (1, 1, 1.1),
        (1, 1, NAN),
    ],
)
def test_time_to_exit_when_something_is_unknown_refuses(notional, turnover, share):
    with pytest.raises(ValueError, match=r"turnover|notional"):
        liquidity.time_to_exit_s(notional, turnover, share)


# --- book -----------------------------------------------------------------------------------------


def test_book_cost_walks_the_levels():
    found = liquidity.book_cost(BIDS, 4.0, 100.0)
    # 2 sold 1 below the mid, 2 sold 2 below it.
    assert (found.filled, found.unfilled, found.cost_usd, found.worst_usd) == (4, 0, 6, 98)
    assert found.bps == pytest.approx(150)
    assert found.is_whole
    bought = liquidity.book_cost(ASKS, -4.0, 100.0)
    assert (bought.filled, bought.cost_usd, bought.worst_usd) == (4, 6, 102)
    assert bought.bps == pytest.approx(150)


def test_book_cost_when_the_book_is_too_thin_says_what_is_left():
    found = liquidity.book_cost(BIDS, 20.0, 100.0)
    assert (found.filled, found.unfilled, found.is_whole) == (15, 5, False)
    assert found.cost_usd == pytest.approx(2 + 6 + 50)
    empty = liquidity.book_cost([], -20.0, 100.0)
    assert empty == liquidity.BookCost(0, 20, 0, 0, 100)
    assert not empty.is_whole


def test_book_cost_of_nothing_is_nothing():
    assert liquidity.book_cost(BIDS, 0.0, 100.0) == liquidity.BookCost(0, 0, 0, 0, 100)
    assert liquidity.book_cost([(99.0, 0.0), (98.0, 1.0)], 1.0, 100.0).worst_usd == 98


def test_book_cost_when_the_book_is_crossed_is_a_gain():
    assert liquidity.book_cost([(101.0, 1.0)], 1.0, 100.0).cost_usd == -1


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 50)), max_size=12),
    st.integers(0, 300),
)
def test_book_cost_is_that_of_selling_unit_by_unit(levels, quantity):
    bids = sorted(((price / 100, float(size)) for price, size in levels), reverse=True)
    units = [price for price, size in bids for _ in range(int(size))][:quantity]
    found = liquidity.book_cost(bids, float(quantity), 100.0)
    assert found.filled == len(units)
    assert found.unfilled == quantity - len(units)
    assert found.cost_usd == pytest.approx(100 * len(units) - sum(units), abs=1e-6)


@pytest.mark.parametrize(
    ("levels", "quantity", "mid"),
    [
        ([(98.0, 1.0), (99.0, 1.0)], 1.0, 100.0),
        ([(99.0, 1.0), (98.0, 1.0)], -1.0, 100.0),
        ([(0.0, 1.0)], 1.0, 100.0),
        ([(-1.0, 1.0)], -1.0, 100.0),
        ([(99.0, -1.0)], 1.0, 100.0),
        ([(NAN, 1.0)], 1.0, 100.0),
        ([(99.0, INF)], 1.0, 100.0),
        (BIDS, NAN, 100.0),
        (BIDS, 1.0, 0.0),
        (BIDS, 1.0, NAN),
    ],
)
def test_book_cost_when_the_book_is_none_refuses(levels, quantity, mid):
    with pytest.raises(ValueError, match=r"level|price|offered|quantity|mid"):
        liquidity.book_cost(levels, quantity, mid)


# --- turnover -------------------------------------------------------------------------------------


def test_impact_is_the_square_root_law():
    # 1 % of a day's turnover at 4 % volatility: a tenth of 4 % is 40 bps, and half the spread.
    assert liquidity.impact_bps(1e6, 1e8, 0.04) == pytest.approx(40)
    assert liquidity.impact_bps(-1e6, 1e8, 0.04, 2.5, 0.9) == pytest.approx(38.5)
    assert liquidity.impact_usd(-1e6, 1e8, 0.04) == pytest.approx(4_000)
    # Four times as much costs twice as much per dollar.
    assert liquidity.impact_bps(4e6, 1e8, 0.04) == pytest.approx(80)


def test_impact_when_nothing_is_traded_is_endless_and_of_nothing_is_none():
    assert liquidity.impact_bps(1, 0, 0.04) == INF
    assert liquidity.impact_usd(1, 0, 0.04) == INF
    assert liquidity.impact_bps(0, 0, 0.04, 5.0) == 0
    assert liquidity.impact_usd(0, 0, 0.04, 5.0) == 0
    assert liquidity.impact_usd(1e6, 1e8, 0.0) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (NAN, 1, 0.1),
        (1, NAN, 0.1),
        (1, 1, NAN),
        (1, 1, 0.1, NAN),
        (1, 1, 0.1, 0, NAN),
        (1, -1, 0.1),
        (1, 1, -0.1),
        (1, 1, 0.1, -1),
        (1, 1, 0.1, 0, -1),
    ],
)
def test_impact_when_something_is_unknown_refuses(arguments):
    with pytest.raises(ValueError, match=r"turnover|notional|volatility|spread|impact"):
        liquidity.impact_bps(*arguments)


# --- ladder ---------------------------------------------------------------------------------------


def ladder(shocks=liquidity.LADDER, betas=None):
    """Longs that go at -15 % and -35 %, a short that goes at +25 %, one not stated, one never."""
    return liquidity.liquidation_ladder(
        np.array([2.0, 1.0, -1.0, 5.0, 1.0, 0.0]),
        np.array([100.0, 100.0, 100.0, 10.0, 50.0, 1.0]),
        np.array([85.0, 65.0, 125.0, NAN, 0.0, NAN]),
        shocks,
        betas,
    )


def test_liquidation_ladder_says_which_position_goes_where():
    found = ladder()
    assert [rung.shock for rung in found] == [-0.1, -0.2, -0.3, -0.5]
    assert [rung.liquidated for rung in found] == [(), (0,), (0,), (0, 1)]
    assert [rung.notional_usd for rung in found] == pytest.approx([0, 160, 140, 150])
    assert {rung.unstated for rung in found} == {(3,)}


def test_liquidation_ladder_when_the_market_rises_takes_shorts():
    assert [rung.liquidated for rung in ladder((0.2, 0.25))] == [(), (2,)]


def test_liquidation_ladder_when_a_price_is_just_reached_is_liquidated():
    held, marks, at = np.array([1.0, -1.0]), np.array([100.0, 100.0]), np.array([50.0, 150.0])
    found = liquidity.liquidation_ladder(held, marks, at, (-0.5, 0.5))
    assert [rung.liquidated for rung in found] == [(0,), (1,)]


def test_liquidation_ladder_when_betas_differ_moves_each_by_its_own():
    # The first hardly moves, the second twice as far, the short against the market.
    found = ladder((-0.2, -0.9), np.array([0.1, 2.0, -1.5, 1, 1, 1]))
    assert [rung.liquidated for rung in found] == [(1, 2), (1, 2)]
    assert found[0].notional_usd == pytest.approx(60 + 130)
    assert found[1].notional_usd == pytest.approx(0 + 235)


def test_liquidation_ladder_when_all_is_lost_leaves_who_cannot_be_liquidated():
    assert ladder((-1.0,))[0].liquidated == (0, 1)


def test_liquidation_ladder_of_nothing_is_empty():
    found = liquidity.liquidation_ladder(np.empty(0), np.empty(0), np.empty(0))
    assert [(rung.liquidated, rung.notional_usd) for rung in found] == [((), 0.0)] * 4


@pytest.mark.parametrize(
    ("quantities", "marks", "at", "shocks", "betas"),
    [
        ([1.0], [1.0, 2.0], [1.0], [-0.1], None),
        ([1.0], [1.0], [1.0, 2.0], [-0.1], None),
        ([1.0], [1.0], [1.0], [-0.1], [1.0, 1.0]),
        ([NAN], [1.0], [1.0], [-0.1], None),
        ([1.0], [NAN], [1.0], [-0.1], None),
        ([1.0], [0.0], [1.0], [-0.1], None),
        ([1.0], [1.0], [1.0], [-1.1], None),
        ([1.0], [1.0], [1.0], [NAN], None),
        ([1.0], [1.0], [1.0], [-0.1], [NAN]),
    ],
)
def test_liquidation_ladder_when_it_cannot_be_climbed_refuses(quantities, marks, at, shocks, betas):
    with pytest.raises(ValueError, match=r"quantities|mark|betas"):
        liquidity.liquidation_ladder(
            np.array(quantities),
            np.array(marks),
            np.array(at),
            shocks,
            None if betas is None else np.array(betas),
        )
