"""A strategy that knows nothing of riskbot but its OpenAPI document, from its first order on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from tests.frontends.http.stage import free_port
from tests.scenarios.daemon import Daemon, alert_of, guarded
from tests.scenarios.seats import BINANCE, BTC, ETH, Seat

TOKEN = hashlib.sha256(b"stranger").hexdigest()
GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}
ORDERS = {"orders": {"max_trade": "off", "max_trade_risk": "off", "price_collar": 0.03}}

# What it looks for, in the document's own words.
SEND, SHOW = "Check this order and send it.", "How an order stands."
ACCOUNT, INSTRUMENT = "name of the account in riskbot's configuration", "ccxt unified symbol"
QUANTITY, PRICE, CLOSES = (
    "in base units, above 0",
    "of a limit order, quote units",
    "it may only close",
)
SMALLER = "a smaller order will do"


@dataclass
class Stranger:
    """A strategy in any language: a URL, a token, and what the document says.

    Attributes:
        url: of riskbot.
        contract: the document, as it was served.
    """

    session: aiohttp.ClientSession
    url: str
    contract: dict[str, Any]

    @classmethod
    async def arrive(cls, session: aiohttp.ClientSession, url: str) -> Stranger:
        async with session.get(f"{url}/v1/openapi.json") as answer:
            assert answer.status == 200
            return cls(session, url, await answer.json())

    def route(self, summary: str) -> tuple[str, str, dict[str, Any]]:
        """Return method, path and description of what does something."""
        found = [
            (method, path, operation)
            for path, operations in self.contract["paths"].items()
            for method, operation in operations.items()
            if isinstance(operation, dict) and operation.get("summary") == summary
        ]
        assert len(found) == 1, summary
        return found[0]

    def schema(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return what a body or an answer looks like."""
        name = content["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        found: dict[str, Any] = self.contract["components"]["schemas"][name]
        return found

    async def order(self, **wish: Any) -> dict[str, Any]:
        """Send an order; the wish's names are titles, or descriptions, of the document."""
        method, path, operation = self.route(SEND)
        fields = self.schema(operation["requestBody"])["properties"]
        named = {row.get("description", row["title"]): name for name, row in fields.items()}
        body = {named[word]: value for word, value in wish.items()}
        return await self.ask(method, path, operation, body)

    async def show(self, name: str) -> dict[str, Any]:
        """Return how an order stands."""
        method, path, operation = self.route(SHOW)
        return await self.ask(method, path.format(client_order_id=name), operation)

    async def ask(
        self, method: str, path: str, operation: dict[str, Any], body: Any = None
    ) -> dict[str, Any]:
        """Return an answer that is what the document says it is."""
        async with self.session.request(method, self.url + path, json=body) as answer:
            document: dict[str, Any] = await answer.json()
            assert answer.status == 200, document
        promised = self.schema(operation["responses"]["200"])
        assert set(promised["required"]) <= set(document) <= set(promised["properties"])
        return document

    def codes(self, answer: dict[str, Any]) -> set[str]:
        """Return the reasons, each as the document describes one."""
        reason = self.contract["components"]["schemas"]["Reason"]
        assert all(set(row) == set(reason["properties"]) for row in answer["reasons"])
        return {row["code"] for row in answer["reasons"]}


async def found_out(daemon: Daemon, seat: Seat, price: Decimal) -> None:
    """Rest an order past the gateway, and wait until it alone is gone and people know of it."""
    rogue = seat.trade(BTC, "0.1", price=price)
    await daemon.until(lambda: rogue.id not in seat.resting(), "rogue canceled")
    status = await daemon.until_status(lambda s: alert_of(s, "rogue_order"), "told")
    assert status["trading_state"] == "ACTIVE"
    assert len(seat.resting()) == 1


async def test_stranger_is_served_bounded_stopped_let_out_and_found_out(tmp_path: Path) -> None:
    seat = Seat(BINANCE, instruments=[BTC, ETH], exclusive=True, cancel_rogue=True)
    # What strategies ask for may raise a position: the seat's own nevers are about riskbot's.
    seat.is_hedging = True
    listen = f"127.0.0.1:{free_port()}"
    async with (
        guarded(
            tmp_path,
            seat,
            limits=GROSS,
            portfolio=ORDERS,
            http={"listen": listen},
            gateway={"strategies": {"stranger": {"token": TOKEN, "accounts": ["main"]}}},
        ) as daemon,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        stranger = await Stranger.arrive(session, f"http://{listen}")
        bitcoin = {ACCOUNT: "main", INSTRUMENT: BTC, "Type": "market"}
        # It places.
        placed = await stranger.order(**bitcoin, Side="buy", **{QUANTITY: "0.5"})
        assert placed["decision"] == "approve", placed
        await daemon.until(lambda: seat.held(BTC) == Decimal("0.5"), "bought")
        assert (await stranger.show(placed["client_order_id"]))["status"] == "filled"
        # It is denied, with all that is wrong at once.
        far = {**bitcoin, "Type": "limit", PRICE: str(seat.mark(BTC) * 2)}
        much = str(Decimal(100_000) / seat.mark(BTC) + Decimal("0.00004"))
        denied = await stranger.order(**far, Side="buy", **{QUANTITY: much})
        assert denied["decision"] == "deny"
        assert stranger.codes(denied) == {"QUANTITY_STEP", "PRICE_COLLAR", "LIMIT_EXCEEDED"}
        # It is resized, and no contract more than that is bought.
        less = await stranger.order(**bitcoin, Side="buy", **{QUANTITY: much, SMALLER: True})
        assert less["decision"] == "resize", less
        bought = Decimal("0.5") + Decimal(less["order"]["quantity"])
        await daemon.until(lambda: seat.held(BTC) == bought, "bought more")
        assert 99_900 < bought * seat.mark(BTC) <= 100_000
        more = await stranger.order(**bitcoin, Side="buy", **{QUANTITY: "0.001", SMALLER: True})
        # What the trade cost may have brought it to the other side of the limit meanwhile.
        assert "LIMIT_EXCEEDED" in stranger.codes(more)
        # It is stopped by a halt, and let out while it stands.
        await daemon.ctl("halt", "--reason", "lunch")
        ether = {**bitcoin, INSTRUMENT: ETH}
        stopped = await stranger.order(**ether, Side="buy", **{QUANTITY: "0.1"})
        assert "TRADING_STATE" in stranger.codes(stopped)
        out = {QUANTITY: str(bought), CLOSES: True}
        assert (await stranger.order(**bitcoin, Side="sell", **out))["decision"] == "approve"
        await daemon.until(seat.is_flat, "flat")
        assert (await daemon.status())["trading_state"] == "HALTED"
        # It goes past the gateway, and is found out.
        await daemon.until_status(lambda s: not s["intents"], "the halt has cancelled")
        await daemon.ctl("resume", "--yes")
        price = (seat.mark(BTC) * Decimal("0.98")).quantize(Decimal(1))
        await stranger.order(
            **{**bitcoin, "Type": "limit", PRICE: str(price)}, Side="buy", **{QUANTITY: "0.1"}
        )
        await daemon.until(lambda: len(seat.resting()) == 1, "rests")
        await found_out(daemon, seat, price - 50)
        kinds = await daemon.decisions()
        assert {"approve", "deny", "resize", "halt", "rogue"} <= set(kinds)
