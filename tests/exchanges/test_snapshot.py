"""Snapshots at each venue's own protocol: whole, in the right units and signs, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions
from riskbot.core.model import InstrumentKind, OrderType, PositionSide, RejectReason, Side
from riskbot.errors import VenueError
from riskbot.exchanges._reading import DOUBTED_LIST_MS
from tests.exchanges.venues import (
    BTC,
    ETH,
    KEY,
    SECRET,
    VENUES,
    Desk,
    Leaping,
    Venue,
    make_exchange,
    open_desk,
)
from tests.servers.base import Reply, Request
from tests.servers.bybit import BybitServer
from tests.servers.ledger_types import Order

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


async def test_positions_balances_and_margin_are_read(desk: Desk) -> None:
    desk.hold(BTC, "0.5", "39000")
    desk.hold(ETH, "-2", "3100")
    snapshot = await desk.exchange.snapshot(7)
    held = {p.symbol: p for p in snapshot.positions}
    assert {s: p.quantity for s, p in held.items()} == {BTC: D("0.5"), ETH: D("-2")}
    assert held[BTC].side is PositionSide.NET
    assert held[BTC].entry_price == D(39000)
    assert held[BTC].venue_mark == desk.server.market.marks[desk.venue.ids[BTC]]
    maintenance = held[BTC].maintenance_margin
    assert maintenance is not None
    assert maintenance > 0
    usdt = {b.asset: b for b in snapshot.balances}["USDT"]
    assert usdt.total == D(100_000)
    assert usdt.price_usd == pytest.approx(1.0)
    equity = float(desk.ledger.equity("USDT"))
    assert snapshot.margin.equity_usd == pytest.approx(equity)
    assert snapshot.margin.maintenance_usd is not None
    assert snapshot.margin.maintenance_usd > 0
    assert snapshot.request_id == 7


async def test_wallet_balance_leaves_out_unrealized_profit(desk: Desk) -> None:
    desk.hold(BTC, "1", "30000")
    snapshot = await desk.exchange.snapshot()
    profit = desk.ledger.unrealized("USDT")
    assert profit > 0
    assert {b.asset: b.total for b in snapshot.balances}["USDT"] == D(100_000)
    assert snapshot.positions[0].unrealized_pnl == profit


async def test_flat_account_is_an_empty_list_and_not_a_failure(desk: Desk) -> None:
    snapshot = await desk.exchange.snapshot()
    assert (snapshot.positions, snapshot.orders) == ((), ())


async def test_plain_and_conditional_orders_are_both_read(desk: Desk) -> None:
    name = desk.venue.ids[BTC]
    desk.hold(BTC, "1")
    desk.ledger.place(Order(name, "sell", D("0.2"), "limit", price=D(50000), reduce_only=True))
    stop = desk.ledger.place(
        Order(name, "sell", D("0.3"), stop_price=D(35000), conditional=True, reduce_only=True,
              trigger_direction="down")
    )  # fmt: skip
    snapshot = await desk.exchange.snapshot()
    assert snapshot.orders is not None
    plain, conditional = sorted(snapshot.orders, key=lambda order: order.is_conditional)
    assert (plain.is_conditional, conditional.is_conditional) == (False, True)
    assert (plain.side, plain.type, plain.quantity) == (Side.SELL, OrderType.LIMIT, D("0.2"))
    assert (plain.price, plain.reduce_only) == (D(50000), True)
    assert (conditional.stop_price, conditional.quantity) == (D(35000), D("0.3"))
    assert conditional.order_id == stop.id
    assert conditional.reduce_only is True


async def test_conditional_order_is_canceled_in_its_own_service(desk: Desk) -> None:
    desk.hold(BTC, "1")
    desk.ledger.place(
        Order(desk.venue.ids[BTC], "sell", D("0.3"), stop_price=D(35000), conditional=True,
              reduce_only=True, trigger_direction="down")
    )  # fmt: skip
    snapshot = await desk.exchange.snapshot()
    assert snapshot.orders
    stop = snapshot.orders[0]
    finished = await desk.exchange.cancel(
        actions.CancelOrder(
            account="main",
            symbol=BTC,
            order_id=stop.order_id,
            is_conditional=stop.is_conditional,
        )
    )
    assert finished.done is True
    assert not list(desk.ledger.open_orders())


# ---------------------------------------------------------------- not believed


@pytest.mark.parametrize("kind", ["reply_null", "reply_empty", "reply_truncated", "reply_html",
                                  "reply_empty_object", "server_error", "reply_nan"])  # fmt: skip
@pytest.mark.parametrize("part", ["positions", "balance"])
async def test_broken_reply_fails_the_whole_snapshot(desk: Desk, kind: str, part: str) -> None:
    # Odd enough to be written with decimals, also in contracts.
    quantity = desk.exchange.instrument(BTC).step * 5101
    desk.hold(BTC, str(quantity))
    desk.ledger.balances["USDT"] = D("100000.5")
    path = desk.venue.positions_path if part == "positions" else desk.venue.balance_path
    desk.strike(kind, path, None)
    with pytest.raises(VenueError):
        await desk.exchange.snapshot()
    desk.server.faults.clear()
    assert (await desk.exchange.snapshot()).positions[0].quantity == quantity


@pytest.mark.parametrize("kind", ["reply_empty_list", "positions_cut"])
async def test_list_that_lost_positions_is_not_believed(desk: Desk, kind: str) -> None:
    desk.hold(ETH, "1", "3000")
    desk.hold(BTC, "-2")
    if kind == "positions_cut":
        desk.server.faults.add(kind, None)
    else:
        desk.strike(kind, desk.venue.positions_path, None)
    with pytest.raises(VenueError):
        await desk.exchange.snapshot()


async def test_broken_orders_leave_them_unknown_and_positions_known(desk: Desk) -> None:
    desk.hold(BTC, "0.5")
    desk.strike("server_error", desk.venue.orders_path, None)
    snapshot = await desk.exchange.snapshot()
    assert snapshot.orders is None
    assert snapshot.positions[0].quantity == D("0.5")


async def test_wrong_secret_is_an_authentication_failure(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        stranger = make_exchange(venue, desk.server, secret="wrong")
        with pytest.raises(VenueError) as caught:
            await stranger.open(())
        await stranger.close()
        assert caught.value.reason is RejectReason.AUTHENTICATION
        assert "wrong" not in str(caught.value)


class HalfListed(BybitServer):
    """In trouble when it is first asked: it lists nothing linear, or does not answer for it."""

    trouble: Reply | None = Reply({"retCode": 0, "retMsg": "OK", "result": {"list": []}})

    async def handle(self, request: Request) -> Reply:
        asked = request.path, request.params.get("category")
        if self.trouble is not None and asked == ("/v5/market/instruments-info", "linear"):
            return self.trouble
        return await super().handle(request)


@pytest.mark.parametrize("answer", ["nothing", "later"])
async def test_instruments_listed_in_part_are_listed_anew(answer: str) -> None:
    # Given a position, and a venue that does not list its instrument when riskbot starts.
    venue = dataclasses.replace(BY_ID["bybit"], server=HalfListed)
    server = venue.server()
    assert isinstance(server, HalfListed)
    if answer == "later":
        server.trouble = Reply({"retCode": 10016, "retMsg": "service restarting"}, status=503)
    clock = Leaping()
    ledger = server.add_account(KEY, SECRET, balance={"USDT": D(100_000)})
    ledger.set_position(venue.ids[BTC], D("0.5"), D(40_000))
    await server.start()
    exchange = make_exchange(venue, server, clock=clock)
    try:
        # Then that is no account without positions, but one that is out of sight,
        with pytest.raises(VenueError):
            await exchange.open(())
        # and once the venue lists it, it is seen.
        server.trouble = None
        clock.ahead_ms += DOUBTED_LIST_MS
        await exchange.open(())
        (position,) = (await exchange.snapshot()).positions
        assert (position.symbol, position.quantity) == (BTC, D("0.5"))
    finally:
        await exchange.close()
        await server.stop()


# ---------------------------------------------------------------- completeness


async def test_pages_are_read_to_the_end() -> None:
    async with open_desk(BY_ID["bybit"]) as desk:
        desk.server.faults.add("positions_paged", None, size=1)
        desk.hold(BTC, "0.5")
        desk.hold(ETH, "3", "3000")
        snapshot = await desk.exchange.snapshot()
        assert {p.symbol: p.quantity for p in snapshot.positions} == {BTC: D("0.5"), ETH: D(3)}


def listing(venue: Venue, count: int) -> Venue:
    """Return the venue with so many more perpetuals, named C000, C001, ..."""

    def serve() -> Any:
        server: Any = venue.server()
        like = server.market.instruments[venue.ids[BTC]]
        for number in range(count):
            base = f"C{number:03d}"
            name = like.id.replace("BTC", base)
            server.market.add(dataclasses.replace(like, id=name, base=base), D(10))
        return server

    return dataclasses.replace(venue, server=serve)


@pytest.mark.parametrize("count", [1, 20, 21, 200, 201])
async def test_positions_are_found_to_the_last_however_many(venue: Venue, count: int) -> None:
    # Pages of venues and of ccxt end at 20, 50, 100 and 200.
    async with open_desk(listing(venue, count)) as desk:
        pattern = venue.ids[BTC]
        for number in range(count):
            name = pattern.replace("BTC", f"C{number:03d}")
            desk.ledger.set_position(name, D(number + 1), D(10), "both")
        found = {p.symbol: p.quantity for p in (await desk.exchange.snapshot()).positions}
        assert found == {f"C{n:03d}/USDT:USDT": D(n + 1) for n in range(count)}


async def test_contract_size_that_changed_under_us_is_not_believed() -> None:
    """Ten times as much in a contract, and the list of instruments read before."""
    async with open_desk(BY_ID["okx"]) as desk:
        desk.hold(BTC, "1")
        assert (await desk.exchange.snapshot()).positions[0].quantity == D(1)
        name = desk.venue.ids[BTC]
        item = desk.server.market.instruments[name]
        changed = dataclasses.replace(item, contract_size=item.contract_size * 10)
        desk.server.market.instruments[name] = changed
        with pytest.raises(VenueError) as caught:
            await desk.exchange.snapshot()
        assert "contract size" in str(caught.value)
        # Nothing of it is taken for flat, or for a tenth: it is BLIND until the two agree again.
        desk.server.market.instruments[name] = item
        assert (await desk.exchange.snapshot()).positions[0].quantity == D(1)


async def test_inverse_quantity_is_face_value_in_quote() -> None:
    async with open_desk(BY_ID["bybit"], markets=("linear", "inverse")) as desk:
        desk.ledger.balances["BTC"] = D(2)
        name = next(
            key for key, item in desk.ledger.instruments.items()
            if item.kind == "inverse" and item.base == "BTC"
        )  # fmt: skip
        desk.ledger.set_position(name, D(-30_000), D(40_000))
        snapshot = await desk.exchange.snapshot()
        (position,) = snapshot.positions
        instrument = desk.exchange.instrument(position.symbol)
        assert instrument.kind is InstrumentKind.INVERSE
        assert position.quantity == D(-30_000)


async def test_accounts_behind_one_address_share_a_budget(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        desk.server.add_account("other", "s2", balance={"USDT": D(5)})
        other = make_exchange(venue, desk.server, key="other", secret="s2")
        assert other.client.budget is desk.exchange.client.budget
        await other.open(())
        assert (await other.snapshot()).balances[0].total == D(5)
        await other.close()
    assert KEY not in repr(other.client.budget.__dict__)
