"""Options before they are held: what a unit is exposed to, and what a trade makes of one.

What is held of them is in `lines` and `showing`, what they make under a move in `curved`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core.model import Position, PositionKey, PositionSide
from riskbot.core.prices import greeks_of

if TYPE_CHECKING:
    from riskbot.core.exposure import Leg
    from riskbot.core.model import Instrument
    from riskbot.core.state import State


def delta_usd(state: State, instrument: Instrument) -> float | None:
    """Return the USD of exposure of one unit of an option, signed, None = unknown."""
    account = instrument.account
    delta, _ = _greeks(state, PositionKey(account, instrument.symbol, PositionSide.NET))
    underlying = state.meter.book.view.asset(account, instrument.underlying)
    if delta is None or underlying is None:
        return None
    return delta * underlying.value * float(instrument.underlying_per_base)


def take_trade(state: State, leg: Leg) -> None:
    """Bring what an option would be after a trade in line with its delta then.

    What its venue does not tell is unknown, and it counts by delta alone.
    """
    view, instrument, account = state.meter.book.view, leg.instrument, leg.key.account
    delta, gamma = _greeks(state, leg.key)
    underlying = view.asset(account, instrument.underlying)
    settle = view.asset(account, instrument.settle)
    price = view.price(account, leg.key.symbol)
    leg.gamma = leg.gamma_usd = leg.unit_usd = leg.mark_usd = None
    if not delta or underlying is None or settle is None or price is None:
        return
    leg.unit_usd = underlying.value * float(instrument.underlying_per_base)
    leg.quantity = (leg.delta_usd or 0.0) / (delta * leg.unit_usd)
    leg.mark_usd = price.value * settle.value
    if gamma is not None:
        leg.gamma = leg.quantity * gamma
        leg.gamma_usd = leg.gamma * leg.unit_usd**2


def _greeks(state: State, key: PositionKey) -> tuple[float | None, float | None]:
    """Return delta and gamma of one unit, as the venue tells them."""
    none = Position(key.account, key.symbol, key.side, Decimal(0))
    held = state.accounts.get(key.account).positions.get(key, none)
    delta, gamma, _ = greeks_of(state.meter.book.view, held)
    return delta, gamma
