"""The paper venue as riskbot meets it: answers, streams and faults, on a clock that is moved."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.model import RejectReason, Side
from riskbot.errors import ConfigError, VenueError
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.paper.exchange import PaperExchange
from riskbot.exchanges.paper.faults import Distortion, Fault, Mishap
from tests.exchanges.paper.desk import BTC, BTC_SPOT, ETH
from tests.fakes import START_MS, FakeClock, settle

FIXED = {"prices": {BTC: 40_000, ETH: 2_500}, "latency_ms": 0}


def exchange(clock: FakeClock | None = None, *, halted: bool = False, **ccxt: Any) -> PaperExchange:
    return PaperExchange(
        "main",
        "paper",
        Credentials(),
        {**FIXED, **ccxt},
        (),
        clock or FakeClock(),
        random.Random(1),
        lambda: halted,
    )


def buy(quantity: str = "1", client_order_id: str = "rb1", **fields: Any) -> actions.PlaceOrder:
    values = {"side": Side.BUY, "reduce_only": False, **fields}
    return actions.PlaceOrder(
        account="main",
        symbol=BTC,
        client_order_id=client_order_id,
        quantity=Decimal(quantity),
        **values,
    )


@asynccontextmanager
async def streaming(made: PaperExchange) -> AsyncIterator[list[events.Event]]:
    told: list[events.Event] = []
    made.watch(frozenset(made.venue.listings))
    task = asyncio.create_task(made.stream(told.append))
    await settle()
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.close()


def of(told: list[events.Event], kind: type[Any]) -> list[Any]:
    return [event for event in told if isinstance(event, kind)]


async def test_account_when_opened_holds_and_rests_what_the_mapping_says() -> None:
    made = exchange(
        balance={"USDT": 50_000},
        positions={BTC: "0.5", ETH: -2},
        orders=[{"symbol": BTC, "side": "buy", "quantity": 1, "price": 39_000}],
    )
    loaded = await made.open((BTC,))
    assert {i.symbol for i in loaded.instruments} == {BTC, ETH}
    read = await made.snapshot()
    assert {p.symbol: p.quantity for p in read.positions} == {BTC: Decimal("0.5"), ETH: -2}
    assert [o.price for o in read.orders] == [39_000]
    assert read.balances[0].total == 50_000
    assert read.margin.equity_usd == 50_000


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"speed": 0}, "speed"),
        ({"balance": {"USDT": "much"}}, "balance.USDT"),
        ({"urls": {}}, "urls"),
        ({"prices": "/nowhere/prices.csv"}, "prices"),
        ({"prices": "demo", "symbols": ["NOBODY/USDT:USDT"]}, "symbols"),
        ({"prices": "demo", "start": "soon"}, "start"),
    ],
)
def test_mapping_when_wrong_is_refused_with_its_key(mapping: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        exchange(**mapping)
    assert [fault.startswith(f"accounts.main.ccxt.{key}") for fault in caught.value.faults] == [
        True
    ]


async def test_order_when_it_could_not_exist_at_the_start_is_a_fault() -> None:
    made = exchange(orders=[{"symbol": BTC, "side": "buy", "quantity": "0.00001", "price": 1}])
    with pytest.raises(ConfigError):
        await made.open(())


async def test_stream_when_nothing_moves_repeats_prices_each_heartbeat() -> None:
    clock = FakeClock()
    made = exchange(clock)
    async with streaming(made) as told:
        first = len(of(told, events.PricesUpdated))
        await clock.advance(3_000)
        assert len(of(told, events.PricesUpdated)) == first + 6
        assert of(told, events.PricesUpdated)[-1].venue_ms == START_MS + 3_000
        assert {e.feed for e in of(told, events.FeedAlive)} == {"account", "prices"}


async def test_stream_when_a_symbol_is_new_names_its_instrument_first() -> None:
    made = exchange()
    async with streaming(made) as told:
        kinds = [e.kind for e in told if e.kind in {"InstrumentsLoaded", "PricesUpdated"}]
        assert kinds == ["InstrumentsLoaded", "PricesUpdated"] * 2


async def test_prices_when_the_path_is_played_follow_the_clock_times_speed() -> None:
    clock = FakeClock()
    made = exchange(clock, prices="demo", start="2022-01-20 15:00", speed=60, symbols=[BTC])
    async with streaming(made) as told:
        await clock.advance(60_000)
        marks = [e.mark for e in of(told, events.PricesUpdated)]
        assert marks[0] == 43_032.0
        assert len(set(marks)) > 50
        path = made.market.path
        assert marks[-1] == path.row(path.index_at(made.market.path_ms(clock.now_ms())))[BTC]


async def test_placed_order_is_accepted_and_told() -> None:
    made = exchange()
    async with streaming(made) as told:
        reply = await made.place(buy())
        assert isinstance(reply, events.OrderAccepted)
        assert (reply.filled, reply.status.value) == (1, "filled")
        assert [f.client_order_id for f in of(told, events.OrderFilled)] == ["rb1"]
        assert of(told, events.PositionsUpdated)[-1].positions[0].quantity == 1


@pytest.mark.parametrize(
    ("mishap", "reply", "held"),
    [
        (Mishap.LOST_BEFORE, "OrderOutcomeUnknown", 0),
        (Mishap.LOST_AFTER, "OrderOutcomeUnknown", 1),
        (Mishap.REFUSE, "OrderRejected", 0),
    ],
)
async def test_placed_order_when_something_goes_wrong(
    mishap: Mishap, reply: str, held: int
) -> None:
    made = exchange()
    made.faults.will("place", Fault(mishap, RejectReason.RATE_LIMITED, retry_after_ms=1_500))
    async with streaming(made):
        answer = await made.place(buy())
        assert answer.kind == reply
        assert sum(p.quantity for p in (await made.snapshot()).positions) == held
        if isinstance(answer, events.OrderRejected):
            assert answer.retry_after_ms == 1_500
        asked = await made.find(
            actions.QueryOrder(account="main", symbol=BTC, client_order_id="rb1")
        )
        assert asked.found is bool(held)


async def test_late_order_is_carried_out_after_nobody_answered() -> None:
    clock = FakeClock()
    made = exchange(clock)
    made.faults.will("place", Fault(Mishap.LATE, delay_ms=3_000))
    async with streaming(made) as told:
        assert (await made.place(buy())).kind == "OrderOutcomeUnknown"
        await clock.advance(2_000)
        assert not of(told, events.OrderFilled)
        await clock.advance(2_000)
        assert len(of(told, events.OrderFilled)) == 1


async def test_halt_file_stops_entries_and_lets_exits_pass() -> None:
    made = exchange(halted=True, positions={BTC: 1})
    await made.open(())
    refused = await made.place(buy())
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is RejectReason.HALT_FILE
    sold = await made.place(buy(client_order_id="rb2", side=Side.SELL, reduce_only=True))
    assert isinstance(sold, events.OrderAccepted)


async def test_cancel_only_phase_refuses_orders_and_takes_cancels() -> None:
    made = exchange(orders=[{"symbol": BTC, "side": "buy", "quantity": 1, "price": 39_000}])
    await made.open(())
    (order,) = (await made.snapshot()).orders
    made.faults.refuse_orders = True
    assert (await made.place(buy())).reason is RejectReason.MAINTENANCE
    cancel = actions.CancelOrder(account="main", symbol=BTC, order_id=order.order_id)
    assert (await made.cancel(cancel)).done is True
    again = await made.cancel(cancel)
    assert (again.done, again.reason) == (True, RejectReason.NOT_FOUND)


async def test_maintenance_refuses_everything() -> None:
    made = exchange()
    await made.open(())
    made.faults.is_down = True
    with pytest.raises(VenueError) as caught:
        await made.snapshot()
    assert caught.value.reason is RejectReason.MAINTENANCE
    assert (await made.place(buy())).kind == "OrderRejected"
    query = actions.QueryOrder(account="main", symbol=BTC, client_order_id="rb1")
    assert (await made.find(query)).found is None
    cancel = actions.CancelOrder(account="main", symbol=BTC, order_id="o1")
    assert (await made.cancel(cancel)).done is False


async def test_silent_feeds_say_nothing_with_the_socket_open() -> None:
    clock = FakeClock()
    made = exchange(clock)
    async with streaming(made) as told:
        made.faults.silent |= {"account", "prices"}
        told.clear()
        await made.place(buy())
        await clock.advance(5_000)
        assert not told
        made.faults.silent.clear()
        await clock.advance(1_000)
        assert of(told, events.PricesUpdated)


async def test_restarted_stream_says_that_it_was_lost() -> None:
    made = exchange()
    async with streaming(made) as told:
        await made.restart_stream("stale")
        await settle()
        lost = of(told, events.FeedLost)
        assert {e.feed for e in lost} == {"account", "prices"}
        kinds = [e.kind for e in told]
        assert "FeedAlive" in kinds[kinds.index("FeedLost") :]


async def test_user_events_when_doubled_and_turned_round_are_all_there() -> None:
    made = exchange()
    made.faults.is_duplicating = made.faults.is_reversing = True
    async with streaming(made) as told:
        told.clear()
        await made.place(buy())
        account = [e for e in told if not isinstance(e, events.InstrumentsLoaded)]
        assert len(account) == 2 * len({id(e) for e in account})
        assert account[0].kind == "PositionsUpdated"


async def test_user_events_when_dropped_do_not_come() -> None:
    made = exchange()
    made.faults.drop |= {"OrderFilled", "PositionsUpdated"}
    async with streaming(made) as told:
        await made.place(buy())
        assert not of(told, events.OrderFilled)
        assert of(told, events.OrderUpdated)


async def test_position_list_when_cut_short_shows_fewer() -> None:
    made = exchange(positions={BTC: 1, ETH: 1})
    await made.open(())
    made.faults.cut_positions = 1
    assert len((await made.snapshot()).positions) == 1


@pytest.mark.parametrize("distortion", list(Distortion))
async def test_distorted_price_is_told_as_planned(distortion: Distortion) -> None:
    clock = FakeClock()
    made = exchange(clock)
    async with streaming(made) as told:
        sane = next(e for e in of(told, events.PricesUpdated) if e.symbol == BTC)
        made.faults.prices[BTC] = distortion
        await clock.advance(1_000)
        told.clear()
        await clock.advance(2_000)
        frames = [e for e in of(told, events.PricesUpdated) if e.symbol == BTC]
        assert len(frames) == 2
        if distortion is Distortion.STUCK:
            assert frames[0] == frames[1]
        else:
            shown = [(f.mark, f.index, f.bid, f.ask, f.last) for f in frames]
            assert shown[0] != (sane.mark, sane.index, sane.bid, sane.ask, sane.last)


async def test_mark_when_off_alone_leaves_index_and_book() -> None:
    made = exchange()
    made.faults.mark_factor[BTC] = 0.5
    async with streaming(made) as told:
        frame = next(e for e in of(told, events.PricesUpdated) if e.symbol == BTC)
        assert frame.mark == 20_000
        assert frame.index == 40_000


async def test_rest_prices_come_over_another_connection() -> None:
    made = exchange()
    await made.open(())
    made.faults.prices[BTC] = Distortion.NAN
    (frame,) = await made.prices((BTC, "NOBODY/USDT:USDT"))
    assert frame.is_rest
    assert frame.mark == 40_000


async def test_spot_coin_when_held_is_a_balance_and_its_market_is_named() -> None:
    made = exchange(prices={BTC: 40_000, BTC_SPOT: 40_000}, balance={"USDT": 1_000, "BTC": 1})
    loaded = await made.open(())
    assert BTC_SPOT in {i.symbol for i in loaded.instruments}
    sold = await made.place(
        actions.PlaceOrder(
            account="main",
            symbol=BTC_SPOT,
            client_order_id="rb1",
            side=Side.SELL,
            quantity=Decimal(1),
        )
    )
    assert isinstance(sold, events.OrderAccepted)
    assert {b.asset for b in (await made.snapshot()).balances} == {"USDT"}


async def test_depth_is_what_rests_near_the_touch() -> None:
    made = exchange()
    await made.open(())
    symbol = next(iter(made.venue.listings))
    (found,) = await made.depth((symbol,))
    book = made.venue.books[symbol]
    assert 0 < book.touch_quantity(Side.BUY) <= found.bid_quantity
    book.depth_share = Decimal(0)
    (empty,) = await made.depth((symbol,))
    assert (empty.bid_quantity, empty.ask_quantity) == (0, 0)
    book.mark = None
    assert await made.depth((symbol,)) == []
    made.faults.will("depth", Fault(Mishap.REFUSE))
    assert await made.depth((symbol,)) == []


async def test_dead_man_rights_clock_and_ledger_answer() -> None:
    made = exchange()
    await made.open(())
    armed = await made.set_dead_man(actions.SetDeadMan(account="main", timeout_ms=60_000))
    assert (armed.is_armed, armed.until_ms) == (True, START_MS + 60_000)
    off = await made.set_dead_man(actions.SetDeadMan(account="main", timeout_ms=0))
    assert not off.is_armed
    assert (await made.key_rights()).can_withdraw is False
    made.faults.clock_offset_ms = 700
    assert (await made.clock()).offset_ms == 700
    made.venue.transfer("USDT", Decimal(5), START_MS)
    assert [row.amount for row in await made.ledger(0)] == [5]
