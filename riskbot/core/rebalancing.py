"""The order that would restore a hedged pair: advice, and what its `hedge` response sends.

Where `hedges` names an instrument for the underlying, the order is on that one. Else it is on the
pair's own legs: the hedge is made smaller or larger, or, where more of it would break a limit,
what it hedges is made smaller. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from riskbot.core import hedging
from riskbot.core.exposure import Leg, Pair, ScopeBook
from riskbot.core.model import (
    PORTFOLIO,
    InstrumentKind,
    PositionKey,
    Side,
    account_scope,
)
from riskbot.core.rounding import floor_amount
from riskbot.core.turn import Turn

_ADVISED = 3
"""So many pairs get advice in one alert; the others are in `/v1/exposure`."""

_CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)


@dataclass(frozen=True, slots=True)
class Rebalance:
    """An order that takes a pair back to balance, as far as the venue's step allows.

    Attributes:
        key: the position it changes.
        quantity: > 0, unit of `Position.quantity`, rounded down to the step.
        usd: what it is worth, > 0.
        is_exit: it makes the position smaller and can open nothing.
    """

    key: PositionKey
    side: Side
    quantity: Decimal
    usd: float
    is_exit: bool


def restoring(
    turn: Turn, pair: Pair, book: ScopeBook, legs: Mapping[PositionKey, Leg]
) -> Rebalance | None:
    """Return the order that would restore a pair; None = none is needed, or none may be made.

    An order that adds to a position passes the limits on gross, on the asset, the sector and the
    position; one that would not is not advised.

    Args:
        turn: what limits and the hedges that are configured are read from.
        pair: out of balance or not.
        book: the portfolio's.
        legs: its legs by key.
    """
    gap_usd = pair.hedged_delta_usd + pair.hedge_delta_usd
    if not gap_usd:
        return None
    target = hedging.restoring(turn, book, pair)
    if target is not None:
        change = target.quantity - turn.state.quantity(target.key)
        unit_usd = hedging.unit_usd(turn, target.key)
        return _order(target.key, change, unit_usd, present=turn.state.quantity(target.key))
    hedge = [legs[key] for key in pair.hedge if key in legs]
    hedged = [legs[key] for key in pair.hedged if key in legs]
    return (
        _smaller(hedge, gap_usd) or _larger(turn, book, hedge, gap_usd) or _smaller(hedged, gap_usd)
    )


def words(order: Rebalance) -> str:
    """Write an order for people: `sell 0.5 BTC/USDT:USDT on main (25,000 USD, reduce-only)`."""
    exits = ", reduce-only" if order.is_exit else ""
    return (
        f"{order.side.value} {order.quantity.normalize():f} {order.key.symbol} "
        f"on {order.key.account} ({order.usd:,.0f} USD{exits})"
    )


def advice(turn: Turn, scope: str, names: Iterable[str]) -> str:
    """Return what would restore the pairs of these names, for people; empty = nothing would.

    `BTC drifted 25.0%: sell 0.5 BTC/USDT:USDT on other (25,000 USD) restores it`
    """
    whole, book = turn.book(PORTFOLIO), turn.book(scope)
    if whole is None or book is None:
        return ""
    legs = {leg.key: leg for leg in whole.legs}
    wanted, parts = set(names), list[str]()
    for pair in book.pairs:
        if pair.name in wanted and pair.drift is not None and len(parts) < _ADVISED:
            order = restoring(turn, pair, whole, legs)
            said = "no order restores it within the limits" if order is None else words(order)
            ends = "" if order is None else " restores it"
            parts.append(f"{pair.name} drifted {pair.drift:.1%}: {said}{ends}")
    return "; ".join(parts)


def _order(key: PositionKey, change: Decimal, unit_usd: float, *, present: Decimal) -> Rebalance:
    side = Side.BUY if change > 0 else Side.SELL
    is_exit = present * change < 0 and abs(change) <= abs(present)
    return Rebalance(key, side, abs(change), float(abs(change)) * unit_usd, is_exit)


def _by_size(legs: Iterable[Leg]) -> list[Leg]:
    return sorted(legs, key=lambda leg: -abs(leg.delta_usd or 0.0))


def _smaller(legs: Iterable[Leg], gap_usd: float) -> Rebalance | None:
    """Return the order that takes the gap off the largest leg on its side."""
    for leg in _by_size(legs):
        is_option = leg.instrument.kind is InstrumentKind.OPTION
        if (leg.delta_usd or 0.0) * gap_usd <= 0 or not leg.is_closable or is_option:
            continue
        unit_usd = _unit_usd(leg)
        amount = min(abs(gap_usd) / unit_usd, leg.closable_quantity)
        quantity = floor_amount(amount, leg.instrument.step)
        if quantity > 0 and quantity >= leg.instrument.min_quantity:
            side = Side.SELL if gap_usd > 0 else Side.BUY
            return Rebalance(leg.key, side, quantity, float(quantity) * unit_usd, is_exit=True)
    return None


def _larger(turn: Turn, book: ScopeBook, legs: Iterable[Leg], gap_usd: float) -> Rebalance | None:
    """Return the order that adds the gap to the largest leg against it, if no limit breaks."""
    for leg in _by_size(legs):
        instrument = leg.instrument
        is_against = (leg.delta_usd or 0.0) * gap_usd < 0
        if not is_against or instrument.kind not in _CONTRACTS or not instrument.is_active:
            continue
        unit_usd = _unit_usd(leg)
        quantity = floor_amount(abs(gap_usd) / unit_usd, instrument.step)
        usd = float(quantity) * unit_usd
        if quantity <= 0 or quantity < instrument.min_quantity:
            continue
        if usd >= float(instrument.min_notional) and not _breaks_a_limit(turn, book, leg, usd):
            side = Side.SELL if gap_usd > 0 else Side.BUY
            return Rebalance(leg.key, side, quantity, usd, is_exit=False)
    return None


def _breaks_a_limit(turn: Turn, book: ScopeBook, leg: Leg, usd: float) -> bool:
    account = leg.key.account
    if hedging.breaks_a_limit(turn, account, leg.underlying, usd):
        return True
    for scope in (PORTFOLIO, account_scope(account)):
        where = book if scope == PORTFOLIO else turn.book(scope)
        limit = turn.state.limit(scope, "position_size")
        if limit is None or where is None:
            continue
        share = where.share(abs(leg.notional_usd or 0.0) + usd)
        if share is None or share > limit.allowed:
            return True
    return False


def _unit_usd(leg: Leg) -> float:
    """Return what a unit of its native quantity counts as in USD: 1 of an inverse contract."""
    if leg.instrument.kind is InstrumentKind.INVERSE:
        return 1.0
    return leg.mark_usd or 1.0
