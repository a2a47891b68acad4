"""The adapter for venues without a file of their own, tried where the truth is known."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from riskbot.clock import SystemClock
from riskbot.core import actions, events
from riskbot.core.model import OrderStatus, OrderType, RejectReason, Side
from riskbot.errors import VenueError
from riskbot.exchanges import _generic
from riskbot.exchanges._base import Credentials
from riskbot.exchanges._client import merged
from riskbot.exchanges.unified import UnifiedExchange
from tests import builders
from tests.exchanges.venues import BTC, KEY, SECRET, VENUES, Desk, Venue, order, query
from tests.fakes import until
from tests.servers.ledger import Order

D = Decimal
# What the venue files would say of accounts and kinds; a user writes it under `ccxt:`.
OPTIONS: dict[str, dict[str, Any]] = {
    "bybit": {"enableUnifiedMargin": False, "enableUnifiedAccount": True, "defaultType": "swap",
              "fetchMarkets": {"types": ["linear"]}},
    "okx": {"fetchMarkets": {"types": ["swap"]}},
    "binanceusdm": {},
}  # fmt: skip


@asynccontextmanager
async def generic_desk(venue: Venue, markets: tuple[str, ...] = ("linear",)) -> AsyncIterator[Desk]:
    server: Any = venue.server()
    ledger = server.add_account(KEY, SECRET, balance={"USDT": D(100_000)})
    await server.start()
    config = merged(
        server.ccxt_config(), {"timeout_on_exit": 0, "options": OPTIONS[venue.exchange_id]}
    )
    exchange = UnifiedExchange(
        "main", venue.exchange_id, Credentials(KEY, SECRET, "passphrase"), config, markets,
        SystemClock(), random.Random(7), lambda: False,
    )  # fmt: skip
    try:
        await exchange.open((BTC,))
        yield Desk(venue, server, ledger, exchange)
    finally:
        await exchange.close()
        await server.stop()


@pytest.fixture(params=VENUES, ids=str)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with generic_desk(request.param) as opened:
        yield opened


async def test_snapshot_is_in_base_units_with_a_sign(desk: Desk) -> None:
    desk.hold(BTC, "-0.5")
    snapshot = await desk.exchange.snapshot()
    (position,) = snapshot.positions
    assert position.quantity == D("-0.5")
    assert position.venue_mark == D(40_000)
    assert {b.asset for b in snapshot.balances} == {"USDT"}
    assert snapshot.orders == ()


async def test_order_is_placed_found_and_canceled(desk: Desk) -> None:
    resting = order(type=OrderType.LIMIT, price=D("30000.07"), quantity=D("0.01999"))
    accepted = await desk.exchange.place(resting)
    assert isinstance(accepted, events.OrderAccepted), accepted
    found = await desk.exchange.find(query(resting))
    assert found.found is True
    assert found.order is not None
    assert (found.order.status, found.order.price) == (OrderStatus.OPEN, D("30000.0"))
    finished = await desk.exchange.cancel(
        actions.CancelOrder(account="main", symbol=BTC, order_id=accepted.order_id)
    )
    assert finished.done is True
    assert not list(desk.ledger.open_orders())


async def test_reduce_only_close_is_never_more_than_the_position(desk: Desk) -> None:
    desk.hold(BTC, "0.01")
    await desk.exchange.place(order(side=Side.SELL, quantity=D("0.05"), reduce_only=True))
    assert desk.held(BTC) == 0


async def test_lost_reply_is_unknown_and_then_found(desk: Desk) -> None:
    desk.server.faults.add("reply_lost", 1, {"order": True})
    placed = order()
    assert isinstance(await desk.exchange.place(placed), events.OrderOutcomeUnknown)
    assert len([r for r in desk.server.requests if r.is_order]) == 1
    if desk.venue.exchange_id == "binanceusdm":
        # Its open and closed lists want a symbol and know no client id in trades.
        return
    assert (await desk.exchange.find(query(placed))).found is True


async def test_insufficient_margin_is_a_refusal_by_class(desk: Desk) -> None:
    desk.server.faults.add("insufficient_margin", 1)
    refused = await desk.exchange.place(order())
    assert isinstance(refused, events.OrderRejected), refused
    # ccxt knows this venue's codes by the address alone, and takes another for a stranger.
    is_known = desk.venue.exchange_id != "binanceusdm"
    expected = RejectReason.INSUFFICIENT_MARGIN if is_known else RejectReason.OTHER
    assert refused.reason is expected


async def test_stream_tells_fills_positions_and_prices(desk: Desk) -> None:
    desk.exchange.watch(frozenset({BTC}))
    task = asyncio.create_task(desk.exchange.stream(desk.seen.append))
    try:
        await until(lambda: desk.of(events.PricesUpdated))
        await asyncio.sleep(0.5)
        for index in range(5):
            placed = order(quantity=D("0.01"), client_order_id=f"rb000000000000010{index}")
            assert isinstance(await desk.exchange.place(placed), events.OrderAccepted)
        await until(lambda: len({e.trade_id for e in desk.of(events.OrderFilled)}) >= 5)
        await until(
            lambda: any(
                p.quantity == D("0.05")
                for e in desk.of(events.PositionsUpdated)
                for p in e.positions
            )
        )
        assert any(e.order.status is OrderStatus.FILLED for e in desk.of(events.OrderUpdated))
        fill = desk.of(events.OrderFilled)[0]
        assert (fill.quantity, fill.side) == (D("0.01"), Side.BUY)
        desk.server.market.set_price(desk.venue.ids[BTC], D("41111"))
        await until(lambda: any(e.mark == 41111 for e in desk.of(events.PricesUpdated)))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# ---------------------------------------------------------------- which wallet, whose order


def bare(markets: tuple[str, ...] = (), **options: Any) -> UnifiedExchange:
    """Build an adapter of a venue with a wallet per kind; nothing is connected."""
    return UnifiedExchange(
        "main", "gate", Credentials("k", "s"), {"options": options} if options else {}, markets,
        SystemClock(), random.Random(7), lambda: False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("markets", "kind", "settled"),
    [
        (("linear",), "swap", "linear"),
        (("inverse",), "swap", "inverse"),
        (("spot", "linear"), "swap", "linear"),
        (("spot",), "spot", None),
        (("option",), "option", None),
        ((), None, None),
    ],
)
def test_configured_kinds_choose_the_wallet(
    markets: tuple[str, ...], kind: str | None, settled: str | None
) -> None:
    exchange = bare(markets)
    options = exchange.client.api.options
    assert (options.get("defaultType"), options.get("defaultSubType")) == (kind, settled)
    said = [note for note in exchange.capabilities.notes if "wallet" in note]
    assert len(said) == (1 if len(markets) > 1 else 0)


def test_option_of_the_user_stands_above_the_kinds() -> None:
    options = bare(("linear",), defaultType="future").client.api.options
    assert (options["defaultType"], options["defaultSubType"]) == ("future", "linear")


async def test_positions_beside_a_wallet_that_nobody_named_are_not_believed() -> None:
    (okx,) = [venue for venue in VENUES if venue.exchange_id == "okx"]
    async with generic_desk(okx, ()) as desk:
        assert (await desk.exchange.snapshot()).positions == ()
        desk.hold(BTC, "0.5")
        with pytest.raises(VenueError, match="say in `markets`"):
            await desk.exchange.snapshot()


@pytest.mark.parametrize(
    ("stated", "ours"),
    [
        ("t-rbmx0s0u8p1", "rbmx0s0u8p1"),
        ("rbmx0s0u8p1", "rbmx0s0u8p1"),
        ("t-grid-7", "t-grid-7"),
        ("", None),
        (None, None),
    ],
)
def test_id_is_ours_whatever_the_venue_wants_before_it(stated: Any, ours: str | None) -> None:
    row = {"symbol": BTC, "id": "1", "side": "buy", "amount": 1, "price": 2}
    marked = row | {"clientOrderId": stated}
    instrument = builders.instrument(BTC)
    assert _generic.order("main", marked, lambda _: instrument).client_order_id == ours
    assert _generic.fill("main", marked, lambda _: instrument).client_order_id == ours


async def test_conditional_entry_is_read_and_canceled_where_ccxt_lists_it(desk: Desk) -> None:
    if desk.venue.exchange_id == "binanceusdm":
        pytest.skip("ccxt wants a symbol for its list")
    waiting = desk.ledger.place(
        Order(desk.venue.ids[BTC], "buy", D("0.3"), stop_price=D(90_000), conditional=True,
              trigger_direction="above", trigger_by="last")
    )  # fmt: skip
    (found,) = (await desk.exchange.snapshot()).orders or ()
    assert (found.order_id, found.is_conditional) == (waiting.id, True)
    cancel = actions.CancelOrder(
        account="main", symbol=BTC, order_id=found.order_id, is_conditional=True
    )
    assert (await desk.exchange.cancel(cancel)).done is True
    assert not list(desk.ledger.open_orders())


async def test_generic_adapter_says_that_it_is_unverified(desk: Desk) -> None:
    assert any("unverified" in note for note in desk.exchange.capabilities.notes)


def book(**sides: Any) -> events.DepthRead | None:
    listed = builders.instrument(contract_value=D("0.01"))
    return _generic.depth("main", BTC, sides, lambda _: listed)


def far(price: float, count: int = 20) -> list[list[float]]:
    """Return levels that are out of reach of a touch at 100."""
    return [[price, 1.0]] * count


def test_depth_counts_what_rests_within_one_percent_of_its_touch() -> None:
    bids = [[100.0, 5.0], [99.5, 7.0], [99.0, 1.0], [98.9, 50.0], *far(90.0)]
    asks = [[100.5, 2.0], [101.0, 3.0], [101.6, 4.0], *far(110.0)]
    found = book(bids=bids, asks=asks)
    assert found is not None
    assert (found.bid_quantity, found.ask_quantity) == (D("0.13"), D("0.05"))


@pytest.mark.parametrize("bids", [[100.0, -1.0], [100.0, float("inf")]])
def test_depth_of_a_side_without_any_is_none(bids: Any) -> None:
    found = book(bids=[bids, *far(90.0)], asks=[[100.0, 1.0], *far(110.0)])
    assert found is not None
    assert (found.bid_quantity, found.ask_quantity) == (0, D("0.01"))


@pytest.mark.parametrize("count", [0, 1, 5, 19])
def test_depth_of_an_excerpt_says_nothing(count: int) -> None:
    whole = [[100.0, 1.0], *far(90.0)]
    assert book(bids=whole[:count], asks=whole) is None
    assert book(bids=whole, asks=whole[:count]) is None


@pytest.mark.parametrize("bids", [[["x", 1]], [[float("nan"), 1]], [[1]], [5], 5])
def test_depth_that_cannot_be_read_is_left_out(bids: Any) -> None:
    rows = bids if isinstance(bids, int) else [*bids, *far(90.0)]
    assert book(bids=rows, asks=far(100.0)) is None
    assert _generic.depth("main", BTC, None, lambda _: builders.instrument()) is None


async def test_margin_goes_by_the_unified_method_where_there_is_one() -> None:
    async with generic_desk(VENUES[0]) as desk:
        sent: list[Any] = []

        async def add(symbol: str, amount: float) -> None:
            sent.append((symbol, amount))

        desk.exchange.client.api.add_margin = add
        assert (await desk.exchange.add_margin(margin())).done is True
        assert sent == [(BTC, 12.5)]
        desk.exchange.client.api.has["addMargin"] = None
        refused = await desk.exchange.add_margin(margin())
        assert (refused.done, refused.message) == (False, "not supported on this venue")
        assert len(sent) == 1


def margin() -> actions.AddMargin:
    return actions.AddMargin(
        account="main",
        symbol=BTC,
        move_id="m1",
        scope="account:main",
        subject=f"main|{BTC}",
        breach_since_ms=1,
        asset="USDT",
        amount=D("12.5"),
        amount_usd=12.5,
        margin_before=D(1),
        pnl_before=D(0),
    )
