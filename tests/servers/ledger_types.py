"""Nouns and events of a venue's ledger: instruments, orders, positions, fills, transfers.

No behavior lives here beyond arithmetic on one record; `ledger.py` holds the rules.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

ZERO = Decimal(0)
ONE = Decimal(1)

Kind = Literal["linear", "inverse", "spot"]
Side = Literal["buy", "sell"]
PositionSide = Literal["both", "long", "short"]
OrderType = Literal["market", "limit"]
TimeInForce = Literal["GTC", "IOC", "FOK", "POST"]
Trigger = Literal["mark", "last", "index"]
Direction = Literal["above", "below"]
Status = Literal[
    "untriggered",
    "triggered",
    "new",
    "partially_filled",
    "filled",
    "canceled",
    "expired",
    "rejected",
]

OPEN_STATUSES = frozenset({"untriggered", "new", "partially_filled"})


class VenueError(Exception):
    """A refusal by the venue, under a venue-neutral name that each skin maps to its own code.

    Attributes:
        code: one of the names used by `Ledger.place`, `cancel` and `amend`.
        detail: words for a person.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


@dataclass(slots=True)
class Instrument:
    """A tradable thing.

    Attributes:
        id: the venue's own name, such as BTCUSDT or BTC-USDT-SWAP.
        kind: linear (settled in quote), inverse (settled in base) or spot.
        tick: price increment, quote per base.
        step: quantity increment, in base (contracts for inverse).
        min_quantity: in base (contracts for inverse).
        min_notional: in quote; zero where the venue has none.
        contract_size: base per contract for linear (skins convert), quote per contract for inverse.
        mmr: maintenance margin rate, a fraction of notional.
        max_leverage: highest leverage the venue lets an account choose.
        expiry_ms: delivery time, or None for perpetuals and spot.
        tiers: (notional floor, maintenance rate), ascending, the first floor zero; each rate
            counts for the notional above its floor. Empty: mmr throughout.
    """

    id: str
    base: str
    quote: str
    settle: str
    kind: Kind = "linear"
    tick: Decimal = Decimal("0.1")
    step: Decimal = Decimal("0.001")
    min_quantity: Decimal = Decimal("0.001")
    min_notional: Decimal = ZERO
    contract_size: Decimal = ONE
    mmr: Decimal = Decimal("0.004")
    max_leverage: int = 125
    expiry_ms: int | None = None
    max_quantity: Decimal = Decimal(1000000)
    tiers: tuple[tuple[Decimal, Decimal], ...] = ()

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return abs notional in the settle asset of a signed quantity at a price."""
        if self.kind == "inverse":
            return abs(quantity) * self.contract_size / price
        return abs(quantity) * price

    def maintenance(self, notional: Decimal) -> Decimal:
        """Return the maintenance margin of an abs notional, both in the settle asset."""
        if not self.tiers:
            return notional * self.mmr
        total, below = ZERO, ZERO
        for floor, rate in self.tiers:
            if notional <= floor:
                break
            total += (notional - floor) * (rate - below)
            below = rate
        return total

    def quote_value(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return abs notional in the quote asset, whatever the instrument settles in."""
        if self.kind == "inverse":
            return abs(quantity) * self.contract_size
        return abs(quantity) * price

    def pnl(self, quantity: Decimal, entry: Decimal, exit_price: Decimal) -> Decimal:
        """Return the profit in the settle asset of a signed quantity between two prices."""
        if self.kind == "inverse":
            return quantity * self.contract_size * (ONE / entry - ONE / exit_price)
        return quantity * (exit_price - entry)


@dataclass(slots=True)
class Position:
    """What one account holds of one instrument on one side.

    Attributes:
        quantity: signed, long > 0, base units (contracts for inverse).
        entry: average entry price, zero when flat.
        realized: profit realized since the position was opened, in the settle asset.
        isolated_margin: wallet set aside in the settle asset, or None for cross margin.
    """

    instrument: str
    side: PositionSide
    quantity: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    isolated_margin: Decimal | None = None
    created_ms: int = 0
    updated_ms: int = 0


