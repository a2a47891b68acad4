from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.exchanges.paper.rules import VenueRules
from tests.exchanges.paper.desk import (
    BTC,
    BTC_SPOT,
    ETH,
    NOW,
    held,
    place,
    refused,
    venue,
)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (("DOGE/USDT:USDT",), "UNKNOWN_INSTRUMENT"),
        ((BTC, "buy", "0.0015"), "PRECISION"),
        ((BTC, "buy", "0"), "MIN_NOTIONAL"),
        ((ETH, "buy", "0.001"), "MIN_NOTIONAL"),
        ((BTC, "buy", "1000"), "INSUFFICIENT_MARGIN"),
        ((BTC_SPOT, "sell", "1"), "INSUFFICIENT_MARGIN"),
        ((BTC_SPOT, "buy", "3"), "INSUFFICIENT_MARGIN"),
    ],
)
def test_market_order_when_a_rule_is_broken_is_refused(order: tuple[str, ...], reason: str) -> None:
    assert refused(venue(), *order) == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price": "39999.95"}, "PRECISION"),
        ({"price": 43_000}, "PRICE_BAND"),
        ({"stop_price": "39000.05"}, "PRECISION"),
        ({"stop_price": 40_000}, "ORDER_TYPE"),
        ({"close_position": True}, "ORDER_TYPE"),
        ({"client_order_id": "no spaces"}, "OTHER"),
        ({"client_order_id": "x" * 37}, "OTHER"),
        ({"leg": "long"}, "POSITION_MODE"),
        ({"reduce_only": True}, "REDUCE_ONLY"),
    ],
)
def test_order_when_a_field_is_wrong_is_refused(fields: dict[str, object], reason: str) -> None:
    assert refused(venue(), BTC, "buy", 1, **fields) == reason


def test_order_in_hedge_mode_without_a_side_is_refused() -> None:
    assert refused(venue(hedge=True), BTC, "buy", 1) == "POSITION_MODE"


def test_client_id_when_used_before_is_refused_even_after_the_order_ended() -> None:
    made = venue()
    place(made, BTC, "buy", 1, client_order_id="rb1")
    assert refused(made, BTC, "buy", 1, client_order_id="rb1") == "DUPLICATE_ID"
    assert held(made) == 1


@pytest.mark.parametrize(("side", "quantity"), [("buy", 1), ("sell", 3)])
def test_reduce_only_order_when_it_would_open_is_refused(side: str, quantity: int) -> None:
    made = venue()
    place(made, BTC, "buy", 2)
    assert refused(made, BTC, side, quantity, reduce_only=True) == "REDUCE_ONLY"


def test_reduce_only_order_when_resting_exits_claim_the_position_is_refused() -> None:
    made = venue()
    place(made, BTC, "buy", 2)
    resting = place(made, BTC, "sell", "1.5", price=41_000, reduce_only=True)
    assert refused(made, BTC, "sell", 1, reduce_only=True) == "REDUCE_ONLY"
    made.cancel(resting.order_id, NOW)
    place(made, BTC, "sell", 1, reduce_only=True)
    assert held(made) == 1


def test_reduce_only_order_when_the_venue_shrinks_it_never_crosses_zero() -> None:
    made = venue(rules=VenueRules(reduce_only_shrinks=True))
    place(made, BTC, "buy", 2)
    order = place(made, BTC, "sell", 5, reduce_only=True)
    assert order.quantity == 2
    assert held(made) == 0


def test_stop_when_it_rests_claims_nothing() -> None:
    made = venue()
    place(made, BTC, "buy", 2)
    place(made, BTC, "sell", 2, stop_price=39_000, reduce_only=True)
    place(made, BTC, "sell", 2, reduce_only=True)
    assert held(made) == 0


@pytest.mark.parametrize("binds", [False, True])
def test_small_exit_is_taken_unless_the_minimum_binds_exits(binds: bool) -> None:
    made = venue(rules=VenueRules(minimum_binds_exits=binds))
    place(made, ETH, "buy", "0.002")
    if binds:
        assert refused(made, ETH, "sell", "0.001", reduce_only=True) == "MIN_NOTIONAL"
    else:
        place(made, ETH, "sell", "0.001", reduce_only=True)


def test_market_order_when_above_the_largest_is_refused() -> None:
    made = venue(max_market_quantity=Decimal(1))
    assert refused(made, BTC, "buy", "1.001") == "PRECISION"


def test_working_entries_use_up_margin() -> None:
    made = venue(usdt=10_000)
    place(made, BTC, "buy", 2, price=39_000)
    assert refused(made, BTC, "buy", 1, price=39_000) == "INSUFFICIENT_MARGIN"


def test_closing_order_needs_no_margin() -> None:
    made = venue(usdt=10_000)
    place(made, BTC, "buy", 2)
    made.set_price(BTC, Decimal(37_000), NOW + 1)
    assert made.pool.available_usd([]) == 0
    place(made, BTC, "sell", 1)
    assert held(made) == 1


def test_spot_funds_when_locked_by_an_order_cannot_be_used_twice() -> None:
    made = venue(coins=1)
    place(made, BTC_SPOT, "sell", 1, price=41_000)
    assert refused(made, BTC_SPOT, "sell", 1) == "INSUFFICIENT_MARGIN"
    (row,) = [b for b in made.snapshot(NOW).balances if b.asset == "BTC"]
    assert (row.total, row.free) == (1, 0)
