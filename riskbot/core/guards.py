"""Guards: how far exposure and equity may move before any limit can reach its next level.

Per tick the Book compares two running figures of a scope with two bounds; only beyond them is a
full evaluation due. Conservative: a guard may trip for nothing, never too late. Measures that no
tick moves (counts, ages, pegs, pairs) are left to the second's timer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from riskbot.core.exposure import ScopeBook
from riskbot.core.limits._base import Limit, Verdict

OVER_CAPITAL = frozenset(
    {
        "gross_exposure",
        "net_exposure",
        "asset_exposure",
        "sector_exposure",
        "group_exposure",
        "position_size",
        "stop_risk",
        "leverage",
    }
)
"""Amount over capital, where the amount moves by no more than exposure does."""


class Guard(NamedTuple):
    """One verdict's room: trips when per_variation * V + per_loss * D > headroom_usd.

    V is the sum of abs changes of exposure in the scope since the evaluation, D the fall of its
    equity, both USD.
    """

    scope: str
    headroom_usd: float
    per_variation: float
    per_loss: float


def guards(limit: Limit, verdicts: list[Verdict], book: ScopeBook) -> Iterator[Guard]:
    """Yield the guards of one limit's verdicts on one scope.

    Of many keys before the same level only the nearest counts: the others have more room.
    """
    if limit.is_min:
        # What is measured by position is watched by position, see `fence`.
        return
    nearest: dict[tuple[float, str], Verdict] = {}
    for verdict, share in _open(limit, verdicts):
        # Of margin each pool counts: room is a share of its own equity.
        group = (share, verdict.key if limit.name == "maintenance_margin" else "")
        known = nearest.get(group)
        if known is None or (verdict.measured or 0.0) > (known.measured or 0.0):
            nearest[group] = verdict
    for (share, _), verdict in nearest.items():
        found = _guard(limit, verdict, limit.allowed * share, book)
        if found is not None:
            yield found


def _open(limit: Limit, verdicts: list[Verdict]) -> Iterator[tuple[Verdict, float]]:
    """Yield the verdicts that have a level before them, and the utilization where it begins."""
    shares = (*limit.levels, 1.0)
    for verdict in verdicts:
        used, measured = verdict.utilization, verdict.measured
        if measured is None or used is None or not math.isfinite(measured):
            continue
        share = next((share for share in shares if share >= used), None)
        if share is not None:
            yield verdict, share


def _guard(limit: Limit, verdict: Verdict, level: float, book: ScopeBook) -> Guard | None:
    measured = verdict.measured or 0.0
    room = level - measured
    name, scope = limit.name, book.scope
    if limit.is_loss:
        equity = book.equity_usd or 0.0
        return Guard(scope, room / (1 - measured) * equity, 0.0, 1.0) if measured < 1 else None
    capital = book.capital_usd or 0.0
    if name in OVER_CAPITAL:
        return Guard(scope, room * capital, 1.0, level)
    if name == "underlying_concentration":
        floor = float(getattr(limit, "gross_floor", 0.0))
        base = max(book.gross_usd, floor * capital)
        return Guard(scope, room * base, 1.0 + level, level * floor)
    if name == "strategy_share":
        return Guard(scope, room * book.gross_usd, 1.0 + level, 0.0)
    if name == "net_delta":
        of_equity = bool(getattr(limit, "of_equity", False))
        return Guard(scope, room * (capital if of_equity else 1.0), 1.0, level)
    if name == "maintenance_margin":
        # Neither margin nor the pool's equity moves by more than exposure does.
        return Guard(scope, room * book.margin_equity.get(verdict.key, 0.0), 1.0 + level, 0.0)
    return None


def fence(limit: Limit, distance: float, mark_usd: float) -> tuple[float, float]:
    """Return the marks between which a position's liquidation distance reaches no other level.

    Each position has its own: a small one that is near must not make every tick of the others
    look like its own.

    Args:
        limit: on the distance.
        distance: abs(mark - liquidation price) / mark.
        mark_usd: at which it is that.

    Returns:
        Lowest and highest mark, USD; 0 and inf where nothing more can be reached.
    """
    used = limit.utilization(distance)
    share = next((share for share in (*limit.levels, 1.0) if share >= used), None)
    if share is None:
        return 0.0, math.inf
    level = limit.allowed / share
    # The liquidation price is on one side; the bound of the other may trip for nothing.
    low = mark_usd * (1 - distance) / (1 - level) if level < 1 else 0.0
    return low, mark_usd * (1 + distance) / (1 + level)
