"""Orders that were denied lately: what an override is asked for by."""

from __future__ import annotations

from riskbot.core import actions
from riskbot.core.ordering import Denial

DENIALS_MAX = 500
"""So many are remembered, the newest."""


def note(known: dict[str, Denial], record: actions.RecordDecision, now_ms: int) -> None:
    """Remember a denial by the hash of its order.

    Args:
        known: by hash, the newest last.
        record: of the decision, with `order_hash` among its inputs; any other is ignored.
        now_ms: UTC ms.
    """
    seen = record.inputs
    if record.decision != "deny" or not seen.get("order_hash"):
        return
    price = f" at {seen['price']}" if seen["price"] is not None else ""
    words = f"{seen['side']} {seen['quantity']} {seen['instrument']} on {seen['account']}{price}"
    strategy = record.scope.partition(":")[2]
    name = seen["order_hash"]
    known.pop(name, None)
    known[name] = Denial(strategy, words, tuple(seen["codes"]), record.reason, now_ms)
    if len(known) > DENIALS_MAX:
        del known[next(iter(known))]
