"""Binance USD-M futures on 127.0.0.1: REST, market streams, user data, for unmodified clients.

`python -m tests.servers.binance_usdm --port 9001 --key K --secret S --position BTCUSDT=1@40000`
runs it alone. Documents live in `binance_*.py`, the account's truth in `ledger.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.servers import binance_errors as errors
from tests.servers import control
from tests.servers.base import ProtocolServer, Reply, Request
from tests.servers.binance_account import Account, Call
from tests.servers.binance_errors import ApiError
from tests.servers.binance_feeds import ROUTES, Feeds
from tests.servers.binance_market import MarketData, list_contracts
from tests.servers.binance_routes import Route, Routes
from tests.servers.binance_streams import MarketStreams
from tests.servers.binance_weights import Weights
from tests.servers.faults import Fault
from tests.servers.ledger import Ledger, Market, VenueError
from tests.servers.ledger_market import wall_clock_ms
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
        feeds: the websockets, see `Feeds`.
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
        self.feeds = Feeds(self.market, self.streams, self.accounts, self.connections, self.faults)
        self.market.subscribe(self.feeds.on_price)

    # ---- for tests ------------------------------------------------------------------------------

    def add_account(
        self, key: str, secret: str, *, balance: Mapping[str, Decimal], hedge_mode: bool = False
    ) -> Ledger:
        """Open an account with the venue's fees and rules."""
        ledger = super().add_account(key, secret, balance=balance, hedge_mode=hedge_mode)
        ledger.spawns_orders = True
        ledger.resting_reduce_only = "limits"
        account = self.accounts[key] = Account(key, ledger)
        ledger.subscribe(lambda event: self.feeds.on_ledger(account, event))
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
        self.feeds.to_user(account, old, frame)

    # ---- REST -----------------------------------------------------------------------------------

    def is_socket_path(self, path: str) -> bool:
        """Return whether a path is a stream endpoint."""
        parts = path.strip("/").split("/")
        if parts[0] in ROUTES:
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
        if sent > request.at_ms + 1000:
            words = "Timestamp for this request was 1000ms ahead of the server's time."
            raise ApiError(-1021, words)
        if sent < request.at_ms - window:
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

    # ---- sockets and clocks ---------------------------------------------------------------------

    async def handle_socket(self, path: str, query: Mapping[str, str], socket: Connection) -> None:
        """Serve one stream socket until it closes."""
        await self.feeds.serve(path, query, socket)

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

            self.feeds.publish(None, is_due)
            if beats % 180 == 0:
                for connection in self.connections:
                    connection.ping(str(self.now_ms()).encode())

    async def _watch_timers(self) -> None:
        while True:
            await asyncio.sleep(0.02)
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
