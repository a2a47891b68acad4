"""Bybit's websockets: public market streams, the private stream, and order entry.

Turns ledger and market events into the venue's frames; what the frames say is in the wording
modules.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.servers import bybit_holdings as holdings
from tests.servers import bybit_protection as protection
from tests.servers import bybit_wire as wire
from tests.servers.bybit_account import Account, new_id
from tests.servers.bybit_feeds import Feeds
from tests.servers.bybit_market import Row
from tests.servers.ledger_types import (
    AccountChanged,
    Event,
    Filled,
    LedgerBooked,
    LeverageChanged,
    Order,
    OrderChanged,
    Position,
    PositionChanged,
)
from tests.servers.sockets import Connection

if TYPE_CHECKING:
    from tests.servers.bybit import BybitServer

Body = dict[str, Any]

PUBLIC: Final = {f"/v5/public/{c}": c for c in ("linear", "inverse", "spot", "option")}
PRIVATE: Final = "/v5/private"
TRADE: Final = "/v5/trade"
PRIVATE_TOPICS: Final = ("order", "execution", "execution.fast", "position")
DCP_TOPICS: Final = {"dcp.future": "DERIVATIVES", "dcp.spot": "SPOT", "dcp.option": "OPTIONS"}
TRADE_OPS: Final = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
}


def is_private_topic(topic: str) -> bool:
    """Return whether the private stream has a topic."""
    if topic in ("wallet", "greeks", "dcp", *DCP_TOPICS, *PRIVATE_TOPICS):
        return True
    head, _, category = topic.rpartition(".")
    return head in PRIVATE_TOPICS and category in ("spot", "linear", "inverse", "option")


class Streams:
    """All websockets of one server."""

    def __init__(self, server: BybitServer) -> None:
        self.server = server
        self.feeds = Feeds(server)
        self._guards: dict[tuple[str, str], set[Connection]] = {}

    # ---- conversation ---------------------------------------------------------------------------

    async def serve(self, path: str, socket: Connection) -> None:
        """Talk to one client until it leaves."""
        socket.kind = "user" if path in (PRIVATE, TRADE) else "market"
        socket.state["conn_id"] = new_id()
        try:
            async for text in socket.messages():
                try:
                    message = json.loads(text)
                except ValueError:
                    message = None
                if not isinstance(message, dict):
                    self._answer(socket, {}, "", "error:invalid json")
                    continue
                self._hear(path, socket, message)
        finally:
            self._leave(socket)

    def _hear(self, path: str, socket: Connection, message: Body) -> None:
        operation = str(message.get("op", ""))
        if path == TRADE:
            self._trade(socket, message, operation)
            return
        actions: dict[str, Callable[[str, Connection, Body], None]] = {
            "ping": self._pong,
            "auth": self._authenticate,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }
        action = actions.get(operation)
        if action is None:
            self._answer(socket, message, operation, "error:invalid op")
        else:
            action(path, socket, message)

    def _answer(self, socket: Connection, message: Body, operation: str, error: str = "") -> None:
        reply: Row = {
            "success": not error,
            "ret_msg": error,
            "conn_id": socket.state["conn_id"],
            "op": operation,
        }
        if "req_id" in message:
            reply["req_id"] = str(message["req_id"])
        socket.push(reply, event=operation, is_event=False)

    def _pong(self, path: str, socket: Connection, message: Body) -> None:
        ident = str(message.get("req_id", ""))
        if path == PRIVATE:
            reply: Row = {
                "req_id": ident,
                "op": "pong",
                "args": [str(self.server.now_ms())],
                "conn_id": socket.state["conn_id"],
            }
        else:
            reply = {
                "success": True,
                "ret_msg": "pong",
                "conn_id": socket.state["conn_id"],
                "req_id": ident,
                "op": "ping",
            }
        socket.push(reply, event="pong", is_event=False)

    def check_key(self, arguments: Any) -> str:
        """Return why an auth request is refused, empty when it is right."""
        if not isinstance(arguments, list) or len(arguments) != 3:
            return "Params Error"
        key, expires, signature = (str(argument) for argument in arguments)
        account = self.server.accounts.get(key)
        if account is None:
            return "API key is invalid."
        if account.rights.expired:
            return "Your api key has expired."
        text = f"GET/realtime{expires}".encode()
        right = hmac.new(account.secret.encode(), text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, signature):
            return "error:USVC1111"
        if not expires.isdigit() or int(expires) <= self.server.now_ms():
            return "Params Error"
        return "" if account.rights.allows_ip("127.0.0.1") else "Unmatched IP"

    def _authenticate(self, path: str, socket: Connection, message: Body) -> None:
        error = "error:invalid op" if path != PRIVATE else self.check_key(message.get("args"))
        if not error:
            socket.api_key = str(message["args"][0])
        self._answer(socket, message, "auth", error)

    def _subscribe(self, path: str, socket: Connection, message: Body) -> None:
        topics = [str(topic) for topic in message.get("args") or []]
        error = self._objection(path, socket, topics)
        self._answer(socket, message, "subscribe", error)
        if error:
            return
        for topic in topics:
            socket.subscriptions.add(topic)
            if topic in DCP_TOPICS:
                self._guards.setdefault((socket.api_key, DCP_TOPICS[topic]), set()).add(socket)
            if path != PRIVATE:
                self.feeds.greet(socket, PUBLIC[path], topic)

    def _objection(self, path: str, socket: Connection, topics: list[str]) -> str:
        if path != PRIVATE:
            if path.endswith("spot") and len(topics) > 10:
                return "args size >10"
            wrong = [t for t in topics if not self.feeds.knows(PUBLIC[path], t)]
            return f"error:handler not found,topic:{wrong[0]}" if wrong else ""
        if not socket.api_key:
            return "Request not authorized"
        wrong = [topic for topic in topics if not is_private_topic(topic)]
        if wrong:
            return f"error:handler not found,topic:{wrong[0]}"
        plain = {topic for topic in topics if topic in PRIVATE_TOPICS}
        mixed = [t for t in topics if t not in plain and t.rpartition(".")[0] in plain]
        return f"error:topic conflict,topic:{mixed[0]}" if mixed else ""

    def _unsubscribe(self, path: str, socket: Connection, message: Body) -> None:
        for topic in message.get("args") or []:
            socket.subscriptions.discard(str(topic))
            if path != PRIVATE:
                self.feeds.forget(socket, str(topic))
            if topic in DCP_TOPICS:
                self._unguard(socket, DCP_TOPICS[topic])
        self._answer(socket, message, "unsubscribe")

    # ---- disconnection protection ---------------------------------------------------------------

    def _leave(self, socket: Connection) -> None:
        for topic in socket.subscriptions & set(DCP_TOPICS):
            self._unguard(socket, DCP_TOPICS[topic])

    def _unguard(self, socket: Connection, product: str) -> None:
        # The clock starts when the last connection that subscribed the topic is gone.
        guards = self._guards.get((socket.api_key, product), set())
        guards.discard(socket)
        account = self.server.accounts[socket.api_key]
        if not guards and product in account.dcp_granted and not self.server.is_stopping:
            self.server.spawn(self._protect(account, product))

    async def _protect(self, account: Account, product: str) -> None:
        window = account.dcp_windows.get(product, 10) * self.server.dcp_scale
        await asyncio.sleep(window)
        if self._guards.get((account.key, product)):
            return
        kinds = {"SPOT": ("spot",), "DERIVATIVES": ("linear", "inverse")}.get(product, ())
        for order in account.ledger.open_orders():
            if account.ledger.instruments[order.instrument].kind in kinds:
                order.reason = "CancelByDCP"
                account.ledger.cancel(order.id)

    # ---- order entry ----------------------------------------------------------------------------

    def _trade(self, socket: Connection, message: Body, operation: str) -> None:
        reply: Row = {"reqId": str(message.get("reqId", "")), "retCode": 0, "retMsg": "OK"}
        reply |= {"op": operation, "connId": socket.state["conn_id"]}
        if operation == "ping":
            reply |= {"op": "pong", "data": [str(self.server.now_ms())]}
        elif operation == "auth":
            error = self.check_key(message.get("args"))
            if error:
                reply |= {"retCode": 10004, "retMsg": error}
            else:
                socket.api_key = str(message["args"][0])
        elif operation not in TRADE_OPS:
            reply |= {"retCode": 10404, "retMsg": "op type is not found"}
        elif not socket.api_key:
            reply |= {"retCode": 10005, "retMsg": "Request not authorized"}
        else:
            arguments = message.get("args") or [{}]
            reply |= self.server.trade(socket.api_key, TRADE_OPS[operation], arguments[0])
        socket.push(reply, event=operation, is_event=False)

    # ---- private events -------------------------------------------------------------------------

    def follow(self, account: Account) -> None:
        """Push an account's changes to its private sockets from now on."""
        watcher = partial(self._on_event, account)
        account.ledger.subscribe(watcher)
        account.watchers.append(watcher)

    def _on_event(self, account: Account, event: Event) -> None:
        if isinstance(event, Filled):
            self._on_fill(account, event)
        elif isinstance(event, OrderChanged):
            self._on_order(account, event)
        elif isinstance(event, PositionChanged):
            self._push_position(account, event.position)
        elif isinstance(event, AccountChanged) and event.balances:
            coins = dict.fromkeys(change.asset for change in event.balances)
            self._push(account, "wallet", "", holdings.wallet_row(account.ledger, coins))
        elif isinstance(event, LedgerBooked) and event.transfer.kind == "funding":
            kind, row = account.executions[-1]
            extra = {"category": kind, "isLeverage": "0", "marketUnit": "", "execPnl": "0"}
            self._push(account, "execution", kind, row | extra)
        elif isinstance(event, LeverageChanged):
            for position in account.ledger.open_positions():
                if position.instrument == event.instrument:
                    self._push_position(account, position)

    def _on_order(self, account: Account, event: OrderChanged) -> None:
        order = event.order
        if event.reason == "new" and order.type == "market" and not order.conditional:
            return  # the venue reports only what became of a market order
        kind = account.ledger.instruments[order.instrument].kind
        if event.reason == "triggered":
            row = wire.order_frame(account.ledger, order, status="Triggered")
            self._push(account, "order", kind, row)
        if event.reason != "triggered" or order.type == "limit":
            self._push(account, "order", kind, wire.order_frame(account.ledger, order))
        if kind != "spot" and event.reason != "fill":
            position = account.ledger.positions.get((order.instrument, order.position_side))
            blank = Position(order.instrument, order.position_side)
            self._push_position(account, position or blank)
        if event.reason == "fill" and order.status == "filled":
            self._attach(account, order)

    def _attach(self, account: Account, order: Order) -> None:
        wanted = order.meta.get("takeProfit") or order.meta.get("stopLoss")
        spot = wire.is_spot(account.ledger, order.instrument)
        if wanted and not spot and not order.reduce_only:
            protection.attach(account, order)

    def _on_fill(self, account: Account, event: Filled) -> None:
        ledger, fill = account.ledger, event.fill
        kind = ledger.instruments[fill.instrument].kind
        number = account.sequence
        row = wire.execution_frame(ledger, fill, event.order, sequence=number)
        self._push(account, "execution", kind, row)
        if row["execType"] == "Trade":
            fast = wire.fast_frame(ledger, fill, sequence=number)
            self._push(account, "execution.fast", kind, fast)
        self.feeds.trade(fill.instrument, fill.side, fill.quantity, fill.price)
        if event.order.origin == "liquidation":
            self.feeds.liquidation(fill)

    def _push_position(self, account: Account, position: Position) -> None:
        kind = account.ledger.instruments[position.instrument].kind
        row = holdings.position_frame(account.ledger, position, sequence=account.sequence)
        self._push(account, "position", kind, row)

    def _push(self, account: Account, topic: str, kind: str, row: Row) -> None:
        for socket in self.server.connections:
            if socket.api_key != account.key or socket.path != PRIVATE:
                continue
            for name in {topic, f"{topic}.{kind}"} & socket.subscriptions:
                frame = {
                    "id": f"{account.uid}_{row.get('symbol', '')}_{new_id()}",
                    "topic": name,
                    "creationTime": self.server.now_ms(),
                    "data": [row],
                }
                socket.push(frame, event=topic)
