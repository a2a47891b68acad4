"""One OKX account behind one API key: its ledger, settings and the ids the venue gives things.

Rows and frames are made in `okx_rows.py` and `okx_money.py`, requests are served elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal

from tests.servers.ledger import Ledger, Market
from tests.servers.ledger_types import (
    ZERO,
    Event,
    Fill,
    Filled,
    Order,
    OrderChanged,
    Position,
    PositionSide,
)

_uids = itertools.count(44705892343619584)


class OkxAccount:
    """An account, its key and its settings.

    Attributes:
        key, secret, passphrase: the API key; all three are checked on every private request.
        permissions: comma separated, of read_only, trade and withdraw.
        ip: comma separated addresses the key is bound to, empty when it is not.
        level: account mode: 1 spot, 2 futures (margin per currency), 3 multi-currency margin.
        margin_modes: instrument id -> cross or isolated, as last traded.
        dead_men: order tag -> when cancel-all-after fires for it; "" is for all orders.
    """

    def __init__(
        self,
        market: Market,
        *,
        key: str,
        secret: str,
        passphrase: str,
        balance: Mapping[str, Decimal],
        hedge_mode: bool = False,
        permissions: str = "read_only,trade",
        ip: str = "",
        level: str = "2",
    ) -> None:
        self.key = key
        self.secret = secret
        self.passphrase = passphrase
        self.permissions = permissions
        self.ip = ip
        self.level = level
        self.label = "riskbot"
        self.uid = str(next(_uids))
        self.ledger = Ledger(balance=balance, hedge_mode=hedge_mode, market=market)
        self.ledger.spawns_orders = True
        self.ledger.refuses_immediate_trigger = False
        self.ledger.multi_asset = level == "3"
        self.margin_modes: dict[str, str] = {}
        self.dead_men: dict[str, int] = {}
        self.created_ms = market.now_ms()
        self._fills: dict[str, list[Fill]] = {}
        self._position_ids: dict[tuple[str, str], str] = {}
        self._next_position_id = itertools.count(1752810569801498626)
        self._subscribers: list[Callable[[Event], None]] = []
        self.ledger.subscribe(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Filled):
            self._fills.setdefault(event.order.id, []).append(event.fill)
        if isinstance(event, OrderChanged) and event.order.conditional:
            self._pair(event)
            if "hidden_of" in event.order.meta:
                return
        self.emit(event)

    def _pair(self, event: OrderChanged) -> None:
        # One-cancels-the-other is two ledger orders, of which the venue shows the first.
        if event.order.is_open:
            return
        other = self.ledger.orders.get(event.order.meta.get("sibling", ""))
        if other is None or not other.is_open:
            return
        if "hidden_of" in other.meta:
            self.ledger.cancel(other.id)
        elif event.reason == "triggered":
            other.status, other.child_id = "triggered", event.order.child_id
            other.updated_ms = event.order.updated_ms
            other.meta["actualSide"] = event.order.meta.get("leg", "")
            self.emit(OrderChanged(other.copy(), "triggered"))

    def emit(self, event: Event) -> None:
        """Tell the subscribers."""
        for callback in list(self._subscribers):
            callback(event)

    def parent_of(self, order: Order) -> Order | None:
        """Return the algo order a plain order came from, as the venue shows it."""
        shown = order.meta.get("hidden_of", order.parent_id) if order.parent_id else ""
        return self.ledger.orders.get(shown)

    @property
    def market(self) -> Market:
        """The market shared by all accounts of the server."""
        return self.ledger.market

    @property
    def now_ms(self) -> int:
        """The venue's clock."""
        return self.market.now_ms()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with every event of the account; return the unsubscriber."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def allows(self, permission: str) -> bool:
        """Return whether the key has a permission; trade and withdraw include reading."""
        granted = self.permissions.split(",")
        return permission in granted or (permission == "read_only" and bool(self.permissions))

    def fills_of(self, order_id: str) -> list[Fill]:
        """Return an order's executions, oldest first."""
        return self._fills.get(order_id, [])

    def margin_mode(self, instrument: str) -> str:
        """Return cross or isolated for an instrument, cash for spot."""
        if self.market.instruments[instrument].kind == "spot":
            return "cash"
        return self.margin_modes.get(instrument, "cross")

    def position_id(self, position: Position) -> str:
        """Return the venue's id of a position; the same as long as the server lives."""
        key = (position.instrument, position.side)
        if key not in self._position_ids:
            self._position_ids[key] = str(next(self._next_position_id))
        return self._position_ids[key]

    def position_fills(self, position: Position) -> list[Fill]:
        """Return the executions since the position was opened, oldest first."""
        return [
            fill
            for fill in self.ledger.fills
            if (fill.instrument, fill.position_side) == (position.instrument, position.side)
            and fill.time_ms >= position.created_ms
        ]

    def funding_of(self, position: Position) -> Decimal:
        """Return the funding received (paid when negative) since the position was opened."""
        return sum(
            (
                row.amount
                for row in self.ledger.transfers
                if row.kind == "funding"
                and row.instrument == position.instrument
                and row.time_ms >= position.created_ms
            ),
            ZERO,
        )

    def available_to_close(self, position: Position) -> Decimal:
        """Return what resting closing orders leave of a hedge-mode position, ledger units."""
        closing = "sell" if position.side == "long" else "buy"
        resting = sum(
            (
                order.remaining
                for order in self.ledger.open_orders(position.instrument, conditional=False)
                if order.position_side == position.side and order.side == closing
            ),
            ZERO,
        )
        return max(ZERO, abs(position.quantity) - resting)

    def find_plain(self, order_id: str, client_id: str) -> Order | None:
        """Return a plain order by id, or the newest by client id; orders of algos have none."""
        if order_id:
            order = self.ledger.orders.get(order_id)
            return None if order is None or order.conditional else order
        for order in reversed(self.ledger.orders.values()):
            if not order.conditional and not order.parent_id and order.client_id == client_id:
                return order if client_id else None
        return None

    def find_algo(self, algo_id: str, client_id: str) -> Order | None:
        """Return an algo order by id, or the newest by its client id."""
        if algo_id:
            order = self.ledger.orders.get(algo_id)
            return order if order is not None and order.conditional else None
        for order in reversed(self.ledger.orders.values()):
            if order.conditional and client_id and order.client_id == client_id:
                return order
        return None

    def position_side(self, text: str) -> PositionSide:
        """Turn a posSide of a request into the ledger's word."""
        return {"long": "long", "short": "short"}.get(text, "both")  # type: ignore[return-value]
