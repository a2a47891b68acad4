"""Deribit: what its account, positions and orders say that ccxt's unified structures leave out.

A currency's equity there is its balance, the session's realized and unrealized profit of futures,
and the value of its options. Positions bring the last two themselves: they are taken off again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Balance,
    Instrument,
    InstrumentKind,
    Position,
    WorkingOrder,
)
from riskbot.exchanges import _generic
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._client import together
from riskbot.exchanges._streams import Watch
from riskbot.exchanges._wallet import Wallet
from riskbot.exchanges.unified import UnifiedExchange


class Deribit(UnifiedExchange):
    """One Deribit account, all its currencies."""

    default_markets = ("inverse", "linear", "option", "spot")
    own_id_param = "label"

    def _defaults(self) -> Mapping[str, Any]:
        # One wallet holds everything: the kinds choose nothing here.
        return self.ccxt_defaults

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument; every amount is in dollars of an inverse contract, else in coins.

        Raises:
            VenueError: the venue does not list it, or says nothing usable of it.
        """
        if (known := self._instruments.get(symbol)) is not None:
            return known
        found = super().instrument(symbol)
        value = found.contract_value
        found = dataclasses.replace(
            found,
            contract_value=Decimal(1),
            step=found.step / value,
            min_quantity=found.min_quantity / value,
        )
        self._instruments[symbol] = found
        return found

    def account_watches(self) -> Sequence[Watch]:
        """Return the account's channels; that of the balance tells equity alone."""
        return [watch for watch in super().account_watches() if watch.method != "watch_balance"]

    # ------------------------------------------------------------ reading

    async def _read_parts(
        self, *, is_urgent: bool
    ) -> tuple[Wallet, tuple[Position, ...], tuple[WorkingOrder, ...] | None, bool | None]:
        balance, listed, orders = await together(
            self.client.call("fetch_balance", cost=5, is_urgent=is_urgent),
            self.client.call("fetch_positions", cost=5, is_urgent=is_urgent),
            self._known_orders(is_urgent=is_urgent),
        )
        paid: dict[str, Decimal] = {}
        positions = []
        for row in normal.rows(listed, f"{self.account}: positions"):
            found = _position(self.account, row, self.instrument)
            if found is not None:
                positions.append(found)
                settle = self.instrument(found.symbol).settle
                paid[settle] = paid.get(settle, Decimal(0)) + self._settled(found, row)
        return self._wallet(balance, paid), tuple(positions), orders, None

    def _settled(self, position: Position, row: Mapping[str, Any]) -> Decimal:
        """Return what an open position has made that is in the balance already, in its coin."""
        if self.instrument(position.symbol).kind is InstrumentKind.OPTION:
            return Decimal(0)
        told, what = row["info"], f"{self.account} {position.symbol}"
        total = normal.need(told, what, "total_profit_loss")
        return total - normal.need(told, what, "floating_profit_loss")

    def _wallet(self, balance: Any, paid: Mapping[str, Decimal]) -> Wallet:
        what = f"{self.account}: balance"
        told = normal.table(normal.table(balance, what).get("info"), what)
        rows = normal.rows(told.get("summaries", [told]), what)
        held = [_balance(self.client.api, row, paid, what) for row in rows]
        return Wallet(tuple(one for one in held if one.total))

    async def _read_orders(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        # ccxt asks for the orders of one currency; this is all of them, those with triggers too.
        reply = await self.client.call("privateGetGetOpenOrders", cost=5, is_urgent=is_urgent)
        return self._orders_in(normal.table(reply, f"{self.account}: orders").get("result"))

    async def _read_conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        del is_urgent
        return ()

    def _orders_in(self, rows: Any) -> list[WorkingOrder]:
        told = normal.rows(rows, f"{self.account}: orders")
        parsed = [_whole(self.client.api.parse_order(row)) for row in told]
        return [_generic.order(self.account, row, self.instrument) for row in parsed]

    def translate(self, result: Any) -> list[events.Event] | None:
        """Turn what ccxt parsed into events; None for what is none of ours."""
        if isinstance(result, list):
            for row in _generic.fresh_rows(result):
                _whole(row)
        return super().translate(result)

    # ------------------------------------------------------------ orders

    async def _send_cancel(self, order: actions.CancelOrder) -> None:
        await self.client.call("cancel_order", order.order_id, order.symbol, is_urgent=True)

    def _lookups(self) -> Sequence[Callable[[actions.QueryOrder], Any]]:
        return (self._find_by_label, self._find_in_trades)

    async def _find_by_label(self, query: actions.QueryOrder) -> WorkingOrder | None:
        market = self.client.api.markets[query.symbol]
        currency = market.get("settleId") or market.get("baseId")
        params = {"currency": currency, "label": query.client_order_id}
        reply = await self.client.call("privateGetGetOrderStateByLabel", params, is_urgent=True)
        for order in self._orders_in(normal.table(reply, "order by label").get("result")):
            if order.client_order_id == query.client_order_id:
                return order
        return None


def _balance(api: Any, row: Mapping[str, Any], paid: Mapping[str, Decimal], what: str) -> Balance:
    """Return what a currency holds without what its positions bring.

    Profit of futures is paid at the settlement of each day, while a position's own counts from
    the price it was traded at: what was paid of it since comes off, too.
    """
    asset = str(api.safe_currency_code(row.get("currency")))
    equity = normal.need(row, f"{what} of {asset}", "equity")
    stated = [normal.number(row.get(key)) for key in ("futures_session_upl", "options_value")]
    carried = [amount for amount in stated if amount is not None]
    if len(carried) < len(stated) and equity != normal.number(row.get("balance")):
        raise normal.unusable(asset, "it is not said what of its equity positions are worth")
    total = equity - sum(carried, Decimal(0)) - paid.get(asset, Decimal(0))
    return Balance(asset=asset, total=total, free=normal.number(row.get("available_funds")))


def _position(
    account: str, row: Mapping[str, Any], lookup: Callable[[str], Instrument]
) -> Position | None:
    """Turn a position into ours; None when it is flat."""
    told = normal.table(row.get("info"), "position")
    # The venue signs it, beside its direction.
    whole = {**row, "contracts": abs(normal.need(told, f"{account} {row.get('symbol')}", "size"))}
    if whole["contracts"] and lookup(str(row.get("symbol"))).kind is not InstrumentKind.INVERSE:
        # What ccxt calls its notional is a number of coins.
        whole["notional"] = None
    return _generic.position(account, whole | {"info": {}}, lookup)


def _whole(row: Any) -> Any:
    """Add to an order or a fill of ccxt what the venue says of it beside."""
    info = row.get("info") if isinstance(row, dict) else None
    if isinstance(info, Mapping):
        row["clientOrderId"] = info.get("label") or None
        if "order_state" in info:
            row["reduceOnly"] = info.get("reduce_only") is True
            row["triggerPrice"] = info.get("trigger_price") or row.get("triggerPrice")
    return row
