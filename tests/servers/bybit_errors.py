"""Bybit v5 return codes: a short text for each, and the mapping from the ledger's refusals.

Codes are those of the venue's public error table. The texts are ours, except where clients are
known to look for words (`sign params error`, `Request timeout`).
"""

from __future__ import annotations

from typing import Final

from tests.servers.ledger_types import VenueError

TEXTS: Final[dict[int, str]] = {
    0: "OK",
    429: "The trading service is under high load, please retry.",
    10000: "Server Timeout",
    10001: "params error",
    10002: "invalid request, please check your server timestamp or recv_window param",
    10003: "API key is invalid.",
    10004: "error sign! please check the signature generation algorithm",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits. Exceeded the API Rate Limit.",
    10007: "User authentication failed.",
    10008: "User has been banned.",
    10009: "Service restricted.",
    10010: "Unmatched IP, please check your API key's bound IP addresses.",
    10014: "Invalid duplicate request.",
    10016: "Server error.",
    10017: "Route not found.",
    10018: "Exceeded the IP Rate Limit.",
    10027: "Transactions are banned.",
    10028: "The API can only be accessed by unified account users.",
    10029: "The requested symbol is invalid, please check symbol whitelist.",
    33004: "Your api key has expired.",
    34040: "not modified",
    110001: "order not exists or too late to cancel",
    110003: "Order price exceeds the allowable range.",
    110004: "Wallet balance is insufficient",
    110005: "position status error",
    110006: "The assets cannot cover the position margin",
    110007: "ab not enough for new order",
    110008: "The order has been completed or cancelled.",
    110009: "The number of stop orders exceeds the maximum allowable limit",
    110010: "The order has been cancelled",
    110012: "Insufficient available balance.",
    110013: "Cannot set leverage due to risk limit level.",
    110017: "Reduce-only rule not satisfied",
    110020: "Not allowed to have more than 500 active orders.",
    110021: "Position limit exceeded due to open interest.",
    110023: "Only position reduction is possible on this contract now.",
    110024: "You have an existing position, so the position mode cannot be switched",
    110025: "Position mode is not modified",
    110028: "You have existing open orders, so the position mode cannot be switched",
    110029: "Hedge mode is not supported for this symbol",
    110030: "Duplicate orderId",
    110043: "leverage not modified",
    110058: "No position large enough to set take profit and stop loss",
    110063: "Settlement in progress! Not available for trading.",
    110064: "The modified quantity cannot be less than or equal to the filled quantity",
    110066: "Trading is currently not allowed.",
    110072: "OrderLinkedID is duplicate",
    110074: "This contract is not live",
    110079: "The order is processing and can not be operated, please try again later",
    110086: "Order leverage exceeds the maximum of the current risk limit tier",
    110090: "Order placement failed as your position may exceed the max limit",
    110092: "expect Rising, but trigger_price[{0}] <= current[{1}]",
    110093: "expect Falling, but trigger_price[{0}] >= current[{1}]",
    110094: "Order does not meet minimum order value {0}",
    110103: "Only Post-Only orders are available at this stage",
    110118: "Unable to find a price for the market order due to low liquidity",
    170001: "Internal error.",
    170005: "Too many new orders.",
    170007: "Timeout waiting for response from backend server.",
    170031: "The feature has been suspended",
    170032: "Network error. Please try again later",
    170033: "margin Insufficient account balance",
    170117: "Invalid side.",
    170121: "Invalid symbol.",
    170124: "Order amount too large.",
    170130: "Data sent for parameter '{0}' is not valid.",
    170131: "Insufficient balance.",
    170133: "Order price lower than the minimum.",
    170134: "Order price has too many decimals.",
    170136: "Order quantity exceeded lower limit.",
    170137: "Order quantity has too many decimals.",
    170139: "Order has been filled.",
    170140: "Order value exceeded lower limit.",
    170141: "Duplicate clientOrderId.",
    170142: "Order has been canceled.",
    170143: "Cannot be found on order book",
    170146: "Order creation timeout.",
    170147: "Order cancellation timeout.",
    170149: "Create order failed.",
    170151: "The trading pair is not open yet.",
    170193: "Buy order price cannot be higher than {0}.",
    170194: "Sell order price cannot be lower than {0}.",
    170201: "Invalid orderFilter parameter.",
    170210: "New order rejected.",
    170213: "Order does not exist.",
    170217: "Only LIMIT-MAKER order is supported for the current pair.",
    170218: "The LIMIT-MAKER order is rejected due to invalid price.",
    170222: "Too many requests in this time frame.",
    170312: "The current order does not support modification.",
    170381: "Order quantity exceeded upper limit.",
    131212: "user insufficient balance",
    3400045: "Set margin mode failed",
}

