"""What is shown of a line: figures, what may be closed of it, and its stop.

The sums are `book`'s; this runs once per full evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from riskbot.core import exits
from riskbot.core.accounts import AccountState
from riskbot.core.book import Book
from riskbot.core.exposure import Leg
from riskbot.core.lines import Line
from riskbot.core.model import InstrumentKind, Side, WorkingOrder
from riskbot.core.sheets import AccountSheet


def shown_legs(book: Book, sheet: AccountSheet, now_ms: int) -> list[Leg]:
    """Write present figures on an account's legs and return those that hold something."""
    state = book.accounts.get(sheet.name)
    stale_ms = int(book.settings.monitor.account_stale_s * 1000)
    is_blind = state.blind_reason(now_ms, stale_ms) is not None
    stops = exits.protective(state) if state.orders else {}
    legs = []
    for line in sheet.lines():
        leg = line.leg
        if leg is None or not native_quantity(line, leg):
            continue
        _show(book, line, leg)
        leg.is_estimated = is_blind or line.is_estimated
        _show_closing(book, state, line, leg)
        _show_stop(book, line, leg, stops.get(leg.key, ()))
        legs.append(leg)
    return legs


def native_quantity(line: Line, leg: Leg) -> float:
    """Return the signed quantity a line is exposed by, unit of `Position.quantity`."""
    if leg.instrument.kind is InstrumentKind.INVERSE:
        return line.b / line.factor if line.factor else line.face
    return line.c if leg.instrument.kind is InstrumentKind.OPTION else line.a


def _show(book: Book, line: Line, leg: Leg) -> None:
    leg.mark_usd = line.mark
    leg.is_unlisted = line.is_unlisted
    is_known = line.mark is not None
    leg.notional_usd = leg.delta_usd = line.x if is_known else None
    leg.quantity = native_quantity(line, leg)
    if leg.instrument.kind is InstrumentKind.INVERSE and line.mark:
        leg.quantity = line.b / line.mark
    position = line.position
    if position is not None:
        leg.entry = _float(position.entry_price)
        leg.leverage = position.leverage
        leg.liquidation_price = _float(position.liquidation_price)
        leg.gamma, leg.vega = position.gamma, position.vega
        leg.unrealized_pnl_usd = _pnl(line, leg) if is_known and line.is_valued else None
        leg.liquidation_distance = None
        if leg.liquidation_price is not None and line.mark is not None:
            price = line.mark / line.factor
            leg.liquidation_distance = abs(price - leg.liquidation_price) / price
    owners = book.owners.get(leg.key, {}) if line.shares else {}
    leg.strategy = next(iter(owners)) if len(owners) == 1 else None


def _pnl(line: Line, leg: Leg) -> float | None:
    if line.face:
        return line.pnl_coin * line.coin.mark if line.coin and line.coin.mark else None
    if leg.instrument.kind is not InstrumentKind.OPTION:
        return line.value
    return line.value - line.c * leg.entry * line.factor if leg.entry is not None else None


# ---------------------------------------------------------------- closing


def _show_closing(book: Book, state: AccountState, line: Line, leg: Leg) -> None:
    """Say how much of a leg riskbot may close, and why not."""
    native = abs(native_quantity(line, leg))
    leg.is_dust = _is_dust(book, line, leg, native)
    leg.closable_quantity, leg.kept_reason = native, ""
    if not leg.instrument.is_active:
        leg.kept_reason = "has no active market on this account"
    elif line.position is None:
        if book.settings.accounts[line.account].spot == "hold":
            leg.kept_reason = "spot: hold"
        else:
            leg.closable_quantity = _closable_coins(state, line)
            if leg.closable_quantity <= 0:
                leg.kept_reason = "locked"
    leg.is_closable = not leg.kept_reason
    if not leg.is_closable:
        leg.closable_quantity = 0.0


def _closable_coins(state: AccountState, line: Line) -> float:
    """Return free coins plus those that sell orders lock: cancelling frees them."""
    balance = state.balances.get(line.asset)
    if balance is None:
        return 0.0
    if balance.free is None or balance.total < 0:
        return abs(float(balance.total))
    in_orders = sum(
        (o.remaining for o in state.orders.values() if _locks(o, line.asset)), Decimal(0)
    )
    return float(min(balance.total, balance.free + in_orders))


def _locks(order: WorkingOrder, asset: str) -> bool:
    is_spot = ":" not in order.symbol
    return is_spot and order.side is Side.SELL and exits.base_of(order.symbol) == asset


def _is_dust(book: Book, line: Line, leg: Leg, native: float) -> bool:
    instrument = leg.instrument
    if native < float(max(instrument.min_quantity, instrument.step)):
        return True
    if not leg.is_spot or leg.notional_usd is None:
        # A reduce-only close is not held to the minimum notional.
        return False
    least = book.settings.monitor.dust_usd
    quote = book.view.asset(line.account, instrument.quote)
    if instrument.min_notional and quote is not None:
        least = float(instrument.min_notional) * quote.value
    return abs(leg.notional_usd) < least


# ---------------------------------------------------------------- stops


def _show_stop(book: Book, line: Line, leg: Leg, orders: Sequence[WorkingOrder]) -> None:
    """Find the stop that covers the position, and what is lost if all its stops are hit.

    Stops cover it from the nearest on; what none covers counts as `assume_stop` away.
    """
    leg.stop = leg.risk_usd = None
    if line.mark is None or leg.notional_usd is None:
        return
    price = line.mark / line.factor
    is_long = leg.notional_usd > 0
    stops = [
        (float(order.stop_price), order)
        for order in orders
        if order.stop_price is not None and (float(order.stop_price) < price) is is_long
    ]
    stops.sort(key=lambda row: abs(price - row[0]))
    whole = left = abs(native_quantity(line, leg))
    risk = 0.0
    for stop, order in stops:
        covered = left if order.close_position else min(float(order.remaining), left)
        left -= covered
        risk += covered / whole * abs(price - stop) / price
        if left <= 0:
            leg.stop = stop
            break
    risk += left / whole * book.settings.assume_stop
    leg.risk_usd = abs(leg.notional_usd) * risk


def _float(value: Decimal | None) -> float | None:
    return float(value) if value is not None else None
