"""Binance USD-M error codes, their words and HTTP statuses, and which refusal of a ledger is which.

Codes from the venue's public error list for USD-M futures; nothing here decides anything.
"""

from __future__ import annotations

from typing import Any

from tests.servers.base import Reply
from tests.servers.ledger_types import VenueError

MESSAGES: dict[int, str] = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1002: "You are not authorized to execute this request.",
    -1003: "Too many requests; current limit is 2400 request weight per 1 MINUTE.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: (
        "Timeout waiting for response from backend server. "
        "Send status unknown; execution status unknown."
    ),
    -1008: (
        "Server is currently overloaded with other requests. Please try again in a few minutes."
    ),
    -1015: "Too many new orders; current limit is 300 orders per TEN_SECONDS.",
    -1016: "This service is no longer available.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1100: "Illegal characters found in a parameter.",
    -1102: "A mandatory parameter was not sent, was empty/null, or malformed.",
    -1106: "Parameter 'reduceonly' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1130: "Data sent for a parameter is not valid.",
    -2010: "NEW_ORDER_REJECTED",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2018: "Balance is insufficient.",
    -2019: "Margin is insufficient.",
    -2020: "Unable to fill.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2023: "User in liquidation mode now.",
    -2025: "Reach max open order limit.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -4001: "Price less than 0.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4028: "Leverage is not valid.",
    -4045: "Reach max stop order limit.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4059: "No need to change position side.",
    -4061: "Order's position side does not match user's setting.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4088: "User can not place order currently.",
    -4116: "ClientOrderId is duplicated.",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders.",
    -4120: (
        "Order type not supported for this endpoint. "
        "Please use the Algo Order API endpoints instead."
    ),
    -4130: (
        "An open stop or take profit order with GTE and closePosition in the direction is existing."
    ),
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4140: "Invalid symbol status for opening position.",
    -4141: "Symbol is closed.",
    -4164: "Order's notional must be no smaller than 5.0 (unless you choose reduce only).",
    -4171: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
    -4400: (
        "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, "
        "please try again later."
    ),
    -5021: ("Due to the order could not be filled immediately, the FOK order has been rejected."),
    -5022: (
        "Due to the order could not be executed as maker, the Post Only order will be rejected."
    ),
    -5024: "Symbol is not in trading status. Order amendment is not permitted.",
    -5025: "Only limit order is supported.",
    -5027: "No need to modify the order.",
}

STATUSES: dict[int, int] = {
    -1001: 503,
    -1002: 401,
    -1003: 429,
    -1007: 408,
    -1008: 503,
    -1015: 429,
    -2014: 401,
    -2015: 401,
}

# What the ledger says -> the venue's code.
FROM_LEDGER: dict[str, int] = {
    "UNKNOWN_SYMBOL": -1121,
    "CANCEL_ONLY": -4141,
    "POST_ONLY_PHASE": -4140,
    "NO_PERMISSION": -2015,
    "POSITION_SIDE_MISMATCH": -4061,
    "DUPLICATE_CLIENT_ID": -4116,
    "BAD_PRICE": -4001,
    "BAD_QUANTITY": -4003,
    "BAD_TRIGGER": -1102,
    "PRICE_PRECISION": -4014,
    "PRECISION": -1111,
    "MIN_QUANTITY": -4004,
    "MAX_QUANTITY": -4005,
    "MIN_NOTIONAL": -4164,
    "WOULD_TRIGGER": -2021,
    "REDUCE_ONLY_REJECTED": -2022,
    "REDUCE_ONLY_CONFLICT": -4118,
    "INSUFFICIENT_BALANCE": -2018,
    "INSUFFICIENT_MARGIN": -2019,
    "WOULD_CROSS": -5022,
    "ORDER_NOT_FOUND": -2013,
    "ORDER_CLOSED": -2011,
    "BAD_LEVERAGE": -4028,
    "MODE_UNCHANGED": -4059,
    "MODE_HAS_ORDERS": -4067,
    "MODE_HAS_POSITIONS": -4068,
}


class ApiError(Exception):
    """A refusal in the venue's own terms."""

    def __init__(self, code: int, message: str = "", status: int = 0) -> None:
        self.code = code
        self.message = message or MESSAGES.get(code, "")
        self.status = status or STATUSES.get(code, 400)
        super().__init__(f"{code} {self.message}")

    def reply(self) -> Reply:
        """Return the REST reply."""
        return Reply({"code": self.code, "msg": self.message}, self.status)


def missing(name: str) -> ApiError:
    """Return the error of a mandatory parameter that is absent or malformed."""
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def from_ledger(error: VenueError) -> ApiError:
    """Return the venue's wording of a ledger's refusal."""
    if error.code == "MAINTENANCE":
        return ApiError(1, "System is under maintenance.", 503)
    code = FROM_LEDGER[error.code]
    if code == -4164:
        smallest = error.detail or "5"
        words = (
            f"Order's notional must be no smaller than {smallest} (unless you choose reduce only)."
        )
        return ApiError(code, words)
    if error.code == "BAD_TRIGGER":
        return missing("triggerPrice")
    return ApiError(code)


def refusal(kind: str, params: dict[str, Any], now_ms: int) -> Reply:
    """Return the reply of a planted fault of this kind (see `faults.KINDS`)."""
    if kind == "reply_html":
        page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
        return Reply(page, int(params.get("status", 502)))
    if kind == "maintenance":
        return Reply({"code": 1, "msg": "System is under maintenance."}, 503)
    if kind in ("rate_limited", "banned"):
        wait = float(params.get("retry_after", 1 if kind == "rate_limited" else 120))
        until = now_ms + int(wait * 1000)
        words = MESSAGES[-1003]
        if kind == "banned":
            words = f"Way too many requests; IP banned until {until}. Please use the websocket."
        headers = {"Retry-After": str(max(1, round(wait)))}
        return Reply({"code": -1003, "msg": words}, 429 if kind == "rate_limited" else 418, headers)
    if kind == "server_error":
        code = int(params.get("code", -1001))
        return ApiError(code, status=int(params.get("status", 503))).reply()
    defaults = {"ambiguous": -1007, "accept_late": -1007, "error": -1000}
    code = int(params.get("code", defaults[kind]))
    return ApiError(code, str(params.get("message", "")), int(params.get("status", 0))).reply()
