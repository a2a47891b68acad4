"""Scopes, strategies, what-if, second sources, estimates."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.book import Book
from riskbot.core.exposure import ScopeBook
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.measures import evaluate
from riskbot.core.model import PositionKey, PositionSide, account_scope
from riskbot.core.prices import SecondView, View
from riskbot.core.settings import (
    StrategySettings,
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

MAIN = account_scope(ACCOUNT)


# ---------------------------------------------------------------- scopes, strategies, what-if


def test_account_scope_sees_its_account_only() -> None:
    made = Rig(builders.settings("a", "b", groups={"majors": ("BTC", "ETH")}))
    for account, quantity in (("a", 1), ("b", -2)):
        made.give(loaded(BTC_PERP, account=account))
        made.mark(account, BTC=50_000.0)
        made.give(builders.snapshot(position(quantity=quantity, account=account), account=account))
    scopes = made.scopes()
    assert scopes["portfolio"].gross_usd == 150_000
    assert scopes["portfolio"].groups["majors"].net == -50_000
    assert scopes[account_scope("b")].net_usd == -100_000
    assert scopes[account_scope("b")].groups["majors"].gross == 100_000


def test_keyed_sums_of_an_account_with_a_keyed_limit_are_kept_by_tick() -> None:
    limit = AssetExposure(max=0.5)
    made = rig(position(), settings=builders.settings(limits=((MAIN, limit),)))
    made.mark(BTC=60_000.0)
    assert made.scopes()[MAIN].underlyings["BTC"].gross == 60_000
    assert made.meter.book.sheet(ACCOUNT).sheet.underlyings["BTC"].gross == 60_000


def test_strategies_share_a_position_capped_by_what_is_there() -> None:
    strategies = {"grid": StrategySettings(capital_usd=20_000.0), "trend": StrategySettings()}
    made = rig(position(quantity=2), settings=builders.settings(strategies=strategies))
    key = position().key
    made.meter.book.attribute(key, {"grid": 1.0})
    assert made.portfolio.legs[0].strategy == "grid"
    made.mark(BTC=60_000.0)
    scopes = made.scopes()
    grid = scopes["strategy:grid"]
    assert (grid.gross_usd, grid.capital_usd) == (60_000, 20_000)
    assert grid.ratio(grid.gross_usd) == 3
    assert scopes["portfolio"].strategies["external"].gross == 60_000
    assert scopes["strategy:trend"].capital_usd is None
    made.meter.book.attribute(key, {"grid": 3.0, "trend": 1.0})
    shares = {name: sums.gross for name, sums in made.portfolio.strategies.items()}
    assert shares == pytest.approx({"grid": 90_000, "trend": 30_000, "external": 0})
    assert StrategyShare(max=0.5).read(made.portfolio)[0].value == pytest.approx(0.75)
    made.meter.book.attribute(key, {"grid": 0.0})
    assert made.portfolio.strategies["grid"].gross == pytest.approx(0)
    made.meter.book.attribute(PositionKey(ACCOUNT, "X/USDT:USDT", PositionSide.NET), {"grid": 1.0})
    assert made.portfolio.gross_usd == 120_000


def test_strategy_may_own_coins() -> None:
    strategies = {"grid": StrategySettings(capital_usd=20_000.0)}
    made = rig(balances=(balance("BTC", 2),), settings=builders.settings(strategies=strategies))
    key = PositionKey(ACCOUNT, BTC_SPOT, PositionSide.NET)
    made.meter.book.attribute(key, {"grid": 1.0})
    assert made.scopes()["strategy:grid"].gross_usd == 50_000


def what_if(made: Rig, **fields: Any) -> ScopeBook:
    book = Book(made.settings, made.accounts, View(made.meter.marks, made.now_ms), **fields)
    return evaluate(book, made.now_ms)["portfolio"]


def test_what_if_changes_exposure_and_leaves_equity() -> None:
    made = rig(position(entry=45_000), position(BTC_INVERSE, -5_000), balances=(balance("BTC", 1),))
    now = made.portfolio
    keys = {
        symbol: PositionKey(ACCOUNT, symbol, PositionSide.NET)
        for symbol in (BTC_PERP, ETH_PERP, BTC_INVERSE, BTC_SPOT)
    }
    after = what_if(
        made,
        quantities={
            keys[BTC_PERP]: 0.0,
            keys[ETH_PERP]: -10.0,
            keys[BTC_INVERSE]: -10_000.0,
            keys[BTC_SPOT]: 0.5,
            PositionKey("other", BTC_PERP, PositionSide.NET): 5.0,
        },
    )
    assert after.equity_usd == now.equity_usd == 155_000
    assert after.gross_usd == pytest.approx(20_000 + 10_000 + 25_000)
    assert [leg.key.symbol for leg in after.legs] == [ETH_PERP, BTC_INVERSE, BTC_SPOT] or {
        leg.key.symbol for leg in after.legs
    } == {ETH_PERP, BTC_INVERSE, BTC_SPOT}


def test_what_if_of_nothing_in_an_instrument_that_is_not_held_is_nothing() -> None:
    made = rig(position())
    key = PositionKey(ACCOUNT, ETH_PERP, PositionSide.NET)
    assert what_if(made, quantities={key: 0.0}).gross_usd == 50_000


def test_kind_case_leaves_out_exposure_of_blind_accounts_and_keeps_their_equity() -> None:
    made = rig(position())
    kind = what_if(made, without=frozenset({ACCOUNT}))
    assert (kind.gross_usd, kind.legs, kind.equity_usd) == (0, [], 100_000)


def test_second_source_measures_another_equity_and_names_what_has_one_source() -> None:
    made = rig(position(), position(ETH_PERP, 1, 2_000))
    made.give(prices(BTC_PERP, index=49_000.0))
    view = SecondView(made.meter.marks, made.now_ms)
    book = evaluate(Book(made.settings, made.accounts, view), made.now_ms)["portfolio"]
    assert book.equity_usd == 99_000
    assert view.lone == {(ACCOUNT, ETH_PERP)}


def test_coin_priced_by_a_perpetual_rests_on_that_one_source() -> None:
    made = Rig(spot_settings())
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 50_000.0))
    made.read(balances=(balance("BTC", 1),))
    second = made.meter.second(made.now_ms, made.now_ms)
    scopes, single = second.scopes, second.single
    apart = made.meter.disagreeing(second.held, made.now_ms)
    assert scopes["portfolio"].gross_usd == 50_000
    assert (single, apart) == ([(ACCOUNT, BTC_PERP)], [])
    made.give(prices(BTC_PERP, index=49_000.0))
    second = made.meter.second(made.now_ms, made.now_ms)
    scopes, single = second.scopes, second.single
    apart = made.meter.disagreeing(second.held, made.now_ms)
    assert scopes["portfolio"].gross_usd == 49_000
    assert (single, apart) == ([], [(ACCOUNT, BTC_PERP)])


def test_coin_is_blind_when_what_prices_it_is() -> None:
    made = Rig(spot_settings())
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 50_000.0))
    made.read(balances=(balance("BTC", 1), balance("BNB", 1), balance("SOL", 1, price_usd=100.0)))
    seen = {"BTC": 5_001, "SOL": 60_001}
    assert len(made.portfolio.legs) == 3
    assert made.meter.blind_prices(ACCOUNT, made.now_ms) == set()
    for asset, stale_ms in seen.items():
        assert asset in made.meter.blind_prices(ACCOUNT, made.now_ms + stale_ms)
    # Nobody prices BNB: there is nothing to be blind to.
    assert made.meter.blind_prices(ACCOUNT, made.now_ms + 100_000) == {"BTC", "SOL"}


def test_blind_account_keeps_its_positions_marked_estimated() -> None:
    made = rig(position())
    assert made.portfolio.legs[0].is_estimated is False
    made.now_ms += 16_000
    made.mark(BTC=40_000.0)
    leg = made.portfolio.legs[0]
    assert (leg.is_estimated, leg.notional_usd) == (True, 40_000)


def test_stale_price_stays_in_the_sums_as_estimated() -> None:
    made = rig(position())
    made.now_ms += 6_000
    made.meter.on_timer(made.now_ms)
    leg = made.portfolio.legs[0]
    assert (leg.is_estimated, leg.notional_usd) == (True, 50_000)


def test_gap_in_own_prices_is_bridged_by_another_account() -> None:
    made = Rig(builders.settings("a", "b"))
    for account in ("a", "b"):
        made.give(loaded(BTC_PERP, account=account))
        made.mark(account, BTC=50_000.0)
    made.give(builders.snapshot(position(account="a"), account="a"))
    made.now_ms += 6_000
    made.mark("b", BTC=47_000.0)
    made.meter.on_timer(made.now_ms)
    leg = made.portfolio.legs[0]
    assert (leg.notional_usd, leg.is_estimated) == (47_000, True)


def test_instrument_that_was_not_loaded_is_measured_and_cannot_be_closed() -> None:
    made = Rig()
    for symbol, price in (
        ("SOL/USDT:USDT", 20.0),
        ("ADA/USD:ADA", 0.5),
        ("BTC/USDT:USDT-261225-60000-P", 100.0),
    ):
        made.give(prices(symbol, price, delta=-0.5))
        made.give(events.AssetPriced(account=ACCOUNT, asset="ADA", price_usd=0.5, source="venue"))
        made.read(position(symbol, 10, price, delta=-0.5), balances=(balance("BTC", 1),))
    made.give(events.AssetPriced(account=ACCOUNT, asset="BTC", price_usd=100.0, source="venue"))
    made.wait(1)
    legs = {leg.key.symbol: leg for leg in made.portfolio.legs}
    option = legs["BTC/USDT:USDT-261225-60000-P"]
    assert option.notional_usd == -500
    assert option.kept_reason == "has no active market on this account"
