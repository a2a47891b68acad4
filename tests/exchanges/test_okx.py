"""What OKX alone does: two margin modes in one instrument, programs, bounds and sizes in money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.model import InstrumentKind, OrderStatus, Position, PositionSide, Side
from riskbot.exchanges import okx_algos, okx_frames, okx_rows
from riskbot.exchanges.okx_holdings import Holdings
from tests.exchanges.test_payloads import Names, okx_position
from tests.exchanges.venues import BTC, VENUES, Desk, make_exchange, open_desk, order
from tests.servers.ledger import Order

D = Decimal
NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
LINEAR, INVERSE = InstrumentKind.LINEAR, InstrumentKind.INVERSE
(OKX,) = [venue for venue in VENUES if venue.exchange_id == "okx"]
ONE_CONTRACT = D("0.01")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk(OKX) as opened:
        yield opened


def held(quantity: str, *, side: PositionSide = NET, **changes: Any) -> Position:
    fields: dict[str, Any] = {"entry_price": D(40_000), "liquidation_price": None}
    return Position("main", BTC, side, D(quantity), **(fields | changes))


def told(holdings: Holdings, *positions: Position) -> dict[PositionSide, Decimal]:
    rows = holdings.read((position, LINEAR) for position in positions)
    return {position.side: position.quantity for position in rows}


# ---------------------------------------------------------------- cross and isolated at once


def test_cross_and_isolated_of_one_side_are_one_position() -> None:
    cross = held("1", maintenance_margin=D(160), liquidation_price=D(20_000), leverage=3.0)
    apart = held("0.5", entry_price=D(46_000), maintenance_margin=D(80), is_isolated=True,
                 liquidation_price=D(38_000), leverage=10.0, isolated_margin=D(2000))  # fmt: skip
    (whole,) = Holdings().read([(cross, LINEAR), (apart, LINEAR)])
    assert (whole.side, whole.quantity, whole.entry_price) == (NET, D("1.5"), D(42_000))
    assert (whole.maintenance_margin, whole.is_isolated) == (D(240), False)
    assert (whole.liquidation_price, whole.leverage) == (D(38_000), 10.0)


def test_short_positions_are_liquidated_at_the_lower_of_two_prices() -> None:
    cross = held("-1", liquidation_price=D(60_000))
    apart = held("-1", liquidation_price=D(43_000), is_isolated=True)
    (whole,) = Holdings().read([(cross, LINEAR), (apart, LINEAR)])
    assert (whole.quantity, whole.liquidation_price) == (D(-2), D(43_000))


def test_entry_of_inverse_positions_keeps_the_coins_they_cost() -> None:
    cross, apart = held("40000"), held("40000", entry_price=D(20_000), is_isolated=True)
    (whole,) = Holdings().read([(cross, INVERSE), (apart, INVERSE)])
    assert whole.entry_price is not None
    assert D(80_000) / whole.entry_price == D(3)


def test_what_one_of_them_does_not_state_stays_unknown() -> None:
    cross = held("1", entry_price=None, maintenance_margin=D(160))
    (whole,) = Holdings().read([(cross, LINEAR), (held("1", is_isolated=True), LINEAR)])
    assert (whole.entry_price, whole.maintenance_margin, whole.leverage) == (None, None, None)


def test_opposing_margin_modes_do_not_cancel_each_other_out() -> None:
    sides = told(Holdings(), held("1"), held("-1", is_isolated=True))
    assert sides == {LONG: D(1), SHORT: D(-1)}


def test_frame_of_one_margin_mode_keeps_the_other() -> None:
    names = Names("BTC-USDT-SWAP")
    told(names.holdings, held("1"), held("0.2", is_isolated=True))
    frame = {"arg": {"channel": "positions"}, "data": [okx_position(pos="50")]}
    (found,) = okx_frames.decode(names, frame) or []
    assert isinstance(found, events.PositionsUpdated)
    assert [position.quantity for position in found.positions] == [D("0.7")]


def test_frames_tell_when_two_modes_begin_and_cease_to_oppose() -> None:
    holdings = Holdings()
    told(holdings, held("1"))
    turned = holdings.pushed(held("-0.4", is_isolated=True), LINEAR)
    assert {p.side: p.quantity for p in turned} == {LONG: D(1), SHORT: D("-0.4"), NET: D(0)}
    alone = holdings.pushed(held("0", is_isolated=True), LINEAR)
    assert {p.side: p.quantity for p in alone} == {NET: D(1), LONG: D(0), SHORT: D(0)}
    (closed,) = holdings.pushed(held("0"), LINEAR)
    assert (closed.side, closed.quantity) == (NET, D(0))
    (again,) = holdings.pushed(held("0"), LINEAR)
    assert again.quantity == 0


def closing(side: Side = Side.SELL, quantity: str = "1.2", **changes: Any) -> actions.PlaceOrder:
    return order(side=side, quantity=D(quantity), reduce_only=True, **changes)


def test_order_meets_the_larger_of_two_positions_and_no_more() -> None:
    holdings = Holdings()
    told(holdings, held("0.2"), held("1", is_isolated=True))
    aimed = holdings.aim(closing(), ONE_CONTRACT, is_hedge_mode=False)
    assert aimed == {"tdMode": "isolated", "reduceOnly": True, "sz": "100"}
    holdings.pushed(held("0", is_isolated=True), LINEAR)
    rest = holdings.aim(closing(quantity="0.2"), ONE_CONTRACT, is_hedge_mode=False)
    assert rest == {"tdMode": "cross", "reduceOnly": True}


def test_order_on_one_of_two_opposing_positions_names_its_mode_and_no_side() -> None:
    holdings = Holdings()
    told(holdings, held("1"), held("-0.4", is_isolated=True))
    short = closing(Side.BUY, "0.4", position_side=SHORT, is_hedge_mode=True)
    aimed = holdings.aim(short, ONE_CONTRACT, is_hedge_mode=False)
    assert aimed == {"tdMode": "isolated", "reduceOnly": True}


def test_order_in_hedge_mode_names_its_side() -> None:
    holdings = Holdings()
    told(holdings, held("1", side=LONG, is_isolated=True))
    leg = closing(position_side=LONG)
    assert holdings.aim(leg, ONE_CONTRACT, is_hedge_mode=False) == {
        "tdMode": "isolated",
        "posSide": "long",
    }
    opening = order(position_side=SHORT, side=Side.SELL, is_hedge_mode=True)
    assert holdings.aim(opening, ONE_CONTRACT, is_hedge_mode=True) == {
        "tdMode": "cross",
        "posSide": "short",
    }


async def test_sides_show_hedge_mode_where_the_venue_does_not_tell_it(desk: Desk) -> None:
    desk.ledger.hedge_mode = True
    desk.strike("error", "/api/v5/account/config", None, code=404, status=404)
    desk.hold(BTC, "0.5", side="long")
    fresh = make_exchange(OKX, desk.server)
    await fresh.open((BTC,))
    assert (await fresh.snapshot()).is_hedge_mode is True
    await fresh.close()


# ---------------------------------------------------------------- programs


def program(desk: Desk, kind: str) -> Order:
    resting = Order(
        desk.venue.ids[BTC],
        "buy",
        D("0.3"),
        stop_price=D(90_000),
        conditional=True,
        trigger_direction="above",
        meta={"ordType": kind},
    )
    return desk.ledger.place(resting)


@pytest.mark.parametrize("kind", ["iceberg", "twap", "chase"])
async def test_program_that_places_orders_is_a_working_entry(desk: Desk, kind: str) -> None:
    resting = program(desk, kind)
    (found,) = (await desk.exchange.snapshot()).orders or ()
    assert (found.order_id, found.side, found.quantity) == (resting.id, Side.BUY, D("0.3"))
    assert (found.reduce_only, found.is_conditional) == (False, True)
    cancel = actions.CancelOrder(
        account="main", symbol=BTC, order_id=found.order_id, is_conditional=True
    )
    assert (await desk.exchange.cancel(cancel)).done is True
    assert not list(desk.ledger.open_orders())


async def test_orders_are_known_where_the_venue_has_no_programs(desk: Desk) -> None:
    desk.server.faults.add(
        "error", None, {"path": "orders-algo-pending", "type": "twap"}, code="51000", status=400
    )
    program(desk, "trigger")
    assert len((await desk.exchange.snapshot()).orders or ()) == 1


@pytest.mark.parametrize("channel", ["orders-algo", "algo-advance"])
def test_conditional_order_is_told_by_either_channel(channel: str) -> None:
    row = {"instId": "BTC-USDT-SWAP", "algoId": "581878926302093312", "ordType": "twap",
           "side": "buy", "posSide": "net", "sz": "100", "szLimit": "1", "pxLimit": "70000",
           "state": "canceled", "reduceOnly": "false", "cTime": "1684999999999"}  # fmt: skip
    (found,) = okx_frames.decode(
        Names("BTC-USDT-SWAP"), {"arg": {"channel": channel}, "data": [row]}
    ) or [None]
    assert isinstance(found, events.OrderUpdated)
    assert (found.order.quantity, found.order.status) == (D(1), OrderStatus.CANCELED)


# ---------------------------------------------------------------- bounds and sizes


async def test_market_order_is_bounded_by_the_venues_own_figure(desk: Desk) -> None:
    info = desk.exchange.client.api.markets[BTC]["info"]
    assert D(info["maxMktSz"]) < D(info["maxLmtSz"])
    bound = desk.exchange.instrument(BTC).max_market_quantity
    assert bound == D(info["maxMktSz"]) * ONE_CONTRACT


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({"tgtCcy": "quote_ccy", "avgPx": "40000", "accFillSz": "0.05"}, "0.1"),
        ({"tgtCcy": "quote_ccy", "avgPx": "", "accFillSz": "0"}, "0"),
        ({"tgtCcy": "base_ccy", "sz": "0.1"}, "0.1"),
    ],
)
def test_spot_order_sized_in_money_is_no_amount_of_coins(
    changes: dict[str, str], quantity: str
) -> None:
    row = {"instId": "BTC-USDT", "ordId": "1", "side": "buy", "ordType": "market", "sz": "4000",
           "state": "live"} | changes  # fmt: skip
    found = okx_rows.order("main", Names("BTC-USDT").instrument("BTC/USDT"), row)
    assert found.quantity == D(quantity)


def test_spot_trigger_sized_in_money_counts_at_its_price() -> None:
    row = {"instId": "BTC-USDT", "algoId": "1", "side": "buy", "ordType": "trigger", "sz": "4000",
           "tgtCcy": "quote_ccy", "triggerPx": "50000", "ordPx": "-1", "state": "live"}  # fmt: skip
    found = okx_algos.algo_order("main", Names("BTC-USDT").instrument("BTC/USDT"), row)
    assert (found.quantity, found.stop_price) == (D("0.08"), D(50_000))
