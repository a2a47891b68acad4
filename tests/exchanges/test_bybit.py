"""What Bybit alone does: addresses in part, sockets by category, bounds, endpoints left out."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from riskbot.clock import SystemClock
from riskbot.core import events
from riskbot.exchanges import bybit_urls
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.bybit import Bybit
from tests.exchanges.venues import BTC, VENUES, Desk, open_desk, order, query

D = Decimal
(BYBIT,) = [venue for venue in VENUES if venue.exchange_id == "bybit"]
OWN = "127.0.0.1:9001"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk(BYBIT, markets=("spot", "linear", "inverse")) as opened:
        yield opened


# ---------------------------------------------------------------- addresses


def sockets(api: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bybit_urls.completed({"urls": {"api": api}})["urls"]["api"]["ws"]
    return found


def test_sockets_given_in_part_are_completed_on_the_same_server() -> None:
    found = sockets({"ws": {"public": {"linear": f"ws://{OWN}/v5/public/linear"}}})
    assert found["public"]["spot"] == f"ws://{OWN}/v5/public/spot"
    assert found["public"]["linear"] == f"ws://{OWN}/v5/public/linear"
    assert found["private"]["contract"] == f"ws://{OWN}/v5/private"


def test_login_given_alone_takes_the_public_sockets_with_it() -> None:
    found = sockets({"ws": {"private": {"contract": "ws://127.0.0.1:7/x/v5/private"}}})
    assert found["public"]["inverse"] == "ws://127.0.0.1:7/x/v5/public/inverse"


def test_sockets_on_ports_of_their_own_stay_apart() -> None:
    given = {"public": {"linear": "ws://127.0.0.1:1/v5/public/linear"},
             "private": {"contract": "ws://127.0.0.1:2/v5/private"}}  # fmt: skip
    found = sockets({"ws": given})
    assert found["public"]["spot"] == "ws://127.0.0.1:1/v5/public/spot"
    assert found["private"]["usdc"] == "ws://127.0.0.1:2/v5/private"


@pytest.mark.parametrize(
    ("rest", "base"),
    [("http://127.0.0.1:9001", "ws://127.0.0.1:9001"), ("https://localhost:9", "wss://localhost:9"),
     ("http://[::1]:8", "ws://[::1]:8")],
)  # fmt: skip
def test_server_of_ones_own_is_asked_for_its_sockets_too(rest: str, base: str) -> None:
    found = sockets({"private": rest})
    assert found["private"]["contract"] == f"{base}/v5/private"
    assert found["public"]["linear"] == f"{base}/v5/public/linear"


def test_login_goes_to_the_server_that_is_configured() -> None:
    made = adapter({"linear": f"ws://{OWN}/v5/public/linear"})
    sockets = made.client.api.urls["api"]["ws"]
    assert sockets["private"]["contract"] == f"ws://{OWN}/v5/private"
    assert sockets["public"]["spot"] == f"ws://{OWN}/v5/public/spot"


def test_addresses_that_say_nothing_of_sockets_leave_them_alone() -> None:
    assert sockets({"private": "https://proxy.example/bybit"}) == {}
    assert sockets({"ws": {"public": "ws://odd"}}) == {"public": "ws://odd"}
    for config in ({}, {"urls": {}}, {"hostname": "bytick.com"}):
        assert bybit_urls.completed(config) == config


def test_private_requests_moved_alone_take_the_public_ones_with_them() -> None:
    done = bybit_urls.completed({"urls": {"api": {"private": "https://api.example"}}})
    assert done["urls"]["api"]["public"] == "https://api.example"


# ---------------------------------------------------------------- sockets


def adapter(public: dict[str, str]) -> Bybit:
    urls = {"api": {"private": f"http://{OWN}", "ws": {"public": public}}}
    return Bybit("main", "bybit", Credentials(api_key="key", api_secret="secret"), {"urls": urls},
                 (), SystemClock(), random.Random(7), lambda: False)  # fmt: skip


def test_spot_and_contract_tickers_of_one_name_are_told_apart_by_their_socket(desk: Desk) -> None:
    # What the row names besides is optional: neither usdIndexPrice nor markPrice need be there.
    frame = {"topic": "tickers.BTCUSDT", "type": "snapshot", "ts": 1_673_853_746_003, "cs": 1,
             "data": {"symbol": "BTCUSDT", "lastPrice": "40001"}}  # fmt: skip
    urls = desk.exchange.client.api.urls["api"]["ws"]["public"]
    symbols = []
    for category in ("spot", "linear"):
        (price,) = desk.exchange.decode(frame, urls[category]) or []
        assert isinstance(price, events.PricesUpdated)
        symbols.append(price.symbol)
    assert symbols == ["BTC/USDT", BTC]


def test_socket_of_several_categories_says_nothing_of_one() -> None:
    one = f"ws://{OWN}/all"
    made = adapter({"spot": one, "linear": one, "inverse": f"ws://{OWN}/coin"})
    found = bybit_urls.categories(made.client.api)
    assert (found[one], found[f"ws://{OWN}/coin"]) == ("", "inverse")
    assert made.decode({"op": "pong"}, "ws://elsewhere") is None


# ---------------------------------------------------------------- bounds, endpoints


def test_market_order_is_bounded_by_the_venues_own_figure(desk: Desk) -> None:
    for symbol, name in ((BTC, "maxMktOrderQty"), ("BTC/USDT", "maxMarketOrderQty")):
        lots = desk.exchange.client.api.markets[symbol]["info"]["lotSizeFilter"]
        assert D(lots[name]) < D(lots["maxOrderQty"])
        assert desk.exchange.instrument(symbol).max_market_quantity == D(lots[name])


async def test_order_is_found_or_not_where_a_server_has_no_history(desk: Desk) -> None:
    for path in ("/v5/order/history", "/v5/execution/list"):
        desk.strike("error", path, None, code=10001, status=200)
    missing = order(client_order_id="rb00000000000000zz")
    assert (await desk.exchange.find(query(missing))).found is False
    desk.strike("error", "/v5/order/realtime", None, code=10001, status=200)
    assert (await desk.exchange.find(query(missing))).found is None
