"""Streams at each venue's own protocol: complete, in our units, and back after every break."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.model import OrderStatus, PositionSide, Side
from tests.exchanges.venues import BTC, ETH, KEY, VENUES, Desk, Venue, open_desk, order
from tests.fakes import until
from tests.servers.ledger_types import Order

D = Decimal
BY_ID = {venue.exchange_id: venue for venue in VENUES}
TOPICS = {
    "bybit": {"execution", "order", "position", "wallet"},
    "okx": {"account", "orders", "orders-algo", "positions"},
}
"""What is subscribed of an account, one by one: what happens before is not pushed."""


@pytest.fixture(params=VENUES, ids=str)
def venue(request: pytest.FixtureRequest) -> Venue:
    found: Venue = request.param
    return found


@asynccontextmanager
async def streaming(desk: Desk, *symbols: str) -> AsyncIterator[Desk]:
    """Run the stream until prices and the account's socket have spoken."""
    desk.exchange.watch(frozenset(symbols or (BTC,)))
    task = asyncio.create_task(desk.exchange.stream(desk.seen.append))
    try:
        await until(lambda: is_ready(desk, symbols or (BTC,)))
        yield desk
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def is_ready(desk: Desk, symbols: tuple[str, ...]) -> bool:
    priced = {event.symbol for event in desk.of(events.PricesUpdated)}
    users = [c for c in desk.server.connections if c.kind == "user"]
    heard = any(event.feed == "account" for event in desk.of(events.FeedAlive))
    names = (name for c in desk.server.connections for name in c.subscriptions)
    followed = {word for name in names for word in re.findall(r"[a-z-]+", str(name))}
    return (
        set(symbols) <= priced
        and bool(users)
        and (heard or bool(desk.of(events.BalancesUpdated)))
        and TOPICS.get(desk.venue.exchange_id, set()) <= followed
    )


@pytest.fixture
async def desk(venue: Venue) -> AsyncIterator[Desk]:
    async with open_desk(venue) as opened, streaming(opened):
        opened.seen.clear()
        yield opened


async def trade(desk: Desk, quantity: str, client_id: str, **changes: Any) -> None:
    side = Side.BUY if D(quantity) > 0 else Side.SELL
    placed = order(quantity=abs(D(quantity)), side=side, client_order_id=client_id, **changes)
    assert isinstance(await desk.exchange.place(placed), events.OrderAccepted)


# ---------------------------------------------------------------- what is told


async def test_fill_reaches_as_order_fill_position_and_balance(desk: Desk) -> None:
    await trade(desk, "0.02", "rb0000000000000001")
    await until(lambda: desk.of(events.PositionsUpdated) and desk.of(events.OrderFilled))
    await until(lambda: any(e.order.status.is_final for e in desk.of(events.OrderUpdated)))
    (fill,) = desk.of(events.OrderFilled)
    assert (fill.symbol, fill.side, fill.quantity) == (BTC, Side.BUY, D("0.02"))
    assert fill.client_order_id == "rb0000000000000001"
    assert fill.price == desk.server.market.asks[desk.venue.ids[BTC]]
    assert fill.fee > 0
    assert fill.fee_asset == "USDT"
    final = [e.order for e in desk.of(events.OrderUpdated) if e.order.status.is_final][-1]
    assert (final.status, final.filled) == (OrderStatus.FILLED, D("0.02"))
    assert desk.of(events.PositionsUpdated)[-1].positions[0].quantity == D("0.02")

    def wallet() -> dict[str, Decimal]:
        told = desk.of(events.BalancesUpdated)
        return {b.asset: b.total for b in told[-1].balances} if told else {}

    # What the venue pushes at the start may come this late.
    await until(lambda: wallet().get("USDT") == desk.ledger.balances["USDT"])


async def test_instrument_is_told_before_its_first_event(desk: Desk) -> None:
    await trade(desk, "0.02", "rb0000000000000001")
    await until(lambda: desk.of(events.OrderFilled))
    told = next(i for i, e in enumerate(desk.seen) if isinstance(e, events.InstrumentsLoaded))
    used = next(
        i for i, e in enumerate(desk.seen)
        if isinstance(e, events.OrderFilled | events.OrderUpdated | events.PositionsUpdated)
    )  # fmt: skip
    assert told < used


async def test_closed_position_is_told_as_zero(desk: Desk) -> None:
    await trade(desk, "0.02", "rb0000000000000001")
    await trade(desk, "-0.02", "rb0000000000000002", reduce_only=True)
    await until(
        lambda: any(
            p.symbol == BTC and p.quantity == 0
            for event in desk.of(events.PositionsUpdated)
            for p in event.positions
        )
    )


