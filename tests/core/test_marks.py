"""Prices: what is a source, how fresh, how independent, and what assets are worth."""

from __future__ import annotations

import math
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.marks import Marks
from riskbot.core.model import PriceSource
from riskbot.core.prices import STATED_FRESH_MS, SecondView, View
from riskbot.core.quotes import AssetPrice, Price
from tests import builders
from tests.builders import ACCOUNT, BTC_INVERSE, BTC_PERP, BTC_SPOT, T0, balance, instrument, prices

MARK, INDEX, BOOK = PriceSource.MARK, PriceSource.INDEX, PriceSource.BOOK
LAST, REST = PriceSource.LAST, PriceSource.REST


def marks(*frames: Any, at: int = T0, **venues: str) -> Marks:
    made = Marks(venues=venues or {ACCOUNT: "binanceusdm"})
    for account in made.venues:
        made.apply(
            builders.loaded(BTC_PERP, BTC_SPOT, BTC_INVERSE, "USDC/USDT", account=account), at
        )
    for frame in frames:
        made.apply(frame, at)
    return made


def best(made: Marks, symbol: str = BTC_PERP, *, now_ms: int = T0, account: str = ACCOUNT) -> Any:
    found = made.best(account, symbol, now_ms)
    return (found.value, found.source, found.is_stale) if found is not None else None


def sources(made: Marks, symbol: str = BTC_PERP, *, now_ms: int = T0) -> list[Any]:
    return [(p.source, p.value) for p in made.sources(ACCOUNT, symbol, now_ms)]


# ---------------------------------------------------------------- best price


def test_best_price_is_mark_then_index_then_mid_then_last() -> None:
    made = marks(prices(last=104.0))
    assert best(made) == (104, LAST, False)
    made.apply(prices(bid=102.0, ask=104.0), T0)
    assert best(made) == (103, BOOK, False)
    made.apply(prices(index=102.0), T0)
    assert best(made) == (102, INDEX, False)
    made.apply(prices(mark=101.0), T0)
    assert best(made) == (101, MARK, False)


def test_best_price_falls_to_the_next_fresh_source_and_last_to_the_newest_stale_one() -> None:
    made = marks(prices(mark=101.0))
    made.apply(prices(bid=102.0, ask=104.0), T0 + 3_000)
    assert best(made, now_ms=T0 + 5_000) == (101, MARK, False)
    assert best(made, now_ms=T0 + 5_001) == (103, BOOK, False)
    assert best(made, now_ms=T0 + 9_000) == (103, BOOK, True)
    assert made.is_blind(ACCOUNT, BTC_PERP, T0 + 9_000)
    assert not made.is_blind(ACCOUNT, BTC_PERP, T0 + 8_000)


def test_instrument_never_priced_is_blind_and_has_no_price() -> None:
    made = marks()
    assert best(made) is None
    assert made.is_blind(ACCOUNT, BTC_PERP, T0)
    assert made.sources(ACCOUNT, BTC_PERP, T0) == []
    assert made.second(ACCOUNT, BTC_PERP, T0, read_since_ms=0) is None
    assert made.disagreement(ACCOUNT, BTC_PERP, T0) is None


# ---------------------------------------------------------------- sanity


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@pytest.mark.parametrize("field", ["mark", "index", "last"])
def test_insane_price_is_no_source(field: str, bad: float) -> None:
    made = marks(prices(**{field: bad}))
    assert best(made) is None
    made.apply(prices(**{field: 100.0}), T0)
    made.apply(prices(**{field: bad}), T0 + 4_000)
    assert best(made, now_ms=T0 + 5_000)[0] == 100
    assert made.is_blind(ACCOUNT, BTC_PERP, T0 + 5_001)


