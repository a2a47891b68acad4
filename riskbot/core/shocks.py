"""The shock of every underlying and every asset under one scenario, and where it comes from.

What a shock does to a position is decided in `stressing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from riskbot.core.assets import is_cash
from riskbot.core.exposure import Leg
from riskbot.core.scenarios import JointMove, Scenario
from riskbot.core.stats import stress

JOINT = "joint_move"
"""Where a shock comes from that follows from volatilities and one correlation."""


class Found(NamedTuple):
    """A shock as a share of the USD price; None = unknown, then `why`.

    `key` names where it comes from; empty = nothing shocks it.
    """

    shock: float | None
    key: str = ""
    why: str = ""


class Shocks:
    """The shocks of one scenario over one book.

    Args:
        scenario: what happens.
        legs: what is held; a joint move follows from it.
        volatilities: per day, by underlying.
    """

    def __init__(
        self, scenario: Scenario, legs: Iterable[Leg], volatilities: Mapping[str, float]
    ) -> None:
        self._scenario = scenario
        held = [*legs]
        self._sectors = {leg.underlying: leg.sector for leg in held}
        self._joint: dict[str, float] = {}
        self._why = ""
        if scenario.joint_move is not None:
            self._join(scenario.joint_move, held, volatilities)

    def of(self, underlying: str, sector: str) -> Found:
        """Return an underlying's shock."""
        if self._scenario.joint_move is None:
            return Found(*self._scenario.shock_of(underlying, sector))
        if self._why:
            return Found(None, JOINT, self._why)
        # What is not held moves as well, but a book says nothing of how.
        return Found(self._joint.get(underlying, 0.0), JOINT)

    def of_asset(self, asset: str) -> float | None:
        """Return the shock of what something is quoted or paid in, None = unknown."""
        if is_cash(asset):
            return self._scenario.depeg.get(asset, 0.0)
        return self.of(asset, self._sectors.get(asset, asset)).shock

    def _join(
        self, move: JointMove, legs: Iterable[Leg], volatilities: Mapping[str, float]
    ) -> None:
        exposures: dict[str, float] = {}
        for leg in legs:
            if leg.is_unlisted:
                continue
            if leg.delta_usd is None:
                self._why = f"{leg.underlying} has no usable price"
                return
            exposures[leg.underlying] = exposures.get(leg.underlying, 0.0) + leg.delta_usd
        known = [volatilities.get(name, math.nan) for name in exposures]
        missing = [name for name, v in zip(exposures, known, strict=True) if not math.isfinite(v)]
        if missing:
            self._why = f"the volatility of {', '.join(missing[:3])} is not known"
            return
        shocks = stress.joint_move(
            np.array([*exposures.values()]),
            np.array(known),
            correlation=move.correlation,
            sigmas=move.sigmas,
            days=move.days,
        )
        self._joint = dict(zip(exposures, shocks.tolist(), strict=True))
