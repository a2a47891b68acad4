"""What a scenario does to one position: which formula takes what, and where each number is from.

The formulas are those of `stats.stress`; what its parts come to is summed up in `stressing`.
"""

from __future__ import annotations

import math

import numpy as np

from riskbot.core.assets import is_cash
from riskbot.core.exposure import Leg
from riskbot.core.model import InstrumentKind
from riskbot.core.scenarios import Scenario
from riskbot.core.shocks import Shocks
from riskbot.core.stats import stress
from riskbot.core.stressed import Inputs, Part, PositionStress

NO_PRICE = "it has no usable price"
NO_GAMMA = "by delta alone, its gamma is not known"
NO_GAMMA_SHORT = NO_GAMMA + ": it may lose more"
ISOLATED = "its own margin is all that it can lose"
UNLISTED = "nobody prices it: it counts as nothing"


def gone(leg: Leg, note: str) -> PositionStress:
    """Return a position that is gone with what it is part of: its PnL is counted there."""
    return PositionStress(
        key=leg.key,
        underlying=leg.underlying,
        quantity=leg.quantity,
        mark_usd=leg.mark_usd,
        delta_usd=leg.delta_usd,
        shock=0.0,
        origin="",
        quote_shock=0.0,
        move=0.0,
        parts=(),
        pnl_usd=0.0,
        delta_after_usd=0.0,
        is_gone=True,
        notes=(note,),
    )


