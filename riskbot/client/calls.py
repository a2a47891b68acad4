"""Each call of the gateway once: what is sent, how its answer is read, and how it is signed."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from riskbot.client.answers import Approval, GatewayAwayError, GatewayRefusedError

Number = Decimal | int | float | str
T = TypeVar("T")
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        method, path: of HTTP, the path with its query as it is sent.
        payload: the body, empty = none.
        read: makes the answer of its document.
    """

    method: str
    path: str
    payload: bytes
    read: Callable[[Document], T]

    def headers(self, token: str, hmac_secret: str | None) -> dict[str, str]:
        """Return what is sent beside it: the token, and a signature where there is a secret."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if hmac_secret is None:
            return headers
        # The clock of the strategy's own machine: the gateway takes what is 30 s old at most.
        now, nonce = str(time.time_ns() // 1_000_000), secrets.token_hex(16)  # noqa: TID251
        lines = ("riskbot-request-1", self.method, self.path, now, nonce, "")
        signed = "\n".join(lines).encode() + self.payload
        return headers | {
            "X-Riskbot-Timestamp": now,
            "X-Riskbot-Nonce": nonce,
            "X-Riskbot-Signature": hmac.new(
                hmac_secret.encode(), signed, hashlib.sha256
            ).hexdigest(),
        }

    def answer(self, status: int, payload: bytes) -> T:
        """Return what was answered.

        Raises:
            GatewayRefusedError: it says why not.
            GatewayAwayError: it says nothing that can be read.
        """
        try:
            document = json.loads(payload)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            message = f"the gateway answered {status} with no JSON object"
            raise GatewayAwayError(message)
        if status != http.client.OK:
            words = str(document.get("error", "no reason given"))
            raise GatewayRefusedError(status, words, str(document.get("field") or ""))
        return self.read(document)


def order_body(
    account: str,
    instrument: str,
    side: str,
    quantity: Number,
    price: Number | None = None,
    *,
    type: str | None = None,  # noqa: A002 - the contract's word
    stop_loss: Number | None = None,
    reduce_only: bool = False,
    position_side: str | None = None,
    client_order_id: str | None = None,
    allow_resize: bool = False,
) -> Document:
    """Return the body of an order; quantities in base units, prices in quote units."""
    body: Document = {
        "account": account,
        "instrument": instrument,
        "side": side,
        "quantity": _text(quantity),
        "type": type or ("market" if price is None else "limit"),
        "client_order_id": client_order_id or new_id(),
    }
    optional = {
        "price": None if price is None else _text(price),
        "stop_loss": None if stop_loss is None else _text(stop_loss),
        "reduce_only": reduce_only or None,
        "position_side": position_side,
        "allow_resize": allow_resize or None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def new_id() -> str:
    """Return a client order id: it makes a question that is asked twice one order."""
    return f"c{secrets.token_hex(12)}"


def _text(number: Number) -> str:
    exact = number if isinstance(number, Decimal) else Decimal(str(number))
    return f"{exact:f}"


# ---------------------------------------------------------------- the calls


def check(body: Document) -> Call[Approval]:
    """Ask whether an order may go."""
    return _order("/v1/orders/check", body)


def submit(body: Document) -> Call[Approval]:
    """Have riskbot place an order."""
    return _order("/v1/orders", body)


def _order(path: str, body: Document) -> Call[Approval]:
    read = partial(Approval.read, asked=Decimal(body["quantity"]))
    return Call("POST", path, json.dumps(body).encode(), read)


def amend(name: str, quantity: Number | None, price: Number | None) -> Call[Document]:
    """Change a submitted order."""
    wanted = {"quantity": quantity, "price": price}
    changes = {key: _text(value) for key, value in wanted.items() if value is not None}
    return Call("PATCH", _path(name), json.dumps(changes).encode(), dict)


def cancel(name: str) -> Call[Document]:
    """Cancel a submitted order, or give an approval back."""
    return Call("DELETE", _path(name), b"", dict)


def order(name: str) -> Call[Document]:
    """Ask how an order stands."""
    return Call("GET", _path(name), b"", dict)


def size(instrument: str, account: str | None, stop: Number | None) -> Call[Document]:
    """Ask how much may be traded now."""
    query = {"instrument": instrument, "account": account, "stop": stop}
    known = urlencode({key: str(value) for key, value in query.items() if value is not None})
    return Call("GET", f"/v1/size?{known}", b"", dict)


def status() -> Call[Document]:
    """Ask for the status of riskbot."""
    return Call("GET", "/v1/status", b"", dict)


def _path(client_order_id: str) -> str:
    return f"/v1/orders/{quote(client_order_id, safe='')}"
