"""Nouns of the gateway: what a strategy asks for, what is answered, what an approval holds.

Which orders pass is decided in `pretrade`; what is approved lives in `reservations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from riskbot.core.model import OrderType, PositionKey, PositionSide, Side, WorkingOrder


class Code(StrEnum):
    """Why an order is not approved as asked for: a closed list."""

    TRADING_STATE = "TRADING_STATE"
    MEASURE_HOLD = "MEASURE_HOLD"
    HALT_FILE = "HALT_FILE"
    STOPPING = "STOPPING"
    BLIND_ACCOUNT = "BLIND_ACCOUNT"
    BLIND_PRICE = "BLIND_PRICE"
    BLIND_CLOCK = "BLIND_CLOCK"
    BLIND_STORAGE = "BLIND_STORAGE"
    BLIND_ALERTS = "BLIND_ALERTS"
    PENDING_FLOW = "PENDING_FLOW"
    ACCOUNT_NOT_ALLOWED = "ACCOUNT_NOT_ALLOWED"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_NOT_ALLOWED = "INSTRUMENT_NOT_ALLOWED"
    INSTRUMENT_INACTIVE = "INSTRUMENT_INACTIVE"
    QUANTITY_STEP = "QUANTITY_STEP"
    QUANTITY_MINIMUM = "QUANTITY_MINIMUM"
    PRICE_TICK = "PRICE_TICK"
    POSITION_SIDE = "POSITION_SIDE"
    NOTHING_TO_CLOSE = "NOTHING_TO_CLOSE"
    EXCEEDS_POSITION = "EXCEEDS_POSITION"
    MAX_TRADE = "MAX_TRADE"
    MAX_TRADE_RISK = "MAX_TRADE_RISK"
    MAX_ORDER_VALUE = "MAX_ORDER_VALUE"
    MAX_ORDER_QUANTITY = "MAX_ORDER_QUANTITY"
    PRICE_COLLAR = "PRICE_COLLAR"
    CORRELATION = "CORRELATION"
    STOP_REQUIRED = "STOP_REQUIRED"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    ORDER_RATE = "ORDER_RATE"
    REPEATED_EXECUTION = "REPEATED_EXECUTION"
    DUPLICATE = "DUPLICATE"
    OWN_ORDER_CROSSING = "OWN_ORDER_CROSSING"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    LIMIT_UNKNOWN = "LIMIT_UNKNOWN"
    SCALED = "SCALED"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    INTERNAL = "INTERNAL"


OVERRIDABLE = frozenset(
    {
        Code.MEASURE_HOLD,
        Code.MAX_TRADE,
        Code.MAX_TRADE_RISK,
        Code.MAX_ORDER_VALUE,
        Code.MAX_ORDER_QUANTITY,
        Code.PRICE_COLLAR,
        Code.STOP_REQUIRED,
        Code.ORDER_RATE,
        Code.DUPLICATE,
        Code.OWN_ORDER_CROSSING,
        Code.CORRELATION,
        Code.LIMIT_EXCEEDED,
        Code.LIMIT_UNKNOWN,
        Code.SCALED,
    }
)
"""What an admin may let pass once: rules and limits. No halt, no missing sight, no venue's rule."""

REPEATED = "repeated_execution"
"""Limit name of the hold on a strategy that repeated itself, or kept losing, beyond its rules."""