# ledger name -> (code for contracts, code for spot)
REFUSALS: Final[dict[str, tuple[int, int]]] = {
    "UNKNOWN_SYMBOL": (10001, 170121),
    "MAINTENANCE": (10016, 10016),
    "CANCEL_ONLY": (110066, 170151),
    "POST_ONLY_PHASE": (110103, 170217),
    "NO_PERMISSION": (10005, 10005),
    "POSITION_SIDE_MISMATCH": (10001, 10001),
    "DUPLICATE_CLIENT_ID": (110072, 170141),
    "BAD_PRICE": (10001, 170133),
    "BAD_QUANTITY": (10001, 170136),
    "BAD_TRIGGER": (10001, 170130),
    "PRICE_PRECISION": (10001, 170134),
    "PRECISION": (10001, 170137),
    "MIN_QUANTITY": (10001, 170136),
    "MAX_QUANTITY": (10001, 170381),
    "MIN_NOTIONAL": (110094, 170140),
    "WOULD_TRIGGER": (110092, 170130),
    "REDUCE_ONLY_REJECTED": (110017, 170210),
    "REDUCE_ONLY_CONFLICT": (110017, 170210),
    "INSUFFICIENT_BALANCE": (110007, 170131),
    "INSUFFICIENT_MARGIN": (110007, 170131),
    "WOULD_CROSS": (170218, 170218),
    "ORDER_NOT_FOUND": (110001, 170213),
    "ORDER_CLOSED": (110001, 170213),
    "BAD_LEVERAGE": (110013, 110013),
    "MODE_UNCHANGED": (110025, 110025),
    "MODE_HAS_ORDERS": (110028, 110028),
    "MODE_HAS_POSITIONS": (110024, 110024),
}

# What 10001 says; everything else has one text per code.
PARAMETER_TEXTS: Final[dict[str, str]] = {
    "UNKNOWN_SYMBOL": "params error: symbol invalid",
    "POSITION_SIDE_MISMATCH": "position idx not match position mode",
    "BAD_PRICE": "params error: price invalid",
    "BAD_QUANTITY": "Qty invalid",
    "BAD_TRIGGER": "TriggerDirection invalid",
    "PRICE_PRECISION": "params error: price does not fit the tick size",
    "PRECISION": "Qty invalid",
    "MIN_QUANTITY": "The number of contracts exceeds minimum limit allowed",
    "MAX_QUANTITY": "The number of contracts exceeds maximum limit allowed",
}


class ApiError(Exception):
    """A refusal as the venue words it.

    Attributes:
        code: retCode.
        status: HTTP status; the venue answers 200 to nearly every refusal.
    """

    def __init__(self, code: int, message: str | None = None, *, status: int = 200) -> None:
        self.code = code
        self.message = TEXTS.get(code, "error") if message is None else message
        self.status = status
        super().__init__(f"{code}: {self.message}")


def refuse(code: int, *args: object) -> ApiError:
    """Return the refusal of a code, with its text filled in."""
    return ApiError(code, TEXTS[code].format(*args))


def from_ledger(error: VenueError, *, spot: bool) -> ApiError:
    """Return the venue's wording of a ledger refusal; a name without a code becomes 10001."""
    contract_code, spot_code = REFUSALS.get(error.code, (10001, 10001))
    code = spot_code if spot else contract_code
    if code == 10001:
        return ApiError(code, PARAMETER_TEXTS.get(error.code, f"params error: {error}"))
    return ApiError(code, TEXTS[code].format(error.detail, ""))
