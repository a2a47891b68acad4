"""Scenarios applied to a whole book at once: prices to exposure by underlying, the rest to sums.

That is quick enough for every evaluation; what a scenario does position by position, with its
words, and to venues, margin and limits, is `stressing`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from riskbot.core import lines
from riskbot.core.assets import is_cash
from riskbot.core.curved import Bent
from riskbot.core.exposure import Leg, ScopeBook
from riskbot.core.funding import projected_in_all_usd
from riskbot.core.model import InstrumentKind
from riskbot.core.panel import Panel
from riskbot.core.quotes import spread_of
from riskbot.core.scenarios import Scenario
from riskbot.core.settings import CoreSettings
from riskbot.core.stats import stress
from riskbot.core.stats._arrays import FloatArray

if TYPE_CHECKING:
    from riskbot.core.marks import Marks


class Table:
    """Shocks of every counted scenario, a row each, an underlying per column as they come up.

    Args:
        settings: with the scenarios and the sectors.
    """

    def __init__(self, settings: CoreSettings) -> None:
        self.settings = settings
        counted = [scenario for scenario in settings.scenarios if scenario.is_read]
        self._shocked = [s for s in counted if s.joint_move is None]
        self._joint = [s for s in counted if s.joint_move is not None]
        self._columns: dict[str, int] = {}
        self._shocks: FloatArray = np.zeros((len(self._shocked), 0))

    def losses(
        self, book: ScopeBook, panel: Panel | None, marks: Marks | None = None
    ) -> dict[str, float | None]:
        """Return the loss of every scenario by its name, USD, >= 0; None = unknown.

        Args:
            book: what is held, all of it priced.
            panel: volatilities, for scenarios that follow from them.
            marks: spreads and funding rates, None = they are not known.
        """
        beside = _Beside(book, marks)
        held = {name: sums.net for name, sums in book.underlyings.items() if sums.net}
        bent = Bent(book)
        self._admit([*held, *(leg.underlying for leg in bent.legs)])
        exposures = np.zeros(len(self._columns))
        for name, usd in held.items():
            exposures[self._columns[name]] = usd
        found: dict[str, float | None] = {}
        if self._shocked:
            pnl = stress.scenario_pnl(self._shocks, exposures)
            if bent.legs:
                places = [self._columns[leg.underlying] for leg in bent.legs]
                pnl = pnl + self._beyond(bent, self._shocked, self._shocks[:, places])
            for scenario, usd in zip(self._shocked, pnl.tolist(), strict=True):
                found[scenario.name] = _loss(usd, beside.pnl(scenario))
        for scenario in self._joint:
            moves = _joint_moves(scenario, held, panel)
            found[scenario.name] = None
            if moves is not None:
                usd = math.fsum(moves[name] * usd for name, usd in held.items())
                if bent.legs:
                    row = np.array([[moves.get(leg.underlying, 0.0) for leg in bent.legs]])
                    usd += float(self._beyond(bent, [scenario], row)[0])
                found[scenario.name] = _loss(usd, beside.pnl(scenario))
        return found

    def _beyond(self, bent: Bent, scenarios: Sequence[Scenario], shocks: FloatArray) -> FloatArray:
        """Return what options and isolated positions make beyond their delta, shape (s,), USD.

        Args:
            bent: those of the book.
            scenarios: s of them.
            shocks: shape (s, m), of each one's underlying.
        """
        quotes, settles = np.zeros_like(shocks), np.zeros_like(shocks)
        for n, leg in enumerate(bent.legs):
            quote, settle = leg.instrument.quote, leg.instrument.settle
            for row, scenario in enumerate(scenarios):
                quotes[row, n] = scenario.depeg.get(quote, 0.0)
                settles[row, n] = scenario.depeg.get(settle, 0.0)
            if settle == leg.underlying:
                settles[:, n] = shocks[:, n]
            elif not is_cash(settle):
                sector = lines.sector_of(self.settings, settle)
                settles[:, n] = [s.shock_of(settle, sector).shock for s in scenarios]
        return bent.beyond(shocks, quotes, settles)

    def _admit(self, names: Sequence[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self._columns]
        if not new:
            return
        columns = [
            [s.shock_of(name, lines.sector_of(self.settings, name)).shock for s in self._shocked]
            for name in new
        ]
        self._columns |= {name: len(self._columns) + n for n, name in enumerate(new)}
        added = np.array(columns, dtype=np.float64).reshape(len(new), len(self._shocked))
        self._shocks = np.hstack([self._shocks, added.T])


def _loss(pnl_usd: float, beside_usd: float | None) -> float | None:
    return None if beside_usd is None else max(0.0, -pnl_usd - beside_usd)


class _Beside:
    """What scenarios do to a book beside moving prices; looked at where one of them asks.

    Args:
        book: what is held.
        marks: spreads and funding rates, None = they are not known.
    """

    def __init__(self, book: ScopeBook, marks: Marks | None) -> None:
        self._book, self._marks = book, marks

    @functools.cached_property
    def _legs(self) -> list[Leg]:
        return [leg for leg in self._book.legs if not leg.is_unlisted]

    @functools.cached_property
    def _quoted(self) -> dict[str, float]:
        """Delta of what is quoted in a coin and paid in it, USD, by that coin."""
        found: dict[str, float] = {}
        for leg in self._legs:
            if leg.instrument.kind is InstrumentKind.LINEAR:
                quote = leg.instrument.quote
                found[quote] = found.get(quote, 0.0) + (leg.delta_usd or 0.0)
        return found

    def pnl(self, scenario: Scenario) -> float | None:
        """Return what it makes, USD, None = unknown."""
        total = self._peg(scenario) if scenario.depeg else 0.0
        if scenario.stops is not None:
            slippage = scenario.stops.slippage
            total += math.fsum(
                stress.stop_pnl(leg.notional_usd or 0.0, leg.risk_usd, slippage)
                for leg in self._legs
                if leg.stop is not None and leg.risk_usd is not None
            )
        for multiple, usd_of in (
            (scenario.spread_multiple, self._spread),
            (scenario.funding_multiple, self._funding),
        ):
            usd = usd_of() if multiple is not None else 0.0
            if usd is None:
                return None
            total += usd * (multiple or 0.0)
        return total

    def _peg(self, scenario: Scenario) -> float:
        """Return what lost pegs make of cash and of what is quoted in it."""
        total = 0.0
        for coin, shock in scenario.depeg.items():
            held_usd, _, _ = self._book.stablecoins.get(coin, (0.0, 1.0, True))
            total += held_usd * shock
            total += stress.position_pnl(self._quoted.get(coin, 0.0), 0.0, shock)
        return total

    def _spread(self) -> float | None:
        """Return what closing everything at half the spread of now makes."""
        marks, total = self._marks, 0.0
        for leg in self._legs:
            quote = None if marks is None else marks.quote(leg.key.account, leg.key.symbol)
            spread = None if quote is None else spread_of(quote.bid, quote.ask)
            if marks is None or quote is None or spread is None:
                return None
            if quote.book is None or not quote.book.is_fresh(self._book.now_ms, marks.stale_ms):
                return None
            total -= abs(leg.notional_usd or 0.0) * spread / 2
        return total

    def _funding(self) -> float | None:
        """Return what a day of funding at the rates of now makes."""
        if self._marks is None:
            return None
        return projected_in_all_usd(self._marks, self._legs, self._book.now_ms)


def _joint_moves(
    scenario: Scenario, held: Mapping[str, float], panel: Panel | None
) -> dict[str, float] | None:
    """Return the shock of everything held, None while a volatility is unknown."""
    assert scenario.joint_move is not None  # noqa: S101 - it is what the scenario is
    if not held:
        return {}
    if panel is None or not all(panel.has(name) for name in held):
        return None
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
    return dict(zip(held, moves.tolist(), strict=True))
