"""What a scenario did to a Book, as plain values: positions, cash, margin, liquidations, limits.

Nothing is computed here but sums; who computes is `impacts`, `stressing` and `aftermath`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from riskbot.core.exposure import ScopeBook
from riskbot.core.limits._base import NO_EQUITY, position_subject
from riskbot.core.model import PositionKey
from riskbot.core.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a scenario may need beside the Book.

    Attributes:
        volatilities: per day, as fractions, by underlying.
        funding: rate of the next 24 h as a share of notional, by (account, symbol); > 0: longs pay.
        spreads: (ask - bid) / mid, by (account, symbol).
        prices: USD per unit, by underlying; only options need them, where nothing else is held.
        accounts: Book of each account, by name: what of a portfolio's cash is where.
        has_fixed_capital: ratios are over a capital that a loss does not touch.
    """

    volatilities: Mapping[str, float] = field(default_factory=dict)
    funding: Mapping[tuple[str, str], float] = field(default_factory=dict)
    spreads: Mapping[tuple[str, str], float] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)
    accounts: Mapping[str, ScopeBook] = field(default_factory=dict)
    has_fixed_capital: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One cause of a position's PnL.

    Attributes:
        cause: `price`, `stop`, `spread`, `funding`.
        usd: > 0 a gain, None = unknown.
        words: how it comes about, or why it is unknown.
    """

    cause: str
    usd: float | None
    words: str


@dataclass(frozen=True, slots=True)
class PositionStress:
    """What a scenario does to one position, and from what.

    Attributes:
        quantity, mark_usd, delta_usd: now, as the Book has them.
        shock: of the underlying's USD price, None = unknown.
        origin: key of the scenario the shock comes from; empty = none.
        quote_shock: of what its price is quoted in.
        move: of the price in its quote; None = unknown.
        parts: of the PnL.
        pnl_usd: their sum, None = unknown.
        delta_after_usd: None = unknown.
        is_gone: it exists no more: stopped out, or its venue is lost.
        notes: what should be known of the figure.
    """

    key: PositionKey
    underlying: str
    quantity: float
    mark_usd: float | None
    delta_usd: float | None
    shock: float | None
    origin: str
    quote_shock: float
    move: float | None
    parts: tuple[Part, ...]
    pnl_usd: float | None
    delta_after_usd: float | None
    is_gone: bool = False
    notes: tuple[str, ...] = ()

    @property
    def price_pnl_usd(self) -> float:
        """What the price alone makes; 0 while unknown."""
        return next((p.usd or 0.0 for p in self.parts if p.cause == "price"), 0.0)

    @property
    def reason(self) -> str:
        """Why its PnL is unknown; empty = it is known."""
        return next((part.words for part in self.parts if part.usd is None), "")


@dataclass(frozen=True, slots=True)
class CashStress:
    """What happens to one stablecoin of an account, or to everything at a lost venue.

    Attributes:
        account: whose; empty = of all together, or of a venue.
        name: the coin, or the venue.
        value_usd: now.
        pnl_usd: None = unknown.
    """

    account: str
    name: str
    value_usd: float
    shock: float
    pnl_usd: float | None
    words: str


@dataclass(frozen=True, slots=True)
class PoolStress:
    """Margin of one pool before and after: maintenance over equity, 1 = liquidation.

    Attributes:
        subject: as in `ScopeBook.maintenance_margin`.
        before, after: None = unknown; inf = positions without equity.
        equity_after_usd: None = unknown.
        reason: why it is unknown.
    """

    subject: str
    before: float | None
    after: float | None
    equity_after_usd: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Moves:
    """A scenario over a Book, before it is judged.

    Attributes:
        positions: as the Book's legs.
        venue: that is lost, None = none.
        is_split: what of the cash is where is known.
    """

    scenario: Scenario
    positions: tuple[PositionStress, ...]
    cash: tuple[CashStress, ...]
    pools: tuple[PoolStress, ...]
    venue: str | None = None
    is_split: bool = True

    @property
    def pnl_usd(self) -> float | None:
        """In all, None = unknown."""
        parts = [p.pnl_usd for p in self.positions] + [c.pnl_usd for c in self.cash]
        known = [part for part in parts if part is not None]
        return math.fsum(known) if len(known) == len(parts) else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Why it is unknown: what, and the reason."""
        told = [f"{position_subject(p.key)}: {p.reason}" for p in self.positions if p.reason]
        told += [f"{c.name}: {c.words}" for c in self.cash if c.pnl_usd is None]
        return tuple(dict.fromkeys(told))


@dataclass(frozen=True, slots=True)
class Liquidated:
    """A position that would be liquidated. `reason`: `price`, `margin` (of its pool), or both."""

    key: PositionKey
    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that would be broken.

    Attributes:
        key: what of it, as in a verdict.
        before: measured now, None = unknown.
        after: measured after the move.
        was_broken: it is broken now already.
    """

    limit: str
    key: str
    before: float | None
    after: float
    allowed: float
    was_broken: bool


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A limit of which nobody can say whether it would be broken, and why."""

    limit: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class StressResult:
    """All that a scenario does to one scope.

    Attributes:
        moves: of positions, cash and pools.
        pnl_usd: > 0 a gain; None = unknown, see `unknown`.
        share: loss as a share of E, < 0 a gain; inf = a loss without equity; None = unknown.
        equity_before_usd: None = unknown.
        equity_after_usd: None = unknown.
        liquidated: by price or margin.
        broken: limits, worst first.
        unjudged: limits that nobody can judge after the move.
        after: the Book after the move; None = it is not known.
    """

    scenario: Scenario
    scope: str
    moves: Moves
    pnl_usd: float | None
    share: float | None
    equity_before_usd: float | None
    equity_after_usd: float | None
    liquidated: tuple[Liquidated, ...]
    broken: tuple[Broken, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    after: ScopeBook | None = None

    @property
    def loss_share(self) -> float | None:
        """Loss as a share of E, >= 0: the reading of `stress_loss`; None = unknown."""
        return None if self.share is None else max(self.share, 0.0)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is unknown, and why."""
        told = self.moves.unknown
        return told if self.equity_before_usd is not None else (*told, NO_EQUITY)
