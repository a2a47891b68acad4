"""The Book after a scenario equals the Book that riskbot measures once prices have moved so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.exposure import Aggregate, Losses, ScopeBook
from riskbot.core.model import MarginReport, account_scope
from riskbot.core.stressed import Inputs
from riskbot.core.stressing import apply
from tests import builders
from tests.builders import ACCOUNT, BTC_INVERSE, BTC_PERP, BTC_SPOT, ETH_PERP, balance, position
from tests.core.limits import books
from tests.core.rig import Rig, rig
from tests.core.test_stressing import CALL, call, leg, scenario

HELD = (
    position(BTC_PERP, "1.5", 48_000, liquidation_price=30_000),
    position(ETH_PERP, -10, 2_100),
    position(BTC_INVERSE, -20_000, 52_000),
)
MARGIN = MarginReport(maintenance_usd=1_000.0)


def held() -> Rig:
    made = rig()
    stop = builders.order(
        BTC_PERP,
        "sell",
        "1.5",
        type="market",
        stop_price=builders.dec(40_000),
        reduce_only=True,
        is_conditional=True,
    )
    coins = (balance("BTC", "0.8"),)
    made.read(*HELD, balances=coins, usdt=60_000, orders=(stop,), margin=MARGIN)
    return made


def move(made: Rig, btc: float, eth: float, usdt: float = 0.0) -> ScopeBook:
    """Move the venue's prices for real."""
    up = 1 / (1 + usdt)
    if usdt:
        made.give(
            events.AssetPriced(account=ACCOUNT, asset="USDT", price_usd=1 + usdt, source="venue")
        )
    price = 50_000 * (1 + btc)
    # A book is quoted on the tick.
    middle = round(price * up, 2)
    made.mark(BTC=price * up, ETH=2_000 * (1 + eth) * up)
    made.give(
        builders.prices(BTC_INVERSE, price),
        builders.prices(BTC_SPOT, bid=middle - 0.01, ask=middle + 0.01),
    )
    made.wait(1)
    return made.portfolio


def near(value: Any) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-5, abs=0.05)


def assert_same(found: ScopeBook, real: ScopeBook) -> None:
    for name in ("equity_usd", "capital_usd", "aum_usd", "gross_usd", "net_usd", "delta_usd"):
        assert getattr(found, name) == near(getattr(real, name)), name
    for name in ("underlyings", "sectors", "groups"):
        sums = {k: (v.gross, v.net) for k, v in getattr(real, name).items() if v.gross}
        mine = {k: (v.gross, v.net) for k, v in getattr(found, name).items()}
        assert mine.keys() == sums.keys()
        for key, pair in sums.items():
            assert mine[key] == near(pair), (name, key)
    assert found.venue_equity == near(real.venue_equity)
    assert found.stop_risk_usd == near(real.stop_risk_usd)
    assert dict(found.maintenance_margin) == near(dict(real.maintenance_margin))
    assert found.margin_equity == near(real.margin_equity)
    assert {k: v[:2] for k, v in found.stablecoins.items()} == {
        k: near(v[:2]) for k, v in real.stablecoins.items()
    }
    real_legs = {leg.key: leg for leg in real.legs}
    for mine in found.legs:
        theirs = real_legs[mine.key]
        for field in ("quantity", "mark_usd", "notional_usd", "unrealized_pnl_usd", "risk_usd"):
            assert getattr(mine, field) == near(getattr(theirs, field)), (mine.key, field)
        distance = theirs.liquidation_distance
        assert (mine.liquidation_distance is None) is (distance is None)
        if distance is not None and mine.liquidation_distance:
            assert mine.liquidation_distance == near(distance)
    for pair, theirs_pair in zip(found.pairs, real.pairs, strict=True):
        assert pair.hedged_delta_usd == near(theirs_pair.hedged_delta_usd)
        assert pair.hedge_delta_usd == near(theirs_pair.hedge_delta_usd)
        assert pair.drift == near(theirs_pair.drift)


