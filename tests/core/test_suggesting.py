"""The smallest trades that bring a scenario's loss inside a limit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core.exposure import Leg, ScopeBook
from riskbot.core.model import Side
from riskbot.core.scenarios import Scenario
from riskbot.core.stressed import Inputs
from riskbot.core.suggesting import Suggestion, suggest
from tests import builders
from tests.builders import BTC_INVERSE, BTC_PERP, BTC_SPOT, ETH_PERP
from tests.core.test_stressing import UNPRICED, book, call, leg, scenario


def held(
    symbol: str = BTC_PERP, quantity: float = 1.0, mark: float = 50_000.0, **fields: Any
) -> Leg:
    """Build a leg all of which may be closed."""
    made = leg(symbol, quantity, mark, **fields)
    native = abs(made.notional_usd or 0.0) if symbol == BTC_INVERSE else abs(quantity)
    return replace(made, closable_quantity=fields.get("closable_quantity", native))


def trades(found: Suggestion) -> list[tuple[str, Side, Decimal]]:
    return [(trade.key.symbol, trade.side, trade.quantity) for trade in found.trades]


FALL = scenario({"BTC": -0.3, "ETH": -0.5})


def test_nothing_is_suggested_for_a_loss_inside_the_limit() -> None:
    found = suggest(FALL, book(held(quantity=0.5)), 0.15)
    assert (found.trades, found.is_enough, found.note) == ((), True, "")
    assert found.before == found.after == pytest.approx(0.075)


def test_what_loses_most_per_dollar_is_closed_first_and_no_more_than_needed() -> None:
    # Losses 15,000 and 10,000; 15,000 allowed: the ETH, at 0.50 a dollar, in full.
    before = book(held(BTC_PERP, 1), held(ETH_PERP, 10, 2_000))
    found = suggest(FALL, before, 0.15)
    assert trades(found) == [(ETH_PERP, Side.SELL, Decimal("10"))]
    assert found.turnover_usd == 20_000
    assert found.trades[0].saves_usd == pytest.approx(10_000)
    assert found.after == pytest.approx(0.15)
    more = suggest(FALL, before, 0.12)
    assert trades(more) == [
        (ETH_PERP, Side.SELL, Decimal("10")),
        (BTC_PERP, Side.SELL, Decimal("0.2")),
    ]


def test_quantity_is_rounded_up_to_the_step() -> None:
    found = suggest(scenario({"BTC": -0.3}), book(held(BTC_PERP, 1)), 0.1499)
    # 10 of 15,000 too many: 0.000667 BTC.
    assert trades(found) == [(BTC_PERP, Side.SELL, Decimal("0.001"))]
    assert found.is_enough


def test_short_is_bought_back() -> None:
    found = suggest(scenario({"BTC": 0.3}), book(held(BTC_PERP, -1)), 0.10)
    assert trades(found) == [(BTC_PERP, Side.BUY, Decimal("0.334"))]


def test_hedge_is_not_taken_apart() -> None:
    pair = (held(BTC_SPOT, 2), held(BTC_PERP, -1.5))
    # Of the coins half a BTC is unhedged: 25,000 that lose 7,500.
    found = suggest(scenario({"BTC": -0.3}), book(*pair), 0.05)
    assert trades(found) == [(BTC_SPOT, Side.SELL, Decimal("0.167"))]
    assert found.is_enough


def test_hedged_position_that_loses_alone_is_kept_and_said() -> None:
    pair = (held(BTC_SPOT, 2), held(BTC_PERP, -2))
    slipping = scenario({"BTC": -0.3}, funding_multiple=1.0)
    found = suggest(slipping, book(*pair), 0.01, Inputs(funding={("main", BTC_PERP): -0.05}))
    assert (found.trades, found.is_enough) == ((), False)
    assert found.note == "nothing that loses may be closed without taking a hedge apart"


def test_what_may_not_be_closed_is_kept() -> None:
    kept = held(BTC_SPOT, 1, is_closable=False, kept_reason="spot: hold", closable_quantity=0.0)
    part = held(ETH_PERP, 10, 2_000, closable_quantity=4.0)
    found = suggest(FALL, book(kept, part), 0.10)
    assert trades(found) == [(ETH_PERP, Side.SELL, Decimal("4"))]
    assert not found.is_enough
    assert found.after == pytest.approx(0.21)
    assert found.note == "what may be closed and hedges nothing is not enough"


def test_smallest_order_of_the_venue_is_kept_to() -> None:
    listed = builders.instrument(BTC_SPOT, min_notional=100)
    one = held(BTC_SPOT, 1, instrument=listed)
    fall = scenario({"BTC": -0.3})
    # 1 USD too many would do with a hundredth of that.
    assert trades(suggest(fall, book(one), 0.14999)) == [(BTC_SPOT, Side.SELL, Decimal("0.002"))]
    little = held(BTC_SPOT, 1, instrument=listed, closable_quantity=0.001)
    assert suggest(fall, book(little), 0.14999).trades == ()


def test_inverse_contract_is_closed_by_its_face() -> None:
    listed = builders.instrument(BTC_INVERSE, step=100, min_quantity=100)
    found = suggest(scenario({"BTC": -0.3}), book(held(BTC_INVERSE, 1, instrument=listed)), 0.10)
    assert trades(found) == [(BTC_INVERSE, Side.SELL, Decimal("16700"))]


def test_option_is_closed_by_what_it_loses_per_delta() -> None:
    calls = replace(call(2), closable_quantity=2.0)
    inputs = Inputs(prices={"BTC": 50_000.0})
    found = suggest(scenario({"BTC": -0.1}), book(calls), 0.02, inputs)
    # 4,750 lost by two, 2,000 allowed.
    assert trades(found) == [(calls.key.symbol, Side.SELL, Decimal("1.158"))]
    assert found.after == pytest.approx(0.02, rel=1e-3)


def test_joint_move_is_brought_inside_round_by_round() -> None:
    both = book(held(BTC_PERP, 1), held(ETH_PERP, 20, 2_000))
    shock = scenario(joint_move={"correlation": 0.5, "sigmas": 3.0})
    found = suggest(shock, both, 0.08, Inputs(volatilities={"BTC": 0.03, "ETH": 0.05}))
    assert found.before is not None
    assert found.before > 0.08
    assert found.is_enough
    assert found.after == pytest.approx(0.08, rel=1e-2)


def test_coins_sold_become_cash_that_a_lost_peg_takes_a_part_of() -> None:
    coins = held(BTC_SPOT, 1)
    fall = scenario({"BTC": -0.3}, depeg={"USDT": -0.1})
    cash: dict[str, Any] = {"stablecoins": {"USDT": (10_000.0, 1.0, False)}}
    whole = book(coins, **cash)
    found = suggest(fall, whole, 0.10)
    # 16,000 are lost; a dollar of coins sold saves 0.20 of 0.30.
    assert found.after == pytest.approx(0.10, rel=2e-3)
    assert float(found.trades[0].quantity) == pytest.approx(6_000 / 0.2 / 50_000, rel=1e-2)
    accounts = {"main": book(coins, scope="account:main"), "b": book(scope="account:b")}
    apart = suggest(fall, book(coins), 0.10, Inputs(accounts=accounts))
    assert apart.is_enough
    fiat = held("BTC/EUR", 1)
    assert suggest(fall, book(fiat), 0.10).is_enough


def test_position_without_delta_is_left_alone() -> None:
    # Short calls without delta lose 2,250 by gamma: no dollar of delta closes any of that.
    flat = replace(call(-2, delta_usd=0.0), closable_quantity=2.0)
    inputs = Inputs(prices={"BTC": 50_000.0})
    found = suggest(scenario({"BTC": -0.3}), book(flat, held(BTC_PERP, 1)), 0.10, inputs)
    assert found.before == pytest.approx(0.1725)
    assert [trade.key.symbol for trade in found.trades] == [BTC_PERP]
    assert found.is_enough


def test_loss_that_is_unknown_has_no_advice() -> None:
    found = suggest(FALL, book(held(), held(ETH_PERP, **UNPRICED)), 0.1)
    assert (found.before, found.after, found.is_enough) == (None, None, False)
    assert found.note == f"main|{ETH_PERP}: it has no usable price"
    blind = suggest(FALL, book(held(), equity_usd=None), 0.1)
    assert blind.note == "equity of an account is not known"


def test_without_equity_everything_that_loses_goes() -> None:
    found = suggest(FALL, book(held(), equity_usd=0.0), 0.1)
    assert trades(found) == [(BTC_PERP, Side.SELL, Decimal("1"))]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ABCD"), st.floats(-50, 50), st.floats(10, 1_000)), max_size=6
    ),
    shocks=st.fixed_dictionaries({name: st.floats(-0.9, 0.9) for name in "ABCD"}),
    allowed=st.floats(0.01, 0.3),
)
def test_advice_keeps_its_word_for_any_book(
    rows: list[tuple[str, float, float]], shocks: dict[str, float], allowed: float
) -> None:
    legs = [
        held(f"{name}/USDT:USDT", quantity, mark, account=f"a{place}")
        for place, (name, quantity, mark) in enumerate(rows)
    ]
    before: ScopeBook = book(*legs, equity_usd=10_000.0)
    shock: Scenario = scenario(shocks)
    found = suggest(shock, before, allowed)
    assert found.before is not None
    assert found.after is not None
    assert found.is_enough is (found.after <= allowed * (1 + 1e-6)) or not found.trades
    assert found.after <= found.before + 1e-9
    by_key = {leg.key: leg for leg in legs}
    for trade in found.trades:
        closed = by_key[trade.key]
        assert trade.side is (Side.SELL if closed.quantity > 0 else Side.BUY)
        assert 0 < float(trade.quantity) <= abs(closed.quantity) + 1e-9
        # No underlying is turned around: its hedge stays one.
        same = [leg for leg in legs if leg.underlying == closed.underlying]
        net = sum(leg.delta_usd or 0.0 for leg in same)
        gone = sum(t.turnover_usd for t in found.trades if by_key[t.key] in same)
        assert gone <= abs(net) * (1 + 1e-6)
