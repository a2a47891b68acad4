"""Basis of a hedged pair: what its hedge costs above what it hedges."""

from __future__ import annotations

import pytest

from riskbot.core.basis import Basis, basis
from riskbot.core.exposure import Leg, Pair
from riskbot.core.pairs import Pairing
from tests.builders import T0, instrument
from tests.core.test_plan import leg

DAY_MS = 86_400_000


def contract(quantity: float, mark: float, suffix: str, days: float | None = None) -> Leg:
    row = leg("BTC", quantity, mark)
    ends = None if days is None else T0 + int(days * DAY_MS)
    row.instrument = instrument(f"BTC/USDT:USDT{suffix}", expiry_ms=ends)
    row.key = row.key._replace(symbol=f"BTC/USDT:USDT{suffix}")
    return row


def coin(quantity: float, mark: float) -> Leg:
    row = leg("BTC", quantity, mark, is_spot=True)
    row.instrument = instrument("BTC/USDT")
    row.key = row.key._replace(symbol="BTC/USDT")
    return row


def of(*legs: Leg) -> tuple[Pair, Basis | None]:
    pairing = Pairing()
    for each in legs:
        pairing.put(each)
    (pair,) = pairing.pairs()
    return pair, basis(pair, {each.key: each for each in legs}, T0)


def test_perpetual_above_spot_has_a_basis_and_no_year() -> None:
    pair, found = of(coin(1, 50_000), contract(-1, 50_100, ""))
    assert found == Basis(pytest.approx(0.002))
    assert pair.ratio == pytest.approx(50_100 / 50_000)


def test_dated_contract_is_annualised_by_the_days_it_has_left() -> None:
    # 1 % in 36.5 days is 10 % a year.
    _, found = of(coin(1, 50_000), contract(-1, 50_500, "-270104", days=36.5))
    assert found == Basis(pytest.approx(0.01), pytest.approx(0.10), 36.5)
    _, found = of(coin(1, 50_000), contract(-1, 49_500, "-270104", days=36.5))
    assert found == Basis(pytest.approx(-0.01), pytest.approx(-0.10), 36.5)


def test_perpetual_that_hedges_a_dated_contract_is_the_nearer_one() -> None:
    _, found = of(contract(1, 50_500, "-270104", days=73), contract(-1, 50_000, ""))
    assert found == Basis(pytest.approx(50_000 / 50_500 - 1), pytest.approx(0.05), 73)


def test_calendar_spread_counts_the_days_between() -> None:
    near, far = contract(1, 50_000, "-270104", days=30), contract(-1, 50_250, "-270405", days=66.5)
    _, found = of(near, far)
    assert found == Basis(pytest.approx(0.005), pytest.approx(0.05), 36.5)


@pytest.mark.parametrize("days", [0.2, 0.0, -3.0])
def test_contract_about_to_end_says_nothing_of_a_year(days: float) -> None:
    _, found = of(coin(1, 50_000), contract(-1, 50_010, "-261129", days=days))
    assert found == Basis(pytest.approx(0.0002))


def test_several_legs_weigh_by_their_size_and_multiples_are_folded() -> None:
    dear, cheap = contract(-1, 50_300, ""), contract(-3, 49_900, "-270104", days=365)
    _, found = of(coin(4, 50_000), dear, cheap)
    assert found == Basis(pytest.approx(0.0), pytest.approx(0.0), 365)
    thousands = leg("PEPE", -1_000, 0.0101)
    thousands.instrument = instrument("1000PEPE/USDT:USDT", underlying_per_base=1_000)
    held = leg("PEPE", 1_000_000, 0.00001, is_spot=True)
    held.key = held.key._replace(symbol="PEPE/USDT")
    _, found = of(held, thousands)
    assert found == Basis(pytest.approx(0.01))


def test_option_states_no_price_of_its_underlying() -> None:
    option = contract(-2, 2_000, "-270104-60000-C", days=36)
    option.notional_usd = option.delta_usd = -50_000
    pair, found = of(coin(1, 50_000), option)
    assert found is None
    assert (pair.quantity, pair.drift) == (1.0, 0.0)


def test_side_that_is_gone_or_unpriced_has_no_basis() -> None:
    held, hedge = coin(1, 50_000), contract(-1, 50_100, "")
    pair, _ = of(held, hedge)
    assert basis(pair, {held.key: held}, T0) is None
    hedge.notional_usd = None
    assert basis(pair, {held.key: held, hedge.key: hedge}, T0) is None
