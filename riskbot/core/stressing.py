"""A scenario applied to a Book: positions, cash, margin, and the limits that would break.

What one position does is in `impacts`, the Book after the move in `aftermath`. Nothing is fetched:
what the Book does not hold comes in `Inputs`, and what is missing there is unknown, never 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from riskbot.core import aftermath
from riskbot.core.curved import margin_of, margins_of
from riskbot.core.exposure import Leg, ScopeBook
from riskbot.core.impacts import Impact, gone
from riskbot.core.limits._base import Limit, position_subject
from riskbot.core.model import PORTFOLIO, InstrumentKind, scope_account
from riskbot.core.scenarios import LARGEST, Scenario
from riskbot.core.shocks import Shocks
from riskbot.core.stats import stress
from riskbot.core.stressed import (
    Broken,
    CashStress,
    Inputs,
    Liquidated,
    Moves,
    PoolStress,
    PositionStress,
    StressResult,
    Unjudged,
)

STATISTICS = "statistics after the move are not known"
"""Why a limit over statistics is not judged."""


def apply(
    scenario: Scenario, book: ScopeBook, inputs: Inputs | None = None, limits: Iterable[Limit] = ()
) -> StressResult:
    """Apply a scenario to a Book, and judge what is left.

    Args:
        scenario: what happens.
        book: of one scope, as it is now.
        inputs: what else is known.
        limits: of the scope: which of them would break.
    """
    inputs = inputs if inputs is not None else Inputs()
    found = moves(scenario, book, inputs)
    pnl, equity = found.pnl_usd, book.equity_usd
    result = StressResult(
        scenario=scenario,
        scope=book.scope,
        moves=found,
        pnl_usd=pnl,
        share=None if pnl is None else _share(book, -pnl),
        equity_before_usd=equity,
        equity_after_usd=None if pnl is None or equity is None else equity + pnl,
        liquidated=tuple(_liquidated(book, found)),
    )
    if pnl is None:
        why = found.unknown[0]
        return replace(result, unjudged=tuple(Unjudged(limit.name, "", why) for limit in limits))
    venues = _venues(book, inputs)
    left = aftermath.after(book, found, venues, has_fixed_capital=inputs.has_fixed_capital)
    broken, unjudged = _judge(book, left, limits, aftermath.unjudged(book, found))
    return replace(result, broken=broken, unjudged=unjudged, after=left)


def _share(book: ScopeBook, loss_usd: float) -> float | None:
    """Return a loss over real equity, < 0 a gain; without equity inf for any loss."""
    if book.equity_usd is None:
        return None
    if book.equity_usd > 0:
        return loss_usd / book.equity_usd
    return math.inf if loss_usd > 0 else 0.0


def _liquidated(book: ScopeBook, found: Moves) -> Iterable[Liquidated]:
    ratios = {pool.subject: pool.after for pool in found.pools}
    for leg, position in zip(book.legs, found.positions, strict=True):
        if leg.is_spot or position.is_gone:
            continue
        reasons = []
        distance, move = leg.liquidation_distance, position.move
        is_long = leg.quantity > 0
        if distance is not None and move is not None:
            reasons += ["price"] * stress.is_liquidated(distance, move, is_long=is_long)
        subject = position_subject(leg.key)
        ratio = ratios.get(subject if subject in ratios else leg.key.account)
        if ratio is not None and ratio >= 1:
            reasons.append("margin")
        if reasons:
            yield Liquidated(leg.key, " and ".join(reasons))


def _judge(
    book: ScopeBook, left: ScopeBook, limits: Iterable[Limit], dropped: Mapping[str, str]
) -> tuple[tuple[Broken, ...], tuple[Unjudged, ...]]:
    """Ask every limit before and after the move."""
    broken: list[tuple[float, Broken]] = []
    unjudged: list[Unjudged] = []
    for limit in limits:
        why = STATISTICS if limit.needs_statistics else dropped.get(limit.name, "")
        if why:
            unjudged.append(Unjudged(limit.name, "", why))
            continue
        before = {verdict.key: verdict for verdict in limit.check(book)}
        for verdict in limit.check(left):
            used, measured = verdict.utilization, verdict.measured
            if used is None or measured is None:
                unjudged.append(Unjudged(limit.name, verdict.key, verdict.reason))
            elif used > 1:
                then = before.get(verdict.key)
                was = then is not None and then.utilization is not None and then.utilization > 1
                measured_then = then.measured if then is not None else None
                row = Broken(limit.name, verdict.key, measured_then, measured, limit.allowed, was)
                broken.append((used, row))
    broken.sort(key=lambda row: -row[0])
    return tuple(row for _, row in broken), tuple(unjudged)


def moves(scenario: Scenario, book: ScopeBook, inputs: Inputs | None = None) -> Moves:
    """Apply a scenario to a Book.

    Args:
        scenario: what happens.
        book: of one scope, as it is now.
        inputs: what else is known.
    """
    inputs = inputs if inputs is not None else Inputs()
    venue, why = _lost_venue(scenario, book)
    kept = [leg for leg in book.legs if leg.venue != venue]
    shocks = Shocks(scenario, kept, inputs.volatilities)
    prices = {**_prices(book.legs), **inputs.prices}
    margins = margins_of(book)
    positions = tuple(
        gone(leg, f"gone with {venue}")
        if leg.venue == venue
        else Impact(
            scenario, leg, shocks, prices.get(leg.underlying), inputs, margin_of(leg, margins)
        ).stress()
        for leg in book.legs
    )
    held, is_split = _held(book, inputs)
    lost = {name for name, where in _venues(book, inputs).items() if where == venue}
    cash = [
        CashStress(name, coin, value, shock, value * shock, f"{value:,.2f} USD * {shock:+.4g}")
        for name, coins in held.items()
        if name not in lost
        for coin, (value, _, _) in coins.items()
        if (shock := scenario.depeg.get(coin, 0.0))
    ]
    is_split = is_split or not (scenario.depeg or scenario.venue_lost)
    pools = _Pools(book, positions, cash, shocks, is_split=is_split)
    if venue is not None:
        equity = book.venue_equity.get(venue, 0.0)
        words = f"all that is held there, {equity:,.2f} USD"
        cash.append(CashStress("", f"venue {venue}", equity, -1.0, -max(equity, 0.0), words))
    elif why:
        cash.append(CashStress("", "venue", 0.0, -1.0, None, why))
    after = () if why else tuple(pools.after(lost))
    return Moves(scenario, positions, tuple(cash), after, venue, is_split)


def _lost_venue(scenario: Scenario, book: ScopeBook) -> tuple[str | None, str]:
    """Return the venue that is lost, and why that is not known."""
    if scenario.venue_lost is None:
        return None, ""
    places = {leg.venue for leg in book.legs} | set(book.venue_equity)
    if scenario.venue_lost != LARGEST:
        is_unknown = scenario.venue_lost in places and scenario.venue_lost not in book.venue_equity
        why = f"equity at {scenario.venue_lost} is not known" if is_unknown else ""
        return (None if is_unknown else scenario.venue_lost), why
    if blind := sorted(places - set(book.venue_equity)):
        return None, f"equity at {blind[0]} is not known"
    # Of equals the first by name, so that the answer does not change with the order of accounts.
    return max(sorted(places), key=lambda place: book.venue_equity[place], default=None), ""


def _prices(legs: Iterable[Leg]) -> dict[str, float]:
    """Return USD per unit of each underlying of which anything but an option is held."""
    return {
        leg.underlying: leg.mark_usd / float(leg.instrument.underlying_per_base)
        for leg in legs
        if leg.mark_usd is not None and leg.instrument.kind is not InstrumentKind.OPTION
    }


# ---------------------------------------------------------------- cash and margin

Cash = Mapping[str, tuple[float, float, bool]]


def _held(book: ScopeBook, inputs: Inputs) -> tuple[dict[str, Cash], bool]:
    """Return the stablecoins by account, and whether it is known whose they are."""
    name = scope_account(book.scope)
    if name is not None:
        return {name: book.stablecoins}, True
    if book.scope != PORTFOLIO:
        return {}, True
    if inputs.accounts:
        return {name: one.stablecoins for name, one in inputs.accounts.items()}, True
    names = {leg.key.account for leg in book.legs}
    names |= {subject.partition("|")[0] for subject, _ in book.maintenance_margin}
    if len(names) == 1:
        return {names.pop(): book.stablecoins}, True
    return {"": book.stablecoins}, not book.stablecoins


def _venues(book: ScopeBook, inputs: Inputs) -> dict[str, str]:
    """Return the venue of each account."""
    found = {leg.key.account: leg.venue for leg in book.legs}
    accounts = {**inputs.accounts}
    own = scope_account(book.scope)
    if own is not None:
        accounts[own] = book
    return found | {name: venue for name, one in accounts.items() for venue in one.venue_equity}


class _Pools:
    """The margin pools of the accounts that are left, after the move."""

    def __init__(
        self,
        book: ScopeBook,
        positions: Sequence[PositionStress],
        cash: Sequence[CashStress],
        shocks: Shocks,
        *,
        is_split: bool,
    ) -> None:
        self._ratios = dict(book.maintenance_margin)
        self._equity, self._shocks, self._is_split = book.margin_equity, shocks, is_split
        self._rows: dict[str, list[tuple[Leg, PositionStress]]] = defaultdict(list)
        self._gains: dict[str, list[float | None]] = defaultdict(list)
        for each in cash:
            self._gains[each.account].append(each.pnl_usd)
        for leg, position in zip(book.legs, positions, strict=True):
            subject, account = position_subject(leg.key), leg.key.account
            if subject not in self._ratios:
                self._rows[account].append((leg, position))
                self._gains[account].append(position.pnl_usd)
                continue
            paid = self._paid_in(leg, book.margin_equity.get(subject))
            self._rows[subject].append((leg, position))
            self._gains[subject] += [position.pnl_usd, paid]
            # What is set apart for it is in the account's cash, but not in its cross pool.
            self._gains[account].append(None if paid is None else -paid)

    def _paid_in(self, leg: Leg, equity_usd: float | None) -> float | None:
        """Return what margin held in a position's settle asset gains by that asset's shock."""
        shock = self._shocks.of_asset(leg.instrument.settle)
        return None if shock is None or equity_usd is None else equity_usd * shock

    def after(self, lost: set[str]) -> Iterable[PoolStress]:
        """Yield each pool, without those of accounts that are lost."""
        for subject, before in self._ratios.items():
            if subject.partition("|")[0] not in lost:
                yield self._pool(subject, before, self._equity.get(subject))

    def _pool(self, subject: str, before: float | None, equity: float | None) -> PoolStress:
        if before is None or equity is None:
            return PoolStress(subject, before, None, None, "margin is not known")
        if not self._is_split:
            return PoolStress(subject, before, None, None, "whose cash it is, is not known")
        gains = [usd for usd in self._gains[subject] if usd is not None]
        if len(gains) < len(self._gains[subject]):
            return PoolStress(subject, before, None, None, "a loss in it is not known")
        after = equity + math.fsum(gains)
        if math.isinf(before):
            return PoolStress(subject, before, math.inf, after)
        backed = [(leg, p) for leg, p in self._rows[subject] if not leg.is_spot]
        gross = math.fsum(abs(leg.notional_usd or 0.0) for leg, _ in backed)
        left = math.fsum(abs(p.delta_after_usd or 0.0) for _, p in backed if not p.is_gone)
        ratio = stress.margin_ratio(before * equity, after, gross, left)
        return PoolStress(subject, before, ratio, after)
