"""Scenarios that move prices, applied to exposure by underlying: one product for all of them.

That is quick enough for every evaluation; what a scenario does position by position, to venues,
stops and costs, is `stressing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from riskbot.core import lines
from riskbot.core.exposure import ScopeBook
from riskbot.core.model import InstrumentKind
from riskbot.core.panel import Panel
from riskbot.core.scenarios import Scenario
from riskbot.core.settings import CoreSettings
from riskbot.core.stats import stress
from riskbot.core.stats._arrays import FloatArray


def moves_prices_alone(scenario: Scenario) -> bool:
    """Whether a scenario is all in its shocks: those are readings of `stress_loss`.

    A peg may be lost beside them: what is held of that coin, as a rule nothing, is looked at.
    """
    others = (
        scenario.stops,
        scenario.venue_lost,
        scenario.spread_multiple,
        scenario.funding_multiple,
    )
    return not any(others) and (bool(scenario.shocks) or scenario.joint_move is not None)


class Table:
    """Shocks of every counted scenario, a row each, an underlying per column as they come up.

    Args:
        settings: with the scenarios and the sectors.
    """

    def __init__(self, settings: CoreSettings) -> None:
        self.settings = settings
        counted = [s for s in settings.scenarios if s.is_counted and moves_prices_alone(s)]
        self._shocked = [s for s in counted if s.joint_move is None]
        self._joint = [s for s in counted if s.joint_move is not None]
        self._columns: dict[str, int] = {}
        self._shocks: FloatArray = np.zeros((len(self._shocked), 0))

    def losses(self, book: ScopeBook, panel: Panel | None) -> dict[str, float | None]:
        """Return the loss of every scenario by its name, USD, >= 0; None = unknown.

        Args:
            book: what is held.
            panel: volatilities, for scenarios that follow from them.
        """
        held = {name: sums.net for name, sums in book.underlyings.items() if sums.net}
        self._admit(held)
        exposures = np.zeros(len(self._columns))
        for name, usd in held.items():
            exposures[self._columns[name]] = usd
        found: dict[str, float | None] = {}
        if self._shocked:
            pnl = stress.scenario_pnl(self._shocks, exposures)
            for scenario, usd in zip(self._shocked, pnl.tolist(), strict=True):
                found[scenario.name] = max(0.0, -usd - _peg_pnl(scenario, book))
        for scenario in self._joint:
            found[scenario.name] = _joint_loss(scenario, held, panel)
        return found

    def _admit(self, held: Mapping[str, float]) -> None:
        new = [name for name in held if name not in self._columns]
        if not new:
            return
        columns = [
            [s.shock_of(name, lines.sector_of(self.settings, name)).shock for s in self._shocked]
            for name in new
        ]
        self._columns |= {name: len(self._columns) + n for n, name in enumerate(new)}
        added = np.array(columns, dtype=np.float64).reshape(len(new), len(self._shocked))
        self._shocks = np.hstack([self._shocks, added.T])


def _peg_pnl(scenario: Scenario, book: ScopeBook) -> float:
    """Return what lost pegs make of cash and of what is quoted in it, USD."""
    total = 0.0
    for coin, shock in scenario.depeg.items():
        if coin in book.stablecoins:
            quoted = (
                leg.delta_usd or 0.0
                for leg in book.legs
                if leg.instrument.quote == coin and leg.instrument.kind is InstrumentKind.LINEAR
            )
            total += book.stablecoins[coin][0] * shock + stress.position_pnl(
                math.fsum(quoted), 0.0, shock
            )
    return total


def _joint_loss(scenario: Scenario, held: Mapping[str, float], panel: Panel | None) -> float | None:
    assert scenario.joint_move is not None  # noqa: S101 - it is what the scenario is
    if panel is None or not all(panel.has(name) for name in held):
        return None if held else 0.0
    exposures = np.array([*held.values()], dtype=np.float64)
    volatilities = np.array([panel.volatility[panel.columns[name]] for name in held])
    joint = scenario.joint_move
    moves = stress.joint_move(
        exposures,
        volatilities,
        correlation=joint.correlation,
        sigmas=joint.sigmas,
        days=joint.days,
    )
    pnl = math.fsum((moves * exposures).tolist())
    return max(0.0, -pnl)
