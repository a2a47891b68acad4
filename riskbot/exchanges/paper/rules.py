"""What the paper venue refuses, and why: one small check per rule, in the order they apply."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from riskbot.core.model import OrderType, PositionSide, RejectReason, Side
from riskbot.exchanges.paper.order import Order, Refusal, Request, closes_side
from riskbot.exchanges.paper.pool import Pool
from riskbot.exchanges.paper.terms import Listing, on_step

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class VenueRules:
    """Where venues differ.

    Attributes:
        price_band: share a limit price may be away from the mark.
        minimum_binds_exits: reduce-only orders must meet the minimum value too.
        reduce_only_shrinks: one that exceeds the position is cut to it; False = it is refused.
        liquidation_tells_fills: a liquidation is told as fills; False = positions change only.
        fill_share: share of a resting level that one price move may fill.
        funding_every_ms: funding interval.
    """

    price_band: Decimal = Decimal("0.05")
    minimum_binds_exits: bool = False
    reduce_only_shrinks: bool = False
    liquidation_tells_fills: bool = True
    fill_share: Decimal = Decimal(1)
    funding_every_ms: int = 28_800_000


@dataclass(frozen=True, slots=True)
class Case:
    """An order to be judged, with all it may be judged by."""

    request: Request
    listing: Listing
    mark: Decimal
    best: Decimal
    pool: Pool
    rules: VenueRules
    orders: list[Order]
    client_ids: frozenset[str] | set[str]
    is_hedge_mode: bool

    @property
    def is_exit(self) -> bool:
        """Whether its own flags make it close only."""
        return (
            self.request.reduce_only
            or self.request.close_position
            or closes_side(self.request.side, self.request.position_side)
        )

    def closable(self) -> Decimal:
        """Return what of the position resting exits have not claimed yet, >= 0."""
        key = (self.listing.symbol, self.request.position_side)
        holding = self.pool.holdings.get(key)
        if holding is None or holding.quantity * self.request.side.sign >= 0:
            return _ZERO
        claimed = sum(
            (
                o.remaining
                for o in self.orders
                if o.is_exit
                and not o.is_waiting
                and (o.request.symbol, o.request.position_side) == key
            ),
            _ZERO,
        )
        return max(abs(holding.quantity) - claimed, _ZERO)


def _no(reason: RejectReason, message: str) -> Refusal:
    return Refusal(reason, message)


def _client_id(case: Case) -> Refusal | None:
    wanted = case.request.client_order_id
    if wanted is None:
        return None
    if not _CLIENT_ID.fullmatch(wanted):
        return _no(RejectReason.OTHER, f"client order id {wanted!r} is not valid")
    if wanted in case.client_ids:
        return _no(RejectReason.DUPLICATE_ID, f"client order id {wanted} was used before")
    return None


def _mode(case: Case) -> Refusal | None:
    side = case.request.position_side
    if not case.listing.is_derivative:
        fits = side is PositionSide.NET
    else:
        fits = (side is not PositionSide.NET) == case.is_hedge_mode
    if fits:
        return None
    return _no(RejectReason.POSITION_MODE, "the order's position side does not match the mode")


def _precision(case: Case) -> Refusal | None:
    request, listing = case.request, case.listing
    if not request.close_position and on_step(request.quantity, listing.step) != request.quantity:
        return _no(RejectReason.PRECISION, f"quantity is not a multiple of {listing.step}")
    for price in (request.price, request.stop_price):
        if price is not None and (price <= 0 or price % listing.tick):
            return _no(RejectReason.PRECISION, f"price is not a multiple of {listing.tick}")
    largest = listing.max_market_quantity
    is_market = request.type is OrderType.MARKET
    if is_market and largest is not None and request.quantity > largest:
        return _no(RejectReason.PRECISION, f"quantity is above the largest market order {largest}")
    return None


def _shape(case: Case) -> Refusal | None:
    request = case.request
    if request.type is OrderType.LIMIT and request.price is None:
        return _no(RejectReason.ORDER_TYPE, "a limit order needs a price")
    if request.close_position and request.stop_price is None:
        return _no(RejectReason.ORDER_TYPE, "closePosition goes with a trigger price only")
    if request.stop_price is not None and request.stop_price == case.mark:
        return _no(RejectReason.ORDER_TYPE, "the order would trigger at once")
    if not case.listing.is_derivative and (request.reduce_only or request.close_position):
        return _no(RejectReason.ORDER_TYPE, "spot knows no reduce-only")
    return None


def _minimum(case: Case) -> Refusal | None:
    request, listing = case.request, case.listing
    if request.close_position:
        return None
    if request.quantity < listing.min_quantity or request.quantity <= 0:
        return _no(RejectReason.MIN_NOTIONAL, f"quantity is below {listing.min_quantity}")
    value = abs(listing.notional(request.quantity, request.price or case.mark))
    if case.is_exit and listing.is_derivative and not case.rules.minimum_binds_exits:
        return None
    if value < listing.min_notional:
        return _no(RejectReason.MIN_NOTIONAL, f"value is below {listing.min_notional}")
    return None


def _band(case: Case) -> Refusal | None:
    price = case.request.price
    if price is None or case.request.stop_price is not None:
        return None
    # Only what is worse than the market can hurt: a buy far above, a sell far below.
    beyond = (price / case.mark - 1) * case.request.side.sign
    if beyond > case.rules.price_band:
        return _no(RejectReason.PRICE_BAND, f"price is outside the band around {case.mark}")
    return None


def _reduce_only(case: Case) -> Refusal | None:
    request = case.request
    if not case.is_exit or request.stop_price is not None:
        return None
    closable = case.closable()
    too_much = request.quantity > closable and not case.rules.reduce_only_shrinks
    if closable <= 0 or too_much:
        return _no(RejectReason.REDUCE_ONLY, f"reduce-only: {closable} can be closed")
    return None


def _margin(case: Case) -> Refusal | None:
    request, listing = case.request, case.listing
    if not listing.is_derivative or case.is_exit or request.stop_price is not None:
        return None
    side = request.position_side
    holding = case.pool.holdings.get((listing.symbol, side))
    held = holding.quantity if holding is not None else _ZERO
    after = held + request.quantity * request.side.sign
    more = abs(after) - abs(held)
    if more <= 0:
        return None
    quote_usd = case.pool.asset_usd.get(listing.quote, Decimal(1))
    value = abs(listing.notional(more, request.price or case.best)) * quote_usd
    needed = value / case.pool.leverage(listing, side) + value * listing.taker_fee
    if needed > case.pool.available_usd(case.orders):
        return _no(RejectReason.INSUFFICIENT_MARGIN, f"initial margin of {needed:.2f} USD missing")
    return None


def _spot_funds(case: Case) -> Refusal | None:
    request, listing = case.request, case.listing
    if listing.is_derivative or request.stop_price is not None:
        return None
    asset, needed = listing.base, request.quantity
    if request.side is Side.BUY:
        asset = listing.quote
        needed = request.quantity * (request.price or case.best) * (1 + listing.taker_fee)
    free = case.pool.wallets.get(asset, _ZERO) - case.pool.spot_locked(asset, case.orders)
    if needed > free:
        return _no(RejectReason.INSUFFICIENT_MARGIN, f"{needed} {asset} needed, {free} free")
    return None


CHECKS: tuple[Callable[[Case], Refusal | None], ...] = (
    _client_id,
    _mode,
    _shape,
    _precision,
    _minimum,
    _band,
    _reduce_only,
    _margin,
    _spot_funds,
)


def judge(case: Case) -> Refusal | None:
    """Return the first rule an order breaks, None if the venue takes it."""
    for check in CHECKS:
        refusal = check(case)
        if refusal is not None:
            return refusal
    return None
