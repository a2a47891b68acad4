"""Which instrument's past stands for an underlying's: the first of a ranking."""

from __future__ import annotations

from collections.abc import Iterable

from riskbot.core.model import Instrument, InstrumentKind

QUOTES = ("USDT", "USDC", "USD", "FDUSD", "USDE", "TUSD", "BUSD", "DAI", "PYUSD", "USD1", "USDS")
"""Taken for dollars here, best first: daily moves of coins dwarf what these are off by, and a peg
that breaks is a measure of its own."""

_KINDS = (InstrumentKind.LINEAR, InstrumentKind.SPOT, InstrumentKind.INVERSE)


def ranked(instruments: Iterable[Instrument], preferred: str) -> list[Instrument]:
    """Return what can stand for an underlying, best first.

    That is the instrument asked for; then perpetuals that settle in a stablecoin, spot, perpetuals
    that settle in the coin. What is delisted or expires comes last: its past is short, or over.

    Args:
        instruments: of one underlying.
        preferred: symbol of the one asked for, empty = none.
    """
    usable = [row for row in instruments if row.quote in QUOTES and row.kind in _KINDS]

    def key(row: Instrument) -> tuple[bool, bool, bool, int, int, str]:
        return (
            not row.is_active,
            _expires(row.symbol),
            row.symbol != preferred,
            _KINDS.index(row.kind),
            QUOTES.index(row.quote),
            row.symbol,
        )

    return sorted(usable, key=key)


def _expires(symbol: str) -> bool:
    return "-" in symbol.partition(":")[2]
