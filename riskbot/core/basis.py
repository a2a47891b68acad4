"""Basis of a hedged pair: by how much its hedge is dearer than what it hedges.

Prices are in USD per unit of the underlying, so that coins, multiples of a thousand and inverse
contracts compare. Which legs make a pair is said in `pairs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from riskbot.core.exposure import Leg, Pair
from riskbot.core.model import InstrumentKind, PositionKey

_DAY_MS = 86_400_000
_YEAR_DAYS = 365.0
_SHORTEST_DAYS = 0.5
"""Nearer to its end a contract's basis says nothing of a year."""


@dataclass(frozen=True, slots=True)
class Basis:
    """How two sides of a pair are priced against each other.

    Attributes:
        share: hedge price / hedged price - 1; > 0 = the hedge is dearer; None = unknown.
        annual: what the later of both costs above the earlier one, per year of 365 days, simple;
            > 0 = contango. None where neither ends, both end together, or within half a day.
        days: between both ends, now for what has none; None like `annual`.
    """

    share: float | None
    annual: float | None = None
    days: float | None = None


def basis(pair: Pair, legs: Mapping[PositionKey, Leg], now_ms: int) -> Basis | None:
    """Return the basis of a pair; None where a side has no price of the underlying (options)."""
    hedged, hedge = (
        [legs[key] for key in keys if key in legs] for keys in (pair.hedged, pair.hedge)
    )
    first, second = price_of(hedged), price_of(hedge)
    if first is None or second is None:
        return None
    share = second / first - 1
    ends = [_end_ms(side, now_ms) for side in (hedged, hedge)]
    days = (ends[1] - ends[0]) / _DAY_MS
    if abs(days) < _SHORTEST_DAYS:
        return Basis(share)
    later = share if days > 0 else first / second - 1
    return Basis(share, later * _YEAR_DAYS / abs(days), abs(days))


def price_of(legs: Sequence[Leg]) -> float | None:
    """Return the mean price of a side, USD per unit of the underlying, weighted by size.

    None where nothing is held, something has no price, or is an option: what that costs is no
    price of its underlying.
    """
    usd = units = 0.0
    for leg in legs:
        if leg.instrument.kind is InstrumentKind.OPTION or leg.notional_usd is None:
            return None
        usd += abs(leg.notional_usd)
        units += abs(leg.quantity) * float(leg.instrument.underlying_per_base)
    return usd / units if usd > 0 and units > 0 else None


def _end_ms(legs: Collection[Leg], now_ms: int) -> int:
    # The first contract that ends takes its hedge away.
    ends = [leg.instrument.expiry_ms for leg in legs if leg.instrument.expiry_ms is not None]
    return max(min(ends, default=now_ms), now_ms)
