"""Which lines of a Book are priced anew when time passes, and how one is carried to its price.

A frame of its own moves a line at once; here is what happens without one: a source grows stale, a
stablecoin moves, another venue stands in. What a price is lives in `prices`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from riskbot.core.lines import Line, present
from riskbot.core.model import InstrumentKind

if TYPE_CHECKING:
    from riskbot.core.book import Book


def refresh(book: Book, due: Iterable[Line]) -> None:
    """Take prices anew from the view of a Book.

    Args:
        book: whose lines they are.
        due: lines whose price no frame has confirmed.
    """
    for key, known in list(book.cash.items()):
        price = book.view.cash(*key).value
        if price != known:
            book.cash[key] = price
            for sheet in book.by_account.values():
                for line in [line for line in sheet.lines() if line.cash == key]:
                    _take(book, line)
    for line in due:
        if line.is_held:
            _take(book, line)


def _take(book: Book, line: Line) -> None:
    """Carry one line to its present price."""
    factor, mark, is_estimated, until_ms = present(book.view, line)
    line.until_ms = until_ms
    if is_estimated is not line.is_estimated:
        line.is_estimated = is_estimated
        book.touch(line)
    is_option = line.leg is not None and line.leg.instrument.kind is InstrumentKind.OPTION
    is_another = is_option or (mark is None) != (line.mark is None)
    if is_another or (factor != line.factor and not _rescale(line, factor)):
        book.rebuild(line)
    elif mark is not None:
        if line.face:
            book.move_inverse(line, mark / factor)
        book.move(line, mark)


def _rescale(line: Line, factor: float) -> bool:
    """Give a line another price of its unit; False if that takes more."""
    position = line.position
    if position is not None:
        if line.face or line.mark is None or position.entry_price is None:
            return False
        # Its PnL counts from the entry price, which is quoted in the same unit.
        line.d = -line.c * float(position.entry_price) * factor
    line.factor = factor
    return True
