"""Which preset `init` proposes for a book."""

from __future__ import annotations

import pytest

from riskbot.cli.fitting import propose
from riskbot.core.exposure import Leg, ScopeBook
from tests.core.limits.books import book, leg, pair

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def many(count: int, notional_usd: float) -> list[Leg]:
    """Equal longs in sectors of their own."""
    return [leg(f"C{n}/USDT:USDT", notional_usd, sector=f"S{n}") for n in range(count)]


LONG, SHORT = leg(BTC, 60_000.0), leg("BTC/USD:BTC", -60_000.0)

BOOKS: list[tuple[str, ScopeBook, str, int]] = [
    ("nothing yet", book(), "cautious", 0),
    ("coins alone", book(leg("BTC/USDT", 90_000.0, is_spot=True)), "holder", 0),
    ("borrowed coins", book(leg("BTC/USDT", 190_000.0, is_spot=True)), "holder", 1),
    ("small and spread", book(*many(5, 9_000.0)), "cautious", 0),
    ("levered and spread", book(*many(4, 18_000.0)), "leveraged", 0),
    ("one coin, levered", book(leg(BTC, 95_000.0)), "directional", 0),
    ("a pair", book(LONG, SHORT, pairs=[pair(LONG, SHORT)]), "market_neutral", 0),
    ("far beyond", book(leg(BTC, 500_000.0)), "directional", 5),
]


@pytest.mark.parametrize(
    ("seen", "preset", "broken"), [row[1:] for row in BOOKS], ids=[row[0] for row in BOOKS]
)
def test_propose_when_book_is_read_names_the_strictest_that_fits(
    seen: ScopeBook, preset: str, broken: int
) -> None:
    proposed, exceptions = propose({"portfolio": seen, "account:main": seen}, "main")
    assert (proposed, len(exceptions)) == (preset, broken)


def test_propose_when_nothing_was_read_says_the_default() -> None:
    assert propose({}, "main") == ("cautious", [])
