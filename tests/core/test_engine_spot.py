"""Spot holdings in the engine: coins that nobody prices, coins that are held."""

from __future__ import annotations

from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.model import PORTFOLIO, Response
from tests import builders
from tests.core.world import world

DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)


def test_equity_when_a_coin_has_no_market_counts_it_as_nothing_and_names_it() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.airdrops = (builders.balance("AIRDROP", 1_000),)
    made.read()
    made.wait(2)
    book = made.engine.state.scopes(made.now_ms)[PORTFOLIO]
    assert book.equity_usd == 100_000
    assert book.unlisted == ["AIRDROP"]
    assert not book.unpriced
    assert book.losses.drawdown == 0
    made.price(BTC=42_000)
    made.wait(3)
    assert made.quantity("BTC") == 0
