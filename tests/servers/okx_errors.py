"""OKX error codes: HTTP status and a short text for each, and the mapping from ledger refusals.

Codes and statuses are those of the venue's public error table; the texts are ours.
"""

from __future__ import annotations

from typing import Any, Final

from tests.servers.ledger_types import VenueError

# code -> (HTTP status, text); `{0}` takes the argument of the refusal
CODES: Final[dict[str, tuple[int, str]]] = {
    "50000": (400, "POST body is empty"),
    "50001": (503, "service temporarily unavailable"),
    "50002": (400, "JSON syntax error"),
    "50004": (400, "endpoint timed out; the result is unknown"),
    "50005": (410, "endpoint inactive"),
    "50006": (400, "wrong Content-Type"),
    "50011": (429, "too many requests"),
    "50013": (429, "systems busy"),
    "50014": (400, "parameter {0} is empty"),
    "50015": (400, "one of the parameters {0} is required"),
    "50026": (500, "system error"),
    "50030": (200, "no permission for this endpoint"),
    "50037": (200, "order expired"),
    "50061": (200, "account order rate limit reached"),
    "50102": (401, "timestamp request expired"),
    "50103": (401, "header OK-ACCESS-KEY is empty"),
    "50104": (401, "header OK-ACCESS-PASSPHRASE is empty"),
    "50105": (401, "header OK-ACCESS-PASSPHRASE incorrect"),
    "50106": (401, "header OK-ACCESS-SIGN is empty"),
    "50107": (401, "header OK-ACCESS-TIMESTAMP is empty"),
    "50110": (401, "IP {0} is not on the key's list"),
    "50111": (401, "invalid OK-ACCESS-KEY"),
    "50112": (401, "invalid OK-ACCESS-TIMESTAMP"),
    "50113": (401, "invalid signature"),
    "50114": (401, "invalid authorization"),
    "50115": (405, "invalid request method"),
    "50120": (200, "the key has no permission for this function"),
    "51000": (400, "parameter {0} error"),
    "51001": (200, "instrument ID does not exist"),
    "51003": (200, "client order ID or order ID is required"),
    "51006": (200, "order price outside the price limit"),
    "51008": (200, "insufficient {0} margin in account"),
    "51010": (200, "unsupported under the current account mode"),
    "51015": (200, "instrument ID does not match instrument type"),
    "51016": (200, "client order ID already exists"),
    "51020": (200, "below the minimum order amount"),
    "51022": (200, "contract suspended"),
    "51023": (200, "position does not exist"),
    "51054": (500, "request timed out"),
    "51065": (200, "algoClOrdId already exists"),
    "51088": (200, "one TP/SL order closing the entire position already exists"),
    "51109": (200, "no available offers"),
    "51111": (200, "at most {0} orders in bulk"),
    "51112": (200, "close order size exceeds what is available of the position"),
    "51115": (429, "cancel all pending close orders first"),
    "51121": (200, "quantity is not a multiple of the lot size"),
    "51124": (200, "only limit orders in this phase"),
    "51131": (200, "insufficient balance"),
    "51149": (500, "order timed out"),
    "51150": (200, "precision of the price exceeds the limit"),
    "51169": (200, "no position in this direction to reduce or close"),
    "51170": (200, "a reduce-only order cannot go in the direction of the position"),
    "51202": (200, "market order amount exceeds the maximum"),
    "51204": (200, "a limit order needs a price"),
    "51205": (200, "reduce-only is not available"),
    "51250": (200, "algo order price out of range"),
    "51277": (200, "TP trigger price above the last price"),
    "51278": (200, "SL trigger price below the last price"),
    "51279": (200, "TP trigger price below the last price"),
    "51280": (200, "SL trigger price above the last price"),
    "51327": (200, "closeFraction only applies to futures and swaps"),
    "51328": (200, "closeFraction only applies to reduce-only orders"),
    "51400": (200, "cancellation failed: filled, canceled or not existing"),
    "51405": (200, "no pending orders"),
    "51407": (200, "order ID or client order ID is required"),
    "51416": (200, "order has been triggered"),
    "51500": (200, "a new price or quantity is required"),
    "51503": (200, "order already filled or canceled"),
    "51603": (200, "order does not exist"),
    "59000": (200, "close positions and orders before this setting"),
    "59102": (200, "leverage exceeds the maximum"),
    "59105": (400, "leverage below the minimum"),
    "60004": (200, "invalid timestamp"),
    "60005": (200, "invalid apiKey"),
    "60006": (200, "timestamp request expired"),
    "60007": (200, "invalid sign"),
    "60008": (200, "channel not supported on this URL"),
    "60009": (200, "login failure"),
    "60011": (200, "please log in"),
    "60012": (200, "invalid request"),
    "60013": (200, "invalid args"),
    "60018": (200, "wrong URL or {0} does not exist"),
    "60019": (200, "invalid op"),
    "60024": (200, "wrong passphrase"),
    "60028": (200, "operation not supported on this URL"),
    "60029": (200, "channel needs VIP5"),
    "60032": (200, "API key does not exist"),
    "64001": (200, "channel moved to the business URL"),
    "64002": (200, "channel not supported on the business URL"),
    "64008": (200, "connection will soon be closed for an upgrade"),
}

# names the ledger refuses under -> the code OKX uses for an order, and the argument of its text
LEDGER_CODES: Final[dict[str, tuple[str, str]]] = {
    "BAD_PRICE": ("51000", "px"),
    "BAD_QUANTITY": ("51000", "sz"),
    "BAD_TRIGGER": ("51000", "triggerPx"),
    "CANCEL_ONLY": ("51022", ""),
    "DUPLICATE_CLIENT_ID": ("51016", ""),
    "INSUFFICIENT_BALANCE": ("51008", ""),
    "INSUFFICIENT_MARGIN": ("51008", ""),
    "MAINTENANCE": ("50001", ""),
    "MAX_QUANTITY": ("51202", ""),
    "MIN_NOTIONAL": ("51020", ""),
    "MIN_QUANTITY": ("51020", ""),
    "NO_PERMISSION": ("50120", ""),
    "ORDER_CLOSED": ("51400", ""),
    "ORDER_NOT_FOUND": ("51603", ""),
    "POSITION_SIDE_MISMATCH": ("51000", "posSide"),
    "POST_ONLY_PHASE": ("51124", ""),
    "PRECISION": ("51121", ""),
    "PRICE_PRECISION": ("51150", ""),
    "REDUCE_ONLY_CONFLICT": ("51112", ""),
    "REDUCE_ONLY_REJECTED": ("51169", ""),
    "UNKNOWN_SYMBOL": ("51001", ""),
}


class OkxError(Exception):
    """A refusal under one of the venue's codes.

    Attributes:
        code: the venue's code.
        text: the message sent with it.
        status: HTTP status when it stands for the whole request.
    """

    def __init__(self, code: str, argument: str = "") -> None:
        self.code = code
        self.status, template = CODES[code]
        self.text = template.format(argument) if argument else template.replace(" {0}", "")
        super().__init__(f"{code}: {self.text}")

    @classmethod
    def of(cls, error: VenueError) -> OkxError:
        """Return the venue's form of a ledger refusal."""
        code, argument = LEDGER_CODES.get(error.code, ("51000", error.code))
        if error.code == "INSUFFICIENT_MARGIN":
            argument = error.detail
        return cls(code, argument)

    def body(self) -> dict[str, Any]:
        """Return the body of a reply that refuses the whole request."""
        return {"code": self.code, "data": [], "msg": self.text}
