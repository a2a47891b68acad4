"""One approval, one order: what else goes by its name, or is taken for it, is found out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import OrderStatus, PositionSide, Response, Side, WorkingOrder
from riskbot.core.settings import StrategySettings
from tests import builders
from tests.core.market import FREE, Market, market

GROSS = GrossExposure(max=1.0, on_breach=Response.DENY)
GUARDED = {"exclusive": True, "cancel_rogue": True}
BTC = "BTC/USDT:USDT"
STRATEGIES = {"grid": StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE)}


def shown(
    made: Market, order_id: str, name: str | None, quantity: str = "0.1", **fields: Any
) -> WorkingOrder:
    """Show a frame of an order of 0.1 BTC at 49,000 as the venue would."""
    fields.setdefault("price", "49000")
    fields["filled"] = Decimal(fields.pop("filled", "0"))
    side = fields.pop("side", "buy")
    made.now_ms += 1
    order = builders.order(BTC, side, quantity, order_id=order_id, client_order_id=name, **fields)
    working = made.orders.setdefault("main", {})
    working.pop(order_id, None)
    if not order.status.is_final:
        working[order_id] = order
    made.give(events.OrderUpdated(account="main", order=order))
    return order


def approved(made: Market, quantity: str = "0.1", side: str = "buy", **fields: Any) -> str:
    fields.setdefault("price", "49000")
    name = made.decide("BTC", side, quantity, **fields)["client_order_id"]
    assert isinstance(name, str)
    return name


def is_found_out(made: Market) -> bool:
    made.wait(8)
    return bool(made.told("rogue_order"))


@pytest.mark.parametrize(
    ("status", "filled"), [(OrderStatus.FILLED, "0.1"), (OrderStatus.CANCELED, "0")]
)
def test_name_of_an_order_that_is_over_explains_no_other(status: OrderStatus, filled: str) -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    shown(made, "v1", name)
    shown(made, "v1", name, filled=filled, status=status)
    assert not is_found_out(made)
    shown(made, "v2", name)
    assert is_found_out(made)
    assert "v2" not in made.orders["main"]


def test_fill_under_a_name_that_was_used_already_is_found_out() -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    shown(made, "v1", name)
    shown(made, "v1", name, filled="0.1", status=OrderStatus.FILLED)
    made.give(builders.fill(BTC, Side.BUY, "0.1", 49_000, order_id="v2", client_order_id=name))
    assert is_found_out(made)


def test_second_order_under_one_name_is_found_out_and_the_first_stays() -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    shown(made, "v1", name)
    shown(made, "v2", name)
    assert is_found_out(made)
    assert set(made.orders["main"]) == {"v1"}
    assert made.order(name)["order_id"] == "v1"


@pytest.mark.parametrize("comes_first", [False, True])
def test_what_a_conditional_order_becomes_is_its_strategys(*, comes_first: bool) -> None:
    made = market(GROSS, account=GUARDED, strategies=STRATEGIES)
    name = approved(made, price="51000")
    shown(made, "a1", name, price="51000", stop_price=Decimal(51_000), is_conditional=True)
    if comes_first:
        shown(made, "v1", name, price=None)
    shown(made, "a1", name, status=OrderStatus.EXPIRED, is_conditional=True)
    shown(made, "v1", name, price=None)
    assert (made.order(name)["status"], made.order(name)["order_id"]) == ("open", "v1")
    made.give(builders.fill(BTC, Side.BUY, "0.1", 51_000, order_id="v1", client_order_id=name))
    shown(made, "v1", name, price=None, filled="0.1", status=OrderStatus.FILLED)
    assert made.order(name)["filled"] == "0.1"
    assert not is_found_out(made)
    assert not made.told("late_order")
    shown(made, "v2", name)
    assert is_found_out(made)


def test_late_word_of_a_conditional_order_is_nothing_that_it_became() -> None:
    made = market(GROSS, account=GUARDED, strategies=STRATEGIES)
    name = approved(made, price="51000")
    shown(made, "a1", name, price="51000", stop_price=Decimal(51_000), is_conditional=True)
    shown(made, "a1", name, status=OrderStatus.EXPIRED, is_conditional=True)
    shown(made, "v1", name, price=None)
    shown(made, "v1", name, price=None, status=OrderStatus.EXPIRED)
    shown(made, "a1", name, status=OrderStatus.EXPIRED, is_conditional=True)
    assert (made.order(name)["status"], made.order(name)["order_id"]) == ("expired", "v1")
    assert not is_found_out(made)


def test_order_of_a_name_that_expired_well_before_is_found_out() -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    shown(made, "v1", name)
    shown(made, "v1", name, status=OrderStatus.EXPIRED)
    made.wait(3)
    shown(made, "v2", name)
    assert is_found_out(made)


@pytest.mark.parametrize(("seconds", "is_rogue"), [(1, False), (3, True)])
def test_order_whose_approval_was_given_back_is_found_out_unless_it_was_on_its_way(
    seconds: int, *, is_rogue: bool
) -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made, "2")
    made.pull(name)
    made.wait(seconds)
    # The room is somebody else's by now.
    approved(made, "2", strategy="trend")
    shown(made, "v1", name, "2")
    assert is_found_out(made) is is_rogue
    assert len(made.told("late_order")) == 1
    assert ("v1" in made.orders["main"]) is not is_rogue


def test_order_by_hand_that_was_taken_for_an_approvals_is_found_out_when_that_comes() -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    shown(made, "hand", None)
    shown(made, "hand", None, filled="0.05")
    assert made.order(name)["filled"] == "0.05"
    shown(made, "v1", name)
    assert (made.order(name)["order_id"], made.order(name)["filled"]) == ("v1", "0")
    assert is_found_out(made)
    assert set(made.orders["main"]) == {"v1"}


def test_fill_of_the_real_order_ends_a_guess_too() -> None:
    made = market(GROSS, account={"exclusive": True})
    name = approved(made)
    shown(made, "hand", None)
    made.give(builders.fill(BTC, Side.BUY, "0.1", 49_000, order_id="v1", client_order_id=name))
    assert (made.order(name)["order_id"], made.order(name)["filled"]) == ("v1", "0.1")
    assert is_found_out(made)


def test_plain_order_in_place_of_an_approved_reduce_only_one_counts_once_it_may_open() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    name = approved(made, "1", "sell", price="51000", reduce_only=True)
    assert made.decide("BTC", "buy", "1")["decision"] == "approve"
    shown(made, "v1", name, "1", side="sell", price="51000")
    made.somebody_trades("BTC", "-1")
    made.wait(31)
    # 2 BTC are all that the limit allows, and one of them works already.
    answer = made.decide("BTC", "sell", "2", price="50500", allow_resize=True)
    assert (answer["decision"], answer["order"]["quantity"]) == ("resize", "1")


@pytest.mark.parametrize(
    ("fields", "is_covered"),
    [
        ({}, True),
        ({"price": "51000"}, True),
        ({"price": "50999"}, False),
        ({"price": None}, True),
        ({"price": "50999", "is_conditional": True}, True),
        ({"position_side": PositionSide.LONG}, True),
        ({"position_side": PositionSide.SHORT}, False),
        ({"side": "buy"}, False),
        ({"quantity": "0.2"}, False),
    ],
)
def test_name_explains_no_other_side_or_leg_no_more_and_no_worse_price(
    fields: dict[str, Any], *, is_covered: bool
) -> None:
    made = market(GROSS)
    hedged = builders.position(BTC, 1, 50_000, side=PositionSide.LONG)
    made.give(builders.snapshot(hedged, usdt=100_000, is_hedge_mode=True, as_of_ms=made.now_ms))
    name = approved(made, "0.1", "sell", price="51000", position_side=PositionSide.LONG)
    order = {"price": "51500", "side": "sell", "quantity": "0.1", **fields}
    side, quantity = order.pop("side"), order.pop("quantity")
    seen = builders.order(BTC, side, quantity, client_order_id=name, **order)
    assert made.engine.state.reservations.is_known(seen) is is_covered


@pytest.mark.parametrize(
    "wanted", [{"quantity": "0.3"}, {"quantity": "0.05"}, {"price": "49500"}], ids=str
)
def test_order_that_is_edited_where_it_works_stands_for_the_approval_of_that(
    wanted: dict[str, str],
) -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    shown(made, "v1", name)
    fresh = approved(made, **wanted)
    shown(made, "v1", name, **wanted)
    assert made.order(fresh)["status"] == "canceled"
    now = made.order(name)
    assert (now["quantity"], now["price"]) == (
        wanted.get("quantity", "0.1"),
        wanted.get("price", "49000"),
    )
    assert not is_found_out(made)


def test_order_that_is_edited_without_asking_is_found_out() -> None:
    made = market(GROSS, account=GUARDED)
    name = approved(made)
    other = approved(made, "0.4", strategy="trend")
    shown(made, "v1", name)
    shown(made, "v1", name, "0.4")
    assert made.order(other, "trend")["status"] == "reserved"
    assert is_found_out(made)
    assert not made.orders["main"]
