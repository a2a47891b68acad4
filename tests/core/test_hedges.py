"""Pairs, margins and distances."""

from __future__ import annotations

import math
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.model import MarginReport, PositionSide, account_scope
from riskbot.core.settings import (
    PairLeg,
    PairSettings,
)
from tests import builders
from tests.builders import (
    ACCOUNT,
    BTC_INVERSE,
    BTC_PERP,
    BTC_SPOT,
    ETH_PERP,
    balance,
    loaded,
    position,
    prices,
)
from tests.core.rig import Rig, rig, spot_settings

# ---------------------------------------------------------------- pairs


def test_opposite_positions_of_one_underlying_are_a_pair_across_accounts() -> None:
    made = Rig(builders.settings("a", "b"))
    for account, quantity in (("a", 2), ("b", "-1.5")):
        made.give(loaded(BTC_PERP, account=account))
        made.mark(account, BTC=50_000.0)
        made.give(builders.snapshot(position(quantity=quantity, account=account), account=account))
    (pair,) = made.portfolio.pairs
    assert (pair.name, pair.quantity, pair.drift) == ("BTC", 1.5, 0.25)
    assert made.scopes()[account_scope("a")].pairs == []


def test_held_coin_is_what_a_pair_hedges() -> None:
    made = rig(position(quantity=1), balances=(balance("BTC", -2),), settings=spot_settings("hold"))
    (pair,) = made.portfolio.pairs
    assert (pair.hedged_delta_usd, pair.hedge_delta_usd) == (-100_000, 50_000)


def configured(*legs: tuple[str, str]) -> PairSettings:
    return PairSettings("carry", tuple(PairLeg(*leg) for leg in legs))


def test_configured_pair_takes_its_legs_out_of_automatic_pairing() -> None:
    pair = configured((ACCOUNT, "BTC"), (ACCOUNT, BTC_PERP))
    made = rig(
        position(quantity="-0.9"),
        position(BTC_INVERSE, 5_000),
        balances=(balance("BTC", 1),),
        settings=builders.settings(pairs=(pair,)),
    )
    (found,) = made.portfolio.pairs
    assert (found.name, found.quantity) == ("carry", pytest.approx(0.9))
    assert found.drift == pytest.approx(0.1)


def test_configured_pair_that_lost_a_leg_has_drifted_all_the_way() -> None:
    pair = configured((ACCOUNT, BTC_SPOT), (ACCOUNT, BTC_PERP))
    made = rig(position(quantity=-1), settings=builders.settings(pairs=(pair,)))
    (found,) = made.portfolio.pairs
    assert (found.drift, found.quantity) == (1.0, 0)
    made.read(balances=(balance("BTC", 1),))
    assert made.portfolio.pairs[0].drift == 1.0
    made.read()
    assert made.portfolio.pairs == []


# ---------------------------------------------------------------- margin and liquidation


def margin_of(made: Rig) -> dict[str, float | None]:
    return dict(made.portfolio.maintenance_margin)


def test_margin_as_the_venue_states_it_is_carried_along_with_prices() -> None:
    made = rig(
        position(), margin=MarginReport(equity_usd=100_000, maintenance_usd=10_000), usdt=100_000
    )
    assert margin_of(made) == {ACCOUNT: pytest.approx(0.1)}
    made.mark(BTC=40_000.0)
    assert margin_of(made) == {ACCOUNT: pytest.approx(8_000 / 90_000)}
    assert made.portfolio.margin_equity == {ACCOUNT: pytest.approx(90_000)}


def test_margin_summed_from_positions_when_the_venue_states_no_total() -> None:
    made = rig(
        position(maintenance_margin=500, venue_mark=50_000),
        position(ETH_PERP, -10, 2_000, maintenance_margin=200),
    )
    made.mark(BTC=60_000.0)
    assert margin_of(made) == {ACCOUNT: pytest.approx((600 + 200) / 110_000)}


