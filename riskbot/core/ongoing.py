"""Small records of what is under way: cancels, settled orders, hedges, baselines.

Plain data of `enforcement`, which folds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from riskbot.core.model import PositionKey


@dataclass(slots=True)
class CancelTry:
    """One cancel request in flight or to be tried again."""

    account: str
    symbol: str
    sent_ms: int
    tries: int = 1
    in_flight: bool = True
    retry_ms: int = 0


@dataclass(slots=True)
class Settled:
    """When an order settled, and the last read asked for before that."""

    at_ms: int
    request_id: int


@dataclass(slots=True)
class Hedge:
    """A hedge riskbot opened: `quantity` signed, what of the position is riskbot's."""

    key: PositionKey
    quantity: Decimal


@dataclass(slots=True)
class Baseline:
    """What a halt keeps on one account; see `actions.SetBaseline`."""

    quantities: dict[str, Decimal]
    excess_closed_ms: tuple[int, ...] = ()
    is_fighting: bool = False


def baseline_key(key: PositionKey) -> str:
    """Return the key of a position in a baseline: `account|symbol|side`."""
    return f"{key.account}|{key.symbol}|{key.side.value}"
