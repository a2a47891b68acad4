"""The /control route and the command line of a protocol server, for people and real processes.

POST {"op": name, ...} changes something, GET returns the state; nothing here is a venue's protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.servers.ledger import Ledger, Order, VenueError

if TYPE_CHECKING:
    from tests.servers.base import ProtocolServer

Body = dict[str, Any]


def dumps(data: Any) -> str:
    """Return JSON, Decimals as strings."""
    return json.dumps(data, default=str, separators=(",", ":"))


def _number(body: Body, name: str) -> Decimal | None:
    return Decimal(str(body[name])) if body.get(name) is not None else None


def _needed(body: Body, name: str) -> Decimal:
    return Decimal(str(body[name]))


def _ledger(server: ProtocolServer, body: Body) -> Ledger:
    return server.ledgers[body["key"]] if "key" in body else server.ledger


def _set_price(server: ProtocolServer, body: Body) -> Any:
    server.market.set_price(
        body["symbol"],
        _needed(body, "mark"),
        bid=_number(body, "bid"),
        ask=_number(body, "ask"),
        index=_number(body, "index"),
    )


def _place(server: ProtocolServer, body: Body) -> Any:
    order = Order(
        instrument=body["symbol"],
        side=body["side"],
        quantity=Decimal(str(body.get("quantity", 0))),
        type="limit" if "price" in body else "market",
        price=_number(body, "price"),
        client_id=body.get("client_id", ""),
        position_side=body.get("position_side", "both"),
        reduce_only=bool(body.get("reduce_only", False)),
        close_position=bool(body.get("close_position", False)),
        stop_price=_number(body, "stop_price"),
        trigger_direction=body.get("trigger_direction"),
        conditional="stop_price" in body,
    )
    return _order(_ledger(server, body).place(order))


def _fault(server: ProtocolServer, body: Body) -> Any:
    server.faults.add(
        body["kind"], body.get("times", 1), body.get("match"), **body.get("params", {})
    )


def _set(server: ProtocolServer, body: Body) -> Any:
    ledger = _ledger(server, body)
    current = getattr(ledger, body["name"])
    value = Decimal(str(body["value"])) if isinstance(current, Decimal) else body["value"]
    setattr(ledger, body["name"], value)


def _phase(server: ProtocolServer, body: Body) -> Any:
    if "symbol" in body:
        server.market.phases[body["symbol"]] = body["phase"]
    else:
        server.market.phase = body["phase"]


def _position(server: ProtocolServer, body: Body) -> Any:
    _ledger(server, body).set_position(
        body["symbol"],
        _needed(body, "quantity"),
        _needed(body, "entry"),
        body.get("side", "both"),
    )


def _adl(server: ProtocolServer, body: Body) -> Any:
    side, quantity = body.get("side", "both"), _number(body, "quantity")
    return _order(_ledger(server, body).adl(body["symbol"], side, quantity))


def _liquidate(server: ProtocolServer, body: Body) -> Any:
    side, quantity = body.get("side", "both"), _number(body, "quantity")
    return _order(_ledger(server, body).liquidate(body["symbol"], side, quantity))


OPERATIONS: dict[str, Callable[[ProtocolServer, Body], Any]] = {
    "set_price": _set_price,
    "deposit": lambda s, b: _ledger(s, b).deposit(b["asset"], _needed(b, "amount")),
    "withdraw": lambda s, b: _ledger(s, b).withdraw(b["asset"], _needed(b, "amount")),
    "funding": lambda s, b: _ledger(s, b).apply_funding(b["symbol"], _needed(b, "rate")),
    "place": _place,
    "cancel_all": lambda s, b: len(_ledger(s, b).cancel_all(b.get("symbol"))),
    "position": _position,
    "liquidate": _liquidate,
    "adl": _adl,
    "fault": _fault,
    "clear_faults": lambda s, b: s.faults.clear(b.get("kind")),
    "phase": _phase,
    "set": _set,
    "drop_sockets": lambda s, b: s.drop_sockets(b.get("kind")),
}


def run(server: ProtocolServer, body: Body | None) -> tuple[int, Any]:
    """Do what a control request asks; return HTTP status and document."""
    if body is None:
        return 200, state(server)
    operation = OPERATIONS.get(body.get("op", ""))
    if operation is None:
        return 400, {"error": f"op is one of {', '.join(OPERATIONS)}"}
    try:
        return 200, {"ok": True, "result": operation(server, body)}
    except VenueError as error:
        return 409, {"error": str(error)}
    except (KeyError, ValueError, ArithmeticError) as error:
        return 400, {"error": f"{type(error).__name__}: {error}"}


def _order(order: Order) -> Body:
    names = ("id", "client_id", "instrument", "side", "position_side", "type", "quantity", "filled")
    more = ("price", "average", "stop_price", "reduce_only", "conditional", "status", "origin")
    return {name: getattr(order, name) for name in names + more}


def _account(ledger: Ledger) -> Body:
    return {
        "hedge_mode": ledger.hedge_mode,
        "balances": ledger.balances,
        "equity_usd": ledger.equity_usd(),
        "positions": [
            {"symbol": p.instrument, "side": p.side, "quantity": p.quantity, "entry": p.entry}
            for p in ledger.open_positions()
        ],
        "open_orders": [_order(order) for order in ledger.open_orders()],
        "orders": [_order(order) for order in ledger.orders.values()],
        "fills": len(ledger.fills),
    }


def state(server: ProtocolServer) -> Body:
    """Return what a person wants to see of a server."""
    return {
        "venue": server.name,
        "now_ms": server.now_ms(),
        "marks": server.market.marks,
        "phase": server.market.phase,
        "accounts": {key: _account(ledger) for key, ledger in server.ledgers.items()},
        "sockets": [
            {"path": c.path, "kind": c.kind, "subscriptions": sorted(c.subscriptions)}
            for c in server.connections
        ],
        "requests": [
            {
                "at_ms": r.at_ms,
                "method": r.method,
                "path": r.path,
                "is_order": r.is_order,
                "is_authenticated": r.is_authenticated,
                "status": r.status,
                "code": r.code,
                "params": {k: v for k, v in r.params.items() if k != "signature"},
            }
            for r in server.requests[-1000:]
        ],
        "orders_received": len(server.orders_received()),
        "faults": [
            {"kind": f.kind, "times": f.times, "match": f.match, "hits": f.hits}
            for f in server.faults.active
        ],
        "struck": dict(server.faults.struck),
    }


# ---- command line -------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line every server shares."""
    parser = argparse.ArgumentParser(description="A venue's protocol on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="key")
    parser.add_argument("--secret", default="secret")
    parser.add_argument("--balance", action="append", default=[], metavar="ASSET=AMOUNT")
    parser.add_argument("--position", action="append", default=[], metavar="ID=QTY@ENTRY")
    parser.add_argument("--hedge", action="store_true", help="hedge mode: ID:long=1@40000")
    return parser.parse_args(arguments)


def prepare(server: ProtocolServer, options: argparse.Namespace) -> None:
    """Open the account the command line describes."""
    pairs = (item.split("=") for item in options.balance or ["USDT=100000"])
    balance = {asset: Decimal(amount) for asset, amount in pairs}
    ledger = server.add_account(
        options.key, options.secret, balance=balance, hedge_mode=options.hedge
    )
    for item in options.position:
        name, rest = item.split("=")
        quantity, entry = rest.split("@")
        name, _, side = name.partition(":")
        ledger.set_position(name, Decimal(quantity), Decimal(entry), side or "both")


async def serve(server: ProtocolServer) -> None:
    """Run until interrupted, printing where the server listens."""
    await server.start()
    print(f"{server.name} listens on {server.rest_url}, control on {server.rest_url}/control")
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()
