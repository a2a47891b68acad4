"""From a venue's strings to our types: decimals, signs, units and the checks that guard them.

Contracts exist only here and in the venue files; what leaves is in the unit of
`Position.quantity`. No request is made here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any, TypeVar

from riskbot.core.model import (
    Balance,
    Instrument,
    InstrumentKind,
    OrderStatus,
    OrderType,
    PositionSide,
    RejectReason,
    Side,
)
from riskbot.errors import VenueError

T = TypeVar("T")
ZERO = Decimal(0)
NOTIONAL_TOLERANCE = Decimal("0.02")
_DECIMAL_PLACES, _TICK_SIZE = 2, 4
_MULTIPLIED = re.compile(r"^(10{3,})([A-Z][A-Z0-9]*)$|^([A-Z]+?)(10{3,})$")
_MILLION = re.compile(r"^1M([A-Z]{3,})$")
_KILO = re.compile(r"^k([A-Z][A-Z0-9]+)$")

STATUSES: Mapping[str, OrderStatus] = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "canceling": OrderStatus.OPEN,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
"""ccxt's order statuses."""


def unusable(where: str, problem: str) -> VenueError:
    """Return the error for a reply that cannot be believed; what was known stays."""
    return VenueError(RejectReason.OTHER, f"{where}: {problem}", is_ambiguous=True)


def number(value: Any) -> Decimal | None:
    """Return a finite decimal, None for a missing, empty or non-finite value.

    Floats go through their shortest text, so that 0.1 stays 0.1.
    """
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def need(row: Any, what: str, *names: str) -> Decimal:
    """Return the first of these fields that is a number.

    Raises:
        VenueError: none of them is, so the whole reply is not believed.
    """
    for name in names:
        found = number(row.get(name)) if isinstance(row, Mapping) else None
        if found is not None:
            return found
    raise unusable(what, f"no number in {' or '.join(names)}")


def first(row: Mapping[str, Any], *names: str) -> Decimal | None:
    """Return the first of these fields that is a number, None when none is."""
    for name in names:
        if (found := number(row.get(name))) is not None:
            return found
    return None


def positive(value: Any) -> Decimal | None:
    """Return a decimal > 0; venues write 0 for "none"."""
    found = number(value)
    return found if found is not None and found > 0 else None


def real(value: Any) -> float | None:
    """Return a finite float, None for a missing, empty or non-finite value."""
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def stamp(value: Any) -> int | None:
    """Return a time in ms, None when missing or not positive."""
    found = real(value)
    return int(found) if found is not None and found > 0 else None


def rows(value: Any, what: str) -> list[dict[str, Any]]:
    """Return a reply that must be a list of objects.

    Raises:
        VenueError: it is something else: null, a text, a cut-off document.
    """
    if not isinstance(value, list) or any(not isinstance(row, dict) for row in value):
        raise unusable(what, "not a list of rows")
    return value


def by_name(rows: Iterable[Mapping[str, Any]], name: str, value: str) -> dict[str, Decimal]:
    """Return the numbers of one field by the text of another; what is no number is left out."""
    read = ((str(row.get(name)), number(row.get(value))) for row in rows)
    return {key: found for key, found in read if found is not None}


