"""Quantities on the venue's step: down to close no more than there is, up to end inside a limit."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Round a quantity >= 0 down to the step; the quantity itself when there is no step."""
    if step <= 0:
        return quantity
    return (quantity / step).to_integral_value(ROUND_FLOOR) * step


def ceil_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Round a quantity >= 0 up to the step; the quantity itself when there is no step."""
    if step <= 0:
        return quantity
    return (quantity / step).to_integral_value(ROUND_CEILING) * step


def floor_amount(amount: float, step: Decimal) -> Decimal:
    """Round a float >= 0 down to the step; 0.2509999999999999 is 0.251."""
    return floor_to_step(Decimal(f"{amount:.12g}"), step)
