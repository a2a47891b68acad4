"""A Bybit v5 server (unified trading account) on 127.0.0.1 for unmodified ccxt.pro clients.

`python -m tests.servers.bybit --port 8300 --key K --secret S --balance USDT=100000
--position BTCUSDT=1@40000` runs it alone, with a `/control` route.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tests.servers import bybit_faults as faults
from tests.servers import bybit_private as private
from tests.servers import bybit_public as public
from tests.servers import bybit_trading as trading
from tests.servers import control
from tests.servers.base import ProtocolServer, Reply, Request
from tests.servers.bybit_account import Account, new_id
from tests.servers.bybit_errors import TEXTS, ApiError, from_ledger, refuse
from tests.servers.bybit_limits import LIMITS, SPOT_LIMITS, USUAL_LIMIT, limit_headers
from tests.servers.bybit_market import Row, list_all
from tests.servers.bybit_prices import Candles, Statistics
from tests.servers.bybit_streams import PRIVATE, PUBLIC, TRADE, Streams
from tests.servers.faults import Fault
from tests.servers.ledger import Ledger, Market
from tests.servers.ledger_types import VenueError
from tests.servers.sockets import Connection

GET: Final = private.GET | trading.GET
POST: Final = private.POST | trading.POST

IP_LIMIT, IP_WINDOW_S, IP_BAN_S = 600, 5.0, 600.0
# Paths a read-only key may not use; orders are checked by category.
WRITES: Final = tuple(path for path in POST if "/order/" in path or "/position/" in path)


class BybitServer(ProtocolServer):
    """Bybit v5 on loopback; several API keys are several accounts on one market.

    Attributes:
        accounts: API key -> rights, settings and history; `.ledger` is the account's truth.
        trades: ledger key -> public trades, oldest first.
        limits_enforced: whether rate limits are enforced (per account and path, and per IP).
        pulse_seconds: how often market streams speak while prices stand still.
        dcp_scale: multiplies disconnection windows, so that a test need not wait for them.
    """

    name = "bybit"

    def __init__(self, *, port: int = 0, market: Market | None = None) -> None:
        super().__init__(port=port, market=market)
        self.faults = faults.BybitFaults(self)
        self.accounts: dict[str, Account] = {}
        self.trades: dict[str, deque[Row]] = {}
        self.limits_enforced = True
        self.pulse_seconds = 1.0
        self.dcp_scale = 1.0
        self.market.make_order_id = self.market.make_fill_id = new_id
        self._days: dict[str, Statistics] = {}
        self._candles: dict[str, Candles] = {}
        self._updates: dict[str, int] = defaultdict(lambda: 18_521_288)
        self._recent: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._banned_until = 0.0
        self.streams = Streams(self)
        if not self.market.instruments:
            list_all(self.market)
        for key in self.market.instruments:
            self.day_of(key)
            self.candles_of(key)
        self.market.subscribe(self.streams.feeds.on_event)

    def add_account(
        self, key: str, secret: str, *, balance: Mapping[str, Decimal], hedge_mode: bool = False
    ) -> Ledger:
        """Open an account and return its ledger; `accounts[key]` has the rest."""
        ledger = super().add_account(key, secret, balance=balance, hedge_mode=hedge_mode)
        ledger.taker_fee, ledger.maker_fee = Decimal("0.00055"), Decimal("0.0002")
        account = Account(key, secret, ledger, 24_600_000 + len(self.accounts))
        self.accounts[key] = account
        self.streams.follow(account)
        return ledger

    def ccxt_config(self) -> dict[str, Any]:
        """Return what a user writes under `ccxt:` to reach this server: addresses alone."""
        rest = dict.fromkeys(("spot", "futures", "v2", "public", "private"), self.rest_url)
        ws = self.ws_url
        return {
            "urls": {
                "api": rest
                | {
                    "ws": {
                        "public": {kind: ws + path for path, kind in PUBLIC.items()},
                        "private": {
                            "spot": {"unified": ws + PRIVATE, "nonUnified": ws + PRIVATE},
                            "contract": ws + PRIVATE,
                            "usdc": ws + PRIVATE,
                            "trade": ws + TRADE,
                        },
                    }
                }
            }
        }

    # ---- market figures -------------------------------------------------------------------------

    def day_of(self, key: str) -> Statistics:
        """Return the 24 hour figures of an instrument."""
        if key not in self._days:
            self._days[key] = Statistics(self.market.lasts[key])
        return self._days[key]

    def candles_of(self, key: str) -> Candles:
        """Return the candles of an instrument."""
        if key not in self._candles:
            self._candles[key] = Candles(self.market.lasts[key], self.now_ms())
        return self._candles[key]

    def update_of(self, key: str) -> int:
        """Return the number of the latest book update of an instrument."""
        return self._updates[key]

    def bump(self, key: str) -> int:
        """Return the next update number of an instrument."""
        self._updates[key] += 1
        return self._updates[key]

    def remember_trade(self, key: str, row: Row) -> None:
        """Keep a public trade for GET /v5/market/recent-trade."""
        self.trades.setdefault(key, deque(maxlen=1000)).append(row)

    def stamp(self) -> int:
        """Return the timestamp of market frames, UTC milliseconds; a fault can freeze it."""
        frozen = self.faults.peek("timestamps_frozen")
        return int(frozen.params["at"]) if frozen else self.now_ms()

    # ---- websockets -----------------------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Whether the server is going away."""
        return self._stopping.is_set()

    async def on_start(self) -> None:
        """Start the pulse of the market streams."""
        self.spawn(self.streams.feeds.pulse())

    def is_socket_path(self, path: str) -> bool:
        return path in PUBLIC or path in (PRIVATE, TRADE)

    async def handle_socket(self, path: str, query: Mapping[str, str], socket: Connection) -> None:
        del query
        await self.streams.serve(path, socket)

    def trade(self, key: str, path: str, body: dict[str, Any]) -> Row:
        """Answer an order request that came over the order entry websocket."""
        request = Request(time.monotonic(), self.now_ms(), "POST", path, body, key)
        request.is_authenticated, request.is_order = True, path == "/v5/order/create"
        self.requests.append(request)
        try:
            data = self._run(self.accounts[key], request)
        except ApiError as error:
            request.code = str(error.code)
            return {"retCode": error.code, "retMsg": error.message, "data": {}}
        return {"retCode": 0, "retMsg": "OK", "data": data}

    # ---- REST -----------------------------------------------------------------------------------

    def api_key_of(self, headers: Mapping[str, str], params: Mapping[str, Any]) -> str:
        del params
        return headers.get("X-BAPI-API-KEY", "")

    def is_order(self, request: Request) -> bool:
        return request.path in ("/v5/order/create", "/v5/order/create-batch")

    def describe(self, request: Request) -> dict[str, Any]:
        params = request.params
        return super().describe(request) | {
            "symbol": params.get("symbol"),
            "category": params.get("category"),
            "client_id": params.get("orderLinkId"),
            "type": params.get("orderType"),
            "side": params.get("side"),
        }

    async def handle(self, request: Request) -> Reply:
        headers: dict[str, str] = {}
        try:
            self._check_ip_rate()
            if request.path in public.ROUTES and request.method == "GET":
                result = public.ROUTES[request.path](self, request.params)
            else:
                result = self._private(request, headers)
        except ApiError as error:
            return self.reply(error.code, error.message, {}, error.status, headers)
        except (ValueError, ArithmeticError) as error:
            return self.reply(10001, f"params error: {error}", {}, 200, headers)
        if result is None:
            return Reply({"retCode": 0, "retMsg": "success"}, 200, headers)
        return self.reply(0, "OK", result, 200, headers)

    def reply(
        self, code: int, message: str, result: Row, status: int, headers: dict[str, str]
    ) -> Reply:
        """Wrap a result, or a refusal, in the venue's envelope."""
        extra = result.pop("retExtInfo", {})
        data = {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": extra,
            "time": self.now_ms(),
        }
        return Reply(data, status, headers)

    def _private(self, request: Request, headers: dict[str, str]) -> Any:
        routes = GET if request.method == "GET" else POST
        if request.path not in routes:
            raise ApiError(10017, status=404)
        account = self._authenticate(request)
        request.is_authenticated = True
        self._check_rate(account, request, headers)
        return self._run(account, request)

    def _run(self, account: Account, request: Request) -> Any:
        if request.path in WRITES and not account.rights.allows_orders(
            str(request.params.get("category"))
        ):
            raise refuse(10005)
        if request.path.endswith("/inter-transfer") and not account.rights.allows_transfers():
            raise refuse(10005)
        handler = (GET if request.method == "GET" else POST)[request.path]
        try:
            return handler(self, account, request.params)
        except VenueError as error:
            raise from_ledger(error, spot=request.params.get("category") == "spot") from error

    def _authenticate(self, request: Request) -> Account:
        given = {name.upper(): value for name, value in request.headers.items()}
        stamp, sign = given.get("X-BAPI-TIMESTAMP", ""), given.get("X-BAPI-SIGN", "")
        window = given.get("X-BAPI-RECV-WINDOW", "5000")
        if not (request.api_key and stamp.isdigit() and sign and window.isdigit()):
            raise ApiError(10001, "empty value: openapi sign params error!", status=401)
        account = self.accounts.get(request.api_key)
        if account is None:
            raise ApiError(10003, status=401)
        now = request.at_ms  # what is accepted late was checked when it came
        if not now - int(window) <= int(stamp) < now + 1000:
            detail = f" req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]"
            raise ApiError(10002, TEXTS[10002] + detail)
        payload = request.raw_query if request.method == "GET" else request.body
        text = stamp + request.api_key + window + payload
        right = hmac.new(account.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right, sign):
            raise ApiError(10004, f"error sign! origin_string[{text}]")
        if account.rights.expired:
            raise refuse(33004)
        if not account.rights.allows_ip("127.0.0.1"):
            raise refuse(10010)
        return account

    # ---- limits ---------------------------------------------------------------------------------

    def _count(self, bucket: tuple[str, str], seconds: float) -> deque[float]:
        now = time.monotonic()
        recent = self._recent[bucket]
        while recent and recent[0] <= now - seconds:
            recent.popleft()
        recent.append(now)
        return recent

    def _check_ip_rate(self) -> None:
        # Too many requests shut the address out for ten minutes, not only for the window.
        now = time.monotonic()
        if len(self._count(("ip", ""), IP_WINDOW_S)) > IP_LIMIT:
            self._banned_until = now + IP_BAN_S
        if now < self._banned_until and self.limits_enforced:
            raise ApiError(10018, "403, access too frequent", status=403)

    def _check_rate(self, account: Account, request: Request, headers: dict[str, str]) -> None:
        is_spot = request.params.get("category") == "spot"
        limit = LIMITS.get(request.path, USUAL_LIMIT)
        if is_spot:
            limit = SPOT_LIMITS.get(request.path, limit)
        bucket = (account.key, request.path + ("#spot" if is_spot else ""))
        recent = self._count(bucket, 1.0)
        left, now = limit - len(recent), self.now_ms()
        reset = now
        if left < 0:
            reset = now + max(0, int((recent[0] + 1.0 - time.monotonic()) * 1000))
        headers |= limit_headers(limit, max(0, left), reset)
        if left < 0 and self.limits_enforced:
            recent.pop()
            raise refuse(10006)

    def refusal(self, kind: str, fault: Fault, request: Request) -> Reply:
        return faults.refusal(self, kind, fault, request)


if __name__ == "__main__":
    options = control.parse()
    venue = BybitServer(port=options.port)
    control.prepare(venue, options)
    asyncio.run(control.serve(venue))
