"""Hedges: sized by USD delta, opened on the configured instrument, unwound when not needed.

A hedge that would break another limit is refused; then the response is a reduce.
"""

from __future__ import annotations

from decimal import Decimal

from riskbot.core import lines, plan, rounding
from riskbot.core.duty import Episode, IntentKind, Target, cause
from riskbot.core.exposure import Aggregate, Pair, ScopeBook
from riskbot.core.limits._base import Limit
from riskbot.core.model import (
    PORTFOLIO,
    InstrumentKind,
    PositionKey,
    PositionSide,
    account_scope,
)
from riskbot.core.settings import HedgeSettings
from riskbot.core.turn import Turn

UNWIND_SHARE = 0.005
"""Share of E by which a hedge may exceed what it offsets before it is trimmed."""


def offsets(turn: Turn, episode: Episode, limit: Limit, book: ScopeBook | None) -> list[Target]:
    """Return hedge targets that bring a signed measure back to its target; [] = none possible."""
    if book is None or not book.capital_usd:
        return []
    wanted = limit.allowed * limit.target
    if limit.unit == "ratio":
        wanted *= max(book.capital_usd, 0.0)
    if limit.name in {"net_exposure", "net_delta"}:
        excess = abs(book.net_usd) - wanted
        nets = {u: a.delta for u, a in book.underlyings.items() if a.delta * book.net_usd > 0}
        return _spread(turn, book, nets, excess)
    return _rebalance(turn, book, episode)


def _spread(turn: Turn, book: ScopeBook, nets: dict[str, float], excess: float) -> list[Target]:
    targets = []
    for underlying in sorted(nets, key=lambda u: -abs(nets[u])):
        amount = min(abs(nets[underlying]), max(excess, 0.0))
        target = _target(turn, book, underlying, -amount if nets[underlying] > 0 else amount)
        if target is not None:
            targets.append(target)
            excess -= amount
    return targets


def _rebalance(turn: Turn, book: ScopeBook, episode: Episode) -> list[Target]:
    keys = set(episode.keys)
    targets = [restoring(turn, book, p) for p in book.pairs if {p.name, p.underlying} & keys]
    return [target for target in targets if target is not None]


def restoring(turn: Turn, book: ScopeBook, pair: Pair) -> Target | None:
    """Return what the configured hedge of a pair's underlying must become to restore it.

    None where none is configured, nothing is missing, or the limits forbid it.
    """
    gap_usd = pair.hedged_delta_usd + pair.hedge_delta_usd
    hedge = turn.settings.hedges.get(pair.underlying)
    if hedge is None:
        return None
    over = [
        key
        for key in pair.hedge
        if (key.account, key.symbol) == (hedge.account, hedge.instrument)
        and key.side is not PositionSide.NET
        and float(turn.state.quantity(key)) * gap_usd > 0
    ]
    # Where both sides are positions of their own, too much of a hedge is closed on its own side.
    return (
        _trim(turn, over[0], abs(gap_usd))
        if over
        else _target(turn, book, pair.underlying, -gap_usd)
    )


def _trim(turn: Turn, key: PositionKey, gap_usd: float) -> Target | None:
    held, unit, step = turn.state.quantity(key), unit_usd(turn, key), turn.state.listed(key).step
    amount = min(rounding.floor_amount(gap_usd / unit, step) if unit else Decimal(0), abs(held))
    return Target(key, held - amount if held > 0 else held + amount) if amount > 0 else None


def unit_usd(turn: Turn, key: PositionKey) -> float:
    """Return what a unit of a position's native quantity counts as in USD, 0 = unknown."""
    instrument = turn.state.instrument(key.account, key.symbol)
    if instrument is not None and instrument.kind is InstrumentKind.INVERSE:
        return 1.0
    return turn.state.mark_usd(key.account, key.symbol) or 0.0


def _target(turn: Turn, book: ScopeBook, underlying: str, offset_usd: float) -> Target | None:
    hedge = turn.settings.hedges.get(underlying)
    if hedge is None or breaks_a_limit(turn, hedge.account, underlying, abs(offset_usd)):
        return None
    key = hedge_key(turn, hedge, offset_usd)
    instrument = turn.state.instrument(hedge.account, hedge.instrument)
    mark_usd = turn.state.mark_usd(hedge.account, hedge.instrument)
    if instrument is None or not instrument.is_active or mark_usd is None:
        return None
    if is_unseen(turn, key):
        return None
    present = turn.state.quantity(key)
    return plan.hedge_target(hedge, instrument, mark_usd, present, offset_usd, key)


