"""What an order makes of a scope's sums: the quick way of the limits that know no more than sums.

How it is found is `whatif`, what limits let pass is `headroom`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from riskbot.core.exposure import Leg, Totals


@dataclass(frozen=True, slots=True)
class Pool:
    """The margin that an order would draw on.

    Attributes:
        subject: the account for its cross pool, `account|symbol` for an isolated position.
        maintenance_usd: with all that works beside the order filled.
        equity_usd: what it is over.
        rate: maintenance per USD of exposure, as estimated.
        leverage: of an isolated position, which brings margin of its own; None = none does.
    """

    subject: str
    maintenance_usd: float
    equity_usd: float
    rate: float
    leverage: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What the strategy that asks for an order holds, USD; its own entries count as filled.

    Attributes:
        now, own, other: of the order's position, as in `Outlook`.
        elsewhere: gross of its other positions, >= 0.
        external: gross of what is not the strategy's, >= 0.
    """

    strategy: str
    now: float
    own: float
    other: float
    elsewhere: float
    external: float


@dataclass(slots=True)
class Outlook:
    """What a scope's sums become with all that works beside an order, and a quantity of it, filled.

    Only what the order itself moves: the sums of its position, underlying, sector and groups, and
    of the whole. USD; `x` is a quantity >= 0, unit of `Position.quantity`.

    Attributes:
        book: of the scope, as it is.
        leg: the position it is on, an empty one where there is none.
        subject: how that is named.
        sign: of the order; unit_usd, risk_usd: its exposure and its loss at the stop, per unit.
        now: signed notional of the position; own, other: what may fill of entries on it, of the
            order's side and of the other one, >= 0.
        base_gross, base_net, base_risk, base_count: of the whole, without the position, but with
            all that works elsewhere. The net is that of the order's direction.
        keyed: (gross, net) of the underlying, sectors and groups likewise, by what they are of.
        find_pool: see `pool`.
        part: what its strategy holds, None = it is no strategy's.
    """

    book: Totals
    leg: Leg
    subject: str
    sign: int
    unit_usd: float
    risk_usd: float
    now: float
    own: float
    other: float
    base_gross: float
    base_net: float
    base_risk: float
    base_count: int
    keyed: Mapping[tuple[str, str], tuple[float, float]]
    find_pool: Callable[[], Pool | None]
    part: Part | None = None

    @property
    def pool(self) -> Pool | None:
        """The margin it draws on, None = none, or not known; found where it is asked for."""
        return self.find_pool()

    def position(self, x: float) -> float:
        """Return the gross of the position at its worst, >= 0."""
        ahead = abs(self.now + self.sign * (self.own + x * self.unit_usd))
        behind = abs(self.now - self.sign * self.other)
        return ahead if ahead > behind else behind

    def shift(self, x: float) -> float:
        """Return the signed net of the position once all of the order's direction has filled."""
        return self.now + self.sign * (self.own + x * self.unit_usd)

    def gross(self, x: float) -> float:
        """Return the gross of the whole, >= 0."""
        return self.base_gross + self.position(x)

    def net(self, x: float) -> float:
        """Return the signed net of the whole."""
        return self.base_net + self.shift(x)

    def keyed_gross(self, kind: str, key: str, x: float) -> float:
        """Return the gross of a key that the order moves, >= 0."""
        return self.keyed[kind, key][0] + self.position(x)

    def keyed_net(self, kind: str, key: str, x: float) -> float:
        """Return the signed net of a key that the order moves."""
        return self.keyed[kind, key][1] + self.shift(x)

    def risk(self, x: float) -> float:
        """Return what is lost if every stop is hit, >= 0."""
        return self.base_risk + x * self.risk_usd

    def count(self, x: float) -> int:
        """Return how many positions are open above dust."""
        is_open = not self.leg.is_dust or self.own > 0 or self.other > 0 or x > 0
        return self.base_count + is_open

    def margin(self, pool: Pool, x: float) -> float:
        """Return maintenance margin over equity, >= 0; inf where no equity is left."""
        growth = self.position(x) - abs(self.now)
        equity = pool.equity_usd + (growth / pool.leverage if pool.leverage else 0.0)
        maintenance = max(pool.maintenance_usd + pool.rate * growth, 0.0)
        return maintenance / equity if equity > 0 else float("inf")

    def share_of(self, part: Part, x: float) -> float:
        """Return the strategy's share in the total gross, which counts as E at least: 0 to 1.

        Else the first order in an empty book would be all of it.
        """
        ahead = abs(part.now + self.sign * (part.own + x * self.unit_usd))
        gross = part.elsewhere + max(ahead, abs(part.now - self.sign * part.other))
        whole = max(part.external + gross, self.book.capital_usd or 0.0)
        return gross / whole if whole > 0 else 0.0
