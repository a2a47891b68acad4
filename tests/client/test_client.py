"""The client before the real door: asked, answered, and closed where no answer comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.client import (
    Approval,
    AsyncClient,
    Client,
    GatewayAwayError,
    GatewayRefusedError,
)
from tests.frontends.http.stage import Stage, free_port, stage, token

GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}
BTC = "BTC/USDT:USDT"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, limits=GROSS) as made:
        yield made


@pytest.fixture(params=["waits", "is awaited", "unix"])
async def client(request: pytest.FixtureRequest, door: Stage) -> AsyncIterator[Any]:
    """Return a client whose calls are awaited, whichever it is."""
    url = door.url
    if request.param == "unix":
        url = f"unix:{door.config.state_dir / 'gateway.sock'}"
    if request.param == "is awaited":
        async with AsyncClient(token("grid"), url) as made:
            yield made
        return

    class Threaded:
        def __init__(self) -> None:
            self.plain = Client(token("grid"), url)

        def __getattr__(self, name: str) -> Any:
            call = getattr(self.plain, name)
            return lambda *args, **fields: asyncio.to_thread(call, *args, **fields)

    threaded = Threaded()
    yield threaded
    threaded.plain.close()


async def test_order_is_checked_denied_with_all_reasons_and_resized(client: Any) -> None:
    approval = await client.check("main", BTC, "buy", "1.5", stop_loss="45000")
    assert (approval.decision, approval.quantity, approval.passes) == (
        "approve",
        Decimal("1.5"),
        True,
    )
    denied = await client.check("main", BTC, "buy", 1)
    assert (denied.passes, denied.quantity, denied.max_quantity) == (
        False,
        Decimal(0),
        Decimal("0.5"),
    )
    assert denied.codes == ("LIMIT_EXCEEDED",)
    less = await client.check("main", BTC, "buy", 1, allow_resize=True)
    assert (less.decision, less.quantity) == ("resize", Decimal("0.5"))
    assert (await client.cancel(less.client_order_id))["status"] == "canceled"


async def test_order_is_submitted_followed_amended_and_canceled(door: Stage, client: Any) -> None:
    approval = await client.submit("main", BTC, "buy", "0.5", "49000", client_order_id="mine")
    assert approval.client_order_id == "mine"
    assert (await client.order("mine"))["quantity"] == "0.5"
    again = await client.submit("main", BTC, "buy", "0.5", "49000", client_order_id="mine")
    assert again.reservation_id == approval.reservation_id
    assert len(door.market.sent) == 1
    assert (await client.amend("mine", price="48000"))["decision"] == "approve"
    assert (await client.cancel("mine"))["client_order_id"] == "mine"


async def test_what_may_be_traded_and_how_things_are(client: Any) -> None:
    assert (await client.size("BTC"))["buy"]["quantity"] == "2.00"
    assert (await client.status())["mode"] == "enforce"


async def test_request_that_is_wrong_names_its_field(client: Any) -> None:
    with pytest.raises(GatewayRefusedError) as caught:
        await client.check("main", BTC, "buy", "-1")
    assert (caught.value.status, caught.value.field) == (400, "quantity")
    with pytest.raises(GatewayRefusedError) as unknown:
        await client.order("nothing")
    assert unknown.value.status == 404


async def test_gateway_that_is_away_approves_nothing() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(GatewayAwayError):
        Client(token("grid"), url).check("main", BTC, "buy", 1)
    async with AsyncClient(token("grid"), url) as client:
        with pytest.raises(GatewayAwayError):
            await client.check("main", BTC, "buy", 1)


async def test_gateway_that_hangs_or_babbles_approves_nothing() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(GatewayAwayError):
            await asyncio.to_thread(Client(token("grid"), url).check, "main", BTC, "buy", 1)
        async with AsyncClient(token("grid"), url) as client:
            with pytest.raises(GatewayAwayError):
                await client.check("main", BTC, "buy", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(GatewayAwayError):
            await asyncio.to_thread(
                Client(token("grid"), url, timeout_s=0.2).check, "main", BTC, "buy", 1
            )
        async with AsyncClient(token("grid"), url, timeout_s=0.2) as client:
            with pytest.raises(GatewayAwayError):
                await client.check("main", BTC, "buy", 1)


async def test_connection_that_idled_out_is_opened_anew(door: Stage) -> None:
    with Client(token("grid"), door.url) as client:
        first = await asyncio.to_thread(client.check, "main", BTC, "buy", "0.1")
        assert client._connection is not None  # noqa: SLF001 - what a router does to idle ones
        client._connection.sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - likewise
        second = await asyncio.to_thread(client.check, "main", BTC, "buy", "0.1")
    assert first.passes
    assert second.passes


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"decision": "yes"},
        {"decision": "resize", "enforced": True, "order": None},
        {"decision": "approve", "enforced": True, "order": None, "max_quantity": "much"},
    ],
)
def test_answer_that_cannot_be_read_is_no_approval(document: dict[str, Any]) -> None:
    with pytest.raises(GatewayAwayError):
        Approval.read(document, Decimal(1))


def test_shadow_lets_pass_what_it_would_deny() -> None:
    answer = {
        "decision": "deny",
        "enforced": False,
        "reasons": [],
        "max_quantity": "0",
        "client_order_id": None,
        "reservation_id": None,
        "expires_at_ms": None,
        "order": None,
    }
    approval = Approval.read(answer, Decimal(2))
    assert (approval.passes, approval.quantity) == (True, Decimal(2))
