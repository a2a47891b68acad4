"""Nouns of the core: what an account, an instrument, a position and an order are.

What happened to them lives in `events`, what to do about them in `actions`; nothing here decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

PORTFOLIO = "portfolio"
"""The scope that spans all accounts; the others read `account:<name>` and `strategy:<name>`."""

OPTION_ENDS = ("-C", "-P")
"""How the symbol of an option ends: a call, a put."""

DIGEST = "digest"
"""Name of the daily digest, which is told like an alert but is none: only who asks for it hears."""


def account_scope(account: str) -> str:
    """Return the scope string of one account."""
    return f"account:{account}"


def strategy_scope(strategy: str) -> str:
    """Return the scope string of one strategy."""
    return f"strategy:{strategy}"


def scope_account(scope: str) -> str | None:
    """Return the account a scope names, None for the portfolio and for strategies."""
    kind, _, name = scope.partition(":")
    return name if kind == "account" else None


class Mode(StrEnum):
    """Whether riskbot's own decisions bind: shadow decides and says so, enforce acts."""

    SHADOW = "shadow"
    ENFORCE = "enforce"


class TradingState(StrEnum):
    """Public trading state of a scope; the strictest of its holds wins."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    @property
    def rank(self) -> int:
        """Strictness, 0 for ACTIVE to 2 for HALTED."""
        return ("ACTIVE", "REDUCING", "HALTED").index(self.value)


class Level(StrEnum):
    """Level of a verdict. UNKNOWN ranks above the warnings and below a breach."""

    OK = "ok"
    YELLOW = "yellow"
    ORANGE = "orange"
    UNKNOWN = "unknown"
    RED = "red"

    @property
    def rank(self) -> int:
        """Severity, 0 for OK to 4 for RED."""
        return _RANKS[self]


_RANKS = {level: rank for rank, level in enumerate(Level)}


class Response(StrEnum):
    """What a limit does on breach, weakest first."""

    ALERT = "alert"
    DENY = "deny"
    CANCEL = "cancel"
    HALT = "halt"
    HEDGE = "hedge"
    REDUCE = "reduce"
    FLATTEN = "flatten"


class Role(StrEnum):
    """Who may command what, weakest first."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Power, 0 for a viewer to 2 for an admin."""
        return ("viewer", "operator", "admin").index(self.value)


class InstrumentKind(StrEnum):
    """How an instrument's quantity turns into exposure."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"
    OPTION = "option"


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class PositionSide(StrEnum):
    """Which position of an instrument: `net` in one-way mode, else the hedge-mode leg."""

    NET = "net"
    LONG = "long"
    SHORT = "short"


class OrderType(StrEnum):
    """Type of an order; conditional orders carry a trigger price beside it."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long an order rests."""

    GTC = "gtc"
    IOC = "ioc"


class OrderStatus(StrEnum):
    """Life of an order at the venue."""

    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether the venue will change this order no more."""
        return self is not OrderStatus.OPEN


class RejectReason(StrEnum):
    """Why a venue refused a request: a closed set, one per next step of the ladder."""

    REDUCE_ONLY = "REDUCE_ONLY_REJECTED"
    MIN_NOTIONAL = "BELOW_MINIMUM"
    PRECISION = "PRECISION"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    RATE_LIMITED = "RATE_LIMITED"
    MAINTENANCE = "VENUE_MAINTENANCE"
    ORDER_TYPE = "ORDER_TYPE_REFUSED"
    PRICE_BAND = "PRICE_BAND"
    DUPLICATE_ID = "DUPLICATE_CLIENT_ID"
    UNKNOWN_INSTRUMENT = "UNKNOWN_INSTRUMENT"
    POSITION_MODE = "POSITION_MODE"
    AUTHENTICATION = "AUTHENTICATION"
    CLOCK = "CLOCK"
    NOT_FOUND = "NOT_FOUND"
    HALT_FILE = "HALT_FILE"
    UNREACHABLE = "UNREACHABLE"
    OTHER = "OTHER"


class PriceSource(StrEnum):
    """Where a price comes from. REST is a re-read over another connection than the stream."""

    MARK = "mark"
    INDEX = "index"
    BOOK = "book"
    LAST = "last"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable thing on one account's venue, as riskbot needs it to measure and to close.

    Attributes:
        account: account whose venue lists it.
        symbol: ccxt unified symbol, e.g. `BTC/USDT:USDT`.
        underlying: risk key, multiplier folded (`1000PEPE` -> `PEPE`).
        quote: asset prices are quoted in.
        settle: asset PnL is paid in; the quote for spot.
        kind: how quantity turns into exposure.
        contract_value: base units per contract (linear, option) or quote units per contract
            (inverse); 1 for spot.
        tick: price step in quote units.
        step: quantity step, same unit as `Position.quantity`.
        min_quantity: smallest order, same unit; 0 = none known.
        min_notional: smallest order value in quote units; 0 = none known.
        max_market_quantity: largest market order, same unit; None = none known.
        underlying_per_base: units of `underlying` per base unit (1000 for `1000PEPE`).
        is_active: False when the venue says it is delisted, settled or paused.
        expiry_ms: when a dated contract or an option ends, UTC ms; None = it does not, or the
            venue does not say.
    """

    account: str
    symbol: str
    underlying: str
    quote: str
    settle: str
    kind: InstrumentKind
    contract_value: Decimal
    tick: Decimal
    step: Decimal
    min_quantity: Decimal = Decimal(0)
    min_notional: Decimal = Decimal(0)
    max_market_quantity: Decimal | None = None
    underlying_per_base: Decimal = Decimal(1)
    is_active: bool = True
    expiry_ms: int | None = None


