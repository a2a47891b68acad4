"""What is shown of a line: figures, what may be closed of it, and its stop.

The sums are `book`'s; a full evaluation shows the lines that changed since the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from riskbot.core import exits
from riskbot.core.accounts import AccountState
from riskbot.core.book import Book
from riskbot.core.exposure import Leg
from riskbot.core.lines import Line
from riskbot.core.model import InstrumentKind, Position, Side, WorkingOrder
from riskbot.core.prices import greeks_of
from riskbot.core.sheets import AccountSheet
from riskbot.core.tally import part_of


def show(book: Book, now_ms: int) -> None:
    """Write present figures on the legs that changed since the last call, and count them anew.

    Legs of accounts that do not count are not shown.
    """
    for name in book.settings.accounts:
        _look(book, book.sheet(name), now_ms)
    for line in [*book.moved]:
        if line.position is None:
            # What a position in coin has made is worth what its coin is.
            for payer in book.sheet(line.account).payers.get(line.asset, {}).values():
                book.touch(payer)
    moved, book.moved = book.moved, []
    for line in moved:
        # What is gone first: the key may be held again under another line.
        if not line.is_held and line.leg is not None:
            _drop(book, line)
    for line in moved:
        if line.is_held and line.leg is not None and line.account not in book.without:
            if line.is_changed or not line.is_plain:
                _show_line(book, line, line.leg)
            else:
                _carry(book, line, line.leg)
            book.shown.append((line, line.leg))
        line.is_moved = line.is_changed = False


def _look(book: Book, sheet: AccountSheet, now_ms: int) -> None:
    """Mark the lines that something else than their price has changed."""
    state = book.accounts.get(sheet.name)
    stale_ms = int(book.settings.monitor.account_stale_s * 1000)
    is_blind = state.blind_reason(now_ms, stale_ms) is not None
    if is_blind is not sheet.was_blind:
        sheet.was_blind = is_blind
        for line in sheet.lines():
            book.touch(line)
    if not sheet.is_moved:
        return
    sheet.is_moved = False
    before, sheet.stops = sheet.stops, exits.protective(state) if state.orders else {}
    for key in {**before, **sheet.stops}:
        held = sheet.positions.get(key)
        if held is not None and before.get(key) != sheet.stops.get(key):
            book.touch(held)
    for line in sheet.holdings.values():
        # What may be sold of a coin depends on the orders that lock it.
        if line.leg is not None:
            book.touch(line)


def _show_line(book: Book, line: Line, leg: Leg) -> None:
    sheet = book.sheet(line.account)
    stops = sheet.stops.get(leg.key, ())
    line.is_plain = False
    if not native_quantity(line, leg):
        _drop(book, line)
        return
    line.is_plain = not (leg.is_spot or line.face or stops or book.parts)
    state = book.accounts.get(line.account)
    _show(book, line, leg)
    leg.is_estimated = sheet.was_blind or line.is_estimated
    _show_closing(book, state, line, leg)
    _show_stop(book, line, leg, stops)
    book.tally.put(leg)
    if sheet.tally is not book.tally:
        sheet.tally.put(leg)
    _watch(book, sheet, leg)
    for name, tally in book.parts.items():
        sums = book.strategies.get(name)
        share = next((share for owner, share in line.shares if owner is sums), 0.0)
        if share:
            tally.put(part_of(leg, share, name))
        else:
            tally.drop(leg.key)


def _carry(book: Book, line: Line, leg: Leg) -> None:
    """Show what moves with the price alone of a leg of which nothing else does.

    A derivative paid in cash, without stops: whole books of them move within a second.
    """
    _show_price(line, leg)
    leg.risk_usd = abs(line.x) * book.settings.assume_stop
    book.tally.carry(leg)
    tally = book.by_account[line.account].tally
    if tally is not book.tally:
        tally.carry(leg)


def _watch(book: Book, sheet: AccountSheet, leg: Leg) -> None:
    symbol = leg.key.symbol
    if leg.is_dust:
        sheet.watched.pop(leg.key, None)
    else:
        quote = book.view.marks.listen(sheet.name, symbol) if "/" in symbol else None
        sheet.watched[leg.key] = quote


def _drop(book: Book, line: Line) -> None:
    sheet = book.sheet(line.account)
    for tally in (book.tally, sheet.tally, *book.parts.values()):
        tally.drop(line.key)
    sheet.watched.pop(line.key, None)


def native_quantity(line: Line, leg: Leg) -> float:
    """Return the signed quantity a line is exposed by, unit of `Position.quantity`."""
    if leg.instrument.kind is InstrumentKind.INVERSE:
        return line.b / line.factor if line.factor else line.face
    return line.c if leg.instrument.kind is InstrumentKind.OPTION else line.a


def _show(book: Book, line: Line, leg: Leg) -> None:
    leg.is_unlisted = line.is_unlisted
    leg.quantity = native_quantity(line, leg)
    if leg.instrument.kind is InstrumentKind.INVERSE and line.mark:
        leg.quantity = line.b / line.mark
    position = line.position
    if position is not None:
        leg.entry = _float(position.entry_price)
        leg.leverage = position.leverage
        leg.liquidation_price = _float(position.liquidation_price)
        if leg.instrument.kind is InstrumentKind.OPTION:
            _show_greeks(book, line, leg, position)
    owners = book.owners.get(leg.key, {}) if line.shares else {}
    leg.strategy = next(iter(owners)) if len(owners) == 1 else None
    _show_price(line, leg)


def _show_greeks(book: Book, line: Line, leg: Leg, position: Position) -> None:
    """Show the greeks of a whole option position, as far as they are known."""
    _, gamma, vega = greeks_of(book.view, position)
    underlying = book.view.asset(line.account, leg.underlying)
    leg.gamma = None if gamma is None else line.c * gamma
    leg.vega = None if vega is None else line.c * vega
    leg.gamma_usd = leg.unit_usd = None
    if underlying is not None:
        leg.unit_usd = underlying.value * float(leg.instrument.underlying_per_base)
        leg.gamma_usd = None if leg.gamma is None else leg.gamma * leg.unit_usd**2


def _show_price(line: Line, leg: Leg) -> None:
    """Show what moves with the price alone."""
    leg.mark_usd = mark = line.mark
    leg.notional_usd = leg.delta_usd = line.x if mark is not None else None
    if line.position is None:
        return
    leg.unrealized_pnl_usd = _pnl(line, leg) if mark is not None and line.is_valued else None
    leg.liquidation_distance = None
    if leg.liquidation_price is not None and mark is not None:
        price = mark / line.factor
        leg.liquidation_distance = abs(price - leg.liquidation_price) / price


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
    if not orders:
        leg.risk_usd = abs(leg.notional_usd) * book.settings.assume_stop
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
