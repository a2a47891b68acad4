"""A scenario over a book: each position by hand, where its numbers come from, what is left."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core.exposure import Aggregate, Leg, ScopeBook
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.stable_share import StableShare
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.limits.venue_share import VenueShare
from riskbot.core.model import PositionKey, PositionSide
from riskbot.core.scenarios import Scenario
from riskbot.core.stressed import Inputs, PositionStress, StressResult
from riskbot.core.stressing import apply, moves
from tests import builders, oracle
from tests.builders import BTC_INVERSE, BTC_PERP, BTC_SPOT, ETH_PERP
from tests.core.limits import books

CALL = "BTC/USDT:USDT-261225-60000-C"


def scenario(shocks: dict[str, float] | None = None, **fields: Any) -> Scenario:
    values: dict[str, Any] = {"name": "it", "title": "t", "description": "d", "source": "s"}
    if shocks is not None:
        values["shocks"] = shocks
    return Scenario(**values, **fields)


def leg(
    symbol: str = BTC_PERP, quantity: float = 1.0, mark: float = 50_000.0, **fields: Any
) -> Leg:
    """Build a leg as the Book would have it."""
    account = fields.pop("account", "main")
    listed = fields.pop("instrument", None) or builders.instrument(symbol, account=account)
    notional = quantity * mark
    values: dict[str, Any] = {
        "key": PositionKey(account, symbol, fields.pop("side", PositionSide.NET)),
        "instrument": listed,
        "venue": "binanceusdm",
        "underlying": listed.underlying,
        "sector": "layer1",
        "groups": (),
        "quantity": quantity,
        "mark_usd": mark,
        "notional_usd": notional,
        "delta_usd": notional,
        "unrealized_pnl_usd": 0.0,
        "is_spot": ":" not in symbol,
        **fields,
    }
    return Leg(**values)


UNPRICED: dict[str, Any] = {"mark_usd": None, "notional_usd": None, "delta_usd": None}


def call(quantity: float = 2.0, **fields: Any) -> Leg:
    """Calls at delta 0.5 and gamma 0.00001, 3,000 each, with BTC at 50,000."""
    usd = quantity * 0.5 * 50_000
    gamma = quantity * 0.00001 * 50_000**2
    values = {"gamma_usd": gamma, "notional_usd": usd, "delta_usd": usd, **fields}
    return leg(CALL, quantity, 3_000.0, **values)


def book(*legs: Leg, equity_usd: float | None = 100_000.0, **fields: Any) -> ScopeBook:
    return books.book(*legs, equity_usd=equity_usd, **fields)


def only(result: StressResult) -> PositionStress:
    (position,) = result.moves.positions
    return position


# ---------------------------------------------------------------- prices


def test_each_kind_of_position_by_hand() -> None:
    held = book(
        leg(BTC_PERP, 2),
        leg(BTC_SPOT, 0.5),
        leg(BTC_INVERSE, -0.4),
        leg(ETH_PERP, -10, 2_000),
        call(2),
    )
    result = apply(scenario({"BTC": -0.10, "ETH": -0.20}), held)
    # The calls by delta -5,000 and gamma +250; their value, 6,000, is not reached.
    pnl = [position.pnl_usd for position in result.moves.positions]
    assert pnl == pytest.approx([-10_000, -2_500, 2_000, 4_000, -4_750])
    assert result.pnl_usd == pytest.approx(-11_250)
    assert result.share == result.loss_share == pytest.approx(0.1125)
    assert result.equity_after_usd == pytest.approx(88_750)
    assert not result.unknown


@settings(max_examples=60, deadline=None)
@given(
    held=st.lists(
        st.tuples(st.sampled_from("ABCDE"), st.floats(-100, 100), st.floats(1, 1e4)), max_size=6
    ),
    shocks=st.dictionaries(
        st.sampled_from(["A", "B", "C", "DEFAULT"]), st.floats(-1, 3), min_size=1
    ),
)
def test_any_book_equals_the_oracle_in_any_order(
    held: list[tuple[str, float, float]], shocks: dict[str, float]
) -> None:
    legs = [leg(f"{asset}/USDT:USDT", q, mark) for asset, q, mark in held]
    result = apply(scenario(shocks), book(*legs))
    assert result.pnl_usd == pytest.approx(oracle.stress_pnl(held, shocks), abs=1e-6)
    turned = apply(scenario(shocks), book(*reversed(legs)))
    assert turned.pnl_usd == pytest.approx(result.pnl_usd, abs=1e-6)
    assert result.equity_after_usd == pytest.approx(100_000 + (result.pnl_usd or 0), abs=1e-6)


@given(shock=st.floats(-1, 3), quantity=st.floats(0.01, 100))
def test_hedged_pair_loses_nothing_by_a_shock_of_its_own_coin(
    shock: float, quantity: float
) -> None:
    for hedge in (BTC_PERP, BTC_INVERSE):
        pair = book(leg(BTC_SPOT, quantity), leg(hedge, -quantity))
        assert apply(scenario({"BTC": shock}), pair).pnl_usd == pytest.approx(0, abs=1e-6)


def test_every_number_says_where_it_comes_from() -> None:
    told = scenario({"BTC": -0.1, "sector:layer1": -0.2, "DEFAULT": -0.3})
    held = book(leg(), leg("ADA/USDT:USDT"), leg("UNI/USDT:USDT", sector="defi"))
    rows = [(p.shock, p.origin) for p in apply(told, held).moves.positions]
    assert rows == [(-0.1, "BTC"), (-0.2, "sector:layer1"), (-0.3, "DEFAULT")]
    position = only(apply(scenario({"ETH": -0.1}), book(leg())))
    assert (position.shock, position.origin, position.pnl_usd) == (0.0, "", 0.0)
    position = only(apply(scenario({"BTC": -0.1}), book(leg())))
    assert [(p.cause, p.usd, p.words) for p in position.parts] == [
        ("price", -5_000, "50,000.00 USD * -0.1")
    ]


def test_position_without_a_price_is_unknown_and_so_is_the_sum() -> None:
    held = book(leg(), leg(ETH_PERP, **UNPRICED))
    result = apply(scenario({"DEFAULT": -0.1}), held, limits=[GrossExposure(max=2.0)])
    assert [p.pnl_usd for p in result.moves.positions] == [-5_000, None]
    assert (result.pnl_usd, result.share, result.equity_after_usd) == (None, None, None)
    assert result.loss_share is None
    why = f"main|{ETH_PERP}: it has no usable price"
    assert result.unknown == (why,)
    assert [(u.limit, u.reason) for u in result.unjudged] == [("gross_exposure", why)]
    assert result.after is None


def test_coin_that_nobody_prices_counts_as_nothing_and_is_named() -> None:
    unlisted = leg("ABC", 5, is_unlisted=True, **UNPRICED)
    position = only(apply(scenario({"DEFAULT": -0.1}), book(unlisted)))
    assert position.pnl_usd == 0
    assert position.notes == ("nobody prices it: it counts as nothing",)


def test_share_when_equity_is_unknown_or_gone() -> None:
    fall = scenario({"BTC": -0.1})
    unknown = apply(fall, book(leg(), equity_usd=None))
    assert (unknown.pnl_usd, unknown.share) == (-5_000, None)
    assert unknown.unknown == ("equity of an account is not known",)
    assert apply(fall, book(leg(), equity_usd=0.0)).share == math.inf
    assert apply(fall, book(leg(quantity=-1), equity_usd=0.0)).share == 0


def test_gain_is_no_loss() -> None:
    result = apply(scenario({"BTC": 0.1}), book(leg()))
    assert (result.share, result.loss_share) == (pytest.approx(-0.05), 0.0)


# ---------------------------------------------------------------- options


def test_option_knows_no_bound_by_its_underlying_without_a_price_of_it() -> None:
    gamma = 2 * 0.00001 * 50_000**2
    position = only(apply(scenario({"BTC": 3.0}), book(call())))
    assert position.pnl_usd == pytest.approx(50_000 * 3 + gamma * 9 / 2)
    assert position.delta_after_usd == pytest.approx((50_000 + gamma * 3) * 4)


def test_option_uses_what_else_is_held_of_its_underlying_for_the_price() -> None:
    gamma = 2 * 0.00001 * 50_000**2
    by_perp = apply(scenario({"BTC": 0.04}), book(call(), leg(BTC_PERP, 0.001))).moves.positions[0]
    by_input = only(apply(scenario({"BTC": 0.04}), book(call()), Inputs(prices={"BTC": 50_000.0})))
    for position in (by_perp, by_input):
        assert position.pnl_usd == pytest.approx(50_000 * 0.04 + gamma * 0.04**2 / 2)
        assert position.notes == ()
        assert position.delta_after_usd == pytest.approx((50_000 + gamma * 0.04) * 1.04)


def test_option_without_gamma_goes_by_delta_and_says_so() -> None:
    position = only(apply(scenario({"BTC": -0.05}), book(call(gamma_usd=None))))
    assert position.pnl_usd == pytest.approx(-2_500)
    assert position.delta_after_usd == pytest.approx(50_000 * 0.95)
    (note,) = position.notes
    assert note.startswith("by delta alone")
    assert not note.endswith("it may lose more")
    short = only(apply(scenario({"BTC": 0.05}), book(call(-2, gamma_usd=None))))
    assert short.pnl_usd == pytest.approx(-2_500)
    assert short.notes[0].endswith("it may lose more")


def test_long_option_loses_its_value_at_most() -> None:
    position = only(apply(scenario({"BTC": -0.5}), book(call()), Inputs(prices={"BTC": 50_000.0})))
    assert position.pnl_usd == -6_000


def test_option_without_a_mark_is_unknown() -> None:
    position = only(apply(scenario({"BTC": -0.5}), book(call(mark_usd=None))))
    assert position.pnl_usd is None


def test_option_quoted_in_what_is_worth_nothing_is_unknown() -> None:
    gone = scenario({"BTC": 0.0}, depeg={"USDT": -1.0})
    position = only(apply(gone, book(call())))
    assert (position.pnl_usd, position.reason) == (None, "USDT is worth nothing any more")
    # A linear position's loss or gain is known all the same: its notional.
    linear = only(apply(gone, book(leg())))
    assert (linear.pnl_usd, linear.move, linear.delta_after_usd) == (50_000, math.inf, 50_000)


# ---------------------------------------------------------------- quoted in a coin


ETH_BTC = "ETH/BTC:BTC"


def test_contract_quoted_in_a_coin_moves_with_both() -> None:
    # 10 ETH at 0.04 BTC, BTC 50,000: 20,000 USD; BTC -10 %, ETH stays: 0.04 / 0.9.
    held = book(leg(ETH_BTC, 10, 2_000, unrealized_pnl_usd=500.0))
    position = only(apply(scenario({"BTC": -0.1}), held))
    assert position.move == pytest.approx(1 / 0.9 - 1)
    # 2,000 of price, and the 500 it has made, in BTC, lose a tenth.
    assert position.pnl_usd == pytest.approx(2_000 - 50)
    unknown = only(apply(scenario({"BTC": -0.1}), book(leg(ETH_BTC, unrealized_pnl_usd=None))))
    assert unknown.reason == "what it has made, in a coin, is not known"


# ---------------------------------------------------------------- pegs


def test_depeg_takes_cash_and_moves_what_is_quoted_in_it_the_other_way() -> None:
    held = book(
        leg(BTC_PERP, 1),
        leg(ETH_PERP, -10, 2_000),
        leg(BTC_INVERSE, 1),
        leg(BTC_SPOT, 1),
        stablecoins={"USDT": (40_000.0, 1.0, False), "USDC": (10_000.0, 1.0, False)},
    )
    result = apply(scenario(depeg={"USDT": -0.1}), held)
    assert [p.pnl_usd for p in result.moves.positions] == pytest.approx([5_000, -2_000, 0, 0])
    (cash,) = result.moves.cash
    assert (cash.account, cash.name, cash.pnl_usd) == ("main", "USDT", -4_000)
    assert result.pnl_usd == pytest.approx(-1_000)
    assert result.after is not None
    assert result.after.stablecoins["USDT"] == (pytest.approx(40_000 - 1_000), 0.9, False)
    assert result.after.stablecoins["USDC"] == (10_000, 1.0, False)


def test_depeg_over_two_accounts_needs_to_know_whose_the_cash_is() -> None:
    legs = (leg(account="a"), leg(account="b"))
    margin: dict[str, Any] = {
        "maintenance_margin": [("a", 0.1), ("b", 0.1)],
        "margin_equity": {"a": 50_000.0, "b": 50_000.0},
        "stablecoins": {"USDT": (100_000.0, 1.0, False)},
    }
    held = book(*legs, **margin)
    fall = scenario(depeg={"USDT": -0.1})
    limits = [VenueShare(max=0.9), StableShare(max=0.5), MaintenanceMargin(max=0.5)]
    result = apply(fall, held, limits=limits)
    assert result.pnl_usd == pytest.approx(-10_000 + 10_000)
    assert [pool.reason for pool in result.moves.pools] == ["whose cash it is, is not known"] * 2
    assert [u.limit for u in result.unjudged] == [
        "venue_share",
        "stable_share",
        "maintenance_margin",
        "maintenance_margin",
    ]
    accounts = {
        name: book(scope=f"account:{name}", stablecoins={"USDT": (usd, 1.0, False)})
        for name, usd in (("a", 80_000.0), ("b", 20_000.0))
    }
    known = apply(fall, held, Inputs(accounts=accounts))
    assert [pool.equity_after_usd for pool in known.moves.pools] == [
        pytest.approx(50_000 + 5_000 - 8_000),
        pytest.approx(50_000 + 5_000 - 2_000),
    ]
    # Without a move of cash there is nothing to ask.
    plain = apply(scenario({"BTC": -0.1}), held, limits=limits)
    assert [pool.equity_after_usd for pool in plain.moves.pools] == [45_000, 45_000]


def test_strategy_has_no_cash_of_its_own_and_its_capital_stays() -> None:
    held = book(leg(), scope="strategy:grid", equity_usd=20_000.0)
    result = apply(scenario({"BTC": -0.1}, depeg={"USDT": -0.1}), held)
    assert result.moves.cash == ()
    assert result.after is not None
    assert (result.after.equity_usd, result.after.capital_usd) == (20_000, 20_000)


# ---------------------------------------------------------------- one correlation


def test_joint_move_loses_its_sigmas_by_the_closed_form() -> None:
    held = book(leg(BTC_PERP, 1), leg(ETH_PERP, 10, 2_000))
    shock = scenario(joint_move={"correlation": 0.9, "sigmas": 3.0})
    inputs = Inputs(volatilities={"BTC": 0.02, "ETH": 0.05})
    result = apply(shock, held, inputs)
    assert result.pnl_usd == pytest.approx(-3 * math.sqrt(0.9 * 2_000**2 + 0.1 * 2 * 1_000**2))
    assert {p.origin for p in result.moves.positions} == {"joint_move"}


def test_joint_move_without_a_volatility_or_a_price_is_unknown_for_all() -> None:
    shock = scenario(joint_move={"correlation": 0.9})
    held = book(leg(BTC_PERP, 1), leg(ETH_PERP, 10, 2_000))
    result = apply(shock, held, Inputs(volatilities={"BTC": 0.02}))
    assert [p.reason for p in result.moves.positions] == ["the volatility of ETH is not known"] * 2
    blind = apply(shock, book(leg(), leg(ETH_PERP, **UNPRICED)), Inputs(volatilities={"BTC": 0.1}))
    assert blind.moves.positions[0].reason == "ETH has no usable price"
    assert blind.moves.positions[0].move is None


def test_joint_move_leaves_out_what_nobody_prices_and_knows_no_other_asset() -> None:
    shock = scenario(joint_move={"correlation": 0.9})
    held = book(leg(ETH_BTC, 1, 2_000), leg("ABC", 1, is_unlisted=True, **UNPRICED))
    result = apply(shock, held, Inputs(volatilities={"ETH": 0.05}))
    assert result.pnl_usd == pytest.approx(-3 * 0.05 * 2_000)
    nothing = apply(shock, book(leg(ETH_BTC, 1, 2_000)))
    assert nothing.pnl_usd is None


# ---------------------------------------------------------------- stops, spreads, funding


def test_all_stops_close_what_has_one_and_leave_the_rest() -> None:
    held = book(
        leg(BTC_PERP, 1, stop=45_000.0, risk_usd=5_000.0),
        leg(ETH_PERP, -10, 2_000, risk_usd=2_000.0),
    )
    result = apply(scenario(stops={"slippage": 0.01}), held, limits=[NetExposure(max=0.15)])
    stopped, open_ = result.moves.positions
    assert (stopped.pnl_usd, stopped.is_gone) == (pytest.approx(-5_450), True)
    assert stopped.parts[-1].words == "stop 45000, 5,000.00 USD away, and slippage"
    assert (open_.pnl_usd, open_.is_gone, open_.notes) == (
        0,
        False,
        ("no stop covers it: it stays",),
    )
    assert result.after is not None
    assert [left.key.symbol for left in result.after.legs] == [ETH_PERP]
    assert [(b.limit, b.was_broken) for b in result.broken] == [("net_exposure", False)]
    assert only(apply(scenario(stops={}), book(leg(**UNPRICED)))).pnl_usd is None


def test_wide_spreads_cost_half_of_them_on_the_way_out() -> None:
    wide = scenario(spread_multiple=10.0)
    spreads = {("main", BTC_PERP): 0.0002}
    position = only(apply(wide, book(leg(quantity=-1)), Inputs(spreads=spreads)))
    assert position.pnl_usd == pytest.approx(-50_000 * 0.0002 * 10 / 2)
    assert position.parts[-1].words == "50,000.00 USD * 0.0002 / 2 * 10"
    assert only(apply(wide, book(leg()))).reason == "its spread is not known"
    assert only(apply(wide, book(leg(**UNPRICED)))).pnl_usd is None


def test_ten_days_of_funding_are_paid_by_longs_and_received_by_shorts() -> None:
    much = scenario(funding_multiple=10.0)
    held = book(
        leg(BTC_PERP, 1),
        leg(BTC_PERP, -1, side=PositionSide.SHORT),
        leg(BTC_SPOT, 1),
        leg("BTC/USDT:USDT-261225", 1),
    )
    result = apply(much, held, Inputs(funding={("main", BTC_PERP): 0.0003}))
    assert [p.pnl_usd for p in result.moves.positions] == pytest.approx([-150, 150, 0, 0])
    assert only(apply(much, book(leg()))).reason == "its funding is not known"
    rates = Inputs(funding={("main", BTC_PERP): 0.0003})
    assert only(apply(much, book(leg(**UNPRICED)), rates)).pnl_usd is None


def test_costs_add_to_a_fall() -> None:
    both = scenario({"BTC": -0.1}, spread_multiple=2.0, funding_multiple=1.0)
    inputs = Inputs(spreads={("main", BTC_PERP): 0.001}, funding={("main", BTC_PERP): -0.001})
    position = only(apply(both, book(leg()), inputs))
    assert [(p.cause, p.usd) for p in position.parts] == [
        ("price", -5_000),
        ("spread", -50),
        ("funding", 50),
    ]
    assert (position.pnl_usd, position.price_pnl_usd) == (-5_000, -5_000)


# ---------------------------------------------------------------- a venue lost


def two_venues(**fields: Any) -> ScopeBook:
    """Hold BTC at okx, hedged at bybit."""
    values: dict[str, Any] = {
        "venue_equity": {"okx": 60_000.0, "bybit": 40_000.0},
        "maintenance_margin": [("a", 0.1), ("b", 0.1)],
        "margin_equity": {"a": 60_000.0, "b": 40_000.0},
        "stablecoins": {"USDT": (50_000.0, 1.0, False)},
        **fields,
    }
    return book(
        leg(BTC_SPOT, 1, account="a", venue="okx"),
        leg(BTC_PERP, -1, account="b", venue="bybit"),
        **values,
    )


def test_lost_venue_takes_its_equity_and_leaves_hedges_naked() -> None:
    held = two_venues()
    limits = [NetExposure(max=0.06), VenueShare(max=0.9)]
    result = apply(scenario(venue_lost="largest"), held, limits=limits)
    assert result.moves.venue == "okx"
    assert result.pnl_usd == -60_000
    assert [(p.pnl_usd, p.is_gone) for p in result.moves.positions] == [(0, True), (0, False)]
    assert result.moves.positions[0].notes == ("gone with okx",)
    assert [pool.subject for pool in result.moves.pools] == ["b"]
    assert [(b.limit, b.before) for b in result.broken] == [("net_exposure", None)]
    assert result.after is not None
    assert result.after.venue_equity == {"okx": 0, "bybit": 40_000}


def test_named_venue_is_lost_and_one_that_holds_nothing_costs_nothing() -> None:
    assert apply(scenario(venue_lost="bybit"), two_venues()).pnl_usd == -40_000
    assert apply(scenario(venue_lost="kraken"), two_venues()).pnl_usd == 0
    assert apply(scenario(venue_lost="okx"), two_venues(venue_equity={"okx": -5.0})).pnl_usd == 0


def test_lost_venue_whose_equity_is_not_known_is_unknown() -> None:
    for name in ("largest", "bybit"):
        result = apply(scenario(venue_lost=name), two_venues(venue_equity={"okx": 60_000.0}))
        assert result.pnl_usd is None
        assert result.unknown == ("venue: equity at bybit is not known",)
        assert result.moves.pools == ()
    assert apply(scenario(venue_lost="largest"), book(equity_usd=5.0)).pnl_usd == 0


def test_cash_at_a_lost_venue_does_not_lose_its_peg_as_well() -> None:
    accounts = {
        name: book(
            scope=f"account:{name}",
            stablecoins={"USDT": (25_000.0, 1.0, False)},
            venue_equity={venue: 1.0},
        )
        for name, venue in (("a", "okx"), ("b", "bybit"))
    }
    both = scenario(venue_lost="largest", depeg={"USDT": -0.1})
    result = apply(both, two_venues(), Inputs(accounts=accounts))
    # What is left at bybit: cash, and a short quoted in USDT.
    assert result.pnl_usd == pytest.approx(-60_000 - 2_500 - 5_000)
    assert result.after is not None
    assert result.after.venue_equity["bybit"] == pytest.approx(40_000 - 7_500)


def test_lost_account_is_its_own_venue() -> None:
    held = book(leg(), scope="account:main", venue_equity={"binanceusdm": 100_000.0})
    result = apply(scenario(venue_lost="largest"), held)
    assert (result.pnl_usd, result.equity_after_usd) == (-100_000, 0)


# ---------------------------------------------------------------- margin and liquidation


def margined(*legs: Leg, ratio: float | None = 0.1, equity: float = 10_000.0) -> ScopeBook:
    return book(*legs, maintenance_margin=[("main", ratio)], margin_equity={"main": equity})


def test_cross_pool_after_a_fall_by_hand() -> None:
    # 1,000 of maintenance for 50,000; at -15 % 850 for 42,500, and 2,500 of equity.
    result = apply(scenario({"BTC": -0.15}), margined(leg()))
    (pool,) = result.moves.pools
    assert (pool.before, pool.after) == (0.1, pytest.approx(850 / 2_500))
    assert pool.equity_after_usd == 2_500
    assert result.liquidated == ()


def test_cross_pool_without_equity_left_is_liquidated_with_all_its_positions() -> None:
    held = margined(leg(), leg(ETH_PERP, 1, 2_000), leg(BTC_SPOT, 0.01))
    result = apply(scenario({"BTC": -0.25}), held, limits=[MaintenanceMargin(max=0.3)])
    assert result.moves.pools[0].after == math.inf
    assert [(found.key.symbol, found.reason) for found in result.liquidated] == [
        (BTC_PERP, "margin"),
        (ETH_PERP, "margin"),
    ]
    assert [(b.limit, b.before, b.after) for b in result.broken] == [
        ("maintenance_margin", 0.1, math.inf)
    ]


def test_isolated_position_has_a_pool_of_its_own() -> None:
    held = book(
        leg(BTC_PERP, 1),
        leg(ETH_PERP, 10, 2_000),
        maintenance_margin=[("main", 0.1), (f"main|{ETH_PERP}", 0.2)],
        margin_equity={"main": 50_000.0, f"main|{ETH_PERP}": 1_000.0},
        stablecoins={"USDT": (51_000.0, 1.0, False)},
    )
    result = apply(scenario({"ETH": -0.02}), held)
    cross, isolated = result.moves.pools
    assert (cross.equity_after_usd, cross.after) == (50_000, pytest.approx(0.1))
    assert isolated.equity_after_usd == pytest.approx(600)
    assert isolated.after == pytest.approx(200 * 0.98 / 600)
    # Its margin is part of the cash that loses its peg, and not of the cross pool.
    lost = apply(scenario(depeg={"USDT": -0.1}), held)
    cross, isolated = lost.moves.pools
    assert cross.equity_after_usd == pytest.approx(50_000 - 5_100 + 100 + 5_000)
    assert isolated.equity_after_usd == pytest.approx(1_000 - 100 + 2_000)


def test_margin_that_is_not_known_stays_so() -> None:
    held = margined(leg(), ratio=None)
    assert apply(scenario({"BTC": -0.1}), held).moves.pools[0].reason == "margin is not known"
    broke = margined(leg(), ratio=math.inf, equity=0.0)
    assert apply(scenario({"BTC": -0.1}), broke).moves.pools[0].after == math.inf
    blind = margined(leg(), leg(ETH_PERP, **UNPRICED))
    reason = apply(scenario({"BTC": -0.1}), blind).moves.pools[0].reason
    assert reason == "a loss in it is not known"
    unpaid = margined(leg(ETH_BTC, 1, 2_000))
    unpaid.maintenance_margin = [(f"main|{ETH_BTC}", 0.1)]
    joint = scenario(joint_move={"correlation": 0.9})
    assert moves(joint, unpaid).pools[0].after is None


def test_position_past_its_liquidation_price_is_liquidated() -> None:
    long = leg(liquidation_price=40_000.0, liquidation_distance=0.2)
    short = leg(ETH_PERP, -1, 2_000, liquidation_price=2_500.0, liquidation_distance=0.25)
    held = book(long, short)
    assert apply(scenario({"BTC": -0.19, "ETH": 0.24}), held).liquidated == ()
    found = apply(scenario({"BTC": -0.2, "ETH": 0.25}), held).liquidated
    assert [(one.key.symbol, one.reason) for one in found] == [
        (BTC_PERP, "price"),
        (ETH_PERP, "price"),
    ]
    # A quote that falls lifts the price it quotes.
    assert apply(scenario(depeg={"USDT": -0.21}), held).liquidated == (found[1],)
    both = replace(held, maintenance_margin=[("main", 0.9)], margin_equity={"main": 100.0})
    assert apply(scenario({"BTC": -0.3}), both).liquidated[0].reason == "price and margin"


# ---------------------------------------------------------------- limits


def test_limits_are_asked_over_the_book_after_the_move_and_said_if_broken_before() -> None:
    held = book(leg(BTC_PERP, 1.5), leg(ETH_PERP, 20, 2_000))
    held.losses.drawdown = 0.10
    held.losses.daily_loss = -0.01
    limits = [
        GrossExposure(max=1.0),
        Drawdown(max=0.15),
        DailyLoss(max=0.2),
        ValueAtRisk(max=0.1),
    ]
    result = apply(scenario({"DEFAULT": -0.1}), held, limits=limits)
    # Gross 103,500 over 88,500; drawdown 1 - 0.9 * 0.885; the day 1 - 1.01 * 0.885.
    assert [(b.limit, pytest.approx(b.after), b.was_broken) for b in result.broken] == [
        ("drawdown", 1 - 0.9 * 0.885, False),
        ("gross_exposure", 103_500 / 88_500, True),
    ]
    assert [(u.limit, u.reason) for u in result.unjudged] == [
        ("value_at_risk", "statistics after the move are not known")
    ]


def test_limit_of_whose_a_loss_is_cannot_be_judged() -> None:
    held = book(leg(), strategies={"grid": Aggregate(50_000, 50_000)})
    result = apply(scenario({"BTC": -0.1}), held, limits=[StrategyShare(max=0.5)])
    assert result.unjudged[0].reason == "what of a loss is whose, is not known"


def test_capital_that_is_fixed_does_not_fall() -> None:
    held = book(leg(quantity=2), capital_usd=100_000.0)
    fall = scenario({"BTC": -0.5})
    limits = [GrossExposure(max=0.6)]
    assert apply(fall, held, limits=limits).broken[0].after == 1.0
    assert apply(fall, held, Inputs(has_fixed_capital=True), limits).broken == ()