@settings(max_examples=12, deadline=None)
@given(btc=st.floats(-0.15, 0.5), eth=st.floats(-0.5, 0.5))
def test_book_after_any_shock_equals_the_one_measured_once_prices_moved(
    btc: float, eth: float
) -> None:
    made = held()
    result = apply(scenario({"BTC": btc, "ETH": eth}), made.portfolio)
    assert result.after is not None
    assert_same(result.after, move(made, btc, eth))


@pytest.mark.parametrize(("eth", "usdt"), [(0.05, 0.0), (-0.3, 0.0), (0.0, -0.02)])
def test_pools_after_a_shock_equal_those_measured(eth: float, usdt: float) -> None:
    fields: dict[str, Any] = {"venue_mark": 2_000, "maintenance_margin": 100}
    made = rig(
        position(BTC_PERP, "1.5", 48_000, venue_mark=50_000, maintenance_margin=400),
        position(ETH_PERP, -10, 2_100, is_isolated=True, isolated_margin=1_500, **fields),
        usdt=60_000,
    )
    shocks = scenario({"BTC": -0.1, "ETH": eth}, depeg={"USDT": usdt} if usdt else {})
    result = apply(shocks, made.portfolio)
    real = move(made, -0.1, eth, usdt)
    assert result.after is not None
    assert dict(result.after.maintenance_margin) == near(dict(real.maintenance_margin))
    assert result.after.margin_equity == near(real.margin_equity)


def test_book_after_a_lost_peg_equals_the_one_measured() -> None:
    made = held()
    result = apply(scenario({"BTC": -0.05}, depeg={"USDT": -0.1}), made.portfolio)
    assert result.after is not None
    assert_same(result.after, move(made, -0.05, 0.0, -0.1))


def test_losses_after_a_shock_equal_those_measured() -> None:
    made = held()
    result = apply(scenario({"DEFAULT": -0.1}), made.portfolio)
    real = move(made, -0.1, -0.1).losses
    assert real.drawdown
    assert result.after is not None
    found = result.after.losses
    for name in ("drawdown", "max_drawdown", "weekly_drawdown", "daily_loss", "weekly_loss"):
        assert getattr(found, name) == near(getattr(real, name)), name
    assert found.nav == near(real.nav)


def test_account_after_a_shock_equals_the_one_measured() -> None:
    made = held()
    result = apply(scenario({"BTC": -0.1}), made.scopes()[account_scope(ACCOUNT)])
    move(made, -0.1, 0.0)
    real = made.scopes()[account_scope(ACCOUNT)]
    assert result.after is not None
    assert result.after.equity_usd == near(real.equity_usd)
    assert result.after.venue_equity == near(real.venue_equity)


# ---------------------------------------------------------------- corners


def after(book: ScopeBook, shocks: dict[str, float], inputs: Inputs | None = None) -> ScopeBook:
    found = apply(scenario(shocks), book, inputs).after
    assert found is not None
    return found


def test_cash_that_is_configured_as_a_sector_stays_one() -> None:
    held = books.book(leg(), leg("DAI/USDT:USDT", 1, 100.0, sector="stable"))
    held.sectors["stable"] = Aggregate(40_100.0, 40_100.0)
    held.sectors["cash"] = Aggregate(5_000.0, 5_000.0)
    sectors = after(held, {"BTC": -0.1}).sectors
    assert {k: (v.gross, v.net) for k, v in sectors.items()} == {
        "layer1": (45_000, 45_000),
        "stable": (40_100, 40_100),
        "cash": (5_000, 5_000),
    }


def test_losses_without_equity_are_unknown() -> None:
    for equity in (None, 0.0):
        held = books.book(leg(), equity_usd=equity, losses=Losses(drawdown=0.1, max_drawdown=0.2))
        assert after(held, {"BTC": -0.1}).losses == Losses()