@pytest.mark.parametrize(
    ("bid", "ask"), [(100.0, 100.0), (101.0, 100.0), (0.0, 100.0), (99.0, math.nan), (-1.0, 5.0)]
)
def test_crossed_or_broken_book_is_no_source_until_a_whole_one_comes(
    bid: float, ask: float
) -> None:
    made = marks(prices(bid=99.0, ask=101.0), prices(bid=bid, ask=ask))
    assert best(made) is None
    made.apply(prices(bid=99.0), T0)
    assert best(made) is None
    made.apply(prices(ask=103.0), T0)
    assert best(made)[0] == 101


def test_off_tick_quotes_are_no_source_and_finer_marks_are() -> None:
    made = marks(prices(last=100.005))
    assert best(made) is None
    made.apply(prices(bid=99.0, ask=101.0), T0)
    made.apply(prices(bid=99.005, ask=101.0), T0)
    assert best(made) is None
    made.apply(prices(mark=100.00512345), T0)
    assert best(made)[0] == 100.00512345


def test_ticks_are_not_judged_where_none_is_known() -> None:
    made = Marks()
    made.apply(prices(last=100.005), T0)
    assert best(made)[0] == 100.005
    made.apply(builders.loaded(instrument(tick=0)), T0)
    made.apply(prices(last=100.0051), T0)
    assert best(made)[0] == 100.0051


@pytest.mark.parametrize(
    ("tick", "price"), [("0.1", 65_000.3), ("0.00000001", 0.00001234), ("5", 123_455.0)]
)
def test_prices_on_their_tick_pass_whatever_the_tick(tick: str, price: float) -> None:
    made = Marks()
    made.apply(builders.loaded(instrument(tick=tick)), T0)
    made.apply(prices(last=price), T0)
    assert best(made)[0] == price


def test_price_of_an_older_frame_is_ignored() -> None:
    made = marks(prices(mark=101.0, venue_ms=500))
    made.apply(prices(mark=90.0, venue_ms=400), T0 + 4_000)
    assert best(made) == (101, MARK, False)
    assert made.is_blind(ACCOUNT, BTC_PERP, T0 + 5_001)


def test_frames_whose_venue_time_stands_still_become_stale() -> None:
    made = marks(prices(mark=101.0, venue_ms=500))
    for second in range(1, 7):
        made.apply(prices(mark=101.0 + second, venue_ms=500), T0 + second * 1_000)
    assert made.is_blind(ACCOUNT, BTC_PERP, T0 + 6_000)
    made.apply(prices(mark=110.0, venue_ms=501), T0 + 6_500)
    assert best(made, now_ms=T0 + 6_500) == (110, MARK, False)


# ---------------------------------------------------------------- REST counts as a frame


def test_rest_read_that_agrees_keeps_a_quiet_price_fresh() -> None:
    made = marks(prices(mark=100.0, venue_ms=500))
    made.apply(prices(mark=100.05, venue_ms=500, is_rest=True), T0 + 4_000)
    assert best(made, now_ms=T0 + 9_000) == (100, MARK, False)


def test_rest_read_that_disagrees_without_a_newer_venue_time_does_not() -> None:
    made = marks(prices(mark=100.0, venue_ms=500))
    made.apply(prices(mark=105.0, venue_ms=500, is_rest=True), T0 + 4_000)
    assert made.is_blind(ACCOUNT, BTC_PERP, T0 + 5_001)
    made.apply(prices(mark=105.0, venue_ms=600, is_rest=True), T0 + 5_001)
    assert best(made, now_ms=T0 + 9_000) == (105, MARK, False)


def test_rest_read_without_a_venue_time_is_news_once_the_stream_is_quiet() -> None:
    made = marks(prices(mark=100.0))
    made.apply(prices(mark=105.0, is_rest=True), T0 + 900)
    assert best(made)[0] == 100
    made.apply(prices(mark=105.0, is_rest=True), T0 + 1_001)
    assert best(made, now_ms=T0 + 2_000)[0] == 105


