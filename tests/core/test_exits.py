"""Entries, exits and protective orders."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core import exits
from riskbot.core.accounts import Accounts, AccountState
from riskbot.core.model import PositionSide
from tests import builders
from tests.builders import ACCOUNT, BTC_INVERSE, BTC_PERP, BTC_SPOT, T0, balance, order, position

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def account(*held: Any, orders: Any = (), **fields: Any) -> AccountState:
    made = Accounts()
    made.apply(builders.loaded(BTC_PERP, BTC_SPOT, "BTC/USDC", BTC_INVERSE), T0)
    made.apply(builders.snapshot(*held, orders=tuple(orders), **fields), T0)
    return made.get(ACCOUNT)


@pytest.mark.parametrize(
    ("held", "placed", "is_exit"),
    [
        ((), order(side="sell", reduce_only=True), True),
        ((), order(side="sell", close_position=True, quantity=0), True),
        ((position(quantity=1, side=LONG),), order(side="sell", position_side=LONG), True),
        ((position(quantity=1, side=LONG),), order(side="buy", position_side=LONG), False),
        ((position(quantity=-1, side=SHORT),), order(side="buy", position_side=SHORT), True),
        ((position(quantity=-1, side=SHORT),), order(side="sell", position_side=SHORT), False),
        ((position(quantity=1),), order(side="sell", quantity=1), True),
        ((position(quantity=1),), order(side="sell", quantity="1.001"), False),
        ((position(quantity=1),), order(side="sell", quantity=2, filled=1), True),
        ((position(quantity=1),), order(side="buy", quantity=1), False),
        ((position(quantity=-1),), order(side="buy", quantity=1), True),
        ((), order(side="sell", quantity=1), False),
        ((position(BTC_INVERSE, 500),), order(BTC_INVERSE, "sell", 500), True),
    ],
)
def test_order_is_an_exit_only_if_it_cannot_add(held: Any, placed: Any, is_exit: bool) -> None:
    working = account(*held, orders=[placed])
    assert exits.exits(working) == ([placed] if is_exit else [])
    assert exits.entries(working) == ([] if is_exit else [placed])
    assert exits.is_exit(account(*held), placed) is is_exit


def test_opposite_orders_share_the_position_oldest_first() -> None:
    made = [
        order(side="sell", quantity="0.6", order_id="b", created_ms=2),
        order(side="sell", quantity="0.6", order_id="a", created_ms=1),
        order(side="sell", quantity="0.4", order_id="c", created_ms=3),
    ]
    working = account(position(quantity=1), orders=made)
    assert [o.order_id for o in exits.exits(working)] == ["a", "c"]
    assert [o.order_id for o in exits.entries(working)] == ["b"]


def test_reduce_only_orders_claim_the_position_before_plain_ones() -> None:
    made = [
        order(side="sell", quantity=1, order_id="a", created_ms=1),
        order(side="sell", quantity=1, order_id="b", created_ms=2, reduce_only=True),
    ]
    working = account(position(quantity=1), orders=made)
    assert [o.order_id for o in exits.exits(working)] == ["b"]


def test_new_order_comes_after_the_working_exits() -> None:
    working = account(
        position(quantity=1), orders=[order(side="sell", quantity="0.7", order_id="a")]
    )
    new = order(side="sell", quantity="0.3", order_id="new")
    assert exits.is_exit(working, new)
    assert not exits.is_exit(working, order(side="sell", quantity="0.4", order_id="new"))
    # An amended order does not stand beside itself.
    assert exits.is_exit(working, order(side="sell", quantity=1, order_id="a"))


def test_exits_elsewhere_take_nothing() -> None:
    working = account(
        position(quantity=1), position(BTC_INVERSE, 5), orders=[order(BTC_INVERSE, "sell", 5)]
    )
    assert exits.is_exit(working, order(side="sell", quantity=1, order_id="new"))


def test_spot_sells_stay_within_the_coin_balance_over_all_its_markets() -> None:
    made = [
        order(BTC_SPOT, "sell", "0.6", order_id="a", created_ms=1),
        order("BTC/USDC", "sell", "0.6", order_id="b", created_ms=2),
        order(BTC_SPOT, "buy", "0.1", order_id="c", created_ms=3),
    ]
    working = account(balances=(balance("BTC", 1, free=0),), orders=made)
    assert [o.order_id for o in exits.exits(working)] == ["a"]
    assert exits.entries(account(orders=made[:1])) == made[:1]


def test_spot_symbol_that_was_not_loaded_is_known_by_its_form() -> None:
    working = account(balances=(balance("SOL", 5),), orders=[order("SOL/USDT", "sell", 5)])
    assert len(exits.exits(working)) == 1


def test_protective_orders_are_conditional_exits_by_position_and_trigger() -> None:
    low, high = (
        order(side="sell", order_id=str(price), stop_price=price, reduce_only=True)
        for price in (45_000, 48_000)
    )
    made = [
        high,
        low,
        order(side="sell", order_id="limit", reduce_only=True, price=60_000),
        order(side="buy", order_id="wrong", stop_price=47_000, reduce_only=True),
        order("ETH/USDT:USDT", "sell", order_id="none", stop_price=1, reduce_only=True),
    ]
    working = account(position(quantity=2), orders=made)
    assert exits.protective(working) == {position().key: [low, high]}
