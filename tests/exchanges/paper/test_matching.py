from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.core import events
from riskbot.core.model import OrderStatus, TimeInForce
from riskbot.exchanges.paper.rules import VenueRules
from riskbot.exchanges.paper.terms import Depth
from tests.exchanges.paper.desk import (
    BTC,
    BTC_INVERSE,
    BTC_SPOT,
    NOW,
    fills,
    held,
    place,
    venue,
)

THIN = Depth(half_spread_bps=Decimal(1), level_usd=Decimal(40_000), levels=3)


def test_market_order_when_the_book_is_thick_fills_at_the_touch() -> None:
    made = venue()
    order = place(made, BTC, "buy", 2)
    assert order.status is OrderStatus.FILLED
    assert [(f.price, f.quantity) for f in fills(made)] == [(Decimal("40004.0"), Decimal(2))]
    assert held(made) == 2


def test_market_order_when_the_book_is_thin_walks_it_and_expires_the_rest() -> None:
    made = venue(depth=THIN)
    order = place(made, BTC, "sell", 5)
    got = fills(made)
    assert order.status is OrderStatus.EXPIRED
    assert len(got) == 3
    assert [f.price for f in got] == sorted((f.price for f in got), reverse=True)
    assert order.filled == sum(f.quantity for f in got) == -held(made)
    assert Decimal("2.9") < order.filled < Decimal("3.1")


def test_book_when_taken_is_whole_again_after_its_time() -> None:
    made = venue(depth=THIN)
    first = place(made, BTC, "buy", 5)
    assert place(made, BTC, "buy", 1).filled == 0
    later = place(made, BTC, "buy", 5, at_ms=NOW + 1_000)
    assert later.filled == first.filled


def test_ioc_order_when_only_part_is_within_its_price_ends_with_that_part() -> None:
    made = venue(depth=THIN)
    order = place(made, BTC, "buy", 2, price="40004.0", time_in_force=TimeInForce.IOC)
    assert order.status is OrderStatus.EXPIRED
    assert 0 < order.filled < 1


def test_limit_order_when_the_market_comes_fills_at_its_own_price() -> None:
    made = venue()
    order = place(made, BTC, "buy", 1, price=39_000)
    assert order.status is OrderStatus.OPEN
    made.set_price(BTC, Decimal(39_100), NOW + 1)
    assert held(made) == 0
    made.set_price(BTC, Decimal(38_900), NOW + 2)
    assert [f.price for f in fills(made)] == [Decimal(39_000)]
    assert held(made) == 1
    assert not made.orders


def test_limit_order_when_partial_fills_are_on_fills_a_share_per_move() -> None:
    made = venue(rules=VenueRules(fill_share=Decimal("0.4")))
    order = place(made, BTC, "buy", 1, price=39_000)
    seen = []
    for step in range(1, 4):
        made.set_price(BTC, Decimal(38_900), NOW + step)
        seen.append(made.find(order.client_order_id).filled)
    assert seen == [Decimal("0.4"), Decimal("0.8"), Decimal(1)]
    told = [e.order for e in made.drain() if isinstance(e, events.OrderUpdated)]
    assert told[-1].status is OrderStatus.FILLED


def test_two_limit_orders_when_both_are_reached_both_fill() -> None:
    made = venue()
    place(made, BTC, "buy", 1, price=39_000)
    place(made, BTC, "buy", 1, price=39_500)
    made.set_price(BTC, Decimal(38_000), NOW + 1)
    assert held(made) == 2


@pytest.mark.parametrize(("stop", "mark"), [(39_000, 38_900), (41_000, 41_200)])
def test_conditional_order_when_reached_from_either_side_becomes_a_market_order(
    stop: int, mark: int
) -> None:
    made = venue()
    place(made, BTC, "buy", 2)
    order = place(made, BTC, "sell", 2, stop_price=stop, reduce_only=True)
    assert order.is_conditional
    made.set_price(BTC, Decimal(40_100), NOW + 1)
    assert held(made) == 2
    made.set_price(BTC, Decimal(mark), NOW + 2)
    assert held(made) == 0


def test_close_position_order_when_triggered_closes_what_is_there_by_then() -> None:
    made = venue()
    place(made, BTC, "buy", 2)
    place(made, BTC, "sell", 0, stop_price=39_000, close_position=True)
    place(made, BTC, "buy", 1)
    made.set_price(BTC, Decimal(38_900), NOW + 1)
    assert held(made) == 0