class PositionKey(NamedTuple):
    """Identity of a position: account, instrument, side."""

    account: str
    symbol: str
    side: PositionSide


@dataclass(frozen=True, slots=True)
class Position:
    """One position as the venue reports it.

    Attributes:
        quantity: signed, long > 0. Base units; for an inverse instrument quote units (face
            value), which is exact and free of the price: `exposure` turns it into base units.
        entry_price: average entry in quote units, None = unknown.
        venue_mark: mark price the venue stated with it, None = not stated.
        unrealized_pnl: in settle units as the venue states it, None = not stated.
        liquidation_price: in quote units, None = none or not stated.
        leverage: as set at the venue, None = not stated.
        is_isolated: margin of its own.
        maintenance_margin: in settle units, None = not stated.
        initial_margin: in settle units, None = not stated.
        isolated_margin: margin that belongs to an isolated position incl. its PnL, settle units.
        locked: quantity that cannot be sold (spot locked in orders elsewhere, earn), >= 0.
        delta, gamma, vega: of one unit of an option, as in `events.PricesUpdated`; they count
            only where the feed of prices tells none.
    """

    account: str
    symbol: str
    side: PositionSide
    quantity: Decimal
    entry_price: Decimal | None = None
    venue_mark: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    liquidation_price: Decimal | None = None
    leverage: float | None = None
    is_isolated: bool = False
    maintenance_margin: Decimal | None = None
    initial_margin: Decimal | None = None
    isolated_margin: Decimal | None = None
    locked: Decimal = Decimal(0)
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None

    @property
    def key(self) -> PositionKey:
        """Identity of the position."""
        return PositionKey(self.account, self.symbol, self.side)


@dataclass(frozen=True, slots=True)
class Balance:
    """Wallet balance of one asset, without unrealized PnL of derivatives.

    Attributes:
        total: in asset units; negative = borrowed.
        free: what an order or a transfer may use now; None = not stated.
        price_usd: the venue's own index price of the asset; None = not stated.
    """

    asset: str
    total: Decimal
    free: Decimal | None = None
    price_usd: float | None = None


@dataclass(frozen=True, slots=True)
class MarginReport:
    """What the venue itself says of an account's cross pool, in USD. None = not stated."""

    equity_usd: float | None = None
    maintenance_usd: float | None = None
    initial_usd: float | None = None
    available_usd: float | None = None


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order at the venue, plain or conditional.

    Attributes:
        order_id: the venue's id.
        client_order_id: id given at creation as the venue shows it, mapped back to ours.
        quantity: original, > 0, unit of `Position.quantity`.
        filled: of it, >= 0.
        price: limit price, None for market.
        stop_price: trigger price of a conditional order.
        close_position: closes whatever is there when it triggers and carries no quantity.
        is_conditional: rests in the venue's trigger/algo service (cancelled by a second pass).
    """

    account: str
    symbol: str
    order_id: str
    client_order_id: str | None
    side: Side
    type: OrderType
    quantity: Decimal
    filled: Decimal = Decimal(0)
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    close_position: bool = False
    position_side: PositionSide = PositionSide.NET
    is_conditional: bool = False
    status: OrderStatus = OrderStatus.OPEN
    created_ms: int = 0
    average: Decimal | None = None

    @property
    def remaining(self) -> Decimal:
        """Quantity still to fill, >= 0."""
        return max(self.quantity - self.filled, Decimal(0))


class LedgerKind(StrEnum):
    """What a row of the venue's ledger books. The first three are flows, the rest is PnL."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    TRANSFER = "transfer"
    FUNDING = "funding"
    FEE = "fee"
    REALIZED = "realized"
    LIQUIDATION = "liquidation"
    OTHER = "other"

    @property
    def is_flow(self) -> bool:
        """Whether the row moves units rather than NAV."""
        return self in {LedgerKind.DEPOSIT, LedgerKind.WITHDRAWAL, LedgerKind.TRANSFER}


class BlindKind(StrEnum):
    """What riskbot cannot see or do; blocks new risk, never closes."""

    ACCOUNT = "account"
    PRICE = "price"
    CLOCK = "clock"
    STORAGE = "storage"
    ALERTS = "alerts"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked: `ctl`, `telegram:123`, `http:operator`, with the role the door granted."""

    name: str
    role: Role
    door: str
