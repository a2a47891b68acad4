"""Positions whose PnL is no straight line: options, and what ends at a margin of its own.

By how much they differ from their delta times the move, for many moves at once; one position under
one scenario, with its words, is `impacts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from riskbot.core.limits._base import position_subject
from riskbot.core.model import InstrumentKind
from riskbot.core.stats import stress

if TYPE_CHECKING:
    from riskbot.core.exposure import Leg, ScopeBook
    from riskbot.core.stats._arrays import FloatArray

_LEAST = 1e-9
_CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)


def margins_of(book: ScopeBook) -> dict[str, float]:
    """Return what the margin of each isolated position is worth, USD, > 0, by its subject.

    One of which a figure is unknown, or of which nothing is left, is not among them: then no bound
    of its loss is known.
    """
    found = {}
    for subject, ratio in book.maintenance_margin:
        equity = book.margin_equity.get(subject, 0.0)
        if "|" in subject and ratio is not None and math.isfinite(ratio) and equity > 0:
            found[subject] = equity
    return found


def margin_of(leg: Leg, margins: Mapping[str, float]) -> float | None:
    """Return the margin that is all a position can lose, USD; None = no such bound is known.

    What an order would add to a position brings margin by its leverage.
    """
    if leg.instrument.kind not in _CONTRACTS or leg.mark_usd is None:
        return None
    margin = margins.get(position_subject(leg.key))
    if margin is None or leg.notional_usd is None:
        return None
    growth = abs(leg.notional_usd) - abs(leg.quantity * leg.mark_usd)
    if growth <= abs(leg.notional_usd) * 1e-9:
        return margin
    return margin + growth / leg.leverage if leg.leverage else None


def options_of(book: ScopeBook) -> list[Leg]:
    """Return the options of a book that are priced."""
    return [
        leg
        for leg in book.legs
        if leg.instrument.kind is InstrumentKind.OPTION and leg.delta_usd is not None
    ]


class Options:
    """Options laid side by side, m of them.

    Args:
        legs: priced ones; whose gamma is unknown counts by delta alone.
    """

    def __init__(self, legs: Sequence[Leg]) -> None:
        self.delta_usd = np.array([leg.delta_usd or 0.0 for leg in legs])
        self._value = np.array([_value_of(leg) for leg in legs])
        self._gamma = np.array([leg.gamma_usd or 0.0 for leg in legs])
        units = ((leg.unit_usd, abs(leg.quantity)) for leg in legs)
        self._unit = np.array([math.inf if usd is None else usd * many for usd, many in units])

    def pnl(self, moves: FloatArray) -> FloatArray:
        """Return what each makes, in its quote at the dollar price of now: shape (s, m), USD.

        Args:
            moves: shape (s, m), of each one's underlying, as shares of its price in the quote.
        """
        return stress.option_pnls(
            self.delta_usd,
            moves,
            value_usd=self._value,
            gamma_usd=self._gamma,
            unit_usd=self._unit,
        )


def _value_of(leg: Leg) -> float:
    """Return what an option is worth, USD, signed; infinite where unknown: it bounds nothing."""
    if leg.mark_usd is None:
        return math.copysign(math.inf, leg.quantity)
    return leg.quantity * leg.mark_usd


class Bent:
    """What of a book is bent: its options, then its isolated positions.

    Args:
        book: of which everything is priced.

    Attributes:
        legs: of all of them.
    """

    def __init__(self, book: ScopeBook) -> None:
        margins = margins_of(book)
        options = options_of(book)
        self._many, self._options = len(options), Options(options)
        found = ((leg, margin_of(leg, margins)) for leg in (book.legs if margins else ()))
        isolated = [(leg, margin) for leg, margin in found if margin is not None]
        self._margin = np.array([margin for _, margin in isolated], dtype=np.float64)
        self._delta = np.array([leg.delta_usd or 0.0 for leg, _ in isolated])
        self._sign = np.array([math.copysign(1.0, leg.delta_usd or 0.0) for leg, _ in isolated])
        away = (leg.liquidation_distance for leg, _ in isolated)
        self._distance = np.array([math.inf if d is None else d for d in away])
        self.legs = [*options, *(leg for leg, _ in isolated)]

    def beyond(self, shocks: FloatArray, quotes: FloatArray, settles: FloatArray) -> FloatArray:
        """Return what they make beyond delta times the shock less that of the quote.

        Args:
            shocks: shape (s, m), of the USD price of each one's underlying.
            quotes: of what its price is quoted in.
            settles: of what its margin is held in.

        Returns:
            Shape (s,), USD. That of an option is beyond its delta times the shock alone.
        """
        many = self._many
        # What is worth nothing any more bounds an option by what its underlying is worth.
        kept = np.maximum(1 + quotes, _LEAST)
        moves = np.where(quotes == 0, shocks, (1 + shocks) / kept - 1)
        option = shocks[:, :many]
        made = self._options.pnl(moves[:, :many]) * kept[:, :many]
        beyond = made - self._options.delta_usd * option
        line = self._delta * (shocks - quotes)[:, many:]
        most = self._margin * (1 + settles[:, many:])
        is_hit = -self._sign * moves[:, many:] >= self._distance
        bound = stress.isolated_pnls(line, most, is_hit) - line
        total: FloatArray = beyond.sum(axis=1) + bound.sum(axis=1)
        return total
