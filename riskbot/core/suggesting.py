"""The smallest trades that bring a scenario's loss inside a limit. Advice only: nothing is sent.

They close what loses most per dollar traded, and only what no hedge within its underlying needs; a
scenario applied to the Book after them says what they come to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from riskbot.core.assets import STABLECOINS
from riskbot.core.exposure import Leg, ScopeBook
from riskbot.core.model import InstrumentKind, PositionKey, Side
from riskbot.core.rounding import ceil_to_step, floor_to_step
from riskbot.core.scenarios import Scenario
from riskbot.core.stressed import Inputs, PositionStress, StressResult
from riskbot.core.stressing import apply

ROUNDS = 12
"""So often trades are added: what a joint move takes from each position changes with the others."""

_TINY = 1e-9
_INSIDE = 1e-6


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade that is advised.

    Attributes:
        quantity: > 0, unit of `Position.quantity`, on the venue's step.
        turnover_usd: its notional, an option's by delta.
        saves_usd: of the scenario's loss.
    """

    key: PositionKey
    side: Side
    quantity: Decimal
    turnover_usd: float
    saves_usd: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What could be done about a scenario.

    Attributes:
        allowed: largest loss as a share of E.
        before, after: loss now, and after the trades, as shares of E; None = unknown.
        trades: the largest first; none where none is needed or would help.
        is_enough: the loss after is within what is allowed.
        note: why there is no more to suggest; empty = it is enough.
    """

    scenario: str
    allowed: float
    before: float | None
    after: float | None
    trades: tuple[Trade, ...]
    is_enough: bool
    note: str = ""

    @property
    def turnover_usd(self) -> float:
        """Of all trades."""
        return math.fsum(trade.turnover_usd for trade in self.trades)


def suggest(
    scenario: Scenario, book: ScopeBook, allowed: float, inputs: Inputs | None = None
) -> Suggestion:
    """Find the smallest trades that bring a scenario's loss inside a limit.

    Args:
        scenario: what happens.
        book: of one scope, as it is now.
        allowed: largest loss as a share of E, > 0: the `max` of `stress_loss`.
        inputs: what else is known.
    """
    inputs = inputs if inputs is not None else Inputs()
    first = result = apply(scenario, book, inputs)
    if first.share is None:
        return _ended(first, result, allowed, (), first.unknown[0])
    closed: dict[PositionKey, Decimal] = {}
    rounds = 0
    while rounds < ROUNDS and _excess(result, allowed) > 0:
        # What was not hit at once is aimed at a little inside.
        aim = allowed * (1 - _INSIDE) if rounds else allowed
        if not _add(book, result, closed, _excess(result, aim)):
            break
        result = apply(scenario, _reduced(book, closed), _inputs(inputs, book, closed))
        rounds += 1
    trades = _trades(book, first, closed)
    note = "" if _excess(result, allowed) <= 0 else _why_not(trades)
    return _ended(first, result, allowed, trades, note)


def _ended(
    first: StressResult,
    last: StressResult,
    allowed: float,
    trades: tuple[Trade, ...],
    note: str,
) -> Suggestion:
    name = first.scenario.name
    return Suggestion(name, allowed, first.loss_share, last.loss_share, trades, not note, note)


def _why_not(trades: Sequence[Trade]) -> str:
    if trades:
        return "what may be closed and hedges nothing is not enough"
    return "nothing that loses may be closed without taking a hedge apart"


def _excess(result: StressResult, allowed: float) -> float:
    """Return how many USD of loss are too many; all of it where there is no equity."""
    loss = -(result.pnl_usd or 0.0)
    return loss - allowed * max(result.equity_before_usd or 0.0, 0.0) * (1 + _TINY)


def _add(
    book: ScopeBook, result: StressResult, closed: dict[PositionKey, Decimal], excess: float
) -> bool:
    """Add trades to what is closed until they save the excess; False = there are none."""
    left = _unhedged(book, result)
    rows = zip(book.legs, result.moves.positions, strict=True)
    scored = [(_saves(result.scenario, leg, p), leg, p) for leg, p in rows if leg.is_closable]
    # What hedges a loss elsewhere gains, so it never stands among them.
    losers = [row for row in scored if row[0] > 0]
    losers.sort(key=lambda row: (-row[0], row[1].key))
    is_added = False
    for saves, leg, position in losers:
        if excess <= 0:
            break
        unit = _unit_usd(leg)
        room = max(
            left.get(leg.underlying, 0.0) * math.copysign(1.0, position.delta_usd or 0.0), 0.0
        )
        most = _closable(leg, closed.get(leg.key, Decimal(0)), room / unit)
        quantity = _rounded(leg, excess / (saves * unit), most)
        if quantity <= 0:
            continue
        closed[leg.key] = closed.get(leg.key, Decimal(0)) + quantity
        traded = float(quantity) * unit
        left[leg.underlying] -= math.copysign(traded, position.delta_usd or 0.0)
        excess -= traded * saves
        is_added = True
    return is_added


def _saves(scenario: Scenario, leg: Leg, position: PositionStress) -> float:
    """Return the loss that a dollar closed of it saves; <= 0 for what gains."""
    if not position.delta_usd or position.pnl_usd is None:
        return 0.0
    # Coins sold are cash, which may lose its peg.
    peg = scenario.depeg.get(leg.instrument.quote, 0.0) if leg.is_spot else 0.0
    return (peg * position.delta_usd - position.pnl_usd) / abs(position.delta_usd)


def _unhedged(book: ScopeBook, result: StressResult) -> dict[str, float]:
    """Return the net delta of each underlying, USD: no more of it may be closed."""
    net: dict[str, float] = {}
    for position in result.moves.positions:
        net[position.underlying] = net.get(position.underlying, 0.0) + (position.delta_usd or 0.0)
    return net


def _native(leg: Leg) -> float:
    """Return the quantity of a leg, >= 0, unit of `Position.quantity`."""
    if leg.instrument.kind is InstrumentKind.INVERSE:
        return abs(leg.notional_usd or 0.0)
    return abs(leg.quantity)


def _unit_usd(leg: Leg) -> float:
    """Return the USD of delta in a unit of `Position.quantity`, > 0 where there is any."""
    native = _native(leg)
    return abs(leg.delta_usd or 0.0) / native if native else 0.0


def _closable(leg: Leg, closed: Decimal, room: float) -> Decimal:
    """Return how much more of a leg may be closed, on its step."""
    most = min(Decimal(repr(leg.closable_quantity)) - closed, Decimal(repr(room * (1 + _TINY))))
    return floor_to_step(max(most, Decimal(0)), leg.instrument.step)


def _rounded(leg: Leg, wanted: float, most: Decimal) -> Decimal:
    """Return a quantity on the step, up, that the venue takes; 0 where there is none."""
    instrument = leg.instrument
    least = instrument.min_quantity
    if instrument.min_notional and leg.mark_usd and instrument.kind is not InstrumentKind.INVERSE:
        least = max(least, instrument.min_notional / Decimal(repr(leg.mark_usd)))
    quantity = min(max(Decimal(repr(wanted)), least), most)
    quantity = min(ceil_to_step(quantity, instrument.step), most)
    return quantity if quantity >= least else Decimal(0)


# ---------------------------------------------------------------- the Book after the trades


def _reduced(book: ScopeBook, closed: Mapping[PositionKey, Decimal]) -> ScopeBook:
    """Return a Book with parts of its legs closed at their marks; equity stays."""
    legs = [_part(leg, closed.get(leg.key, Decimal(0))) for leg in book.legs]
    return replace(book, legs=legs, stablecoins=_paid(book, _proceeds(book.legs, closed)))


def _inputs(inputs: Inputs, book: ScopeBook, closed: Mapping[PositionKey, Decimal]) -> Inputs:
    accounts = {}
    for name, one in inputs.accounts.items():
        mine = _proceeds((leg for leg in book.legs if leg.key.account == name), closed)
        accounts[name] = replace(one, stablecoins=_paid(one, mine))
    return replace(inputs, accounts=accounts)


def _part(leg: Leg, closed: Decimal) -> Leg:
    share = 1 - float(closed) / _native(leg) if closed else 1.0

    def of(amount: float | None) -> float | None:
        return None if amount is None else amount * share

    return replace(
        leg,
        quantity=leg.quantity * share,
        notional_usd=of(leg.notional_usd),
        delta_usd=of(leg.delta_usd),
        unrealized_pnl_usd=of(leg.unrealized_pnl_usd),
        risk_usd=of(leg.risk_usd),
        gamma_usd=of(leg.gamma_usd),
    )


def _proceeds(legs: Iterable[Leg], closed: Mapping[PositionKey, Decimal]) -> dict[str, float]:
    """Return what selling coins brings in, USD by the coin it is paid in."""
    made: dict[str, float] = {}
    for leg in legs:
        if leg.is_spot and leg.key in closed:
            usd = float(closed[leg.key]) * _unit_usd(leg) * math.copysign(1.0, leg.quantity)
            made[leg.instrument.quote] = made.get(leg.instrument.quote, 0.0) + usd
    return made


def _paid(book: ScopeBook, made: Mapping[str, float]) -> dict[str, tuple[float, float, bool]]:
    coins = dict(book.stablecoins)
    for coin, usd in made.items():
        if coin in STABLECOINS:
            held, price, is_assumed = coins.get(coin, (0.0, 1.0, True))
            coins[coin] = (held + usd, price, is_assumed)
    return coins


def _trades(
    book: ScopeBook, first: StressResult, closed: Mapping[PositionKey, Decimal]
) -> tuple[Trade, ...]:
    found = []
    for leg, position in zip(book.legs, first.moves.positions, strict=True):
        quantity = closed.get(leg.key, Decimal(0))
        if quantity:
            turnover = float(quantity) * _unit_usd(leg)
            side = Side.SELL if leg.quantity > 0 else Side.BUY
            saves = turnover * _saves(first.scenario, leg, position)
            found.append(Trade(leg.key, side, quantity, turnover, saves))
    return tuple(sorted(found, key=lambda trade: (-trade.turnover_usd, trade.key)))
