"""The Book: what is held, measured."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.limits.peg_deviation import PegDeviation
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.model import account_scope
from riskbot.core.quotes import GREEKS_STALE_MS
from riskbot.core.tally import part_of
from tests import builders, oracle
from tests.builders import (
    ACCOUNT,
    BTC_INVERSE,
    BTC_SPOT,
    ETH_PERP,
    balance,
    instrument,
    loaded,
    position,
    prices,
)
from tests.core.rig import Rig, rig

OPTION = "BTC/USDT:USDT-261225-60000-C"

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


PUT = "BTC/USD:BTC-261225-40000-P"


def test_greeks_shown_are_of_the_whole_position_or_of_a_strategys_part() -> None:
    made = rig()
    made.give(loaded(instrument(OPTION)))
    made.give(prices(OPTION, 2_000.0, delta=0.5, gamma=0.00002, vega=70.0))
    made.read(position(OPTION, -3, 2_000))
    (leg,) = made.portfolio.legs
    for part, quantity in ((leg, -3.0), (part_of(leg, 0.5, "grid"), -1.5)):
        assert part.delta_usd == pytest.approx(quantity * 0.5 * 50_000)
        assert part.gamma == pytest.approx(quantity * 0.00002)
        assert part.vega == pytest.approx(quantity * 70)
        # A move of r changes the value by delta_usd * r + gamma_usd * r * r / 2: 1 % here.
        assert part.gamma_usd is not None
        by_greeks = part.delta_usd * 0.01 + part.gamma_usd * 0.01**2 / 2
        assert by_greeks == pytest.approx(quantity * (0.5 * 500 + 0.00002 * 500**2 / 2))


def test_option_whose_greeks_are_old_is_unknown_and_never_nothing() -> None:
    made = rig()
    made.give(loaded(instrument(OPTION)), prices(OPTION, 2_000.0, delta=0.5))
    made.read(position(OPTION, 2, 1_500))
    assert made.portfolio.gross_usd == 50_000
    (leg,) = made.portfolio.legs
    assert (leg.gamma, leg.vega, leg.gamma_usd) == (None, None, None)
    made.wait(GREEKS_STALE_MS / 1000 + 1)
    made.give(prices(OPTION, 2_000.0))
    made.wait(1)
    book = made.portfolio
    assert book.unpriced == [OPTION]
    assert book.ratio(book.gross_usd) is None
    made.give(prices(OPTION, delta=-0.25, is_rest=True))
    made.wait(1)
    assert made.portfolio.gross_usd == pytest.approx(25_000)


@pytest.mark.parametrize("delta", [math.nan, math.inf])
def test_delta_that_is_no_number_is_none(delta: float) -> None:
    made = rig()
    made.give(loaded(instrument(OPTION)), prices(OPTION, 2_000.0, delta=delta, gamma=0.1))
    made.read(position(OPTION, 2, 1_500))
    assert made.portfolio.unpriced == [OPTION]
    made.give(prices(OPTION, delta=0.5, gamma=delta, vega=1.0))
    made.wait(1)
    assert (made.portfolio.legs[0].gamma, made.portfolio.legs[0].vega) == (None, 2.0)


def test_index_of_an_option_is_the_price_of_something_else() -> None:
    made = rig()
    made.give(loaded(instrument(OPTION)), prices(OPTION, 2_000.0, index=50_000.0, delta=0.5))
    made.give(prices(OPTION, index=50_000.0, is_rest=True))
    marks = made.meter.marks
    assert [p.value for p in marks.sources(ACCOUNT, OPTION, made.now_ms)] == [2_000.0]
    quote = marks.quote(ACCOUNT, OPTION)
    assert quote is not None
    assert quote.rest is None


def test_option_paid_in_coin_is_worth_its_premium_and_counts_beside_its_collateral() -> None:
    # Two bought puts on one coin: 1 + 2 * 0.02 coins of equity, delta 1 - 2 * 0.3.
    made = rig(balances=(balance("BTC", 1),), usdt=None)
    made.give(loaded(instrument(PUT)), prices(PUT, 0.02, delta=-0.3, gamma=0.00001, vega=40.0))
    made.read(position(PUT, 2, 0.03), balances=(balance("BTC", 1),), usdt=None)
    book = made.portfolio
    assert book.equity_usd == pytest.approx(50_000 * 1.04)
    assert book.net_usd == pytest.approx(50_000 * (1 - 0.6))
    option = next(leg for leg in book.legs if leg.key.symbol == PUT)
    assert option.unrealized_pnl_usd == pytest.approx(-0.01 * 2 * 50_000)
    (pair,) = book.pairs
    assert (pair.hedged_delta_usd, pair.hedge_delta_usd) == (
        pytest.approx(50_000), pytest.approx(-30_000),
    )  # fmt: skip
    assert (pair.quantity, pair.drift) == (pytest.approx(0.6), pytest.approx(0.4))


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


def test_option_on_what_nobody_prices_is_unknown_with_its_greeks() -> None:
    option = "XYZ/USDT:USDT-261225-10-C"
    made = rig()
    made.give(loaded(instrument(option)), prices(option, 2.0, delta=0.5, gamma=0.1))
    made.read(position(option, 3, 1))
    (leg,) = made.portfolio.legs
    assert made.portfolio.unpriced == [option]
    assert (leg.gamma, leg.unit_usd, leg.gamma_usd) == (pytest.approx(0.3), None, None)