@pytest.mark.parametrize(
    "held", [position(), position("SOL/USDT:USDT", 1, 20, maintenance_margin=1)]
)
def test_margin_that_nobody_states_is_unknown(held: Any) -> None:
    assert margin_of(rig(held)) == {ACCOUNT: None}


def test_margin_of_a_position_opened_since_the_read_is_what_the_venue_said_last() -> None:
    made = rig(margin=MarginReport(equity_usd=100_000, maintenance_usd=0))
    made.give(events.PositionsUpdated(account=ACCOUNT, positions=(position(),)))
    assert margin_of(made) == {ACCOUNT: 0.0}


def test_margin_without_positions_is_zero_and_without_equity_infinite() -> None:
    assert margin_of(rig(usdt=1_000)) == {ACCOUNT: 0.0}
    made = rig(position(entry=200_000, maintenance_margin=500), usdt=100_000)
    assert margin_of(made) == {ACCOUNT: math.inf}


def isolated(**fields: Any) -> Any:
    values = {"is_isolated": True, "maintenance_margin": 500, "venue_mark": 50_000, **fields}
    return position(**values)


@pytest.mark.parametrize(
    ("held", "price", "ratio"),
    [
        (isolated(isolated_margin=5_000), 50_000.0, 0.1),
        (isolated(isolated_margin=5_000), 46_000.0, 460 / 1_000),
        (isolated(isolated_margin=5_000), 45_000.0, math.inf),
        (isolated(isolated_margin=5_000, venue_mark=None), 40_000.0, 0.1),
        (isolated(), 50_000.0, None),
        (isolated(isolated_margin=5_000, maintenance_margin=None), 50_000.0, None),
    ],
)
def test_isolated_position_is_a_pool_of_its_own(held: Any, price: float, ratio: Any) -> None:
    made = rig(held)
    made.mark(BTC=price)
    subject = f"{ACCOUNT}|{BTC_PERP}"
    expected = pytest.approx(ratio) if ratio is not None else None
    assert margin_of(made) == {ACCOUNT: 0.0, subject: expected}


def test_isolated_margin_is_no_part_of_the_cross_pool() -> None:
    made = rig(
        isolated(isolated_margin=5_000, side=PositionSide.LONG),
        position(ETH_PERP, 10, 2_000, maintenance_margin=950),
    )
    assert margin_of(made) == {
        ACCOUNT: pytest.approx(0.01),
        f"{ACCOUNT}|{BTC_PERP}|long": pytest.approx(0.1),
    }


def test_isolated_inverse_margin_is_in_coin() -> None:
    held = position(
        BTC_INVERSE,
        50_000,
        is_isolated=True,
        maintenance_margin="0.005",
        isolated_margin="0.1",
        venue_mark=50_000,
    )
    made = rig(held, balances=(balance("BTC", 1),), usdt=None)
    assert margin_of(made)[f"{ACCOUNT}|{BTC_INVERSE}"] == pytest.approx(0.05)
    made.give(prices(BTC_INVERSE, 48_000.0))
    equity = 0.1 + 50_000 * (1 / 50_000 - 1 / 48_000)
    assert margin_of(made)[f"{ACCOUNT}|{BTC_INVERSE}"] == pytest.approx(0.005 / equity)


def test_liquidation_distance_follows_the_mark() -> None:
    made = rig(position(liquidation_price=40_000), position(ETH_PERP, 1, 2_000))
    made.mark(BTC=44_000.0)
    far, none = made.portfolio.legs[0], made.portfolio.legs[1]
    assert far.liquidation_distance == pytest.approx(4 / 44)
    assert none.liquidation_distance is None
    assert LiquidationDistance(min=0.1).read(made.portfolio)[0].value == pytest.approx(4 / 44)


def test_margin_in_a_coin_without_a_price_is_unknown() -> None:
    made = Rig()
    symbol = "LTC/USD:LTC-261225"
    made.give(builders.loaded(symbol), prices(symbol, 100.0))
    made.read(position(symbol, 1_000, 80, maintenance_margin=1), usdt=1_000)
    assert margin_of(made) == {ACCOUNT: None}
