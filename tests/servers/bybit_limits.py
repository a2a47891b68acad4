"""How many requests a second Bybit allows an account on each path."""

from __future__ import annotations

from typing import Final

# Requests a second an account may send to a path; the rest have USUAL_LIMIT.
LIMITS: Final[dict[str, int]] = {
    "/v5/order/create": 10,
    "/v5/order/amend": 10,
    "/v5/order/cancel": 10,
    "/v5/order/cancel-all": 10,
    "/v5/order/create-batch": 10,
    "/v5/order/amend-batch": 10,
    "/v5/order/cancel-batch": 10,
    "/v5/order/disconnected-cancel-all": 5,
    "/v5/position/set-leverage": 10,
    "/v5/position/switch-mode": 10,
    "/v5/position/trading-stop": 10,
    "/v5/account/fee-rate": 5,
    "/v5/account/query-dcp-info": 5,
    "/v5/account/transaction-log": 25,
    "/v5/account/set-margin-mode": 5,
    "/v5/asset/coin/query-info": 5,
    "/v5/asset/transfer/query-account-coins-balance": 5,
}
SPOT_LIMITS: Final[dict[str, int]] = {
    "/v5/order/create": 20,
    "/v5/order/cancel": 20,
    "/v5/order/cancel-all": 20,
}
USUAL_LIMIT: Final = 50


def limit_headers(limit: int, left: int, reset_ms: int) -> dict[str, str]:
    """Return the headers that come with every private reply."""
    return {
        "X-Bapi-Limit": str(limit),
        "X-Bapi-Limit-Status": str(left),
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
    }
