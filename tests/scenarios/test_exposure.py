"""Too much exposure on paper accounts: gross, net, one asset, margin; hedges and pairs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskbot.core import actions
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.model import PositionSide, RejectReason, Response, TradingState
from riskbot.core.settings import AccountSettings, HedgeSettings
from riskbot.exchanges.paper.faults import Fault, Mishap
from riskbot.exchanges.paper.holding import Holding
from riskbot.exchanges.paper.terms import Tier
from tests.scenarios.stage import Stage, stage

BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"
BTC_SPOT = "BTC/USDT"
GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE, within_s=60)
NET = NetExposure(max=0.8, on_breach=Response.REDUCE, within_s=60)
HEDGED_NET = NetExposure(max=0.5, on_breach=Response.HEDGE)


def test_gross_when_a_strategy_adds_is_reduced_to_target_largest_first() -> None:
    made = stage(GROSS, accounts={"main": {"positions": {BTC: 2, ETH: -20, SOL: 300}}})
    entry = made.trade(SOL, 500, price=95)
    made.trade(BTC, 1)
    made.wait(5)
    assert 1.7 < made.measure("gross") < 1.801
    assert {o.symbol for o in made.sent} == {BTC}
    assert all(o.reduce_only for o in made.sent)
    assert entry.order_id not in made.resting()
    assert made.quantity(ETH) == -20


def test_net_when_a_dip_buyer_adds_is_reduced_on_the_long_side_only() -> None:
    made = stage(NET, accounts={"main": {"positions": {BTC: 2, ETH: -12}}})
    assert made.measure("net") == pytest.approx(0.5)
    made.trade(BTC, 1, price="39500")
    made.trade(SOL, -100, price=105)
    made.glide(BTC=39_400)
    made.wait(5)
    assert 0.6 < made.measure("net") < 0.721
    assert made.quantity(ETH) == -12
    assert made.state() is TradingState.ACTIVE
    assert len(made.resting()) == 1, "the resting short lowers net and stays"


def test_net_and_gross_when_both_break_are_met_jointly_by_one_plan() -> None:
    made = stage(GROSS, NET, accounts={"main": {"positions": {BTC: 2, ETH: -20}}})
    made.trade(BTC, 2)
    made.wait(5)
    assert made.measure("gross") < 1.801
    assert made.measure("net") < 0.8
    assert not made.doubles()


def test_asset_when_one_coin_is_too_large_denies_that_coin_and_closes_nothing() -> None:
    limit = AssetExposure(max=0.5, on_breach=Response.CANCEL)
    made = stage(limit, accounts={"main": {"positions": {BTC: 1}}})
    kept = made.trade(ETH, 1, price=2_000)
    gone = made.trade(BTC, 1, price=39_000)
    made.trade(BTC, "0.5")
    made.wait(3)
    assert not made.sent
    assert made.state() is TradingState.ACTIVE
    assert made.resting() == {kept.order_id}
    assert gone.order_id not in made.resting()


def test_concentration_when_broken_denies_its_underlying() -> None:
    limit = UnderlyingConcentration(max=0.6, on_breach=Response.DENY)
    made = stage(limit, accounts={"main": {"positions": {BTC: 1, ETH: 12}}})
    made.trade(BTC, 1)
    made.wait(3)
    (hold,) = made.engine.state.enforcement.holds.values()
    assert hold.keys == ("BTC",)
    assert not made.sent


def test_margin_when_it_runs_short_is_reduced_within_its_window() -> None:
    limit = MaintenanceMargin(max=0.3, on_breach=Response.REDUCE, within_s=10)
    made = stage(("account:main", limit), accounts={"main": {"leverage": 50}})
    venue = made.exchanges["main"].venue
    steep = (Tier(Decimal("Infinity"), Decimal("0.02"), 50),)
    venue.listings[BTC] = replace(venue.listings[BTC], tiers=steep)
    venue.books[BTC].listing = venue.listings[BTC]
    made.trade(BTC, 20)
    made.read()
    made.wait(2)
    assert not made.sent
    made.glide(BTC=37_000)
    made.wait(10)
    margin = venue.margin()
    assert margin.maintenance_usd / margin.equity_usd < 0.3
    assert 0 < made.quantity(BTC) < 20
    assert all(o.reduce_only for o in made.sent)


# ---------------------------------------------------------------- hedges


def hedged() -> Stage:
    """Alts on one account, a hedge configured on another."""
    return stage(
        HEDGED_NET,
        accounts={"main": {"positions": {ETH: 30}}, "hedge": {}},
        hedges={"ETH": HedgeSettings("hedge", ETH, 500_000)},
    )


def test_hedge_when_net_breaks_offsets_it_elsewhere_and_unwinds_with_it() -> None:
    made = hedged()
    made.trade(ETH, 30)
    made.wait(5)
    assert made.quantity(ETH) == 60
    assert made.quantity(ETH, "hedge") < 0
    assert made.measure("net") <= 0.5
    assert not any(o.reduce_only for o in made.sent)
    before = len(made.sent)
    made.trade(ETH, -60)
    made.wait(5)
    assert made.quantity(ETH, "hedge") == 0
    assert all(o.reduce_only for o in made.sent[before:])


@pytest.mark.parametrize("then", [None, Response.REDUCE])
def test_hedge_when_there_is_no_margin_for_it_calls_a_person_and_does_what_then_names(
    then: Response | None,
) -> None:
    made = stage(
        NetExposure(max=0.5, on_breach=Response.HEDGE, within_s=30, then=then),
        accounts={"main": {"positions": {ETH: 15}}, "hedge": {"balance": {"USDT": 10}}},
        hedges={"ETH": HedgeSettings("hedge", ETH, 500_000)},
    )
    made.trade(ETH, 10)
    made.wait(120)
    assert made.alerts("cannot_hedge")
    assert made.quantity(ETH, "hedge") == 0
    if then is None:
        assert made.quantity(ETH) == 25, "a response never exceeds what its limit names"
    else:
        assert made.measure("net") < 0.451
        assert not made.engine.state.enforcement.intents


# ---------------------------------------------------------------- pairs

DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)


def carry(spot: str) -> Stage:
    """Two coins in spot, the same sold as a perpetual, and a long in ETH that loses money."""
    mapping = {"balance": {"USDT": 60_000, "BTC": 1}, "positions": {BTC: -1, ETH: 40}}
    return stage(
        DRAWDOWN,
        accounts={"main": mapping},
        account_settings={"main": AccountSettings(exchange="paper", spot=spot)},  # type: ignore[arg-type]
    )


def test_flatten_when_the_spot_leg_is_held_keeps_the_pair_and_closes_the_rest() -> None:
    made = carry("hold")
    made.glide(ETH=2_000)
    made.wait(5)
    assert made.quantity(ETH) == 0
    assert made.quantity(BTC) == -1
    assert made.quantity(BTC_SPOT) == 1
    assert not made.engine.state.enforcement.intents, "what is closable is closed: it is complete"
    assert made.state() is TradingState.HALTED


def test_flatten_when_the_spot_leg_may_be_sold_closes_both_legs() -> None:
    made = carry("trade")
    made.glide(ETH=2_000)
    made.wait(5)
    assert made.quantity(ETH) == made.quantity(BTC) == 0
    assert made.quantity(BTC_SPOT) == 0
    pair = [o.symbol for o in made.of(actions.PlaceOrder) if o.symbol in {BTC, BTC_SPOT}]
    assert set(pair) == {BTC, BTC_SPOT}


# ---------------------------------------------------------------- before the breach


def test_gross_in_orange_is_trimmed_to_below_it_and_nothing_is_denied() -> None:
    limit = replace_approach(GROSS)
    made = stage(limit, accounts={"main": {"positions": {BTC: 2, ETH: -20, SOL: 300}}})
    entry = made.trade(SOL, 10, price=90)
    made.trade(BTC, "0.75")
    made.wait(5)
    assert 1.55 < made.measure("gross") < 1.621
    assert {o.symbol for o in made.sent} == {BTC}
    assert made.state() is TradingState.ACTIVE
    assert entry.order_id in made.resting()
    made.trade(SOL, 100)
    made.wait(5)
    assert made.state() is TradingState.ACTIVE
    assert len(made.sent) == 1, "what is opened within a minute waits, or breaks the limit"


def replace_approach(limit: GrossExposure) -> GrossExposure:
    return limit.model_copy(update={"on_approach": ["reduce"]})


def test_account_added_with_a_breach_is_left_alone_and_the_others_with_it() -> None:
    made = stage(GROSS, accounts={"main": {"positions": {BTC: 3}}, "late": {}})
    whole = made.engine.settings
    made.restart(replace(whole, accounts={"main": whole.accounts["main"]}))
    made.wait(2)
    made.trade(ETH, 200, account="late")
    made.restart(whole)
    made.wait(10)
    assert made.measure("gross") > 2
    assert made.state() is TradingState.REDUCING
    assert made.sent == []
    made.confirm("reduce")
    made.wait(5)
    assert made.measure("gross") < 1.81


# ---------------------------------------------------------------- margin

TOP_UP = MaintenanceMargin(
    max=0.30,
    on_breach=Response.REDUCE,
    within_s=10,
    margin_actions=["add_margin", "reduce"],
    add_margin_max_usd=5_000,
)


def isolated(made: Stage, margin: int) -> Holding:
    """Give BTC an isolated margin of its own."""
    holding = made.exchanges["main"].venue.pool.holdings[BTC, PositionSide.NET]
    holding.is_isolated, holding.isolated_margin = True, Decimal(margin)
    made.read()
    made.wait(2)
    return holding


def crowded() -> tuple[Stage, Holding]:
    made = stage(("account:main", TOP_UP), accounts={"main": {"positions": {BTC: 2}}})
    holding = isolated(made, 1_600)
    return made, holding


def test_isolated_position_near_liquidation_gets_margin_and_stays() -> None:
    made, holding = crowded()
    made.glide(BTC=39_500, steps=10)
    made.wait(8)
    assert made.quantity(BTC) == 2
    assert made.sent == []
    assert holding.isolated_margin > 1_600
    moved = made.of(actions.AddMargin)
    assert holding.isolated_margin == 1_600 + sum(move.amount for move in moved)
    assert all(settled.is_added for settled in made.of(actions.SettleMargin))


@pytest.mark.parametrize("mishap", [Mishap.LOST_AFTER, Mishap.LOST_BEFORE])
def test_margin_whose_answer_is_lost_is_not_moved_twice(mishap: Mishap) -> None:
    made, holding = crowded()
    made.faults().will("add_margin", Fault(mishap))
    made.glide(BTC=39_700, steps=4)
    made.wait(10)
    first = made.of(actions.AddMargin)[0]
    came = holding.isolated_margin if made.quantity(BTC) == 2 else None
    if mishap is Mishap.LOST_AFTER:
        assert came == 1_600 + sum(move.amount for move in made.of(actions.AddMargin))
        assert made.sent == []
    else:
        assert made.of(actions.AddMargin) == [first]
        assert 0 < made.quantity(BTC) < 2


def test_margin_that_the_venue_refuses_is_answered_by_a_reduce() -> None:
    made, holding = crowded()
    made.faults().will("add_margin", Fault(Mishap.REFUSE, RejectReason.INSUFFICIENT_MARGIN))
    made.glide(BTC=39_700, steps=4)
    made.wait(10)
    assert len(made.of(actions.AddMargin)) == 1
    assert 0 < made.quantity(BTC) < 2
    assert holding.isolated_margin <= 1_600
