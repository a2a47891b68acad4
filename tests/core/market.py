"""A world whose venue lets limit orders rest, for what strategies send through the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.limits._base import Limit
from riskbot.core.model import OrderStatus, OrderType, Side, TimeInForce
from riskbot.core.ordering import OrderRequest
from riskbot.core.settings import AccountSettings, OrderRules, StrategySettings
from tests import builders
from tests.core.world import World, world

FREE = OrderRules(max_trade=None, max_trade_risk=None, price_collar=None, order_rate=None)
"""No rule of a single order."""

PRICES = {"BTC": 50_000.0, "ETH": 2_000.0}


@dataclass
class Market(World):
    """Limit orders that do not cross rest, and fill by hand.

    Attributes:
        hold_back: position frames are not pushed until `release`.
        resting: what rests, by client id.
        vanish: how many of the next orders never arrive.
    """

    hold_back: bool = False
    held_back: list[events.Event] = field(default_factory=list)
    resting: dict[str, actions.PlaceOrder] = field(default_factory=dict)
    asked: int = 0
    vanish: int = 0

    def _place(self, order: actions.PlaceOrder) -> Iterable[events.Event]:
        if self.vanish:
            self.vanish -= 1
            self.sent.append(order)
            yield events.OrderOutcomeUnknown(
                account=order.account, symbol=order.symbol, client_order_id=order.client_order_id
            )
            return
        mark = self.marks[order.symbol]
        rests = (
            order.type is OrderType.LIMIT
            and order.time_in_force is TimeInForce.GTC
            and order.price is not None
            and (mark - float(order.price)) * order.side.sign > 0
        )
        if not rests or self.refuse:
            yield from super()._place(order)
            return
        self.sent.append(order)
        made = builders.order(
            order.symbol,
            order.side,
            order.quantity,
            account=order.account,
            order_id=f"r{len(self.sent)}",
            client_order_id=order.client_order_id,
            price=order.price,
            reduce_only=order.reduce_only,
            created_ms=self.now_ms,
        )
        self.orders.setdefault(order.account, {})[made.order_id] = made
        self.known[order.client_order_id] = made
        self.resting[order.client_order_id] = order
        if self.lose:
            self.lose -= 1
            yield events.OrderOutcomeUnknown(
                account=order.account, symbol=order.symbol, client_order_id=order.client_order_id
            )
            return
        yield events.OrderAccepted(
            account=order.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            order_id=made.order_id,
            status=made.status,
            filled=Decimal(0),
        )
        yield events.OrderUpdated(account=order.account, order=made)

    def _cancel(self, action: actions.CancelOrder) -> events.CancelFinished:
        done = super()._cancel(action)
        known = next((o for o in self.known.values() if o.order_id == action.order_id), None)
        if done.done and known is not None and not known.status.is_final:
            assert known.client_order_id is not None
            self.known[known.client_order_id] = replace(known, status=OrderStatus.CANCELED)
        return done

    def fill(self, client_order_id: str, quantity: str) -> None:
        """Fill part of a resting order: order, fill and position frames in this order."""
        self.now_ms += 1
        order = self.resting[client_order_id]
        before = self.known[client_order_id]
        frames = list(self.trade(order.account, order, Decimal(quantity)))
        filled = before.filled + Decimal(quantity)
        status = OrderStatus.FILLED if filled >= before.quantity else OrderStatus.OPEN
        after = replace(before, filled=filled, status=status)
        self.known[client_order_id] = after
        if status.is_final:
            self.orders[order.account].pop(before.order_id, None)
        else:
            self.orders[order.account][before.order_id] = after
        self.give(events.OrderUpdated(account=order.account, order=after))
        fill, *rest = frames
        assert isinstance(fill, events.OrderFilled)
        self.give(replace(fill, order_id=before.order_id, client_order_id=client_order_id))
        if self.hold_back:
            self.held_back += rest
        else:
            for event in rest:
                self.give(event)

    def release(self) -> None:
        """Push the frames that were held back."""
        waiting, self.held_back = self.held_back, []
        for event in waiting:
            self.give(event)

    # ------------------------------------------------------------ strategies

    def ask(self, base: str, side: str, quantity: str | float, **fields: Any) -> actions.SendReply:
        """Ask for an order, and return the answer."""
        self.asked += 1
        # A frame of the very moment a read began would be taken as part of that read.
        self.now_ms += 1
        request_id = f"q{self.asked}"
        fingerprint = fields.pop(
            "fingerprint", repr((base, side, quantity, sorted(fields.items())))
        )
        price = fields.pop("price", None)
        stop = fields.pop("stop_loss", None)
        order = OrderRequest(
            strategy=fields.pop("strategy", "grid"),
            account=fields.pop("account", "main"),
            symbol=fields.pop("symbol", f"{base}/USDT:USDT"),
            side=Side(side),
            quantity=Decimal(str(quantity)),
            type=OrderType.LIMIT if price is not None else OrderType.MARKET,
            price=builders.maybe(price),
            stop_loss=builders.maybe(stop),
            **fields,
        )
        self.give(
            events.OrderRequested(request_id=request_id, order=order, fingerprint=fingerprint)
        )
        return next(r for r in self.replies() if r.request_id == request_id)

    def decide(self, base: str, side: str, quantity: str | float, **fields: Any) -> dict[str, Any]:
        """Return the document of an answer that is a decision."""
        reply = self.ask(base, side, quantity, **fields)
        assert reply.ok, reply.message
        document: dict[str, Any] = reply.document
        return document

    def amend(self, name: str, strategy: str = "grid", **fields: Any) -> actions.SendReply:
        self.asked += 1
        request_id = f"q{self.asked}"
        changes = {key: builders.maybe(value) for key, value in fields.items()}
        self.give(
            events.AmendRequested(
                request_id=request_id, strategy=strategy, client_order_id=name, **changes
            )
        )
        return next(r for r in self.replies() if r.request_id == request_id)

    def pull(self, name: str, strategy: str = "grid") -> actions.SendReply:
        self.asked += 1
        request_id = f"q{self.asked}"
        self.give(
            events.CancelRequested(request_id=request_id, strategy=strategy, client_order_id=name)
        )
        return next(r for r in self.replies() if r.request_id == request_id)

    def order(self, name: str, strategy: str = "grid") -> dict[str, Any]:
        found = self.engine.state.reservations.find(strategy, name)
        assert found is not None
        return found.document()


def codes(document: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in document["reasons"]}


def market(
    *limits: Limit,
    held: dict[str, tuple[float, float]] | None = None,
    rules: OrderRules = FREE,
    strategies: dict[str, StrategySettings] | None = None,
    account: dict[str, Any] | None = None,
    **fields: Any,
) -> Market:
    """Build a market with one account and the strategies `grid` and `trend` on it."""
    fields.setdefault(
        "accounts",
        {"main": AccountSettings(exchange="binanceusdm", orders=rules, **(account or {}))},
    )
    named = strategies or {
        name: StrategySettings(accounts=("main",), orders=rules) for name in ("grid", "trend")
    }
    made = world(*limits, held=held, kind=Market, orders=rules, strategies=named, **fields)
    assert isinstance(made, Market)
    made.marks |= {f"{base}/USDT:USDT": price for base, price in PRICES.items()}
    made.give(builders.loaded(*made.marks))
    made.price()
    made.read()
    return made
