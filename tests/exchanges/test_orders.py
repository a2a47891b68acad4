"""Orders at each venue's own protocol: sent once, fitted, refused or unknown by its word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.model import (
    OrderStatus,
    OrderType,
    PositionSide,
    RejectReason,
    Side,
    TimeInForce,
)
from tests.exchanges.venues import (
    BTC,
    ETH,
    VENUES,
    Desk,
    Venue,
    make_exchange,
    open_desk,
    order,
    query,
)

D = Decimal


@pytest.fixture(params=VENUES, ids=str)
def venue(request: pytest.FixtureRequest) -> Venue:
    found: Venue = request.param
    return found


@pytest.fixture
async def desk(venue: Venue) -> AsyncIterator[Desk]:
    async with open_desk(venue) as opened:
        yield opened


async def test_market_order_is_filled_and_found(desk: Desk) -> None:
    placed = order(quantity=D("0.01"))
    accepted = await desk.exchange.place(placed)
    assert isinstance(accepted, events.OrderAccepted)
    assert desk.held(BTC) == D("0.01")
    found = await desk.exchange.find(query(placed))
    assert found.found is True
    assert found.order is not None
    assert found.order.status is OrderStatus.FILLED
    assert (found.order.quantity, found.order.filled) == (D("0.01"), D("0.01"))
    assert found.order.order_id == accepted.order_id
    assert found.order.client_order_id == placed.client_order_id


async def test_quantity_is_rounded_down_and_price_put_on_the_tick(desk: Desk) -> None:
    limit = order(
        quantity=D("0.0199999999"),
        type=OrderType.LIMIT,
        price=D("30000.0777"),
        client_order_id="rb0000000000000002",
    )
    assert isinstance(await desk.exchange.place(limit), events.OrderAccepted)
    step = desk.exchange.instrument(BTC).step
    booked = next(iter(desk.ledger.open_orders()))
    assert booked.quantity == D("0.0199999999") // step * step
    assert booked.price == D("30000.0")
    await desk.exchange.place(
        order(
            side=Side.SELL,
            type=OrderType.LIMIT,
            price=D("50000.01"),
            client_order_id="rb0000000000000003",
        )
    )
    prices = {o.price for o in desk.ledger.open_orders()}
    assert prices == {D("30000.0"), D("50000.1")}


async def test_quantity_below_the_step_is_not_sent(desk: Desk) -> None:
    refused = await desk.exchange.place(order(quantity=D("0.00001")))
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is RejectReason.MIN_NOTIONAL
    assert desk.server.orders_received() == []


async def test_tiny_decimals_never_pick_up_float_noise(desk: Desk) -> None:
    # 0.3 - 0.1 - 0.1 as floats is 0.09999..., which floors to 0.099 or to nothing.
    desk.hold(BTC, "0.1")
    close = order(side=Side.SELL, quantity=D("0.3") - D("0.1") - D("0.1"), reduce_only=True)
    await desk.exchange.place(close)
    assert desk.held(BTC) == 0


async def test_reduce_only_close_cannot_flip(desk: Desk) -> None:
    desk.hold(BTC, "0.01")
    await desk.exchange.place(order(side=Side.SELL, quantity=D("0.05"), reduce_only=True))
    assert desk.held(BTC) == 0


async def test_reduce_only_without_position_is_refused_as_such(desk: Desk) -> None:
    refused = await desk.exchange.place(order(side=Side.SELL, reduce_only=True))
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is RejectReason.REDUCE_ONLY


async def test_immediate_or_cancel_leaves_nothing_resting(desk: Desk) -> None:
    limit = order(type=OrderType.LIMIT, price=D("30000"), time_in_force=TimeInForce.IOC)
    accepted = await desk.exchange.place(limit)
    assert isinstance(accepted, events.OrderAccepted)
    assert not list(desk.ledger.open_orders())
    found = await desk.exchange.find(query(limit))
    assert found.order is not None
    assert found.order.status.is_final
    assert found.order.filled == 0


@pytest.mark.parametrize("side", [PositionSide.LONG, PositionSide.SHORT])
async def test_hedge_mode_closes_the_leg_that_is_named(venue: Venue, side: PositionSide) -> None:
    async with open_desk(venue, hedge_mode=True) as desk:
        desk.hold(BTC, "0.05", side="long")
        desk.hold(BTC, "-0.03", side="short")
        closing = Side.SELL if side is PositionSide.LONG else Side.BUY
        accepted = await desk.exchange.place(
            order(
                side=closing,
                quantity=D("0.02"),
                reduce_only=True,
                is_hedge_mode=True,
                position_side=side,
            )
        )
        assert isinstance(accepted, events.OrderAccepted), accepted
        snapshot = await desk.exchange.snapshot()
        left = {p.side: p.quantity for p in snapshot.positions}
        expected = {PositionSide.LONG: D("0.05"), PositionSide.SHORT: D("-0.03")}
        expected[side] += closing.sign * D("0.02")
        assert left == expected
        assert snapshot.is_hedge_mode is True


# ---------------------------------------------------------------- lost and ambiguous


@pytest.mark.parametrize(("kind", "booked"), [("reply_lost", True), ("request_lost", False)])
async def test_lost_connection_is_an_unknown_outcome_and_sent_once(
    desk: Desk, kind: str, booked: bool
) -> None:
    desk.strike(kind, desk.venue.order_path)
    placed = order()
    outcome = await desk.exchange.place(placed)
    assert isinstance(outcome, events.OrderOutcomeUnknown)
    sent = [r for r in desk.server.requests if r.is_order]
    assert len(sent) == 1
    found = await desk.exchange.find(query(placed))
    assert found.found is booked
    assert desk.held(BTC) == (D("0.01") if booked else 0)


@pytest.mark.parametrize(
    "kind",
    ["reply_truncated", "reply_null", "reply_empty", "reply_empty_object", "reply_html",
     "server_error", "ambiguous"],
)  # fmt: skip
async def test_reply_that_settles_nothing_is_an_unknown_outcome(desk: Desk, kind: str) -> None:
    desk.strike(kind, desk.venue.order_path)
    outcome = await desk.exchange.place(order())
    assert isinstance(outcome, events.OrderOutcomeUnknown), outcome
    assert len([r for r in desk.server.requests if r.is_order]) == 1


async def test_timeout_is_an_unknown_outcome(venue: Venue) -> None:
    async with open_desk(venue, ccxt_config={"timeout": 300}) as desk:
        desk.strike("reply_delayed", venue.order_path, seconds=1)
        placed = order()
        assert isinstance(await desk.exchange.place(placed), events.OrderOutcomeUnknown)
        assert (await desk.exchange.find(query(placed))).found is True


async def test_server_that_is_not_there_was_never_told(desk: Desk) -> None:
    await desk.server.stop()
    # The first one may go out on a connection that was kept open; nobody knows.
    await desk.exchange.place(order(client_order_id="rb0000000000000005"))
    refused = await desk.exchange.place(order())
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is RejectReason.UNREACHABLE
    found = await desk.exchange.find(query(order()))
    assert found.found is None
    await desk.server.start()


# ---------------------------------------------------------------- certain refusals


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("insufficient_margin", RejectReason.INSUFFICIENT_MARGIN),
        ("min_notional", RejectReason.MIN_NOTIONAL),
        ("maintenance", RejectReason.MAINTENANCE),
    ],
)
async def test_refusal_carries_its_reason(desk: Desk, kind: str, reason: RejectReason) -> None:
    desk.server.faults.add(kind, 1)
    refused = await desk.exchange.place(order())
    assert isinstance(refused, events.OrderRejected), refused
    assert refused.reason is reason
    assert desk.held(BTC) == 0


async def test_refused_market_order_leads_to_the_next_rung(desk: Desk) -> None:
    desk.server.faults.add("market_rejected", 1)
    refused = await desk.exchange.place(order())
    assert isinstance(refused, events.OrderRejected), refused
    assert refused.reason in {RejectReason.PRICE_BAND, RejectReason.ORDER_TYPE, RejectReason.OTHER}


async def test_reduce_only_refusal_by_a_resting_exit(desk: Desk) -> None:
    desk.hold(BTC, "0.01")
    desk.server.faults.add("reduce_only_rejected", 1)
    refused = await desk.exchange.place(order(side=Side.SELL, reduce_only=True))
    assert isinstance(refused, events.OrderRejected), refused
    assert refused.reason is RejectReason.REDUCE_ONLY


async def test_rate_limit_is_honored_and_nothing_is_sent_meanwhile(desk: Desk) -> None:
    desk.server.faults.add("rate_limited", 1, {"order": True}, retry_after=30)
    refused = await desk.exchange.place(order())
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is RejectReason.RATE_LIMITED
    assert refused.retry_after_ms is not None
    assert 0 < refused.retry_after_ms <= 30_000
    sent = len(desk.server.requests)
    again = await desk.exchange.place(order(client_order_id="rb0000000000000009"))
    assert isinstance(again, events.OrderRejected)
    assert again.reason is RejectReason.RATE_LIMITED
    assert len(desk.server.requests) == sent


async def test_duplicate_client_id_is_refused_as_such(desk: Desk) -> None:
    resting = order(type=OrderType.LIMIT, price=D("30000"))
    assert isinstance(await desk.exchange.place(resting), events.OrderAccepted)
    refused = await desk.exchange.place(resting)
    assert isinstance(refused, events.OrderRejected), refused
    assert refused.reason is RejectReason.DUPLICATE_ID


async def test_unknown_instrument_is_refused_without_a_request(desk: Desk) -> None:
    sent = len(desk.server.requests)
    refused = await desk.exchange.place(order(symbol="NOPE/USDT:USDT"))
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is RejectReason.UNKNOWN_INSTRUMENT
    assert len(desk.server.requests) == sent


async def test_halt_file_stops_entries_and_lets_exits_pass(venue: Venue) -> None:
    async with open_desk(venue, is_halted=True) as desk:
        desk.hold(BTC, "0.01")
        refused = await desk.exchange.place(order())
        assert isinstance(refused, events.OrderRejected)
        assert refused.reason is RejectReason.HALT_FILE
        assert desk.server.orders_received() == []
        close = order(side=Side.SELL, reduce_only=True, client_order_id="rb0000000000000004")
        assert isinstance(await desk.exchange.place(close), events.OrderAccepted)
        assert desk.held(BTC) == 0


# ---------------------------------------------------------------- cancel and find


def cancel_of(placed: actions.PlaceOrder, order_id: str, **changes: Any) -> actions.CancelOrder:
    fields: dict[str, Any] = {"account": "main", "symbol": placed.symbol, "order_id": order_id}
    return actions.CancelOrder(**(fields | changes))


async def test_cancel_is_done_and_done_again(desk: Desk) -> None:
    resting = order(type=OrderType.LIMIT, price=D("30000"))
    accepted = await desk.exchange.place(resting)
    assert isinstance(accepted, events.OrderAccepted)
    first = await desk.exchange.cancel(cancel_of(resting, accepted.order_id))
    assert first.done is True
    assert not list(desk.ledger.open_orders())
    second = await desk.exchange.cancel(cancel_of(resting, accepted.order_id))
    assert second.done is True


async def test_cancel_without_an_answer_is_unknown(desk: Desk) -> None:
    resting = order(type=OrderType.LIMIT, price=D("30000"))
    accepted = await desk.exchange.place(resting)
    assert isinstance(accepted, events.OrderAccepted)
    desk.server.faults.add("server_error", None)
    finished = await desk.exchange.cancel(cancel_of(resting, accepted.order_id))
    assert finished.done is None


async def test_find_says_no_only_when_all_answered(desk: Desk) -> None:
    missing = order(client_order_id="rb00000000000000zz")
    assert (await desk.exchange.find(query(missing))).found is False
    desk.server.faults.add("server_error", None)
    assert (await desk.exchange.find(query(missing))).found is None


async def test_find_before_the_account_is_opened_loads_the_list_itself(desk: Desk) -> None:
    placed = order()
    await desk.exchange.place(placed)
    missing = order(client_order_id="rb00000000000000zz")
    fresh = make_exchange(desk.venue, desk.server)
    desk.server.faults.add("server_error", None)
    assert (await fresh.find(query(placed))).found is None
    desk.server.faults.clear()
    found, absent = await asyncio.gather(fresh.find(query(placed)), fresh.find(query(missing)))
    assert (found.found, absent.found) == (True, False)
    await fresh.close()


async def test_orders_of_several_instruments_at_once(desk: Desk) -> None:
    placed = [
        order(symbol, client_order_id=f"rb00000000000000{index}{symbol[0].lower()}")
        for index in range(5)
        for symbol in (BTC, ETH)
    ]
    outcomes = await asyncio.gather(*(desk.exchange.place(item) for item in placed))
    assert all(isinstance(outcome, events.OrderAccepted) for outcome in outcomes), outcomes
    assert (desk.held(BTC), desk.held(ETH)) == (D("0.05"), D("0.05"))