def test_rest_alone_is_a_source() -> None:
    made = marks(prices(bid=99.0, ask=101.0, is_rest=True))
    assert best(made) == (100, BOOK, False)


def test_sign_of_life_of_one_instrument_keeps_it_fresh_and_a_pong_does_not() -> None:
    made = marks(prices(mark=100.0))
    made.apply(events.FeedAlive(account=ACCOUNT, feed="prices"), T0 + 4_000)
    assert made.is_blind(ACCOUNT, BTC_PERP, T0 + 6_000)
    made.apply(events.FeedAlive(account=ACCOUNT, feed="prices", symbol=BTC_PERP), T0 + 4_000)
    assert not made.is_blind(ACCOUNT, BTC_PERP, T0 + 6_000)
    made.apply(events.FeedAlive(account=ACCOUNT, feed="prices", symbol="X/Y:Y"), T0)
    assert made.quote(ACCOUNT, "X/Y:Y") is None


# ---------------------------------------------------------------- independent sources


def test_sources_of_a_derivative_are_mark_index_and_mid() -> None:
    made = marks(prices(mark=100.0, index=101.0, bid=99.0, ask=103.0, last=120.0))
    assert sources(made) == [(MARK, 100), (INDEX, 101), (BOOK, 101)]


def test_sources_of_a_spot_instrument_are_mid_and_last() -> None:
    made = marks(prices(BTC_SPOT, index=1.0, bid=99.0, ask=103.0, last=100.0))
    assert sources(made, BTC_SPOT) == [(BOOK, 101), (LAST, 100)]


def test_another_venue_is_a_source_and_another_account_of_the_same_is_not() -> None:
    made = marks(prices(mark=100.0), main="binanceusdm", twin="binanceusdm", other="bybit")
    for account, price in (("twin", 101.0), ("other", 102.0)):
        made.apply(prices(mark=price, account=account), T0)
    assert [(p.account, p.value) for p in made.sources(ACCOUNT, BTC_PERP, T0)] == [
        (ACCOUNT, 100),
        ("other", 102),
    ]


def test_dated_future_is_another_thing_than_the_perpetual() -> None:
    dated = "BTC/USDT:USDT-261225"
    made = marks(prices(mark=100.0), main="binanceusdm", other="bybit")
    made.apply(builders.loaded(dated, account="other"), T0)
    made.apply(prices(dated, 130.0, account="other"), T0)
    assert len(sources(made)) == 1
    made.apply(builders.loaded(dated, account="other"), T0)
    assert made.twins["BTC|USDT|linear|261225"] == [("other", dated)]


def test_price_elsewhere_is_scaled_to_own_units_and_bridges_a_gap() -> None:
    made = Marks(venues={"a": "binanceusdm", "b": "bybit"})
    thousand = instrument(
        "1000PEPE/USDT:USDT", account="a", underlying="PEPE", underlying_per_base=1000
    )
    single = instrument("PEPE/USDT:USDT", account="b", tick="0.0000001")
    made.apply(builders.loaded(thousand, account="a"), T0)
    made.apply(builders.loaded(single, account="b"), T0)
    made.apply(prices(thousand.symbol, 0.011, account="a"), T0 - 9_000)
    made.apply(prices(single.symbol, 0.000012, account="b"), T0)
    assert made.best("a", thousand.symbol, T0) == Price(pytest.approx(0.012), MARK, "b")
    made.apply(prices(single.symbol, 0.000013, account="b"), T0 + 1)
    assert made.best("a", thousand.symbol, T0 + 9_000) == Price(0.011, MARK, "a", is_stale=True)


