"""How long and how dear an exit is, and who is forced to: from turnover, books, liquidations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskbot.core.stats._arrays import FloatArray, vector

DAY_S = 86_400.0
BPS = 10_000.0

PARTICIPATION = 0.1
"""Share of what others trade that one can take and still hope not to move the price much."""

IMPACT = 1.0
"""Y of the square-root law: of order one in stocks, futures and Bitcoin alike."""

LADDER = (-0.1, -0.2, -0.3, -0.5)


@dataclass(frozen=True, slots=True)
class BookCost:
    """What a book charges for an exit right away.

    Attributes:
        filled: base units that its levels take.
        unfilled: base units that are left when they are eaten up: of their cost nothing is known.
        cost_usd: what is lost against the mid on `filled`, USD, >= 0 unless the book is crossed.
        bps: the same per USD at mid; 0 when nothing is filled.
        worst_usd: price of the last level touched, USD; the mid when nothing is filled.
    """

    filled: float
    unfilled: float
    cost_usd: float
    bps: float
    worst_usd: float

    @property
    def is_whole(self) -> bool:
        """Whether the book takes all of it."""
        return self.unfilled <= 0


@dataclass(frozen=True, slots=True)
class Rung:
    """A fall of the market and whom it takes.

    Attributes:
        shock: relative move of the benchmark, -0.1 = 10 % down.
        liquidated: places of the positions whose liquidation price is reached.
        unstated: places of the positions of which no liquidation price is known: they may be
            beyond it or not.
        notional_usd: of those liquidated, at their price after the move.
    """

    shock: float
    liquidated: tuple[int, ...]
    unstated: tuple[int, ...]
    notional_usd: float


def time_to_exit_s(
    notional_usd: float, turnover_usd: float, participation: float = PARTICIPATION
) -> float:
    """Estimate how long it takes to trade out of a position.

    Args:
        notional_usd: of either sign, USD.
        turnover_usd: traded by all per day, USD, >= 0.
        participation: share of it that is ours, in (0, 1].

    Returns:
        Seconds, >= 0; inf when nothing is traded; 0 when nothing is held.

    Raises:
        ValueError: an argument that is not finite (turnover that nobody knows) or out of range.
    """
    _finite(notional_usd=notional_usd, turnover_usd=turnover_usd)
    if turnover_usd < 0 or not 0 < participation <= 1:
        message = f"turnover {turnover_usd}, participation {participation}"
        raise ValueError(message)
    if not notional_usd:
        return 0.0
    pace_usd = participation * turnover_usd
    return abs(notional_usd) / pace_usd * DAY_S if pace_usd else math.inf


def book_cost(levels: Sequence[tuple[float, float]], quantity: float, mid_usd: float) -> BookCost:
    """Walk an order book to exit at once.

    Args:
        levels: price in USD and base units of each level, the best first: bids to sell into, asks
            to buy from.
        quantity: base units to trade, > 0 to sell (bids), < 0 to buy back (asks).
        mid_usd: price the cost is counted from, > 0.

    Raises:
        ValueError: a number that is not finite, a price or mid not above 0, a level with less than
            nothing, or levels that are not the best first.
    """
    _finite(quantity=quantity, mid_usd=mid_usd)
    is_selling = quantity >= 0
    _check_levels(levels, mid_usd, is_selling=is_selling)
    wanted, filled, paid, worst = abs(quantity), 0.0, 0.0, mid_usd
    for price, offered in levels:
        if filled >= wanted:
            break
        taken = min(offered, wanted - filled)
        if taken > 0:
            filled, paid, worst = filled + taken, paid + taken * price, price
    lost = filled * mid_usd - paid if is_selling else paid - filled * mid_usd
    bps = lost / (filled * mid_usd) * BPS if filled else 0.0
    return BookCost(filled, wanted - filled, lost, bps, worst)


def impact_bps(
    notional_usd: float,
    turnover_usd: float,
    volatility: float,
    half_spread_bps: float = 0.0,
    impact: float = IMPACT,
) -> float:
    """Estimate what an exit costs by the square-root law, with no book at hand.

    Half the spread, and Y * sigma * sqrt(Q / V): sigma the volatility of a day, Q what is traded,
    V what all trade in a day. It is the mean cost of an order worked in pieces within about a day,
    measured on orders of 0.01 % to 10 % of V; far beyond, it is a guess.

    Args:
        notional_usd: Q, of either sign, USD.
        turnover_usd: V, USD per day, >= 0.
        volatility: sigma, per day, as a fraction, >= 0.
        half_spread_bps: >= 0.
        impact: Y, >= 0.

    Returns:
        Basis points of the notional, >= 0; inf when nothing is traded by anybody; 0 when nothing
        is held.

    Raises:
        ValueError: an argument that is not finite (nobody knows it) or below 0.

    Sources: R. Almgren, C. Thum, E. Hauptmann and H. Li, "Direct estimation of equity market
    impact", Risk 18, 2005; B. Toth et al., "Anomalous price impact and the critical nature of
    liquidity in financial markets", Physical Review X 1, 2011; J. Donier and J. Bonart, "A million
    metaorder analysis of market impact on the Bitcoin", Market Microstructure and Liquidity 1,
    2015.
    """
    _finite(notional_usd=notional_usd, turnover_usd=turnover_usd, volatility=volatility)
    _finite(half_spread_bps=half_spread_bps, impact=impact)
    if min(turnover_usd, volatility, half_spread_bps, impact) < 0:
        message = f"turnover {turnover_usd}, volatility {volatility}: below 0"
        raise ValueError(message)
    if not notional_usd:
        return 0.0
    if not turnover_usd:
        return math.inf
    share = abs(notional_usd) / turnover_usd
    return half_spread_bps + impact * volatility * math.sqrt(share) * BPS


def impact_usd(
    notional_usd: float,
    turnover_usd: float,
    volatility: float,
    half_spread_bps: float = 0.0,
    impact: float = IMPACT,
) -> float:
    """Estimate the same cost in USD; arguments and errors as those of `impact_bps`."""
    bps = impact_bps(notional_usd, turnover_usd, volatility, half_spread_bps, impact)
    return bps / BPS * abs(notional_usd) if bps else 0.0


def liquidation_ladder(
    quantities: FloatArray,
    marks_usd: FloatArray,
    liquidations_usd: FloatArray,
    shocks: Sequence[float] = LADDER,
    betas: FloatArray | None = None,
) -> tuple[Rung, ...]:
    """Say which positions go at which fall of the market.

    A position goes when its own price reaches the liquidation price the venue states now. In a
    cross pool that price moves as the others lose: what is liquidated by then is at least this.

    Args:
        quantities: shape (n,), signed base units, long > 0.
        marks_usd: shape (n,), > 0.
        liquidations_usd: shape (n,); NaN = not stated; 0 (long) or inf (short) = never.
        shocks: relative moves of the market, >= -1.
        betas: shape (n,), how far each goes with it; None = all alike. A price stops at 0.

    Raises:
        ValueError: shapes that do not fit, a quantity, mark or beta that is not finite, a mark not
            above 0, a shock out of range.
    """
    held, marks = vector(quantities, "quantities"), vector(marks_usd, "marks")
    follows = np.ones(len(held)) if betas is None else vector(betas, "betas")
    at = np.asarray(liquidations_usd, dtype=np.float64)
    if not len(held) == len(marks) == len(follows) or at.shape != held.shape:
        message = f"{len(held)} quantities, {len(marks)} marks, {at.shape} liquidation prices"
        raise ValueError(message)
    if (marks <= 0).any() or not all(math.isfinite(shock) and shock >= -1 for shock in shocks):
        message = "a mark not above 0, or a shock below -1"
        raise ValueError(message)
    unstated = tuple(np.flatnonzero(np.isnan(at) & (held != 0)).tolist())
    rungs = []
    for shock in shocks:
        prices = np.maximum(marks * (1.0 + shock * follows), 0.0)
        # A NaN compares as false: what is not stated is not said to go.
        goes = ((held > 0) & (prices <= at) & (at > 0)) | ((held < 0) & (prices >= at))
        notional_usd = float((np.abs(held) * prices)[goes].sum())
        rungs.append(Rung(shock, tuple(np.flatnonzero(goes).tolist()), unstated, notional_usd))
    return tuple(rungs)


def _check_levels(
    levels: Sequence[tuple[float, float]], mid_usd: float, *, is_selling: bool
) -> None:
    before = math.inf if is_selling else 0.0
    for price, offered in levels:
        _finite(price=price, offered=offered)
        is_ordered = price <= before if is_selling else price >= before
        if price <= 0 or offered < 0 or not is_ordered:
            message = f"levels: {offered} at {price} after {before}"
            raise ValueError(message)
        before = price
    if mid_usd <= 0:
        message = f"mid {mid_usd}, not above 0"
        raise ValueError(message)


def _finite(**numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value):
            message = f"{name}: {value}"
            raise ValueError(message)
