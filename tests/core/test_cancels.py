"""Exits that outlive the position they closed: cancelled once it is gone, never before."""

from __future__ import annotations

import pytest

from riskbot.core import actions, events
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import RejectReason, Response, WorkingOrder
from tests.core.world import World, world

DRAWDOWN = Drawdown(max=0.10, on_breach=Response.FLATTEN, latch=True)
STOP = {"stop_price": 30_000, "is_conditional": True}
MARKED = [{"reduce_only": True}, {"close_position": True}]


def cancels(made: World, order: WorkingOrder) -> list[actions.CancelOrder]:
    return [a for a in made.of(actions.CancelOrder) if a.order_id == order.order_id]


def stuck(made: World) -> list[str]:
    return [a.summary for a in made.of(actions.EndIntent)]


@pytest.mark.parametrize("fields", [*MARKED, {}], ids=str)
def test_stop_when_its_position_was_flattened_goes_after_the_close(fields: dict[str, bool]) -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    stop = made.rest("BTC", "sell", "2", **STOP, **fields)
    made.read()
    made.price(BTC=44_000)
    assert made.quantity("BTC") == 0
    made.wait(6)
    (order,), (cancel,) = made.sent, cancels(made, stop)
    assert made.actions.index(order) < made.actions.index(cancel)
    assert cancel.is_conditional
    assert not made.orders["main"]
    assert not made.engine.state.enforcement.intents
    assert stuck(made) == ["flattened main, verified"]


def test_stops_of_what_is_still_held_stay() -> None:
    limit = GrossExposure(max=2.0, on_breach=Response.REDUCE)
    made = world(limit, held={"BTC": (3, 50_000)}, usdt=80_000)
    stop = made.rest("BTC", "sell", "2", reduce_only=True, **STOP)
    made.read()
    made.price(BTC=43_000)
    made.wait(6)
    assert made.sent
    assert made.quantity("BTC") > 0
    assert not cancels(made, stop)


def test_stops_of_another_instrument_stay_when_one_alone_is_flattened() -> None:
    made = world(held={"BTC": (1, 50_000), "ETH": (5, 2_000)})
    gone = made.rest("BTC", "sell", "1", reduce_only=True, **STOP)
    stays = made.rest("ETH", "sell", "5", reduce_only=True, stop_price=1_500)
    made.read()
    made.confirm("flatten", account="main", instrument="BTC/USDT:USDT")
    made.wait(6)
    assert made.quantity("BTC") == 0
    assert cancels(made, gone)
    assert list(made.orders["main"].values()) == [stays]


def test_stop_that_the_venue_does_not_let_go_of_is_named_and_holds_nothing_up() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    stop = made.rest("BTC", "sell", "2", reduce_only=True, **STOP)
    made.read()
    made.keep = 100
    made.price(BTC=44_000)
    made.wait(12)
    assert made.quantity("BTC") == 0
    assert len(cancels(made, stop)) > 1
    assert not made.engine.state.enforcement.intents
    assert stuck(made) == [
        "flattened main, verified; exits of BTC/USDT:USDT could not be cancelled"
    ]


def test_stop_when_the_guard_dies_before_its_cancel_goes_after_the_restart() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    stop = made.rest("BTC", "sell", "2", reduce_only=True, **STOP)
    made.read()
    made.die_after = 2
    made.price(BTC=44_000)
    made.die_after = -1
    assert made.quantity("BTC") == 0
    assert stop.order_id in made.orders["main"]
    made.restart()
    made.price()
    made.read()
    made.wait(8)
    assert not made.orders["main"]
    assert len(made.sent) == 1
    assert not made.engine.state.enforcement.intents


def test_order_of_riskbots_that_rests_is_no_orphan() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.refuse.extend([RejectReason.ORDER_TYPE] * 2)
    made.price(BTC=44_000)
    made.wait(10)
    assert made.quantity("BTC") == 0
    assert not made.of(actions.CancelOrder)
    assert not any(isinstance(e, events.EngineFaulted) for _, e in made.journal)
