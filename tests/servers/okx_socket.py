"""What a client may say on OKX's websockets: ping, login, subscribe, unsubscribe, orders.

Three paths: /ws/v5/public, /ws/v5/private and /ws/v5/business. Pushes are in `okx_push.py`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from typing import Any, Final

from tests.servers.okx_account import OkxAccount
from tests.servers.okx_call import Call, Handler, batch_envelope, sign
from tests.servers.okx_desk import amend_batch, cancel_batch, failures, place_batch
from tests.servers.okx_errors import OkxError
from tests.servers.okx_push import Publisher
from tests.servers.okx_rows import Row
from tests.servers.okx_venue import OkxVenue
from tests.servers.sockets import Connection

PATHS: Final = ("/ws/v5/public", "/ws/v5/private", "/ws/v5/business")
PUBLIC: Final = frozenset(
    {"tickers", "mark-price", "index-tickers", "books", "books5", "bbo-tbt", "trades"}
    | {"funding-rate", "instruments", "status", "price-limit", "open-interest"}
)
VIP: Final = frozenset({"books-l2-tbt", "books50-l2-tbt"})
PRIVATE: Final = frozenset({"account", "positions", "balance_and_position", "orders"})
BUSINESS: Final = frozenset({"orders-algo", "algo-advance"})
WITHOUT_INSTRUMENT: Final = frozenset({"instruments", "status"})
NEEDS_TYPE: Final = frozenset({"positions", "orders", "orders-algo", "algo-advance"})
OPERATIONS: Final[dict[str, Handler]] = {
    "order": place_batch,
    "batch-orders": place_batch,
    "cancel-order": cancel_batch,
    "batch-cancel-orders": cancel_batch,
    "amend-order": amend_batch,
    "batch-amend-orders": amend_batch,
}


class OkxSocket:
    """One connection of a client.

    Attributes:
        access: public, private or business, from the path.
        account: whose connection it is, once logged in.
    """

    def __init__(
        self, venue: OkxVenue, publisher: Publisher, connection: Connection, path: str, number: int
    ) -> None:
        self.venue = venue
        self.publisher = publisher
        self.connection = connection
        self.access = path.rsplit("/", 1)[-1]
        self.account: OkxAccount | None = None
        self.id = f"{number:08x}"
        connection.kind = "market" if self.access == "public" else "user"
        connection.state["args"] = []
        connection.state["active"] = time.monotonic()

    async def serve(self) -> None:
        """Answer until the client leaves."""
        async for text in self.connection.messages():
            self.connection.state["active"] = time.monotonic()
            if text == "ping":
                self.connection.push("pong", is_event=False)
                continue
            try:
                message = json.loads(text)
                await self._answer(message)
            except (ValueError, TypeError, KeyError, AttributeError):
                self._error("60012", text)

    def _reply(self, frame: Row) -> None:
        self.connection.push(frame | {"connId": self.id}, is_event=False)

    def _error(self, code: str, argument: str = "", request: Any = None) -> None:
        frame = {"event": "error", "code": code, "msg": OkxError(code, argument).text}
        if isinstance(request, dict) and request.get("id"):
            frame["id"] = str(request["id"])
        self._reply(frame)

    async def _answer(self, message: Row) -> None:
        operation = message["op"]
        if operation == "login":
            await self._login(message["args"][0])
        elif operation in {"subscribe", "unsubscribe"}:
            for arg in message["args"]:
                self._change(message, operation, dict(arg))
        elif operation in OPERATIONS:
            self._trade(message, operation)
        else:
            self._error("60019", str(operation), message)

    # ---- login ----------------------------------------------------------------------------------

    async def _login(self, arg: Row) -> None:
        code = self._login_fault(arg)
        if code:
            self._error(code)
            await asyncio.sleep(0.05)
            await self.connection.close(4001)
            return
        self.account = self.venue.accounts[arg["apiKey"]]
        self.connection.api_key = self.account.key
        self._reply({"event": "login", "code": "0", "msg": ""})

    def _login_fault(self, arg: Row) -> str:
        if self.account is not None:
            return "60009"
        account = self.venue.accounts.get(str(arg.get("apiKey") or ""))
        if account is None:
            return "60005"
        if arg.get("passphrase") != account.passphrase:
            return "60024"
        stamp = str(arg.get("timestamp") or "")
        if not stamp.replace(".", "", 1).isdigit():
            return "60004"
        if abs(float(stamp) * 1000 - self.venue.now_ms()) > 30_000:
            return "60006"
        wanted = sign(account.secret, f"{stamp}GET/users/self/verify")
        good = hmac.compare_digest(wanted.encode(), str(arg.get("sign") or "").encode())
        return "" if good else "60007"

    # ---- channels -------------------------------------------------------------------------------

    def _change(self, message: Row, operation: str, arg: Row) -> None:
        code = self._subscription_fault(arg)
        if code:
            words = ",".join(f"{k}:{v}" for k, v in arg.items())
            self._error(code, words, message)
            return
        args = self.connection.state["args"]
        name = json.dumps(arg, sort_keys=True)
        if operation == "unsubscribe":
            if arg in args:
                args.remove(arg)
            self.connection.subscriptions.discard(name)
        elif arg not in args:
            args.append(arg)
            self.connection.subscriptions.add(name)
        reply = {"event": operation, "arg": arg}
        if message.get("id"):
            reply["id"] = str(message["id"])
        self._reply(reply)
        books = self.connection.state.get("books", {})
        books.pop((arg["channel"], arg.get("instId")), None)
        if operation == "subscribe":
            self._welcome(arg)

    def _welcome(self, arg: Row) -> None:
        channel = arg["channel"]
        if channel in PRIVATE:
            count = sum(
                any(other["channel"] == channel for other in connection.state.get("args", []))
                for connection in self.publisher.connections
                if connection.api_key == self.connection.api_key
            )
            frame = {"event": "channel-conn-count", "channel": channel, "connCount": str(count)}
            self._reply(frame)
        private = channel in PRIVATE or channel in BUSINESS
        self.publisher.welcome(self.connection, arg, self.account if private else None)

    def _subscription_fault(self, arg: Row) -> str:
        channel = arg.get("channel")
        if channel in VIP:
            return "60029"
        here = {"public": PUBLIC, "private": PRIVATE, "business": BUSINESS}[self.access]
        if channel not in here:
            return "60018"
        if self.access != "public" and self.account is None:
            return "60011"
        if channel in NEEDS_TYPE and not arg.get("instType"):
            return "60013"
        if self.access == "public" and channel not in WITHOUT_INSTRUMENT:
            return "" if self._is_known(arg) else "60018"
        return ""

    def _is_known(self, arg: Row) -> bool:
        names = self.venue.market.instruments
        if arg["channel"] == "index-tickers":
            return any(name.startswith(str(arg.get("instId"))) for name in names)
        return arg.get("instId") in names

    # ---- orders ---------------------------------------------------------------------------------

    def _trade(self, message: Row, operation: str) -> None:
        if self.account is None or self.access != "private":
            self._error("60011" if self.access == "private" else "60028", operation, message)
            return
        frame: Row = {"id": str(message.get("id") or ""), "op": operation}
        context = {"path": operation, "api_key": self.account.key, "socket": "user"}
        call = Call(self.venue, self.account, {}, list(message["args"]), context)
        try:
            frame |= self._run(operation, call)
        except OkxError as error:
            frame |= {"code": error.code, "data": [], "msg": error.text}
        self.connection.push(frame, is_event=False)

    def _run(self, operation: str, call: Call) -> Row:
        if not call.account.allows("trade"):
            raise OkxError("50120")
        rows = OPERATIONS[operation](call)
        # Over the socket the outcome of each order speaks for itself: no msg.
        return batch_envelope(rows, failures(rows), self.venue.now_ms()) | {"msg": ""}