async def test_hedge_mode_legs_are_told_apart(venue: Venue) -> None:
    async with open_desk(venue, hedge_mode=True) as desk, streaming(desk):
        await trade(
            desk, "0.03", "rb0000000000000001", is_hedge_mode=True, position_side=PositionSide.LONG
        )
        await trade(
            desk, "-0.02", "rb0000000000000002", is_hedge_mode=True,
            position_side=PositionSide.SHORT,
        )  # fmt: skip

        def legs() -> dict[PositionSide, Decimal]:
            return {
                p.side: p.quantity for e in desk.of(events.PositionsUpdated) for p in e.positions
            }

        await until(lambda: legs().get(PositionSide.SHORT))
        held = {side: quantity for side, quantity in legs().items() if quantity}
        assert held == {PositionSide.LONG: D("0.03"), PositionSide.SHORT: D("-0.02")}


async def test_conditional_order_is_told_as_such(desk: Desk) -> None:
    desk.hold(BTC, "1")
    await asyncio.sleep(0.2)
    desk.ledger.place(
        Order(desk.venue.ids[BTC], "sell", D("0.3"), stop_price=D(35000), conditional=True,
              reduce_only=True, trigger_direction="below")
    )  # fmt: skip
    await until(lambda: desk.of(events.OrderUpdated))
    stop = desk.of(events.OrderUpdated)[-1].order
    assert stop.is_conditional
    assert (stop.stop_price, stop.quantity, stop.reduce_only) == (D(35000), D("0.3"), True)


async def test_price_change_reaches_with_venue_time(desk: Desk) -> None:
    name = desk.venue.ids[BTC]
    desk.server.market.set_price(name, D("41000"), bid=D("40999.5"), ask=D("41000.5"),
                                 index=D("41001"))  # fmt: skip

    def latest(field: str) -> float | None:
        found = [getattr(e, field) for e in desk.of(events.PricesUpdated) if e.symbol == BTC]
        return next((value for value in reversed(found) if value is not None), None)

    await until(lambda: (latest("mark"), latest("bid"), latest("ask")) == (41000, 40999.5, 41000.5))
    await until(lambda: latest("index") == 41001)
    # A rate of funding that comes alone is no price.
    priced = [e for e in desk.of(events.PricesUpdated) if e.mark or e.funding_rate is None]
    assert all(event.venue_ms and event.is_rest is False for event in priced)


async def test_watch_changes_the_set_live(desk: Desk) -> None:
    desk.exchange.watch(frozenset({BTC, ETH}))
    await until(lambda: any(e.symbol == ETH for e in desk.of(events.PricesUpdated)))
    desk.exchange.watch(frozenset({ETH}))
    desk.seen.clear()
    desk.server.market.set_price(desk.venue.ids[ETH], D("3333"))
    desk.server.market.set_price(desk.venue.ids[BTC], D("44444"))
    await until(lambda: any(e.mark == 3333 for e in desk.of(events.PricesUpdated)))
    assert {e.symbol for e in desk.of(events.PricesUpdated)} == {ETH}


async def test_burst_of_fills_loses_none(desk: Desk) -> None:
    desk.server.limits_enforced = False
    for index in range(30):
        desk.ledger.place(
            Order(desk.venue.ids[BTC], "buy", D("0.01"), client_id=f"burst{index:04d}")
        )
    await until(lambda: len(desk.of(events.OrderFilled)) >= 30)
    filled = [event.client_order_id for event in desk.of(events.OrderFilled)]
    assert sorted(filled) == [f"burst{index:04d}" for index in range(30)]
    assert desk.of(events.PositionsUpdated)[-1].positions[0].quantity == D("0.30")


async def test_burst_of_prices_loses_none(desk: Desk) -> None:
    name = desk.venue.ids[BTC]
    marks = [float(40_000 + index) for index in range(1, 101)]
    for mark in marks:
        desk.server.market.set_price(name, D(str(mark)))
    await until(lambda: any(e.mark == marks[-1] for e in desk.of(events.PricesUpdated)))
    seen = {e.mark for e in desk.of(events.PricesUpdated)}
    assert seen >= set(marks)


# ---------------------------------------------------------------- broken frames


async def test_undecodable_frame_does_not_stop_the_stream(desk: Desk) -> None:
    desk.server.faults.add("frame_undecodable", 3)
    desk.server.faults.add("frame_unknown", 3)
    desk.server.market.set_price(desk.venue.ids[BTC], D("41111"))
    await trade(desk, "0.02", "rb0000000000000001")
    await until(lambda: any(e.mark == 41111 for e in desk.of(events.PricesUpdated)))
    await until(lambda: desk.of(events.OrderFilled))
    desk.server.market.set_price(desk.venue.ids[BTC], D("42222"))
    await until(lambda: any(e.mark == 42222 for e in desk.of(events.PricesUpdated)))
    assert not desk.of(events.FeedLost)


@pytest.mark.parametrize("value", ["NaN", "", None, "abc", "Infinity"])
async def test_garbage_price_is_no_price(desk: Desk, value: Any) -> None:
    desk.server.faults.add("price_garbage", 1, value=value)
    desk.server.market.set_price(desk.venue.ids[BTC], D("41111"))
    desk.server.faults.clear()
    desk.server.market.set_price(desk.venue.ids[BTC], D("42222"))
    await until(lambda: any(e.mark == 42222 for e in desk.of(events.PricesUpdated)))
    for event in desk.of(events.PricesUpdated):
        for price in (event.mark, event.index, event.bid, event.ask, event.last):
            assert price is None or price > 0


