"""Positions of OKX in one instrument that the core knows as one; no request here.

The venue keeps a position of the cross pool and one with margin of its own apart, also on the
same side. Here they become one, or in one-way mode the two sides of one where they oppose each
other; an order is told which of them it meets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions
from riskbot.core.model import InstrumentKind, Position, PositionSide
from riskbot.exchanges import _normalize as normal

_Part = tuple[str, PositionSide]
_SIDES = (PositionSide.LONG, PositionSide.SHORT)


class Holdings:
    """What one account holds, by instrument, venue's side and margin mode."""

    def __init__(self) -> None:
        self._parts: dict[_Part, dict[bool, tuple[Position, InstrumentKind]]] = {}

    def read(self, rows: Iterable[tuple[Position, InstrumentKind]]) -> list[Position]:
        """Take a complete list of the venue's positions and return it joined."""
        self._parts = {}
        for position, kind in rows:
            self._keep(position, kind)
        return [whole for part in self._parts for whole in self._whole(part)]

    def pushed(self, position: Position, kind: InstrumentKind) -> list[Position]:
        """Take one position of the stream and return those that it changes; a closed one is 0."""
        part = (position.symbol, position.side)
        before = self._whole(part)
        self._keep(position, kind)
        found = {whole.side: whole for whole in self._whole(part)}
        gone = [old.side for old in before if old.side not in found]
        if not found and not gone:
            return [position]
        closed = Position(position.account, position.symbol, position.side, Decimal(0))
        return [*found.values(), *(replace(closed, side=side) for side in gone)]

    def aim(
        self, order: actions.PlaceOrder, contract_value: Decimal, *, is_hedge_mode: bool
    ) -> dict[str, Any]:
        """Return the fields of an order that say which position it is for.

        Args:
            order: on a derivative.
            contract_value: of its instrument.
            is_hedge_mode: the account keeps both sides apart, as far as it is known.

        Returns:
            `tdMode`, `posSide` or `reduceOnly`, and `sz` where it meets one of two positions.
        """
        symbol, side = order.symbol, order.position_side
        parts = self._met(symbol, side)
        largest = max(parts, key=lambda position: abs(position.quantity), default=None)
        is_isolated = largest is not None and largest.is_isolated
        aimed: dict[str, Any] = {"tdMode": "isolated" if is_isolated else "cross"}
        if order.reduce_only and largest is not None and len(parts) > 1:
            # What is left of the other margin mode is closed by the order after this one.
            most = min(abs(largest.quantity), order.quantity)
            aimed["sz"] = normal.plain(most / contract_value)
        is_leg = side is not PositionSide.NET and (
            (symbol, side) in self._parts or (order.is_hedge_mode and is_hedge_mode)
        )
        if is_leg:
            # In hedge mode the leg says what closes; reduceOnly belongs to net mode.
            aimed["posSide"] = side.value
        elif order.reduce_only:
            aimed["reduceOnly"] = True
        return aimed

    def has_legs(self) -> bool:
        """Whether any position is one of two sides at the venue: only hedge mode has those."""
        return any(side is not PositionSide.NET for _, side in self._parts)

    def _keep(self, position: Position, kind: InstrumentKind) -> None:
        part = (position.symbol, position.side)
        modes = self._parts.setdefault(part, {})
        modes.pop(position.is_isolated, None)
        if position.quantity != 0:
            modes[position.is_isolated] = position, kind
        if not modes:
            del self._parts[part]

    def _whole(self, part: _Part) -> list[Position]:
        modes = self._parts.get(part, {})
        positions = [position for position, _ in modes.values()]
        if len({position.quantity > 0 for position in positions}) > 1:
            return [replace(position, side=_side(position)) for position in positions]
        return [_joined(positions, kind) for _, kind in list(modes.values())[:1]]

    def _met(self, symbol: str, side: PositionSide) -> list[Position]:
        found = [position for position, _ in self._parts.get((symbol, side), {}).values()]
        if found or side is PositionSide.NET:
            return found
        both = self._parts.get((symbol, PositionSide.NET), {}).values()
        return [position for position, _ in both if _side(position) is side]


def _side(position: Position) -> PositionSide:
    return _SIDES[position.quantity < 0]


def _joined(positions: list[Position], kind: InstrumentKind) -> Position:
    if len(positions) == 1:
        return positions[0]
    quantity = sum((position.quantity for position in positions), Decimal(0))
    # The liquidation that comes first counts; margin of its own is told as part of the pool.
    return replace(
        positions[0],
        quantity=quantity,
        entry_price=_entry(positions, quantity, kind),
        unrealized_pnl=_sum([position.unrealized_pnl for position in positions]),
        liquidation_price=_first_liquidation(positions, is_long=quantity > 0),
        leverage=max((p.leverage for p in positions if p.leverage is not None), default=None),
        is_isolated=False,
        maintenance_margin=_sum([position.maintenance_margin for position in positions]),
        initial_margin=_sum([position.initial_margin for position in positions]),
        isolated_margin=None,
    )


def _sum(values: list[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if len(known) == len(values) else None


def _entry(positions: list[Position], quantity: Decimal, kind: InstrumentKind) -> Decimal | None:
    priced = [(p.quantity, p.entry_price) for p in positions if p.entry_price is not None]
    if len(priced) < len(positions):
        return None
    if kind is InstrumentKind.INVERSE:
        # Its quantity is face value: what adds up is the coins it was bought for.
        return quantity / sum((size / price for size, price in priced), Decimal(0))
    return sum((size * price for size, price in priced), Decimal(0)) / quantity


def _first_liquidation(positions: list[Position], *, is_long: bool) -> Decimal | None:
    known = [p.liquidation_price for p in positions if p.liquidation_price is not None]
    if not known:
        return None
    return max(known) if is_long else min(known)
