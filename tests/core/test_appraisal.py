"""What a bad day would cost a book of today, against formulas and numpy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import appraisal, panel
from riskbot.core.appraisal import UNJUDGED_SHARE, Days
from riskbot.core.exposure import Aggregate, ScopeBook
from riskbot.core.histories import DAY_MS, DailySeries
from riskbot.core.panel import STALE_DAYS, Panel
from riskbot.core.shocking import Table
from tests import builders
from tests.builders import T0
from tests.core.past import noise, path, real


def built(*series: DailySeries) -> Panel:
    found = panel.build({each.underlying: each for each in series})
    assert found is not None
    return found


def book(equity: float | None = 100_000.0, **held: float) -> ScopeBook:
    sums = {name: Aggregate(abs(usd), usd) for name, usd in held.items()}
    return ScopeBook("portfolio", T0, equity_usd=equity, underlyings=sums)


NO_SCENARIOS = Table(builders.settings())
TWO = built(noise("BTC", 1), noise("ETH", 2))


def test_var_is_the_empirical_quantile_of_what_the_book_would_have_made() -> None:
    found = appraisal.figures(book(BTC=50_000.0, ETH=-20_000.0), TWO, NO_SCENARIOS).values
    pnl = TWO.returns @ np.array([50_000.0, -20_000.0])
    worst = np.sort(pnl)
    assert found["value_at_risk"] == pytest.approx(-worst[12] / 100_000, rel=1e-12)
    assert found["value_at_risk_99"] == pytest.approx(-worst[2] / 100_000, rel=1e-12)
    assert found["expected_shortfall"] >= found["value_at_risk"]  # type: ignore[operator]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0.1, 10))
def test_scaling_a_book_scales_its_figures(btc: float, eth: float, k: float) -> None:
    one = appraisal.figures(book(BTC=btc, ETH=eth), TWO, NO_SCENARIOS).values
    many = appraisal.figures(book(BTC=btc * k, ETH=eth * k), TWO, NO_SCENARIOS).values
    for name in ("value_at_risk", "expected_shortfall", "volatility"):
        assert many[name] == pytest.approx((one[name] or 0.0) * k, rel=1e-6, abs=1e-12)


def test_perfect_hedge_has_none() -> None:
    hedged = book(BTC=0.0)
    hedged.underlyings["BTC"].gross = 100_000.0
    found = appraisal.figures(hedged, TWO, NO_SCENARIOS).values
    assert (found["value_at_risk"], found["expected_shortfall_99"]) == (0.0, 0.0)
    # Both legs have to be closed all the same.
    assert (found["time_to_exit:BTC"] or 0) > 0


def test_empty_book_has_none_of_anything() -> None:
    found = appraisal.figures(book(), TWO, NO_SCENARIOS)
    assert set(found.values.values()) == {0.0}
    assert found.reasons == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"unpriced": ["XRP"]}, "no usable price"),
        ({"equity_usd": None}, "equity"),
        ({"now_ms": T0 + (STALE_DAYS + 1) * DAY_MS}, "ends 4 days ago"),
    ],
)
def test_what_cannot_be_said_is_unknown_with_its_reason(
    change: dict[str, object], reason: str
) -> None:
    made = book(BTC=1.0)
    for name, value in change.items():
        setattr(made, name, value)
    found = appraisal.figures(made, TWO, NO_SCENARIOS)
    assert set(found.values.values()) == {None}
    assert all(reason in text for text in found.reasons.values())
    assert found.values.keys() == found.reasons.keys()


def test_no_history_at_all_is_unknown() -> None:
    found = appraisal.figures(book(BTC=1.0), None, NO_SCENARIOS)
    assert found.values["value_at_risk"] is None
    assert "history" in found.reasons["value_at_risk"]


def test_little_without_history_is_lost_whole_and_more_is_unknown() -> None:
    little = appraisal.days_of(book(BTC=10_000.0, NEW=UNJUDGED_SHARE * 100_000), TWO)
    assert isinstance(little, Days)
    assert little.lost == ("NEW",)
    assert little.pnl_usd == pytest.approx(TWO.returns @ np.array([10_000.0, 0.0]) - 1_000.0)
    assert appraisal.days_of(book(NEW=2_000.0), TWO) == "no price history of NEW"
    figures = appraisal.figures(book(BTC=10_000.0, NEW=500.0), TWO, NO_SCENARIOS)
    assert figures.values["volatility:NEW"] is None
    assert figures.values["time_to_exit:NEW"] is None
    assert figures.values["exit_cost"] is None
    assert "NEW" in figures.reasons["exit_cost"]


def test_no_equity_makes_every_share_infinite() -> None:
    found = appraisal.figures(book(0.0, BTC=10_000.0), TWO, NO_SCENARIOS).values
    assert found["value_at_risk"] == math.inf


def test_way_out_takes_its_share_of_turnover_and_costs_spread_and_impact() -> None:
    found = appraisal.exit_of(TWO, "BTC", 1e8)
    daily = TWO.volatility[TWO.columns["BTC"]]
    assert found.turnover_usd == 1e9
    assert found.seconds == pytest.approx(86_400.0)
    assert found.cost_usd == pytest.approx(1e8 * (5e-4 + daily * math.sqrt(0.1)), rel=1e-9)


def test_way_out_of_what_nobody_states_is_unknown() -> None:
    silent = built(noise("BTC", 1), path([0.01, -0.01] * 130, "ETH", turnover_usd=None))
    assert appraisal.exit_of(silent, "ETH", 1.0) == (None, None, None)
    assert appraisal.exit_of(silent, "GONE", 1.0) == (None, None, None)
    young = built(noise("BTC", 1), path([0.5], "NEW"))
    known = appraisal.exit_of(young, "NEW", 1e8)
    assert known.seconds == pytest.approx(86_400.0)
    assert known.cost_usd is None


def test_real_book_is_judged_in_proportion() -> None:
    known = built(*real("BTC", "ETH", "SOL"))
    found = appraisal.figures(
        book(BTC=50_000.0, ETH=30_000.0, SOL=20_000.0), known, NO_SCENARIOS
    ).values
    var, shortfall = found["value_at_risk"], found["expected_shortfall"]
    assert var is not None
    assert shortfall is not None
    assert 0.01 < var < shortfall < 0.2


def test_price_that_never_moved_makes_no_zero_of_a_risk() -> None:
    known = panel.build({"BTC": noise("BTC", 1), "X": path([0.0] * 260, "X")})
    why = "the price of X has not moved once in its history"
    assert appraisal.days_of(book(BTC=1_000.0, X=20_000.0), known) == why
    figures = appraisal.figures(book(X=20_000.0), known, NO_SCENARIOS)
    assert (figures.values["value_at_risk"], figures.reasons["value_at_risk"]) == (None, why)