def each(rows: Iterable[Any] | None, read: Callable[[Any], T]) -> list[T]:
    """Read rows of a pushed frame one by one: one that makes no sense takes none with it.

    What it would have told is found by the next REST read.
    """
    found = []
    for row in rows or ():
        try:
            found.append(read(row))
        except (VenueError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            continue
    return found


def table(value: Any, what: str) -> dict[str, Any]:
    """Return a reply that must be an object with something in it.

    Raises:
        VenueError: it is something else.
    """
    if not isinstance(value, dict) or not value:
        raise unusable(what, "empty or no object")
    return value


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Round towards zero to a multiple of the step; a step of 0 keeps the quantity."""
    if step <= 0:
        return quantity
    floored = (abs(quantity) / step).to_integral_value(rounding=ROUND_FLOOR) * step
    return floored if quantity >= 0 else -floored


def plain(value: Decimal) -> str:
    """Return a decimal as venues want it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def side_sign(side: str | None) -> int | None:
    """Return +1 for long or buy, -1 for short or sell, None for anything else."""
    return {"long": 1, "buy": 1, "short": -1, "sell": -1}.get((side or "").lower())


def signed(what: str, quantity: Decimal, side: str | None, *, is_two_sided: bool) -> Decimal:
    """Join a quantity and a side into one signed number.

    Args:
        what: account and symbol, for the error.
        quantity: as the venue states it; some sign it, some do not.
        side: `long`, `short`, `buy`, `sell`; anything else says nothing.
        is_two_sided: the venue's quantity carries no sign of its own.

    Raises:
        VenueError: the two contradict each other, or neither tells the sign.
    """
    if quantity == 0:
        return Decimal(0)
    sign = side_sign(side)
    if is_two_sided:
        if sign is None:
            raise unusable(what, f"quantity {quantity} without a side")
        if quantity < 0 and sign > 0:
            raise unusable(what, f"side {side} but quantity {quantity}")
        return abs(quantity) * sign
    if sign is not None and (quantity > 0) != (sign > 0):
        raise unusable(what, f"side {side} but quantity {quantity}")
    return quantity


def check_notional(
    instrument: Instrument, quantity: Decimal, stated: Decimal | None, *prices: Decimal | None
) -> None:
    """Compare our notional with the venue's; a wrong contract size shows here.

    Args:
        instrument: whose contract value was applied.
        quantity: in the unit of `Position.quantity`.
        stated: the venue's notional: quote units, or base units for an inverse instrument.
        prices: what it may be valued at (mark, entry); one that fits is enough.

    Raises:
        VenueError: more than 2 % apart under every price.
    """
    usable = [price for price in prices if price is not None and price > 0]
    if stated is None or stated == 0 or quantity == 0 or not usable:
        return
    is_inverse = instrument.kind is InstrumentKind.INVERSE
    ours = [abs(quantity) / price if is_inverse else abs(quantity) * price for price in usable]
    if any(abs(value / abs(stated) - 1) <= NOTIONAL_TOLERANCE for value in ours):
        return
    raise unusable(
        instrument.symbol,
        f"quantity x price is {ours[0]:.8g} but the venue says "
        f"{abs(stated):.8g}; the contract size ({instrument.contract_value}) does not fit",
    )


def underlying_of(base: str) -> tuple[str, Decimal]:
    """Return the asset behind a base code and how many of it one base unit is."""
    if found := _MULTIPLIED.match(base):
        count, asset = (found[1], found[2]) if found[1] else (found[4], found[3])
        return asset, Decimal(count)
    if found := _MILLION.match(base):
        return found[1], Decimal(1_000_000)
    if found := _KILO.match(base):
        return found[1], Decimal(1000)
    return base, Decimal(1)


def kind_of(market: Mapping[str, Any]) -> InstrumentKind:
    """Return how quantities of a ccxt market turn into exposure."""
    if market.get("option"):
        return InstrumentKind.OPTION
    if not market.get("contract"):
        return InstrumentKind.SPOT
    return InstrumentKind.INVERSE if market.get("inverse") else InstrumentKind.LINEAR


def instrument_of(account: str, market: Mapping[str, Any], precision_mode: int) -> Instrument:
    """Turn a ccxt market into an instrument.

    Raises:
        VenueError: no contract size, or no step.
    """
    symbol = str(market["symbol"])
    kind = kind_of(market)
    value = Decimal(1)
    if kind is not InstrumentKind.SPOT:
        value = Decimal(plain(positive(market.get("contractSize")) or Decimal(0)))
        if value <= 0:
            raise VenueError(
                RejectReason.UNKNOWN_INSTRUMENT, f"{symbol}: the venue states no contract size"
            )
    precision = market.get("precision") or {}
    limits = market.get("limits") or {}
    underlying, per_base = underlying_of(str(market["base"]))
    largest = positive(_limit(limits, "market", "max")) or positive(_limit(limits, "amount", "max"))
    return Instrument(
        account=account,
        symbol=symbol,
        underlying=underlying,
        quote=str(market["quote"]),
        settle=str(market.get("settle") or market["quote"]),
        kind=kind,
        contract_value=value,
        tick=_step(precision.get("price"), precision_mode),
        step=_step(precision.get("amount"), precision_mode) * value,
        min_quantity=(positive(_limit(limits, "amount", "min")) or Decimal(0)) * value,
        min_notional=positive(_limit(limits, "cost", "min")) or Decimal(0),
        max_market_quantity=None if largest is None else largest * value,
        underlying_per_base=per_base,
        is_active=market.get("active") is not False,
        expiry_ms=stamp(market.get("expiry")),
    )


def _limit(limits: Mapping[str, Any], name: str, end: str) -> Any:
    return (limits.get(name) or {}).get(end)


def _step(precision: Any, mode: int) -> Decimal:
    found = number(precision)
    if found is None:
        return Decimal(0)
    if mode == _DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(found))
    return found if mode == _TICK_SIZE and found > 0 else Decimal(0)


def order_side(value: Any, what: str) -> Side:
    """Return the side of an order.

    Raises:
        VenueError: neither buy nor sell.
    """
    sign = side_sign(str(value or ""))
    if sign is None:
        raise unusable(what, "order without a side")
    return Side.BUY if sign > 0 else Side.SELL


def order_type(value: Any) -> OrderType:
    """Return MARKET for anything named so, also when it waits for a trigger, else LIMIT."""
    return OrderType.MARKET if "market" in str(value or "").lower() else OrderType.LIMIT


def leg(value: Any) -> PositionSide:
    """Return the hedge-mode leg a venue's text names, NET for one-way mode."""
    name = str(value or "").lower()
    if name in {"long", "short"}:
        return PositionSide(name)
    return PositionSide.NET


def generic_balances(reply: Mapping[str, Any]) -> tuple[Balance, ...]:
    """Turn a ccxt balance structure into balances; zeros are left out."""
    totals = table(reply.get("total"), "balance") if reply.get("total") else {}
    free = reply.get("free") or {}
    found = []
    for asset, total in totals.items():
        amount = number(total)
        if amount is None:
            raise unusable(asset, "the balance is not a number")
        if amount != 0:
            found.append(Balance(asset=asset, total=amount, free=number(free.get(asset))))
    return tuple(found)
