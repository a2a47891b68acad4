"""Orders against what price history says: correlation, VaR after the trade, target volatility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from riskbot.core.limits._base import Limit
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import Response
from riskbot.core.settings import OrderRules, StrategySettings
from tests.core.market import FREE, Market, codes, market
from tests.core.past import noise, path, read

CORRELATED = replace(FREE, max_correlation=0.8)
STEPS = np.random.default_rng(1).normal(0, 0.03, 260)
BTC = path(STEPS.tolist(), "BTC")
LIKE = path((STEPS * 1.5 + np.random.default_rng(2).normal(0, 0.005, 260)).tolist(), "ETH")
UNLIKE = noise("ETH", 9)


def long_btc(*limits: Limit, rules: OrderRules = CORRELATED, **fields: object) -> Market:
    return market(*limits, held={"BTC": (0.4, 50_000)}, rules=rules, **fields)  # type: ignore[arg-type]


def test_order_that_moves_with_the_book_is_denied_and_the_hedging_side_passes() -> None:
    made = long_btc()
    made.give(read(BTC, LIKE))
    denied = made.decide("ETH", "buy", "0.1")
    assert codes(denied) == {"CORRELATION"}
    (reason,) = denied["reasons"]
    expected = np.corrcoef(
        STEPS[-252:], np.diff(np.array(LIKE.closes))[-252:] / np.array(LIKE.closes)[-253:-1]
    )[0, 1]
    assert reason["measured"] == pytest.approx(expected, rel=1e-6)
    assert reason["allowed"] == 0.8
    assert made.decide("ETH", "sell", "0.1")["decision"] == "approve"


def test_own_instrument_an_unlike_one_an_unknown_one_and_an_empty_book_pass() -> None:
    made = long_btc()
    assert made.decide("ETH", "buy", "0.1")["decision"] == "approve"
    made.give(read(BTC, UNLIKE))
    assert made.decide("BTC", "buy", "0.001")["decision"] == "approve"
    assert made.decide("ETH", "buy", "0.1")["decision"] == "approve"
    empty = market(rules=CORRELATED)
    empty.give(read(BTC, LIKE))
    assert empty.decide("ETH", "buy", "0.1")["decision"] == "approve"


def test_book_that_cannot_be_judged_bars_nothing_by_correlation() -> None:
    made = market(held={"ETH": (10, 2_000)}, rules=CORRELATED)
    made.give(read(BTC))
    assert made.decide("BTC", "buy", "0.001")["decision"] == "approve"


def test_correlation_off_is_off() -> None:
    made = long_btc(rules=replace(FREE, max_correlation=None))
    made.give(read(BTC, LIKE))
    assert made.decide("ETH", "buy", "0.1")["decision"] == "approve"


def test_var_after_the_trade_bounds_it_and_a_resize_fits_exactly() -> None:
    limit = ValueAtRisk(max=0.03, on_breach=Response.DENY)
    made = long_btc(limit, rules=replace(FREE, max_correlation=None))
    made.give(read(BTC, LIKE))
    denied = made.decide("ETH", "buy", "20")
    assert codes(denied) == {"LIMIT_EXCEEDED"}
    assert denied["reasons"][0]["limit"] == "value_at_risk"
    largest = float(denied["max_quantity"])
    assert largest > 0
    resized = made.decide("ETH", "buy", "20", allow_resize=True)
    assert resized["decision"] == "resize"
    # What was approved counts: nothing more fits, and the whole stays inside.
    assert codes(made.decide("ETH", "buy", "0.1")) == {"LIMIT_EXCEEDED"}
    returns = np.diff(np.array(LIKE.closes))[-252:] / np.array(LIKE.closes)[-253:-1]
    pnl = 20_000 * STEPS[-252:] + largest * 2_000 * returns
    equity = made.engine.state.scopes(made.now_ms)["portfolio"].equity_usd
    assert equity is not None
    assert -np.sort(pnl)[12] <= 0.03 * equity * (1 + 1e-6)
    assert -np.sort(pnl + 0.2 * 2_000 * returns)[12] > 0.03 * equity


def test_hedge_passes_a_var_limit_that_is_full() -> None:
    made = long_btc(
        ValueAtRisk(max=0.005, on_breach=Response.DENY), rules=replace(FREE, max_correlation=None)
    )
    made.give(read(BTC, LIKE))
    assert made.decide("ETH", "sell", "5")["decision"] == "approve"


@pytest.mark.parametrize(("when_unknown", "decision"), [("deny", "deny"), ("pass", "approve")])
def test_unknown_measure_does_what_its_limit_says(when_unknown: str, decision: str) -> None:
    limit = ValueAtRisk(max=0.1, on_breach=Response.DENY, when_unknown=when_unknown)  # type: ignore[arg-type]
    made = long_btc(limit)
    answer = made.decide("ETH", "buy", "0.1")
    assert answer["decision"] == decision
    if decision == "deny":
        assert codes(answer) == {"LIMIT_UNKNOWN"}


def test_target_volatility_scales_new_risk_and_never_an_exit() -> None:
    wild = path(np.random.default_rng(5).normal(0, 0.06, 260).tolist(), "ETH")
    rules = replace(FREE, max_correlation=None, target_volatility=0.5, max_trade=0.10)
    own = {"grid": StrategySettings(accounts=("main",), orders=rules)}
    made = market(GrossExposure(max=1.0, on_breach=Response.DENY), rules=rules, strategies=own)
    before = float(made.decide("ETH", "buy", "1000")["max_quantity"])
    made.give(read(BTC, wild))
    after = made.decide("ETH", "buy", "1000")
    assert codes(after) >= {"MAX_TRADE"}
    panel = made.engine.state.analysis.panel
    assert panel is not None
    factor = 0.5 / panel.yearly_volatility("ETH")
    assert factor < 0.6
    assert float(after["max_quantity"]) == pytest.approx(before * factor, rel=0.01)
    scaled = made.decide("ETH", "buy", str(before))
    assert codes(scaled) == {"SCALED"}
    calm = market(rules=rules, strategies=own)
    calm.give(read(BTC, path([0.001, -0.001] * 130, "ETH")))
    assert calm.decide("ETH", "buy", str(before))["decision"] == "approve"
    flat = market(rules=rules, strategies=own)
    flat.give(read(BTC, path([0.0] * 260, "ETH")))
    assert flat.decide("ETH", "buy", str(before))["decision"] == "approve"
