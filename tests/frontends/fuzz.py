"""A gateway in process for hundreds of thousands of requests, and what mutates them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from riskbot.config.secret import Secret
from riskbot.core import actions, events
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import RejectReason, Response
from riskbot.frontends._gateway.guard import Asked
from riskbot.frontends._gateway.parts import Gateway
from riskbot.views import Views
from tests.core.market import PRICES, market
from tests.fakes import FakeClock
from tests.frontends.http.stage import ORDER, token

EQUITY, HELD = 100_000, Decimal("0.5")
WHOLE: list[dict[str, Any]] = [
    {**ORDER, "client_order_id": "a1"},
    {**ORDER, "type": "limit", "price": "50000.5", "stop_loss": 45000},
    {**ORDER, "side": "sell", "quantity": 0.5, "reduce_only": True},
    {**ORDER, "instrument": "ETH/USDT:USDT", "quantity": "40", "allow_resize": True},
    {**ORDER, "side": "sell", "quantity": "3", "position_side": None},
]
STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 1, 1e300, 1e-300, 0.1 + 0.2, 10**20, [], {}, [[[]]], {"a": 1}),
    *("", " ", "x", "NaN", "1e400", "Infinity", "-1", "0", "0.0", "1e-5", "1e15", "٣", "１", "0x1"),
    *("buy", "sell", "BUY", "limit", "market", "main", "other", "BTC/USDT:USDT", "\u202ebuy"),
    *("a" * 500, "\x00", "\ud800", "é", "check", "rb1", "../..", "<img onerror=x>"),
]
LITERALS = ("NaN", "Infinity", "-Infinity", "1e400", "1E999999999999", "-0", "9" * 70, "01", "1.")
PIECES = (b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\u0000", b"\xff", b"null", b"-", b"0", b"e")


def mutated(rng: random.Random, whole: dict[str, Any]) -> bytes:
    """Return a body that is not quite one: its fields, its literals, or its bytes."""
    body = dict(whole)
    # Few are orders still: those cost a whole decision.
    for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4, 4))):
        _twist(rng, body)
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1 and body:
        name = rng.choice(list(body))
        rest = {key: value for key, value in body.items() if key != name}
        text = f"{{{json.dumps(name)}: {rng.choice(LITERALS)}, {json.dumps(rest)[1:]}"
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.3:
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(raw))
            if rng.random() < 0.5:
                raw[at : at + rng.randrange(3)] = rng.choice(PIECES)
            else:
                raw[at] = rng.randrange(256)
    return bytes(raw)


def _twist(rng: random.Random, body: dict[str, Any]) -> None:
    if not body:
        return
    name = rng.choice(list(body))
    match rng.randrange(6):
        case 0 | 1:
            body[name] = rng.choice(STRANGE)
        case 2:
            del body[name]
        case 3:
            body[rng.choice(["leverage", "Price", "strategy", "", "quantity ", "\x00"])] = 1
        case 4:
            body[rng.choice(["price", "stop_loss", "position_side", "reduce_only"])] = rng.choice(
                [*STRANGE, "49000", 50_000, "long", True]
            )
        case _:
            body["quantity"] = str(round(rng.uniform(0, 3), rng.randrange(6)))


class Guarded:
    """An engine, and the gateway before it; what is approved is given back at once.

    Attributes:
        met: what was answered, by decision or status.
    """

    def __init__(self) -> None:
        limit = GrossExposure(max=1.0, on_breach=Response.DENY)
        self.market = market(limit, held={"BTC": (float(HELD), 50_000.0)}, usdt=EQUITY)
        self.clock = FakeClock()
        self.met: Counter[object] = Counter()
        self.placed: list[actions.PlaceOrder] = []
        strategies = {
            name: SimpleNamespace(
                token=Secret(token(name)), accounts=["main"], hmac_secret=None, request_rate=10**9
            )
            for name in ("grid", "trend")
        }
        root = SimpleNamespace(
            http=None,
            accounts={"main": SimpleNamespace(instruments=())},
            gateway=SimpleNamespace(strategies=strategies),
        )
        self.told: list[events.Event] = []
        self.gateway = Gateway(
            root, self._ask, self._view, _decisions, {}, _before, self.told.append, self.clock
        )

    def _view(self) -> Views:
        return Views(self.market.engine, self.market.now_ms)

    async def _ask(self, event: Asked, /) -> AsyncIterator[actions.SendReply]:
        decided = self.market.engine.handle(event, self.market.now_ms)
        self.placed += [a for a in decided if isinstance(a, actions.PlaceOrder)]
        yield next(a for a in decided if isinstance(a, actions.SendReply))

    def look_at(self, document: dict[str, Any], said: dict[str, Any]) -> None:
        """Hold an answer against what was asked; give back what was approved.

        Args:
            document: the decision.
            said: the body, its numbers as they were written.
        """
        self.met[document["decision"]] += 1
        if document["decision"] == "deny":
            assert document["reasons"], said
            assert all(reason["code"] and reason["message"] for reason in document["reasons"])
            return
        order = document["order"]
        quantity = Decimal(order["quantity"])
        assert 0 < quantity <= Decimal(str(said["quantity"])), said
        assert document["decision"] == "resize" or quantity == Decimal(str(said["quantity"])), said
        assert (order["account"], said["account"]) == ("main", "main")
        assert order["instrument"] == said["instrument"] in {f"{b}/USDT:USDT" for b in PRICES}
        assert order["side"] == said["side"]
        assert said["type"] != "limit" or Decimal(order["price"]) == Decimal(str(said["price"]))
        if said.get("reduce_only") is True:
            assert (order["side"], order["is_exit"]) == ("sell", True)
            assert quantity <= HELD
        self._fits()
        self._give_back(order)

    def _fits(self) -> None:
        """Hold what is reserved and held to the limit, each instrument at its worst."""
        gross = Decimal(0)
        live = self.market.engine.state.reservations.live.values()
        for base, price in PRICES.items():
            held = HELD if base == "BTC" else Decimal(0)
            mine = [r for r in live if r.symbol == f"{base}/USDT:USDT"]
            buys = sum((r.quantity for r in mine if r.side.sign > 0), Decimal(0))
            sells = sum((r.quantity for r in mine if r.side.sign < 0), Decimal(0))
            gross += max(abs(held + buys), abs(held - sells)) * Decimal(price)
        assert gross <= EQUITY, live

    def _give_back(self, order: dict[str, Any]) -> None:
        engine, now_ms = self.market.engine, self.market.now_ms
        if not order["submitted"]:
            name, strategy = order["client_order_id"], order["strategy"]
            engine.handle(
                events.CancelRequested(request_id="x", strategy=strategy, client_order_id=name),
                now_ms,
            )
        for sent in self.placed:
            engine.handle(
                events.OrderRejected(
                    account=sent.account,
                    symbol=sent.symbol,
                    client_order_id=sent.client_order_id,
                    reason=RejectReason.OTHER,
                    message="planted",
                ),
                now_ms,
            )
        self.placed.clear()
        assert not engine.state.reservations.live


async def _decisions(**options: Any) -> list[dict[str, Any]]:
    del options
    return []


async def _before(command: events.CommandReceived) -> None:
    del command
