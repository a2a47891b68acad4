"""What the gateway says in ccxt's words: its errors, and orders in ccxt's shape."""

from __future__ import annotations

import importlib
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from riskbot.client.answers import (
    Approval,
    DeniedError,
    GatewayAwayError,
    GatewayRefusedError,
)

_STATUS = {
    "filled": "closed",
    "canceled": "canceled",
    "rejected": "rejected",
    "absent": "rejected",
    "expired": "expired",
    "revoked": "canceled",
}


def shown(order: dict[str, Any], unit: Decimal) -> dict[str, Any]:
    """Return a followed order in ccxt's shape; unit = base units of one of ccxt's amount."""
    quantity, filled = Decimal(order["quantity"]) / unit, Decimal(order["filled"]) / unit
    return {
        # What riskbot knows it by: the venue's own id is in `info`.
        "id": order["client_order_id"],
        "clientOrderId": order["client_order_id"],
        "symbol": order["instrument"],
        "type": order["type"],
        "side": order["side"],
        "price": None if order["price"] is None else float(order["price"]),
        "amount": float(quantity),
        "filled": float(filled),
        "remaining": float(quantity - filled),
        "status": _STATUS.get(order["status"], "open"),
        "timestamp": order["created_ms"],
        "info": order,
    }


def passing(approval: Approval) -> Approval:
    """Return an approval that passes.

    Raises:
        DeniedError: it does not; for scripts that know only ccxt it is an InvalidOrder.
    """
    if approval.passes:
        return approval
    kind = type("OrderDeniedError", (DeniedError, ccxt_error("InvalidOrder")), {})
    raise kind(approval)


def in_ccxts_words(error: GatewayAwayError | GatewayRefusedError) -> Exception:
    """Return an error as one of ccxt's too: a bot that knows only those goes on."""
    if isinstance(error, GatewayAwayError):
        away = (GatewayAwayError, ccxt_error("ExchangeNotAvailable"))
        found: Exception = type("AwayError", away, {})(str(error))
        return found
    name = "ExchangeNotAvailable" if error.is_passing else "InvalidOrder"
    if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        name = "PermissionDenied"
    kind = type("RefusedError", (GatewayRefusedError, ccxt_error(name)), {})
    refused: Exception = kind(error.status, error.message, error.field)
    return refused


def may_be_done(error: GatewayAwayError | GatewayRefusedError) -> bool:
    """Whether what was asked for may be done although it was not answered."""
    if isinstance(error, GatewayAwayError):
        return error.was_sent
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def unanswered(error: Exception, name: str) -> Exception:
    """Return an error as what ccxt raises where nobody knows whether an order was placed."""
    kind = type("UnansweredError", (GatewayAwayError, ccxt_error("RequestTimeout")), {})
    words = f"nobody knows whether {name} was placed: look it up, or ask again under that id"
    found: Exception = kind(f"{words} ({error})")
    return found


def ccxt_error(name: str) -> type[Exception]:
    """Return one of ccxt's errors."""
    # The object comes from ccxt, so it is there; the client alone does without.
    found: type[Exception] = getattr(importlib.import_module("ccxt.base.errors"), name)
    return found