def test_deepest_drawdown_is_kept() -> None:
    held = books.book(
        leg(), losses=Losses(nav=0.9, drawdown=0.1, max_drawdown=0.3, daily_pnl_usd=-10.0)
    )
    losses = after(held, {"BTC": -0.1}).losses
    assert losses.drawdown == pytest.approx(1 - 0.9 * 0.95)
    assert losses.max_drawdown == 0.3
    assert losses.true_max_drawdown is None
    assert losses.daily_pnl_usd == -5_010


def test_price_that_goes_to_nothing_leaves_an_inverse_position_its_face() -> None:
    (left,) = after(books.book(leg(BTC_INVERSE, -1)), {"BTC": -1.0}).legs
    assert (left.mark_usd, left.quantity, left.notional_usd) == (0, -1, -50_000)


def test_stop_of_an_inverse_position_stays_where_it_is() -> None:
    # 20,000 USD of face at 50,000, stop 45,000; at 47,500: 20,000 * 2,500 / 47,500.
    held = leg(BTC_INVERSE, 0.4, stop=45_000.0, risk_usd=2_000.0)
    (left,) = after(books.book(held), {"BTC": -0.05}).legs
    assert left.risk_usd == pytest.approx(20_000 * 2_500 / 47_500)
    (gone,) = after(books.book(held), {"BTC": -1.0}).legs
    assert gone.risk_usd == 0


def test_coins_that_are_owed_stay_owed_by_what_an_inverse_position_made() -> None:
    coins = leg(BTC_SPOT, 0.0, risk_usd=0.0)
    held = books.book(coins, leg("ETH/USDT", 1.0, 2_000.0), leg(BTC_INVERSE, 0.4))
    left = after(held, {"BTC": -0.1}).legs
    assert left[0].notional_usd == pytest.approx(-2_000)
    assert left[0].quantity == pytest.approx(-2_000 / 45_000)
    assert left[0].risk_usd == 0
    assert left[1].notional_usd == 2_000


def test_option_after_a_shock_is_worth_what_is_left_of_it() -> None:
    inputs = Inputs(prices={"BTC": 50_000.0})
    (left,) = after(books.book(call(2)), {"BTC": -0.1}, inputs).legs
    assert left.mark_usd == pytest.approx((6_000 - 4_750) / 2)
    assert left.delta_usd == pytest.approx((50_000 - 50_000 * 0.1) * 0.9)
    (worthless,) = after(books.book(call(2)), {"BTC": -0.5}, inputs).legs
    assert worthless.mark_usd == 0
    (closed,) = after(books.book(call(0.0)), {"BTC": -0.5}, inputs).legs
    assert closed.mark_usd == 1_500


def test_leg_that_counts_as_nothing_stays_as_it_is() -> None:
    unpriced: dict[str, Any] = {"mark_usd": None, "notional_usd": None, "delta_usd": None}
    unlisted = leg("ABC", 5, is_unlisted=True, **unpriced)
    assert after(books.book(leg(), unlisted), {"DEFAULT": -0.1}).legs[1] == unlisted


def test_position_of_no_size_keeps_its_risk() -> None:
    (left,) = after(books.book(leg(quantity=0.0, risk_usd=0.0)), {"BTC": -0.1}).legs
    assert left.risk_usd == 0


def test_pair_whose_leg_is_gone_has_drifted() -> None:
    spot, perp = leg(BTC_SPOT, 1), leg(BTC_PERP, -1, stop=55_000.0, risk_usd=5_000.0)
    elsewhere = leg(CALL, 1)
    held = books.book(spot, perp)
    held.pairs = [books.pair(spot, perp), books.pair(perp, elsewhere)]
    result = apply(scenario(stops={}), held)
    assert result.after is not None
    first, second = result.after.pairs
    assert (first.hedged_delta_usd, first.hedge_delta_usd, first.drift) == (50_000, 0, 1)
    assert (second.hedged_delta_usd, second.drift) == (0, 1)