class Impact:
    """One leg under a scenario.

    Args:
        scenario: what happens.
        leg: as it is now.
        shocks: of the scenario over the whole book.
        price_usd: of a unit of its underlying, None = unknown.
        inputs: spreads and funding.
        margin_usd: all that an isolated position can lose, None = no such bound is known.
    """

    def __init__(
        self,
        scenario: Scenario,
        leg: Leg,
        shocks: Shocks,
        price_usd: float | None,
        inputs: Inputs,
        margin_usd: float | None = None,
    ) -> None:
        self.scenario, self.leg, self.inputs = scenario, leg, inputs
        self._margin_usd, self._settle_shock = margin_usd, shocks.of_asset(leg.instrument.settle)
        self.found = shocks.of(leg.underlying, leg.sector)
        self.kind = leg.instrument.kind
        per_base = float(leg.instrument.underlying_per_base)
        self.unit_usd = leg.unit_usd if price_usd is None else price_usd * per_base
        # Spot is worth its own price; an inverse contract is quoted in dollars.
        is_quoted = self.kind in {InstrumentKind.LINEAR, InstrumentKind.OPTION}
        self.quote_shock = shocks.of_asset(leg.instrument.quote) if is_quoted else 0.0
        self.notes: list[str] = []

    def stress(self) -> PositionStress:
        """Return what becomes of it."""
        leg, scenario = self.leg, self.scenario
        parts = [self._price()]
        if scenario.stops is not None:
            parts.append(self._stop(scenario.stops.slippage))
        if scenario.spread_multiple is not None:
            parts.append(self._spread(scenario.spread_multiple))
        if scenario.funding_multiple is not None:
            parts.append(self._funding(scenario.funding_multiple))
        if leg.is_unlisted:
            parts, self.notes = [Part("price", 0.0, UNLISTED)], [UNLISTED]
        known = [part.usd for part in parts if part.usd is not None]
        return PositionStress(
            key=leg.key,
            underlying=leg.underlying,
            quantity=leg.quantity,
            mark_usd=leg.mark_usd,
            delta_usd=leg.delta_usd,
            shock=self.found.shock,
            origin=self.found.key,
            quote_shock=self.quote_shock or 0.0,
            move=self._move(),
            parts=tuple(part for part in parts if part.usd != 0 or part.cause == "price"),
            pnl_usd=math.fsum(known) if len(known) == len(parts) else None,
            delta_after_usd=self._delta_after(),
            is_gone=scenario.stops is not None and leg.stop is not None,
            notes=tuple(self.notes),
        )

    def _move(self) -> float | None:
        if self.found.shock is None or self.quote_shock is None:
            return None
        return stress.quoted_move(self.found.shock, self.quote_shock)

    def _price(self) -> Part:
        leg, shock, quote_shock = self.leg, self.found.shock, self.quote_shock
        if leg.delta_usd is None:
            return Part("price", None, NO_PRICE)
        if shock is None or quote_shock is None:
            return Part("price", None, self.found.why or f"{leg.instrument.quote}: no shock")
        if self.kind is InstrumentKind.OPTION:
            return self._option(leg.delta_usd, shock, quote_shock)
        pnl = stress.position_pnl(leg.delta_usd, shock, quote_shock)
        words = f"{leg.delta_usd:,.2f} USD * {shock - quote_shock:+.4g}"
        if quote_shock and not is_cash(leg.instrument.quote):
            # Quoted in a coin, it is paid in it: no cash holds what it has made.
            if leg.unrealized_pnl_usd is None:
                return Part("price", None, "what it has made, in a coin, is not known")
            pnl += leg.unrealized_pnl_usd * quote_shock
            words += f" and {leg.unrealized_pnl_usd:,.2f} USD * {quote_shock:+.4g}"
        bound = self._bound(pnl)
        if bound is None:
            return Part("price", pnl, words)
        self.notes.append(ISOLATED)
        return Part("price", bound, f"{words}, no more than its margin of {-bound:,.2f} USD")

    def _bound(self, pnl: float) -> float | None:
        """Return what an isolated position makes where its margin says so, None = it does not."""
        margin, settle, move = self._margin_usd, self._settle_shock, self._move()
        if margin is None or settle is None or move is None:
            return None
        leg, distance = self.leg, self.leg.liquidation_distance
        is_hit = distance is not None and stress.is_liquidated(
            distance, move, is_long=leg.quantity > 0
        )
        most = margin * (1 + settle)
        kept = float(
            stress.isolated_pnls(np.array(pnl), np.array(most), np.array(is_hit, dtype=np.bool_))
        )
        return None if kept == pnl else kept

    def _option(self, delta_usd: float, shock: float, quote_shock: float) -> Part:
        leg, unit = self.leg, self.unit_usd
        move = stress.quoted_move(shock, quote_shock)
        if leg.mark_usd is None:
            return Part("price", None, NO_PRICE)
        if math.isinf(move):
            return Part("price", None, f"{leg.instrument.quote} is worth nothing any more")
        gamma_usd = leg.gamma_usd
        if gamma_usd is None and move:
            self.notes.append(NO_GAMMA if leg.quantity > 0 else NO_GAMMA_SHORT)
        pnl = stress.option_pnl(
            delta_usd,
            move,
            value_usd=leg.quantity * leg.mark_usd,
            gamma_usd=gamma_usd,
            unit_usd=None if unit is None else abs(leg.quantity) * unit,
        )
        words = f"delta {delta_usd:,.2f} USD * {move:+.4g}"
        if gamma_usd is not None:
            words += f", gamma {gamma_usd:,.2f} USD * {move:+.4g}^2 / 2"
        return Part("price", pnl * (1 + quote_shock), words)

    def _delta_after(self) -> float | None:
        leg, move = self.leg, self._move()
        if leg.delta_usd is None or move is None or self.found.shock is None:
            return None
        if self.kind is InstrumentKind.INVERSE:
            # So many dollars of face, whatever the coin is worth.
            return leg.delta_usd
        if self.kind is InstrumentKind.OPTION and math.isfinite(move):
            change = (leg.gamma_usd or 0.0) * move
            most = math.inf if self.unit_usd is None else abs(leg.quantity) * self.unit_usd
            return min(max(leg.delta_usd + change, -most), most) * (1 + self.found.shock)
        return leg.delta_usd * (1 + self.found.shock)

    def _stop(self, slippage: float) -> Part:
        leg = self.leg
        if leg.notional_usd is None:
            return Part("stop", None, NO_PRICE)
        if leg.stop is None or leg.risk_usd is None:
            self.notes.append("no stop covers it: it stays")
            return Part("stop", 0.0, "no stop")
        pnl = stress.stop_pnl(leg.notional_usd, leg.risk_usd, slippage)
        return Part("stop", pnl, f"stop {leg.stop:g}, {leg.risk_usd:,.2f} USD away, and slippage")

    def _spread(self, multiple: float) -> Part:
        leg = self.leg
        spread = self.inputs.spreads.get((leg.key.account, leg.key.symbol))
        if leg.notional_usd is None:
            return Part("spread", None, NO_PRICE)
        if spread is None:
            return Part("spread", None, "its spread is not known")
        cost = abs(leg.notional_usd) * spread * multiple / 2
        words = f"{abs(leg.notional_usd):,.2f} USD * {spread:.4g} / 2 * {multiple:g}"
        return Part("spread", -cost, words)

    def _funding(self, multiple: float) -> Part:
        leg = self.leg
        if not is_perpetual(leg):
            return Part("funding", 0.0, "it carries no funding")
        rate = self.inputs.funding.get((leg.key.account, leg.key.symbol))
        if leg.notional_usd is None:
            return Part("funding", None, NO_PRICE)
        if rate is None:
            return Part("funding", None, "its funding is not known")
        words = f"{leg.notional_usd:,.2f} USD * {-rate:+.4g} * {multiple:g}"
        return Part("funding", -leg.notional_usd * rate * multiple, words)


def is_perpetual(leg: Leg) -> bool:
    """Tell whether a leg is a perpetual: a contract without a day it ends on."""
    settle = leg.key.symbol.partition(":")[2]
    return bool(settle) and "-" not in settle