def test_exits_when_their_position_is_gone_expire() -> None:
    made = venue()
    place(made, BTC, "buy", 2)
    place(made, BTC, "sell", 0, stop_price=39_000, close_position=True)
    place(made, BTC, "sell", 1, price=41_000, reduce_only=True)
    place(made, BTC, "sell", 2)
    assert not made.orders


def test_one_way_position_when_sold_through_zero_turns_with_a_new_entry() -> None:
    made = venue()
    place(made, BTC, "buy", 1)
    place(made, BTC, "sell", 3)
    assert held(made) == -2
    (row,) = made.snapshot(NOW).positions
    assert row.entry_price == Decimal("39996.0")


def test_hedge_mode_when_both_sides_are_opened_keeps_them_apart() -> None:
    made = venue(hedge=True)
    place(made, BTC, "buy", 2, leg="long")
    place(made, BTC, "sell", 1, leg="short")
    assert (held(made, BTC, "long"), held(made, BTC, "short")) == (2, -1)
    place(made, BTC, "sell", 2, leg="long", reduce_only=True)
    assert (held(made, BTC, "long"), held(made, BTC, "short")) == (0, -1)


def test_linear_round_trip_when_fees_are_due_books_profit_less_fees() -> None:
    made = venue(taker_fee=Decimal("0.001"))
    place(made, BTC, "buy", 1)
    made.set_price(BTC, Decimal(44_000), NOW + 1)
    place(made, BTC, "sell", 1)
    bought, sold = fills(made)
    profit = sold.price - bought.price
    assert bought.fee == bought.price * Decimal("0.001")
    assert made.pool.wallets["USDT"] == 100_000 + profit - bought.fee - sold.fee


def test_inverse_round_trip_books_profit_in_coins() -> None:
    made = venue(coins=2)
    place(made, BTC_INVERSE, "sell", 40_000)
    made.set_price(BTC_INVERSE, Decimal(32_000), NOW + 1)
    place(made, BTC_INVERSE, "buy", 40_000)
    sold, bought = fills(made)
    expected = Decimal(40_000) / bought.price - Decimal(40_000) / sold.price
    assert abs(made.pool.wallets["BTC"] - 2 - expected) < Decimal("1e-15")
    assert expected > Decimal("0.24")


def test_inverse_position_when_added_to_averages_by_coins() -> None:
    made = venue(coins=10)
    place(made, BTC_INVERSE, "buy", 40_000)
    made.set_price(BTC_INVERSE, Decimal(20_000), NOW + 1)
    place(made, BTC_INVERSE, "buy", 40_000)
    (row,) = made.snapshot(NOW).positions
    first, second = fills(made)
    coins = 40_000 / first.price + 40_000 / second.price
    assert abs(row.entry_price - 80_000 / coins) < Decimal("1e-9")


def test_spot_order_moves_both_balances() -> None:
    made = venue()
    place(made, BTC_SPOT, "buy", 1)
    assert made.pool.wallets["BTC"] == 1
    assert made.pool.wallets["USDT"] == 100_000 - Decimal("40004.0")
    told = [e for e in made.drain() if isinstance(e, events.BalancesUpdated)]
    assert {b.asset for b in told[-1].balances} == {"BTC", "USDT"}


def test_fill_is_told_with_its_order_position_and_balance() -> None:
    made = venue()
    order = place(made, BTC, "buy", 1, client_order_id="mine")
    told = made.drain()
    kinds = [e.kind for e in told]
    assert kinds.count("OrderFilled") == 1
    assert {"OrderUpdated", "PositionsUpdated", "BalancesUpdated"} <= set(kinds)
    assert all(e.client_order_id == "mine" for e in told if isinstance(e, events.OrderFilled))
    assert made.find("mine").order_id == order.order_id


def test_cancel_when_the_order_is_at_the_other_desk_is_not_found() -> None:
    made = venue()
    place(made, BTC, "buy", 1)
    stop = place(made, BTC, "sell", 1, stop_price=39_000, reduce_only=True)
    assert made.cancel(stop.order_id, NOW, is_conditional=False).reason.name == "NOT_FOUND"
    assert made.cancel(stop.order_id, NOW, is_conditional=True).order_id == stop.order_id
    assert made.cancel(stop.order_id, NOW, is_conditional=True).reason.name == "NOT_FOUND"
