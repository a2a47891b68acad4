"""What the core must be told before it can measure and decide: plain, checked values.

The YAML file and its faults live in `config`; nothing here reads a file or guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from riskbot.core.limits._base import Limit
from riskbot.core.model import Mode, Role
from riskbot.core.scenarios import Scenario

SpotPolicy = Literal["hold", "trade"]
"""Whether spot coins are only measured (`hold`) or may be sold by a close (`trade`)."""

CapitalBasis = Literal["equity", "aum", "fixed"]
"""Denominator of exposure ratios: real equity, equity plus `off_exchange`, or `capital_usd`."""

StartupBreach = Literal["ask", "act"]
"""What a breach that stands at first contact does: wait for the operator, or act."""

FlattenFactor = Literal["never", "unless_red", "always"]
"""When a flatten asks for a one-time code: never, always, or while nothing is red."""

DeadManPolicy = Literal["off", "entries_only", "all"]
"""When the venue's dead-man's switch is armed."""


@dataclass(frozen=True, slots=True)
class DeadManSettings:
    """Dead-man's switch of one account. `timeout_s` is what the venue is told."""

    policy: DeadManPolicy = "off"
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Checks of a single order at the gateway. None = off.

    Attributes:
        max_trade: share of E an order alone may be worth.
        max_trade_risk: share of E between price and stop.
        max_correlation: of an order's returns with those of the book it is added to, signed.
        target_volatility: annualised; new risk in what is wilder is scaled down to it.
        price_collar: share a limit price may be away from the mark.
        max_order_value: USD.
        max_order_quantity: by instrument symbol, unit of `Position.quantity`.
        order_rate: orders per minute.
        duplicate_window_s: likeness window, 0 = off (client ids are always checked).
        require_stop: deny an entry without a stop.
        max_repeats: entries of one strategy, instrument and side within `repeat_window_s`; one
            more disables the strategy until a person lets it trade.
        max_losing_trips: losing round trips in a row that disable a strategy likewise.
    """

    max_trade: float | None = 0.10
    max_trade_risk: float | None = 0.02
    max_correlation: float | None = 0.8
    target_volatility: float | None = None
    price_collar: float | None = 0.03
    max_order_value: float | None = None
    max_order_quantity: Mapping[str, float] = field(default_factory=dict)
    order_rate: float | None = 60.0
    duplicate_window_s: float = 0.0
    require_stop: bool = False
    max_repeats: int | None = None
    repeat_window_s: float = 60.0
    max_losing_trips: int | None = None


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One account as the core sees it (keys and connection details stay outside).

    Attributes:
        exchange: ccxt.pro id, or `paper`; the venue as counterparty.
        spot: whether its spot coins may be sold.
        instruments: allow-list of symbols; empty = all the venue lists.
        exclusive: every order must come through riskbot; only then rogue flow is judged.
        deny_by_cancel: cancel entries that appear while they are denied.
        cancel_rogue: cancel orders that match no approval (needs `exclusive`).
    """

    exchange: str
    spot: SpotPolicy = "hold"
    instruments: tuple[str, ...] = ()
    exclusive: bool = False
    deny_by_cancel: bool = False
    cancel_rogue: bool = False
    dead_man: DeadManSettings = DeadManSettings()
    orders: OrderRules = OrderRules()


@dataclass(frozen=True, slots=True)
class StrategySettings:
    """One strategy at the gateway.

    Attributes:
        accounts: where it may trade.
        capital_usd: its E; None = none given, then it has no ratio limits.
        probation: rules that count beside its `orders` until somebody takes them out of the
            configuration; None = it has been promoted.
    """

    accounts: tuple[str, ...] = ()
    capital_usd: float | None = None
    orders: OrderRules = OrderRules()
    probation: OrderRules | None = None


