"""The engine as a whole: a breach becomes holds, orders and words, once."""

from __future__ import annotations

from decimal import Decimal

from riskbot.core import actions
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import PORTFOLIO, Response, TradingState
from tests.core.world import world

GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)


def test_flatten_when_drawdown_breaks_closes_all_once_and_stays_halted() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000), "ETH": (-10, 2_000)})
    made.price(BTC=46_000)
    made.wait(2)
    assert not made.sent
    made.price(BTC=42_000)
    made.wait(5)
    assert made.quantity("BTC") == 0
    assert made.quantity("ETH") == 0
    assert [(o.symbol, o.side, o.quantity, o.reduce_only) for o in made.sent] == [
        ("BTC/USDT:USDT", "sell", Decimal(2), True),
        ("ETH/USDT:USDT", "buy", Decimal(10), True),
    ]
    enforcement = made.engine.state.enforcement
    assert enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    assert not enforcement.intents
    made.price(BTC=52_000)
    made.wait(400)
    assert len(made.sent) == 2
    assert enforcement.state_of(PORTFOLIO) is TradingState.HALTED


def test_reduce_when_gross_breaks_goes_to_its_target_and_clears_after_five_minutes() -> None:
    made = world(GROSS, held={"BTC": (3.0, 50_000)}, usdt=80_000)
    assert not made.sent
    made.price(BTC=54_000)
    made.wait(3)
    made.price(BTC=50_000)
    made.wait(2)
    made.price(BTC=43_000)
    made.wait(2)
    gross = abs(float(made.quantity("BTC"))) * 43_000 / made.equity()
    assert gross <= 2.0
    assert made.sent
    assert all(o.reduce_only for o in made.sent)
    held = made.of(actions.PlaceHold)
    assert held[0].hold.state is TradingState.REDUCING
    made.wait(310)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.ACTIVE
