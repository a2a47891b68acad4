"""How planted faults look on Bybit: its wording of refusals, and orders and lists gone wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tests.servers.base import Reply, Request
from tests.servers.bybit_account import Account
from tests.servers.bybit_errors import TEXTS, ApiError
from tests.servers.bybit_holdings import position_row
from tests.servers.bybit_limits import LIMITS, USUAL_LIMIT, limit_headers
from tests.servers.bybit_market import Row
from tests.servers.faults import Fault, Faults

if TYPE_CHECKING:
    from tests.servers.bybit import BybitServer

HTML: Final = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"


class BybitFaults(Faults):
    """Faults that remember what was true when they were planted."""

    def __init__(self, server: BybitServer) -> None:
        super().__init__()
        self._server = server

    def add(
        self,
        kind: str,
        times: int | None = 1,
        match: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Fault:
        """Plant a fault; see `Faults.add`."""
        fault = super().add(kind, times, match, **params)
        if kind == "timestamps_frozen":
            fault.params.setdefault("at", self._server.now_ms())
        if kind == "positions_stale":
            accounts = self._server.accounts
            fault.params["rows"] = {k: position_rows(a) for k, a in accounts.items()}
        return fault


def refusal(server: BybitServer, kind: str, fault: Fault, request: Request) -> Reply:
    """Return the venue's wording of a planted refusal.

    A rate limit answers as the documents say: HTTP 200 with 10006 and the reset time in a
    header; with status=429 it is the system level protection, with Retry-After. A ban is HTTP
    403 without a JSON code the client could rely on unless [code] is given.
    """
    params = fault.params
    if kind == "rate_limited":
        return _limited(server, fault, request)
    if kind == "banned":
        headers = {"Retry-After": str(params["retry_after"])} if "retry_after" in params else {}
        return server.reply(
            int(params.get("code", 10018)), "403, access too frequent", {}, 403, headers
        )
    if kind in ("server_error", "reply_html"):
        usual = 503 if kind == "server_error" else 502
        return Reply(HTML, int(params.get("status", usual)))
    usual_code = {"maintenance": 10016, "ambiguous": 10000, "accept_late": 10000}
    code = int(params.get("code", usual_code.get(kind, 10001)))
    text = "System maintenance, please try again later." if kind == "maintenance" else None
    message = str(params.get("message") or text or TEXTS.get(code, "error"))
    return server.reply(code, message, {}, int(params.get("status", 200)), {})


def _limited(server: BybitServer, fault: Fault, request: Request) -> Reply:
    seconds = float(fault.params.get("retry_after", 1))
    status = int(fault.params.get("status", 200))
    if status == 200:
        limit = LIMITS.get(request.path, USUAL_LIMIT)
        headers = limit_headers(limit, 0, server.now_ms() + int(seconds * 1000))
        return server.reply(10006, TEXTS[10006], {}, 200, headers)
    headers = {"Retry-After": f"{seconds:g}"}
    return server.reply(int(fault.params.get("code", 429)), TEXTS[429], {}, status, headers)


@contextmanager
def order_faults(server: BybitServer, account: Account, body: dict[str, Any]) -> Iterator[None]:
    """Let planted order faults strike a create request: refusals, or a partial fill."""
    context = {
        "api_key": account.key,
        "symbol": body.get("symbol"),
        "client_id": body.get("orderLinkId"),
        "type": body.get("orderType"),
        "path": "/v5/order/create",
        "method": "POST",
        "order": True,
    }
    _refuse_order(server, account, body, context)
    fault = server.faults.take("partial_fill", **context)
    usual = account.ledger.fill_ratio
    if fault is not None:
        account.ledger.fill_ratio = Decimal(str(fault.params.get("ratio", "0.5")))
    try:
        yield
    finally:
        account.ledger.fill_ratio = usual


def _refuse_order(
    server: BybitServer, account: Account, body: dict[str, Any], context: dict[str, Any]
) -> None:
    spot = body.get("category") == "spot"
    closes = body.get("reduceOnly") is True or (
        (str(body.get("positionIdx")), body.get("side")) in (("1", "Sell"), ("2", "Buy"))
    )
    candidates = {
        "market_rejected": (body.get("orderType") == "Market", 110118, 170149),
        "reduce_only_rejected": (closes, 110017, 170210),
        "insufficient_margin": (True, 110007, 170131),
        "min_notional": (True, 110094, 170140),
    }
    for kind, (applies, contract_code, spot_code) in candidates.items():
        fault = server.faults.take(kind, **context) if applies else None
        if fault is not None:
            code = int(fault.params.get("code", spot_code if spot else contract_code))
            raise ApiError(code, TEXTS.get(code, "error").format("5USDT"))


def position_rows(account: Account) -> list[Row]:
    """Return the rows of all open positions as they are now."""
    return [
        position_row(account.ledger, position, sequence=account.sequence)
        for position in account.ledger.open_positions()
    ]


def through_position_faults(
    server: BybitServer, account: Account, rows: list[Row], query: dict[str, Any]
) -> list[Row]:
    """Return the rows of a position list after planted faults."""
    context = {"api_key": account.key, "symbol": query.get("symbol")}
    stale = server.faults.take("positions_stale", **context)
    if stale is not None:
        old = stale.params["rows"].get(account.key, [])
        kinds = {name: item.kind for name, item in server.market.instruments.items()}
        rows = [
            row
            for row in old
            if kinds[row["symbol"]] == query.get("category")
            and query.get("symbol") in (None, "", row["symbol"])
        ]
    cut = server.faults.take("positions_cut", **context)
    return rows if cut is None else rows[: int(cut.params.get("keep", 1))]