@dataclass(slots=True)
class Order:
    """An order, plain or conditional; also what a skin hands to `Ledger.place`.

    Attributes:
        side: buy or sell.
        quantity: base units (contracts for inverse), > 0; zero only with close_position.
        price: limit price; None for market.
        stop_price: trigger price of a conditional order.
        trigger_direction: whether the trigger fires at or above, or at or below, stop_price.
        callback_rate: trailing distance as a fraction, for trailing stops.
        activate_price: price a trailing stop waits for before it follows; None once reached.
        conditional: whether it waits for a trigger.
        parent_id: the conditional order this one came from, where the venue spawns a new order.
        child_id: the order a triggered conditional order became.
        origin: user, liquidation or adl.
        meta: whatever the skin wants to give back unchanged (its own type names, flags).
    """

    instrument: str
    side: Side
    quantity: Decimal = ZERO
    type: OrderType = "market"
    price: Decimal | None = None
    client_id: str = ""
    id: str = ""
    position_side: PositionSide = "both"
    stop_price: Decimal | None = None
    trigger_by: Trigger = "last"
    trigger_direction: Direction | None = None
    callback_rate: Decimal | None = None
    activate_price: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    conditional: bool = False
    status: Status = "new"
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    parent_id: str = ""
    child_id: str = ""
    origin: Literal["user", "liquidation", "adl"] = "user"
    reason: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def remaining(self) -> Decimal:
        """Quantity not yet filled."""
        return self.quantity - self.filled

    @property
    def average(self) -> Decimal:
        """Average fill price, zero before the first fill."""
        return self.filled_value / self.filled if self.filled else ZERO

    @property
    def is_open(self) -> bool:
        """Whether it still waits for a trigger or a fill."""
        return self.status in OPEN_STATUSES

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self.side == "buy" else -1

    def copy(self) -> Order:
        """Return a snapshot that later changes do not touch."""
        return dataclasses.replace(self, meta=dict(self.meta))


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution.

    Attributes:
        quantity: > 0, base units (contracts for inverse).
        fee: > 0 is paid, in fee_asset.
        realized: profit realized by it, in the settle asset.
    """

    id: str
    order_id: str
    client_id: str
    instrument: str
    side: Side
    position_side: PositionSide
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    realized: Decimal
    is_maker: bool
    time_ms: int


TransferKind = Literal[
    "deposit", "withdraw", "funding", "commission", "realized_pnl", "insurance", "trade"
]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One row of the account's money ledger; amount is signed, > 0 is received."""

    id: str
    kind: TransferKind
    asset: str
    amount: Decimal
    time_ms: int
    instrument: str = ""
    ref: str = ""
    balance_after: Decimal = ZERO


# ---- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order was accepted, filled, amended, triggered or ended; `order` is a snapshot.

    Attributes:
        reason: new, fill, canceled, amended, triggered or expired.
        fill: the execution when reason is fill.
    """

    order: Order
    reason: str
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """An execution happened; comes before the OrderChanged of the same fill."""

    fill: Fill
    order: Order


@dataclass(frozen=True, slots=True)
class PositionChanged:
    """A position's quantity, entry or margin changed; `position` is a snapshot (flat included)."""

    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class BalanceChanged:
    """A wallet balance changed by `change` to `balance`."""

    asset: str
    balance: Decimal
    change: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """All balances and positions one cause changed, once, after their single events."""

    reason: str
    balances: tuple[BalanceChanged, ...]
    positions: tuple[PositionChanged, ...]


@dataclass(frozen=True, slots=True)
class MarkChanged:
    """A new price of an instrument, for everybody."""

    instrument: str
    mark: Decimal
    index: Decimal
    bid: Decimal
    ask: Decimal


@dataclass(frozen=True, slots=True)
class LedgerBooked:
    """A row was added to the money ledger."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class LeverageChanged:
    """The account chose another leverage for an instrument."""

    instrument: str
    leverage: int


Event = (
    OrderChanged
    | Filled
    | PositionChanged
    | BalanceChanged
    | AccountChanged
    | MarkChanged
    | LedgerBooked
    | LeverageChanged
)
