"""What the gateway answers, as a strategy handles it."""

from __future__ import annotations

import http
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any


class GatewayError(Exception):
    """Anything that is no approval."""


class GatewayAwayError(GatewayError):
    """No answer came that can be read: the order must not be sent.

    Attributes:
        was_sent: the question may have arrived: what riskbot was to send may be at the venue.
    """

    def __init__(self, message: str, *, was_sent: bool = True) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class GatewayRefusedError(GatewayError):
    """The request itself was refused.

    Attributes:
        status: of HTTP, 400 to 503.
        message: what the gateway says.
        field: that is at fault, empty = none.
    """

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.field = field

    @property
    def is_passing(self) -> bool:
        """Whether it says nothing of the order: overloaded, stopping, a fault of its own."""
        return self.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or (
            self.status == http.HTTPStatus.TOO_MANY_REQUESTS
        )


class DeniedError(GatewayError):
    """The order was denied.

    Attributes:
        approval: the whole answer, with every reason and the largest quantity that passes.
    """

    def __init__(self, approval: Approval) -> None:
        super().__init__("; ".join(approval.messages) or "denied")
        self.approval = approval


_HELPLESS = frozenset({"INTERNAL", "STOPPING"})


class Decision(StrEnum):
    """What the gateway decides."""

    APPROVE = "approve"
    DENY = "deny"
    RESIZE = "resize"


@dataclass(frozen=True, slots=True)
class Approval:
    """The answer to one order; `passes` says whether it may go.

    Attributes:
        decision: `approve`, `resize` or `deny`.
        enforced: it binds; False = shadow, which only says what it would do.
        quantity: that may be traded, base units, 0 when denied.
        max_quantity: the largest that passes now, None = nothing bounds it.
        client_order_id: to send the order with, as the gateway knows it.
        reasons: as in the HTTP contract.
        order: as the gateway follows it, None = nothing was reserved.
    """

    decision: str
    enforced: bool
    quantity: Decimal
    max_quantity: Decimal | None
    client_order_id: str | None
    reservation_id: str | None
    expires_at_ms: int | None
    reasons: tuple[dict[str, Any], ...]
    order: dict[str, Any] | None

    @property
    def passes(self) -> bool:
        """Whether the order may be sent: also what shadow would have denied."""
        return self.decision != "deny" or not self.enforced

    @property
    def is_blind(self) -> bool:
        """Whether it was denied because riskbot could not judge it, whatever else it says."""
        return any(code.startswith("BLIND_") or code in _HELPLESS for code in self.codes)

    @property
    def codes(self) -> tuple[str, ...]:
        """The reason codes, in the order they were found."""
        return tuple(str(reason["code"]) for reason in self.reasons)

    @property
    def messages(self) -> tuple[str, ...]:
        """The reasons as people read them."""
        return tuple(f"{reason['code']}: {reason['message']}" for reason in self.reasons)

    @classmethod
    def read(cls, document: dict[str, Any], asked: Decimal) -> Approval:
        """Read what the gateway answered.

        Args:
            document: of `POST /v1/orders` or `/v1/orders/check`.
            asked: quantity that was asked for.

        Raises:
            GatewayAwayError: it is no such answer.
        """
        try:
            decision, order = Decision(document["decision"]).value, document["order"]
            enforced = document["enforced"] is not False
            quantity = asked if decision == "approve" or not enforced else Decimal(0)
            if decision == "resize":
                quantity = Decimal(order["quantity"])
            largest = document["max_quantity"]
            return cls(
                decision=decision,
                enforced=enforced,
                quantity=quantity,
                max_quantity=None if largest is None else Decimal(largest),
                client_order_id=document["client_order_id"],
                reservation_id=document["reservation_id"],
                expires_at_ms=document["expires_at_ms"],
                reasons=tuple(document["reasons"]),
                order=order,
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            message = f"the gateway's answer cannot be read: {type(error).__name__}"
            raise GatewayAwayError(message) from error
