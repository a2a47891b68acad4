"""Stops on accounts where every order must be asked for: nobody can ask for one, so none is rogue.

Venues differ in what a stop becomes when its trigger is met: mostly another order, of another name.
"""

from __future__ import annotations

from dataclasses import replace

from riskbot.core import actions, events
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import OrderStatus, Response, WorkingOrder
from tests.core.market import Market, market

GROSS = GrossExposure(max=1.0, on_breach=Response.DENY)


def guarded(held: str | float = 1) -> Market:
    return market(
        GROSS,
        held={"BTC": (float(held), 50_000)} if held else None,
        account={"exclusive": True, "cancel_rogue": True},
    )


def stop(made: Market, quantity: str = "1") -> WorkingOrder:
    order = made.rest("BTC", "sell", quantity, stop_price="45000", is_conditional=True)
    made.give(events.OrderUpdated(account="main", order=order))
    return order


def gone(made: Market, order: WorkingOrder, status: OrderStatus = OrderStatus.EXPIRED) -> None:
    del made.orders["main"][order.order_id]
    made.give(events.OrderUpdated(account="main", order=replace(order, status=status)))


def rogues(made: Market) -> int:
    return len([d for d in made.of(actions.RecordDecision) if d.decision == "rogue"])


def test_stop_that_protects_is_no_rogue_and_neither_is_what_it_becomes() -> None:
    made = guarded()
    order = stop(made)
    made.wait(20)
    assert not made.told("rogue_order")
    gone(made, order)
    made.somebody_trades("BTC", "-0.4")
    made.somebody_trades("BTC", "-0.6")
    made.wait(20)
    assert rogues(made) == 0
    assert not made.engine.state.reservations.strays


def test_more_than_the_stop_fills_is_found_out() -> None:
    made = guarded(3)
    order = stop(made)
    made.wait(2)
    gone(made, order)
    made.somebody_trades("BTC", "-1")
    made.somebody_trades("BTC", "-0.1")
    made.wait(8)
    assert rogues(made) == 1


def test_fill_while_the_stop_still_rests_is_not_its() -> None:
    made = guarded(3)
    stop(made)
    made.wait(2)
    made.somebody_trades("BTC", "-1")
    made.wait(8)
    assert rogues(made) == 1


def test_fill_of_the_other_side_is_not_the_stops() -> None:
    made = guarded()
    order = stop(made)
    made.wait(2)
    gone(made, order)
    made.somebody_trades("BTC", "0.5")
    made.wait(8)
    assert rogues(made) == 1


def test_stop_that_is_canceled_is_forgotten_and_explains_nothing_later() -> None:
    made = guarded(3)
    order = stop(made)
    made.wait(2)
    gone(made, order, OrderStatus.CANCELED)
    made.wait(8)
    assert not made.engine.state.reservations.strays
    made.somebody_trades("BTC", "-1")
    made.wait(8)
    assert rogues(made) == 1


def test_stop_that_is_there_before_its_position_waits_for_it() -> None:
    made = guarded(0)
    order = stop(made, "0.5")
    made.wait(2)
    held = made.decide("BTC", "buy", "0.5", price="51000", is_submit=True)
    assert held["decision"] == "approve"
    made.wait(20)
    assert rogues(made) == 0
    assert order.order_id in made.orders["main"]


def test_stop_whose_position_is_gone_gets_its_grace_and_is_canceled() -> None:
    made = guarded()
    order = stop(made)
    made.wait(20)
    assert made.decide("BTC", "sell", "1", is_submit=True)["decision"] == "approve"
    made.wait(3)
    assert rogues(made) == 0
    assert order.order_id in made.orders["main"]
    made.wait(6)
    assert rogues(made) == 1
    assert order.order_id not in made.orders["main"]


def test_stop_that_was_made_smaller_explains_no_more_than_that() -> None:
    made = guarded(3)
    order = stop(made)
    made.wait(2)
    less = replace(order, quantity=order.quantity / 2)
    made.orders["main"][order.order_id] = less
    made.give(events.OrderUpdated(account="main", order=less))
    made.wait(2)
    gone(made, less)
    made.somebody_trades("BTC", "-1")
    made.wait(8)
    assert rogues(made) == 1
