"""OKX: one trading account over v5, by the venue's own endpoints and strings.

Conditional orders live in a service of their own, one question per type; sizes are contracts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    TimeInForce,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic, okx_algos, okx_frames, okx_rows
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._streams import ACCOUNT, PRICES, Watch
from riskbot.exchanges.okx_reads import CONFIG_EVERY_MS, INST_TYPES, PAGE, OkxReads, index_of

DEAD_MAN_S = (10, 120)


class Okx(OkxReads):
    """One OKX account."""

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
            mode = self._config.get("posMode", "long_short_mode")
            params |= self._holdings.aim(
                dataclasses.replace(order, quantity=quantity),
                instrument.contract_value,
                is_hedge_mode=mode == "long_short_mode",
            )
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
        return (self._find_by_id, self._find_closed, self._find_in_trades, self._find_conditional)

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
            "instType": INST_TYPES.get(kind, "SWAP"),
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

    async def _find_conditional(self, query: actions.QueryOrder) -> WorkingOrder | None:
        """Find a conditional order by its id, or what it became: that has no id of its own."""
        instrument = self.instrument(query.symbol)
        asked = {"algoClOrdId": query.client_order_id}
        for row in await self._ask("privateGetTradeOrderAlgo", asked, is_urgent=True):
            if row.get("algoClOrdId") != query.client_order_id:
                continue
            if (made := okx_algos.made_by(row)) is None:
                return okx_algos.algo_order(self.account, instrument, row)
            params = {"instId": self.market_id(query.symbol), "ordId": made}
            for each in await self._ask("privateGetTradeOrder", params, is_urgent=True):
                return okx_rows.order(self.account, instrument, each)
        return None

    # ------------------------------------------------------------ streams

    def account_watches(self) -> Sequence[Watch]:
        """Return the private channels, and the conditional orders' own socket."""
        return [
            Watch(ACCOUNT, "watch_orders"),
            Watch(ACCOUNT, "watch_positions"),
            Watch(ACCOUNT, "watch_balance"),
            Watch(ACCOUNT, "algo_orders", call=_watch_algo_orders, is_optional=True),
            Watch(ACCOUNT, "programs", call=_watch_programs, is_optional=True),
        ]

    def price_watches(self, symbols: Sequence[str]) -> Sequence[Watch]:
        """Return tickers, and marks and index prices for contracts."""
        found: list[Watch] = []
        for portion, kind in self.portions(symbols):
            listed = (list(portion),)
            found.append(Watch(PRICES, "watch_tickers", portion, listed))
            if kind is not InstrumentKind.SPOT:
                found.append(Watch(PRICES, "watch_mark_prices", portion, listed))
                if swaps := [s for s in portion if self.client.api.markets[s].get("swap")]:
                    rates = (swaps,)
                    found.append(
                        Watch(PRICES, "watch_funding_rates", portion, rates, is_optional=True)
                    )
                if indexes := self._indexes_of(portion):
                    found.append(
                        Watch(PRICES, "index_prices", portion, call=_watch_indexes(indexes),
                              is_optional=True)
                    )  # fmt: skip
            if kind is InstrumentKind.OPTION:
                found.append(self.polls.watch("greeks", portion, self._ask_greeks))
        return found

    async def _ask_greeks(self, symbols: Sequence[str]) -> list[events.PricesUpdated]:
        # A question is of all options of one family and expiry.
        wanted = {self.market_id(symbol): symbol for symbol in symbols}
        found = []
        for family, expiry in sorted({okx_rows.chain_of(name) for name in wanted}):
            params = {"instFamily": family, "expTime": expiry}
            reply = await self.client.optional("publicGetPublicOptSummary", params, cost=1)
            for row in reply.get("data") or () if isinstance(reply, dict) else ():
                symbol = wanted.get(str(row.get("instId")))
                stated = symbol and okx_rows.greeks(self.account, symbol, row)
                if stated:
                    found.append(stated)
        return found

    def _indexes_of(self, symbols: Sequence[str]) -> list[str]:
        # ccxt subscribes by instrument: the spot pair of the same name stands for its index.
        found: dict[str, None] = {}
        for symbol in symbols:
            index = index_of(self.client.api.markets[symbol])
            for market in (self.client.api.markets_by_id or {}).get(index or "", ()):
                followers = self._indexes.setdefault(str(index), [])
                if symbol not in followers:
                    followers.append(symbol)
                found[str(market["symbol"])] = None
        return list(found)

    def symbols_of_index(self, index_id: str) -> Sequence[str]:
        """Return the contracts that follow an index."""
        return self._indexes.get(index_id, ())

    def decode(self, message: Any, url: str = "") -> list[events.Event] | None:
        """Turn a frame into events; None leaves it to ccxt (login, subscriptions, pongs)."""
        del url
        try:
            return okx_frames.decode(self, message)
        except (VenueError, LookupError, TypeError, ValueError, AttributeError):
            return []

    # ------------------------------------------------------------ rights, switch

    async def key_rights(self) -> events.KeyRightsChecked:
        """Ask what the key may do."""
        self._config_ms = self._time.now_ms() - CONFIG_EVERY_MS
        return okx_rows.key_rights(self.account, await self._read_config(is_urgent=True))

    async def _send_margin(self, move: actions.AddMargin) -> None:
        params = okx_rows.margin_params(self.market_id(move.symbol), move)
        await self._ask("privatePostAccountPositionMarginBalance", params, is_urgent=True)

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
            # Not said to be off is on: it may strike.
            detail = f"not confirmed: {error}"
            return dataclasses.replace(state, is_armed=timeout_s == 0, detail=detail)
        until_ms = _ms(normal.stamp(rows[0].get("triggerTime"))) if rows else None
        if timeout_s == 0 or until_ms is None:
            return state
        detail = f"countdown of {timeout_s} s; its effect on conditional orders is unconfirmed"
        return dataclasses.replace(state, is_armed=True, detail=detail, until_ms=until_ms)


def _ms(stated: int | None) -> int | None:
    # The venue's own examples of this time are in seconds.
    return stated * 1000 if stated is not None and stated < 10**11 else stated


async def _watch_algo_orders(api: Any) -> Any:
    return await api.watch_orders(params={"trigger": True})


async def _watch_programs(api: Any) -> Any:
    # Icebergs, TWAPs and trailing stops have a channel that ccxt has no method for.
    await api.authenticate({"access": "business"})
    channel = "algo-advance"
    return await api.subscribe("business", channel, channel, None, {"instType": "ANY"})


def _watch_indexes(symbols: Sequence[str]) -> Callable[[Any], Any]:
    async def call(api: Any) -> Any:
        return await api.watch_tickers(list(symbols), {"channel": "index-tickers"})

    return call
