"""The Book: what is held, measured."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.book import DRIFT_ALARM, Book
from riskbot.core.exposure import ScopeBook
from riskbot.core.guards import guards
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.peg_deviation import PegDeviation
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.measures import evaluate
from riskbot.core.model import MarginReport, PositionKey, PositionSide, account_scope
from riskbot.core.prices import SecondView, View
from riskbot.core.settings import (
    AccountSettings,
    PairLeg,
    PairSettings,
    StrategySettings,
)
from tests import builders, oracle
from tests.builders import (
    ACCOUNT,
    BTC_INVERSE,
    BTC_PERP,
    BTC_SPOT,
    ETH_PERP,
    balance,
    instrument,
    loaded,
    order,
    position,
    prices,
)
from tests.core.rig import Rig, rig

SIDES = {BTC_PERP: PositionSide.NET, ETH_PERP: PositionSide.NET}
MAIN = account_scope(ACCOUNT)


def spot_settings(spot: str = "trade", **fields: Any) -> Any:
    account = AccountSettings(exchange="binance", spot=spot)  # type: ignore[arg-type]
    return builders.settings(**{"accounts": {ACCOUNT: account}, **fields})


# ---------------------------------------------------------------- ratios


def test_gross_and_net_when_long_and_short_equal_the_textbook() -> None:
    book = rig(position(quantity="1.2"), position(ETH_PERP, -20, 2_000)).portfolio
    assert book.ratio(book.gross_usd) == oracle.gross([60_000, -40_000], 100_000)
    assert book.ratio(book.net_usd) == oracle.net([60_000, -40_000], 100_000)


@settings(max_examples=60, deadline=None)
@given(
    held=st.lists(
        st.tuples(st.sampled_from(["BTC", "ETH", "SOL", "UNI"]), st.integers(-50, 50)),
        max_size=4,
        unique_by=lambda row: row[0],
    ),
    marks=st.fixed_dictionaries({a: st.floats(1, 1e5) for a in ("BTC", "ETH", "SOL", "UNI")}),
)
def test_book_for_any_holdings_equals_the_oracle(
    held: list[tuple[str, int]], marks: dict[str, float]
) -> None:
    sectors = {"BTC": "layer1", "ETH": "layer1", "SOL": "layer1", "UNI": "defi"}
    made = Rig(builders.settings(sectors=sectors))
    made.give(loaded(*(f"{base}/USDT:USDT" for base in marks)))
    made.mark(**marks)
    made.read(*(position(f"{b}/USDT:USDT", q, marks[b]) for b, q in held if q), usdt=1_000_000)
    book = made.portfolio
    equity = book.equity_usd
    assert equity == pytest.approx(1_000_000, rel=1e-9)
    amounts = [(base, q * marks[base]) for base, q in held if q]
    assert book.ratio(book.gross_usd) == pytest.approx(
        oracle.gross([n for _, n in amounts], 1_000_000)
    )
    assert book.ratio(book.net_usd) == pytest.approx(oracle.net([n for _, n in amounts], 1e6))
    for keyed, expected in (
        (book.underlyings, oracle.per_key(amounts, 1e6)),
        (book.sectors, oracle.per_key([(sectors[b], n) for b, n in amounts], 1e6)),
    ):
        assert {k: book.ratio(v.gross) for k, v in keyed.items()} == pytest.approx(expected)
    ratios = oracle.leverage_ratios(dict(amounts), 1e6, 1e6, 0)
    measured = UnderlyingConcentration(max=1.0, gross_floor=0.0).read(book)
    assert max((r.value or 0.0 for r in measured), default=0.0) == pytest.approx(ratios["UCR"])
    assert StopRisk(max=1.0).read(book)[0].value == pytest.approx(
        oracle.stop_risk([(n, 1.0, 0.9) for _, n in amounts], 1e6)
    )


def test_ratio_when_equity_is_gone_is_infinite_with_positions_and_zero_without() -> None:
    broke = rig(position(quantity=1, entry=200_000), usdt=100_000).portfolio
    assert broke.equity_usd == -50_000
    assert broke.ratio(broke.gross_usd) == math.inf
    empty = rig(usdt=0).portfolio
    assert empty.ratio(empty.gross_usd) == 0


@pytest.mark.parametrize(
    ("fields", "capital"),
    [
        ({"capital": "equity"}, 100_000),
        ({"capital": "aum", "off_exchange_usd": 25_000.0}, 125_000),
        ({"capital": "aum", "off_exchange_assets": {"BTC": 2.0}}, 200_000),
        ({"capital": "aum", "off_exchange_assets": {"XYZ": 2.0}}, None),
        ({"capital": "fixed", "capital_usd": 40_000.0}, 40_000),
    ],
)
def test_capital_follows_the_configured_basis(fields: Any, capital: float | None) -> None:
    book = rig(position(), settings=builders.settings(**fields)).portfolio
    assert book.capital_usd == capital
    assert book.equity_usd == 100_000


# ---------------------------------------------------------------- unknown


def test_position_without_any_price_is_unknown_never_zero() -> None:
    book = rig(position("SOL/USDT:USDT", 10, 20)).portfolio
    assert book.unpriced == ["SOL/USDT:USDT"]
    assert book.equity_usd is None
    assert book.ratio(book.gross_usd) is None


def test_first_price_of_a_held_instrument_makes_it_known_and_trips() -> None:
    made = rig(position("SOL/USDT:USDT", 10, 20), position())
    made.scopes()
    made.meter.book.set_guards(())
    assert not made.meter.tripped()
    made.mark(SOL=25.0)
    assert made.meter.tripped()
    book = made.portfolio
    assert book.equity_usd == 100_050
    assert book.gross_usd == 50_250


def test_position_without_entry_counts_in_exposure_but_equity_is_unknown() -> None:
    made = rig(position(entry=None))
    book = made.portfolio
    assert book.gross_usd == 50_000
    assert book.equity_usd is None
    assert book.legs[0].unrealized_pnl_usd is None
    made.mark(BTC=51_000.0)
    assert made.portfolio.gross_usd == 51_000
    made.read()
    assert made.portfolio.equity_usd == 100_000


def test_position_without_entry_takes_the_pnl_the_venue_states() -> None:
    made = rig(position(entry=None, unrealized_pnl=500, venue_mark=49_500))
    assert made.portfolio.equity_usd == 101_000


def test_position_settled_in_an_unpriced_coin_has_no_known_pnl() -> None:
    made = Rig()
    listed = instrument("XRP/USDT:ABC", settle="ABC", kind=builders.InstrumentKind.LINEAR)
    made.give(loaded(listed), prices("XRP/USDT:ABC", 2.0))
    made.read(position("XRP/USDT:ABC", 5, None, unrealized_pnl=1, venue_mark=2))
    assert made.portfolio.gross_usd == 10
    assert made.portfolio.equity_usd is None


def test_equity_when_an_account_was_never_read_counts_the_others() -> None:
    made = rig(position(), settings=builders.settings(ACCOUNT, "other"))
    scopes = made.scopes()
    assert scopes["portfolio"].equity_usd == scopes[account_scope(ACCOUNT)].equity_usd
    assert scopes["account:other"].equity_usd is None


def test_accounts_that_are_not_configured_count_nowhere() -> None:
    made = rig(position())
    made.give(builders.snapshot(position(account="gone"), account="gone"))
    assert made.portfolio.gross_usd == 50_000


# ---------------------------------------------------------------- inverse, options, quotes


def test_inverse_position_hedging_its_collateral_has_no_delta_at_any_price() -> None:
    made = rig(position(BTC_INVERSE, -50_000), balances=(balance("BTC", 1),), usdt=None)
    for price in (50_000.0, 40_000.0, 70_000.0):
        made.give(prices(BTC_INVERSE, price))
        made.give(prices(BTC_SPOT, bid=price - 0.01, ask=price + 0.01))
        book = made.portfolio
        assert book.equity_usd == pytest.approx(50_000)
        assert book.net_usd == pytest.approx(0, abs=1e-6)
        assert book.gross_usd == pytest.approx(100_000)
    inverse = next(leg for leg in book.legs if leg.key.symbol == BTC_INVERSE)
    assert inverse.quantity == pytest.approx(-50_000 / 70_000)
    assert inverse.unrealized_pnl_usd == pytest.approx(-50_000 * (70_000 / 50_000 - 1))
    assert book.pairs[0].drift == pytest.approx(0, abs=1e-9)


def test_inverse_position_without_a_coin_balance_pays_into_one() -> None:
    made = rig(position(BTC_INVERSE, 10_000), usdt=1_000)
    made.give(prices(BTC_INVERSE, 40_000.0), prices(BTC_SPOT, bid=39_999.99, ask=40_000.01))
    # 10,000 USD bought at 50,000 lose a fifth, paid in coin.
    assert made.portfolio.equity_usd == pytest.approx(1_000 - 2_000)
    made.read(position(BTC_INVERSE, 10_000), balances=(balance("BTC", "0.1"),), usdt=1_000)
    assert made.portfolio.equity_usd == pytest.approx(1_000 - 2_000 + 4_000)
    made.read(balances=(balance("BTC", "0.1"),), usdt=1_000)
    assert made.portfolio.equity_usd == pytest.approx(5_000)


def test_inverse_position_without_entry_has_unknown_equity() -> None:
    made = rig(position(BTC_INVERSE, 10_000, None))
    made.give(prices(BTC_INVERSE, 51_000.0))
    assert made.portfolio.gross_usd == 10_000
    assert made.portfolio.equity_usd is None
    assert made.portfolio.legs[0].unrealized_pnl_usd is None


def test_inverse_pnl_waits_for_its_coin_to_be_priced() -> None:
    made = Rig()
    symbol = "LTC/USD:LTC-261225"
    made.give(loaded(instrument(symbol)), prices(symbol, 100.0))
    made.read(position(symbol, 1_000, 80), usdt=1_000)
    assert made.portfolio.unpriced == ["LTC"]
    assert made.portfolio.legs[0].unrealized_pnl_usd is None
    made.give(events.AssetPriced(account=ACCOUNT, asset="LTC", price_usd=99.0, source="venue"))
    made.give(prices(symbol, 101.0))
    made.wait(1)
    assert made.portfolio.unpriced == []
    assert made.portfolio.equity_usd == pytest.approx(1_000 + 1_000 * (1 / 80 - 1 / 101) * 99)


OPTION = "BTC/USDT:USDT-261225-60000-C"


def test_option_counts_with_its_delta_and_is_worth_its_premium() -> None:
    made = rig()
    made.give(loaded(instrument(OPTION)), prices(OPTION, 2_000.0, delta=0.5, gamma=0.1, vega=3.0))
    made.read(position(OPTION, 2, 1_500, delta=0.4))
    book = made.portfolio
    assert book.gross_usd == 2 * 0.5 * 50_000
    assert book.equity_usd == 104_000
    assert book.legs[0].unrealized_pnl_usd == 1_000
    made.give(prices(OPTION, 2_100.0, delta=0.6))
    made.wait(1)
    assert made.portfolio.gross_usd == pytest.approx(60_000)
    assert made.portfolio.equity_usd == pytest.approx(104_200)


def test_option_without_greeks_is_unknown() -> None:
    made = rig()
    made.give(loaded(instrument(OPTION)), prices(OPTION, 2_000.0))
    made.read(position(OPTION, 2, None))
    assert made.portfolio.unpriced == [OPTION]
    made.read(position(OPTION, 2, None, delta=0.5))
    assert made.portfolio.unpriced == []
    assert made.portfolio.legs[0].unrealized_pnl_usd is None


def test_stablecoin_off_its_peg_moves_cash_and_everything_quoted_in_it() -> None:
    made = rig(position(), position(ETH_PERP, -10, 2_100))
    made.give(events.AssetPriced(account=ACCOUNT, asset="USDT", price_usd=0.9, source="venue"))
    made.wait(1)
    book = made.portfolio
    assert book.equity_usd == pytest.approx(0.9 * 101_000)
    assert book.gross_usd == pytest.approx(0.9 * 70_000)
    assert book.stablecoins["USDT"] == (pytest.approx(90_900), 0.9, False)
    assert PegDeviation(max=0.02).read(book)[0].value == pytest.approx(0.1)


def test_stablecoin_without_a_price_counts_as_one_marked_assumed() -> None:
    book = rig(position()).portfolio
    assert book.stablecoins["USDT"] == (100_000, 1.0, True)
    assert PegDeviation(max=0.02).read(book)[0].value is None
    assert book.ratio(book.gross_usd) == 0.5


def test_stablecoin_on_two_venues_shows_the_price_furthest_from_its_peg() -> None:
    made = Rig(builders.settings("a", "b"))
    for account, price in (("a", 0.97), ("b", 1.001)):
        made.give(
            events.AssetPriced(account=account, asset="USDT", price_usd=price, source="venue"),
            builders.snapshot(account=account, usdt=1_000),
        )
    book = made.portfolio
    assert book.stablecoins["USDT"] == (pytest.approx(1_971), 0.97, False)
    assert book.venue_equity == {"binanceusdm": pytest.approx(1_971)}


def test_configured_stablecoin_is_a_sector() -> None:
    made = rig(position(), settings=builders.settings(sectors={"USDT": "stable", "BTC": "layer1"}))
    book = made.portfolio
    assert book.sectors["stable"].gross == 100_000
    assert book.gross_usd == 50_000
    made.read(usdt=None, balances=(balance("BTC", 1),))
    assert "stable" not in made.portfolio.sectors


# ---------------------------------------------------------------- spot


def test_coin_balance_is_a_position_and_cash_is_not() -> None:
    made = rig(
        balances=(balance("BTC", 2, free=1), balance("USDC", 50), balance("EUR", 20)),
        settings=spot_settings("hold"),
    )
    book = made.portfolio
    (leg,) = book.legs
    assert (leg.key.symbol, leg.quantity, leg.notional_usd) == (BTC_SPOT, 2, 100_000)
    assert (leg.is_closable, leg.kept_reason) == (False, "spot: hold")
    assert book.equity_usd == pytest.approx(100_000 + 100_000 + 70)


@pytest.mark.parametrize(
    ("coins", "orders", "closable", "reason"),
    [
        (balance("BTC", 2, free=2), (), 2, ""),
        (balance("BTC", 2), (), 2, ""),
        (balance("BTC", 2, free="0.5"), (), 0.5, ""),
        (balance("BTC", 2, free=0), (), 0, "locked"),
        (balance("BTC", 2, free=0), (order(BTC_SPOT, "sell", 1, filled="0.25"),), 0.75, ""),
        (balance("BTC", 2, free=0), (order(BTC_SPOT, "buy", 1),), 0, "locked"),
    ],
)
def test_spot_trade_closes_what_is_free_or_locked_by_sell_orders(
    coins: Any, orders: Any, closable: float, reason: str
) -> None:
    made = rig(balances=(coins,), orders=orders, settings=spot_settings())
    (leg,) = made.portfolio.legs
    assert leg.closable_quantity == closable
    assert (leg.kept_reason, leg.is_closable) == (reason, not reason)


def test_borrowed_coin_is_a_short_position_that_can_be_bought_back() -> None:
    made = rig(balances=(balance("BTC", -1, free=0),), settings=spot_settings())
    (leg,) = made.portfolio.legs
    assert (leg.notional_usd, leg.closable_quantity) == (-50_000, 1)


def test_coin_without_a_market_on_its_account_cannot_be_closed_there() -> None:
    made = Rig(spot_settings())
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 50_000.0))
    made.read(balances=(balance("BTC", 1, free=1),))
    (leg,) = made.portfolio.legs
    assert (leg.key.symbol, leg.notional_usd) == ("BTC", 50_000)
    assert leg.kept_reason == "has no active market on this account"


def test_coin_is_shown_as_the_configured_instrument_first() -> None:
    account = AccountSettings(exchange="binance", spot="trade", instruments=("BTC/EUR",))
    made = Rig(builders.settings(accounts={ACCOUNT: account}))
    made.give(loaded(BTC_SPOT, "BTC/EUR", "BTC/USDC"), prices(BTC_SPOT, last=50_000.0))
    made.read(balances=(balance("BTC", 1),))
    assert made.portfolio.legs[0].key.symbol == "BTC/EUR"


def test_multiplier_contract_prices_its_coin_per_unit() -> None:
    made = Rig(spot_settings())
    listed = instrument("1000PEPE/USDT:USDT", underlying="PEPE", underlying_per_base=1000)
    made.give(loaded(listed), prices(listed.symbol, 0.012))
    made.read(position(listed.symbol, -100, "0.012"), balances=(balance("PEPE", 100_000),))
    book = made.portfolio
    assert book.underlyings["PEPE"].net == pytest.approx(0, abs=1e-9)
    assert book.underlyings["PEPE"].gross == pytest.approx(2.4)


# ---------------------------------------------------------------- dust


@pytest.mark.parametrize(
    ("quantity", "is_dust"), [("0.0009", True), ("0.001", False), ("-0.0005", True)]
)
def test_derivative_below_its_smallest_order_is_dust(quantity: str, is_dust: bool) -> None:
    assert rig(position(quantity=quantity)).portfolio.legs[0].is_dust is is_dust


@pytest.mark.parametrize(
    ("coins", "minimum", "is_dust"),
    [("0.001", 60, True), ("0.001", 40, False), ("0.001", 0, False)],
)
def test_coin_below_the_smallest_order_value_is_dust(
    coins: str, minimum: int, is_dust: bool
) -> None:
    made = Rig(spot_settings())
    listed = instrument(BTC_SPOT, min_notional=minimum)
    made.give(loaded(listed), prices(BTC_SPOT, last=50_000.0))
    made.read(balances=(balance("BTC", coins),))
    assert made.portfolio.legs[0].is_dust is is_dust


def test_unpriced_coin_is_no_dust() -> None:
    made = Rig(spot_settings())
    made.give(loaded(BTC_SPOT))
    made.read(balances=(balance("BTC", 1),))
    assert made.portfolio.legs[0].is_dust is False


# ---------------------------------------------------------------- stops


def stop(trigger: float, quantity: float | str = 1, side: str = "sell", **fields: Any) -> Any:
    values = {"reduce_only": True, "is_conditional": True, "stop_price": trigger, **fields}
    return order(BTC_PERP, side, quantity, order_id=f"stop-{trigger}", **values)


@pytest.mark.parametrize(
    ("quantity", "orders", "shown", "risk"),
    [
        (1, (), None, 5_000),
        (1, (stop(48_000),), 48_000, 2_000),
        (1, (stop(55_000),), None, 5_000),
        (1, (stop(49_000, "0.5"),), None, 500 + 2_500),
        (1, (stop(49_000, "0.5"), stop(45_000, "0.5")), 45_000, 500 + 2_500),
        (1, (stop(45_000), stop(49_000)), 49_000, 1_000),
        (1, (stop(47_000, 0, reduce_only=False, close_position=True),), 47_000, 3_000),
        (-1, (stop(51_000, 1, "buy"),), 51_000, 1_000),
        (-1, (stop(49_000, 1, "buy"),), None, 5_000),
        (1, (stop(48_000, 1, "buy"),), None, 5_000),
    ],
)
def test_stop_risk_reads_resting_reduce_only_stops(
    quantity: int, orders: Any, shown: float | None, risk: float
) -> None:
    book = rig(position(quantity=quantity), orders=orders).portfolio
    assert book.legs[0].stop == shown
    assert book.legs[0].risk_usd == pytest.approx(risk)
    assert book.stop_risk_usd == pytest.approx(risk)
    assert book.unprotected == ([] if shown else [BTC_PERP])


def test_stop_of_an_unpriced_position_has_no_risk_figure() -> None:
    leg = rig(position("SOL/USDT:USDT", 1, 20)).portfolio.legs[0]
    assert (leg.stop, leg.risk_usd) == (None, None)


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


# ---------------------------------------------------------------- incremental and exact

SYMBOLS = (BTC_PERP, ETH_PERP, BTC_INVERSE, BTC_SPOT, OPTION)
PRICES = st.floats(0.5, 100_000, allow_nan=False)
ACCOUNTS = ("a", "b")

steps = st.one_of(
    st.tuples(st.just("price"), st.sampled_from(ACCOUNTS), st.sampled_from(SYMBOLS), PRICES),
    st.tuples(
        st.just("position"),
        st.sampled_from(ACCOUNTS),
        st.sampled_from((BTC_PERP, ETH_PERP, BTC_INVERSE, OPTION)),
        st.integers(-20, 20),
    ),
    st.tuples(
        st.just("balance"),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(("USDT", "BTC", "USDC")),
        st.integers(-5, 1_000),
    ),
    st.tuples(st.just("stated"), st.sampled_from(ACCOUNTS), st.just("USDT"), st.floats(0.9, 1.1)),
    st.tuples(st.just("read"), st.sampled_from(ACCOUNTS), st.just(""), st.integers(-3, 3)),
)


def take(made: Rig, step: tuple[str, str, str, Any]) -> None:
    kind, account, name, value = step
    if kind == "price":
        price = round(value, 2)
        made.give(prices(name, price, account=account, delta=0.3 if name == OPTION else None))
    elif kind == "position":
        made.give(
            events.PositionsUpdated(
                account=account,
                positions=(position(name, value, 1_000, account=account, delta=0.4),),
            )
        )
    elif kind == "balance":
        made.give(events.BalancesUpdated(account=account, balances=(balance(name, value),)))
    elif kind == "stated":
        made.give(events.AssetPriced(account=account, asset=name, price_usd=value, source="venue"))
    else:
        held = position(BTC_PERP, value, 900, account=account)
        made.now_ms += 1
        made.read(held, account=account, usdt=1_000, balances=(balance("BTC", 1),))


def figures(book: ScopeBook) -> dict[str, float | None]:
    sums = {
        f"{kind}:{key}:{what}": getattr(aggregate, what)
        for kind in ("underlyings", "sectors", "groups")
        for key, aggregate in getattr(book, kind).items()
        for what in ("gross", "net")
    }
    return {
        "is_known": book.equity_usd is not None,
        "equity": book.equity_usd or 0.0,
        "gross": book.gross_usd,
        "net": book.net_usd,
        "stop_risk": book.stop_risk_usd,
        "unpriced": len(book.unpriced),
        **sums,
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(steps, max_size=40))
def test_incremental_book_after_any_history_equals_one_built_from_scratch(
    history: list[tuple[str, str, str, Any]],
) -> None:
    made = Rig(
        builders.settings(
            *ACCOUNTS,
            groups={"majors": ("BTC", "ETH")},
            sectors={"USDT": "stable", "BTC": "layer1"},
            limits=((account_scope("a"), AssetExposure(max=1.0)),),
        )
    )
    for account in ACCOUNTS:
        made.give(loaded(*SYMBOLS, account=account))
        made.give(builders.snapshot(account=account, usdt=1_000))
    for step in history:
        take(made, step)
    made.meter.on_timer(made.now_ms)
    live, exact = made.scopes(), made.exact()
    assert live.keys() == exact.keys()
    for scope, book in live.items():
        want = figures(exact[scope])
        scale = max(abs(want["gross"] or 0.0), abs(want["equity"] or 0.0), 1.0)
        assert figures(book) == pytest.approx(want, rel=1e-9, abs=1e-9 * scale)
    assert made.meter.book.resync() < DRIFT_ALARM


def test_resync_repairs_and_reports_a_drift() -> None:
    made = rig(position())
    made.meter.book.portfolio.total.gross += 5.0
    made.meter.book.portfolio.equity += 10.0
    assert made.meter.book.resync() == pytest.approx(1e-4)
    assert made.portfolio.gross_usd == 50_000
    assert made.portfolio.equity_usd == 100_000
    assert made.meter.book.resync() == 0


# ---------------------------------------------------------------- guards

LIMITS = (
    ("portfolio", GrossExposure(max=2.0)),
    ("portfolio", NetExposure(max=0.8)),
    ("portfolio", AssetExposure(max=0.9)),
    ("portfolio", SectorExposure(max=1.2)),
    ("portfolio", PositionSize(max=0.9)),
    ("portfolio", StopRisk(max=0.2)),
    ("portfolio", UnderlyingConcentration(max=0.6)),
    ("portfolio", NetDelta(max=80_000.0)),
    ("portfolio", NetDelta(max=0.7, of_equity=True)),
    ("portfolio", StrategyShare(max=0.9)),
    ("portfolio", Drawdown(max=0.15)),
    ("portfolio", MaintenanceMargin(max=0.3)),
    ("portfolio", LiquidationDistance(min=0.1)),
    ("portfolio", PegDeviation(max=0.02)),
    (MAIN, Leverage(max=3.0)),
    (MAIN, Drawdown(max=0.10)),
)


def levels(made: Rig) -> dict[tuple[str, str, str], int]:
    scopes = made.scopes()
    return {
        (scope, f"{limit.name}{n}", verdict.key): verdict.level.rank
        for n, (scope, limit) in enumerate(LIMITS)
        for verdict in limit.check(scopes[scope])
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    btc=st.integers(-30, 30),
    eth=st.integers(-300, 300),
    moves=st.lists(st.tuples(st.sampled_from(("BTC", "ETH")), st.floats(-0.02, 0.02)), max_size=60),
)
def test_guards_never_miss_a_level_that_a_tick_reached(
    btc: int, eth: int, moves: list[tuple[str, float]]
) -> None:
    held = [
        position(quantity=Decimal(btc) / 10, liquidation_price=44_000),
        position(ETH_PERP, Decimal(eth) / 10, 2_000, maintenance_margin=5_000, venue_mark=2_000),
    ]
    margin = MarginReport(maintenance_usd=12_000)
    made = rig(*held, usdt=100_000, margin=margin)
    marks = {"BTC": 50_000.0, "ETH": 2_000.0}
    known: dict[tuple[str, str, str], int] | None = None
    for base, share in moves:
        if known is None or made.meter.tripped():
            known = levels(made)
            scopes = made.scopes()
            made.meter.book.set_guards(
                guard
                for scope, limit in LIMITS
                for guard in guards(limit, limit.check(scopes[scope]), scopes[scope])
            )
        marks[base] *= 1 + share
        made.mark(**{base: marks[base]})
        if not made.meter.tripped():
            now = levels(made)
            worse = {
                key: (known.get(key, 0), rank)
                for key, rank in now.items()
                if rank > known.get(key, 0) and key[1][:-1] not in {"peg_deviation"}
            }
            assert not worse


def test_guards_of_an_unknown_or_infinite_measure_are_none() -> None:
    made = rig(position("SOL/USDT:USDT", 1, 20))
    limit = GrossExposure(max=2.0)
    assert list(guards(limit, limit.check(made.portfolio), made.portfolio)) == []
    broke = rig(position(entry=200_000), usdt=100_000)
    assert list(guards(limit, limit.check(broke.portfolio), broke.portfolio)) == []


def test_guards_past_the_last_level_are_none() -> None:
    made = rig(position(quantity=5))
    limit = GrossExposure(max=2.0)
    assert list(guards(limit, limit.check(made.portfolio), made.portfolio)) == []


def test_guard_of_a_lost_nav_is_none() -> None:
    made = rig(position(quantity=5))
    made.mark(BTC=25_000.0)
    limit = Drawdown(max=1.0, yellow=0.98, orange=0.99)
    book = made.portfolio
    lost = replace(limit.check(book)[0], measured=1.0, utilization=0.5)
    assert list(guards(limit, [lost], book)) == []


def test_timer_takes_prices_anew_and_resyncs() -> None:
    made = rig(position())
    made.now_ms += 20_000
    made.meter.on_timer(made.now_ms)
    assert made.meter.drift < DRIFT_ALARM


def test_ticks_of_instruments_nobody_holds_change_nothing() -> None:
    made = rig(position())
    before = figures(made.portfolio)
    made.mark(ETH=3_000.0)
    assert figures(made.portfolio) == before
