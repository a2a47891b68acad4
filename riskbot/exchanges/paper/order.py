"""Orders of the paper venue: what is asked for, what is kept, and how a refusal is told."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from riskbot.core.model import (
    OrderStatus,
    OrderType,
    PositionSide,
    RejectReason,
    Side,
    TimeInForce,
    WorkingOrder,
)


@dataclass(frozen=True, slots=True)
class Request:
    """An order somebody wants to place.

    Attributes:
        quantity: > 0, unit of `Position.quantity`; 0 with `close_position`.
        price: quote units, None for market.
        stop_price: makes it conditional: it triggers when the mark reaches this from where the
            mark is now.
        client_order_id: None = the venue makes one.
    """

    symbol: str
    side: Side
    quantity: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    close_position: bool = False
    position_side: PositionSide = PositionSide.NET
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the venue does not do what it was asked."""

    reason: RejectReason
    message: str
    retry_after_ms: int | None = None


@dataclass(slots=True)
class Order:
    """An order at the venue, its life long.

    Attributes:
        triggers_up: of a conditional order: it waits for the mark to rise to `stop_price`.
        is_waiting: conditional and not triggered yet.
        value: quote value of what was filled (for the average).
    """

    order_id: str
    request: Request
    client_order_id: str
    created_ms: int
    quantity: Decimal
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    status: OrderStatus = OrderStatus.OPEN
    is_waiting: bool = False
    triggers_up: bool = False

    @property
    def remaining(self) -> Decimal:
        """Quantity still to fill, >= 0."""
        return self.quantity - self.filled

    @property
    def is_exit(self) -> bool:
        """Whether it can only make a position smaller, by its own flags."""
        request = self.request
        if request.reduce_only or request.close_position:
            return True
        return closes_side(request.side, request.position_side)

    def report(self, account: str) -> WorkingOrder:
        """Return it as the venue tells it."""
        request = self.request
        average = self.value / self.filled if self.filled else None
        return WorkingOrder(
            account=account,
            symbol=request.symbol,
            order_id=self.order_id,
            client_order_id=self.client_order_id,
            side=request.side,
            type=request.type,
            quantity=self.quantity,
            filled=self.filled,
            price=request.price,
            stop_price=request.stop_price,
            reduce_only=request.reduce_only or request.close_position,
            close_position=request.close_position,
            position_side=request.position_side,
            is_conditional=self.is_waiting,
            status=self.status,
            created_ms=self.created_ms,
            average=average,
        )


def closes_side(side: Side, position_side: PositionSide) -> bool:
    """Whether an order on a hedge-mode leg closes it: SELL on long, BUY on short."""
    if position_side is PositionSide.LONG:
        return side is Side.SELL
    return position_side is PositionSide.SHORT and side is Side.BUY
