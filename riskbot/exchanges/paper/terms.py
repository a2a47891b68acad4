"""What the paper venue lists, and on which terms: steps, fees, leverage, margin tiers, depth.

Quantities are in the unit of `Position.quantity` throughout: base units for spot and linear
instruments, quote face value for inverse ones. Nothing here trades.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from riskbot.core.model import Instrument, InstrumentKind, Side

EIGHT_HOURS_MS = 28_800_000


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of the maintenance schedule.

    Attributes:
        up_to_usd: largest notional of this step; the last step has no end.
        rate: maintenance margin as a share of the notional that lies in this step.
        max_leverage: that may be set with a notional in this step.
    """

    up_to_usd: Decimal
    rate: Decimal
    max_leverage: int


TIERS = (
    Tier(Decimal(50_000), Decimal("0.004"), 100),
    Tier(Decimal(250_000), Decimal("0.005"), 50),
    Tier(Decimal(1_000_000), Decimal("0.01"), 20),
    Tier(Decimal("Infinity"), Decimal("0.025"), 10),
)
"""Schedule of an instrument that states none of its own."""


def maintenance_usd(tiers: tuple[Tier, ...], notional_usd: Decimal) -> Decimal:
    """Return the maintenance margin of a notional >= 0, step by step, USD."""
    total, floor = Decimal(0), Decimal(0)
    for tier in tiers:
        part = min(notional_usd, tier.up_to_usd) - floor
        if part <= 0:
            break
        total += part * tier.rate
        floor = tier.up_to_usd
    return total


def maintenance_rate(tiers: tuple[Tier, ...], notional_usd: Decimal) -> Decimal:
    """Return the rate of the step a notional >= 0 ends in: what one dollar more would add."""
    return next((tier.rate for tier in tiers if notional_usd <= tier.up_to_usd), tiers[-1].rate)


@dataclass(frozen=True, slots=True)
class Depth:
    """Shape of the synthetic book around the mark.

    Attributes:
        half_spread_bps: from the mark to the first level, in 1/10,000 of the mark.
        step_bps: from level to level.
        level_usd: value that rests on one level.
        levels: of one side.
        refill_ms: after which a level that was taken is whole again.
    """

    half_spread_bps: Decimal = Decimal("0.5")
    step_bps: Decimal = Decimal(1)
    level_usd: Decimal = Decimal(200_000)
    levels: int = 20
    refill_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument and its terms.

    Attributes:
        min_notional: in quote units.
        maker_fee, taker_fee: share of the traded value.
        funding_rate: share of the notional that longs pay shorts every 8 hours.
        liquidation_fee: share of the notional a liquidation costs on top.
        leverage: used for initial margin unless the account sets another.
    """

    symbol: str
    kind: InstrumentKind
    base: str
    quote: str
    settle: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal = Decimal(5)
    max_market_quantity: Decimal | None = None
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    funding_rate: Decimal = Decimal("0.0001")
    liquidation_fee: Decimal = Decimal("0.005")
    leverage: int = 10
    tiers: tuple[Tier, ...] = TIERS
    depth: Depth = field(default_factory=Depth)

    @property
    def is_derivative(self) -> bool:
        """Whether it is held as a position rather than as a balance."""
        return self.kind is not InstrumentKind.SPOT

    def instrument(self, account: str) -> Instrument:
        """Return it as riskbot's core knows it."""
        underlying, multiplier = fold_multiplier(self.base)
        return Instrument(
            account=account,
            symbol=self.symbol,
            underlying=underlying,
            quote=self.quote,
            settle=self.settle,
            kind=self.kind,
            contract_value=Decimal(1),
            tick=self.tick,
            step=self.step,
            min_quantity=self.min_quantity,
            min_notional=self.min_notional,
            max_market_quantity=self.max_market_quantity,
            underlying_per_base=multiplier,
        )

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the value of a quantity in quote units, signed as the quantity."""
        return quantity if self.kind is InstrumentKind.INVERSE else quantity * price

    def settled(self, notional: Decimal, price: Decimal) -> Decimal:
        """Return a value in quote units in units of the settle asset."""
        return notional / price if self.kind is InstrumentKind.INVERSE else notional

    def pnl(self, quantity: Decimal, entry: Decimal, price: Decimal) -> Decimal:
        """Return the profit of a signed quantity from entry to price, settle units."""
        if self.kind is InstrumentKind.INVERSE:
            return quantity / entry - quantity / price
        return quantity * (price - entry)


def fold_multiplier(base: str) -> tuple[str, Decimal]:
    """Return (underlying, units of it per base unit): `1000PEPE` and `SHIB1000` are 1000."""
    if base.startswith("1000") and len(base) > 4:
        return base.removeprefix("1000"), Decimal(1000)
    if base.endswith("1000") and len(base) > 4:
        return base.removesuffix("1000"), Decimal(1000)
    return base, Decimal(1)


def parse_symbol(symbol: str) -> tuple[InstrumentKind, str, str, str]:
    """Return (kind, base, quote, settle) of a unified symbol.

    Raises:
        ValueError: it is none: `BASE/QUOTE` or `BASE/QUOTE:SETTLE`.
    """
    base, slash, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    if not (base and slash and quote):
        message = f"{symbol!r} is no symbol: write BASE/QUOTE or BASE/QUOTE:SETTLE"
        raise ValueError(message)
    if not settle:
        return InstrumentKind.SPOT, base, quote, quote
    kind = InstrumentKind.INVERSE if settle == base else InstrumentKind.LINEAR
    return kind, base, quote, settle


def default_listing(symbol: str, price: Decimal) -> Listing:
    """Return usual terms for an instrument that trades around a price.

    Args:
        symbol: ccxt unified symbol.
        price: > 0, in quote units; tick and step follow from its magnitude.
    """
    kind, base, quote, settle = parse_symbol(symbol)
    magnitude = price.adjusted()
    tick = Decimal(1).scaleb(magnitude - 5)
    step = Decimal(1).scaleb(min(max(-magnitude + 1, -8), 3))
    if kind is InstrumentKind.INVERSE:
        step = Decimal(1)
    is_spot = kind is InstrumentKind.SPOT
    return Listing(
        symbol=symbol,
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        tick=tick,
        step=step,
        min_quantity=step,
        maker_fee=Decimal("0.001") if is_spot else Decimal("0.0002"),
        taker_fee=Decimal("0.001") if is_spot else Decimal("0.0005"),
        funding_rate=Decimal(0) if is_spot else Decimal("0.0001"),
    )


def on_tick(price: Decimal, side: Side, tick: Decimal) -> Decimal:
    """Round a price to the tick: bids down, asks up."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (price / tick).to_integral_value(rounding) * tick


def on_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Round a quantity >= 0 down to the step."""
    return (quantity / step).to_integral_value(ROUND_FLOOR) * step