def test_second_source_is_independent_of_the_best() -> None:
    made = marks(prices(mark=100.0))
    assert made.second(ACCOUNT, BTC_PERP, T0) is None
    made.apply(prices(mark=100.1, is_rest=True), T0 + 100)
    assert made.second(ACCOUNT, BTC_PERP, T0 + 100) is None
    found = made.second(ACCOUNT, BTC_PERP, T0 + 100, read_since_ms=T0 + 50)
    assert found == Price(100.1, REST, ACCOUNT)
    assert made.second(ACCOUNT, BTC_PERP, T0 + 100, read_since_ms=T0 + 101) is None
    made.apply(prices(mark=100.0), T0 + 6_000)
    assert made.second(ACCOUNT, BTC_PERP, T0 + 6_000, read_since_ms=T0) is None
    made.apply(prices(index=100.2), T0 + 6_000)
    assert made.second(ACCOUNT, BTC_PERP, T0 + 6_000) == Price(
        100.2, INDEX, ACCOUNT, until_ms=T0 + 11_000
    )


@pytest.mark.parametrize(
    ("frame", "price"),
    [
        ({"mark": 5.0, "index": 6.0}, 5),
        ({"mark": math.nan, "index": 6.0}, 6),
        ({"bid": 5.0, "ask": 7.0, "last": 9.0}, 6),
        ({"bid": 8.0, "ask": 7.0, "last": 9.0}, 9),
        ({"bid": 8.0}, None),
    ],
)
def test_rest_view_is_the_best_sane_price_of_the_frame(
    frame: dict[str, float], price: float | None
) -> None:
    made = marks(prices(is_rest=True, **frame))
    quote = made.quote(ACCOUNT, BTC_PERP)
    assert quote is not None
    assert (quote.rest.price if quote.rest is not None else None) == price


def test_disagreement_is_the_spread_of_the_independent_sources() -> None:
    made = marks(prices(mark=100.0))
    assert made.disagreement(ACCOUNT, BTC_PERP, T0) is None
    made.apply(prices(index=102.0), T0)
    assert made.disagreement(ACCOUNT, BTC_PERP, T0) == pytest.approx(0.02)


def test_greeks_stay_until_the_next_frame_that_states_them() -> None:
    made = marks(prices(mark=5.0, delta=0.5, gamma=0.1, vega=2.0), prices(mark=6.0))
    quote = made.quote(ACCOUNT, BTC_PERP)
    assert quote is not None
    assert (quote.delta, quote.gamma, quote.vega) == (0.5, 0.1, 2.0)


def test_marks_survive_a_checkpoint() -> None:
    made = marks(prices(mark=100.0, bid=99.0, ask=101.0, venue_ms=5, is_rest=True))
    made.apply(events.AssetPriced(account=ACCOUNT, asset="USDT", price_usd=1.0, source="v"), T0)
    View(made, T0).asset(ACCOUNT, "BTC")
    again = Marks.load(made.dump())
    assert (again.quotes, again.assets, again.twins) == (made.quotes, made.assets, made.twins)
    assert again.markets == {}


# ---------------------------------------------------------------- assets


def stated(asset: str, price: float, account: str = ACCOUNT) -> events.AssetPriced:
    return events.AssetPriced(account=account, asset=asset, price_usd=price, source="venue")


def worth(made: Marks, asset: str, *, account: str = ACCOUNT, now_ms: int = T0) -> Any:
    return View(made, now_ms).asset(account, asset)


def test_dollar_is_a_dollar() -> None:
    assert worth(marks(), "USD") == AssetPrice(1.0)


def test_cash_is_worth_what_its_venue_says() -> None:
    made = marks(stated("USDC", 0.97), prices("USDC/USDT", last=0.99))
    assert worth(made, "USDC") == AssetPrice(0.97)
    # A figure that is not told any more gives way to a market.
    made.apply(prices("USDC/USDT", last=0.98), T0 + STATED_FRESH_MS + 1)
    late = T0 + STATED_FRESH_MS + 1
    assert worth(made, "USDC", now_ms=late) == AssetPrice(0.98, is_assumed=True)
    assert worth(made, "EUR", now_ms=late) == AssetPrice(1.0, is_assumed=True)


