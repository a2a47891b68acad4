"""Orders in options: they count with their delta, puts the other way, and their loss by gamma."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core import options
from riskbot.core.limits._base import Limit
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.stress_loss import StressLoss
from riskbot.core.lines import new_leg
from riskbot.core.model import PositionKey, PositionSide, Response
from riskbot.core.scenarios import Scenario
from riskbot.core.settings import OrderRules
from tests import builders
from tests.core.market import FREE, Market, codes, market

CALL, PUT = "BTC/USDT:USDT-261225-60000-C", "BTC/USDT:USDT-261225-40000-P"
DENY = Response.DENY


def desk(*limits: Limit, rules: OrderRules = FREE, **fields: Any) -> Market:
    """Build a market with a call at delta 0.5 and a put at delta -0.25, BTC at 50,000."""
    made = market(*limits, rules=rules, **fields)
    made.give(builders.loaded(*(builders.instrument(symbol) for symbol in (CALL, PUT))))
    tell(made, CALL, 3_000.0, delta=0.5, gamma=0.00001)
    tell(made, PUT, 1_000.0, delta=-0.25, gamma=0.00001)
    return made


def tell(made: Market, symbol: str, mark: float, **greeks: float) -> None:
    for is_rest in (False, True):
        made.give(builders.prices(symbol, mark, is_rest=is_rest, **greeks))


def ask(made: Market, symbol: str, side: str, quantity: str, **fields: Any) -> dict[str, Any]:
    return made.decide("BTC", side, quantity, symbol=symbol, **fields)


def test_option_counts_with_its_delta_and_not_with_its_premium() -> None:
    made = desk(GrossExposure(max=0.6, on_breach=DENY))
    # 60,000 of exposure at 25,000 a call, though its premium is 3,000.
    denied = ask(made, CALL, "buy", "4")
    assert codes(denied) == {"LIMIT_EXCEEDED"}
    assert float(denied["max_quantity"]) == pytest.approx(2.4, abs=0.001)
    assert ask(made, CALL, "buy", "2")["decision"] == "approve"
    # Approvals count alike: 50,000 are taken.
    assert float(ask(made, PUT, "buy", "4")["max_quantity"]) == pytest.approx(0.8, abs=0.001)


def test_put_is_exposed_to_the_other_side() -> None:
    made = desk(NetDelta(max=25_000, on_breach=DENY), held={"BTC": (0.4, 50_000)})
    assert ask(made, PUT, "buy", "1")["decision"] == "approve"
    denied = ask(made, PUT, "sell", "1")
    assert codes(denied) == {"LIMIT_EXCEEDED"}
    assert float(denied["max_quantity"]) == pytest.approx(5_000 / 12_500, abs=0.001)
    assert codes(ask(made, CALL, "buy", "1")) == {"LIMIT_EXCEEDED"}
    assert ask(made, CALL, "sell", "1")["decision"] == "approve"


def test_option_of_which_nobody_tells_a_delta_is_denied() -> None:
    made = market(GrossExposure(max=2.0, on_breach=DENY), rules=FREE)
    made.give(builders.loaded(builders.instrument(CALL)))
    tell(made, CALL, 3_000.0)
    denied = ask(made, CALL, "buy", "0.1")
    assert codes(denied) == {"BLIND_PRICE"}
    assert denied["reasons"][0]["message"] == f"no fresh price and delta of {CALL}"


def test_stress_after_an_order_takes_its_gamma_and_its_premium_for_bounds() -> None:
    fall = Scenario(name="fall", title="t", description="d", source="s", shocks={"BTC": -0.2})
    rise = Scenario(name="rise", title="t", description="d", source="s", shocks={"BTC": 0.2})
    limit = StressLoss(max=0.1, on_breach=DENY)
    made = desk(limit, scenarios=(fall, rise))
    # A call that is bought loses its 3,000 at most; by delta alone it would lose 5,000.
    bought = float(ask(made, CALL, "buy", "9")["max_quantity"])
    assert bought == pytest.approx(10_000 / 3_000, abs=0.01)
    # One that is sold loses 5,000 by delta and 500 by gamma.
    sold = float(ask(made, CALL, "sell", "9")["max_quantity"])
    assert sold == pytest.approx(10_000 / 5_500, abs=0.01)
    # Without a gamma, by delta alone.
    plain = desk(limit, scenarios=(fall, rise))
    tell(plain, CALL, 3_000.0, delta=0.5, gamma=float("nan"))
    assert float(ask(plain, CALL, "sell", "9")["max_quantity"]) == pytest.approx(2.0, abs=0.01)


def test_rule_of_a_single_order_takes_the_larger_of_premium_and_exposure() -> None:
    rules = OrderRules(max_trade=0.1, max_trade_risk=None, price_collar=None, order_rate=None)
    made = desk(rules=rules)
    denied = ask(made, CALL, "buy", "1")
    assert codes(denied) == {"MAX_TRADE"}
    assert float(denied["max_quantity"]) == pytest.approx(10_000 / 25_000, abs=0.001)
    tell(made, PUT, 1_000.0, delta=-0.001)
    assert float(ask(made, PUT, "buy", "20")["max_quantity"]) == pytest.approx(10.0, abs=0.01)


def test_working_option_order_counts_with_its_delta_on_its_side() -> None:
    made = desk(NetDelta(max=25_000, on_breach=DENY))
    assert ask(made, PUT, "sell", "1", price="1200")["decision"] == "approve"
    denied = made.decide("BTC", "buy", "1")
    assert float(denied["max_quantity"]) == pytest.approx(12_500 / 50_000, abs=0.001)
    assert made.decide("BTC", "sell", "0.5")["decision"] == "approve"


def test_option_that_nobody_prices_keeps_no_figures_of_before_a_trade() -> None:
    made = desk(held={"BTC": (0.4, 50_000)})
    state = made.engine.state
    listed = builders.instrument("XYZ/USDT:USDT-261225-10-C")
    key = PositionKey("main", listed.symbol, PositionSide.NET)
    leg = new_leg(state.settings, "main", key, listed)
    leg.delta_usd, leg.mark_usd, leg.gamma_usd = 500.0, 3.0, 7.0
    options.take_trade(state, leg)
    assert (leg.delta_usd, leg.mark_usd, leg.gamma_usd, leg.quantity) == (500.0, None, None, 0.0)
