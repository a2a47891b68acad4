"""Plain textbook forms of riskbot's checks: an independent reference for tests, float arithmetic.

Notional is signed USD (long > 0). Ratios are fractions. A check is broken when measured > limit,
strictly.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence


def gross(notionals: Sequence[float], equity: float) -> float:
    """Sum of absolute notionals over equity: longs 60k and shorts 40k on 100k give 1.0."""
    return sum(map(abs, notionals)) / equity


def net(notionals: Sequence[float], equity: float) -> float:
    """Signed; the limit is on the absolute value."""
    return sum(notionals) / equity


def per_key(notionals: Sequence[tuple[str, float]], equity: float) -> dict[str, float]:
    """Absolute notional per key (asset, sector or group) over equity."""
    total: dict[str, float] = defaultdict(float)
    for key, notional in notionals:
        total[key] += abs(notional)
    return {key: value / equity for key, value in total.items()}


def new_position_violations(
    new: tuple[str, float],
    book: Sequence[tuple[str, float]],
    equity: float,
    sector_of: Mapping[str, str],
    *,
    max_gross: float = 2.0,
    max_net: float = 0.80,
    max_asset: float = 0.20,
    max_sector: float = 0.40,
) -> set[str]:
    """Names of all limits that the book with `new` (asset, signed notional) would break.

    Unmapped assets belong to no sector.
    """
    after = [*book, new]
    broken = set()
    if gross([n for _, n in after], equity) > max_gross:
        broken.add("gross_exposure")
    if abs(net([n for _, n in after], equity)) > max_net:
        broken.add("net_exposure")
    if per_key(after, equity)[new[0]] > max_asset:
        broken.add("asset_exposure")
    sector = sector_of.get(new[0])
    if sector is not None:
        inside = [(sector_of[a], n) for a, n in after if sector_of.get(a) == sector]
        if per_key(inside, equity)[sector] > max_sector:
            broken.add("sector_exposure")
    return broken


def trade_violations(
    quantity: float,
    price: float,
    stop: float,
    equity: float,
    correlation: float,
    *,
    max_trade: float = 0.10,
    max_trade_risk: float = 0.02,
    max_correlation: float = 0.8,
) -> set[str]:
    """Of the order alone: its value, its risk to the stop, its correlation with the book."""
    broken = set()
    if quantity * price / equity > max_trade:
        broken.add("max_trade")
    if abs(price - stop) * quantity / equity > max_trade_risk:
        broken.add("max_trade_risk")
    if correlation > max_correlation:
        broken.add("max_correlation")
    return broken


def drawdown(curve: Sequence[float]) -> float:
    """(peak - last) / peak of a NAV curve without cash flows; the first sample counts."""
    return (max(curve) - curve[-1]) / max(curve)


def max_drawdown(curve: Sequence[float]) -> float:
    """Largest (peak - later low) / peak."""
    peak, worst = -math.inf, 0.0
    for value in curve:
        peak = max(peak, value)
        worst = max(worst, (peak - value) / peak)
    return worst


def period_loss(start: float, now: float) -> float:
    """Loss since the day's or week's start as a share of NAV then; negative is a gain."""
    return (start - now) / start


def stop_risk(positions: Sequence[tuple[float, float, float]], equity: float) -> float:
    """Sum over (quantity, mark, stop) of abs(mark - stop) * abs(quantity) / equity."""
    return sum(abs(mark - stop) * abs(quantity) for quantity, mark, stop in positions) / equity


def leverage_ratios(
    notionals: Mapping[str, float], aum: float, equity: float, maintenance_margin: float
) -> dict[str, float]:
    """NLR, GLR, UCR, MM of a book of signed notional per underlying."""
    total = sum(map(abs, notionals.values()))
    return {
        "NLR": abs(sum(notionals.values())) / aum,
        "GLR": total / aum,
        "UCR": max(map(abs, notionals.values()), default=0.0) / total if total else 0.0,
        "MM": maintenance_margin / equity,
    }


def stress_pnl(positions: Sequence[tuple[str, float, float]], shocks: Mapping[str, float]) -> float:
    """Sum over (asset, quantity, mark) of quantity * mark * shock.

    A missing shock falls to DEFAULT, then 0.
    """
    return sum(
        quantity * mark * shocks.get(asset, shocks.get("DEFAULT", 0.0))
        for asset, quantity, mark in positions
    )
