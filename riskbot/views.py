"""Documents for doors, built from the engine's state when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from riskbot.core import digest, exits, operations, results, riskviews, tellings, views
from riskbot.core.engine import Engine
from riskbot.core.model import PositionSide, Side

DOCUMENTS: Mapping[str, Callable[..., Any]] = {
    "status": views.status,
    "positions": views.positions,
    "exposure": views.exposure,
    "limits": views.limits,
    "alerts": views.alerts,
    "orders": operations.orders,
    "health": operations.health,
    "feeds": views.feeds,
    "deadman": operations.dead_men,
    "pnl": results.pnl,
    "digest": digest.digest,
    "risk": riskviews.risk,
    "standing": tellings.standing,
}
"""Every document by the name of its route."""


_NONE, _SIDES = Decimal(0), tuple(PositionSide)


class Views:
    """The documents of one moment; each is built once, and only if it is asked for."""

    def __init__(self, engine: Engine, now_ms: int) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._built: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return a document, None when there is none of that name."""
        build = DOCUMENTS.get(name)
        if build is None:
            return None
        if name not in self._built:
            self._built[name] = build(self._engine.state, self._now_ms)
        return self._built[name]

    def order(self, strategy: str, client_order_id: str) -> dict[str, Any] | None:
        """Return a strategy's order as it stands now, None = it has none of that id."""
        found = self._engine.state.reservations.find(strategy, client_order_id)
        return None if found is None else found.document()

    def orders_of(self, strategy: str | None, most: int) -> list[dict[str, Any]]:
        """Return orders as they stand, the newest ones, in the order they were approved.

        Args:
            strategy: whose, None = everybody's.
            most: how many.
        """
        kept = self._engine.state.reservations
        mine = [
            order
            for order in (*kept.done.values(), *kept.live.values())
            if strategy in {None, order.strategy}
        ]
        mine.sort(key=lambda order: order.created_ms)
        return [order.document() for order in mine[-most:]]

    def is_cancelling(self, strategy: str, client_order_id: str) -> bool:
        """Whether a strategy's order is being cancelled already."""
        found = self._engine.state.reservations.find(strategy, client_order_id)
        return found is not None and found.wants_cancel

    def closable(self, account: str, symbol: str, side: Side) -> Decimal:
        """Return what is held that an order of a side would close, base units, >= 0."""
        found = self._engine.state.accounts.by_name.get(account)
        if found is None:
            return _NONE
        most = _NONE
        for each in _SIDES:
            if quantity := exits.holding(found, symbol, each):
                most = max(most, -quantity * side.sign)
        return most

    def is_priced(self, account: str, symbol: str) -> bool:
        """Whether an instrument of an account has a fresh price now."""
        return self._engine.state.quote(account, symbol).mark is not None
