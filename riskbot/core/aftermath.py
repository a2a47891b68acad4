"""The Book after a scenario: what limits are asked over, each formula where it is.

It holds what a move changes and no more: statistics of returns are dropped, since nobody knows what
they would be; what has no part in a move (orders, feeds, the day's trades) stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from riskbot.core.assets import is_cash
from riskbot.core.exposure import Aggregate, Leg, Losses, Pair, ScopeBook
from riskbot.core.measures import keyed_sums
from riskbot.core.model import InstrumentKind, strategy_scope
from riskbot.core.stats import stress
from riskbot.core.stressed import Moves, PositionStress

STRATEGY = strategy_scope("")

_CENT = 0.01
"""USD below which a difference of sums is rounding."""

Venues = Mapping[str, str]
"""Venue by account."""


def after(book: ScopeBook, moves: Moves, venues: Venues, *, has_fixed_capital: bool) -> ScopeBook:
    """Return a Book after a move.

    Args:
        book: before; it stays as it is.
        moves: whose PnL is known.
        venues: of every account.
        has_fixed_capital: the denominator of exposure ratios stays.
    """
    pnl = moves.pnl_usd or 0.0
    stays = has_fixed_capital or book.scope.startswith(STRATEGY)
    rows = list(zip(book.legs, moves.positions, strict=True))
    legs = [_leg(leg, position) for leg, position in rows if not position.is_gone]
    _pay_in_coin(legs, rows)
    sums = keyed_sums(legs)
    made = replace(
        book,
        equity_usd=_plus(book.equity_usd, pnl),
        capital_usd=book.capital_usd if stays else _plus(book.capital_usd, pnl),
        aum_usd=_plus(book.aum_usd, pnl),
        legs=legs,
        gross_usd=math.fsum(abs(leg.notional_usd or 0.0) for leg in legs),
        net_usd=math.fsum(leg.notional_usd or 0.0 for leg in legs),
        underlyings={**sums.underlyings},
        sectors=_sectors(book, sums.sectors),
        groups={**sums.groups},
        strategies={},
        venue_equity=_venue_equity(book, moves, venues),
        stablecoins=_stablecoins(book, moves, rows),
        pairs=[_pair(pair, book.legs, legs) for pair in book.pairs],
        maintenance_margin=[(pool.subject, pool.after) for pool in moves.pools],
        margin_equity={pool.subject: pool.equity_after_usd or 0.0 for pool in moves.pools},
        losses=_losses(book, pnl),
        stop_risk_usd=math.fsum(leg.risk_usd or 0.0 for leg in legs),
        stats={},
    )
    made.delta_usd = made.net_usd
    return made


def unjudged(book: ScopeBook, moves: Moves) -> dict[str, str]:
    """Return the limits that the Book after a move says nothing of, and why."""
    found = {}
    if book.strategies:
        found["strategy_share"] = "what of a loss is whose, is not known"
    if not moves.is_split:
        why = "whose cash it is, is not known"
        found |= dict.fromkeys(("venue_share", "stable_share", "peg_deviation"), why)
    return found


def _sectors(book: ScopeBook, sums: Mapping[str, Aggregate]) -> dict[str, Aggregate]:
    """Return the sectors after the move, with the cash that is configured as one."""
    before = keyed_sums(book.legs).sectors
    made = {**sums}
    for name, known in book.sectors.items():
        cash = known.gross - (before[name].gross if name in before else 0.0)
        if cash > _CENT:
            # Cash that loses its peg counts as before: nobody knows which coin of a sector it is.
            rest = sums.get(name, Aggregate())
            made[name] = Aggregate(rest.gross + cash, rest.net + cash)
    return made


def _plus(amount: float | None, pnl: float) -> float | None:
    return None if amount is None else amount + pnl


# ---------------------------------------------------------------- positions


def _leg(leg: Leg, position: PositionStress) -> Leg:
    """Return a leg after the move; one whose price nobody knows stays so."""
    notional = position.delta_after_usd
    if leg.notional_usd is None or notional is None or leg.mark_usd is None:
        return replace(leg)
    shock, pnl = position.shock or 0.0, position.price_pnl_usd
    mark = _mark(leg, position, leg.mark_usd)
    made = replace(leg, notional_usd=notional, delta_usd=notional, mark_usd=mark)
    if leg.instrument.kind is InstrumentKind.INVERSE and shock > -1:
        made.quantity = leg.quantity / (1 + shock)
    if leg.unrealized_pnl_usd is not None and not leg.is_spot:
        # What it had made is paid in something, and worth what that is worth now.
        made.unrealized_pnl_usd = leg.unrealized_pnl_usd * _settle_growth(leg, position) + pnl
    if leg.gamma_usd is not None:
        made.gamma_usd = leg.gamma_usd * (1 + shock) ** 2
    if leg.liquidation_distance is not None and position.move is not None:
        made.liquidation_distance = stress.distance_after(
            leg.liquidation_distance, position.move, is_long=leg.quantity > 0
        )
    if leg.risk_usd is not None:
        # To a stop the way is shorter by what was lost; an assumed one keeps its distance.
        grown = abs(notional / leg.notional_usd) if leg.notional_usd else 1.0
        has_stop = leg.stop is not None
        made.risk_usd = _stop_risk(leg, position) if has_stop else leg.risk_usd * grown
    return made


def _pay_in_coin(legs: list[Leg], rows: list[tuple[Leg, PositionStress]]) -> None:
    """Add what inverse positions made to the coins it is paid in."""
    made: dict[tuple[str, str], float] = {}
    for leg, position in rows:
        if leg.instrument.kind is InstrumentKind.INVERSE and position.pnl_usd:
            key = (leg.key.account, leg.instrument.settle)
            made[key] = made.get(key, 0.0) + position.pnl_usd
    for leg in legs:
        pnl = made.get((leg.key.account, leg.underlying)) if leg.is_spot else None
        if pnl and leg.mark_usd and leg.notional_usd is not None:
            before = leg.notional_usd
            leg.quantity += pnl / leg.mark_usd
            leg.notional_usd = leg.delta_usd = before + pnl
            if leg.risk_usd is not None and before:
                leg.risk_usd *= abs((before + pnl) / before)


def _settle_growth(leg: Leg, position: PositionStress) -> float:
    if leg.instrument.kind is InstrumentKind.INVERSE:
        return 1 + (position.shock or 0.0)
    # In a coin it is part of the PnL already.
    return 1 + position.quote_shock if is_cash(leg.instrument.quote) else 1.0


def _stop_risk(leg: Leg, position: PositionStress) -> float:
    """Return what lies between the mark and a standing stop after the move; 0 past it."""
    risk, pnl, shock = leg.risk_usd or 0.0, position.price_pnl_usd, position.shock or 0.0
    if leg.instrument.kind is InstrumentKind.INVERSE:
        # F*(1 - stop/P) at P*(1+s): the face stays, the way is a share of another price.
        return max((risk + pnl) / (1 + shock), 0.0) if shock > -1 else 0.0
    return max(risk * (1 + position.quote_shock) + pnl, 0.0)


def _mark(leg: Leg, position: PositionStress, mark_usd: float) -> float:
    if leg.instrument.kind is InstrumentKind.OPTION and leg.quantity:
        return max(mark_usd + position.price_pnl_usd / leg.quantity, 0.0)
    return mark_usd * (1 + (position.shock or 0.0))


def _pair(pair: Pair, before: Sequence[Leg], legs: Sequence[Leg]) -> Pair:
    """Return a pair after the move: each side with what its legs have become."""
    deltas = {leg.key: leg.delta_usd or 0.0 for leg in before}
    left = {leg.key: leg.delta_usd or 0.0 for leg in legs}
    sides, now, at = [0.0, 0.0], 0.0, 0
    for key in pair.keys:
        # The hedged legs stand first: they end where their sum is reached.
        if at == 0 and now and math.isclose(now, pair.hedged_delta_usd, rel_tol=1e-9):
            at = 1
        now += deltas.get(key, 0.0)
        sides[at] += left.get(key, 0.0)
    hedged, hedge = sides
    return replace(
        pair,
        hedged_delta_usd=hedged,
        hedge_delta_usd=hedge,
        drift=abs(1 + hedge / hedged) if hedged else 1.0,
    )


# ---------------------------------------------------------------- cash


def _stablecoins(
    book: ScopeBook, moves: Moves, rows: list[tuple[Leg, PositionStress]]
) -> dict[str, tuple[float, float, bool]]:
    """Return the stablecoins after the move, with what positions paid in them made."""
    found = {}
    for coin, (held, price, is_assumed) in book.stablecoins.items():
        made = [c.pnl_usd or 0.0 for c in moves.cash if c.name == coin]
        made += [
            p.pnl_usd or 0.0 for leg, p in rows if leg.instrument.settle == coin and not leg.is_spot
        ]
        shock = moves.scenario.depeg.get(coin, 0.0)
        found[coin] = (held + math.fsum(made), price * (1 + shock), is_assumed)
    return found


def _venue_equity(book: ScopeBook, moves: Moves, venues: Venues) -> dict[str, float]:
    made = dict(book.venue_equity)
    for position in moves.positions:
        venue = venues.get(position.key.account)
        if venue in made:
            made[venue] += position.pnl_usd or 0.0
    for cash in moves.cash:
        venue = venues.get(cash.account)
        if venue in made:
            made[venue] += cash.pnl_usd or 0.0
    if moves.venue in made:
        made[moves.venue] = 0.0
    return made


def _losses(book: ScopeBook, pnl: float) -> Losses:
    """Return the losses after the move; unknown where there is no equity to lose of."""
    known, equity = book.losses, book.equity_usd
    if equity is None or equity <= 0:
        return Losses()
    growth = 1 + pnl / equity

    def fallen(loss: float | None) -> float | None:
        return None if loss is None else stress.loss_after(loss, growth)

    drawdown, true_drawdown = fallen(known.drawdown), fallen(known.true_drawdown)
    return Losses(
        nav=None if known.nav is None else known.nav * growth,
        drawdown=drawdown,
        max_drawdown=_deeper(known.max_drawdown, drawdown),
        weekly_drawdown=fallen(known.weekly_drawdown),
        daily_loss=fallen(known.daily_loss),
        weekly_loss=fallen(known.weekly_loss),
        rolling_loss_24h=fallen(known.rolling_loss_24h),
        rolling_loss_7d=fallen(known.rolling_loss_7d),
        true_drawdown=true_drawdown,
        true_max_drawdown=_deeper(known.true_max_drawdown, true_drawdown),
        daily_pnl_usd=_plus(known.daily_pnl_usd, pnl),
        peak_nav=known.peak_nav,
    )


def _deeper(worst: float | None, drawdown: float | None) -> float | None:
    return None if worst is None or drawdown is None else max(worst, drawdown)
