"""Binance USD-M futures on 127.0.0.1: REST, market streams, user data, for unmodified clients.

`python -m tests.servers.binance_usdm --port 9001 --key K --secret S --position BTCUSDT=1@40000`
runs it alone. Documents live in `binance_*.py`, the account's truth in `ledger.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tests.servers import binance_errors as errors
from tests.servers import binance_streams as streams
from tests.servers import binance_user as user
from tests.servers import control
from tests.servers.base import ProtocolServer, Reply, Request
from tests.servers.binance_account import Account, Call
from tests.servers.binance_errors import ApiError
from tests.servers.binance_market import MarketData, list_contracts
from tests.servers.binance_routes import Route, Routes
from tests.servers.binance_streams import STREAM, MarketStreams, route_of
from tests.servers.binance_weights import Weights
from tests.servers.faults import Fault
from tests.servers.ledger import Ledger, Market, VenueError
from tests.servers.ledger_market import wall_clock_ms
from tests.servers.ledger_types import Event, MarkChanged, OrderChanged
from tests.servers.sockets import Connection

LISTEN_KEY_MS = 60 * 60_000
FIRST_ID = 283_194_212


class BinanceUsdmServer(ProtocolServer):
    """The venue; see `ProtocolServer` for what tests use.

    Attributes:
        accounts: API key -> listen key, rights and timers beside the ledger.
        data: candles and book behind the market data.
        weights: request weight and order counts, enforced as the venue does.
        heartbeat_s: how often prices are sent without a change, about as the venue does.
        countdown_cancels_algo: whether the dead man's countdown takes conditional orders too.
        margin_call_ratio: maintenance margin over equity at which MARGIN_CALL is sent.
        serves_unrouted: whether sockets without /public, /market or /private get everything,
            as before April 2026; since then they get what /public carries, in silence.
    """

    name = "binance_usdm"

    def __init__(self, *, port: int = 0, market: Market | None = None) -> None:
        fresh = market is None
        super().__init__(port=port, market=market or Market(self.now_ms, first_id=FIRST_ID))
        if fresh:
            list_contracts(self.market)
        self.accounts: dict[str, Account] = {}
        self._nobody = Account("", Ledger(balance={}, market=Market(self.now_ms)))
        self.data = MarketData(self.market)
        self.streams = MarketStreams(self.data)
        for name in self.market.instruments:
            self.streams.note(name)
        self.weights = Weights()
        self.routes = Routes(self.streams)
        self.heartbeat_s = 1.0
        self.countdown_cancels_algo = True
        self.margin_call_ratio = Decimal("0.8")
        self.serves_unrouted = False
        self.market.subscribe(self._on_price)

    # ---- for tests ------------------------------------------------------------------------------

    def add_account(
        self, key: str, secret: str, *, balance: Mapping[str, Decimal], hedge_mode: bool = False
    ) -> Ledger:
        """Open an account with the venue's fees and rules."""
        ledger = super().add_account(key, secret, balance=balance, hedge_mode=hedge_mode)
        ledger.spawns_orders = True
        ledger.resting_reduce_only = "limits"
        account = self.accounts[key] = Account(key, ledger)
        ledger.subscribe(lambda event: self._on_ledger(account, event))
        return ledger

    def ccxt_config(self) -> dict[str, Any]:
        """Return the user-side mapping that points ccxt.pro's binanceusdm here: urls only."""
        base = self.rest_url
        urls: dict[str, Any] = {
            "fapiPublic": f"{base}/fapi/v1",
            "fapiPublicV2": f"{base}/fapi/v2",
            "fapiPublicV3": f"{base}/fapi/v3",
            "fapiPrivate": f"{base}/fapi/v1",
            "fapiPrivateV2": f"{base}/fapi/v2",
            "fapiPrivateV3": f"{base}/fapi/v3",
            "fapiData": f"{base}/futures/data",
            "sapi": f"{base}/sapi/v1",
            "sapiV2": f"{base}/sapi/v2",
            "sapiV3": f"{base}/sapi/v3",
            "sapiV4": f"{base}/sapi/v4",
            "ws": {"linear": f"{self.ws_url}/ws"},
        }
        return {"urls": {"api": urls}}

    def expire_listen_key(self, key: str, *, silently: bool) -> None:
        """End an account's listen key; silently, its sockets stay open and just say no more."""
        account = self.accounts[key]
        old, account.listen_key = account.listen_key, ""
        if silently or not old:
            return
        frame = {"e": "listenKeyExpired", "E": str(self.now_ms()), "listenKey": old}
        for connection in self._user_sockets(account, old):
            connection.push(frame, event="listenKeyExpired")

    # ---- REST -----------------------------------------------------------------------------------

    def is_socket_path(self, path: str) -> bool:
        """Return whether a path is a stream endpoint."""
        parts = path.strip("/").split("/")
        if parts[0] in ("public", "market", "private"):
            parts = parts[1:]
        return bool(parts) and parts[0] in ("ws", "stream")

    def is_order(self, request: Request) -> bool:
        """Return whether a request creates orders."""
        creating = ("/fapi/v1/order", "/fapi/v1/algoOrder", "/fapi/v1/batchOrders")
        return request.method == "POST" and request.path in creating

    def describe(self, request: Request) -> dict[str, Any]:
        """Return the fields fault matches look at."""
        params = request.params
        names = ("newClientOrderId", "clientAlgoId", "origClientOrderId")
        client_id = next((params[name] for name in names if params.get(name)), "")
        more = {"symbol": params.get("symbol", ""), "type": params.get("type", "")}
        return super().describe(request) | more | {"client_id": client_id}

    def refusal(self, kind: str, fault: Fault, request: Request) -> Reply:
        """Return the venue's wording of a planted refusal."""
        del request
        return errors.refusal(kind, fault.params, self.now_ms())

    async def handle(self, request: Request) -> Reply:
        """Answer one REST request."""
        route = self.routes.find(request.method, request.path)
        if route is None:
            return Reply("<html><body>404 Not found</body></html>", 404)
        headers, limited = self.weights.count(request, route, wall_clock_ms())
        if limited is not None:
            return limited
        try:
            data = self._run(request, route)
            reply = Reply(data)
        except VenueError as error:
            reply = errors.from_ledger(error).reply()
        except ApiError as error:
            reply = error.reply()
        reply.headers.update(headers)
        return reply

    def _run(self, request: Request, route: Route) -> Any:
        if self.market.phase == "maintenance" and route.security != "none":
            raise VenueError("MAINTENANCE")
        if route.security == "none":
            return route.handler(Call(self._nobody, self.data, self.faults, request.params))
        account = self._authenticate(request, is_signed=route.security == "signed")
        request.is_authenticated = True
        if route.handler_name == "listen_key":
            return self._listen_key(account, request.method)
        return route.handler(Call(account, self.data, self.faults, request.params))

    def _authenticate(self, request: Request, *, is_signed: bool) -> Account:
        if not request.api_key:
            raise ApiError(-2014)
        account = self.accounts.get(request.api_key)
        if account is None or not account.rights["enableReading"]:
            raise ApiError(-2015)
        if is_signed:
            self._check_time(request)
            self._check_signature(request)
        return account

    def _check_time(self, request: Request) -> None:
        try:
            sent = int(request.params["timestamp"])
            window = int(request.params.get("recvWindow") or 5000)
        except (KeyError, ValueError):
            raise errors.missing("timestamp") from None
        if window > 60_000:
            raise ApiError(-1131, "recvWindow must be less than 60000")
        now = self.now_ms()
        if sent > now + 1000:
            words = "Timestamp for this request was 1000ms ahead of the server's time."
            raise ApiError(-1021, words)
        if sent < now - window:
            raise ApiError(-1021)

    def _check_signature(self, request: Request) -> None:
        sent = str(request.params.get("signature", ""))
        if not sent:
            raise errors.missing("signature")

        def unsigned(text: str) -> str:
            return "&".join(p for p in text.split("&") if not p.startswith("signature="))

        payload = unsigned(request.raw_query) + unsigned(request.body)
        secret = self.secrets[request.api_key].encode()
        wanted = hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, sent):
            raise ApiError(-1022)

    def _listen_key(self, account: Account, method: str) -> Any:
        if method == "DELETE":
            account.listen_key = ""
            return {}
        if method == "PUT" and not account.listen_key:
            raise ApiError(-1125)
        if not account.listen_key:
            account.listen_key = secrets.token_hex(32)
        account.listen_key_expires_ms = self.now_ms() + LISTEN_KEY_MS
        return {"listenKey": account.listen_key}

    # ---- sockets --------------------------------------------------------------------------------

    async def handle_socket(self, path: str, query: Mapping[str, str], socket: Connection) -> None:
        """Serve a stream socket: streams from path and query, then live SUBSCRIBE requests."""
        parts = path.strip("/").split("/")
        route = parts.pop(0) if parts[0] in ("public", "market", "private") else ""
        mode, names = parts[0], [part for part in parts[1:] if part]
        names += [name for name in query.get("streams", "").split("/") if name]
        socket.state.update(route=route, combined=mode == "stream", listen_key="")
        self._subscribe(socket, [*names, query.get("listenKey", "")])
        async for text in socket.messages():
            self._on_request(socket, text)

    def _subscribe(self, socket: Connection, names: list[str]) -> None:
        owners = {a.listen_key: key for key, a in self.accounts.items() if a.listen_key}
        for name in names:
            if name in owners and socket.state["route"] != "market":
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

    def _user_sockets(self, account: Account, listen_key: str) -> list[Connection]:
        return [
            c
            for c in self.connections
            if c.kind == "user"
            and c.api_key == account.key
            and c.state["listen_key"] == listen_key
            and (c.state["route"] == "private" or self.serves_unrouted)
        ]

    # ---- events out -----------------------------------------------------------------------------

    def _on_ledger(self, account: Account, event: Event) -> None:
        now = self.now_ms()
        if isinstance(event, OrderChanged) and event.order.origin == "liquidation" and event.fill:
            self._publish_liquidation(user.force_order(account.ledger, event.order, now))
        if isinstance(event, MarkChanged):
            self._call_margin(account, event, now)
            return
        for frame in user.user_frames(account.ledger, event, now):
            self._to_user(account, frame)

    def _to_user(self, account: Account, frame: dict[str, Any]) -> None:
        if not account.listen_key:
            return
        for connection in self._user_sockets(account, account.listen_key):
            combined = connection.state["combined"]
            payload = {"stream": account.listen_key, "data": frame} if combined else frame
            connection.push(payload, event=frame["e"])

    def _call_margin(self, account: Account, event: MarkChanged, now: int) -> None:
        ledger = account.ledger
        settle = self.market.instruments[event.instrument].settle
        equity, needed = ledger.equity(settle), ledger.maintenance(settle)
        is_high = needed > 0 and needed >= equity * self.margin_call_ratio
        if is_high and not account.margin_called:
            self._to_user(account, user.margin_call(ledger, settle, now))
        account.margin_called = is_high

    def _on_price(self, event: Event) -> None:
        if isinstance(event, MarkChanged):
            self.streams.note(event.instrument)
            self._publish(event.instrument, lambda _: True)

    def _publish(self, name: str | None, is_due: Callable[[str], bool]) -> None:
        for connection in self.connections:
            for stream in list(connection.subscriptions):
                match = STREAM.match(stream)
                if match is None or not self._carries(connection, match["channel"]):
                    continue
                if is_due(stream):
                    for payload in self.streams.payloads(stream, name):
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
        garbage = self.faults.take("price_garbage", **context)
        if garbage is not None:
            payload = streams.spoil_prices(payload, garbage.params.get("value", "0"))
        frozen = self.faults.take("timestamps_frozen", **context)
        if frozen is not None:
            at_ms = frozen.params.setdefault("at_ms", self.now_ms())
            payload = streams.freeze_times(payload, at_ms)
        if connection.state["combined"]:
            payload = {"stream": stream, "data": payload}
        connection.push(payload, event=context["event"])

    def _publish_liquidation(self, frame: dict[str, Any]) -> None:
        wanted = {"!forceOrder@arr", f"{frame['o']['s'].lower()}@forceOrder"}
        for connection in self.connections:
            if self._carries(connection, "forceOrder"):
                for stream in wanted & connection.subscriptions:
                    combined = connection.state["combined"]
                    payload = {"stream": stream, "data": frame} if combined else frame
                    connection.push(payload, event="forceOrder")

    # ---- clocks ---------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the price heartbeat and the timers of listen keys and countdowns."""
        self.spawn(self._beat())
        self.spawn(self._watch_timers())

    async def _beat(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self.heartbeat_s)
            beats += 1

            def is_due(stream: str, beat: int = beats) -> bool:
                slow = "@markPrice" in f"@{stream}" and not stream.endswith("@1s")
                return beat % 3 == 0 if slow else "@depth" not in stream

            self._publish(None, is_due)
            if beats % 180 == 0:
                for connection in self.connections:
                    connection.ping(str(self.now_ms()).encode())

    async def _watch_timers(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            now = self.now_ms()
            for account in self.accounts.values():
                if account.listen_key and account.listen_key_expires_ms <= now:
                    self.expire_listen_key(account.key, silently=False)
                due = [name for name, at_ms in account.countdowns.items() if at_ms <= now]
                for name in due:
                    del account.countdowns[name]
                    conditional = None if self.countdown_cancels_algo else False
                    account.ledger.cancel_all(name, conditional)


def main() -> None:
    """Run the server alone, as the command line says."""
    options = control.parse()
    server = BinanceUsdmServer(port=options.port)
    control.prepare(server, options)
    asyncio.run(control.serve(server))


if __name__ == "__main__":
    main()
