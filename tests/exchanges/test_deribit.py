"""What Deribit alone does: equity with what positions are worth, amounts in dollars, labels."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from riskbot.clock import SystemClock
from riskbot.core import actions, events
from riskbot.core.model import InstrumentKind, OrderStatus, OrderType, Side, TimeInForce
from riskbot.errors import VenueError
from riskbot.exchanges import CLASSES
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.deribit import Deribit
from tests.exchanges.venues import KEY, SECRET

D = Decimal
PERPETUAL, OPTION, LINEAR = "BTC/USD:BTC", "BTC/USD:BTC-271229-52000-P", "SOL/USDC:USDC"
QUERY = actions.QueryOrder(account="main", symbol=PERPETUAL, client_order_id="rb0000000000000001")

# As the venue's reference has them, shortened to what is read.
SUMMARY: dict[str, Any] = {
    "currency": "BTC",
    "balance": 302.60065765,
    "equity": 302.61869214,
    "margin_balance": 302.62729214,
    "available_funds": 301.38059622,
    "maintenance_margin": 0.8857841,
    "futures_session_upl": 0.05921555,
    "futures_session_rpl": -0.03258105,
    "options_session_upl": -0.0065,
    "options_session_rpl": 0,
    "options_value": -0.0086,
    "total_pl": -0.33084225,
}
HELD: dict[str, Any] = {
    "average_price": 7440.18,
    "delta": 0.006687487,
    "direction": "buy",
    "estimated_liquidation_price": 1.74,
    "floating_profit_loss": 0,
    "index_price": 7466.79,
    "initial_margin": 0.000197283,
    "instrument_name": "BTC-PERPETUAL",
    "kind": "future",
    "leverage": 34,
    "maintenance_margin": 0.000143783,
    "mark_price": 7476.65,
    "settlement_price": 7476.65,
    "size": 50,
    "size_currency": 0.006687487,
    "total_profit_loss": 0.000032781,
}
WRITTEN: dict[str, Any] = {
    "average_price": 0.0021,
    "delta": -1.01962,
    "direction": "sell",
    "floating_profit_loss": -0.0065,
    "index_price": 7466.79,
    "initial_margin": 1.0,
    "instrument_name": "BTC-29DEC27-52000-P",
    "kind": "option",
    "maintenance_margin": 0.8,
    "mark_price": 0.0086,
    "size": -1.0,
    "total_profit_loss": -0.0065,
}
ORDER: dict[str, Any] = {
    "order_id": "USDC-104138", "instrument_name": "BTC-PERPETUAL", "label": "rb0000000000000001",
    "direction": "sell", "order_type": "stop_market", "order_state": "untriggered",
    "trigger_price": 7000.0, "price": "market_price", "amount": 50.0, "filled_amount": 0.0,
    "reduce_only": True, "creation_timestamp": 1648199543000,
    "last_update_timestamp": 1648199543000,
}  # fmt: skip


def listed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "instrument_name": name, "kind": kind, "base_currency": "BTC", "counter_currency": "USD",
        "settlement_currency": "BTC", "settlement_period": "perpetual", "contract_size": 10.0,
        "tick_size": 0.5, "min_trade_amount": 10.0, "is_active": True, "taker_commission": 0.0005,
        "maker_commission": 0.0, "expiration_timestamp": 32503708800000,
    } | fields  # fmt: skip


INSTRUMENTS = [
    listed("BTC-PERPETUAL", "future"),
    listed(
        "BTC-29DEC27-52000-P",
        "option",
        settlement_period="month",
        contract_size=1.0,
        strike=52000.0,
        option_type="put",
        min_trade_amount=0.1,
        tick_size=0.0005,
        expiration_timestamp=1830067200000,
    ),
    listed(
        "SOL_USDC-PERPETUAL",
        "future",
        base_currency="SOL",
        counter_currency="USDC",
        settlement_currency="USDC",
        contract_size=0.1,
        min_trade_amount=0.1,
    ),
]


class Venue:
    """Answers what the adapter asks, and keeps the questions."""

    def __init__(self) -> None:
        self.summaries: list[dict[str, Any]] = [SUMMARY]
        self.positions: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        query = dict(request.query)
        self.asked.append((name, query))
        found: Any = {
            "get_instruments": INSTRUMENTS,
            "get_currencies": [],
            "get_time": 1_800_000_000_000,
            "get_account_summaries": {"summaries": self.summaries},
            "get_positions": self.positions,
            "get_open_orders": self.orders,
            "get_order_state_by_label": [
                order for order in self.orders if order["label"] == query.get("label")
            ],
            "cancel": ORDER,
        }.get(name)
        if name in {"buy", "sell"}:
            placed = ORDER | {"label": query["label"], "order_state": "open", "direction": name}
            found = {"order": placed | {"order_type": query["type"]}, "trades": []}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": found})


@asynccontextmanager
async def opened(venue: Venue) -> AsyncIterator[Deribit]:
    app = web.Application()
    app.router.add_get("/{path:.*}", venue.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    rest = f"http://127.0.0.1:{runner.addresses[0][1]}"
    exchange = Deribit(
        "main", "deribit", Credentials(KEY, SECRET), {"urls": {"api": {"rest": rest}}}, (),
        SystemClock(), random.Random(7), lambda: False,
    )  # fmt: skip
    try:
        await exchange.open(())
        yield exchange
    finally:
        await exchange.close()
        await runner.cleanup()


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_reference_says_what_equity_is_made_of() -> None:
    s = {name: D(str(amount)) for name, amount in SUMMARY.items() if name != "currency"}
    session = s["futures_session_upl"] + s["futures_session_rpl"]
    assert abs(s["balance"] + session - s["margin_balance"]) <= D("1e-8")
    assert s["margin_balance"] + s["options_value"] == s["equity"]


async def test_what_positions_are_worth_is_counted_once(venue: Venue) -> None:
    venue.positions = [WRITTEN]
    async with opened(venue) as exchange:
        snapshot = await exchange.snapshot()
    (btc,) = snapshot.balances
    (option,) = snapshot.positions
    assert (option.symbol, option.quantity, option.venue_mark) == (OPTION, D("-1.0"), D("0.0086"))
    assert option.venue_mark is not None
    # The wallet, the option at its mark and what futures made in the session: equity, no more.
    whole = btc.total + option.quantity * option.venue_mark + D("0.05921555")
    assert whole == D("302.61869214")


async def test_profit_that_was_settled_is_not_counted_again(venue: Venue) -> None:
    venue.positions = [HELD]
    flat = SUMMARY | {"futures_session_upl": 0, "options_value": 0, "equity": 2.0, "balance": 2.0}
    venue.summaries = [flat, flat | {"currency": "ETH", "equity": 0, "balance": 0}]
    async with opened(venue) as exchange:
        snapshot = await exchange.snapshot()
        instrument = exchange.instrument(PERPETUAL)
    (btc,) = snapshot.balances
    (held,) = snapshot.positions
    assert held.entry_price is not None
    assert held.venue_mark is not None
    made = held.quantity * (1 / held.entry_price - 1 / held.venue_mark)
    assert made == pytest.approx(D("0.000032781"), abs=D("1e-9"))
    assert btc.total + made == pytest.approx(D("2.0"), abs=D("1e-9"))
    # Amounts are dollars, whatever a contract is.
    assert (held.quantity, instrument.contract_value, instrument.step) == (D(50), D(1), D(10))
    assert instrument.kind is InstrumentKind.INVERSE


async def test_short_linear_position_is_in_coins(venue: Venue) -> None:
    venue.positions = [
        HELD | {"instrument_name": "SOL_USDC-PERPETUAL", "direction": "sell", "size": -3.5,
                "size_currency": -3.5, "average_price": 150.0, "mark_price": 140.0,
                "floating_profit_loss": 35.0, "total_profit_loss": 35.0},
    ]  # fmt: skip
    venue.summaries = [
        SUMMARY | {"currency": "USDC", "equity": 1035.0, "futures_session_upl": 35.0,
                   "options_value": 0.0},
    ]  # fmt: skip
    async with opened(venue) as exchange:
        snapshot = await exchange.snapshot()
    (held,) = snapshot.positions
    assert (held.symbol, held.quantity, held.entry_price) == (LINEAR, D("-3.5"), D(150))
    assert [(b.asset, b.total) for b in snapshot.balances] == [("USDC", D(1000))]


async def test_equity_that_nobody_explains_is_not_believed(venue: Venue) -> None:
    old = {name: amount for name, amount in SUMMARY.items() if name != "options_value"}
    venue.summaries = [old | {"balance": 302.61869214, "futures_session_upl": 0}]
    async with opened(venue) as exchange:
        (btc,) = (await exchange.snapshot()).balances
        assert btc.total == D("302.61869214")
        venue.summaries = [old]
        with pytest.raises(VenueError, match="what of its equity positions are worth"):
            await exchange.snapshot()


async def test_orders_of_all_currencies_are_read_with_their_labels(venue: Venue) -> None:
    venue.orders = [ORDER]
    async with opened(venue) as exchange:
        (found,) = (await exchange.snapshot()).orders or ()
        assert (await exchange.find(QUERY)).order == found
        lost = replace(QUERY, client_order_id="rb0000000000000002")
        assert (await exchange.find(lost)).found is False
        told = exchange.translate([exchange.client.api.parse_order(ORDER)])
    assert (found.client_order_id, found.reduce_only) == ("rb0000000000000001", True)
    assert (found.stop_price, found.is_conditional) == (D("7000.0"), True)
    assert told == [events.OrderUpdated(account="main", order=found)]
    assert ("get_open_orders", {}) in venue.asked


async def test_order_carries_its_label_and_its_dollars(venue: Venue) -> None:
    order = actions.PlaceOrder(
        account="main", symbol=PERPETUAL, client_order_id="rb0000000000000007", side=Side.SELL,
        quantity=D(57), type=OrderType.LIMIT, price=D("7400"), reduce_only=True,
        time_in_force=TimeInForce.IOC,
    )  # fmt: skip
    async with opened(venue) as exchange:
        accepted = await exchange.place(order)
        assert isinstance(accepted, events.OrderAccepted), accepted
        assert accepted.status is OrderStatus.OPEN
        done = await exchange.cancel(
            actions.CancelOrder(account="main", symbol=PERPETUAL, order_id=accepted.order_id)
        )
        watched = {watch.method for watch in exchange.account_watches()}
    assert done.done is True
    (sent,) = [query for name, query in venue.asked if name == "sell"]
    assert (sent["label"], sent["amount"]) == ("rb0000000000000007", "50")
    assert (sent["reduce_only"], sent["time_in_force"]) == ("true", "immediate_or_cancel")
    assert "clientOrderId" not in sent
    assert watched == {"watch_orders", "watch_my_trades"}


def test_venue_is_served_by_its_own_file() -> None:
    assert CLASSES["deribit"] is Deribit
