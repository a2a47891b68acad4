"""One REST request to OKX: who may call, how it is signed, how lists are paged and wrapped.

The endpoints themselves are in `okx_public.py`, `okx_private.py` and `okx_desk.py`.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.servers.okx_account import OkxAccount
from tests.servers.okx_errors import OkxError
from tests.servers.okx_rows import Row
from tests.servers.okx_venue import OkxVenue

EXPIRES_MS: Final = 30_000


@dataclass(slots=True)
class Call:
    """An authenticated request.

    Attributes:
        params: query or JSON object.
        items: the JSON array of a batch request, or the one object of a single one.
        context: what fault matches look at.
    """

    venue: OkxVenue
    account: OkxAccount
    params: Row
    items: list[Row] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)


Handler = Callable[[Call], list[Row]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A private endpoint: what serves it, what right it needs, its documented limit per user."""

    serve: Handler
    permission: str
    calls: int
    seconds: float
    per_instrument: bool = False


def sign(secret: str, text: str) -> str:
    """Return the Base64 HMAC-SHA256 the venue expects."""
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def authenticate(
    venue: OkxVenue, headers: Mapping[str, str], prehash: str, peer: str = "127.0.0.1"
) -> OkxAccount:
    """Return the account a request is signed for.

    Args:
        venue: where the keys are known.
        headers: request headers, names in lower case.
        prehash: method, path with query, and body, as they follow the timestamp.
        peer: the address the request comes from.

    Raises:
        OkxError: 50103 to 50107, 50111, 50105, 50112, 50102, 50113 or 50110.
    """
    names = {
        "ok-access-key": "50103",
        "ok-access-passphrase": "50104",
        "ok-access-sign": "50106",
        "ok-access-timestamp": "50107",
    }
    for name, code in names.items():
        if not headers.get(name):
            raise OkxError(code)
    account = venue.accounts.get(headers["ok-access-key"])
    if account is None:
        raise OkxError("50111")
    if headers["ok-access-passphrase"] != account.passphrase:
        raise OkxError("50105")
    stamp = headers["ok-access-timestamp"]
    if abs(timestamp_ms(stamp) - venue.now_ms()) > EXPIRES_MS:
        raise OkxError("50102")
    given = headers["ok-access-sign"]
    if not hmac.compare_digest(sign(account.secret, stamp + prehash).encode(), given.encode()):
        raise OkxError("50113")
    if account.ip and peer not in account.ip.split(","):
        raise OkxError("50110", peer)
    return account


def timestamp_ms(text: str) -> int:
    """Return UTC milliseconds of an ISO timestamp; raises OkxError 50112."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise OkxError("50112") from None
    if moment.tzinfo is None:
        raise OkxError("50112")
    return int(moment.timestamp() * 1000)


def page(rows: Iterable[Row], params: Row, id_name: str, *, largest: int = 100) -> list[Row]:
    """Return the page of rows (newest first) that after, before and limit select by id."""
    wanted = list(rows)
    if params.get("after"):
        wanted = [row for row in wanted if int(row[id_name]) < int(params["after"])]
    if params.get("before"):
        wanted = [row for row in wanted if int(row[id_name]) > int(params["before"])]
    return wanted[: min(int(params.get("limit") or largest), largest)]


def between(rows: Iterable[Row], params: Row, time_name: str) -> list[Row]:
    """Return the rows whose time lies within begin and end."""
    begin = int(params.get("begin") or 0)
    end = int(params.get("end") or 2**63)
    return [row for row in rows if begin <= int(row[time_name]) <= end]


def matching(rows: Iterable[Row], params: Row, *names: str) -> list[Row]:
    """Return the rows that agree with every given parameter; commas give alternatives."""
    wanted = [(name, str(params[name]).split(",")) for name in names if params.get(name)]
    return [row for row in rows if all(row[name] in values for name, values in wanted)]


def of_family(rows: Iterable[Row], params: Row) -> list[Row]:
    """Return the rows of the instrument family (or underlying) the parameters name, if any."""
    family = params.get("instFamily") or params.get("uly")
    if not family:
        return list(rows)
    return [row for row in rows if "-".join(row["instId"].split("-")[:2]) == family]


def envelope(data: list[Row]) -> Row:
    """Return the document of a successful reply."""
    return {"code": "0", "data": data, "msg": ""}


def batch_envelope(data: list[Row], failed: int, now_ms: int) -> Row:
    """Return the document of an order operation: all done, all failed, or some of each."""
    code, message = "0", ""
    if failed:
        everything = failed == len(data)
        code = "1" if everything else "2"
        message = "All operations failed" if everything else "Bulk operation partially succeeded"
    stamp = str(now_ms * 1000)
    return {"code": code, "data": data, "inTime": stamp, "msg": message, "outTime": stamp}
