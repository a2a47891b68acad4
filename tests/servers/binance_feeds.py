"""Binance USD-M websockets: who subscribed to what on which route, and who is sent what.

Payloads are written in `binance_streams.py` and `binance_user.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tests.servers import binance_streams as streams
from tests.servers import binance_user as user
from tests.servers.binance_account import Account
from tests.servers.binance_streams import STREAM, MarketStreams, route_of
from tests.servers.faults import Faults
from tests.servers.ledger import Market
from tests.servers.ledger_types import Event, MarkChanged, OrderChanged
from tests.servers.sockets import Connection

ROUTES = ("public", "market", "private")


class Feeds:
    """All websockets of one server.

    Attributes:
        margin_call_ratio: maintenance margin over equity at which MARGIN_CALL is sent.
        serves_unrouted: whether sockets without /public, /market or /private get everything,
            as before April 2026; since then they get what /public carries, in silence.
    """

    def __init__(
        self,
        market: Market,
        market_streams: MarketStreams,
        accounts: Mapping[str, Account],
        connections: list[Connection],
        faults: Faults,
    ) -> None:
        self.margin_call_ratio = Decimal("0.8")
        self.serves_unrouted = False
        self._market = market
        self._streams = market_streams
        self._accounts = accounts
        self._connections = connections
        self._faults = faults

    # ---- what clients ask for -------------------------------------------------------------------

    async def serve(self, path: str, query: Mapping[str, str], socket: Connection) -> None:
        """Serve a socket: streams from path and query, then live SUBSCRIBE requests."""
        parts = path.strip("/").split("/")
        route = parts.pop(0) if parts[0] in ROUTES else ""
        mode, names = parts[0], [part for part in parts[1:] if part]
        names += [name for name in query.get("streams", "").split("/") if name]
        wanted = {name for name in query.get("events", "").split("/") if name}
        socket.state.update(route=route, combined=mode == "stream", listen_key="", events=wanted)
        self._subscribe(socket, [*names, query.get("listenKey", "")])
        async for text in socket.messages():
            self._on_request(socket, text)

    def _subscribe(self, socket: Connection, names: list[str]) -> None:
        owners = {a.listen_key: key for key, a in self._accounts.items() if a.listen_key}
        for name in names:
            if name in owners and socket.state["route"] in ("private", ""):
                socket.kind, socket.api_key = "user", owners[name]
                socket.state["listen_key"] = name
            elif STREAM.match(name):
                socket.subscriptions.add(name)

    def _on_request(self, socket: Connection, text: str) -> None:
        try:
            message = json.loads(text)
            method, number = message["method"], message.get("id")
            params = message.get("params", [])
        except (ValueError, KeyError, TypeError):
            words = "Invalid JSON: expected value at line 1 column 1"
            socket.push({"error": {"code": 3, "msg": words}}, is_event=False)
            return
        result: Any = None
        if method == "SUBSCRIBE":
            self._subscribe(socket, [str(name) for name in params])
        elif method == "UNSUBSCRIBE":
            socket.subscriptions.difference_update(params)
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(socket.subscriptions)
        elif method == "SET_PROPERTY":
            socket.state["combined"] = bool(params[1])
        elif method == "GET_PROPERTY":
            result = socket.state["combined"]
        else:
            words = f"Invalid request: unknown variant {method}"
            socket.push({"error": {"code": 2, "msg": words}, "id": number}, is_event=False)
            return
        socket.push({"result": result, "id": number}, is_event=False)

    # ---- user data ------------------------------------------------------------------------------

    def on_ledger(self, account: Account, event: Event) -> None:
        """Announce a change in an account's ledger on its private sockets."""
        now = self._market.now_ms()
        if isinstance(event, OrderChanged) and event.order.origin == "liquidation" and event.fill:
            self._publish_liquidation(user.force_order(account.ledger, event.order, now))
        if isinstance(event, MarkChanged):
            self._call_margin(account, event, now)
            return
        for frame in user.user_frames(account.ledger, event, now):
            self.to_user(account, account.listen_key, frame)

    def to_user(self, account: Account, listen_key: str, frame: dict[str, Any]) -> None:
        """Send an event to the sockets that hold a listen key; to nobody without one."""
        for connection in self._connections:
            state = connection.state
            if not listen_key or state.get("listen_key") != listen_key:
                continue
            routed = state["route"] == "private" or self.serves_unrouted
            if not routed or (state["events"] and frame["e"] not in state["events"]):
                continue
            payload = {"stream": listen_key, "data": frame} if state["combined"] else frame
            connection.push(payload, event=frame["e"])

    def _call_margin(self, account: Account, event: MarkChanged, now: int) -> None:
        ledger = account.ledger
        settle = self._market.instruments[event.instrument].settle
        equity, needed = ledger.equity(settle), ledger.maintenance(settle)
        is_high = needed > 0 and needed >= equity * self.margin_call_ratio
        if is_high and not account.margin_called:
            self.to_user(account, account.listen_key, user.margin_call(ledger, settle, now))
        account.margin_called = is_high

    # ---- market data ----------------------------------------------------------------------------

    def on_price(self, event: Event) -> None:
        """Publish a new price on every stream that shows it."""
        if isinstance(event, MarkChanged):
            self._streams.note(event.instrument)
            self.publish(event.instrument, lambda _: True)

    def publish(self, name: str | None, is_due: Callable[[str], bool]) -> None:
        """Send what streams say now about one symbol, or about all, where is_due(stream)."""
        for connection in self._connections:
            for stream in list(connection.subscriptions):
                match = STREAM.match(stream)
                if match is None or not self._carries(connection, match["channel"]):
                    continue
                if is_due(stream):
                    for payload in self._streams.payloads(stream, name):
                        self._to_market(connection, stream, payload)

    def _carries(self, connection: Connection, channel: str) -> bool:
        # A socket on the wrong route is told that it subscribed, and hears nothing.
        route = connection.state["route"]
        if not route:
            return self.serves_unrouted or route_of(channel) == "public"
        return bool(route == route_of(channel))

    def _to_market(self, connection: Connection, stream: str, payload: Any) -> None:
        one = payload[0] if isinstance(payload, list) else payload
        context = {"event": one.get("e", ""), "symbol": one.get("s", ""), "stream": stream}
        garbage = self._faults.take("price_garbage", **context)
        if garbage is not None:
            payload = streams.spoil_prices(payload, garbage.params.get("value", "0"))
        frozen = self._faults.take("timestamps_frozen", **context)
        if frozen is not None:
            at_ms = frozen.params.setdefault("at_ms", self._market.now_ms())
            payload = streams.freeze_times(payload, at_ms)
        if connection.state["combined"]:
            payload = {"stream": stream, "data": payload}
        connection.push(payload, event=context["event"])

    def _publish_liquidation(self, frame: dict[str, Any]) -> None:
        wanted = {"!forceOrder@arr", f"{frame['o']['s'].lower()}@forceOrder"}
        for connection in self._connections:
            if self._carries(connection, "forceOrder"):
                for stream in wanted & connection.subscriptions:
                    combined = connection.state["combined"]
                    payload = {"stream": stream, "data": frame} if combined else frame
                    connection.push(payload, event="forceOrder")
