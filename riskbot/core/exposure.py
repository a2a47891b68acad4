"""The Book as it is read: what riskbot holds, measured, by scope.

Limits, views and the gateway read a `ScopeBook`; nobody computes a notional elsewhere. The sums
are kept by `book`, tick by tick; `measures` fills in the rest, each formula of spec.md section 2
in one place: `lines`, `margins`, `pairs`, `showing`, and `navs` for the losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from riskbot.core.model import Instrument, PositionKey


@dataclass(slots=True)
class Leg:
    """One position (or spot coin balance) measured.

    Attributes:
        quantity: signed base units (inverse already converted at its mark).
        mark_usd: USD per base unit; None = unknown, then every `*_usd` is None too.
        notional_usd: signed; an option's is delta-weighted in exposure sums.
        is_estimated: re-marked while its account is BLIND.
        closable_quantity: how much of it may be closed now, >= 0, unit of `Position.quantity`.
        is_closable: riskbot may close it (not `hold`, locked or inactive), else `kept_reason`.
        gamma: of an option, of the whole position: change of its delta, in units of the underlying,
            per 1 quote unit that the underlying moves; signed like `quantity`. None = unknown.
        vega: of the whole position, USD per point (0.01) of implied volatility.
        gamma_usd: of the whole position, gamma * price of the underlying squared: a move of r
            (0.1 = 10 %) makes about `delta_usd * r + gamma_usd * r * r / 2`.
        unit_usd: of an option, USD that what one unit of its quantity is of is worth; None =
            unknown, or not asked for.
        stop: trigger price of the nearest resting reduce-only stop that covers it; None = none.
        risk_usd: abs(mark - stop) * abs(quantity), with `assume_stop` where there is none.
    """

    key: PositionKey
    instrument: Instrument
    venue: str
    underlying: str
    sector: str
    groups: tuple[str, ...]
    quantity: float
    mark_usd: float | None
    notional_usd: float | None
    delta_usd: float | None
    entry: float | None = None
    unrealized_pnl_usd: float | None = None
    leverage: float | None = None
    stop: float | None = None
    risk_usd: float | None = None
    liquidation_price: float | None = None
    liquidation_distance: float | None = None
    is_closable: bool = True
    kept_reason: str = ""
    is_estimated: bool = False
    is_spot: bool = False
    is_dust: bool = False
    gamma: float | None = None
    vega: float | None = None
    gamma_usd: float | None = None
    unit_usd: float | None = None
    strategy: str | None = None
    closable_quantity: float = 0.0
    is_unlisted: bool = False


@dataclass(slots=True)
class Aggregate:
    """Running sums of one key, USD. `gross` >= 0, `net` signed."""

    gross: float = 0.0
    net: float = 0.0

    @property
    def delta(self) -> float:
        """Signed delta: options count in `net` by theirs."""
        return self.net


@dataclass(slots=True)
class Pair:
    """A hedged pair: opposite positions of one underlying.

    Attributes:
        keys: of all legs, what is hedged first.
        quantity: matched, base units, the smaller of the two; 0 between options alone.
        drift: abs(1 + hedge delta / hedged delta).
        hedged, hedge: keys of either side.
    """

    name: str
    underlying: str
    keys: tuple[PositionKey, ...]
    quantity: float
    hedged_delta_usd: float
    hedge_delta_usd: float
    drift: float | None
    hedged: tuple[PositionKey, ...] = ()
    hedge: tuple[PositionKey, ...] = ()

    @property
    def matched_usd(self) -> float:
        """Delta of the smaller side, USD, >= 0; 0 where both point the same way."""
        if self.hedged_delta_usd * self.hedge_delta_usd >= 0:
            return 0.0
        return min(abs(self.hedged_delta_usd), abs(self.hedge_delta_usd))

    @property
    def ratio(self) -> float | None:
        """Hedge ratio: what is hedged of each dollar of delta, 1 = all; None = nothing to hedge."""
        return -self.hedge_delta_usd / self.hedged_delta_usd if self.hedged_delta_usd else None


@dataclass(slots=True)
class Losses:
    """Loss measures of a scope as shares (0.03 = 3 %), >= 0 a loss; None = unknown.

    Enforcement basis (after a re-base by `resume`); `true_*` keep the real peak for reports.
    """

    nav: float | None = None
    drawdown: float | None = None
    max_drawdown: float | None = None
    weekly_drawdown: float | None = None
    daily_loss: float | None = None
    weekly_loss: float | None = None
    rolling_loss_24h: float | None = None
    rolling_loss_7d: float | None = None
    true_drawdown: float | None = None
    true_max_drawdown: float | None = None
    daily_pnl_usd: float | None = None
    peak_nav: float | None = None


@dataclass(slots=True)
class ScopeBook:
    """Everything a limit may look at for one scope.

    Attributes:
        equity_usd: real equity E; None = unknown (an account never synced).
        capital_usd: denominator of exposure ratios (`portfolio.capital`).
        unpriced: instruments held without a usable price: ratios over them are unknown.
        unlisted: coins that nobody prices: counted as nothing, and named.
        underlyings, sectors, groups, strategies, venues: sums by key.
        maintenance_margin: (subject, ratio) of the cross pools and isolated positions.
        margin_equity: by that subject, the equity its ratio is over, USD.
        stats: what price history says (`value_at_risk`, `volatility:BTC`, ...); None or absent =
            UNKNOWN; stats_reasons: why, by the name before the colon.
        operational: `feed_age`, `clock_offset`, `error_rate`, `order_rate`, ...
        day: `trades_per_day`, `loss_streak`.
        slippage_bps: by strategy: (worst, mean) of the day's fills, bps, worst >= 0.
        stablecoins: by asset (equity_usd, price_usd, is_assumed).
        venue_equity: by venue, USD.
        signature: what is held, whatever its size: it changes when a key comes or goes.
        by_key: the legs by their keys.
        open_count: legs above dust.
    """

    scope: str
    now_ms: int = 0
    equity_usd: float | None = None
    capital_usd: float | None = None
    aum_usd: float | None = None
    gross_usd: float = 0.0
    net_usd: float = 0.0
    delta_usd: float = 0.0
    legs: list[Leg] = field(default_factory=list)
    unpriced: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    underlyings: dict[str, Aggregate] = field(default_factory=dict)
    sectors: dict[str, Aggregate] = field(default_factory=dict)
    groups: dict[str, Aggregate] = field(default_factory=dict)
    strategies: dict[str, Aggregate] = field(default_factory=dict)
    venue_equity: dict[str, float] = field(default_factory=dict)
    stablecoins: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    maintenance_margin: list[tuple[str, float | None]] = field(default_factory=list)
    margin_equity: dict[str, float] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    stop_risk_usd: float = 0.0
    unprotected: list[str] = field(default_factory=list)
    stats: dict[str, float | None] = field(default_factory=dict)
    stats_reasons: dict[str, str] = field(default_factory=dict)
    operational: dict[str, float | None] = field(default_factory=dict)
    day: dict[str, int] = field(default_factory=dict)
    slippage_bps: dict[str, tuple[float, float]] = field(default_factory=dict)
    signature: str = ""
    by_key: Mapping[PositionKey, Leg] = field(default_factory=dict)
    open_count: int = 0

    def ratio(self, amount_usd: float) -> float | None:
        """Return amount over the capital of the scope.

        Returns:
            None while equity or a price is unknown; 0 for no amount; inf when capital <= 0.
        """
        return None if self.unpriced else self.share(amount_usd)

    def share(self, amount_usd: float) -> float | None:
        """Return amount over the capital of the scope, whatever else is unpriced.

        Returns:
            None while equity is unknown; with capital <= 0 inf if positions exist, else 0.
        """
        return self._over(amount_usd, self.capital_usd)

    def equity_ratio(self, amount_usd: float) -> float | None:
        """Return amount over real equity; None and inf as `share` does, None while unpriced."""
        return None if self.unpriced else self._over(amount_usd, self.equity_usd)

    def equity_share(self, amount_usd: float) -> float | None:
        """Return amount over real equity, whatever is unpriced."""
        return self._over(amount_usd, self.equity_usd)

    def aum_share(self, amount_usd: float) -> float | None:
        """Return amount over AUM (equity plus `off_exchange`)."""
        return self._over(amount_usd, self.aum_usd)

    def unpriced_keys(self, attribute: Literal["underlying", "sector", "groups"]) -> list[str]:
        """Return the underlyings, sectors or groups that hold something without a price, once."""
        keys: dict[str, None] = {}
        for leg in self.legs if self.unpriced else ():
            if leg.notional_usd is None and not leg.is_unlisted:
                value = getattr(leg, attribute)
                keys |= dict.fromkeys(value if attribute == "groups" else (value,))
        return [*keys]

    def _over(self, amount_usd: float, base_usd: float | None) -> float | None:
        if base_usd is None:
            return None
        if base_usd > 0:
            return amount_usd / base_usd
        return float("inf") if self.legs or amount_usd else 0.0


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

    book: ScopeBook
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
