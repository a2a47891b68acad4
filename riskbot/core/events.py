"""What happened: facts that enter the engine, past tense, journaled as they are.

What riskbot decides lives in `actions`. Times inside events are the venue's (`venue_ms`); the
time riskbot saw an event is the `now_ms` handed to the engine with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from riskbot.core.histories import DailySeries, Study
from riskbot.core.model import (
    Actor,
    Balance,
    Instrument,
    LedgerKind,
    MarginReport,
    OrderStatus,
    Position,
    PositionSide,
    RejectReason,
    Side,
    TradingState,
    WorkingOrder,
)
from riskbot.core.ordering import OrderRequest

# ---------------------------------------------------------------- the process itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The daemon came up: journal folded, nothing connected yet.

    Attributes:
        version: riskbot's version.
        config_hash: hash of the effective configuration, secrets excluded.
        halt_file: `<state_dir>/HALT` exists.
    """

    version: str
    config_hash: str
    halt_file: bool = False
    kind: Literal["Started"] = "Started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """SIGTERM was received: no new risk from here on."""

    kind: Literal["Stopping"] = "Stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A deadline of the engine, or the second's tick, is due."""

    kind: Literal["TimerFired"] = "TimerFired"


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltFileSeen:
    """`kill` wrote `<state_dir>/HALT` while the daemon runs."""

    reason: str = ""
    kind: Literal["HaltFileSeen"] = "HaltFileSeen"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFailed:
    """The journal could not be written. `error` is one line without secrets."""

    error: str
    kind: Literal["StorageFailed"] = "StorageFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRestored:
    """The journal takes writes again."""

    kind: Literal["StorageRestored"] = "StorageRestored"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFaulted:
    """An event broke the engine and was quarantined; the engine was rebuilt from the journal."""

    event_kind: str
    error: str
    kind: Literal["EngineFaulted"] = "EngineFaulted"


