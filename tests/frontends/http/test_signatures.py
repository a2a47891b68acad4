"""A strategy that signs: its token alone opens nothing, and nothing is taken twice."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from riskbot.client import AsyncClient, Client, GatewayRefusedError
from riskbot.frontends._gateway import signatures
from riskbot.frontends._gateway.signatures import Signatures, Signed, canonical
from tests.fakes import FakeClock
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import Stage, stage, token

SECRET = "a-secret-of-thirty-two-characters"
BTC = "BTC/USDT:USDT"


@pytest.fixture
async def signing(tmp_path: Path) -> AsyncIterator[Stage]:
    """Open a gateway whose strategy `grid` signs, some time after its start."""
    strategies = {
        "grid": {"token": token("grid"), "accounts": ["main"], "hmac_secret": SECRET},
        "trend": {"token": token("trend"), "accounts": ["main"]},
    }
    async with stage(tmp_path, limits=GROSS, gateway={"strategies": strategies}) as made:
        made.http.gateway.logins._signatures._started_ms -= 60_000  # type: ignore[union-attr]  # noqa: SLF001 - the wait
        yield made


async def every_call(client: Any) -> None:
    approval = await client.check("main", BTC, "buy", "0.1")
    await client.cancel(approval.client_order_id)
    await client.submit("main", BTC, "buy", "0.1", "40000", client_order_id="mine")
    await client.amend("mine", price="40001")
    await client.order("mine")
    await client.size(BTC, "main", stop=40_000)
    await client.status()


async def test_client_with_the_secret_does_all_and_one_without_nothing(signing: Stage) -> None:
    socket = f"unix:{signing.config.gateway_path}"
    async with AsyncClient(token("grid"), signing.url, hmac_secret=SECRET) as client:
        await every_call(client)
    async with AsyncClient(token("grid"), socket, hmac_secret=SECRET) as client:
        assert (await client.status())["mode"] == "enforce"
    with Client(token("grid"), socket, hmac_secret=SECRET) as plain:
        assert (await asyncio.to_thread(plain.size, BTC))["buy"]
    for secret in (None, SECRET + "x"):
        async with AsyncClient(token("grid"), signing.url, hmac_secret=secret) as client:
            with pytest.raises(GatewayRefusedError) as caught:
                await client.check("main", BTC, "buy", "0.1")
            assert caught.value.status == 401
    async with AsyncClient(token("trend"), signing.url) as client:
        assert (await client.check("main", BTC, "buy", "0.1")).passes
    rows = str(await signing.journal.decisions())
    assert "the signature does not match" in rows
    assert SECRET not in rows


async def test_request_that_was_overheard_opens_nothing(signing: Stage) -> None:
    body = b'{"quantity":"0.04"}'
    told = Signed("PATCH", "/v1/orders/x", body, str(signing.clock.now_ms()), "n" * 16, "")
    headers = {
        "X-Riskbot-Timestamp": told.ts,
        "X-Riskbot-Nonce": told.nonce,
        "X-Riskbot-Signature": signed(told).signature,
    }

    async def asked(method: str, path: str, text: bytes) -> int:
        return (await signing.ask(method, path, text, headers=headers)).status

    # Another body, another path, another method, and then the very same: once.
    assert await asked("PATCH", "/v1/orders/x", b'{"quantity":"0.05"}') == 401
    assert await asked("PATCH", "/v1/orders/y", body) == 401
    assert await asked("PATCH", "/v1/orders/x?a=1", body) == 401
    assert await asked("POST", "/v1/orders/x", body) == 405
    assert await asked("PATCH", "/v1/orders/x", body) == 404
    assert await asked("PATCH", "/v1/orders/x", body) == 401


def signed(told: Signed, secret: str = SECRET) -> Signed:
    digest = hmac.new(secret.encode(), canonical(told), hashlib.sha256).hexdigest()
    return replace(told, signature=digest)


def fault(kept: Signatures, ts_ms: int, word: str = "n" * 16, **fields: str) -> str:
    told = signed(Signed("GET", "/v1/status", b"", str(ts_ms), word, ""))
    return kept.fault("grid", SECRET.encode(), replace(told, **fields))


async def test_window_start_and_nonces() -> None:
    clock = FakeClock(1_000_000)
    kept = Signatures(clock)
    await clock.advance(100_000)
    now_ms = clock.now_ms()
    assert fault(kept, now_ms - signatures.WINDOW_MS) == ""
    assert "used already" in fault(kept, now_ms)
    assert fault(kept, now_ms + signatures.AHEAD_MS, "a" * 16) == ""
    for ts_ms in (now_ms - signatures.WINDOW_MS - 1, now_ms + signatures.AHEAD_MS + 1):
        assert "signed" in fault(kept, ts_ms, "b" * 16)
    # A nonce may come again when its first signature is too old anyway, and no sooner.
    await clock.advance(1)
    assert fault(kept, clock.now_ms()) == ""
    for name, value in (("ts", "now"), ("ts", "-1"), ("nonce", "short"), ("signature", "A" * 64)):
        assert fault(kept, clock.now_ms(), "c" * 16, **{name: value})
    again = Signatures(clock)
    # After a start nothing passes that a run before may have seen.
    assert "started" in fault(again, clock.now_ms(), "d" * 16)
    await clock.advance(signatures.AHEAD_MS)
    assert "started" in fault(again, clock.now_ms(), "d" * 16)
    await clock.advance(1)
    assert fault(again, clock.now_ms(), "d" * 16) == ""


async def test_nonces_are_bounded_and_make_room_with_time() -> None:
    clock = FakeClock(1_000_000)
    kept = Signatures(clock)
    await clock.advance(60_000)
    for number in range(signatures.NONCES_MAX):
        assert fault(kept, clock.now_ms(), f"{number:016}") == ""
    assert "too many" in fault(kept, clock.now_ms(), "x" * 16)
    await clock.advance(signatures.WINDOW_MS + 1)
    assert fault(kept, clock.now_ms(), "x" * 16) == ""


def test_signature_is_the_one_in_the_documentation() -> None:
    told = Signed(
        "POST",
        "/v1/orders/check",
        b'{"account":"main"}',
        "1700000000000",
        "0123456789abcdef",
        "",
    )
    page = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()
    assert signed(told).signature in page
