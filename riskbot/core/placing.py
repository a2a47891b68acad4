"""How lines come into a Book and go out of it, and which sums each of them feeds.

How a line moves with prices lives in `book`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core.lines import Line, holding_line, is_same_exposure, position_line
from riskbot.core.model import Position, PositionKey
from riskbot.core.sheets import AccountSheet, Paid, Sums, sums_of

if TYPE_CHECKING:
    from riskbot.core.book import Book


def set_position(
    book: Book, sheet: AccountSheet, key: PositionKey, *, is_anew: bool = False
) -> None:
    """Bring the line of a position up to date with what the account holds.

    Args:
        book: whose line.
        sheet: of the account.
        key: of the position.
        is_anew: make another line, whatever is the same.
    """
    position = book.accounts.get(sheet.name).positions.get(key)
    quantity = book.quantities.get(key)
    old = sheet.positions.get(key)
    if old is not None and position is not None and quantity is None and not is_anew:
        listed = book.view.marks.instrument(sheet.name, key.symbol)
        if is_same_exposure(old, position, listed):
            old.position = position
            _note_isolated(sheet, old)
            book.touch(old)
            return
    if old is not None:
        _drop_position(book, sheet, old)
    if position is None and quantity:
        position = Position(sheet.name, key.symbol, key.side, Decimal(0))
    if position is None:
        return
    line = position_line(book.settings, book.view, position, quantity)
    sheet.positions[key] = line
    _note_isolated(sheet, line)
    settle = line.leg.instrument.settle if line.leg is not None else ""
    line.paid = sheet.paid.setdefault(settle, Paid())
    line.paid.count += 1
    if line.face:
        sheet.payers.setdefault(settle, {})[key] = line
        if settle not in sheet.holdings:
            set_holding(book, sheet, settle)
        line.coin = sheet.holdings[settle]
    _take_in(book, sheet, line)


def _note_isolated(sheet: AccountSheet, line: Line) -> None:
    if line.position is not None and line.position.is_isolated:
        sheet.isolated[line.key] = line
    else:
        sheet.isolated.pop(line.key, None)


def _drop_position(book: Book, sheet: AccountSheet, line: Line) -> None:
    key = line.key
    del sheet.positions[key]
    sheet.isolated.pop(key, None)
    _take_out(book, line)
    settle = line.leg.instrument.settle if line.leg is not None else ""
    paid = sheet.paid[settle]
    paid.count -= 1
    if not paid.count:
        del sheet.paid[settle]
    if line.coin is not None:
        payers = sheet.payers[settle]
        del payers[key]
        if not payers:
            del sheet.payers[settle]
        # A coin that was only paid into is not held any more.
        set_holding(book, sheet, line.coin.asset)


def set_holding(book: Book, sheet: AccountSheet, asset: str) -> None:
    """Bring the line of an asset up to date with what the account holds, or is paid in."""
    old = sheet.holdings.pop(asset, None)
    if old is not None:
        _take_out(book, old)
    balance = book.accounts.get(sheet.name).balances.get(asset)
    payers = sheet.payers.get(asset, {})
    if balance is None and not payers:
        return
    total = float(balance.total) if balance is not None else 0.0
    line = holding_line(book.settings, book.view, sheet.name, asset, total)
    # What a position is paid in is worth something, whoever prices it.
    line.is_unlisted = line.is_unlisted and not payers
    line.a = book.quantities.get(line.key, line.a)
    for payer in payers.values():
        payer.coin = line
        line.a += payer.pnl_coin
        line.c += payer.pnl_coin
    sheet.holdings[asset] = line
    _take_in(book, sheet, line)


def _take_in(book: Book, sheet: AccountSheet, line: Line) -> None:
    line.sheet = sheet.sheet
    line.is_held = True
    book.touch(line)
    if line.cash is not None:
        price = book.view.cash(*line.cash).value
        if book.cash.setdefault(line.cash, price) != price:
            # Lines stand at different prices of one cash: the next refresh looks at all of them.
            book.cash[line.cash] = math.nan
    if line.pricer is not None:
        book.lines[line.pricer] = (*book.lines.get(line.pricer, ()), line)
    if not line.is_known:
        sheet.sheet.unvalued += 1
        book.portfolio.unvalued += 1
    if line.mark is None:
        return
    if line.account not in book.without:
        line.sums = _feeds(book, sheet, line)
    for sums in line.sums:
        sums.count += 1
    line.shares = _shares(book, line)
    if line.face:
        book.move_inverse(line, line.mark / line.factor)
    book.move(line, line.mark)


def _take_out(book: Book, line: Line) -> None:
    line.is_held = False
    book.touch(line)
    if line.pricer is not None:
        left = tuple(other for other in book.lines[line.pricer] if other is not line)
        if left:
            book.lines[line.pricer] = left
        else:
            del book.lines[line.pricer]
    if not line.is_known:
        line.sheet.unvalued -= 1
        book.portfolio.unvalued -= 1
    if line.mark is None:
        return
    if line.coin is not None:
        book.pay(line.coin, -line.pnl_coin)
    line.a = line.b = line.c = line.d = 0.0
    book.move(line, line.mark)
    for sums in line.sums:
        sums.count -= 1
        if not sums.count:
            # Nothing held keeps no rounding dust behind.
            sums.gross = sums.net = 0.0
    _forget_empty(book, line)


def _feeds(book: Book, sheet: AccountSheet, line: Line) -> tuple[Sums, ...]:
    whole = [book.portfolio]
    if book.is_keyed(sheet.name):
        whole.append(sheet.sheet)
    if line.leg is None:
        sector = _sector(book, line)
        return tuple(sums_of(s.sectors, sector) for s in whole) if sector else ()
    feeds = [book.portfolio.total, sheet.sheet.total]
    for scope in whole:
        feeds.append(sums_of(scope.underlyings, line.leg.underlying))
        feeds.append(sums_of(scope.sectors, line.leg.sector))
        feeds.extend(sums_of(scope.groups, group) for group in line.leg.groups)
    return tuple(feeds)


def _sector(book: Book, line: Line) -> str:
    """Return the sector a line counts in; cash counts in none unless configured."""
    return line.leg.sector if line.leg is not None else book.settings.sectors.get(line.asset, "")


def _forget_empty(book: Book, line: Line) -> None:
    for scope in (book.portfolio, line.sheet):
        for keyed, keys in (
            (scope.underlyings, (line.leg.underlying,) if line.leg is not None else ()),
            (scope.sectors, (_sector(book, line),)),
            (scope.groups, line.leg.groups if line.leg is not None else ()),
        ):
            for key in keys:
                if key in keyed and not keyed[key].count:
                    del keyed[key]


def _shares(book: Book, line: Line) -> tuple[tuple[Sums, float], ...]:
    owners = book.owners.get(line.key)
    held = abs(line.a or line.c or line.face)
    if not owners or not held:
        return ()
    # What fills gave to strategies is capped by what is there.
    claimed = sum(abs(quantity) for quantity in owners.values())
    scale = min(1.0, held / claimed) / held if claimed else 0.0
    return tuple(
        (sums_of(book.strategies, name), abs(quantity) * scale) for name, quantity in owners.items()
    )