def is_unseen(turn: Turn, key: PositionKey) -> bool:
    """Whether the position shows less than riskbot's own fills made of it.

    Until that is clear nothing is added: the same hedge would be opened again and again.
    """
    hedge = turn.state.enforcement.hedges.get(key)
    return hedge is not None and abs(turn.state.quantity(key)) < abs(hedge.quantity)


def hedge_key(turn: Turn, hedge: HedgeSettings, offset_usd: float) -> PositionKey:
    """Return the position key a hedge of this direction lives on."""
    side = PositionSide.NET
    if turn.state.is_hedge_mode(hedge.account):
        side = PositionSide.SHORT if offset_usd < 0 else PositionSide.LONG
    return PositionKey(hedge.account, hedge.instrument, side)


def breaks_a_limit(turn: Turn, account: str, underlying: str, added_usd: float) -> bool:
    """Whether so much more gross, USD >= 0, would break a limit on gross of a book it lands in."""
    sector = lines.sector_of(turn.settings, underlying)
    for scope in (PORTFOLIO, account_scope(account)):
        where = turn.book(scope) or ScopeBook(scope)
        amounts = {
            "gross_exposure": where.gross_usd,
            "leverage": where.gross_usd,
            "asset_exposure": where.underlyings.get(underlying, Aggregate()).gross,
            "sector_exposure": where.sectors.get(sector, Aggregate()).gross,
        }
        for name, amount in amounts.items():
            limit = turn.state.limit(scope, name)
            if limit is None or getattr(limit, "netted", False):
                continue
            share = where.share(amount + added_usd)
            if share is None or share > limit.allowed:
                return True
    return False


def is_under_way(turn: Turn, episode: Episode) -> bool:
    """Whether a hedge that serves this episode is being placed."""
    return any(
        (episode.scope, cause(IntentKind.HEDGE, episode.limit)) in intent.causes
        for intent in turn.state.enforcement.intents.values()
    )


def unwinds(turn: Turn) -> dict[str, list[Target]]:
    """Return, by account, hedges to trim because what they offset is (partly) gone.

    A trim must show under both price sources, and the smaller one is made.
    """
    found: dict[str, list[Target]] = {}
    for key, hedge in turn.state.enforcement.hedges.items():
        books = (turn.book(PORTFOLIO), turn.second().scopes.get(PORTFOLIO))
        trims = [_unwind(turn, book, key, hedge.quantity) for book in books]
        kind = max(trims, key=lambda t: float("inf") if t is None else abs(t.quantity))
        if kind is not None:
            found.setdefault(key.account, []).append(kind)
    return found


def _unwind(turn: Turn, book: ScopeBook | None, key: PositionKey, opened: Decimal) -> Target | None:
    if book is None or book.unpriced or not book.equity_usd:
        return None
    instrument = turn.state.instrument(key.account, key.symbol)
    mark_usd = turn.state.mark_usd(key.account, key.symbol)
    held = turn.state.quantity(key)
    if instrument is None or mark_usd is None or held * opened <= 0:
        return None
    unit_usd = 1.0 if instrument.kind is InstrumentKind.INVERSE else mark_usd
    ours = min(abs(held), abs(opened))
    ours_usd = float(ours) * unit_usd * (1 if opened > 0 else -1)
    total = book.underlyings.get(instrument.underlying)
    rest_usd = (total.delta if total else 0.0) - ours_usd
    needed_usd = -rest_usd if rest_usd * ours_usd < 0 else 0.0
    excess_usd = abs(ours_usd) - abs(needed_usd)
    slack = max(UNWIND_SHARE * (book.equity_usd or 0.0), float(instrument.min_notional))
    if excess_usd <= slack:
        return None
    amount = rounding.floor_to_step(Decimal(repr(excess_usd / unit_usd)), instrument.step)
    # Where nothing is left to offset all of it goes: prices that differ leave no remainder.
    amount = ours if abs(needed_usd) <= slack else min(amount, ours)
    return Target(key, held - amount if held > 0 else held + amount) if amount > 0 else None
