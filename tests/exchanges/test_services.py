"""The rest of the contract at each venue: prices, ledger, clock, rights, switch, bare servers."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.model import LedgerKind, OrderType, PositionSide, RejectReason, TimeInForce
from riskbot.errors import ConfigError, VenueError
from riskbot.exchanges._budget import Budget, Lane
from tests.exchanges.venues import (
    BTC,
    ETH,
    VENUES,
    Desk,
    Leaping,
    Venue,
    make_exchange,
    open_desk,
    order,
)
from tests.servers.base import Reply, Request
from tests.servers.bybit import BybitServer

D = Decimal
BY_ID = {venue.exchange_id: venue for venue in VENUES}


@pytest.fixture(params=VENUES, ids=str)
def venue(request: pytest.FixtureRequest) -> Venue:
    found: Venue = request.param
    return found


@pytest.fixture
async def desk(venue: Venue) -> AsyncIterator[Desk]:
    async with open_desk(venue) as opened:
        yield opened


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---------------------------------------------------------------- markets and prices


async def test_open_names_what_is_held_ordered_and_asked_for(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        desk.hold(ETH, "1", "3000")
        loaded = await desk.exchange.open((BTC, "NOPE/USDT"))
        symbols = {item.symbol for item in loaded.instruments}
        assert symbols >= {BTC, ETH}
        assert "NOPE/USDT" not in symbols
        bitcoin = next(item for item in loaded.instruments if item.symbol == BTC)
        venue_item = desk.server.market.instruments[venue.ids[BTC]]
        assert bitcoin.tick == venue_item.tick
        assert bitcoin.step == venue_item.step
        assert (bitcoin.underlying, bitcoin.quote, bitcoin.settle) == ("BTC", "USDT", "USDT")


async def test_depth_is_added_up_in_the_units_of_positions(desk: Desk) -> None:
    name = desk.venue.ids[BTC]
    desk.server.market.set_price(name, D("41000"), bid=D("40999.5"), ask=D("41000.5"))
    (found,) = await desk.exchange.depth((BTC,))
    assert (found.account, found.symbol) == (desk.exchange.account, BTC)
    assert found.bid_quantity > 0
    book = await desk.exchange.client.api.fetch_order_book(BTC)
    unit = desk.exchange.instrument(BTC).contract_value
    shown = sum((D(str(row[1])) for row in book["bids"]), D(0)) * unit
    assert found.bid_quantity >= shown
    assert await desk.exchange.depth(("NOPE/USDT:USDT",)) == []


async def test_prices_come_from_two_sources_with_venue_time(desk: Desk) -> None:
    name = desk.venue.ids[BTC]
    desk.server.market.set_price(name, D("41000"), bid=D("40999.5"), ask=D("41000.5"))
    found = await desk.exchange.prices((BTC, ETH))
    of_btc = [price for price in found if price.symbol == BTC]
    assert {price.mark for price in of_btc} - {None} == {41000.0}
    assert {price.bid for price in of_btc} - {None} == {40999.5}
    assert {price.ask for price in of_btc} - {None} == {41000.5}
    assert all(price.is_rest and price.venue_ms for price in found)
    assert {price.symbol for price in found} == {BTC, ETH}


# ---------------------------------------------------------------- ledger


async def test_flows_and_funding_are_booked_once_and_fills_are_not(desk: Desk) -> None:
    since = now_ms() - 1000
    desk.ledger.deposit("USDT", D(2500))
    desk.ledger.withdraw("USDT", D(400))
    await desk.exchange.place(order(quantity=D("0.5")))
    desk.ledger.apply_funding(desk.venue.ids[BTC], D("0.0001"))
    rows = await desk.exchange.ledger(since)
    flows = {row.amount for row in rows if row.entry_kind.is_flow}
    assert flows == {D(2500), D(-400)}
    funding = [row for row in rows if row.entry_kind is LedgerKind.FUNDING]
    assert len(funding) == 1
    assert funding[0].amount < 0
    assert not [r for r in rows if r.entry_kind in {LedgerKind.REALIZED, LedgerKind.FEE}]
    assert len({row.entry_id for row in rows}) == len(rows)
    again = await desk.exchange.ledger(since)
    assert {row.entry_id for row in again} == {row.entry_id for row in rows}
    assert all(row.venue_ms >= since for row in rows)


# ---------------------------------------------------------------- clock


async def test_own_clock_that_is_off_is_the_one_requests_are_signed_by(venue: Venue) -> None:
    # The machine's wall clock may be set right while riskbot runs: its own goes on as it did.
    clock = Leaping()
    clock.ahead_ms = -3_600_000
    async with open_desk(venue) as desk:
        desk.hold(BTC, "0.5")
        late = make_exchange(venue, desk.server, clock=clock)
        try:
            await late.open(())
            measured = await late.clock()
            assert abs(measured.offset_ms + 3_600_000) < 1_000
            (position,) = (await late.snapshot()).positions
            assert position.quantity == D("0.5")
        finally:
            await late.close()


async def test_clock_offset_is_measured_and_signed_with(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        desk.server.faults.add("clock_skew", None, ms=-60_000)
        with pytest.raises(VenueError) as caught:
            await desk.exchange.snapshot()
        assert caught.value.reason is RejectReason.CLOCK
        measured = await desk.exchange.clock()
        assert abs(measured.offset_ms - 60_000) < 1000
        assert measured.round_trip_ms >= 0
        assert (await desk.exchange.snapshot()).balances


# ---------------------------------------------------------------- rights and switch


async def test_key_rights_are_told(desk: Desk) -> None:
    rights = await desk.exchange.key_rights()
    assert rights.can_trade is True
    assert rights.can_withdraw is False
    assert rights.has_ip_list in {True, False}


MARGIN = {
    "binanceusdm": (
        "/fapi/v1/positionMargin",
        {"amount": 12.5, "code": 200, "msg": "Successfully modify position margin.", "type": 1},
        {"symbol": "BTCUSDT", "amount": "12.5", "type": "1"},
        {"positionSide": "SHORT"},
    ),
    "bybit": (
        "/v5/position/add-margin",
        {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "symbol": "BTCUSDT"}},
        {"category": "linear", "symbol": "BTCUSDT", "margin": "12.5", "positionIdx": "0"},
        {"positionIdx": "2"},
    ),
    "okx": (
        "/api/v5/account/position/margin-balance",
        {"code": "0", "msg": "", "data": [{"amt": "12.5", "instId": "BTC-USDT-SWAP"}]},
        {"instId": "BTC-USDT-SWAP", "posSide": "net", "type": "add", "amt": "12.5"},
        {"posSide": "short"},
    ),
}


def margin(side: PositionSide = PositionSide.NET) -> actions.AddMargin:
    return actions.AddMargin(
        account="main",
        symbol=BTC,
        move_id="m1",
        scope="account:main",
        subject=f"main|{BTC}",
        breach_since_ms=1,
        asset="USDT",
        amount=D("12.50"),
        amount_usd=12.5,
        margin_before=D(1),
        pnl_before=D(0),
        position_side=side,
    )


async def test_margin_is_asked_for_as_the_venue_documents_it(desk: Desk) -> None:
    path, reply, wanted, short = MARGIN[desk.venue.exchange_id]
    others = desk.server.handle

    async def handle(request: Request) -> Reply:
        return Reply(reply) if request.path == path else await others(request)

    desk.server.handle = handle
    moved = await desk.exchange.add_margin(margin())
    assert (moved.move_id, moved.done) == ("m1", True)
    await desk.exchange.add_margin(margin(PositionSide.SHORT))
    asked = [r.params for r in desk.server.requests if r.path == path]
    for params, expected in zip(asked, (wanted, wanted | short), strict=True):
        assert {name: str(params.get(name)) for name in expected} == expected


async def test_margin_that_is_refused_is_told_from_one_without_an_answer(desk: Desk) -> None:
    # The servers here have no such endpoint: that is a refusal.
    refused = await desk.exchange.add_margin(margin())
    assert (refused.done, bool(refused.message)) == (False, True)
    path, *_ = MARGIN[desk.venue.exchange_id]
    desk.strike("server_error", path)
    lost = await desk.exchange.add_margin(margin())
    assert lost.done is None


async def test_dead_man_is_armed_only_by_the_venues_word(desk: Desk) -> None:
    arm = actions.SetDeadMan(account="main", timeout_ms=500, symbols=(BTC,))
    changed = await desk.exchange.set_dead_man(arm)
    if desk.venue.exchange_id == "bybit":
        # Granted by the venue's account managers alone; a plain "success" arms nothing.
        assert changed.is_armed is False
        return
    assert changed.is_armed is True
    assert changed.until_ms is not None
    assert changed.until_ms > now_ms()
    off = await desk.exchange.set_dead_man(
        actions.SetDeadMan(account="main", timeout_ms=0, symbols=(BTC,))
    )
    assert off.is_armed is False


async def test_dead_man_without_an_answer_is_not_armed_and_not_off(desk: Desk) -> None:
    desk.server.faults.add("server_error", None)
    arm = actions.SetDeadMan(account="main", timeout_ms=60_000, symbols=(BTC,))
    assert (await desk.exchange.set_dead_man(arm)).is_armed is False
    off = actions.SetDeadMan(account="main", timeout_ms=0, symbols=(BTC,))
    # Bybit's is off once nothing subscribes to it: no answer is needed.
    is_bybit = desk.venue.exchange_id == "bybit"
    assert (await desk.exchange.set_dead_man(off)).is_armed is not is_bybit


# ---------------------------------------------------------------- bare servers


BARE = {
    "binanceusdm": (
        "/fapi/v3/account", "/fapi/v3/positionRisk", "/fapi/v1/openAlgoOrders",
        "/fapi/v1/positionSide/dual", "/fapi/v1/assetIndex", "/fapi/v1/income",
        "/fapi/v1/allOrders", "/fapi/v1/userTrades", "/fapi/v1/leverageBracket", "/sapi/",
        "/fapi/v1/countdownCancelAll", "/fapi/v1/time", "/fapi/v1/premiumIndex",
        "/fapi/v1/ticker/bookTicker",
    ),
    "bybit": (
        "/v5/user/query-api", "/v5/account/info", "/v5/account/transaction-log",
        "/v5/account/query-dcp-info", "/v5/order/disconnected-cancel-all",
        "/v5/execution/list", "/v5/order/history",
    ),
    "okx": (
        "/api/v5/account/config", "/api/v5/account/bills", "/api/v5/trade/orders-algo-pending",
        "/api/v5/trade/orders-history", "/api/v5/trade/fills", "/api/v5/trade/cancel-all-after",
    ),
}  # fmt: skip


async def test_server_with_the_core_endpoints_alone_is_enough(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        for path in BARE[venue.exchange_id]:
            desk.server.faults.add("error", None, {"path": path}, code=404, status=404)
        fresh = make_exchange(venue, desk.server)
        desk.hold(BTC, "0.5")
        await fresh.open((BTC,))
        snapshot = await fresh.snapshot()
        assert snapshot.positions[0].quantity == D("0.5")
        assert snapshot.orders == ()
        if venue.exchange_id == "binanceusdm":
            (price,) = await fresh.prices((BTC,))
            assert price.mark == 40000
        placed = order()
        assert isinstance(await fresh.place(placed), events.OrderAccepted)
        query = actions.QueryOrder(
            account="main", symbol=BTC, client_order_id=placed.client_order_id
        )
        assert (await fresh.find(query)).found is True
        missing = actions.QueryOrder(account="main", symbol=BTC, client_order_id="rb0none")
        assert (await fresh.find(missing)).found is False
        assert await fresh.ledger(now_ms() - 1000) == []
        rights = await fresh.key_rights()
        assert (rights.can_trade, rights.can_withdraw) == (None, None)
        arm = actions.SetDeadMan(account="main", timeout_ms=60_000, symbols=(BTC,))
        assert (await fresh.set_dead_man(arm)).is_armed is False
        await fresh.close()


class LinearOnly(BybitServer):
    """Knows one category and refuses the others, also where it should list nothing."""

    async def handle(self, request: Request) -> Reply:
        if request.params.get("category") in {"spot", "inverse", "option"}:
            return Reply({"retCode": 10001, "retMsg": "category invalid", "result": {}})
        return await super().handle(request)


async def test_category_the_server_lacks_is_left_out_unless_asked_for() -> None:
    lacking = dataclasses.replace(BY_ID["bybit"], server=LinearOnly)
    async with open_desk(lacking) as desk:
        desk.hold(BTC, "0.5")
        snapshot = await desk.exchange.snapshot()
        assert snapshot.positions[0].quantity == D("0.5")
        assert snapshot.orders == ()
        assert any("linear" in note for note in desk.exchange.capabilities.notes)
        strict = make_exchange(lacking, desk.server, markets=("linear", "inverse"))
        with pytest.raises(VenueError):
            await strict.open(())
        await strict.close()


async def test_absent_endpoint_is_not_asked_again(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        for path in BARE[venue.exchange_id]:
            desk.server.faults.add("error", None, {"path": path}, code=404, status=404)
        fresh = make_exchange(venue, desk.server)
        for _ in range(3):
            await fresh.key_rights()
        asked = [r for r in desk.server.requests if "query-api" in r.path or "/sapi/" in r.path]
        assert len(asked) <= 1
        await fresh.close()


# ---------------------------------------------------------------- budget


async def test_routine_read_waits_for_its_turn_and_an_urgent_one_does_not(desk: Desk) -> None:
    client = desk.exchange.client
    # Short enough that what the server itself counted, where it says so, is soon over.
    client.budget = Budget(1000, 400)
    client.budget.spend(590, client.clock.now_ms(), Lane.ROUTINE)
    sent = len(desk.server.requests)
    waiting = asyncio.create_task(client.call("fetch_time", cost=100))
    await asyncio.sleep(0.05)
    assert len(desk.server.requests) == sent
    await client.call("fetch_time", is_urgent=True)
    assert len(desk.server.requests) == sent + 1
    assert not waiting.done()
    await waiting
    assert len(desk.server.requests) == sent + 2


async def test_routine_read_that_would_wait_long_fails_instead(desk: Desk) -> None:
    client = desk.exchange.client
    client.budget = Budget(10, 3_600_000)

    async def read_on() -> None:
        for _ in range(8):
            await client.call("fetch_time")

    with pytest.raises(VenueError) as caught:
        await read_on()
    assert caught.value.reason is RejectReason.RATE_LIMITED
    assert caught.value.retry_after_ms is not None


async def test_urgent_reads_leave_thirty_percent_and_orders_take_it(desk: Desk) -> None:
    client = desk.exchange.client
    client.budget = Budget(100, 3_600_000)

    async def read_on() -> None:
        for _ in range(200):
            await desk.exchange.snapshot(is_urgent=True)

    with pytest.raises(VenueError) as caught:
        await read_on()
    assert caught.value.reason is RejectReason.RATE_LIMITED
    # What the reads alone spent: the count the server told is of everybody behind this address.
    client.budget.observe_used(0, client.clock.now_ms())
    assert client.budget.used(client.clock.now_ms()) <= 70
    assert isinstance(await desk.exchange.place(order()), events.OrderAccepted)


async def test_urgent_read_is_cheap_where_the_list_of_orders_is_not() -> None:
    async with open_desk(BY_ID["binanceusdm"]) as desk:
        desk.hold(BTC, "1")
        await desk.exchange.snapshot()
        client = desk.exchange.client
        client.budget = Budget(2400, 60_000)
        await desk.exchange.snapshot(is_urgent=True)
        client.budget.observe_used(0, client.clock.now_ms())
        assert client.budget.used(client.clock.now_ms()) <= 25
        # With the address nearly used up, routine reads ask by instrument too, for a while.
        client.budget.observe_used(1_400, client.clock.now_ms())
        asked = len(desk.server.requests)
        await desk.exchange.snapshot()
        lists = [r for r in desk.server.requests[asked:] if r.path == "/fapi/v1/openOrders"]
        assert [r.params.get("symbol") for r in lists] == ["BTCUSDT"]


async def test_wait_stated_for_the_address_stops_everything_and_no_longer_than_stated() -> None:
    async with open_desk(BY_ID["binanceusdm"]) as desk:
        desk.strike("rate_limited", "/fapi/v3/account", retry_after=1)
        with pytest.raises(VenueError):
            await desk.exchange.snapshot()
        sent = len(desk.server.requests)
        refused = await desk.exchange.place(order())
        assert isinstance(refused, events.OrderRejected)
        assert refused.reason is RejectReason.RATE_LIMITED
        assert 0 < (refused.retry_after_ms or 0) <= 1_000
        assert len(desk.server.requests) == sent
        load = desk.exchange.client.load()
        assert load.until_ms
        assert "429" in load.detail
        await asyncio.sleep(1.1)
        assert desk.exchange.client.load().until_ms is None
        assert isinstance(await desk.exchange.place(order()), events.OrderAccepted)


@pytest.mark.parametrize("venue_id", ["bybit", "okx"])
async def test_wait_stated_for_one_endpoint_lets_orders_through(venue_id: str) -> None:
    async with open_desk(BY_ID[venue_id]) as desk:
        desk.strike("rate_limited", desk.venue.positions_path, retry_after=30)
        with pytest.raises(VenueError) as caught:
            await desk.exchange.snapshot()
        assert caught.value.reason is RejectReason.RATE_LIMITED
        assert desk.exchange.client.load().until_ms
        assert isinstance(await desk.exchange.place(order()), events.OrderAccepted)


async def test_too_many_orders_stop_new_orders_and_no_cancel() -> None:
    async with open_desk(BY_ID["binanceusdm"]) as desk:
        resting = order(type=OrderType.LIMIT, price=D(30_000), time_in_force=TimeInForce.GTC)
        accepted = await desk.exchange.place(resting)
        assert isinstance(accepted, events.OrderAccepted)
        desk.strike("error", desk.venue.order_path, code=-1015, status=429)
        again = order(client_order_id="rb0000000000000002")
        assert isinstance(await desk.exchange.place(again), events.OrderRejected)
        cancel = actions.CancelOrder(
            account="main", symbol=BTC, order_id=accepted.order_id, client_order_id=None,
            is_conditional=False,
        )  # fmt: skip
        assert (await desk.exchange.cancel(cancel)).done is True
        assert (await desk.exchange.snapshot()).orders == ()


async def test_burst_of_closes_keeps_to_what_the_venue_allows_and_all_arrive() -> None:
    async with open_desk(BY_ID["bybit"]) as desk:
        placed = [order(client_order_id=f"rb00000000000001{n:02d}") for n in range(14)]
        outcomes = await asyncio.gather(*(desk.exchange.place(one) for one in placed))
        assert {type(outcome) for outcome in outcomes} == {events.OrderAccepted}
        assert desk.held(BTC) == D("0.14")


async def test_count_the_venue_states_for_an_endpoint_is_taken_over() -> None:
    async with open_desk(BY_ID["bybit"]) as desk:
        client = desk.exchange.client
        url = f"{desk.server.rest_url}/v5/position/list?category=linear"
        told = {"X-Bapi-Limit": "40", "X-Bapi-Limit-Status": "3"}
        client.replied(200, told, url)
        budget = client.endpoints.of("privateGetV5PositionList")
        assert budget.capacity == 40
        assert budget.used(client.clock.now_ms()) == 37


# ---------------------------------------------------------------- configuration


async def test_retries_inside_ccxt_are_refused(venue: Venue) -> None:
    server = venue.server()
    for options in ({"maxRetriesOnFailure": 3}, {"fetchOrder": {"maxRetriesOnFailure": 1}}):
        with pytest.raises(ConfigError) as caught:
            make_exchange(venue, server, ccxt_config={"options": options})
        assert "maxRetriesOnFailure" in str(caught.value)


async def test_users_values_win_but_throttle_and_verbose_stay_off(venue: Venue) -> None:
    config = {
        "timeout": 1234,
        "enableRateLimit": True,
        "verbose": True,
        "options": {"recvWindow": 4321},
    }
    exchange = make_exchange(venue, venue.server(), ccxt_config=config)
    api = exchange.client.api
    assert (api.timeout, api.options["recvWindow"]) == (1234, 4321)
    assert (api.enableRateLimit, api.verbose) == (False, False)
    await exchange.close()


async def test_unknown_venue_is_named() -> None:
    from riskbot.exchanges import is_known

    assert is_known("bybit")
    assert not is_known("binanceusd")
    bad = Venue("nosuchvenue", BY_ID["bybit"].server, {}, "", "", "", "")
    with pytest.raises(ConfigError) as caught:
        make_exchange(bad, BY_ID["bybit"].server())
    assert "nosuchvenue" in str(caught.value)


async def test_no_secret_in_texts(desk: Desk) -> None:
    desk.server.faults.add("reply_html", None)
    with pytest.raises(VenueError) as caught:
        await desk.exchange.snapshot()
    assert "signature" not in str(caught.value)
    from riskbot.exchanges._base import Credentials

    assert "topsecret" not in repr(Credentials(api_key="a", api_secret="topsecret"))