# ---------------------------------------------------------------- feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentsLoaded:
    """The venue's list of instruments was (re)read: those held, ordered, hedged or configured."""

    account: str
    instruments: tuple[Instrument, ...]
    kind: Literal["InstrumentsLoaded"] = "InstrumentsLoaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshotReceived:
    """A complete REST read of one account: replaces positions, balances and orders.

    Attributes:
        request_id: id of the `RefreshAccount` it answers, None for a routine read.
        as_of_ms: UTC ms when the read began (stream events seen before it are superseded).
        venue_ms: the venue's own time of the read, None = not stated.
        positions: derivatives only; spot coins come as balances.
        orders: plain and conditional working orders; None = that read failed, keep the known.
        is_hedge_mode: both sides are positions of their own; None = not stated.
        duration_ms: how long the read took.
    """

    account: str
    as_of_ms: int
    balances: tuple[Balance, ...]
    positions: tuple[Position, ...]
    orders: tuple[WorkingOrder, ...] | None
    margin: MarginReport = field(default_factory=MarginReport)
    is_hedge_mode: bool | None = None
    request_id: int | None = None
    venue_ms: int | None = None
    duration_ms: int = 0
    kind: Literal["AccountSnapshotReceived"] = "AccountSnapshotReceived"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshFailed:
    """A REST read of an account failed: what was known stays, nothing becomes zero."""

    account: str
    reason: RejectReason
    message: str
    request_id: int | None = None
    retry_after_ms: int | None = None
    kind: Literal["RefreshFailed"] = "RefreshFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsUpdated:
    """The stream changed some positions; those not named stay as they are."""

    account: str
    positions: tuple[Position, ...]
    venue_ms: int | None = None
    kind: Literal["PositionsUpdated"] = "PositionsUpdated"


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancesUpdated:
    """The stream changed some balances; those not named stay as they are."""

    account: str
    balances: tuple[Balance, ...]
    venue_ms: int | None = None
    kind: Literal["BalancesUpdated"] = "BalancesUpdated"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdated:
    """The stream told of an order, anyone's: new, changed, or final."""

    account: str
    order: WorkingOrder
    venue_ms: int | None = None
    kind: Literal["OrderUpdated"] = "OrderUpdated"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled:
    """A fill, anyone's. `trade_id` makes it idempotent.

    Attributes:
        quantity: > 0, unit of `Position.quantity`.
        price: quote units per base unit.
        fee: cost in `fee_asset` units, > 0 = paid, < 0 = rebate.
    """

    account: str
    symbol: str
    trade_id: str
    order_id: str
    client_order_id: str | None
    side: Side
    quantity: Decimal
    price: Decimal
    position_side: PositionSide = PositionSide.NET
    fee: Decimal = Decimal(0)
    fee_asset: str | None = None
    venue_ms: int | None = None
    kind: Literal["OrderFilled"] = "OrderFilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesUpdated:
    """Prices of one instrument on one account's venue, in quote units; None = not in this frame.

    Attributes:
        is_rest: read over REST rather than pushed, or without any price in it: it does not show
            that prices flow.
        venue_ms: the venue's time of the price, None = not stated.
        delta, gamma, vega: greeks of one unit of an option's quantity: delta in underlying units
            per unit (-1 to 1); gamma the change of delta per 1 quote unit that the underlying
            moves; vega USD per point (0.01) of implied volatility. Black-Scholes, of the value in
            money: what an option paid in coin owes to the coin's own price is in its collateral.
        funding_rate: of a perpetual, share of the notional that longs pay shorts at the next
            settlement; < 0 = shorts pay.
        funding_interval_h: hours between two settlements, > 0.
        next_funding_ms: when the next one is, UTC ms.
    """

    account: str
    symbol: str
    mark: float | None = None
    index: float | None = None
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    bid_quantity: float | None = None
    ask_quantity: float | None = None
    venue_ms: int | None = None
    is_rest: bool = False
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    funding_rate: float | None = None
    funding_interval_h: float | None = None
    next_funding_ms: int | None = None
    kind: Literal["PricesUpdated"] = "PricesUpdated"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthRead:
    """An order book was read: what rests within 1 % behind its touch, as far as the venue shows.

    Attributes:
        bid_quantity: what sells meet, >= 0, unit of `Position.quantity`.
        ask_quantity: what buys meet.
    """

    account: str
    symbol: str
    bid_quantity: Decimal
    ask_quantity: Decimal
    kind: Literal["DepthRead"] = "DepthRead"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceHistoryRead:
    """Daily price history was read: replaces what was known of each underlying it names."""

    series: tuple[DailySeries, ...]
    kind: Literal["PriceHistoryRead"] = "PriceHistoryRead"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAnalyzed:
    """Slow statistics of books as they were.

    Attributes:
        request_id: of the `AnalyzeRisk` that asked.
        as_of_ms: when the books were so, UTC ms.
        groups: underlyings that move together, each group and the groups in alphabetical order.
    """

    request_id: int
    as_of_ms: int
    studies: tuple[Study, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    kind: Literal["RiskAnalyzed"] = "RiskAnalyzed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPriced:
    """A price in USD of an asset held as cash or collateral (stablecoin, fiat, coin).

    `source` says whose: `venue` (index, usdValue) or `market:<account>:<symbol>`.
    """

    account: str
    asset: str
    price_usd: float
    source: str
    kind: Literal["AssetPriced"] = "AssetPriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAlive:
    """A feed gave a sign of life although nothing changed (pong, heartbeat, agreeing REST read)."""

    account: str
    feed: str
    symbol: str | None = None
    kind: Literal["FeedAlive"] = "FeedAlive"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLost:
    """A feed's socket broke, or its own clocks found it stale.

    Attributes:
        feed: `prices`, `account`.
        symbol: for one instrument only.
    """

    account: str
    feed: str
    reason: str
    symbol: str | None = None
    kind: Literal["FeedLost"] = "FeedLost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMeasured:
    """The venue's clock was compared: offset = local - venue at half the round trip, in ms."""

    account: str
    offset_ms: int
    round_trip_ms: int
    kind: Literal["ClockMeasured"] = "ClockMeasured"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntryBooked:
    """A row of the venue's ledger (deposit, funding, ...). `entry_id` makes it idempotent.

    Attributes:
        amount: in asset units, > 0 = credited to the account.
        symbol: the instrument it was booked for; None = none, or not stated.
    """

    account: str
    entry_id: str
    entry_kind: LedgerKind
    asset: str
    amount: Decimal
    venue_ms: int
    symbol: str | None = None
    kind: Literal["LedgerEntryBooked"] = "LedgerEntryBooked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRightsChecked:
    """What an API key may do. None = the venue does not say.

    Attributes:
        expires_ms: when the venue lets the key lapse.
    """

    account: str
    can_trade: bool | None
    can_withdraw: bool | None
    can_transfer: bool | None
    has_ip_list: bool | None
    expires_ms: int | None = None
    kind: Literal["KeyRightsChecked"] = "KeyRightsChecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsLimited:
    """The venue asked to wait until then (None: not now); how much of its limit is used."""

    account: str
    used_ratio: float
    until_ms: int | None = None
    detail: str = ""
    kind: Literal["RequestsLimited"] = "RequestsLimited"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadManChanged:
    """The venue confirmed (or not) the state of its dead-man's switch."""

    account: str
    is_armed: bool
    detail: str
    until_ms: int | None = None
    kind: Literal["DeadManChanged"] = "DeadManChanged"


# ---------------------------------------------------------------- outcomes of actions


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted:
    """The venue took an order of riskbot's."""

    account: str
    symbol: str
    client_order_id: str
    order_id: str
    status: OrderStatus = OrderStatus.OPEN
    filled: Decimal = Decimal(0)
    average: Decimal | None = None
    kind: Literal["OrderAccepted"] = "OrderAccepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """The venue refused an order of riskbot's, for certain: it does not exist there."""

    account: str
    symbol: str
    client_order_id: str
    reason: RejectReason
    message: str = ""
    retry_after_ms: int | None = None
    kind: Literal["OrderRejected"] = "OrderRejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOutcomeUnknown:
    """No answer that settles it: the order may live. Never sent again; queried instead."""

    account: str
    symbol: str
    client_order_id: str
    message: str = ""
    kind: Literal["OrderOutcomeUnknown"] = "OrderOutcomeUnknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderQueried:
    """Answer to `QueryOrder`.

    Attributes:
        found: True with `order`, False = the venue knows no such id (open, closed or in trades),
            None = the query itself failed.
    """

    account: str
    symbol: str
    client_order_id: str
    found: bool | None
    order: WorkingOrder | None = None
    message: str = ""
    kind: Literal["OrderQueried"] = "OrderQueried"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelFinished:
    """Answer to `CancelOrder`.

    Attributes:
        done: True = gone (canceled now, or already final), False = refused, None = unknown.
    """

    account: str
    symbol: str
    order_id: str
    done: bool | None
    reason: RejectReason | None = None
    message: str = ""
    kind: Literal["CancelFinished"] = "CancelFinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginMoved:
    """Answer to `AddMargin`.

    Attributes:
        done: True = the venue took it, False = refused for certain, None = unknown.
    """

    account: str
    symbol: str
    move_id: str
    done: bool | None
    message: str = ""
    kind: Literal["MarginMoved"] = "MarginMoved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDelivered:
    """A channel took an alert.

    Attributes:
        is_held: nobody hears of it yet: everyone it goes to has quiet hours. It says nothing
            about whether the channel works.
    """

    alert_id: str
    channel: str
    revision: int
    is_held: bool = False
    kind: Literal["AlertDelivered"] = "AlertDelivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDeliveryFailed:
    """A channel gave up on an alert."""

    alert_id: str
    channel: str
    revision: int
    error: str
    is_permanent: bool = False
    kind: Literal["AlertDeliveryFailed"] = "AlertDeliveryFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendChanged:
    """A door or a supervised process came up or went away (`telegram`, `http`, `mqtt`).

    Attributes:
        is_slow: up, but its answers take so long that people should know; `detail` has figures.
        is_contested: somebody else uses its credentials.
    """

    name: str
    is_up: bool
    detail: str = ""
    is_slow: bool = False
    is_contested: bool = False
    kind: Literal["FrontendChanged"] = "FrontendChanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTold:
    """How telling a strategy its trading state stands (`via` freqtrade or webhook).

    Attributes:
        confirmed: what it was seen to obey, None = not yet, or it stands otherwise of its own.
        error: why it could not be told, empty = it could.
        is_lost: it has failed for so long, or so clearly, that people should know.
    """

    name: str
    via: str
    scope: str
    wanted: TradingState
    confirmed: TradingState | None = None
    detail: str = ""
    error: str = ""
    is_lost: bool = False
    kind: Literal["StrategyTold"] = "StrategyTold"


# ---------------------------------------------------------------- the gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequested:
    """A strategy asks whether an order may go, or has riskbot place it.

    Attributes:
        request_id: unique per process and door; the reply carries it back.
        fingerprint: of the body; the same client id with another one is refused.
    """

    request_id: str
    order: OrderRequest
    fingerprint: str = ""
    kind: Literal["OrderRequested"] = "OrderRequested"


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendRequested:
    """A strategy wants an order of its own changed; what is None stays.

    Attributes:
        quantity: of the whole order, what has filled included, > 0.
        price: limit price in quote units.
    """

    request_id: str
    strategy: str
    client_order_id: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    kind: Literal["AmendRequested"] = "AmendRequested"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """A strategy wants an order of its own gone."""

    request_id: str
    strategy: str
    client_order_id: str
    kind: Literal["CancelRequested"] = "CancelRequested"


# ---------------------------------------------------------------- people


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReceived:
    """Someone asked for something at a door that knows who they are.

    Attributes:
        request_id: unique per process and door; the `Reply` carries it back.
        args: JSON values by name, as the command's model takes them.
        asked_ms: when the person asked (message date), None = now.
        factor_step: time step of the one-time code that came along and fits, None = none did.
        is_factor_wrong: a code came along and does not fit.
    """

    request_id: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)
    actor: Actor
    asked_ms: int | None = None
    factor_step: int | None = None
    is_factor_wrong: bool = False
    kind: Literal["CommandReceived"] = "CommandReceived"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRefused:
    """A door turned away what claimed to be a command; `actor` is who it claimed to be from."""

    actor: Actor
    reason: str
    kind: Literal["CommandRefused"] = "CommandRefused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRead:
    """Somebody asked for a reload, and the configuration file was read: nothing is changed yet.

    Attributes:
        faults: sentences; with any, nothing of the file counts.
        config_hash: of what was read.
        limits: (scope, name, fields) of every limit that is on in it, as its model takes them.
        users: (door, name, role) of who may command once it is applied.
        applies: what else can be applied as it stands there, in words.
        restart: what differs and needs a restart, in words.
    """

    faults: tuple[str, ...] = ()
    config_hash: str = ""
    limits: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    users: tuple[tuple[str, str, str], ...] = ()
    applies: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    kind: Literal["ConfigRead"] = "ConfigRead"


Event = (
    Started
    | Stopping
    | TimerFired
    | HaltFileSeen
    | StorageFailed
    | StorageRestored
    | EngineFaulted
    | InstrumentsLoaded
    | AccountSnapshotReceived
    | RefreshFailed
    | PositionsUpdated
    | BalancesUpdated
    | OrderUpdated
    | OrderFilled
    | PricesUpdated
    | DepthRead
    | PriceHistoryRead
    | RiskAnalyzed
    | AssetPriced
    | FeedAlive
    | FeedLost
    | ClockMeasured
    | LedgerEntryBooked
    | KeyRightsChecked
    | DeadManChanged
    | RequestsLimited
    | OrderAccepted
    | OrderRejected
    | OrderOutcomeUnknown
    | OrderQueried
    | CancelFinished
    | MarginMoved
    | AlertDelivered
    | AlertDeliveryFailed
    | FrontendChanged
    | StrategyTold
    | OrderRequested
    | AmendRequested
    | CancelRequested
    | CommandReceived
    | CommandRefused
    | ConfigRead
)
"""Everything that can enter the engine."""
