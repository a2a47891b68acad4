"""OKX: one trading account over v5, by the venue's own endpoints and strings.

Conditional orders live in a service of their own, one question per type; sizes are contracts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    Position,
    PositionSide,
    TimeInForce,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic, okx_errors, okx_frames, okx_rows
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._base import Capabilities
from riskbot.exchanges._client import is_absent, together
from riskbot.exchanges._errors import ErrorRules
from riskbot.exchanges._streams import ACCOUNT, PRICES, Watch
from riskbot.exchanges._wallet import Wallet
from riskbot.exchanges.unified import UnifiedExchange

PAGE, PAGES = 100, 50
CONFIG_EVERY_MS = 60_000
DEAD_MAN_S = (10, 120)
BILLS_REACH_MS = 7 * 86_400_000 - 60_000
_ALGO_TYPES = ("conditional", "oco", "trigger", "move_order_stop")
_TYPES = {"spot": ("spot",), "linear": ("swap", "future"), "inverse": ("swap", "future"),
          "option": ("option",)}  # fmt: skip
_INST_TYPES = {
    "spot": "SPOT",
    "swap": "SWAP",
    "future": "FUTURES",
    "option": "OPTION",
}


class Okx(UnifiedExchange):
    """One OKX account."""

    rules: ClassVar[ErrorRules] = okx_errors.RULES
    # Limits are per endpoint; a cost of 6 stands for one that takes ten requests in 2 s.
    capacity: ClassVar[tuple[float, int]] = (120.0, 2_000)

    def _defaults(self) -> Mapping[str, Any]:
        self.markets = tuple(name for name in self.markets if name in _TYPES)
        self._margin_modes: dict[tuple[str, PositionSide], str] = {}
        self._config: dict[str, Any] = {}
        self._config_ms = -CONFIG_EVERY_MS
        self._indexes: dict[str, list[str]] = {}
        types = [name for market in self.markets for name in _TYPES[market]]
        return {"options": {"fetchMarkets": {"types": list(dict.fromkeys(types))}}}

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do, shown by `check`."""
        return Capabilities(
            streams=("orders", "fills", "positions", "balances", "mark", "index", "book", "last"),
            dead_man="countdown for the account, 10 to 120 s",
            client_id_charset="[A-Za-z0-9]{1,32}",
            has_conditional_pass=True,
            notes=tuple(self._notes),
        )

    # ------------------------------------------------------------ reading

    async def _ask(
        self,
        method: str,
        params: Any = None,
        *,
        cost: float = 1,
        is_urgent: bool = False,
    ) -> list[dict[str, Any]]:
        reply = await self.client.call(method, params or {}, cost=cost, is_urgent=is_urgent)
        what = f"{self.account} {method}"
        return normal.rows(normal.table(reply, what).get("data"), what)

    async def _paged(
        self, method: str, params: Mapping[str, Any], key: str, *, is_urgent: bool
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query = {**params, "limit": str(PAGE)}
        for _ in range(PAGES):
            part = await self._ask(method, query, is_urgent=is_urgent)
            found.extend(part)
            if len(part) < PAGE:
                return found
            query["after"] = str(part[-1].get(key))
        raise normal.unusable(self.account, f"{method}: more than {PAGES} pages")

    def _instrument_of(self, row: Mapping[str, Any]) -> Instrument:
        return self.instrument(self.symbol_of(row.get("instId")))

    async def _read_wallet(self, *, is_urgent: bool) -> Wallet:
        rows = await self._ask("privateGetAccountBalance", cost=6, is_urgent=is_urgent)
        if not rows:
            raise normal.unusable(self.account, "no account in the balance reply")
        return okx_rows.wallet(rows[0], f"{self.account} balance")

    async def _read_positions(self, *, is_urgent: bool) -> Sequence[Position]:
        rows = await self._ask("privateGetAccountPositions", cost=6, is_urgent=is_urgent)
        found = [okx_rows.position(self.account, self._instrument_of(row), row) for row in rows]
        held = [position for position in found if position.quantity != 0]
        self._margin_modes = {
            (position.symbol, position.side): "isolated" if position.is_isolated else "cross"
            for position in held
        }
        return held

    async def _read_config(self, *, is_urgent: bool = False) -> dict[str, Any]:
        now_ms = self._time.now_ms()
        if now_ms - self._config_ms >= CONFIG_EVERY_MS:
            self._config_ms = now_ms
            reply = await self.client.optional(
                "privateGetAccountConfig", cost=12, is_urgent=is_urgent
            )
            rows = reply.get("data") if isinstance(reply, dict) else None
            if isinstance(rows, list) and rows and isinstance(rows[0], dict):
                self._config = rows[0]
        return self._config

    async def _read_hedge_mode(self, *, is_urgent: bool) -> bool | None:
        config = await self._read_config(is_urgent=is_urgent)
        mode = config.get("posMode")
        return None if mode is None else mode == "long_short_mode"

    async def _read_orders(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        rows = await self._paged("privateGetTradeOrdersPending", {}, "ordId", is_urgent=is_urgent)
        return [okx_rows.order(self.account, self._instrument_of(row), row) for row in rows]

    async def _read_conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        method = "privateGetTradeOrdersAlgoPending"
        parts = await together(
            *(
                self._paged(method, {"ordType": name}, "algoId", is_urgent=is_urgent)
                for name in _ALGO_TYPES
            )
        )
        return [
            okx_rows.algo_order(self.account, self._instrument_of(row), row)
            for part in parts
            for row in part
        ]

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read mark, index and ticker of each of these symbols."""
        found: list[events.PricesUpdated] = []
        failure: VenueError | None = None
        for symbol in symbols:
            for read in self._price_reads(symbol):
                try:
                    rows = await self._ask(*read, cost=1, is_urgent=True)
                except VenueError as error:
                    failure = error
                    continue
                stated = (okx_rows.prices(self.account, symbol, row, is_rest=True) for row in rows)
                found.extend(price for price in stated if price is not None)
        if not found and failure is not None:
            raise failure
        return found

    def _price_reads(self, symbol: str) -> list[tuple[str, dict[str, str]]]:
        market_id = self.market_id(symbol)
        market = self.client.api.markets[symbol]
        reads = [("publicGetMarketTicker", {"instId": market_id})]
        if self.instrument(symbol).kind is not InstrumentKind.SPOT:
            kind = _INST_TYPES.get(str(market.get("type")), "SWAP")
            marks = {"instType": kind, "instId": market_id}
            reads.insert(0, ("publicGetPublicMarkPrice", marks))
            if index := _index_of(market):
                reads.append(("publicGetMarketIndexTickers", {"instId": index}))
        return reads

    async def ledger(self, since_ms: int) -> list[events.LedgerEntryBooked]:
        """Read the bills of the last week without those that repeat fills."""
        begin_ms = max(since_ms, self._time.now_ms() - BILLS_REACH_MS)
        try:
            rows = await self._paged(
                "privateGetAccountBills", {"begin": str(begin_ms)}, "billId", is_urgent=True
            )
        except VenueError as error:
            if is_absent(error):
                return []
            raise
        found = [okx_rows.booked(self.account, row) for row in rows]
        # A server may not know `begin`: what is older is left out here.
        booked = [entry for entry in found if entry is not None and entry.venue_ms >= begin_ms]
        return sorted(booked, key=lambda entry: entry.venue_ms)

    # ------------------------------------------------------------ orders

    async def _send(
        self,
        order: actions.PlaceOrder,
        instrument: Instrument,
        quantity: Decimal,
        price: Decimal | None,
    ) -> Any:
        params: dict[str, Any] = {
            "instId": self.market_id(order.symbol),
            "side": order.side.value,
            "ordType": order.type.value,
            "sz": normal.plain(quantity / instrument.contract_value),
            "clOrdId": order.client_order_id,
        }
        if order.type is OrderType.LIMIT and price is not None:
            params["px"] = normal.plain(price)
            if order.time_in_force is TimeInForce.IOC:
                params["ordType"] = "ioc"
        if instrument.kind is InstrumentKind.SPOT:
            params |= {"tdMode": "cash", "tgtCcy": "base_ccy"}
        else:
            leg = order.position_side if order.is_hedge_mode else PositionSide.NET
            params["tdMode"] = self._margin_modes.get((order.symbol, leg), "cross")
            if leg is not PositionSide.NET:
                # In hedge mode the leg says what closes; reduceOnly belongs to net mode.
                params["posSide"] = leg.value
            elif order.reduce_only:
                params["reduceOnly"] = True
        return await self.client.call("privatePostTradeOrder", params, is_urgent=True)

    def _accepted(
        self, order: actions.PlaceOrder, instrument: Instrument, reply: Any
    ) -> events.OrderAccepted:
        rows = normal.rows(normal.table(reply, order.symbol).get("data"), order.symbol)
        if not rows or not rows[0].get("ordId"):
            raise normal.unusable(order.symbol, "created order without an id")
        return self._taken(order, rows[0]["ordId"])

    async def _send_cancel(self, order: actions.CancelOrder) -> None:
        params = {"instId": self.market_id(order.symbol)}
        if order.is_conditional:
            listed = [params | {"algoId": order.order_id}]
            await self._ask("privatePostTradeCancelAlgos", listed, is_urgent=True)
            return
        if order.order_id:
            params["ordId"] = order.order_id
        else:
            params["clOrdId"] = order.client_order_id or ""
        await self._ask("privatePostTradeCancelOrder", params, is_urgent=True)

    def _lookups(self) -> Sequence[Callable[[actions.QueryOrder], Any]]:
        return (self._find_by_id, self._find_closed, self._find_in_trades)

    async def _find_by_id(self, query: actions.QueryOrder) -> WorkingOrder | None:
        params = {"instId": self.market_id(query.symbol), "clOrdId": query.client_order_id}
        rows = await self._ask("privateGetTradeOrder", params, is_urgent=True)
        return self._matching(query, rows)

    async def _find_closed(self, query: actions.QueryOrder) -> WorkingOrder | None:
        rows = await self._ask("privateGetTradeOrdersHistory", self._listed(query), is_urgent=True)
        return self._matching(query, rows)

    def _listed(self, query: actions.QueryOrder) -> dict[str, str]:
        kind = str(self.client.api.markets[query.symbol].get("type"))
        return {
            "instType": _INST_TYPES.get(kind, "SWAP"),
            "instId": self.market_id(query.symbol),
            "limit": str(PAGE),
        }

    def _matching(
        self, query: actions.QueryOrder, rows: Sequence[Mapping[str, Any]]
    ) -> WorkingOrder | None:
        for row in rows:
            if row.get("clOrdId") == query.client_order_id:
                return okx_rows.order(self.account, self.instrument(query.symbol), row)
        return None

    async def _find_in_trades(self, query: actions.QueryOrder) -> WorkingOrder | None:
        rows = await self._ask("privateGetTradeFills", self._listed(query), is_urgent=True)
        instrument = self.instrument(query.symbol)
        fills = [
            okx_rows.fill(self.account, instrument, row)
            for row in rows
            if row.get("clOrdId") == query.client_order_id
        ]
        return _generic.order_from_fills(query, [fill for fill in fills if fill is not None])

    # ------------------------------------------------------------ streams

    def account_watches(self) -> Sequence[Watch]:
        """Return the private channels, and the conditional orders' own socket."""
        return [
            Watch(ACCOUNT, "watch_orders"),
            Watch(ACCOUNT, "watch_positions"),
            Watch(ACCOUNT, "watch_balance"),
            Watch(ACCOUNT, "algo_orders", call=_watch_algo_orders, is_optional=True),
        ]

    def price_watches(self, symbols: Sequence[str]) -> Sequence[Watch]:
        """Return tickers, and marks and index prices for contracts."""
        found: list[Watch] = []
        for portion, kind in self.portions(symbols):
            listed = (list(portion),)
            found.append(Watch(PRICES, "watch_tickers", portion, listed))
            if kind is not InstrumentKind.SPOT:
                found.append(Watch(PRICES, "watch_mark_prices", portion, listed))
                if indexes := self._indexes_of(portion):
                    found.append(
                        Watch(PRICES, "index_prices", portion, call=_watch_indexes(indexes),
                              is_optional=True)
                    )  # fmt: skip
        return found

    def _indexes_of(self, symbols: Sequence[str]) -> list[str]:
        # ccxt subscribes by instrument: the spot pair of the same name stands for its index.
        found: dict[str, None] = {}
        for symbol in symbols:
            index = _index_of(self.client.api.markets[symbol])
            for market in (self.client.api.markets_by_id or {}).get(index or "", ()):
                followers = self._indexes.setdefault(str(index), [])
                if symbol not in followers:
                    followers.append(symbol)
                found[str(market["symbol"])] = None
        return list(found)

    def symbols_of_index(self, index_id: str) -> Sequence[str]:
        """Return the contracts that follow an index."""
        return self._indexes.get(index_id, ())

    def decode(self, message: Any) -> list[events.Event] | None:
        """Turn a frame into events; None leaves it to ccxt (login, subscriptions, pongs)."""
        try:
            return okx_frames.decode(self, message)
        except (VenueError, LookupError, TypeError, ValueError, AttributeError):
            return []

    # ------------------------------------------------------------ rights, switch

    async def key_rights(self) -> events.KeyRightsChecked:
        """Ask what the key may do."""
        self._config_ms = self._time.now_ms() - CONFIG_EVERY_MS
        return okx_rows.key_rights(self.account, await self._read_config(is_urgent=True))

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        """Set the account's countdown; armed when the venue states when it would strike."""
        seconds = -(-action.timeout_ms // 1000)
        # Below its range the venue would read 0, which disarms.
        timeout_s = 0 if action.timeout_ms <= 0 else min(DEAD_MAN_S[1], max(DEAD_MAN_S[0], seconds))
        state = events.DeadManChanged(account=self.account, is_armed=False, detail="off")
        try:
            rows = await self._ask(
                "privatePostTradeCancelAllAfter", {"timeOut": str(timeout_s)}, is_urgent=True
            )
        except VenueError as error:
            return dataclasses.replace(state, detail=f"not confirmed: {error}")
        until_ms = _ms(normal.stamp(rows[0].get("triggerTime"))) if rows else None
        if timeout_s == 0 or until_ms is None:
            return state
        detail = f"countdown of {timeout_s} s; its effect on conditional orders is unconfirmed"
        return dataclasses.replace(state, is_armed=True, detail=detail, until_ms=until_ms)


def _index_of(market: Mapping[str, Any]) -> str | None:
    info = market.get("info")
    index = info.get("uly") if isinstance(info, Mapping) else None
    return str(index) if index else None


def _ms(stated: int | None) -> int | None:
    # The venue's own examples of this time are in seconds.
    return stated * 1000 if stated is not None and stated < 10**11 else stated


async def _watch_algo_orders(api: Any) -> Any:
    return await api.watch_orders(params={"trigger": True})


def _watch_indexes(symbols: Sequence[str]) -> Callable[[Any], Any]:
    async def call(api: Any) -> Any:
        return await api.watch_tickers(list(symbols), {"channel": "index-tickers"})

    return call
