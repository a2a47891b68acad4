"""What holding perpetuals will cost: funding of the next day, at the rates of now.

Rates come with the prices and are kept in `quotes`; what was really paid is in `cashflows` and
`carry`. Sign of every amount here: > 0 = received, as in the ledger.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from riskbot.core.model import Instrument, InstrumentKind
from riskbot.core.quotes import Funding

if TYPE_CHECKING:
    from riskbot.core.exposure import Leg, ScopeBook
    from riskbot.core.marks import Marks

COST = "funding_cost"
"""Name of the figure, and of its limit."""

STALE_MS = 900_000
"""Age past which a rate says nothing: venues tell it at least every few minutes."""

HORIZON_MS = 86_400_000
"""How far ahead funding is projected."""

_HOUR_MS = 3_600_000
_CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)
_NAMED = 3


def is_perpetual(instrument: Instrument) -> bool:
    """Whether an instrument pays funding: a contract without an expiry."""
    return instrument.kind in _CONTRACTS and not _ends(instrument.symbol)


@functools.cache
def _ends(symbol: str) -> bool:
    return "-" in symbol.partition(":")[2]


def settlements(known: Funding, now_ms: int) -> float | None:
    """Return how often funding is settled within the next 24 h, >= 0.

    Counted where the next time is stated, else the mean over the interval; None = the interval
    is not stated.
    """
    if known.interval_h is None:
        return None
    every_ms = known.interval_h * _HOUR_MS
    if known.next_ms is None:
        return HORIZON_MS / every_ms
    ahead_ms = float(known.next_ms - now_ms)
    if ahead_ms <= 0:
        # It was settled since: the frame that says so is on its way.
        ahead_ms = every_ms - -ahead_ms % every_ms
    return 1 + (HORIZON_MS - ahead_ms) // every_ms if ahead_ms <= HORIZON_MS else 0


def daily_share(known: Funding | None, now_ms: int) -> float | None:
    """Return the share of its notional that a long pays within the next 24 h; < 0 = receives.

    Every settlement is taken at the present rate. None where the rate or its interval is not
    known, or the rate was not told for `STALE_MS`.
    """
    if known is None or now_ms - known.seen_ms > STALE_MS:
        return None
    count = settlements(known, now_ms)
    return None if count is None else known.rate * count


def rate_of(marks: Marks, leg: Leg) -> Funding | None:
    """Return what the venue of a position says of its funding."""
    quote = marks.quote(leg.key.account, leg.key.symbol)
    return quote.funding if quote is not None else None


def projected_usd(marks: Marks, leg: Leg, now_ms: int) -> float | None:
    """Return the funding of a position within the next 24 h in USD, > 0 = received.

    Returns:
        0 for what pays none (spot, dated, options); None where it cannot be said.
    """
    if not is_perpetual(leg.instrument):
        return 0.0
    share = daily_share(rate_of(marks, leg), now_ms)
    if share is None or leg.notional_usd is None:
        return None
    return -leg.notional_usd * share


def projected_in_all_usd(marks: Marks, legs: Iterable[Leg], now_ms: int) -> float | None:
    """Return the funding of several positions within the next 24 h in USD, > 0 = received."""
    total = 0.0
    for leg in legs:
        amount = projected_usd(marks, leg, now_ms)
        if amount is None:
            return None
        total += amount
    return total


def cost(book: ScopeBook, marks: Marks) -> tuple[float | None, str]:
    """Return what funding will cost a scope within the next 24 h as a share of E, and why not.

    What positions pay less what others receive: a carry that earns costs 0.

    Returns:
        The share, >= 0, and an empty text; None and the reason while it is unknown.
    """
    total, silent = 0.0, []
    for leg in book.legs:
        amount = projected_usd(marks, leg, book.now_ms)
        if amount is None:
            silent.append(leg.key.symbol)
        else:
            total += amount
    if silent:
        named = ", ".join(sorted(set(silent))[:_NAMED])
        return None, f"no funding rate is known of {named}"
    share = book.equity_share(max(-total, 0.0))
    return share, "" if share is not None else "equity of an account is not known"


def fill(book: ScopeBook, marks: Marks) -> None:
    """Fill `funding_cost` in: where a limit looks at it, since over a large book it takes its time.

    Args:
        book: as it is, or as it would be after an order.
        marks: the rates.
    """
    book.stats[COST], reason = cost(book, marks)
    if reason:
        book.stats_reasons[COST] = reason