class Decision(StrEnum):
    """What the gateway answers."""

    APPROVE = "approve"
    DENY = "deny"
    RESIZE = "resize"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why an order is not approved as asked for.

    Attributes:
        limit: its name, empty = no limit's matter.
        measured, allowed: figures of the check, None = it has none.
        binds: it holds in every mode, also in shadow: it is no decision of riskbot's own.
    """

    code: Code
    scope: str
    message: str
    limit: str = ""
    measured: float | None = None
    allowed: float | None = None
    binds: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as spec.md section 10 shows it."""
        return {
            "code": self.code.value,
            "limit": self.limit or None,
            "scope": self.scope,
            "measured": self.measured,
            "allowed": self.allowed,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """One order as a strategy wishes it.

    Attributes:
        strategy: who asks, as the door has made sure of.
        symbol: ccxt unified symbol.
        quantity: > 0, unit of `Position.quantity`.
        price: limit price in quote units, None for market.
        stop_loss: trigger price of the stop the strategy will place, quote units; None = none.
        position_side: None = as the side says.
        client_order_id: the strategy's own id, None = it gives none.
        is_submit: riskbot places it; else it only answers, and the strategy does.
    """

    strategy: str
    account: str
    symbol: str
    side: Side
    quantity: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    stop_loss: Decimal | None = None
    reduce_only: bool = False
    position_side: PositionSide | None = None
    client_order_id: str | None = None
    allow_resize: bool = False
    is_submit: bool = False

    @property
    def hash(self) -> str:
        """Name of exactly this order, whatever it is called by."""
        parts = (
            self.strategy,
            self.account,
            self.symbol,
            self.side.value,
            plain(self.quantity),
            self.type.value,
            None if self.price is None else plain(self.price),
            None if self.stop_loss is None else plain(self.stop_loss),
            self.reduce_only,
            None if self.position_side is None else str(self.position_side),
            self.is_submit,
        )
        return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def plain(figure: Decimal) -> str:
    """Return a quantity or a price as people write it: no exponent, no trailing zeros."""
    return f"{figure.normalize():f}"


class Stage(StrEnum):
    """Where an approved order stands."""

    RESERVED = "reserved"
    SENT = "sent"
    UNKNOWN = "unknown"
    OPEN = "open"
    REPLACING = "replacing"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABSENT = "absent"
    REVOKED = "revoked"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it."""
        return self in _FINAL


_FINAL = {
    Stage.FILLED,
    Stage.CANCELED,
    Stage.REJECTED,
    Stage.EXPIRED,
    Stage.ABSENT,
    Stage.REVOKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Exposure that an approval holds until its order is over.

    Attributes:
        reservation_id: riskbot's own name of it, never used again.
        client_order_id: what the strategy calls it by.
        venue_id: client id of the order that stands at the venue now, empty = none does: one that
            is amended is replaced by another.
        quantity: of the whole parent, > 0; filled: of it, over all its orders, >= 0.
        key: the position it is on.
        told: what fills have told of the present order.
        sent_filled: what earlier orders of the parent had filled when this one was sent.
        is_exit: it may only close; it was approved as that.
        is_submit: riskbot has placed it.
        expires_ms: when a check's approval lapses unless its order is seen.
        order_id: the venue's id, None = not seen there yet.
        wants_cancel: the strategy wants it gone; asked again until it is.
        amend_quantity, amend_price: what replaces it once the present order is gone.
        queries: look-ups that did not know it; next_query_ms: when it is looked up next.
        mark: best price when it was decided on, quote units, None = unknown.
        ended_ms: when it was let go, 0 = it lives.
        is_tolerated: it was denied, and shadow lets it pass: it holds nothing before its order is
            seen.
        override: hash of the denied order that an admin let pass as this, empty = it needed none.
        is_late: its order was seen after the approval had been let go.
        is_rogue: so late that the approval had been taken or given back well before.
        is_guess: its order has no name, and was taken for it.
    """

    reservation_id: str
    client_order_id: str
    venue_id: str
    strategy: str
    account: str
    symbol: str
    side: Side
    position_side: PositionSide
    quantity: Decimal
    type: OrderType
    price: Decimal | None = None
    stop_loss: Decimal | None = None
    reduce_only: bool = False
    is_exit: bool = False
    is_submit: bool = False
    stage: Stage = Stage.RESERVED
    filled: Decimal = Decimal(0)
    sent_filled: Decimal = Decimal(0)
    told: Decimal = Decimal(0)
    created_ms: int = 0
    sent_ms: int = 0
    expires_ms: int = 0
    order_id: str | None = None
    wants_cancel: bool = False
    amend_quantity: Decimal | None = None
    amend_price: Decimal | None = None
    queries: int = 0
    next_query_ms: int = 0
    note: str = ""
    mark: float | None = None
    ended_ms: int = 0
    is_tolerated: bool = False
    override: str = ""
    is_late: bool = False
    is_rogue: bool = False
    is_guess: bool = False

    @property
    def key(self) -> PositionKey:
        """The position it is on."""
        return PositionKey(self.account, self.symbol, self.position_side)

    @property
    def remaining(self) -> Decimal:
        """What may still fill, the larger of now and after an amendment under way, >= 0."""
        whole = max(self.quantity, self.amend_quantity or Decimal(0))
        return max(whole - self.filled, Decimal(0))

    @property
    def is_unsent(self) -> bool:
        """Whether it waits for an order that its strategy was to send."""
        return self.stage is Stage.RESERVED

    @property
    def may_turn(self) -> bool:
        """Whether it was approved as an exit, but nothing at the venue keeps it one.

        A strategy that sends an exit itself sends a plain order, unless it asked for a reduce-only
        one: once its position is gone, that order opens the other side.
        """
        return self.is_exit and not (self.reduce_only or self.is_submit)

    @property
    def sent_quantity(self) -> Decimal:
        """Quantity of the order that stands at the venue now."""
        return self.quantity - self.sent_filled

    def phantom(self) -> WorkingOrder:
        """Return it as a working order that the venue does not show (yet)."""
        return WorkingOrder(
            account=self.account,
            symbol=self.symbol,
            order_id=f"~{self.reservation_id}",
            client_order_id=self.venue_id,
            side=self.side,
            type=self.type,
            quantity=self.remaining,
            price=self.price,
            reduce_only=self.reduce_only or self.is_exit,
            position_side=self.position_side,
            created_ms=self.created_ms,
        )

    def document(self) -> dict[str, Any]:
        """Return it as the HTTP routes show an order."""
        return {
            "client_order_id": self.client_order_id,
            "reservation_id": self.reservation_id,
            "strategy": self.strategy,
            "account": self.account,
            "instrument": self.symbol,
            "side": self.side.value,
            "position_side": self.position_side.value,
            "quantity": plain(self.quantity),
            "filled": plain(self.filled),
            "type": self.type.value,
            "price": None if self.price is None else plain(self.price),
            "stop_loss": None if self.stop_loss is None else plain(self.stop_loss),
            "reduce_only": self.reduce_only,
            "is_exit": self.is_exit,
            "submitted": self.is_submit,
            "status": self.stage.value,
            "order_id": self.order_id,
            "created_ms": self.created_ms,
            "expires_at_ms": self.expires_ms if self.stage is Stage.RESERVED else None,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a client id, so that the same question gets the same answer.

    Attributes:
        fingerprint: of the body that was asked with.
        reservation: id of what was approved, empty = it was denied.
    """

    fingerprint: str
    document: dict[str, Any]
    at_ms: int
    reservation: str = ""


@dataclass(slots=True)
class Stray:
    """An order, or a fill, that no approval explains.

    Attributes:
        seen_ms: when it was first seen; of a stop that is gone, when that was noticed.
        is_told: people were told; it is cancelled once at most.
        stop_quantity: of a stop that protects a position: what of it has not filled, signed; such
            a one is nobody's fault. 0 = it is none.
        is_gone: such a stop works no more; what it became may fill yet, under other names.
    """

    account: str
    symbol: str
    order_id: str
    client_order_id: str | None
    seen_ms: int
    is_fill: bool = False
    is_told: bool = False
    stop_quantity: Decimal = Decimal(0)
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """An order that was denied, by its hash: what an override is asked for.

    Attributes:
        words: the order, as people read it.
        codes: of all that failed; reason: the same in words.
    """

    strategy: str
    words: str
    codes: tuple[str, ...]
    reason: str
    at_ms: int
