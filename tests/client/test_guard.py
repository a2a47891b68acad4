"""An unmodified ccxt object with the gateway before it: one changed line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt  # type: ignore[import-untyped]
import pytest
from aiohttp import web

from riskbot.client import DeniedError, GatewayAwayError, GatewayRefusedError, guard
from riskbot.client.wish import body_of, fault_of, only_closes
from riskbot.core import events
from tests.fakes import until
from tests.frontends.http.stage import Stage, free_port, stage, token
from tests.servers.binance_client import BTC, Desk, open_desk

GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, limits=GROSS) as made:
        yield made


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as made:
        yield made


def guarded(desk: Desk, door: Stage, **options: Any) -> Any:
    return guard(desk.client, token=token("grid"), account="main", url=door.url, **options)


def placed(desk: Desk) -> list[Any]:
    return list(desk.ledger.orders.values())


async def test_approved_order_goes_out_under_its_approvals_name(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    order = await exchange.create_limit_buy_order(BTC, 0.01, 39_000)
    known = door.runner.engine.state.reservations.find("grid", order["clientOrderId"])
    assert known is not None
    assert (known.quantity, known.price) == (Decimal("0.01"), Decimal(39_000))
    assert len(placed(desk)) == 1


async def test_denied_order_goes_nowhere_and_is_ccxts_own_error(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    with pytest.raises(ccxt.InvalidOrder, match="LIMIT_EXCEEDED") as caught:
        await exchange.create_market_order(BTC, "buy", 3)
    assert isinstance(caught.value, DeniedError)
    assert caught.value.approval.max_quantity == 2
    with pytest.raises(ccxt.InvalidOrder):
        await exchange.createOrder(BTC, "market", "buy", 3)
    assert placed(desk) == []


async def test_smaller_order_is_sent_where_that_is_wanted(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door, allow_resize=True)
    await exchange.create_order(BTC, "limit", "buy", 3, 39_000)
    assert [order.quantity for order in placed(desk)] == [2]


async def test_stop_that_only_closes_passes_unasked(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    await exchange.create_order(BTC, "limit", "buy", 0.1, 40_500)
    asked = len(door.runner.engine.state.reservations.answers)
    params = {"stopLossPrice": 35_000, "reduceOnly": True}
    await exchange.create_order(BTC, "market", "sell", 0.1, None, params)
    assert len(door.runner.engine.state.reservations.answers) == asked


async def test_what_cannot_be_asked_about_is_refused(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    with pytest.raises(ccxt.NotSupported, match="one by one"):
        await exchange.create_orders([])
    with pytest.raises(ccxt.NotSupported, match="by cost"):
        await exchange.create_order(BTC, "market", "buy", 10, None, {"cost": 10})
    assert placed(desk) == []


async def test_figures_are_asked_about_as_ccxt_rounds_them(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    order = await exchange.create_order(BTC, "limit", "buy", 0.1 + 0.2, 39_000.04)
    (sent,) = placed(desk)
    assert (sent.quantity, sent.price) == (Decimal("0.3"), Decimal(39_000))
    known = door.runner.engine.state.reservations.find("grid", order["clientOrderId"])
    assert (known.quantity, known.price) == (Decimal("0.3"), Decimal(39_000))
    with pytest.raises(ccxt.InvalidOrder, match="minimum amount"):
        await exchange.create_order(BTC, "limit", "buy", 1e-9, 39_000)


async def test_order_has_one_name_whatever_the_script_calls_it(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    named = {"newClientOrderId": "mine1"}
    await exchange.create_order(BTC, "limit", "buy", 0.01, 39_000, named)
    (sent,) = placed(desk)
    assert door.runner.engine.state.reservations.find("grid", "mine1").venue_id == sent.client_id


async def test_approval_of_an_order_that_the_venue_refuses_is_given_back(
    desk: Desk, door: Stage
) -> None:
    exchange = guarded(desk, door)
    desk.server.faults.add("insufficient_margin", times=1)
    with pytest.raises(ccxt.ExchangeError, match="Margin"):
        await exchange.create_order(BTC, "limit", "buy", 2, 39_000)
    assert not door.runner.engine.state.reservations.live
    # The room is there again.
    await exchange.create_order(BTC, "limit", "buy", 2, 39_000)


async def test_calls_that_would_go_round_the_guard_are_refused(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    order = await exchange.create_order(BTC, "limit", "buy", 0.01, 39_000)
    with pytest.raises(ccxt.NotSupported, match="use create_order"):
        await exchange.edit_contract_order(order["id"], BTC, "limit", "buy", 9, 39_000)
    with pytest.raises(ccxt.NotSupported, match="use create_order"):
        await exchange.editContractOrder(order["id"], BTC, "limit", "buy", 9, 39_000)
    with pytest.raises(ccxt.NotSupported, match="not guarded"):
        await exchange.create_convert_trade("q1", "USDT", "BTC", 9)
    with pytest.raises(ccxt.NotSupported, match="another order"):
        await exchange.create_order(BTC, "limit", "buy", 0.01, 39_000, {"quantity": "9"})
    with pytest.raises(ccxt.NotSupported, match="another order"):
        await exchange.edit_order(order["id"], BTC, "limit", "buy", 0.01, 39_000, {"quantity": "9"})
    assert [each.quantity for each in placed(desk)] == [Decimal("0.01")]


async def test_edit_that_is_resized_goes_out_as_that(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door, allow_resize=True)
    order = await exchange.create_order(BTC, "limit", "buy", 0.5, 39_000)
    await exchange.edit_order(order["id"], BTC, "limit", "buy", 3, 39_000)
    (sent,) = placed(desk)
    # Until the venue has changed it, the order counts as it was, and as it would be.
    assert sent.quantity == Decimal("1.5")


async def test_nothing_is_sent_while_the_gateway_is_away(desk: Desk) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    exchange = guard(desk.client, token=token("grid"), account="main", url=url)
    with pytest.raises(GatewayAwayError):
        await exchange.create_order(BTC, "market", "buy", 0.01)
    assert placed(desk) == []


async def test_order_that_never_reached_the_gateway_is_known_not_to_be_placed(desk: Desk) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    exchange = guard(desk.client, token=token("grid"), account="main", url=url, mode="submit")
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await exchange.create_order(BTC, "market", "buy", 0.01)


async def test_exit_goes_out_while_the_gateway_cannot_judge_and_an_entry_does_not(
    desk: Desk, door: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = guarded(desk, door)
    desk.ledger.set_position("BTCUSDT", Decimal("0.2"), Decimal(40_000))
    door.venue_answers = False
    # As after a restart, while the venue lets itself be read by nobody.
    door.submit(events.Started(version="test", config_hash="x"))
    await until(lambda: not door.runner.engine.state.is_synced("main"))
    with pytest.raises(ccxt.InvalidOrder, match="BLIND_ACCOUNT"):
        await exchange.create_order(BTC, "market", "buy", 0.1)
    only = {"reduceOnly": True}
    await exchange.create_order(BTC, "market", "sell", 0.1, None, only)
    assert [position.quantity for position in desk.ledger.open_positions()] == [Decimal("0.1")]
    assert "BLIND_ACCOUNT" in caplog.text


async def test_exit_that_riskbot_can_judge_is_denied_as_any_order(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    desk.ledger.set_position("BTCUSDT", Decimal("0.2"), Decimal(40_000))
    with pytest.raises(ccxt.InvalidOrder, match="NOTHING_TO_CLOSE"):
        await exchange.create_order(BTC, "market", "sell", 0.1, None, {"reduceOnly": True})


async def test_refusals_are_ccxts_errors_too(desk: Desk, door: Stage) -> None:
    stranger = guard(desk.client, token="no" * 20, account="main", url=door.url)
    with pytest.raises(ccxt.PermissionDenied) as caught:
        await stranger.create_order(BTC, "market", "buy", 0.01)
    assert isinstance(caught.value, GatewayRefusedError)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ccxt.InvalidOrder), (429, ccxt.ExchangeNotAvailable), (503, ccxt.ExchangeNotAvailable)],
)
async def test_refusal_of_the_gateway_itself_is_no_judgement(
    desk: Desk, status: int, kind: type[Exception]
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "busy", "field": ""}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{all:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    desk.ledger.set_position("BTCUSDT", Decimal("0.2"), Decimal(40_000))
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    exchange = guard(desk.client, token=token("grid"), account="main", url=url)
    try:
        with pytest.raises(kind):
            await exchange.create_order(BTC, "market", "buy", 0.1)
        only = {"reduceOnly": True}
        if status == 400:
            with pytest.raises(kind):
                await exchange.create_order(BTC, "market", "sell", 0.2, None, only)
        else:
            await exchange.create_order(BTC, "market", "sell", 0.2, None, only)
            assert desk.ledger.open_positions() == []
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("answers_at", [2, 9])
async def test_order_that_is_not_answered_is_asked_for_again_under_its_one_name(
    desk: Desk, answers_at: int
) -> None:
    names: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        name = (await request.json())["client_order_id"]
        names.append(name)
        if len(names) < answers_at:
            return web.json_response({"error": "no answer within 10 s"}, status=503)
        order = {
            "client_order_id": name,
            "instrument": BTC,
            "side": "buy",
            "type": "limit",
            "quantity": "0.01",
            "filled": "0",
            "price": "39000",
            "status": "open",
            "created_ms": 1,
        }
        known = {"decision": "approve", "enforced": True, "reasons": [], "max_quantity": None}
        known |= {"client_order_id": name, "reservation_id": "rb1", "expires_at_ms": None}
        return web.json_response({**known, "order": order})

    app = web.Application()
    app.router.add_post("/v1/orders", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    exchange = guard(desk.client, token=token("grid"), account="main", url=url, mode="submit")
    try:
        if answers_at == 2:
            order = await exchange.create_order(BTC, "limit", "buy", 0.01, 39_000)
            assert order["id"] == names[0]
        else:
            with pytest.raises(ccxt.RequestTimeout) as caught:
                await exchange.create_order(BTC, "limit", "buy", 0.01, 39_000)
            assert names[0] in str(caught.value)
    finally:
        await runner.cleanup()
    assert len(set(names)) == 1
    assert len(names) == min(answers_at, 3)


@pytest.mark.parametrize(
    ("market", "side", "params", "closes"),
    [
        ({"contract": True}, "sell", {"reduceOnly": True}, True),
        ({"contract": True}, "buy", {"closePosition": True}, True),
        ({"contract": True}, "sell", {}, False),
        ({"contract": True}, "sell", {"reduceOnly": "false"}, False),
        ({"contract": True}, "sell", {"reduceOnly": "true"}, True),
        ({"spot": True}, "sell", {}, True),
        ({"spot": True}, "buy", {"reduceOnly": True}, False),
        ({"spot": True}, "sell", {"marginMode": "cross"}, False),
        ({"spot": True}, "sell", {"tdMode": "cross"}, False),
        ({"spot": True}, "sell", {"tdMode": "cash"}, True),
        ({"spot": True}, "sell", {"isLeverage": 1}, False),
        # In hedge mode OKX and Bybit go by the leg, whatever `reduceOnly` says.
        ({"contract": True}, "buy", {"reduceOnly": True, "posSide": "long"}, False),
        ({"contract": True}, "sell", {"reduceOnly": True, "posSide": "long"}, True),
        ({"contract": True}, "sell", {"reduceOnly": True, "positionIdx": 2}, False),
        ({}, "sell", {}, False),
    ],
)
def test_what_the_venue_itself_keeps_to_closing(
    market: dict[str, Any], side: str, params: dict[str, Any], closes: bool
) -> None:
    assert only_closes(market, side, params) is closes


@pytest.mark.parametrize(
    "options", [{"defaultMarginMode": "cross"}, {"defaultType": "margin"}, {"defaultMargin": True}]
)
def test_spot_sale_of_an_object_that_borrows_may_open(options: dict[str, Any]) -> None:
    assert not only_closes({"spot": True}, "sell", {}, options)


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({"quoteOrderQty": 50_000}, {}),
        ({"quantity": 10}, {}),
        ({"sz": "10"}, {}),
        ({"side": "sell"}, {}),
        ({"symbol": "ETHUSDT"}, {}),
        ({"tgtCcy": "quote_ccy"}, {}),
        ({"marketUnit": "quoteCoin"}, {}),
        ({"cost": 10}, {}),
        ({"createMarketBuyOrderRequiresPrice": False}, {}),
        ({}, {"createMarketBuyOrderRequiresPrice": False}),
        ({}, {"createOrder": {"createMarketBuyOrderRequiresPrice": False}}),
        ({}, {"tgtCcy": "quote_ccy"}),
    ],
)
def test_what_would_reach_the_venue_as_another_order_is_refused(
    params: dict[str, Any], options: dict[str, Any]
) -> None:
    assert fault_of({"spot": True}, "market", "buy", params, options)
    ordinary = {"timeInForce": "GTC", "postOnly": True, "tgtCcy": "base_ccy", "leverage": 3}
    assert not fault_of({"spot": True}, "market", "buy", ordinary, {})


@pytest.mark.parametrize(
    ("params", "leg"),
    [
        ({"positionSide": "LONG"}, "long"),
        ({"positionSide": "BOTH"}, None),
        ({"posSide": "short"}, "short"),
        ({"posSide": "net"}, None),
        ({"positionIdx": 1}, "long"),
        ({"positionIdx": 0}, None),
    ],
)
def test_position_that_an_order_is_on_is_told_whatever_the_venue_calls_it(
    params: dict[str, Any], leg: str | None
) -> None:
    market = {"symbol": BTC, "contract": True}
    body = body_of("main", market, "market", "buy", Decimal(1), None, params, lambda *_: None)
    assert body["position_side"] == leg


def test_price_of_a_spot_market_buy_binds_for_it_may_make_the_cost() -> None:
    def asked(side: str) -> Any:
        market = {"symbol": "BTC/USDT", "spot": True}
        body = body_of("main", market, "market", side, Decimal(1), 99, {}, lambda *_: None)
        return body["price"]

    assert (asked("buy"), asked("sell")) == (99, None)


async def test_edit_is_checked_and_cancel_passes(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door)
    order = await exchange.create_order(BTC, "limit", "buy", 0.5, 38_000)
    with pytest.raises(ccxt.InvalidOrder):
        await exchange.edit_order(order["id"], BTC, "limit", "buy", 3, 38_000)
    await exchange.edit_order(order["id"], BTC, "limit", "buy", 0.6, 38_000)
    assert [o["amount"] for o in await exchange.fetch_open_orders(BTC)] == [0.6]
    with pytest.raises(ccxt.NotSupported, match="whole amount"):
        await exchange.edit_order(order["id"], BTC, "limit", "buy", None, 38_000)


async def test_submitted_orders_are_riskbots_to_send_and_cancel(desk: Desk, door: Stage) -> None:
    exchange = guarded(desk, door, mode="submit")
    order = await exchange.create_order(BTC, "limit", "buy", 0.5, 39_000)
    assert placed(desk) == []
    assert door.market.sent[0].quantity == Decimal("0.5")
    assert (order["status"], order["amount"]) == ("open", 0.5)
    changed = await exchange.edit_order(order["id"], BTC, "limit", "buy", 0.5, 38_500)
    assert changed["id"] == order["id"]
    assert (await exchange.fetch_order(order["id"], BTC))["id"] == order["id"]
    assert (await exchange.cancel_order(order["id"], BTC))["id"] == order["id"]
    with pytest.raises(ccxt.NotSupported, match="market and limit"):
        await exchange.create_order(BTC, "market", "buy", 0.1, None, {"triggerPrice": 41_000})


async def test_script_that_waits_is_guarded_by_the_same_line(desk: Desk, door: Stage) -> None:
    plain = ccxt.binanceusdm({"apiKey": "key", "secret": "secret", "urls": desk.client.urls})
    exchange = guard(plain, token=token("grid"), account="main", url=door.url)

    def script() -> Any:
        order = exchange.create_limit_buy_order(BTC, 0.01, 39_000)
        with pytest.raises(ccxt.InvalidOrder):
            exchange.create_order(BTC, "market", "buy", 3)
        return order

    order = await asyncio.to_thread(script)
    assert door.runner.engine.state.reservations.find("grid", order["clientOrderId"])
    assert len(placed(desk)) == 1


def script_of_the_docs() -> str:
    text = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if "import ccxt" in block)


@pytest.mark.parametrize("is_guarded", [False, True])
async def test_script_of_the_docs_gains_the_gateway_by_one_line(
    desk: Desk, door: Stage, is_guarded: bool
) -> None:
    lines = script_of_the_docs().splitlines()
    (new,) = [line for line in lines if line.startswith("exchange = guard(")]
    if not is_guarded:
        lines.remove(new)
    settings = {"apiKey": "key", "secret": "secret", "urls": desk.client.urls}
    space = {"SETTINGS": settings, "TOKEN": token("grid"), "URL": door.url}
    await asyncio.to_thread(exec, "\n".join(lines), space)  # as a user would run it
    (sent,) = placed(desk)
    assert (sent.status, sent.quantity) == ("canceled", Decimal("0.01"))
    known = door.runner.engine.state.reservations.find("grid", sent.client_id)
    assert (known is not None) is is_guarded


async def test_script_of_the_docs_is_denied_under_a_halt(desk: Desk, door: Stage) -> None:
    await door.command("halt")
    settings = {"apiKey": "key", "secret": "secret", "urls": desk.client.urls}
    space = {"SETTINGS": settings, "TOKEN": token("grid"), "URL": door.url}
    with pytest.raises(ccxt.InvalidOrder, match="TRADING_STATE"):
        await asyncio.to_thread(exec, script_of_the_docs(), space)
    assert placed(desk) == []
