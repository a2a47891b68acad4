"""Addresses a user gives in part: every version of an endpoint stays on the user's server."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from riskbot.clock import SystemClock
from riskbot.exchanges import exchange_class
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.binance_urls import completed
from tests.exchanges.venues import BTC, KEY, SECRET, VENUES, make_exchange, open_desk

BINANCE = VENUES[0]
HERE = "http://127.0.0.1:9/proxy"


def api(**urls: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(completed({"urls": {"api": urls}})["urls"]["api"])
    return found


def test_every_version_follows_the_one_that_is_given() -> None:
    assert api(fapiPublic=f"{HERE}/fapi/v1", fapiPrivateV2=f"{HERE}/fapi/v2/") == {
        "fapiPublic": f"{HERE}/fapi/v1",
        "fapiPublicV2": f"{HERE}/fapi/v2",
        "fapiPublicV3": f"{HERE}/fapi/v3",
        "fapiPrivate": f"{HERE}/fapi/v1",
        "fapiPrivateV2": f"{HERE}/fapi/v2/",
        "fapiPrivateV3": f"{HERE}/fapi/v3",
    }


def test_addresses_that_are_given_or_name_no_version_stay() -> None:
    given = {"fapiPrivate": f"{HERE}/a/v1", "fapiPrivateV2": "x/v2", "fapiPrivateV3": "y/v3"}
    assert api(**given) == given
    assert api(fapiPrivate=HERE, sapi=None) == {"fapiPrivate": HERE, "sapi": None}


@pytest.mark.parametrize("config", [{}, {"urls": {}}, {"urls": None}, {"urls": {"api": HERE}}])
def test_configuration_without_addresses_stays(config: dict[str, Any]) -> None:
    assert completed(config) == config


def test_sockets_may_have_their_old_names() -> None:
    socket = "ws://127.0.0.1:9/ws"
    found = api(ws={"future": socket, "ws-api": {"delivery": "ws://other"}})["ws"]
    assert found == {
        "future": socket,
        "linear": socket,
        "ws-api": {"delivery": "ws://other", "inverse": "ws://other"},
    }
    assert api(ws={"future": socket, "linear": "ws://new"})["ws"]["linear"] == "ws://new"
    assert api(ws="ws://one")["ws"] == "ws://one"


async def test_account_is_read_where_only_the_first_version_is_configured() -> None:
    async with open_desk(BINANCE) as desk:
        desk.hold(BTC, "0.5")
        urls = desk.server.ccxt_config()["urls"]["api"]
        few = {name: urls[name] for name in ("fapiPublic", "fapiPrivate", "ws")}
        exchange = exchange_class("binanceusdm")(
            "main",
            "binanceusdm",
            Credentials(api_key=KEY, api_secret=SECRET),
            {"urls": {"api": few}},
            (),
            SystemClock(),
            random.Random(7),
            lambda: False,
        )
        try:
            await exchange.open((BTC,))
            (position,) = (await exchange.snapshot()).positions
        finally:
            await exchange.close()
        assert position.quantity == Decimal("0.5")


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_version_the_server_lacks_is_asked_for_once(status: int) -> None:
    async with open_desk(BINANCE) as desk:
        newest = ("/fapi/v3/account", "/fapi/v3/positionRisk")
        for path in newest:
            desk.server.faults.add("error", None, {"path": path}, code=-5000, status=status)
        exchange = make_exchange(BINANCE, desk.server)
        desk.server.requests.clear()
        try:
            await exchange.open((BTC,))
            for _ in range(3):
                await exchange.snapshot()
        finally:
            await exchange.close()
        assert sorted(r.path for r in desk.server.requests if r.path in newest) == list(newest)
