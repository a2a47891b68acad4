"""From a target to the next order: amount, rounding, price collar, reduce-only; and the ladder.

Never more than what lies between position and target, never across zero. When an order is due
is `campaign`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from riskbot.core.duty import Rung, Target
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    RejectReason,
    Side,
    TimeInForce,
)
from riskbot.core.rounding import floor_to_step

COLLARS = (Decimal("0.01"), Decimal("0.02"), Decimal("0.05"))
"""How far behind the reference price an IOC may reach, by try."""

MAX_TRIES = 3
"""Orders of one rung on one key before the next rung is taken."""

_NEXT_RUNG = {Rung.MARKET: Rung.IOC, Rung.IOC: Rung.CHASE, Rung.CHASE: Rung.PAGE}

_WAITS_MS = {
    RejectReason.RATE_LIMITED: 1_000,
    RejectReason.MAINTENANCE: 2_000,
    RejectReason.CLOCK: 1_000,
    RejectReason.UNREACHABLE: 500,
    RejectReason.AUTHENTICATION: 5_000,
    RejectReason.HALT_FILE: 1_000,
}
"""Refusals that say nothing about the order itself: the same rung again, later."""

_REREADS = frozenset(
    {RejectReason.REDUCE_ONLY, RejectReason.POSITION_MODE, RejectReason.DUPLICATE_ID}
)

PAGE_RETRY_MS = 5_000

STATED_SLACK, UNSTATED_SLACK = 2.0, 20.0
"""How far above a stated minimum, or above dust where none is stated, one may still be meant."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Prices an order is made from, quote units; None = none fresh."""

    mark: float | None = None
    bid: float | None = None
    ask: float | None = None


@dataclass(frozen=True, slots=True)
class OrderShape:
    """An order before it has an id: see `actions.PlaceOrder` for the fields."""

    side: Side
    quantity: Decimal
    type: OrderType
    price: Decimal | None
    time_in_force: TimeInForce
    reduce_only: bool


def remaining(target: Target, quantity: Decimal) -> Decimal:
    """Return the signed change that leads from the position to the target.

    A position that is already nearer to zero than its target on the same side needs nothing,
    and one that changed sides since is closed to zero, not reopened.
    """
    if target.kept:
        return Decimal(0)
    if target.quantity == 0:
        return -quantity
    if quantity * target.quantity < 0:
        return -quantity
    return target.quantity - quantity


def closing_change(target: Target, quantity: Decimal) -> Decimal:
    """Return the change that may still be needed to *lower* abs(quantity) to the target's."""
    change = remaining(target, quantity)
    return change if change * quantity < 0 else Decimal(0)


def is_met(target: Target, quantity: Decimal, instrument: Instrument, *, opens: bool) -> bool:
    """Whether a target is reached, or what is missing is below the instrument's step."""
    change = remaining(target, quantity) if opens else closing_change(target, quantity)
    if change == 0 or target.kept:
        return True
    amount = floor_to_step(abs(change), instrument.step)
    return amount <= 0 or amount < instrument.min_quantity


def shape_order(
    target: Target,
    quantity: Decimal,
    closable: Decimal,
    instrument: Instrument,
    quote: Quote,
    *,
    opens: bool = False,
    share_cap: Decimal | None = None,
) -> OrderShape | None:
    """Return the next order towards a target, or None when nothing can be sent.

    Args:
        target: where the key must end, with its rung.
        quantity: signed position now.
        closable: what the venue lets go of it now, >= 0 (spot: the freshly read free balance).
        instrument: its step, tick and minima.
        quote: fresh prices; a priced rung without any falls back to market.
        opens: a hedge, which may raise abs(quantity).
        share_cap: largest slice, same unit as the position.

    Returns:
        An order of at most abs(target - quantity), rounded down to the step.
    """
    change = remaining(target, quantity) if opens else closing_change(target, quantity)
    amount = abs(change)
    closes = change * quantity < 0
    if closes:
        amount = min(amount, closable)
    if share_cap is not None and share_cap > 0:
        amount = min(amount, share_cap)
    if instrument.max_market_quantity:
        amount = min(amount, instrument.max_market_quantity)
    amount = floor_to_step(amount, instrument.step)
    if amount <= 0 or amount < instrument.min_quantity:
        return None
    side = Side.BUY if change > 0 else Side.SELL
    reduce_only = closes and instrument.kind is not InstrumentKind.SPOT
    kind, price, tif = _pricing(target, side, instrument, quote)
    return OrderShape(side, amount, kind, price, tif, reduce_only)


LEAST_PART = 5
"""A slice is at least this part of what is left: nobody dribbles out of a falling market."""


