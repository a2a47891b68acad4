"""Accounts at protocol servers as a story needs them, each with a witness of the nevers."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from tests.exchanges.venues import BTC, ETH, VENUES, Venue
from tests.servers.base import Request
from tests.servers.ledger import Ledger, Order
from tests.servers.ledger_types import Event, Filled

__all__ = [
    "BINANCE",
    "BINANCE_FIRST",
    "BTC",
    "BTC_SPOT",
    "BYBIT",
    "BYBIT_FIRST",
    "ETH",
    "OKX",
    "SOL",
    "TWO",
    "Seat",
    "Venue",
    "glide",
    "nightly",
]

BINANCE, BYBIT, OKX = VENUES
TWO = (BINANCE, BYBIT)
SOL = "SOL/USDT:USDT"
BTC_SPOT = "BTC/USDT"

D = Decimal
_keys = count(1)


def nightly(*values: Any) -> Any:
    """Return a set of parameters that is played at night alone."""
    return pytest.param(*values, marks=pytest.mark.nightly)


BINANCE_FIRST = [BINANCE, nightly(BYBIT)]
BYBIT_FIRST = [nightly(BINANCE), BYBIT]
"""Both venues, one of them at night: for stories whose end does not depend on the venue."""


class Seat:
    """One account at a protocol server: what it holds, what is done to it, what riskbot sent.

    Args:
        venue: which protocol.
        name: of the account in the configuration.
        usdt: wallet balance at the start, USDT; `balance` adds other assets.
        hedge_mode: both sides of an instrument live side by side.

    Attributes:
        server, ledger: the venue and the account's truth.
        mapping: keys added to the account's section of the configuration.
        broken: what riskbot must never do, and did.
    """

    def __init__(
        self,
        venue: Venue = BINANCE,
        name: str = "main",
        *,
        usdt: str = "100000",
        balance: dict[str, str] | None = None,
        hedge_mode: bool = False,
        **mapping: Any,
    ) -> None:
        self.venue, self.name, self.mapping = venue, name, mapping
        # Keys are locked host-wide, and tests run side by side.
        self.key, self.secret = f"key-{os.getpid()}-{next(_keys)}", "venue-secret-of-a-test"
        self.server: Any = venue.server()
        wallet = {"USDT": D(usdt), **{asset: D(text) for asset, text in (balance or {}).items()}}
        self.ledger: Ledger = self.server.add_account(
            self.key, self.secret, balance=wallet, hedge_mode=hedge_mode
        )
        self.broken: list[str] = []
        self.is_hedging = False
        self.ledger.subscribe(self._witness)

    def section(self) -> dict[str, Any]:
        """Return the account's part of the configuration: what a user would write."""
        base = {
            "exchange": self.venue.exchange_id,
            "api_key": self.key,
            "api_secret": self.secret,
            "ccxt": self.server.ccxt_config(),
        }
        if self.venue is OKX:
            base["api_password"] = "passphrase"
        return base | self.mapping

    # ------------------------------------------------------------ the nevers

    def _witness(self, event: Event) -> None:
        """Note each fill of riskbot's that raises, flips or opens a position."""
        if not isinstance(event, Filled) or event.fill.client_id not in self.client_ids():
            return
        fill = event.fill
        instrument = self.ledger.instrument(fill.instrument)
        if instrument.kind == "spot" or self.is_hedging:
            return
        signed = fill.quantity if fill.side == "buy" else -fill.quantity
        after = self.ledger.positions[fill.instrument, fill.position_side].quantity
        before = after - signed
        if abs(after) >= abs(before) or after * before < 0:
            self.broken.append(f"{fill.client_id} took {fill.instrument} from {before} to {after}")

    def client_ids(self) -> Counter[str]:
        """Return how often each client id was sent by riskbot, as the venue saw it."""
        return Counter(self.server.describe(r)["client_id"] for r in self.sent())

    def verdict(self) -> list[str]:
        """Return everything riskbot must never do and did; empty is right."""
        twice = [name for name, times in self.client_ids().items() if times > 1]
        return [
            *self.broken,
            *(f"client id {name!r} was sent twice" for name in twice),
            *self._overlapping(),
        ]

    def _overlapping(self) -> list[str]:
        """Return what was sent while an order on the same position might still be carried out."""
        live_until: dict[tuple[str | None, str], tuple[float, str]] = {}
        found = []
        for request in self.sent():
            name = self.server.describe(request)["client_id"]
            side = request.params.get("positionSide") or request.params.get("positionIdx") or ""
            key = (self._symbol_of(request), str(side))
            until_ms, before = live_until.get(key, (0, ""))
            if request.at_ms < until_ms:
                found.append(f"{name} was sent while {before} was on its way")
            order = next((o for o in self.ledger.orders.values() if o.client_id == name), None)
            ended_ms = request.at_ms if order is None else order.updated_ms
            is_open = order is not None and order.is_open
            live_until[key] = (float("inf") if is_open else ended_ms, name)
        return found

    # ------------------------------------------------------------ what riskbot did

    def sent(self, symbol: str | None = None) -> list[Request]:
        """Return the create-order requests of riskbot, also those refused or lost on the way."""
        return [
            r
            for r in self.server.requests
            if r.is_order and r.api_key == self.key and symbol in (None, self._symbol_of(r))
        ]

    def _symbol_of(self, request: Request) -> str | None:
        named = request.params.get("symbol") or request.params.get("instId")
        return next((s for s, name in self.venue.ids.items() if name == named), None)

    def requests(self, part: str) -> list[Request]:
        """Return the requests whose path has a part."""
        return [r for r in self.server.requests if part in r.path]

    # ------------------------------------------------------------ what is there

    def id_of(self, symbol: str) -> str:
        """Return the venue's own name of an instrument."""
        if symbol in self.venue.ids:
            return self.venue.ids[symbol]
        base, _, rest = symbol.partition("/")
        quote, _, settle = rest.partition(":")
        kind = {quote: "linear", base: "inverse"}.get(settle, "spot")
        found = [
            i.id
            for i in self.ledger.instruments.values()
            if (i.base, i.quote, i.kind, i.expiry_ms) == (base, quote, kind, None)
        ]
        return found[0]

    def held(self, symbol: str) -> Decimal:
        """Return the signed quantity, both sides of hedge mode summed; a coin's balance."""
        name = self.id_of(symbol)
        if self.ledger.instrument(name).kind == "spot":
            return self.ledger.balances.get(symbol.partition("/")[0], D(0))
        rows = self.ledger.positions.values()
        return sum((p.quantity for p in rows if p.instrument == name), D(0))

    def is_flat(self) -> bool:
        """Whether the venue itself says that nothing is held."""
        return not any(p.quantity for p in self.ledger.positions.values())

    def gross(self) -> float:
        """Return the gross of the derivatives over equity, by the venue's own figures."""
        rows = self.ledger.open_positions()
        total = sum(abs(p.quantity) * self.ledger.marks[p.instrument] for p in rows)
        return float(total / self.equity())

    def equity(self) -> Decimal:
        """Return what the venue says the account is worth, USD."""
        return self.ledger.equity_usd()

    def mark(self, symbol: str) -> Decimal:
        """Return the mark price now."""
        return self.ledger.marks[self.id_of(symbol)]

    def resting(self) -> set[str]:
        """Return the ids of the open orders, conditional ones included."""
        return {order.id for order in self.ledger.open_orders()}

    # ------------------------------------------------------------ what happens to it

    def hold(self, symbol: str, quantity: Any, entry: Any = None, side: Any = "both") -> None:
        """Put a position in place, in base units, at the mark unless told otherwise."""
        price = self.mark(symbol) if entry is None else D(str(entry))
        self.ledger.set_position(self.id_of(symbol), D(str(quantity)), price, side)

    def move(self, **marks: Any) -> None:
        """Set the price (`BTC=36000`) of everything on a coin: mark, index, book and last."""
        for instrument in list(self.ledger.instruments.values()):
            if instrument.base in marks and instrument.quote in {"USDT", "USDC", "USD"}:
                self.server.market.set_price(instrument.id, D(str(marks[instrument.base])))

    def trade(self, symbol: str, quantity: Any, **fields: Any) -> Order:
        """Let a strategy trade, or rest an order (`price`, `stop_price`); the venue takes it."""
        size = D(str(quantity))
        for name in ("price", "stop_price"):
            if name in fields:
                fields[name] = D(str(fields[name]))
        if "stop_price" in fields:
            name = self.id_of(symbol)
            is_below = fields["stop_price"] < self.ledger.marks[name]
            fields |= {
                "conditional": True,
                "trigger_by": "mark",
                "trigger_direction": "below" if is_below else "above",
            }
        return self.ledger.place(
            Order(
                instrument=self.id_of(symbol),
                side="buy" if size > 0 else "sell",
                quantity=abs(size),
                type="limit" if "price" in fields else "market",
                meta=self._meta(size > 0, fields),
                **fields,
            )
        )

    def _meta(self, is_buy: bool, fields: dict[str, Any]) -> dict[str, Any]:
        """Return what the venue's documents say of a conditional order beyond the ledger's."""
        if "stop_price" not in fields:
            return {}
        is_stop = is_buy == (fields["trigger_direction"] == "above")
        kind = "STOP_MARKET" if is_stop else "TAKE_PROFIT_MARKET"
        if self.venue is BINANCE:
            return {"type": kind, "orig_type": kind}
        if self.venue is OKX:
            return {"ordType": "trigger", "tdMode": "cross", "orderPx": "-1"}
        return {"stopOrderType": "Stop"}

    def strike(self, kind: str, times: int | None = 1, path: str = "", **params: Any) -> Any:
        """Plant a fault, on one REST path where it is given; return it."""
        match = {"path": path} if path else params.pop("match", {})
        return self.server.faults.add(kind, times, match, **params)

    def heal(self, kind: str | None = None) -> None:
        """Take the faults of a kind back, or all."""
        self.server.faults.clear(kind)

    async def open(self) -> None:
        """Start the venue."""
        await self.server.start()

    async def close(self) -> None:
        """Stop the venue."""
        await self.server.stop()


async def glide(*seats: Seat, steps: int = 6, pause_s: float = 0.15, **marks: float) -> None:
    """Move prices there in equal parts, as markets fall, on every venue."""
    begin = {b: float(seats[0].mark(f"{b}/USDT:USDT")) for b in marks}
    for step in range(1, steps + 1):
        share = step / steps
        where = {b: round(begin[b] + (m - begin[b]) * share, 2) for b, m in marks.items()}
        for seat in seats:
            seat.move(**where)
        await asyncio.sleep(pause_s)
