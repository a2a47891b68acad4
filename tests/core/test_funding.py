"""Funding: what venues tell of it, and what the next day will cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import funding
from riskbot.core.limits.funding_cost import FundingCost
from riskbot.core.model import Response
from riskbot.core.quotes import Funding
from tests.builders import (
    BTC_INVERSE,
    BTC_PERP,
    BTC_SPOT,
    ETH_PERP,
    T0,
    balance,
    instrument,
    loaded,
    position,
    prices,
)
from tests.core.market import Market, codes, market
from tests.core.rig import Rig, rig
from tests.core.world import world

HOUR_MS = 3_600_000
DATED = "BTC/USDT:USDT-261225"


def told(made: Rig, symbol: str = BTC_PERP, rate: float = 0.0001, **fields: Any) -> None:
    frame = {"funding_interval_h": 8.0, "is_rest": True} | fields
    made.give(prices(symbol, funding_rate=rate, **frame))


def cost(made: Rig) -> tuple[float | None, str]:
    return funding.cost(made.portfolio, made.meter.marks)


# ---------------------------------------------------------------- how often


@pytest.mark.parametrize(
    ("interval_h", "next_h", "count"),
    [
        (8.0, 1, 3),
        (8.0, 8, 3),
        (8.0, 0, 3),
        (8.0, -1, 3),
        (1.0, 0.5, 24),
        (4.0, 3.9, 6),
        (24.0, 24, 1),
        (24.0, 25, 0),
        (5.0, 1, 5),
        (5.0, 5, 4),
        (8.0, None, 3),
        (5.0, None, 4.8),
        (None, 1, None),
    ],
)
def test_settlements_are_counted_from_the_next_one(
    interval_h: float | None, next_h: float | None, count: float | None
) -> None:
    next_ms = None if next_h is None else T0 + int(next_h * HOUR_MS)
    assert funding.settlements(Funding(0.01, T0, interval_h, next_ms), T0) == count


@given(st.sampled_from([1.0, 2.0, 4.0, 8.0]), st.floats(0.01, 1), st.integers(0, 10**9))
def test_a_day_holds_as_many_settlements_whenever_it_begins(
    interval_h: float, share: float, later_ms: int
) -> None:
    known = Funding(0.01, T0, interval_h, T0 + max(int(share * interval_h * HOUR_MS), 1))
    assert funding.settlements(known, T0 + later_ms) == 24 / interval_h


# ---------------------------------------------------------------- what is told


def test_last_rate_stands_until_another_is_told() -> None:
    made = rig(position())
    told(made, next_funding_ms=T0 + HOUR_MS)
    told(made, rate=-0.0002, funding_interval_h=None)
    for nonsense in (math.nan, 1.5, -math.inf):
        told(made, rate=nonsense)
    told(made, rate=-0.0003, funding_interval_h=0.0)
    quote = made.meter.marks.quote("main", BTC_PERP)
    assert quote is not None
    assert quote.funding == Funding(-0.0003, made.now_ms, 8.0, T0 + HOUR_MS)


def test_frame_of_funding_alone_is_no_sign_that_prices_flow() -> None:
    made = rig(position())
    before = made.meter.marks.quote("main", BTC_PERP)
    assert before is not None
    known = (before.fresh_ms, before.mark, before.rest)
    made.wait(10)
    told(made)
    assert (before.fresh_ms, before.mark, before.rest) == known


def test_rates_are_kept_in_a_checkpoint() -> None:
    made = rig(position())
    told(made, next_funding_ms=T0 + HOUR_MS)
    kept = type(made.meter.marks).load(made.meter.marks.dump())
    known = kept.quote("main", BTC_PERP)
    assert known is not None
    assert known.funding == Funding(0.0001, made.now_ms, 8.0, T0 + HOUR_MS)


# ---------------------------------------------------------------- what it costs


def test_long_pays_a_positive_rate_and_short_receives_it() -> None:
    made = rig(position(quantity=2), position(ETH_PERP, -10, 2_000))
    told(made, rate=0.0001)
    told(made, ETH_PERP, rate=0.0002, funding_interval_h=4.0)
    amounts = {
        leg.key.symbol: funding.projected_usd(made.meter.marks, leg, made.now_ms)
        for leg in made.portfolio.legs
    }
    assert amounts == {
        BTC_PERP: pytest.approx(-100_000 * 0.0003),
        ETH_PERP: pytest.approx(20_000 * 0.0012),
    }
    assert cost(made) == (pytest.approx((30 - 24) / 100_000), "")


def test_carry_that_earns_costs_nothing() -> None:
    made = rig(position(quantity=-1), balances=(balance("BTC", 1),))
    told(made)
    assert cost(made) == (0.0, "")
    in_all = funding.projected_in_all_usd(made.meter.marks, made.portfolio.legs, made.now_ms)
    assert in_all == pytest.approx(15)


def test_inverse_position_pays_on_its_face() -> None:
    made = rig(position(BTC_INVERSE, 10_000), balances=(balance("BTC", 1),))
    made.give(prices(BTC_INVERSE, 40_000.0))
    told(made, BTC_INVERSE, rate=0.0003)
    (leg,) = [leg for leg in made.portfolio.legs if leg.key.symbol == BTC_INVERSE]
    assert funding.projected_usd(made.meter.marks, leg, made.now_ms) == pytest.approx(-9)


def test_spot_dated_and_options_pay_none() -> None:
    made = rig(balances=(balance("BTC", 1),))
    option = DATED + "-60000-C"
    made.give(loaded(instrument(DATED), instrument(option)), prices(DATED, 51_000.0))
    made.give(prices(option, 2_000.0, delta=0.5), prices(BTC_SPOT, last=50_000.0))
    made.read(position(DATED, 1, 51_000), position(option, 1, 2_000), balances=(balance("BTC", 1),))
    assert len(made.portfolio.legs) == 3
    assert cost(made) == (0.0, "")


@pytest.mark.parametrize("why", ["never told", "stale", "no interval", "no price", "no equity"])
def test_cost_is_unknown_where_it_cannot_be_said(why: str) -> None:
    made = rig(position(quantity=-1))
    if why != "never told":
        told(made, funding_interval_h=None if why == "no interval" else 8.0)
    if why == "stale":
        made.now_ms += funding.STALE_MS + 1
    if why == "no price":
        made.read(position(quantity=-1), position("XRP/USDT:USDT", 1, 1))
        told(made, "XRP/USDT:USDT")
    share, reason = cost(made)
    if why == "no equity":
        book = made.portfolio
        book.equity_usd = None
        share, reason = funding.cost(book, made.meter.marks)
        assert reason == "equity of an account is not known"
    else:
        name = "XRP/USDT:USDT" if why == "no price" else BTC_PERP
        assert reason == f"no funding rate is known of {name}"
    assert share is None


def test_sum_over_positions_is_unknown_when_one_is() -> None:
    made = rig(position(), position(ETH_PERP, 1, 2_000))
    told(made)
    assert funding.projected_in_all_usd(made.meter.marks, made.portfolio.legs, made.now_ms) is None


def test_cost_is_what_its_limit_reads_and_why_it_cannot() -> None:
    made = world(FundingCost(max=0.0002), held={"BTC": (2, 50_000)})
    (row,) = made.command("limits").document
    assert (row["level"], row["measured"]) == ("unknown", None)
    assert row["reason"] == f"no funding rate is known of {BTC_PERP}"
    made.give(prices(BTC_PERP, funding_rate=0.0001, funding_interval_h=8.0, is_rest=True))
    (row,) = made.command("limits").document
    assert (row["level"], row["measured"]) == ("red", pytest.approx(0.0003))


def test_cost_is_not_reckoned_where_no_limit_looks_at_it() -> None:
    made = world(FundingCost(max=0.0002), held={"BTC": (2, 50_000)}, scope="account:main")
    scopes = made.engine.state.scopes(made.now_ms)
    assert "funding_cost" in scopes["account:main"].stats
    assert "funding_cost" not in scopes["portfolio"].stats


# ---------------------------------------------------------------- before the trade


def priced(eth_rate: float | None) -> Market:
    """Build a market that is long BTC at 0.01 % every 8 h, with a rate of ETH."""
    made = market(FundingCost(max=0.0002, on_breach=Response.DENY), held={"BTC": (0.4, 50_000)})
    rates = {"BTC/USDT:USDT": 0.0001, "ETH/USDT:USDT": eth_rate}
    for symbol, rate in rates.items():
        if rate is not None:
            frame = prices(symbol, made.marks[symbol], funding_rate=rate, funding_interval_h=8.0)
            made.give(frame)
    return made


def test_order_is_judged_with_the_funding_it_would_pay() -> None:
    made = priced(0.0005)
    # 20,000 USD pay 6 a day, of 20 that are allowed: 14 more at 0.15 % a day.
    denied = made.decide("ETH", "buy", "10")
    assert codes(denied) == {"LIMIT_EXCEEDED"}
    assert denied["reasons"][0]["limit"] == "funding_cost"
    assert denied["reasons"][0]["measured"] == pytest.approx(6 / 100_000, rel=1e-3)
    assert float(denied["max_quantity"]) == pytest.approx(14 / 0.0015 / 2_000, rel=1e-2)
    # What has been approved counts, and what would be received passes.
    assert made.decide("ETH", "buy", denied["max_quantity"])["decision"] == "approve"
    assert codes(made.decide("BTC", "buy", "0.1")) == {"LIMIT_EXCEEDED"}
    assert made.decide("ETH", "sell", "20")["decision"] == "approve"


def test_order_of_which_nobody_tells_a_rate_is_denied_and_says_so() -> None:
    made = priced(None)
    denied = made.decide("ETH", "buy", "0.1")
    assert codes(denied) == {"LIMIT_UNKNOWN"}
    assert "no funding rate is known of ETH/USDT:USDT" in denied["reasons"][0]["message"]
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"