def slice_cap(
    amount: Decimal,
    visible: Decimal,
    share: Decimal,
    instrument: Instrument,
    mark: float | None,
) -> Decimal | None:
    """Return the largest slice of a close, None = all of it at once.

    Args:
        amount: still to trade, > 0, unit of `Position.quantity`.
        visible: what the book shows on the other side, same unit, >= 0.
        share: of that one slice may take.
        instrument: its minima: neither a slice nor what it leaves may be below them.
        mark: quote units per base unit; None = unknown.
    """
    least = max(instrument.min_quantity, instrument.step)
    if instrument.min_notional and instrument.kind is InstrumentKind.INVERSE:
        least = max(least, instrument.min_notional)
    elif instrument.min_notional:
        if not mark:
            return None
        least = max(least, instrument.min_notional / Decimal(repr(mark)))
    # Twice: a slice at the minimum itself is refused once the price has moved a little.
    cap = max(visible * share, amount / LEAST_PART, 2 * least)
    return cap if amount - cap >= 2 * least else None


def _pricing(
    target: Target, side: Side, instrument: Instrument, quote: Quote
) -> tuple[OrderType, Decimal | None, TimeInForce]:
    reference = quote.mark or quote.bid or quote.ask
    if target.rung in {Rung.MARKET, Rung.PAGE} or not reference:
        return OrderType.MARKET, None, TimeInForce.IOC
    if target.rung is Rung.CHASE:
        touch = (quote.ask if side is Side.BUY else quote.bid) or reference
        return OrderType.LIMIT, on_tick(touch, side, instrument.tick), TimeInForce.GTC
    collar = COLLARS[min(target.tries, len(COLLARS) - 1)]
    factor = 1 + side.sign * collar
    price = on_tick(float(Decimal(repr(reference)) * factor), side, instrument.tick)
    return OrderType.LIMIT, price, TimeInForce.IOC


def on_tick(price: float, side: Side, tick: Decimal) -> Decimal:
    """Put a price on the tick, to the side that fills (up for a buy, down for a sell)."""
    value = Decimal(repr(price))
    if tick <= 0:
        return value
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    return (value / tick).to_integral_value(rounding) * tick


def may_be_dust(value: float | None, min_notional: Decimal, dust: float) -> bool:
    """Whether a position can be what a venue calls too small to trade; an unknown one can.

    Args:
        value: of the whole position, abs, in quote units.
        min_notional: what the venue states, quote units; 0 = nothing.
        dust: `monitor.dust_usd` in quote units.
    """
    least = max(float(min_notional) * STATED_SLACK, dust * UNSTATED_SLACK)
    return value is None or value <= least


def after_refusal(
    target: Target,
    reason: RejectReason,
    message: str,
    retry_after_ms: int | None,
    now_ms: int,
    *,
    may_be_dust: bool = True,
) -> Target:
    """Return the target with its next step after the venue refused an order.

    Every class of refusal has one: wait and repeat, another rung, or a person. That an order is
    too small is believed of positions that `may_be_dust` alone.
    """
    note = f"{reason.value}: {message}"[:200]
    if reason is RejectReason.MIN_NOTIONAL and may_be_dust:
        return replace(target, kept=True, note="dust, below the venue's minimum")
    if reason in _WAITS_MS:
        wait_ms = max(retry_after_ms or 0, _WAITS_MS[reason])
        return replace(target, refused_ms=now_ms, not_before_ms=now_ms + wait_ms, note=note)
    if reason in _REREADS and target.tries + 1 < MAX_TRIES:
        # Something rests against the position or it changed: the re-read comes first, then the
        # same rung; only a venue that keeps refusing moves it on.
        return replace(target, refused_ms=now_ms, tries=target.tries + 1, note=note)
    return _step_down(target, note, now_ms)


def after_round(target: Target, now_ms: int, *, has_filled: bool) -> Target:
    """Return the target after an order of it settled, filled in part, in full or not at all."""
    tries = 0 if has_filled else target.tries + 1
    tried = replace(target, tries=tries, rounds=target.rounds + 1)
    if tried.tries < MAX_TRIES:
        return tried
    return _step_down(tried, target.note or "orders were accepted but not filled", now_ms)


def _step_down(target: Target, note: str, now_ms: int) -> Target:
    rung = _NEXT_RUNG.get(target.rung, Rung.PAGE)
    wait_ms = PAGE_RETRY_MS if rung is Rung.PAGE else 0
    return replace(
        target, rung=rung, tries=0, refused_ms=now_ms, not_before_ms=now_ms + wait_ms, note=note
    )
