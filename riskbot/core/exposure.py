"""The Book as it is read: what riskbot holds, measured, by scope.

Limits, views and the gateway read a `ScopeBook`; nobody computes a notional elsewhere. The sums
are kept by `book`, tick by tick; `measures` fills in the rest, each formula of spec.md section 2
in one place: `lines`, `margins`, `pairs`, `showing`, and `navs` for the losses.
"""

from __future__ import annotations

from collections.abc import Mapping
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
class Totals:
    """What is summed up of a scope at any moment: what an order and a price tick can afford.

    The sums and legs are the Book's own, moved by later ticks.

    Attributes:
        equity_usd: real equity E; None = unknown (an account never synced).
        capital_usd: denominator of exposure ratios (`portfolio.capital`).
        unpriced: instruments held without a usable price: ratios over them are unknown.
        underlyings, sectors, groups: sums by key.
        losses, operational, day, slippage_bps: filled in where a limit of the scope reads them.
        operational: `feed_age`, `clock_offset`, `error_rate`, `order_rate`, ...
        day: `trades_per_day`, `loss_streak`.
        slippage_bps: by strategy: (worst, mean) of the day's fills, bps, worst >= 0.
        by_key: the legs by their keys.
        open_count: legs above dust.
    """

    scope: str
    now_ms: int = 0
    equity_usd: float | None = None
    capital_usd: float | None = None
    gross_usd: float = 0.0
    net_usd: float = 0.0
    stop_risk_usd: float = 0.0
    unpriced: list[str] = field(default_factory=list)
    underlyings: dict[str, Aggregate] = field(default_factory=dict)
    sectors: dict[str, Aggregate] = field(default_factory=dict)
    groups: dict[str, Aggregate] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    operational: dict[str, float | None] = field(default_factory=dict)
    day: dict[str, int] = field(default_factory=dict)
    slippage_bps: dict[str, tuple[float, float]] = field(default_factory=dict)
    by_key: Mapping[PositionKey, Leg] = field(default_factory=dict)
    open_count: int = 0

    @property
    def is_holding(self) -> bool:
        """Whether anything is held."""
        return bool(self.by_key)

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

    def _over(self, amount_usd: float, base_usd: float | None) -> float | None:
        if base_usd is None:
            return None
        if base_usd > 0:
            return amount_usd / base_usd
        return float("inf") if self.is_holding or amount_usd else 0.0


@dataclass(slots=True)
class ScopeBook(Totals):
    """Everything a limit may look at for one scope.

    Attributes:
        unlisted: coins that nobody prices: counted as nothing, and named.
        strategies: sums by strategy, with what is no strategy's.
        maintenance_margin: (subject, ratio) of the cross pools and isolated positions.
        margin_equity: by that subject, the equity its ratio is over, USD.
        stats: what price history says (`value_at_risk`, `volatility:BTC`, ...); None or absent =
            UNKNOWN; stats_reasons: why, by the name before the colon.
        stablecoins: by asset (equity_usd, price_usd, is_assumed).
        venue_equity: by venue, USD.
        signature: what is held, whatever its size: it changes when a key comes or goes.
    """

    aum_usd: float | None = None
    delta_usd: float = 0.0
    legs: list[Leg] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    strategies: dict[str, Aggregate] = field(default_factory=dict)
    venue_equity: dict[str, float] = field(default_factory=dict)
    stablecoins: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    maintenance_margin: list[tuple[str, float | None]] = field(default_factory=list)
    margin_equity: dict[str, float] = field(default_factory=dict)
    unprotected: list[str] = field(default_factory=list)
    stats: dict[str, float | None] = field(default_factory=dict)
    stats_reasons: dict[str, str] = field(default_factory=dict)
    signature: str = ""

    @property
    def is_holding(self) -> bool:
        """Whether anything is held."""
        return bool(self.legs)

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
