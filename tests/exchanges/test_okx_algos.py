"""A conditional order at OKX that triggers: the order it becomes is the approved one, and alone.

The rows are the venue server's; the two channels they come over are two sockets.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.model import OrderStatus
from riskbot.core.settings import StrategySettings
from riskbot.exchanges import okx_frames
from tests.core.market import FREE, Market, market
from tests.exchanges.test_okx import OKX
from tests.exchanges.test_payloads import Names
from tests.exchanges.venues import BTC, open_desk, order, query
from tests.servers.ledger_types import Event, OrderChanged
from tests.servers.okx import OkxServer
from tests.servers.okx_algo import place_algo
from tests.servers.okx_client import ID
from tests.servers.okx_rows import algo_push, order_push

D = Decimal
GUARDED = {"exclusive": True, "cancel_rogue": True}
STRATEGIES = {"grid": StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE)}
STOP = {"instId": ID, "side": "buy", "tdMode": "cross", "sz": "10", "ordType": "trigger",
        "triggerPx": "51000"}  # fmt: skip


class Venue:
    """An account at the venue's server, and what it pushes."""

    def __init__(self) -> None:
        self.server = OkxServer()
        self.server.add_account("key", "secret", balance={"USDT": D(100_000)})
        self.account = self.server.accounts["key"]
        self.pushed: list[dict[str, Any]] = []
        self.server.market.set_price(ID, D(50_000))
        self.account.subscribe(self._push)

    def _push(self, event: Event) -> None:
        if not isinstance(event, OrderChanged):
            return
        if event.order.conditional:
            channel, row = "orders-algo", algo_push(self.account, event.order, event.reason)
        else:
            row = order_push(self.account, event.order, event.reason, event.fill)
            channel = "orders"
        self.pushed.append({"arg": {"channel": channel}, "data": [row]})

    def frames(self, channel: str = "") -> list[dict[str, Any]]:
        """Take what was pushed on one channel, or on all as it came."""
        found = [f for f in self.pushed if channel in {"", f["arg"]["channel"]}]
        self.pushed = [f for f in self.pushed if f not in found]
        return found


def give(made: Market, frames: list[dict[str, Any]]) -> None:
    """Tell frames as the adapter reads them; what works is what a read would show."""
    working = made.orders.setdefault("main", {})
    for event in [e for f in frames for e in okx_frames.decode(Names(ID), f) or []]:
        made.now_ms += 1
        if isinstance(event, events.OrderUpdated) and event.order.status.is_final:
            working.pop(event.order.order_id, None)
        elif isinstance(event, events.OrderUpdated):
            working[event.order.order_id] = event.order
        made.give(event)


def approved(made: Market) -> str:
    name = made.decide("BTC", "buy", "0.1", price="51000")["client_order_id"]
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize("comes_late", [False, True])
@pytest.mark.parametrize("price", ["-1", "50900"])
def test_stop_entry_that_triggers_stays_its_strategys(price: str, *, comes_late: bool) -> None:
    made, venue = market(account=GUARDED, strategies=STRATEGIES), Venue()
    name = approved(made)
    algo_id = place_algo(venue.account, STOP | {"algoClOrdId": name, "orderPx": price})["algoId"]
    give(made, venue.frames())
    assert made.order(name)["order_id"] == algo_id
    venue.server.market.set_price(ID, D(51_000))
    (child,) = [o for o in venue.account.ledger.orders.values() if o.parent_id]
    for channel in ("orders", "orders-algo") if comes_late else ("orders-algo", "orders"):
        give(made, venue.frames(channel))
    is_filled = price == "-1"
    now = made.order(name)
    assert (now["order_id"], now["filled"]) == (child.id, "0.1" if is_filled else "0")
    assert now["status"] == ("filled" if is_filled else "open")
    # Never both: the conditional order is over when what it made is told.
    shown = made.engine.state.accounts.get("main").orders
    assert list(shown) == ([] if is_filled else [child.id])
    made.wait(8)
    assert not made.told("rogue_order")
    assert not made.told("late_order")
    assert list(made.orders["main"]) == list(shown)


def test_order_that_a_stop_by_hand_becomes_is_found_out() -> None:
    made, venue = market(account=GUARDED, strategies=STRATEGIES), Venue()
    name = approved(made)
    place_algo(venue.account, STOP | {"algoClOrdId": name, "orderPx": "50900"})
    place_algo(venue.account, STOP | {"algoClOrdId": "hand", "orderPx": "50900"})
    venue.server.market.set_price(ID, D(51_000))
    give(made, venue.frames())
    own, hand = [o.id for o in venue.account.ledger.orders.values() if o.parent_id]
    assert made.order(name)["order_id"] == own
    made.wait(8)
    assert made.told("rogue_order")
    assert hand not in made.orders["main"]
    assert own in made.orders["main"]


def test_order_of_a_program_does_not_end_it() -> None:
    venue = Venue()
    place_algo(venue.account, STOP | {"algoClOrdId": "chase1", "orderPx": "50900"})
    venue.server.market.set_price(ID, D(51_000))
    frame = venue.frames("orders")[0]
    # What a chase order keeps working is told as made by it, and it goes on.
    frame["data"][0]["source"] = "34"
    (only,) = okx_frames.decode(Names(ID), frame) or []
    assert isinstance(only, events.OrderUpdated)
    assert (only.order.client_order_id, only.order.is_conditional) == ("chase1", False)


async def test_conditional_order_and_what_it_became_are_found_by_its_id() -> None:
    async with open_desk(OKX) as desk:
        account = desk.server.accounts["key"]
        desk.server.market.set_price(ID, D(50_000))
        asked = query(order(client_order_id="stop1"))
        assert (await desk.exchange.find(asked)).found is False
        placed = place_algo(account, STOP | {"algoClOrdId": "stop1", "orderPx": "50900"})
        waiting = (await desk.exchange.find(asked)).order
        assert waiting is not None
        assert (waiting.order_id, waiting.is_conditional) == (placed["algoId"], True)
        desk.server.market.set_price(ID, D(51_000))
        (child,) = [o for o in account.ledger.orders.values() if o.parent_id]
        became = (await desk.exchange.find(asked)).order
        assert became is not None
        assert (became.order_id, became.is_conditional) == (child.id, False)
        assert (became.status, became.client_order_id) == (OrderStatus.OPEN, "stop1")
        (read,) = (await desk.exchange.snapshot()).orders or ()
        assert (read.symbol, replace(read, created_ms=0)) == (BTC, replace(became, created_ms=0))
