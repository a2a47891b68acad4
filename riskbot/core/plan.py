"""From "be flat", "be at target", "be hedged" to targets per position key.

Targets are signed quantities in the unit of `Position.quantity`, never across zero from the
present. How they become orders is `sizing`; when they are sent is `campaign`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.core.duty import Target
from riskbot.core.exposure import Leg, Pair, ScopeBook
from riskbot.core.limits._base import Limit
from riskbot.core.model import Instrument, InstrumentKind, PositionKey
from riskbot.core.pairs import is_option, sides
from riskbot.core.rounding import ceil_to_step, floor_to_step
from riskbot.core.settings import HedgeSettings

USD_TOLERANCE = 0.01
COST_ALLOWANCE = 0.003
"""How far below its target a reduce aims: fees and slippage lower equity while it closes, and a
measure that ends a hair above the target would never clear the hold."""

PAIR_NOTE = "hedges "
"""How the note of a leg begins that is kept for the other leg of its pair."""

_Weight = Callable[["_Virtual"], float]
"""What a closed dollar of a leg takes off the measure."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken limit a plan must answer.

    Attributes:
        key: key in breach (underlying, sector, account subject, `+`/`-`), empty for the scope.
        measured: its figure now, in the measure's unit.
        target: where to stop, as a share of the limit; None = the limit's own.
    """

    scope: str
    limit: Limit
    key: str
    measured: float
    target: float | None = None

    @property
    def wanted(self) -> float:
        """What the measure is to come down to, in its unit."""
        share = self.limit.target if self.target is None else self.target
        return self.limit.allowed * share


@dataclass(slots=True)
class _Virtual:
    """A leg while a plan is made: what of its notional is still there, and what is matched."""

    leg: Leg
    quantity: Decimal
    closable: Decimal
    left_usd: float
    matched_usd: float = 0.0

    @property
    def key(self) -> PositionKey:
        return self.leg.key

    @property
    def free_usd(self) -> float:
        """What may be closed of it without touching a hedge, USD, >= 0."""
        return max(min(abs(self.left_usd) - self.matched_usd, self.closable_usd), 0.0)

    @property
    def closable_usd(self) -> float:
        start = abs(self.leg.notional_usd or 0.0)
        if not self.quantity or not self.leg.is_closable:
            return 0.0
        gone = start - abs(self.left_usd)
        return max(start * float(self.closable / abs(self.quantity)) - gone, 0.0)

    def close(self, usd: float) -> float:
        """Take up to `usd` off the leg and return what was taken."""
        taken = min(usd, abs(self.left_usd), self.closable_usd)
        self.left_usd -= taken if self.left_usd > 0 else -taken
        return taken


@dataclass(slots=True)
class Holdings:
    """Native quantities beside the Book's legs: what is held, and what of it can be closed.

    Attributes:
        quantity: signed, by position key.
        closable: >= 0, by position key (spot: the free balance).
    """

    quantity: Mapping[PositionKey, Decimal]
    closable: Mapping[PositionKey, Decimal]
    instruments: Mapping[PositionKey, Instrument] = field(default_factory=dict)


# ---------------------------------------------------------------- flatten


def flatten_targets(
    book: ScopeBook, holdings: Holdings, accounts: Iterable[str], symbol: str | None = None
) -> tuple[Target, ...]:
    """Return a target for every leg of these accounts: zero, or kept with its reason.

    A pair of which one leg cannot be closed keeps the matched quantity of both: to close one
    side of a hedge alone would open the risk it was there to cancel.

    With `symbol`, only this instrument and the other legs of its pair.
    """
    wanted = set(accounts)
    kept = _kept_by_pairs(book, wanted)
    legs = [leg for leg in book.legs if leg.key.account in wanted]
    if symbol is not None:
        legs = _with_partners(book.pairs, legs, symbol)
    legs.sort(key=lambda leg: -abs(leg.risk_usd or leg.notional_usd or 0.0))
    return tuple(_flat_target(leg, holdings, kept.get(leg.key)) for leg in legs)


def _with_partners(pairs: list[Pair], legs: list[Leg], symbol: str) -> list[Leg]:
    keys = {leg.key for leg in legs if leg.key.symbol == symbol}
    for pair in pairs:
        if keys & set(pair.keys):
            keys |= set(pair.keys)
    return [leg for leg in legs if leg.key in keys]


def _kept_by_pairs(book: ScopeBook, accounts: set[str]) -> dict[PositionKey, tuple[float, str]]:
    """Return base units kept, and why, of every leg whose partner cannot be closed.

    What a stuck leg matches stays on the other side, spread over that side's legs by size.
    """
    legs = {leg.key: leg for leg in book.legs}
    kept: dict[PositionKey, tuple[float, str]] = {}
    for pair in book.pairs:
        both = sides(pair, legs)
        # Options match by what they move like: a quantity of theirs says nothing.
        by_delta = any(is_option(leg) for side in both for leg in side)
        most = pair.matched_usd if by_delta else pair.quantity
        for side, other in (both, both[::-1]):
            stuck = [leg for leg in side if not (leg.is_closable and leg.key.account in accounts)]
            if not stuck or not other:
                continue
            matched = min(_size(stuck, by_delta=by_delta), most)
            whole = _size(other, by_delta=by_delta)
            note = f"{PAIR_NOTE}{stuck[0].key.symbol} on {stuck[0].key.account}"
            for leg in other:
                kept[leg.key] = (matched * abs(leg.quantity) / whole, note)
    return kept


def _size(legs: Iterable[Leg], *, by_delta: bool) -> float:
    return sum(abs((leg.delta_usd or 0.0) if by_delta else leg.quantity) for leg in legs)


def _flat_target(leg: Leg, holdings: Holdings, pair_kept: tuple[float, str] | None) -> Target:
    quantity = holdings.quantity.get(leg.key, Decimal(0))
    if not leg.is_closable:
        return Target(leg.key, quantity, note=leg.kept_reason, kept=True)
    if leg.is_dust:
        return Target(leg.key, quantity, note="dust, below the venue's minimum", kept=True)
    if pair_kept is None or not leg.quantity:
        stays = abs(quantity) - holdings.closable.get(leg.key, abs(quantity))
        note = "not free at the venue" if stays > 0 else ""
        return Target(leg.key, _signed(max(stays, Decimal(0)), quantity), note=note)
    base_kept, note = pair_kept
    share = min(Decimal(repr(base_kept / abs(leg.quantity))), Decimal(1))
    # Keep at least the matched part: the remainder is rounded up to the step.
    amount = min(ceil_to_step(abs(quantity) * share, leg.instrument.step), abs(quantity))
    return Target(leg.key, _signed(amount, quantity), note=note, kept=amount == abs(quantity))


# ---------------------------------------------------------------- reduce


def reduce_targets(
    book: ScopeBook,
    holdings: Holdings,
    breaches: Iterable[Breach],
    pairs: list[Pair] | None = None,
    accounts: Collection[str] | None = None,
) -> tuple[Target, ...]:
    """Return the smallest set of closes that brings every measure to its target, jointly.

    Largest contributors first; what is matched in a hedged pair goes last and both legs
    together.

    Args:
        book: what is measured; only its legs are touched.
        holdings: native quantities of them.
        breaches: what must be answered.
        pairs: hedged pairs, the book's own if None.
        accounts: where anything can be closed now, None = everywhere.
    """
    pairs = book.pairs if pairs is None else pairs
    virtual = _virtual_legs(book, holdings, pairs, accounts)
    for breach in breaches:
        _answer(book, virtual, breach, pairs)
    targets = [_reduced(v) for v in virtual.values() if _is_touched(v)]
    targets.sort(key=lambda pair: -pair[0])
    return tuple(target for _, target in targets)


def _virtual_legs(
    book: ScopeBook,
    holdings: Holdings,
    pairs: list[Pair],
    accounts: Collection[str] | None,
) -> dict[PositionKey, _Virtual]:
    def closable(key: PositionKey) -> Decimal:
        is_reached = accounts is None or key.account in accounts
        return holdings.closable.get(key, Decimal(0)) if is_reached else Decimal(0)

    virtual = {
        leg.key: _Virtual(
            leg,
            holdings.quantity.get(leg.key, Decimal(0)),
            closable(leg.key),
            leg.notional_usd or 0.0,
        )
        for leg in book.legs
        if not leg.is_dust
    }
    legs = {key: v.leg for key, v in virtual.items()}
    for pair in pairs:
        for side in sides(pair, legs):
            whole = sum(abs(leg.notional_usd or 0.0) for leg in side)
            for leg in side:
                share = abs(leg.notional_usd or 0.0) / whole if whole else 0.0
                matched = pair.quantity * (leg.mark_usd or 0.0)
                matched = pair.matched_usd if is_option(leg) else matched
                virtual[leg.key].matched_usd += matched * share
    return virtual


def _answer(
    book: ScopeBook, virtual: dict[PositionKey, _Virtual], breach: Breach, pairs: list[Pair]
) -> None:
    legs = [v for v in virtual.values() if _concerns(breach, v)]
    if breach.limit.name == "net_exposure":
        _close_net(legs, breach, book)
        return
    weight: _Weight = _risk_weight if breach.limit.name == "stop_risk" else _unit_weight
    total = sum(abs(v.left_usd) * weight(v) for v in legs)
    excess = total - _target_usd(book, breach, legs)
    excess = _close_free(legs, excess, weight)
    if excess > USD_TOLERANCE:
        _close_pairs(pairs, virtual, legs, excess, weight)


def _unit_weight(_virtual: _Virtual) -> float:
    return 1.0


def _risk_weight(virtual: _Virtual) -> float:
    notional = abs(virtual.leg.notional_usd or 0.0)
    return (virtual.leg.risk_usd or 0.0) / notional if notional else 0.0


def _concerns(breach: Breach, virtual: _Virtual) -> bool:
    """Whether a leg contributes to the broken measure."""
    leg, key, name = virtual.leg, breach.key, breach.limit.name
    if not key or name in {"net_exposure", "gross_exposure"}:
        return True
    if name in {"maintenance_margin", "leverage"}:
        account, _, symbol = key.partition("|")
        return leg.key.account == account and symbol in {"", leg.key.symbol}
    return key in {
        leg.underlying,
        leg.sector,
        leg.key.symbol,
        f"{leg.key.account}|{leg.key.symbol}",
        f"{leg.key.account}|{leg.key.symbol}|{leg.key.side.value}",
        *leg.groups,
    }


def _target_usd(book: ScopeBook, breach: Breach, legs: list[_Virtual]) -> float:
    """Return what the summed contribution of the legs must come down to, USD."""
    wanted = breach.wanted * (1 - COST_ALLOWANCE)
    if breach.limit.name in _PROPORTIONAL:
        # Margin and statistics scale with the positions they stand on.
        present = sum(abs(v.leg.notional_usd or 0.0) for v in legs)
        return present * wanted / breach.measured if breach.measured > 0 else present
    return wanted * max(book.capital_usd or 0.0, 0.0)


_PROPORTIONAL = frozenset(
    {"maintenance_margin", "value_at_risk", "expected_shortfall", "stress_loss", "exit_cost"}
)


def _close_free(legs: list[_Virtual], excess: float, weight: _Weight) -> float:
    for virtual in sorted(legs, key=lambda v: -v.free_usd * weight(v)):
        if excess <= USD_TOLERANCE:
            return excess
        if (w := weight(virtual)) > 0:
            excess -= virtual.close(min(virtual.free_usd, excess / w)) * w
    return excess


def _close_pairs(
    pairs: list[Pair],
    virtual: dict[PositionKey, _Virtual],
    legs: list[_Virtual],
    excess: float,
    weight: _Weight,
) -> None:
    concerned = {v.key for v in legs}
    for pair in sorted(pairs, key=lambda p: -abs(p.hedged_delta_usd)):
        both = [virtual[key] for key in pair.keys if key in virtual and virtual[key].matched_usd]
        counted = sum(v.matched_usd * weight(v) for v in both if v.key in concerned)
        is_split = any(key not in virtual for key in pair.keys)
        if excess <= USD_TOLERANCE or counted <= 0 or is_split:
            # A leg out of sight cannot follow: what hedges it stays.
            continue
        # All legs shrink alike, so that what is left stays hedged.
        share = min(1.0, excess / counted, *(v.closable_usd / v.matched_usd for v in both))
        for v in both:
            amount = v.matched_usd * share
            v.close(amount)
            v.matched_usd -= amount
        excess -= share * counted


def _close_net(legs: list[_Virtual], breach: Breach, book: ScopeBook) -> None:
    net = sum(v.left_usd for v in legs)
    excess = abs(net) - breach.wanted * max(book.capital_usd or 0.0, 0.0)
    same = [v for v in legs if v.left_usd * net > 0]
    for virtual in sorted(same, key=lambda v: -v.free_usd):
        if excess <= USD_TOLERANCE:
            return
        excess -= virtual.close(min(virtual.free_usd, excess))


def _is_touched(virtual: _Virtual) -> bool:
    return abs(virtual.leg.notional_usd or 0.0) - abs(virtual.left_usd) > USD_TOLERANCE


def _reduced(virtual: _Virtual) -> tuple[float, Target]:
    """Return (USD closed, target) of a leg the plan touched."""
    start = abs(virtual.leg.notional_usd or 0.0)
    closed_usd = start - abs(virtual.left_usd)
    instrument, quantity = virtual.leg.instrument, abs(virtual.quantity)
    amount = ceil_to_step(quantity * Decimal(repr(closed_usd / start)), instrument.step)
    amount = min(amount, virtual.closable)
    left = quantity - amount
    if left > 0 and _is_below_minimum(instrument, left, virtual.leg):
        # A rest too small to be closed later is closed now.
        left = max(quantity - virtual.closable, Decimal(0))
    return closed_usd, Target(virtual.key, _signed(left, virtual.quantity))


def _is_below_minimum(instrument: Instrument, amount: Decimal, leg: Leg) -> bool:
    if amount < instrument.min_quantity:
        return True
    if not instrument.min_notional or not leg.mark_usd:
        return False
    value = float(amount)
    if instrument.kind is not InstrumentKind.INVERSE:
        value *= leg.mark_usd
    return value < float(instrument.min_notional)


# ---------------------------------------------------------------- hedge


def hedge_target(
    hedge: HedgeSettings,
    instrument: Instrument,
    mark_usd: float,
    present: Decimal,
    offset_usd: float,
    key: PositionKey,
) -> Target | None:
    """Return the hedge position that offsets a USD delta, rounded down; None = too small.

    `present` is the signed quantity of the hedge instrument now, `offset_usd` the signed delta
    the hedge must add (negative = sell). The target's notional stays within `hedge.max_usd`.
    """
    unit_usd = 1.0 if instrument.kind is InstrumentKind.INVERSE else mark_usd
    now_usd = float(present) * unit_usd
    wanted_usd = max(min(now_usd + offset_usd, hedge.max_usd), -hedge.max_usd)
    change = floor_to_step(Decimal(repr(abs(wanted_usd - now_usd) / unit_usd)), instrument.step)
    sign = 1 if wanted_usd > now_usd else -1
    too_small = float(change) * unit_usd < float(instrument.min_notional)
    if change <= 0 or change < instrument.min_quantity or too_small:
        return None
    return Target(key, present + sign * change)


def _signed(amount: Decimal, like: Decimal) -> Decimal:
    return amount if like >= 0 else -amount
