"""An OKX v5 server: REST and websockets on 127.0.0.1, as the venue's public documents say.

Run by hand: `python -m tests.servers.okx --port 8080 --key K --secret S --passphrase P`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from tests.servers import control
from tests.servers.base import ProtocolServer, Reply, Request
from tests.servers.faults import Fault
from tests.servers.ledger import Ledger
from tests.servers.ledger_types import Event
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_call import Call, Endpoint, authenticate, batch_envelope, envelope
from tests.servers.okx_desk import (
    ENDPOINTS as DESK,
)
from tests.servers.okx_desk import (
    ORDER_PATHS,
    failures,
    strike_dead_man,
)
from tests.servers.okx_errors import CODES, OkxError
from tests.servers.okx_private import ENDPOINTS as PRIVATE
from tests.servers.okx_public import HANDLERS as PUBLIC
from tests.servers.okx_push import Publisher
from tests.servers.okx_rows import Row
from tests.servers.okx_socket import PATHS, OkxSocket
from tests.servers.okx_venue import OkxVenue
from tests.servers.sockets import Connection

PREFIX: Final = "/api/v5/"
ENDPOINTS: Final[dict[tuple[str, str], Endpoint]] = PRIVATE | DESK
DEFAULT_CODES: Final = {
    "ambiguous": "50004",
    "accept_late": "50004",
    "maintenance": "50001",
    "rate_limited": "50011",
    "server_error": "50026",
    "error": "50026",
}


class OkxServer(ProtocolServer):
    """OKX on 127.0.0.1.

    Attributes:
        venue: market, accounts and limits.
        accounts: API key -> account, with its settings (permissions, ip, level).
        mark_interval: seconds between prices while nothing moves. The venue repeats an unchanged
            mark price every 10 s only; a live market moves all the time, hence the default.
        snapshot_interval: seconds between regular pushes of the account and positions channels.
        idle_seconds: after how long without traffic the venue closes a websocket (4004).
        publisher: what is pushed; its page_size cuts position snapshots into pages.
    """

    name = "okx"

    def __init__(self, *, port: int = 0, enforce_rate_limits: bool = True) -> None:
        self.venue = OkxVenue(enforce_rate_limits=enforce_rate_limits)
        super().__init__(port=port, market=self.venue.market)
        self.faults = self.venue.faults
        self.mark_interval = 1.0
        self.snapshot_interval = 5.0
        self.idle_seconds = 30.0
        self.publisher = Publisher(self.venue, self.connections)
        self._socket_numbers = itertools.count(0xA4D3AE55)

    @property
    def accounts(self) -> dict[str, OkxAccount]:
        """Accounts by API key."""
        return self.venue.accounts

    def now_ms(self) -> int:
        """Return the venue's clock, UTC milliseconds, with any planted skew."""
        return self.venue.now_ms()

    def add_account(
        self,
        key: str,
        secret: str,
        *,
        balance: Mapping[str, Decimal],
        hedge_mode: bool = False,
        passphrase: str = "passphrase",
        **settings: Any,
    ) -> Ledger:
        """Open an account and return its ledger; settings as `OkxAccount` takes them."""
        account = self.venue.add_account(
            key=key,
            secret=secret,
            passphrase=passphrase,
            balance=balance,
            hedge_mode=hedge_mode,
            **settings,
        )

        def publish(event: Event) -> None:
            self.publisher.on_account(account, event)

        account.subscribe(publish)
        self.ledgers[key] = account.ledger
        self.secrets[key] = secret
        return account.ledger

    def ccxt_config(self) -> dict[str, Any]:
        """Return what a user writes under `ccxt:` so that class `okx` speaks to this server."""
        urls = {"rest": self.rest_url, "ws": f"{self.ws_url}/ws/v5"}
        # ccxt takes `test` in sandbox mode; without it that mode would leave this machine.
        return {"urls": {"api": urls, "test": dict(urls)}}

    # ---- REST -----------------------------------------------------------------------------------

    def api_key_of(self, headers: Mapping[str, str], params: Mapping[str, Any]) -> str:
        """Return the API key a request names, empty for public ones."""
        del params
        return headers.get("OK-ACCESS-KEY", "")

    def is_order(self, request: Request) -> bool:
        """Return whether a request creates an order."""
        return request.method == "POST" and request.path.removeprefix(PREFIX) in ORDER_PATHS

    def describe(self, request: Request) -> dict[str, Any]:
        """Return the fields fault matches look at, of the first order of a batch."""
        first = (items_of(request) or [{}])[0]
        return super().describe(request) | {
            "symbol": first.get("instId", ""),
            "client_id": first.get("clOrdId", ""),
            "type": first.get("ordType", ""),
        }

    async def handle(self, request: Request) -> Reply:
        """Answer one REST request."""
        try:
            return self._serve(request)
        except OkxError as error:
            return Reply(error.body(), error.status)
        except ValueError:
            # A number that is none: the venue would name the parameter.
            malformed = OkxError("51000")
            return Reply(malformed.body(), malformed.status)

    def _serve(self, request: Request) -> Reply:
        path = request.path.removeprefix(PREFIX)
        if request.method == "GET" and path in PUBLIC:
            serve, calls, seconds = PUBLIC[path]
            extra = str(request.params.get("instType") or request.params.get("instId") or "")
            if self.venue.exceeds_limit(("ip", path, extra), calls, seconds):
                raise OkxError("50011")
            return Reply(envelope(serve(self.venue, request.params)))
        endpoint = ENDPOINTS.get((request.method, path))
        if endpoint is None:
            known = path in PUBLIC or any(name == path for _, name in ENDPOINTS)
            if known:
                raise OkxError("50115")
            return Reply({"code": "404", "data": [], "msg": "Not Found"}, 404)
        return self._serve_private(request, path, endpoint)

    def _serve_private(self, request: Request, path: str, endpoint: Endpoint) -> Reply:
        query = f"?{request.raw_query}" if request.raw_query else ""
        headers = {name.lower(): value for name, value in request.headers.items()}
        prehash = f"{request.method}{request.path}{query}{request.body}"
        account = authenticate(self.venue, headers, prehash)
        request.is_authenticated = True
        if not account.allows(endpoint.permission):
            raise OkxError("50120")
        expires = headers.get("exptime")
        if expires and int(expires) < self.now_ms():
            raise OkxError("50037")
        items = items_of(request)
        self._count(account, path, endpoint, items)
        call = Call(self.venue, account, request.params, items, self.describe(request))
        rows = endpoint.serve(call)
        if request.method == "POST" and path.startswith("trade/"):
            return Reply(batch_envelope(rows, failures(rows), self.now_ms()))
        return Reply(envelope(rows))

    def _count(self, account: OkxAccount, path: str, endpoint: Endpoint, items: list[Row]) -> None:
        # A batch counts its orders; a batch of one counts as the single operation.
        who: tuple[str, ...] = ("user", account.uid, path)
        if endpoint.per_instrument:
            who += (str(items[0].get("instId", "")) if items else "",)
        cost = len(items) if endpoint.calls >= 300 else 1
        for _ in range(max(cost, 1)):
            if self.venue.exceeds_limit(who, endpoint.calls, endpoint.seconds):
                raise OkxError("50011")

    def refusal(self, kind: str, fault: Fault, request: Request) -> Reply:
        """Return the venue's wording of a planted refusal."""
        params = fault.params
        if kind == "banned":
            headers = {"Retry-After": str(params.get("retry_after", 120))}
            return Reply("<html><body>403 Forbidden</body></html>", 403, headers)
        if kind == "reply_html":
            return Reply("<html><body>Bad Gateway</body></html>", int(params.get("status", 502)))
        code = str(params.get("code", DEFAULT_CODES[kind]))
        usual, message = CODES.get(code, (400, "error"))
        status = int(params.get("status", 500 if kind == "server_error" else usual))
        message = str(params.get("message") or message.replace(" {0}", ""))
        if self.is_order(request) and code.startswith("51") and "status" not in params:
            return self._refused_orders(code, message, request)
        headers = {}
        if kind == "rate_limited":
            headers["Retry-After"] = str(params.get("retry_after", 1))
        return Reply({"code": code, "data": [], "msg": message}, status, headers)

    def _refused_orders(self, code: str, message: str, request: Request) -> Reply:
        rows = [
            {
                "clOrdId": str(item.get("clOrdId") or ""),
                "ordId": "",
                "sCode": code,
                "sMsg": message,
                "tag": str(item.get("tag") or ""),
                "ts": str(self.now_ms()),
            }
            for item in items_of(request)
        ]
        return Reply(batch_envelope(rows, len(rows), self.now_ms()))

    # ---- websockets -----------------------------------------------------------------------------

    def is_socket_path(self, path: str) -> bool:
        """Return whether a path is one of the venue's websocket endpoints."""
        return path in PATHS

    async def handle_socket(self, path: str, query: Mapping[str, str], socket: Connection) -> None:
        """Serve one accepted websocket until it closes."""
        del query
        number = next(self._socket_numbers)
        await OkxSocket(self.venue, self.publisher, socket, path, number).serve()

    async def on_start(self) -> None:
        """Start the periodic work."""
        self.spawn(self._tick())
        self.spawn(self._repeat_prices())
        self.spawn(self._repeat_accounts())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            for account in self.accounts.values():
                strike_dead_man(account)
            for connection in list(self.connections):
                active = float(connection.state.get("active", time.monotonic()))
                if time.monotonic() - active > self.idle_seconds and not connection.is_silent:
                    await connection.close(4004)

    async def _repeat_prices(self) -> None:
        while True:
            await asyncio.sleep(self.mark_interval)
            for instrument in list(self.market.instruments.values()):
                self.publisher.push_prices(instrument, books=False)

    async def _repeat_accounts(self) -> None:
        while True:
            await asyncio.sleep(self.snapshot_interval)
            self.publisher.regular()


def items_of(request: Request) -> list[Row]:
    """Return the JSON array of a batch request, or the one object of a single one."""
    body = request.params.get("")
    if isinstance(body, list):
        return [item for item in body if isinstance(item, dict)]
    return [request.params] if request.params else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--passphrase", default="passphrase")
    options, rest = own.parse_known_args(arguments)
    shared = control.parse(rest)
    server = OkxServer(port=shared.port)
    control.prepare(server, shared)
    server.accounts[shared.key].passphrase = options.passphrase
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(control.serve(server))


if __name__ == "__main__":
    main()