@dataclass(frozen=True, slots=True)
class HedgeSettings:
    """Where one underlying is hedged.

    Attributes:
        account, instrument: of the hedge.
        max_usd: largest absolute notional of the hedge.
        beta: it may hedge other underlyings too, weighted by beta.
    """

    account: str
    instrument: str
    max_usd: float
    beta: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may command at a door, as the configuration lists them.

    Attributes:
        door: `telegram`, `mqtt`, `http`, `ctl`.
        name: numeric user id, name of a sender or of a token.
    """

    door: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class PairLeg:
    """One leg of a configured pair: an instrument of an account (a coin's spot: its symbol)."""

    account: str
    instrument: str


@dataclass(frozen=True, slots=True)
class PairSettings:
    """A hedged pair the configuration names; its instruments are left out of automatic pairing."""

    name: str
    legs: tuple[PairLeg, ...]


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """How closely things are watched.

    Attributes:
        price_move: share a held instrument's price moves before an exposure row is recorded.
        price_stale_s: age past which a price is no source (BLIND(price)).
        account_stale_s: silence past which an account is BLIND.
        reconcile_s: routine REST read of an account while exposed.
        dust_usd: positions worth less are dust where the instrument states no minimum.
    """

    price_move: float = 0.02
    price_stale_s: float = 5.0
    account_stale_s: float = 15.0
    reconcile_s: float = 10.0
    dust_usd: float = 5.0


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Everything the core is configured by.

    Attributes:
        instance: name of this riskbot, in texts.
        timezone: IANA name; days and weeks (Monday) start at its midnight.
        startup_breach: what a breach standing at first contact does.
        capital: denominator of the portfolio's exposure ratios.
        capital_usd: that denominator under `fixed`, else None.
        off_exchange_usd: AUM outside the venues, USD.
        off_exchange_assets: the same in asset units, valued at the asset's price.
        sectors: sector by underlying (shipped map with the user's own over it); an underlying
            that is missing is a sector of its own.
        groups: members (underlyings) by group name.
        pairs: configured hedged pairs; the rest pair up by themselves.
        hedges: by underlying.
        assume_stop: share the price is assumed to run against an unprotected position.
        gross_floor: share of E below which `underlying_concentration` does not shrink its base.
        peak_usd: high-water mark before installation, None = first sample.
        initial_capital_usd: capital at the very start (seeds `max_drawdown`), None = first sample.
        clear_for_s: time below the clearing level before an unlatched hold drops.
        max_depth_share: share of visible depth one closing slice may take.
        has_factor: one-time codes are configured: the riskiest commands ask for one.
        flatten_factor: when a flatten asks for one, too.
        limits: (scope, limit) of every limit that is on, presets resolved.
        scenarios: stress scenarios, each followed by that of its extremes.
        users: who may command, by door.
        channels: names of the channels that alerts go to.
    """

    accounts: Mapping[str, AccountSettings]
    instance: str = "riskbot"
    mode: Mode = Mode.SHADOW
    timezone: str = "UTC"
    startup_breach: StartupBreach = "ask"
    capital: CapitalBasis = "equity"
    capital_usd: float | None = None
    off_exchange_usd: float = 0.0
    off_exchange_assets: Mapping[str, float] = field(default_factory=dict)
    sectors: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pairs: tuple[PairSettings, ...] = ()
    hedges: Mapping[str, HedgeSettings] = field(default_factory=dict)
    strategies: Mapping[str, StrategySettings] = field(default_factory=dict)
    assume_stop: float = 0.10
    gross_floor: float = 1.0
    peak_usd: float | None = None
    initial_capital_usd: float | None = None
    orders: OrderRules = OrderRules()
    monitor: MonitorSettings = MonitorSettings()
    clear_for_s: float = 300.0
    max_depth_share: float = 0.25
    has_factor: bool = False
    flatten_factor: FlattenFactor = "never"
    limits: tuple[tuple[str, Limit], ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    users: tuple[User, ...] = ()
    channels: tuple[str, ...] = ()

    def telling(self, channels: Iterable[str]) -> CoreSettings:
        """Return the settings with the names of the channels that alerts go to."""
        return replace(self, channels=tuple(channels))
