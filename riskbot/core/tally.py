"""Tally: what the legs of one scope add up to beyond exposure and equity, kept leg by leg.

A full evaluation puts in the legs that changed since the one before, so it costs what changed.
What is shown of a leg lives in `showing`, sums of exposure in `sheets`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from riskbot.core.exposure import Leg
from riskbot.core.model import PositionKey
from riskbot.core.pairs import Pairing
from riskbot.core.settings import PairSettings


class Tally:
    """Legs of one scope and what is counted over them.

    Args:
        configured: pairs that are named.

    Attributes:
        legs: what is held, by key.
        unpriced, unlisted, unprotected, opened: symbols of the legs of which that holds, by key;
            opened are those above dust.
        risk_usd: running sum of what is lost if every stop is hit.
        pairing: the hedged pairs.
    """

    def __init__(self, configured: Sequence[PairSettings] = ()) -> None:
        self.legs: dict[PositionKey, Leg] = {}
        self.unpriced: dict[PositionKey, str] = {}
        self.unlisted: dict[PositionKey, str] = {}
        self.unprotected: dict[PositionKey, str] = {}
        self.opened: dict[PositionKey, str] = {}
        self.risk_usd = 0.0
        self.pairing = Pairing(configured)
        self._risks: dict[PositionKey, float] = {}
        self._signature = 0

    @property
    def signature(self) -> str:
        """What is held, whatever its size: changes when a key comes or goes."""
        return f"{self._signature:016x}"

    def put(self, leg: Leg) -> None:
        """Take a leg's present figures."""
        key = leg.key
        if key not in self.legs:
            self._signature ^= _digest(key)
        self.legs[key] = leg
        is_unpriced = leg.notional_usd is None
        _note(self.unlisted, key, is_noted=leg.is_unlisted)
        _note(self.unpriced, key, is_noted=is_unpriced and not leg.is_unlisted)
        _note(self.opened, key, is_noted=not leg.is_dust)
        _note(self.unprotected, key, is_noted=leg.stop is None and not leg.is_dust)
        risk = leg.risk_usd or 0.0
        self.risk_usd += risk - self._risks.get(key, 0.0)
        self._risks[key] = risk
        self.pairing.put(leg)

    def carry(self, leg: Leg) -> None:
        """Take a leg without stops of which nothing but its price moved."""
        key, risk = leg.key, leg.risk_usd or 0.0
        self.risk_usd += risk - self._risks[key]
        self._risks[key] = risk
        self.pairing.carry(leg)

    def drop(self, key: PositionKey) -> None:
        """Forget a leg that holds nothing any more."""
        leg = self.legs.pop(key, None)
        if leg is None:
            return
        self._signature ^= _digest(key)
        for noted in (self.unlisted, self.unpriced, self.unprotected, self.opened):
            noted.pop(key, None)
        risk = self._risks.pop(key)
        # Nothing held keeps no rounding dust behind.
        self.risk_usd = self.risk_usd - risk if self._risks else 0.0
        self.pairing.drop(leg)

    def resync(self) -> float:
        """Add the risks up exactly and return the relative drift found."""
        exact = math.fsum(self._risks.values())
        drift = abs(self.risk_usd - exact) / max(exact, 1.0)
        self.risk_usd = exact
        return drift


def _note(noted: dict[PositionKey, str], key: PositionKey, *, is_noted: bool) -> None:
    if is_noted:
        noted[key] = key.symbol
    elif noted:
        noted.pop(key, None)


def _digest(key: PositionKey) -> int:
    return int.from_bytes(blake2b("|".join(key).encode(), digest_size=8).digest())


def part_of(leg: Leg, share: float, strategy: str) -> Leg:
    """Return the part of a leg that belongs to a strategy.

    Args:
        leg: the whole.
        share: signed part of it, 1 = all.
        strategy: whose.
    """

    def of(amount: float | None) -> float | None:
        return None if amount is None else amount * share

    return Leg(
        key=leg.key,
        instrument=leg.instrument,
        venue=leg.venue,
        underlying=leg.underlying,
        sector=leg.sector,
        groups=leg.groups,
        quantity=leg.quantity * share,
        mark_usd=leg.mark_usd,
        notional_usd=of(leg.notional_usd),
        delta_usd=of(leg.delta_usd),
        entry=leg.entry,
        unrealized_pnl_usd=of(leg.unrealized_pnl_usd),
        leverage=leg.leverage,
        stop=leg.stop,
        risk_usd=of(leg.risk_usd),
        liquidation_price=leg.liquidation_price,
        liquidation_distance=leg.liquidation_distance,
        is_closable=leg.is_closable,
        kept_reason=leg.kept_reason,
        is_estimated=leg.is_estimated,
        is_spot=leg.is_spot,
        is_dust=leg.is_dust,
        gamma=of(leg.gamma),
        vega=of(leg.vega),
        gamma_usd=of(leg.gamma_usd),
        unit_usd=leg.unit_usd,
        strategy=strategy,
        closable_quantity=leg.closable_quantity * share,
    )