def test_cash_is_worth_what_a_balance_says() -> None:
    made = marks(builders.snapshot(balances=(balance("USDC", 5, price_usd=0.9),)))
    assert worth(made, "USDC") == AssetPrice(0.9)
    made.apply(
        events.BalancesUpdated(account=ACCOUNT, balances=(balance("USDC", 5, price_usd=0.8),)), T0
    )
    assert worth(made, "USDC") == AssetPrice(0.8)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_insane_stated_price_is_ignored(bad: float) -> None:
    assert worth(marks(stated("USDC", bad)), "USDC") == AssetPrice(1.0, is_assumed=True)


def test_cash_is_priced_by_a_dollar_market_on_any_venue() -> None:
    made = marks(main="binanceusdm", other="kraken")
    made.apply(builders.loaded("USDT/USD", account="other"), T0)
    made.apply(prices("USDT/USD", last=0.95, account="other"), T0)
    assert worth(made, "USDT") == AssetPrice(0.95)


def test_cash_told_by_another_venue_goes_before_the_assumption() -> None:
    made = marks(main="binanceusdm", other="kraken")
    made.apply(stated("USDT", 0.9, "other"), T0)
    assert worth(made, "USDT") == AssetPrice(0.9)


def test_view_follows_what_is_stated_while_it_is_in_use() -> None:
    made = marks()
    view = View(made, T0)
    assert view.cash(ACCOUNT, "USDT") == AssetPrice(1.0, is_assumed=True)
    made.apply(stated("USDT", 0.9), T0)
    assert view.cash(ACCOUNT, "USDT") == AssetPrice(0.9)
    made.apply(stated("USDT", 0.9), T0 + 5)
    assert made.version == 2


def test_coin_is_priced_by_own_spot_then_own_perpetual_then_the_venue_then_others() -> None:
    made = Marks(venues={ACCOUNT: "a", "other": "b"})
    assert worth(made, "BTC") is None
    made.apply(builders.loaded(BTC_SPOT, account="other"), T0)
    made.apply(prices(BTC_SPOT, last=104.0, account="other"), T0)
    assert worth(made, "BTC") == AssetPrice(104)
    made.apply(stated("BTC", 103.0), T0)
    assert worth(made, "BTC") == AssetPrice(103)
    made.apply(builders.loaded(BTC_PERP, BTC_INVERSE, "BTC/USDT:USDT-261225"), T0)
    made.apply(prices(BTC_INVERSE, 102.0), T0)
    assert worth(made, "BTC") == AssetPrice(102)
    made.apply(builders.loaded(BTC_SPOT, "BTC/ETH", "ETH/BTC"), T0)
    made.apply(prices(BTC_SPOT, last=101.0), T0)
    assert worth(made, "BTC") == AssetPrice(101)


def test_coin_whose_market_is_silent_is_worth_what_the_venue_says() -> None:
    made = marks(stated("BTC", 103.0))
    assert worth(made, "BTC") == AssetPrice(103)


def test_second_view_notes_what_has_one_source() -> None:
    made = marks(prices(mark=100.0, index=101.0), prices(BTC_INVERSE, 100.0))
    view = SecondView(made, T0)
    assert view.price(ACCOUNT, BTC_PERP) == Price(101, INDEX, ACCOUNT, until_ms=T0 + 5_000)
    assert view.price(ACCOUNT, BTC_INVERSE) == Price(100, MARK, ACCOUNT)
    assert view.lone == {(ACCOUNT, BTC_INVERSE)}


def test_newest_of_several_stale_sources_counts() -> None:
    made = marks(prices(last=104.0))
    made.apply(prices(index=102.0), T0 + 1_000)
    made.apply(prices(last=105.0), T0 + 2_000)
    made.apply(prices(bid=102.0, ask=104.0), T0 + 500)
    assert best(made, now_ms=T0 + 60_000) == (105, LAST, True)