async def test_duplicated_event_has_the_same_identity(desk: Desk) -> None:
    desk.server.faults.add("frame_duplicated", None)
    await trade(desk, "0.02", "rb0000000000000001")
    await until(lambda: len(desk.of(events.OrderFilled)) == 2)
    assert len({event.trade_id for event in desk.of(events.OrderFilled)}) == 1


# ---------------------------------------------------------------- sockets that break


async def test_cut_sockets_are_told_and_rebuilt(desk: Desk) -> None:
    desk.server.drop_sockets()
    await until(lambda: {e.feed for e in desk.of(events.FeedLost)} == {"account", "prices"})
    await until(lambda: {e.feed for e in desk.of(events.FeedAlive)} >= {"account", "prices"})
    desk.seen.clear()
    await asyncio.sleep(0.3)
    await trade(desk, "0.02", "rb0000000000000001")
    await until(lambda: desk.of(events.OrderFilled) and desk.of(events.PositionsUpdated))
    desk.server.market.set_price(desk.venue.ids[BTC], D("41111"))
    await until(lambda: any(e.mark == 41111 for e in desk.of(events.PricesUpdated)))


async def test_refused_sockets_are_tried_until_they_open(desk: Desk) -> None:
    desk.server.faults.add("sockets_refused", None)
    desk.server.drop_sockets()
    await until(lambda: {e.feed for e in desk.of(events.FeedLost)} == {"account", "prices"})
    await asyncio.sleep(0.5)
    assert len(desk.of(events.FeedLost)) == 2
    desk.server.faults.clear()
    await until(lambda: {e.feed for e in desk.of(events.FeedAlive)} >= {"account", "prices"}, 30)


async def test_half_open_socket_is_found_by_unanswered_pings(venue: Venue) -> None:
    quick = {"streaming": {"keepAlive": 300}}
    async with open_desk(venue, ccxt_config=quick) as desk, streaming(desk):
        desk.seen.clear()
        desk.server.faults.add("sockets_silent", None)
        await until(lambda: {e.feed for e in desk.of(events.FeedLost)} == {"account", "prices"})
        desk.server.faults.clear()
        await until(lambda: {e.feed for e in desk.of(events.FeedAlive)} >= {"account", "prices"})


async def test_pongs_keep_the_account_alive_and_no_price(venue: Venue) -> None:
    quick = {"streaming": {"keepAlive": 300}}
    async with open_desk(venue, ccxt_config=quick) as desk, streaming(desk):
        await asyncio.sleep(1.2)
        desk.seen.clear()
        await until(lambda: desk.of(events.FeedAlive))
        assert {e.feed for e in desk.of(events.FeedAlive)} == {"account"}


async def test_restart_opens_new_sockets_after_a_mute_one(desk: Desk) -> None:
    desk.server.faults.add("user_silent", None)
    before = set(desk.server.connections)
    await trade(desk, "0.02", "rb0000000000000001")
    await asyncio.sleep(0.3)
    assert not desk.of(events.OrderFilled)
    desk.server.faults.clear()
    await desk.exchange.restart_stream("positions differ from REST")
    await until(lambda: {e.feed for e in desk.of(events.FeedAlive)} >= {"account", "prices"})
    await until(lambda: before.isdisjoint(desk.server.connections))
    await asyncio.sleep(0.3)
    await trade(desk, "0.02", "rb0000000000000002")
    await until(lambda: desk.of(events.OrderFilled))


async def test_expired_listen_key_is_replaced_at_once() -> None:
    async with open_desk(BY_ID["binanceusdm"]) as desk, streaming(desk):
        desk.seen.clear()
        desk.server.expire_listen_key(KEY, silently=False)
        await until(lambda: any(e.feed == "account" for e in desk.of(events.FeedLost)))
        await until(lambda: any(e.feed == "account" for e in desk.of(events.FeedAlive)))
        assert not [e for e in desk.of(events.FeedLost) if e.feed == "prices"]
        await asyncio.sleep(0.3)
        await trade(desk, "0.02", "rb0000000000000001")
        await until(lambda: desk.of(events.OrderFilled))


async def test_expired_listen_key_without_a_word_is_cured_by_restart() -> None:
    async with open_desk(BY_ID["binanceusdm"]) as desk, streaming(desk):
        desk.server.expire_listen_key(KEY, silently=True)
        desk.seen.clear()
        await desk.exchange.restart_stream("no events")
        await until(lambda: any(e.feed == "account" for e in desk.of(events.FeedAlive)))
        await asyncio.sleep(0.3)
        await trade(desk, "0.02", "rb0000000000000001")
        await until(lambda: desk.of(events.OrderFilled))


async def test_cancelled_stream_leaves_no_socket_and_no_task(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        async with streaming(desk):
            pass
        await until(lambda: not desk.server.connections)
        mine = [t for t in asyncio.all_tasks() if t.get_name().startswith("main:")]
        assert mine == []
